"""Files on their way into the store: embedded together, committed together with what the ledger says of them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from anam_py.crawler.drafts import Draft
from anam_py.crawler.known import EMPTY
from anam_py.embedding import Embedder, choice_of
from anam_py.exceptions import CrawlerError
from anam_py.store import Entry, File, Ledger, Root

__all__ = ["Batch", "embed", "embed_query"]

# What an interrupt loses at most, and what is held in memory; large batches spare the store work.
_MAX_ROWS = 4096
_MAX_CHARACTERS = 16 * 1024 * 1024
_MAX_SECONDS = 3.0
# Some embedders take a tenth of a second for a text: they are to be seen at work, and interrupted without losing much of it.
_EMBEDDED_AT_ONCE = 256


@dataclass(slots=True)
class _Taken:
    """A file in the batch: its ledger row, its result, and which of the drafts is its own."""

    row: File | None
    result: dict[str, Any] | None
    draft: int | None = None


@dataclass(slots=True)
class Batch:
    """Files that are committed in one transaction.

    Parameters
    ----------
    ledger : Ledger
    embedder : Embedder
    """

    ledger: Ledger
    embedder: Embedder
    _drafts: list[Draft] = field(default_factory=list)
    _vectors: list[npt.NDArray[np.float32]] = field(default_factory=list)
    _diffs: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    _forget: list[str] = field(default_factory=list)
    _purge: list[str] = field(default_factory=list)
    _gone: list[str] = field(default_factory=list)
    _files: list[_Taken] = field(default_factory=list)
    _characters: int = 0
    _started: float = field(default_factory=time.monotonic)

    @property
    def full(self) -> bool:
        """Whether it is time to commit."""
        return (
            len(self._drafts) + len(self._forget) + len(self._purge) + len(self._gone) + len(self._files) >= _MAX_ROWS
            or self._characters >= _MAX_CHARACTERS
            or time.monotonic() - self._started >= _MAX_SECONDS
        )

    def add(
        self,
        row: File | None = None,
        result: dict[str, Any] | None = None,
        *,
        drafts: Sequence[Draft] = (),
        diff_ops: list[dict[str, Any]] | None = None,
        forget: Sequence[str] = (),
        purge: Sequence[str] = (),
    ) -> None:
        """Add a file.

        Parameters
        ----------
        row : File, optional
            What the ledger is to say of it, if that is new.
        result : dict, optional
            What the caller is to get once the file is committed.
        drafts : sequence of Draft
            What is to be stored; the first is the file's own.
        diff_ops : list of dict, optional
            What has changed in the file.
        forget : sequence of str
            Keys that are no longer to be there.
        purge : sequence of str
            Keys of which nothing is to be left, not even their history, before the drafts are stored.
        """
        self._files.append(_Taken(row, result, len(self._drafts) if drafts else None))
        self._drafts += drafts
        self._forget += forget
        self._purge += purge
        self._characters += sum(len(draft.text) for draft in drafts) or len(result["content"] if result else "")
        if diff_ops:
            self._diffs[drafts[0].key] = diff_ops
        self._embed(_EMBEDDED_AT_ONCE)

    def drop(self, path: str, keys: Sequence[str]) -> None:
        """Add a file that is no longer there, with the keys of what was stored of it."""
        self._gone.append(path)
        self._forget += keys

    def commit(self, roots: dict[str, Root | None], *, is_last: bool = False) -> tuple[list[dict[str, Any]], int]:
        """Store all of it, or nothing if that fails; a batch is committed once.

        What is to be purged is so first: who is interrupted then takes these files in anew.

        Parameters
        ----------
        roots : dict of str to (Root or None)
            What the ledger is to say of crawled folders, if it changes.
        is_last : bool
            Whether that has changed, even if nothing else has.

        Returns
        -------
        list of dict
            The results of its files, in the order in which they were added.
        int
            How many of its files have nothing to embed.
        """
        self._embed(1)
        vectors = np.concatenate([np.empty((0, self.embedder.dimension), np.float32), *self._vectors])
        embedded: list[bool] = np.asarray(vectors.any(axis=1)).tolist()
        entries = [
            Entry(draft.key, vector, draft.metadata, self._diffs.get(draft.key), draft.text)
            for draft, vector, there in zip(self._drafts, vectors, embedded, strict=True)
            if there
        ]
        wordless = [draft.key for draft, there in zip(self._drafts, embedded, strict=True) if not there]
        rows, results, empty = [], [], 0
        for file in self._files:
            row, result = file.row, file.result
            if file.draft is not None and not embedded[file.draft]:
                row = row._replace(outcome=EMPTY) if row else None
                empty += 1
            elif file.draft is not None and result is not None:
                result["embedding"] = vectors[file.draft]
            rows += [row] if row else []
            results += [result] if result else []
        forget = [*self._forget, *wordless]
        if self._purge:
            self.ledger.commit(roots={prefix: root._replace(ended=None) for prefix, root in roots.items() if root})
            self.ledger.purge(self._purge)
        if entries or forget or rows or self._gone or (is_last and roots):
            name = self.embedder.name if entries else None
            choice = choice_of(self.embedder)
            self.ledger.commit(
                entries=entries, forget=forget, files=rows, gone=self._gone, embedder=name, choice=choice, roots=roots
            )
        return results, empty

    def _embed(self, least: int) -> None:
        """Embed what is not embedded yet, if it is so much."""
        waiting = self._drafts[sum(map(len, self._vectors)) :]
        if len(waiting) >= least:
            self._vectors.append(embed(self.embedder, [draft.document for draft in waiting]))


def embed(embedder: Embedder, documents: Sequence[str]) -> npt.NDArray[np.float32]:
    """Return the vectors of documents, checked to be what an embedder promises."""
    if not documents:
        return np.empty((0, embedder.dimension), np.float32)
    return _checked(embedder, embedder.embed(documents, "document"), len(documents))


def embed_query(embedder: Embedder, query: str) -> npt.NDArray[np.float32]:
    """Return the vector of a query, checked likewise."""
    vector: npt.NDArray[np.float32] = _checked(embedder, embedder.embed([query], "query"), 1)[0]
    return vector


def _checked(embedder: Embedder, given: object, count: int) -> npt.NDArray[np.float32]:
    try:
        vectors = np.asarray(given)
    except ValueError as error:  # rows of several lengths
        raise CrawlerError(
            f"embedder {embedder.name!r} must give {count} vectors of {embedder.dimension} numbers, "
            f"what it gave is no array: {error}"
        ) from error
    if vectors.shape != (count, embedder.dimension) or vectors.dtype.kind not in "fiu":
        raise CrawlerError(
            f"embedder {embedder.name!r} must give {count} vectors of {embedder.dimension} numbers, "
            f"it gave an array of shape {vectors.shape} and dtype {vectors.dtype}"
        )
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite
        vectors = vectors.astype(np.float32, copy=False)
    if not np.isfinite(vectors).all():
        row = int(np.argmin(np.isfinite(vectors).all(axis=1)))
        raise CrawlerError(f"embedder {embedder.name!r} gave a vector that is not finite in float32, of text {row} of {count}")
    return vectors
