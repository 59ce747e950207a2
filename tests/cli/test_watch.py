"""What `anam watch` does while somebody works on the code."""

import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from commands import run, start, write_files

from anam_py import HTMCore

if TYPE_CHECKING:
    import subprocess


@contextmanager
def watching(folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run the command, once it has begun to watch, and end it as somebody would who has seen enough."""
    with start("watch", cwd=folder) as process:
        assert process.stderr is not None
        assert "Watching ." in process.stderr.readline()
        try:
            yield process
            process.send_signal(signal.SIGINT)
            assert process.wait(30) == 0
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().partition("  ")[2].partition(" (")[0]


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")
def test_what_changes_is_found_without_anybody_indexing_it(indexed: Path) -> None:
    with watching(indexed) as process:
        write_files(indexed, {"src/birds.py": "def count_the_herons(pond):\n    return len(pond.herons)\n"})
        assert said(process) == "1 new, 0 changed, 0 forgotten"
        assert run("search", "count the herons", "-n", "1", "--json").paths == ["src/birds.py"]
        write_files(indexed, {"src/birds.py": "def count_the_storks(pond):\n    return len(pond.storks)\n"})
        assert said(process) == "0 new, 1 changed, 0 forgotten"
        assert run("search", "storks", "-n", "1", "--json").paths == ["src/birds.py"]
        shutil.rmtree(indexed / "src")
        assert said(process).endswith("forgotten")
        assert "src/birds.py" not in run("search", "storks", "--json").paths
    with HTMCore(indexed / ".anam") as htm:
        assert htm.verify() == []


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent there")
def test_what_changed_before_is_indexed_first_and_others_may_write_meanwhile(indexed: Path) -> None:
    write_files(indexed, {"early.py": "def before_anybody_watched():\n    pass\n"})
    with watching(indexed) as process:
        assert said(process) == "1 new, 0 changed, 0 forgotten"
        with HTMCore(indexed / ".anam") as htm:
            htm.store_embedding("mine", [1.0] * 768, {})
            write_files(indexed, {"late.py": "def while_another_wrote():\n    pass\n"})
        assert said(process) == "1 new, 0 changed, 0 forgotten"


def test_what_was_never_indexed_is_not_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run("watch")
    assert result.status == 2
    assert "anam index" in result.err
    HTMCore(tmp_path / "mine").close()
    result = run("watch", "--store", "mine")
    assert result.status == 2
    assert "nothing has been indexed in mine yet; begin with: anam index" in result.err


def test_what_is_missing_is_named(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "watchfiles", None)
    result = run("watch")
    assert result.status == 2
    assert 'pip install "anam_py[watch]"' in result.err
