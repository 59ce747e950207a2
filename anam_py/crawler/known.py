"""What the store's ledger remembers of each file, and how a file is recognised as the one it remembers."""

from anam_py.crawler.paths import is_below
from anam_py.crawler.reading import Content, moment
from anam_py.crawler.report import Reason, Skip
from anam_py.crawler.selection import Selection
from anam_py.store import File, Ledger

__all__ = ["EMPTY", "INDEXED", "RECIPE", "SKIPPED", "KnownFiles", "digest_of", "skip_of", "skipped_row"]

INDEXED = "indexed"
EMPTY = "empty"
SKIPPED = "skipped"

# What hashes in the ledger begin with. The number is raised when files are to be analysed anew although they have not changed.
RECIPE = "2:"
_WITH_SYMBOLS = "+symbols"

# A file written this short a time before it was read may be written again without a later time of change. Its time stands in
# the ledger with a minus: no crawl takes the file for untouched, but who sees that time again need not think it changed.
_CLOCK_TICK_NS = 2_000_000_000


def skipped_row(skip: Skip, size: int = 0, changed_ns: int = 0) -> File:
    """Return what the ledger is to say of a file that was passed over."""
    return File(skip.path, size, changed_ns, "", SKIPPED, f"{skip.reason}: {skip.detail}" if skip.detail else skip.reason)


def skip_of(row: File) -> Skip:
    """Return why a file was passed over, by what the ledger says of it."""
    reason, _, detail = row.reason.partition(": ")
    try:
        return Skip(row.path, Reason(reason), detail)
    except ValueError:
        return Skip(row.path, Reason.OTHER, row.reason)


def digest_of(row: File) -> str:
    """Return the hash of a remembered file's content."""
    return row.hash.partition(":")[2].removesuffix(_WITH_SYMBOLS)


def _moment(content: Content) -> tuple[int, int]:
    size, changed = moment(content.status)
    return size, changed if changed < content.read_ns - _CLOCK_TICK_NS else -changed


class KnownFiles:
    """What is remembered of the files below a root.

    Parameters
    ----------
    ledger : Ledger
    prefix : str
        What the keys of the root's files start with.
    symbols : bool
        Whether their symbols are wanted, too.
    exactly : bool
        Whether symbols are unwanted where they are not wanted.
    """

    def __init__(self, ledger: Ledger, prefix: str, *, symbols: bool, exactly: bool = False) -> None:
        self._prefix = prefix
        self._symbols = symbols
        self._exactly = exactly
        self._rows = {key: row for key, row in ledger.files().items() if is_below(prefix, key)}

    def get(self, key: str) -> File | None:
        """Return what is remembered of a file."""
        return self._rows.get(key)

    def row(self, key: str, content: Content, digest: str, outcome: str) -> File:
        """Return what the ledger is to say of a file that was taken in."""
        size, changed = _moment(content)
        return File(key, size, changed, f"{RECIPE}{digest}{_WITH_SYMBOLS if self._symbols else ''}", outcome, "")

    def refreshed(self, row: File, content: Content) -> File | None:
        """Return what the ledger is to say of a file that was touched but not changed; None if that is what it says."""
        size, changed = _moment(content)
        fresh = row._replace(size=size, mtime_ns=changed)
        return None if fresh == row else fresh

    def is_untouched(self, row: File, size: int, changed_ns: int) -> bool:
        """Tell, without reading it, whether a file is as it is remembered; it may be even if this cannot tell."""
        return (row.size, row.mtime_ns) == (size, changed_ns) and (row.outcome == SKIPPED or self._suffices(row))

    def is_same(self, row: File, digest: str) -> bool:
        """Tell whether a file with this content is as it is remembered."""
        return row.outcome != SKIPPED and self._suffices(row) and digest_of(row) == digest

    def binary(self, row: File) -> Skip | None:
        """Return why an untouched file is passed over again; None unless its content alone is the reason."""
        return skip_of(row) if row.outcome == SKIPPED and row.reason.startswith(Reason.BINARY) else None

    def absent(self, met: set[str], out_of_sight: list[str], selection: Selection) -> tuple[list[File], list[File]]:
        """Return the files that are no longer there, and those that were not looked for.

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
        gone: list[File] = []
        left_out: list[File] = []
        for key, row in self._rows.items():
            if key not in met and not key.startswith(hidden):
                (left_out if selection.leaves_out(key[len(self._prefix) :]) else gone).append(row)
        return gone, left_out

    def have_unwanted_symbols(self) -> bool:
        """Tell whether there are files with symbols although those are not wanted."""
        return not self._symbols and any(row.hash.endswith(_WITH_SYMBOLS) for row in self._rows.values())

    def _suffices(self, row: File) -> bool:
        has_symbols = row.hash.endswith(_WITH_SYMBOLS)
        return row.hash.startswith(RECIPE) and (
            has_symbols == self._symbols if self._exactly else has_symbols or not self._symbols
        )
