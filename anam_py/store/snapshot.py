"""Snapshots: what a scan sees, immutable, so that it needs no lock.

The writer publishes a new snapshot after each commit; arrays are shared between snapshots
and copied only where they change.
"""

import bisect
import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config
from anam_py.store.rows import Places, Segment
from anam_py.store.segment import MappedSegment
from anam_py.store.sidecar import Sidecar

# Pending rows are coded so many at a time; fewer are read as fast without codes.
_CODED_TOGETHER = 2_048
# Ids of which there is one in so many are not looked up in a table: it would be large, most having been overwritten.
_SPARSE = 64


@dataclass(frozen=True, slots=True)
class Block:
    """Rows that lie together, ids ascending. `alive` is None while every row is, else a mask of shape (n,)."""

    ids: NDArray[np.int64]
    vectors: NDArray[np.float32]
    norms: NDArray[np.float64]
    alive: NDArray[np.uint8] | None = None
    live: int = 0

    def row(self, entry_id: int) -> int | None:
        """Return the row of an id, dead or alive; None if it is not here."""
        row = int(np.searchsorted(self.ids, entry_id))
        return row if row < len(self.ids) and self.ids[row] == entry_id else None

    def without(self, ids: NDArray[np.int64]) -> Self:
        """Return this block with the rows of `ids` (those that are here) dead."""
        rows = self.rows_of(ids)
        if not len(rows):
            return self
        alive = np.ones(len(self.ids), np.uint8) if self.alive is None else self.alive.copy()
        alive[rows] = 0
        return replace(self, alive=alive, live=int(np.count_nonzero(alive)))

    def after(self, shorter: "Block") -> Self:
        """Return this block with those rows dead that are dead in one whose rows it begins with."""
        if shorter.alive is None:
            return self
        alive = np.ones(len(self.ids), np.uint8)
        alive[: len(shorter.alive)] = shorter.alive
        return replace(self, alive=alive, live=shorter.live + len(self.ids) - len(shorter.ids))

    def only(self, chosen: NDArray[np.uint8]) -> Self:
        """Return this block with only the rows alive that are, and that a mask has as well."""
        alive = chosen if self.alive is None else chosen & self.alive
        live = int(np.count_nonzero(alive))
        return replace(self, alive=None if live == len(self.ids) else alive, live=live)

    def rows_of(self, ids: NDArray[np.int64]) -> NDArray[np.intp]:
        """Return the rows of those of `ids` (ascending) that are here."""
        if not len(self.ids) or not len(ids):
            return np.empty(0, np.intp)
        ids = ids[np.searchsorted(ids, self.ids[0]) : np.searchsorted(ids, self.ids[-1], "right")]
        rows: NDArray[np.intp] = np.searchsorted(self.ids, ids)
        found: NDArray[np.intp] = rows[self.ids[rows] == ids]
        return found

    @property
    def nbytes(self) -> int:
        return self.ids.nbytes + self.vectors.nbytes + self.norms.nbytes

    @property
    def dead_ids(self) -> NDArray[np.int64]:
        return self.ids[:0] if self.alive is None else self.ids[self.alive == 0]

    @property
    def live_ids(self) -> NDArray[np.int64]:
        return self.ids if self.alive is None else self.ids[self.alive != 0]


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentBlock(Block):
    """The rows of one segment, and its codes if it has any."""

    source: MappedSegment
    sidecar: Sidecar | None = None

    @classmethod
    def of(cls, source: MappedSegment) -> Self:
        """Return the block of a segment none of whose rows is dead."""
        return cls(ids=source.ids, vectors=source.vectors, norms=source.norms, live=len(source.ids), source=source)

    @property
    def segment(self) -> Segment:
        """What the catalog says of the segment."""
        return self.source.segment

    @property
    def codes(self) -> _core.Codes | None:
        """What a scan may look at before the rows themselves, if there is any."""
        return None if self.sidecar is None else self.sidecar.codes

    @property
    def codes_bytes(self) -> int:
        """What the file of its codes takes."""
        return 0 if self.sidecar is None else self.sidecar.bytes

    @property
    def place(self) -> tuple[int, int]:
        """Shard and first id, by which a snapshot's segments are ordered."""
        return self.segment.shard, self.segment.first_id


