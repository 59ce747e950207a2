from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from anam_py._core import Rows

OPENMP: bool

def simd_levels() -> tuple[str, ...]: ...
def simd_level() -> str: ...
def effective_threads(requested: int) -> int: ...
def norms(vectors: NDArray[np.float32], out: NDArray[np.float64]) -> None: ...
def scores(vectors: NDArray[np.float32], query: NDArray[np.float32], out: NDArray[np.float64]) -> None: ...
def normalise(query: NDArray[np.float32], out: NDArray[np.float32]) -> float: ...

class Blocks:
    n_rows: int
    n_spans: int
    dimension: int
    def __init__(self, blocks: Sequence[Rows], dimension: int) -> None: ...

def slack(dimension: int) -> float: ...
def approximate(
    blocks: Blocks,
    query: NDArray[np.float32],
    approx: NDArray[np.float32],
    greatest: NDArray[np.float32],
    heaps: NDArray[np.float32],
    threads: int,
) -> None: ...
def select(
    blocks: Blocks, approx: NDArray[np.float32], greatest: NDArray[np.float32], threshold: float
) -> tuple[NDArray[np.int32], NDArray[np.int64]]: ...
def rescore(
    blocks: Blocks,
    query: NDArray[np.float32],
    query_norm: float,
    block: NDArray[np.int32],
    row: NDArray[np.int64],
    score: NDArray[np.float64],
    threads: int,
) -> None: ...
