"""What happens when the disk fails: nothing that was acknowledged is lost, and the error says what to do."""

import errno
import functools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crashing import Operation, State, do, state, states, workload
from stores import V, code, contents, names, rows, segment_files

from anam_py import _core
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, coding, files, jobs, merge, recovery, snapshot, tables, writer

LENGTH = 40
CASES = int(os.environ.get("ANAM_TEST_EXAMPLES", "10"))


class Disk:
    """Lets the n-th of the calls that reach the disk fail, and all after it while it is `failing_on`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, calls: dict[str, Any]) -> None:
        self.count = 0
        self.fail_at: int | None = None
        self.error = errno.ENOSPC
        self.lasting = False
        self.callers: list[int] = []
        for name, owner in calls.items():
            monkeypatch.setattr(owner, name, self._failing(getattr(owner, name)))

    def _failing(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **keywords: Any) -> Any:
            self.count += 1
            self.callers.append(threading.get_ident())
            if self.count == self.fail_at or (self.lasting and self.fail_at is not None and self.count > self.fail_at):
                raise OSError(self.error, os.strerror(self.error))
            return function(*arguments, **keywords)

        return call


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return the disk, whose writes and renames can be made to fail."""
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 8)
    monkeypatch.setattr(jobs, "BULK_ROWS", 20)
    monkeypatch.setattr(writer, "_RETRY_SECONDS", 0.0)
    return Disk(monkeypatch, {"write": os, "replace": os, "mkdir": os})


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """Return the disk, whose syncs can be made to fail."""
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 8)
    monkeypatch.setattr(jobs, "BULK_ROWS", 20)
    monkeypatch.setattr(merge, "choose", lambda _: [])  # it would be under way in another thread
    disk = Disk(monkeypatch, {"_sync": files})
    disk.error = errno.EIO
    return disk


def work(htm: HTMCore, operations: list[Operation]) -> tuple[State, list[str]]:
    """Do the operations; returns what the store should hold, and the errors of those that failed.

    After each that failed, the store must hold what it held before.
    """
    done: list[Operation] = []
    errors = []
    for operation in operations:
        try:
            do(htm, operation)
        except HTMError as error:
            errors.append(str(error))
            assert state(htm) == states(done)[-1]
        else:
            done.append(operation)
    return states(done)[-1], errors


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("lasting", [False, True])
def test_row_05_a_full_disk_fails_a_call_and_never_the_store(tmp_path: Path, disk: Disk, seed: int, lasting: bool) -> None:
    """At whichever call the disk is full; and once it is not, the store works on without being reopened."""
    operations = workload(seed, LENGTH)
    with HTMCore(tmp_path / "whole", 2, dimension=4) as htm:
        start = disk.count
        work(htm, operations)
        calls = disk.count - start
    assert calls > 50
    disk.lasting = lasting
    for number in random.Random(seed).sample(range(1, calls), min(CASES, calls - 1)):
        path = tmp_path / f"{number}"
        htm = HTMCore(path, 2, dimension=4)
        disk.count, disk.fail_at = 0, number
        expected, errors = work(htm, operations)
        assert all("disk is full" in error for error in errors)
        assert state(htm) == expected
        disk.fail_at = None
        htm.store_embedding("after", V, {})
        htm.delete("after")
        htm.compact()
        assert state(htm) == expected
        assert htm.verify() == []
        htm.close()
        with HTMCore(path) as htm:
            assert state(htm) == expected
            assert htm.verify() == []
            assert not list(path.rglob("*.partial-*"))


