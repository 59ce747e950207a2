"""From questions to records: by key, by vector, by words, and by resonance with the whole memory.

Every answer is one moment of the store: ids and scores come from a snapshot, records from the
catalog by id, and where the two no longer agree the question is asked again (`Moved`).
"""

import json
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config
from anam_py.exceptions import HTMError
from anam_py.store import text
from anam_py.store.advice import REPAIR
from anam_py.store.engine import Engine, Moved
from anam_py.store.filters import Condition
from anam_py.store.records import Record, Stored, checked, checked_together, damage
from anam_py.store.rows import Entry
from anam_py.store.scopes import ScopeCache
from anam_py.store.selecting import LetThrough
from anam_py.store.snapshot import Snapshot
from anam_py.store.tables import Reader

if TYPE_CHECKING:
    from anam_py.store.device import DeviceCopy

Hit = tuple[str, float, Record]


class ApproximateHits(list[Hit]):
    """Hits of a search that may have missed some.

    Attributes
    ----------
    expected_recall : float
        The share of the exact answer that is to be expected in it, by what was measured on rows of the store.
    """

    def __init__(self, hits: Iterable[Hit], expected_recall: float) -> None:
        super().__init__(hits)
        self.expected_recall = expected_recall


# A word in a key (a path, a symbol's name) says more of an entry than one in its text.
_KEY_WEIGHT, _BODY_WEIGHT = 4.0, 1.0
# How many of each list take part in a fusion, at least and for each hit wanted.
_FUSED_LEAST, _FUSED_PER_HIT = 100, 10
# So many records are read at a time. Longer answers are not kept in the cache: they would leave room for nothing else.
_REMEMBERED = 1_000
# More than the relative errors of two resonances together.
_ROUNDING = 2.0**-48


class Scope(NamedTuple):
    """Which rows a search is over.

    Attributes
    ----------
    where : Condition or None
        What their metadata must fulfil.
    partial : bool
        Whether to pass over segments that cannot be read, instead of raising.
    """

    where: Condition | None
    partial: bool

    def of(self, snapshot: Snapshot, reader: Reader, cache: ScopeCache) -> Snapshot:
        """Return the snapshot with only these rows alive."""
        if snapshot.missing and not self.partial:
            segment, reason = snapshot.missing[0]
            raise HTMError(
                f"{len(snapshot.missing)} of the store's segments cannot be read, first {segment.name} "
                f"({segment.rows} rows): {reason}; repair the store with HTMCore.repair(path), restore a backup, or open it with "
                "allow_partial=True to search the rest"
            )
        if self.where is None:
            return snapshot
        chosen = cache.narrowed(snapshot, reader, self.where)
        if chosen is None:
            raise Moved
        return chosen


def fetch(engine: Engine, keys: Sequence[str]) -> list[Stored | None]:
    """Return what is stored under each key, all of one moment."""
    if len(keys) == 1:
        return [_fetch_one(engine, keys[0])]

    def work(snapshot: Snapshot, reader: Reader) -> dict[str, Stored]:
        generation = engine.cache.generation
        with reader.frozen():
            entries = reader.entries(keys)
        found = {}
        for key, entry in entries.items():
            stored = engine.cache.get(key)
            if stored is None or stored.entry.id != entry.id:
                stored = _stored(snapshot, entry)
                engine.cache.offer(stored, generation)
            found[key] = stored
        return found

    found = engine.consistent(work)
    return [found.get(key) for key in keys]


def _fetch_one(engine: Engine, key: str) -> Stored | None:
    engine.check_usable()
    if not engine.read_only and (stored := engine.cache.get(key)):  # a reader must look for commits first
        return stored

    def work(snapshot: Snapshot, reader: Reader) -> Stored | None:
        generation = engine.cache.generation
        if (stored := engine.cache.get(key)) or (entry := reader.entry(key)) is None:
            return stored
        stored = _stored(snapshot, entry)
        engine.cache.offer(stored, generation)
        return stored

    return engine.consistent(work)


