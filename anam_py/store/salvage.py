"""Reading what can still be read of a catalog: row by row, around the pages that cannot be.

SQLite gives up a whole query at the first damaged page. So tables are read in small pieces by
their key, from the start to the first error, from the end to the last, and then what lies between.
Nothing that comes out of here has been checked but for its types: checksums are the caller's to compare.
"""

import bisect
import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self, TypeAlias

from anam_py.exceptions import HTMError
from anam_py.store import files, schema, wal
from anam_py.store.catalog import Catalog
from anam_py.store.sqlite import Connection, connect, translated

Key: TypeAlias = tuple[Any, ...]
Row: TypeAlias = tuple[Any, ...]

# How often damaged ranges are halved to find what is readable inside them.
_PROBES = 20_000
_LAST_ID = 2**40
_PAGE_SIZE = 4_096
# A format beyond is none, but damage.
_LAST_FORMAT = 999
# SQLite's number for the limit on the length of a value, and a bit more than the longest text.
_LIMIT_LENGTH, _LONGEST_BYTES = 0, 300 << 20


class _Table(NamedTuple):
    columns: str
    types: tuple[Any, ...]
    key: tuple[str, ...]
    rows_at_once: int = 1_000


_OPTIONAL = (str, type(None))
_TABLES = {
    "meta": _Table("key, value", (str, str), ("key",)),
    "entries": _Table(
        "id, key, shard, version, crc, metadata, mcrc, diff_ops, dcrc, timestamp",
        (int, str, int, int, int, str, int, _OPTIONAL, int, float),
        ("id",),
    ),
    "history": _Table(
        "key, version, id, metadata, mcrc, diff_ops, dcrc, timestamp",
        (str, int, int, str, int, _OPTIONAL, int, float),
        ("key", "version"),
    ),
    "texts": _Table("id, zlib", (int, bytes), ("id",), 64),
    "files": _Table("root, path, size, mtime, hash, outcome, reason", (str, str, int, int, str, str, str), ("root", "path")),
    "pending": _Table("id, vector", (int, bytes), ("id",), 64),
    "segments": _Table(
        "id, shard, name, rows, first_id, last_id, layout, bytes, crc, state",
        (int, int, str, int, int, int, str, int, int, str),
        ("id",),
    ),
    "dead": _Table("id, purge", (int, int), ("id",)),
    "indexes": _Table("path", (str,), ("path",)),
}


class _Text(bytes):
    """A TEXT value as it is stored; it may not be UTF-8."""

    __slots__ = ()


