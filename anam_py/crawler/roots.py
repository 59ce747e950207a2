"""The folders that were crawled into a store: where each is now, and how far its last crawl came."""

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from anam_py.crawler.known import INDEXED, SKIPPED
from anam_py.crawler.paths import SEPARATOR, fits, is_below, key_prefix, unwritten, written
from anam_py.crawler.selection import Selection
from anam_py.crawler.walk import STORE_FOLDER
from anam_py.exceptions import CrawlerError
from anam_py.store import File, HTMCore, Ledger, Root

__all__ = ["Visit", "forget", "located", "placed"]


def placed(roots: Mapping[str, Root], store: Path) -> dict[str, Root]:
    """Return crawled folders with the paths where they are now, by where their store is."""
    # A backup of a store that moves with its folder may be anywhere, under any other name.
    moves = store.name == STORE_FOLDER
    return {
        prefix: root._replace(
            path=os.path.normpath(store.parent / unwritten(root.beside))
            if moves and root.beside is not None
            else unwritten(root.path)
        )
        for prefix, root in roots.items()
    }


def located(keys: Iterable[str], roots: Mapping[str, Root]) -> dict[str, dict[str, str]]:
    """Return the path of each file by its key, by the innermost folder that it is below; one below none has no path.

    Parameters
    ----------
    keys : iterable of str
    roots : mapping of str to Root
        As `placed` gives them.

    Returns
    -------
    dict of str to (dict of str to str)
    """
    found: dict[str, dict[str, str]] = {}
    rest = list(keys)
    for prefix in sorted(roots, key=len, reverse=True):
        start, length = roots[prefix].path.rstrip(os.sep) + "/", len(prefix)
        found[prefix] = {key: start + unwritten(key[length:]) for key in rest if is_below(prefix, key)}
        rest = [key for key in rest if key not in found[prefix]] if len(found[prefix]) < len(rest) else []
    return found


def forget(htm: HTMCore, path: Path) -> int:
    """Do what `CodeBaseCrawler.forget` documents."""
    ledger, prefix = Ledger(htm), key_prefix(path)
    if prefix not in ledger.roots():
        raise CrawlerError(f"nothing was crawled from {str(path)!r} into the store {str(htm.storage_path)!r}")
    rows = [row for key, row in ledger.files().items() if is_below(prefix, key)]
    files = [row.path for row in rows if row.outcome == INDEXED]
    symbols = [key for path in files if fits(path + SEPARATOR) for key in htm.keys(path + SEPARATOR)]
    ledger.commit(forget=[*files, *symbols], gone=[row.path for row in rows], roots={prefix: None})
    return sum(row.outcome != SKIPPED for row in rows)


class Visit:
    """What one crawl has to say of its root, for the ledger.

    Parameters
    ----------
    ledger : Ledger
    store : Path
        The store's folder.
    root : Path
        The folder that is crawled.
    prefix : str
        What the keys of its files start with.
    selection : Selection
    symbols : bool
    """

    def __init__(self, ledger: Ledger, store: Path, root: Path, prefix: str, selection: Selection, *, symbols: bool) -> None:
        self._prefix = prefix
        self._roots = ledger.roots()
        folder = root.resolve()
        beside = store.name == STORE_FOLDER and not Path(prefix).is_absolute() and folder.is_relative_to(store.parent)
        self._now = Root(
            path=written(str(folder)),
            beside=written(folder.relative_to(store.parent).as_posix()) if beside else None,
            started=time.time(),
            ended=None,
            include=selection.include,
            exclude=selection.exclude,
            symbols=symbols,
            notes=[],
        )
        self._is_partial = False

    def leave(self, left_out: Sequence[File], *, symbols: bool) -> list[str]:
        """Take note of what is in the index although this crawl does not look for it, and return what there is to say of it.

        Such a crawl brings a part of the index up to date. What is recorded of all of it stays as it was.

        Parameters
        ----------
        left_out : sequence of File
            What the patterns leave out.
        symbols : bool
            Whether there are symbols that are not wanted.
        """
        count = sum(row.outcome != SKIPPED for row in left_out)
        self._is_partial = self._prefix in self._roots and bool(count or symbols)
        notes = []
        if count:
            files = (
                "1 file that these patterns leave out stays"
                if count == 1
                else f"{count:,} files that these patterns leave out stay"
            )
            notes.append(f"{files} in the index: index(prune=True) drops what is left out")
        if symbols:
            notes.append("symbols stay in the index for files that have not changed: index(prune=True) drops them")
        return notes

    def record(self, *, notes: list[str], is_over: bool) -> dict[str, Root | None]:
        """Return what the ledger is to say from now on, as `Ledger.commit` takes it."""
        root = self._roots[self._prefix] if self._is_partial else self._now
        if not is_over:
            return {self._prefix: root._replace(ended=None)}
        if self._is_partial:
            return {self._prefix: root}
        return dict.fromkeys(self._covered()) | {self._prefix: root._replace(ended=time.time(), notes=notes)}

    def _covered(self) -> list[str]:
        """Return the folders inside this one of which there is nothing more to say."""
        if self._now.include or self._now.exclude:
            return []
        inside = {
            prefix: root for prefix, root in self._roots.items() if prefix != self._prefix and is_below(self._prefix, prefix)
        }
        return [prefix for prefix, root in inside.items() if self._now.symbols or not root.symbols]
