"""Where the store of a code base is, and how its keys relate to paths on the screen."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click

__all__ = ["Location", "find_store", "json_option", "limit_option", "store_for", "store_option"]

FOLDER = ".anam"

store_option = click.option(
    "--store",
    envvar="ANAM_STORE",
    show_envvar=True,
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder of the store, instead of {FOLDER} in the indexed folder.",
)
limit_option = click.option(
    "-n", "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many results to show at most."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Write one JSON object instead.")


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

    def key_of(self, path: Path) -> str:
        """Return the key of a file, wherever the command is run."""
        absolute = Path(os.path.abspath(path))  # noqa: PTH100 - links are kept, unless following them leads below the root
        for candidate in (absolute, absolute.resolve()):
            if self.root is not None and candidate.is_relative_to(self.root):
                absolute = candidate.relative_to(self.root)
                break
        # As the crawler writes names that are not UTF-8.
        return os.fsencode(absolute.as_posix()).decode("utf-8", "backslashreplace")

    def path_of(self, key: str) -> str:
        """Return a key's path as one would type it here: relative, if it or the store's root is this folder or above."""
        here = Path.cwd()
        absolute = (self.root or here) / key
        if self.root is not None or absolute.is_relative_to(here):
            return Path(os.path.relpath(absolute, here)).as_posix()
        return absolute.as_posix()

    def prepare(self) -> None:
        """Make the store's folder and keep version control from taking it in."""
        if self.root is not None and not self.store.exists():
            self.store.mkdir(mode=0o700)
            (self.store / ".gitignore").write_text("*\n", encoding="utf-8")

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
    click.UsageError
        If there is none.
    """
    if store is not None:
        return _location(store)
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER).is_dir():
            return _location(folder / FOLDER)
    raise click.UsageError(f"no store in {here} or a folder above it; make one with: anam index .")


def _location(store: Path) -> Location:
    store = store.resolve()
    return Location(store, store.parent if store.name == FOLDER else None)
