"""The searches that are compared: one small class each, set up as its own documentation advises.

A searcher gets unit rows, is told how many threads it may use, and answers one query or many by the numbers of the nearest
rows. Each lives in a process of its own (search_child.py), and imports its library there. What a class's documentation says is
printed below the tables.
"""

from __future__ import annotations

import inspect
import math
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from child import K
from contenders import AnamPy, Chroma, Contender, LanceDB, Rows, SqliteVec
from data import key, metadata
from library import Library
from measures import wait_until_still

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CPUS = sorted(os.sched_getaffinity(0))
# Rows of one bulk insertion.
AT_ONCE = 100_000


class Searcher(Library):
    """A search over rows.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder of its own; if it is `kept`, the one where an earlier run has built the same.
    vectors : numpy.ndarray
        The unit rows, float32.
    """

    # Whether it promises the exact answer, but for rows whose cosines differ by less than its arithmetic's rounding.
    exact: ClassVar[bool] = False
    # Whether building takes so long that what was built is kept for the next run.
    kept: ClassVar[bool] = False
    # What it holds in memory or in the cache of files while it searches, as a multiple of the vectors.
    memory: ClassVar[float] = 1.1
    # How much it may look at, where that can be said: first what the tables have, then what the plot's line goes through.
    efforts: ClassVar[tuple[int, ...]] = ()

    def __init__(self, folder: Path, vectors: NDArray[np.float32]) -> None:
        self.folder = folder
        self.vectors = vectors
        self.dimension = vectors.shape[1]

    def build(self) -> None:
        """Make ready to search."""
        raise NotImplementedError

    def load(self) -> None:
        """Make ready to search with what `build` left in the folder in an earlier run."""
        raise NotImplementedError

    def use(self, threads: int) -> None:
        """Search with so many threads from now on."""
        raise NotImplementedError

    def set_effort(self, effort: int) -> None:
        """Search with one of its `efforts` from now on."""
        raise NotImplementedError

    def one(self, query: NDArray[np.float32]) -> Any:
        """Answer one query, in whatever form the library has; this and `many` are what is timed."""
        raise NotImplementedError

    def many(self, queries: NDArray[np.float32]) -> Any:
        """Answer many queries at once."""
        raise NotImplementedError

    def numbers(self, answer: Any) -> list[int]:
        """Return the numbers of the rows in the answer to one query, or in one of the answers to many."""
        return [int(row) for row in answer]

    def close(self) -> None:
        """Let go of what it has opened."""


class NumPy(Searcher):
    """The rows in memory: a product with the matrix, argpartition, and a sort of the ten, by the BLAS of NumPy's own wheel."""

    column = "NumPy"
    needs: ClassVar = {"numpy": "numpy", "threadpoolctl": "threadpoolctl"}
    exact = True

    def build(self) -> None:
        self._rows = np.array(self.vectors)

    def use(self, threads: int) -> None:
        blas_threads(threads)

    def one(self, query: NDArray[np.float32]) -> NDArray[np.intp]:
        return self._best(self._rows @ query)

    def many(self, queries: NDArray[np.float32]) -> list[NDArray[np.intp]]:
        return [self._best(products) for products in queries @ self._rows.T]

    def _best(self, products: NDArray[np.float32]) -> NDArray[np.intp]:
        best = np.argpartition(products, -K)[-K:]
        return best[np.argsort(-products[best])]


class Faiss(Searcher):
    """Base of indexes that FAISS makes of a description, over inner products."""

    needs: ClassVar = {"faiss": "faiss-cpu", "threadpoolctl": "threadpoolctl"}
    description: ClassVar[str]

    def build(self) -> None:
        import faiss

        self._index = faiss.index_factory(self.dimension, self.described(), faiss.METRIC_INNER_PRODUCT)
        self.prepare()
        vectors = np.ascontiguousarray(self.vectors)
        self._index.train(vectors)
        self._index.add(vectors)
        if self.kept:
            faiss.write_index(self._index, str(self.folder / "index"))

    def load(self) -> None:
        import faiss

        self._index = faiss.read_index(str(self.folder / "index"))

    def described(self) -> str:
        """Return what to ask FAISS's index_factory for."""
        return self.description

    def prepare(self) -> None:
        """Set what is to be set before the rows are added."""

    def use(self, threads: int) -> None:
        import faiss

        blas_threads(threads)
        faiss.omp_set_num_threads(threads)

    def one(self, query: NDArray[np.float32]) -> NDArray[np.int64]:
        return self._index.search(query[None], K)[1][0]

    def many(self, queries: NDArray[np.float32]) -> NDArray[np.int64]:
        return self._index.search(queries, K)[1]


class FaissFlat(Faiss):
    """IndexFlatIP, what its guidelines name for exact results; one query is searched by one thread, by design."""

    column = "FAISS flat"
    description = "Flat"
    exact = True


