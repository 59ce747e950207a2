"""The compiled core: exact top-k, resonance, checksums, tokens and the status of files, as functions of NumPy arrays.

This is the only importer of the extension modules, and owns what they leave to it: contiguity, empty input, and the
number of threads. Its arguments have been validated (``anam_py._validation``).

::

    top_k ─► search.py ─► scan.pyx ──► simd.pyx, table.h (one table of instruction sets)
    norms, scores ──────► scan.pyx
    encode ─► codes.py ─► coding.pyx (rows and queries as codes; planning.py chooses how)
    mean_field, resonance ─► resonance.pyx
    unit_sum, weighted_sum, dots ─► sums.pyx
    subtokens, lexemes, hash_tokens ─► tokens.pyx
    embed_static ─► embedding.py ─► static.pyx ──► tokens.pyx
    features, Vocabulary ───► static.pyx (what a static model is trained on)
    row_crcs ──────────────► checksum.pyx
    lstat_many ────────────► lstat.pyx
"""

import os
import sys
from collections.abc import Sequence
from typing import overload

import numpy as np
from numpy.typing import NDArray

from anam_py._core.codes import Codes, Plan, code_layout, encode
from anam_py._core.embedding import StaticModel, embed_static
from anam_py._core.loading import checksum as _checksum
from anam_py._core.loading import lstat as _lstat
from anam_py._core.loading import resonance as _resonance
from anam_py._core.loading import scan as _scan
from anam_py._core.loading import simd as _simd
from anam_py._core.loading import static as _static
from anam_py._core.loading import sums as _sums
from anam_py._core.loading import tokens as _tokens
from anam_py._core.planning import choose_plan
from anam_py._core.search import Candidates, Levels, Rows, top_k, top_k_many
from anam_py._core.threads import effective_threads, threads_for

__all__ = [
    "CODES_PAY",
    "OPENMP",
    "Candidates",
    "Codes",
    "Levels",
    "Plan",
    "Rows",
    "StaticModel",
    "Vocabulary",
    "choose_plan",
    "code_layout",
    "dots",
    "effective_threads",
    "embed_static",
    "encode",
    "features",
    "hash_tokens",
    "lexemes",
    "lstat_many",
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
    "top_k_many",
    "unit_sum",
    "weighted_sum",
]

OPENMP: bool = _scan.OPENMP

# Whether a search by codes is faster than one without: portable C takes longer to unpack them than memory to bring the rows.
CODES_PAY: bool = _simd.simd_level() != "portable"

Vocabulary = _static.Vocabulary
features = _static.features
simd_level = _simd.simd_level
simd_levels = _simd.simd_levels


# What a mean of unit vectors has to exceed to have a direction: their own rounding to single precision.
_VANISHING = 2.0**-24


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
        _checksum.row_crcs(vectors.view(np.uint8), out, threads_for(vectors.nbytes, threads))
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
    for vectors, norms_, alive, _ in map(_contiguous, blocks):
        if len(vectors):
            _resonance.add_unit_rows(vectors, norms_, alive, totals, threads_for(vectors.nbytes, threads))
            n_rows += len(vectors) if alive is None else int(np.count_nonzero(alive))
    return _resonance.direction(totals.sum(axis=0), n_rows, _VANISHING)


# Rows that are added up in single precision before their sum is.
_PART = 256


def unit_sum(vectors: NDArray[np.float32], *, threads: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give the inverse norm of each row and the sum of all rows as unit vectors, in single precision.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
        C-contiguous, not empty.
    threads : int
        At most how many to use.

    Returns
    -------
    inverse : float32 ndarray of shape (n,)
        0 for a row of zeros.
    total : float32 ndarray of shape (D,)
        The same bits for any number of threads.
    """
    inverse = np.empty(len(vectors), np.float32)
    return inverse, _sum(vectors, inverse, threads, unit=True)


def weighted_sum(vectors: NDArray[np.float32], weights: NDArray[np.float32], *, threads: int) -> NDArray[np.float32]:
    """Give the sum of all rows, each times its weight, in single precision.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
        C-contiguous, not empty.
    weights : float32 ndarray of shape (n,)
    threads : int
        At most how many to use.

    Returns
    -------
    float32 ndarray of shape (D,)
        The same bits for any number of threads.
    """
    return _sum(vectors, np.ascontiguousarray(weights), threads, unit=False)


def _sum(vectors: NDArray[np.float32], weights: NDArray[np.float32], threads: int, *, unit: bool) -> NDArray[np.float32]:
    parts = np.empty((-(-len(vectors) // _PART), vectors.shape[1]), np.float32)
    _sums.weighted_sums(vectors, weights, parts, unit, threads_for(vectors.nbytes, threads))
    total: NDArray[np.float32] = parts.sum(axis=0)
    return total


def dots(vectors: NDArray[np.float32], query: NDArray[np.float32], *, threads: int) -> NDArray[np.float32]:
    """Give the dot product of each row with a vector, in single precision.

    Parameters
    ----------
    vectors : float32 ndarray of shape (n, D)
        C-contiguous, not empty.
    query : float32 ndarray of shape (D,)
    threads : int
        At most how many to use.

    Returns
    -------
    float32 ndarray of shape (n,)
        The same bits for any number of threads.
    """
    out = np.empty(len(vectors), np.float32)
    _sums.dots(vectors, np.ascontiguousarray(query), out, threads_for(vectors.nbytes, threads))
    return out


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
        threads = min(threads_for(16 * sum(map(len, texts)), threads), len(texts))
        _tokens.hash_texts(list(texts), out, threads)
    return out


def lstat_many(paths: Sequence[str]) -> NDArray[np.int64]:
    """Look at many files without the interpreter's lock; links are not followed.

    Parameters
    ----------
    paths : sequence of str
        None of them with a NUL.

    Returns
    -------
    int64 ndarray of shape (n, 4)
        Of each: its mode, its size, and when its content and its status last changed, in ns. The mode is 0 where nothing is
        there, and -1 where that cannot be told.
    """
    out = np.empty((len(paths), 4), np.int64)
    if sys.platform == "win32":  # which has no lstat
        for row, path in zip(out, paths, strict=True):
            row[:] = _lstat_one(path)
    elif len(paths):
        _lstat.lstat_many(os.fsencode("\0".join(paths) + "\0"), out)
    return out


def _lstat_one(path: str) -> tuple[int, int, int, int]:
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return 0, 0, 0, 0
    except OSError:
        return -1, 0, 0, 0
    return status.st_mode, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _contiguous(rows: Rows) -> Rows:
    """Give the rows as the kernels take them, copying only what is not so already."""
    return Rows(
        np.ascontiguousarray(rows.vectors),
        np.ascontiguousarray(rows.norms),
        None if rows.alive is None else np.ascontiguousarray(rows.alive).view(np.uint8),
    )
