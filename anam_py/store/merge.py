"""Merging: keeping the segments few, and giving the space of dead rows back.

Size-tiered over neighbours: the newest segments of a shard merge while the next older one is
at most twice their size, so that n rows lie in O(log n) segments and each row is rewritten
O(log n) times. A merge reads immutable files and writes a new one beside them; only its
commit takes the writer's time.
"""

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import HTMError
from anam_py.store import recovery, segment
from anam_py.store.segment import Columns, MappedSegment, Strings
from anam_py.store.snapshot import SegmentBlock, Snapshot

if TYPE_CHECKING:
    from anam_py.store.writer import WritingEngine

log = logging.getLogger("anam_py.store")

LARGEST_BYTES = 256 << 20
# Segments of this size are left to themselves, unless a third of one is dead.
FULL_BYTES = 128 << 20
_DEAD_SHARE = 1 / 3


def choose(blocks: Sequence[SegmentBlock]) -> list[SegmentBlock]:
    """Return neighbouring segments of one shard (ascending by id) to merge; empty if none."""
    for block in blocks:
        if block.live <= (1 - _DEAD_SHARE) * len(block.ids):
            return [block]
    run: list[SegmentBlock] = []
    size = 0.0
    for block in reversed(blocks):
        bytes_ = live_bytes(block)
        if run and (bytes_ > 2 * size or bytes_ >= FULL_BYTES or bytes_ + size > LARGEST_BYTES):
            break
        run.insert(0, block)
        size += bytes_
    return run if len(run) > 1 else []


def purgeable(blocks: Sequence[SegmentBlock], purged: NDArray[np.int64]) -> list[SegmentBlock]:
    """Return a segment that holds one of the ids (ascending) that no segment may keep; empty if none does."""
    return next(([block] for block in blocks if len(block.rows_of(purged))), [])


def whole(blocks: Sequence[SegmentBlock]) -> list[list[SegmentBlock]]:
    """Return the runs of one shard's segments that give the fewest, without dead rows."""
    runs: list[list[SegmentBlock]] = []
    size = 0.0
    for block in blocks:
        size += live_bytes(block)
        if not runs or size > LARGEST_BYTES:
            runs.append([])
            size = live_bytes(block)
        runs[-1].append(block)
    return [run for run in runs if len(run) > 1 or run[0].alive is not None]


def live_bytes(block: SegmentBlock) -> float:
    """Return about what the rows of a segment that are alive take."""
    return block.segment.bytes * block.live / len(block.ids)


def live_columns(blocks: Sequence[SegmentBlock]) -> Columns:
    """Return the rows of these segments that are alive, vectors piecewise."""
    sources = [block.source.columns() for block in blocks]
    rows = [np.arange(len(b.ids)) if b.alive is None else np.flatnonzero(b.alive) for b in blocks]

    def vectors() -> Iterator[NDArray[np.float32]]:
        for block, chosen in zip(blocks, rows, strict=True):
            for piece in segment.pieces(chosen):
                yield block.vectors[piece]

    def joined(name: str) -> NDArray[np.generic]:
        return np.concatenate([getattr(source, name)[chosen] for source, chosen in zip(sources, rows, strict=True)])

    def strings(name: str) -> Strings:
        return Strings.joined([getattr(s, name).take(chosen) for s, chosen in zip(sources, rows, strict=True) if len(chosen)])

    numbers = ("ids", "norms", "crc", "mcrc", "versions", "timestamps")
    return Columns(
        vectors=vectors(),
        keys=strings("keys"),
        metadata=strings("metadata"),
        **{name: joined(name) for name in numbers},  # type: ignore[arg-type]
    )