def history(engine: Engine, key: str) -> list[Record]:
    """Return the versions of a key, oldest first."""
    with engine.catalog.reading() as reader:
        versions = reader.history(key)
    for version in versions:
        if problem := damage(version):
            raise HTMError(f"the {problem} of version {version.version} of {key!r} are damaged; {REPAIR}")
    return [
        {
            "version": version.version,
            "timestamp": version.timestamp,
            "diff_ops": json.loads(version.diff_ops) if version.diff_ops else [],
            "metadata": json.loads(version.metadata),
        }
        for version in versions
    ]


def similar(
    engine: Engine,
    matrix: NDArray[np.float32],
    limit: int,
    min_similarity: float,
    scope: Scope,
    copy: "DeviceCopy | None" = None,
    recall: float = 1.0,
) -> list[list[Hit]]:
    """Return the `limit` entries most similar to each row of a matrix, by the contract's score and order.

    With a copy of the rows on a device, that does most of the work. With a recall of less than 1, some may be missed.
    """
    least = least_score(min_similarity)

    def work(snapshot: Snapshot, reader: Reader) -> list[list[Hit]]:
        chosen = scope.of(snapshot, reader, engine.scopes)
        told: list[_core.Levels] = []
        if copy is None or recall < 1.0:
            best = _core.top_k_many(chosen.rows(), matrix, limit, least, threads=threads(), recall=recall, levels=told)
        else:
            best = copy.top_k(chosen, matrix, limit, least, threads=threads())
        # Many answers are read together.
        known: dict[int, Stored] = {}
        if len(best) > 1:
            known = _read(engine, reader, snapshot, {i for found in best for i in _ids(snapshot, found)[:limit]})
        answers = [
            hits(engine, reader, snapshot, query, found, found.score, limit, known)
            for query, found in zip(matrix, best, strict=True)
        ]
        if recall == 1.0:
            return answers
        return [ApproximateHits(answer, levels.recall) for answer, levels in zip(answers, told, strict=True)]

    return engine.consistent(work)


def resonant(engine: Engine, min_resonance: float, limit: int | None, scope: Scope) -> list[Hit]:
    """Return the entries whose resonance with the memory's mean field is strongest."""
    least = _least_cosine(min_resonance)

    def work(snapshot: Snapshot, reader: Reader) -> list[Hit]:
        chosen = scope.of(snapshot, reader, engine.scopes)
        count = chosen.live if limit is None else min(limit, chosen.live)
        if not count:
            return []
        field = engine.mean_field(snapshot)
        wanted = count
        while True:
            # Several cosines can round, or be clipped, to one resonance, or even change places.
            # One row more than asked for shows whether that may happen across the last place.
            wanted += 1
            found = _field_scores(chosen, field, wanted, least)
            resonance = _core.resonance(found.score)
            order = np.argsort(-resonance, kind="stable")
            if len(order) < wanted or resonance[-1] * (1 + _ROUNDING) < resonance[order[count - 1]]:
                break
            wanted *= 2
        order = order[resonance[order] >= min_resonance]
        found = _core.Candidates(found.block[order], found.row[order], found.score[order])
        return hits(engine, reader, snapshot, field, found, resonance[order], count)

    return engine.consistent(work)


def matching(engine: Engine, query: str, limit: int, scope: Scope) -> list[Hit]:
    """Return the entries whose key and text match the words of a query best, by BM25."""

    def work(snapshot: Snapshot, reader: Reader) -> list[Hit]:
        generation = engine.cache.generation
        known = engine.scopes.known(reader, scope.where)
        with reader.frozen():
            matches = _lexical(reader, snapshot, query, limit, scope, known)
            return _records(engine, reader, snapshot, matches, limit, generation)

    return engine.consistent(work)