class FaissFlatBlas(FaissFlat):
    """IndexFlatIP with distance_compute_blas_threshold = 0, so that products go to BLAS, also of one query."""

    column = "FAISS flat, BLAS"

    def build(self) -> None:
        import faiss

        faiss.cvar.distance_compute_blas_threshold = 0
        super().build()


class FaissSQ8(Faiss):
    """IndexScalarQuantizer with QT_8bit: eight bits a number, and nothing looks at the vectors again."""

    column = "FAISS SQ8"
    description = "SQ8"
    memory = 0.3


class FaissRaBitQ(Faiss):
    """All rows by IndexRaBitQFastScan behind a random rotation, the k_factor * k best again by their vectors; k_factor = 10."""

    column = "FAISS RaBitQ"
    efforts = (10, 1, 3, 30, 100)

    def described(self) -> str:
        return f"RR{self.dimension},RaBitQfs,RFlat"

    def set_effort(self, effort: int) -> None:
        self._index.k_factor = effort


class FaissIVF(Faiss):
    """IVF with 4 * sqrt(rows) lists, the fewest that its guidelines advise below a million, of which 16 are searched (nprobe)."""

    column = "FAISS IVF"
    efforts = (16, 4, 64, 256)

    def described(self) -> str:
        return f"IVF{4 * math.isqrt(len(self.vectors))},Flat"

    def prepare(self) -> None:
        self._index.cp.min_points_per_centroid = 1  # no warning that small data sets are small

    def set_effort(self, effort: int) -> None:
        self._index.nprobe = effort


class FaissHNSW(Faiss):
    """HNSW with 32 links, as in its guidelines, efConstruction 200 instead of 40, and efSearch 64 instead of 16."""

    column = "FAISS HNSW"
    description = "HNSW32"
    kept = True
    memory = 1.2
    efforts = (64, 16, 256, 1024)

    def prepare(self) -> None:
        self._index.hnsw.efConstruction = 200

    def set_effort(self, effort: int) -> None:
        self._index.hnsw.efSearch = effort


class USearchExact(Searcher):
    """The function search(…, exact=True) over a float32 matrix, by inner products; no index."""

    column = "usearch exact"
    needs: ClassVar = {"usearch": "usearch"}
    exact = True

    def build(self) -> None:
        self._rows = np.array(self.vectors)

    def use(self, threads: int) -> None:
        self._threads = threads

    def one(self, query: NDArray[np.float32]) -> NDArray[np.uint64]:
        from usearch.index import MetricKind, search

        return search(self._rows, query, K, MetricKind.IP, exact=True, threads=self._threads).keys

    def many(self, queries: NDArray[np.float32]) -> NDArray[np.uint64]:
        return self.one(queries)


class USearchHNSW(Searcher):
    """Index(metric="cos") as it comes: bfloat16 where the CPU has it, 16 links, expansion_add 128 and expansion_search 64."""

    column = "usearch HNSW"
    needs: ClassVar = {"usearch": "usearch"}
    kept = True
    memory = 0.7
    efforts = (64, 16, 256, 1024)

    def build(self) -> None:
        self._make()
        self._index.add(np.arange(len(self.vectors)), np.ascontiguousarray(self.vectors))
        self._index.save(str(self.folder / "index"))

    def load(self) -> None:
        self._make()
        self._index.load(str(self.folder / "index"))

    def _make(self) -> None:
        from usearch.index import Index

        self._index = Index(ndim=self.dimension, metric="cos")

    def use(self, threads: int) -> None:
        self._threads = threads

    def set_effort(self, effort: int) -> None:
        self._index.expansion_search = effort

    def one(self, query: NDArray[np.float32]) -> NDArray[np.uint64]:
        return self._index.search(query, K, threads=self._threads).keys

    def many(self, queries: NDArray[np.float32]) -> NDArray[np.uint64]:
        return self.one(queries)


class HnswLib(Searcher):
    """Cosine space, M = 32 and ef_construction = 200, in the range that its ALGO_PARAMS.md gives for most uses; ef = 100."""

    column = "hnswlib"
    needs: ClassVar = {"hnswlib": "hnswlib"}
    kept = True
    memory = 1.2
    efforts = (100, 20, 400, 1600)

    def build(self) -> None:
        self._make()
        self._index.init_index(len(self.vectors), ef_construction=200, M=32)
        self._index.add_items(self.vectors)
        self._index.save_index(str(self.folder / "index"))

    def load(self) -> None:
        self._make()
        self._index.load_index(str(self.folder / "index"))

    def _make(self) -> None:
        import hnswlib

        self._index = hnswlib.Index("cosine", self.dimension)

    def use(self, threads: int) -> None:
        self._threads = threads

    def set_effort(self, effort: int) -> None:
        self._index.set_ef(effort)

    def one(self, query: NDArray[np.float32]) -> NDArray[np.uint64]:
        return self._index.knn_query(query, K, num_threads=self._threads)[0][0]

    def many(self, queries: NDArray[np.float32]) -> NDArray[np.uint64]:
        return self._index.knn_query(queries, K, num_threads=self._threads)[0]


