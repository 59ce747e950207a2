"""Which stores this process has open: handles on one path share one engine."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from anam_py.exceptions import HTMError
from anam_py.store.engine import Engine, ReadingEngine
from anam_py.store.writer import WritingEngine

T = TypeVar("T")


class _Registry:
    """Open engines by (folder, read only), each with the number of its handles."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.engines: dict[tuple[Path, bool], tuple[Engine, int]] = {}
        self.inherited: list[Engine] = []

    def start_anew(self) -> None:
        """Forget every engine, without letting go of any."""
        self.inherited = [*self.inherited, *(engine for engine, _ in self.engines.values())]
        self.lock = threading.Lock()
        self.engines = {}

    def find(self, folder: Path, *, read_only: bool) -> tuple[Engine, int] | None:
        # A reader beside a writer of the same process shares its engine: it sees more, sooner.
        writing = self.engines.get((folder, False))
        return writing or (self.engines.get((folder, True)) if read_only else None)

    def release(self, engine: Engine) -> None:
        place = engine.folder, engine.read_only
        found, handles = self.engines.get(place, (None, 0))
        if found is not engine:
            return
        if handles > 1:
            self.engines[place] = engine, handles - 1
        else:
            del self.engines[place]
            engine.close()


_registry = _Registry()


def acquire(folder: Path, shards: int, dimension: int, durability: str, *, read_only: bool) -> Engine:
    """Return the engine of a store, opening it if this process has not done so."""

    def open_() -> Engine:
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

    opening = _uninterrupted(open_)
    try:
        return opening.result()
    except KeyboardInterrupt:
        opening.add_done_callback(_give_back)
        raise


def _give_back(opened: Future[Engine]) -> None:
    if not opened.exception():
        release(opened.result())


def release(engine: Engine) -> None:
    """Give one handle's share of an engine back; the last one closes it."""

    def release_() -> None:
        with _registry.lock:
            _registry.release(engine)

    _uninterrupted(release_).result()


def release_dropped(engine: Engine) -> None:
    """Release the share of a handle that was dropped without being closed.

    Runs wherever the interpreter happens to collect the handle: perhaps in an engine's own
    thread, which must not wait for itself, or inside `acquire`, which holds the lock.
    """
    if engine.forked:
        return
    if engine.owns_current_thread() or not _registry.lock.acquire(blocking=False):
        threading.Thread(target=release, args=(engine,), name="anam-release").start()
        return
    try:
        _registry.release(engine)
    finally:
        _registry.lock.release()


def _uninterrupted(function: Callable[[], T]) -> Future[T]:
    """Call a function where no KeyboardInterrupt can end it half done: in a thread, unless this is one."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - goes to whoever waits for it
            future.set_exception(error)

    if threading.current_thread() is threading.main_thread() and threading.main_thread().is_alive():
        threading.Thread(target=call, name="anam-open").start()
    else:
        call()
    return future


if hasattr(os, "register_at_fork"):
    # The child starts with none open: its copies of the parent's engines answer every call with an
    # HTMError, and are kept, since to close an inherited SQLite connection is not safe.
    os.register_at_fork(after_in_child=_registry.start_anew)
