"""Where training starts: words are near that keep the same company, and words that another model knows to mean the same.

The first is latent semantic analysis of the pairs (Deerwester et al., 1990); the second are the vectors that all-MiniLM-L6-v2
(Apache-2.0; Wang et al., 2020; Reimers and Gurevych, 2019) gives to single words.
"""

import numpy as np
import numpy.typing as npt
import torch
from pairs import Corpus
from torch.nn import functional

__all__ = ["DIMENSION", "rarity", "start"]

DIMENSION = 384
_SPARE = 32  # directions that the power iteration has beyond those that are wanted
_ITERATIONS = 3
_NOISE = 0.5  # so that words without company differ


def rarity(corpus: Corpus, n_rows: int) -> npt.NDArray[np.float64]:
    """Return the inverse document frequency of each row, as a logarithm, of shape (n_rows,)."""
    return np.log1p((len(corpus.ends) - 1) / (1 + np.bincount(corpus.rows, minlength=n_rows)))


def start(corpus: Corpus, meanings: npt.NDArray[np.float32], n_rows: int, seed: int) -> torch.Tensor:
    """Return unit rows whose cosines are near the mean of both cosines.

    Parameters
    ----------
    corpus : Corpus
    meanings : float32 ndarray of shape (n_words, 384)
        The other model's vectors of the words; rows behind them are shared by many words and mean nothing.
    n_rows, seed : int

    Returns
    -------
    Tensor of shape (n_rows, DIMENSION), float32
    """
    known = torch.from_numpy(meanings).float()
    known = functional.normalize(known - known.mean(dim=0), dim=1)
    shared = torch.zeros(n_rows - len(known), known.shape[1])
    both = torch.cat((torch.cat((known, shared)), company(corpus, n_rows, seed)), dim=1).double()
    directions = torch.linalg.eigh(both.T @ both)[1].flip(1)[:, :DIMENSION]
    return functional.normalize((both @ directions).float(), dim=1)


def company(corpus: Corpus, n_rows: int, seed: int) -> torch.Tensor:
    """Return unit rows, of shape (n_rows, DIMENSION), from the singular vectors of the matrix of pairs and words."""
    pairs, words = _matrix(corpus, n_rows)
    chance = torch.Generator().manual_seed(seed)
    basis = torch.randn(n_rows, DIMENSION + _SPARE, generator=chance)
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(words @ (pairs @ basis))[0]
    projected = pairs @ basis
    squares, directions = torch.linalg.eigh((projected.T @ projected).double())
    best, directions = squares.flip(0)[:DIMENSION].clamp_min(1e-9), directions.flip(1)[:, :DIMENSION]
    rows = (basis.double() @ directions) * best**0.25  # the root of the singular values
    rows = functional.normalize(rows.float(), dim=1)
    rows += torch.randn(n_rows, DIMENSION, generator=chance) * (_NOISE / DIMENSION**0.5)
    return functional.normalize(rows, dim=1)


def _matrix(corpus: Corpus, n_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weighted words of both texts of each pair together, and the transpose."""
    ends = corpus.ends[::2]
    counts = corpus.counts.sum(axis=1, dtype=np.float32)
    weights = (counts / (counts + 1) * rarity(corpus, n_rows)[corpus.rows]).astype(np.float32)
    n_pairs, lengths = len(ends) - 1, np.diff(ends)
    pair_of = np.repeat(np.arange(n_pairs), lengths)
    weights /= np.repeat(np.sqrt(np.bincount(pair_of, weights**2, n_pairs)).clip(1e-6), lengths).astype(np.float32)
    order = np.argsort(corpus.rows, kind="stable")
    row_ends = np.concatenate(([0], np.cumsum(np.bincount(corpus.rows, minlength=n_rows))))
    return (
        _sparse(ends, corpus.rows.astype(np.int64), weights, (n_pairs, n_rows)),
        _sparse(row_ends, pair_of[order], weights[order], (n_rows, n_pairs)),
    )


def _sparse(
    ends: npt.NDArray[np.int64], columns: npt.NDArray[np.int64], values: npt.NDArray[np.float32], shape: tuple[int, int]
) -> torch.Tensor:
    return torch.sparse_csr_tensor(*map(torch.from_numpy, (ends, columns, values)), size=shape)
