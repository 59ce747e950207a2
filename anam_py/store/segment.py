"""Segments: immutable HDF5 files of rows, written whole and then only mapped.

The columns are written as they lie in memory, between the bytes that make the file HDF5. Reading
needs no HDF5 either: the catalog knows where in the file each dataset begins.
"""

import mmap
import os
import secrets
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py.exceptions import HTMError
from anam_py.store import files, hdf5
from anam_py.store.rows import Entry, Segment

MAGIC = "anam-segment"
FORMAT = 1
# What a row takes beside its vector, key and metadata.
_ROW_BYTES = 64
# So few that copies of them hardly count.
_ROWS_AT_ONCE = 2048

TYPES = {
    "ids": "<i8",
    "vectors": "<f4",
    "norms": "<f8",
    "crc": "<u4",
    "mcrc": "<u4",
    "versions": "<i8",
    "timestamps": "<f8",
    "key_ends": "<i8",
    "metadata_ends": "<i8",
    "keys": "|u1",
    "metadata": "|u1",
}


@dataclass(frozen=True, slots=True)
class Strings:
    """Byte strings end to end: string i is ``data[ends[i - 1]:ends[i]]``."""

    data: NDArray[np.uint8]
    ends: NDArray[np.int64]

    @classmethod
    def of(cls, strings: Sequence[str]) -> Self:
        encoded = [string.encode("utf-8") for string in strings]
        ends = np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)))
        return cls(np.frombuffer(b"".join(encoded), np.uint8), ends)

    def __getitem__(self, index: int) -> bytes:
        start = int(self.ends[index - 1]) if index else 0
        return self.data[start : int(self.ends[index])].tobytes()

    def take(self, rows: NDArray[np.intp]) -> Self:
        """Return the strings of these rows, which ascend."""
        if len(rows) == len(self.ends):
            return self
        return self.joined([self._taken(piece) for piece in pieces(rows)])  # eight bytes of index a byte, for a while

    def _taken(self, rows: NDArray[np.intp]) -> Self:
        starts = np.concatenate(([0], self.ends[:-1]))[rows]
        lengths = self.ends[rows] - starts
        ends = np.cumsum(lengths)
        # Position of every byte: its string's start, plus how far into the string it is.
        source = np.arange(int(ends[-1])) + np.repeat(starts - (ends - lengths), lengths)
        return type(self)(self.data[source], ends)

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        before = np.cumsum([0] + [len(part.data) for part in parts[:-1]])
        return cls(
            np.concatenate([part.data for part in parts]),
            np.concatenate([part.ends + offset for part, offset in zip(parts, before, strict=True)]),
        )


@dataclass(frozen=True, slots=True)
class Columns:
    """The rows of one segment, ids ascending. `vectors` comes in pieces, and can be read once."""

    ids: NDArray[np.int64]
    vectors: Iterable[NDArray[np.float32]]
    norms: NDArray[np.float64]
    crc: NDArray[np.uint32]
    mcrc: NDArray[np.uint32]
    versions: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    keys: Strings
    metadata: Strings

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every dataset but the vectors."""
        return {
            "ids": self.ids,
            "norms": self.norms,
            "crc": self.crc,
            "mcrc": self.mcrc,
            "versions": self.versions,
            "timestamps": self.timestamps,
            "key_ends": self.keys.ends,
            "metadata_ends": self.metadata.ends,
            "keys": self.keys.data,
            "metadata": self.metadata.data,
        }

    @classmethod
    def of(cls, entries: Sequence[Entry], vectors: Iterable[NDArray[np.float32]], norms: NDArray[np.float64]) -> Self:
        """Return the columns of entries that ascend by id, with their vectors and norms."""
        count = len(entries)
        return cls(
            ids=np.fromiter((entry.id for entry in entries), np.int64, count),
            vectors=vectors,
            norms=norms,
            crc=np.fromiter((entry.crc for entry in entries), np.uint32, count),
            mcrc=np.fromiter((entry.mcrc for entry in entries), np.uint32, count),
            versions=np.fromiter((entry.version for entry in entries), np.int64, count),
            timestamps=np.fromiter((entry.timestamp for entry in entries), np.float64, count),
            keys=Strings.of([entry.key for entry in entries]),
            metadata=Strings.of([entry.metadata for entry in entries]),
        )


def write(
    folder: Path,
    uuid: str,
    shard: int,
    dimension: int,
    columns: Columns,
    replaces: Sequence[str] = (),
) -> Segment:
    """Write rows to a new segment file; returns what the catalog must list (its id is 0).

    `replaces` names the segments that this one was merged from, for whoever has to make
    sense of the folder without its catalog.

    Raises
    ------
    HTMError
        If the file cannot be written; nothing is left behind.
    """
    last_id = int(columns.ids[-1])
    rows = len(columns.ids)
    name = f"seg-{last_id}-{secrets.token_hex(4)}.h5"
    attributes = {
        "magic": np.bytes_(MAGIC),
        "format": FORMAT,
        "uuid": np.bytes_(uuid),
        "shard": shard,
        "rows": rows,
        "dimension": dimension,
        "replaces": np.bytes_(",".join(replaces) or "-"),
    }
    arrays = columns.arrays()
    shapes = {name: (len(array),) for name, array in arrays.items()}
    outline = hdf5.outline(attributes, {n: (shape, TYPES[n]) for n, shape in {"vectors": (rows, dimension), **shapes}.items()})
    image = files.Summed(outline.image({"vectors": columns.vectors, **{n: [array] for n, array in arrays.items()}}))
    files.make_folder(folder)
    files.write_file(folder / name, image, mode=0o400)
    return Segment(
        id=0,
        shard=shard,
        name=name,
        rows=rows,
        first_id=int(columns.ids[0]),
        last_id=last_id,
        layout=outline.layout,
        bytes=outline.size,
        crc=image.crc,
    )


def shard_writes(
    folder: Path,
    uuid: str,
    entries: Sequence[Entry],
    vectors: NDArray[np.float32],
    norms: NDArray[np.float64],
    *,
    most_bytes: int,
) -> list[Callable[[], tuple[Path, Segment]]]:
    """Return functions that write rows to the segments of their shards, each one file.

    What they return is the file, and what the catalog must list. They raise HTMError if it cannot be written.

    Parameters
    ----------
    folder : pathlib.Path
        The store's.
    uuid : str
        The store's.
    entries : sequence of Entry
        Ascending by id.
    vectors, norms : ndarray of shape (n, D) and (n,)
        Row i belongs to ``entries[i]``.
    most_bytes : int
        About how large a segment may get.
    """
    dimension = vectors.shape[1]

    def written(shard: int, part: NDArray[np.intp]) -> tuple[Path, Segment]:
        of_rows = (vectors[piece] for piece in pieces(part))
        columns = Columns.of([entries[i] for i in part.tolist()], of_rows, norms[part])
        row = write(shard_folder(folder, shard), uuid, shard, dimension, columns)
        return shard_folder(folder, shard) / row.name, row

    shards = np.fromiter((entry.shard for entry in entries), np.int64, len(entries))
    sizes = np.fromiter((len(entry.key) + len(entry.metadata) for entry in entries), np.int64, len(entries))
    sizes += 4 * dimension + _ROW_BYTES
    writes: list[Callable[[], tuple[Path, Segment]]] = []
    for shard in np.unique(shards).tolist():
        rows = np.flatnonzero(shards == shard)
        full = np.cumsum(sizes[rows]) // most_bytes
        writes += [partial(written, shard, part) for part in np.split(rows, np.flatnonzero(np.diff(full)) + 1)]
    return writes


def shard_folder(folder: Path, shard: int) -> Path:
    """Return where a shard's segments lie."""
    return folder / f"shard-{shard:04d}"


