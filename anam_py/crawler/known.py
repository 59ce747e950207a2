"""What the store's ledger remembers of each file, and how a file is recognised as the one it remembers."""

import os
import time
from collections.abc import Iterator

from anam_py.crawler.reading import moment
from anam_py.crawler.report import Reason, Skip
from anam_py.crawler.selection import Selection
from anam_py.store import File, Ledger

__all__ = ["EMPTY", "INDEXED", "SKIPPED", "KnownFiles", "skipped_row"]

INDEXED = "indexed"
EMPTY = "empty"
SKIPPED = "skipped"

# Raised when files are to be analysed anew although they have not changed.
_RECIPE = "2"
_WITH_SYMBOLS = "+symbols"

# A file written this short a time before it was read may be written again without a later time of change.
_CLOCK_TICK_NS = 2_000_000_000
_NEVER = 0


def skipped_row(skip: Skip, size: int = 0, changed_ns: int = _NEVER) -> File:
    """Return what the ledger is to say of a file that was passed over."""
    return File(skip.path, size, changed_ns, "", SKIPPED, f"{skip.reason}: {skip.detail}" if skip.detail else skip.reason)


def _certain_moment(status: os.stat_result) -> tuple[int, int]:
    size, changed = moment(status)
    return size, changed if changed < time.time_ns() - _CLOCK_TICK_NS else _NEVER


class KnownFiles:
    """What is remembered of the files below a root.

    Parameters
    ----------
    ledger : Ledger
    prefix : str
        What the keys of the root's files start with.
    symbols : bool
        Whether their symbols are wanted, too.
    """

    def __init__(self, ledger: Ledger, prefix: str, *, symbols: bool) -> None:
        self._prefix = prefix
        self._symbols = symbols
        self._rows = {key: row for key, row in ledger.files().items() if self._is_below(key)}

    def get(self, key: str) -> File | None:
        """Return what is remembered of a file."""
        return self._rows.get(key)

    def row(self, key: str, status: os.stat_result, digest: str, outcome: str) -> File:
        """Return what the ledger is to say of a file that was taken in."""
        size, changed = _certain_moment(status)
        return File(key, size, changed, f"{_RECIPE}:{digest}{_WITH_SYMBOLS if self._symbols else ''}", outcome, "")

    def refreshed(self, row: File, status: os.stat_result) -> File | None:
        """Return what the ledger is to say of a file that was touched but not changed; None if that is what it says."""
        size, changed = _certain_moment(status)
        fresh = row._replace(size=size, mtime_ns=changed)
        return None if fresh == row else fresh

    def is_untouched(self, row: File, size: int, changed_ns: int) -> bool:
        """Tell, without reading it, whether a file is as it is remembered; it may be even if this cannot tell."""
        return (row.size, row.mtime_ns) == (size, changed_ns) and (row.outcome == SKIPPED or self._suffices(row))

    def is_same(self, row: File, digest: str) -> bool:
        """Tell whether a file with this content is as it is remembered."""
        return row.outcome != SKIPPED and self._suffices(row) and self.digest(row) == digest

    @staticmethod
    def digest(row: File) -> str:
        """Return the hash of a remembered file's content."""
        return row.hash.partition(":")[2].removesuffix(_WITH_SYMBOLS)

    def binary(self, row: File) -> Skip | None:
        """Return why an untouched file is passed over again; None unless its content alone is the reason."""
        reason, _, detail = row.reason.partition(": ")
        return Skip(row.path, Reason.BINARY, detail) if row.outcome == SKIPPED and reason == Reason.BINARY else None

    def missing(self, met: set[str], out_of_sight: list[str], selection: Selection) -> Iterator[File]:
        """Give the files that are no longer there.

        Parameters
        ----------
        met : set of str
            The keys that the walk has met.
        out_of_sight : list of str
            Folders that could not be looked into: what is below them may still be there.
        selection : Selection
            What it leaves out was not looked for.
        """
        hidden = tuple("" if folder == "." else f"{folder.rstrip('/')}/" for folder in out_of_sight)
        for key, row in self._rows.items():
            if key not in met and not key.startswith(hidden) and not selection.leaves_out(key[len(self._prefix) :]):
                yield row

    def _suffices(self, row: File) -> bool:
        recipe, _, rest = row.hash.partition(":")
        return recipe == _RECIPE and (rest.endswith(_WITH_SYMBOLS) or not self._symbols)

    def _is_below(self, key: str) -> bool:
        if not self._prefix and os.path.isabs(key):  # noqa: PTH117 - one a row, and a Path takes 20 times as long
            return False
        return key.startswith(self._prefix) and not key.startswith("../", len(self._prefix))
