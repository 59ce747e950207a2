"""The catalog's tables: what can be asked of them, and what can be changed in them, over one connection."""

import contextlib
import json
import secrets
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from anam_py.exceptions import HTMError
from anam_py.store import indexing, schema, text
from anam_py.store.advice import REPAIR
from anam_py.store.records import damage
from anam_py.store.rows import Entry, File, Places, Segment, Version
from anam_py.store.selecting import Selector
from anam_py.store.sqlite import BUSY_MILLISECONDS, Connection, connect, translated

# So many values have places of their own in a statement, more come as JSON.
_FEW = 100
_CHUNK = 10_000
# Some 4 MB of WAL. While it grows, a commit takes twice as long as when it is written over again.
_CHECKPOINT_COMMITS = 128
_CHECKPOINT_CHANGES = 4_096
# What is kept for the next rows, and how much beyond that goes back at a time: some 10 ms of work.
_FREE_BYTES = 64 << 20
_VACUUMED_PAGES = 2_048
_FILE = "path, size, mtime, hash, outcome, reason"
_VERSION = "key, version, id, metadata, mcrc, diff_ops, dcrc, timestamp"


class Reader(Selector):
    """Queries over one connection; every method sees the state of its own moment."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.is_frozen = False

    def is_blank(self) -> bool:
        """Return whether nothing was ever created in this database."""
        return not self.sql.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]

    def check(self, *, writing: bool) -> None:
        """Raise HTMError unless this is a catalog of ours, of a format that we know."""
        (application,) = self.sql.execute("PRAGMA application_id").fetchone()
        if application != schema.APPLICATION_ID:
            raise HTMError(f"catalog.sqlite is not a catalog of anam_py; the store is damaged, {REPAIR}")
        (version,) = self.sql.execute("PRAGMA user_version").fetchone()
        if version != schema.FORMAT:
            raise HTMError(f"the store has format {version}, this anam_py reads up to {schema.FORMAT}; upgrade anam_py")
        required, required_to_write, tables = schema.features(self.meta())
        if needed := required + (required_to_write if writing else []):
            raise HTMError(f"the store needs {', '.join(map(repr, needed))}, which this anam_py does not have; upgrade anam_py")
        if strange := schema.strange_objects(self.sql.execute("SELECT type, name, tbl_name, sql FROM sqlite_master"), tables):
            raise HTMError(
                f"the catalog does not have the tables of format {version} ({', '.join(strange)}); "
                f"it was changed by something else, {REPAIR}"
            )

    def meta(self) -> dict[str, str]:
        return dict(self.sql.execute("SELECT key, value FROM meta"))

    def data_version(self) -> int:
        """Return a number that changes when another connection has committed."""
        return int(self.sql.execute("PRAGMA data_version").fetchone()[0])

    def entry(self, key: str) -> Entry | None:
        row = self.sql.execute("SELECT * FROM entries WHERE key = ?", (key,)).fetchone()
        return None if row is None else Entry.checked(row)

    def entries(self, keys: Iterable[str]) -> dict[str, Entry]:
        rows = self._in("SELECT * FROM entries WHERE key IN", keys)
        return {row[1]: Entry.checked(row) for row in rows}

    def entries_by_id(self, ids: Iterable[int]) -> dict[int, Entry]:
        rows = self._in("SELECT * FROM entries WHERE id IN", ids)
        return {row[0]: Entry.checked(row) for row in rows}

    def keys_by_id(self, ids: Iterable[int]) -> dict[int, str]:
        return dict(self._in("SELECT id, key FROM entries WHERE id IN", ids))

    def keys(self, prefix: str, after: str | None, limit: int) -> list[str]:
        """Return up to `limit` keys with this prefix, beyond `after`, in UTF-8 order."""
        # No key holds the byte 0xff, so this is above every key with the prefix and below
        # every other key that is greater.
        end = prefix.encode("utf-8") + b"\xff"
        lower, operator = (prefix, ">=") if after is None else (after, ">")
        rows = self.sql.execute(
            f"SELECT key FROM entries WHERE key {operator} ? AND key < CAST(? AS TEXT) ORDER BY key LIMIT ?",
            (lower, end, limit),
        )
        return [row[0] for row in rows]

    def history(self, key: str) -> list[Version]:
        rows = self.sql.execute(
            f"SELECT {_VERSION} FROM history WHERE key = :key UNION ALL "
            f"SELECT {_VERSION} FROM entries WHERE key = :key ORDER BY version",
            {"key": key},
        )
        return [Version.checked(row) for row in rows]

    def text(self, key: str) -> str | None:
        with self.frozen():
            entry = self.entry(key)
            row = entry and self.sql.execute("SELECT zlib FROM texts WHERE id = ?", (entry.id,)).fetchone()
        if entry is None or row is None:
            return None
        try:
            if problem := damage(entry):
                raise text.DamagedTextError(f"the {problem} of its entry do not have their checksum")
            return text.decompress(entry.id, row[0])
        except text.DamagedTextError as error:
            raise HTMError(
                f"the text of {key!r} is damaged: {error}; repair it with HTMCore.repair(path), or store it again"
            ) from error

    def texts(self) -> Iterator[tuple[int, str, bytes]]:
        """Iterate over (id, key, stored form) of every text."""
        return self.sql.execute("SELECT texts.id, key, zlib FROM texts JOIN entries USING (id)")

    def superseded(self) -> Iterator[Version]:
        """Iterate over every version in the history."""
        return map(Version.checked, self.sql.execute(f"SELECT {_VERSION} FROM history"))

    def segments(self, state: str = "live") -> list[Segment]:
        rows = self.sql.execute(
            "SELECT id, shard, name, rows, first_id, last_id, layout, bytes, crc FROM segments"
            " WHERE state = ? ORDER BY shard, first_id",
            (state,),
        )
        return [Segment.checked((*row[:6], schema.layout(row[6]), *row[7:])) for row in rows]

    def places(self) -> Places:
        """Return where the rows of entries lie."""
        segments = self.sql.execute("SELECT id FROM segments WHERE state = 'live' ORDER BY id")
        ids = tuple(row[0] for row in segments)
        return Places(ids, self.first_pending(), self.sql.execute("SELECT count(*) FROM dead").fetchone()[0])

    def dead(self) -> list[int]:
        return [row[0] for row in self.sql.execute("SELECT id FROM dead ORDER BY id")]

    def purged(self) -> list[int]:
        """Return the dead ids that no segment may keep, ascending."""
        return [row[0] for row in self.sql.execute("SELECT id FROM dead WHERE purge ORDER BY id")]

    def pending(self, after: int = 0) -> list[tuple[int, bytes]]:
        rows = self.sql.execute("SELECT id, vector FROM pending WHERE id > ? ORDER BY id", (after,))
        return rows.fetchall()

    def first_pending(self) -> int | None:
        return self.sql.execute("SELECT min(id) FROM pending").fetchone()[0]  # type: ignore[no-any-return]

    def last_id(self) -> int:
        row = self.sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        return 0 if row is None else int(row[0])

    def highest_id(self) -> int:
        """Return the highest id that anything has."""
        ids = "SELECT max(id) AS id FROM entries UNION ALL SELECT max(id) FROM dead UNION ALL SELECT max(last_id) FROM segments"
        return int(self.sql.execute(f"SELECT coalesce(max(id), 0) FROM ({ids})").fetchone()[0])

    def unindexed_texts(self) -> int:
        """Return how many ids have a text or a place in the text index, but not both, or a text without an entry."""
        missing = "SELECT id FROM {} EXCEPT SELECT id FROM {}"
        pairs = (("texts", "lexemes_docsize"), ("lexemes_docsize", "texts"), ("texts", "entries"))
        ids = " UNION ".join(f"SELECT * FROM ({missing.format(*pair)})" for pair in pairs)
        return int(self.sql.execute(f"SELECT count(*) FROM ({ids})").fetchone()[0])

    def files(self, root: str) -> dict[str, File]:
        rows = self.sql.execute(f"SELECT {_FILE} FROM files WHERE root = ?", (root,))
        return {row[0]: File._make(row) for row in rows}

    def files_named(self, root: str, paths: Iterable[str]) -> dict[str, File]:
        rows = self._in(f"SELECT {_FILE} FROM files WHERE root = ? AND path IN", paths, root)
        return {row[0]: File._make(row) for row in rows}

    def files_with(self, root: str, outcome: str) -> list[File]:
        rows = self.sql.execute(f"SELECT {_FILE} FROM files WHERE root = ? AND outcome = ?", (root, outcome))
        return list(map(File._make, rows))

    def moments(self, root: str, outcomes: Sequence[str]) -> list[tuple[str, int, int]]:
        """Return path, size and time of the files with one of some outcomes, ordered by path."""
        chosen = ",".join("?" * len(outcomes))
        rows = self.sql.execute(
            f"SELECT path, size, mtime FROM files WHERE root = ? AND outcome IN ({chosen}) ORDER BY path", (root, *outcomes)
        )
        return rows.fetchall()

    def outcomes(self, root: str, mark: str) -> list[tuple[str, int, int]]:
        """Return of each outcome how many files have it, and how many of those a hash that begins otherwise than with `mark`."""
        rows = self.sql.execute(
            "SELECT outcome, count(*), sum(substr(hash, 1, ?) != ?) FROM files WHERE root = ? GROUP BY outcome",
            (len(mark), mark, root),
        )
        return rows.fetchall()

    def paths(self, root: str, outcome: str) -> list[str]:
        return [row[0] for row in self.sql.execute("SELECT path FROM files WHERE (root, outcome) = (?, ?)", (root, outcome))]

    def table_counts(self) -> dict[str, int]:
        names = ("entries", "history", "texts", "lexemes_docsize", "files", "pending", "dead")
        return {n: self.sql.execute(f"SELECT count(*) FROM {n}").fetchone()[0] for n in names}

    def free_bytes(self) -> int:
        """Return how much of the database holds nothing."""
        return self._page_bytes() * int(self.sql.execute("PRAGMA freelist_count").fetchone()[0])

    def _page_bytes(self) -> int:
        return int(self.sql.execute("PRAGMA page_size").fetchone()[0])

    def integrity_problems(self) -> list[str]:
        rows = [row[0] for row in self.sql.execute("PRAGMA integrity_check(100)")]
        return [] if rows == ["ok"] else rows

    def copy_to(self, path: Path) -> None:
        """Write the whole catalog to a new file, which holds all of it: there is no WAL beside it. Does not sync it."""
        with translated(path), contextlib.closing(connect(f"{path.as_uri()}?mode=rwc")) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # nobody wants what there is of a copy that fails
            copy.execute("PRAGMA synchronous = OFF")
            self.sql.backup(copy)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Let every query inside see one moment; inside another `frozen`, that one's."""
        if self.is_frozen:
            yield
            return
        self.thaw()  # an interrupt may have come between two lines of this function
        try:
            self.is_frozen = True
            self.sql.execute("BEGIN")
            yield
        finally:
            self.thaw()

    def thaw(self) -> None:
        """See each query's own moment again."""
        self.is_frozen = False
        if self.sql.in_transaction:
            self.sql.execute("ROLLBACK")

    def _in(self, select: str, values: Iterable[Any], *first: Any) -> Iterator[Any]:
        values = list(values)
        if len(values) <= _FEW:
            chunks: list[tuple[str, Sequence[Any]]] = [(f"{select} ({','.join('?' * len(values))})", values)]
        else:
            starts = range(0, len(values), _CHUNK)
            chunks = [(f"{select} (SELECT value FROM json_each(?))", [json.dumps(values[i : i + _CHUNK])]) for i in starts]
        for statement, chunk in chunks:
            for row in self.sql.execute(statement, (*first, *chunk)):  # noqa: UP028 - it would close a cursor whose connection may be closed
                yield row


