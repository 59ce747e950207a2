"""What a user of codes may rely on: a search that uses them gives the answer of one that reads every row, to the last bit."""

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from coded import coded, common_rows, rotation, rows_against, some_plans
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import oracle_score_matrix

from anam_py import _core
from anam_py._core import Candidates, Levels, Plan, Rows

# Of some hundred thousand pairs of a query and a row each.
CASES = int(os.environ.get("ANAM_TEST_CASES", "1"))

Vectors = NDArray[np.float32]


@pytest.fixture(autouse=True)
def codes_and_threads_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use codes and as many threads as are asked for, however few rows there are."""
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)
    monkeypatch.setattr(_core.search, "_FEW_ROWS", 0)


def gaussian(rng: np.random.Generator, *shape: int) -> Vectors:
    return rng.standard_normal(shape, dtype=np.float32)


def check(
    blocks: Sequence[Rows], queries: Vectors, k: int, min_score: float = -np.inf, threads: int = 1, scores: Vectors | None = None
) -> None:
    """Compare what is found for each query with what a plain look at all scores finds."""
    vectors = np.concatenate([rows.vectors for rows in blocks])
    alive = np.concatenate([np.ones(len(rows.vectors), bool) if rows.alive is None else rows.alive != 0 for rows in blocks])
    block = np.repeat(np.arange(len(blocks)), [len(rows.vectors) for rows in blocks])
    first = np.cumsum([0, *(len(rows.vectors) for rows in blocks)])
    scores = oracle_score_matrix(vectors, queries) if scores is None else scores
    found = _core.top_k_many(blocks, queries, k, min_score, threads=threads)
    assert len(found) == len(queries)
    for candidates, of_query in zip(found, scores, strict=True):
        among = np.flatnonzero(alive & (of_query >= min_score))
        if len(among) > k:
            among = among[of_query[among] >= np.partition(of_query[among], -k)[-k]]
        among = among[np.lexsort((among, -of_query[among]))]
        expected = Candidates(block[among].astype(np.int32), among - first[block[among]], of_query[among])
        assert [part.tobytes() for part in candidates] == [part.tobytes() for part in expected]


# ---- random searches ----


def some_rows(rng: np.random.Generator, n: int, dimension: int) -> Vectors:
    """Return rows of one kind or of many, of which some are equal, opposite, multiples of each other or nearly so."""
    kinds = common_rows(rng, n, dimension)
    vectors = kinds[str(rng.choice(list(kinds)))] if rng.random() < 0.6 else np.concatenate(list(kinds.values()))
    vectors = vectors[rng.integers(len(vectors), size=n) if rng.random() < 0.3 else rng.permutation(len(vectors))[:n]]
    with np.errstate(over="ignore", under="ignore"):
        for share in rng.choice([0, 0.02, 0.5], 3):
            chosen = rng.random(n) < share
            near = vectors[rng.integers(1 + rng.integers(n), size=n)]
            if rng.random() < 0.5:
                near = near * (2.0 ** rng.integers(-3, 4, (n, 1))).astype(np.float32)
            if rng.random() < 0.5:
                near = np.nextafter(near, near * np.float32(2) * rng.choice(np.float32([-1, 0, 1]), (n, dimension)))
            vectors = np.where(chosen[:, np.newaxis] & np.isfinite(near), near, vectors)
    vectors[~vectors.any(axis=1), 0] = 1
    return np.ascontiguousarray(vectors)


def some_queries(rng: np.random.Generator, vectors: Vectors, plans: list[Plan], n: int) -> Vectors:
    """Return rows, sums of rows, vectors near to rows, and others, of any scale."""
    norms = np.linalg.norm(vectors.astype(float), axis=1, keepdims=True)
    units = vectors / norms
    one, other = units[rng.integers(len(units), size=(2, n))]
    noise = rng.standard_normal(one.shape) * 10.0 ** rng.uniform(-7, 1, (n, 1))
    parts = [one, one + other, one + noise, noise, -one]
    plan = plans[rng.integers(len(plans))]
    parts.append(np.concatenate(list(rows_against(rng, plan, vectors[0] / np.float32(norms[0, 0]), 1).values())))
    queries = np.concatenate(parts)[rng.integers(sum(map(len, parts)), size=n)]
    queries = (queries * 2.0 ** rng.choice([0, 0, 0, -130, -147, 70], (n, 1))).astype(np.float32)
    queries[~queries.any(axis=1), -1] = -1
    return queries


def some_blocks(rng: np.random.Generator, vectors: Vectors, plans: list[Plan]) -> list[Rows]:
    """Return rows as blocks, most of them with codes, some rows of most dead."""
    cuts = np.sort(rng.integers(len(vectors) + 1, size=rng.integers(5)))
    blocks = []
    for part in np.split(vectors, cuts):
        alive = None
        if rng.random() < 0.6:
            alive = (rng.random(len(part)) < rng.choice([0, 0.01, 0.5, 0.99])).astype(np.uint8)
            alive[: len(part) // 2] &= np.uint8(rng.random() < 0.7)
        plan = plans[rng.integers(len(plans))]
        rows = coded(plan, part, alive)
        if rng.random() < 0.3:  # only of some whole panels
            rows = rows._replace(codes=coded(plan, part[: rng.integers(len(part) + 1) // 16 * 16]).codes)
        blocks.append(rows if rng.random() < 0.8 else rows._replace(codes=None))
    return blocks


def search_at_random(rng: np.random.Generator, n_rows: int, n_queries: int, dimension: int) -> int:
    """Search random rows by random codes for random queries in several ways; return how many pairs that were."""
    plans = some_plans(rng, dimension)
    vectors = some_rows(rng, n_rows, dimension)
    queries = some_queries(rng, vectors, plans, n_queries)
    scores = oracle_score_matrix(vectors, queries)
    some = np.unique(scores[np.isfinite(scores)])[-rng.integers(1, 300) :]
    ways = 4
    for _ in range(ways):
        blocks = some_blocks(rng, vectors, plans)
        # A score that a row has, one that no row may have, and what lies beyond all.
        one = float(rng.choice(some))
        least = float(rng.choice([-np.inf, -np.inf, 0, one, np.nextafter(one, 2), np.nextafter(one, -2), 0.9, 1, 1.5, np.inf]))
        k = int(n_rows ** rng.uniform(0, 1.01)) if rng.random() < 0.3 else int(rng.integers(1, 30))
        check(blocks, queries, k, least, int(rng.choice([1, 2])), scores)
    return ways * scores.size


@pytest.mark.parametrize("seed", range(10))
def test_any_search_gives_the_plain_answer(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n_queries, dimension = int(rng.choice([1, 2, 3, 5, 9, 40])), int(rng.choice([1, 2, 3, 9, 20, 64, 257]))
    search_at_random(rng, int(rng.integers(30, 600)), n_queries, dimension)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("seed", range(CASES))
def test_any_larger_search_gives_the_plain_answer(seed: int, record_property: Callable[[str, int], None]) -> None:
    rng = np.random.default_rng([seed, 9])
    dimension = int(rng.choice([1, 2, 3, 4, 7, 8, 9, 16, 24, 48, 64, 100, 257, 384, 768], p=[0.03] * 3 + [0.07] * 11 + [0.14]))
    tried = search_at_random(rng, int(rng.integers(1025, 6000)), int(rng.choice([1, 7, 64, 150])), dimension)
    record_property("pairs of a query and a row, searched by codes", tried)


values = st.sampled_from([0, -0.0, 1, -1, 0.5, 3, 1e-3, 1e30, -1e30, 1e-30, 1e-42, 3e38]) | st.floats(-1, 1, width=32)


@st.composite
def searches(draw: st.DrawFn) -> tuple[list[Rows], Vectors, int, float, int]:
    """Draw few blocks of few rows that are often equal, opposite or of extreme scale."""
    dimension = draw(st.integers(1, 20))
    plans = some_plans(np.random.default_rng(dimension), dimension)
    vector = st.lists(values, min_size=dimension, max_size=dimension)
    distinct = draw(st.lists(vector, min_size=1, max_size=6))
    blocks = []
    for chosen in draw(st.lists(st.lists(st.sampled_from(distinct), max_size=40), min_size=1, max_size=3)):
        vectors = np.array(chosen, np.float32).reshape(-1, dimension)
        alive = draw(st.none() | st.lists(st.integers(0, 1), min_size=len(chosen), max_size=len(chosen)))
        rows = coded(draw(st.sampled_from(plans)), vectors, None if alive is None else np.array(alive, np.uint8))
        blocks.append(rows._replace(codes=draw(st.sampled_from([rows.codes, rows.codes, None]))))
    query = np.array([draw(st.sampled_from(distinct) | vector)], np.float32)
    return blocks, query, draw(st.integers(1, 12)), draw(st.sampled_from([-np.inf, -1, 0, 0.5, 1])), draw(st.integers(1, 2))


@settings(deadline=None, max_examples=200)
@given(searches())
def test_any_small_search_gives_the_plain_answer(search: tuple[list[Rows], Vectors, int, float, int]) -> None:
    blocks, queries, k, min_score, threads = search
    with np.errstate(invalid="ignore"):
        check(blocks, queries, k, min_score, threads)


# ---- what is near a limit ----


@pytest.mark.parametrize("n", [1, 15, 16, 17, 1023, 1024, 1025, 1040, 2500])
@pytest.mark.parametrize("n_queries", [1, 4, 9])
def test_the_k_best_are_found_in_any_number_of_rows(rng: np.random.Generator, n: int, n_queries: int) -> None:
    for plan in some_plans(rng, 20)[::3]:
        blocks = [coded(plan, gaussian(rng, n, 20))]
        for k in (1, n - 1, n, n + 1):
            check(blocks, gaussian(rng, n_queries, 20), max(1, k))


@pytest.mark.parametrize("n_alive", [1024, 1025])
def test_whether_all_rows_are_scored_or_bounded_changes_no_answer(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n_alive: int
) -> None:
    monkeypatch.undo()
    alive = np.zeros(3000, np.uint8)
    alive[rng.permutation(3000)[:n_alive]] = 1
    blocks, query = [coded(Plan(40, 40, 4, None, detail=True), gaussian(rng, 3000, 40), alive)], gaussian(rng, 1, 40)
    told: list[Levels] = []
    _core.top_k_many(blocks, query, 10, threads=1, levels=told)
    assert told[0].rows == 3000
    assert told[0].alive == n_alive
    assert (told[0].scored == n_alive) == (n_alive == 1024)
    check(blocks, query, 10)


def test_more_rows_are_wanted_than_any_heap_holds(rng: np.random.Generator) -> None:
    for plan in some_plans(rng, 12):
        check([coded(plan, gaussian(rng, 3000, 12))], gaussian(rng, 2, 12), 1025, threads=2)


@pytest.mark.parametrize("n_queries", [127, 128, 129, 300])
def test_more_queries_than_are_searched_for_at_once(rng: np.random.Generator, n_queries: int) -> None:
    blocks = [coded(Plan(16, 16, 6, None, detail=True), gaussian(rng, 200, 16))]
    check(blocks, gaussian(rng, n_queries, 16), 3, threads=2)


def test_bounds_that_take_too_much_memory_are_made_for_fewer_queries_at_once(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks, queries = [coded(Plan(16, 16, 6, None, detail=True), gaussian(rng, 300, 16))], gaussian(rng, 9, 16)
    for most in (1, 4 * 300, 4 * 300 * 4):
        monkeypatch.setattr(_core.search, "_BOUNDS_BYTES", most)
        check(blocks, queries, 3)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_blocks_of_different_codes_and_of_none_are_searched_together(rng: np.random.Generator, threads: int) -> None:
    vectors, plans = gaussian(rng, 3500, 100), some_plans(rng, 100)
    vectors[3000:3010] = vectors[5]
    parts = np.split(vectors, [0, 100, 101, 700, 700, 1900, 3000])
    blocks = [coded(plans[i % len(plans)], part) if i % 3 else Rows(part, _core.norms(part)) for i, part in enumerate(parts)]
    check(blocks, np.concatenate([vectors[[5, 800]], gaussian(rng, 3, 100)]), 8, threads=threads)


def test_rows_of_which_only_the_first_have_codes_are_searched_to_their_end(rng: np.random.Generator) -> None:
    vectors, alive = gaussian(rng, 1500, 300), (rng.random(1500) < 0.9).astype(np.uint8)
    for plan in some_plans(rng, 300)[::2]:
        for n in (0, 16, 1024, 1488):
            blocks = [Rows(vectors, _core.norms(vectors), alive, coded(plan, vectors[:n]).codes)]
            check(blocks, vectors[[0, 15, 16, 1023, 1024, 1499]], 5)
            check(blocks, vectors[[0, 15, 16, 1023, 1024, 1499]], 5, 0.1)


def test_dead_rows_and_panels_are_passed_over(rng: np.random.Generator) -> None:
    for dimension in (20, 300):
        vectors, query = gaussian(rng, 500, dimension), gaussian(rng, 1, dimension)
        for share in (0, 0.01, 0.9):
            alive = (rng.random(500) < share).astype(np.uint8)
            alive[100:200] = 0
            alive[-1] = share > 0
            for plan in some_plans(rng, dimension)[::2]:
                for min_score in (-np.inf, 0.1):
                    check([coded(plan, vectors, alive), coded(plan, vectors[:50], np.zeros(50, np.uint8))], query, 3, min_score)


@pytest.mark.parametrize("min_score", [-5, -2, -1, -0.1, 0, 1e-9, 0.1, 0.5, 0.999, 1, 1 + 2e-16, 1.5, 1e300, np.inf])
def test_nothing_below_the_minimum_is_found_and_nothing_above_it_missed(rng: np.random.Generator, min_score: float) -> None:
    vectors = gaussian(rng, 400, 300) + 0.1
    vectors[7] *= np.float32(2**65)
    for plan in some_plans(rng, 300)[::2]:
        for k in (1, 10, 300):
            check([coded(plan, vectors)], vectors[:3], k, min_score)


def test_rows_an_ulp_apart_are_told_apart(rng: np.random.Generator) -> None:
    """Of thousands of rows whose scores no code can tell apart, the very best are found, with all that tie with the last."""
    vector = gaussian(rng, 64)
    vectors = np.tile(vector, (2000, 1))
    for row in vectors:
        place = rng.integers(64, size=3)
        row[place] = np.nextafter(row[place], np.float32(np.inf) * rng.choice([-1, 1], 3))
    for plan in some_plans(rng, 64):
        check([coded(plan, vectors)], np.stack([vector, vectors[9], -vector]), 10)


def test_rows_of_integers_tie_and_all_that_do_are_found(rng: np.random.Generator) -> None:
    vectors = rng.integers(-1, 2, (1500, 6)).astype(np.float32)
    vectors[~vectors.any(axis=1), 0] = 1
    for plan in some_plans(rng, 6):
        check([coded(plan, vectors)], vectors[:4], 5, threads=2)


@pytest.mark.parametrize("bits", [4, 6])
def test_the_longest_rows_do_not_overflow_the_sums_of_their_codes(rng: np.random.Generator, bits: int) -> None:
    signs = rng.choice(np.float32([-1, 1]), 65_536)
    vectors = np.stack([signs, -signs, np.ones_like(signs), -np.ones_like(signs), *gaussian(rng, 16, 65_536)])
    check([coded(Plan(65_536, 65_536, bits, None, detail=True), vectors)], vectors[:5], 2)
    check([coded(Plan(65_536, 65_536, bits, None, detail=True), vectors)], vectors[:5], 2, 0.9)


def test_a_query_without_a_direction_finds_nothing(rng: np.random.Generator) -> None:
    for plan in some_plans(rng, 20):
        assert len(_core.top_k([coded(plan, gaussian(rng, 100, 20))], np.zeros(20, np.float32), 3, threads=1).row) == 0


def test_rows_without_a_direction_are_not_found(rng: np.random.Generator) -> None:
    vectors = gaussian(rng, 100, 20)
    vectors[::7] = 0
    for plan in some_plans(rng, 20):
        found = _core.top_k([coded(plan, vectors)], vectors[1], 99, threads=1).row
        assert sorted(found.tolist()) == [i for i in range(100) if i % 7]


def test_few_rows_are_left_to_be_scored(rng: np.random.Generator) -> None:
    told: list[Levels] = []
    vectors = gaussian(rng, 20_000, 128)
    for detail, most in ((False, 2000), (True, 40)):
        rows = coded(Plan(128, 128, 6, None, detail=detail), vectors)
        _core.top_k_many([rows], vectors[:1] + vectors[1:2], 10, threads=1, levels=told)
        assert 10 <= told[-1].scored <= most
        assert told[-1].scored <= told[-1].bounded < 2000


def test_a_search_reads_its_arguments_only(rng: np.random.Generator) -> None:
    rows = coded(Plan(30, 20, 4, rotation(rng, 20, 30), detail=True), gaussian(rng, 500, 30), np.ones(500, np.uint8))
    arrays = [rows.vectors, rows.norms, rows.alive, *(rows.codes or ())[1:]]
    for array in arrays:
        array.flags.writeable = False  # type: ignore[union-attr]
    check([rows], gaussian(rng, 3, 30), 5)


# ---- the arithmetic of the thread ----


def test_threads_that_take_denormals_for_zero_get_the_same_answers(rng: np.random.Generator) -> None:
    """Also where half of a query's coordinates would be gone: those that lower its scores, or any."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("knows the floating-point environment of glibc on x86-64 only")
    libm = ctypes.CDLL("libm.so.6")
    lowered = np.where(np.arange(40) % 2, 1.5, -0.9) * rng.uniform(0.9, 1.1, (20, 40))
    vectors, queries = np.abs(gaussian(rng, 2000, 40)), np.concatenate([lowered, rng.standard_normal((20, 40))])
    queries = (queries * 2.0**-126).astype(np.float32)
    blocks = [[coded(plan, vectors)] for plan in some_plans(rng, 40)] + [[Rows(vectors, _core.norms(vectors))]]
    expected = [_core.top_k_many(some, queries, 5, threads=2) for some in blocks]
    found: list[list[Candidates]] = []

    def flushing() -> None:
        environment = (ctypes.c_uint8 * 32)()
        libm.fegetenv(environment)
        mxcsr = ctypes.c_uint32.from_buffer(environment, 28)
        mxcsr.value |= 0x8040
        libm.fesetenv(environment)
        blocks[:-1] = [[coded(rows.codes.plan, vectors) for rows in some if rows.codes] for some in blocks[:-1]]
        found.extend(_core.top_k_many(some, queries, 5, threads=2) for some in blocks)

    thread = threading.Thread(target=flushing)
    thread.start()
    thread.join()
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for candidates, wanted in zip(one, other, strict=True):
            assert [part.tobytes() for part in candidates] == [part.tobytes() for part in wanted]
