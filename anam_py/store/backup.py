"""Backups: one committed moment of a store in a folder that is a store itself.

The catalog is copied inside one read transaction, and then the segments that it names, which
never change. All of it is made under a temporary name beside the target, checked, and renamed.
"""

import contextlib
import secrets
import shutil
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from anam_py.exceptions import HTMError
from anam_py.store import chain, derivations, files, maintenance, recovery
from anam_py.store.catalog import Catalog
from anam_py.store.engine import Engine, ReadingEngine
from anam_py.store.rows import Segment
from anam_py.store.segment import shard_folder

# Takes how much is done, how much there is, and what is being worked on.
Progress = Callable[[int, int, str], object]

_ATTEMPTS = 5
_BYTES_AT_ONCE = 4 << 20


def backup(engine: Engine, target: Path, *, link: bool, progress: Progress | None = None) -> Path:
    """Copy one committed moment of a store to a new folder: all of it, or nothing.

    Parameters
    ----------
    engine : Engine
        An open store.
    target : pathlib.Path
        The new folder; an empty one may be there.
    link : bool
        Whether to link the segments instead of copying them, where the file system can.
    progress : callable, optional
        Takes bytes of segments done, bytes of all, and what is being worked on.

    Returns
    -------
    pathlib.Path
        The folder, resolved.

    Raises
    ------
    HTMError
        If the target cannot be used or written, or the store is damaged; nothing is left of it.
    """
    engine.check_usable()
    target = _usable(target, engine.folder)
    partial = target.with_name(f"{target.name}{files.TEMPORARY}{secrets.token_hex(4)}")
    try:
        files.make_folder(partial)
        _copy_moment(engine, partial, link=link, progress=progress)
        engine.marker.write(partial)
        _require_whole(partial, engine.folder)
        _publish(partial, target)
    except BaseException:
        _discard(partial)
        raise
    return target


def _usable(target: Path, store: Path) -> Path:
    """Return the target, resolved, or raise HTMError where no backup can be."""
    try:
        path = target.resolve()
        if path.is_relative_to(store) or store.is_relative_to(path):
            raise HTMError(
                f"a backup of {str(store)!r} cannot be at {str(path)!r}, one would lie in the other; give another path"
            )
        if not path.parent.is_dir():  # made without a word, it might be where a disk should have been mounted
            raise HTMError(f"there is no folder {str(path.parent)!r} to put a backup in; create it, or give another path")
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise HTMError(f"{str(path)!r} is there already; a backup goes to a new or an empty folder, give another path")
    except (OSError, RuntimeError) as error:  # too long a name, or a loop of symbolic links
        raise HTMError(f"no backup can be made at {str(target)!r}: {error}; give another path") from error
    recovery.refuse_network(path.parent)
    return path


def _copy_moment(engine: Engine, folder: Path, *, link: bool, progress: Progress | None) -> None:
    catalog = folder / recovery.CATALOG
    with engine.holding_merges():
        for attempt in range(_ATTEMPTS):
            files.remove(catalog)
            with engine.catalog.reading() as reader, reader.frozen():
                found = reader.segments()  # first: a moment begins with the first query
                reader.copy_to(catalog)
            segments = sorted(found, key=lambda segment: -segment.last_id)  # the newest merge first
            try:
                _copy_segments(engine.folder, folder, segments, link=link, progress=progress)
                break
            except FileNotFoundError as error:
                # A merge in another process has removed it since; a newer catalog names what came of it.
                if attempt + 1 == _ATTEMPTS:
                    raise HTMError(
                        f"segment {error.filename!r} is missing, so nothing was backed up; run verify() to see what else is"
                    ) from error
    _forget_codes(catalog)
    _sync(catalog)
    # After the catalog, which knows how far the log must reach at least; without a last line that is being written.
    with contextlib.suppress(FileNotFoundError), chain.opened(engine.folder / chain.FILE) as log:
        files.write_file(folder / chain.FILE, _first_of(log, chain.whole_bytes(log)))


