"""What a store's segment files say when nobody vouches for them: which store they are of, and which of their rows are sound."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import HTMError
from anam_py.store import loader, recovery
from anam_py.store.batch import shard_of
from anam_py.store.fragments import Fragments, Piece, Shape, file_crc
from anam_py.store.loader import Structure
from anam_py.store.rows import Segment
from anam_py.store.segment import TYPES, shard_folder


@dataclass
class SegmentFile:
    """A segment file, and what was found in it.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shard : int
        The number of the folder that it is, or was, in.
    state : {"live", "dead", "unlisted", "quarantined"}
        What the catalog says of it.
    listed : Segment, optional
        Its row in the catalog.

    Attributes
    ----------
    openable : bool
        Whether it is a file that can be opened.
    structure : Structure or str or None
        What the strict loader says, or why it refused the file; None if it was not asked.
    segment : Segment, optional
        What a catalog has to list if the file is kept as it is; None if it must not be.
    ids, crcs, sound : ndarray of shape (n,)
        Of each row the id that it claims, the CRC-32 that its vector has, and whether all its checksums fit.
    """

    path: Path
    shard: int
    state: str
    listed: Segment | None = None
    structure: Structure | str | None = None
    openable: bool = True
    crc: int = -1
    bytes: int = 0
    shape: Shape | None = None
    segment: Segment | None = None
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    crcs: NDArray[np.uint32] = field(default_factory=lambda: np.empty(0, np.uint32))
    sound: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, np.bool_))

    @property
    def name(self) -> str:
        """Folder and name."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def vouched_for(self) -> bool:
        """Whether it is, bit for bit, the file that the catalog lists."""
        return self.listed is not None and (self.listed.bytes, self.listed.crc) == (self.bytes, self.crc)

    @property
    def replaces(self) -> list[str]:
        """What it was merged from, if the loader was asked."""
        return self.structure.replaces if isinstance(self.structure, Structure) else []

    def open(self) -> Fragments:
        """Open it for reading; only after its rows have been found."""
        if self.shape is None:
            raise HTMError(f"nothing can be read of {str(self.path)!r}: {self.structure}")
        return Fragments(self.path, self.shape, follow=self.listed is not None)


def survey(
    folder: Path,
    listed: Iterable[tuple[Segment, str]] = (),
    *,
    ask_all: bool,
    known: Sequence[SegmentFile] = (),
) -> list[SegmentFile]:
    """Return every segment file in a store's shards.

    Parameters
    ----------
    folder : pathlib.Path
        The store's.
    listed : iterable of (Segment, str)
        What the catalog lists, each with its state.
    ask_all : bool
        Whether the strict loader is to look also at files that the catalog vouches for.
    known : sequence of SegmentFile
        Files that the strict loader was asked about already.
    """
    rows = {(segment.shard, segment.name): (segment, state) for segment, state in listed}
    found = []
    for shard, name in recovery.segment_files(folder):
        number = int(shard.removeprefix("shard-"))
        segment, state = rows.get((number, name), (None, "unlisted"))
        found.append(SegmentFile(folder / shard / name, number, state if state in ("live", "dead") else "unlisted", segment))
    there = {file.path for file in found}
    for (number, name), (segment, state) in rows.items():  # a shard may lie elsewhere
        path = shard_folder(folder, number) / name
        if state == "live" and path not in there and path.exists():
            found.append(SegmentFile(path, number, state, segment))
    return look_at(found, ask_all=ask_all, known=known)


def look_at(found: list[SegmentFile], *, ask_all: bool, known: Sequence[SegmentFile] = ()) -> list[SegmentFile]:
    """Return those files that can be opened, with their checksums and what the strict loader says of them."""
    opened = []
    for file in found:
        try:
            file.crc, file.bytes = file_crc(file.path, follow=file.listed is not None)
        except HTMError as error:
            file.structure = str(error)
            file.openable = False
        else:
            opened.append(file)
    asked = [file for file in opened if ask_all or not file.vouched_for]
    said = {file.path: file.structure for file in known if file.structure is not None}
    said |= loader.structures([file.path for file in asked if file.path not in said])
    for file in asked:
        file.structure = said[file.path]
    return found


