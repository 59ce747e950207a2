"""What is compared: something that gets rows ready to be searched, and answers queries.

A searcher gets unit rows, is told how many threads it may use, and answers one query or many by the numbers of the nearest
rows. Each lives in a process of its own (search_child.py), and imports its library there. What a class's documentation says is
printed below the tables.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any, ClassVar

from library import Library

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class Searcher(Library):
    """A search over rows.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder of its own; if it is `kept`, the one where an earlier run has built the same.
    vectors : numpy.ndarray
        The unit rows, float32.
    """

    # Whether it promises the exact answer, but for rows whose cosines differ by less than its arithmetic's rounding.
    exact: ClassVar[bool] = False
    # Whether building takes so long that what was built is kept for the next run.
    kept: ClassVar[bool] = False
    # What it holds in memory or in the cache of files while it searches, as a multiple of the vectors.
    memory: ClassVar[float] = 1.1
    # How much it may look at, where that can be said: first what the tables have, then what the plot's line goes through.
    efforts: ClassVar[tuple[int, ...]] = ()

    def __init__(self, folder: Path, vectors: NDArray[np.float32]) -> None:
        self.folder = folder
        self.vectors = vectors
        self.dimension = vectors.shape[1]

    def build(self) -> None:
        """Make ready to search."""
        raise NotImplementedError

    def load(self) -> None:
        """Make ready to search with what `build` left in the folder in an earlier run."""
        raise NotImplementedError

    def use(self, threads: int) -> None:
        """Search with so many threads from now on."""
        raise NotImplementedError

    def set_effort(self, effort: int) -> None:
        """Search with one of its `efforts` from now on."""
        raise NotImplementedError

    def one(self, query: NDArray[np.float32]) -> Any:
        """Answer one query, in whatever form the library has; this and `many` are what is timed."""
        raise NotImplementedError

    def many(self, queries: NDArray[np.float32]) -> Any:
        """Answer many queries at once."""
        raise NotImplementedError

    def numbers(self, answer: Any) -> list[int]:
        """Return the numbers of the rows in the answer to one query, or in one of the answers to many."""
        return [int(row) for row in answer]

    def close(self) -> None:
        """Let go of what it has opened."""


def ready(searcher: Searcher) -> float:
    """Build a searcher, or load what an earlier run has built; return how long the building took."""
    whole = searcher.folder / "whole"
    if searcher.kept and whole.exists():
        searcher.load()
        return float(whole.read_text())
    shutil.rmtree(searcher.folder, ignore_errors=True)
    searcher.folder.mkdir(parents=True)
    start = time.perf_counter()
    searcher.build()
    taken = time.perf_counter() - start
    if searcher.kept:
        whole.write_text(str(taken))
    return taken