@contextlib.contextmanager
def salvaged(path: Path, log: Path) -> Iterator["SalvagedCatalog | None"]:
    """Give what can be read of a copy of a catalog, which is changed for that; None if it is none of ours.

    Parameters
    ----------
    path : pathlib.Path
        The copy; it may be missing.
    log : pathlib.Path
        Its log; it may be missing, or another catalog's.

    Raises
    ------
    HTMError
        If a later version of this package made it.
    """
    fresh = path.with_name("fresh.sqlite")
    Catalog.create(fresh, {})
    try:
        template = fresh.read_bytes()
        if not path.exists() or not path.stat().st_size:
            path.write_bytes(template)
        wal.apply(log, fresh)
        if _belongs(fresh, path):
            wal.apply(log, path)
    finally:
        files.remove(fresh)
    with SalvagedCatalog(path) as found:
        found.refuse_newer()
        foreign, whole = found.is_foreign(), found.has_schema()
        if whole:
            yield found
    if not whole and not foreign:
        # A catalog begins with its schema, which is always the same. Whatever is wrong with this one, or was put into it.
        with path.open("r+b") as file:
            count = max(1, path.stat().st_size // _PAGE_SIZE)
            file.write(template[:28] + count.to_bytes(4, "big") + template[32:_PAGE_SIZE])
        with SalvagedCatalog(path) as found:
            yield found
    elif foreign:
        yield None


def _belongs(log: Path, catalog: Path) -> bool:
    """Return whether a log, applied to a new catalog, can be this catalog's: of the same store and era, as `Writer` marks it."""
    with SalvagedCatalog(log) as found:
        logged = found.meta
    with SalvagedCatalog(catalog) as found:
        known = found.meta
    same_store = {logged.get("uuid"), known.get("uuid")} - {None}
    eras = logged.get("era", "").split(" after ")
    return len(same_store) < 2 and (not any(eras) or "era" not in known or known["era"].partition(" ")[0] in eras)


class SalvagedCatalog:
    """A catalog of which some may be damaged, read only; nobody else may have it open.

    Parameters
    ----------
    path : pathlib.Path
        The database; what there is of its log must be in it already.

    Attributes
    ----------
    incomplete : set of str
        Tables of which something could not be read, so far.
    """

    def __init__(self, path: Path) -> None:
        self.incomplete: set[str] = set()
        self._path = path
        with translated(path):
            self._sql: Connection = connect(f"{path.as_uri()}?mode=ro&immutable=1")
        self._sql.execute("PRAGMA writable_schema = ON")  # else nothing is read of a file that was cut off
        self._sql.setlimit(_LIMIT_LENGTH, _LONGEST_BYTES)
        self._sql.text_factory = _Text
        self._master = self._objects()
        self.meta = {row[0]: row[1] for row in self.rows("meta")}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sql.close()

    def is_ours(self) -> bool:
        """Return whether the database says that it is a catalog of anam_py."""
        return bool(self._pragma("application_id") == schema.APPLICATION_ID)

    def is_foreign(self) -> bool:
        """Return whether it is another program's database."""
        return not self.is_ours() and bool(self._master) and not any(name in schema.TABLES for _, name, _, _ in self._master)

    def has_schema(self) -> bool:
        """Return whether its tables are those of a catalog, and nothing else is in its schema."""
        return not schema.strange_objects(self._master, self.optional_tables())

    def optional_tables(self) -> list[str]:
        """Return the names of tables that a later version of this package may have added."""
        try:
            return schema.features(self.meta)[2]
        except HTMError:
            return []

    def refuse_newer(self) -> None:
        """Raise HTMError if a later version of this package knows more of this catalog than this one."""
        version = self._pragma("user_version") or 0
        if schema.FORMAT < version <= _LAST_FORMAT:
            raise HTMError(f"the store has format {version}, this anam_py repairs up to {schema.FORMAT}; upgrade anam_py")
        try:
            required, required_to_write, _ = schema.features(self.meta)
        except HTMError:
            return
        if needed := required + required_to_write:
            raise HTMError(f"the store needs {', '.join(map(repr, needed))}, which this anam_py does not have; upgrade anam_py")

    def is_sound(self, table: str) -> bool:
        """Return whether SQLite finds a table, and all that belongs to it, as it should be."""
        try:
            with translated(self._path):
                found = self._sql.execute(f"PRAGMA integrity_check({table})").fetchall()
        except HTMError:
            return False
        return [_plain(row[0]) for row in found] == ["ok"]

    def last_id(self) -> int:
        """Return the last id that was given to an entry; 0 where it cannot be told."""
        with contextlib.suppress(HTMError), translated(self._path):
            row = self._sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
            if row and isinstance(row[0], int) and 0 < row[0] < 2**62:
                return row[0]
        return 0

    def rows(self, table: str) -> Iterator[Row]:
        """Yield each readable row of a table once, if its values have their types."""
        return (row for row, fits in self.all_rows(table) if fits)

    def all_rows(self, table: str, probes: Sequence[Key] = ()) -> Iterator[tuple[Row, bool]]:
        """Yield each readable row of a table once, and whether its values have their types; what is no UTF-8 is surrogates.

        Parameters
        ----------
        table : str
            Its name.
        probes : sequence of tuple
            Keys, ascending, between which there may be rows, where keys are texts: text as bytes.
        """
        scan = _Scan(self._sql, self._path, table, _TABLES[table], self.last_id())
        for row in scan.rows(probes):
            values = tuple(map(_plain, row))
            fits = all(map(isinstance, values, _TABLES[table].types)) and not any(map(is_broken, values))
            if not fits:
                self.incomplete.add(table)
            yield values, fits
        if not scan.complete:
            self.incomplete.add(table)

    def indexed_keys(self) -> Iterator[tuple[int, str]]:
        """Yield (id, key) of the entries that the index of their keys lists, whatever of the table is damaged."""
        table = _Table("id, key", (int, str), ("key",))
        scan = _Scan(self._sql, self._path, "entries INDEXED BY sqlite_autoindex_entries_1", table, 0)
        for row in scan.rows():
            entry_id, key = map(_plain, row)
            if isinstance(entry_id, int) and isinstance(key, str) and not is_broken(key):
                yield entry_id, key

    def _objects(self) -> list[tuple[str, str, str, str]]:
        """Return type, name, table and SQL of all that is in the schema; nothing if that cannot be read."""
        try:
            with translated(self._path):
                rows = self._sql.execute("SELECT type, name, tbl_name, sql FROM sqlite_master").fetchall()
        except HTMError:
            return []
        return [(str(_plain(kind)), str(_plain(name)), str(_plain(table)), _plain(sql)) for kind, name, table, sql in rows]

    def _pragma(self, name: str) -> Any:
        with contextlib.suppress(HTMError), translated(self._path):
            return self._sql.execute(f"PRAGMA {name}").fetchone()[0]
        return None


# What reading returns that came to an end, in place of the key at which it stopped.
_END: Key = ("end",)


class _Scan:
    """One reading of a table, in pieces by its key."""

    def __init__(self, sql: Connection, path: Path, source: str, table: _Table, last_id: int) -> None:
        self._sql = sql
        self._path = path
        self._source = source
        self._table = table
        names = table.columns.split(", ")
        self._places = [names.index(name) for name in table.key]
        self._types = tuple({int: int, str: _Text}[table.types[place]] for place in self._places)
        self._last_id = last_id or _LAST_ID
        self.complete = True

    def rows(self, probes: Sequence[Key] = ()) -> Generator[Row, None, None]:
        """Yield each row that can be read; `probes` are keys (ascending) to begin at, where keys are no numbers."""
        low = yield from self._run(None, None, descending=False)
        if low is _END:
            return
        self.complete = False
        high = yield from self._run(low, None, descending=True)
        gaps = [] if high is _END else [(low, high)]
        for _ in range(_PROBES):
            if not gaps:
                return
            low, high = gaps.pop()  # the lowest: beyond the last row there may be nothing but errors
            start, end = self._halved(low, high) if self._types == (int,) else _split(low, high, probes)
            if start is None:
                continue
            stopped = yield from self._run(start, high, descending=False)
            if stopped is not _END:
                gaps.append((stopped or end, high))
            stopped = yield from self._run(low, end, descending=True)
            if stopped is not _END:
                gaps.append((low, stopped or end))

    def _halved(self, low: Key | None, high: Key | None) -> tuple[Key | None, Key | None]:
        """Return bounds for what lies above the middle of two ids, and for what lies below; None if there is no middle."""
        first, last = low[0] if low else 0, high[0] if high else self._last_id + 1
        middle = (first + last) // 2
        return ((middle - 1,), (middle,)) if middle > first else (None, None)

    def _run(self, low: Key | None, high: Key | None, *, descending: bool) -> Generator[Row, None, Key | None]:
        """Yield the rows between two keys up to where reading fails; returns the last key then, else `_END`."""
        count, last = self._table.rows_at_once, None
        while True:
            if descending:
                rows = self._read(low, last or high, count, descending=True)
            else:
                rows = self._read(last or low, high, count, descending=False)
            if rows is None:
                if count == 1:
                    return last
                count = max(1, count // 8)
                continue
            for row in rows:
                key = tuple(row[place] for place in self._places)
                # In a damaged tree keys come in any order, and again and again.
                if not all(map(isinstance, key, self._types)) or (last and (key >= last if descending else key <= last)):
                    return last
                last = key
                yield row
            if len(rows) < count:
                return _END

    def _read(self, low: Key | None, high: Key | None, count: int, *, descending: bool) -> list[Row] | None:
        key = f"({', '.join(self._table.key)})"
        given = f"({', '.join('?' if kind is int else 'CAST(? AS TEXT)' for kind in self._types)})"
        bounds = [f"{key} {sign} {given}" for sign, bound in ((">", low), ("<", high)) if bound]
        where = f" WHERE {' AND '.join(bounds)}" if bounds else ""
        order = ", ".join(f"{name} DESC" if descending else name for name in self._table.key)
        try:
            with translated(self._path):
                return self._sql.execute(
                    f"SELECT {self._table.columns} FROM {self._source}{where} ORDER BY {order} LIMIT ?",  # noqa: S608 - our own names
                    (*(low or ()), *(high or ()), count),
                ).fetchall()
        except HTMError:
            return None


def _split(low: Key | None, high: Key | None, probes: Sequence[Key]) -> tuple[Key | None, Key | None]:
    """Return the middle one of the probes between two keys, twice; None if there is none."""
    first = bisect.bisect_right(probes, low) if low else 0
    last = bisect.bisect_left(probes, high) if high else len(probes)
    probe = probes[(first + last) // 2] if first < last else None
    return probe, probe


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "surrogateescape") if isinstance(value, _Text) else value


def is_broken(value: Any) -> bool:
    """Return whether a value is text that is not Unicode."""
    if not isinstance(value, str) or value.isascii():
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False