def examine(file: SegmentFile, marker: recovery.Marker, take: Callable[[Piece], None]) -> None:
    """Read a file's rows, give them to `take` piece by piece, and fill the file's attributes.

    Parameters
    ----------
    file : SegmentFile
        The file.
    marker : Marker
        Of the store.
    take : callable
        Gets every piece; again and otherwise, where the catalog and the file disagree on where the rows are.
    """
    if not file.openable:
        return
    best = None
    if (listed := _shape_as_listed(file.listed, marker.dimension)) is not None:
        best = _read(file, listed, marker.shards, take)
        if best.fits and _is_as_listed(file, best):
            _fill(file, best, marker)
            return
    if file.structure is None:
        file.structure = loader.structures([file.path])[file.path]
    found = file.structure
    if isinstance(found, Structure) and found.dimension == marker.dimension:
        shape = Shape(found.rows, found.dimension, found.layout)
        reading = _read(file, shape, marker.shards, take) if shape != listed else best
        if best is None or (reading is not None and reading.worth >= best.worth):
            best = reading
    if best is not None:
        _fill(file, best, marker)


class _Reading(NamedTuple):
    """A file's rows as they are if its datasets lie where `shape` says."""

    shape: Shape
    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    sound: NDArray[np.bool_]
    right_norms: bool
    right_shards: bool

    @property
    def fits(self) -> bool:
        """Whether every byte that matters is what its checksum says."""
        return bool(self.sound.all()) and self.right_norms and self.right_shards

    @property
    def ends(self) -> tuple[int, int]:
        return int(self.ids[0]), int(self.ids[-1])

    @property
    def worth(self) -> tuple[int, bool]:
        return int(self.sound.sum()), self.right_norms


def _read(file: SegmentFile, shape: Shape, shards: int, take: Callable[[Piece], None]) -> _Reading:
    pieces = []
    right_norms = right_shards = True
    with Fragments(file.path, shape, follow=file.listed is not None) as fragments:
        for piece in fragments.pieces():
            take(piece)
            pieces.append((piece.ids, piece.crcs, piece.sound))
            right_norms &= piece.right_norms
            keys = (key for key, fits in zip(piece.keys, piece.sound.tolist(), strict=True) if fits)
            right_shards &= all(shard_of(key, shards) == file.shard for key in keys)
    ids, crcs, sound = (np.concatenate(columns) for columns in zip(*pieces, strict=True))
    return _Reading(shape, ids, crcs, sound, right_norms, right_shards)


def _fill(file: SegmentFile, reading: _Reading, marker: recovery.Marker) -> None:
    file.shape, file.ids, file.crcs, file.sound = reading[:4]
    found = file.structure
    told = isinstance(found, Structure) and (found.rows, found.layout) == (reading.shape.rows, reading.shape.layout)
    ours = isinstance(found, Structure) and (found.uuid, found.shard) == (marker.uuid, file.shard)
    # Rows that were damaged when a file was written stay damaged in it: it is kept for the others.
    keep = told or (reading.fits and _is_as_listed(file, reading)) if file.vouched_for else reading.fits and told and ours
    if keep and reading.right_shards and np.all(file.ids[1:] > file.ids[:-1]):
        shape = reading.shape
        file.segment = Segment(0, file.shard, file.path.name, shape.rows, *reading.ends, shape.layout, file.bytes, file.crc)


def _is_as_listed(file: SegmentFile, reading: _Reading) -> bool:
    row = file.listed
    return row is not None and file.vouched_for and reading.ends == (row.first_id, row.last_id)


def _shape_as_listed(row: Segment | None, dimension: int) -> Shape | None:
    """Return where the catalog says that a file's rows are; None if there can be no such place."""
    if row is None or row.layout.keys() != TYPES.keys():
        return None
    # The file may have been cut off, but it never had more bytes than the catalog says.
    possible = 0 < row.rows * 4 * dimension <= row.bytes <= loader.MOST_BYTES
    if not possible or not all(0 <= offset <= row.bytes for offset in row.layout.values()):
        return None
    return Shape(row.rows, dimension, row.layout)
