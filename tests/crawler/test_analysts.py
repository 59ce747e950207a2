"""Files are analysed by other processes where there are many: nothing but the time it takes tells."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trees import make_tree

from anam_py import CodeBaseCrawler, HTMCore, configure_ffi
from anam_py.crawler import analysts, lookahead
from anam_py.store import Ledger

FILES: dict[str, str | bytes] = {
    **{
        f"a{number:03}.py": f'"""Module {number}."""\n\ndef f{number}(x):\n    return x if x else {number}\n'
        for number in range(150)
    },
    "broken.py": "def f(:\n    class",
    "latin.py": "# coding: latin-1\né = 1\n".encode("latin-1"),
    "replaced.py": b"x = '\xff'\n",
    "binary.py": b"\0" * 100,
    "long.js": "x" * 30_000,
    "empty.py": "",
    "wordless.py": "()\n",
    "notes.md": "# Heading\n\nwords\n",
    "lib.rs": "/// Adds.\npub fn add(a: u8) -> u8 { a }\n",
}


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Let every crawl start processes, and return the list of those that were."""
    started: list[Any] = []
    start = analysts._Analyst.started

    def watched() -> Any:
        analyst = start()
        started.append(analyst._process if analyst else None)
        return analyst

    monkeypatch.setattr(analysts._Analyst, "started", watched)
    monkeypatch.setattr(lookahead, "_WORTH_PROCESSES", 1)
    monkeypatch.setattr(lookahead, "_GROUP_FILES", 4)
    configure_ffi({"thread_pool_size": 2})
    return started


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[HTMCore]:
    """Return another store, for a crawl without other processes."""
    with HTMCore(tmp_path / "alone", durability="normal") as store:
        yield store


def contents(htm: HTMCore) -> dict[str, Any]:
    records = {key: htm.get_embedding(key) for key in htm}
    return {
        key: (record["embedding"]["values"].tobytes(), record["metadata"], htm.get_text(key))
        for key, record in records.items()
        if record
    }


def outcome(crawler: CodeBaseCrawler) -> dict[str, Any]:
    return dataclasses.asdict(crawler.last_report) | {"seconds": 0}


def test_the_index_is_the_same_whoever_analyses(tree: Path, htm: HTMCore, alone: HTMCore, processes: list[Any]) -> None:
    make_tree(tree, FILES)
    crawler, other = CodeBaseCrawler(htm, symbols=True), CodeBaseCrawler(alone, symbols=True)
    results = crawler.crawl_directory(".")
    assert len(processes) == 2
    assert all(process.returncode == -signal.SIGKILL for process in processes)  # none had ended by itself, by an error
    configure_ffi({"thread_pool_size": 1})
    expected = other.crawl_directory(".")
    assert len(processes) == 2
    assert [(each["path"], each["content"], each["metadata"]) for each in results] == [
        (each["path"], each["content"], each["metadata"]) for each in expected
    ]
    assert contents(htm) == contents(alone)
    assert outcome(crawler) == outcome(other)
    moments = {key: row._replace(mtime_ns=0) for key, row in Ledger(htm).files().items()}
    assert moments == {key: row._replace(mtime_ns=0) for key, row in Ledger(alone).files().items()}


def test_processes_that_are_killed_take_nothing_with_them(tree: Path, htm: HTMCore, alone: HTMCore, processes: list[Any]) -> None:
    make_tree(tree, FILES)

    def kill(done: int, *_: object) -> None:
        if done in (10, 90):
            for process in processes:
                process.kill()

    report = CodeBaseCrawler(htm, symbols=True).index(".", progress_callback=kill)
    assert report.complete
    configure_ffi({"thread_pool_size": 1})
    CodeBaseCrawler(alone, symbols=True).index(".")
    assert contents(htm) == contents(alone)


def test_processes_make_way_for_others_before_they_hold_too_much(
    tree: Path, htm: HTMCore, alone: HTMCore, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysts, "_MOST_GIVEN", 2_000)
    make_tree(tree, FILES)
    assert CodeBaseCrawler(htm, symbols=True).index(".").complete
    assert len(processes) > 4
    assert all(process.returncode == -signal.SIGKILL for process in processes)
    configure_ffi({"thread_pool_size": 1})
    CodeBaseCrawler(alone, symbols=True).index(".")
    assert contents(htm) == contents(alone)


