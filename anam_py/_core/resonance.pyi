import numpy as np
from numpy.typing import NDArray

def add_unit_rows(
    vectors: NDArray[np.float32],
    norms: NDArray[np.float64],
    alive: NDArray[np.uint8] | None,
    totals: NDArray[np.int64],
    threads: int,
) -> None: ...
def direction(total: NDArray[np.int64], n_rows: float, vanishing: float) -> NDArray[np.float32]: ...
def resonances(cosines: NDArray[np.float64], out: NDArray[np.float64]) -> None: ...
