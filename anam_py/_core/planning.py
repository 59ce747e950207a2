"""The choice of a plan: that with which a search of a sample reads the fewest bytes."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from anam_py._core.codes import Codes, Plan, PreparedQueries, encode
from anam_py._core.loading import scan as _scan
from anam_py._core.search import Levels, Rows, for_kernels, top_k_many

# Coordinates of a rotation that are tried, and the longest rows whose rotation is worth computing.
_WIDTHS = (64, 96, 128, 192, 256, 384, 512)
_LONGEST = 2048
# Rows of the sample that are taken for queries, and how many of the best of all rows a search is taken to want.
_QUERIES = 32
_WANTED = 10
# Measured in time, bytes of a row that is read by itself count for so many of a scan's, and it costs so many in any case.
_SCATTERED = 3.0
_CANDIDATE = 1_000
# What bounds must allow for is measured for these shares of the nearest rows, and some more is allowed for.
_RECALLS = (0.5, 0.8, 0.9, 0.95, 0.99)
_ASKING = 256
_MARGIN = 1.2
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
    asking, queries, units = units[:_ASKING], units[:_QUERIES], units[_ASKING:]
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
        read = detailed if plan.detail else plain
        considered.append((str(plan), round(read, 1)))
        if read < least:
            least, chosen = read, plan
    if chosen is None:
        return None
    return replace(chosen, considered=tuple(considered), shares=_shares(chosen, units, asking, threads=threads))


def _shares(
    plan: Plan, units: NDArray[np.float32], queries: NDArray[np.float32], *, threads: int
) -> tuple[tuple[float, float], ...]:
    """Return what bounds must allow for, for some shares of the nearest rows to stay within theirs (`Plan.shares`)."""
    codes = Codes.of(plan, encode(plan, units, np.ones(len(units)), threads=threads))
    plans: list[Plan] = []
    table = _scan.Blocks([for_kernels(Rows(units, np.ones(len(units)), None, codes), plans)], plan.dimension, len(queries))
    prepared = PreparedQueries(queries, np.ones(len(queries)))
    estimated, bounded = (
        _scan.Bounds(table, queries, [prepared.sketches(plan, share)], 0, -np.inf, threads) for share in (0.0, 1.0)
    )
    needed: list[float] = []
    for k, scores in enumerate(queries @ units.T):
        nearest = np.argpartition(scores, -2)[-2:]  # those of all rows are nearer still
        estimates, bounds = estimated.of(table, k)[nearest], bounded.of(table, k)[nearest]
        needed += ((scores[nearest] - estimates) / np.maximum(bounds - estimates, 2.0**-20)).tolist()
    return tuple((recall, float(np.clip(np.quantile(needed, recall) * _MARGIN, 0.0, 1.0))) for recall in _RECALLS)


def _candidates(units: NDArray[np.float32]) -> Iterator[Plan]:
    """Yield plans with both levels: of ever more of the directions in which rows differ most, then of all coordinates."""
    dimension = units.shape[1]
    if _WIDTHS[0] < dimension <= _LONGEST:
        _, directions = np.linalg.eigh((units.T @ units).astype(np.float64))
        directions = directions[:, ::-1].T
        for width in (width for width in _WIDTHS if width < dimension):
            # The leading directions hold most of a row. Turned among themselves they share it evenly, as few bits want it.
            rotation = np.ascontiguousarray(_even_turn(width) @ directions[:width], np.float32)
            yield Plan(dimension, width, 4, rotation, detail=True)
    for bits in (4, 6):
        yield Plan(dimension, dimension, bits, None, detail=True)


def _even_turn(width: int) -> NDArray[np.float64]:
    """Return an orthogonal matrix that spreads each coordinate over all: a discrete cosine transform behind random signs.

    As good as a random matrix for that [1]_, which would have to be made orthogonal first: a hundred times the work.

    .. [1] N. Ailon and B. Chazelle, The fast Johnson-Lindenstrauss transform and approximate nearest neighbors, 2009.
    """
    signs = np.random.default_rng(0).choice((-1.0, 1.0), width)
    rows, columns = np.arange(width)[:, np.newaxis], np.arange(width)
    turn: NDArray[np.float64] = np.sqrt(2 / width) * np.cos(np.pi / width * (columns + 0.5) * rows) * signs
    turn[0] /= np.sqrt(2)
    return turn