def hybrid(
    engine: Engine,
    query: str,
    vector: NDArray[np.float32],
    limit: int,
    weight: float,
    scope: Scope,
) -> list[Hit]:
    """Return the entries that are best by words and by vector together.

    The score is ``weight * vector + (1 - weight) * lexical``, each scaled to [0, 1] over the
    best of both lists: a convex combination ranks code better than reciprocal ranks do.
    """
    depth = max(_FUSED_LEAST, _FUSED_PER_HIT * limit)

    def work(snapshot: Snapshot, reader: Reader) -> list[Hit]:
        chosen = scope.of(snapshot, reader, engine.scopes)
        generation = engine.cache.generation
        known = engine.scopes.known(reader, scope.where)
        with reader.frozen():
            if reader.newest_id() > snapshot.last_id and not snapshot.missing:
                raise Moved  # one that is new might be found by its words only, and another not at all
            lexical = dict(_lexical(reader, snapshot, query, depth, scope, known))
            found = _core.top_k(chosen.rows(), vector, depth, threads=threads())
            ids = list({*lexical, *_ids(snapshot, found)})
            entries = reader.entries_by_id(ids)
            if len(entries) < len(ids):
                raise Moved
            if not ids:
                return []
            semantic = _scaled(_core.scores(np.stack([_vector(snapshot, entries[i]) for i in ids]), vector))
            words = _scaled(np.array([lexical.get(i, 0.0) for i in ids]))
            fused = weight * semantic + (1.0 - weight) * words
            return _records(engine, reader, snapshot, zip(ids, fused.tolist(), strict=True), limit, generation)

    return engine.consistent(work)


def _lexical(
    reader: Reader, snapshot: Snapshot, query: str, limit: int, scope: Scope, known: LetThrough | None
) -> list[tuple[int, float]]:
    """Return (id, score) of the best matches; more than `limit` where scores tie at the end."""
    expression = text.match_expression(query)
    if expression is None:
        return []
    passing_over = scope.partial and bool(snapshot.missing)
    wanted = sys.maxsize - 1 if passing_over else limit
    while True:
        wanted += 1
        rows = reader.matches(expression, wanted, (_KEY_WEIGHT, _BODY_WEIGHT), scope.where, known)
        if len(rows) < wanted or rows[-1][1] < rows[limit - 1][1]:
            break
        wanted *= 2
    if passing_over:
        entries = reader.entries_by_id(i for i, _ in rows)
        rows = [(i, score) for i, score in rows if not snapshot.missing_from(entries[i].shard, i)]
    # One that only showed where the ties end might have ties of its own, which are not here.
    return [row for row in rows if row[1] >= rows[limit - 1][1]] if len(rows) > limit else rows


def hits(
    engine: Engine,
    reader: Reader,
    snapshot: Snapshot,
    query: NDArray[np.float32],
    found: _core.Candidates,
    scores: NDArray[np.float64],
    limit: int,
    known: dict[int, Stored] | None = None,
) -> list[Hit]:
    """Return the records of rows found by their cosine with a query, and ordered by scores made of it.

    `known` has what is stored under some of their ids.
    """
    ids = _ids(snapshot, found)
    cosines = dict(zip(ids, found.score.tolist(), strict=True))
    if len(ids) > limit:
        # Only the rows that tie at the last place need their keys to be told apart.
        last = scores[limit - 1]
        above = int(np.count_nonzero(scores > last))
        tied = [i for i, score in zip(ids, scores, strict=True) if score == last]
        keys = reader.keys_by_id(tied)
        if len(keys) < len(tied):
            raise Moved
        tied.sort(key=lambda i: keys[i].encode())
        ids = [*ids[:above], *tied[: limit - above]]
    best = _best(engine, reader, snapshot, zip(ids, scores[: len(ids)].tolist(), strict=True), limit, known)
    if best and query.any():
        # Checksums guard vectors; ids and norms of a segment are guarded by what comes of them.
        vectors = np.concatenate([stored.vector for stored, _ in best]).reshape(len(best), -1)
        exact = _core.scores(vectors, query).tolist()
        for (stored, _), cosine in zip(best, exact, strict=True):
            if cosine != cosines[stored.entry.id]:
                key = stored.entry.key
                raise HTMError(f"the norm of {key!r} is damaged; run verify() to see what else is, and {REPAIR}")
    return [(stored.entry.key, score, stored.record()) for stored, score in best]


