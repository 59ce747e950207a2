"""Which stores this process has open: handles on one path share one engine."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from anam_py.exceptions import HTMError
from anam_py.store.engine import Engine, ReadingEngine
from anam_py.store.writer import WritingEngine

_lock = threading.Lock()
_open: dict[tuple[Path, bool], tuple[Engine, int]] = {}


def acquire(folder: Path, shards: int, dimension: int, durability: str, *, read_only: bool) -> Engine:
    """Return the engine of a store, opening it if this process has not done so."""
    with _lock:
        # A reader beside a writer of the same process shares its engine: it sees more, sooner.
        engine, handles = _find(folder, read_only)
        if engine is None:
            if read_only:
                engine = ReadingEngine(folder)
            else:
                engine = WritingEngine(folder, shards, dimension, durability)
        elif not read_only and engine.durability != durability:
            raise HTMError(
                f"the store {str(folder)!r} is open in this process with durability="
                f"{engine.durability!r}; open it with the same, not {durability!r}"
            )
        _open[folder, engine.read_only] = engine, handles + 1
        return engine


def release(engine: Engine) -> None:
    """Give one handle's share of an engine back; the last one closes it."""
    with _lock:
        place = engine.folder, engine.read_only
        engine_there, handles = _open.get(place, (None, 0))
        if engine_there is not engine:
            return
        if handles > 1:
            _open[place] = engine, handles - 1
            return
        del _open[place]
        engine.close()


def release_dropped(engine: Engine) -> None:
    """Release the share of a handle that was dropped without being closed.

    Runs wherever the interpreter happens to collect the handle: perhaps in the engine's own
    threads, which must not wait for themselves, or inside `acquire`, which holds the lock.
    """
    if engine.forked:
        return
    if engine.owns_current_thread() or not _lock.acquire(blocking=False):
        threading.Thread(target=release, args=(engine,), name="anam-release").start()
    else:
        _lock.release()
        release(engine)


def _find(folder: Path, read_only: bool) -> tuple[Engine | None, int]:
    for place in ((folder, False), (folder, True)) if read_only else ((folder, False),):
        engine, handles = _open.get(place, (None, 0))
        if engine is not None:
            return engine, handles
    return None, 0


def _forget_in_child() -> None:
    global _lock
    _lock = threading.Lock()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
