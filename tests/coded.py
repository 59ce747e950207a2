"""Codes for tests: a decoder written from the description in panels.h, plans of every kind, and rows that are hard to code."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from anam_py import _core
from anam_py._core import Codes, Plan, Rows
from anam_py._core.codes import PreparedQueries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Decoded(NamedTuple):
    """What panels say of rows: whole numbers, of padded coordinates too, and three bounds or factors of each row."""

    codes: NDArray[np.int64]
    scale: NDArray[np.float64]
    residual: NDArray[np.float64]
    rest: NDArray[np.float64]

    @property
    def values(self) -> NDArray[np.float64]:
        """What the codes stand for."""
        return self.codes * self.scale[:, np.newaxis]


def decode(plan: Plan, panels: NDArray[np.uint8]) -> Decoded:
    """Decode panels, with the rows that pad the last."""
    n, sixteen = len(panels), 16
    floats = np.ascontiguousarray(panels[:, -192:]).view("<f4").reshape(n, 3, sixteen).astype(float)
    scale, residual, rest = floats.transpose(1, 0, 2).reshape(3, n * sixteen)
    if plan.bits == 4:
        groups = panels[:, :-192].reshape(n, -1, sixteen, 4)
        codes = np.concatenate([groups & 15, groups >> 4], axis=-1)
    else:
        groups = panels[:, :-192].reshape(n, -1, 3, sixteen, 4)
        first, second, high = groups[:, :, 0], groups[:, :, 1], groups[:, :, 2]
        low = [first & 15, first >> 4, second & 15, second >> 4]
        codes = np.concatenate([part | (high >> (2 * i) & 3) << 4 for i, part in enumerate(low)], axis=-1)
    codes = codes.transpose(0, 2, 1, 3).reshape(n * sixteen, -1)
    return Decoded(codes.astype(np.int64) - 2 ** (plan.bits - 1), scale, residual, rest)


def rotation(rng: np.random.Generator, width: int, dimension: int, defect: float = 0.0) -> NDArray[np.float32]:
    """Return a rotation onto random directions, its rows as far from orthonormal as asked for."""
    turn, _ = np.linalg.qr(rng.standard_normal((dimension, width)))
    turn = turn.T
    if defect:
        skew = rng.standard_normal((width, width))
        turn = (np.eye(width) + defect / 2 * skew / np.linalg.norm(skew + skew.T) * 2) @ turn
    return np.ascontiguousarray(turn, np.float32)


def some_plans(rng: np.random.Generator, dimension: int) -> list[Plan]:
    """Return plans of each kind for rows of a dimension: of all coordinates, and rotated."""
    plans = [Plan(dimension, dimension, bits, None, detail) for bits in (4, 6) for detail in (False, True)]
    for width in sorted({1, (dimension + 1) // 2, dimension}):
        bits, detail = int(rng.choice([4, 6])), bool(rng.random() < 0.5)
        plans.append(Plan(dimension, width, bits, rotation(rng, width, dimension, rng.choice([0.0, 9e-4])), detail))
    # Of coordinates as they are, so that most of what it does is zero.
    plans.append(Plan(dimension, (dimension + 1) // 2, 4, np.eye((dimension + 1) // 2, dimension, dtype=np.float32), detail=True))
    return plans


def coded(plan: Plan, vectors: NDArray[np.float32], alive: NDArray[np.uint8] | None = None, threads: int = 1) -> Rows:
    """Return a block of rows with codes."""
    norms = _core.norms(vectors)
    return Rows(vectors, norms, alive, Codes.of(plan, _core.encode(plan, vectors, norms, threads=threads)))


def bounds_of(blocks: Sequence[Rows], queries: NDArray[np.float32], threshold: float = -np.inf) -> NDArray[np.float32]:
    """Return the first level's bound of each query with each row."""
    plans: list[Plan] = []
    table = _core._scan.Blocks([_core.search.for_kernels(rows, plans) for rows in blocks], queries.shape[1], len(queries))
    units, norms = np.empty_like(queries), np.empty(len(queries))
    _core._scan.normalise(queries, units, norms)
    prepared = PreparedQueries(queries, norms)
    bounds = _core._scan.Bounds(table, units, [prepared.sketches(plan) for plan in plans], 0, threshold, 1)
    return np.stack([bounds.of(table, k) for k in range(len(queries))])


# ---- rows that are hard to code ----


