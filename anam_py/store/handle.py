"""A handle on a store: opening, closing, and watching what it holds and how long it takes."""

import logging
import os
import weakref
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anam_py import _validation, config
from anam_py._executor import async_twin
from anam_py._profiling import Profiler
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import registry
from anam_py.store.engine import Engine
from anam_py.store.writer import WritingEngine

if TYPE_CHECKING:
    from anam_py.store.device import DeviceCopy

T = TypeVar("T")

log = logging.getLogger("anam_py.store")

DEFAULT_DIMENSION = 768
_MOST_SHARDS = 4_096
_MOST_DIMENSIONS = 65_536


def resolved(path: Path) -> Path:
    """Return the folder that a path leads to."""
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # a loop of symbolic links
        raise HTMError(f"{str(path)!r} cannot be resolved: {error}; give another path") from error


class Handle:
    """An open store, shared with the other handles on its path in this process; see `HTMCore`."""

    def __init__(
        self,
        storage_path: str | os.PathLike[str],
        shard_count: int = 4,
        *,
        dimension: int | None = None,
        durability: str = "full",
        read_only: bool = False,
        allow_partial: bool = False,
        device: str | None = None,
    ) -> None:
        path = _validation.check_path(storage_path, "storage_path")
        shards = _validation.check_count(shard_count, "shard_count", 1, _MOST_SHARDS)
        if dimension is not None:
            dimension = _validation.check_count(dimension, "dimension", 1, _MOST_DIMENSIONS)
        if durability not in ("full", "normal"):
            raise ValidationError(f"durability must be 'full' or 'normal', got {durability!r}")
        self._copy_of = _copies_on(_validation.check_device(device))
        folder = resolved(path)
        self._profiler = Profiler()
        self._closed = False
        self._read_only = bool(read_only)
        self._partial = bool(allow_partial)
        self._engine = registry.acquire(folder, shards, dimension or DEFAULT_DIMENSION, durability, read_only=self._read_only)
        self._finalizer = weakref.finalize(self, registry.release_dropped, self._engine)
        self._copy = self._copy_of(self._engine)
        if shards != self.shard_count:
            log.info("%s has %d shards, and keeps them; shard_count=%d shapes a new store", folder, self.shard_count, shards)
        if dimension not in (None, self.dimension):
            self.close()
            raise HTMError(
                f"the store {str(folder)!r} has dimension {self.dimension}, not {dimension}; leave "
                "dimension out, or choose another path"
            )

    # The store itself

    @property
    def storage_path(self) -> Path:
        """The store's folder, absolute."""
        return self._engine.folder

    @property
    def dimension(self) -> int:
        """Length of the store's vectors."""
        return self._engine.marker.dimension

    @property
    def shard_count(self) -> int:
        """Number of the store's shards."""
        return self._engine.marker.shards

    @property
    def read_only(self) -> bool:
        """Whether this handle refuses to write."""
        return self._read_only

    @property
    def closed(self) -> bool:
        """Whether this handle has been closed."""
        return self._closed

    def __repr__(self) -> str:
        state = "closed" if self._closed else "read-only" if self._read_only else "open"
        return f"<{type(self).__name__} {str(self.storage_path)!r} ({state}, {self.dimension} dimensions)>"

    def __enter__(self) -> Self:
        self._reading()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close_async()

    def close(self) -> None:
        """Flush and release everything; other handles on the path stay open. A second call does nothing."""
        self._closed = True
        self._copy = None
        if self._finalizer.detach() and not self._engine.forked:
            registry.release(self._engine)

    close_async = async_twin(close)

    # Watching it

    def get_memory_stats(self) -> dict[str, int]:
        """Return what the store holds in memory.

        Returns
        -------
        dict of str to int
            used_bytes (caches and pending rows), cache_entries (records), cache_bytes, pending_bytes,
            mapped_bytes (segments and codes, which the operating system pages in and out), device_bytes
            (the rows that ``device=`` keeps), limit_bytes; used and total are used_bytes and limit_bytes.
        """
        engine, copy = self._reading(), self._copy
        pending, cached = engine.pending_bytes, engine.cached_bytes
        limit = config.current().memory_limit_mb << 20
        blocks = engine.snapshot().segments
        return {
            "used_bytes": cached + pending,
            "cache_entries": len(engine.cache),
            "cache_bytes": cached,
            "pending_bytes": pending,
            "mapped_bytes": sum(block.segment.bytes + block.codes_bytes for block in blocks),
            "device_bytes": 0 if copy is None else copy.nbytes,
            "limit_bytes": limit,
            "used": cached + pending,
            "total": limit,
        }

    def clear_cache(self) -> None:
        """Drop the cached records and what filters let through. Nothing stored is lost."""
        self._reading().drop_caches()

    def enable_profiling(self, enabled: bool = True) -> None:
        """Start or stop measuring how long this handle's operations take.

        Parameters
        ----------
        enabled : bool
            Whether to measure.
        """
        self._profiler.enabled = bool(enabled)

    def get_profiling_data(self) -> dict[str, Any]:
        """Return what was measured while profiling was on.

        Returns
        -------
        dict
            For each operation count, and avg/min/max/p50/p95/p99/total_duration_ms.
        """
        return self._profiler.data()

    def _reading(self) -> Engine:
        if self._closed:
            raise HTMError(f"the store {str(self.storage_path)!r} is closed; open it again with HTMCore(path)")
        self._engine.check_usable()
        return self._engine

    def _writing(self) -> WritingEngine:
        engine = self._reading()
        if self._read_only or not isinstance(engine, WritingEngine):
            raise HTMError(f"the store {str(self.storage_path)!r} was opened with read_only=True; open it without")
        return engine

    def _while_closed(self, function: Callable[[], T]) -> T:
        """Return what a function returns, called while nobody has the store open; then it is open again by this handle."""
        engine = self._writing()
        self.close()
        try:
            result = registry.alone(engine.folder, function)
        except HTMError:
            self._open_again(engine)
            raise
        self._open_again(engine)
        return result

    def _open_again(self, closed: WritingEngine) -> None:
        _, shards, dimension = closed.marker
        self._engine = registry.acquire(closed.folder, shards, dimension, closed.durability or "full", read_only=False)
        self._finalizer = weakref.finalize(self, registry.release_dropped, self._engine)
        self._copy = self._copy_of(self._engine)
        self._closed = False


def _copies_on(device: str | None) -> "Callable[[Engine], DeviceCopy | None]":
    """Return what gives an engine's copy on a device, which must be there; without one it gives None."""
    if device is None:
        return lambda _: None
    from anam_py.store import device as devices  # noqa: PLC0415 - it imports torch, which takes seconds

    return partial(devices.copy_of, device=devices.find(device))
