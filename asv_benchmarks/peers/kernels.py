"""ResonanceKernel over many rows: the share that it reaches of the speed at which this machine reads memory.

::

    python asv_benchmarks/peers/kernels.py [--rows 100000] [--threads 1 2] [--rounds 11] [--compile]

Needs `pip install "anam_py[torch]"` and a C compiler. Resonance takes two passes over the rows, so GB/s counts their bytes twice,
and is to be compared with the yardsticks, which read them once: a stream of floats added up by C, and torch's own sum of the same
rows. All take turns in each round, another one first each time. Figures are medians; shares are medians over pairs, as the stream
is measured anew before each turn. "plain" is the definition written down in torch, with a matrix of unit rows; "with gradient" is
forward and back, with respect to the rows.
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
from bandwidth import Bandwidth
from benchmarks.common import SEED

from anam_py.kernels import ResonanceKernel

if TYPE_CHECKING:
    from collections.abc import Callable

# The threads of the one before spin for some 30 ms, waiting for more.
PAUSE = 0.05
T = 1.0


def main() -> None:
    """Measure each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--dimension", type=int, default=768)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--compile", action="store_true", help="also compile the kernel: half a minute more at first")
    options = parser.parse_args()
    # In memory of NumPy's, as the stream: torch's own has small pages on Linux, and whoever reads it is a third slower.
    rows = torch.from_numpy(np.random.default_rng(SEED).standard_normal((options.rows, options.dimension), dtype=np.float32))
    shape = f"{options.rows:,} x {options.dimension} float32"
    print(f"torch {torch.__version__}, {shape}, medians of {options.rounds} interleaved rounds")
    print(f"{'threads':>7} {'':<31} {'ms':>8} {'GB/s':>6} {'of reading':>10}")
    with tempfile.TemporaryDirectory() as folder:
        bandwidth = Bandwidth(Path(folder))
        if bandwidth.measure(1) is None:
            raise SystemExit("no C compiler (cc) found: there is nothing to compare with")
        for threads in options.threads:
            measure(rows, threads, bandwidth, options)


def measure(rows: torch.Tensor, threads: int, bandwidth: Bandwidth, options: argparse.Namespace) -> None:
    """Print the yardstick and a line for each contender."""
    torch.set_num_threads(threads)
    contenders = contenders_over(rows, compiled=options.compile)
    read: dict[str, list[float]] = {name: [] for name in contenders}
    spent: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.rounds + 1):
        names = list(contenders)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            time.sleep(PAUSE)
            read[name].append(bandwidth.measure(threads))
            time.sleep(PAUSE)
            start = time.perf_counter()
            contenders[name]()
            spent[name].append(time.perf_counter() - start)
    # The first round is not like the others.
    stream = statistics.median(speed for speeds in read.values() for speed in speeds[1:])
    print(f"{threads:>7} {'a stream added up by C':<31} {'':>8} {stream:>6.1f}")
    for name in contenders:
        shown = ""
        if "gradient" not in name:
            speeds = [(1 if name == "torch sum" else 2) * rows.nbytes / seconds / 1e9 for seconds in spent[name][1:]]
            shares = [speed / limit for speed, limit in zip(speeds, read[name][1:], strict=True)]
            shown = f"{statistics.median(speeds):>6.1f} {statistics.median(shares):>10.0%}"
        print(f"{threads:>7} {name:<31} {1000 * statistics.median(spent[name][1:]):>8.1f} {shown}".rstrip(), flush=True)


def contenders_over(rows: torch.Tensor, *, compiled: bool) -> dict[str, Callable[[], Any]]:
    """Return what takes turns, by name."""
    kernel = ResonanceKernel()

    def infer(function: Callable[[torch.Tensor, float], torch.Tensor]) -> None:
        with torch.no_grad():
            function(rows, T)

    def differentiate(function: Callable[[torch.Tensor, float], torch.Tensor]) -> None:
        trained = rows.detach().requires_grad_()
        function(trained, T).sum().backward()

    def by_definition(rows: torch.Tensor, t: float) -> torch.Tensor:
        return plain(kernel, rows, t)

    contenders: dict[str, Callable[[], Any]] = {
        "torch sum": rows.sum,
        "resonance": lambda: infer(kernel),
        "resonance, parameters tracked": lambda: kernel(rows, T),
        "resonance, with gradient": lambda: differentiate(kernel),
        "plain": lambda: infer(by_definition),
        "plain, with gradient": lambda: differentiate(by_definition),
    }
    if compiled:
        faster = torch.compile(kernel, fullgraph=True)
        contenders["resonance, compiled"] = lambda: infer(faster)
    return contenders


def plain(kernel: ResonanceKernel, rows: torch.Tensor, t: float) -> torch.Tensor:
    """Return the resonance of each row by its definition."""
    units = torch.nn.functional.normalize(rows)
    direction = torch.nn.functional.normalize(units.mean(0), dim=0)
    return (1 + kernel.harmonics(t).sum() * (units @ direction)) / 2


if __name__ == "__main__":
    main()
