"""Reading the structure of an HDF5 file that nobody vouches for.

A hostile file can make libhdf5 open other files, ask for any amount of memory, or crash it. So this runs in
a process of its own, which may open no file but the one that it reads, has bounds for memory and time, and
refuses all but what a segment is made of. It says where the datasets lie; reading them takes no HDF5.
"""

import contextlib
import io
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from anam_py.exceptions import HTMError
from anam_py.store import hdf5
from anam_py.store.segment import FORMAT, MAGIC, TYPES

# Segments are about half of this at most.
MOST_BYTES = 512 << 20
_MOST_ATTRIBUTE_BYTES = 64 << 10
# What the process may take beside what Python and libhdf5 take by themselves.
_MEMORY_BYTES = 512 << 20
_SECONDS = 20
_ATTRIBUTES = {"magic": str, "format": int, "uuid": str, "shard": int, "rows": int, "dimension": int, "replaces": str}


class Structure(NamedTuple):
    """What an HDF5 file says of itself; `layout` maps a dataset to its byte offset."""

    uuid: str
    shard: int
    rows: int
    dimension: int
    replaces: list[str]
    layout: dict[str, int]
    bytes: int


class Refused(Exception):
    """A file is not a segment, and why."""


def structures(paths: Sequence[Path]) -> dict[Path, Structure | str]:
    """Return the structure of each file, or why it was refused.

    Parameters
    ----------
    paths : sequence of pathlib.Path
        The files. None is opened by this process.

    Raises
    ------
    HTMError
        If no process can be started.
    """
    found: dict[Path, Structure | str] = {}
    left = list(paths)
    while left:
        lines, end = _asked(left)
        for path, line in zip(left, lines, strict=False):
            found[path] = _answer(line)
        if len(lines) < len(left):  # it ended while it was reading this one
            found[left[len(lines)]] = f"HDF5 could not read it ({end})"
        left = left[len(lines) + 1 :]
    return found


def _asked(paths: Sequence[Path]) -> tuple[list[bytes], str]:
    """Return a line for each file, up to the one at which the process ended, and how it ended."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "HDF5_PLUGIN_PRELOAD": "::",  # no plugins
        "OPENBLAS_NUM_THREADS": "1",  # whose threads would count as memory
        "OMP_NUM_THREADS": "1",
    }
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            [sys.executable, "-P", "-c", f"from {__name__} import serve; serve()"],
            input="".join(f"{json.dumps(str(path))}\n" for path in paths).encode(),
            capture_output=True,
            env=environment,
            timeout=_SECONDS * (len(paths) + 1),
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return (error.stdout or b"").split(b"\n")[:-1], "it took too long"
    except OSError as error:
        raise HTMError(f"cannot start {sys.executable!r} to read segments with: {error}; repair needs it") from error
    lines = done.stdout.split(b"\n")[:-1]
    if not lines and done.returncode == 1:
        raise HTMError(f"cannot read segments in another process: {done.stderr.decode(errors='replace').strip()[-500:]}")
    return lines, f"signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"


def _answer(line: bytes) -> Structure | str:
    answer = json.loads(line)
    return str(answer) if isinstance(answer, str) else Structure(**answer)


# ---- in the other process ----


def serve() -> None:
    """Answer for each path on the standard input, as JSON, with its structure or why it is refused."""
    _read_a_sound_one()
    _limit_process()
    for line in sys.stdin:
        _set_alarm(_SECONDS)
        try:
            answer: object = _structure(json.loads(line))._asdict()
        except (Refused, OSError, RuntimeError, ValueError, KeyError, TypeError, MemoryError) as error:
            answer = f"{error}" or type(error).__name__
        _set_alarm(0)
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()


def _read_a_sound_one() -> None:
    """Let h5py and Python load what they load at first use, before no file may be opened any more."""
    attributes = {"magic": np.bytes_(MAGIC), "format": FORMAT, "uuid": np.bytes_("-"), "replaces": np.bytes_("-")}
    attributes |= {"shard": 0, "rows": 1, "dimension": 1}
    shapes = {name: (1, 1) if name == "vectors" else (1,) for name in TYPES}
    outline = hdf5.outline(attributes, {name: (shape, TYPES[name]) for name, shape in shapes.items()})
    _read(io.BytesIO(outline.between(0, outline.size)), outline.size)


def _limit_process() -> None:
    if sys.platform == "win32":
        return
    import resource  # noqa: PLC0415 - not on Windows

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        used = 1 << 30
    _lower(resource.RLIMIT_AS, used + _MEMORY_BYTES)


def _lower(limit: int, value: int) -> None:
    import resource  # noqa: PLC0415 - not on Windows

    _, hard = resource.getrlimit(limit)
    with contextlib.suppress(ValueError, OSError):  # not every system has every limit
        resource.setrlimit(limit, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def _set_alarm(seconds: int) -> None:
    if hasattr(signal, "alarm"):
        signal.alarm(seconds)


def _structure(path: str) -> Structure:
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | _BINARY)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise Refused("it is not a regular file")
        if status.st_size > MOST_BYTES:
            raise Refused(f"it has {status.st_size} bytes, which no segment has")
        with _no_more_files(descriptor):
            return _read(file, status.st_size)


_BINARY = getattr(os, "O_BINARY", 0)


class _no_more_files:  # noqa: N801 - a context manager
    """Let no file be opened inside: the lowest free descriptor is beyond the limit."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> None:
        if sys.platform != "win32":
            import resource  # noqa: PLC0415 - not on Windows

            self._before = resource.getrlimit(resource.RLIMIT_NOFILE)
            _lower(resource.RLIMIT_NOFILE, self._descriptor + 1)

    def __exit__(self, *_: object) -> None:
        if sys.platform != "win32":
            import resource  # noqa: PLC0415 - not on Windows

            resource.setrlimit(resource.RLIMIT_NOFILE, self._before)


