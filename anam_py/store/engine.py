"""Engines: one for each store that this process has open, shared by its handles.

An engine owns the catalog's connections, the current snapshot and the record cache. What
differs between the process that writes and those that only read is how a snapshot comes
about: the writer publishes one after each commit, a reader reloads when the catalog's
``data_version`` says that somebody committed.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config
from anam_py.exceptions import HTMError
from anam_py.store import files, recovery
from anam_py.store.advice import REPAIR
from anam_py.store.catalog import Catalog
from anam_py.store.derivations import Derivations
from anam_py.store.records import RecordCache
from anam_py.store.scopes import ScopeCache
from anam_py.store.segment import MappedSegment, shard_folder
from anam_py.store.snapshot import PendingRows, SegmentBlock, Snapshot
from anam_py.store.tables import Reader

if TYPE_CHECKING:
    from anam_py.store.device import DeviceCopy

T = TypeVar("T")

_ATTEMPTS = 5


class Moved(Exception):
    """What a snapshot named was retired before its record could be read: look again."""


class Engine:
    """What every open store has, whether it is written here or only read.

    Parameters
    ----------
    folder : pathlib.Path
        The store's folder, resolved.
    marker : recovery.Marker
        What the store is.
    catalog : Catalog
        Its open catalog.
    """

    read_only = True
    durability: str | None = None

    def __init__(self, folder: Path, marker: recovery.Marker, catalog: Catalog) -> None:
        self.folder = folder
        self.marker = marker
        self.catalog = catalog
        self.derivations = Derivations(folder, marker.uuid, marker.dimension, catalog)
        self.cache = RecordCache()
        self.scopes = ScopeCache()
        # By device, for as long as a handle wants them.
        self.copies: weakref.WeakValueDictionary[str, DeviceCopy] = weakref.WeakValueDictionary()
        self._pid = os.getpid()
        self._closed = False
        self._field: tuple[Snapshot, NDArray[np.float32]] | None = None

    def snapshot(self) -> Snapshot:
        """Return the latest committed moment."""
        raise NotImplementedError

    def meta(self) -> dict[str, str]:
        """Return what the catalog says of the store at this moment."""
        with self.catalog.reading() as reader:
            return reader.meta()

    def consistent(self, work: Callable[[Snapshot, Reader], T]) -> T:
        """Return ``work(snapshot, reader)``, run again while it raises `Moved`."""
        for _ in range(_ATTEMPTS):
            snapshot = self.snapshot()
            with self.catalog.reading() as reader:
                try:
                    return work(snapshot, reader)
                except Moved:
                    continue
        try:
            return self._undisturbed(work)
        except Moved:
            raise HTMError(
                f"the catalog and the segments of {str(self.folder)!r} do not agree; run verify() to see where, and {REPAIR}"
            ) from None

    @contextlib.contextmanager
    def moment(self) -> Iterator[tuple[Snapshot, Reader]]:
        """Hold on to one committed moment, for work that is long: a snapshot, and a reader that sees the same."""
        for attempt in range(_ATTEMPTS):
            known = self.snapshot()
            with self.catalog.reading() as reader, reader.frozen():
                snapshot, _ = load_snapshot(self, reader, known)
                # A merge may have removed a file since its row was read; what replaced it is in the next moment.
                if attempt + 1 == _ATTEMPTS or all(reason != VANISHED for _, reason in snapshot.missing):
                    yield snapshot, reader
                    return

    def mean_field(self, snapshot: Snapshot) -> NDArray[np.float32]:
        """Return the normalised mean of a snapshot's unit vectors, shape (D,); zero where it vanishes."""
        known = self._field
        if known is None or known[0] is not snapshot:
            threads = config.current().thread_pool_size
            known = snapshot, _core.mean_field(snapshot.rows(), threads=threads).astype(np.float32)
            self._field = known
        return known[1]

    @property
    def cached_bytes(self) -> int:
        """How many bytes the caches of records and of filters' rows take."""
        return self.cache.nbytes + self.scopes.nbytes

    def drop_caches(self) -> None:
        """Drop all that can be had again."""
        self._field = None
        self.cache.clear()
        self.scopes.clear()

    @property
    def background_error(self) -> str | None:
        """Why the last flush, merge or coding in the background failed, if it did."""
        return None

    @property
    def pending_bytes(self) -> int:
        """How many bytes of rows are in no segment yet."""
        raise NotImplementedError

    def orphans(self) -> list[str]:
        """Return files of segments or codes that the catalog does not list."""
        return []

    def holding_merges(self) -> contextlib.AbstractContextManager[object]:
        """Hold back merges, which remove files, as far as this process does them."""
        return contextlib.nullcontext()

    def close(self) -> None:
        """Release everything; what runs at this moment may end in an HTMError."""
        self._closed = True
        self.drop_caches()
        self.catalog.close()

    @property
    def forked(self) -> bool:
        """Whether this is a child of the process that opened the store."""
        return os.getpid() != self._pid

    def check_usable(self) -> None:
        """Raise HTMError in a forked child, or once the engine is closed."""
        if self.forked:
            raise HTMError(
                "this store was opened before a fork and cannot be used in the child process; open it "
                "there anew (read_only=True while the parent writes), or start children with 'spawn'"
            )
        if self._closed:
            raise HTMError(f"the store {str(self.folder)!r} is closed; open it again with HTMCore(path)")

    def _undisturbed(self, work: Callable[[Snapshot, Reader], T]) -> T:
        """Return ``work(snapshot, reader)`` while no commit can come between the two."""
        raise NotImplementedError


