"""The choice of a plan: that with which a search of a sample reads the fewest bytes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anam_py._core.codes import Codes, Plan, encode
from anam_py._core.loading import scan as _scan
from anam_py._core.search import Levels, Rows, top_k_many

# Coordinates of a rotation that are tried, and the longest rows whose rotation is worth computing.
_WIDTHS = (64, 96, 128, 192, 256, 384, 512)
_LONGEST = 2048
# Rows of the sample that are taken for queries, and how many of the best of all rows a search is taken to want.
_QUERIES = 32
_WANTED = 10
# Bytes of a row that is read by itself count for so many times as much as those of a scan, and it costs so many in any case.
_SCATTERED = 1.5
_CANDIDATE = 64
# Less than this share of the bytes is not worth a second code, or any.
_WORTHWHILE = 0.9


def choose_plan(sample: NDArray[np.float32], *, rows: int, threads: int) -> Plan | None:
    """Choose how to code rows like those of a sample.

    Parameters
    ----------
    sample : float32 ndarray of shape (m, D)
        Some thousands of the rows, in no particular order.
    rows : int
        How many rows there are in all: the more, the nearer are the best, and the fewer others look as good.
    threads : int
        At most how many to use.

    Returns
    -------
    Plan or None
        That with which a search reads least, in the first level and of the rows that it leaves; None if none reads much less
        than all rows take.
    """
    norms = np.empty(len(sample))
    _scan.norms(sample, norms)
    directed = norms > 0
    units = np.ascontiguousarray(sample[directed] / norms[directed, np.newaxis], np.float32)
    queries, units = units[:_QUERIES], units[_QUERIES:]
    if len(units) == 0:
        return None
    ones = np.ones(len(units))
    wanted = max(1, round(_WANTED * len(units) / rows))
    least, chosen = _WORTHWHILE * 4 * sample.shape[1], None
    considered = []
    for candidate in _candidates(units):
        codes = Codes.of(candidate, encode(candidate, units, ones, threads=threads))
        levels: list[Levels] = []
        top_k_many([Rows(units, ones, None, codes)], queries, wanted, threads=threads, levels=levels)
        bounded, scored = (
            sum(getattr(told, name) for told in levels) / len(levels) / len(units) for name in ("bounded", "scored")
        )
        exact = _SCATTERED * 4 * candidate.dimension
        plain = candidate.row_bytes + bounded * (_CANDIDATE + exact)
        detailed = candidate.row_bytes + bounded * (_CANDIDATE + _SCATTERED * candidate.dimension) + scored * exact
        plan = replace(candidate, detail=detailed < _WORTHWHILE * plain)
        read = detailed if candidate.detail else plain
        considered.append((str(plan), round(read, 1)))
        if read < least:
            least, chosen = read, plan
    return None if chosen is None else replace(chosen, considered=tuple(considered))


def _candidates(units: NDArray[np.float32]) -> Iterator[Plan]:
    """Yield plans with both levels: of ever more of the directions in which rows differ most, then of all coordinates."""
    dimension = units.shape[1]
    if _WIDTHS[0] < dimension <= _LONGEST:
        _, directions = np.linalg.eigh((units.T @ units).astype(np.float64))
        directions = directions[:, ::-1].T
        random = np.random.default_rng(0)
        for width in (width for width in _WIDTHS if width < dimension):
            # The leading directions hold most of a row. Turned among themselves they share it evenly, as few bits want it.
            turn, _ = np.linalg.qr(random.standard_normal((width, width)))
            rotation = np.ascontiguousarray(turn @ directions[:width], np.float32)
            yield Plan(dimension, width, 4, rotation, detail=True)
    for bits in (4, 6):
        yield Plan(dimension, dimension, bits, None, detail=True)
