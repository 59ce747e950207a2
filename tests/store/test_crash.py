"""What is there after a crash: everything that was acknowledged, and of the call under way all or nothing."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import crashing
import pytest
from crashing import Nursery
from stores import codes_files, segment_files

from anam_py.store import HTMCore

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")

KILLS = int(os.environ.get("ANAM_TEST_KILLS", "15"))
LENGTH = 60
Tried = Callable[[str, int], None]


@pytest.fixture(scope="module", name="nursery")
def start_nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def steps(lines: list[str]) -> int:
    """Return how many steps a process took that nobody killed."""
    *_, last, end = lines
    assert end == "ended 0"
    return int(last.removeprefix("steps "))


def killed(nursery: Nursery, path: Path, **arguments: int | str | None) -> tuple[bool, int]:
    """Run a workload that is killed at a step; return whether it had opened the store, and how many operations it had done."""
    lines = list(nursery.start(crashing.write, path, **arguments))
    assert lines[-1] in ("ended -9", "ended 0")  # threads may take a step more or less than the time before
    return "opened" in lines, lines.count("done 0")


@pytest.mark.soak
@pytest.mark.parametrize("number", range(KILLS))
def test_row_01_a_process_killed_at_any_moment_loses_nothing_that_was_acknowledged(
    nursery: Nursery, store_path: Path, number: int, record_property: Tried
) -> None:
    chance = random.Random(number)
    threads, durability, kill_after = chance.choice([1, 1, 3]), chance.choice(["full", "normal"]), chance.randrange(LENGTH)
    done, pid = [0] * threads, 0
    for line in nursery.start(crashing.write, store_path, seed=number, length=LENGTH, threads=threads, durability=durability):
        what, _, value = line.partition(" ")
        if what == "pid":
            pid = int(value)
        elif what == "done":
            done[int(value)] += 1
            if sum(done) == kill_after + 1:
                moment = time.perf_counter() + chance.uniform(0, 0.004)
                while time.perf_counter() < moment:
                    pass
                crashing.kill(pid)
    record_property("kills at a random moment", 1)
    record_property("operations acknowledged before a kill", sum(done))
    crashing.check(store_path, number, LENGTH, done)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(max(2, KILLS // 8)))
def test_row_02_a_process_killed_at_any_step_on_its_way_to_the_disk_loses_nothing(
    nursery: Nursery, tmp_path: Path, seed: int, record_property: Tried
) -> None:
    length = 25
    total = steps(list(nursery.start(crashing.write, tmp_path / "all", seed=seed, length=length)))
    for step in random.Random(seed).sample(range(1, total), 20):
        path = tmp_path / f"killed at {step}"
        opened, done = killed(nursery, path, seed=seed, length=length, kill_at=step)
        assert opened or not done
        record_property("kills at a chosen step", 1)
        record_property("operations acknowledged before a kill", done)
        crashing.check(path, seed, length, [done])


def test_row_02_a_process_killed_while_it_creates_a_store_leaves_one_that_opens(nursery: Nursery, tmp_path: Path) -> None:
    total = steps(list(nursery.start(crashing.open_, tmp_path / "all")))
    for step in range(1, total + 1):
        path = tmp_path / f"killed at {step}"
        *_, end = nursery.start(crashing.open_, path, kill_at=step)
        assert end == "ended -9"
        crashing.check(path, 0, 0, [0])
        assert list(path.glob("*.partial-*")) == list(path.glob("quarantine/*")) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(max(2, KILLS // 8)))
def test_row_02_a_process_killed_while_it_recovers_a_store_leaves_one_that_recovers(
    nursery: Nursery, tmp_path: Path, seed: int, record_property: Tried
) -> None:
    length = 40
    total = steps(list(nursery.start(crashing.write, tmp_path / "all", seed=seed, length=length)))
    before, chance = tmp_path / "before", random.Random(seed)
    _, done = killed(nursery, before, seed=seed, length=length, kill_at=chance.randrange(total // 3, total))
    shard = before / "shard-0000"
    (shard / "seg-7-0123abcd.h5").write_bytes(b"a segment that no commit named")
    (shard / "seg-8-0123abcd.h5.partial-01234567").write_bytes(b"half")
    shutil.copytree(before, tmp_path / "copy")
    recovering = steps(list(nursery.start(crashing.open_, tmp_path / "copy")))
    for step in chance.sample(range(1, recovering + 1), min(recovering, 10)):
        path = tmp_path / f"killed at {step}"
        shutil.copytree(before, path)
        list(nursery.start(crashing.open_, path, kill_at=step))
        record_property("kills during recovery", 1)
        crashing.check(path, seed, length, [done])
        assert b"a segment that no commit named" in [file.read_bytes() for file in path.glob("quarantine/*")]
        assert list(path.rglob("*.partial-*")) == []


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(max(2, KILLS // 8)))
def test_row_02_a_process_killed_while_it_codes_segments_leaves_codes_that_are_whole_or_made_anew(
    nursery: Nursery, tmp_path: Path, seed: int, record_property: Tried
) -> None:
    length = 40
    before, chance = tmp_path / "before", random.Random(seed)
    steps(list(nursery.start(crashing.write, before, seed=seed, length=length)))
    for file in codes_files(before):
        file.unlink()
    if seed % 2:  # as if there had never been any
        with closing(sqlite3.connect(before / "catalog.sqlite")) as sql, sql:
            sql.execute("DELETE FROM derived")
            sql.execute("DELETE FROM rotations")
    shutil.copytree(before, tmp_path / "all")
    total = steps(list(nursery.start(crashing.code, tmp_path / "all")))
    for step in chance.sample(range(1, total + 1), min(total, 15)):
        path = tmp_path / f"killed at {step}"
        shutil.copytree(before, path)
        list(nursery.start(crashing.code, path, kill_at=step))
        record_property("kills while segments were coded", 1)
        with HTMCore(path) as htm:
            assert htm.verify() == []
        steps(list(nursery.start(crashing.code, path)))
        assert len(codes_files(path)) == len(segment_files(path)) > 0
        crashing.check(path, seed, length, [length])


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process of its own."""
    command = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", script, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