@pytest.mark.parametrize("seed", range(2))
def test_row_07_after_a_failed_sync_the_store_is_read_only_and_says_which_file(tmp_path: Path, syncs: Disk, seed: int) -> None:
    operations = workload(seed, LENGTH)
    with HTMCore(tmp_path / "whole", 2, dimension=4) as htm:
        start = syncs.count
        work(htm, operations)
        calls = syncs.count - start
    for number in random.Random(seed).sample(range(1, calls), min(CASES, calls - 1)):
        path = tmp_path / f"{number}"
        htm = HTMCore(path, 2, dimension=4)
        syncs.count, syncs.fail_at, syncs.callers = 0, number, []
        expected, errors = work(htm, operations)
        assert state(htm) == expected
        if syncs.count < number:  # flushes may come together, and take fewer syncs than before
            htm.close()
            continue
        assert all(str(path) in error for error in errors)
        for call in (
            lambda htm=htm: htm.store_embedding("after", V, {}),
            lambda htm=htm: htm.delete("key 1"),
            lambda htm=htm: htm.store_embeddings([f"{i}" for i in range(30)], np.tile(V, (30, 1))),
        ):
            with pytest.raises(HTMError, match=rf"read-only now.*{path.name}.*reopen"):
                call()
        htm.close()
        # Nothing was tried again. The other shard's first file may have been under way: its folder, itself, and its name.
        later = syncs.callers[number:]
        assert len(later) <= 3
        assert syncs.callers[number - 1] not in later
        syncs.fail_at = None
        with HTMCore(path) as htm:
            assert state(htm) == expected
            htm.store_embedding("after", V, {})
            assert htm.verify() == []


def test_row_08_short_writes_are_completed(store: HTMCore, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data)[:997]))
    store.store_embeddings([f"key {i}" for i in range(1500)], rows(rng, 1500))
    store.compact()
    assert len(store.search_similar(V, 2000, -1)) == 1500


def test_row_06_a_failed_flush_is_reported_and_tried_again(store: HTMCore, disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.count, disk.fail_at, disk.lasting = 0, 1, True
    for number in range(30):
        store.store_embedding(f"key {number}", V, {})
    store.delete("none")
    assert "disk is full" in store.stats()["background_error"]
    assert "disk is full" in caplog.text
    assert store.stats()["pending_rows"] == 30
    with pytest.raises(HTMError, match="disk is full"):
        store.flush()
    disk.fail_at = None
    store.store_embedding("key 30", V, {})
    store.delete("none")
    assert store.stats()["background_error"] is None
    assert store.stats()["pending_rows"] < 8
    assert len(store.search_similar(V, 100)) == 31


def test_row_06_merged_segments_that_cannot_be_removed_lose_nothing(
    open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    htm = open_store(shard_count=1)
    monkeypatch.setattr(merge, "choose", lambda _: [])
    for _ in range(2):
        htm.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50))
        htm.flush()
    before = contents(htm)

    def fail(folder: Path, dead: Any) -> None:
        raise HTMError(f"removing from {folder} failed")

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "unlink_dead", fail)
        htm.delete("none")
        htm.compact()
        assert contents(htm) == before
        assert "removing" in htm.stats()["background_error"]
    htm.clear_cache()
    assert contents(htm) == before
    htm.close()
    htm = open_store()
    assert contents(htm) == before
    assert len(segment_files(htm.storage_path)) == 1
    assert htm.stats()["quarantined"] == []


