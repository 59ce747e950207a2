import numpy as np
from numpy.typing import NDArray

def words(text: str, whole: bool) -> str: ...  # noqa: FBT001  the compiled signature
def hash_texts(texts: list[str], out: NDArray[np.float32], threads: int) -> None: ...
