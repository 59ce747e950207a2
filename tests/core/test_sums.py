"""Weighted sums of rows and their products with a vector, beside the same in double precision."""

import numpy as np
import pytest
from numpy.typing import NDArray

from anam_py import _core

SHAPES = [(1, 1), (3, 5), (4, 16), (255, 3), (256, 17), (257, 768), (6000, 768)]
THREADS = (1, 2, 3)


def rows_of(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32) + np.float32(0.1)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_sum_of_unit_rows_is_that_of_double_precision_for_any_number_of_threads(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    vectors = rows_of(rng, shape)
    vectors[-1] = 0
    norms = np.linalg.norm(vectors.astype(float), axis=1)
    inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    found = [_core.unit_sum(vectors, threads=threads) for threads in THREADS]
    for weights, total in found:
        np.testing.assert_allclose(weights, inverse, rtol=1e-6)
        np.testing.assert_allclose(total, inverse @ vectors, rtol=0, atol=1e-6 * len(vectors))
        np.testing.assert_array_equal(weights, found[0][0])
        np.testing.assert_array_equal(total, found[0][1])


@pytest.mark.parametrize("shape", SHAPES)
def test_weighted_sums_and_dot_products_are_those_of_double_precision_for_any_number_of_threads(
    shape: tuple[int, int], rng: np.random.Generator
) -> None:
    vectors, weights, query = rows_of(rng, shape), rows_of(rng, shape)[:, 0], rows_of(rng, shape)[0]
    sums = [_core.weighted_sum(vectors, weights, threads=threads) for threads in THREADS]
    dots = [_core.dots(vectors, query, threads=threads) for threads in THREADS]
    np.testing.assert_allclose(sums[0], weights.astype(float) @ vectors, rtol=0, atol=1e-6 * len(vectors))
    np.testing.assert_allclose(dots[0], vectors.astype(float) @ query, rtol=0, atol=1e-6 * shape[1])
    for results in (sums, dots):
        for other in results:
            np.testing.assert_array_equal(other, results[0])


def test_nan_is_passed_on() -> None:
    vectors = np.array([[1.0, 2.0], [np.nan, 1.0]], np.float32)
    weights, total = _core.unit_sum(vectors, threads=1)
    assert np.isnan(weights).tolist() == [False, True]
    assert np.isnan(total).all()
