"""How candidates are ranked: words and vectors, and what names, paths and summaries say of a definition.

Every signal is a number from 0 to 1, and a score is their weighted mean, so that it can be explained term by term.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from anam_py.crawler.fusion import comparable
from anam_py.crawler.languages import FileType
from anam_py.crawler.paths import SEPARATOR
from anam_py.embedding import terms_of

__all__ = ["Candidate", "Mode", "Weights", "ranked"]

Mode: TypeAlias = Literal["hybrid", "lexical", "semantic"]
Record: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Weights:
    """What each signal is worth.

    Attributes
    ----------
    lexical : float
        BM25 of the words, as `fusion` scales it.
    vector : float
        Cosine of the embeddings: the built-in embedder knows which words of prose and code mean the same.
    name : float
        How well the words and the name of the definition, with its file's, are the same set. A definition is what it is
        called; what merely uses it has another name.
    path : float
        How many of the words the folders hold: weak, since folders are named after themes.
    summary : float
        How many of the words the first paragraph of the documentation holds: it says what a thing does, in prose as queries are.
    aside : float
        What is left of the score of tests and generated files, which repeat the words of what they test or come from.
    per_file : int
        How many hits of one file come before those of others, so that one long file does not fill the page.
    """

    lexical: float = 0.14
    vector: float = 0.47
    name: float = 0.21
    path: float = 0.04
    summary: float = 0.14
    aside: float = 0.6
    per_file: int = 2


# The cosine from which a vector alone, without a shared word, speaks for an entry. Of 2,400 queries (random words, invented ones
# and docstrings) against 9,000 functions that the built-in embedder was not trained on, 7 had a greater cosine with some function
# that shares no term with them, none over 0.6.
_MEANINGFUL = 0.5

WEIGHTS = Weights()


class Candidate(NamedTuple):
    """An entry that may be a hit: its record, and its BM25 score and cosine, 0 where it was not found by them."""

    record: Record
    lexical: float
    vector: float


class Ranked(NamedTuple):
    """A candidate with its score, and the signals that it is made of."""

    record: Record
    score: float
    scores: dict[str, float]


def ranked(query: str, candidates: Sequence[Candidate], mode: Mode, weights: Weights = WEIGHTS) -> list[Ranked]:
    """Return the candidates that have to do with a query, best first.

    Parameters
    ----------
    query : str
    candidates : sequence of Candidate
    mode : {"hybrid", "lexical", "semantic"}
        Which of BM25 and cosine counts; where only one does, it has the weight of both.
    weights : Weights

    Returns
    -------
    list of Ranked
    """
    wanted = frozenset(terms_of(query))
    described = [_described(candidate.record) for candidate in candidates]
    terms = _Wanted.of(wanted, described)
    found = np.array([(candidate.lexical, candidate.vector) for candidate in candidates]).reshape(-1, 2)
    lexical, vector = (scores.tolist() for scores in comparable(found[:, 0], found[:, 1]))
    both = weights.lexical + weights.vector
    shares = {"hybrid": (weights.lexical, weights.vector), "lexical": (both, 0.0), "semantic": (0.0, both)}[mode]
    hits = []
    for candidate, words, cosine, there in zip(candidates, lexical, vector, described, strict=True):
        scores = {
            "lexical": words,
            "vector": cosine,
            "name": terms.likeness(there.name),
            "path": terms.coverage(there.path),
            "summary": terms.coverage(there.summary),
        }
        if not _is_related(candidate, scores, mode):
            continue
        score = shares[0] * words + shares[1] * cosine
        score += weights.name * scores["name"] + weights.path * scores["path"] + weights.summary * scores["summary"]
        if _is_aside(candidate.record, wanted):
            score *= weights.aside
        hits.append(Ranked(candidate.record, score, scores))
    hits.sort(key=lambda hit: (-hit.score, hit.record["key"].encode("utf-8")))
    return _spread(hits, weights.per_file)


def _is_related(candidate: Candidate, scores: dict[str, float], mode: Mode) -> bool:
    """Tell whether a candidate shares a word with the query, or its vector speaks for it; the nearest may still be far."""
    if mode == "semantic":
        return candidate.vector > 0
    return any(scores[name] > 0 for name in ("lexical", "name", "path", "summary")) or candidate.vector >= _MEANINGFUL


class _Described(NamedTuple):
    """The terms by which an entry is called, filed and summarised."""

    name: frozenset[str]
    path: frozenset[str]
    summary: frozenset[str]


def _described(record: Record) -> _Described:
    path, _, symbol = record["key"].partition(SEPARATOR)
    folders, _, file = path.rpartition("/")
    texts = (f"{file.partition('.')[0]} {symbol}", folders, record["metadata"].get("doc", ""))
    return _Described(*(frozenset(terms_of(text)) for text in texts))


class _Wanted(NamedTuple):
    """The terms of a query, with how much each says: the logarithm of how few of the candidates are called or summarised by it.

    All candidates share words with the query, so that a word which few of them are called by is what sets those apart.
    """

    rarity: dict[str, float]
    whole: float

    @classmethod
    def of(cls, terms: frozenset[str], described: Sequence[_Described]) -> "_Wanted":
        count = Counter(term for there in described for term in terms & (there.name | there.summary))
        rarity = {term: math.log(1 + len(described) / (1 + count[term])) for term in terms}
        return cls(rarity, math.fsum(rarity.values()))

    def likeness(self, there: frozenset[str]) -> float:
        """Return how far two sets of terms are the same: 1 if they are.

        The geometric mean of the part of the wanted terms that is there, and of the part of what is there that is wanted.
        """
        shared = self.rarity.keys() & there
        return math.sqrt(self.coverage(there) * len(shared) / len(there)) if shared else 0.0

    def coverage(self, there: frozenset[str]) -> float:
        """Return which part of the wanted terms is there, each weighted by its rarity; in whatever order sets have theirs."""
        shared = self.rarity.keys() & there
        return math.fsum(map(self.rarity.__getitem__, shared)) / self.whole if shared else 0.0


def _is_aside(record: Record, wanted: frozenset[str]) -> bool:
    file_type = record["metadata"].get("file_type")
    return file_type == FileType.GENERATED or (file_type == FileType.TEST and "test" not in wanted)


def _spread(hits: list[Ranked], per_file: int) -> list[Ranked]:
    """Put the hits of a file beyond the first few behind all others."""
    seen: dict[str, int] = {}
    first: list[Ranked] = []
    later: list[Ranked] = []
    for hit in hits:
        path = hit.record["key"].partition(SEPARATOR)[0]
        seen[path] = seen.get(path, 0) + 1
        (first if seen[path] <= per_file else later).append(hit)
    return first + later
