"""From words to hits: candidates by words and by vector, ranked, each with the lines that show why."""

import re
from bisect import bisect_right
from itertools import accumulate
from typing import Any, NamedTuple, cast, get_args

import numpy as np

from anam_py._validation import check_limit, check_text
from anam_py.crawler.batch import embed_query
from anam_py.crawler.freshness import Limits, Stale, stale
from anam_py.crawler.paths import SEPARATOR
from anam_py.crawler.ranking import Candidate, Mode, Ranked, ranked
from anam_py.crawler.reembedding import check_embedder
from anam_py.crawler.scope import Scope, Where
from anam_py.embedding import Embedder, terms_of
from anam_py.exceptions import ValidationError
from anam_py.store import HTMCore

__all__ = ["Hit", "search"]

# How many candidates each of words and vectors brings: the ranking rules look no further.
_LEAST_CANDIDATES = 400
_CANDIDATES_PER_HIT = 10
_DEEPER = 4
_SNIPPET_LINES = 8


class Hit(NamedTuple):
    """A place in the code base.

    Attributes
    ----------
    path : str
        The file's key.
    start_line, end_line : int
        The lines of the symbol; of a whole file those of the snippet.
    symbol : str or None
        Its qualified name; of a block or window, which has none, its first words in angle brackets; None for a file.
    kind : str
        "file", the kind of symbol, "block" (code outside of symbols) or "window" (lines of a file without a grammar).
    language : str
    score : float
        From 0 to 1; comparable within one search.
    scores : dict of str to float
        What it is made of: lexical, vector, name, path and summary, each from 0 to 1.
    snippet : str
        The lines that show most of the words; of a symbol its first ones.
    stale : {"changed", "deleted"} or None
        What has become of the file since it was indexed; None if it is as it was, or if that cannot be told.
    also : tuple of str
        The keys of others that were found with the same text, and are no hits of themselves.
    """

    path: str
    start_line: int
    end_line: int
    symbol: str | None
    kind: str
    language: str
    score: float
    scores: dict[str, float]
    snippet: str
    stale: Stale | None = None
    also: tuple[str, ...] = ()


def search(
    htm: HTMCore,
    embedder: Embedder,
    text: object,
    limit: object,
    mode: object,
    where: Where | None,
    scope: Scope,
    limits: Limits,
    *,
    duplicates: bool,
) -> list[Hit]:
    """Find what `CodeBaseCrawler.search` documents."""
    query = check_text(text, optional=False)
    count = check_limit(limit)
    if mode not in get_args(Mode):
        raise ValidationError(f"mode must be one of {', '.join(get_args(Mode))}, got {mode!r}")
    chosen = cast("Mode", mode)
    if chosen != "lexical":
        check_embedder(htm, embedder)
    depth = max(_LEAST_CANDIDATES, _CANDIDATES_PER_HIT * count)
    where = scope.filter(where)
    known = 0
    while True:
        candidates = _candidates(htm, embedder, query, depth, chosen, where)
        found = ranked(query, candidates, chosen)
        hits = [(each, ()) for each in found] if duplicates else _folded(found)
        # Where too many are the same, there may be others beyond them.
        if len(hits) >= count or len(found) < count or len(candidates) == known:
            break
        known, depth = len(candidates), _DEEPER * depth
    if not hits:
        scope.check_not_empty()
    shown = [_hit(htm, query, each, also) for each, also in hits[:count]]
    differing = stale(htm, list(dict.fromkeys(hit.path for hit in shown)), limits)
    return [hit._replace(stale=differing.get(hit.path)) for hit in shown]


def _folded(found: list[Ranked]) -> list[tuple[Ranked, tuple[str, ...]]]:
    """Return of those with the same text the best, with the keys of the others, in their order."""
    same: dict[str, list[Ranked]] = {}
    for each in found:
        same.setdefault(each.record["metadata"]["content_hash"], []).append(each)
    return [(first, tuple(sorted(other.record["key"] for other in others))) for first, *others in same.values()]


def _candidates(
    htm: HTMCore, embedder: Embedder, query: str, depth: int, mode: Mode, where: Where | None = None
) -> list[Candidate]:
    """Return what words and vectors find of the crawler's entries; what users stored themselves is not code."""
    vector = embed_query(embedder, query) if mode != "lexical" else np.zeros(0)
    # The store remembers what the filter lets through of the vectors, which makes the search by words shorter.
    by_vector = htm.search_similar(vector, depth, -1.0, where=where) if vector.any() else []
    by_words = htm.search_text(query, depth, where=where) if mode != "semantic" else []
    lexical = {key: score for key, score, _ in by_words}
    cosine = {key: score for key, score, _ in by_vector}
    records = {key: record for key, _, record in (*by_words, *by_vector)}
    return [
        Candidate(record, lexical.get(key, 0.0), cosine[key] if key in cosine else _cosine(record, vector))
        for key, record in records.items()
        if "embedder" in record["metadata"]
    ]


def _cosine(record: dict[str, Any], vector: np.ndarray[Any, Any]) -> float:
    """Return the cosine of a unit vector and an entry that only its words have found."""
    if not vector.any():
        return 0.0
    embedding = record["embedding"]
    return float(embedding["values"] @ vector) / float(embedding["norm"])


def _hit(htm: HTMCore, query: str, found: Ranked, also: tuple[str, ...]) -> Hit:
    metadata = found.record["metadata"]
    path, _, symbol = found.record["key"].partition(SEPARATOR)
    lines = (htm.get_text(found.record["key"]) or "").split("\n")
    first = 0 if symbol else _densest(lines, query)
    snippet = lines[first : first + _SNIPPET_LINES]
    return Hit(
        path=path,
        start_line=metadata.get("start_line", first + 1),
        end_line=metadata.get("end_line", first + len(snippet)),
        symbol=symbol or None,
        kind=metadata["kind"],
        language=metadata["language"],
        score=found.score,
        scores=found.scores,
        snippet="\n".join(snippet),
        also=also,
    )


def _densest(lines: list[str], query: str) -> int:
    """Return where the lines start that show most of a query's words."""
    stems = sorted(set(terms_of(query)), key=len, reverse=True)
    if not stems:
        return 0
    starts = list(accumulate((len(line) + 1 for line in lines), initial=0))
    words = re.compile("|".join(map(re.escape, stems)), re.IGNORECASE)
    found = [(bisect_right(starts, word.start()) - 1, word[0].lower()) for word in words.finditer("\n".join(lines))]
    best, best_count, until = 0, 0, 0
    for index, (line, _) in enumerate(found):
        while until < len(found) and found[until][0] < line + _SNIPPET_LINES:
            until += 1
        count = len({word for _, word in found[index:until]})
        if count > best_count:
            best, best_count = line, count
    return best
