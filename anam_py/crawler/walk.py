"""Which files there are below a folder: what a crawl takes in, and what it passes over, with the reason.

A folder that belongs to a git repository is listed by git; any other is scanned, with the ignore rules read here. Either
way nothing is followed out of the root, nothing is opened, and files are given as they are met: none is remembered here.
"""

import errno
import os
import stat
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from anam_py.crawler import git, ignore
from anam_py.crawler.ignore import Scope
from anam_py.crawler.paths import fits, written
from anam_py.crawler.reading import moment
from anam_py.crawler.report import Reason, Skip
from anam_py.crawler.selection import Selection

__all__ = ["FoundFile", "Walk"]

STORE_FOLDER = ".anam"
STORE_MARKER = "anam.json"

# Making sense of a hostile ignore file takes 6 µs a byte.
MAX_RULE_BYTES = 4 * 1024 * 1024

_SPECIAL = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class FoundFile(NamedTuple):
    """A regular file to take in.

    Attributes
    ----------
    key : str
        The key it is stored under.
    path : str
        Where to open it.
    size, changed_ns : int
        Its `moment` when it was met.
    """

    key: str
    path: str
    size: int
    changed_ns: int


class _Folder(NamedTuple):
    """A folder that is to be looked into.

    Attributes
    ----------
    relative : str
        Its path below the root, followed by a slash; empty for the root.
    git_rules, own_rules : tuple of Scope
        What is in force in it of ``.gitignore``, where git is not asked, and of ``.anamignore``.
    """

    relative: str
    git_rules: tuple[Scope, ...] = ()
    own_rules: tuple[Scope, ...] = ()