WRITING = """
import contextlib, os, signal, sys, threading
import numpy as np
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore
htm = HTMCore(sys.argv[1], dimension=4)
for i in range(20):
    htm.store_embedding(f"key {i}", [1, 2, 3, i], {"n": i}, text=f"word {i}")
def read_until_closed():
    with contextlib.suppress(HTMError):
        while True:
            htm.get_embedding("key 1")
"""


@pytest.mark.parametrize(
    "end",
    [
        "",
        "sys.exit(0)",
        "os._exit(0)",
        "del htm",
        "reading = HTMCore(sys.argv[1], read_only=True); del htm",
        "other = HTMCore(sys.argv[1] + '2', dimension=4); other.store_embedding('a', [1, 2, 3, 4], {})",
        "htm.loop = htm",
        "threading.Thread(target=htm.compact).start()",
        "threading.Thread(target=read_until_closed, daemon=True).start()",
        "import asyncio; asyncio.run(htm.store_embedding_async('key 20', [1, 2, 3, 4], {}))",
        "import atexit; atexit.register(htm.store_embedding, 'key 20', [1, 2, 3, 4], {})",
    ],
)
def test_row_19_a_process_that_ends_without_closing_loses_nothing_and_does_not_hang(store_path: Path, end: str) -> None:
    ended = run(WRITING + end, store_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    with HTMCore(store_path) as htm:
        assert len(htm) == 20 + ("key 20" in end)
        assert len(htm.search_text("word", 100)) == 20
        assert htm.verify() == []


def test_a_process_that_ends_with_an_error_shows_only_its_own(store_path: Path) -> None:
    ended = run(WRITING + "1 / 0", store_path)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"
    assert ended.stderr.count("Traceback") == 1
    with HTMCore(store_path) as htm:
        assert len(htm) == 20
        assert htm.verify() == []


INTERRUPTED = (
    WRITING
    + """
import itertools, random, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have had it ignored
chance = random.Random(int(sys.argv[2]))
pid = os.getpid()
armed = False

def interrupt():
    while True:
        time.sleep(chance.uniform(0, 0.02))
        if armed:
            os.kill(pid, signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
interrupts = done = 0
htm.store_embedding("counter", [1, 2, 3, 4], {"n": 0})
for number in itertools.count():
    if interrupts >= 40:
        break
    try:
        armed = True
        try:
            htm.store_embedding("counter", [1, 2, 3, 4], {"n": number})
            done = number
            if number % 5 == 0:
                htm.flush()
            if number % 7 == 0:
                htm.search_similar([1, 2, 3, 4])
            if number % 3 == 0:
                htm.compact()
        finally:
            armed = False
    except KeyboardInterrupt:
        armed = False
        interrupts += 1
        n = htm.get_embedding("counter")["metadata"]["n"]
        assert done <= n <= number, (done, n, number)  # a write that was queued may be done by now, or not yet
        done = n
problems = htm.verify()
assert problems == [], problems
htm.close()
print("fine")
"""
)


@pytest.mark.parametrize("seed", range(2))
def test_row_39_an_interrupted_call_leaves_the_store_usable(store_path: Path, seed: int) -> None:
    ended = run(INTERRUPTED, store_path, seed)
    assert ended.stdout == "fine\n", ended.stderr
    with HTMCore(store_path) as htm:
        assert len(htm) == 21
        assert htm.verify() == []


READING = (
    WRITING
    + """
import random, time
chance = random.Random(int(sys.argv[2]))
reading = HTMCore(sys.argv[1], read_only=True) if sys.argv[3] == "in the same process" else None
if sys.argv[3] == "in another process":
    htm.close()
    htm, reading = None, HTMCore(sys.argv[1], read_only=True)
handle = reading or htm

class Interrupt(Exception):
    pass

def interrupt(*_):
    raise Interrupt

signal.signal(signal.SIGALRM, interrupt)
interrupts = 0
while interrupts < 150:
    try:
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.001))
        while True:
            handle.get_text("key 1")
            handle.search_text("word")
            handle.get_embeddings(["key 1", "key 2"])
            handle.history("key 3")
    except Interrupt:
        interrupts += 1
if htm is None:
    htm = HTMCore(sys.argv[1])
for i in range(20):
    htm.store_embedding(f"key {i}", [4, 3, 2, i], {"n": -i}, text=f"word again {i}")
assert handle.get_text("key 1") == "word again 1", handle.get_text("key 1")
assert handle.history("key 1")[-1]["version"] == 2
assert len(handle.search_similar([1, 2, 3, 4], 30, -1)) == 20
htm.compact()
assert os.path.getsize(sys.argv[1] + "/catalog.sqlite-wal") == 0
print("fine")
"""
)


@pytest.mark.parametrize("where", ["in the writer", "in the same process", "in another process"])
def test_row_39_an_interrupted_read_leaves_the_handle_usable(store_path: Path, where: str) -> None:
    ended = run(READING, store_path, 0, where)
    assert ended.stdout == "fine\n", ended.stderr


FORKED_FROM_A_THREAD = """
import os, sys, threading
import numpy as np
from anam_py.store import HTMCore
status = []
def fork():
    pid = os.fork()
    if not pid:
        with HTMCore(sys.argv[1], dimension=4) as htm:
            htm.store_embeddings([f"key {i}" for i in range(1500)], np.ones((1500, 4)))
            htm.flush()
        os._exit(0)
    status.append(os.waitpid(pid, 0)[1])
thread = threading.Thread(target=fork, daemon=True)
thread.start()
thread.join()
print(status)
"""


def test_a_child_forked_by_a_daemon_thread_can_write(store_path: Path) -> None:
    ended = run(FORKED_FROM_A_THREAD, store_path)
    assert ended.stdout == "[0]\n", ended.stderr
    with HTMCore(store_path, read_only=True) as htm:
        assert len(htm) == 1500
        assert htm.stats()["pending_rows"] == 0


OPENING = """
import os, queue, random, signal, sys, threading, time
from anam_py.store import HTMCore
signal.signal(signal.SIGINT, signal.default_int_handler)
chance = random.Random(int(sys.argv[2]))
pid = os.getpid()
attempts = queue.Queue()
stored = interrupts = 0

def interrupt_each_attempt_once():
    while True:
        attempts.get()
        time.sleep(chance.uniform(0, 0.015))
        os.kill(pid, signal.SIGINT)

def attempt():
    global stored, interrupts
    try:
        attempts.put("go")
        for _ in range(30):  # the interpreter loses an interrupt that comes during a weak reference's callback
            htm = HTMCore(sys.argv[1], dimension=4)
            htm.store_embedding(f"key {stored}", [1, 2, 3, 4], {})
            stored += 1
            htm.close()
    except KeyboardInterrupt:
        interrupts += 1

threading.Thread(target=interrupt_each_attempt_once, daemon=True).start()
while interrupts < 60:
    attempt()
    with HTMCore(sys.argv[1], dimension=4) as htm:
        assert len(htm) - stored in (0, 1), (len(htm), stored)
        stored = len(htm)
        assert htm.verify() == []
print("fine")
"""


@pytest.mark.parametrize("seed", range(2))
def test_row_39_an_interrupt_while_opening_or_closing_leaves_no_lock_behind(store_path: Path, seed: int) -> None:
    ended = run(OPENING, store_path, seed)
    assert ended.stdout == "fine\n", ended.stderr


FORKING = (
    WRITING
    + """
reading = HTMCore(sys.argv[1], read_only=True)
pid = os.fork()
if not pid:
    calls = [
        lambda: htm.get_embedding("key 1"),
        lambda: htm.store_embedding("child", [1, 2, 3, 4], {}),
        lambda: htm.search_similar([1, 2, 3, 4]),
        lambda: htm.flush(),
        lambda: htm.verify(),
        lambda: len(htm),
        lambda: list(htm),
        lambda: reading.search_text("word"),
        lambda: htm.__enter__(),
    ]
    for call in calls:
        try:
            call()
        except HTMError as error:
            assert "fork" in str(error), error
        else:
            os._exit(2)
    try:
        HTMCore(sys.argv[1])
    except HTMError as error:
        assert f"process {os.getppid()}" in str(error), error
    else:
        os._exit(3)
    anew = HTMCore(sys.argv[1], read_only=True)
    assert len(anew) == 20
    assert anew.search_similar([1, 2, 3, 4], 30, -1)
    assert len(anew.search_text("word", 30)) == 20
    anew.close()
    htm.close()
    del htm, reading
    import gc
    gc.collect()
    if sys.argv[2] == "_exit":
        os._exit(0)
    sys.exit(0)
_, status = os.waitpid(pid, 0)
assert status == 0, os.waitstatus_to_exitcode(status)
htm.store_embedding("parent", [1, 2, 3, 4], {})
assert "child" not in htm
assert len(reading) == 21
htm.compact()
assert htm.verify() == []
print("fine")
"""
)


@pytest.mark.parametrize("end", ["_exit", "exit"])
def test_row_17_after_a_fork_the_child_gets_an_error_and_the_parent_goes_on(store_path: Path, end: str) -> None:
    ended = run(FORKING, store_path, end)
    assert (ended.stdout, ended.stderr) == ("fine\n", "")
    with HTMCore(store_path) as htm:
        assert len(htm) == 21
        assert htm.verify() == []


def test_row_17_a_child_that_outlives_its_parent_does_not_hold_its_lock(store_path: Path) -> None:
    script = """
pid = os.fork()
if not pid:
    os.close(1), os.close(2)
    sys.stdin.read()
    os._exit(0)
"""
    parent = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WRITING + script, str(store_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with parent:
        assert parent.wait(60) == 0  # its child is still there: it waits for the end of its standard input
        with HTMCore(store_path) as htm:
            assert len(htm) == 20
            assert htm.verify() == []
        parent.stdin.close()


def test_row_17_a_child_may_write_once_its_parent_has_closed_the_store(store_path: Path) -> None:
    script = """
htm.flush()
reading, writing = os.pipe()
pid = os.fork()
if not pid:
    os.read(reading, 1)
    with HTMCore(sys.argv[1]) as anew:
        anew.store_embedding("child", [1, 2, 3, 4], {})
        anew.compact()
        assert anew.verify() == []
    os._exit(0)
htm.close()
os.write(writing, b"x")
_, status = os.waitpid(pid, 0)
with HTMCore(sys.argv[1]) as htm:
    assert len(htm) == 21, list(htm)
    assert htm.verify() == []
print(status)
"""
    ended = run(WRITING + script, store_path)
    assert (ended.stdout, ended.stderr) == ("0\n", "")
