"""Power cuts: a store on a file system of its own whose device stops at any moment, and what is there afterwards.

Run as a script, in a mount namespace that ends with it, this does the cuts. It reads jobs from its standard input, one JSON
object a line, and answers each with one. Only root on Linux can do that.
"""

import ctypes
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import crashing
from crashing import DIMENSION, Nursery, State

from anam_py.exceptions import HTMError
from anam_py.store import HTMCore

# What becomes of writes that nobody synced: all reach the device, the journal does, or none does.
FLUSH, JOURNAL_ONLY, NOTHING = 0, 1, 2
# The second does all that ext4 may do, and by default does not: names may reach the device before what they name.
MOUNTS = ("data=ordered", "data=writeback,noauto_da_alloc")
UNSYNCED = {"everything": "/", "segments": "/shard-", "catalog": "/catalog.sqlite"}

_SHUTDOWN = 0x8004587D  # EXT4_IOC_SHUTDOWN, _IOR('X', 125, __u32)
_IMAGE_BYTES = 96 << 20
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG
_TOOLS = ("unshare", "mkfs.ext4", "mount", "umount")
_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class Outcome(NamedTuple):
    """What a store held after a cut."""

    acknowledged: int  # operations whose end was known before the cut
    lost: int  # of these
    problem: str | None  # what else was wrong


# ---- in the test ----


class Laboratory:
    """Starts the process that does the cuts; `reason` says why it cannot."""

    def __init__(self, folder: Path) -> None:
        self.reason: str | None = None
        self._folder = folder

    def __enter__(self) -> Self:
        if sys.platform != "linux" or os.geteuid():
            self.reason = "power cuts need Linux, and root"
        elif missing := [tool for tool in _TOOLS if not shutil.which(tool, path=_PATH)]:
            self.reason = f"power cuts need {', '.join(missing)}"
        else:
            command = ["unshare", "--mount", sys.executable, "-W", "error", __file__, str(self._folder), str(os.getpid())]
            environment = {**os.environ, "PATH": _PATH}
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
            )
            first = self._process.stdout.readline()
            self.reason = json.loads(first)["reason"] if first else "no mount namespace could be made"
        return self

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_process"):
            with self._process:
                self._process.stdin.close()
                try:
                    self._process.wait(20)
                except subprocess.TimeoutExpired:
                    self._process.kill()

    def cut(self, **job: Any) -> Outcome:
        """Do a cut; the arguments are those of `cut_while_writing`."""
        return Outcome(**self._ask(job))

    def cut_while_opening(self, **job: Any) -> Outcome:
        """Do a cut; the arguments are those of `cut_while_opening`."""
        return Outcome(**self._ask({"opening": True, **job}))

    def _ask(self, job: dict[str, Any]) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(job) + "\n")
        answer = json.loads(self._process.stdout.readline())
        if "failed" in answer:
            raise AssertionError(answer["failed"])
        return answer


# ---- in the process that does the cuts ----


class Disk:
    """A file system in a file, mounted while inside."""

    def __init__(self, folder: Path, options: str) -> None:
        self.path = folder / "disk"
        self._image = folder / "image"
        self._options = f"loop,{options}"

    def __enter__(self) -> Self:
        with self._image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        _run("mkfs.ext4", "-q", "-F", self._image)
        self.path.mkdir()
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", self.path], capture_output=True, check=False)
        self._image.unlink()

    def cut(self, how: int) -> None:
        """Stop the device: nothing that was not written by now ever is."""
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, how.to_bytes(4, sys.byteorder))
        finally:
            os.close(descriptor)

    def start_again(self) -> None:
        """Mount what the device holds, and nothing that only memory held."""
        _run("umount", self.path)
        self._mount()

    def _mount(self) -> None:
        _run("mount", "-t", "ext4", "-o", self._options, self._image, self.path)


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{' '.join(map(str, command))} failed: {done.stderr.strip()}")


