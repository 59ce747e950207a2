"""One writing process for each store.

The lock is advisory and belongs to an open descriptor, so the operating system releases it
when the process ends, however it ends. The descriptor must be reachable at fork: a child
that kept it open would keep the store locked after its parent has gone.
"""

import contextlib
import json
import os
import sys
import time
import weakref
from pathlib import Path

from anam_py.exceptions import HTMError
from anam_py.store import files

WAIT_SECONDS = 1.0
_POLL_SECONDS = 0.02

if sys.platform == "win32":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


class StoreLock:
    """The writing process's hold on a store.

    Parameters
    ----------
    folder : pathlib.Path
        The store's folder, which must exist.

    Raises
    ------
    HTMError
        If another process holds the lock for longer than `WAIT_SECONDS`; names its pid.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "LOCK"
        self._owner = folder / "LOCK.owner"
        self._descriptor: int | None = None
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise files.translated(self._path, "open", error) from error
        _held.add(self)
        deadline = time.monotonic() + WAIT_SECONDS
        try:
            while not _try_lock(self._descriptor):
                if time.monotonic() >= deadline:
                    raise HTMError(
                        f"the store {str(folder)!r} is being written by {self._holder()}; close it "
                        f"there, or open it here with read_only=True"
                    )
                time.sleep(_POLL_SECONDS)
        except BaseException:
            self.close()
            raise
        # Only for other processes' error messages: a crash may leave it stale, LOCK decides.
        with contextlib.suppress(OSError):
            self._owner.touch(0o600)
            self._owner.write_text(json.dumps({"pid": os.getpid(), "time": time.time()}))

    def release(self) -> None:
        """Give the lock up; a second call does nothing."""
        if self._descriptor is not None:
            try:
                with contextlib.suppress(OSError):
                    self._owner.unlink(missing_ok=True)
            finally:
                self.close()

    def close(self) -> None:
        """Close the descriptor: enough to unlock, and all that a forked child must do.

        LOCK_UN there would take the lock from the parent.
        """
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
        _held.discard(self)

    def _holder(self) -> str:
        try:
            return f"process {json.loads(self._owner.read_text())['pid']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def is_held(folder: Path) -> bool:
    """Return whether somebody writes a store at this moment; changes nothing."""
    try:
        descriptor = os.open(folder / "LOCK", os.O_RDWR if sys.platform == "win32" else os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


_held: weakref.WeakSet[StoreLock] = weakref.WeakSet()


def _close_in_child() -> None:
    for lock in list(_held):
        lock.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_in_child)