class Merger(threading.Thread):
    """The thread that merges when the writer says that there may be something to merge."""

    def __init__(self, engine: "WritingEngine") -> None:
        super().__init__(name="anam-merge", daemon=True)
        self._engine = engine
        self._wake = threading.Event()
        self._merging = threading.Lock()
        self._stopping = threading.Event()
        self._asking = threading.Lock()
        self._compactions: deque[Future[None]] = deque()

    def wake(self) -> None:
        """Look for something to merge, soon."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the merge under way, if any, and end."""
        with self._asking:
            self._stopping.set()
        self._wake.set()
        self.join()

    def paused(self) -> AbstractContextManager[object]:
        """Hold merges back, so that no file is there that its commit has yet to name."""
        return self._merging

    def compact(self) -> None:
        """Merge all that can be merged; returns once that is done."""
        wanted: Future[None] = Future()
        with self._asking:
            if self._stopping.is_set():
                raise HTMError("the store is closed; open it again with HTMCore(path)")
            self._compactions.append(wanted)
        self._wake.set()
        wanted.result()

    def run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            ending = self._stopping.is_set()
            while self._compactions:
                self._resolve(self._compactions.popleft())
            if ending:
                return
            try:
                while not self._stopping.is_set() and not self._compactions and self._merge_one():
                    pass
            except Exception as error:  # noqa: BLE001 - a full disk, say; tried again after the next flush
                self._engine.breaks(error)
                if not self._stopping.is_set():
                    log.warning("merging failed, the store goes on without: %s", error)
                self._engine.merge_error = str(error)
            self._engine.coder.wake()

    def _resolve(self, wanted: "Future[None]") -> None:
        try:
            with self._merging:
                for shard, blocks in by_shard(self._engine.snapshot()).items():
                    for run in whole(blocks):
                        if self._stopping.is_set():
                            raise HTMError("the store was closed while it was being compacted; nothing is lost")
                        merge(self._engine, shard, run)
        except BaseException as error:  # noqa: BLE001 - goes to whoever waits for it
            self._engine.breaks(error)
            wanted.set_exception(error)
        else:
            wanted.set_result(None)

    def _merge_one(self) -> bool:
        with self._merging:
            for shard, blocks in by_shard(self._engine.snapshot()).items():
                if run := choose(blocks) or purgeable(blocks, self._engine.purging):
                    merge(self._engine, shard, run)
                    return True
        return False


def by_shard(snapshot: Snapshot) -> dict[int, list[SegmentBlock]]:
    """Return the segments of each shard that is whole, ascending by id.

    A missing segment may come back; one merged from its neighbours would then overlap it.
    """
    groups: dict[int, list[SegmentBlock]] = {}
    for block in snapshot.segments:
        groups.setdefault(block.segment.shard, []).append(block)
    for segment_row, _ in snapshot.missing:
        groups.pop(segment_row.shard, None)
    return groups


def merge(engine: "WritingEngine", shard: int, run: Sequence[SegmentBlock]) -> None:
    """Replace neighbouring segments of a shard by one without their dead rows."""
    engine.require_sound()
    written: SegmentBlock | None = None
    if any(block.live for block in run):
        marker = engine.marker
        names = [block.segment.name for block in run]
        folder = segment.shard_folder(engine.folder, shard)
        row = segment.write(folder, marker.uuid, shard, marker.dimension, live_columns(run), names)
        written = SegmentBlock.of(MappedSegment(folder / row.name, row, marker.dimension))
    engine.replace_segments(run, written)
    remove_replaced(engine)


def remove_replaced(engine: "WritingEngine") -> None:
    """Remove the files that merges have replaced: not in the writer's thread, nobody need wait for it."""
    with engine.catalog.reading() as reader:
        dead = reader.segments("dead")
    try:
        if gone := recovery.unlink_dead(engine.folder, dead):
            engine.drop_segments(gone)
    except HTMError as error:  # they stay listed as dead, until the next merge or opening
        engine.breaks(error)
        log.warning("removing merged segments of %s failed: %s", engine.folder, error)
        engine.merge_error = str(error)
    else:
        engine.merge_error = None
