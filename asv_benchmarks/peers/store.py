"""What a store's promises cost, beside the plain disk operations that they rest on, in one run.

::

    python asv_benchmarks/peers/store.py [--rows 100000] [--folder .]

Each figure is the median of several rounds, in which ours and the plain operation take turns. The plain operations are an
append of 4 KB with fdatasync for a durable put, and one write of the same vectors with fsync for a bulk insert.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from anam_py import HTMCore

DIMENSION = 768
ROUNDS = 5
METADATA = {
    "language": "python",
    "file_type": "source",
    "size_bytes": 2048,
    "line_count": 75,
    "dependencies": ["numpy", "torch"],
    "content_hash": "0123456789abcdef" * 4,
}


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def appends(folder: Path, count: int) -> None:
    """Append 4 KB and sync, `count` times."""
    descriptor = os.open(folder / "plain", os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600)
    for _ in range(count):
        os.write(descriptor, b"x" * 4096)
        os.fdatasync(descriptor)
    os.close(descriptor)


def write(folder: Path, vectors: np.ndarray) -> None:
    """Write the bytes of vectors to a file, and sync it."""
    descriptor = os.open(folder / "plain", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
    rest = vectors.data.cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)
    os.close(descriptor)


def puts(htm: HTMCore, vectors: np.ndarray, count: int, threads: int, tag: str) -> None:
    """Store `count` entries one by one, from several threads."""

    def put(i: int) -> None:
        htm.store_embedding(f"{tag}/{i}", vectors[i], METADATA)

    if threads == 1:
        for i in range(count):
            put(i)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(put, range(count)))


def measure_puts(folder: Path, vectors: np.ndarray) -> None:
    """Print durable puts per second for several numbers of threads."""
    rates: dict[str, list[float]] = {}
    with HTMCore(folder / "puts") as htm:
        for turn in range(ROUNDS):
            rates.setdefault("4 KB append + fdatasync", []).append(300 / seconds(lambda: appends(folder, 300)))
            for threads, count in ((1, 300), (8, 1_200), (64, 4_000)):
                name = f"store_embedding, {threads} thread{'s' * (threads > 1)}"
                taken = seconds(lambda t=threads, n=count, r=turn: puts(htm, vectors, n, t, f"{r}/{t}"))  # type: ignore[misc]
                rates.setdefault(name, []).append(count / taken)
    for name, values in rates.items():
        print(f"{name:<44}{statistics.median(values):>12,.0f} a second")


def measure_bulk(folder: Path, vectors: np.ndarray) -> None:
    """Print rows per second of a bulk insertion, and the time to open what it leaves."""
    keys = [f"src/module_{i}.py" for i in range(len(vectors))]
    metadata = [{**METADATA, "size_bytes": i} for i in range(len(vectors))]
    plain, ours = [], []
    for turn in range(3):
        plain.append(len(vectors) / seconds(lambda: write(folder, vectors)))
        with HTMCore(folder / f"bulk-{turn}") as htm:
            ours.append(len(vectors) / seconds(lambda h=htm: h.store_embeddings(keys, vectors, metadata)))  # type: ignore[misc]
    rows = f"{len(vectors):,} rows"
    print(f"{'plain write + fsync of ' + rows:<44}{statistics.median(plain):>12,.0f} rows a second")
    print(f"{'store_embeddings of ' + rows:<44}{statistics.median(ours):>12,.0f} rows a second")

    path = folder / "bulk-0"
    opened = [seconds(lambda: HTMCore(path).close()) for _ in range(ROUNDS)]
    print(f"{'open and close it':<44}{statistics.median(opened) * 1e3:>12,.1f} ms")
    program = (
        f"import numpy as np; from anam_py import HTMCore; htm = HTMCore({str(path)!r}, read_only=True);"
        f"htm.search_similar(np.ones({DIMENSION}, np.float32), min_similarity=-1)"
    )
    first = [seconds(lambda: subprocess.run([sys.executable, "-c", program], check=True)) for _ in range(ROUNDS)]
    print(f"{'new process: import, open, first query':<44}{statistics.median(first) * 1e3:>12,.0f} ms")
    imports = {
        module: statistics.median(
            seconds(lambda m=module: subprocess.run([sys.executable, "-c", f"import {m}"], check=True))  # type: ignore[misc]
            for _ in range(2 * ROUNDS)
        )
        for module in ("sys", "numpy", "anam_py")
    }
    for module in ("numpy", "anam_py"):
        print(f"{'import ' + module + ' (beyond starting Python)':<44}{(imports[module] - imports['sys']) * 1e3:>12,.0f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the bulk insertion")
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write: the disk that is measured")
    options = parser.parse_args()
    vectors = np.random.default_rng(0).standard_normal((options.rows, DIMENSION), dtype=np.float32)
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="anam-bench-") as name:
        measure_puts(Path(name), vectors)
        measure_bulk(Path(name), vectors)


if __name__ == "__main__":
    main()
