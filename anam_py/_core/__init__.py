"""The compiled core: exact top-k, resonance, checksums and tokens, as functions of NumPy arrays.

This is the only importer of the extension modules, and owns what they leave to it: contiguity, empty input, and the
number of threads. Its arguments have been validated (``anam_py._validation``).

::

    norms, scores, top_k ──► scan.pyx ──► simd.h (one table of instruction sets)
    mean_field, resonance ─► resonance.pyx
    subtokens, lexemes, hash_tokens ─► tokens.pyx
    row_crcs ──────────────► checksum.pyx
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray


@contextlib.contextmanager
def _patient_threads() -> Iterator[None]:
    """Load an OpenMP runtime whose threads sleep while they wait, unless the user has said how they should.

    GNU's spins by default, and where the kernel has put two threads on one CPU, the one that waits keeps the other from
    ending: two threads were slower than one (asv_benchmarks/peers/scan.py). It reads the variable when it is loaded, so
    other libraries' copies of it are not concerned.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        yield
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        yield
    finally:
        del os.environ["OMP_WAIT_POLICY"]


try:
    with _patient_threads():
        import anam_py._core.checksum as _checksum
        import anam_py._core.resonance as _resonance
        import anam_py._core.scan as _scan
        import anam_py._core.tokens as _tokens
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled core of anam_py is missing: install the package (pip install .), "
        "or in a checkout run python setup.py build_ext --inplace"
    ) from error

__all__ = [
    "OPENMP",
    "Candidates",
    "Rows",
    "effective_threads",
    "hash_tokens",
    "lexemes",
    "mean_field",
    "norms",
    "pair_cosine",
    "resonance",
    "row_crcs",
    "scores",
    "simd_level",
    "simd_levels",
    "subtokens",
    "top_k",
]

OPENMP: bool = _scan.OPENMP

# Waking a thread costs about as much as reading this many bytes of rows.
_BYTES_PER_THREAD = 4 * 2**20

# Above this, one partial sort of all approximate scores is cheaper than heaps.
_MAX_HEAP = 1024

# What a mean of unit vectors has to exceed to have a direction: their own rounding to single precision.
_VANISHING = 2.0**-24


class Rows(NamedTuple):
    """A block of rows to scan.

    Attributes
    ----------
    vectors : float32 ndarray of shape (n, D)
        C-contiguous; may be read-only, as a memory map.
    norms : float64 ndarray of shape (n,)
        As `norms` gives them.
    alive : uint8 ndarray of shape (n,), or None
        0 for a row that is to be passed over; None where there is none.
    """

    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    alive: NDArray[np.uint8] | None = None


class Candidates(NamedTuple):
    """Rows found, best first.

    Attributes
    ----------
    block : int32 ndarray of shape (m,)
    row : int64 ndarray of shape (m,)
    score : float64 ndarray of shape (m,)
    """

    block: NDArray[np.int32]
    row: NDArray[np.int64]
    score: NDArray[np.float64]


simd_level = _scan.simd_level
simd_levels = _scan.simd_levels

_forked = False


def _after_fork_in_child() -> None:
    global _forked  # noqa: PLW0603  one fact about the process
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def effective_threads(requested: int) -> int:
    """Give the number of threads that kernels use when asked for some.

    Parameters
    ----------
    requested : int

    Returns
    -------
    int
        At least 1; at most `requested`, OMP_NUM_THREADS, and the CPUs of this process. 1 without OpenMP, inside a
        parallel region, and in a forked child: GNU's OpenMP would wait there for threads that the fork has not copied.
    """
    return 1 if _forked else _scan.effective_threads(requested)


def norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the norm of each row.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)

    Returns
    -------
    float64 ndarray of shape (n,)
        The root of the sum of squares in double precision, in an order that is the same on every CPU.
    """
    out = np.empty(len(vectors))
    if len(vectors):
        _scan.norms(np.ascontiguousarray(vectors), out)
    return out


def row_crcs(vectors: NDArray[np.float32], *, threads: int = 1) -> NDArray[np.uint32]:
    """Give the CRC-32 of each row's bytes, as zlib computes it.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
        C-contiguous.
    threads : int, default 1
        How many threads may work on it.

    Returns
    -------
    uint32 ndarray of shape (n,)
    """
    out = np.empty(len(vectors), np.uint32)
    if len(vectors):
        _checksum.row_crcs(vectors.view(np.uint8), out, _threads_for(vectors.nbytes, threads))
    return out


def scores(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the exact cosine of each row with a query.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
    query : float32 ndarray of shape (D,)

    Returns
    -------
    float64 ndarray of shape (n,)
        The dot product in double precision, in an order that is the same on every CPU, over both norms; NaN where a
        norm is zero.
    """
    out = np.empty(len(vectors))
    if len(vectors):
        _scan.scores(np.ascontiguousarray(vectors), np.ascontiguousarray(query), out)
    return out


