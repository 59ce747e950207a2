"""Processes that write to a store until they are killed, and what must be there afterwards.

Run as a script, this is the parent of those processes: it has imported everything, so that a new one is a fork away. It reads
jobs from its standard input, one JSON object a line, and passes on what the process writes to its standard output.
"""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import h5py  # noqa: F401 - so that no process has to
import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py.store import HTMCore, catalog, coding, files, jobs, merge, tables, writer

DIMENSION = 4
FLUSH_ROWS, BULK_ROWS = 8, 20

# What a store holds: each key's version, and the number its vector, metadata and text were made of.
State = dict[str, tuple[int, int]]


class Operation(NamedTuple):
    """One call: what it does, to which keys, and the number that what it stores is made of."""

    kind: str
    keys: tuple[str, ...] = ()
    number: int = 0


INSERT = Operation("bulk", tuple(f"new {i}" for i in range(BULK_ROWS + 1)), 100)
DELETE = Operation("delete", tuple(f"0 {i}" for i in range(6)))


def before_insert(sources: int) -> list[Operation]:
    """Return operations after which each shard has so many segments to merge: a single one because rows of it are dead."""
    stored = [Operation("many", tuple(f"{number} {i}" for i in range(10)), number) for number in range(sources)]
    operations = [operation for many in stored for operation in (many, Operation("flush"))]
    return [*operations, DELETE] if sources == 1 else operations


def workload(seed: int, length: int, prefix: str = "") -> list[Operation]:
    """Return operations that make a store flush, merge and overwrite all the time."""
    chance = random.Random(f"{seed} {prefix}")
    names = [f"{prefix}key {i}" for i in range(30)]
    kinds = ["put"] * 12 + ["many"] * 3 + ["bulk"] * 2 + ["delete"] * 4 + ["flush", "compact"]
    operations = []
    counts = {"put": (1, 1), "many": (1, 6), "bulk": (BULK_ROWS + 1, 30), "delete": (1, 15)}
    for number in range(length):
        kind = chance.choice(kinds)
        count = chance.randint(*counts.get(kind, (0, 0)))
        operations.append(Operation(kind, tuple(chance.sample(names, count)), number))
    return operations


def states(operations: Sequence[Operation]) -> list[State]:
    """Return what a store holds before the first operation, and after each."""
    versions: dict[str, int] = {}
    found: list[State] = [{}]
    for kind, keys, number in operations:
        state = dict(found[-1])
        for key in keys:
            state.pop(key, None)
            if kind != "delete":
                versions[key] = versions.get(key, 0) + 1
                state[key] = versions[key], number
        found.append(state)
    return found


def state(htm: HTMCore) -> State:
    """Return what a store holds; raises AssertionError where an entry is not of one piece."""
    found: State = {}
    keys = list(htm)
    for key, record in zip(keys, htm.get_embeddings(keys), strict=True):
        assert record is not None
        number = record["metadata"]["n"]
        assert record["embedding"]["values"].tobytes() == vector(key, number).tobytes()
        assert htm.get_text(key) == text(number)
        history = htm.history(key)
        assert [version["version"] for version in history] == list(range(1, record["version"] + 1))
        assert history[-1]["metadata"] == {"n": number}
        found[key] = record["version"], number
    assert len(htm) == len(keys)
    assert {key for key, _, _ in htm.search_similar(np.ones(DIMENSION), 10_000, -1)} == set(keys)
    assert {key for key, _, _ in htm.search_text("word", 10_000)} == {key for key in keys if htm.get_text(key)}
    return found


def vector(key: str, number: int) -> NDArray[np.float32]:
    return np.random.default_rng([zlib.crc32(key.encode()), number]).standard_normal(DIMENSION, dtype=np.float32)


def text(number: int) -> str | None:
    return f"word {number}" if number % 2 else None


# ---- in the process that gets killed ----


