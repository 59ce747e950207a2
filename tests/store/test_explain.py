"""What a search says of itself, and what it may leave out when it is told to."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import oracle_scores

from anam_py import HTMCore, ValidationError, _core
from anam_py.store.queries import ApproximateHits

pytestmark = pytest.mark.skipif(not _core.CODES_PAY, reason="codes are not used with this instruction set")

Rows = NDArray[np.float32]
DIMENSION, COUNT = 256, 6_000


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Rows whose spectrum decays, so that a rotation is worth its while."""
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.standard_normal((DIMENSION, DIMENSION)))
    return ((rng.standard_normal((COUNT, DIMENSION)) * np.arange(1, DIMENSION + 1) ** -0.8) @ basis).astype(np.float32)


@pytest.fixture(scope="module")
def htm(tmp_path_factory: pytest.TempPathFactory, rows: Rows) -> Iterator[HTMCore]:
    with HTMCore(tmp_path_factory.mktemp("explain") / "store", dimension=DIMENSION) as htm:
        metadata = [{"tenth": i % 10 == 0} for i in range(COUNT)]
        htm.store_embeddings([f"row {i}" for i in range(COUNT)], rows, metadata)
        htm.compact()  # which waits for the codes
        yield htm


def test_each_step_begins_with_what_the_one_before_left(htm: HTMCore, rows: Rows) -> None:
    told = htm.explain_search(rows[0], 10, -1)
    assert told.steps[0].rows == COUNT
    assert [step.rows for step in told.steps[1:]] == [step.left for step in told.steps[:-1]]
    assert told.steps[-1].left == 10
    assert told.skipped_by_threshold == COUNT - told.steps[0].left > COUNT / 2
    assert all(step.seconds >= 0 for step in told.steps)


def test_the_threshold_is_the_score_of_the_last_hit(htm: HTMCore, rows: Rows) -> None:
    assert htm.explain_search(rows[5], 7, -1).threshold == htm.search_similar(rows[5], 7, -1)[-1][1]
    assert htm.explain_search(rows[5], 7, 0.999999).threshold is None


def test_less_is_read_than_the_rows_take(htm: HTMCore, rows: Rows) -> None:
    assert sum(step.bytes for step in htm.explain_search(rows[1], 10, -1).steps) < rows.nbytes / 4


def test_the_plan_is_the_best_of_those_considered(htm: HTMCore, rows: Rows) -> None:
    told = htm.explain_search(rows[1], 10, -1)
    assert told.plan == min(told.considered, key=lambda plan: plan[1])[0] == htm.stats()["codes"]


def test_rows_that_a_filter_leaves_out_are_counted(htm: HTMCore, rows: Rows) -> None:
    told = htm.explain_search(rows[1], 10, -1, where={"tenth": True})
    assert told.steps[0][:3] == ("filter", COUNT, COUNT // 10)
    assert told.skipped_by_filter == COUNT * 9 // 10


def test_a_store_without_codes_says_so(tmp_path: Path, rows: Rows) -> None:
    with HTMCore(tmp_path, dimension=DIMENSION) as htm:
        htm.store_embeddings(["a", "b"], rows[:2])
        told = htm.explain_search(rows[0], 10, -1)
    assert told.plan is None
    assert "no codes" in str(told)
    assert [step.name for step in told.steps] == ["exact score", "records"]


def test_an_explanation_prints_as_a_table(htm: HTMCore, rows: Rows) -> None:
    text = str(htm.explain_search(rows[0], 10, -1))
    assert "rotated coordinates" in text
    assert f"{COUNT:,}" in text
    assert all(len(line) <= 100 for line in text.splitlines())


def test_an_approximate_search_reaches_the_recall_that_it_says(htm: HTMCore, rows: Rows) -> None:
    rng = np.random.default_rng(0)
    queries = rows[rng.choice(COUNT, 200, replace=False)] + 0.02 * rng.standard_normal((200, DIMENSION)).astype(np.float32)
    exact = htm.search_many(queries, 10, -1)
    for recall in (0.5, 0.9, 0.99):
        approximate = htm.search_many(queries, 10, -1, mode="approx", recall=recall)
        assert all(isinstance(hits, ApproximateHits) and hits.expected_recall >= recall for hits in approximate)
        found = [
            len({key for key, _, _ in hits} & {key for key, _, _ in best}) / 10
            for hits, best in zip(approximate, exact, strict=True)
        ]
        assert np.mean(found) >= recall - 0.02
        for hits, best in zip(approximate, exact, strict=True):
            assert {hit[:2] for hit in hits} & {hit[:2] for hit in best} or not hits  # scores are exact


def test_an_approximate_search_with_full_recall_is_exact(htm: HTMCore, rows: Rows) -> None:
    hits = htm.search_similar(rows[2], 10, -1, mode="approx", recall=1)
    assert [hit[:2] for hit in hits] == [hit[:2] for hit in htm.search_similar(rows[2], 10, -1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "fast"}, 'mode must be "exact" or "approx", got \'fast\''),
        ({"mode": "approx", "recall": 0}, "recall must be above 0 and at most 1, got 0"),
        ({"mode": "approx", "recall": 1.5}, "recall must be above 0 and at most 1, got 1.5"),
        ({"recall": float("nan")}, "recall must be a finite number, got float nan"),
    ],
)
def test_a_wrong_mode_or_recall_is_an_error(htm: HTMCore, rows: Rows, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        htm.search_similar(rows[0], 10, -1, **arguments)  # type: ignore[arg-type]


async def test_an_explanation_can_be_awaited(htm: HTMCore, rows: Rows) -> None:
    told = await htm.explain_search_async(rows[0], 3)
    assert json.dumps([step._asdict() for step in told.steps])


def test_pending_rows_are_searched_by_codes_once_there_are_many(tmp_path: Path, rows: Rows) -> None:
    with HTMCore(tmp_path, dimension=DIMENSION) as htm:
        htm.store_embeddings([f"row {i}" for i in range(3_000)], rows[:3_000])
        htm.compact()
        for start in range(3_000, COUNT, 750):  # few enough at a time to stay in no segment
            htm.store_embeddings([f"row {i}" for i in range(start, start + 750)], rows[start : start + 750])
            query = rows[start] + rows[start - 1]
            told = htm.explain_search(query, 10, -1)
            scores = oracle_scores(rows[: start + 750], query)
            best = np.argsort(-scores)[:10]
            assert [hit[:2] for hit in htm.search_similar(query, 10, -1)] == [(f"row {i}", scores[i]) for i in best]
            htm.delete(f"row {start}")
            htm.store_embedding(f"row {start}", rows[start], {})
        assert htm.stats()["pending_rows"] >= 3_000
        assert told.steps[0].bytes < rows.nbytes / 2
