import numpy as np
from numpy.typing import NDArray

def row_crcs(rows: NDArray[np.uint8], out: NDArray[np.uint32], threads: int) -> None: ...
