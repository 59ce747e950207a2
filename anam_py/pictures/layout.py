"""A place in the plane for every vector, so that vectors that are near each other are near each other there.

The method is t-SNE (L. van der Maaten and G. Hinton, JMLR 9, 2008), with what was found since to make it quick and repeatable:
it starts from the two principal components (D. Kobak and P. Berens, Nature Communications 10, 2019), it takes steps that grow
with the number of points (A. C. Belkina et al., ibid.), every vector is drawn to its nearest neighbours alike, all push each
other away through a mesh (`mesh`), and attraction stays a little exaggerated to the end (J. N. Böhm, P. Berens and D. Kobak,
JMLR 23, 2022). Nothing is random.

Of the 2,250 files of Python 3.11's standard library .53 of the ten nearest neighbours are kept and trustworthiness is .96; by the
principal components alone these are .10 and .73 (``python scripts/map_quality.py STORE``).
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py.config import current
from anam_py.pictures.mesh import repulsion

__all__ = ["NEIGHBOURS", "arrange", "kept", "neighbours_of"]

# How many of its nearest vectors draw each.
NEIGHBOURS: Final = 10
# Of fewer, the two principal components say more than who is whose neighbour.
_FEW: Final = 16
# Above this, neighbours are those in the space of the first principal components, and there are fewer rounds.
_MANY: Final = 10_000
_COMPONENTS: Final = 64
_ROUNDS, _FEWER_ROUNDS = 500, 250
# Attraction is this many times what it should be in the first rounds, which gather what belongs together, and after them.
_EARLY_ROUNDS: Final = 100
_EARLY, _LATE = 12.0, 1.2
_MOMENTUM, _LATE_MOMENTUM = 0.5, 0.8
# Rows that are made exact at a time.
_AT_ONCE: Final = 4096
# Of so many points it is measured how many neighbours the plane keeps.
_MEASURED: Final = 2_000


def neighbours_of(vectors: NDArray[np.float32]) -> NDArray[np.int64]:
    """Find the nearest neighbours of each vector among the others, by cosine.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
        None of them zero.

    Returns
    -------
    int64 ndarray of shape (n, k)
        Their rows, nearest first; of equally near ones, first those that come first. k is 10, or of few vectors a third of the
        others: were all drawn to all, no shape would come of it. Exact up to 10,000 vectors; of more, their projections on the
        first 64 principal components are compared.
    """
    n_rows = len(vectors)
    if n_rows < 2:
        return np.empty((n_rows, 0), np.int64)
    count = min(NEIGHBOURS, max((n_rows - 1) // 3, 1))
    rows = vectors if n_rows <= _MANY else _projected(vectors)
    threads = current().thread_pool_size
    found = _core.top_k_many([_core.Rows(rows, _core.norms(rows))], rows, count + 1, threads=threads)
    return np.stack([best.row[best.row != row][:count] for row, best in enumerate(found)])


def arrange(vectors: NDArray[np.float32], neighbours: NDArray[np.int64]) -> NDArray[np.float64]:
    """Give every vector a place in the plane.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
        None of them zero.
    neighbours : int64 ndarray of shape (n, k)
        As from `neighbours_of`.

    Returns
    -------
    float64 ndarray of shape (n, 2)
        From -1 to 1, differing most in the first; no two the same. The same for the same arguments on one machine.
    """
    n_rows = len(vectors)
    if not n_rows:
        return np.empty((0, 2))
    places = _beginning(vectors)
    if n_rows < _FEW:
        return _framed(places)
    start, end, weight = _attraction(neighbours)
    moves, gains = np.zeros_like(places), np.ones_like(places)
    for round_ in range(_ROUNDS if n_rows <= _MANY else _FEWER_ROUNDS):
        early = round_ < _EARLY_ROUNDS
        exaggeration = _EARLY if early else _LATE
        rate = n_rows / exaggeration / 4.0
        apart = places[start] - places[end]
        pull = apart * (weight / (1.0 + np.einsum("ij,ij->i", apart, apart)))[:, None]
        pulls = np.stack([np.bincount(start, pull[:, axis], n_rows) for axis in range(2)], axis=1)
        pushes, total = repulsion(places)
        slope = 4.0 * (exaggeration * pulls - pushes / total)
        gains = np.where((slope > 0.0) != (moves > 0.0), gains + 0.2, np.maximum(gains * 0.8, 0.01))
        moves = (_MOMENTUM if early else _LATE_MOMENTUM) * moves - rate * gains * slope
        places = places + moves
    return _framed(places)


def kept(places: NDArray[np.float64], neighbours: NDArray[np.int64]) -> float:
    """Measure how much of the neighbourhoods the plane keeps.

    Parameters
    ----------
    places : float64 ndarray of shape (n, 2)
    neighbours : int64 ndarray of shape (n, k)

    Returns
    -------
    float
        Which share of a vector's k neighbours is among the k that are nearest in the plane, on average over all vectors, or
        2,000 of them; 1.0 where there are none.
    """
    n_rows, count = neighbours.shape
    if not count:
        return 1.0
    shares = []
    for row in np.unique(np.linspace(0, n_rows - 1, min(n_rows, _MEASURED)).astype(np.int64)).tolist():
        apart = places - places[row]
        squares = np.einsum("ij,ij->i", apart, apart)
        squares[row] = np.inf
        nearest = np.argpartition(squares, count - 1)[:count]
        shares.append(np.isin(neighbours[row], nearest).mean())
    return float(np.mean(shares))


def _units(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms: NDArray[np.float32] = _core.norms(vectors).astype(np.float32)
    return vectors / norms[:, None]


def _projected(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the first principal components of unit vectors: not of their differences from the mean, so cosines stay."""
    components = _principal(_units(vectors), _COMPONENTS).astype(np.float32)
    # A vector that has nothing in common with the others would be zero, and have no cosine.
    return np.column_stack([components, np.full(len(vectors), 1e-3, np.float32)])


