"""What a crawl met and did: counts, and every file that it could not take in, with the reason."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import islice
from typing import NamedTuple

__all__ = ["CHANGED", "NEW", "UNCHANGED", "CrawlReport", "Reason", "Skip", "by_reason", "masked_note"]

# How a file compares with what was in the index.
NEW = "new"
CHANGED = "changed"
UNCHANGED = "unchanged"

# How many files with masked values are named.
_NAMED_FILES = 10


class Reason(StrEnum):
    """Why a file or folder that was met is not in the index."""

    BINARY = "binary"
    CHANGING = "changing"
    KEY_TOO_LONG = "key too long"
    LINK = "symbolic link"
    LINK_BROKEN = "broken symbolic link"
    LINK_LOOP = "symbolic link loop"
    LINK_OUTSIDE = "symbolic link out of the root"
    LONG_LINE = "long line"
    OTHER = "other"  # that a later version has given
    OVERSIZED = "oversized"
    SECRET = "secret"  # noqa: S105 - a reason
    SPECIAL = "special file"
    STORE = "store"
    UNREADABLE = "unreadable"
    VANISHED = "vanished"


class Skip(NamedTuple):
    """A file or folder that was passed over.

    Attributes
    ----------
    path : str
        Its key, or what would be its key.
    reason : Reason
    detail : str
        The particulars: a size, a target, the system's message.
    """

    path: str
    reason: Reason
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" + (f" ({self.detail})" if self.detail else "")


@dataclass(slots=True)
class CrawlReport:
    """The outcome of one crawl.

    Attributes
    ----------
    root : str
        The folder as it was given.
    files : int
        Files that were met and are in the index (or would be): new + changed + unchanged.
    new, changed, unchanged : int
        How they compare with what was in the index.
    empty : int
        Those of them without a token to embed: known, but not in the store.
    symbols : int
        Symbols, blocks and windows stored.
    windows : dict of str to int
        How many files of each language for which there is no grammar were cut into windows of lines.
    masked : dict of str to int
        In which files values that look like secrets were masked, and how many in each.
    forgotten : int
        Files that were dropped from the index, since they are no longer there, or no longer wanted.
    renamed : dict of str to str
        New files with the content of one that is no longer there: the old key by the new one. They are among both.
    bytes_read : int
        Bytes read from files.
    seconds : float
        How long the crawl took.
    skipped : list of Skip
        What was passed over, in the order in which it was met.
    notes : list of str
        What else is worth knowing, such as an ignore file that was not read in full.
    complete : bool
        False until the crawl has reached its end.
    """

    root: str
    new: int = 0
    changed: int = 0
    unchanged: int = 0
    empty: int = 0
    symbols: int = 0
    windows: Counter[str] = field(default_factory=Counter)
    masked: dict[str, int] = field(default_factory=dict)
    forgotten: int = 0
    renamed: dict[str, str] = field(default_factory=dict)
    bytes_read: int = 0
    seconds: float = 0.0
    skipped: list[Skip] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    complete: bool = False

    def count(self, status: str) -> None:
        """Count a file that is in the index, or would be, by its status."""
        if status == NEW:
            self.new += 1
        elif status == CHANGED:
            self.changed += 1
        else:
            self.unchanged += 1

    @property
    def files(self) -> int:
        """How many files are in the index, or would be."""
        return self.new + self.changed + self.unchanged

    @property
    def reasons(self) -> dict[str, int]:
        """How many were passed over for each reason, the most frequent first."""
        return by_reason(self.skipped)

    @property
    def remarks(self) -> list[str]:
        """What there is to say of how new and changed files were taken in."""
        found = []
        if self.windows:
            files, languages = self.windows.total(), ", ".join(sorted(self.windows))
            found.append(
                f"{_counted(files, 'file')} in {_counted(len(self.windows), 'language')} without a grammar ({languages}) "
                f"{'was' if files == 1 else 'were'} cut into windows of lines"
            )
        for path, count in islice(self.masked.items(), _NAMED_FILES):
            found.append(f"{masked_note(count)} in {path}")
        others = list(self.masked.values())[_NAMED_FILES:]
        if others:
            found.append(f"{masked_note(sum(others))} in {_counted(len(others), 'other file')}")
        return found


def by_reason(skipped: Iterable[Skip]) -> dict[str, int]:
    """Return how many were passed over for each reason, the most frequent first."""
    return {str(reason): count for reason, count in Counter(skip.reason for skip in skipped).most_common()}


def masked_note(count: int) -> str:
    """Return what there is to say of so many values that were masked."""
    return f"{_counted(count, 'value')} that {'looks like a secret was' if count == 1 else 'look like secrets were'} masked"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
