"""A catalog built anew, and segments where they have to be: from every row that is sound, wherever it is found.

Rows are told by their checksums. An entry that the old catalog knows is whole with any row that has its id and its vector's
checksum; a row that it does not know is an entry only if the old catalog cannot be trusted to know them all.
"""

import json
import os
import re
import secrets
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py._validation import check_key
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import evidence, files, recovery, segment, text
from anam_py.store.batch import shard_of
from anam_py.store.catalog import Catalog
from anam_py.store.evidence import SegmentFile
from anam_py.store.fragments import Piece
from anam_py.store.loader import Structure
from anam_py.store.rescue import Rescue
from anam_py.store.rows import Segment
from anam_py.store.salvage import SalvagedCatalog
from anam_py.store.segment import Columns

LOST = "lost.jsonl"
_WRITTEN_BYTES = 64 << 20
_NOBODY, _PENDING = -1, -2
_QUARANTINED = re.compile(r".*shard-(\d{4})-(seg-\d+-[0-9a-f]{8}\.h5)")
_ENTRY = [("id", np.int64), ("crc", np.int64), ("mcrc", np.int64), ("shard", np.int64), ("size", np.int64)]


class Rebuilt(NamedTuple):
    """What became of a store: a new catalog, not yet in its place, and the segment files that it does not list."""

    catalog: Path
    lost: int
    may_reappear: int
    set_aside: list[Path]
    actions: list[str]


