"""From a damaged catalog to a new one: every row whose checksums fit, and a note of those whose do not."""

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from anam_py.store import schema, text
from anam_py.store.batch import shard_of
from anam_py.store.records import damage, diff_crc
from anam_py.store.recovery import Marker
from anam_py.store.rows import Entry, Segment, Version
from anam_py.store.salvage import Row, SalvagedCatalog, is_broken
from anam_py.store.tables import Writer

T = TypeVar("T")
E = TypeVar("E", Entry, Version)

_ROWS_AT_ONCE = 1_000
_LARGE_ROWS_AT_ONCE = 64
_SOME_KEYS = 5_000
# What the new catalog says of itself, whatever the old one did.
_OWN_META = {"uuid", "shards", "dimension", "features", "lexemes", "era"}

# spoiled: entries whose row does not fit its checksum, with what is left of it. claimed: what the index of keys lists.
# found: rows of segments that may be entries. lost: entries of which too little is left. All vanish with the connection.
_NOTES = """
    CREATE TEMP TABLE spoiled (id INTEGER PRIMARY KEY, key TEXT, version INTEGER, metadata TEXT, diff_ops TEXT, dcrc INTEGER);
    CREATE INDEX temp.spoiled_key ON spoiled (key);
    CREATE TEMP TABLE claimed (id INTEGER PRIMARY KEY, key TEXT);
    CREATE TEMP TABLE found (
        id INTEGER, file INTEGER, key TEXT, shard INTEGER, version INTEGER, crc INTEGER, metadata TEXT, mcrc INTEGER,
        timestamp REAL, PRIMARY KEY (id, file)
    );
    CREATE INDEX temp.found_key ON found (key);
    CREATE TEMP TABLE lost (id INTEGER PRIMARY KEY, key TEXT, version INTEGER, timestamp REAL, metadata TEXT, reason TEXT);
    CREATE INDEX temp.lost_key ON lost (key);
    CREATE TEMP TABLE superseded (id INTEGER PRIMARY KEY)"""


