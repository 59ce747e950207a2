"""How what words say and what vectors say are made comparable, so that a weighted sum of both ranks better than either."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["comparable"]

_Scores: TypeAlias = npt.NDArray[np.floating[Any]]


def comparable(words: _Scores, cosines: _Scores) -> tuple[_Scores, _Scores]:
    """Return BM25 scores as parts of the greatest, and cosines as they are, but for negative ones, which are 0.

    A cosine means the same in every query: a near vector stands far out and decides, while many that are equally far leave
    the choice to words. Spread over 0 to 1 in each query instead, as is usual, neither knows when the other is sure: of
    1,000 functions under other names, the validation split's NDCG@10 was .926 with both and .941 by vectors alone.

    Parameters
    ----------
    words : ndarray of shape (..., n)
        BM25 scores of the candidates, 0 where none of the words is.
    cosines : ndarray of shape (..., n)

    Returns
    -------
    tuple of ndarray
        Both from 0 to 1.
    """
    most = words.max(axis=-1, keepdims=True, initial=0)
    return words / np.where(most > 0, most, 1), cosines.clip(0, 1)
