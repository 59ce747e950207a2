"""Comparing what a store's catalog says with what is there."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from anam_py.exceptions import HTMError
from anam_py.store import advice, chain, derivations, evidence, recovery, text, wal
from anam_py.store.batch import shard_of
from anam_py.store.engine import Engine, ReadingEngine
from anam_py.store.loader import Structure
from anam_py.store.records import damage, vector_crc
from anam_py.store.reports import Problem
from anam_py.store.rows import CODES_NAME
from anam_py.store.segment import shard_folder
from anam_py.store.snapshot import SegmentBlock, Snapshot
from anam_py.store.sqlite import translated
from anam_py.store.tables import Reader

_ROWS_AT_ONCE = 4096
# The table that lists codes.
_DERIVED = "derived"


def verify(engine: Engine, *, deep: bool = True) -> list[Problem]:
    """Compare catalog and files both ways; writes nothing.

    Parameters
    ----------
    engine : Engine
        An open store.
    deep : bool
        Also read every row and compare its checksums.

    Returns
    -------
    list of Problem
        Empty for a healthy store.
    """
    engine.check_usable()
    orphans = [Problem("warning", path, "the catalog does not list it") for path in engine.orphans()]
    audit = list(audit_problems(engine, deep=deep))  # not of that moment: a log is compared with its head of now
    with engine.moment() as (snapshot, reader):
        return [
            *_told(_catalog_problems(reader, deep=deep)),
            *_segment_problems(snapshot, deep=deep),
            *_told(_codes_problems(engine, reader, snapshot, deep=deep)),
            *_told(_row_problems(reader, snapshot, engine.marker.shards, deep=deep)),
            *orphans,
            *audit,
        ]


def audit_problems(engine: Engine, *, deep: bool = True) -> Iterator[Problem]:
    """Yield what is wrong with the audit log."""
    try:
        yield from chain.verify(engine.folder / chain.FILE, engine.meta, deep=deep)
    except HTMError as error:
        yield Problem("error", chain.FILE, str(error))


def verify_folder(folder: Path, *, deep: bool = True, resting: bool) -> list[Problem]:
    """Do the same for a store that is not open, and say why it cannot be opened where that is so; writes nothing.

    Parameters
    ----------
    folder : pathlib.Path
        The store's, resolved.
    deep : bool
        Also read every row and compare its checksums.
    resting : bool
        Whether nobody can be writing it: only then a file that the catalog does not list is a problem.

    Returns
    -------
    list of Problem
        Empty for a healthy store.
    """
    log_is_empty = recovery.log_is_empty(folder)  # asked first, a reader makes an empty one
    log = folder / f"{recovery.CATALOG}-wal"
    problems: list[Problem] = []
    try:
        if resting and wal.loses_commits(log):
            problems.append(Problem("error", log.name, "it is damaged: it holds commits that SQLite overlooks"))
        engine = ReadingEngine(folder)
    except HTMError as error:
        said = str(error)
        if not (folder / recovery.MARKER).exists() and folder.is_dir() and recovery.segment_files(folder):
            said = f"{recovery.MARKER} is missing, but there are segments; {advice.REPAIR}"
        return [*problems, Problem("error", folder.name, said), *_file_problems(folder, deep=deep)]
    with contextlib.closing(engine):
        try:
            problems += verify(engine, deep=deep)
            if resting:
                with engine.catalog.reading() as reader:
                    problems += _orphans(folder, reader, log_is_empty=log_is_empty)
        except HTMError as error:
            problems.append(Problem("error", recovery.CATALOG, str(error)))
    return problems


def _file_problems(folder: Path, *, deep: bool) -> Iterator[Problem]:
    """Yield what segment files say of themselves, without a catalog."""
    for file in evidence.survey(folder, ask_all=True) if folder.is_dir() else []:
        structure = file.structure
        if not isinstance(structure, Structure):
            yield Problem("error", file.name, str(structure))
        elif deep:
            evidence.examine(file, recovery.Marker(structure.uuid, 1, structure.dimension), lambda _: None)
            if damaged := int(np.count_nonzero(~file.sound)):
                yield Problem("error", file.name, f"{damaged} of its {len(file.sound)} rows are damaged")


def _orphans(folder: Path, reader: Reader, *, log_is_empty: bool) -> Iterator[Problem]:
    last_id = reader.last_id()
    for path in recovery.orphans(folder, reader):
        newer = log_is_empty and not is_of_codes(path) and int(path.split("-")[2]) > last_id
        what = f", and newer than the last id {last_id} that the catalog knows: its log may be lost" if newer else ""
        yield Problem("error" if newer else "warning", path, f"the catalog does not list it{what}")


def is_of_codes(where: str) -> bool:
    """Return whether a problem is one of codes, by where it is."""
    return where == _DERIVED or CODES_NAME.fullmatch(where.rpartition("/")[2]) is not None


def _told(problems: Iterator[Problem]) -> Iterator[Problem]:
    """Yield problems, the last being one that hides all others."""
    try:
        yield from problems
    except HTMError as error:
        yield Problem("error", recovery.CATALOG, str(error))


def _read_lexemes(reader: Reader) -> None:
    """Read all of the text index; raises HTMError where it is damaged, which SQLite's own check does not look at."""
    with translated(Path(recovery.CATALOG)):
        reader.sql.execute("CREATE VIRTUAL TABLE temp.occurrences USING fts5vocab(main, lexemes, instance)")
        try:
            reader.sql.execute("SELECT count(*) FROM temp.occurrences").fetchone()
        finally:
            reader.sql.execute("DROP TABLE temp.occurrences")


