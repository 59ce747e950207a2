"""Parquet files of a store's rows: what is in them, and how they are written and read.

The only importer of pyarrow. Rows stream in both directions, so memory is bounded by a group of
rows, not by the file. A file of ours says in its footer how many rows it has and what their
checksum is.
"""

import contextlib
import io
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import ValidationError

FORMAT = 1
_PREFIX = b"anam."
_GROUP_BYTES = 16 << 20
_GROUP_ROWS = 65_536
# So few that their metadata, of up to 1 MiB each, can be held together.
_ROWS_AT_ONCE = 128
_BUFFER_BYTES = 1 << 20
# What is taken from other tools' files; versions and checksums of theirs may mean anything.
_FOREIGN = ("key", "vector", "metadata", "text", "diff_ops")


class Row(NamedTuple):
    """An entry as a file of ours holds it, its columns in this order; metadata and diff ops are JSON."""

    key: str
    vector: NDArray[np.float32]
    metadata: str
    text: str | None
    diff_ops: str | None
    version: int
    timestamp: float
    crc: int

    @property
    def nbytes(self) -> int:
        """About how much memory it takes."""
        strings = len(self.key) + len(self.metadata) + len(self.text or "") + len(self.diff_ops or "")
        return self.vector.nbytes + strings + 64

    def checksum(self, before: int) -> int:
        """Return the running CRC-32 of a file's rows, this one included."""
        for string in (self.key, self.metadata, self.text, self.diff_ops):
            body = b"" if string is None else string.encode()
            before = zlib.crc32(body, zlib.crc32(struct.pack("<q", -1 if string is None else len(body)), before))
        return zlib.crc32(struct.pack("<qdI", self.version, self.timestamp, self.crc), zlib.crc32(self.vector.data, before))


class Said(NamedTuple):
    """What a file of ours says of itself in its footer."""

    format: int
    dimension: int
    rows: int
    crc: int


class Columns(NamedTuple):
    """Some rows of a file as they were read: unchecked, but that each vector has the store's length.

    Attributes
    ----------
    first : int
        Number of the first row.
    vectors : ndarray of shape (n, D)
        Of any real dtype.
    values : dict of str to list
        The other fields of `Row`; None where the file does not have them.
    nbytes : int
        About how much memory they take.
    """

    first: int
    vectors: NDArray[Any]
    values: dict[str, list[Any]]
    nbytes: int

    def rows(self) -> Iterator[Row]:
        """Yield the rows of a file of ours, where every field has its type."""
        for vector, *fields in zip(self.vectors, *self.values.values(), strict=True):
            yield Row(vector=vector, **dict(zip(self.values, fields, strict=True)))

    @classmethod
    def joined(cls, parts: Sequence["Columns"]) -> "Columns":
        """Return parts that follow each other as one."""
        if len(parts) == 1:
            return parts[0]
        values = {name: [value for part in parts for value in part.values[name]] for name in parts[0].values}
        return cls(parts[0].first, np.concatenate([part.vectors for part in parts]), values, sum(part.nbytes for part in parts))


def require() -> None:
    """Raise ImportError, with what to install, where pyarrow is not there."""
    _pyarrow()


def write(rows: Iterable[Row], dimension: int) -> Iterator[bytes]:
    """Yield the bytes of a file with these rows."""
    _, pq = _pyarrow()
    sink = _Sink()
    count = crc = 0
    with pq.ParquetWriter(
        sink,
        _schema(dimension),
        compression="zstd",
        use_dictionary=False,  # keys and vectors hardly repeat
        write_statistics=["key", "version", "timestamp"],
        write_page_checksum=True,
    ) as writer:
        for group in _groups(rows):
            for row in group:
                crc = row.checksum(crc)
            count += len(group)
            writer.write_batch(_record_batch(group, dimension))
            yield from sink.taken()
        said = Said(FORMAT, dimension, count, crc)._asdict()
        writer.add_key_value_metadata({_PREFIX + name.encode(): str(value).encode() for name, value in said.items()})
    yield from sink.taken()


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    group: list[Row] = []
    size = 0
    for row in rows:
        group.append(row)
        size += row.nbytes
        if size >= _GROUP_BYTES or len(group) == _GROUP_ROWS:
            yield group
            group, size = [], 0
    if group:
        yield group


