"""Which stores this process has open: handles on one path share one engine."""

import atexit
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from anam_py.exceptions import HTMError
from anam_py.store.engine import Engine, ReadingEngine
from anam_py.store.jobs import Job
from anam_py.store.threads import interpreter_ends, started
from anam_py.store.writer import WritingEngine

T = TypeVar("T")


class _Registry:
    """Open engines by (folder, read only), each with the number of its handles.

    One thread opens and closes them all. A KeyboardInterrupt does not reach it, so neither ever
    ends half done; and what the garbage collector finds can be left to it, wherever that runs.
    """

    _jobs: queue.SimpleQueue[Job]
    _starting: threading.Lock
    _thread: threading.Thread | None

    def __init__(self) -> None:
        self.engines: dict[tuple[Path, bool], tuple[Engine, int]] = {}
        self.reserved: set[Path] = set()
        self.inherited: list[Engine] = []
        self._start_thread_anew()

    def after_fork(self) -> None:
        """Forget every engine, without letting go of any."""
        self.inherited = [*self.inherited, *(engine for engine, _ in self.engines.values())]
        self.engines = {}
        self.reserved = set()
        self._start_thread_anew()

    def submit(self, function: Callable[[], object]) -> Future[Any]:
        """Let the thread call a function; does not wait for any lock."""
        job = Job(function)
        self._jobs.put(job)
        return job.future

    def start(self) -> None:
        """Start the thread, if it is not there yet."""
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="anam-stores", daemon=True)
                self._thread.start()
                atexit.register(self._finish)

    def acquire(self, folder: Path, shards: int, dimension: int, durability: str, *, read_only: bool) -> Engine:
        """In the thread: return the engine of a store, for one more handle."""
        if folder in self.reserved:
            raise HTMError(f"the store {str(folder)!r} is being repaired in this process; open it when that is done")
        # A reader beside a writer of the same process shares its engine: it sees more, sooner.
        engine, handles = self.engines.get((folder, False)) or (read_only and self.engines.get((folder, True))) or (None, 0)
        if engine is None:
            engine = ReadingEngine(folder) if read_only else WritingEngine(folder, shards, dimension, durability)
        elif not read_only and engine.durability != durability:
            raise HTMError(
                f"the store {str(folder)!r} is open in this process with durability={engine.durability!r}; "
                f"open it with the same, not {durability!r}"
            )
        self.engines[folder, engine.read_only] = engine, handles + 1
        return engine

    def release(self, engine: Engine) -> None:
        """In the thread: give one handle's share of an engine back; the last one closes it."""
        place = engine.folder, engine.read_only
        found, handles = self.engines.get(place, (None, 0))
        if found is engine and handles > 1:
            self.engines[place] = engine, handles - 1
        elif found is engine:
            del self.engines[place]
            engine.close()

    def reserve(self, folder: Path) -> None:
        """In the thread: keep a store, which nobody has open, from being opened."""
        if folder in self.reserved:
            raise HTMError(f"the store {str(folder)!r} is being repaired in this process already; wait until that is done")
        if handles := sum(count for place, (_, count) in self.engines.items() if place[0] == folder):
            raise HTMError(f"the store {str(folder)!r} is open in this process, by {handles} other handles; close them first")
        self.reserved.add(folder)

    def _start_thread_anew(self) -> None:
        self._jobs = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread = None

    def _run(self) -> None:
        while True:
            job = self._jobs.get()
            # What is closed must not run on while the interpreter takes itself apart: it waits for
            # this thread before that, and for this one in `_finish`.
            apart = threading.Thread(target=job.run, name="anam-store", daemon=False)
            if started(apart):
                apart.join()
            else:
                job.run()

    def _finish(self) -> None:
        if self._thread is not None:
            self.submit(lambda: None).result()


_registry = _Registry()


def acquire(folder: Path, shards: int, dimension: int, durability: str, *, read_only: bool) -> Engine:
    """Return the engine of a store, opening it if this process has not done so."""
    _registry.start()
    opening = _registry.submit(lambda: _registry.acquire(folder, shards, dimension, durability, read_only=read_only))
    try:
        engine: Engine = opening.result()
    except KeyboardInterrupt:
        opening.add_done_callback(_give_back)
        raise
    return engine


def _give_back(opened: Future[Engine]) -> None:
    if not opened.exception():
        release_dropped(opened.result())


def release(engine: Engine) -> None:
    """Give one handle's share of an engine back; the last one closes it."""
    _registry.submit(lambda: _registry.release(engine)).result()


def release_dropped(engine: Engine) -> None:
    """Release the share of a handle that was dropped without being closed.

    Runs wherever the interpreter happens to collect the handle, and so must not wait for anything:
    this thread may hold any lock. Only at the interpreter's exit it must.
    """
    if not engine.forked:
        released = _registry.submit(lambda: _registry.release(engine))
        if interpreter_ends():
            released.result()


def alone(folder: Path, function: Callable[[], T]) -> T:
    """Return what a function returns, called while nobody in this process has a store open.

    An interrupt ends the waiting for it, not the function itself.

    Parameters
    ----------
    folder : pathlib.Path
        The store's, resolved.
    function : callable
        What to call.

    Raises
    ------
    HTMError
        If the store is open.
    """

    def work() -> T:
        try:
            return function()
        finally:
            _registry.submit(lambda: _registry.reserved.discard(folder)).result()

    _registry.start()
    _registry.submit(lambda: _registry.reserve(folder)).result()
    job = Job(work)
    if not started(threading.Thread(target=job.run, name="anam-alone", daemon=False)):
        job.run()
    result: T = job.future.result()
    return result


if hasattr(os, "register_at_fork"):
    # The child starts with none open: its copies of the parent's engines answer every call with an
    # HTMError, and are kept, since to close an inherited SQLite connection is not safe.
    os.register_at_fork(after_in_child=_registry.after_fork)