def _forget_codes(path: Path) -> None:
    """Have a copied catalog list no codes: they are not copied, and are made anew where the backup is written to."""
    catalog = Catalog(path)
    try:
        with catalog.translating():
            writer = catalog.open_writer("normal")
            if derivations.listed(writer):
                with writer.transaction():
                    derivations.forget(writer)
    finally:
        catalog.close()


def _copy_segments(store: Path, folder: Path, segments: list[Segment], *, link: bool, progress: Progress | None) -> None:
    wanted = {shard_folder(folder, segment.shard) / segment.name: segment for segment in segments}
    for shard, name in recovery.segment_files(folder):  # of the attempt before
        if (path := folder / shard / name) not in wanted:
            files.remove(path)
    done, total = 0, sum(segment.bytes for segment in segments)
    for path, segment in wanted.items():
        if progress is not None:
            progress(done, total, segment.name)
        if not path.exists():
            files.make_folder(path.parent)
            _copy_segment(shard_folder(store, segment.shard) / segment.name, path, segment, link=link)
        done += segment.bytes
    if progress is not None:
        progress(done, total, "verifying")


def _copy_segment(source: Path, target: Path, segment: Segment, *, link: bool) -> None:
    try:
        with source.open("rb") as file:
            content = _checked(file, segment)
            if link and _linked(source, target):
                for _ in content:
                    pass
                files.sync_folder(target.parent)
            else:
                files.write_file(target, content, mode=0o400)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.translated(source, "read", error) from error


def _linked(source: Path, target: Path) -> bool:
    """Give a file a second name; False where that cannot be done, as on another file system."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _checked(file: BinaryIO, segment: Segment) -> Iterator[bytes]:
    """Yield a segment's bytes; at their end HTMError unless they are what the catalog says."""
    size = crc = 0
    for part in _read(file):
        size, crc = size + len(part), zlib.crc32(part, crc)
        yield part
    if (size, crc) != (segment.bytes, segment.crc):
        raise HTMError(
            f"segment {file.name!r} is damaged: it is not the file that the catalog lists, so nothing was backed up; "
            "run verify() to see what else is"
        )


def _read(file: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            part = file.read(_BYTES_AT_ONCE)
        except OSError as error:
            raise files.translated(Path(file.name), "read", error) from error
        if not part:
            return
        yield part


def _first_of(file: BinaryIO, count: int) -> Iterator[bytes]:
    file.seek(0)
    for part in _read(file):
        yield part[:count]
        count -= len(part)
        if count <= 0:
            return


def _sync(path: Path) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        files.sync(file.fileno(), path)
    files.sync_folder(path.parent)


def _require_whole(backup_: Path, store: Path) -> None:
    """Raise HTMError unless a backup is a store without a flaw."""
    engine = ReadingEngine(backup_)
    try:
        problems = [problem for problem in maintenance.verify(engine) if problem.severity == "error"]
    finally:
        engine.close()
    if problems:
        _, where, what = problems[0]
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise HTMError(
            f"the backup of {str(store)!r} is damaged and was removed, {where}: {what}{more}; run verify() on the store, "
            "and if it finds nothing there, use another disk for the backup"
        )
    for suffix in ("-wal", "-shm"):  # an empty WAL, which reading the catalog has made
        files.remove(backup_ / f"{recovery.CATALOG}{suffix}")
    files.sync_folder(backup_)


def _publish(partial: Path, target: Path) -> None:
    try:
        if sys.platform == "win32" and target.exists():  # there, nothing is renamed to what exists
            target.rmdir()
        partial.replace(target)
    except OSError as error:
        raise files.translated(target, "create", error) from error
    try:
        files.sync_folder(target.parent)
    except BaseException:
        _discard(target)
        raise


def _discard(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            files.remove(path)
    shutil.rmtree(folder, ignore_errors=True)
