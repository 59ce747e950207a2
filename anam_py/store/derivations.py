"""What is derived from segments: the catalog's list of it, and the files that the list names."""

import logging
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from anam_py import _core
from anam_py.exceptions import HTMError
from anam_py.store.catalog import Catalog
from anam_py.store.rows import Derived
from anam_py.store.segment import shard_folder
from anam_py.store.sidecar import Rotation, Sidecar
from anam_py.store.snapshot import SegmentBlock, Snapshot
from anam_py.store.sqlite import translated
from anam_py.store.tables import Reader, Writer

log = logging.getLogger("anam_py.store")

_KIND = "codes"
# A rotation is stored as the number of rows that it was chosen for, and then its plan.
_ROWS_BYTES = 8


def listed(reader: Reader) -> list[Derived]:
    """Return the files of codes that the catalog lists, of one segment the latest last; see `problems` for damaged rows."""
    return [derived for derived in _rows(reader) if isinstance(derived, Derived)]


def names(reader: Reader) -> set[str]:
    """Return the names of the files that the catalog lists; none if the list cannot be read."""
    try:
        with translated(Path("derived")):
            return {derived.name for derived in listed(reader)}
    except HTMError:
        return set()


def is_listed(reader: Reader, derived: Derived) -> bool:
    """Return whether the catalog lists a file, and its segment as live."""
    live = {segment.id for segment in reader.segments()}
    return derived.segment in live and derived in listed(reader)


def problems(reader: Reader) -> list[str]:
    """Say what of the catalog's list is damaged."""
    found = [str(derived) for derived in _rows(reader) if not isinstance(derived, Derived)]
    for rotation_id in _rotation_ids(reader):
        try:
            _rotation(reader, rotation_id)
        except HTMError as error:
            found.append(str(error))
    return found


def _rows(reader: Reader) -> Iterator[Derived | HTMError]:
    rows = reader.sql.execute(
        "SELECT segment, rotation, name, crc FROM derived WHERE kind = ? ORDER BY segment, rotation", (_KIND,)
    )
    for row in rows:
        try:
            yield Derived.checked(row)
        except HTMError as error:
            yield error


def _rotation_ids(reader: Reader) -> list[int]:
    """Return the ids of the rotations that the catalog has, ascending."""
    return [row[0] for row in reader.sql.execute("SELECT id FROM rotations ORDER BY id")]


def _rotation(reader: Reader, rotation_id: int) -> Rotation:
    """Return a rotation; HTMError if it is not there, or damaged."""
    row = reader.sql.execute("SELECT blob, crc FROM rotations WHERE id = ?", (rotation_id,)).fetchone()
    if row is None:
        raise HTMError(f"the catalog has no rotation {rotation_id}")
    blob, crc = row
    if not isinstance(blob, bytes) or zlib.crc32(blob) != crc:
        raise HTMError(f"rotation {rotation_id} does not have its checksum")
    try:
        plan = _core.Plan.unpack(blob[_ROWS_BYTES:]) if len(blob) > _ROWS_BYTES else None
    except ValueError as error:
        raise HTMError(f"rotation {rotation_id} cannot be read: {error}") from error
    return Rotation(rotation_id, int.from_bytes(blob[:_ROWS_BYTES], "little"), crc, plan)


def insert_rotation(writer: Writer, rows: int, plan: _core.Plan | None) -> Rotation:
    """Put a plan into the catalog, by which segments are coded from now on; it was chosen for a store of that many rows."""
    blob = rows.to_bytes(_ROWS_BYTES, "little") + (b"" if plan is None else plan.pack())
    crc = zlib.crc32(blob)
    cursor = writer.sql.execute("INSERT INTO rotations (blob, crc) VALUES (?, ?)", (blob, crc))
    return Rotation(cursor.lastrowid or 0, rows, crc, plan)


def insert(writer: Writer, derived: Derived) -> list[str]:
    """List a segment's codes, in the place of older ones; returns the names of files that nothing lists any more."""
    replaced = [row.name for row in listed(writer) if row.segment == derived.segment and row.name != derived.name]
    writer.sql.execute("DELETE FROM derived WHERE segment = ? AND kind = ?", (derived.segment, _KIND))
    writer.sql.execute(
        "INSERT OR REPLACE INTO derived (segment, kind, rotation, name, crc) VALUES (?, ?, ?, ?, ?)",
        (derived.segment, _KIND, derived.rotation, derived.name, derived.crc),
    )
    _drop_rotations(writer)
    return replaced


