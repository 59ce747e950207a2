"""Which rows filters let through, kept from one search to the next.

Metadata never change under an id, ids ascend from commit to commit and are never used again, and an entry that is gone
stays gone. So of the entries up to an id, a filter lets through at every later moment what it once did, but for those
that are gone: it has to be asked about newer entries only, and about none while the snapshot is the same.
"""

import threading
import weakref
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py import config
from anam_py.store.filters import Condition
from anam_py.store.selecting import LetThrough
from anam_py.store.snapshot import Snapshot
from anam_py.store.tables import Reader

_MOST = 32
# The share of the record cache's size that may be taken beside it.
_SHARE = 4

_Key = tuple[str, tuple[Any, ...]]


class _Kept(NamedTuple):
    """The ids that a filter let through among those up to `last`, and the snapshot that holds the narrowed one."""

    ids: NDArray[np.int64]
    last: int
    snapshot: weakref.ref[Snapshot]
    nbytes: int


class ScopeCache:
    """What the most recently used filters let through, of one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self.nbytes = 0

    def narrowed(self, snapshot: Snapshot, reader: Reader, where: Condition) -> Snapshot | None:
        """Return a snapshot with only those rows alive that a filter lets through; None if they cannot be told any more.

        Nothing is kept that mixes two moments. The reader sees a moment that is not before the snapshot's, nor before that of
        which ids are known; only if none of the snapshot's entries is gone by then is anything made of them. That is so if
        their places are still the same: an entry that goes makes one dead row more, and rows are only dropped by what changes
        segments or pending rows. So each of its entries was there when ids were found, unless it is newer and looked at now;
        and what the filter lets through are the known ids that are alive, and the new ones up to the snapshot's last.
        """
        if snapshot.missing or reader.is_frozen:  # which may have been before the known ids' moment
            return _as_read(snapshot, reader.ids(where))
        key = (where.sql, where.parameters)
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                if (known := snapshot.narrowed.get(key)) is not None:
                    return known
        with reader.frozen():
            found = reader.ids(where, after=kept.last if kept else 0)
            places = reader.places()
        if places != snapshot.places:
            return None if kept else _as_read(snapshot, found)
        found = found[: np.searchsorted(found, snapshot.last_id, "right")]
        ids = np.concatenate((kept.ids, found)) if kept else found
        chosen = snapshot.only(ids)
        if chosen.live < len(ids):
            if kept is None:
                return None
            ids = chosen.live_ids()
        masks = sum(block.alive.nbytes for block in chosen.blocks if block.alive is not None)
        size = ids.nbytes + masks + sum(len(value) for value in where.parameters if isinstance(value, str | bytes))
        self._keep(key, chosen, _Kept(ids, snapshot.last_id, weakref.ref(snapshot), size))
        return chosen

    def known(self, reader: Reader, where: Condition | None) -> LetThrough | None:
        """Return what is known of a filter; it holds at every moment that the reader sees from now on, unless it holds one."""
        if where is None or reader.is_frozen:
            return None
        with self._lock:
            kept = self._kept.get((where.sql, where.parameters))
        return kept and LetThrough(kept.ids, kept.last)

    def clear(self) -> None:
        """Drop everything."""
        with self._lock:
            for key in list(self._kept):
                self._drop(key)

    def _keep(self, key: _Key, chosen: Snapshot, kept: _Kept) -> None:
        limit = (config.current().cache_size_mb << 20) // _SHARE
        with self._lock:
            self._drop(key)
            snapshot = kept.snapshot()
            if snapshot is None or kept.nbytes > limit:
                return
            self._kept[key] = kept
            self.nbytes += kept.nbytes
            # There it goes as soon as the snapshot does, and does not keep files mapped that a merge has replaced.
            snapshot.narrowed[key] = chosen
            while self.nbytes > limit or len(self._kept) > _MOST:
                self._drop(next(iter(self._kept)))

    def _drop(self, key: _Key) -> None:
        kept = self._kept.pop(key, None)
        if kept is not None:
            self.nbytes -= kept.nbytes
            if (snapshot := kept.snapshot()) is not None:
                snapshot.narrowed.pop(key, None)


def _as_read(snapshot: Snapshot, ids: NDArray[np.int64]) -> Snapshot | None:
    chosen = snapshot.only(ids)
    return chosen if chosen.live == len(ids) or snapshot.missing else None
