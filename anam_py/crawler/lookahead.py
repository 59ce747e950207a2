"""Looking at files some way ahead of what is stored of them, so that several processors have something to do."""

from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from anam_py import config
from anam_py.crawler.analysis import content_hash, content_of
from anam_py.crawler.analysts import Analysts, Outcome, Task, examined
from anam_py.crawler.known import KnownFiles
from anam_py.crawler.languages import language_of
from anam_py.crawler.reading import Content, Unindexable
from anam_py.crawler.walk import FoundFile
from anam_py.store import File

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Look", "Lookahead"]

# What a process is given at once, and how much of that may wait for each: a commit takes as long as some of it.
_GROUP_BYTES = 256 * 1024
_GROUP_FILES = 32
_GROUPS_AHEAD = 8
# A process takes .4 s to start, in which a parser reads some 2 MB.
_WORTH_PROCESSES = 4 * 1024 * 1024


@dataclass(slots=True)
class Look:
    """What a look at a file has shown.

    Attributes
    ----------
    file : FoundFile
    row : File or None
        What is remembered of it.
    is_known : bool
        Whether it is as it is remembered.
    content : Content or None
        None if it did not have to be read, or could not be.
    outcome : list of Draft, Unindexable or None
        None if it is known, and has not been analysed.
    """

    file: FoundFile
    row: File | None
    is_known: bool = False
    content: Content | None = None
    outcome: Outcome | None = None


@dataclass(slots=True)
class _Group:
    """Files that are looked at together."""

    looks: list[Look] = field(default_factory=list)
    tasks: list[Task] = field(default_factory=list)
    size: int = 0
    outcomes: "Future[list[Outcome]] | None" = None


class Lookahead:
    """Looks at files, and has those analysed that are not as they are remembered.

    Parameters
    ----------
    known : KnownFiles
        What is remembered.
    prefix : str
        What the files' keys start with.
    embedder : str
        Whose vectors they will have.
    symbols : bool
        Whether their symbols are wanted, too.
    max_file_bytes, max_line_bytes : int
        What is not taken in.
    """

    def __init__(
        self, known: KnownFiles, prefix: str, embedder: str, *, symbols: bool, max_file_bytes: int, max_line_bytes: int
    ) -> None:
        self._known = known
        self._prefix = prefix
        self._embedder = embedder
        self._symbols = symbols
        self._max_file_bytes = max_file_bytes
        self._max_line_bytes = max_line_bytes

    def over(self, found: Sequence[FoundFile]) -> Generator[Look, None, None]:
        """Give a look at each file, in their order."""
        count = config.current().thread_pool_size
        if count == 1 or not self._is_much(found):
            for file in found:
                look, task = self._looked(file)
                if task is not None:
                    look.outcome = examined(task)
                yield look
            return
        analysts = Analysts(count)
        try:
            yield from self._side_by_side(found, analysts, _GROUPS_AHEAD * count)
        finally:
            analysts.close()

    def anew(self, file: FoundFile) -> Look:
        """Look at a file that is known, but not in the way that is wanted."""
        look, task = self._looked(file, is_new=True)
        if task is not None:
            look.outcome = examined(task)
        return look

    def _side_by_side(self, found: Sequence[FoundFile], analysts: Analysts, groups: int) -> Iterator[Look]:
        ahead: deque[_Group] = deque()
        group = _Group()
        for file in found:
            look, task = self._looked(file)
            group.looks.append(look)
            if task is not None:
                group.tasks.append(task)
                group.size += len(task.data)
            if group.size >= _GROUP_BYTES or len(group.looks) >= _GROUP_FILES:
                ahead.append(self._begun(group, analysts))
                group = _Group()
            if len(ahead) > groups:
                yield from self._ended(ahead.popleft())
        ahead.append(self._begun(group, analysts))
        while ahead:
            yield from self._ended(ahead.popleft())

    def _begun(self, group: _Group, analysts: Analysts) -> _Group:
        group.outcomes = analysts.submit(group.tasks) if group.tasks else None
        group.tasks = []
        return group

    def _ended(self, group: _Group) -> Iterator[Look]:
        outcomes = iter(group.outcomes.result() if group.outcomes else ())
        for look in group.looks:
            if not look.is_known and look.outcome is None:
                look.outcome = next(outcomes)
            yield look

    def _looked(self, file: FoundFile, *, is_new: bool = False) -> tuple[Look, Task | None]:
        """Look at a file, and return what must be analysed of it, if anything."""
        look = Look(file, self._known.get(file.key))
        if look.row is not None and not is_new and self._known.is_untouched(look.row, file.size, file.changed_ns):
            look.is_known = True
            return look, None
        try:
            look.content = content_of(file.path, file.key, self._max_file_bytes)
        except Unindexable as error:
            look.outcome = error
            return look, None
        data, status, _ = look.content
        if look.row is not None and not is_new and self._known.is_same(look.row, content_hash(data)):
            look.is_known = True
            return look, None
        relative = file.key[len(self._prefix) :]
        return look, Task(data, status.st_mtime, file.key, relative, self._max_line_bytes, self._embedder, self._symbols)

    def _is_much(self, found: Sequence[FoundFile]) -> bool:
        """Tell whether there is enough to analyse for other processes to be worth starting."""
        size = 0
        for file in found:
            row = self._known.get(file.key)
            is_untouched = row is not None and self._known.is_untouched(row, file.size, file.changed_ns)
            if not is_untouched and file.size <= self._max_file_bytes and language_of(file.key).grammar:
                size += file.size
                if size >= _WORTH_PROCESSES:
                    return True
        return False