def code_of(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the codes of queries stand for: eight bits a coordinate, of the coordinates that are coded."""
    step = (np.abs(values).max(axis=-1, keepdims=True) / 127).astype(np.float32).astype(float)
    return step * np.rint(values / np.where(step > 0, step, 1))


def seen(plan: Plan, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the coordinates of unit vectors that a plan codes."""
    units = vectors / np.linalg.norm(vectors.astype(float), axis=-1, keepdims=True)
    return units if plan.rotation is None else units @ plan.rotation.T.astype(float)


def projected(plan: Plan, units: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return unit vectors without what a plan leaves out of them."""
    if plan.rotation is None:
        return units
    turn = plan.rotation.astype(float)
    return (np.linalg.solve(turn @ turn.T, turn @ units.T).T) @ turn


def common_rows(rng: np.random.Generator, n: int, dimension: int) -> dict[str, NDArray[np.float32]]:
    """Return rows of many kinds, by name."""
    gauss = rng.standard_normal((n, dimension))
    sparse = np.where(rng.random((n, dimension)) < 2 / dimension, gauss, 0)
    sparse[~sparse.any(axis=1), 0] = -1
    kinds = {
        "isotropic": gauss,
        "of heavy tails": rng.standard_cauchy((n, dimension)),
        "sparse": sparse,
        "of one coordinate": np.eye(dimension)[rng.integers(dimension, size=n)] * rng.choice([-1, 1], (n, 1)),
        "of equal coordinates": rng.choice([-1.0, 1.0], (n, dimension)),
        "on the borders between codes": rng.integers(-15, 16, (n, dimension)) + 0.5,
        "on codes": rng.integers(-8, 8, (n, dimension)) + np.eye(dimension)[0] * 1e-3,
        "of one large coordinate": gauss * 1e-3 + 5 * np.eye(dimension)[rng.integers(dimension, size=n)],
        "of a decaying spectrum": gauss / np.arange(1, dimension + 1),
        "with negative zeros": np.where(rng.random((n, dimension)) < 0.5, -0.0, gauss) + np.eye(dimension)[0],
        "with subnormal coordinates": gauss * rng.choice([1e-41, 1], (n, dimension)) + 3 * np.eye(dimension)[-1],
        "at the ends of what has codes": gauss * 2.0 ** rng.choice([-62, -60, -58, 56, 58, 60], (n, 1)),
        "of extreme scale": gauss * 10.0 ** rng.uniform(-42, 36, (n, 1)),
    }
    rows = {name: values.astype(np.float32) for name, values in kinds.items()}
    for values in rows.values():
        values[~values.any(axis=1), 0] = 1e-44
    return rows


def rows_against(rng: np.random.Generator, plan: Plan, query: NDArray[np.float32], n: int) -> dict[str, NDArray[np.float32]]:
    """Return rows made to find one query's bounds too low, by name: those who make them know the query and its code."""
    (own,) = seen(Plan(plan.dimension, plan.dimension, 4, None, detail=False), query[np.newaxis])
    (values,) = seen(plan, query[np.newaxis])
    missed = values - code_of(values)
    back = np.eye(plan.dimension) if plan.rotation is None else plan.rotation.astype(float)
    along = missed @ back / max(np.linalg.norm(missed), 1e-300)
    beyond = own - projected(plan, own)
    amounts = rng.choice([-1, 1], (n, 1)) * 10.0 ** rng.uniform(-9, 1, (n, 1))
    noise = rng.standard_normal((n, plan.dimension)) / np.sqrt(plan.dimension)
    # As far above its code as can be in every coordinate where the query is positive, and below it where that is negative.
    middles = rng.integers(-6, 7, (n, len(values))) + 0.499 * np.sign(values)
    rounded = np.rint(values * rng.uniform(3, 30, (n, 1)) / max(np.abs(values).max(), 1e-300))
    kinds = {
        "like the query": own + amounts * noise,
        "unlike the query": -own + amounts * noise,
        "along what its code leaves out": along + amounts * own,
        "against what its code leaves out": -along + amounts * noise,
        "the query and what its code leaves out": own + amounts * along,
        "along what no plan codes": beyond + amounts * own + 1e-12 * noise,
        "with what codes of rows leave out along the query": middles @ back,
        "the query rounded": rounded @ back,
        "an ulp from the query": np.nextafter(query, np.float32(np.inf) * rng.choice([-1, 1], (n, plan.dimension))),
    }
    scaled = {name: rows * 2.0 ** rng.integers(-50, 50, (n, 1)) for name, rows in kinds.items() if name[:2] != "an"}
    rows = {name: values.astype(np.float32) for name, values in (kinds | scaled).items()}
    for found in rows.values():
        found[~found.any(axis=1), 0] = 1
    return rows
