"""What the crawler knows of each file, committed together with the entries it made of it."""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py.store import intake
from anam_py.store.batch import LedgerChange
from anam_py.store.rows import File

if TYPE_CHECKING:
    from anam_py.store.htm import HTMCore

__all__ = ["Entry", "File", "Ledger", "Root"]

# One ledger for all roots, with keys for paths: what was crawled as "src" is the same when "." is crawled.
_ROOT = ""
# What the catalog records of a root, by what the keys of its files start with.
_RECORD = "root:"
# The year 5138: later ones are not moments for every clock.
_LATEST = 1e11


class Entry(NamedTuple):
    """An entry to store, as `HTMCore.store_embedding` takes it."""

    key: str
    vector: NDArray[np.float32]
    metadata: dict[str, Any]
    diff_ops: list[dict[str, Any]] | None = None
    text: str | None = None


class Root(NamedTuple):
    """A folder that was crawled into a store, and how far its last crawl came.

    Attributes
    ----------
    path : str
        The folder, absolute; in the ledger as keys are written.
    beside : str or None
        Its path relative to the folder that the store lies in, for a store that moves together with it.
    started : float
        When the crawl began, in seconds since 1970.
    ended : float or None
        When it reached its end; None if it did not.
    include, exclude : list of str
        Its patterns.
    symbols : bool
        Whether symbols became entries of themselves.
    notes : list of str
        What else was worth knowing.
    """

    path: str
    beside: str | None
    started: float
    ended: float | None
    include: list[str]
    exclude: list[str]
    symbols: bool
    notes: list[str]

    @property
    def complete(self) -> bool:
        """Whether the last crawl reached its end."""
        return self.ended is not None


class Ledger:
    """The files that were crawled into a store.

    Parameters
    ----------
    htm : HTMCore
        The store.
    """

    def __init__(self, htm: "HTMCore") -> None:
        self._htm = htm

    @property
    def embedder(self) -> str | None:
        """Name of the embedder whose vectors the store's crawled entries have; None before the first."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.meta().get("embedder")

    @property
    def choice(self) -> str | None:
        """What that embedder can be made of again; None where it was the default, or only its own program can make it."""
        with self._htm._reading().catalog.reading() as reader:
            meta = reader.meta()
        name, choice = json.loads(meta.get("embedder_choice", "[null, null]"))
        return choice if name == meta.get("embedder") else None

    def storing_much(self) -> AbstractContextManager[None]:
        """Return a context in which the store puts off what can wait until all is stored."""
        return self._htm._writing().coder.held_off()

    def roots(self) -> dict[str, Root]:
        """Return what is known of each folder that was crawled, by what the keys of its files start with.

        A store that was crawled by an earlier version says nothing of them.
        """
        with self._htm._reading().catalog.reading() as reader:
            recorded = {key: value for key, value in reader.meta().items() if key.startswith(_RECORD)}
        roots = {key.removeprefix(_RECORD): _root(value) for key, value in recorded.items()}
        return {prefix: root for prefix, root in roots.items() if root is not None}

    def files(self) -> dict[str, File]:
        """Return what is known of each file, by its key."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.files(_ROOT)

    def files_named(self, keys: Iterable[str]) -> dict[str, File]:
        """Return what is known of some files, by their keys."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.files_named(_ROOT, keys)

    def files_with(self, outcome: str) -> list[File]:
        """Return what is known of the files with an outcome."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.files_with(_ROOT, outcome)

    def moments(self, *outcomes: str) -> list[tuple[str, int, int]]:
        """Return key, size and time of the files with one of some outcomes, ordered by key: quicker than all that is known."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.moments(_ROOT, outcomes)

    def outcomes(self, mark: str) -> dict[str, tuple[int, int]]:
        """Return how many files have each outcome, and how many of them a hash that does not begin with a mark."""
        with self._htm._reading().catalog.reading() as reader:
            return {outcome: (count, unmarked) for outcome, count, unmarked in reader.outcomes(_ROOT, mark)}

    def paths(self, outcome: str) -> list[str]:
        """Return the keys of the files that have an outcome."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.paths(_ROOT, outcome)

    def values(self, path: str) -> set[str]:
        """Return the strings that entries have at a metadata path."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.values(path)

    def purge(self, keys: Sequence[str]) -> None:
        """Delete entries and rows of the ledger, and leave nothing of them: neither history nor what they were in files.

        Parameters
        ----------
        keys : sequence of str
            Of entries and files.

        Raises
        ------
        HTMError
            If the store cannot be written.
        """
        self._htm.delete_many(keys, purge=True)

    def commit(
        self,
        *,
        entries: Sequence[Entry] = (),
        forget: Sequence[str] = (),
        files: Sequence[File] = (),
        gone: Sequence[str] = (),
        embedder: str | None = None,
        choice: str | None = None,
        roots: Mapping[str, Root | None] | None = None,
    ) -> None:
        """Change entries and ledger in one transaction.

        Parameters
        ----------
        entries : sequence of Entry
            What to store; keys are distinct.
        forget : sequence of str
            Keys to delete first.
        files : sequence of File
            What is now known of these files.
        gone : sequence of str
            Keys of files to drop from the ledger.
        embedder : str, optional
            Name to record as the one whose vectors these are.
        choice : str, optional
            What that embedder can be made of again. Without, what was recorded under its name stays.
        roots : mapping of str to (Root or None), optional
            What is now known of crawled folders, as `roots` gives it; None to forget one.

        Raises
        ------
        ValidationError
            If an entry cannot be stored.
        HTMError
            If the store cannot be written.
        """
        engine = self._htm._writing()
        vectors = [entry.vector for entry in entries]
        batch = intake.many(
            self._htm.dimension,
            [entry.key for entry in entries],
            np.stack(vectors) if vectors else np.empty((0, self._htm.dimension), np.float32),
            [entry.metadata for entry in entries],
            [entry.diff_ops for entry in entries],
            [entry.text for entry in entries],
        )
        meta = _meta(embedder, choice, roots or {})
        engine.write(replace(batch, deletes=list(dict.fromkeys(forget)), ledger=LedgerChange(_ROOT, files, gone), meta=meta))


def _meta(embedder: str | None, choice: str | None, roots: Mapping[str, Root | None]) -> dict[str, str | None]:
    meta = {f"{_RECORD}{prefix}": None if root is None else json.dumps(root._asdict()) for prefix, root in roots.items()}
    if embedder is not None:
        meta["embedder"] = embedder
    if embedder is not None and choice is not None:
        meta["embedder_choice"] = json.dumps([embedder, choice])
    return meta


def _root(recorded: str) -> Root | None:
    """Return a root as it was recorded; None if what stands there cannot be one, which is as good as nothing."""
    try:
        root = Root(**json.loads(recorded))
    except (ValueError, TypeError, RecursionError):
        return None
    return root if _is_root(*root) else None


def _is_root(path: Any, beside: Any, started: Any, ended: Any, *others: Any) -> bool:
    """Tell whether what is recorded of a root is of the types that it has to be: somebody may have edited it."""
    include, exclude, symbols, notes = others
    lists = (include, exclude, notes)
    return (
        all(isinstance(each, (int, float)) and abs(each) < _LATEST for each in (started, 0 if ended is None else ended))
        and all(isinstance(each, list) for each in lists)
        and all(isinstance(each, str) for each in itertools.chain((path, "" if beside is None else beside), *lists))
        and isinstance(symbols, bool)
    )
