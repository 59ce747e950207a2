"""Files that are either wholly there or not at all, also after a power cut.

A new file is written under a temporary name, synced, renamed into place, and its folder is
synced. What a crash leaves behind carries ``TEMPORARY`` in its name and is removed when the
store is next opened.
"""

import contextlib
import errno
import os
import secrets
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from anam_py.exceptions import HTMError

TEMPORARY = ".partial-"

if sys.platform == "darwin":
    import fcntl

    def _sync(descriptor: int) -> None:
        # fsync on macOS stops at the drive's cache; F_FULLFSYNC does not.
        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
else:
    _sync = os.fsync


class SyncError(HTMError):
    """A sync to the storage device failed: what it covered may or may not be there."""


def translated(path: Path, action: str, error: OSError) -> HTMError:
    """Return the HTMError that says what `error` means for `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        advice = "the disk is full; free some space and try again, the store stays usable"
    elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        advice = "check the folder's permissions, or open the store with read_only=True"
    else:
        advice = error.strerror or type(error).__name__
    return HTMError(f"cannot {action} {str(path)!r}: {advice}")


class Summed:
    """Parts of a file that are summed up while they are written.

    Parameters
    ----------
    parts : iterable of bytes-like
        The content, in order.

    Attributes
    ----------
    crc : int
        The CRC-32 of what has been written so far.
    """

    def __init__(self, parts: Iterable[bytes | memoryview]) -> None:
        self._parts = parts
        self.crc = 0

    def __iter__(self) -> Iterator[bytes | memoryview]:
        for part in self._parts:
            self.crc = zlib.crc32(part, self.crc)
            yield part


def write_file(path: Path, parts: Iterable[bytes | memoryview], mode: int = 0o600) -> None:
    """Write `parts` to a new file that appears at `path` complete and synced, or not at all.

    Parameters
    ----------
    path : pathlib.Path
        Where the file appears; an existing file is replaced.
    parts : iterable of bytes-like
        The content, in order.
    mode : int
        Permissions of the file.

    Raises
    ------
    SyncError
        If the operating system could not sync the file or its folder.
    HTMError
        If the file could not be written; nothing is left behind.
    """
    partial = path.with_name(f"{path.name}{TEMPORARY}{secrets.token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        try:
            for part in parts:
                _write_all(descriptor, part)
            sync(descriptor, partial)
            if hasattr(os, "fchmod"):
                os.fchmod(descriptor, mode)
        finally:
            os.close(descriptor)
        partial.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise translated(path, "write", error) from error
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def append(path: Path, part: bytes) -> None:
    """Write `part` to the end of a file, which is created if it is missing, and sync it.

    Raises
    ------
    SyncError
        If the operating system could not sync the file or its folder.
    HTMError
        If the file could not be written; some of it may have been.
    """
    is_new = not path.exists()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | _BINARY | _NO_LINK, 0o600)
        try:
            _write_all(descriptor, part)
            sync(descriptor, path)
        finally:
            os.close(descriptor)
        if is_new:
            sync_folder(path.parent)
    except OSError as error:
        raise translated(path, "write", error) from error


def cut(path: Path, size: int) -> None:
    """Leave only the first `size` bytes of a file."""
    try:
        os.truncate(path, size)
    except OSError as error:
        raise translated(path, "shorten", error) from error


def sync(descriptor: int, path: Path) -> None:
    """Sync an open file; SyncError names `path` when that fails."""
    try:
        _sync(descriptor)
    except OSError as error:
        raise SyncError(f"syncing {str(path)!r} failed ({error.strerror}); the storage device may be failing") from error


def sync_folder(path: Path) -> None:
    """Sync a folder, so that names created or removed in it survive a power cut."""
    if sys.platform == "win32":  # folders cannot be opened there; NTFS journals names itself
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor, path)
    finally:
        os.close(descriptor)


def make_folder(path: Path) -> None:
    """Create `path` and its missing parents for the owner only, and sync their names."""
    missing = []
    folder = path
    try:
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for folder in reversed(missing):
            folder.mkdir(mode=0o700, exist_ok=True)
            sync_folder(folder.parent)
    except OSError as error:
        raise translated(path, "create", error) from error


def remove(path: Path) -> bool:
    """Unlink `path`; False where that cannot be done now (on Windows, a file in use) and must wait."""
    try:
        if sys.platform == "win32":  # a read-only file cannot be unlinked there
            path.chmod(0o600)
        path.unlink(missing_ok=True)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


_BINARY = getattr(os, "O_BINARY", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def _write_all(descriptor: int, part: bytes | memoryview) -> None:
    rest = memoryview(part).cast("B")
    while rest:
        rest = rest[os.write(descriptor, rest) :]