def _read(source: BinaryIO, size: int) -> Structure:
    import h5py  # noqa: PLC0415 - only in the process that reads such files

    with h5py.File(source, "r") as file:
        attributes = dict(_attributes(h5py, file.id))
        if (attributes["magic"], attributes["format"]) != (MAGIC, FORMAT):
            raise Refused(f"it is no segment, or of another format: {attributes['magic']!r} {attributes['format']}")
        rows, dimension = attributes["rows"], attributes["dimension"]
        if rows < 1 or dimension < 1:
            raise Refused(f"it claims to have {rows} rows of {dimension} dimensions")
        shapes: dict[str, tuple[int | None, ...]] = dict.fromkeys(TYPES, (rows,))
        shapes |= {"vectors": (rows, dimension), "keys": (None,), "metadata": (None,)}
        if file.id.get_num_objs() != len(TYPES):
            raise Refused(f"it has {file.id.get_num_objs()} objects instead of {len(TYPES)}")
        return Structure(
            uuid=attributes["uuid"],
            shard=attributes["shard"],
            rows=rows,
            dimension=dimension,
            replaces=[] if attributes["replaces"] == "-" else attributes["replaces"].split(","),
            layout={name: _offset(h5py, file.id, name, shape, size) for name, shape in shapes.items()},
            bytes=size,
        )


def _attributes(h5py: Any, group: Any) -> Iterator[tuple[str, Any]]:
    if h5py.h5a.get_num_attrs(group) != len(_ATTRIBUTES):
        raise Refused("it has other attributes than a segment")
    for name, kind in _ATTRIBUTES.items():
        attribute = h5py.h5a.open(group, name.encode())
        type_ = attribute.get_type()
        fits = {
            str: type_.get_class() == h5py.h5t.STRING and not type_.is_variable_str(),
            int: type_.get_class() == h5py.h5t.INTEGER and type_.get_size() <= 8,
        }
        scalar = attribute.get_space().get_simple_extent_type() == h5py.h5s.SCALAR
        if not scalar or not fits[kind] or max(attribute.get_storage_size(), type_.get_size()) > _MOST_ATTRIBUTE_BYTES:
            raise Refused(f"attribute {name!r} is not a short text or an integer")
        value = np.empty((), attribute.dtype)
        attribute.read(value)
        yield name, value.item().decode() if kind is str else int(value)


def _offset(h5py: Any, group: Any, name: str, shape: tuple[int | None, ...], size: int) -> int:
    # A soft or external link, once followed, has already opened what it names.
    if group.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
        raise Refused(f"{name!r} is a link to something else")
    dataset = h5py.h5o.open(group, name.encode())
    if not isinstance(dataset, h5py.h5d.DatasetID):
        raise Refused(f"{name!r} is not a dataset")
    created = dataset.get_create_plist()
    if created.get_layout() != h5py.h5d.CONTIGUOUS or created.get_nfilters() or created.get_external_count():
        raise Refused(f"{name!r} is not contiguous and unfiltered in the file itself")
    if not dataset.get_type().equal(h5py.h5t.py_create(np.dtype(TYPES[name]))):
        raise Refused(f"{name!r} is not of type {TYPES[name]}")
    space = dataset.get_space()
    found = space.get_simple_extent_dims() if space.is_simple() else ()
    if len(found) != len(shape) or any(wanted not in (None, count) for wanted, count in zip(shape, found, strict=True)):
        raise Refused(f"{name!r} has shape {found} instead of {shape}")
    offset = dataset.get_offset()
    count = np.dtype(TYPES[name]).itemsize
    for extent in found:
        count *= extent
    if offset is None or offset < 0 or count < 1 or offset + count > size:
        raise Refused(f"{name!r} lies outside the file")
    return int(offset)