def _records(
    engine: Engine, reader: Reader, snapshot: Snapshot, scored: Iterable[tuple[int, float]], limit: int, generation: int
) -> list[Hit]:
    """Return the best of (id, score) pairs with their records, by (-score, key); see `_read`."""
    best = _best(engine, reader, snapshot, scored, limit, generation=generation)
    return [(stored.entry.key, score, stored.record()) for stored, score in best]


def _best(
    engine: Engine,
    reader: Reader,
    snapshot: Snapshot,
    scored: Iterable[tuple[int, float]],
    limit: int,
    known: dict[int, Stored] | None = None,
    generation: int | None = None,
) -> list[tuple[Stored, float]]:
    scores = dict(scored)
    found = {i: known[i] for i in scores if i in known} if known else {}
    if len(found) < len(scores):
        found |= _read(engine, reader, snapshot, [i for i in scores if i not in found], generation)
    # The order of strings is that of their UTF-8.
    best = sorted(found.values(), key=lambda stored: (-scores[stored.entry.id], stored.entry.key))
    return [(stored, scores[stored.entry.id]) for stored in best[:limit]]


def _read(
    engine: Engine, reader: Reader, snapshot: Snapshot, ids: Collection[int], generation: int | None = None
) -> dict[int, Stored]:
    """Return what is stored under some ids, from the cache or read and checked together.

    Where the reader is frozen, `generation` is the cache's from before that: what it reads may have been overwritten since.
    """
    if generation is None:
        generation = engine.cache.generation
    found = engine.cache.known(ids)
    missing = [i for i in ids if i not in found]
    for start in range(0, len(missing), _REMEMBERED):
        some = missing[start : start + _REMEMBERED]
        entries = list(reader.entries_by_id(some).values())
        if len(entries) < len(some):
            raise Moved
        for stored in checked_together(entries, np.stack([_vector(snapshot, entry) for entry in entries])):
            found[stored.entry.id] = stored
            if len(missing) <= _REMEMBERED:
                engine.cache.offer(stored, generation)
    return found


def _stored(snapshot: Snapshot, entry: Entry) -> Stored:
    return checked(entry, _vector(snapshot, entry))


def _vector(snapshot: Snapshot, entry: Entry) -> NDArray[np.float32]:
    vector = snapshot.vector(entry.shard, entry.id)
    if vector is None:
        if reason := snapshot.missing_from(entry.shard, entry.id):
            raise HTMError(f"the vector of {entry.key!r} cannot be read: {reason}; {REPAIR}")
        raise Moved
    return vector


def _ids(snapshot: Snapshot, found: _core.Candidates) -> list[int]:
    blocks = snapshot.blocks
    return [int(blocks[b].ids[r]) for b, r in zip(found.block.tolist(), found.row.tolist(), strict=True)]


def _field_scores(snapshot: Snapshot, field: NDArray[np.float32], count: int, least: float) -> _core.Candidates:
    if field.any():
        return _core.top_k(snapshot.rows(), field, count, least, threads=threads())
    # The unit vectors cancel out: nothing is more central than anything else.
    rows = [np.arange(len(b.ids)) if b.alive is None else np.flatnonzero(b.alive) for b in snapshot.blocks]
    lengths = [len(part) for part in rows]
    block = np.repeat(np.arange(len(rows), dtype=np.int32), lengths)
    return _core.Candidates(block, np.concatenate(rows), np.zeros(sum(lengths)))


def _least_cosine(min_resonance: float) -> float:
    """Return a cosine below which no resonance is as great; but for its rounding, resonance rises with the cosine."""
    if min_resonance <= 0.0:
        return -np.inf
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _core.resonance(middle) < min_resonance:
            low = middle
        else:
            high = middle
    return low * (1 - _ROUNDING)


def _scaled(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = scores.min(), scores.max()
    return (scores - low) / (high - low) if high > low else np.ones_like(scores)


def least_score(min_similarity: float) -> float:
    """Return the least score of a hit."""
    return -np.inf if min_similarity <= -1.0 else min_similarity  # a cosine may round to less than -1


def threads() -> int:
    """Return how many threads a search may use."""
    return config.current().thread_pool_size
