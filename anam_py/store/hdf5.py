"""HDF5 without its input and output: the bytes of a file around its data, and where the data goes.

The only importer of h5py, which loads when the first segment is written. libhdf5 never touches
the disk: after a full disk it cannot close its file, and the process dies. It writes a file's
structure to memory, and leaves room for the data, which others write.
"""

import contextlib
import importlib
import io
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import HTMError
from anam_py.store.threads import interpreter_ends

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Outline:
    """A file but for its data.

    Attributes
    ----------
    structure : list of (int, bytes)
        HDF5's own bytes with their offsets, in the order in which it wrote them.
    layout : dict of str to int
        Offset of each dataset's data, of the length that its shape and type ask for.
    types : dict of str to str
        The type of each dataset.
    size : int
        Bytes of the whole file.
    """

    structure: list[tuple[int, bytes]]
    layout: dict[str, int]
    types: dict[str, str]
    size: int

    def image(self, datasets: Mapping[str, Iterable[NDArray[Any]]], header: bytes = b"") -> Iterator[bytes | memoryview]:
        """Yield the file's bytes in order, each dataset's from arrays that are its rows piece by piece."""
        yield header
        at = len(header)
        for name, offset in sorted(self.layout.items(), key=lambda item: item[1]):
            yield self.between(at, offset)
            at = offset
            for array in datasets[name]:
                data = np.ascontiguousarray(array, self.types[name]).data.cast("B")
                yield data
                at += len(data)
        yield self.between(at, self.size)

    def between(self, start: int, stop: int) -> bytes:
        """Return the bytes of a range that holds no data."""
        found = bytearray(stop - start)
        for offset, part in self.structure:
            first, last = max(offset, start), min(offset + len(part), stop)
            if first < last:
                found[first - start : last - start] = part[first - offset : last - offset]
        return bytes(found)


def outline(attributes: Mapping[str, Any], datasets: Mapping[str, tuple[tuple[int, ...], str]], header_bytes: int = 0) -> Outline:
    """Return the outline of a file with contiguous, unfiltered, aligned root datasets.

    Parameters
    ----------
    attributes : mapping of str to scalar
        Attributes of the root; text as ``np.bytes_``, since h5py writes a str with variable length.
    datasets : mapping of str to (shape, dtype)
        The datasets, in the order in which they lie in the file.
    header_bytes : int
        How much room to leave before the file's own bytes: what HDF5 calls a user block, 512 or a power of two above.

    Returns
    -------
    Outline
        What to write beside the data, and where.

    Raises
    ------
    HTMError
        If HDF5 cannot make such a file.
    """
    h5py = _loaded()
    memory = _Memory()
    try:
        with h5py.File(
            memory, "w", alignment_threshold=1, alignment_interval=ALIGNMENT, userblock_size=header_bytes or None
        ) as file:
            file.attrs.update(attributes)
            created = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            created.set_layout(h5py.h5d.CONTIGUOUS)
            created.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            created.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            created.set_obj_track_times(False)  # the same data gives the same file
            layout = {}
            for name, (shape, dtype) in datasets.items():
                kind = h5py.h5t.py_create(np.dtype(dtype))
                dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create_simple(shape), created)
                layout[name] = dataset.get_offset()
    except (OSError, RuntimeError, ValueError) as error:
        shapes = {name: shape for name, (shape, _) in datasets.items()}
        raise HTMError(f"cannot outline a file of {shapes}: {error}") from error
    return Outline(memory.written, layout, {name: dtype for name, (_, dtype) in datasets.items()}, memory.size)


class _Memory(io.RawIOBase):
    """A file that keeps what was written to it, and is zero elsewhere, however large that is."""

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []
        self.size = 0
        self._at = 0

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def write(self, data: "ReadableBuffer", /) -> int:
        part = bytes(data)
        self.written.append((self._at, part))
        self._at += len(part)
        self.size = max(self.size, self._at)
        return len(part)

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = Outline(self.written, {}, {}, self.size).between(self._at, self._at + len(view))
        self._at += len(view)
        return len(view)

    def truncate(self, size: int | None = None, /) -> int:
        self.size = self._at if size is None else size
        return self.size


def _loaded() -> ModuleType:
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
