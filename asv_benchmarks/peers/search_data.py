"""The data that is searched, what is asked of it, and what is right: made once, and kept in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from benchmarks import sources
from benchmarks.common import DATA_SETS, DIMENSION, SEED
from child import K

from anam_py.embedding import default_embedder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

QUERIES = 100
CODE = "code"
NAMES = (*DATA_SETS, CODE)
# Rows that are multiplied at once.
PIECE = 20_000
# Two cosines that differ by less are equal: the rounding of a float64 dot product is far below.
TIE = 1e-12


@dataclass
class DataSet:
    """Unit rows and unit queries in two files, float32; the queries are of the same distribution and none of the rows.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    rows : int
        How many rows were asked for; there are fewer where a code base has no more.
    stem : pathlib.Path
        What the names of the files begin with.
    """

    name: str
    rows: int
    stem: Path

    @classmethod
    def made(cls, name: str, rows: int, folder: Path) -> DataSet:
        """Return a data set whose files are there, making those that are not."""
        data = cls(name, rows, folder / f"{name}-{f'{code_base()[0]}-' if name == CODE else ''}{rows}")
        if not (data.vectors_file.exists() and data.queries_file.exists()):
            vectors, queries = code(rows, QUERIES, folder) if name == CODE else synthetic(name, rows, QUERIES)
            write(data.queries_file, queries)
            write(data.vectors_file, vectors)
        return data

    @property
    def vectors_file(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}.npy")

    @property
    def queries_file(self) -> Path:
        return self.stem.with_name(f"{self.stem.name}-queries.npy")

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        return np.load(self.vectors_file, mmap_mode="r")

    @cached_property
    def queries(self) -> NDArray[np.float32]:
        return np.load(self.queries_file)

    @cached_property
    def kth_best(self) -> NDArray[np.float64]:
        """Return for each query the exact cosine of the worst of its `K` best rows, by products in double precision."""
        file = self.stem.with_name(f"{self.stem.name}-kth-best.npy")
        if file.exists():
            return np.load(file)
        queries = unit(self.queries)
        best = np.full((len(queries), K), -np.inf)
        for first in range(0, len(self.vectors), PIECE):
            cosines = queries @ unit(self.vectors[first : first + PIECE]).T
            both = np.concatenate([best, cosines], axis=1)
            best = np.partition(both, -K, axis=1)[:, -K:]
        write(file, best.min(axis=1))
        return best.min(axis=1)

    def recall(self, answers: Iterable[tuple[int, list[int]]]) -> float:
        """Return the share of the `K` best rows that was found, of queries by number; a row tied with the last counts as one."""
        found = []
        for query, rows in answers:
            cosines = unit(self.vectors[sorted(set(rows))]) @ unit(self.queries[query])
            found.append(np.count_nonzero(cosines >= self.kth_best[query] - TIE) / K)
        return float(np.mean(found))


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return vectors of length 1 in double precision."""
    exact = vectors.astype(np.float64)
    exact /= np.linalg.norm(exact, axis=-1, keepdims=True)
    return exact


def synthetic(name: str, rows: int, queries: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return unit rows and queries of a distribution."""
    vectors = DATA_SETS[name](np.random.default_rng(SEED), rows + queries, DIMENSION)
    for first in range(0, len(vectors), PIECE):
        piece = vectors[first : first + PIECE]
        piece /= np.linalg.norm(piece, axis=1, keepdims=True)
    return vectors[:rows], vectors[rows:]


def code_base() -> tuple[str, list[Path]]:
    """Return a name for what lies on the disk as it is now, and the modules of Python and of what is installed."""
    modules = [path for folder in sources.folders() for path in sources.paths(folder)]
    state = "\n".join([default_embedder().name, *(f"{path} {path.stat().st_size}" for path in modules)])
    return hashlib.sha256(state.encode()).hexdigest()[:16], modules


def code(rows: int, queries: int, folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return embeddings of the standard library and of what is installed, whose sources are read once for all sizes."""
    state, modules = code_base()
    file = folder / f"{CODE}-{state}.json"
    if not file.exists():
        with replaced(file) as new:
            new.write_text(json.dumps(list(sources.sources(modules))))
    return sources.vectors_and_queries([sources.Source(*pair) for pair in json.loads(file.read_text())], rows, queries)


def write(file: Path, array: NDArray[np.generic]) -> None:
    """Write an array."""
    with replaced(file) as new:
        np.save(new, array)


@contextlib.contextmanager
def replaced(file: Path) -> Iterator[Path]:
    """Give a name to write to, so that the file is either whole or not there."""
    new = file.with_suffix(f".new{file.suffix}")
    yield new
    new.replace(file)
