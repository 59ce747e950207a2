"""Data that benchmarks share: vectors like embeddings, made once and kept in the folder that asv gives a benchmark class.

A class that needs vectors derives from `VectorBenchmark`, and reads them in ``setup``::

    class Search(VectorBenchmark):
        params = (SIZES, (1, 2))
        param_names = ("rows", "threads")

        def setup(self, rows, threads):
            self.vectors = self.load(rows)

One that needs a store builds it there too, by extending ``setup_cache``: what is expensive is made once, and never timed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSION = 768
SEED = 0

# Numbers of rows. The same for all classes, as those that inherit one setup_cache share what it has made.
SIZES = (10_000, 100_000)


def clustered(rng: np.random.Generator, n_rows: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Return rows in 200 clusters that are stretched differently in each dimension, as topics are."""
    centres = rng.standard_normal((200, dimension), dtype=np.float32)
    stretch = rng.exponential(0.5, (200, dimension)).astype(np.float32)
    cluster = rng.integers(0, len(centres), n_rows)
    vectors = rng.standard_normal((n_rows, dimension), dtype=np.float32)
    vectors *= stretch[cluster]
    vectors += centres[cluster]
    return vectors


def power_law(rng: np.random.Generator, n_rows: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Return rows without clusters whose n-th principal component has a variance of 1/n; no axis is one of these."""
    axes = np.linalg.qr(rng.standard_normal((dimension, dimension)))[0].astype(np.float32)
    axes *= np.arange(1, dimension + 1, dtype=np.float32)[:, None] ** np.float32(-0.5)
    return rng.standard_normal((n_rows, dimension), dtype=np.float32) @ axes


def isotropic(rng: np.random.Generator, n_rows: int, dimension: int = DIMENSION) -> NDArray[np.float32]:
    """Return rows of noise alone: the worst case, in which no row is much nearer than another."""
    return rng.standard_normal((n_rows, dimension), dtype=np.float32)


DATA_SETS = {"clustered": clustered, "power-law": power_law, "isotropic": isotropic}


class VectorBenchmark:
    """Base of benchmarks on clustered vectors."""

    timeout = 300

    def setup_cache(self) -> None:
        for n_rows in SIZES:
            np.save(self._file(n_rows), clustered(np.random.default_rng(SEED), n_rows))

    def load(self, n_rows: int, *, mapped: bool = False) -> NDArray[np.float32]:
        """Return vectors that `setup_cache` has made, in memory or mapped."""
        vectors: NDArray[np.float32] = np.load(self._file(n_rows), mmap_mode="r" if mapped else None)
        return vectors

    @staticmethod
    def query() -> NDArray[np.float32]:
        """Return a vector like the others that is none of them."""
        return VectorBenchmark.queries(1)[0]

    @staticmethod
    def queries(n_rows: int) -> NDArray[np.float32]:
        """Return vectors like the others that are none of them."""
        return clustered(np.random.default_rng(SEED + 1), n_rows)

    @staticmethod
    def _file(n_rows: int) -> Path:
        return Path(f"clustered-{n_rows}.npy")
