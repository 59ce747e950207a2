"""What a user of resonance may rely on: one curve and one mean field, the same bits on every machine."""

import math
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import oracle_mean_field, oracle_resonance

from anam_py import _core
from anam_py._core import Rows


@pytest.fixture(autouse=True)
def threads_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use as many threads as are asked for, however little there is to do."""
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)


def rows_of(vectors: NDArray[np.float32], alive: NDArray[np.uint8] | None = None) -> Rows:
    vectors = np.ascontiguousarray(vectors)
    return Rows(vectors, _core.norms(vectors), alive)


# ---- the curve ----


def test_resonance_follows_its_formula() -> None:
    cosines = np.linspace(-1, 1, 200_001)
    np.testing.assert_allclose(_core.resonance(cosines), oracle_resonance(cosines), rtol=0, atol=4e-16)


def test_resonance_of_a_float_is_a_float_and_of_an_array_an_array() -> None:
    assert type(_core.resonance(0.5)) is float
    assert _core.resonance(0.5) == pytest.approx(0.55)
    grid = np.array([[0.1, 0.2], [0.3, -0.4]])[:, ::-1]
    assert _core.resonance(grid).shape == (2, 2)
    assert [_core.resonance(float(c)) for c in grid.ravel()] == _core.resonance(grid).ravel().tolist()
    assert _core.resonance(np.empty(0)).shape == (0,)


def test_resonance_keeps_its_range_and_its_end_points() -> None:
    assert [_core.resonance(c) for c in (-1.0, -0.3, 0.0, 1.0)] == [0, 0, 0, 1]
    beyond = [_core.resonance(c) for c in (-1 - 1e-15, math.nextafter(1, 2), 1 + 1e-12)]
    assert beyond == [0, 1, 1]


def test_a_greater_cosine_never_has_less_resonance() -> None:
    values = _core.resonance(np.linspace(-1, 1, 100_001))
    assert (np.diff(values) >= 0).all()


def test_resonance_is_these_bits_everywhere() -> None:
    expected = ["0x1.a641e0c728e74p-4", "0x1.199999999999ap-1", "0x1.db0a1ce00e042p-1"]
    assert [_core.resonance(c).hex() for c in (0.1, 0.5, 0.9)] == expected


# ---- the mean field ----


@pytest.mark.parametrize("dimension", [1, 2, 7, 64, 768])
def test_the_mean_field_is_the_direction_of_the_mean_of_unit_rows(rng: np.random.Generator, dimension: int) -> None:
    vectors = rng.standard_normal((500, dimension)) + 0.3
    scales = 10.0 ** rng.uniform(-30, 30, (500, 1))
    blocks = [rows_of((vectors * scales).astype(np.float32)), rows_of(vectors[:77].astype(np.float32))]
    field = _core.mean_field(blocks, threads=2)
    assert field.dtype == np.float32
    np.testing.assert_allclose(field, oracle_mean_field(blocks), rtol=0, atol=1e-7)


def test_the_mean_field_is_the_same_bits_in_any_order(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((1000, 33), dtype=np.float32)
    expected = _core.mean_field([rows_of(vectors)], threads=1).tobytes()
    for threads in (1, 2, 5):
        for _ in range(5):
            cuts = [0, *np.sort(rng.integers(0, 1000, 4)).tolist(), 1000]
            shuffled = rng.permutation(vectors)
            blocks = [rows_of(shuffled[first:last]) for first, last in pairwise(cuts)]
            assert _core.mean_field(blocks, threads=threads).tobytes() == expected


def test_dead_rows_have_no_part_in_the_mean_field(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((100, 10), dtype=np.float32)
    alive = np.arange(100, dtype=np.uint8) % 2
    field = _core.mean_field([rows_of(vectors, alive)], threads=2)
    np.testing.assert_array_equal(field, _core.mean_field([rows_of(vectors[1::2])], threads=2))


def test_a_mean_without_a_direction_is_zero(rng: np.random.Generator) -> None:
    vectors = rng.standard_normal((50, 20), dtype=np.float32)
    balanced = [rows_of(vectors), rows_of(-2 * vectors)]
    assert not _core.mean_field(balanced, threads=2).any()
    third = np.array([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]], np.float32)
    assert not _core.mean_field([rows_of(third)], threads=1).any()
    assert not _core.mean_field([rows_of(np.empty((0, 20), np.float32))], threads=2).any()
    assert not _core.mean_field([rows_of(vectors, np.zeros(50, np.uint8))], threads=2).any()


def test_a_row_without_a_direction_has_no_part_in_the_mean_field() -> None:
    vectors = np.array([[3, 4], [0, 0]], np.float32)
    np.testing.assert_array_equal(_core.mean_field([rows_of(vectors)], threads=1), np.array([0.6, 0.8], np.float32))


def test_blocks_of_different_dimensions_have_no_mean_field() -> None:
    blocks = [rows_of(np.ones((2, 4), np.float32)), rows_of(np.ones((2, 5), np.float32))]
    with pytest.raises(ValueError, match="2 rows of dimension 5 do not fit"):
        _core.mean_field(blocks, threads=1)
