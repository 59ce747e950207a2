"""Which of the files that are new were there before, under another name."""

from collections import defaultdict
from collections.abc import Iterable

from anam_py.crawler.known import INDEXED, digest_of
from anam_py.store import File

__all__ = ["Renames"]


class Renames:
    """Finds the former names of files by their content.

    Parameters
    ----------
    gone : iterable of File
        What is remembered of the files that are no longer there. Each is the former name of one file at most.
    """

    def __init__(self, gone: Iterable[File] = ()) -> None:
        self._keys: dict[str, list[str]] = defaultdict(list)
        for row in gone:
            if row.outcome == INDEXED:
                self._keys[digest_of(row)].append(row.path)

    def former_name(self, key: str, digest: str) -> str | None:
        """Return the key under which a new file was known before; None if its content is not that of a file that is gone.

        Of several with that content, one that had the same name in another folder comes first.
        """
        candidates = self._keys.get(digest)
        if not candidates:
            return None
        name = key.rpartition("/")[2]
        former = next((each for each in candidates if each.rpartition("/")[2] == name), candidates[0])
        candidates.remove(former)
        return former
