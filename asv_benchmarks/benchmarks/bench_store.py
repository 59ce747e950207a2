"""HTMCore as a user calls it: validation, catalog, records and disk included.

How fast a change made the store, on the machine at hand::

    asv continuous --config asv_benchmarks/asv.conf.json main HEAD --bench bench_store
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from anam_py import HTMCore, configure_ffi, get_ffi_config

from .common import DATA_SETS, DIMENSION, SEED, VectorBenchmark
from .sources import code

if TYPE_CHECKING:
    from numpy.typing import NDArray

METADATA = {"language": "python", "file_type": "source", "size_bytes": 2048, "dependencies": ["numpy", "torch"]}
ROWS = (10_000, 100_000)
BATCH = 100
# One row in a hundred has such metadata.
HUNDREDTH = {"size_bytes": 7}
KIND_ROWS = 20_000


def store_of(rows: int) -> str:
    """Name the store that `StoreBenchmark.setup_cache` has filled with so many rows."""
    return f"store-{rows}"


def fill(path: str, vectors: NDArray[np.float32]) -> None:
    """Make a store of vectors."""
    rows = range(len(vectors))
    with HTMCore(path, dimension=vectors.shape[1]) as htm:
        htm.store_embeddings([f"src/{i}.py" for i in rows], vectors, [METADATA | {"size_bytes": i % 100} for i in rows])


class StoreBenchmark(VectorBenchmark):
    """Base of benchmarks on filled stores."""

    sizes = ROWS

    def setup_cache(self) -> None:
        super().setup_cache()
        for rows in self.sizes:
            fill(store_of(rows), self.load(rows))

    def teardown(self, *_: object) -> None:
        self.htm.close()


class Put:
    """Entries stored and synced one by one, in an empty store."""

    def setup(self) -> None:
        shutil.rmtree("puts", ignore_errors=True)
        self.htm = HTMCore("puts")
        self.vector = VectorBenchmark.query()
        self.number = count()

    def teardown(self) -> None:
        self.htm.close()

    def time_durable_put(self) -> None:
        self.htm.store_embedding(f"src/{next(self.number)}.py", self.vector, METADATA)


class Bulk(VectorBenchmark):
    """Many entries stored in one call, synced."""

    sizes = (10_000,)
    number = 1
    repeat = (3, 5, 30.0)

    def setup(self) -> None:
        self.vectors = self.load(10_000)
        self.keys = [f"src/{i}.py" for i in range(10_000)]
        shutil.rmtree("bulk", ignore_errors=True)
        self.htm = HTMCore("bulk")

    def teardown(self) -> None:
        self.htm.close()

    def time_bulk_of_10_000(self) -> None:
        self.htm.store_embeddings(self.keys, self.vectors, [METADATA] * 10_000)

    def peakmem_bulk_of_10_000(self) -> None:
        self.htm.store_embeddings(self.keys, self.vectors, [METADATA] * 10_000)


class Get(StoreBenchmark):
    """One record by its key."""

    params = ROWS
    param_names = ("rows",)

    def setup(self, rows: int) -> None:
        self.htm = HTMCore(store_of(rows), read_only=True)
        self.keys = (f"src/{i * 7919 % rows}.py" for i in count())
        self.htm.get_embedding("src/0.py")

    def time_get_cached(self, rows: int) -> None:
        self.htm.get_embedding("src/0.py")

    def time_get(self, rows: int) -> None:
        self.htm.clear_cache()
        self.htm.get_embedding(next(self.keys))


class Search(StoreBenchmark):
    """The ten best of all rows, with their records."""

    params = (ROWS, (1, 2))
    param_names = ("rows", "threads")

    def setup(self, rows: int, threads: int) -> None:
        self.settings = get_ffi_config()
        configure_ffi({"thread_pool_size": threads})
        self.htm = HTMCore(store_of(rows), read_only=True)
        self.one, self.many = self.query(), self.queries(BATCH)
        self.htm.search_similar(self.one, 10, -1.0, where=HUNDREDTH)

    def teardown(self, *_: object) -> None:
        super().teardown()
        configure_ffi(self.settings)

    def time_search_similar(self, rows: int, threads: int) -> None:
        self.htm.search_similar(self.one, 10, -1.0)

    def time_search_many(self, rows: int, threads: int) -> None:
        self.htm.search_many(self.many, 10, -1.0)

    def time_search_of_a_hundredth(self, rows: int, threads: int) -> None:
        self.htm.search_similar(self.one, 10, -1.0, where=HUNDREDTH)

    def time_query_by_resonance(self, rows: int, threads: int) -> None:
        self.htm.query_by_resonance(0.0, 10)

    def peakmem_search_similar(self, rows: int, threads: int) -> None:
        self.htm.search_similar(self.one, 10, -1.0)


class Kinds:
    """Searches in data of different shapes, on which it depends how much of it must be looked at."""

    kinds = (*DATA_SETS, "code")
    params = kinds
    param_names = ("kind",)
    timeout = 300

    def setup_cache(self) -> None:
        for kind in self.kinds:
            if kind == "code":
                vectors, queries = code(KIND_ROWS, BATCH)
            else:
                both = DATA_SETS[kind](np.random.default_rng(SEED), KIND_ROWS + BATCH)
                vectors, queries = both[:KIND_ROWS], both[KIND_ROWS:]
            fill(f"store-{kind}", vectors)
            np.save(f"queries-{kind}.npy", queries)

    def setup(self, kind: str) -> None:
        self.htm = HTMCore(f"store-{kind}", read_only=True)
        self.queries = np.load(f"queries-{kind}.npy")
        self.turn = cycle(self.queries)
        self.htm.search_similar(self.queries[0], 10, -1.0, where=HUNDREDTH)

    def teardown(self, kind: str) -> None:
        self.htm.close()

    def time_search_similar(self, kind: str) -> None:
        self.htm.search_similar(next(self.turn), 10, -1.0)

    def time_search_many(self, kind: str) -> None:
        self.htm.search_many(self.queries, 10, -1.0)

    def time_search_of_a_hundredth(self, kind: str) -> None:
        self.htm.search_similar(next(self.turn), 10, -1.0, where=HUNDREDTH)

    def time_search_without_hits(self, kind: str) -> None:
        self.htm.search_similar(next(self.turn), 10, 0.95)

    def time_query_by_resonance(self, kind: str) -> None:
        self.htm.query_by_resonance(0.0, 10)


class Start(StoreBenchmark):
    """What a program waits for before its first answer."""

    params = ROWS
    param_names = ("rows",)
    timeout = 120

    def setup(self, rows: int) -> None:
        self.htm = HTMCore(store_of(rows), read_only=True)
        self.path = Path(store_of(rows)).resolve()

    def time_open(self, rows: int) -> None:
        # Another handle would share the engine that is open already.
        self.htm.close()
        self.htm = HTMCore(self.path, read_only=True)

    def time_new_process_to_first_answer(self, rows: int) -> None:
        run(
            f"import numpy, anam_py; htm = anam_py.HTMCore({os.fspath(self.path)!r}, read_only=True);"
            f"htm.search_similar(numpy.ones({DIMENSION}, numpy.float32), 10, -1.0)"
        )


class Import:
    """A new interpreter that imports the package."""

    def time_import(self) -> None:
        run("import anam_py")

    def time_import_numpy_for_scale(self) -> None:
        run("import numpy")


def run(program: str) -> None:
    """Run a program in a new interpreter."""
    subprocess.run([sys.executable, "-c", program], check=True)
