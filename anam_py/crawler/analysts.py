"""Analysing files in other processes: a parser keeps the interpreter's lock, so that threads would take turns.

::

    Crawl ──► Analysts ──(thread)──► _Analyst ══ stdin, stdout: frames of marshal ══► serve()

What is to be stored of a file is a pure function of its bytes. Whatever becomes of a process, this one can do its work.
"""

import contextlib
import marshal
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, NamedTuple, TypeAlias

from anam_py.crawler.analysis import analyse
from anam_py.crawler.drafts import Draft, drafts_of
from anam_py.crawler.reading import Unindexable
from anam_py.crawler.report import Reason

__all__ = ["Analysts", "Outcome", "Task", "examined"]

# What a task is sent as: its fields, which marshal can write.
_Frame: TypeAlias = Any

_LENGTH_BYTES = 8
_READ_BYTES = 1024 * 1024
# tree-sitter's binding keeps what it is given piece by piece, for good: a process that was given so much makes way for another.
_MOST_GIVEN = 32 * 1024 * 1024
# What a process begins with when it is ready.
_READY = b"\0anam analyst\0"
_PACKAGES = Path(__file__).parents[2]
# The child finds what this process finds, but nothing where this process only happens to be: that may be what is crawled.
_COMMAND = (
    "import marshal, sys; sys.path[:] = marshal.load(sys.stdin.buffer); from anam_py.crawler import analysts; analysts.serve()"
)


class Task(NamedTuple):
    """A file to analyse: the arguments of `analyse` and `drafts_of`."""

    data: bytes
    mtime: float
    key: str
    relative: str
    max_line_bytes: int
    embedder: str
    symbols: bool


Outcome: TypeAlias = list[Draft] | Unindexable


def examined(task: Task) -> Outcome:
    """Return what is to be stored of a file, its own entry first, or why it cannot be taken in."""
    try:
        analysis = analyse(task.data, task.mtime, task.key, task.relative, task.max_line_bytes)
    except Unindexable as error:
        return error
    return drafts_of(task.key, analysis, task.embedder, symbols=task.symbols)


class Analysts:
    """Processes that analyse files; they end with `close`, or with this process.

    Parameters
    ----------
    count : int
        How many; they are started when there is something for them to do.
    """

    def __init__(self, count: int) -> None:
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="anam-analyst")
        self._own = threading.local()
        self._analysts: list[_Analyst] = []
        self._process = os.getpid()
        self._starting = threading.Lock()
        self._is_closed = False

    def submit(self, tasks: Sequence[Task]) -> "Future[list[Outcome]]":
        """Have files analysed by one process; the outcomes come in the order of the tasks."""
        try:
            return self._threads.submit(self._examine, tasks)
        except RuntimeError:  # there are too many threads, or the interpreter is about to end
            done: Future[list[Outcome]] = Future()
            done.set_result(list(map(examined, tasks)))
            return done

    def close(self) -> None:
        """Drop what is not done, and end the processes; in a forked child, whose they are not, do nothing."""
        if os.getpid() != self._process:
            return
        with self._starting:
            self._is_closed = True
        self._threads.shutdown(wait=False, cancel_futures=True)
        for analyst in self._analysts:
            analyst.end()
        self._threads.shutdown()

    def _examine(self, tasks: Sequence[Task]) -> list[Outcome]:
        if not hasattr(self._own, "analyst"):
            self._own.analyst = self._started()
        analyst: _Analyst | None = self._own.analyst
        if analyst is not None and analyst.given > _MOST_GIVEN:
            analyst.end()
            analyst = self._own.analyst = self._started()
        outcomes = None if analyst is None else analyst.examine(tasks)
        if outcomes is None and not self._is_closed:
            self._own.analyst = None
            return list(map(examined, tasks))
        return outcomes or []

    def _started(self) -> "_Analyst | None":
        with self._starting:  # or one that is started while others are being ended would not be
            analyst = None if self._is_closed else _Analyst.started()
            if analyst is not None:
                self._analysts.append(analyst)
            return analyst