class Walk:
    """The files below a folder, in no particular order.

    Iterating gives each file that the selection takes and no rule ignores.

    Parameters
    ----------
    root : Path
        An existing folder.
    prefix : str
        What the keys of its files start with.
    selection : Selection
        The caller's patterns.
    own_store : Path, optional
        The store that the files are taken into: left out without a word, as other stores are not.
    known : container of str
        Keys of files that need not be looked at or given.

    Attributes
    ----------
    skipped : list of Skip
        The files and folders passed over so far for another reason.
    notes : list of str
        What else is worth knowing of the walk so far.
    """

    def __init__(
        self, root: Path, prefix: str, selection: Selection, own_store: Path | None = None, known: Container[str] = ()
    ) -> None:
        self.skipped: list[Skip] = []
        self.notes: list[str] = list(selection.notes)
        self._root = root.resolve()
        self._start = str(self._root).rstrip(os.sep) + os.sep
        self._rule_bytes = 0
        self._prefix = prefix
        self._selection = selection
        self._own_store = None if own_store is None else str(own_store)
        self._known = known

    def __iter__(self) -> Iterator[FoundFile]:
        if self._is_store(""):
            self._skip("", Reason.STORE)
            return
        pending = [_Folder("")]
        while pending:
            folder = pending.pop()
            top = self._repository(folder)
            if top is None:
                yield from self._scan(folder, pending)
                continue
            listing = git.list_files(self._root / folder.relative, top)
            if listing.problem:
                self._note(f"{self._written(folder.relative)}: ignore rules are read without git, since {listing.problem}")
                rules = ignore.rules_above(top, self._root / folder.relative, len(folder.relative))
                yield from self._scan(folder._replace(git_rules=rules), pending)
            else:
                yield from self._listed(folder, listing, pending)

    def _repository(self, folder: _Folder) -> Path | None:
        """Return the top of the repository that is to list a folder; None for a folder that is to be scanned."""
        if not folder.relative:
            return git.top_of(self._root)
        return self._root / folder.relative if os.path.lexists(self._place(f"{folder.relative}.git")) else None

    # ---- the two ways of looking into a folder ----

    def _listed(self, folder: _Folder, listing: git.Listing, pending: list[_Folder]) -> Iterator[FoundFile]:
        """Give the files that git lists below a folder; repositories inside it will be listed by themselves."""
        for path, why in listing.unreadable:
            self._skip(folder.relative + path, Reason.UNREADABLE, why)
        top = self._with_own_rules(folder._replace(git_rules=()))
        known: dict[str, _Folder | None] = {}
        for path in listing.paths():
            relative = folder.relative + path.rstrip("/")
            if self._is_known(relative):
                continue
            above = relative[: relative.rfind("/") + 1]
            parent = known[above] if above in known else self._listed_folder(top, above, known)
            status = None if parent is None else self._status(relative)
            if parent is None or status is None:
                continue
            if not stat.S_ISDIR(status.st_mode):
                found = self._file(parent, relative, status)
                if found is not None:
                    yield found
            elif os.path.lexists(self._place(f"{relative}/.git")):
                inner = self._admitted(parent, relative)
                if inner is not None:
                    pending.append(inner)

    def _listed_folder(self, top: _Folder, relative: str, known: dict[str, _Folder | None]) -> _Folder | None:
        """Return a folder below a listed one; None if the crawl does not go there."""
        folder: _Folder | None = top
        while folder is not None and folder.relative != relative:
            inner = relative[: relative.index("/", len(folder.relative)) + 1]
            if inner not in known:
                known[inner] = self._inner(folder, inner[:-1])
            folder = known[inner]
        known[relative] = folder
        return folder

    def _inner(self, outer: _Folder, relative: str) -> _Folder | None:
        # What is tracked below a folder is listed even where a link to elsewhere has taken the folder's place.
        if Path(self._place(relative)).is_symlink():
            return None
        inner = self._admitted(outer, relative)
        return None if inner is None else self._with_own_rules(inner)

    def _scan(self, folder: _Folder, pending: list[_Folder]) -> Iterator[FoundFile]:
        """Give the files in a folder, and add the folders in it to the pending ones."""
        folder = self._with_own_rules(self._with_git_rules(folder))
        try:
            with os.scandir(self._place(folder.relative)) as entries:
                for entry in entries:
                    relative = folder.relative + entry.name
                    status = None if entry.name == ".git" or self._is_known(relative) else self._status(relative)
                    if status is None:
                        continue
                    if stat.S_ISDIR(status.st_mode):
                        inner = self._admitted(folder, relative)
                        if inner is not None:
                            pending.append(inner)
                        continue
                    found = self._file(folder, relative, status)
                    if found is not None:
                        yield found
        except FileNotFoundError:
            return
        except OSError as error:
            self._skip(folder.relative, Reason.UNREADABLE, error.strerror)

    def _status(self, relative: str) -> os.stat_result | None:
        try:
            return os.lstat(self._place(relative))
        except FileNotFoundError:  # deleted, and git has not been told; or only just deleted
            return None
        except OSError as error:
            self._skip(relative, Reason.UNREADABLE, error.strerror)
            return None

    # ---- what is taken ----

    def _admitted(self, outer: _Folder, relative: str) -> _Folder | None:
        """Return a folder inside another; None if it is ignored, left out or passed over."""
        if ignore.ignored(outer.git_rules, relative, folder=True) or ignore.ignored(outer.own_rules, relative, folder=True):
            return None
        path = written(relative)
        if self._selection.leaves_out_folder(path):
            return None
        if self._is_store(relative):
            if self._place(relative) != self._own_store:
                self._skip(relative, Reason.STORE)
        elif not fits(f"{self._prefix}{path}/."):
            self._skip(relative, Reason.KEY_TOO_LONG, "and all below it")
        else:
            return outer._replace(relative=f"{relative}/")
        return None

    def _file(self, folder: _Folder, relative: str, status: os.stat_result) -> FoundFile | None:
        """Return a file in a folder; None if it is ignored, left out or passed over."""
        if ignore.ignored(folder.git_rules, relative) or ignore.ignored(folder.own_rules, relative):
            return None
        path = written(relative)
        if stat.S_ISLNK(status.st_mode):
            self._link(relative, path)
        elif self._selection.leaves_out_file(path):
            return None
        elif not stat.S_ISREG(status.st_mode):
            self._skip(relative, Reason.SPECIAL, _SPECIAL.get(stat.S_IFMT(status.st_mode), ""))
        elif not fits(self._prefix + path):
            self._skip(relative, Reason.KEY_TOO_LONG)
        else:
            return FoundFile(self._prefix + path, self._place(relative), *moment(status))
        return None

    def _link(self, relative: str, path: str) -> None:
        """Say of a symbolic link why it is not followed: what it leads to is met by itself if it is below the root."""
        place = Path(self._place(relative))
        left_out = self._selection.leaves_out_folder if place.is_dir() else self._selection.leaves_out_file
        if left_out(path):
            return
        target = Path(os.path.realpath(place))
        detail = f"to {written(str(target))}"
        try:
            place.stat()
        except OSError as error:
            self._skip(relative, Reason.LINK_LOOP if error.errno == errno.ELOOP else Reason.LINK_BROKEN, detail)
            return
        if not target.is_relative_to(self._root):
            self._skip(relative, Reason.LINK_OUTSIDE, detail)
        elif place.is_relative_to(target):
            self._skip(relative, Reason.LINK_LOOP, detail)
        else:
            self._skip(relative, Reason.LINK, f"{detail}, which is taken in under its own name")

    # ---- rules ----

    def _with_git_rules(self, folder: _Folder) -> _Folder:
        return folder._replace(git_rules=folder.git_rules + self._rules_in(folder, ".gitignore"))

    def _with_own_rules(self, folder: _Folder) -> _Folder:
        return folder._replace(own_rules=folder.own_rules + self._rules_in(folder, ".anamignore"))

    def _rules_in(self, folder: _Folder, name: str) -> tuple[Scope, ...]:
        if self._rule_bytes > MAX_RULE_BYTES:
            self._note(f"ignore files beyond {MAX_RULE_BYTES} bytes in all are not read")
            return ()
        rules = ignore.read_rules(self._place(folder.relative + name))
        if rules is None:
            return ()
        self._rule_bytes += rules.size
        if rules.problem:
            self._note(f"{self._prefix}{written(folder.relative)}{name}: {rules.problem}")
        return (Scope(rules, len(folder.relative)),)

    # ---- names ----

    def _is_known(self, relative: str) -> bool:
        return bool(self._known) and self._prefix + written(relative) in self._known

    def _place(self, relative: str) -> str:
        return self._start + relative

    def _written(self, relative: str) -> str:
        return (self._prefix + written(relative)).rstrip("/") or self._prefix or "."

    def _is_store(self, relative: str) -> bool:
        return relative.rpartition("/")[2] == STORE_FOLDER or os.path.lexists(self._place(f"{relative}/{STORE_MARKER}"))

    def _skip(self, relative: str, reason: Reason, detail: str | None = "") -> None:
        self.skipped.append(Skip(self._written(relative), reason, detail or ""))

    def _note(self, note: str) -> None:
        if note not in self.notes:
            self.notes.append(note)
