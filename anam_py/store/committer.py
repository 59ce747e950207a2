"""One thread that commits for everybody: its queue, and what holds for each of its transactions.

Callers queue what they want written and wait. The thread takes all that waits and commits it
in one transaction, so that callers share the sync to the disk. It alone uses the catalog's
writing connection.
"""

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

from anam_py.exceptions import HTMError
from anam_py.store import files, recovery
from anam_py.store.catalog import Catalog
from anam_py.store.engine import Engine, T, load_snapshot
from anam_py.store.jobs import Job, WorkQueue, Write
from anam_py.store.snapshot import Snapshot
from anam_py.store.sqlite import CatalogSyncError
from anam_py.store.tables import Reader, Writer

log = logging.getLogger("anam_py.store")


class Committer(Engine):
    """A store whose catalog one thread writes.

    Parameters
    ----------
    folder : pathlib.Path
        The store's folder, resolved.
    marker : recovery.Marker
        What the store is.
    catalog : Catalog
        Its open catalog.
    writer : Writer
        The catalog's writing connection.
    """

    read_only = False

    def __init__(self, folder: Path, marker: recovery.Marker, catalog: Catalog, writer: Writer) -> None:
        super().__init__(folder, marker, catalog)
        self._writer = writer
        self._snapshot, self._pending = load_snapshot(self, writer)
        self._broken: str | None = None
        self._commit_lock = threading.Lock()
        self._submitting = threading.Lock()
        self._queue = WorkQueue()
        self._thread = threading.Thread(target=self._run, name="anam-writer", daemon=True)

    # What other threads call

    def snapshot(self) -> Snapshot:
        self.check_usable()
        return self._snapshot

    @property
    def is_committing(self) -> bool:
        """Whether something is being committed at this moment."""
        return self._commit_lock.locked()

    def run(self, function: Callable[[], T]) -> T:
        """Return ``function()``, called in the writer thread between two commits."""
        return self.later(function).result()

    def later(self, function: Callable[[], T]) -> Future[T]:
        """Have the writer thread call a function between two commits; returns what waits for the result."""
        job = Job(function)
        self._submit(job)
        return job.future

    def require_sound(self) -> None:
        """Raise HTMError once a sync has failed: nothing is tried again then."""
        if self._broken:
            raise HTMError(self._broken)

    def breaks(self, error: BaseException) -> bool:
        """Turn the store read-only if `error` says that a sync failed."""
        if isinstance(error, (files.SyncError, CatalogSyncError)) and self._broken is None:
            self._broken = f"the store is read-only now, because {error}; reopen it once the disk is well"
            log.error("%s", self._broken)
        return self._broken is not None

    def _submit(self, item: Write | Job) -> None:
        # Whatever is queued before the store closes gets done; nothing is queued after.
        with self._submitting:
            self.check_usable()
            self._queue.put(item)

    def _commit_files(self, paths: Sequence[Path], change: Callable[[], None], publish: Callable[[], None]) -> None:
        """Commit a change that names new files, which go if that fails, and let memory follow."""

        def commit() -> None:
            with self._commit_lock:
                with self._new_files() as new, self._writer.transaction(durable=True):
                    new.extend(paths)
                    self.require_sound()
                    change()
                self._remember(publish)

        job = Job(commit)
        try:
            self._submit(job)
        except HTMError:
            for path in paths:
                files.remove(path)
            raise
        job.future.result()

    def _undisturbed(self, work: Callable[[Snapshot, Reader], T]) -> T:
        with self._commit_lock, self.catalog.reading() as reader:
            return work(self._snapshot, reader)

    # The writer thread

    def _run(self) -> None:
        while True:
            item = self._queue.take()
            if item is None:
                return
            if isinstance(item, Job):
                item.run()
            else:
                self._commit(item)
            self._look_after()

    def _commit(self, group: Sequence[Write]) -> None:
        """Commit batches that came together, and let those who wait for them go on."""
        raise NotImplementedError

    def _look_after(self) -> None:
        """Do what has to be done between two commits; must not raise."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _new_files(self) -> Iterator[list[Path]]:
        """Collect the files that a transaction will name, and remove them if it fails."""
        paths: list[Path] = []
        try:
            yield paths
        except CatalogSyncError:
            # The commit may be on the disk all the same, and be found there after a crash. If it
            # is not, the files go to the quarantine when the store is next opened.
            raise
        except BaseException:
            for path in paths:
                files.remove(path)
            raise

    def _remember(self, change: Callable[[], None]) -> None:
        """Let memory follow a commit; where it cannot, read it anew, so that nothing is committed twice or forgotten."""
        try:
            change()
        except Exception:
            log.exception("%s: memory did not follow a commit, reading it anew", self.folder)
            self._broken = "the store is read-only now, because memory ran out right after a commit; reopen it"
            self._snapshot, self._pending = load_snapshot(self, self._writer)
            self.cache.clear()
            self._broken = None
