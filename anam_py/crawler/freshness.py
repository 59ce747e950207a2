"""How the disk differs from what was indexed: by looking at files and folders, and reading only those that may have changed.

A file is as it was indexed if its size and its latest time are. A name was added to a folder, or taken out, if the folder is
newer than the last crawl.
"""

import stat
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anam_py._core import lstat_many
from anam_py.crawler.analysis import analyse, content_hash, content_of
from anam_py.crawler.known import EMPTY, INDEXED, RECIPE, SKIPPED, digest_of, skip_of
from anam_py.crawler.paths import fits
from anam_py.crawler.reading import Unindexable, read
from anam_py.crawler.reembedding import UNFINISHED
from anam_py.crawler.report import Reason
from anam_py.crawler.roots import located, placed
from anam_py.crawler.selection import Selection
from anam_py.crawler.status import IndexStatus
from anam_py.crawler.walk import Walk
from anam_py.store import File, HTMCore, Ledger, Root

__all__ = ["Limits", "Stale", "check", "stale"]

Stale: TypeAlias = Literal["changed", "deleted"]
_Moment: TypeAlias = tuple[str, int, int]  # key, size and time, as the ledger has them

_MODE, _SIZE, _MTIME, _CTIME = range(4)
_KIND = 0o170000  # of a mode: what stat.S_IFMT leaves
# How much later a folder may really have changed than its time says. Only coarse clocks show full seconds, over and over.
_COARSE_NS, _FINE_NS = 2_000_000_000, 50_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a crawl does not take in: larger files, and files with longer lines."""

    file_bytes: int
    line_bytes: int


class _Look:
    """A look at files that are in the index.

    Parameters
    ----------
    paths : mapping of str to str
        Where they are, by their keys.
    known : sequence of (str, int, int)
        What the ledger says of them, in the same order.
    ended : float or None
        When the last crawl of their root reached its end.
    """

    def __init__(self, paths: Mapping[str, str], known: Sequence[_Moment], ended: float | None) -> None:
        self._keys = np.array(list(paths), object)
        status = lstat_many(list(paths.values()))
        _, sizes, times = map(np.array, zip(*known, strict=True)) if known else np.zeros((3, 0), np.int64)
        self._is_there = (status[:, _MODE] < 0) | (status[:, _MODE] & _KIND == stat.S_IFREG)
        self._has_size = (status[:, _MODE] < 0) | (status[:, _SIZE] == sizes)
        seen = np.abs(times) == np.maximum(status[:, _MTIME], status[:, _CTIME])
        # A time that was not old enough, perhaps one to come, may hide that the file has been replaced since.
        hidden = (times < 0) & (status[:, _CTIME] > (np.inf if ended is None else ended * 1e9))
        self._is_same = seen & ~hidden

    @cached_property
    def deleted(self) -> list[str]:
        """Those that are no longer there, or no regular files."""
        return self._chosen(~self._is_there)

    @cached_property
    def changed(self) -> list[str]:
        """Those that have another size."""
        return self._chosen(self._is_there & ~self._has_size)

    @cached_property
    def touched(self) -> list[str]:
        """Those that have another time, or cannot be looked at."""
        return self._chosen(self._is_there & self._has_size & ~self._is_same)

    def _chosen(self, which: NDArray[np.bool_]) -> list[str]:
        chosen: list[str] = self._keys[which].tolist()
        return chosen


def check(htm: HTMCore, limits: Limits, *, thorough: bool) -> IndexStatus:
    """Find what `CodeBaseCrawler.status` documents."""
    ledger = Ledger(htm)
    recorded = ledger.roots()
    roots = placed(recorded, htm.storage_path)
    moments = {row[0]: row for row in ledger.moments(INDEXED, EMPTY)}
    skipped = ledger.files_with(SKIPPED)
    where = located(moments, roots)
    changed: list[str] = []
    touched: list[str] = []
    deleted: list[str] = []
    new: set[str] = set()
    for prefix, paths in where.items():
        look = _Look(paths, [moments[key] for key in paths], recorded[prefix].ended)
        changed += look.changed
        deleted += look.deleted
        touched += look.touched
        if thorough or _has_newer_folder(paths.values(), roots[prefix]):
            new |= _unknown(prefix, roots[prefix], htm.storage_path, moments, skipped)
    if thorough:
        paths = {key: path for found in where.values() for key, path in found.items()}
        verdicts = _read(ledger.files_named(touched), paths, limits)
        changed += [key for key, verdict in verdicts.items() if verdict == "changed"]
        deleted += [key for key, verdict in verdicts.items() if verdict == "deleted"]
        touched = []
        new |= _fit_again(skipped, roots, limits)
    counts = ledger.outcomes(RECIPE)
    return IndexStatus(
        roots=roots,
        indexed=counts.get(INDEXED, (0, 0))[0],
        empty=counts.get(EMPTY, (0, 0))[0],
        skipped=tuple(map(skip_of, skipped)),
        changed=_ordered(changed),
        touched=_ordered(touched),
        deleted=_ordered(deleted),
        new=_ordered(new),
        outdated=sum(counts[outcome][1] for outcome in (INDEXED, EMPTY) if outcome in counts),
        unplaced=len(moments) - sum(map(len, where.values())),
        half_embedded=(ledger.embedder or "").endswith(UNFINISHED),
    )


def stale(htm: HTMCore, keys: Sequence[str], limits: Limits) -> dict[str, Stale]:
    """Return which of some files are not as they were indexed, by their keys; what cannot be told is not said.

    Parameters
    ----------
    htm : HTMCore
    keys : sequence of str
    limits : Limits

    Returns
    -------
    dict of str to {"changed", "deleted"}
    """
    ledger = Ledger(htm)
    recorded = ledger.roots()
    rows = ledger.files_named(keys)
    found: dict[str, Stale] = {}
    for prefix, paths in located(rows, placed(recorded, htm.storage_path)).items():
        look = _Look(paths, [rows[key][:3] for key in paths], recorded[prefix].ended)
        found.update((key, "changed") for key in look.changed)
        found.update((key, "deleted") for key in look.deleted)
        found |= _read({key: rows[key] for key in look.touched}, paths, limits)
    return found


def _has_newer_folder(paths: Iterable[str], root: Root) -> bool:
    """Tell whether a folder that holds known files, or is above one that does, has changed since the last crawl began."""
    folders = {root.path}
    for holding in {path[: path.rfind("/")] for path in paths}:
        folder = holding
        while folder not in folders and len(folder) > len(root.path):
            folders.add(folder)
            folder = folder[: folder.rfind("/")]
    times = lstat_many(list(folders))[:, _MTIME]
    margin = np.where(times % 1_000_000_000 == 0, _COARSE_NS, _FINE_NS)
    return bool((times + margin > root.started * 1e9).any())


def _unknown(prefix: str, root: Root, store: Path, moments: Mapping[str, _Moment], skipped: Sequence[File]) -> set[str]:
    """Return the keys of files that the ledger does not know, although the last crawl's patterns take them in."""
    folder = Path(root.path)
    if not folder.is_dir():
        return set()
    selection = Selection(root.include, root.exclude)
    # What was no file before may be one now; what is none now, such as a folder that could not be read, may hold new ones.
    passed_over = _regular(skipped, {prefix: root})
    walk = Walk(folder, prefix, selection, store, known=moments.keys() | passed_over.keys())
    return {file.key for file in walk}


