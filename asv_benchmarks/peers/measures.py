"""What is measured, for all contenders in turn: each function in `MEASURES` yields lines of the table."""

from __future__ import annotations

import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from child import K
from tables import Line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contenders import Contender, Rows
    from numpy.typing import NDArray

HERE = Path(__file__).parent
CHILD = (sys.executable, HERE / "child.py")
THREADS = 64
GETS = 500
# Rounds of what takes a second, for each round of what takes minutes.
SHORT_ROUNDS = 5
# Puts and gets that come first and are not counted.
WARMING = 5


@dataclass
class Bench:
    """What is common to all measures.

    Parameters
    ----------
    folder : pathlib.Path
        An empty folder on the disk that is measured.
    contenders : list of type
        Who takes part.
    rows : Rows
        What is inserted in bulk; single puts take their rows from its beginning.
    queries : numpy.ndarray
        Vectors like those of `rows`, none of them among these.
    rounds : int
        How often each figure is measured.
    share : float
        Of the number of puts and gets that a figure needs; less for a quick look.
    """

    folder: Path
    contenders: list[type[Contender]]
    rows: Rows
    queries: NDArray[np.float32]
    rounds: int
    share: float

    def taking_part(self, measure: str) -> list[type[Contender]]:
        return [contender for contender in self.contenders if measure in contender.measures]

    def turns(self, measure: str, rounds: int | None = None) -> Iterator[tuple[int, type[Contender]]]:
        """Yield number of round and contender: everybody in each round, another one first in each."""
        taking_part = self.taking_part(measure)
        for turn in range(rounds or self.rounds):
            first = turn % max(len(taking_part), 1)
            for contender in taking_part[first:] + taking_part[:first]:
                os.sync()  # what the one before has left to be written is not the next one's burden
                yield turn, contender

    def store(self, contender: type[Contender], name: str) -> Contender:
        """Return a contender on a folder of that name, which it need not have opened yet."""
        return contender(self.folder / f"{contender.__name__}-{name}", self.rows.vectors.shape[1])

    def fresh(self, contender: type[Contender], name: str) -> Contender:
        """Return a contender on a new folder."""
        store = self.store(contender, name)
        shutil.rmtree(store.folder, ignore_errors=True)
        return store

    def filled(self, contender: type[Contender]) -> Contender:
        """Return a contender on a folder that holds all rows."""
        store = self.store(contender, "bulk")
        if not store.folder.exists():
            insert(store, self.rows)
        return store

    @cached_property
    def nearest(self) -> list[set[str]]:
        """For each query the keys of the rows that are exactly the nearest."""
        vectors, keys = self.rows.vectors, self.rows.keys
        norms = np.linalg.norm(vectors, axis=1)
        answers = []
        for query in self.queries:
            close = np.argsort(-(vectors @ query) / norms)[: 10 * K]
            exact = vectors[close].astype(np.float64)
            cosines = exact @ query.astype(np.float64) / np.linalg.norm(exact, axis=1)
            answers.append({keys[row] for row in close[np.argsort(-cosines)[:K]]})
        return answers


