"""SQLite as the catalog uses it: how connections are set up, and what their errors mean.

The only importer of sqlite3.
"""

import contextlib
import sqlite3
import sys
from pathlib import Path

from anam_py.exceptions import HTMError
from anam_py.store import filters
from anam_py.store.advice import REPAIR

Connection = sqlite3.Connection

BUSY_MILLISECONDS = 5_000
_WAL_LIMIT_BYTES = 64 << 20
_BUSY = getattr(sqlite3, "SQLITE_BUSY", 5)
_FULL = getattr(sqlite3, "SQLITE_FULL", 13)
_UNWRITABLE = {getattr(sqlite3, "SQLITE_READONLY", 8), getattr(sqlite3, "SQLITE_CANTOPEN", 14)}
_IOERR_FSYNC = {
    getattr(sqlite3, "SQLITE_IOERR_FSYNC", 1034),
    getattr(sqlite3, "SQLITE_IOERR_DIR_FSYNC", 1290),
}


class CatalogSyncError(HTMError):
    """The operating system could not sync the catalog."""


def translated(path: Path) -> contextlib.AbstractContextManager[None]:
    """Raise SQLite's errors inside as HTMErrors that say what to do."""
    return _Translator(path)


class _Translator:
    """What `translated` gives: a generator would take longer to enter than many a query takes."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (sqlite3.Error, UnicodeDecodeError)):
            raise _translation(self._path, error) from error


def _translation(path: Path, error: sqlite3.Error | UnicodeDecodeError) -> HTMError:
    code = getattr(error, "sqlite_errorcode", None)
    if code in _IOERR_FSYNC:
        return CatalogSyncError(f"syncing {str(path)!r} failed: {error}")
    if code == _FULL:
        advice = "the disk is full; free some space and try again, the store stays usable"
    elif code is not None and code & 0xFF == _BUSY:
        advice = "another process holds the catalog; try again"
    elif isinstance(error, sqlite3.ProgrammingError) and "closed" in str(error):
        advice = "the store was closed while the call was running"
    elif isinstance(error, sqlite3.OperationalError) and "decode" not in str(error):
        advice = f"{error}; check the disk and the permissions of the folder"
    elif isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError):  # which may be of a message that quotes a damaged schema
        advice = f"{error}; the catalog is damaged, {REPAIR}"
    else:
        advice = str(error)
    return HTMError(f"catalog {str(path)!r}: {advice}")


def connect(source: str) -> Connection:
    """Open a connection to a URI."""
    connection = sqlite3.connect(
        source,
        uri=True,
        timeout=BUSY_MILLISECONDS / 1000,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        # A hostile file could otherwise run functions from its schema, or crash the pager.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
        connection.create_function("anam_text", 2, filters.text_at, deterministic=True)
        connection.create_function("anam_contains", 3, filters.has_text, deterministic=True)
    except BaseException:
        connection.close()
        raise
    return connection


def roll_back(path: Path) -> None:
    """Let SQLite undo what a process that ended was about to write to a database without a WAL."""
    with translated(path), contextlib.closing(connect(f"{path.as_uri()}?mode=rw")) as connection:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()


def connect_writer(path: Path, mode: str, durability: str) -> Connection:
    """Open a connection that may write; `mode` is SQLite's "rw", or "rwc" to create the file."""
    connection = connect(f"{path.as_uri()}?mode={mode}")
    try:
        # Freed pages could not go back to the disk without it; only a file that is empty takes it.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {durability.upper()}")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_LIMIT_BYTES}")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # `Writer` does it, where nobody waits
        connection.execute("PRAGMA secure_delete = FAST")  # what is purged must not be found in a page's free space
        if sys.platform == "darwin":
            connection.execute("PRAGMA fullfsync = ON")
            connection.execute("PRAGMA checkpoint_fullfsync = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def has_room_beside(source: str) -> bool:
    """Return whether files can be made beside a database, as it takes to read one that has a WAL."""
    try:
        with contextlib.closing(connect(source)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF not in _UNWRITABLE:
            raise
        return False
    return True
