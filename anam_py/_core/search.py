"""The search for the best rows: levels of bounds, then exact scores (docs/explanation/exactness.md)."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py._core.codes import PANEL_ROWS, Codes, Plan, PreparedQueries
from anam_py._core.loading import scan as _scan
from anam_py._core.loading import settle as _settle
from anam_py._core.threads import effective_threads, threads_for

# Above this, heaps cost more than they save.
_MAX_HEAP = 1024
# Rows that look best and are scored first: some more than wanted, since looks deceive.
_EXTRA = 16
# So few rows are sooner scored than bounded.
_FEW_ROWS = 1024
# What the bounds of some queries at once may take.
_BOUNDS_BYTES = 16 * 2**20
_MOST_AT_ONCE = 128
# Queries that the kernels take at a time.
_TOGETHER = 4


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
    codes : Codes, or None
        The codes of the first rows, or of all, dead ones too; None where they have none.
    """

    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    alive: NDArray[np.uint8] | None = None
    codes: Codes | None = None


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


class Levels(NamedTuple):
    """What the search for one query did.

    Attributes
    ----------
    rows, alive : int
        How many rows there were, and how many of them were to be searched.
    scanned : bool
        Whether there was a first level: so few rows that they are sooner scored need none.
    bounded, scored : int
        How many the first level left, and how many were left to be scored exactly.
    bounding, refining, scoring : float
        Seconds that each step took; a share, where queries were searched together.
    recall : float
        The share of the answer that is to be expected in it; 1 where the search is exact.
    """

    rows: int
    alive: int
    scanned: bool
    bounded: int
    scored: int
    bounding: float
    refining: float
    scoring: float
    recall: float


def top_k_many(
    blocks: Sequence[Rows],
    queries: NDArray[np.float32],
    k: int,
    min_score: float = -np.inf,
    *,
    threads: int,
    recall: float = 1.0,
    levels: list[Levels] | None = None,
) -> list[Candidates]:
    """Find, for each query, the rows whose exact score is not below that of the k-th best, nor below a minimum.

    Parameters
    ----------
    blocks : sequence of Rows
    queries : float32 ndarray of shape (n, D)
    k : int
        At least 1.
    min_score : float
    threads : int
        At most how many to use.
    recall : float, default 1.0
        With less, the first level may drop rows that belong into the answer, each with a probability of up to 1 - `recall`, by
        what was measured when their plan was chosen. Scores are exact all the same.
    levels : list of Levels, optional
        Is told what the search for each query did.

    Returns
    -------
    list of Candidates
        Each by falling score, then by block and row. More than `k` rows where several have the k-th best score; fewer where
        there are fewer. Rows without a direction (norm 0) have no score and are not among them.
    """
    queries = np.ascontiguousarray(queries)
    plans: list[Plan] = []
    at_once = _at_once(len(queries), sum(len(rows.vectors) for rows in blocks))
    table = _scan.Blocks([for_kernels(rows, plans) for rows in blocks], queries.shape[1], at_once)
    alive = sum(len(rows.vectors) if rows.alive is None else int(np.count_nonzero(rows.alive)) for rows in blocks)
    k = min(k, table.n_rows + 1)  # one more than there are asks for all as well as any number
    shares = [plan.share(recall) for plan in plans]
    search = _Search(table, plans, shares, alive, sum(map(_scan_bytes, blocks)), k, min_score)
    found = []
    for start in range(0, len(queries), at_once):
        for candidates, told in search.run(queries[start : start + at_once], effective_threads(threads)):
            found.append(candidates)
            if levels is not None:
                levels.append(told)
    return found


def top_k(blocks: Sequence[Rows], query: NDArray[np.float32], k: int, min_score: float = -np.inf, *, threads: int) -> Candidates:
    """Find for one query, of shape (D,), what `top_k_many` finds for several."""
    return top_k_many(blocks, query[np.newaxis], k, min_score, threads=threads)[0]


@dataclass(frozen=True)
class _Search:
    """One search of many queries over the same rows.

    Attributes
    ----------
    table : Blocks
    plans : list of Plan
        Those of the rows' codes.
    shares : list of (float, float)
        For each, the recall to expect, and what its bounds allow for.
    alive : int
        How many rows are to be searched.
    scan_bytes : int
        What the first level reads of them.
    k : int
    least : float
        Least score of a row to find.
    """

    table: "_scan.Blocks"
    plans: list[Plan]
    shares: list[tuple[float, float]]
    alive: int
    scan_bytes: int
    k: int
    least: float

    def run(self, queries: NDArray[np.float32], threads: int) -> Iterator[tuple[Candidates, Levels]]:
        """Yield what was found for each query."""
        table, count = self.table, len(queries)
        units = np.empty_like(queries)
        norms = np.empty(count)
        _scan.normalise(queries, units, norms)
        started = time.perf_counter()
        bounds = detailed = None
        if self.alive > max(_FEW_ROWS, self.k):
            prepared = PreparedQueries(queries, norms)
            sketches = [prepared.sketches(plan, share) for plan, (_, share) in zip(self.plans, self.shares, strict=True)]
            best = min(2 * self.k, self.k + _EXTRA) if self.k <= _MAX_HEAP else 0
            workers = threads_for(self.scan_bytes * count, threads)
            bounds = _scan.Bounds(table, units, sketches, best, self.least, workers)
            if any(plan.detail for plan in self.plans):
                detailed = prepared.detailed(table.dimension)
        bounding = time.perf_counter() - started
        expected = min((known for known, _ in self.shares), default=1.0) if bounds is not None else 1.0
        found, *rest = _settle.settle(table, bounds, queries, norms, detailed, self.k, self.least, threads)
        bounding, refining, scoring = (spent / count for spent in (bounding, *rest))
        for block, row, score, counts in found:
            yield (
                Candidates(block, row, score),
                Levels(table.n_rows, self.alive, bounds is not None, *counts, bounding, refining, scoring, expected),
            )


def for_kernels(rows: Rows, plans: list[Plan]) -> tuple[object, ...]:
    """Give a block as the kernels take it, copying only what is not contiguous, and note its plan."""
    codes = None
    if rows.codes is not None:
        plan, panels, detail, factors = rows.codes
        if plan not in plans:
            plans.append(plan)
        codes = (plans.index(plan), plan.bits, plan.groups, plan.early, panels, detail, factors)
    alive = None if rows.alive is None else np.ascontiguousarray(rows.alive).view(np.uint8)
    return np.ascontiguousarray(rows.vectors), np.ascontiguousarray(rows.norms), alive, codes


def _scan_bytes(rows: Rows) -> int:
    """Give the bytes that the first level reads of a block."""
    if rows.codes is None:
        return rows.vectors.nbytes
    return rows.codes.panels.nbytes + rows.vectors[PANEL_ROWS * len(rows.codes.panels) :].nbytes


def _at_once(n_queries: int, n_rows: int) -> int:
    """Give how many queries to search for together: so many that their bounds do not take too much memory."""
    return max(1, min(n_queries, _MOST_AT_ONCE, _BOUNDS_BYTES // (4 * max(1, n_rows)) // _TOGETHER * _TOGETHER))