def seconds(function: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def insert(store: Contender, rows: Rows) -> float:
    """Insert rows in bulk, and return how long that took."""
    with store:
        prepared = store.prepared(rows)
        return seconds(lambda: store.bulk(prepared))


class Figures:
    """Measured values by column."""

    def __init__(self) -> None:
        self._values: dict[str, list[float]] = {}

    def add(self, contender: type[Contender], *values: float) -> None:
        self._values.setdefault(contender.column, []).extend(values)

    def line(self, name: str, scale: float = 1, middle: Callable[[list[float]], float] = statistics.median) -> Line:
        """Return a line of their medians."""
        figures = {column: scale * middle(values) for column, values in self._values.items()}
        return Line(name, {column: f"{x:,.{0 if x >= 100 else 1 if x >= 10 else 2}f}" for column, x in figures.items()})


def puts(bench: Bench) -> Iterator[Line]:
    """Put rows one by one, a call each, into new stores."""
    rates = Figures()
    for _, contender in bench.turns("puts", SHORT_ROUNDS * bench.rounds):
        rates.add(contender, put_rate(bench, contender, contender.puts, threads=1))
    yield rates.line("single puts a second, 1 thread")
    yield from sync_counts(bench)


def threads(bench: Bench) -> Iterator[Line]:
    """Put rows one by one from many threads into one new store."""
    rates = Figures()
    for _, contender in bench.turns("threads", SHORT_ROUNDS * bench.rounds):
        rates.add(contender, put_rate(bench, contender, contender.threaded_puts, threads=THREADS))
    yield rates.line(f"single puts a second, {THREADS} threads")


def put_rate(bench: Bench, contender: type[Contender], count: int, threads: int) -> float:
    """Return puts per second into a new store, after a few that are not counted."""
    count = max(int(bench.share * count), 10)
    keys, vectors, metadata = (column[: count + WARMING] for column in bench.rows)
    with bench.fresh(contender, "puts") as store:
        rows = iter(zip(keys, vectors, metadata, strict=True))
        for row in islice(rows, WARMING):
            store.put(*row)
        if threads == 1:
            taken = seconds(lambda: [store.put(*row) for row in rows])
        else:
            with ThreadPoolExecutor(threads) as pool:
                taken = seconds(lambda: list(pool.map(lambda row: store.put(*row), rows)))
    shutil.rmtree(store.folder)
    return count / taken


def sync_counts(bench: Bench) -> Iterator[Line]:
    """Count how often a put calls fsync or fdatasync, where a C compiler and LD_PRELOAD are there to count it."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        return
    library = bench.folder / "syncs.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, HERE / "syncs.c", "-ldl"], check=True)
    counts = Figures()
    for contender in bench.taking_part("puts"):
        store = bench.fresh(contender, "syncs")
        command = [*CHILD, "syncs", contender.__name__, store.folder, str(store.dimension), "20"]
        environment = os.environ | {"LD_PRELOAD": str(library)}
        printed = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        counts.add(contender, float(printed))
        shutil.rmtree(store.folder)
    yield counts.line("fsync or fdatasync calls of such a put")


def bulk(bench: Bench) -> Iterator[Line]:
    """Insert all rows at once into new stores; the last are left for the measures that follow."""
    rates = Figures()
    for _, contender in bench.turns("bulk"):
        rates.add(contender, len(bench.rows.keys) / insert(bench.fresh(contender, "bulk"), bench.rows))
    yield rates.line(f"bulk insert of {len(bench.rows.keys):,} rows, rows a second")


def get(bench: Bench) -> Iterator[Line]:
    """Get single rows by key from a store just opened, and the same rows again."""
    first, again = Figures(), Figures()
    for turn, contender in bench.turns("get"):
        count = max(int(bench.share * GETS), 10)
        rng = np.random.default_rng(turn)
        chosen = rng.choice(len(bench.rows.keys), WARMING + count, replace=False)
        with bench.filled(contender) as store:
            for row in chosen[:WARMING]:
                vector, metadata = store.get(bench.rows.keys[row])
                if not np.allclose(vector, bench.rows.vectors[row], rtol=1e-5, atol=1e-6) or metadata != bench.rows.metadata[row]:
                    raise RuntimeError(f"{contender.column} gave something else than was stored")
            for figures in (first, again):
                keys = [bench.rows.keys[row] for row in chosen[WARMING:]]
                figures.add(contender, *(seconds(partial(store.get, key)) for key in keys))
    yield first.line("get a vector and its metadata by key, first time since opening, microseconds", 1e6)
    yield again.line("the same again, microseconds", 1e6)


def query(bench: Bench) -> Iterator[Line]:
    """Ask for the nearest rows in a new process, and in a store that has been searched before."""
    question = bench.folder / "query.npy"
    np.save(question, bench.queries[0])
    first, later, right = Figures(), Figures(), Figures()
    for _, contender in bench.turns("query"):
        with bench.filled(contender) as store:
            answers = [store.query(bench.queries[0], K)]
            for vector in bench.queries[1:]:
                start = time.perf_counter()
                answers.append(store.query(vector, K))
                later.add(contender, time.perf_counter() - start)
        right.add(contender, *(len(nearest & set(keys)) for nearest, keys in zip(bench.nearest, answers, strict=True)))
        first.add(contender, until_answer(store, question))
    yield first.line(f"a new process: imports, opening the store, first top {K}, milliseconds", 1e3)
    yield later.line(f"top {K} in a store that has been searched before, milliseconds", 1e3)
    yield right.line(f"of the exact top {K}, found on average", middle=statistics.fmean)


def until_answer(store: Contender, question: Path) -> float:
    """Return how long it takes from starting a process to its first answer."""
    command = [*CHILD, "first-answer", type(store).__name__, store.folder, question]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        answer = process.stdout.readline()
        taken = time.perf_counter() - start
    if not answer or process.returncode:
        raise RuntimeError(f"no answer from {' '.join(map(str, command))}")
    return taken


def disk(bench: Bench) -> Iterator[Line]:
    """Weigh stores of all rows on the disk, before and after half of the rows are deleted."""
    halves = {"every second row deleted": slice(None, None, 2), "the older half deleted": slice(len(bench.rows.keys) // 2)}
    sizes: dict[str, Figures] = {}

    def note(name: str, store: Contender) -> None:
        share = bytes_of(store.folder) / bench.rows.vectors.nbytes
        sizes.setdefault(name, Figures()).add(type(store), share)

    for contender in bench.taking_part("disk"):
        filled = bench.filled(contender)
        note("disk after the bulk insert, as a multiple of the vectors' bytes", filled)
        for name, half in {"": None, **halves}.items():
            store = bench.fresh(contender, "half")
            shutil.copytree(filled.folder, store.folder)
            if half is not None:
                with store:
                    store.delete(bench.rows.keys[half])
                    wait_until_still(store.folder, 0.5 + 2 * bench.share)
                note(f"{name}, left alone", store)
            with store:
                store.compact()
            note(f"{name}, compacted" if name else "compacted", store)
            shutil.rmtree(store.folder)
    for name, figures in sizes.items():
        yield figures.line(name)


def bytes_of(folder: Path) -> int:
    """Return what the files of a folder take on the disk."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError):  # a file that has been merged meanwhile
            if not path.is_dir():
                total += 512 * path.stat().st_blocks
    return total


def wait_until_still(folder: Path, still: float) -> None:
    """Wait until what the files of a folder take has not changed for so many seconds, or for a minute."""
    begun = since = time.monotonic()
    before = bytes_of(folder)
    while (now := time.monotonic()) < since + still and now < begun + 60:
        time.sleep(0.05)
        if (size := bytes_of(folder)) != before:
            before, since = size, now


MEASURES = {function.__name__: function for function in (puts, threads, bulk, get, query, disk)}
