from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anam_py._core.coding import Sketches

OPENMP: bool

def effective_threads(requested: int) -> int: ...
def norms(vectors: NDArray[np.float32], out: NDArray[np.float64]) -> None: ...
def scores(vectors: NDArray[np.float32], query: NDArray[np.float32], out: NDArray[np.float64]) -> None: ...
def normalise(queries: NDArray[np.float32], units: NDArray[np.float32], norms: NDArray[np.float64]) -> None: ...

class Blocks:
    n_rows: int
    n_spans: int
    dimension: int
    def __init__(self, blocks: Sequence[tuple[Any, ...]], dimension: int, n_queries: int) -> None: ...

def slack(dimension: int) -> float: ...

class Bounds:
    n_queries: int
    def __init__(
        self,
        blocks: Blocks,
        queries: NDArray[np.float32],
        sketches: Sequence[Sketches],
        n_best: int,
        threshold: float,
        threads: int,
    ) -> None: ...
    def of(self, blocks: Blocks, k: int) -> NDArray[np.float32]: ...