def _fit_again(skipped: Sequence[File], roots: Mapping[str, Root], limits: Limits) -> set[str]:
    """Return the keys of the files that were passed over and would be taken in now."""
    rows = {row.path: row for row in skipped}
    selections = {prefix: Selection(root.include, root.exclude) for prefix, root in roots.items()}
    found = set()
    for key, (path, prefix, size, changed) in _regular(skipped, roots).items():
        is_untouched = (rows[key].size, rows[key].mtime_ns) == (size, changed)
        relative = key[len(prefix) :]
        if is_untouched or not fits(key) or selections[prefix].leaves_out(relative):
            continue
        try:
            analyse(content_of(path, key, limits.file_bytes).data, changed / 1e9, key, relative, limits.line_bytes)
        except Unindexable:
            continue
        found.add(key)
    return found


def _regular(skipped: Sequence[File], roots: Mapping[str, Root]) -> dict[str, tuple[str, str, int, int]]:
    """Return path, root, size and time of the files among what was passed over, by key."""
    found = {}
    for prefix, paths in located([row.path for row in skipped], roots).items():
        for (key, path), (mode, size, mtime, ctime) in zip(paths.items(), lstat_many(list(paths.values())).tolist(), strict=True):
            if stat.S_ISREG(max(mode, 0)):
                found[key] = (path, prefix, size, max(mtime, ctime))
    return found


def _read(rows: Mapping[str, File], paths: Mapping[str, str], limits: Limits) -> dict[str, Stale]:
    """Read files that may have changed; returns those that have."""
    found: dict[str, Stale] = {}
    for key, row in rows.items():
        try:
            if content_hash(read(paths[key], limits.file_bytes).data) != digest_of(row):
                found[key] = "changed"
        except Unindexable as error:
            found[key] = "deleted" if error.reason is Reason.VANISHED else "changed"
    return found


def _ordered(keys: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(keys, key=str.encode))
