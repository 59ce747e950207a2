"""Who takes part in the comparison of searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from indexes import (
    FaissFlat,
    FaissFlatBlas,
    FaissHNSW,
    FaissIVF,
    FaissRaBitQ,
    FaissSQ8,
    HnswLib,
    NumPy,
    USearchExact,
    USearchHNSW,
)
from stores import Anam, AnamApproximate, ChromaSearcher, LanceDBSearcher, SqliteVecSearcher

if TYPE_CHECKING:
    from searcher import Searcher

SEARCHERS: tuple[type[Searcher], ...] = (
    NumPy,
    FaissFlat,
    FaissFlatBlas,
    FaissSQ8,
    FaissRaBitQ,
    FaissIVF,
    FaissHNSW,
    USearchExact,
    USearchHNSW,
    HnswLib,
    SqliteVecSearcher,
    LanceDBSearcher,
    ChromaSearcher,
    Anam,
    AnamApproximate,
)


def named(name: str) -> type[Searcher]:
    """Return a searcher by the name of its class, as other processes are told it."""
    return next(searcher for searcher in SEARCHERS if searcher.__name__ == name)