class _Analyst:
    """One process, and the pipes to it."""

    def __init__(self, process: "subprocess.Popen[bytes]", tasks: IO[bytes], outcomes: IO[bytes]) -> None:
        self._process = process
        self._tasks = tasks
        self._outcomes = outcomes
        self._is_ready = False
        self.given = 0

    @classmethod
    def started(cls) -> "_Analyst | None":
        """Start a process; None where none can be started that would be a Python like this one."""
        if getattr(sys, "frozen", False) or not Path(sys.executable or "").stem.lower().startswith("python"):
            return None
        try:
            process = subprocess.Popen(  # noqa: S603 - this interpreter, and code of ours
                [sys.executable, "-I", "-c", _COMMAND],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,  # a buffer has a lock, which would stay taken in a forked child
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return None
        if process.stdin is None or process.stdout is None:
            return None
        analyst = cls(process, process.stdin, process.stdout)
        with contextlib.suppress(OSError):
            _write(process.stdin, marshal.dumps([*_search_path(), str(_PACKAGES)]))
        return analyst

    def examine(self, tasks: Sequence[Task]) -> list[Outcome] | None:
        """Return the outcomes of tasks; None if the process has ended."""
        try:
            if not self._is_ready:
                self._await()
            self.given += sum(len(task.data) for task in tasks)
            _send(self._tasks, [tuple(task) for task in tasks])
            frames = _receive(self._outcomes)
        except (OSError, ValueError, EOFError):  # ValueError: it was closed
            return None
        return [_unpacked(frame) for frame in frames]

    def _await(self) -> None:
        """Pass over what else a Python writes when it starts: files of its site may print something."""
        seen = b""
        while not seen.endswith(_READY):
            seen = seen[-len(_READY) :] + _read(self._outcomes, 1)
        self._is_ready = True

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._tasks, self._outcomes):
            with contextlib.suppress(OSError, ValueError):
                pipe.close()


def serve() -> None:
    """Analyse what comes in on standard input until that ends: what a process of `Analysts` does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # an interrupted terminal tells everyone in it; whoever asks will end this
    tasks, outcomes = sys.stdin.buffer, sys.stdout.buffer
    with contextlib.suppress(EOFError, BrokenPipeError):
        _write(outcomes, _READY)
        while True:
            _send(outcomes, [_packed(examined(Task(*frame))) for frame in _receive(tasks)])


def _search_path() -> list[str]:
    """Return where this process finds modules; paths that are no str are for hooks of its own."""
    paths: list[object] = [*sys.path]
    return [path for path in paths if isinstance(path, str) and Path(path).is_absolute()]


def _send(pipe: IO[bytes], frames: list[_Frame]) -> None:
    content = marshal.dumps(frames)
    _write(pipe, len(content).to_bytes(_LENGTH_BYTES, "little") + content)


def _receive(pipe: IO[bytes]) -> list[_Frame]:
    length = int.from_bytes(_read(pipe, _LENGTH_BYTES), "little")
    frames: list[_Frame] = marshal.loads(_read(pipe, length))  # noqa: S302 - of a process that this one has started
    return frames


def _write(pipe: IO[bytes], content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[pipe.write(rest) :]
    pipe.flush()


def _read(pipe: IO[bytes], length: int) -> bytes:
    content = bytearray()
    while len(content) < length:
        part = pipe.read(min(length - len(content), _READ_BYTES))
        if not part:
            raise EOFError
        content += part
    return bytes(content)


def _packed(outcome: Outcome) -> _Frame:
    return (str(outcome.reason), outcome.detail) if isinstance(outcome, Unindexable) else [tuple(draft) for draft in outcome]


def _unpacked(frame: _Frame) -> Outcome:
    return Unindexable(Reason(frame[0]), frame[1]) if isinstance(frame, tuple) else [Draft(*fields) for fields in frame]
