"""A process in which one searcher waits to be asked, line by line in JSON, for one round of measurements after the other.

::

    python search_child.py SEARCHER FOLDER VECTORS.npy QUERIES.npy

It first says how long it took to build. A request names what to do, "one" or "many", with how many threads, with what
effort if the searcher knows any, and about how many seconds it may take.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from searcher import ready
from searchers import named

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from searcher import Searcher

SINGLE = 20  # of the queries are asked one by one
LEAST = 3  # of them are, whatever it takes
FEW = 8  # queries of a batch that says how long the whole would take
WARM_UP = 0.05  # seconds
WHILE = 0.2  # seconds for which batches are repeated,
TIMES = 5  # but no more often


def one(searcher: Searcher, queries: NDArray[np.float32], seconds: float) -> dict[str, Any]:
    """Ask queries one by one, after some that are not counted: the caches are still full of what others left there."""
    until = time.perf_counter() + WARM_UP
    searcher.one(queries[-1])
    while time.perf_counter() < until:
        searcher.one(queries[-1])
    taken: list[float] = []
    answers = []
    for query in queries[:SINGLE]:
        start = time.perf_counter()
        answer = searcher.one(query)
        taken.append(time.perf_counter() - start)
        answers.append(searcher.numbers(answer))
        if len(taken) >= LEAST and sum(taken) > seconds:
            break
    return {"seconds": taken, "answers": answers}


def many(searcher: Searcher, queries: NDArray[np.float32], seconds: float) -> dict[str, Any]:
    """Ask all queries at once, again and again for a while; only a few of them if all would take too long."""
    taken, answers = batch(searcher, queries[:FEW])
    rates = []
    if taken * len(queries) / FEW > seconds:
        rates.append(FEW / taken)
    while sum(len(answers) / rate for rate in rates) < WHILE and len(rates) < TIMES:
        taken, answers = batch(searcher, queries)
        rates.append(len(queries) / taken)
    return {"rates": rates, "answers": answers}


def batch(searcher: Searcher, queries: NDArray[np.float32]) -> tuple[float, list[list[int]]]:
    """Return how long one batch takes, and its answers."""
    start = time.perf_counter()
    answers = searcher.many(queries)
    taken = time.perf_counter() - start
    return taken, [searcher.numbers(answer) for answer in answers]


def main(name: str, folder: str, vectors: str, queries: str) -> None:
    """Build, say so, and answer until nobody asks any more."""
    # What a library prints is not to be taken for an answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=out, flush=True)

    asked = np.load(queries)
    searcher = named(name)(Path(folder), np.load(vectors, mmap_mode="r"))
    say({"built": ready(searcher)})
    for line in sys.stdin:
        request = json.loads(line)
        searcher.use(request["threads"])
        if request["effort"] is not None:
            searcher.set_effort(request["effort"])
        say({"one": one, "many": many}[request["do"]](searcher, asked, request["seconds"]))
    searcher.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
