"""How what words say and what vectors say are made comparable, so that a weighted sum of both ranks better than either."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["comparable"]

_Scores: TypeAlias = npt.NDArray[np.floating[Any]]
# Where a BM25 score is one of many.
_MANY = 10


def comparable(words: _Scores, cosines: _Scores) -> tuple[_Scores, _Scores]:
    """Return BM25 scores and cosines as signals from 0 to 1, each the stronger the surer it is.

    A cosine is taken as it is: it means the same in every query, so that a near vector stands far out and decides, while
    many that are equally far leave the choice to words. A BM25 score is taken as a part of the greatest, times how far the
    tenth falls behind that: where ten texts share about as many words with the query, words say little of which one is meant.
    Spread over 0 to 1 in each query instead, as is usual, neither would know when the other is sure: for functions that are
    asked for under other names, both were worse than vectors alone.

    Parameters
    ----------
    words : ndarray of shape (..., n)
        BM25 scores of the candidates, 0 where none of the words is.
    cosines : ndarray of shape (..., n)

    Returns
    -------
    tuple of ndarray
        Both of shape (..., n).
    """
    most = words.max(axis=-1, keepdims=True, initial=0)
    parts = words / np.where(most > 0, most, 1)
    if words.shape[-1] >= _MANY:
        parts = parts * (1 - np.partition(parts, -_MANY, axis=-1)[..., -_MANY, np.newaxis])
    return parts, cosines.clip(0, 1)
