"""Export and import: between a store and Parquet files."""

import array
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anam_py import config
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import files, intake, parquet
from anam_py.store.backup import Progress
from anam_py.store.batch import Batch
from anam_py.store.engine import Engine, Moved
from anam_py.store.filters import Condition
from anam_py.store.parquet import Columns, Row, Source
from anam_py.store.queries import Scope
from anam_py.store.records import checked
from anam_py.store.snapshot import Snapshot
from anam_py.store.tables import Reader
from anam_py.store.writer import WritingEngine

# So few that their metadata, of up to 1 MiB each, can be held together.
_ROWS_AT_ONCE = 128
_BATCH_BYTES = 32 << 20
# Far beyond any number of versions, and leaves room to count on.
_LAST_VERSION = 2**53


def export(
    engine: Engine,
    path: Path,
    where: Condition | None,
    *,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> int:
    """Write what a store holds at one moment to a Parquet file.

    Parameters
    ----------
    engine : Engine
        An open store.
    path : pathlib.Path
        The file; it appears complete, or not at all.
    where : Condition or None
        Which entries to write, by their metadata.
    overwrite : bool
        Whether to replace a file that is there.
    progress : callable, optional
        Takes rows done, rows in all, and what is being done.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    ImportError
        If pyarrow is not there.
    HTMError
        If the file is there already or cannot be written, or the store is damaged.
    """
    parquet.require()
    try:
        path = path.resolve()
        if path.is_relative_to(engine.folder):
            raise HTMError(f"{str(path)!r} lies in the store; give a path outside of it")
        if path.exists() and not overwrite:
            raise HTMError(f"{str(path)!r} is there already; give another path, or overwrite=True to replace it")
    except (OSError, RuntimeError) as error:  # too long a name, or a loop of symbolic links
        raise HTMError(f"no file can be written to {str(path)!r}: {error}; give another path") from error
    with engine.moment() as (snapshot, reader):
        chosen = _chosen(engine, snapshot, reader, where)
        rows = _rows(chosen, reader, progress)
        files.write_file(path, parquet.write(rows, engine.marker.dimension))
    return chosen.live


def _chosen(engine: Engine, snapshot: Snapshot, reader: Reader, where: Condition | None) -> Snapshot:
    """Return the snapshot with only the rows to write alive; HTMError unless all of them are there."""
    try:
        chosen = Scope(where, partial=False).of(snapshot, reader, engine.scopes)
        if chosen.live != reader.count(where):
            raise Moved
    except Moved:
        raise HTMError(
            f"the catalog and the segments of {str(engine.folder)!r} do not agree; run verify() to see where"
        ) from None
    return chosen


def _rows(snapshot: Snapshot, reader: Reader, progress: Progress | None) -> Iterator[Row]:
    done, total = 0, snapshot.live
    for block in snapshot.blocks:
        alive = np.arange(len(block.ids)) if block.alive is None else np.flatnonzero(block.alive)
        for start in range(0, len(alive), _ROWS_AT_ONCE):
            page = alive[start : start + _ROWS_AT_ONCE]
            entries = reader.entries_by_id(block.ids[page].tolist())
            for row in page.tolist():
                entry = entries.get(int(block.ids[row]))
                if entry is None:
                    raise HTMError(f"no key has the row of id {block.ids[row]}; run verify() to see what else is damaged")
                vector = checked(entry, block.vectors[row]).vector
                text = reader.text(entry.key)
                yield Row(entry.key, vector, entry.metadata, text, entry.diff_ops, entry.version, entry.timestamp, entry.crc)
            done += len(page)
            if progress is not None:
                progress(done, total, "exporting")


def import_(engine: WritingEngine, path: Path, *, progress: Progress | None = None) -> int:
    """Store the rows of a Parquet file, in place of what is there under the same keys.

    All of the file is read and checked before anything is stored, and then read again.

    Parameters
    ----------
    engine : WritingEngine
        An open store.
    path : pathlib.Path
        The file, from `export` or another tool.
    progress : callable, optional
        Takes rows done, rows in all, and what is being done.

    Returns
    -------
    int
        The number of rows.

    Raises
    ------
    ImportError
        If pyarrow is not there.
    ValidationError
        If the file is damaged or a row cannot be stored, which it names; nothing was stored.
    HTMError
        If the file cannot be read, or the store not be written; what was stored before that stays.
    """
    parquet.require()
    try:
        with path.open("rb") as file:
            source = Source(file, path, engine.marker.dimension)
            _check(source, engine.marker.dimension, progress)
            done = 0
            for batch in _batches(source, engine.marker.dimension):
                engine.write(batch)
                done += len(batch.puts)
                if progress is not None:
                    progress(done, source.total, "storing")
    except OSError as error:
        raise files.translated(path, "read", error) from error
    return done


def _check(source: Source, dimension: int, progress: Progress | None) -> None:
    """Raise ValidationError unless the file is whole and every row can be stored."""
    crc = 0
    hashes = array.array("q")
    for columns in source.columns():
        _batch(source, columns, dimension)
        hashes.extend(map(hash, columns.values["key"]))
        if source.said is not None:
            for row in columns.rows():
                crc = row.checksum(crc)
        if progress is not None:
            progress(len(hashes), source.total, "checking")
    if source.said is not None and (source.said.rows, source.said.crc) != (len(hashes), crc):
        raise source.refusal(
            f"is damaged: it was written with {source.said.rows:,} rows of the checksum {source.said.crc:08x}, and has "
            f"{len(hashes):,} of {crc:08x}; a tool that changes it on purpose must take anam.* out of its metadata"
        )
    _refuse_duplicates(source, np.frombuffer(hashes, np.int64))


def _batches(source: Source, dimension: int) -> Iterator[Batch]:
    """Yield the file's rows in batches of bounded size."""
    limit = min(_BATCH_BYTES, (config.current().memory_limit_mb << 20) // 8)
    held: list[Columns] = []
    for columns in source.columns():
        held.append(columns)
        if sum(part.nbytes for part in held) >= limit:
            yield _batch(source, Columns.joined(held), dimension)
            held = []
    if held:
        yield _batch(source, Columns.joined(held), dimension)


def _batch(source: Source, columns: Columns, dimension: int) -> Batch:
    """Return the batch that stores some rows; ValidationError names the first that cannot be."""
    first, vectors, values, _ = columns
    keys, texts = values["key"], values["text"]
    metadata = [{} if value is None else value for value in _decoded(source, columns, "metadata")]
    diff_ops = _decoded(source, columns, "diff_ops")
    try:
        batch = intake.many(dimension, keys, vectors, metadata, diff_ops, texts)
    except ValidationError:
        for number, (key, vector, *rest) in enumerate(zip(keys, vectors, metadata, diff_ops, texts, strict=True), first):
            try:
                intake.one(dimension, key, vector, *rest)
            except ValidationError as error:
                raise source.bad_row(number, str(error)) from None
        _refuse_duplicates(source, np.array([hash(key) for key in keys]))
        raise
    if source.said is None:  # nobody knows what another tool's versions count
        return batch
    puts = []
    for number, (put, version, timestamp) in enumerate(
        zip(batch.puts, values["version"], values["timestamp"], strict=True), first
    ):
        if not (0 < version <= _LAST_VERSION and math.isfinite(timestamp)):
            raise source.bad_row(number, f"its version is {version} and its timestamp {timestamp}")
        puts.append(put._replace(version=version, timestamp=timestamp))
    return dataclasses.replace(batch, puts=puts)


def _decoded(source: Source, columns: Columns, name: str) -> list[Any]:
    """Return a column whose strings are JSON as what they mean."""
    values = []
    for number, value in enumerate(columns.values[name], columns.first):
        try:
            values.append(json.loads(value) if isinstance(value, str) else value)
        except (ValueError, RecursionError) as error:
            raise source.bad_row(number, f"{name} is not JSON: {error}") from None
    return values


def _refuse_duplicates(source: Source, hashes: NDArray[np.int64]) -> None:
    """Raise ValidationError for a key that is there twice, given all keys' hashes: 8 bytes each, where keys may be long."""
    ordered = np.sort(hashes)
    suspects = {*ordered[1:][ordered[1:] == ordered[:-1]].tolist()}
    if not suspects:
        return
    known: dict[str, int] = {}
    for number, key in enumerate(source.keys()):
        if hash(key) in suspects and known.setdefault(key, number) != number:
            raise source.bad_row(number, f"the key {key!r} is that of row {known[key]:,}, too")