class Rescue:
    """What came of the rows of an old catalog.

    Parameters
    ----------
    old : SalvagedCatalog, optional
        The old catalog; None if nothing is left of it.
    writer : Writer
        The new one.
    marker : Marker
        Of the store.

    Attributes
    ----------
    authoritative : bool
        Whether the old catalog's entries are all there are: a row of a segment that none of them names is dead.
    segments : list of (Segment, str)
        What it lists, each with its state.
    dead, purged : ndarray of shape (n,)
        Ids that it says are dead, and those among them that no segment may keep.
    last_id : int
        The last id that it says was given to an entry.
    dropped : Counter
        How many of what were damaged and left out.
    """

    def __init__(self, old: SalvagedCatalog | None, writer: Writer, marker: Marker) -> None:
        self._writer = writer
        self._marker = marker
        self.authoritative = False
        self.segments: list[tuple[Segment, str]] = []
        self.dead = self.purged = np.empty(0, np.int64)
        self.last_id = 0
        self.dropped: Counter[str] = Counter()
        for statement in _NOTES.split(";"):
            writer.sql.execute(statement)
        if old is not None:
            self._copy(old)

    def _copy(self, old: SalvagedCatalog) -> None:
        self._entries(old)
        self._history(old)
        self._texts(old)
        self._pending(old)
        paths = old.all_rows("files", [(b"", key + b"\0") for key in self._some_keys()])
        self._insert("INSERT OR IGNORE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", (row for row, fits in paths if fits))
        self._insert("INSERT OR IGNORE INTO indexes VALUES (?)", old.rows("indexes"))
        self._insert("INSERT OR REPLACE INTO meta VALUES (?, ?)", (item for item in old.meta.items() if item[0] not in _OWN_META))
        rows = old.rows("segments")
        self.segments = [(Segment._make((*row[:6], schema.layout(row[6]), *row[7:9])), row[9]) for row in rows]
        dead = np.array(list(old.rows("dead")), np.int64).reshape(-1, 2)
        self.dead, self.purged = dead[:, 0], dead[dead[:, 1] != 0, 0]
        self.last_id = old.last_id()
        self.authoritative = "entries" not in old.incomplete and old.is_sound("entries")
        if not self.authoritative:
            self._insert("INSERT OR IGNORE INTO claimed VALUES (?, ?)", old.indexed_keys())

    def _entries(self, old: SalvagedCatalog) -> None:
        newest = (
            "INSERT OR REPLACE INTO entries SELECT :id, :key, :shard, :version, :crc, :metadata, :mcrc, :diff_ops, :dcrc,"
            " :timestamp WHERE NOT EXISTS (SELECT 1 FROM entries WHERE key = :key AND id > :id)"
        )
        for rows in _chunks(old.all_rows("entries"), _ROWS_AT_ONCE):
            sound, spoiled = [], []
            for row, fits in rows:
                if fits and damage(Entry(*row)) != "metadata":
                    entry = self._without_damaged_diff(Entry(*row))
                    sound.append(entry._replace(shard=shard_of(entry.key, self._marker.shards))._asdict())
                elif isinstance(row[0], int):
                    spoiled.append(_remains(row))
            self._insert(newest, sound)
            self._insert("INSERT OR IGNORE INTO spoiled VALUES (?, ?, ?, ?, ?, ?)", spoiled)

    def _history(self, old: SalvagedCatalog) -> None:
        def versions() -> Iterator[Version]:
            for row, fits in old.all_rows("history", [(key, 0) for key in self._some_keys()]):
                if fits and damage(Version(*row)) != "metadata":
                    yield self._without_damaged_diff(Version(*row))
                else:
                    self.dropped["older versions"] += 1

        self._insert("INSERT OR IGNORE INTO history VALUES (?, ?, ?, ?, ?, ?, ?, ?)", versions())

    def _texts(self, old: SalvagedCatalog) -> None:
        def texts() -> Iterator[tuple[int, bytes]]:
            for (entry_id, blob), fits in old.all_rows("texts"):
                if fits and entry_id > 0 and _is_text(entry_id, blob):
                    yield entry_id, blob
                else:
                    self.dropped["texts"] += 1

        self._insert("INSERT OR IGNORE INTO texts VALUES (?, ?)", texts(), _LARGE_ROWS_AT_ONCE)

    def _pending(self, old: SalvagedCatalog) -> None:
        """Copy the vectors that wait for a segment, and that are those of entries."""
        for rows in _chunks(old.rows("pending"), _LARGE_ROWS_AT_ONCE):
            entries = self._writer.entries_by_id([entry_id for entry_id, _ in rows])
            crcs = {entry.id: entry.crc for entry in entries.values()}
            sound = [(i, v) for i, v in rows if len(v) == 4 * self._marker.dimension and zlib.crc32(v) == crcs.get(i)]
            self._insert("INSERT OR IGNORE INTO pending VALUES (?, ?)", sound)

    def _some_keys(self) -> list[bytes]:
        """Return keys of entries, ascending, so few that they hardly count."""
        step = self._writer.count() // _SOME_KEYS + 1
        keys = self._writer.sql.execute("SELECT key FROM entries ORDER BY key")
        return [key.encode() for (key,) in islice(keys, 0, None, step)]

    def _insert(self, statement: str, rows: Iterable[Any], at_once: int = _ROWS_AT_ONCE) -> None:
        for chunk in _chunks(rows, at_once):
            with self._writer.transaction():
                self._writer.sql.executemany(statement, chunk)
            self._writer.checkpoint_if_due()

    def _without_damaged_diff(self, version: E) -> E:
        if diff_crc(version.diff_ops) == version.dcrc:
            return version
        self.dropped["diff ops"] += 1
        return version._replace(diff_ops=None, dcrc=diff_crc(None))


def _remains(entry: Row) -> tuple[Any, ...]:
    """Return what to note of an entry whose row does not fit its checksum; any of it may be wrong, or of another type."""
    entry_id, key, _, version, _, metadata, _, diff_ops, dcrc, _ = entry
    if not isinstance(diff_ops, str) or is_broken(diff_ops) or diff_crc(diff_ops) != dcrc:
        diff_ops = None
    return entry_id, _shown(key), version if isinstance(version, int) else None, _shown(metadata), diff_ops, diff_crc(diff_ops)


def _shown(value: Any) -> str:
    """Return a value as text that can be stored."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def _is_text(entry_id: int, blob: bytes) -> bool:
    try:
        text.decompress(entry_id, blob)
    except text.DamagedTextError:
        return False
    return True


def _chunks(rows: Iterable[T], at_once: int) -> Iterator[list[T]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, at_once)):
        yield chunk