def _catalog_problems(reader: Reader, *, deep: bool) -> Iterator[Problem]:
    for message in reader.integrity_problems():
        yield Problem("error", recovery.CATALOG, message)
    if deep:
        for version in reader.superseded():
            if problem := damage(version):
                yield Problem("error", version.key, f"the {problem} of its version {version.version} are damaged")
        for entry_id, key, blob in reader.texts():
            try:
                text.decompress(entry_id, blob)
            except text.DamagedTextError as error:
                yield Problem("error", key, f"its text is damaged: {error}")
        for what in reader.index_problems():
            yield Problem("error", "indexed", what)
        try:
            _read_lexemes(reader)
        except HTMError as error:
            yield Problem("error", "lexemes", str(error))
    if unindexed := reader.unindexed_texts():
        yield Problem("error", "lexemes", f"{unindexed} texts are stored or indexed, and not both")
    if (last := reader.last_id()) < (highest := reader.highest_id()):
        yield Problem("error", "entries", f"the last id given out is said to be {last}, but there is {highest}")


def _segment_problems(snapshot: Snapshot, *, deep: bool) -> Iterator[Problem]:
    for segment, reason in snapshot.missing:
        yield Problem("error", segment.name, f"{segment.rows} rows are not readable: {reason}")
    last = None
    for block in snapshot.segments:
        segment = block.segment
        ids = block.ids
        if deep and block.source.crc() != segment.crc:
            yield Problem("error", segment.name, "the file's checksum is not the catalog's")
        if not np.all(ids[1:] > ids[:-1]) or (ids[0], ids[-1]) != (segment.first_id, segment.last_id):
            yield Problem("error", segment.name, "its ids are not ascending, or not those of the catalog")
        if last is not None and last.shard == segment.shard and last.last_id >= segment.first_id:
            yield Problem("error", segment.name, f"its ids overlap those of {last.name}")
        last = segment


def _codes_problems(engine: Engine, reader: Reader, snapshot: Snapshot, *, deep: bool) -> Iterator[Problem]:
    for what in derivations.problems(reader):
        yield Problem("warning", _DERIVED, f"{what}; searches go on without the codes that need it")
    blocks = {block.segment.id: block for block in snapshot.segments}
    for derived in derivations.listed(reader):
        block = blocks.get(derived.segment)
        if block is None:
            continue
        where = f"{shard_folder(engine.folder, block.segment.shard).name}/{derived.name}"
        try:
            found = engine.derivations.map(reader, derived, block)
        except HTMError as error:
            with engine.catalog.reading() as now:
                is_listed = derivations.is_listed(now, derived)
            if is_listed:  # or it has gone as it should, since this moment
                what = "searches go on without these codes, which are made anew once the store is opened for writing"
                yield Problem("warning", where, f"{error}; {what}")
        else:
            if deep and found.crc() != derived.crc:
                what = "a search may miss what it should find; HTMCore.repair(path) has it made anew"
                yield Problem("error", where, f"the file's checksum is not the catalog's: {what}")


def _row_problems(reader: Reader, snapshot: Snapshot, shards: int, *, deep: bool) -> Iterator[Problem]:
    seen = 0
    for block in snapshot.blocks:
        rows = np.arange(len(block.ids)) if block.alive is None else np.flatnonzero(block.alive)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            chosen = rows[start : start + _ROWS_AT_ONCE]
            found = reader.entries_by_id(block.ids[chosen].tolist())
            seen += len(found)
            for row in chosen.tolist():
                entry = found.get(int(block.ids[row]))
                if entry is None:
                    yield Problem("error", f"id {block.ids[row]}", "a row is alive that no key has")
                    continue
                shard = shard_of(entry.key, shards)
                held = block.segment.shard if isinstance(block, SegmentBlock) else entry.shard
                if not shard == entry.shard == held:
                    yield Problem("error", entry.key, f"it is in shard {held}, and belongs in {shard}")
                if deep:
                    if vector_crc(block.vectors[row]) != entry.crc:
                        yield Problem("error", entry.key, "its vector is damaged")
                    if problem := damage(entry):
                        yield Problem("error", entry.key, f"its {problem} are damaged")
    lost = reader.count() - seen
    if lost > sum(segment.rows for segment, _ in snapshot.missing):
        yield Problem("error", "entries", f"{lost} entries have no row")
