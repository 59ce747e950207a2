import numpy as np
from numpy.typing import NDArray

class Vocabulary:
    n_words: int
    n_shared: int
    def __init__(self, words: list[str], n_shared: int) -> None: ...
    def hashes(self) -> NDArray[np.uint64]: ...

def features(texts: list[str], vocabulary: Vocabulary) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.uint16]]: ...
def embed_texts(
    texts: list[str],
    vocabulary: Vocabulary,
    table: NDArray[np.int8],
    seeds: NDArray[np.uint64],
    weights: NDArray[np.float64],
    places: NDArray[np.float64],
    saturations: NDArray[np.float64],
    lengths: NDArray[np.float64],
    out: NDArray[np.float32],
    threads: int,
) -> None: ...
