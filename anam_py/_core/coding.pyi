import numpy as np
from numpy.typing import NDArray

def pack(
    values: NDArray[np.float32],
    sound: NDArray[np.uint8],
    bits: int,
    early: int,
    rotated: bool,
    error: float,
    defect: float,
    panels: NDArray[np.uint8],
    threads: int,
) -> None: ...
def detail(
    values: NDArray[np.float32],
    sound: NDArray[np.uint8],
    error: float,
    rows: NDArray[np.int8],
    factors: NDArray[np.float32],
    threads: int,
) -> None: ...
def project(
    rotation: NDArray[np.float32] | None, queries: NDArray[np.float32], norms: NDArray[np.float64], out: NDArray[np.float64]
) -> None: ...

class Sketches:
    def __init__(
        self,
        values: NDArray[np.float64],
        padded: int,
        zero: int,
        early: int,
        rotated: bool,
        error: float,
        defect: float,
        share: float,
    ) -> None: ...
