"""Records: what a caller gets for a key, the checksums that guard it, and the cache of them."""

import json
import threading
import zlib
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config
from anam_py.exceptions import HTMError
from anam_py.store.rows import Entry, Version

Record: TypeAlias = dict[str, Any]

# What a cached record takes beside its vector and JSON: objects, dict slot, list node.
_OVERHEAD_BYTES = 700


# `json.loads` takes as long to find out what it was given as to read a record's metadata.
_parse = json.JSONDecoder().raw_decode


class Stored(NamedTuple):
    """One version of a key as it was read and checked; arrays are not to be written to."""

    entry: Entry
    vector: NDArray[np.float32]
    norm: float

    def record(self) -> Record:
        """Return a record that the caller may change at will."""
        entry = self.entry
        return {
            "key": entry.key,
            "embedding": {"values": self.vector.copy(), "norm": self.norm, "timestamp": entry.timestamp},
            "metadata": _parse(entry.metadata)[0],
            "diff_ops": _parse(entry.diff_ops)[0] if entry.diff_ops else [],
            "version": entry.version,
        }

    @property
    def nbytes(self) -> int:
        entry = self.entry
        text = len(entry.key) + len(entry.metadata) + len(entry.diff_ops or "")
        return int(self.vector.nbytes) + text + _OVERHEAD_BYTES


def vector_crc(vector: NDArray[np.float32]) -> int:
    """Return the CRC-32 of a vector's bytes, as they lie in a little-endian file."""
    return zlib.crc32(vector.data)


def metadata_crc(entry_id: int, key: str, version: int, timestamp: float, metadata: str) -> int:
    """Return the CRC-32 of all that a segment repeats of an entry, but for its vector."""
    return zlib.crc32(f"{entry_id}\0{key}\0{version}\0{timestamp!r}\0{metadata}".encode())


def diff_crc(diff_ops: str | None) -> int:
    """Return the CRC-32 of an entry's diff ops."""
    return zlib.crc32((diff_ops or "").encode())


def damage(entry: Entry | Version) -> str | None:
    """Return what is damaged in a version's catalog row, or None."""
    crc = metadata_crc(entry.id, entry.key, entry.version, entry.timestamp, entry.metadata)
    if crc != entry.mcrc:
        return "metadata"
    return "diff ops" if diff_crc(entry.diff_ops) != entry.dcrc else None


def checked(entry: Entry, vector: NDArray[np.float32]) -> Stored:
    """Return an entry with its vector, or raise HTMError if either is damaged."""
    problem = "vector" if vector_crc(vector) != entry.crc else damage(entry)
    if problem:
        raise HTMError(
            f"the {problem} of {entry.key!r} (version {entry.version}) is damaged: its checksum does "
            "not match; run verify() to see what else is, and repair it with HTMCore.repair(path), or store it again"
        )
    return Stored(entry, vector, float(_core.norms(vector[np.newaxis])[0]))


def checked_together(entries: Sequence[Entry], vectors: NDArray[np.float32]) -> list[Stored]:
    """Return entries with their vectors, the rows of a matrix, or raise HTMError if one of them is damaged."""
    crcs = _core.row_crcs(vectors).tolist()
    norms = _core.norms(vectors).tolist()
    return [
        Stored(entry, vector, norm) if crc == entry.crc and not damage(entry) else checked(entry, vector)
        for entry, vector, crc, norm in zip(entries, vectors, crcs, norms, strict=True)
    ]


class RecordCache:
    """The most recently used records of one store, by key and by id, within the configured size.

    A reader may fetch a version, lose the processor while the key is overwritten and the cache
    told so, and only then offer what it fetched. So an offer carries the generation from before
    the fetch, and is taken only if nothing was discarded since.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._items: OrderedDict[str, Stored] = OrderedDict()
        self._keys: dict[int, str] = {}
        self.generation = 0
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: str) -> Stored | None:
        with self._lock:
            stored = self._items.get(key)
            if stored is not None:
                self._items.move_to_end(key)
            return stored

    def known(self, ids: Iterable[int]) -> dict[int, Stored]:
        """Return what is here of some ids. What an id stands for never changes, whatever becomes of its key."""
        found = {}
        with self._lock:
            for i in ids:
                if (key := self._keys.get(i)) is not None:
                    self._items.move_to_end(key)
                    found[i] = self._items[key]
        return found

    def offer(self, stored: Stored, generation: int) -> None:
        # A view would keep its whole segment mapped.
        stored = stored._replace(vector=stored.vector.copy())
        limit = config.current().cache_size_mb << 20
        with self._lock:
            key = stored.entry.key
            if generation != self.generation or key in self._items or stored.nbytes > limit:
                return
            self._items[key] = stored
            self._keys[stored.entry.id] = key
            self.nbytes += stored.nbytes
            while self.nbytes > limit:
                self._forget(next(iter(self._items)))

    def discard(self, keys: Iterable[str]) -> None:
        with self._lock:
            self.generation += 1
            for key in keys:
                if key in self._items:
                    self._forget(key)

    def clear(self) -> None:
        with self._lock:
            self.generation += 1
            self._items.clear()
            self._keys.clear()
            self.nbytes = 0

    def _forget(self, key: str) -> None:
        stored = self._items.pop(key)
        del self._keys[stored.entry.id]
        self.nbytes -= stored.nbytes