class ReadingEngine(Engine):
    """A store that another process may be writing."""

    def __init__(self, folder: Path) -> None:
        try:
            marker = recovery.Marker.read(folder) if folder.is_dir() else None
        except OSError as error:  # too long a name, say
            raise files.translated(folder, "open", error) from error
        recovery.refuse_half_repaired(folder)
        if marker is None and (folder / recovery.CATALOG).exists():
            raise HTMError(f"{str(folder / recovery.MARKER)!r} is missing; {REPAIR}")
        if marker is None:
            raise HTMError(f"there is no store at {str(folder)!r}; create it by opening it for writing")
        recovery.refuse_network(folder)
        path = folder / recovery.CATALOG
        if not path.exists() or not path.stat().st_size:
            raise HTMError(f"the catalog {str(path)!r} is missing or empty; {REPAIR}")
        super().__init__(folder, marker, Catalog.for_reading(path))
        try:
            self._lock = threading.Lock()
            with contextlib.ExitStack() as stack:
                self._reader = stack.enter_context(self.catalog.reading())
                self._reader.check(writing=False)
                recovery.require_match(marker, self._reader.meta(), folder)
                self._lent = stack.pop_all()
            self._seen = -1
            self._snapshot: Snapshot | None = None
        except BaseException:
            self.catalog.close()
            raise

    def snapshot(self) -> Snapshot:
        with self._lock, self.catalog.translating():
            return self._refreshed()

    @property
    def pending_bytes(self) -> int:
        snapshot = self._snapshot
        return 0 if snapshot is None else snapshot.pending.nbytes

    def close(self) -> None:
        with self._lock:
            if not self._closed:
                super().close()
                self._lent.close()
                self._snapshot = None

    def _refreshed(self) -> Snapshot:
        self.check_usable()
        seen = self._reader.data_version()
        if self._snapshot is None or seen != self._seen:
            # A merge may unlink a segment between our reading of its row and our opening of its
            # file; the row is then of an older moment, and a new look finds what replaced it.
            for _ in range(_ATTEMPTS):
                with self._reader.frozen():
                    snapshot, _ = load_snapshot(self, self._reader, self._snapshot)
                if all(reason != VANISHED for _, reason in snapshot.missing):
                    break
            self._snapshot = snapshot
            self._seen = seen
            self.cache.clear()
        return self._snapshot

    def _undisturbed(self, work: Callable[[Snapshot, Reader], T]) -> T:
        with self._lock, self.catalog.translating(), self._reader.frozen():
            snapshot, _ = load_snapshot(self, self._reader, self._snapshot)
            return work(snapshot, self._reader)


VANISHED = "its file is not there"


def load_snapshot(engine: Engine, reader: Reader, known: Snapshot | None = None) -> tuple[Snapshot, PendingRows]:
    """Return the committed moment that `reader` sees, reusing maps and rows of `known`."""
    dimension = engine.marker.dimension
    mapped = {} if known is None else {block.segment.id: block.source for block in known.segments}
    segments, missing = [], []
    for row in reader.segments():
        path = shard_folder(engine.folder, row.shard) / row.name
        try:
            source = mapped.get(row.id) or MappedSegment(path, row, dimension)
            segments.append(SegmentBlock.of(source))
        except FileNotFoundError:
            missing.append((row, VANISHED))
        except HTMError as error:
            missing.append((row, str(error)))
    segments = engine.derivations.attached(reader, segments, known)

    pending = PendingRows(dimension)
    after = 0
    if known is not None and len(known.pending.ids):
        # Pending rows only ever leave at the old end.
        first = reader.first_pending()
        if first is not None:
            kept = known.pending.ids >= first
            if kept.all():
                pending.codes = known.pending.coded
            pending.append(known.pending.ids[kept], known.pending.vectors[kept], known.pending.norms[kept])
        after = int(known.pending.ids[-1])
    if rows := reader.pending(after):
        for entry_id, blob in rows:
            if len(blob) != 4 * dimension:
                raise HTMError(
                    f"the pending vector of id {entry_id} has {len(blob)} bytes instead of {4 * dimension}; "
                    f"the catalog is damaged, {REPAIR}"
                )
        vectors = np.frombuffer(b"".join(blob for _, blob in rows), "<f4").reshape(-1, dimension)
        pending.append([i for i, _ in rows], vectors, _core.norms(vectors))
    snapshot = Snapshot(tuple(segments), pending.block(), tuple(missing))
    return snapshot.without(reader.dead()), pending