@pytest.mark.parametrize("ends", ["by itself", "by its caller", "by an error"])
def test_no_process_outlives_the_crawl(ends: str, tree: Path, htm: HTMCore, processes: list[Any]) -> None:
    make_tree(tree, FILES)

    def watch(done: int, *_: object) -> None:
        if ends == "by an error" and done == 50:
            raise LookupError

    files = CodeBaseCrawler(htm).iter_crawl(".", progress_callback=watch)
    with contextlib.suppress(LookupError):
        for file in files:
            if ends == "by its caller" and file["path"] == "a000.py":
                break
    files.close()  # type: ignore[attr-defined]
    assert len(processes) == 2
    assert all(process.returncode is not None for process in processes)


def test_little_is_analysed_without_other_processes(
    tree: Path, htm: HTMCore, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, FILES)
    monkeypatch.undo()
    monkeypatch.chdir(tree)
    monkeypatch.setattr(analysts._Analyst, "started", lambda: pytest.fail("a process was started"))
    configure_ffi({"thread_pool_size": 2})
    assert CodeBaseCrawler(htm).index(".").complete
    monkeypatch.setattr(lookahead, "_WORTH_PROCESSES", 1)
    report = CodeBaseCrawler(htm).index(".")
    assert report.unchanged == report.files


@pytest.mark.parametrize("program", ["frozen", "not python", "not there"])
def test_a_program_that_is_no_python_analyses_by_itself(
    program: str, tree: Path, htm: HTMCore, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, FILES)
    if program == "frozen":
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    else:
        monkeypatch.setattr(sys, "executable", str(tree / ("application" if program == "not python" else "python3")))
    report = CodeBaseCrawler(htm).index(".")
    assert report.complete
    assert report.files == len(FILES) - 2
    assert set(processes) == {None}


def test_what_is_crawled_is_never_run(tree: Path, htm: HTMCore, processes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    trap = "open('sprung', 'w').close()\n"
    make_tree(
        tree, {**FILES, **{f"{name}.py": trap for name in ("anam_py", "hashlib", "marshal", "sitecustomize", "tree_sitter")}}
    )
    monkeypatch.syspath_prepend("")
    monkeypatch.setenv("PYTHONPATH", str(tree))
    assert CodeBaseCrawler(htm).index(".").complete
    assert len(processes) == 2
    assert not (tree / "sprung").exists()


TASK = analysts.Task(b"def f():\n    return 1\n" * 500, 0.0, "a.py", "a.py", 20_000, "any", symbols=True)


@pytest.fixture
def one() -> Iterator[analysts.Analysts]:
    """Return what has one process."""
    found = analysts.Analysts(1)
    yield found
    found.close()


def test_paths_of_modules_that_are_no_strings_are_passed_over(
    one: analysts.Analysts, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path, Path("/elsewhere"), None])
    assert one.submit([TASK]).result() == [analysts.examined(TASK)]
    assert processes[0].poll() is None


@pytest.mark.parametrize("noise", ["x", "hello\n", "a banner of several words\n", "\0anam"])
def test_what_a_python_prints_when_it_starts_is_passed_over(
    noise: str, one: analysts.Analysts, processes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysts, "_COMMAND", f"print({noise!r}, end='', flush=True); {analysts._COMMAND}")
    assert one.submit([TASK]).result(30) == [analysts.examined(TASK)]
    assert processes[0].poll() is None


def test_a_process_that_is_being_started_while_others_are_ended_ends_too(
    one: analysts.Analysts, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, started, begun = analysts._Analyst.started, [], threading.Event()

    def slow() -> Any:
        started.append(start())
        begun.set()
        time.sleep(0.2)
        return started[0]

    monkeypatch.setattr(analysts._Analyst, "started", slow)
    one.submit([TASK])
    begun.wait()
    one.close()
    assert started[0]._process.returncode is not None


def test_without_threads_files_are_analysed_all_the_same(one: analysts.Analysts, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        assert one.submit([TASK]).result(0) == [analysts.examined(TASK)]


FORKING = """
import gc, os, signal, sys
from anam_py.crawler.analysts import Analysts, Task
found = Analysts(1)
task = Task(b"def f():\\n    return 1\\n" * 10_000, 0.0, "a.py", "a.py", 20_000, "any", True)
found.submit([task]).result()
under_way = found.submit([task] * 4)
while not under_way.running():
    pass
process = os.fork()
if not process:
    signal.alarm(20)
    if sys.argv[1] == "closes":
        found.close()
    del found
    gc.collect()
    sys.exit()
status = os.waitpid(process, 0)[1]
print(status, len(under_way.result()), found._analysts[0]._process.poll())
found.close()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("child", ["closes", "exits"])
def test_a_forked_child_leaves_the_processes_to_its_parent(child: str) -> None:
    command = [sys.executable, "-W", "ignore", "-c", FORKING, child]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "0 4 None\n"
