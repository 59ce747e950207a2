"""How vectors get places in the plane, compared with the plain way to compute each part of it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from anam_py.pictures.layout import arrange, kept, neighbours_of
from anam_py.pictures.mesh import repulsion

Vectors = NDArray[np.float32]


def some_vectors(seed: int, n_rows: int, clusters: int = 8) -> Vectors:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, 24))
    return (centres[rng.integers(0, clusters, n_rows)] + 0.5 * rng.standard_normal((n_rows, 24))).astype(np.float32)


def cosines_of(vectors: Vectors) -> NDArray[np.float64]:
    units = vectors.astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    return cosines


@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(0, 80))
@settings(max_examples=30)
def test_neighbours_are_the_nearest_others_by_cosine(seed: int, n_rows: int) -> None:
    vectors = some_vectors(seed, n_rows)
    found = neighbours_of(vectors)
    count = 0 if n_rows < 2 else min(10, max((n_rows - 1) // 3, 1))
    assert found.shape == (n_rows, count)
    cosines = cosines_of(vectors)
    for row, others in enumerate(found.tolist()):
        assert row not in others
        assert len(set(others)) == count
        np.testing.assert_allclose(cosines[row][others], np.sort(cosines[row])[::-1][:count], atol=1e-6)


def test_neighbours_of_many_vectors_are_those_of_their_first_components(monkeypatch: pytest.MonkeyPatch) -> None:
    # All of the 24 dimensions are among the first 64 components, so nothing changes but the rounding.
    vectors = some_vectors(0, 200)
    exact = neighbours_of(vectors)
    monkeypatch.setattr("anam_py.pictures.layout._MANY", 100)
    assert np.mean(neighbours_of(vectors) == exact) > 0.99


def test_of_many_vectors_one_that_has_nothing_in_common_with_the_others_has_neighbours_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = np.zeros((200, 24), np.float32)
    vectors[:, :2] = 1.0 + np.random.default_rng(0).random((200, 2))
    vectors[7] = np.eye(24)[5]
    monkeypatch.setattr("anam_py.pictures.layout._MANY", 100)
    monkeypatch.setattr("anam_py.pictures.layout._COMPONENTS", 2)
    assert neighbours_of(vectors).shape == (200, 10)


@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(200, 400), spread=st.floats(0.5, 5.0))
@settings(max_examples=20)
def test_of_points_as_dense_as_in_a_layout_the_mesh_gives_nearly_the_sums_over_all_pairs(
    seed: int, n_rows: int, spread: float
) -> None:
    places = spread * np.random.default_rng(seed).standard_normal((n_rows, 2))
    apart = places[:, None] - places
    kernel = 1.0 / (1.0 + (apart**2).sum(axis=2))
    np.fill_diagonal(kernel, 0.0)
    forces, total = repulsion(places)
    exact = (kernel[..., None] ** 2 * apart).sum(axis=1)
    assert total == pytest.approx(kernel.sum(), rel=0.01)
    assert np.linalg.norm(forces - exact) <= 0.1 * np.linalg.norm(exact)


@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(0, 40), copies=st.integers(1, 4))
@settings(max_examples=10)
def test_every_vector_gets_a_place_in_the_frame_and_no_two_the_same(seed: int, n_rows: int, copies: int) -> None:
    vectors = np.repeat(some_vectors(seed, n_rows), copies, axis=0)
    places = arrange(vectors, neighbours_of(vectors))
    assert places.shape == (len(vectors), 2)
    assert np.isfinite(places).all()
    assert len(np.unique(places, axis=0)) == len(places)
    if len(places) > 1:
        assert np.abs(places).max() == pytest.approx(1.0)
        assert np.ptp(places[:, 0]) >= 0.5 * np.ptp(places[:, 1])


def test_the_same_vectors_get_the_same_places() -> None:
    vectors = some_vectors(3, 150)
    first, second = (arrange(vectors, neighbours_of(vectors)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_more_neighbours_are_kept_than_by_the_principal_components_alone() -> None:
    vectors = some_vectors(4, 400, clusters=20)
    neighbours = neighbours_of(vectors)
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = units - units.mean(axis=0)
    components = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    assert kept(arrange(vectors, neighbours), neighbours) > 2 * kept(components.astype(np.float64), neighbours)


def test_clusters_stay_together() -> None:
    rng = np.random.default_rng(5)
    cluster = np.repeat(np.arange(6), 30)
    vectors = (3.0 * np.eye(6, 24)[cluster] + 0.3 * rng.standard_normal((180, 24))).astype(np.float32)
    places = arrange(vectors, neighbours_of(vectors))
    middles = np.stack([places[cluster == each].mean(axis=0) for each in range(6)])
    nearest = ((places[:, None] - middles) ** 2).sum(axis=2).argmin(axis=1)
    np.testing.assert_array_equal(nearest, cluster)


@given(seed=st.integers(0, 2**32 - 1), n_rows=st.integers(0, 60))
@settings(max_examples=20)
def test_what_is_kept_is_the_share_of_neighbours_that_are_nearest_in_the_plane(seed: int, n_rows: int) -> None:
    vectors = some_vectors(seed, n_rows)
    places = np.random.default_rng(seed).standard_normal((n_rows, 2))
    neighbours = neighbours_of(vectors)
    apart = ((places[:, None] - places) ** 2).sum(axis=2)
    np.fill_diagonal(apart, np.inf)
    count = neighbours.shape[1]
    shares = [
        len({*row} & {*np.argsort(apart[i])[:count].tolist()}) / count for i, row in enumerate(neighbours.tolist()) if count
    ]
    assert kept(places, neighbours) == pytest.approx(np.mean(shares) if shares else 1.0)