def pieces(rows: NDArray[np.intp]) -> Iterator[NDArray[np.intp]]:
    """Yield rows in order, so few at a time that copies of them hardly count."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]


class MappedSegment:
    """A live segment's datasets as read-only arrays over a memory map.

    The map outlives the file's name: a segment that is merged away stays readable for as long
    as somebody holds one of its arrays.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    segment : Segment
        What the catalog says of it.
    dimension : int
        Of the vectors.

    Raises
    ------
    FileNotFoundError
        If the file is not there (a merge may have replaced it).
    HTMError
        If it is not what the catalog says, or cannot be read.
    """

    __slots__ = ("_map", "ids", "norms", "path", "segment", "vectors")

    def __init__(self, path: Path, segment: Segment, dimension: int) -> None:
        self.path = path
        self.segment = segment
        self._map = _map(path, segment.bytes)
        self.ids: NDArray[np.int64] = self._array("ids", segment.rows)
        self.norms: NDArray[np.float64] = self._array("norms", segment.rows)
        if (self.ids[0], self.ids[-1]) != (segment.first_id, segment.last_id):
            raise HTMError(f"segment {str(path)!r} does not hold the ids that the catalog says, it is damaged")
        flat: NDArray[np.float32] = self._array("vectors", segment.rows * dimension)
        self.vectors = flat.reshape(segment.rows, dimension)

    def columns(self) -> Columns:
        """Return every column, as views of the map."""
        rows = self.segment.rows
        key_ends, metadata_ends = self._array("key_ends", rows), self._array("metadata_ends", rows)
        return Columns(
            ids=self.ids,
            vectors=[self.vectors],
            norms=self.norms,
            crc=self._array("crc", rows),
            mcrc=self._array("mcrc", rows),
            versions=self._array("versions", rows),
            timestamps=self._array("timestamps", rows),
            keys=Strings(self._array("keys", int(key_ends[-1])), key_ends),
            metadata=Strings(self._array("metadata", int(metadata_ends[-1])), metadata_ends),
        )

    def crc(self) -> int:
        """Return the CRC-32 of the whole file."""
        return zlib.crc32(self._map)

    def is_sound(self) -> bool:
        """Return whether every vector has its checksum."""
        return np.array_equal(_core.row_crcs(self.vectors), self._array("crc", self.segment.rows))

    def let_go(self) -> None:
        """Have the pages of the map no longer count as this process's memory; whoever touches one gets it back."""
        if hasattr(mmap, "MADV_DONTNEED"):
            self._map.madvise(mmap.MADV_DONTNEED)

    def _array(self, name: str, count: int) -> NDArray[Any]:
        dtype = np.dtype(TYPES[name])
        offset = self.segment.layout.get(name, -1)
        if offset < 0 or count < 1 or offset + count * dtype.itemsize > self.segment.bytes:
            raise HTMError(f"segment {str(self.path)!r}: the catalog's layout of {name!r} lies outside the file")
        return np.frombuffer(self._map, dtype, count, offset)


def _map(path: Path, size: int) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))  # it may be a pipe
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.translated(path, "read", error) from error
    try:
        # Touching a map beyond its file's end kills the process, so a short file is never mapped.
        found = os.fstat(descriptor).st_size
        if found != size:
            raise HTMError(f"segment {str(path)!r} has {found} bytes, the catalog says {size}")
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)
