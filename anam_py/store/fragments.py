"""Reading what can still be read of a segment file: row by row, each with its checksums.

Nothing is mapped: a file may be shorter than it was, or lie on a disk that fails. What cannot be read
counts as zeros, which no checksum fits.
"""

import os
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py._json import MAX_METADATA_BYTES
from anam_py._validation import MAX_KEY_BYTES
from anam_py.exceptions import HTMError
from anam_py.store import files
from anam_py.store.records import metadata_crc
from anam_py.store.segment import TYPES

_ROWS_AT_ONCE = 4_096
_BYTES_AT_ONCE = 16 << 20
_SECTOR_BYTES = 4_096
_ENDS = {"keys": "key_ends", "metadata": "metadata_ends"}


class Shape(NamedTuple):
    """What has to be known of a file to find its rows; `layout` maps a dataset to its byte offset."""

    rows: int
    dimension: int
    layout: dict[str, int]


class Piece(NamedTuple):
    """Neighbouring rows of a file: `crcs` are those that the vectors have, `sound` says whose checksums all fit.

    Of an unsound row nothing but its vector's checksum can be relied on.
    """

    ids: NDArray[np.int64]
    crcs: NDArray[np.uint32]
    sound: NDArray[np.bool_]
    right_norms: bool
    keys: list[str]
    versions: NDArray[np.int64]
    timestamps: NDArray[np.float64]
    metadata: list[str]
    mcrcs: NDArray[np.uint32]


class Fragments:
    """A segment file, open for reading.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    shape : Shape
        Where its rows are.
    follow : bool
        Whether it may be a link.

    Raises
    ------
    HTMError
        If it cannot be opened, or is no regular file.
    """

    def __init__(self, path: Path, shape: Shape, *, follow: bool = False) -> None:
        self._shape = shape
        self._file = open_regular(path, follow=follow)
        self._size = os.fstat(self._file.fileno()).st_size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def pieces(self) -> Iterator[Piece]:
        """Yield all rows in order."""
        step = max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // (4 * self._shape.dimension)))
        for start in range(0, self._shape.rows, step):
            yield self._piece(start, min(start + step, self._shape.rows))

    def vectors(self, rows: NDArray[np.intp]) -> NDArray[np.float32]:
        """Return the vectors of rows that ascend."""
        found = np.empty((len(rows), self._shape.dimension), np.float32)
        runs = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(rows) != 1) + 1)
        for run in runs:
            found[run] = self._vectors(int(rows[run[0]]), int(rows[run[-1]]) + 1)
        return found

    def _piece(self, start: int, stop: int) -> Piece:
        vectors = self._vectors(start, stop)
        crcs = _core.row_crcs(vectors)
        ids, versions = self._numbers("ids", start, stop), self._numbers("versions", start, stop)
        timestamps, mcrcs = self._numbers("timestamps", start, stop), self._numbers("mcrc", start, stop)
        keys = self._strings("keys", start, stop, MAX_KEY_BYTES)
        metadata = self._strings("metadata", start, stop, 2 * MAX_METADATA_BYTES)
        norms = _core.norms(vectors)
        rows = zip(ids.tolist(), keys, versions.tolist(), timestamps.tolist(), metadata, strict=True)
        sound = np.fromiter((_metadata_crc(*row) for row in rows), np.int64, len(ids)) == mcrcs
        # What no store has taken in, however well its checksums fit, is none of its rows.
        sound &= (crcs == self._numbers("crc", start, stop)) & np.isfinite(norms) & (norms > 0) & (ids > 0)
        return Piece(
            ids=ids,
            crcs=crcs,
            sound=sound,
            right_norms=norms.tobytes() == self._numbers("norms", start, stop).tobytes(),
            keys=keys,
            versions=versions,
            timestamps=timestamps,
            metadata=metadata,
            mcrcs=mcrcs,
        )

    def _vectors(self, start: int, stop: int) -> NDArray[np.float32]:
        width = self._shape.dimension
        flat: NDArray[np.float32] = self._numbers("vectors", start * width, stop * width)
        return flat.reshape(stop - start, width)

    def _numbers(self, name: str, start: int, stop: int) -> NDArray[Any]:
        dtype = np.dtype(TYPES[name])
        data = self._read(self._shape.layout[name] + start * dtype.itemsize, (stop - start) * dtype.itemsize)
        return np.frombuffer(data, dtype)

    def _strings(self, name: str, start: int, stop: int, longest: int) -> list[str]:
        """Return the strings of rows; an empty one where its place is none."""
        before = self._numbers(_ENDS[name], start - 1, start) if start else np.zeros(1, np.int64)
        ends = np.concatenate([before, self._numbers(_ENDS[name], start, stop)])
        first, last = ends[:-1], ends[1:]
        fits = (first >= 0) & (last >= first) & (last <= self._size) & (last - np.minimum(first, last) <= longest)
        place = self._shape.layout[name]
        if fits.all():
            data = self._read(place + int(first[0]), int(last[-1] - first[0]))
            bounds = zip((first - first[0]).tolist(), (last - first[0]).tolist(), strict=True)
            strings = [data[a:b] for a, b in bounds]
        else:
            rows = zip(first.tolist(), last.tolist(), fits.tolist(), strict=True)
            strings = [self._read(place + a, b - a) if fit else b"" for a, b, fit in rows]
        return [string.decode("utf-8", "surrogateescape") for string in strings]

    def _read(self, offset: int, count: int) -> bytes:
        return read_at(self._file, offset, count)


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Return so many bytes of a file, zeros where there are none or none can be read."""
    try:
        file.seek(offset)
        data = file.read(count)
    except OSError:
        if count <= _SECTOR_BYTES:
            return bytes(count)
        end = offset + count
        data = b"".join(read_at(file, at, min(_SECTOR_BYTES, end - at)) for at in range(offset, end, _SECTOR_BYTES))
    return data + bytes(count - len(data))


def copy_readable(source: Path, target: Path) -> None:
    """Copy a file, with zeros for what cannot be read of it, and sync the copy."""
    with open_regular(source, follow=True) as file:
        size = os.fstat(file.fileno()).st_size
        pieces = ((at, min(_BYTES_AT_ONCE, size - at)) for at in range(0, size, _BYTES_AT_ONCE))
        files.write_file(target, (read_at(file, at, count) for at, count in pieces))


def open_regular(path: Path, *, follow: bool) -> BinaryIO:
    """Open a file for reading, if it is one, or `follow` a link to one; HTMError if not, a pipe would never end."""
    try:
        descriptor = os.open(path, os.O_RDONLY | _FLAGS | (0 if follow else getattr(os, "O_NOFOLLOW", 0)))
    except OSError as error:
        raise files.translated(path, "read", error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise HTMError(f"{str(path)!r} is not a file")
    return os.fdopen(descriptor, "rb")


def file_crc(path: Path, *, follow: bool) -> tuple[int, int]:
    """Return the CRC-32 of a file's readable bytes, and how many bytes it has."""
    crc = 0
    with open_regular(path, follow=follow) as file:
        try:
            while part := file.read(_BYTES_AT_ONCE):
                crc = zlib.crc32(part, crc)
        except OSError:
            crc = -1
        return crc, os.fstat(file.fileno()).st_size


_FLAGS = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def _metadata_crc(entry_id: int, key: str, version: int, timestamp: float, metadata: str) -> int:
    try:
        return metadata_crc(entry_id, key, version, timestamp, metadata)
    except UnicodeEncodeError:
        return -1
