"""Rows of the catalog, as the rest of the store passes them around."""

import re
import reprlib
from types import NoneType
from typing import Any, NamedTuple, Self

from anam_py.exceptions import HTMError
from anam_py.store.advice import REPAIR

SEGMENT_NAME = re.compile(r"seg-\d+-[0-9a-f]{8}\.h5")
CODES_NAME = re.compile(r"seg-\d+-[0-9a-f]{8}\.codes-\d+\.h5")

# The types of a row's values, in each way that they can be.
_Types = frozenset[tuple[type, ...]]


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

    @classmethod
    def checked(cls, row: tuple[Any, ...]) -> Self:
        """Return an entry as it was read, or raise HTMError if what stands there cannot be one."""
        return cls._make(_typed(row, _ENTRY, "entries"))


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

    @classmethod
    def checked(cls, row: tuple[Any, ...]) -> Self:
        """Return a version as it was read, or raise HTMError if what stands there cannot be one."""
        return cls._make(_typed(row, _VERSION, "history"))


class Places(NamedTuple):
    """Where the rows of all entries are at one moment: ids of live segments, the first pending id, and how many rows are dead."""

    segments: tuple[int, ...]
    first_pending: int | None
    dead: int


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

    @classmethod
    def checked(cls, row: tuple[Any, ...]) -> Self:
        """Return a segment as it was read, or raise HTMError if what stands there cannot be one, or names another file."""
        segment = cls._make(_typed(row, _SEGMENT, "segments"))
        if not SEGMENT_NAME.fullmatch(segment.name) or not 0 <= segment.shard <= _LAST_SHARD:
            raise _damaged("segments", row)
        return segment


class Derived(NamedTuple):
    """A file that was made from a segment and can be made again, as the catalog lists it."""

    segment: int
    rotation: int
    name: str
    crc: int

    @classmethod
    def checked(cls, row: tuple[Any, ...]) -> Self:
        """Return such a file as it was read, or raise HTMError if what stands there cannot be one, or names another file."""
        derived = cls._make(_typed(row, _DERIVED, "derived"))
        if not CODES_NAME.fullmatch(derived.name):
            raise _damaged("derived", row)
        return derived


class File(NamedTuple):
    """The crawler's ledger row for one file."""

    path: str
    size: int
    mtime_ns: int
    hash: str
    outcome: str
    reason: str


_ENTRY: _Types = frozenset((int, str, int, int, int, str, int, ops, int, float) for ops in (str, NoneType))
_VERSION: _Types = frozenset((str, int, int, str, int, ops, int, float) for ops in (str, NoneType))
_SEGMENT: _Types = frozenset([(int, int, str, int, int, int, dict, int, int)])
_DERIVED: _Types = frozenset([(int, int, str, int)])
_LAST_SHARD = 9_999


def _typed(row: tuple[Any, ...], types: _Types, table: str) -> tuple[Any, ...]:
    if tuple(map(type, row)) not in types:
        raise _damaged(table, row)
    return row


def _damaged(table: str, row: tuple[Any, ...]) -> HTMError:
    return HTMError(f"a row of the catalog's {table} is damaged: {reprlib.repr(row)}; {REPAIR}")
