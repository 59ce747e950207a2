"""What a search does, step by step: the same search, with its steps counted and timed."""

import time

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py.store import queries
from anam_py.store.engine import Engine
from anam_py.store.reports import Explanation, Step
from anam_py.store.snapshot import Snapshot
from anam_py.store.tables import Reader

_PANEL_ROWS = 16


def similar(engine: Engine, query: NDArray[np.float32], limit: int, min_similarity: float, scope: queries.Scope) -> Explanation:
    """Return how `queries.similar` finds the entries most similar to one vector."""

    def work(snapshot: Snapshot, reader: Reader) -> Explanation:
        started = time.perf_counter()
        chosen = scope.of(snapshot, reader, engine.scopes)
        filtered = time.perf_counter()
        rows = chosen.rows()
        told: list[_core.Levels] = []
        threads = queries.threads()
        least = queries.least_score(min_similarity)
        found = _core.top_k_many(rows, query[np.newaxis], limit, least, threads=threads, levels=told)[0]
        searched = time.perf_counter()
        hits = queries.hits(engine, reader, snapshot, query, found, found.score, limit)
        read = time.perf_counter()

        levels = told[0]
        steps = []
        if scope.where is not None:
            steps.append(Step("filter", snapshot.live, chosen.live, 0, filtered - started))
        if levels.scanned:
            name = " and ".join(sorted({_first_level(block) for block in rows if len(block.vectors)}))
            steps.append(Step(name, levels.alive, levels.bounded, sum(map(_scanned_bytes, rows)), levels.bounding))
        detail = max(0 if block.codes is None or block.codes.detail is None else block.codes.detail.shape[1] for block in rows)
        if levels.scanned and detail:
            steps.append(Step("8 bits", levels.bounded, levels.scored, levels.bounded * detail, levels.refining))
        looked = 0.0 if levels.scanned and detail else levels.refining
        exact = levels.scored * 4 * len(query)
        steps.append(Step("exact score", levels.scored, len(found.score), exact, levels.scoring + looked))
        other = max(0.0, searched - filtered - levels.bounding - levels.refining - levels.scoring)
        steps.append(Step("records", len(found.score), len(hits), len(hits) * 4 * len(query), read - searched + other))
        plans = [block.codes.plan for block in rows if block.codes is not None]
        return Explanation(
            steps=steps,
            threshold=hits[-1][1] if len(hits) == limit else None,
            plan=str(plans[0]) if plans else None,
            considered=list(plans[0].considered) if plans else [],
            skipped_by_filter=snapshot.live - chosen.live,
            skipped_by_threshold=levels.alive - levels.bounded,
            simd=_core.simd_level(),
            threads=_core.effective_threads(threads),
        )

    return engine.consistent(work)


def _first_level(rows: _core.Rows) -> str:
    return "float32" if rows.codes is None else rows.codes.plan.first_level


def _scanned_bytes(rows: _core.Rows) -> int:
    """Return how many bytes the first level reads of a block: it passes over panels of dead rows."""
    if rows.codes is None:
        return int(rows.vectors.nbytes)
    panels = rows.codes.panels
    coded = min(len(rows.vectors), _PANEL_ROWS * len(panels))
    plain = int(rows.vectors[coded:].nbytes)
    if rows.alive is None:
        return int(panels.nbytes) + plain
    read = np.count_nonzero(np.logical_or.reduceat(rows.alive[:coded] != 0, np.arange(0, coded, _PANEL_ROWS)))
    return int(read * panels.shape[1]) + plain
