"""The catalog: everything about a store but the bulk of its vectors, in one SQLite file.

Exactly one connection writes and checkpoints (older SQLite can lose commits when two do); readers
borrow ``mode=ro`` connections from a pool. The file must never be opened and closed by other
means: that would drop SQLite's POSIX locks.
"""

import contextlib
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from anam_py.exceptions import HTMError
from anam_py.store import files, schema
from anam_py.store.advice import REPAIR
from anam_py.store.sqlite import connect, connect_writer, has_room_beside, translated
from anam_py.store.tables import Reader, Writer

_ATTEMPTS = 5
_SECTOR = 512  # SQLite's smallest page


class Catalog:
    """The connections to one store's catalog.

    Parameters
    ----------
    path : pathlib.Path
        ``catalog.sqlite`` of an existing store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._source = f"{path.as_uri()}?mode=ro"
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._idle: deque[Reader] = deque()
        self._writer: Writer | None = None
        self._closed = False

    @classmethod
    def for_reading(cls, path: Path) -> Self:
        """Return the catalog of a store that is only read here, perhaps from a read-only medium.

        Reading a WAL takes a file of shared memory beside it. Where none can be made, nobody can
        be writing either: the file is read as it is, or, if there is a WAL, as a copy of both.
        """
        catalog = cls(path)
        with translated(path):
            if not has_room_beside(catalog._source):
                catalog._read_without_writing()
        catalog.check_files()
        return catalog

    def _read_without_writing(self) -> None:
        wal = self._path.with_name(f"{self._path.name}-wal")
        try:
            if not wal.exists() or not wal.stat().st_size:
                self._source = f"{self._path.as_uri()}?mode=ro&immutable=1"
                return
            self._copy = tempfile.TemporaryDirectory(prefix="anam-catalog-")
            for file in (self._path, wal):
                shutil.copyfile(file, Path(self._copy.name, file.name))
        except OSError as error:
            raise files.translated(self._path, "read", error) from error
        self._source = f"{Path(self._copy.name, self._path.name).as_uri()}?mode=ro"

    @classmethod
    def create(cls, path: Path, meta: dict[str, str]) -> None:
        """Create the catalog of a new store, complete or not at all."""
        with translated(path):
            writer = Writer(connect_writer(path, "rwc", "full"), path, "full")
            try:
                with writer.transaction():
                    writer.sql.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
                    writer.sql.execute(f"PRAGMA user_version = {schema.FORMAT}")
                    for statement in schema.TABLES.values():
                        writer.sql.execute(statement)
                    for key, value in meta.items():
                        writer.set_meta(key, value)
            finally:
                writer.sql.close()
        path.chmod(0o600)

    def check_files(self) -> None:
        """Raise HTMError if the database was cut off within a page, or the WAL goes with another one.

        SQLite would overlook the first, and mix the two in the other case (an older copy put back, say).
        """
        size = self._path.stat().st_size
        if size % _SECTOR:
            raise HTMError(f"{str(self._path)!r} was cut off at {size} bytes; {REPAIR}")
        if not self.log_belongs():
            raise HTMError(
                f"'{self._path}-wal' was not written for {self._path.name!r}, which was put there from elsewhere; put the one "
                "back that belongs to it, or run HTMCore.repair(path)"
            )

    def log_belongs(self) -> bool:
        """Return whether the WAL, if there is one, goes with the database.

        Each time the WAL may begin anew, the writer puts a new mark into it, with the one before; so the
        database alone has the WAL's last mark, or the one before.
        """
        wal = self._path.with_name(f"{self._path.name}-wal")
        for _ in range(_ATTEMPTS):  # somebody may be writing, and move marks from one to the other
            if not wal.exists() or not wal.stat().st_size:
                return True
            alone, both = self._era(f"{self._path.as_uri()}?mode=ro&immutable=1"), self._era(self._source)
            if alone is None or both is None or alone.partition(" ")[0] in both.split(" after "):
                return True
        return False

    @staticmethod
    def _era(source: str) -> str | None:
        """Return the mark that a database has; None where it cannot be read: half of it may still be in the WAL."""
        try:
            with translated(Path(source)), contextlib.closing(connect(source)) as connection:
                return Reader(connection).meta().get("era", "")
        except HTMError:
            return None

    def translating(self) -> contextlib.AbstractContextManager[None]:
        """Raise SQLite's errors inside as HTMErrors that say what to do."""
        return translated(self._path)

    def open_writer(self, durability: str) -> Writer:
        """Open the one connection that writes."""
        with translated(self._path):
            self._writer = Writer(connect_writer(self._path, "rw", durability), self._path, durability)
            self._writer.refresh_indexes()
        self._writer.checkpoint("TRUNCATE")
        return self._writer

    @contextlib.contextmanager
    def reading(self) -> Iterator[Reader]:
        """Lend a reading connection to the calling thread."""
        try:
            reader = self._idle.pop()
        except IndexError:
            with translated(self._path):
                reader = Reader(connect(self._source))
        try:
            with translated(self._path):
                yield reader
        finally:
            reader.thaw()
            self._idle.append(reader)
            if self._closed:
                self._close_idle()

    def close(self) -> None:
        """Close every connection that is not lent; lent ones close when they come back."""
        self._closed = True
        self._close_idle()
        if self._writer is not None:
            self._writer.sql.close()
        if self._copy is not None:
            self._copy.cleanup()

    def _close_idle(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop().sql.close()