def drop(writer: Writer, rows: Sequence[Derived]) -> None:
    """List these files no more."""
    writer.sql.executemany("DELETE FROM derived WHERE name = ?", [(row.name,) for row in rows])
    _drop_rotations(writer)


def forget(writer: Writer) -> None:
    """List nothing any more; what is made next is made by the last rotation."""
    writer.sql.execute("DELETE FROM derived")
    _drop_rotations(writer)


def clear(writer: Writer) -> None:
    """List nothing any more, and keep no rotation."""
    forget(writer)
    writer.sql.execute("DELETE FROM rotations")


def _drop_rotations(writer: Writer) -> None:
    """Drop the rotations that nobody uses or will."""
    writer.sql.execute(
        "DELETE FROM rotations WHERE id NOT IN (SELECT rotation FROM derived) AND id < (SELECT max(id) FROM rotations)"
    )


class Derivations:
    """What an engine knows of its store's codes.

    Nothing about them is ever an error for whoever searches: what cannot be used is left out, and logged once.

    Parameters
    ----------
    folder : pathlib.Path
        The store's.
    uuid : str
        The store's.
    dimension : int
        Of its vectors.
    catalog : Catalog
        Its catalog.
    """

    def __init__(self, folder: Path, uuid: str, dimension: int, catalog: Catalog) -> None:
        self._folder = folder
        self._uuid = uuid
        self._dimension = dimension
        self._catalog = catalog
        self._rotations: dict[int, Rotation] = {}
        self._told: set[str] = set()

    def attached(self, reader: Reader, blocks: Sequence[SegmentBlock], known: Snapshot | None) -> list[SegmentBlock]:
        """Return the blocks with the codes that the catalog lists for them, reusing the maps of `known`."""
        try:
            with self._catalog.translating():
                rows = {row.segment: row for row in listed(reader)}
        except HTMError as error:
            self._tell("derived", str(error))
            return [*blocks]
        held = {} if known is None else {b.sidecar.derived: b.sidecar for b in known.segments if b.sidecar is not None}
        found = []
        for block in blocks:
            row = rows.get(block.segment.id)
            sidecar = None if row is None else held.get(row) or self._mapped(reader, row, block)
            found.append(block if sidecar is None else replace(block, sidecar=sidecar))
        return found

    def unusable(self, reader: Reader, snapshot: Snapshot) -> list[tuple[Derived, Path]]:
        """Return what the catalog lists for a snapshot's segments that cannot be used, with the files."""
        try:
            with self._catalog.translating():
                rows = listed(reader)
        except HTMError:
            return []
        blocks = {block.segment.id: block for block in snapshot.segments}
        found = [(row, blocks[row.segment]) for row in rows if row.segment in blocks]
        return [
            (row, shard_folder(self._folder, block.segment.shard) / row.name)
            for row, block in found
            if block.sidecar is None or block.sidecar.derived != row
        ]

    def newest(self, reader: Reader) -> Rotation | None:
        """Return the rotation that was chosen last; None if there is none, or it cannot be read."""
        ids = _rotation_ids(reader)
        try:
            return self._rotation(reader, ids[-1]) if ids else None
        except HTMError as error:
            self._tell("rotations", str(error))
            return None

    def know(self, rotation: Rotation) -> None:
        """Take a rotation that was committed."""
        self._rotations[rotation.id] = rotation

    def map(self, reader: Reader, derived: Derived, block: SegmentBlock) -> Sidecar:
        """Map a segment's codes; HTMError if they are not there, or not those that the catalog lists."""
        path = shard_folder(self._folder, block.segment.shard) / derived.name
        rotation = self._rotation(reader, derived.rotation)
        try:
            return Sidecar(path, derived, block.segment, rotation, self._uuid)
        except FileNotFoundError:
            raise HTMError("it is not there") from None

    def _rotation(self, reader: Reader, rotation_id: int) -> Rotation:
        """Return a rotation, the same object each time: scans prepare a query once for each plan."""
        if rotation_id not in self._rotations:
            with self._catalog.translating():
                found = _rotation(reader, rotation_id)
            if found.plan is not None and found.plan.dimension != self._dimension:
                raise HTMError(f"rotation {rotation_id} is one of {found.plan.dimension} dimensions")
            self._rotations[rotation_id] = found
        return self._rotations[rotation_id]

    def _mapped(self, reader: Reader, derived: Derived, block: SegmentBlock) -> Sidecar | None:
        try:
            return self.map(reader, derived, block)
        except HTMError as error:
            self._tell(derived.name, str(error))
            return None

    def _tell(self, name: str, what: str) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning("%s: the codes of %s cannot be used, searches go on without them: %s", self._folder, name, what)
