"""Searches over rows in memory: libraries that keep neither keys nor metadata."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from child import K
from searcher import Searcher

if TYPE_CHECKING:
    from numpy.typing import NDArray


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


def blas_threads(threads: int) -> None:
    """Let BLAS and OpenMP use so many threads, in all libraries that are loaded."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(threads)