def _record_batch(group: Sequence[Row], dimension: int) -> Any:
    pa, _ = _pyarrow()
    schema = _schema(dimension)
    columns = dict(zip(Row._fields, zip(*group, strict=True), strict=True))
    vectors = pa.array(np.concatenate(columns.pop("vector")), pa.float32())
    arrays = {name: pa.array(items, schema.field(name).type) for name, items in columns.items()}
    arrays["vector"] = pa.FixedSizeListArray.from_arrays(vectors, type=schema.field("vector").type)
    return pa.record_batch([arrays[name] for name in Row._fields], schema=schema)


class _Sink(io.RawIOBase):
    """Where pyarrow writes to: keeps what it got until that is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        return len(self._parts[-1])

    def taken(self) -> list[bytes]:
        """Return what has been written since the last time."""
        parts, self._parts = self._parts, []
        return parts


class Source:
    """A Parquet file to import, from a store or from another tool.

    Parameters
    ----------
    file : binary file
        The file, open for reading.
    path : pathlib.Path
        Its path, for messages.
    dimension : int
        Of the store.

    Raises
    ------
    ValidationError
        If it is no Parquet file, or not one with the columns of a store.
    """

    def __init__(self, file: BinaryIO, path: Path, dimension: int) -> None:
        self._path = path
        self._dimension = dimension
        _, pq = _pyarrow()
        with self._decoding():
            self._file = pq.ParquetFile(file, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
            self.total = int(self._file.metadata.num_rows)
            schema = self._file.schema_arrow
            found = {name: value for name, value in (self._file.metadata.metadata or {}).items() if name.startswith(_PREFIX)}
        self.said = self._parsed(found) if found else None
        if self.said is not None and not schema.equals(_schema(self.said.dimension)):
            raise self.refusal("is damaged: its columns are not those that it was written with")
        if self.said is not None and self.said.dimension != dimension:
            raise self.refusal(f"has vectors of {self.said.dimension:,} numbers, the store takes {dimension:,}")
        self._names = self._usable(schema)

    def columns(self) -> Iterator[Columns]:
        """Yield all rows, a few at a time."""
        first = 0
        for part in self._parts(self._names):
            values = {name: [None] * len(part) for name in Row._fields if name != "vector"}
            values |= {name: self._values(part, name, first) for name in part.schema.names if name != "vector"}
            yield Columns(first, self._vectors(part.column("vector"), first), values, part.nbytes)
            first += len(part)

    def keys(self) -> Iterator[Any]:
        """Yield the key of each row."""
        first = 0
        for part in self._parts(["key"]):
            yield from self._values(part, "key", first)
            first += len(part)

    def bad_row(self, number: int, problem: str) -> ValidationError:
        """Return the error that names a row."""
        return self.refusal(f"has a row that cannot be stored, row {number:,} (the first is 0): {problem}")

    def refusal(self, problem: str) -> ValidationError:
        """Return the error that says what is wrong with the file."""
        return ValidationError(f"{str(self._path)!r} {problem}; nothing of it was stored")

    def _parts(self, names: list[str]) -> Iterator[Any]:
        if not self.total:  # older versions of pyarrow fail where there is nothing to read
            return
        rows = max(1, min(_ROWS_AT_ONCE, _BUFFER_BYTES // (4 * self._dimension)))
        parts = self._file.iter_batches(rows, columns=names, use_threads=False)
        while True:
            with self._decoding():
                part = next(parts, None)
            if part is None:
                return
            yield part

    def _values(self, part: Any, name: str, first: int) -> list[Any]:
        pa, _ = _pyarrow()
        column = part.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        try:
            return column.to_pylist()  # type: ignore[no-any-return]
        except (ValueError, OverflowError):  # not UTF-8, say
            for number, value in enumerate(column, first):
                try:
                    value.as_py()
                except (ValueError, OverflowError) as error:
                    raise self.bad_row(number, f"{name} cannot be read: {error}") from None
            raise

    def _vectors(self, column: Any, first: int) -> NDArray[Any]:
        pa, _ = _pyarrow()
        if column.null_count:
            raise self.bad_row(first + int(np.argmax(column.is_null())), "vector is null")
        if pa.types.is_fixed_size_list(column.type):
            lengths = np.full(len(column), column.type.list_size)
        else:
            lengths = np.diff(column.offsets.to_numpy())
        wrong = np.flatnonzero(lengths != self._dimension)
        if len(wrong):
            number = int(wrong[0])
            raise self.bad_row(first + number, f"vector has {lengths[number]:,} numbers, the store takes {self._dimension:,}")
        numbers = column.flatten()
        if numbers.null_count:
            raise self.bad_row(first + int(np.argmax(numbers.is_null())) // self._dimension, "vector has a null in it")
        found: NDArray[Any] = numbers.to_numpy(zero_copy_only=False).reshape(-1, self._dimension)
        return found

    def _parsed(self, found: dict[bytes, bytes]) -> Said:
        try:
            said = Said(**{name.removeprefix(_PREFIX).decode(): int(value) for name, value in found.items()})
        except (TypeError, ValueError):
            raise self.refusal("is damaged: what it says of itself cannot be read") from None
        if said.format != FORMAT:
            raise self.refusal(f"has format {said.format}, this anam_py reads {FORMAT}; upgrade anam_py")
        return said

    def _usable(self, schema: Any) -> list[str]:
        """Return which columns to read, or raise ValidationError unless they can be those of a store."""
        names = [name for name in schema.names if name in (_FOREIGN if self.said is None else Row._fields)]
        for name in ("key", "vector"):
            if name not in names:
                raise self.refusal(f"has no column {name!r}, only {', '.join(map(repr, schema.names)) or 'none at all'}")
        if len(set(names)) < len(names):
            raise self.refusal("has two columns of one name")
        for name in names:
            if (expected := _misfit(name, schema.field(name).type)) is not None:
                raise self.refusal(f"must have {expected} in the column {name!r}, it has {schema.field(name).type}")
        return names

    @contextlib.contextmanager
    def _decoding(self) -> Iterator[None]:
        """Raise whatever pyarrow raises for bytes that are no Parquet file as ValidationError."""
        try:
            yield
        except OSError as error:
            if error.errno is not None:  # the disk's; pyarrow's own errors have none
                raise
            raise self.refusal(f"is no Parquet file, or damaged: {error}") from error
        except Exception as error:
            raise self.refusal(f"is no Parquet file, or damaged: {error}") from error


def _misfit(name: str, kind: Any) -> str | None:
    """Return what a column must hold; None if its type may do."""
    pa, _ = _pyarrow()
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    is_string = types.is_string(kind) or types.is_large_string(kind)
    if name == "vector":
        lists = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        fits = lists and (types.is_floating(kind.value_type) or types.is_integer(kind.value_type))
        return None if fits else "lists of numbers"
    if name == "metadata":
        return None if is_string or types.is_struct(kind) or types.is_null(kind) else "JSON strings or structs"
    if name in ("text", "diff_ops"):
        return None if is_string or types.is_null(kind) else "strings"
    return None if name != "key" or is_string else "strings"


def _schema(dimension: int) -> Any:
    """Return the columns of a file of ours."""
    pa, _ = _pyarrow()
    kinds = {
        "key": pa.string(),
        "vector": pa.list_(pa.field("element", pa.float32(), nullable=False), dimension),
        "metadata": pa.string(),
        "text": pa.string(),
        "diff_ops": pa.string(),
        "version": pa.int64(),
        "timestamp": pa.float64(),
        "crc": pa.uint32(),
    }
    return pa.schema([pa.field(name, kind, nullable=name in ("text", "diff_ops")) for name, kind in kinds.items()])


def _pyarrow() -> tuple[ModuleType, ModuleType]:
    """Return pyarrow and its Parquet module; a store that reads and writes no Parquet needs neither."""
    try:
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError as error:
        raise ImportError('Parquet files need pyarrow; install it with: pip install "anam_py[parquet]"') from error
    return pa, pq
