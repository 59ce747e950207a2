"""One transaction's changes: what batches do to the catalog, and what memory has to follow once it is committed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from anam_py.store.batch import Batch, new_entries
from anam_py.store.rows import Entry
from anam_py.store.snapshot import SegmentBlock
from anam_py.store.tables import Writer


@dataclass(slots=True)
class Changes:
    """What one open transaction has changed so far.

    Parameters
    ----------
    writer : Writer
        The connection that has the transaction open.
    shards : int
        Of the store.
    next_id : int
        The id of the next new entry.
    added, vectors, norms : list
        Rows that are pending now.
    dead : list of int
        Ids of the entries that are gone.
    keys : list of str
        Keys whose entries are new, other or gone.
    segments : list of SegmentBlock
        New segments.
    purged : list of int
        Ids that no segment may keep.
    """

    writer: Writer
    shards: int
    next_id: int
    added: list[int] = field(default_factory=list)
    vectors: list[NDArray[np.float32]] = field(default_factory=list)
    norms: list[NDArray[np.float64]] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    segments: list[SegmentBlock] = field(default_factory=list)
    purged: list[int] = field(default_factory=list)

    def take_out(self, batch: Batch) -> int:
        """Take out of the catalog what a batch deletes; returns how many entries that were."""
        writer = self.writer
        found = writer.entries(batch.deletes) if batch.deletes else {}
        if batch.delete_where:
            ids = writer.ids(batch.delete_where).tolist()
            found |= {entry.key: entry for entry in writer.entries_by_id(ids).values()}
        self._retire(found.values())
        if batch.purge:
            self.purged += writer.purge({*batch.deletes, *found})
        return len(found)

    def new_entries(self, batch: Batch) -> list[Entry]:
        """Take out of the catalog what a batch overwrites; returns its new entries."""
        writer = self.writer
        keys = [put.key for put in batch.puts]
        known = writer.entries(keys) if keys else {}
        versions = {key: entry.version for key, entry in known.items()}
        if len(known) < len(keys):
            versions |= writer.last_versions(key for key in keys if key not in known)
        self._retire(known.values())
        entries = new_entries(batch.puts, versions, self.next_id, self.shards)
        self.next_id += len(entries)
        self.keys += keys
        return entries

    def put_in(self, batch: Batch, entries: Sequence[Entry]) -> None:
        """Put a batch's new entries, and what comes with them, into the catalog: all but the vectors."""
        writer = self.writer
        writer.insert_entries(entries)
        texts = [(e.id, e.key, p.text) for e, p in zip(entries, batch.puts, strict=True) if p.text is not None]
        if texts:
            writer.insert_texts(texts)
        if batch.ledger is not None:
            writer.put_files(batch.ledger.root, batch.ledger.put)
            writer.drop_files(batch.ledger.root, batch.ledger.drop)
        for key, value in batch.meta.items():
            if value is None:
                writer.drop_meta(key)
            else:
                writer.set_meta(key, value)

    def put_pending(self, batch: Batch, entries: Sequence[Entry]) -> None:
        """Put the vectors of a batch's new entries into the catalog."""
        if not entries:
            return
        self.writer.insert_pending([(entry.id, row.data) for entry, row in zip(entries, batch.vectors, strict=True)])
        self.added += [entry.id for entry in entries]
        self.vectors.append(batch.vectors)
        self.norms.append(batch.norms)

    def _retire(self, entries: Iterable[Entry]) -> None:
        entries = list(entries)
        if entries:
            self.writer.retire(entries)
            self.dead += [entry.id for entry in entries]
            self.keys += [entry.key for entry in entries]