def _principal(rows: NDArray[np.floating[Any]], count: int) -> NDArray[np.float64]:
    """Return where rows are along the directions in which they are largest together, the first the one of most.

    The last digits, in which BLAS differs from one number of threads to another, are cut off: much would come of them.
    """
    n_rows, dimension = rows.shape
    if n_rows < dimension:  # the smaller product says the same
        exact = rows.astype(np.float64)
        sizes, directions = np.linalg.eigh(exact @ exact.T)
        along = (directions * np.sqrt(np.maximum(sizes, 0.0)))[:, ::-1][:, :count]
    else:
        product = np.zeros((dimension, dimension))
        for start in range(0, n_rows, _AT_ONCE):
            part = rows[start : start + _AT_ONCE].astype(np.float64)
            product += part.T @ part
        axes = np.linalg.eigh(product)[1][:, ::-1][:, :count]
        along = np.concatenate([rows[start : start + _AT_ONCE] @ axes for start in range(0, n_rows, _AT_ONCE)])
    found = np.zeros((n_rows, count))
    found[:, : along.shape[1]] = along
    found *= np.where(found[np.abs(found).argmax(axis=0), np.arange(count)] < 0.0, -1.0, 1.0)
    return np.round(found, 9)


def _attraction(neighbours: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return who is drawn to whom, both ways, and how much: those who are neighbours of each other twice as much."""
    n_rows, count = neighbours.shape
    start, end = np.repeat(np.arange(n_rows), count), neighbours.ravel()
    pairs, times = np.unique(np.concatenate([start * n_rows + end, end * n_rows + start]), return_counts=True)
    return pairs // n_rows, pairs % n_rows, times / times.sum()


def _beginning(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the first two principal components, as small as t-SNE needs them; those of equal vectors a hair apart."""
    units = _units(vectors)
    places = _principal(units - units.mean(axis=0), 2)
    places *= 1e-2 / max(float(places.std()), 1e-12)
    return places + 1e-3 * _sunflower(len(places))


def _sunflower(count: int) -> NDArray[np.float64]:
    """Return points that fill a disc of radius 1 evenly, as the seeds of a sunflower do."""
    seeds = np.arange(count)
    turn = seeds * np.pi * (3.0 - np.sqrt(5.0))
    points: NDArray[np.float64] = np.sqrt(seeds / max(count, 1))[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return points


def _framed(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return places turned so that they differ most in the first, and scaled to the frame; equal ones a hair apart."""
    centred = places - places.mean(axis=0) + 1e-3 * float(np.abs(places).max()) * _sunflower(len(places))
    turned = _principal(centred, 2)
    turned -= (turned.min(axis=0) + turned.max(axis=0)) / 2
    turned /= max(float(np.abs(turned).max()), 1e-12)
    return turned
