"""What a user of the scan may rely on: the k best rows, exactly, whatever the data, the blocks and the threads."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import oracle_norms, oracle_scores, oracle_top_k

from anam_py import _core
from anam_py._core import Rows

DIMENSIONS = [1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 64, 100, 768, 1000]

Vectors = NDArray[np.float32]


@pytest.fixture(autouse=True)
def threads_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use as many threads as are asked for, however little there is to do."""
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)


def rows_of(vectors: Vectors, alive: NDArray[np.uint8] | None = None) -> Rows:
    return Rows(vectors, _core.norms(vectors), alive)


def hits(
    blocks: list[Rows], query: Vectors, k: int, min_score: float = -np.inf, threads: int = 2
) -> list[tuple[int, int, float]]:
    found = _core.top_k(blocks, query, k, min_score, threads=threads)
    assert (found.block.dtype, found.row.dtype, found.score.dtype) == (np.int32, np.int64, np.float64)
    return list(zip(found.block.tolist(), found.row.tolist(), found.score.tolist(), strict=True))


def gaussian(rng: np.random.Generator, *shape: int) -> Vectors:
    return rng.standard_normal(shape, dtype=np.float32)


# ---- norms and scores ----


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_norms_and_scores_are_the_contracts_to_the_last_bit(rng: np.random.Generator, dimension: int) -> None:
    vectors, query = gaussian(rng, 50, dimension), gaussian(rng, dimension)
    np.testing.assert_array_equal(_core.norms(vectors), oracle_norms(vectors))
    np.testing.assert_array_equal(_core.scores(vectors, query), oracle_scores(vectors, query))
    np.testing.assert_allclose(
        _core.scores(vectors, query),
        vectors.astype(float) @ query / np.linalg.norm(vectors.astype(float), axis=1) / np.linalg.norm(query.astype(float)),
        rtol=0,
        atol=1e-14,
    )


def test_a_pairs_cosine_does_not_depend_on_its_order(rng: np.random.Generator) -> None:
    a, b = gaussian(rng, 2, 100)
    assert _core.pair_cosine(a, b) == _core.pair_cosine(b, a) == oracle_scores(a[np.newaxis], b)[0]


def test_a_vector_has_cosine_one_with_itself_at_any_scale(rng: np.random.Generator) -> None:
    vector = gaussian(rng, 768)
    for scale in (1e-40, 1e-30, 1, 1e30, 1e37):
        scaled = (vector * scale).astype(np.float32)
        assert _core.pair_cosine(scaled, scaled) == pytest.approx(1, abs=1e-15)


def test_no_rows_have_no_norms_and_no_scores() -> None:
    assert _core.norms(np.empty((0, 8), np.float32)).shape == (0,)
    assert _core.scores(np.empty((0, 8), np.float32), np.ones(8, np.float32)).shape == (0,)


# ---- top-k: what is found ----


@pytest.mark.parametrize("dimension", DIMENSIONS)
@pytest.mark.parametrize("k", [1, 10, 2000])
def test_the_k_best_are_found_in_any_dimension(rng: np.random.Generator, dimension: int, k: int) -> None:
    blocks = [rows_of(gaussian(rng, 700, dimension)), rows_of(gaussian(rng, 301, dimension))]
    query = gaussian(rng, dimension)
    assert hits(blocks, query, k) == oracle_top_k(blocks, query, k)


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("splits", [[], [1], [999], [500], [0, 0, 3, 3, 500, 1000], list(range(1, 1000, 7))])
def test_neither_threads_nor_blocks_change_an_answer(rng: np.random.Generator, threads: int, splits: list[int]) -> None:
    vectors, query = gaussian(rng, 1000, 64), gaussian(rng, 64)
    vectors[::3] = vectors[0]
    blocks = [rows_of(np.ascontiguousarray(part)) for part in np.split(vectors, splits)]
    starts = [0, *splits]
    for k in (1, 10, 400):
        found = [(starts[block] + row, score) for block, row, score in hits(blocks, query, k, threads=threads)]
        assert found == [hit[1:] for hit in oracle_top_k([rows_of(vectors)], query, k)]