class StoreSearcher(Searcher):
    """Base of stores, which are set up and filled as in store.py, with metadata."""

    store: ClassVar[type[Contender]]

    def build(self) -> None:
        count = len(self.vectors)
        self.open()
        self.fill(Rows([key(i) for i in range(count)], self.vectors, [metadata(i) for i in range(count)]))
        self._store.close()
        self.open()

    def load(self) -> None:
        self.open()

    def open(self) -> None:
        self._store = self.store(self.folder, self.dimension)
        self._store.open()

    def fill(self, rows: Rows) -> None:
        self._store.bulk(self._store.prepared(rows))

    def use(self, threads: int) -> None:
        confine(threads)

    def one(self, query: NDArray[np.float32]) -> Any:
        return self._store.query(query, K)

    def many(self, queries: NDArray[np.float32]) -> Any:
        return self._store.query_many(queries, K)

    def numbers(self, answer: Sequence[str]) -> list[int]:
        return [int(name.rpartition("_")[2].removesuffix(".py")) for name in answer]

    def close(self) -> None:
        self._store.close()

    @classmethod
    def missing(cls) -> list[str]:
        return cls.store.missing()

    @classmethod
    def versions(cls) -> list[str]:
        return cls.store.versions()


class SqliteVecSearcher(StoreSearcher):
    """A vec0 table joined with one of documents; it searches with one thread, and a batch is one query after the other."""

    column = "sqlite-vec"
    store = SqliteVec
    exact = True


class LanceDBSearcher(StoreSearcher):
    """A table without a vector index, where its documentation has exact search; kept to one CPU where one thread is measured."""

    column = "LanceDB"
    store = LanceDB
    exact = True


class ChromaSearcher(StoreSearcher):
    """A collection with cosine space, its HNSW index as it comes; kept to one CPU where one thread is measured."""

    column = "Chroma"
    store = Chroma
    kept = True
    memory = 1.5


class Anam(StoreSearcher):
    """search_similar and search_many with min_similarity=-1, records included, in a new store filled by 100,000 rows a call."""

    column = "anam_py"
    store = AnamPy
    exact = True
    memory = 1.5

    options: ClassVar[dict[str, Any]] = {}

    def open(self) -> None:
        from anam_py import HTMCore

        self._store = HTMCore(self.folder, dimension=self.dimension)

    def fill(self, rows: Rows) -> None:
        for first in range(0, len(rows.keys), AT_ONCE):
            self._store.store_embeddings(*(column[first : first + AT_ONCE] for column in rows))
        # What it still does in the background is not what is measured.
        wait_until_still(self.folder, 1)

    def use(self, threads: int) -> None:
        from anam_py import configure_ffi

        configure_ffi({"thread_pool_size": threads})

    def one(self, query: NDArray[np.float32]) -> Any:
        return self._store.search_similar(query, K, -1, **self.options)

    def many(self, queries: NDArray[np.float32]) -> Any:
        return self._store.search_many(queries, K, -1, **self.options)

    def numbers(self, answer: Any) -> list[int]:
        return super().numbers([name for name, *_ in answer])


class AnamApproximate(Anam):
    """The same store, asked with mode="approx" and recall=0.99."""

    column = "anam_py, approx"
    exact = False
    options: ClassVar = {"mode": "approx", "recall": 0.99}

    @classmethod
    def missing(cls) -> list[str]:
        from anam_py import HTMCore

        has = all(set(cls.options) <= set(inspect.signature(f).parameters) for f in (HTMCore.search_similar, HTMCore.search_many))
        return [] if has else ["an anam_py with an approximate mode"]


def blas_threads(threads: int) -> None:
    """Let BLAS and OpenMP use so many threads, in all libraries that are loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)


def confine(threads: int) -> None:
    """Keep this process to so many CPUs, for libraries that do not let their threads be counted."""
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), CPUS[:threads])


def ready(searcher: Searcher) -> bool:
    """Build a searcher, or load what an earlier run has built; say whether it was built."""
    whole = searcher.folder / "whole"
    if searcher.kept and whole.exists():
        searcher.load()
        return False
    shutil.rmtree(searcher.folder, ignore_errors=True)
    searcher.folder.mkdir(parents=True)
    searcher.build()
    if searcher.kept:
        whole.touch()
    return True


SEARCHERS: tuple[type[Searcher], ...] = (
    NumPy,
    FaissFlat,
    FaissFlatBlas,
    FaissSQ8,
    FaissRaBitQ,
    FaissIVF,
    FaissHNSW,
    USearchExact,
    USearchHNSW,
    HnswLib,
    SqliteVecSearcher,
    LanceDBSearcher,
    ChromaSearcher,
    Anam,
    AnamApproximate,
)


def named(name: str) -> type[Searcher]:
    """Return a searcher by the name of its class, as other processes are told it."""
    return next(searcher for searcher in SEARCHERS if searcher.__name__ == name)
