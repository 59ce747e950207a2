"""The versions of a file or symbol that the store keeps, across renames, and the lines that changed in each.

Of a version the store keeps how it differs from the one before, not its text: lines that were taken out are known only where a
later version still has them, or an earlier one put them in.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from anam_py.crawler.paths import SEPARATOR
from anam_py.store import HTMCore

__all__ = ["Hunk", "Version", "history"]

_CONTEXT = 3
_Text = list[str | None]


class Hunk(NamedTuple):
    """Lines that changed, with those around them; a line that is not known any more is None.

    Attributes
    ----------
    old_start, new_start : int
        Where it begins, from 1, in the version before and in this one: with the lines before, if there are any.
    before, removed, added, after : list
        Lines, without what ends them: the same before and after, and those in between that were taken out and put in.
    """

    old_start: int
    new_start: int
    before: list[str]
    removed: list[str | None]
    added: list[str]
    after: list[str]


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a file, or of the file that a symbol is in.

    Attributes
    ----------
    path : str
        The file's key at that time.
    version : int
        The version of that key.
    timestamp : float
        When it was stored, in seconds since 1970.
    metadata : dict
    is_same : bool
        Whether its content is that of the version before, as when it was renamed or embedded anew.
    diff_ops : list of dict
        What changed in the file since the version before.
    hunks : list of Hunk
        The same, with what is known of the lines; of a symbol only where it changed.
    """

    path: str
    version: int
    timestamp: float
    metadata: dict[str, Any]
    is_same: bool = False
    diff_ops: list[dict[str, Any]] = field(default_factory=list)
    hunks: list[Hunk] = field(default_factory=list)


def history(htm: HTMCore, key: str) -> list[Version]:
    """Return the versions of a file, or those in which a symbol of it changed, oldest first.

    Parameters
    ----------
    htm : HTMCore
    key : str
        That of the file, or of the symbol. It may have been deleted since.

    Returns
    -------
    list of Version
        With those that the file had under other names; empty if nothing was ever stored under the key.
    """
    path, separator, symbol = key.partition(SEPARATOR)
    recorded = _recorded(htm, path)
    texts = _texts(recorded, htm.get_text(path) if recorded and path in htm else None)
    versions = [
        Version(
            path=was,
            version=each["version"],
            timestamp=each["timestamp"],
            metadata=each["metadata"],
            is_same=index > 0 and _hash(each) == _hash(recorded[index - 1][1]),
            diff_ops=each["diff_ops"],
            hunks=_hunks(each["diff_ops"], texts[index - 1] if index else []),
        )
        for index, (was, each) in enumerate(recorded)
    ]
    return list(_of_symbol(htm, symbol, versions)) if separator else versions


def _recorded(htm: HTMCore, path: str) -> list[tuple[str, dict[str, Any]]]:
    """Return what the store keeps of each version of a file, with its key, oldest first."""
    found: list[tuple[str, dict[str, Any]]] = []
    until, seen = float("inf"), set[tuple[str, int]]()
    while path and (versions := [each for each in htm.history(path) if each["timestamp"] <= until]):
        # What is before the file came under this name belongs to another one.
        came = next((i for i in reversed(range(len(versions))) if "renamed_from" in versions[i]["metadata"]), 0)
        first = versions[came]
        if (path, first["version"]) in seen:  # by a clock that was set back
            break
        seen.add((path, first["version"]))
        found = [(path, each) for each in versions[came:]] + found
        path, until = first["metadata"].get("renamed_from", ""), first["timestamp"]
    return found


def _hash(version: dict[str, Any]) -> object:
    return version["metadata"].get("content_hash")


# ---- texts ----


