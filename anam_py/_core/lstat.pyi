import numpy as np
from numpy.typing import NDArray

def lstat_many(paths: bytes, out: NDArray[np.int64]) -> None: ...
