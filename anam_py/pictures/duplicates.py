"""Groups of functions or of files that are almost the same: whose texts are, or whose vectors are very near each other."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np

from anam_py import _core
from anam_py.store import HTMCore

__all__ = ["THRESHOLD", "Alike", "Entries", "alike", "read_entries"]

# The least cosine of two that are near-duplicates: at .95 all but few pairs of the standard library's functions are copies with
# other names or another case handled, at .90 many only do the same kind of thing.
THRESHOLD: Final = 0.95
# Of more entries than these only the larger ones are compared.
_MOST: Final = 20_000
_NEAREST: Final = 10


class Entries(NamedTuple):
    """Entries of one kind, with what was left out of them.

    Attributes
    ----------
    records : list of dict
        As the store gives them.
    where : dict
        The filter that lets them through.
    least : int
        The least value of the field that tells how large an entry is.
    """

    records: list[dict[str, Any]]
    where: dict[str, Any]
    least: int


class Alike(NamedTuple):
    """A group of near-duplicates.

    Attributes
    ----------
    members : list of dict
        Their records, by key.
    cosine : float
        The least of those that join them.
    identical : bool
        Whether their texts are the same.
    lines : int
        How many lines would go if only the longest of them stayed.
    """

    members: list[dict[str, Any]]
    cosine: float
    identical: bool
    lines: int


def read_entries(htm: HTMCore, where: dict[str, Any], field: str, least: int) -> Entries:
    """Read entries, all or the larger ones.

    Parameters
    ----------
    htm : HTMCore
    where : dict
        Which entries.
    field : str
        The metadata field that tells how large one is.
    least : int
        Its least value; where more than 20,000 entries would be read, as much more as it takes.

    Returns
    -------
    Entries
    """
    while True:
        chosen = {**where, field: {"$gte": least}}
        if htm.count(chosen) <= _MOST:
            records = [record for _, _, record in htm.query_by_resonance(-1.0, where=chosen)]
            return Entries(sorted(records, key=lambda record: record["key"]), chosen, least)
        least += max(1, least // 2)


def alike(htm: HTMCore, entries: Entries, least_lines: int) -> list[Alike]:
    """Find the groups of near-duplicates among entries.

    Parameters
    ----------
    htm : HTMCore
    entries : Entries
        As from `read_entries`, which may have been read a moment ago.
    least_lines : int
        Shorter ones are alike for no reason worth telling.

    Returns
    -------
    list of Alike
        Those that would save most lines first. Each member is a near-duplicate of another one, not necessarily of all; one
        entry's ten nearest are looked at. One that lies inside of another is no duplicate of it.
    """
    records = {record["key"]: record for record in entries.records if _lines(record) >= least_lines}
    if len(records) < 2:
        return []
    vectors = np.stack([record["embedding"]["values"] for record in records.values()])
    found = htm.search_many(vectors, _NEAREST + 1, THRESHOLD, where=entries.where)
    pairs = {
        (min(key, other), max(key, other)): cosine
        for key, hits in zip(records, found, strict=True)
        for other, cosine, _ in hits
        if other != key and other in records and not _overlap(records[key], records[other])
    }
    pairs |= {(key, other): _cosine(records[key], records[other]) for key, other in _same_texts(records)}
    groups = [_alike([records[key] for key in keys], cosine) for keys, cosine in _connected(pairs)]
    return sorted(groups, key=lambda group: (-group.lines, group.members[0]["key"]))


def _lines(record: dict[str, Any]) -> int:
    metadata = record["metadata"]
    lines: int = metadata["line_count"] if metadata["kind"] == "file" else metadata["end_line"] - metadata["start_line"] + 1
    return lines


def _overlap(one: dict[str, Any], other: dict[str, Any]) -> bool:
    a, b = one["metadata"], other["metadata"]
    return (
        a.get("path") is not None
        and a["path"] == b.get("path")
        and a["start_line"] <= b["end_line"]
        and b["start_line"] <= a["end_line"]
    )


def _same_texts(records: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Give pairs that join all entries of the same text: what a file is called has its part in a vector, too."""
    keys: dict[str, list[str]] = {}
    for key, record in records.items():
        keys.setdefault(record["metadata"]["content_hash"], []).append(key)
    for same in keys.values():
        yield from pairwise(sorted(same))


def _cosine(one: dict[str, Any], other: dict[str, Any]) -> float:
    return _core.pair_cosine(one["embedding"]["values"], other["embedding"]["values"])


def _connected(pairs: dict[tuple[str, str], float]) -> list[tuple[list[str], float]]:
    """Return the keys that pairs join, directly or through others, and the least cosine that joins them."""
    group: dict[str, list[str]] = {}
    for key, other in pairs:
        one, two = group.setdefault(key, [key]), group.setdefault(other, [other])
        if one is not two:
            one, two = (one, two) if len(one) >= len(two) else (two, one)
            one += two
            group.update(dict.fromkeys(two, one))
    least: dict[int, float] = {}
    for (key, _), cosine in pairs.items():
        least[id(group[key])] = min(cosine, least.get(id(group[key]), 1.0))
    return [(sorted(keys), least[id(keys)]) for keys in {id(keys): keys for keys in group.values()}.values()]


def _alike(members: list[dict[str, Any]], cosine: float) -> Alike:
    lines = [_lines(member) for member in members]
    identical = len({member["metadata"]["content_hash"] for member in members}) == 1
    return Alike(members, cosine, identical, sum(lines) - max(lines))