def test_all_rows_that_tie_at_the_last_place_are_kept(rng: np.random.Generator) -> None:
    vectors, query = gaussian(rng, 3000, 33), gaussian(rng, 33)
    best = query + np.float32(0.01)
    vectors[100:1100] = best
    found = hits([rows_of(vectors)], query, 10)
    assert [row for _, row, _ in found] == list(range(100, 1100))
    assert len({score for _, _, score in found}) == 1


def test_rows_that_differ_by_one_rounding_are_ranked_by_their_exact_scores(rng: np.random.Generator) -> None:
    query = gaussian(rng, 768)
    vectors = np.repeat(query[np.newaxis], 2000, axis=0)
    place = rng.integers(0, 768, 2000)
    vectors[np.arange(2000), place] = np.nextafter(vectors[np.arange(2000), place], np.float32(np.inf), dtype=np.float32)
    blocks = [rows_of(vectors)]
    for k in (1, 10, 100, 1500):
        assert hits(blocks, query, k) == oracle_top_k(blocks, query, k)


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 1e-7])
def test_rows_closer_than_single_precision_sees_are_ranked_by_their_exact_scores(rng: np.random.Generator, spread: float) -> None:
    query = gaussian(rng, 100)
    vectors = (query + spread * gaussian(rng, 3000, 100)).astype(np.float32)
    blocks = [rows_of(vectors)]
    assert hits(blocks, query, 20) == oracle_top_k(blocks, query, 20)


@pytest.mark.parametrize("query_scale", [1e-44, 1e-30, 1, 1e30, 1e37])
def test_scale_never_matters_to_what_is_found(rng: np.random.Generator, query_scale: float) -> None:
    scales = 10.0 ** rng.uniform(-44, 37, (2000, 1))
    with np.errstate(under="ignore"):
        vectors = (gaussian(rng, 2000, 50) * scales).astype(np.float32)
        query = (gaussian(rng, 50) * query_scale).astype(np.float32)
    vectors = vectors[(vectors != 0).any(axis=1)]
    query[0] = max(query[0], np.float32(1e-45))
    blocks = [rows_of(vectors)]
    for k in (1, 10, 1500):
        assert hits(blocks, query, k) == oracle_top_k(blocks, query, k)


def test_rows_too_great_or_small_for_single_precision_do_not_hide_others(rng: np.random.Generator) -> None:
    vectors, query = gaussian(rng, 1000, 16), gaussian(rng, 16)
    vectors[:300] *= np.float32(1e30)
    vectors[300:600] *= np.float32(1e-35)
    blocks = [rows_of(vectors)]
    for k in (1, 5, 500, 1100):
        assert hits(blocks, query, k) == oracle_top_k(blocks, query, k)


def test_dead_rows_are_passed_over(rng: np.random.Generator) -> None:
    vectors, query = gaussian(rng, 500, 24), gaussian(rng, 24)
    vectors[:50] = query
    alive = (rng.random(500) < 0.5).astype(np.uint8)
    alive[:50] = 0
    blocks = [rows_of(vectors, alive), rows_of(vectors[:100], np.zeros(100, np.uint8)), rows_of(vectors[400:])]
    for k in (1, 10, 300, 2000):
        assert hits(blocks, query, k) == oracle_top_k(blocks, query, k)


def test_dead_rows_of_any_scale_are_passed_over(rng: np.random.Generator) -> None:
    vectors = gaussian(rng, 100, 8) * np.float32(1e30)
    assert hits([rows_of(vectors, np.zeros(100, np.uint8))], vectors[0], 10) == []


@pytest.mark.parametrize("min_score", [-2, -1, -0.1, 0, 0.1, 0.5, 0.999, 1, 1.5, np.inf])
def test_nothing_below_the_minimum_is_found_and_nothing_above_it_missed(rng: np.random.Generator, min_score: float) -> None:
    vectors, query = gaussian(rng, 1000, 12), gaussian(rng, 12)
    blocks = [rows_of(vectors)]
    for k in (1, 10, 1000):
        assert hits(blocks, query, k, min_score) == oracle_top_k(blocks, query, k, min_score)


