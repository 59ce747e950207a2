"""A crawl that is killed loses no more than a batch, and the next one carries on."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from trees import make_tree

from anam_py import CodeBaseCrawler, HTMCore

PROGRAM = """
import sys
from anam_py import CodeBaseCrawler, HTMCore
from anam_py.crawler import batch

batch._MAX_ROWS = 60
with HTMCore(sys.argv[1], durability="normal") as htm:
    CodeBaseCrawler(htm, symbols=True).index(".", progress_callback=lambda done, *_: print(done, flush=True))
"""


def contents(htm: HTMCore) -> dict[str, Any]:
    return {key: (htm.get_text(key), htm.get_embedding(key)["embedding"]["values"].tobytes()) for key in htm}  # type: ignore[index]


@pytest.mark.parametrize("killed_after", [1, 31, 137, 299])
def test_a_killed_crawl_is_a_smaller_crawl(killed_after: int, tree: Path, tmp_path: Path) -> None:
    make_tree(tree, {f"{number:03}.py": f"def f{number}():\n    return {number}\n" for number in range(300)})
    store = tmp_path / "store"
    with subprocess.Popen([sys.executable, "-c", PROGRAM, store], stdout=subprocess.PIPE, text=True) as crawl:
        assert crawl.stdout is not None
        for line in crawl.stdout:
            if int(line) == killed_after:
                crawl.send_signal(signal.SIGKILL)
                break
    with HTMCore(store) as htm, HTMCore(tmp_path / "whole") as whole:
        assert htm.verify() == []
        kept = [key for key in htm if "::" not in key]
        assert killed_after - 60 < len(kept)
        assert {f"{key}::f{int(key[:3])}" for key in kept} <= set(htm)
        crawler = CodeBaseCrawler(htm, symbols=True)
        report = crawler.index(".")
        assert (report.unchanged, report.new) == (len(kept), 300 - len(kept))
        CodeBaseCrawler(whole, symbols=True).index(".")
        assert contents(htm) == contents(whole)
