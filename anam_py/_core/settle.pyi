import numpy as np
from numpy.typing import NDArray

from anam_py._core.coding import Sketches
from anam_py._core.scan import Blocks, Bounds

def settle(
    blocks: Blocks,
    bounds: Bounds | None,
    queries: NDArray[np.float32],
    norms: NDArray[np.float64],
    detailed: Sketches | None,
    wanted: int,
    least: float,
    threads: int,
) -> tuple[list[tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.float64], tuple[int, int]]], float, float]: ...
