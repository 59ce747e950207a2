"""Which stores this process has open: handles on one path share one engine."""

import os
import threading
from pathlib import Path

from anam_py.exceptions import HTMError
from anam_py.store.engine import Engine, ReadingEngine
from anam_py.store.writer import WritingEngine


class _Registry:
    """Open engines by (folder, read only), each with the number of its handles; those without are being closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engines: dict[tuple[Path, bool], tuple[Engine, int]] = {}

    def find(self, folder: Path, *, read_only: bool) -> tuple[Engine, int] | None:
        # A reader beside a writer of the same process shares its engine: it sees more, sooner.
        for place in [(folder, False), (folder, True)] if read_only else [(folder, False)]:
            engine, handles = self.engines.get(place, (None, 0))
            if engine is not None and not handles:
                self.close(engine)
            elif engine is not None:
                return engine, handles
        return None

    def close(self, engine: Engine) -> None:
        # An interrupt may end this anywhere; then whoever opens the store next goes on from there.
        place = engine.folder, engine.read_only
        self.engines[place] = engine, 0
        engine.close()
        del self.engines[place]


_registry = _Registry()


def acquire(folder: Path, shards: int, dimension: int, durability: str, *, read_only: bool) -> Engine:
    """Return the engine of a store, opening it if this process has not done so."""
    with _registry.lock:
        engine: Engine
        if found := _registry.find(folder, read_only=read_only):
            engine, handles = found
            if not read_only and engine.durability != durability:
                raise HTMError(
                    f"the store {str(folder)!r} is open in this process with durability={engine.durability!r}; "
                    f"open it with the same, not {durability!r}"
                )
        else:
            handles = 0
            engine = ReadingEngine(folder) if read_only else WritingEngine(folder, shards, dimension, durability)
        _registry.engines[folder, engine.read_only] = engine, handles + 1
        return engine


def release(engine: Engine) -> None:
    """Give one handle's share of an engine back; the last one closes it."""
    with _registry.lock:
        place = engine.folder, engine.read_only
        found, handles = _registry.engines.get(place, (None, 0))
        if found is not engine:
            return
        if handles > 1:
            _registry.engines[place] = engine, handles - 1
        else:
            _registry.close(engine)


def release_dropped(engine: Engine) -> None:
    """Release the share of a handle that was dropped without being closed.

    Runs wherever the interpreter happens to collect the handle: perhaps in the engine's own
    threads, which must not wait for themselves, or inside `acquire`, which holds the lock.
    """
    if engine.forked:
        return
    if engine.owns_current_thread() or not _registry.lock.acquire(blocking=False):
        threading.Thread(target=release, args=(engine,), name="anam-release").start()
    else:
        _registry.lock.release()
        release(engine)


if hasattr(os, "register_at_fork"):
    # The child starts with none open: its copies of the parent's engines answer every call with an HTMError.
    os.register_at_fork(after_in_child=_registry.__init__)  # type: ignore[misc]
