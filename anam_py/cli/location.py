"""Where the store of a code base is, and how its keys relate to paths on the screen."""

import contextlib
import os
import posixpath
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

import anam_py
from anam_py.exceptions import AnamError, HTMError

__all__ = [
    "FOLDER",
    "BusyError",
    "Location",
    "alone",
    "find_store",
    "holding_store",
    "json_option",
    "limit_option",
    "nearest_store",
    "open_store",
    "store_for",
    "store_option",
    "typed",
]

FOLDER = ".anam"
MARKER = "anam.json"  # what every store holds from the moment it is one
TRACES = (MARKER, "catalog.sqlite*", "shard-*")  # any of which a damaged one may have left

_NOT_LITERAL = re.compile(r"[*?\[\\]")
_WRITTEN_BY = re.compile(r"is being written by (?:process (\d+)|another process)")

store_option = click.option(
    "--store",
    envvar="ANAM_STORE",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help=f"Folder of the store, instead of {FOLDER} in the indexed folder.",
)
limit_option = click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many results to show at most."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object instead.")


class BusyError(AnamError):
    """Another process is writing the store."""


class Location(NamedTuple):
    """A store, and the folder that its keys are relative to.

    A store that lies in the folder it describes, as ``.anam``, moves with it: its keys are relative to that folder. A store
    elsewhere may hold several code bases, so its keys are absolute paths.
    """

    store: Path
    root: Path | None

    @property
    def shown(self) -> str:
        """The store's own path, as one would type it here."""
        return self.path_of(str(self.store))

    @property
    def index_command(self) -> str:
        """The command that makes the store or brings it up to date, as one would type it here."""
        if self.root is None:
            return f"anam index --store {shlex.quote(self.shown)}"
        return f"anam index {shlex.quote(self.path_of(str(self.root)))}"

    def command(self, name: str) -> str:
        """Another command on this store, as one would type it here."""
        near = nearest_store()
        if near is not None and near.resolve() == self.store:
            return f"anam {name}"
        return f"anam {name} --store {shlex.quote(self.shown)}"

    def key_of(self, path: Path) -> str:
        """Return the key of a file, wherever the command is run."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are kept, unless following them leads below the root
        for candidate in (absolute, absolute.resolve()):
            if self.root is not None and candidate.is_relative_to(self.root):
                absolute = candidate.relative_to(self.root)
                break
        # As the crawler writes names that are not UTF-8.
        return os.fsencode(absolute.as_posix()).decode("utf-8", "backslashreplace")

    def glob_of(self, glob: str) -> str:
        """Return a glob on keys for one on paths as one would type them here; one without a slash is tried on names, too."""
        if "/" not in glob.rstrip("/"):
            return glob
        if glob.startswith("/"):
            below = self.key_of(Path(glob))
        else:
            here = _NOT_LITERAL.sub(r"\\\g<0>", self.key_of(Path()))
            below = posixpath.normpath(posixpath.join(here, glob))
        return f"{below}/" if glob.endswith("/") else below

    def path_of(self, key: str) -> str:
        """Return a key's path as one would type it here: relative, if it or the store's root is this folder or above."""
        here = Path.cwd()
        absolute = (self.root or here) / key
        if self.root is not None or absolute.is_relative_to(here):
            return Path(os.path.relpath(absolute, here)).as_posix()
        return absolute.as_posix()

    def prepare(self) -> None:
        """Make the store's folder and keep version control from taking it in."""
        ignore = self.store / ".gitignore"
        if self.root is not None and not ignore.exists():  # nor is it in what was restored from a backup
            self.store.mkdir(mode=0o700, exist_ok=True)
            ignore.write_text("*\n", encoding="utf-8")

    @contextlib.contextmanager
    def entered(self, folder: Path) -> Iterator[str]:
        """Stand where the folder's name is what keys are to start with, and give that name."""
        absolute = folder.resolve()
        with contextlib.chdir(self.root or Path.cwd()):
            yield os.path.relpath(absolute) if self.root is not None and absolute.is_relative_to(self.root) else str(absolute)


def store_for(folder: Path, store: Path | None) -> Location:
    """Return where the store of a folder is, or is to be made.

    Parameters
    ----------
    folder : Path
        The folder to index.
    store : Path or None
        What ``--store`` or ``ANAM_STORE`` say.

    Returns
    -------
    Location
        The store.
    """
    return _location(store or folder / FOLDER)


def find_store(store: Path | None) -> Location:
    """Return the store that describes the current folder.

    Parameters
    ----------
    store : Path or None
        What ``--store`` or ``ANAM_STORE`` say; without, the nearest ``.anam`` here or in a folder above.

    Returns
    -------
    Location
        The store.

    Raises
    ------
    AnamError
        If there is none.
    """
    found = store or nearest_store()
    if found is None:
        raise AnamError(f"no store in {str(Path.cwd())!r} or a folder above it; make one with: anam index")
    return _location(found)


def nearest_store() -> Path | None:
    """Return the nearest ``.anam`` here or in a folder above; None if there is none."""
    here = Path.cwd()
    return next((folder / FOLDER for folder in (here, *here.parents) if (folder / FOLDER).is_dir()), None)


def open_store(
    location: Location, *, read_only: bool = True, create: bool = False, dimension: int | None = None
) -> "anam_py.HTMCore":
    """Open a store.

    Parameters
    ----------
    location : Location
        Where it is.
    read_only : bool
        Whether it is only to be read.
    create : bool
        Whether to make it, if it is not there yet.
    dimension : int, optional
        Length of the vectors of one that is not there yet.

    Returns
    -------
    HTMCore
        The store.

    Raises
    ------
    AnamError
        If it cannot be opened; says what to do on the shell where the store's own message is about Python.
    """
    there = (location.store / MARKER).exists()
    if not create and not there:
        holding_store(location)
        raise AnamError(f"the store in {location.shown!r} is damaged: {MARKER} is missing; run {location.command('repair')}")
    with alone(location):
        return anam_py.HTMCore(location.store, dimension=None if there else dimension, read_only=read_only)


def holding_store(location: Location) -> Path:
    """Return the folder of what is a store, or was one before it was damaged.

    Parameters
    ----------
    location : Location
        Where it is.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    AnamError
        If there is nothing of a store in it.
    """
    if not any(True for trace in TRACES for _ in location.store.glob(trace)):
        raise _no_store(location)
    return location.store


@contextlib.contextmanager
def alone(location: Location) -> Iterator[None]:
    """Say what to do on the shell where another process writes the store."""
    try:
        yield
    except HTMError as error:
        writer = _WRITTEN_BY.search(str(error))
        if writer is None:
            raise
        who = f"another process (pid {writer[1]})" if writer[1] else "another process"
        raise BusyError(f"{who} is writing {location.shown!r}; try again when it is done") from error


def _no_store(location: Location) -> AnamError:
    return AnamError(f"no store in {location.shown!r}; make one with: {location.index_command}")


def typed(word: str) -> str:
    """Return a word of the command line as its bytes say in UTF-8, whatever the locale took them for."""
    return os.fsencode(word).decode("utf-8", "replace")


def _location(store: Path) -> Location:
    store = store.resolve()
    return Location(store, store.parent if store.name == FOLDER else None)
