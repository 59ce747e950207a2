"""How records get into the audit log: they wait together, and one write and one sync are for all that wait.

The file comes first, its head in the catalog second. So after a crash the file may go beyond the head: whole records there count,
the rest was never acknowledged and is set aside.
"""

import contextlib
import os
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from anam_py import _json, exceptions
from anam_py.exceptions import HTMError
from anam_py.store import chain, files, recovery
from anam_py.store.chain import Head
from anam_py.store.committer import Committer
from anam_py.store.sqlite import CatalogSyncError
from anam_py.store.tables import Writer

T = TypeVar("T")

_MOST_WAITING_BYTES: Final = 64 << 20
_BYTES_AT_ONCE = 1 << 20


class Fields(NamedTuple):
    """A record to be: when it was made, and its fields as a JSON object."""

    time: float
    json: bytes


class Journal:
    """A log and its head in the catalog, kept in step; for the thread that writes the catalog.

    Parameters
    ----------
    folder : pathlib.Path
        The store's.
    writer : Writer
        The catalog's writing connection.
    """

    def __init__(self, folder: Path, writer: Writer) -> None:
        self._path = folder / chain.FILE
        self._quarantine = folder / recovery.QUARANTINE
        self._writer = writer
        self._head = Head()
        self._seen: tuple[int, ...] | None = None  # what the file was like when it was last in step

    def settle(self) -> str | None:
        """Let the head follow whole records, and set aside what is after them; returns the name of that in the quarantine.

        Raises
        ------
        HTMError
            If the log is damaged, as far as its length and its last record tell.
        """
        meta = self._writer.meta()
        if problems := chain.verify(self._path, lambda: meta, deep=False):
            raise HTMError(f"nothing is appended to the audit log {str(self._path)!r}: {problems[0].what}; {chain.ADVICE}")
        head, size, set_aside = Head.stored(meta) or Head(), chain.size_of(self._path) or 0, None
        if size > head.size:
            reached = chain.follow(self._path, head)
            if size > reached.size:
                set_aside = self._set_tail_aside(reached.size)
            if reached != head:
                self._commit(reached)
            head = reached
        self._head, self._seen = head, self._look()
        return set_aside

    def append(self, records: Sequence[Fields]) -> list[str]:
        """Write records and then their head, synced whatever the store's durability; returns their digests.

        Raises
        ------
        HTMError
            If the log is damaged or cannot be written. Then none of them is in it; if a sync failed, any may be.
        """
        if self._seen is None or self._seen != self._look():
            self.settle()
        if not self._head.records and Head.stored(self._writer.meta()) is None:
            self._commit(Head())  # so that a file without a head is always one whose head was lost
        lines, digests, head = [], [], self._head
        for record in records:
            line, head = head.next(record.time, record.json)
            lines.append(line)
            digests.append(head.digest)
        self._seen = None
        try:
            files.append(self._path, b"".join(lines))
            self._commit(head)
        except (files.SyncError, CatalogSyncError):
            raise  # the head may be on the disk all the same, and must not be ahead of the file
        except BaseException:
            with contextlib.suppress(HTMError):
                files.cut(self._path, self._head.size)
            raise
        self._head, self._seen = head, self._look()
        return digests

    def restart(self) -> Path | None:
        """Set a damaged log aside and begin a new one that says so; returns where it is, None if there was none to set aside.

        A log that is whole is left as it is.
        """
        problems = self._errors()
        if not problems:
            self.settle()
            return None
        self._seen = None
        good = Head()
        with contextlib.suppress(FileNotFoundError, HTMError):
            good = chain.follow(self._path, good)
        target = self._set_aside()
        fields = {
            "kind": "restart",
            "set_aside": None if target is None else target.name,
            "good_records": good.records,
            "last_good_digest": good.digest,
            "problem": problems[0],
        }
        line, head = Head().next(time.time(), _json.encode_metadata(fields).encode())
        files.write_file(self._path, [line])  # before the head: a new log is never without its first record
        self._commit(head)
        self._head, self._seen = head, self._look()
        return target

    def mend(self) -> str:
        """Make a log with problems one without; returns what was done, in words.

        Where only its head was lost, the file says what that is. Where the file is damaged, it is restarted.
        """
        try:
            has_head = Head.stored(self._writer.meta()) is not None
        except HTMError:
            has_head = False
        if not has_head and self._path.is_file() and not chain.verify(self._path, lambda: {chain.HEAD: str(Head())}):
            self._commit(Head())
            self.settle()
            return f"took the head of {chain.FILE} from the file, which has {self._head.records} records"
        if self._errors():
            target = self.restart()
            return f"began {chain.FILE} anew" + (f", and set the damaged one aside as {target.name}" if target else "")
        return f"set aside what was after the last record of {chain.FILE} as {self.settle()}"

    def _errors(self) -> list[str]:
        meta = self._writer.meta()
        return [problem.what for problem in chain.verify(self._path, lambda: meta) if problem.severity == "error"]

    def _commit(self, head: Head) -> None:
        with self._writer.transaction(durable=True):
            self._writer.set_meta(chain.HEAD, str(head))

    def _look(self) -> tuple[int, ...]:
        try:
            found = self._path.lstat()
        except OSError:
            return ()
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

    def _set_aside(self) -> Path | None:
        """Move the file to the quarantine."""
        if not os.path.lexists(self._path):
            return None
        target = self._aside(chain.FILE)
        try:
            self._path.replace(target)
            files.sync_folder(target.parent)
            files.sync_folder(self._path.parent)
        except OSError as error:
            raise files.translated(self._path, "move", error) from error
        return target

    def _set_tail_aside(self, position: int) -> str:
        """Move what is after a position to a file in the quarantine."""

        def tail() -> Iterator[bytes]:
            with chain.opened(self._path) as file:
                file.seek(position)
                while part := file.read(_BYTES_AT_ONCE):
                    yield part

        target = self._aside(f"{chain.FILE}-tail")
        files.write_file(target, tail())
        files.cut(self._path, position)
        return target.name

    def _aside(self, name: str) -> Path:
        files.make_folder(self._quarantine)
        return self._quarantine / f"{time.strftime('%Y%m%dT%H%M%S')}-{secrets.token_hex(4)}-{name}"