class PendingCodes:
    """Codes of the first of the pending rows, made when a search first wants them: a put need not wait for that."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plan: _core.Plan | None = None
        self._arrays: dict[str, NDArray[Any]] = {}
        self._count = 0

    def of(self, plan: _core.Plan, block: Block) -> _core.Codes | None:
        """Return the codes of a block's first rows; None while there are few, which are read as fast without."""
        count = len(block.ids) // _CODED_TOGETHER * _CODED_TOGETHER
        if not count:
            return None
        with self._lock:
            if plan is not self._plan:
                self._plan, self._arrays, self._count = plan, {}, 0
            if count > self._count:
                new = slice(self._count, count)
                threads = config.current().thread_pool_size
                arrays = _core.encode(plan, block.vectors[new], block.norms[new], threads=threads)
                if self._arrays:
                    arrays = {name: np.concatenate([self._arrays[name], array]) for name, array in arrays.items()}
                self._arrays, self._count = arrays, count
            arrays = self._arrays
        layout = _core.code_layout(plan, count)
        return _core.Codes.of(plan, {name: array[: layout[name][0][0]] for name, array in arrays.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBlock(Block):
    """The pending rows."""

    coded: PendingCodes


class PendingRows:
    """Rows of no segment yet, growing in place: a block holds a prefix, which never changes."""

    def __init__(self, dimension: int) -> None:
        self.codes = PendingCodes()
        self._count = 0
        self._ids = np.empty(64, np.int64)
        self._vectors = np.empty((64, dimension), np.float32)
        self._norms = np.empty(64, np.float64)

    def append(self, ids: Sequence[int] | NDArray[np.int64], vectors: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
        start, stop = self._count, self._count + len(ids)
        if stop > len(self._ids):
            capacity = max(stop, 2 * len(self._ids))
            self._ids = _grown(self._ids, start, capacity)
            self._vectors = _grown(self._vectors, start, capacity)
            self._norms = _grown(self._norms, start, capacity)
        self._ids[start:stop] = ids
        self._vectors[start:stop] = vectors
        self._norms[start:stop] = norms
        self._count = stop

    def block(self) -> PendingBlock:
        n = self._count
        return PendingBlock(self._ids[:n], self._vectors[:n], self._norms[:n], None, n, coded=self.codes)


@dataclass(frozen=True)
class Snapshot:
    """One moment of a store: segments by (shard, first id), then the pending rows.

    `missing` lists live segments whose file is not readable, with the reason; `narrowed` is what `ScopeCache` has of it.
    """

    segments: tuple[SegmentBlock, ...]
    pending: PendingBlock
    missing: tuple[tuple[Segment, str], ...] = ()
    narrowed: dict[Any, "Snapshot"] = field(default_factory=dict, init=False, repr=False, compare=False)
    _starts: list[tuple[int, int]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", [block.place for block in self.segments])

    @property
    def blocks(self) -> tuple[Block, ...]:
        return (*self.segments, self.pending)

    @property
    def live(self) -> int:
        return sum(block.live for block in self.blocks)

    @property
    def places(self) -> Places:
        """Where its rows lie."""
        ids = sorted(block.segment.id for block in self.segments)
        first = int(self.pending.ids[0]) if len(self.pending.ids) else None
        return Places(tuple(ids), first, sum(len(block.ids) - block.live for block in self.blocks))

    @property
    def last_id(self) -> int:
        """The greatest id of a row, dead or alive; 0 if there is none."""
        return max((int(block.ids[-1]) for block in self.blocks if len(block.ids)), default=0)

    def live_ids(self) -> NDArray[np.int64]:
        """Return the ids of the rows that are alive, ascending."""
        return np.sort(np.concatenate([block.live_ids for block in self.blocks]), kind="stable")  # which merges

    def rows(self) -> list[_core.Rows]:
        """Return the blocks as the kernels take them."""
        if not _core.CODES_PAY:
            return [_core.Rows(b.vectors, b.norms, b.alive) for b in self.blocks]
        rows = [_core.Rows(b.vectors, b.norms, b.alive, b.codes) for b in self.segments]
        # As the segment that was coded last.
        sidecar = max((b.sidecar for b in self.segments if b.sidecar), key=lambda s: s.derived.rotation, default=None)
        codes = None if sidecar is None else self.pending.coded.of(sidecar.codes.plan, self.pending)
        return [*rows, _core.Rows(self.pending.vectors, self.pending.norms, self.pending.alive, codes)]

    def vector(self, shard: int, entry_id: int) -> NDArray[np.float32] | None:
        """Return a view of an id's vector; None if this snapshot does not have it."""
        index = bisect.bisect_right(self._starts, (shard, entry_id)) - 1
        candidates = [self.pending] if index < 0 else [self.segments[index], self.pending]
        for block in candidates:
            row = block.row(entry_id)
            if row is not None:
                vector: NDArray[np.float32] = block.vectors[row]
                return vector
        return None

    def missing_from(self, shard: int, entry_id: int) -> str | None:
        """Return why an id's segment is not readable; None if that is not the reason."""
        for segment, reason in self.missing:
            if segment.shard == shard and segment.first_id <= entry_id <= segment.last_id:
                return reason
        return None

    def without(self, ids: Sequence[int]) -> "Snapshot":
        """Return this snapshot with the rows of `ids` dead."""
        if not len(ids):
            return self
        dead = np.sort(np.array(ids, np.int64))
        segments = tuple(block.without(dead) for block in self.segments)
        return Snapshot(segments, self.pending.without(dead), self.missing)

    def only(self, ids: NDArray[np.int64]) -> "Snapshot":
        """Return this snapshot with only the rows of `ids` (ascending; those that are here and alive) alive."""
        among = _lookup(ids, sum(len(block.ids) for block in self.blocks))
        segments = tuple(block.only(among(block.ids)) for block in self.segments)
        return Snapshot(segments, self.pending.only(among(self.pending.ids)), self.missing)

    def with_pending(self, pending: PendingBlock) -> "Snapshot":
        """Return this snapshot with another pending block, its dead rows still dead."""
        return Snapshot(self.segments, pending.after(self.pending), self.missing)

    def with_codes(self, sidecar: Sidecar) -> "Snapshot":
        """Return this snapshot with codes beside the segment that they belong to, if it is here."""
        segments = (replace(b, sidecar=sidecar) if b.segment.id == sidecar.derived.segment else b for b in self.segments)
        return Snapshot(tuple(segments), self.pending, self.missing)

    def with_segments(self, added: Iterable[SegmentBlock], removed: Collection[int]) -> "Snapshot":
        """Return this snapshot with some segments (by their catalog id) replaced by others."""
        kept = [block for block in self.segments if block.segment.id not in removed]
        segments = sorted((*kept, *added), key=lambda block: block.place)
        missing = tuple(item for item in self.missing if item[0].id not in removed)
        return Snapshot(tuple(segments), self.pending, missing)


def _lookup(ids: NDArray[np.int64], rows: int) -> Callable[[NDArray[np.int64]], NDArray[np.uint8]]:
    """Return a function that says which of other ids are among these (both ascend), to be asked about so many rows."""
    first, last = (int(ids[0]), int(ids[-1])) if len(ids) else (1, 0)
    table = None
    if last - first < _SPARSE * rows:
        table = np.zeros(last - first + 1, np.uint8)
        table[ids - first] = 1

    def among(others: NDArray[np.int64]) -> NDArray[np.uint8]:
        found = np.zeros(len(others), np.uint8)
        start, stop = np.searchsorted(others, (first, last + 1))
        within = others[start:stop]
        found[start:stop] = ids[np.searchsorted(ids, within)] == within if table is None else table[within - first]
        return found

    return among


A = TypeVar("A", bound=np.generic)


def _grown(array: NDArray[A], used: int, capacity: int) -> NDArray[A]:
    grown = np.empty((capacity, *array.shape[1:]), array.dtype)
    grown[:used] = array[:used]
    return grown