def pair_cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Give the exact cosine of two vectors, the same in either order.

    Parameters
    ----------
    a, b : float32 ndarray of shape (D,)

    Returns
    -------
    float
    """
    return float(scores(a[np.newaxis], b)[0])


def top_k(blocks: Sequence[Rows], query: NDArray[np.float32], k: int, min_score: float = -np.inf, *, threads: int) -> Candidates:
    """Find the rows whose exact score is not below that of the k-th best, nor below a minimum.

    Parameters
    ----------
    blocks : sequence of Rows
    query : float32 ndarray of shape (D,)
    k : int
        At least 1.
    min_score : float
    threads : int
        At most how many to use.

    Returns
    -------
    Candidates
        By falling score, then by block and row. More than `k` where several have the k-th best score; fewer where
        there are fewer. Rows without a direction (norm 0) have no score and are not among them.
    """
    query = np.ascontiguousarray(query)
    table = _scan.Blocks([_contiguous(rows) for rows in blocks], len(query))
    if table.n_rows == 0:
        return Candidates(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
    row_bytes = query.nbytes
    unit = np.empty_like(query)
    query_norm = _scan.normalise(query, unit)

    workers = _threads_for(table.n_rows * row_bytes, threads)
    approx = np.empty(table.n_rows, np.float32)
    greatest = np.empty(table.n_spans, np.float32)
    heaps = np.full((workers, k if k <= _MAX_HEAP else 0), -np.inf, np.float32)
    _scan.approximate(table, unit, approx, greatest, heaps, workers)

    slack = _scan.slack(table.dimension)
    kth = _kth_best(heaps.ravel() if k <= _MAX_HEAP else approx[approx < np.inf], k)
    # No cosine is as low as -2, so that this passes over dead rows, whose approximate score is -inf.
    block, row = _scan.select(table, approx, greatest, max(kth - 2 * slack, min_score - slack, -2.0))
    score = np.empty(len(row))
    if len(row):
        _scan.rescore(table, query, query_norm, block, row, score, _threads_for(len(row) * row_bytes, threads))

    kth = _kth_best(score[~np.isnan(score)], k)
    found = np.flatnonzero(score >= max(kth, min_score))
    found = found[np.argsort(-score[found], kind="stable")]  # candidates come by block and row
    return Candidates(block[found], row[found], score[found])


def mean_field(blocks: Sequence[Rows], *, threads: int) -> NDArray[np.float32]:
    """Give the direction of the mean of all rows, each taken as a unit vector.

    Parameters
    ----------
    blocks : sequence of Rows
    threads : int
        At most how many to use.

    Returns
    -------
    float32 ndarray of shape (D,)
        A unit vector, the same bits for any order of rows and blocks and any number of threads: the sum is one of
        integers. Zero where the mean is no longer than the rounding of the rows.
    """
    dimension = blocks[0].vectors.shape[1]
    threads = effective_threads(threads)
    totals = np.zeros((threads, dimension), np.int64)
    n_rows = 0
    for vectors, norms_, alive in map(_contiguous, blocks):
        if len(vectors):
            _resonance.add_unit_rows(vectors, norms_, alive, totals, _threads_for(vectors.nbytes, threads))
            n_rows += len(vectors) if alive is None else int(np.count_nonzero(alive))
    return _resonance.direction(totals.sum(axis=0), n_rows, _VANISHING)


@overload
def resonance(c: float) -> float: ...
@overload
def resonance(c: NDArray[np.float64]) -> NDArray[np.float64]: ...
def resonance(c: float | NDArray[np.float64]) -> float | NDArray[np.float64]:
    """Give the resonance of cosines: ``clip(c * (1 + 0.1 * sin(pi * c)), 0, 1)``.

    Parameters
    ----------
    c : float or float64 ndarray

    Returns
    -------
    float or float64 ndarray
        As `c`; the same bits on every CPU.
    """
    cosines = np.asarray(c, dtype=np.float64)
    out = np.empty(cosines.size)
    _resonance.resonances(np.ascontiguousarray(cosines).reshape(-1), out)
    return out.reshape(cosines.shape) if isinstance(c, np.ndarray) else float(out[0])


def subtokens(text: str) -> list[str]:
    """Cut a text into the lower-cased words of its identifiers.

    Parameters
    ----------
    text : str

    Returns
    -------
    list of str
        In order. Identifiers are cut at case, underscore and digit borders, runs of more than 64 bytes after 64.
    """
    return _tokens.words(text, whole=False).split()


def lexemes(text: str) -> str:
    """Give what the full-text index stores of a text.

    Parameters
    ----------
    text : str

    Returns
    -------
    str
        The words of `subtokens`, separated by spaces, each identifier of several words followed by itself as a whole:
        lower-cased, without outer underscores, if it has at most 256 bytes.
    """
    return _tokens.words(text, whole=True)


def hash_tokens(texts: Sequence[str], dimension: int, *, threads: int = 1) -> NDArray[np.float32]:
    """Hash texts to vectors by their words.

    Parameters
    ----------
    texts : sequence of str
    dimension : int
    threads : int
        At most how many to use.

    Returns
    -------
    float32 ndarray of shape (n, D)
        Unit rows, zero for a text without words. Each word of `subtokens` adds its weight, 1 + log of how often it
        occurs, to four components with a sign each, which FNV-1a and SplitMix64 choose. The sums are of integers,
        so the same text gives the same bits everywhere.
    """
    out = np.empty((len(texts), dimension), np.float32)
    if len(texts):
        threads = min(_threads_for(16 * sum(map(len, texts)), threads), len(texts))
        _tokens.hash_texts(list(texts), out, threads)
    return out


def _contiguous(rows: Rows) -> Rows:
    """Give the rows as the kernels take them, copying only what is not so already."""
    return Rows(
        np.ascontiguousarray(rows.vectors),
        np.ascontiguousarray(rows.norms),
        None if rows.alive is None else np.ascontiguousarray(rows.alive).view(np.uint8),
    )


def _kth_best(values: NDArray[Any], k: int) -> float:
    """Give the k-th greatest of some values, or -inf where there are fewer."""
    place = len(values) - k
    return float(np.partition(values, place)[place]) if place >= 0 else -np.inf


def _threads_for(n_bytes: int, threads: int) -> int:
    """Give the number of threads that `n_bytes` of rows are worth."""
    return max(1, min(effective_threads(threads), n_bytes // _BYTES_PER_THREAD))
