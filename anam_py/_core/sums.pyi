import numpy as np
from numpy.typing import NDArray

def weighted_sums(
    vectors: NDArray[np.float32], weights: NDArray[np.float32], sums: NDArray[np.float32], unit: bool, threads: int
) -> None: ...
def dots(vectors: NDArray[np.float32], query: NDArray[np.float32], out: NDArray[np.float32], threads: int) -> None: ...