@pytest.fixture
def codes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every segment get codes, when it is told to."""
    monkeypatch.setattr(coding, "LEAST_ROWS", 1)
    monkeypatch.setattr(coding, "PLAN_ROWS", 1)
    monkeypatch.setattr(coding, "QUIET_SECONDS", 1e9)
    monkeypatch.setattr(coding, "_PATIENCE_SECONDS", 1e9)
    monkeypatch.setattr(_core, "choose_plan", lambda *_, **__: _core.Plan(4, 4, 4, None, detail=True))


@pytest.mark.usefixtures("codes")
@pytest.mark.parametrize("lasting", [False, True])
def test_row_06_a_disk_that_is_full_while_segments_are_coded_fails_nothing_else(
    tmp_path: Path, disk: Disk, rng: np.random.Generator, lasting: bool
) -> None:
    disk.lasting = lasting
    matrix, calls, tried = rows(rng, 30), 1, 0
    while tried < calls:
        disk.count, disk.fail_at = 0, None
        path = tmp_path / f"{tried}"
        with HTMCore(path, 2, dimension=4) as htm:
            htm.store_embeddings([f"key {i}" for i in range(30)], matrix)
            expected = contents(htm)
            disk.count, disk.fail_at = 0, tried or None
            code(htm)
            calls = disk.count if not tried else calls
            assert contents(htm) == expected
            assert len(htm.search_similar(V, 100, -1)) == 30
            assert htm.verify() == []
            assert ("disk is full" in (htm.stats()["background_error"] or "")) == bool(tried)
            assert not list(path.rglob("*.partial-*"))
            disk.fail_at = None
            code(htm)
            assert (htm.stats()["background_error"], htm.stats()["coded_rows"]) == (None, 30)
            assert htm.verify() == []
        tried += 1
    assert calls > 10


@pytest.mark.usefixtures("codes")
def test_row_07_after_a_sync_that_fails_while_segments_are_coded_the_store_is_read_only(
    tmp_path: Path, syncs: Disk, rng: np.random.Generator
) -> None:
    matrix = rows(rng, 30)
    for number in range(1, 5):  # of each of two files, and of their folders
        path = tmp_path / f"{number}"
        with HTMCore(path, 2, dimension=4) as htm:
            htm.store_embeddings([f"key {i}" for i in range(30)], matrix)
            syncs.count, syncs.fail_at = 0, number
            code(htm)
            assert syncs.count == number
            assert len(htm.search_similar(V, 100, -1)) == 30
            with pytest.raises(HTMError, match=rf"read-only now.*{path.name}.*reopen"):
                htm.store_embedding("after", V, {})
            syncs.fail_at = None
        with HTMCore(path) as htm:
            code(htm)
            assert htm.stats()["coded_rows"] == 30
            assert htm.verify() == []


@pytest.mark.parametrize("step", ["_publish", "_publish_flush", "_publish_merge"])
def test_memory_that_runs_out_right_after_a_commit_neither_repeats_nor_forgets_it(
    open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    monkeypatch.setattr(merge, "choose", lambda _: [])
    htm = open_store(shard_count=2)
    for number in range(2):
        htm.store_embeddings(
            [f"key {i}" for i in range(20 + number * 10)], rows(rng, 20 + number * 10), texts=["word"] * (20 + number * 10)
        )
        htm.flush()
    htm.store_embedding("key 3", V, {}, text="word")
    engine, failed = htm._writing(), []
    original = getattr(engine, step)

    def fail(*arguments: Any) -> None:
        if not failed:
            failed.append(arguments)
            raise MemoryError
        original(*arguments)

    monkeypatch.setattr(engine, step, fail)
    htm.store_embedding("key 4", V, {"n": 4}, text="word")
    htm.delete_many(["key 5", "key 6"])
    htm.flush()
    htm.compact()
    assert failed
    assert htm.history("key 4")[-1]["version"] == 3
    assert htm.get_embedding("key 4")["metadata"] == {"n": 4}
    assert len(htm) == 28 == len(htm.search_similar(V, 100, -1)) == len(htm.search_text("word", 100))
    assert htm.verify() == []
    before = contents(htm)
    htm.close()
    assert contents(open_store()) == before


@pytest.mark.parametrize("error", [MemoryError, sqlite3.OperationalError])
def test_row_06_a_checkpoint_that_fails_stops_no_put(
    store: HTMCore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: type[Exception]
) -> None:
    def fail(*_: object) -> None:
        raise error("for a test")

    with monkeypatch.context() as patch:
        patch.setattr(tables, "_CHECKPOINT_COMMITS", 1)
        patch.setattr(tables.Writer, "checkpoint", fail)
        for number in range(5):
            store.store_embedding(f"key {number}", V, {})
    assert "for a test" in caplog.text
    assert len(store) == 5
    assert store.verify() == []


def test_row_05_a_full_catalog_fails_the_put_and_reads_go_on(store: HTMCore) -> None:
    store.store_embedding("a", V, {}, text="word")
    sql = store._writing()._writer.sql
    (pages,) = sql.execute("PRAGMA page_count").fetchone()
    sql.execute(f"PRAGMA max_page_count = {pages + 2}")
    stored = {"a"}
    for number in range(10):
        try:
            store.store_embedding(f"key {number}", V, {"padding": "x" * 3000})
        except HTMError as error:
            message = str(error)
        else:
            stored.add(f"key {number}")
    assert "disk is full; free some space and try again" in message
    assert set(store) == stored
    assert set(names(store.search_similar(V, 100))) == stored
    with pytest.raises(HTMError, match="disk is full"):
        store.store_embeddings([f"bulk {i}" for i in range(1500)], np.tile(V, (1500, 1)))
    assert set(store) == stored
    sql.execute("PRAGMA max_page_count = 1073741823")
    store.store_embeddings([f"bulk {i}" for i in range(1500)], np.tile(V, (1500, 1)))
    assert len(store) == len(stored) + 1500
    assert store.stats()["quarantined"] == []


FULL = """
import subprocess, sys
import numpy as np
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore
disk, rng, stored = sys.argv[1], np.random.default_rng(0), {}
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
bulk = [f"bulk {i}" for i in range(3000)], rng.standard_normal((3000, 256), dtype=np.float32)