def write(path: str, seed: int, length: int, threads: int = 1, durability: str = "full", kill_at: int | None = None) -> None:
    """Do a workload in each of some threads, and say so after each operation; at the end, how much the disk was asked to do."""
    writer._FLUSH_ROWS, jobs.BULK_ROWS = FLUSH_ROWS, BULK_ROWS
    code_everything()
    steps = _Steps(kill_at)
    htm = HTMCore(path, 2, dimension=DIMENSION, durability=durability)
    _say("opened")

    def work(name: int) -> None:
        for operation in workload(seed, length, _prefix(name, threads)):
            do(htm, operation)
            _say(f"done {name}")

    if threads == 1:
        work(0)
    else:
        workers = [threading.Thread(target=work, args=(name,)) for name in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    htm.close()
    _say(f"steps {steps.count}")


def code_everything() -> None:
    """Let the smallest segments get codes, at once, and plans be chosen often."""
    coding.LEAST_ROWS, coding.PLAN_ROWS, coding.GROWTH, coding.QUIET_SECONDS = 1, 8, 2, 0.0
    _core.choose_plan = lambda *_, **__: _core.Plan(DIMENSION, DIMENSION, 4, None, detail=True)


def code(path: str, kill_at: int | None = None) -> None:
    """Open a store, code its segments and close it."""
    code_everything()
    steps = _Steps(kill_at)
    htm = HTMCore(path)
    htm._writing().coder.finish()
    htm.close()
    _say(f"steps {steps.count}")


def open_(path: str, kill_at: int | None = None) -> None:
    """Open a store and close it."""
    steps = _Steps(kill_at)
    HTMCore(path, 2, dimension=DIMENSION).close()
    _say(f"steps {steps.count}")


def back_up(path: str, target: str, *, link: bool = False, kill_at: int | None = None) -> None:
    """Back a store up."""
    with HTMCore(path) as htm:
        steps = _Steps(kill_at)
        htm.backup(target, link=link)
        _say(f"steps {steps.count}")


def repair(path: str, kill_at: int | None = None) -> None:
    """Repair a store."""
    steps = _Steps(kill_at)
    HTMCore.repair(path)
    _say(f"steps {steps.count}")


def insert(path: str, sources: int, *, commit: bool) -> None:
    """Do what comes before an insert of many rows, merge each shard's segments, and insert; be killed then.

    Neither merge nor insert is committed unless `commit`. Says how long the log is after each flush.
    """
    jobs.BULK_ROWS = BULK_ROWS
    merge.Merger._merge_one = lambda _: False
    tables.Writer.shrink = lambda _: None  # which would empty the log
    htm = HTMCore(path, 2, dimension=DIMENSION)
    for operation in before_insert(sources):
        do(htm, operation)
        if operation.kind == "flush":
            _say(f"log {Path(path, 'catalog.sqlite-wal').stat().st_size}")
    if not commit:
        writer.WritingEngine.replace_segments = lambda *_: None
        writer.WritingEngine._listed = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
    if sources:
        htm.compact()
    do(htm, INSERT)
    os.kill(os.getpid(), signal.SIGKILL)


def _prefix(name: int, threads: int) -> str:
    return f"{name}/" if threads > 1 else ""


def do(htm: HTMCore, operation: Operation) -> None:
    kind, keys, number = operation
    match kind:
        case "put":
            (key,) = keys
            htm.store_embedding(key, vector(key, number), {"n": number}, text=text(number))
        case "many" | "bulk":
            matrix = np.stack([vector(key, number) for key in keys])
            htm.store_embeddings(keys, matrix, [{"n": number}] * len(keys), texts=[text(number)] * len(keys))
        case "delete":
            htm.delete_many(keys)
        case "flush":
            htm.flush()
        case "compact":
            htm.compact()


class _Steps:
    """Counts what the process does to its disk, and kills it right before step `kill_at`."""

    def __init__(self, kill_at: int | None) -> None:
        self.count = 0
        self._kill_at = kill_at
        for name in ("open", "write", "fsync", "replace", "unlink", "mkdir", "link"):
            setattr(os, name, self._counted(getattr(os, name)))
        files._sync = os.fsync
        connect_writer = catalog.connect_writer

        def traced(*arguments: Any) -> Any:
            found = connect_writer(*arguments)
            found.set_trace_callback(self._count)
            return found

        catalog.connect_writer = traced

    def _counted(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **keywords: Any) -> Any:
            self._count()
            return function(*arguments, **keywords)

        return counted

    def _count(self, *_: object) -> None:
        self.count += 1
        if self.count == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


_write = os.write


def _say(line: str) -> None:
    _write(1, f"{line}\n".encode())


def _serve() -> None:
    for line in sys.stdin:
        job = json.loads(line)
        pid = os.fork()
        if not pid:
            os.close(0)
            globals()[job.pop("function")](**job)
            os._exit(0)
        _say(f"pid {pid}")
        _, status = os.waitpid(pid, 0)
        _say(f"ended {os.waitstatus_to_exitcode(status)}")


# ---- in the test ----


class Nursery:
    """Starts processes that may be killed."""

    def __enter__(self) -> Self:
        self._parent = subprocess.Popen(
            [sys.executable, "-W", "error", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()

    def start(self, function: Callable[..., None], path: Path, **arguments: Any) -> Iterator[str]:
        """Run a function of this module in a new process; yields the lines that it writes, and how it ended."""
        job = {"function": function.__name__, "path": str(path), **arguments}
        self._parent.stdin.write(json.dumps(job) + "\n")
        while line := self._parent.stdout.readline():
            yield line.rstrip("\n")
            if line.startswith("ended"):
                return
        raise AssertionError("the processes' parent ended")


def check(path: Path, seed: int, length: int, done: Sequence[int]) -> None:
    """Assert that a store holds what its threads' `done` operations made of it, the next one wholly or not at all.

    Afterwards the store has been written to, compacted and opened again.
    """
    with HTMCore(path, 2, dimension=DIMENSION) as htm:
        assert htm.verify() == []
        found = state(htm)
        for name, count in enumerate(done):
            prefix = _prefix(name, len(done))
            possible = states(workload(seed, length, prefix))[count : count + 2]
            assert {key: value for key, value in found.items() if key.startswith(prefix)} in possible
        htm.store_embedding("after", vector("after", 1), {"n": 1}, text=text(1))
        htm.compact()
        found = state(htm)
        assert htm.verify() == []
    with HTMCore(path, read_only=True) as htm:
        assert state(htm) == found
        assert htm.verify() == []


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    _serve()
