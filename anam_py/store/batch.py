"""What a caller wants changed, checked and ready to be committed: all of it or none."""

import time
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py.store.filters import Condition
from anam_py.store.records import diff_crc, metadata_crc
from anam_py.store.rows import Entry, File


def shard_of(key: str, shards: int) -> int:
    """Return the shard of a key: stable across processes and versions."""
    return zlib.crc32(key.encode("utf-8")) % shards


class Put(NamedTuple):
    """One validated entry to store; its vector is a row of the batch's matrix.

    `version` is the least that it gets, `timestamp` when it was first stored: where it is brought from another store.
    """

    key: str
    crc: int
    metadata: str
    diff_ops: str | None
    text: str | None
    version: int = 1
    timestamp: float | None = None


class LedgerChange(NamedTuple):
    """What a batch changes in the crawler's ledger."""

    root: str
    put: Sequence[File] = ()
    drop: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """Changes that are committed together or not at all; deletes come before puts.

    The keys of `puts` are distinct. `vectors` has shape (len(puts), D), `norms` (len(puts),). `purge` says that what is deleted
    leaves nothing: no history, and nothing of it in any segment once that is merged. None in `meta` drops what is recorded.
    """

    puts: Sequence[Put] = ()
    vectors: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    norms: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    deletes: Sequence[str] = ()
    delete_where: Condition | None = None
    purge: bool = False
    ledger: LedgerChange | None = None
    meta: Mapping[str, str | None] = field(default_factory=dict)


def new_entries(puts: Sequence[Put], versions: Mapping[str, int], first_id: int, shards: int) -> list[Entry]:
    """Return the catalog's rows for puts, of this moment unless they say otherwise, with ascending ids.

    `versions` holds the last version of each key that has been there before.
    """
    now = time.time()
    entries = []
    for entry_id, put in enumerate(puts, first_id):
        key, metadata, diff_ops = put.key, put.metadata, put.diff_ops
        version = max(versions.get(key, 0) + 1, put.version)
        timestamp = now if put.timestamp is None else put.timestamp
        mcrc = metadata_crc(entry_id, key, version, timestamp, metadata)
        shard, dcrc = shard_of(key, shards), diff_crc(diff_ops)
        entries.append(Entry(entry_id, key, shard, version, put.crc, metadata, mcrc, diff_ops, dcrc, timestamp))
    return entries
