"""How an index stands: what is in it, what is not and why, and how the disk differs from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anam_py.crawler.report import Skip, by_reason
from anam_py.store import Root

__all__ = ["IndexStatus"]


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """What an index holds, whether it is complete, and how the disk differs from it now.

    Attributes
    ----------
    roots : dict of str to Root
        The folders that were crawled, where they are now, by what the keys of their files start with: when the last crawl of
        each started and ended, and what it was asked for. It has not reached its end if `Root.ended` is None: it is under way,
        or was interrupted.
    indexed, empty : int
        How many files are in the index, and how many are known to have no word to embed.
    skipped : tuple of Skip
        The files and folders that were met and are not in the index.
    changed : tuple of str
        Keys of the files that are not as they were indexed.
    touched : tuple of str
        Keys of those that may have changed: they have the same size, but were written, copied or renamed since.
    deleted : tuple of str
        Keys of those that are no longer there.
    new : tuple of str
        Keys of files that the index does not know.
    outdated : int
        How many files were analysed by another version of this package, so that the next crawl takes them in anew.
    unplaced : int
        How many files are below none of the roots, so that nobody can tell where they are: an earlier version took them in.
    half_embedded : bool
        Whether embedding the index anew, with another embedder, was interrupted.
    """

    roots: Mapping[str, Root] = field(default_factory=dict)
    indexed: int = 0
    empty: int = 0
    skipped: tuple[Skip, ...] = ()
    changed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    outdated: int = 0
    unplaced: int = 0
    half_embedded: bool = False

    @property
    def complete(self) -> bool | None:
        """Whether the last crawl of each root reached its end; None if that is not known, since an earlier version made it."""
        if self.half_embedded or not all(root.complete for root in self.roots.values()):
            return False
        return None if self.unplaced else bool(self.roots)

    @property
    def up_to_date(self) -> bool:
        """Whether the index is complete, and the disk as it was indexed."""
        differs = self.changed or self.touched or self.deleted or self.new or self.outdated
        return self.complete is True and not differs

    @property
    def reasons(self) -> dict[str, int]:
        """How many were skipped for each reason, the most frequent first."""
        return by_reason(self.skipped)