class Recorder:
    """What waits to be written to a store's audit log, from all handles of this process.

    Parameters
    ----------
    engine : Committer
        Whose thread writes it.
    journal : Journal
        The log.
    """

    def __init__(self, engine: Committer, journal: Journal) -> None:
        self._engine = engine
        self._journal = journal
        self._lock = threading.Lock()
        self._waiting: list[tuple[Fields, Future[str]]] = []
        self._bytes = 0

    def append(self, record: Fields) -> Future[str]:
        """Queue a record, and return what waits for its digest.

        Raises
        ------
        HTMError
            If the store is closed.
        anam_py.exceptions.MemoryError
            If too much waits already.
        """
        future: Future[str] = Future()
        future.set_running_or_notify_cancel()  # it cannot be taken back: who no longer waits for it cancels nothing
        with self._lock:
            if self._bytes + len(record.json) > _MOST_WAITING_BYTES:
                raise exceptions.MemoryError(
                    f"{self._bytes >> 20} MB of audit records wait for the disk; wait for what append has returned before "
                    "appending more"
                )
            if not self._waiting:
                self._engine.later(self._write)
            self._waiting.append((record, future))
            self._bytes += len(record.json)
        return future

    def restart(self) -> Path | None:
        """Set a damaged log aside and begin a new one, see `Journal.restart`."""
        return self._engine.run(lambda: self._sound(self._journal.restart))

    # The writer thread

    def _write(self) -> None:
        """Write all that wait, and let those who wait for them go on."""
        with self._lock:
            waiting, self._waiting, self._bytes = self._waiting, [], 0
        try:
            digests = self._sound(lambda: self._journal.append([record for record, _ in waiting]))
        except BaseException as error:  # noqa: BLE001 - goes to those who wait for it
            for _, future in waiting:
                future.set_exception(error)
        else:
            for (_, future), digest in zip(waiting, digests, strict=True):
                future.set_result(digest)

    def _sound(self, work: Callable[[], T]) -> T:
        self._engine.require_sound()
        try:
            with self._engine.catalog.translating():
                return work()
        except BaseException as error:
            self._engine.breaks(error)
            raise
