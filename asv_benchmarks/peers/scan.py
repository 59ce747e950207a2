"""The scan beside NumPy's product and partial sort: one query over the same rows, on the same threads.

::

    python asv_benchmarks/peers/scan.py [--rows 100000] [--threads 1 2]

In each round both take a turn, in alternating order; the figures are medians. NumPy's side is a plain dot product, without
norms, in single precision; ours gives exact cosines in double precision.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

sys.path.insert(0, str(Path(__file__).parents[1]))

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "OMP_NUM_THREADS")


def main() -> None:
    """Measure each number of threads in a process of its own, as BLAS reads it only when it starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        measure(options)
        return
    print(f"{options.rows:,} x {options.dimension} float32, k = {options.k}, medians of {options.rounds} interleaved rounds")
    print(f"{'data':>10} {'threads':>7} {'NumPy ms':>9} {'ours ms':>9} {'ratio':>6} {'GB/s':>6}  rows in both")
    for threads in options.threads:
        environment = os.environ | dict.fromkeys(BLAS_THREADS, str(threads))
        arguments = [*sys.argv[1:], "--threads", str(threads), "--measure"]
        subprocess.run([sys.executable, __file__, *arguments], env=environment, check=True)


def measure(options: argparse.Namespace) -> None:
    """Print a line for each data set."""
    import numpy as np
    from benchmarks.common import DATA_SETS, SEED

    from anam_py import _core

    (threads,) = options.threads
    for name, rows_of in DATA_SETS.items():
        rng = np.random.default_rng(SEED)
        vectors = rows_of(rng, options.rows + 1, options.dimension)
        query, vectors = vectors[-1], vectors[:-1]
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        blocks = [_core.Rows(vectors, _core.norms(vectors))]

        def ours(blocks: list[_core.Rows] = blocks, query: np.ndarray = query) -> np.ndarray:
            return _core.top_k(blocks, query, options.k, threads=threads).row

        def numpy(vectors: np.ndarray = vectors, query: np.ndarray = query) -> np.ndarray:
            dots = vectors @ query
            best = np.argpartition(dots, -options.k)[-options.k :]
            return best[np.argsort(-dots[best])]

        spent: dict[Callable[[], np.ndarray], list[float]] = {numpy: [], ours: []}
        for turn in range(options.rounds):
            for contender in (numpy, ours) if turn % 2 else (ours, numpy):
                # The threads of the one before spin for some 30 ms, waiting for more.
                time.sleep(0.05)
                start = time.perf_counter()
                contender()
                spent[contender].append(time.perf_counter() - start)
        theirs_ms, ours_ms = (1000 * statistics.median(spent[contender]) for contender in (numpy, ours))
        both = len(set(ours().tolist()) & set(numpy().tolist()))
        speed = vectors.nbytes / ours_ms / 1e6
        print(
            f"{name:>10} {threads:>7} {theirs_ms:>9.2f} {ours_ms:>9.2f} {theirs_ms / ours_ms:>6.2f} {speed:>6.1f}  {both}",
            flush=True,
        )


if __name__ == "__main__":
    main()
