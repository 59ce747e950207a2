"""A million rows in a process that may hold one gigabyte: bulk inserts, searches, and searches after reopening.

::

    python asv_benchmarks/peers/million.py [--rows 1000000] [--block 20000] [--limit-mb 1024] [--folder .]

Each part runs in a process of its own, which sets RLIMIT_DATA for itself before it imports NumPy: the kernel then refuses it
private memory (heap, anonymous maps, stacks of threads) beyond that. Maps of files do not count, being the operating system's to
give and take. The block of rows that the caller holds (61 MB are 20,000) counts; making it, and finding the right answers with
NumPy, is not part of the times. For Linux; the folder needs 4 KB of disk a row.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

K = 10
QUERIES = 5
ROUNDS = 3


def status() -> dict[str, int]:
    """Return what this process holds now, in MB: resident anonymous memory, and what RLIMIT_DATA counts."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) >> 10 for line in lines if line.startswith(("RssAnon", "VmData"))}


class Memory(threading.Thread):
    """Samples what this process holds; `peaks` are the most that was seen."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peaks: dict[str, int] = {}

    def run(self) -> None:
        while True:
            for name, value in status().items():
                self.peaks[name] = max(self.peaks.get(name, 0), value)
            time.sleep(0.01)


def timed_searches(htm: Any, queries: Any) -> dict[str, Any]:
    """Return how long searches take in milliseconds, and what they find."""
    times, answers = [], []
    for query in [*queries] * ROUNDS:
        start = time.perf_counter()
        found = htm.search_similar(query, limit=K, min_similarity=-1)
        times.append(1e3 * (time.perf_counter() - start))
        answers.append([key for key, _, _ in found])
    return {"first search ms": round(times[0], 1), "search ms": round(statistics.median(times), 1), "found": answers[:QUERIES]}


def asked() -> Any:
    """Return the queries: vectors of the clusters that the first rows belong to."""
    from data import block

    return block(0, QUERIES).vectors


def nearest(rows: Any, queries: Any) -> list[list[tuple[float, str]]]:
    """Return the nearest rows of a block for each query, with their cosines in double precision."""
    import numpy as np

    norms = np.linalg.norm(rows.vectors, axis=1)
    best = []
    for query in queries:
        close = np.argsort(-(rows.vectors @ query) / norms)[: 2 * K]
        exact = rows.vectors[close].astype(np.float64)
        cosines = exact @ query.astype(np.float64) / np.linalg.norm(exact, axis=1) / np.linalg.norm(query.astype(np.float64))
        best.append([(float(cosine), rows.keys[row]) for cosine, row in zip(cosines, close, strict=True)])
    return best


def insert(folder: Path, count: int, size: int) -> dict[str, Any]:
    """Insert rows block by block, search, and close."""
    from data import DIMENSION, block

    from anam_py import HTMCore

    queries = asked()
    right: list[list[tuple[float, str]]] = [[] for _ in queries]
    spent = 0.0
    htm = HTMCore(folder, dimension=DIMENSION)
    for first in range(0, count, size):
        rows = block(first, min(size, count - first))
        start = time.perf_counter()
        htm.store_embeddings(rows.keys, rows.vectors, rows.metadata)
        spent += time.perf_counter() - start
        right = [sorted(old + new, reverse=True)[:K] for old, new in zip(right, nearest(rows, queries), strict=True)]
        del rows
        if sys.stderr.isatty():
            print(
                f"\r{first + size:,} rows, {(first + size) / spent:,.0f} a second, {status()}",
                end="",
                file=sys.stderr,
                flush=True,
            )
    searches = timed_searches(htm, queries)
    start = time.perf_counter()
    htm.close()
    closing = time.perf_counter() - start
    exact = searches.pop("found") == [[key for _, key in answers] for answers in right]
    return {"rows a second": round(count / spent), **searches, "exact": exact, "close s": round(closing, 2), "right": right}


def search(folder: Path) -> dict[str, Any]:
    """Open the store and search it."""
    from anam_py import HTMCore

    queries = asked()
    start = time.perf_counter()
    with HTMCore(folder) as htm:
        opening = 1e3 * (time.perf_counter() - start)
        return {"rows": len(htm), "open ms": round(opening, 1), **timed_searches(htm, queries)}


def limited(options: argparse.Namespace) -> None:
    """Do one part under the limit, and print what it gave as JSON."""
    resource.setrlimit(resource.RLIMIT_DATA, (options.limit_mb << 20, options.limit_mb << 20))
    memory = Memory()
    memory.start()
    try:
        result = insert(options.folder, options.rows, options.block) if options.part == "insert" else search(options.folder)
    except BaseException:
        print(f"at the time of the error {status()}, before that at most {memory.peaks} MB", file=sys.stderr)
        raise
    print(json.dumps({**result, "peak MB": memory.peaks}))


def part(name: str, options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return what one part gave, in a process of its own."""
    numbers = [f"--rows={options.rows}", f"--block={options.block}", f"--limit-mb={options.limit_mb}"]
    command = [sys.executable, __file__, f"--part={name}", f"--folder={folder}", *numbers]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} failed under a limit of {options.limit_mb} MB")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    """Insert, then search in another process, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--block", type=int, default=20_000, help="rows a call")
    parser.add_argument("--limit-mb", type=int, default=1_024)
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write")
    parser.add_argument("--part", choices=["insert", "search"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        limited(options)
        return
    from measures import bytes_of

    with tempfile.TemporaryDirectory(dir=options.folder, prefix="anam-million-") as name:
        store = Path(name) / "store"
        inserted = part("insert", options, store)
        right = inserted.pop("right")
        searched = part("search", options, store)
        searched["exact"] = searched.pop("found") == [[key for _, key in answers] for answers in right]
        print(f"{options.rows:,} rows in calls of {options.block:,}, RLIMIT_DATA {options.limit_mb:,} MB")
        for title, result in (("inserting process", inserted), ("new process", searched)):
            print(f"{title}: {', '.join(f'{name} {value}' for name, value in result.items())}")
        size = bytes_of(store)
        print(f"disk: {size:,} bytes, {size / options.rows:,.0f} a row")


if __name__ == "__main__":
    main()
