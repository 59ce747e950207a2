"""Searches in stores, which are set up and filled as in store.py, keep metadata with the rows, and answer with keys."""

from __future__ import annotations

import inspect
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from child import K
from contenders import AnamPy, Chroma, Contender, LanceDB, Rows, SqliteVec
from data import key, metadata
from searcher import Searcher

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

CPUS = sorted(os.sched_getaffinity(0))
# Rows of one bulk insertion.
AT_ONCE = 100_000
# Glances, each so many seconds after the other, between which a process that is idle does nothing.
IDLE, GLANCE = 5, 0.2


class StoreSearcher(Searcher):
    """Base of stores, which are set up and filled as in store.py, with metadata."""

    store: ClassVar[type[Contender]]

    def build(self) -> None:
        count = len(self.vectors)
        self.open()
        self.fill(Rows([key(i) for i in range(count)], self.vectors, [metadata(i) for i in range(count)]))
        wait_until_idle()
        self._store.close()
        self.load()

    def load(self) -> None:
        self.open()
        wait_until_idle()

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
        if missing := super().missing():
            return missing
        from anam_py import HTMCore

        known = [set(inspect.signature(search).parameters) for search in (HTMCore.search_similar, HTMCore.search_many)]
        return [] if all(names >= set(cls.options) for names in known) else ["an anam_py with an approximate mode"]


def confine(threads: int) -> None:
    """Keep this process to so many CPUs, for libraries that do not let their threads be counted."""
    for task in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(task.name), CPUS[:threads])


def wait_until_idle() -> None:
    """Wait until what this process does in the background is done: a search is measured in a store that has come to rest."""
    idle = 0
    while idle < IDLE:
        before = time.process_time()
        time.sleep(GLANCE)
        idle = idle + 1 if time.process_time() - before < GLANCE / 20 else 0
