"""The writing engine: what its thread commits, batches above all, and how a store is opened and closed for it."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config, exceptions
from anam_py.exceptions import HTMError
from anam_py.store import derivations, files, merge, recovery, segment
from anam_py.store.advice import REPAIR
from anam_py.store.batch import Batch
from anam_py.store.catalog import Catalog
from anam_py.store.changes import Changes
from anam_py.store.coding import Coder
from anam_py.store.committer import Committer
from anam_py.store.jobs import BULK_ROWS, Job, Write
from anam_py.store.lock import StoreLock
from anam_py.store.recorder import Journal, Recorder
from anam_py.store.rows import Entry, Segment
from anam_py.store.segment import MappedSegment
from anam_py.store.sidecar import Rotation, Sidecar
from anam_py.store.snapshot import A, Block, PendingRows, SegmentBlock, Snapshot
from anam_py.store.sqlite import CatalogSyncError
from anam_py.store.tables import Writer
from anam_py.store.threads import Beside, interpreter_ends

log = logging.getLogger("anam_py.store")

_FLUSH_BYTES = 32 << 20
_FLUSH_ROWS = 65_536
_RETRY_SECONDS = 5.0


class WritingEngine(Committer):
    """A store that this process writes.

    Parameters
    ----------
    folder : pathlib.Path
        The store's folder, resolved; created with a new store if there is none.
    shards, dimension : int
        Of a new store. An existing one keeps its own.
    durability : {"full", "normal"}
        What an acknowledged write survives; see docs/storage.md.
    """

    def __init__(self, folder: Path, shards: int, dimension: int, durability: str) -> None:
        recovery.prepare_folder(folder)
        lock = StoreLock(folder)
        try:
            marker = recovery.create_or_read(folder, shards, dimension)
            catalog = Catalog(folder / recovery.CATALOG)
            try:
                catalog.check_files()
                with catalog.reading() as reader:
                    reader.check(writing=True)
                    recovery.require_match(marker, reader.meta(), folder)
                with catalog.translating():
                    writer = catalog.open_writer(durability)
                    if set_aside := recovery.tidy(folder, writer):
                        log.warning("set aside in quarantine: %s", ", ".join(set_aside))
                    super().__init__(folder, marker, catalog, writer)
                    self.recorder = self._open_audit_log(writer)
                    self._drop_unusable_codes()
                    self._next_id = self._writer.last_id() + 1
                    self.purging = np.array(self._writer.purged(), np.int64)
            except BaseException:
                catalog.close()
                raise
        except BaseException:
            lock.release()
            raise
        self.durability = durability
        self.merge_error: str | None = None
        self._flush_error: str | None = None
        self._lock = lock
        self._retry_flush_at = 0.0
        self._closing = threading.Lock()
        self._released = False
        self._last_flush = Job(self._flush)
        self._merger = merge.Merger(self)
        self.coder = Coder(self)
        self._thread.start()
        self._merger.start()
        self.coder.start()
        self.coder.wake()
        if len(self.purging):
            self._merger.wake()
        for block in self._snapshot.missing:
            log.error("segment %s is not readable: %s", block[0].name, block[1])

    def _open_audit_log(self, writer: Writer) -> Recorder:
        journal = Journal(self.folder, writer)
        try:
            if set_aside := journal.settle():
                log.warning("set aside in quarantine: %s", set_aside)
        except (files.SyncError, CatalogSyncError):
            raise
        except HTMError as error:  # the rest of the store is none the worse for it
            log.warning("%s", error)
        return Recorder(self, journal)

    def _drop_unusable_codes(self) -> None:
        """Have the catalog list only what can be used: the rest is made anew, or was too small to be."""
        if unusable := self.derivations.unusable(self._writer, self._snapshot):
            with self._writer.transaction():
                derivations.drop(self._writer, [row for row, _ in unusable])
            for _, path in unusable:
                files.remove(path)

    # What other threads call

    def write(self, batch: Batch) -> int:
        """Commit a batch; returns how many keys its deletes found.

        Raises
        ------
        HTMError
            If it could not be committed; nothing of it was.
        anam_py.exceptions.MemoryError
            If it does not fit the configured memory limit, even with caches dropped.
        """
        self._make_room(batch)
        write = Write(batch)
        self._submit(write)
        return write.wait()

    def flush(self) -> None:
        """Move the pending rows to segments; returns once they are there."""
        self.run(self._flush)

    def compact(self) -> None:
        """Merge each shard's segments to as few as their size allows, without dead rows."""
        self.flush()
        self._merger.compact()
        self.coder.finish()
        self.run(self._writer.shrink)

    def make_codes(self) -> None:
        """Give every segment its codes now."""
        self.flush()
        self.coder.finish()

    def scrub(self) -> None:
        """Leave no trace of what was purged in the catalog; merges that follow leave none in segments."""
        self.flush()
        self.run(self._scrub)
        self._merger.wake()

    def _scrub(self) -> None:
        self.require_sound()
        with self._commit_lock:
            self._writer.scrub()

    def prune_history(self, keep: int, key: str | None) -> int:
        """Drop all but the newest versions; returns how many."""

        def prune() -> int:
            self.require_sound()
            with self._commit_lock:
                with self._writer.transaction():
                    pruned = self._writer.prune_history(keep, key)
                self.purging = np.union1d(self.purging, pruned)
            return len(pruned)

        count = self.run(prune)
        self._merger.wake()
        return count

    def create_index(self, path: str) -> None:
        """Index a metadata path, of what is there and of what comes."""

        def create() -> None:
            self.require_sound()
            with self._commit_lock, self._writer.transaction():
                self._writer.create_index(path)
            self._writer.refresh_indexes()

        self.run(create)

    @property
    def background_error(self) -> str | None:
        return self._flush_error or self.merge_error or self.coder.error

    @property
    def pending_bytes(self) -> int:
        return self._snapshot.pending.nbytes

    def close(self) -> None:
        """Flush, stop the threads, and give the lock up."""
        with self._closing:
            if self._released:
                return
            self.coder.stop()
            self._merger.stop()
            with self._submitting:
                if not self._closed:
                    self._closed = True
                    if interpreter_ends():
                        self._last_flush.future.set_result(None)  # the rows are safe in the pending table
                    else:
                        self._queue.put(self._last_flush)
                    self._queue.put(None)
            self._thread.join()
            if error := self._last_flush.future.exception():  # its rows stay in the pending table
                log.warning("flushing %s on close failed: %s", self.folder, error)
            super().close()
            self._pending = PendingRows(self.marker.dimension)
            self._snapshot = Snapshot((), self._pending.block())
            self._lock.release()
            self._released = True

    def orphans(self) -> list[str]:
        with self._merger.paused(), self._commit_lock, self.catalog.reading() as reader:
            return recovery.orphans(self.folder, reader)

    def holding_merges(self) -> contextlib.AbstractContextManager[object]:
        return self._merger.paused()

    def _make_room(self, batch: Batch) -> None:
        limit = config.current().memory_limit_mb << 20
        size = batch.vectors.nbytes
        if len(batch.puts) > BULK_ROWS:
            size = 2 * min(size, self._bulk_bytes())  # written in blocks
        size += sum(len(put.metadata) + len(put.diff_ops or "") + len(put.text or "") for put in batch.puts)
        if self.cached_bytes + self.pending_bytes + size <= limit:
            return
        self.drop_caches()
        self.flush()
        if self.pending_bytes + size > limit:
            raise exceptions.MemoryError(
                f"storing this needs {size >> 20} MB and memory_limit_mb is {limit >> 20}; store "
                "fewer rows at once, or raise the limit with configure_ffi"
            )

    # The writer thread

    def _commit(self, group: Sequence[Write]) -> None:
        try:
            self.require_sound()
            if group[0].is_bulk:
                self._commit_bulk(group[0])
            else:
                self._transact(group)
        except BaseException as error:  # noqa: BLE001 - goes to those who wait for it
            if self.breaks(error) or len(group) == 1:
                for write in group:
                    write.end(error)
            else:  # a bad item never fails its neighbours
                for write in group:
                    self._commit([write])
        else:
            for write in group:
                write.end()

    def _transact(self, group: Sequence[Write]) -> None:
        changes = Changes(self._writer, self.marker.shards, self._next_id)
        with self._commit_lock:
            with self._writer.transaction():
                for write in group:
                    batch = write.batch
                    write.deleted = changes.take_out(batch)
                    entries = changes.new_entries(batch)
                    changes.put_in(batch, entries)
                    changes.put_pending(batch, entries)
            self._follow(changes)

    def _commit_bulk(self, write: Write) -> None:
        # Ids of one shard's segments must ascend, so rows that wait go first.
        self._flush()
        batch, changes = write.batch, Changes(self._writer, self.marker.shards, self._next_id)
        with self._commit_lock:
            if recovery.log_is_empty(self.folder):  # which, beside newer files, would look as if it had been lost
                with self._writer.transaction(durable=True):
                    self._writer.set_meta("uuid", self.marker.uuid)  # anything, even what is there already
            with self._new_files() as paths, self._writer.transaction(durable=True):
                write.deleted = changes.take_out(batch)
                entries = changes.new_entries(batch)
                with self._writing_segments(entries, batch.vectors, batch.norms, paths) as writes:
                    changes.put_in(batch, entries)
                    changes.segments = self._listed(writes.results())
            self._follow(changes)

    def _follow(self, changes: Changes) -> None:
        self._next_id = changes.next_id
        self._remember(lambda: self._publish(changes))

    def _publish(self, changes: Changes) -> None:
        """Let every later call see what has been committed."""
        snapshot = self._snapshot
        if changes.added:
            self._pending.append(changes.added, _joined(changes.vectors), _joined(changes.norms))
            snapshot = snapshot.with_pending(self._pending.block())
        if changes.segments:
            snapshot = snapshot.with_segments(changes.segments, ())
        self._snapshot = snapshot.without(changes.dead)
        self.cache.discard(changes.keys)
        if changes.purged:
            self.purging = np.union1d(self.purging, changes.purged)
        if changes.dead or changes.segments:
            self._merger.wake()

    @contextlib.contextmanager
    def _writing_segments(
        self, entries: Sequence[Entry], vectors: NDArray[np.float32], norms: NDArray[np.float64], paths: list[Path]
    ) -> Iterator[Beside[SegmentBlock]]:
        """Write rows to segment files of their shards, beside what the block does.

        `entries` ascend by id; row i of `vectors` and `norms` belongs to ``entries[i]``.
        `paths` gets each file as it appears, for removal if the transaction fails.
        """
        uuid, _, dimension = self.marker

        def mapped(write: Callable[[], tuple[Path, Segment]]) -> SegmentBlock:
            path, row = write()
            paths.append(path)
            source = MappedSegment(path, row, dimension)
            if not source.is_sound():
                raise HTMError("the matrix was changed while it was being stored; nothing of it was stored")
            return SegmentBlock.of(source)

        writes = segment.shard_writes(self.folder, uuid, entries, vectors, norms, most_bytes=self._bulk_bytes())
        with Beside([partial(mapped, write) for write in writes], config.current().thread_pool_size) as beside:
            yield beside

    def _listed(self, blocks: list[SegmentBlock]) -> list[SegmentBlock]:
        """List segments in the open transaction."""
        for block in blocks:
            block.source.segment = self._writer.insert_segment(block.segment)
        return blocks

    def _flush(self) -> None:
        pending = self._snapshot.pending
        if not len(pending.ids):
            return
        self.require_sound()
        alive = slice(None) if pending.alive is None else pending.alive.astype(bool)
        ids, vectors, norms = pending.ids[alive], pending.vectors[alive], pending.norms[alive]
        try:
            with self._commit_lock:
                with self._new_files() as paths, self._writer.transaction(durable=True):
                    entries = self._entries_of(ids)
                    with self._writing_segments(entries, vectors, norms, paths) as writes:
                        self._drop_pending(pending)
                        blocks = self._listed(writes.results())
                self._remember(lambda: self._publish_flush(blocks))
        except BaseException as error:
            self.breaks(error)
            raise
        self._flush_error = None
        self._merger.wake()

    def _drop_pending(self, flushed: Block) -> None:
        dropped = self._writer.drop_pending(int(flushed.ids[-1]))
        if dropped != len(flushed.ids):
            raise HTMError(f"{dropped} rows were pending instead of {len(flushed.ids)}; close the store and verify it")
        self._writer.drop_dead(flushed.dead_ids.tolist())

    def _publish_flush(self, blocks: Sequence[SegmentBlock]) -> None:
        pending = PendingRows(self.marker.dimension)
        snapshot = self._snapshot.with_segments(blocks, ())
        self.purging = np.setdiff1d(self.purging, snapshot.pending.dead_ids)
        self._snapshot = Snapshot(snapshot.segments, pending.block(), snapshot.missing)
        self._pending = pending

    def _entries_of(self, ids: NDArray[np.int64]) -> list[Entry]:
        found = self._writer.entries_by_id(ids.tolist())
        if len(found) < len(ids):
            raise HTMError(f"pending rows have lost their entries; the catalog is damaged, {REPAIR}")
        return [found[i] for i in ids.tolist()]

    def replace_segments(self, old: Sequence[SegmentBlock], new: SegmentBlock | None) -> None:
        """Commit a merge of `old` (as they were when it began) to `new`, whose file goes if that fails."""
        ids = [block.segment.id for block in old]
        left_out = [i for block in old for i in block.dead_ids.tolist()]

        def replace() -> None:
            if new is not None:
                self._listed([new])
            self._writer.kill_segments(ids)
            # Exactly the rows that were left out: one that died since the merge began is
            # in the new file, and must stay dead.
            self._writer.drop_dead(left_out)

        paths = [] if new is None else [new.source.path]
        self._commit_files(paths, replace, lambda: self._publish_merge(ids, new, left_out))

    def insert_rotation(self, rows: int, plan: _core.Plan | None) -> Rotation:
        """Commit a plan by which segments are coded from now on."""

        def insert() -> Rotation:
            self.require_sound()
            with self._commit_lock, self._writer.transaction():
                rotation = derivations.insert_rotation(self._writer, rows, plan)
            self.derivations.know(rotation)
            return rotation

        return self.run(insert)

    def put_codes(self, sidecar: Sidecar) -> list[str]:
        """Commit a segment's codes, whose file goes if that fails; returns the names of the files that they replace."""
        replaced: list[str] = []

        def publish() -> None:
            self._snapshot = self._snapshot.with_codes(sidecar)

        self._commit_files([sidecar.path], lambda: replaced.extend(derivations.insert(self._writer, sidecar.derived)), publish)
        return replaced

    def drop_segments(self, ids: Sequence[int]) -> None:
        """Forget segments whose files are gone."""

        def drop() -> None:
            with self._commit_lock, self._writer.transaction():
                self._writer.drop_segments(ids)

        self.run(drop)

    def _publish_merge(self, ids: Sequence[int], new: SegmentBlock | None, left_out: Sequence[int]) -> None:
        added = []
        self.purging = np.setdiff1d(self.purging, left_out)
        if new is not None:
            dead = [block.dead_ids for block in self._snapshot.segments if block.segment.id in ids]
            added.append(new.without(np.sort(np.concatenate(dead))))
        self._snapshot = self._snapshot.with_segments(added, ids)

    def _look_after(self) -> None:
        """Flush and checkpoint when enough has come together; a failure is reported, not raised: the thread must go on."""
        if self._broken:
            return
        try:
            self._writer.checkpoint_if_due()
        except Exception as error:  # noqa: BLE001 - all of it is in the WAL
            log.warning("%s: the WAL could not be moved to the catalog: %s", self.folder, error)
            if self.breaks(error):
                return
        limit = min(_FLUSH_BYTES, (config.current().memory_limit_mb << 20) // 8)
        full = self.pending_bytes >= limit or len(self._snapshot.pending.ids) >= _FLUSH_ROWS
        if not full or time.monotonic() < self._retry_flush_at:
            return
        try:
            self._flush()
        except Exception as error:  # noqa: BLE001
            log.warning("flushing %s failed, its rows stay in the catalog: %s", self.folder, error)
            self._flush_error = str(error)
            self._retry_flush_at = time.monotonic() + _RETRY_SECONDS

    def _bulk_bytes(self) -> int:
        return min(merge.FULL_BYTES, (config.current().memory_limit_mb << 20) // 8)


def _joined(parts: Sequence[NDArray[A]]) -> NDArray[A]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