class Writer(Reader):
    """The one connection that writes."""

    def __init__(self, connection: Connection, path: Path, durability: str) -> None:
        super().__init__(connection)
        self._path = path
        self._full = durability == "full"
        self._indexes: list[str] = []
        self._new_era = False
        self._must_truncate = False
        self._commits = self._changes = 0  # at the last checkpoint

    @contextlib.contextmanager
    def transaction(self, *, durable: bool = False) -> Iterator[None]:
        """Commit what happens inside, or roll it back.

        Parameters
        ----------
        durable : bool
            Sync the commit whatever the store's durability: for transactions that files
            depend on. With ``synchronous=NORMAL`` a power cut rolls the catalog back to
            segments that are already unlinked.
        """
        raised = durable and not self._full
        with translated(self._path):
            if raised:
                self.sql.execute("PRAGMA synchronous = FULL")
            try:
                self.sql.execute("BEGIN IMMEDIATE")
                try:
                    if self._new_era:
                        self._begin_era()
                    yield
                    self.sql.execute("COMMIT")
                    self._new_era = False
                    self._commits += 1
                except BaseException:
                    if self.sql.in_transaction:
                        self.sql.execute("ROLLBACK")
                    raise
            finally:
                if raised:
                    self.sql.execute("PRAGMA synchronous = NORMAL")

    def _begin_era(self) -> None:
        """Mark the WAL that begins, so that one which does not go with its database is known; see `eras_agree`."""
        (found,) = self.sql.execute("SELECT coalesce(max(value), '') FROM meta WHERE key = 'era'").fetchone()
        self.set_meta("era", f"{secrets.token_hex(8)} after {found.partition(' ')[0]}")

    def set_meta(self, key: str, value: str) -> None:
        self.sql.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def drop_meta(self, key: str) -> None:
        self.sql.execute("DELETE FROM meta WHERE key = ?", (key,))

    def last_versions(self, keys: Iterable[str]) -> dict[str, int]:
        """Return the highest version in the history of each key that has one."""
        found: dict[str, int] = {}
        for key, version in self._in("SELECT key, version FROM history WHERE key IN", keys):
            found[key] = max(version, found.get(key, 0))
        return found

    def insert_entries(self, entries: Sequence[Entry]) -> None:
        self.sql.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", entries)
        self.sql.executemany("INSERT INTO indexed VALUES (?, ?, ?, ?)", self._index_rows(entries))

    def insert_texts(self, rows: Sequence[tuple[int, str, str]]) -> None:
        """Keep and index texts, given as (id, key, text)."""
        self.sql.executemany("INSERT INTO texts VALUES (?, ?)", [(i, text.compress(i, body)) for i, _, body in rows])
        self.sql.executemany(
            "INSERT INTO lexemes(rowid, key, body) VALUES (?, ?, ?)",
            [(i, *text.indexed(key, body)) for i, key, body in rows],
        )

    def retire(self, entries: Sequence[Entry]) -> None:
        """Move entries to the history, take their texts out, and mark their rows dead."""
        ids = [entry.id for entry in entries]
        chosen = "(SELECT value FROM json_each(?))"
        chunk = (json.dumps(ids),)
        texts = self.sql.execute(
            f"SELECT texts.id, key, zlib FROM texts JOIN entries USING (id) WHERE id IN {chosen}", chunk
        ).fetchall()
        if texts:
            self.sql.execute(f"DELETE FROM texts WHERE id IN {chosen}", chunk)
            try:
                self.sql.executemany(
                    "INSERT INTO lexemes(lexemes, rowid, key, body) VALUES ('delete', ?, ?, ?)",
                    [(i, *text.indexed(key, text.decompress(i, blob))) for i, key, blob in texts],
                )
            except text.DamagedTextError:  # only its own tokens could take it out
                self.rebuild_lexemes()
        self.sql.execute(f"INSERT INTO history SELECT {_VERSION} FROM entries WHERE id IN {chosen}", chunk)
        self.sql.execute(f"DELETE FROM entries WHERE id IN {chosen}", chunk)
        self.sql.executemany("INSERT INTO dead VALUES (?, 0)", [(i,) for i in ids])
        try:
            self.sql.executemany("DELETE FROM indexed WHERE (path, type, value, id) = (?, ?, ?, ?)", self._index_rows(entries))
        except HTMError:  # whose metadata is damaged can be found by its id only
            self.sql.execute(f"DELETE FROM indexed WHERE id IN {chosen}", chunk)

    def purge(self, keys: Collection[str]) -> list[int]:
        """Drop the history of keys without an entry; returns the ids of rows that no segment may keep."""
        ids = [row[0] for row in self._in("SELECT id FROM history WHERE key IN", keys)]
        self.sql.executemany("DELETE FROM history WHERE key = ?", [(key,) for key in keys])
        self.sql.executemany("DELETE FROM files WHERE path = ?", [(key,) for key in keys])
        self.sql.executemany("UPDATE dead SET purge = 1 WHERE id = ?", [(i,) for i in ids])
        return ids

    def prune_history(self, keep: int, key: str | None) -> list[int]:
        """Drop all but the newest versions of each key, or of one, the current one among them; returns their ids."""
        chosen = "" if key is None else "WHERE key = :key"
        ages = (
            "SELECT key, version, row_number() OVER (PARTITION BY key ORDER BY version DESC)"
            f" + EXISTS (SELECT 1 FROM entries WHERE entries.key = history.key) AS age FROM history {chosen}"
        )
        chosen = f"(SELECT key, version FROM ({ages}) WHERE age > :keep)"
        rows = self.sql.execute(f"SELECT id FROM history WHERE (key, version) IN {chosen}", {"keep": keep, "key": key}).fetchall()
        self.sql.execute(f"DELETE FROM history WHERE (key, version) IN {chosen}", {"keep": keep, "key": key})
        # A later purge of the key could not tell any more which rows were its.
        self.sql.executemany("UPDATE dead SET purge = 1 WHERE id = ?", rows)
        return [row[0] for row in rows]

    def insert_pending(self, rows: Sequence[tuple[int, bytes | memoryview]]) -> None:
        self.sql.executemany("INSERT INTO pending VALUES (?, ?)", rows)

    def drop_pending(self, until: int) -> int:
        """Drop the pending rows up to an id; returns how many there were."""
        return self.sql.execute("DELETE FROM pending WHERE id <= ?", (until,)).rowcount

    def drop_dead(self, ids: Iterable[int]) -> None:
        self.sql.executemany("DELETE FROM dead WHERE id = ?", [(i,) for i in ids])

    def insert_segment(self, segment: Segment) -> Segment:
        """List a segment as live; returns it with its id."""
        cursor = self.sql.execute(
            "INSERT INTO segments (shard, name, rows, first_id, last_id, layout, bytes, crc, state)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'live')",
            (*segment[1:6], json.dumps(segment.layout), segment.bytes, segment.crc),
        )
        return segment._replace(id=cursor.lastrowid or 0)

    def kill_segments(self, ids: Iterable[int]) -> None:
        """Say that these segments' files may be unlinked."""
        self.sql.executemany("UPDATE segments SET state = 'dead' WHERE id = ?", [(i,) for i in ids])

    def drop_segments(self, ids: Iterable[int]) -> None:
        rows = [(i,) for i in ids]
        self.sql.executemany("DELETE FROM derived WHERE segment = ?", rows)
        self.sql.executemany("DELETE FROM segments WHERE id = ?", rows)

    def put_files(self, root: str, files: Iterable[File]) -> None:
        self.sql.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", [(root, *f) for f in files])

    def drop_files(self, root: str, paths: Iterable[str]) -> None:
        self.sql.executemany("DELETE FROM files WHERE root = ? AND path = ?", [(root, path) for path in paths])

    def rebuild_lexemes(self) -> None:
        """Index every text anew with this version's tokens."""
        self.sql.execute("INSERT INTO lexemes(lexemes) VALUES ('delete-all')")
        for i, key, blob in self.texts():
            with contextlib.suppress(text.DamagedTextError):
                columns = text.indexed(key, text.decompress(i, blob))
                self.sql.execute("INSERT INTO lexemes(rowid, key, body) VALUES (?, ?, ?)", (i, *columns))
        self.set_meta("lexemes", text.LEXEMES)

    def create_index(self, path: str) -> None:
        """Index a metadata path of every entry, unless it is."""
        if path in self._indexes:
            return
        self.sql.execute("INSERT INTO indexes VALUES (?)", (path,))
        metadata = self.sql.execute("SELECT id, metadata FROM entries")
        while rows := metadata.fetchmany(_CHUNK):
            self.sql.executemany("INSERT INTO indexed VALUES (?, ?, ?, ?)", indexing.rows_of([path], rows))

    def reindex(self) -> None:
        """Fill the index of every declared path anew."""
        paths = self.indexes()
        self.sql.execute("DELETE FROM indexes")
        self.sql.execute("DELETE FROM indexed")
        for path in paths:
            self.create_index(path)

    def refresh_indexes(self) -> None:
        """Keep up the indexes of the paths that are declared now."""
        self._indexes = self.indexes()

    def _index_rows(self, entries: Iterable[Entry]) -> Iterable[tuple[str, str, Any, int]]:
        return indexing.rows_of(self._indexes, ((e.id, e.metadata) for e in entries)) if self._indexes else ()

    def checkpoint_if_due(self) -> None:
        """Move the WAL's pages to the database if there are many, and give some of its free ones back.

        To be called where nobody waits for a commit.
        """
        if self._commits < _CHECKPOINT_COMMITS and self.sql.total_changes - self._changes < _CHECKPOINT_CHANGES:
            return
        self.checkpoint("TRUNCATE" if self._must_truncate else "PASSIVE")
        with translated(self._path):
            if self.free_bytes() > _FREE_BYTES:
                self._vacuum(_VACUUMED_PAGES)

    def checkpoint(self, mode: str) -> None:
        """Move the WAL's pages to the database, as far as readers allow; "TRUNCATE" also empties it, now or when it can."""
        with translated(self._path):
            self.sql.execute("PRAGMA busy_timeout = 0")  # writers need not wait for a reader that takes its time
            try:
                busy, pages, moved = self.sql.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
            finally:
                self.sql.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
        self._commits, self._changes = 0, self.sql.total_changes
        if pages == moved >= 0:
            self._new_era = True
        if mode == "TRUNCATE":
            self._must_truncate = bool(busy)

    def shrink(self) -> None:
        """Give free pages and the WAL back to the disk, as far as readers allow."""
        self._vacuum()
        self.checkpoint("TRUNCATE")

    def _vacuum(self, pages: int | None = None) -> None:
        """Give free pages back to the disk, all of them or some."""
        free = self.free_bytes() // self._page_bytes()
        with self.transaction():
            for _ in range(free if pages is None else min(pages, free)):
                # Each step gives one page back, and has a row without columns, after which `execute` stops.
                self.sql.execute("PRAGMA incremental_vacuum(1)").fetchall()

    def scrub(self) -> None:
        """Leave no trace of what was deleted: in the text index, in free pages and in the WAL."""
        with self.transaction():
            self.sql.execute("INSERT INTO lexemes(lexemes) VALUES ('optimize')")
        self.shrink()