class Bench:
    """Where the cuts are done, and the processes that write until then."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._nurseries: dict[str | None, Nursery] = {}
        self._open = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def reason(self) -> str | None:
        """Return why no cut can be done here, if so."""
        try:
            with self._disk(MOUNTS[0]) as disk:
                disk.cut(NOTHING)
                try:
                    (disk.path / "file").touch()
                except OSError:
                    return None
                return "the file system goes on after it was shut down"
        except OSError as error:
            return str(error)

    def cut_while_writing(
        self,
        *,
        seed: int,
        length: int,
        threads: int,
        durability: str,
        how: int,
        mount: str,
        again: bool = False,
        unsynced: str | None = None,
    ) -> Outcome:
        """Cut the power after a random number of a workload's operations; say what survived.

        With `again`, it is also cut while the store is recovered. `unsynced` names files whose syncs do nothing.
        """
        chance = random.Random(seed)
        nursery = self._nursery(unsynced)
        with self._disk(mount) as disk:
            store = disk.path / "store"
            arguments = {"seed": seed, "length": length, "threads": threads, "durability": durability}
            listener = _Listener(nursery.start(crashing.write, store, **arguments))
            listener.wait_for("done", chance.randrange(length * threads * 9 // 10))
            time.sleep(chance.uniform(0, 0.004))
            before = _cut(disk, listener, how)
            disk.start_again()
            if again:
                recovering = _Listener(nursery.start(crashing.open_, store))
                time.sleep(chance.uniform(0, 0.03))
                _cut(disk, recovering, how)
                disk.start_again()
            assert not [line for line in before if line.startswith("ended")], "the workload ended before the cut"
            done = _counts(before, threads)
            try:
                survived = _survived(store, seed, length, durability, listener.lines, done)
                crashing.check(store, seed, length, survived)
            except (AssertionError, HTMError):
                return Outcome(sum(done), 0, traceback.format_exc())
            return Outcome(sum(done), sum(max(0, d - s) for d, s in zip(done, survived, strict=True)), None)

    def cut_while_opening(self, *, seed: int, how: int, mount: str) -> Outcome:
        """Cut the power while a store is created; say whether it opens."""
        chance = random.Random(seed)
        with self._disk(mount) as disk:
            store = disk.path / "store"
            listener = _Listener(self._nursery(None).start(crashing.write, store, seed=seed, length=0))
            time.sleep(chance.uniform(0, 0.04))
            opened = _cut(disk, listener, how).count("opened")
            disk.start_again()
            lost = opened and not (store / "anam.json").exists()
            try:
                crashing.check(store, seed, 0, [0])
            except (AssertionError, HTMError):
                return Outcome(opened, int(lost), traceback.format_exc())
            return Outcome(opened, int(lost), None)

    @contextmanager
    def _disk(self, mount: str) -> Iterator[Disk]:
        with tempfile.TemporaryDirectory(dir=self._folder) as folder, Disk(Path(folder), mount) as disk:
            yield disk

    def _nursery(self, unsynced: str | None) -> Nursery:
        if unsynced not in self._nurseries:
            if unsynced is not None:
                os.environ["LD_PRELOAD"] = str(self._library())
                os.environ["UNSYNCED"] = UNSYNCED[unsynced]
            try:
                self._nurseries[unsynced] = self._open.enter_context(Nursery())
            finally:
                os.environ.pop("LD_PRELOAD", None)
        return self._nurseries[unsynced]

    def _library(self) -> Path:
        library = self._folder / "unsynced.so"
        if not library.exists():
            source = library.with_suffix(".c")
            source.write_text(_SOURCE)
            _run("cc", "-shared", "-fPIC", "-o", library, source)
        return library


# Syncs of files whose path holds a given part do nothing.
_SOURCE = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static int chosen(int descriptor)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return strstr(path, getenv("UNSYNCED")) != NULL;
}

int fsync(int descriptor) { return chosen(descriptor) ? 0 : syscall(SYS_fsync, descriptor); }
int fdatasync(int descriptor) { return chosen(descriptor) ? 0 : syscall(SYS_fdatasync, descriptor); }
"""


class _Listener:
    """Reads what a process says, all the time, so that what it said before a moment is known."""

    def __init__(self, lines: Iterator[str]) -> None:
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self.pid = int(next(lines).removeprefix("pid "))
        self._thread = threading.Thread(target=self._listen, args=(lines,))
        self._thread.start()

    def wait_for(self, word: str, count: int) -> None:
        """Wait until this many lines begin with a word, or the process has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._count(word) >= count or self._count("ended"))

    def end(self) -> None:
        """Wait until the process has ended."""
        self._thread.join()

    def _count(self, word: str) -> int:
        return sum(line.startswith(word) for line in self.lines)

    def _listen(self, lines: Iterator[str]) -> None:
        for line in lines:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()


def _cut(disk: Disk, listener: _Listener, how: int) -> list[str]:
    """Cut the power and end the process; return what it had said before.

    A sync under way during the cut may report success, so that what was said later does not count.
    """
    before = list(listener.lines)
    disk.cut(how)
    crashing.kill(listener.pid)
    listener.end()
    return before


def _counts(lines: Sequence[str], threads: int) -> list[int]:
    return [lines.count(f"done {name}") for name in range(threads)]


def _survived(path: Path, seed: int, length: int, durability: str, lines: Sequence[str], done: Sequence[int]) -> list[int]:
    """Return how many operations of each thread a store holds; AssertionError where these are not the first ones.

    `lines` is all that was said, `done` how many operations had been acknowledged before the cut.
    """
    threads = len(done)
    with HTMCore(path, 2, dimension=DIMENSION) as htm:
        assert htm.verify() == []
        found = crashing.state(htm)
    fewest, most = [], []
    for name, said in enumerate(_counts(lines, threads)):
        prefix = f"{name}/" if threads > 1 else ""
        operations = crashing.workload(seed, length, prefix)
        mine: State = {key: found.pop(key) for key in list(found) if key.startswith(prefix)}
        matching = [n for n, state in enumerate(crashing.states(operations)[: said + 2]) if state == mine]
        assert matching, f"thread {name}: what is there is not what any number of its operations made: {mine}"
        fewest.append(matching[0])
        most.append(matching[-1])
        if durability == "normal":
            # Writes that go straight to files are synced even so, and with them all before.
            synced = max((n for n, operation in enumerate(operations[: done[name]], 1) if operation.kind == "bulk"), default=0)
            assert most[-1] >= synced, f"thread {name}: {most[-1]} operations are there, {synced} were synced"
    assert not found
    # What a thread began after another's operation was acknowledged is not there without that operation.
    for name, count in enumerate(fewest):
        begun = [i for i, line in enumerate(lines) if line == f"done {name}"][count - 2] if count > 1 else 0
        for other, acknowledged in enumerate(_counts(lines[:begun], threads)):
            assert most[other] >= acknowledged, f"operation {count} of thread {name} is there, {acknowledged} of {other} not"
    return most


def _main(folder: Path, parent: int) -> None:
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        return
    with Bench(folder) as bench:
        print(json.dumps({"reason": bench.reason()}), flush=True)
        for line in sys.stdin:
            job = json.loads(line)
            function = bench.cut_while_opening if job.pop("opening", False) else bench.cut_while_writing
            try:
                answer: dict[str, Any] = function(**job)._asdict()
            except Exception:  # noqa: BLE001 - goes to the test
                answer = {"failed": traceback.format_exc()}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
