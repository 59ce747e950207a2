"""Segments: immutable HDF5 files of rows, written whole and then only mapped.

The only importer of h5py, which loads when the first segment is written. HDF5 never touches
the disk: after a full disk it cannot close its file, and the process dies. The image is built
in memory, and the bytes are ours to write. Reading needs no HDF5 either: the catalog knows
where in the file each dataset begins.
"""

import contextlib
import importlib
import mmap
import os
import secrets
import sys
import threading
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import HTMError
from anam_py.store import files
from anam_py.store.rows import Entry, Segment

MAGIC = "anam-segment"
FORMAT = 1
_ALIGNMENT = 64
# HDF5's own structures for nine datasets and six attributes; only sizes the first allocation.
_OVERHEAD_BYTES = 64 << 10
# What a row takes beside its vector, key and metadata.
_ROW_BYTES = 64
# So few that copies of them hardly count.
_ROWS_AT_ONCE = 2048

_TYPES = {
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
        """Return the strings of these rows, in this order."""
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
    name = f"seg-{last_id}-{secrets.token_hex(4)}.h5"
    try:
        image, layout = _image(uuid, shard, dimension, columns, replaces)
    except (OSError, RuntimeError, ValueError) as error:  # h5py's
        raise HTMError(f"cannot build the image of {str(folder / name)!r}: {error}") from error
    files.make_folder(folder)
    files.write_file(folder / name, [image], mode=0o400)
    return Segment(
        id=0,
        shard=shard,
        name=name,
        rows=len(columns.ids),
        first_id=int(columns.ids[0]),
        last_id=last_id,
        layout=layout,
        bytes=len(image),
        crc=zlib.crc32(image),
    )


def write_shards(
    folder: Path,
    uuid: str,
    entries: Sequence[Entry],
    vectors: NDArray[np.float32],
    norms: NDArray[np.float64],
    *,
    most_bytes: int,
) -> Iterator[tuple[Path, Segment]]:
    """Write rows to the segments of their shards; yields each file with what the catalog must list.

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

    Raises
    ------
    HTMError
        If a file cannot be written; those before it are there.
    """
    dimension = vectors.shape[1]
    shards = np.array([entry.shard for entry in entries])
    sizes = np.array([4 * dimension + len(entry.key) + len(entry.metadata) + _ROW_BYTES for entry in entries])
    for shard in np.unique(shards).tolist():
        rows = np.flatnonzero(shards == shard)
        full = np.cumsum(sizes[rows]) // most_bytes
        for part in np.split(rows, np.flatnonzero(np.diff(full)) + 1):
            pieces_ = (vectors[piece] for piece in pieces(part))
            columns = Columns.of([entries[i] for i in part], pieces_, norms[part])
            row = write(shard_folder(folder, shard), uuid, shard, dimension, columns)
            yield shard_folder(folder, shard) / row.name, row


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
            raise HTMError(
                f"segment {str(path)!r} does not hold the ids that the catalog says, it is damaged; "
                "restore a copy of the folder, or store anew"
            )
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
        crcs: NDArray[np.uint32] = self._array("crc", self.segment.rows)
        return all(zlib.crc32(vector.data) == crc for vector, crc in zip(self.vectors, crcs.tolist(), strict=True))

    def _array(self, name: str, count: int) -> NDArray[Any]:
        dtype = np.dtype(_TYPES[name])
        offset = self.segment.layout.get(name, -1)
        if offset < 0 or count < 1 or offset + count * dtype.itemsize > self.segment.bytes:
            raise HTMError(
                f"segment {str(self.path)!r}: the catalog's layout of {name!r} lies outside the file; "
                "restore a copy of the folder, or store anew"
            )
        return np.frombuffer(self._map, dtype, count, offset)


def _map(path: Path, size: int) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.translated(path, "read", error) from error
    try:
        # Touching a map beyond its file's end kills the process, so a short file is never mapped.
        found = os.fstat(descriptor).st_size
        if found != size:
            raise HTMError(
                f"segment {str(path)!r} has {found} bytes, the catalog says {size}; restore a copy of the folder, or store anew"
            )
        return mmap.mmap(descriptor, size, access=mmap.ACCESS_READ)
    finally:
        os.close(descriptor)


def interpreter_ends() -> bool:
    """Return whether nothing of the program runs any more but its exit handlers."""
    return not any(thread.is_alive() and not thread.daemon for thread in threading.enumerate())


def _hdf5() -> ModuleType:
    """Return h5py, which takes 150 ms to load; only writing a segment needs it.

    Loaded too late for its exit handler to run, it crashes the process as that ends. So it is not loaded any more then,
    and before that by a thread that the interpreter waits for.
    """
    if "h5py" not in sys.modules:
        if interpreter_ends():
            raise HTMError("the interpreter is ending, no segment can be written any more; nothing is lost")
        loading = threading.Thread(target=importlib.import_module, args=("h5py",), daemon=False)
        with contextlib.suppress(RuntimeError):  # the main thread has ended; whoever waits for this one keeps the rest alive
            loading.start()
            loading.join()
    return importlib.import_module("h5py")


def _image(uuid: str, shard: int, dimension: int, columns: Columns, replaces: Sequence[str]) -> tuple[bytes, dict[str, int]]:
    h5py = _hdf5()
    rows = len(columns.ids)
    arrays: dict[str, NDArray[Any]] = {
        "ids": columns.ids,
        "norms": columns.norms,
        "crc": columns.crc,
        "mcrc": columns.mcrc,
        "versions": columns.versions,
        "timestamps": columns.timestamps,
        "key_ends": columns.keys.ends,
        "metadata_ends": columns.metadata.ends,
        "keys": columns.keys.data,
        "metadata": columns.metadata.data,
    }
    image = secrets.token_hex(8)  # HDF5 takes two files in memory of one name for the same file
    size = 4 * rows * dimension + sum(array.nbytes for array in arrays.values()) + _OVERHEAD_BYTES
    with h5py.File(
        image,
        "w",
        driver="core",
        backing_store=False,
        block_size=size,
        alignment_threshold=1,
        alignment_interval=_ALIGNMENT,
    ) as file:
        # h5py writes a str with variable length, which a strict reader refuses.
        file.attrs.update(
            magic=np.bytes_(MAGIC),
            format=FORMAT,
            uuid=np.bytes_(uuid),
            shard=shard,
            rows=rows,
            dimension=dimension,
            replaces=np.bytes_(",".join(replaces) or "-"),
        )
        vectors = file.create_dataset("vectors", (rows, dimension), _TYPES["vectors"])
        start = 0
        for part in columns.vectors:
            vectors[start : start + len(part)] = part
            start += len(part)
        for name, array in arrays.items():
            file.create_dataset(name, data=array, dtype=_TYPES[name])
        file.flush()
        layout = {name: file[name].id.get_offset() for name in _TYPES}
        return file.id.get_file_image(), layout