def test_a_row_that_has_the_minimum_exactly_is_found(rng: np.random.Generator) -> None:
    vectors, query = gaussian(rng, 1000, 12), gaussian(rng, 12)
    for score in np.sort(oracle_scores(vectors, query))[::100]:
        assert hits([rows_of(vectors)], query, 1000, float(score))[-1][2] == score


def test_a_row_without_a_direction_has_no_score_and_is_not_found() -> None:
    vectors = np.eye(4, dtype=np.float32)
    vectors[2] = 0
    assert [row for _, row, _ in hits([rows_of(vectors)], np.ones(4, np.float32), 10)] == [0, 1, 3]
    assert hits([rows_of(vectors)], np.zeros(4, np.float32), 10) == []


@pytest.mark.parametrize("blocks", [[], [Rows(np.empty((0, 5), np.float32), np.empty(0))] * 3])
def test_nothing_is_found_where_nothing_is(blocks: list[Rows]) -> None:
    assert hits(blocks, np.ones(5, np.float32), 3) == []


values = st.sampled_from([0, 1, -1, 0.5, 3, 1e-3, 1e30, -1e30, 1e-30, 1e-42, 3e38]) | st.floats(-1, 1, width=32)


@st.composite
def scans(draw: st.DrawFn) -> tuple[list[Rows], Vectors, int, float]:
    """Draw few blocks of few rows that are often equal, opposite or of extreme scale."""
    dimension = draw(st.integers(1, 20))
    vector = st.lists(values, min_size=dimension, max_size=dimension)
    distinct = draw(st.lists(vector, min_size=1, max_size=6))
    blocks = []
    for chosen in draw(st.lists(st.lists(st.sampled_from(distinct), max_size=8), max_size=4)):
        vectors = np.array(chosen, np.float32).reshape(-1, dimension)
        alive = draw(st.none() | st.lists(st.integers(0, 1), min_size=len(chosen), max_size=len(chosen)))
        blocks.append(rows_of(vectors, None if alive is None else np.array(alive, np.uint8)))
    return blocks, np.array(draw(vector), np.float32), draw(st.integers(1, 12)), draw(st.sampled_from([-np.inf, -1, 0, 0.5, 1]))


@settings(deadline=None, max_examples=300)
@given(scans())
def test_any_small_scan_gives_the_plain_answer(scan: tuple[list[Rows], Vectors, int, float]) -> None:
    assert hits(*scan) == oracle_top_k(*scan)


# ---- top-k: what is given ----


def test_read_only_memory_maps_are_scanned_where_they_are(rng: np.random.Generator, tmp_path: Path) -> None:
    vectors, query = gaussian(rng, 1000, 48), gaussian(rng, 48)
    vectors.tofile(tmp_path / "vectors")
    oracle_norms(vectors).tofile(tmp_path / "norms")
    mapped = Rows(
        np.memmap(tmp_path / "vectors", np.float32, "r", shape=(1000, 48)), np.memmap(tmp_path / "norms", np.float64, "r")
    )
    assert hits([mapped], query, 10) == oracle_top_k([rows_of(vectors)], query, 10)


def test_strided_vectors_and_boolean_masks_are_taken(rng: np.random.Generator) -> None:
    wide, query = gaussian(rng, 200, 80), gaussian(rng, 80)
    vectors, alive = wide[::2, ::2], np.arange(100) % 3 > 0
    rows = Rows(vectors, oracle_norms(vectors), alive)  # type: ignore[arg-type]
    assert hits([rows], query[::2], 10) == oracle_top_k([rows], query[::2], 10)


def test_a_scan_reads_its_arguments_only(rng: np.random.Generator) -> None:
    vectors, query = gaussian(rng, 100, 16), gaussian(rng, 16)
    rows = rows_of(vectors.copy(), np.ones(100, np.uint8))
    before = query.copy()
    _core.top_k([rows], query, 10, threads=2)
    np.testing.assert_array_equal(rows.vectors, vectors)
    np.testing.assert_array_equal(query, before)


