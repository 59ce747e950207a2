"""The retrieval benchmark: what is asked of held-out packages, and how well an answer is ranked."""

import random
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from extract import Item
from pairs import first_sentence, halves

__all__ = ["Figures", "Task", "among", "figures", "tasks"]

_MOST_QUERIES = 1000
_LEAST_WORDS = 3


class Task(NamedTuple):
    """Queries, the texts among which each has one answer, and which that is."""

    name: str
    queries: list[str]
    documents: list[str]
    answers: npt.NDArray[np.intp]


class Figures(NamedTuple):
    """How well a task was done: each a mean over its queries."""

    ndcg: float
    mrr: float
    recall_1: float
    recall_10: float


def tasks(items: Sequence[Item], seed: int = 0) -> list[Task]:
    """Return the five tasks.

    Parameters
    ----------
    items : sequence of Item
        Of held-out packages. Of those with equal code, or with equal documentation, the first alone is asked for.
    seed : int
        Chooses the queries where there are more than 1,000.
    """
    functions = _unlike([item for item in items if item.kind == "function"])
    files = _unlike([item for item in items if item.kind == "file"])
    sentences = {place: sentence for place, item in enumerate(functions) if (sentence := _question(first_sentence(item.doc)))}
    docs = {place: item.doc for place, item in enumerate(files) if _question(item.doc)}
    cut = [two for item in functions if (two := halves(item.code))]
    code = [item.code for item in functions]
    return [
        _task("docstring → function", sentences, code, seed),
        _task("docstring → function, name masked", sentences, [_masked(item) for item in functions], seed),
        _task("module docstring → file", docs, [item.code for item in files], seed),
        _task("half → other half", dict(enumerate(first for first, _ in cut)), [second for _, second in cut], seed),
        _task("renamed clone", {place: item.renamed for place, item in enumerate(functions) if item.renamed}, code, seed),
    ]


def among(task: Task, count: int) -> Task:
    """Return a task with so many texts at most: all answers, and others by chance."""
    others = np.random.default_rng(0).permutation(np.setdiff1d(np.arange(len(task.documents)), task.answers))
    kept = np.concatenate((task.answers, others[: max(0, count - len(task.answers))]))
    return Task(task.name, task.queries, [task.documents[place] for place in kept], np.arange(len(task.answers)))


def figures(task: Task, scores: Callable[[Sequence[str]], npt.NDArray[np.floating]], at_once: int = 100) -> Figures:
    """Return how well scores find the answers of a task.

    Parameters
    ----------
    task : Task
    scores : callable
        From queries to an array of shape (len(queries), len(task.documents)). A document with the answer's score counts as
        ranked before it.
    at_once : int
        How many queries it is given.
    """
    ranks = np.concatenate(
        [
            _ranks(scores(task.queries[first : first + at_once]), task.answers[first : first + at_once])
            for first in range(0, len(task.queries), at_once)
        ]
    )
    found = ranks <= 10
    return Figures(
        float(np.mean(found / np.log2(1 + ranks))),
        float(np.mean(found / ranks)),
        float(np.mean(ranks == 1)),
        float(np.mean(found)),
    )


def _ranks(scores: npt.NDArray[np.floating], answers: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    own = np.take_along_axis(scores, answers[:, np.newaxis], axis=1)
    return np.count_nonzero(scores >= own, axis=1)


def _unlike(items: Sequence[Item]) -> list[Item]:
    return list({item.code: item for item in reversed(items)}.values())[::-1]


def _question(doc: str) -> str:
    return doc if len(doc.split()) >= _LEAST_WORDS else ""


def _masked(item: Item) -> str:
    return re.sub(rf"\b{re.escape(item.name)}\b", "f", item.code)


def _task(name: str, asked: dict[int, str], documents: list[str], seed: int) -> Task:
    """Return a task of at most 1,000 of the queries, each text once."""
    single = list({query: place for place, query in reversed(asked.items())}.values())[::-1]
    chosen = sorted(random.Random(seed).sample(single, min(_MOST_QUERIES, len(single))))
    return Task(name, [asked[place] for place in chosen], documents, np.array(chosen))