def _texts(recorded: Sequence[tuple[str, dict[str, Any]]], current: str | None) -> list[_Text]:
    """Return the lines of each version as far as they are known.

    Going back from the current text gives what has stayed since; going forward from there, what came in and went out again.
    """
    versions = [each for _, each in recorded]
    texts: list[_Text] = [[] for _ in versions]
    if versions:
        count = versions[-1]["metadata"].get("line_count", 0)
        texts[-1] = [None] * count if current is None else list(current.split("\n")[:count])
    for index in reversed(range(1, len(versions))):
        older, newer = versions[index - 1], versions[index]
        if newer["diff_ops"] or _hash(older) == _hash(newer):
            texts[index - 1] = _undone(newer["diff_ops"], texts[index])
        else:  # it was deleted and came back, or its text was lost
            texts[index - 1] = [None] * older["metadata"].get("line_count", 0)
    for index, (older, newer) in enumerate(pairwise(versions), 1):
        if newer["diff_ops"] or _hash(older) == _hash(newer):
            texts[index] = _done(newer["diff_ops"], texts[index - 1])
    return texts


def _undone(diff_ops: Sequence[dict[str, Any]], text: _Text) -> _Text:
    """Return the text before a change."""
    before: _Text = []
    at = 0
    for op in diff_ops:
        kept = op["pos"] - len(before)
        before += text[at : at + kept] + [None] * op["count"]
        at += kept + len(op["lines"])
    return before + text[at:]


def _done(diff_ops: Sequence[dict[str, Any]], text: _Text) -> _Text:
    """Return the text after a change."""
    after: _Text = []
    at = 0
    for op in diff_ops:
        after += text[at : op["pos"]] + [line.removesuffix("\n") for line in op["lines"]]
        at = op["pos"] + op["count"]
    return after + text[at:]


def _hunks(diff_ops: Sequence[dict[str, Any]], old: _Text) -> list[Hunk]:
    hunks = []
    shift = 0  # of a line's place, by the changes above
    for index, op in enumerate(diff_ops):
        start, end = op["pos"], op["pos"] + op["count"]
        above = diff_ops[index - 1]["pos"] + diff_ops[index - 1]["count"] if index else 0
        below = diff_ops[index + 1]["pos"] if index + 1 < len(diff_ops) else len(old)
        # Lines between two changes are shown once, after the first.
        first = max(above + _CONTEXT * bool(index), start - _CONTEXT)
        before = _known(reversed(old[min(first, start) : start]))[::-1]
        after = _known(old[end : min(below, end + _CONTEXT)])
        added = [line.removesuffix("\n") for line in op["lines"]]
        hunks.append(Hunk(start - len(before) + 1, start + shift - len(before) + 1, before, old[start:end], added, after))
        shift += len(op["lines"]) - op["count"]
    return hunks


def _known(lines: Iterator[str | None] | _Text) -> list[str]:
    """Return the lines up to the first that is not known."""
    known = []
    for line in lines:
        if line is None:
            break
        known.append(line)
    return known


# ---- symbols ----


def _of_symbol(htm: HTMCore, symbol: str, versions: Sequence[Version]) -> Iterator[Version]:
    """Give the versions of a file in which a symbol changed, with the changes in its lines."""
    ranges = {path: _ranges(htm, f"{path}{SEPARATOR}{symbol}") for path in {each.path for each in versions}}
    last: tuple[int, int] | None = None
    last_hash: object = None
    for version in versions:
        times, spans = ranges[version.path]
        index = bisect_right(times, version.timestamp) - 1
        if index < 0:
            continue
        start, end, content = spans[index]
        if content == last_hash:
            last = (start, end)
            continue
        old = last or (start, end)
        hunks = [
            hunk
            for hunk in version.hunks
            if _touches(hunk.old_start + len(hunk.before), len(hunk.removed), *old)
            or _touches(hunk.new_start + len(hunk.before), len(hunk.added), start, end)
        ]
        last, last_hash = (start, end), content
        yield Version(
            version.path, version.version, version.timestamp, version.metadata, version.is_same, version.diff_ops, hunks
        )


def _ranges(htm: HTMCore, key: str) -> tuple[list[float], list[tuple[int, int, object]]]:
    """Return when a symbol was stored, and its lines and the hash of its content then."""
    versions = [each for each in htm.history(key) if "start_line" in each["metadata"]]
    spans = [(each["metadata"]["start_line"], each["metadata"]["end_line"], _hash(each)) for each in versions]
    return [each["timestamp"] for each in versions], spans


def _touches(first: int, count: int, start: int, end: int) -> bool:
    """Tell whether lines lie in a range; no lines lie where they would be."""
    return first <= end and first + max(count, 1) > start