class Rebuild:
    """One building of a new catalog.

    Parameters
    ----------
    folder, place : pathlib.Path
        The store's, and where the new catalog and the list of what is lost are to be.
    marker : Marker
        What the store is.
    old : SalvagedCatalog, optional
        Its catalog, if anything of it can be read.
    known : sequence of SegmentFile
        Segments that the strict loader was asked about already.
    log_is_empty : bool
        Whether the old catalog's WAL holds nothing: it may have been lost, and the catalog be older than the segments.

    Attributes
    ----------
    written : list of pathlib.Path
        New segment files; to be removed if what they are for fails.
    """

    def __init__(
        self,
        folder: Path,
        place: Path,
        marker: recovery.Marker,
        old: SalvagedCatalog | None,
        known: Sequence[SegmentFile],
        *,
        log_is_empty: bool,
    ) -> None:
        self._folder = folder
        self._place = place
        self._marker = marker
        self._old = old
        self._known = known
        self._log_is_empty = log_is_empty
        self._stale = False
        self._corrected: dict[int, int] = {}
        self._kept: set[Path] = set()
        self.written: list[Path] = []

    def run(self) -> Rebuilt:
        """Build it; what is there stays as it is."""
        path = self._place / f"{recovery.CATALOG}{files.TEMPORARY}{secrets.token_hex(4)}"
        Catalog.create(path, recovery.initial_meta(self._marker))
        catalog = Catalog(path)
        try:
            self._writer = catalog.open_writer("normal")
            with catalog.translating():
                rebuilt = self._build(path)
        finally:
            catalog.close()
        _sync(path)
        return rebuilt

    def _build(self, path: Path) -> Rebuilt:
        self._rescue = Rescue(self._old, self._writer, self._marker)
        superseded = np.fromiter((row[0] for row in self._writer.sql.execute("SELECT id FROM history")), np.int64)
        self._retired = np.union1d(self._rescue.dead, superseded)
        self._load_entries()
        # The ids of the dead have no checksum, and would have been given to entries before.
        self._last_id = max(self._rescue.last_id, superseded.max(initial=0), self._entries["id"].max(initial=0))
        ask_all = not self._rescue.authoritative
        self._files = evidence.survey(self._folder, self._rescue.segments, ask_all=ask_all, known=self._known)
        for number, file in enumerate(self._files):
            evidence.examine(file, self._marker, partial(self._take, number, file))
        may_reappear = self._settle()
        self._load_entries()
        self._provide(range(len(self._files)))
        self._provide_pending()
        if (self._source == _NOBODY).any():
            self._search_quarantine()
        with self._writer.transaction():
            for shard in np.unique(self._entries["shard"]).tolist():
                self._fill(shard)
        lost = self._give_up()
        self._finish()
        unlisted = [file.path for file in self._files if file.path not in self._kept and file.state != "quarantined"]
        set_aside = [path for path in unlisted if not path.parent.is_symlink()]  # what lies elsewhere stays there
        return Rebuilt(path, lost, may_reappear, set_aside, list(self._actions(lost, may_reappear)))

    def _load_entries(self) -> None:
        rows = self._writer.sql.execute("SELECT id, crc, mcrc, shard, length(key) + length(metadata) FROM entries ORDER BY id")
        self._entries = np.fromiter(rows, np.dtype(_ENTRY))
        self._source = np.full(len(self._entries), _NOBODY)
        self._row = np.zeros(len(self._entries), np.intp)

    # ---- rows that no entry names ----

    def _take(self, number: int, file: SegmentFile, piece: Piece) -> None:
        """Note the rows of a file that may be entries, though the catalog does not know them."""
        at = _places(self._entries["id"], piece.ids)
        is_known = at != _NOBODY
        same = piece.sound & is_known & (self._entries["mcrc"][at] == piece.mcrcs) if len(self._entries) else is_known
        for row in np.flatnonzero(same).tolist():
            if self._entries["crc"][at[row]] != piece.crcs[row]:  # the catalog's checksum is what is damaged
                self._corrected[int(piece.ids[row])] = int(piece.crcs[row])
        if file.state == "dead" or not self._is_ours(file):
            return
        unknown = np.flatnonzero(piece.sound & ~is_known & (_places(self._retired, piece.ids) == _NOBODY))
        found = [
            (
                int(piece.ids[row]),
                number,
                piece.keys[row],
                shard_of(piece.keys[row], self._marker.shards),
                int(piece.versions[row]),
                int(piece.crcs[row]),
                piece.metadata[row],
                int(piece.mcrcs[row]),
                float(piece.timestamps[row]),
            )
            for row in unknown.tolist()
            if _could_be_stored(piece.keys[row], piece.metadata[row])
        ]
        with self._writer.transaction():
            self._writer.sql.executemany("INSERT OR IGNORE INTO found VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", found)
        self._writer.checkpoint_if_due()

    def _is_ours(self, file: SegmentFile) -> bool:
        if isinstance(file.structure, Structure):
            return file.structure.uuid == self._marker.uuid
        return file.listed is not None

    def _settle(self) -> int:
        """Decide which of the rows that were found are entries; returns how many of them nobody had expected."""
        sql = self._writer.sql
        whole = {name for file in self._files if file.segment is not None for name in file.replaces}
        replaced = [number for number, file in enumerate(self._files) if file.path.name in whole]
        unlisted = [number for number, file in enumerate(self._files) if file.state == "unlisted"]
        with self._writer.transaction():
            sql.executemany("DELETE FROM found WHERE file = ?", [(number,) for number in replaced])
            self._stale = self._rescue.authoritative and self._is_stale()
            if self._rescue.authoritative and not self._stale:
                # They are what a crash has left of calls that never returned.
                sql.executemany(
                    "DELETE FROM found WHERE file = ?"
                    " AND id NOT IN (SELECT id FROM spoiled) AND key NOT IN (SELECT key FROM spoiled)",
                    [(number,) for number in unlisted],
                )
            # The newest version of a key is the current one, or it was deleted: older ones never come back.
            sql.execute("DELETE FROM found WHERE id <= (SELECT max(id) FROM history WHERE history.key = found.key)")
            sql.execute("DELETE FROM found WHERE id <= (SELECT max(id) FROM entries WHERE entries.key = found.key)")
            sql.execute("DELETE FROM found WHERE id < (SELECT max(id) FROM found AS other WHERE other.key = found.key)")
            (may_reappear,) = sql.execute(
                "SELECT count(DISTINCT id) FROM found WHERE id NOT IN (SELECT id FROM claimed)"
                " AND id NOT IN (SELECT id FROM spoiled) AND key NOT IN (SELECT key FROM spoiled)"
            ).fetchone()
            self._supersede("SELECT entries.id FROM entries JOIN found USING (key)")
            self._supersede("SELECT entries.id FROM entries JOIN history USING (key) WHERE history.id > entries.id")
            sql.execute(
                "INSERT OR REPLACE INTO entries SELECT found.id, found.key, shard, found.version, crc, found.metadata, mcrc,"
                " spoiled.diff_ops, coalesce(spoiled.dcrc, 0), found.timestamp FROM found LEFT JOIN spoiled USING (id)"
            )
            sql.execute(
                "DELETE FROM history WHERE EXISTS (SELECT 1 FROM entries WHERE entries.key = history.key"
                " AND (entries.version = history.version OR entries.id = history.id))"
            )
            sql.executemany(
                "UPDATE entries SET crc = ? WHERE id = ? AND id NOT IN (SELECT id FROM pending)",
                [(crc, i) for i, crc in self._corrected.items()],
            )
        return int(may_reappear)

    def _supersede(self, ids: str) -> None:
        """Make older versions of the entries that a query gives the ids of."""
        columns = "key, version, id, metadata, mcrc, diff_ops, dcrc, timestamp"
        sql = self._writer.sql
        sql.execute("DELETE FROM superseded")
        sql.execute(f"INSERT OR IGNORE INTO superseded {ids}")
        sql.execute(f"INSERT OR IGNORE INTO history SELECT {columns} FROM entries WHERE id IN superseded")  # noqa: S608
        sql.execute("DELETE FROM entries WHERE id IN superseded")

    def _is_stale(self) -> bool:
        """Return whether commits are missing from a catalog that is whole: it is older than the segments."""
        unlisted = [file for file in self._files if file.state == "unlisted" and self._is_ours(file) and file.sound.any()]
        newer = [file for file in unlisted if file.ids[file.sound].max() > self._last_id]
        if any(file.replaces for file in newer):  # only what was committed is merged
            return True
        return bool(newer and self._log_is_empty) or any(self._was_committed(file) for file in unlisted)

    def _was_committed(self, file: SegmentFile) -> bool:
        """Return whether a file is of a merge whose commit the catalog lacks: only after that went away what it replaced.

        One segment may be gone for another reason, while the merge never returned. Then it was committed only if all that it
        replaced is gone, or, where that is one, if it leaves out what the catalog takes for alive.
        """
        names = {*file.replaces}
        gone = [row for row, state in self._rescue.segments if state == "live" and row.name in names]
        if not gone or any(other.path.name in names for other in self._files):
            return False
        return len(names) > 1 or bool(np.setdiff1d(self._live_ids(gone[0]), file.ids).size)

    # ---- rows of entries ----

    def _rows_of(self, ids: NDArray[np.int64], crcs: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Return the place of the entry that each row is, by id and checksum, or `_NOBODY`."""
        at = _places(self._entries["id"], ids)
        return np.where((at != _NOBODY) & (self._entries["crc"][at] == crcs), at, _NOBODY) if len(self._entries) else at

    def _match(self, file: SegmentFile) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return which entries a file has, and in which rows."""
        at = self._rows_of(file.ids, file.crcs)
        if file.listed is not None and not file.sound.all():
            expected = self._ids_by_place(file.listed)
            if len(expected) == len(at):
                at = np.where(at == _NOBODY, self._rows_of(expected, file.crcs), at)
        rows = np.flatnonzero(at != _NOBODY)
        entries, first = np.unique(at[rows], return_index=True)
        return entries, rows[first]

    def _ids_by_place(self, listed: Segment) -> NDArray[np.int64]:
        """Return the ids that a file's rows have by the catalog, which knows the live and the dead ones."""
        first, last = listed.first_id, listed.last_id
        dead = self._rescue.dead[(self._rescue.dead >= first) & (self._rescue.dead <= last)].tolist()
        versions = self._writer.sql.execute(
            "SELECT id, key FROM history WHERE id IN (SELECT value FROM json_each(?))", (json.dumps(dead),)
        )
        here = [i for i, key in versions if shard_of(key, self._marker.shards) == listed.shard]
        return np.union1d(self._live_ids(listed), np.array(here, np.int64))

    def _live_ids(self, listed: Segment) -> NDArray[np.int64]:
        ids, shards = self._entries["id"], self._entries["shard"]
        live: NDArray[np.int64] = ids[(ids >= listed.first_id) & (ids <= listed.last_id) & (shards == listed.shard)]
        return live

    def _provide(self, numbers: range) -> None:
        """Find a row for each entry that has none, in files that can be kept as they are first."""

        def rank(number: int) -> tuple[bool, bool, int]:
            file = self._files[number]
            return file.segment is None, file.state != "live", -len(matches[number][0])

        matches = {number: self._match(self._files[number]) for number in numbers}
        for number in sorted(numbers, key=rank):
            entries, rows = matches[number]
            free = self._source[entries] == _NOBODY
            self._source[entries[free]] = number
            self._row[entries[free]] = rows[free]

    def _provide_pending(self) -> None:
        ids = self._writer.sql.execute("SELECT id FROM pending ORDER BY id")
        at = _places(self._entries["id"], np.fromiter((row[0] for row in ids), np.int64))
        at = at[at != _NOBODY]
        self._source[at[self._source[at] == _NOBODY]] = _PENDING

    def _search_quarantine(self) -> None:
        """Look for rows also in what was set aside earlier."""
        rows = {(row.shard, row.name): row for row, _ in self._rescue.segments}
        found = []
        for path in sorted((self._folder / recovery.QUARANTINE).rglob("*.h5")):
            if name := _QUARANTINED.fullmatch(path.name):
                shard = int(name[1])
                found.append(SegmentFile(path, shard, "quarantined", rows.get((shard, name[2]))))
        start = len(self._files)
        self._files += evidence.look_at(found, ask_all=False)
        for file in found:
            evidence.examine(file, self._marker, lambda _: None)
            file.segment = None  # it stays there; its rows are written anew
        self._provide(range(start, len(self._files)))

    # ---- segments ----

    def _fill(self, shard: int) -> None:
        """List a shard's segments: files as they are where their ids overlap no other's, else new ones."""
        entries = self._entries
        mine = np.flatnonzero((entries["shard"] == shard) & (self._source != _NOBODY))
        spans: list[tuple[int, int, tuple[SegmentFile, Segment] | None]] = []
        for source in np.unique(self._source[mine]).tolist():
            its = np.flatnonzero(self._source == source)
            file = self._files[source] if source != _PENDING else None
            row = file.segment if file is not None and (entries["shard"][its] == file.shard).all() else None
            if file is not None and row is not None:
                spans.append((row.first_id, row.last_id, (file, row)))
            else:
                ids = entries["id"][np.intersect1d(its, mine)]
                spans.append((int(ids[0]), int(ids[-1]), None))
        spans.sort(key=lambda span: span[:2])
        while spans:
            first, last, kept = spans.pop(0)
            while spans and spans[0][0] <= last:
                _, end, _ = spans.pop(0)
                last, kept = max(last, end), None
            here = mine[(entries["id"][mine] >= first) & (entries["id"][mine] <= last)]
            if kept is None:
                self._write(shard, here)
            else:
                self._keep(*kept, here)

    def _keep(self, file: SegmentFile, row: Segment, entries: NDArray[np.intp]) -> None:
        self._kept.add(file.path)
        self._writer.insert_segment(row)
        dead = np.setdiff1d(file.ids, self._entries["id"][entries])
        purge = np.isin(dead, self._rescue.purged)
        self._writer.sql.executemany(
            "INSERT OR IGNORE INTO dead VALUES (?, ?)", zip(dead.tolist(), purge.astype(int).tolist(), strict=True)
        )

    def _write(self, shard: int, entries: NDArray[np.intp]) -> None:
        """Write entries (ascending) to new segments."""
        for part in self._parts(entries):
            vectors = self._vectors(part)
            found = self._writer.entries_by_id(self._entries["id"][part].tolist())
            columns = Columns.of(sorted(found.values()), [vectors], _core.norms(vectors))
            folder = segment.shard_folder(self._folder, shard)
            row = segment.write(folder, self._marker.uuid, shard, self._marker.dimension, columns)
            self.written.append(folder / row.name)
            self._writer.insert_segment(row)

    def _parts(self, entries: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
        """Split entries so that each part fits in memory."""
        full = np.cumsum(self._entries["size"][entries] + 4 * self._marker.dimension) // _WRITTEN_BYTES
        yield from np.split(entries, np.flatnonzero(np.diff(full)) + 1)

    def _vectors(self, entries: NDArray[np.intp]) -> NDArray[np.float32]:
        found = np.empty((len(entries), self._marker.dimension), np.float32)
        for source in np.unique(self._source[entries]).tolist():
            its = np.flatnonzero(self._source[entries] == source)
            if source == _PENDING:
                ids = self._entries["id"][entries[its]].tolist()
                blobs = self._writer.sql.execute(
                    "SELECT vector FROM pending WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id", (json.dumps(ids),)
                )
                found[its] = np.frombuffer(b"".join(blob for (blob,) in blobs), "<f4").reshape(len(its), -1)
            else:
                rows = self._row[entries[its]]
                order = np.argsort(rows)
                with self._files[source].open() as fragments:
                    found[its[order]] = fragments.vectors(rows[order])
        if np.any(_core.row_crcs(found) != self._entries["crc"][entries]):
            raise HTMError(f"a segment of {str(self._folder)!r} reads otherwise the second time; the disk may be failing")
        return found

    # ---- what is left to do ----

    def _give_up(self) -> int:
        """Take out the entries that have no row any more, and write down what there is of them; returns how many."""
        sql = self._writer.sql
        with self._writer.transaction():
            sql.executemany(
                "INSERT INTO lost SELECT id, key, version, timestamp, metadata, 'vector' FROM entries WHERE id = ?",
                [(i,) for i in self._entries["id"][self._source == _NOBODY].tolist()],
            )
            sql.execute(
                "INSERT OR IGNORE INTO lost SELECT id, key, version, NULL, metadata, 'metadata' FROM spoiled"
                " WHERE id NOT IN (SELECT id FROM entries) AND key NOT IN (SELECT key FROM entries)"
            )
            sql.execute(
                "INSERT OR IGNORE INTO lost SELECT id, key, NULL, NULL, NULL, 'row' FROM claimed"
                " WHERE id NOT IN (SELECT id FROM entries) AND key NOT IN (SELECT key FROM entries)"
            )
        (count,) = sql.execute("SELECT count(*) FROM lost").fetchone()
        if count:
            files.write_file(self._place / LOST, self._lost_lines())
        with self._writer.transaction():
            self._supersede("SELECT id FROM lost")
            # The files that the crawler has to take up again, with all their symbols.
            sql.execute(
                "DELETE FROM files WHERE EXISTS (SELECT 1 FROM lost WHERE lost.key >= files.path"
                " AND lost.key < CAST(CAST(files.path AS BLOB) || x'ff' AS TEXT))"
            )
        return int(count)

    def _lost_lines(self) -> Iterator[bytes]:
        rows = self._writer.sql.execute("SELECT lost.*, zlib FROM lost LEFT JOIN texts USING (id) ORDER BY id")
        for entry_id, key, version, timestamp, metadata, reason, blob in rows:
            line = {"key": key, "id": entry_id, "lost": reason, "version": version, "timestamp": timestamp}
            line |= {"metadata": _parsed(metadata), "text": None if blob is None else text.decompress(entry_id, blob)}
            yield json.dumps(line).encode() + b"\n"

    def _finish(self) -> None:
        """Fill what follows from the rest, and leave nothing that belongs to nobody."""
        sql = self._writer.sql
        last_id = max([self._last_id, *(file.ids[file.sound].max() for file in self._files if file.sound.any())])
        with self._writer.transaction():
            sql.execute("DELETE FROM pending")
            sql.execute("DELETE FROM texts WHERE id NOT IN (SELECT id FROM entries)")
            if not self._rescue.authoritative or self._stale:  # then what the crawler knows may be newer than what is there
                sql.execute("UPDATE files SET mtime = 0, hash = ''")
            # Whatever the crawler takes in has a text: it is to take these in again, with all their symbols.
            sql.execute(
                "UPDATE files SET mtime = 0, hash = '' WHERE EXISTS (SELECT 1 FROM entries LEFT JOIN texts USING (id)"
                " WHERE texts.id IS NULL AND key >= path AND key < CAST(CAST(path AS BLOB) || x'ff' AS TEXT))"
            )
            sql.execute("DELETE FROM sqlite_sequence WHERE name = 'entries'")
            sql.execute("INSERT INTO sqlite_sequence VALUES ('entries', ?)", (int(last_id),))
            self._writer.rebuild_lexemes()
            self._writer.reindex()
        self._writer.shrink()

    def _actions(self, lost: int, may_reappear: int) -> Iterator[str]:
        """Yield what was done, in words."""
        counts = self._writer.table_counts()
        yield (
            f"built the catalog anew: {counts['entries']} entries, {counts['history']} older versions, {counts['texts']} texts, "
            f"{counts['files']} files that the crawler knows"
        )
        if self._stale:
            yield "took up what the segments hold beyond the catalog, which is older than they are: its log is lost"
        for what, count in self._rescue.dropped.items():
            yield f"left out {count} damaged {what}"
        if self._old is not None and (tables := self._old.optional_tables()):
            yield f"left out the tables of optional features: {', '.join(tables)}"
        for path in self.written:
            yield f"wrote {path.parent.name}/{path.name} from rows that were sound"
        if may_reappear:
            yield f"took up {may_reappear} entries that the catalog could not tell of; some may have been deleted before"
        if lost:
            yield f"gave up {lost} entries, of which {LOST} says what is left"


def _places(known: NDArray[np.int64], ids: NDArray[np.int64]) -> NDArray[np.intp]:
    """Return the place of each id among the known ones, which ascend, or `_NOBODY`."""
    if not len(known):
        return np.full(len(ids), _NOBODY)
    at = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    return np.where(known[at] == ids, at, _NOBODY)


def _could_be_stored(key: str, metadata: str) -> bool:
    """Return whether a store would have taken these in, however well their checksums fit."""
    try:
        check_key(key)
    except ValidationError:
        return False
    return isinstance(_parsed(metadata), dict)


def _parsed(metadata: str | None) -> Any:
    """Return metadata as JSON has it, or as it is where it is none."""
    try:
        return None if metadata is None else json.loads(metadata)
    except (ValueError, RecursionError):
        return metadata


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDWR)
    try:
        files.sync(descriptor, path)
    finally:
        os.close(descriptor)
