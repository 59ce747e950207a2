"""Static models: the arrays that make one, and the vectors that it gives to texts."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py._core.loading import static as _static
from anam_py._core.threads import threads_for

__all__ = ["StaticModel", "embed_static"]

# What embedding a character costs, in bytes read by other kernels.
_COST = 64


class StaticModel(NamedTuple):
    """A model of the words of code: a vector of two blocks, one learned and one of the signs that a hash gives.

    The words' own rows come first, then those that all other words share. A word that occurs n_p times in place p (on the first
    line, called, ...) counts ``weight * n / (n + saturation)`` with ``n = sum(places[p] * n_p)``: BM25's saturation.

    Attributes
    ----------
    vocabulary : Vocabulary
    table : int8 ndarray of shape (n_rows, n_learned)
        The rows of the learned block.
    seeds : uint64 ndarray of shape (n_words,)
        What the signs of each word come from; of a word without a row of its own it is its hash.
    weights : float64 ndarray of shape (2, n_rows)
        From 0 to 1; one row a block.
    places : float64 ndarray of shape (2, 6)
    saturations : float64 ndarray of shape (2,)
    lengths : float64 ndarray of shape (2,)
        Of the blocks in a unit vector: the sum of their squares is 1.
    """

    vocabulary: _static.Vocabulary
    table: NDArray[np.int8]
    seeds: NDArray[np.uint64]
    weights: NDArray[np.float64]
    places: NDArray[np.float64]
    saturations: NDArray[np.float64]
    lengths: NDArray[np.float64]


def embed_static(texts: Sequence[str], model: StaticModel, *, dimension: int = 768, threads: int = 1) -> NDArray[np.float32]:
    """Embed texts.

    Parameters
    ----------
    texts : sequence of str
    model : StaticModel
    dimension : int, default 768
        Its learned block has n_learned of them, a multiple of 8 is left.
    threads : int, default 1
        At most how many to use.

    Returns
    -------
    float32 ndarray of shape (n, dimension)
        Unit rows, zero for a text without words. The sums are of integers, so the same text gives the same bits everywhere.
    """
    out = np.empty((len(texts), dimension), np.float32)
    if len(texts):
        threads = min(threads_for(_COST * sum(map(len, texts)), threads), len(texts))
        _static.embed_texts(list(texts), *model, out, threads)
    return out
