"""What a user of codes may rely on: they are small, they are where their description says, and their bounds are bounds."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from coded import bounds_of, coded, common_rows, decode, projected, rotation, rows_against, some_plans
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import oracle_scores

from anam_py import _core
from anam_py._core import Codes, Plan, Rows

# Of few groups, of some that are not full, and with groups after which panels are given up.
DIMENSIONS = [1, 2, 3, 8, 17, 64, 100, 257, 300]
# What bounds allow for their own rounding, and the contract's. Nothing here comes near to needing half of it.
ROUNDINGS = 2.0**-18

Vectors = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


def all_rows(rng: np.random.Generator, n: int, dimension: int) -> Vectors:
    return np.concatenate(list(common_rows(rng, n, dimension).values()))


# ---- plans ----


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_plan_is_the_same_after_it_was_packed(rng: np.random.Generator, dimension: int) -> None:
    for plan in some_plans(rng, dimension):
        found = Plan.unpack(plan.pack())
        assert found.pack() == plan.pack()
        assert (found.dimension, found.width, found.bits, found.detail) == (plan.dimension, plan.width, plan.bits, plan.detail)
        assert (found.early, found.stride, found.error, found.defect) == (plan.early, plan.stride, plan.error, plan.defect)
        assert str(found) == str(plan)
        np.testing.assert_array_equal(found.rotation, plan.rotation)


def packed(body: bytes = b"", **changes: object) -> bytes:
    """Pack what is no plan as plans are packed."""
    head, _, _ = Plan(8, 8, 4, None, detail=True).pack().partition(b"\n")
    return json.dumps(json.loads(head) | changes).encode() + b"\n" + body


@pytest.mark.parametrize(
    "blob",
    [
        b"",
        b"\n",
        b"null\n",
        b"[]\n",
        b"{}\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"dimension": 8\n',
        packed(dimension=float("inf")),
        packed(dimension=float("nan")),
        packed(shares=[[1.0, 0.5]]),
        packed(shares=[[0.9, 1.5]]),
        packed(shares=[[0.9, float("nan")]]),
        packed(considered=[["4 bits"]]),
        packed()[:-1],
        packed(b"more"),
        packed(dimension=0, width=0),
        packed(width=9),
        packed(width=7),
        packed(bits=5),
        packed(bits="4"),
        packed(bits=4.5),
        packed(bits=None),
        packed(dimension=65_537, width=65_537),
        packed(dimension=10**30, width=10**30, rotated=True),
        packed(detail="yes"),
        packed(rotated=True),
        packed(np.eye(8, dtype="<f4").tobytes()[:-4], rotated=True),
        packed(np.eye(8, dtype="<f4").tobytes() + b"1234", rotated=True),
        packed(np.zeros((8, 8), "<f4").tobytes(), rotated=True),
        packed((1.01 * np.eye(8, dtype="<f4")).astype("<f4").tobytes(), rotated=True),
        packed(np.full((8, 8), np.nan, "<f4").tobytes(), rotated=True),
        packed(np.full((8, 8), np.inf, "<f4").tobytes(), rotated=True),
        packed(np.eye(8, dtype="<f4").tobytes(), rotated=True, width=-1),
    ],
)
def test_what_is_not_a_plan_is_refused(blob: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        Plan.unpack(blob)


def test_what_is_refused_is_refused_for_what_was_changed() -> None:
    assert Plan.unpack(packed()).width == 8
    assert Plan.unpack(packed(np.eye(8, dtype="<f4").tobytes(), rotated=True)).rotation is not None


@given(st.data())
def test_a_damaged_plan_is_refused_or_a_plan(data: st.DataObject) -> None:
    plan = Plan(4, 2, 6, np.eye(2, 4, dtype=np.float32), detail=False)
    blob = bytearray(plan.pack())
    for place in data.draw(st.lists(st.integers(0, len(blob) - 1), min_size=1, max_size=3)):
        blob[place] = data.draw(st.integers(0, 255))
    try:
        found = Plan.unpack(bytes(blob))
    except ValueError:
        return
    assert found.pack() == blob
    assert found.defect < 2.0**-10


@pytest.mark.parametrize(
    ("dimension", "width", "bits", "turn"),
    [
        (8, 0, 4, None),
        (8, 4, 4, None),
        (8, 9, 4, np.eye(9, 8, dtype=np.float32)),
        (8, 4, 4, np.eye(8, dtype=np.float32)),
        (8, 4, 4, np.ones((4, 8), np.float32)),
        (8, 8, 8, None),
        (65_537, 65_537, 4, None),
    ],
)
def test_there_is_no_plan_that_would_code_wrongly(dimension: int, width: int, bits: int, turn: Vectors | None) -> None:
    with pytest.raises(ValueError, match=r"no plan has|not a rotation"):
        Plan(dimension, width, bits, turn, detail=False)


# ---- the choice of a plan ----


def test_rows_alike_in_all_directions_are_coded_in_all_coordinates(rng: np.random.Generator) -> None:
    plan = _core.choose_plan(rng.standard_normal((3000, 128), dtype=np.float32), rows=100_000, threads=1)
    assert plan is not None
    assert plan.rotation is None
    assert plan.width == 128


def test_rows_that_differ_in_few_directions_are_turned_onto_these(rng: np.random.Generator) -> None:
    sample = (rng.standard_normal((3000, 256)) * np.arange(1, 257) ** -1.0) @ rotation(rng, 256, 256)
    plans = [_core.choose_plan(sample.astype(np.float32), rows=100_000, threads=1) for _ in range(2)]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0].rotation is not None
    assert plans[0].width < 256
    assert plans[0].defect < 2.0**-16
    assert plans[0].pack() == plans[1].pack()


@pytest.mark.parametrize("shape", [(3000, 3), (3000, 1), (32, 64), (1, 64)])
def test_rows_that_codes_would_hardly_make_smaller_or_that_are_too_few_get_none(
    rng: np.random.Generator, shape: tuple[int, int]
) -> None:
    assert _core.choose_plan(rng.standard_normal(shape, dtype=np.float32), rows=100_000, threads=1) is None


def test_rows_without_a_direction_have_no_part_in_the_choice(rng: np.random.Generator) -> None:
    sample = rng.standard_normal((3000, 64), dtype=np.float32)
    with_zeros = np.insert(sample, [0, 7, 3000], 0, axis=0)
    chosen = [_core.choose_plan(rows, rows=100_000, threads=1) for rows in (sample, with_zeros)]
    assert chosen[0] is not None
    assert chosen[1] is not None
    assert chosen[0].pack() == chosen[1].pack()


# ---- rows as codes ----


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_codes_are_as_far_from_rows_as_they_say_and_no_farther(rng: np.random.Generator, dimension: int) -> None:
    vectors = all_rows(rng, 20, dimension)
    norms = _core.norms(vectors)
    sound = (norms >= 2.0**-60) & (norms <= 2.0**60)
    units = vectors[sound].astype(float) / norms[sound, np.newaxis]
    for plan in some_plans(rng, dimension):
        codes = coded(plan, vectors).codes
        assert codes is not None
        found = decode(plan, codes.panels)
        values = found.values[: len(vectors)][sound]
        residual, rest = found.residual[: len(vectors)], found.rest[: len(vectors)][sound]
        assert found.codes.min() >= -(2 ** (plan.bits - 1))
        assert found.codes.max() < 2 ** (plan.bits - 1)
        assert not found.codes[:, plan.width :].any()
        assert np.linalg.norm(values, axis=1).max() <= (1 + plan.defect + plan.error) * (1 + (plan.width + 8) * 2.0**-22)
        # Rows that single precision cannot scale have no bound; those that only fill up a panel are never reached.
        assert np.all(residual[~sound] == np.inf)
        assert np.all(found.residual[len(vectors) :] == -np.inf)
        turned = units if plan.rotation is None else units @ plan.rotation.T.astype(float)
        missed = np.linalg.norm(turned - values[:, : plan.width], axis=1)
        assert np.all(missed <= residual[sound])
        assert np.all(residual[sound] - missed <= 2 * plan.error + 2.0**-20)
        if plan.rotation is not None:
            assert np.all(np.linalg.norm(units - projected(plan, units), axis=1) <= rest)
        elif plan.early:
            later = np.linalg.norm(values[:, plan.early_width :], axis=1)
            assert np.all((later <= rest) & (rest <= later + 2.0**-20))
        if codes.detail is not None and codes.factors is not None:
            scale, residual = codes.factors.astype(float).T
            assert np.all(residual[~sound] == np.inf)
            assert not codes.detail[:, dimension:].any()
            values = (codes.detail[:, :dimension] * scale[:, np.newaxis])[sound]
            missed = np.linalg.norm(units - values, axis=1)
            assert np.all((missed <= residual[sound]) & (residual[sound] <= missed + 2.0**-20))
            assert np.linalg.norm(values, axis=1).max() <= (1 + 2.0**-23) * (1 + (dimension + 8) * 2.0**-22)


def test_codes_of_more_bits_are_nearer_to_their_rows(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((160, 768), dtype=np.float32)
    for bits, most in ((4, 0.15), (6, 0.05)):
        plan = Plan(768, 768, bits, None, detail=True)
        codes = coded(plan, vectors).codes
        assert codes is not None
        assert codes.factors is not None
        assert decode(plan, codes.panels).residual.max() < most
        assert codes.factors[:, 1].max() < 0.012
        assert codes.nbytes < ((bits + 8) / 32 + 0.01) * vectors.nbytes


@pytest.mark.parametrize("threads", [1, 3])
def test_neither_the_layout_of_rows_nor_threads_change_their_codes(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)
    vectors = rng.standard_normal((4109, 20), dtype=np.float32)  # more than are coded at a time
    norms = _core.norms(vectors)
    wide = np.repeat(np.repeat(vectors, 2, axis=0), 3, axis=1)
    for turn in (None, rotation(rng, 9, 20)):
        plan = Plan(20, 20 if turn is None else 9, 6, turn, detail=True)
        expected = _core.encode(plan, vectors, norms, threads=1)
        for rows in (vectors, np.asfortranarray(vectors), wide[::2, ::3]):
            found = _core.encode(plan, rows, np.repeat(norms, 2)[::2], threads=threads)
            for name, array in expected.items():
                np.testing.assert_array_equal(found[name], array)


def test_no_rows_have_no_codes(rng: np.random.Generator) -> None:
    for plan in some_plans(rng, 8):
        assert coded(plan, np.empty((0, 8), np.float32)).codes is not None


OTHER_ARRAYS: dict[str, Callable[[Arrays], object]] = {
    "no panels": lambda arrays: arrays.pop("panels"),
    "no detail": lambda arrays: arrays.pop("detail"),
    "no factors": lambda arrays: arrays.pop("factors"),
    "fewer panels": lambda arrays: arrays.update(panels=arrays["panels"][:-1]),
    "narrower panels": lambda arrays: arrays.update(panels=arrays["panels"][:, :-1]),
    "panels by columns": lambda arrays: arrays.update(panels=np.asfortranarray(arrays["panels"])),
    "panels with signs": lambda arrays: arrays.update(panels=arrays["panels"].view(np.int8)),
    "flat panels": lambda arrays: arrays.update(panels=arrays["panels"].ravel()),
    "less detail": lambda arrays: arrays.update(detail=arrays["detail"][:20]),
    "fewer factors": lambda arrays: arrays.update(factors=arrays["factors"][:-1]),
    "longer factors": lambda arrays: arrays.update(factors=arrays["factors"].astype(float)),
}


@pytest.mark.parametrize("other", OTHER_ARRAYS)
def test_arrays_that_are_not_codes_of_a_plan_are_refused(rng: np.random.Generator, other: str) -> None:
    plan = Plan(20, 20, 4, None, detail=True)
    vectors = rng.standard_normal((40, 20), dtype=np.float32)
    arrays = _core.encode(plan, vectors, _core.norms(vectors), threads=1)
    assert Codes.of(plan, arrays).plan is plan
    OTHER_ARRAYS[other](arrays)
    with pytest.raises(ValueError, match="not codes of"):
        Codes.of(plan, arrays)


def test_second_codes_without_a_place_in_the_plan_are_refused(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((40, 20), dtype=np.float32)
    arrays = _core.encode(Plan(20, 20, 4, None, detail=True), vectors, _core.norms(vectors), threads=1)
    with pytest.raises(ValueError, match="not codes of"):
        Codes.of(Plan(20, 20, 4, None, detail=False), arrays)


@pytest.mark.parametrize("dimension", [64, 128])
def test_codes_of_other_rows_are_refused_rather_than_read_beyond_their_ends(rng: np.random.Generator, dimension: int) -> None:
    wrong = Plan(dimension, dimension, 4, None, detail=True)
    plan = Plan(100, 100, 4, None, detail=True)
    vectors = rng.standard_normal((1100, 100), dtype=np.float32)
    of_fewer, of_other = coded(plan, vectors[:1000]).codes, coded(wrong, np.resize(vectors, (1100, wrong.dimension))).codes
    for codes, message in ((of_fewer, "do not fit their rows"), (of_other, "coordinates were coded, not 100|do not fit")):
        with pytest.raises(ValueError, match=message):
            _core.top_k([Rows(vectors, _core.norms(vectors), None, codes)], vectors[0], 3, threads=1)


def test_codes_of_the_first_rows_do_not_end_in_the_middle_of_a_panel(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((1100, 20), dtype=np.float32)
    for plan in (Plan(20, 20, 4, None, detail=False), Plan(20, 20, 6, None, detail=False)):
        for n in (15, 1000, 1023):
            rows = Rows(vectors, _core.norms(vectors), None, coded(plan, vectors[:n]).codes)
            with pytest.raises(ValueError, match="do not fit their rows"):
                _core.top_k([rows], vectors[0], 3, threads=1)


# ---- bounds ----


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_no_score_exceeds_its_bound(rng: np.random.Generator, dimension: int) -> None:
    vectors = all_rows(rng, 6, dimension)
    queries = all_rows(rng, 1, dimension)
    scores = np.array([oracle_scores(vectors, query) for query in queries])
    for plan in some_plans(rng, dimension):
        excess = bounds_of([coded(plan, vectors)], queries) - scores
        assert excess.min() >= ROUNDINGS / 2, plan


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_no_score_of_a_row_made_to_exceed_its_bound_does(rng: np.random.Generator, dimension: int) -> None:
    queries = all_rows(rng, 1, dimension)[rng.choice(12, 3, replace=False)]  # not that whose scale is extreme
    for query in queries:
        for plan in some_plans(rng, dimension):
            vectors = np.concatenate(list(rows_against(rng, plan, query, 10).values()))
            excess = bounds_of([coded(plan, vectors)], query[np.newaxis])[0] - oracle_scores(vectors, query)
            assert excess.min() >= ROUNDINGS / 2, plan


def test_a_query_of_any_scale_has_bounds(rng: np.random.Generator) -> None:
    vectors, query = all_rows(rng, 6, 20), rng.standard_normal(20)
    smallest, largest = 2.0**-149, 2.0**127 / np.abs(query).max()
    for scale in (smallest, 2 * smallest, 2.0**-126, 2.0**-80, 1, 2.0**80, largest):
        scaled = (query * scale).astype(np.float32)
        for plan in some_plans(rng, 20):
            excess = bounds_of([coded(plan, vectors)], scaled[np.newaxis])[0] - oracle_scores(vectors, scaled)
            assert excess.min() >= ROUNDINGS / 2


def test_a_query_of_which_a_plan_sees_nearly_nothing_has_bounds(rng: np.random.Generator) -> None:
    """Of the coordinates that are coded all but one underflow, or all are zero."""
    plan = Plan(8, 4, 6, np.eye(4, 8, dtype=np.float32), detail=False)
    vectors = all_rows(rng, 6, 8)
    for small in (0, 2.0**-149, 3 * 2.0**-148, 2.0**-126, 1e-32, 1e-20):
        query = np.array([small, -small / 3, 0, small / 2, 1, 0, 0.5, 0], np.float32)
        excess = bounds_of([coded(plan, vectors)], query[np.newaxis])[0] - oracle_scores(vectors, query)
        assert excess.min() >= ROUNDINGS / 2


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_bounds_of_any_few_coordinates_are_bounds(data: st.DataObject) -> None:
    width = data.draw(st.integers(1, 19))
    value = st.sampled_from([0, -0.0, 1, -1, 0.5, 7.5, 8, 1 / 127, 0.5 / 127, 1e-3, 1e-20, 1e-42]) | st.floats(-1, 1, width=32)
    row = st.lists(value, min_size=width, max_size=width).filter(any)
    vectors = np.array(data.draw(st.lists(row, min_size=2, max_size=20)), np.float32)
    vectors[~vectors.any(axis=1), 0] = 1  # what was rounded to zero
    plan = data.draw(st.sampled_from(some_plans(np.random.default_rng(width), width)))
    excess = bounds_of([coded(plan, vectors)], vectors[:1])[0] - oracle_scores(vectors, vectors[0])
    assert excess.min() >= ROUNDINGS / 2


def test_only_rows_that_cannot_reach_the_threshold_are_given_up(rng: np.random.Generator) -> None:
    for bits in (4, 6):
        plan = Plan(300, 300, bits, None, detail=False)
        for kind, vectors in common_rows(rng, 64, 300).items():
            rows = coded(plan, vectors)
            for query in (vectors[3], vectors[5] + vectors[6], rng.standard_normal(300, dtype=np.float32)):
                scores = oracle_scores(vectors, query)
                thresholds = [t for t in np.sort(scores)[[-1, -2, -5, -20]] if t > 0]
                for threshold in [*thresholds, 0.5, 1]:
                    bounds = bounds_of([rows], query[np.newaxis], threshold)[0]
                    assert np.all((scores < threshold) | (bounds >= threshold)), (kind, threshold)


def test_rows_far_from_a_threshold_are_given_up(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((640, 768), dtype=np.float32)
    rows = coded(Plan(768, 768, 4, None, detail=False), vectors)
    bounds = bounds_of([rows], vectors[:1], 0.98)[0]
    assert np.isfinite(bounds[0])
    assert np.all(bounds[16:] == -np.inf)  # other panels than that of the row itself


def test_dead_rows_have_no_bounds_and_rows_that_cannot_be_scaled_have_infinite_ones(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((50, 300), dtype=np.float32)
    vectors[5] *= 2.0**-90
    vectors[7] *= 2.0**90
    alive = np.ones(50, np.uint8)
    alive[[3, 7]] = 0
    alive[16:32] = 0
    for plan in some_plans(rng, 300):
        for threshold in (-np.inf, 0.99):
            for bounds in bounds_of([coded(plan, vectors, alive)], vectors[[1, 2]], threshold):
                assert np.all(bounds[alive == 0] == -np.inf)
                assert bounds[5] == np.inf
                assert np.all(np.isfinite(bounds[[0, 1, 2, 48, 49]]) | (threshold > 0))


def test_bounds_are_as_near_as_codes_of_their_bits_can_be(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((320, 768), dtype=np.float32)
    decaying = (vectors * np.arange(1, 769) ** -1.0).astype(np.float32)
    cases = [
        (vectors, Plan(768, 768, 4, None, detail=False), 0.15),
        (vectors, Plan(768, 768, 6, None, detail=False), 0.05),
        (decaying, Plan(768, 192, 4, np.eye(192, 768, dtype=np.float32), detail=False), 0.45),
        (decaying, Plan(768, 192, 6, np.eye(192, 768, dtype=np.float32), detail=False), 0.15),
    ]
    for rows, plan, most in cases:
        excess = bounds_of([coded(plan, rows)], rows[:4]) - [oracle_scores(rows, query) for query in rows[:4]]
        assert excess.min() > 0
        assert excess.max() < most, (plan, excess.max())
