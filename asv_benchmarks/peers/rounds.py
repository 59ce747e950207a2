"""Measuring in rounds: every searcher waits in a process of its own, and all take turns, so that noise hits all alike."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from indexes import NumPy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bandwidth import Bandwidth
    from search_data import DataSet
    from searcher import Searcher

CHILD = Path(__file__).with_name("search_child.py")
# The threads of the one before spin for some 30 ms, waiting for more.
PAUSE = 0.05
# Of the memory that is there, this much may be planned for.
SHARE = 0.8
ENDING = 30  # seconds in which a process may end by itself


@dataclass
class Result:
    """What was measured of a searcher on a data set.

    Parameters
    ----------
    data, column : str
        Names of the data set and of the searcher.
    rows : int
        How many rows were asked for.
    group : int
        Those of one group took turns with each other; NumPy is in each.
    exact : bool
        Whether the searcher promises the exact answer.
    effort : int or None
        How much it was told to look at.
    usual : bool
        Whether that is what the tables have.
    recall : float
        Which share of the exact nearest was found.
    built : float
        Seconds of building, in this run or in an earlier one.
    one : dict
        Seconds of each single query, by the number of threads.
    many : dict
        Queries a second of each batch, by the number of threads.
    """

    data: str
    column: str
    rows: int
    group: int
    exact: bool
    effort: int | None
    usual: bool
    recall: float = 0
    built: float = 0
    one: dict[str, list[float]] = field(default_factory=dict)
    many: dict[str, list[float]] = field(default_factory=dict)

    def milliseconds(self, threads: int | str) -> float:
        return 1e3 * statistics.median(self.one[str(threads)])

    def rate(self, threads: int | str) -> float:
        return statistics.median(self.many[str(threads)])


class Child:
    """A searcher in its process.

    Parameters
    ----------
    searcher : type
        Which.
    data : DataSet
        What it searches.
    folder : pathlib.Path
        Where the folders of all searchers are.
    group : int
        Number of the group.
    """

    def __init__(self, searcher: type[Searcher], data: DataSet, folder: Path, group: int) -> None:
        self.searcher = searcher
        version = re.sub(r"[^\w.]+", "-", "-".join(searcher.versions()))
        self._own = folder / f"{data.stem.name}-{searcher.__name__}-{version}"
        command = [sys.executable, CHILD, searcher.__name__, self._own, data.vectors_file, data.queries_file]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        built = self._said()["built"]
        shape = data.name, searcher.column, data.rows, group, searcher.exact
        efforts = searcher.efforts or (None,)
        self.results = [Result(*shape, effort, effort == efforts[0], built=built) for effort in efforts]
        self._answers: list[list[tuple[int, list[int]]]] = [[] for _ in self.results]

    def measure(self, do: str, threads: int, seconds: float, *, usual: bool) -> None:
        """Have one round measured, with its usual effort or with each of the others."""
        for result, answers in zip(self.results, self._answers, strict=True):
            if result.usual == usual:
                time.sleep(PAUSE)
                said = self._ask(do=do, threads=threads, effort=result.effort, seconds=seconds)
                answers.extend(enumerate(said["answers"]))
                if do == "one":
                    result.one.setdefault(str(threads), []).extend(said["seconds"])
                else:
                    result.many.setdefault(str(threads), []).extend(said["rates"])

    def finished(self, data: DataSet) -> list[Result]:
        """Return the results, each with its recall."""
        for result, answers in zip(self.results, self._answers, strict=True):
            result.recall = data.recall(answers)
        return self.results

    def end(self) -> None:
        """End the process, and remove what it has built if that is not kept."""
        self._process.stdin.close()
        try:
            self._process.wait(ENDING)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.stdout.close()
        if not self.searcher.kept:
            shutil.rmtree(self._own, ignore_errors=True)

    def _ask(self, **request: Any) -> dict[str, Any]:
        print(json.dumps(request), file=self._process.stdin, flush=True)
        return self._said()

    def _said(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.searcher.column} ended with {self._process.wait()}")
        return json.loads(line)


def groups(searchers: Sequence[type[Searcher]], vectors_bytes: int) -> Iterator[list[type[Searcher]]]:
    """Yield searchers that fit into memory at one time, NumPy in each group, as what the others are compared with."""
    room = SHARE * available() / vectors_bytes - NumPy.memory
    others = [searcher for searcher in searchers if searcher is not NumPy]
    group: list[type[Searcher]] = []
    taken = 0.0
    for searcher in others:
        if group and taken + searcher.memory > room:
            yield [NumPy, *group]
            group, taken = [], 0.0
        group.append(searcher)
        taken += searcher.memory
    yield [NumPy, *group]


def available() -> int:
    """Return how many bytes of memory can be had."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def measured(
    data: DataSet,
    searchers: Sequence[type[Searcher]],
    folder: Path,
    *,
    rounds: int,
    threads: Sequence[int],
    seconds: float,
    bandwidth: Bandwidth,
) -> tuple[list[Result], dict[str, list[float]]]:
    """Measure searchers on a data set; return the results, and gigabytes a second by the number of threads."""
    results: list[Result] = []
    speeds: dict[str, list[float]] = {}
    for number, group in enumerate(groups(searchers, data.vectors.nbytes)):
        with contextlib.ExitStack() as stack:
            children = []
            for searcher in group:
                progress(f"{data.name}, {len(data.vectors):,} rows: {searcher.column} gets ready")
                children.append(Child(searcher, data, folder, number))
                stack.callback(children[-1].end)
            for turn in range(rounds):
                progress(f"{data.name}, {len(data.vectors):,} rows: round {turn + 1} of {rounds}")
                one_round(children, turn, threads, seconds)
                for count in threads:
                    if (speed := bandwidth.measure(count)) is not None:
                        speeds.setdefault(str(count), []).append(speed)
            for child in children:
                results += child.finished(data)
    return results, speeds


def one_round(children: list[Child], turn: int, threads: Sequence[int], seconds: float) -> None:
    """Let everybody take a turn at each measure, another one first in each round; then those of several efforts at the others."""
    first = turn % len(children)
    order = children[first:] + children[:first]
    for do in ("one", "many"):
        for count in threads:
            for child in order:
                child.measure(do, count, seconds, usual=True)
    for do in ("one", "many"):
        for child in order:
            child.measure(do, max(threads), seconds, usual=False)


def progress(text: str) -> None:
    """Say what is going on."""
    print(f"  {time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
