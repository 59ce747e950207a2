"""What the crawler knows of each file, committed together with the entries it made of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py.store import intake
from anam_py.store.batch import LedgerChange
from anam_py.store.rows import File

if TYPE_CHECKING:
    from anam_py.store.htm import HTMCore

__all__ = ["Entry", "File", "Ledger"]

# One ledger for all roots, with keys for paths: what was crawled as "src" is the same when "." is crawled.
_ROOT = ""


class Entry(NamedTuple):
    """An entry to store, as `HTMCore.store_embedding` takes it."""

    key: str
    vector: NDArray[np.float32]
    metadata: dict[str, Any]
    diff_ops: list[dict[str, Any]] | None = None
    text: str | None = None


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

    def files(self) -> dict[str, File]:
        """Return what is known of each file, by its key."""
        with self._htm._reading().catalog.reading() as reader:
            return reader.files(_ROOT)

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
        engine.write(
            replace(
                batch,
                deletes=list(dict.fromkeys(forget)),
                ledger=LedgerChange(_ROOT, files, gone),
                meta={} if embedder is None else {"embedder": embedder},
            )
        )
