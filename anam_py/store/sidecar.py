"""Files of codes beside segments: written whole, mapped, and told apart from what is none.

Such a file is HDF5, like a segment, but for a header in front that says whose codes it has and
where they lie: so that mapping them needs neither HDF5 nor a column in the catalog. Whatever is
wrong with one, searches go on without it, and it is made again.
"""

import json
import mmap
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py.exceptions import HTMError
from anam_py.store import files, hdf5
from anam_py.store.rows import Derived, Segment

HEADER_BYTES = 4_096
_MAGIC = "anam-codes"
_FORMAT = 1
# The header ends in the checksum of all before it, and a line feed.
_CHECK_BYTES = 9


class Rotation(NamedTuple):
    """A plan by which segments are coded, as the catalog has it.

    Attributes
    ----------
    id : int
    rows : int
        How many rows the store held when it was chosen.
    crc : int
        Of the form in which it is stored.
    plan : Plan or None
        None if codes would not have been worth their while.
    """

    id: int
    rows: int
    crc: int
    plan: _core.Plan | None


class Sidecar:
    """A segment's codes as read-only arrays over a memory map, which outlives the file's name.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    derived : Derived
        What the catalog says of it.
    segment : Segment
        Whose codes they are.
    rotation : Rotation
        By which plan.
    uuid : str
        The store's.

    Raises
    ------
    FileNotFoundError
        If the file is not there.
    HTMError
        If it does not hold these codes, or cannot be read; says why, and leaves it to others to name the file.
    """

    __slots__ = ("_map", "codes", "derived", "path")

    def __init__(self, path: Path, derived: Derived, segment: Segment, rotation: Rotation, uuid: str) -> None:
        self.path = path
        self.derived = derived
        self._map = _map(path)
        header = _header(self._map[:HEADER_BYTES])
        expected = _identity(segment, rotation, uuid)
        if strange := [name for name, value in expected.items() if header.get(name) != value]:
            raise HTMError(f"it does not hold the codes that the catalog lists ({', '.join(strange)} differ)")
        if header.get("bytes") != self.bytes:
            raise HTMError(f"it has {self.bytes} bytes, its header says {header.get('bytes')!r}")
        layout, plan = header.get("layout"), rotation.plan
        if plan is None:
            raise HTMError(f"nothing is coded by rotation {rotation.id}")
        try:
            datasets = _core.code_layout(plan, segment.rows).items()
            arrays = {name: self._array(layout, name, shape, np.dtype(dtype)) for name, (shape, dtype) in datasets}
            self.codes = _core.Codes.of(plan, arrays)
        except (ValueError, TypeError, KeyError) as error:
            raise HTMError(f"its codes cannot be where its header says ({error})") from error

    @property
    def bytes(self) -> int:
        """The size of the file."""
        return len(self._map)

    def crc(self) -> int:
        """Return the CRC-32 of the whole file."""
        return zlib.crc32(self._map)

    def _array(self, layout: Any, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        offset, count = layout[name], int(np.prod(shape))
        if type(offset) is not int or offset < HEADER_BYTES or offset % hdf5.ALIGNMENT:
            raise ValueError(f"{name} at {offset!r}")
        if offset + count * dtype.itemsize > self.bytes:
            raise ValueError(f"{name} ends behind the file's end")
        return np.frombuffer(self._map, dtype, count, offset).reshape(shape)


def name_of(segment: Segment, rotation: Rotation) -> str:
    """Return the name of the file that holds a segment's codes."""
    return f"{segment.name.removesuffix('.h5')}.codes-{rotation.id}.h5"


def write(folder: Path, segment: Segment, rotation: Rotation, uuid: str, arrays: Mapping[str, NDArray[Any]]) -> Sidecar:
    """Write a segment's codes to their file, and map it.

    Parameters
    ----------
    folder : pathlib.Path
        Where the segment lies.
    segment : Segment
        Whose codes they are.
    rotation : Rotation
        By which plan.
    uuid : str
        The store's.
    arrays : mapping of str to ndarray
        The codes.

    Raises
    ------
    HTMError
        If the file cannot be written; nothing is left behind.
    """
    identity = _identity(segment, rotation, uuid)
    attributes = {name: np.bytes_(value) if isinstance(value, str) else value for name, value in identity.items()}
    outline = hdf5.outline(attributes, {n: (array.shape, array.dtype.str) for n, array in arrays.items()}, HEADER_BYTES)
    header = {**identity, "bytes": outline.size, "layout": outline.layout}
    image = files.Summed(outline.image({name: [array] for name, array in arrays.items()}, _packed(header)))
    path = folder / name_of(segment, rotation)
    files.write_file(path, image, mode=0o400)
    derived = Derived(segment.id, rotation.id, path.name, image.crc)
    try:
        return Sidecar(path, derived, segment, rotation, uuid)
    except BaseException:
        files.remove(path)
        raise


def _identity(segment: Segment, rotation: Rotation, uuid: str) -> dict[str, str | int]:
    """Return what a file of codes must say of itself, so that no other is taken for it."""
    return {
        "magic": _MAGIC,
        "format": _FORMAT,
        "uuid": uuid,
        "segment": segment.name,
        "segment_crc": segment.crc,
        "rows": segment.rows,
        "rotation": rotation.id,
        "rotation_crc": rotation.crc,
    }


def _packed(header: dict[str, Any]) -> bytes:
    body = json.dumps(header).encode().ljust(HEADER_BYTES - _CHECK_BYTES)
    return body + b"%08x\n" % zlib.crc32(body)


def _header(data: bytes) -> dict[str, Any]:
    body, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if len(data) != HEADER_BYTES or check != b"%08x\n" % zlib.crc32(body):
        raise HTMError("it has no header of ours, or a damaged one")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTMError(f"its header is none ({error!r})") from error
    return found if isinstance(found, dict) else {}


def _map(path: Path) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))  # it may be a pipe
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size < HEADER_BYTES:
                raise HTMError("it is no file, or too short a one")
            return mmap.mmap(descriptor, status.st_size, access=mmap.ACCESS_READ)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise HTMError(f"it cannot be read: {error.strerror}") from error
