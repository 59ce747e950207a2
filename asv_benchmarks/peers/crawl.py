"""Indexing a code base, bringing the index up to date, and searching it: whole commands, and calls in a process.

::

    python asv_benchmarks/peers/crawl.py [FOLDER] [--files N] [--exclude GLOB] [--json FILE]

FOLDER is copied, by default the standard library of the Python at hand, and the copy indexed. With ``--files N`` the copy has
N files: those of FOLDER again and again, each with a line of its own, so that no two are the same. Seconds of CPU are those of
all processes of a command together. Memory is resident anonymous memory, the most that was seen at once; maps of files
are the operating system's to give and take. For Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

QUESTIONS = (
    "parse the command line",
    "open a file and read its lines",
    "wait until a thread ends",
    "compress data",
    "quote a url",
)
ROUNDS = 5


class Memory(threading.Thread):
    """Samples what a process and its children hold; `peak` is the most that was seen, in MB."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0.0

    def run(self) -> None:
        while held := self._held():
            self.peak = max(self.peak, held / 1024)
            time.sleep(0.05)

    def _held(self) -> int:
        try:
            children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return sum(_anonymous(int(pid)) for pid in (self.pid, *children))
        except (FileNotFoundError, ProcessLookupError):
            return 0


def _anonymous(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("RssAnon")), 0)


def command(*arguments: str) -> dict[str, float]:
    """Run an `anam` command and return what it took, and what it held."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "anam_py", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    memory = Memory(process.pid)
    memory.start()
    if process.wait() > 1:
        raise SystemExit(f"anam {' '.join(arguments)} failed")
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, "peak_mb": memory.peak}


def copied(folder: Path, tree: Path, files: int | None, excluded: list[str]) -> int:
    """Copy a folder, or make a tree of so many files out of its files; returns how many there are."""
    ignore = shutil.ignore_patterns("__pycache__", ".git", ".anam", *excluded)
    if files is None:
        shutil.copytree(folder, tree, ignore=ignore, symlinks=True)
        return sum(path.is_file() for path in tree.rglob("*"))
    sources = [path for path in sorted(folder.rglob("*.py")) if not {"site-packages", "__pycache__"} & set(path.parts)]
    for number, source in islice(zip(count(), cycle(sources)), files):
        place = tree / f"{number // 1000:03}" / f"{number:06}_{source.name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(f"# Copy {number}.\n".encode() + source.read_bytes())
    return files


def searches(store: Path) -> dict[str, float]:
    """Return how long a search takes in a process, in ms: the first one, and the median of those that follow."""
    from anam_py import CodeBaseCrawler, HTMCore

    with HTMCore(store, read_only=True) as htm:
        crawler = CodeBaseCrawler(htm)
        times = []
        for question in QUESTIONS * ROUNDS:
            start = time.perf_counter()
            crawler.search(question)
            times.append(1e3 * (time.perf_counter() - start))
    return {"first_ms": times[0], "warm_ms": statistics.median(times[len(QUESTIONS) :])}


def touched(tree: Path) -> None:
    """Change one file, two seconds ago: what was written just now may be written again unseen."""
    path = next(path for path in sorted(tree.rglob("*.py")) if path.stat().st_size > 1000)
    path.write_bytes(path.read_bytes() + b"\n\ndef added_just_now():\n    return 1\n")
    moment = time.time() - 2
    os.utime(path, (moment, moment))


def measured(folder: Path, files: int | None, excluded: list[str], work: Path) -> dict[str, Any]:
    """Measure all of it."""
    tree = work / "tree"
    number = copied(folder, tree, files, excluded)
    store = tree / ".anam"
    first = command("index", str(tree))
    again = [command("index", str(tree)) for _ in range(3)]
    changed = []
    for _ in range(3):
        touched(tree)
        changed.append(command("index", str(tree)))
    search = [command("search", QUESTIONS[0], "--store", str(store)) for _ in range(3)]
    return {
        "files": number,
        "first": first,
        "files_a_second": number / first["seconds"],
        "files_a_cpu_second": number / first["cpu"],
        "again": min(again, key=lambda each: each["seconds"]),
        "one_changed": min(changed, key=lambda each: each["seconds"]),
        "search_command": min(search, key=lambda each: each["seconds"]),
        **searches(store),
    }


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(sysconfig.get_path("stdlib")))
    parser.add_argument("--files", type=int)
    parser.add_argument("--exclude", action="append", default=["site-packages"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        found = measured(arguments.folder, arguments.files, arguments.exclude, Path(work))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    print(
        f"{found['files']:,} files: {found['files_a_second']:,.0f} a second, {found['files_a_cpu_second']:,.0f} a second of CPU"
    )
    for name in ("first", "again", "one_changed", "search_command"):
        took = found[name]
        print(f"{name.replace('_', ' '):15} {took['seconds']:8.2f} s  {took['cpu']:8.2f} s of CPU  {took['peak_mb']:6.0f} MB")
    print(f"a search in a process: first {found['first_ms']:.0f} ms, then {found['warm_ms']:.1f} ms")


if __name__ == "__main__":
    main()