@pytest.mark.parametrize(
    "rows",
    [
        Rows(np.ones((3, 5), np.float32), np.ones(3)),
        Rows(np.ones((3, 4), np.float32), np.ones(2)),
        Rows(np.ones((3, 4), np.float32), np.ones(3), np.ones(4, np.uint8)),
        Rows(np.empty((0, 5), np.float32), np.empty(0)),
    ],
)
def test_blocks_that_do_not_fit_are_refused_rather_than_read_beyond_their_ends(rows: Rows) -> None:
    with pytest.raises(ValueError, match=r"block 1: .* are not rows of dimension 4"):
        _core.top_k([rows_of(np.ones((2, 4), np.float32)), rows], np.ones(4, np.float32), 1, threads=1)


def test_vectors_of_different_dimensions_have_no_cosine() -> None:
    with pytest.raises(ValueError, match="dimension 3 has no cosine with rows of dimension 4"):
        _core.pair_cosine(np.ones(4, np.float32), np.ones(3, np.float32))


# ---- the bound ----


def test_no_score_exceeds_its_bound_and_bounds_are_tight(rng: np.random.Generator) -> None:
    for dimension in DIMENSIONS:
        query = gaussian(rng, dimension)
        # Random rows; rows like the query, whose terms all have one sign; and those with every rounding in one direction.
        alike = np.abs(query) * (1 + 1e-3 * gaussian(rng, 300, dimension))
        biased = np.full((1, dimension), np.float32(1 + 2**-12 + 2**-23))
        for vectors in (gaussian(rng, 300, dimension), np.copysign(alike, query).astype(np.float32), biased):
            excess = bounds(vectors, query) - oracle_scores(vectors, query)
            assert excess.min() >= 0
            assert excess.max() <= 2 * _core._scan.slack(dimension) + 2**-21


def bounds(vectors: Vectors, query: Vectors) -> NDArray[np.float32]:
    table = _core._scan.Blocks([(vectors, _core.norms(vectors), None, None)], len(query), 1)
    unit, norm = np.empty((1, len(query)), np.float32), np.empty(1)
    _core._scan.normalise(query[np.newaxis], unit, norm)
    return _core._scan.Bounds(table, unit, [], 0, -np.inf, 1).of(table, 0)


def test_only_a_few_rows_need_their_exact_score(rng: np.random.Generator) -> None:
    vectors, query = gaussian(rng, 20_000, 64), gaussian(rng, 64)
    told: list[_core.Levels] = []
    _core.top_k_many([rows_of(vectors)], query[np.newaxis], 10, threads=1, levels=told)
    assert 10 <= told[0].scored < 15


# ---- threads ----


def test_a_scan_lets_other_threads_run(rng: np.random.Generator, releases_gil: Callable[[Callable[[], object]], bool]) -> None:
    block, query = rows_of(gaussian(rng, 5000, 64)), gaussian(rng, 64)
    assert not releases_gil(lambda: sum(range(10_000)))
    assert releases_gil(lambda: _core.top_k([block], query, 5, threads=1))
    assert releases_gil(lambda: _core.norms(block.vectors))
    assert releases_gil(lambda: _core.mean_field([block], threads=1))


def test_many_threads_may_scan_the_same_blocks(rng: np.random.Generator) -> None:
    blocks, queries = [rows_of(gaussian(rng, 3000, 32))], gaussian(rng, 8, 32)
    answers: dict[int, list[tuple[int, int, float]]] = {}
    threads = [
        threading.Thread(target=lambda i=i: answers.update({i: hits(blocks, queries[i], 5)}))  # type: ignore[misc]
        for i in range(len(queries))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {i: oracle_top_k(blocks, query, 5) for i, query in enumerate(queries)}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_can_scan() -> None:
    program = """
import os, signal
import numpy as np
from anam_py import _core
vectors = np.eye(64, dtype=np.float32)
_core.threads._BYTES_PER_THREAD = 1
block = _core.Rows(vectors, _core.norms(vectors))
def scan():
    return _core.top_k([block], vectors[3], 1, threads=2).row.tolist() == [3]
assert scan()
child = os.fork()
if child == 0:
    signal.alarm(20)
    os._exit(not scan())
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
