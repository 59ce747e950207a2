"""Searches on a device of torch's: queries a second, and how near they come to what the device can do at all.

::

    python asv_benchmarks/peers/device.py [--device cuda] [--rows 100000 1000000] [--batch 1 100 1000] [--data clustered]

Needs `pip install "anam_py[torch]"`. Each line is a store, and how many queries each call of `search_many` has. "with records" is
`search_many`; "search" is all of it but the records. Bandwidth is the bytes of the rows, read once for each batch, over the time
of the search, as a share of what a copy of 1 GiB reads and writes in the same run; arithmetic is two operations for each
component, row and query, as a share of what a large product of single precision matrices does. Figures are medians. The first
answers are compared with those of the CPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch
from benchmarks.common import DATA_SETS, SEED

from anam_py import HTMCore
from anam_py.store import device as devices

if TYPE_CHECKING:
    from collections.abc import Callable

PIECE = 50_000
COMPARED = 5
HEAD = ("rows", "batch", "with records/s", "search/s", "ms a batch", "GB/s", "of copying", "TFLOP/s", "of a product")


def main() -> None:
    """Measure each number of rows in a store of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 100, 1_000])
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--data", choices=DATA_SETS, default="clustered")
    options = parser.parse_args()
    device = devices.find(options.device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    copying, product = bandwidth(device, options.rounds), arithmetic(device, options.rounds)
    print(f"{name}, torch {torch.__version__}: copies {copying / 1e9:,.0f} GB/s, multiplies {product / 1e12:,.1f} TFLOP/s")
    print(f"{options.data} x {options.dimension} float32, k = {options.k}, medians of {options.rounds}")
    print("  ".join(f"{column:>14}" for column in HEAD))
    for count in options.rows:
        with tempfile.TemporaryDirectory() as folder:
            vectors = fill(folder, count, max(options.batch), options)
            measure(folder, count, vectors, options, copying, product)


def fill(folder: str, count: int, queries: int, options: argparse.Namespace) -> np.ndarray:
    """Make a store of rows, and return queries of the same distribution."""
    rng = np.random.default_rng(SEED)
    rows_of = DATA_SETS[options.data]
    with HTMCore(folder, dimension=options.dimension, durability="normal") as htm:
        for start in range(0, count, PIECE):
            # Piece and queries are of one draw, as a data set's clusters are.
            piece = rows_of(rng, min(PIECE, count - start) + queries, options.dimension)
            htm.store_embeddings([f"src/module_{i}.py" for i in range(start, start + len(piece) - queries)], piece[queries:])
            asked = piece[:queries]
    return asked


def measure(folder: str, count: int, queries: np.ndarray, options: argparse.Namespace, copying: float, product: float) -> None:
    """Print a line for each batch."""
    with HTMCore(folder, read_only=True) as htm:
        expected = htm.search_many(queries[:COMPARED], options.k, -1.0)
    with HTMCore(folder, read_only=True, device=options.device) as htm:
        start = time.perf_counter()
        found = htm.search_many(queries[:COMPARED], options.k, -1.0)
        first = time.perf_counter() - start
        same = [[hit[:2] for hit in hits] for hits in found] == [[hit[:2] for hit in hits] for hits in expected]
        kept = htm.get_memory_stats()["device_bytes"]
        engine = htm._reading()  # noqa: SLF001 - what search_many asks, without the records
        copy, snapshot = devices.copy_of(engine, devices.find(options.device)), engine.snapshot()
        for batch in options.batch:
            some = queries[:batch]
            whole = median(lambda some=some: htm.search_many(some, options.k, -1.0), options.rounds)
            search = median(lambda some=some: copy.top_k(snapshot, some, options.k, -np.inf, threads=1), options.rounds)
            read, done = 4 * count * options.dimension / search, 2 * count * options.dimension * batch / search
            figures = (
                f"{count:,}",
                f"{batch:,}",
                f"{batch / whole:,.0f}",
                f"{batch / search:,.0f}",
                f"{1000 * search:.2f}",
                f"{read / 1e9:,.1f}",
                f"{read / copying:.0%}",
                f"{done / 1e12:,.2f}",
                f"{done / product:.0%}",
            )
            print("  ".join(f"{figure:>14}" for figure in figures), flush=True)
    verdict = "those of the CPU" if same else "NOT those of the CPU"
    print(f"  the first search brought {kept / 1e6:,.0f} MB to the device, {first:.2f} s; its hits are {verdict}")
    if not same:
        raise SystemExit(1)


def median(function: Callable[[], Any], rounds: int) -> float:
    """Return how long a call takes, whose answer is here when it ends."""
    function()
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        function()
        spent.append(time.perf_counter() - start)
    return statistics.median(spent)


def bandwidth(device: torch.device, rounds: int) -> float:
    """Return how many bytes a second a copy reads and writes."""
    source = torch.ones(2**28, dtype=torch.float32, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median(lambda: finish(target.copy_(source)), rounds)


def arithmetic(device: torch.device, rounds: int) -> float:
    """Return how many operations a second a large product does in single precision."""
    torch.set_float32_matmul_precision("highest")
    side = 8192 if device.type == "cuda" else 2048
    left, right = torch.rand((2, side, side), dtype=torch.float32, device=device)
    return 2 * side**3 / median(lambda: finish(left @ right), rounds)


def finish(tensor: torch.Tensor) -> None:
    """Wait until a tensor is there."""
    tensor[..., -1:].cpu()


if __name__ == "__main__":
    main()
