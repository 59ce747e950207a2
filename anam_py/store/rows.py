"""Rows of the catalog, as the rest of the store passes them around."""

from typing import NamedTuple


class Entry(NamedTuple):
    """The current version of a key, as the catalog holds it."""

    id: int
    key: str
    shard: int
    version: int
    crc: int
    metadata: str
    mcrc: int
    diff_ops: str | None
    dcrc: int
    timestamp: float


class Version(NamedTuple):
    """One version of a key, current or superseded; the fields of an entry without its row."""

    key: str
    version: int
    id: int
    metadata: str
    mcrc: int
    diff_ops: str | None
    dcrc: int
    timestamp: float


class Segment(NamedTuple):
    """A segment file, as the catalog lists it; `layout` maps a dataset to its byte offset."""

    id: int
    shard: int
    name: str
    rows: int
    first_id: int
    last_id: int
    layout: dict[str, int]
    bytes: int
    crc: int


class File(NamedTuple):
    """The crawler's ledger row for one file."""

    path: str
    size: int
    mtime_ns: int
    hash: str
    outcome: str
    reason: str