def full(call):
    try:
        call()
    except HTMError as error:
        assert "disk is full; free some space and try again" in str(error), error
        return True
    return False

def fill():
    for number in range(10_000):
        vector = rng.standard_normal(256, dtype=np.float32)
        htm.store_embedding(f"key {number}", vector, {"n": number})
        stored[f"key {number}"] = vector
        if number % 300 == 299:
            htm.flush()

htm = HTMCore(disk + "/store", dimension=256)
assert full(fill)
assert full(lambda: htm.store_embeddings(*bulk))
half = list(stored)[::2]
if not full(lambda: htm.delete_many(half)):
    stored = {key: vector for key, vector in stored.items() if key not in set(half)}

def check(more=0):
    assert set(htm) == {*stored, *bulk[0][:more]}
    assert all(htm.get_embedding(key)["embedding"]["values"].tobytes() == stored[key].tobytes() for key in stored)
    assert len(htm.search_similar(np.ones(256), 10_000, -1)) == len(stored) + more

check()
htm.close()
subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
htm = HTMCore(disk + "/store")
check()
htm.store_embeddings(*bulk)
htm.compact()
check(3000)
assert htm.verify() == []
htm.close()
print(len(stored))
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount a small disk")
def test_row_05_a_disk_that_is_really_full_fails_puts_and_recovers(tmp_path: Path) -> None:
    unshare = ["unshare", "--mount"]  # what is mounted inside goes with the process
    if subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    ended = subprocess.run([*unshare, sys.executable, "-c", FULL, tmp_path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) > 50


@pytest.mark.parametrize("failures", [1, 99], ids=["once", "and again"])
def test_memory_that_runs_out_right_after_a_commit_loses_nothing(
    open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, failures: int
) -> None:
    htm = open_store()
    htm.store_embedding("a", rng.standard_normal(4), {})
    append, left = snapshot.PendingRows.append, iter(range(failures))

    def fail_at_first(*arguments: Any) -> None:
        if next(left, None) is not None:
            raise MemoryError
        append(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(snapshot.PendingRows, "append", fail_at_first)
        if failures == 1:
            htm.store_embedding("b", rng.standard_normal(4), {})
            assert htm.search_similar(np.ones(4), 9, -1)
            htm.store_embedding("b", rng.standard_normal(4), {})
        else:
            with pytest.raises(MemoryError):
                htm.store_embedding("b", rng.standard_normal(4), {})
            with pytest.raises(HTMError, match="reopen it"):
                htm.store_embedding("b", rng.standard_normal(4), {})
    htm.close()
    htm = open_store()
    assert sorted(htm) == ["a", "b"]
    assert [version["version"] for version in htm.history("b")] == ([1, 2] if failures == 1 else [1])
    assert htm.verify() == []


FAILING_SYNC = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int fails(int descriptor) {
    char link[64] = "/proc/self/fd/", name[4096];
    char digits[16];
    int count = 0;
    do { digits[count++] = '0' + descriptor % 10; } while (descriptor /= 10);
    for (size_t at = strlen(link); count; ) { link[at++] = digits[--count]; link[at] = 0; }
    ssize_t size = readlink(link, name, sizeof name - 1);
    if (size < 0 || access(getenv("SYNCS_FAIL"), F_OK)) return 0;
    name[size] = 0;
    return strstr(name, "catalog.sqlite-wal") != NULL;
}

int fsync(int descriptor) {
    if (fails(descriptor)) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fsync"))(descriptor);
}

int fdatasync(int descriptor) {
    if (fails(descriptor)) { errno = EIO; return -1; }
    return ((int (*)(int)) dlsym(RTLD_NEXT, "fdatasync"))(descriptor);
}
"""

WITH_FAILING_SYNCS = """
import os, signal, sys
from pathlib import Path
import numpy as np
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore
htm = HTMCore(sys.argv[1], dimension=4)
for i in range(50):
    htm.store_embedding(f"key {i}", [1, 2, 3, i], {"n": i})
calls = {
    "put": lambda: htm.store_embedding("more", [1, 2, 3, 4], {}),
    "flush": htm.flush,
    "bulk": lambda: htm.store_embeddings([f"bulk {i}" for i in range(1500)], np.ones((1500, 4))),
    "merge": htm.compact,
}
if sys.argv[2] != "flush":
    htm.flush()
if sys.argv[2] == "merge":
    htm.delete_many([f"key {i}" for i in range(5)])
Path(os.environ["SYNCS_FAIL"]).touch()
for call in (calls[sys.argv[2]], calls["put"]):
    try:
        call()
    except HTMError as error:
        print("sync" in str(error))
print(len(htm) == len(htm.search_similar([1, 2, 3, 4], 9999, -1)))
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(sys.platform != "linux" or not shutil.which("cc"), reason="compiles a library that is loaded first")
@pytest.mark.parametrize("call", ["put", "flush", "bulk", "merge"])
def test_row_07_a_commit_that_could_not_be_synced_may_come_back_after_a_crash_but_never_without_its_files(
    tmp_path: Path, call: str
) -> None:
    """SQLite takes it back in memory, but its pages are in the log, and may be found there."""
    (tmp_path / "syncs.c").write_text(FAILING_SYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "syncs.so", tmp_path / "syncs.c", "-ldl"], check=True)
    ended = subprocess.run(
        [sys.executable, "-c", WITH_FAILING_SYNCS, tmp_path / "store", call],
        env={**os.environ, "LD_PRELOAD": str(tmp_path / "syncs.so"), "SYNCS_FAIL": str(tmp_path / "failing")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stdout) == (-9, "True\nTrue\nTrue\n"), ended.stderr
    with HTMCore(tmp_path / "store") as htm:
        expected = {f"key {i}" for i in range(5 if call == "merge" else 0, 50)}
        more = {"put": {"more"}, "bulk": {f"bulk {i}" for i in range(1500)}}.get(call, set())
        assert set(htm) in (expected, expected | more)
        assert len(htm.search_similar(V, 9999, -1)) == len(htm)
        assert htm.verify() == []
        htm.compact()
        assert htm.verify() == []


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
def test_row_08_calls_that_signals_interrupt_are_completed(store_path: Path) -> None:
    script = """
import signal, sys
import numpy as np
from anam_py.store import HTMCore
signals = 0
def count(*_):
    global signals
    signals += 1
signal.signal(signal.SIGALRM, count)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
rng = np.random.default_rng(0)
with HTMCore(sys.argv[1], dimension=256) as htm:
    for number in range(3):
        htm.store_embeddings([f"bulk {i}" for i in range(1500)], rng.standard_normal((1500, 256)))
        for i in range(50):
            htm.store_embedding(f"key {i}", rng.standard_normal(256), {"n": number})
        htm.flush()
    htm.compact()
    assert len(htm.search_similar(np.ones(256), 9999, -1)) == 1550
    assert htm.verify() == []
signal.setitimer(signal.ITIMER_REAL, 0)
print(signals > 50)
"""
    ended = subprocess.run([sys.executable, "-c", script, store_path], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "True\n"), ended.stderr
