"""Coding: giving segments the codes that let a search read fewer bytes.

Codes are never needed. They are made in a thread of their own, once nothing has been stored or merged for
a moment: what is merged away would have been coded in vain, and who stores wants the processors.
"""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config
from anam_py.exceptions import HTMError
from anam_py.store import files, sidecar
from anam_py.store.segment import shard_folder
from anam_py.store.sidecar import Rotation
from anam_py.store.snapshot import SegmentBlock, Snapshot
from anam_py.store.threads import interpreter_ends

if TYPE_CHECKING:
    from anam_py.store.writer import WritingEngine

log = logging.getLogger("anam_py.store")

# A smaller segment is read as fast without.
LEAST_ROWS = 256
# A plan is chosen by what a store holds, so it takes some; and again where there is far more than there was then.
PLAN_ROWS = 2_048
GROWTH = 8
_SAMPLE_ROWS = 8_192
QUIET_SECONDS = 0.25
# Coding begins after so long also where things never get quiet; and where somebody wants the processors for as long as it takes.
_PATIENCE_SECONDS = 5.0
_HELD_OFF_SECONDS = 120.0


def sample(snapshot: Snapshot) -> NDArray[np.float32]:
    """Return unit vectors of some rows of segments that are alive, from all over the store, in no order."""
    rows = [np.arange(len(b.ids)) if b.alive is None else np.flatnonzero(b.alive) for b in snapshot.segments]
    ends = np.cumsum([len(part) for part in rows])
    places = np.linspace(0, ends[-1] - 1, min(_SAMPLE_ROWS, int(ends[-1]))).astype(np.intp)
    parts = []
    for block, part, end in zip(snapshot.segments, rows, ends.tolist(), strict=True):
        chosen = part[places[(places >= end - len(part)) & (places < end)] - (end - len(part))]
        with np.errstate(all="ignore"):  # what is damaged
            parts.append((block.vectors[chosen] / block.norms[chosen, np.newaxis]).astype(np.float32))
    found: NDArray[np.float32] = np.concatenate(parts)
    return np.random.default_rng(0).permutation(found[np.isfinite(found).all(axis=1)])


def lacking(snapshot: Snapshot, rotation: int) -> list[SegmentBlock]:
    """Return the segments that have to be coded by a rotation, first those that have no codes at all."""
    large = [block for block in snapshot.segments if len(block.ids) >= LEAST_ROWS]
    left = [block for block in large if block.sidecar is None or block.sidecar.derived.rotation != rotation]
    return sorted(left, key=lambda block: block.sidecar is not None)


class Coder(threading.Thread):
    """The thread that codes segments when they have come to rest.

    Parameters
    ----------
    engine : WritingEngine
        Of the store.

    Attributes
    ----------
    error : str or None
        Why the last segment could not be coded, if so.
    """

    def __init__(self, engine: "WritingEngine") -> None:
        super().__init__(name="anam-codes", daemon=True)
        self._engine = engine
        self._changed = threading.Condition()
        self._woken: tuple[float, float] | None = None  # when for the first time since there was quiet, and when last
        self._waiting: list[Future[None]] = []
        self._holders = 0
        self._stopping = False
        self._rotation: Rotation | None = None
        self.error: str | None = None

    def wake(self) -> None:
        """Look for segments to code, once there is quiet."""
        now = time.monotonic()
        with self._changed:
            self._woken = (self._woken[0] if self._woken else now), now
            self._changed.notify()

    @contextmanager
    def held_off(self) -> Iterator[None]:
        """Leave the processors to whoever stores much, until the context ends; within limits, since it may be forgotten."""
        with self._changed:
            self._holders += 1
        try:
            yield
        finally:
            with self._changed:
                self._holders -= 1
                if self._woken:
                    self._woken = time.monotonic(), time.monotonic()
                self._changed.notify()

    def finish(self) -> None:
        """Code all segments that are to be coded; returns once that is done, or has failed."""
        waiting: Future[None] = Future()
        with self._changed:
            if self._stopping:
                raise HTMError("the store is closed; open it again with HTMCore(path)")
            self._waiting.append(waiting)
            self._changed.notify()
        waiting.result()

    def stop(self) -> None:
        """Finish the segment under way, if any, and end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self.join()

    def run(self) -> None:
        while True:
            waiting, ending = self._rest()
            if not ending:
                try:
                    self._code_all()
                except Exception as error:  # noqa: BLE001 - a full disk, say; tried again after the next merge
                    self._failed(error)
            for future in waiting:
                future.set_result(None)
            if ending:
                return

    def _rest(self) -> tuple[list["Future[None]"], bool]:
        """Wait until there is something to do; returns those who wait for that to be done, and whether it is to end."""
        with self._changed:
            while not self._stopping and not self._waiting:
                if not self._woken:
                    self._changed.wait()
                    continue
                first, last = self._woken
                now = time.monotonic()
                if self._engine.is_committing or self._holders:
                    last = now
                    self._woken = first, last
                patience = _HELD_OFF_SECONDS if self._holders else _PATIENCE_SECONDS
                seconds = min(last + QUIET_SECONDS, first + patience) - now
                if seconds <= 0:
                    break
                self._changed.wait(seconds)
            self._woken = None
            waiting, self._waiting = self._waiting, []
            return waiting, self._stopping

    def _code_all(self) -> None:
        self._engine.require_sound()
        tried: set[int] = set()
        while not self._stopping:
            snapshot = self._engine.snapshot()
            rotation = self._suitable(snapshot)
            if rotation is None or rotation.plan is None:
                break
            left = [block for block in lacking(snapshot, rotation.id) if block.segment.id not in tried]
            if not left:
                break
            tried.add(left[0].segment.id)
            self._code(left[0], rotation, rotation.plan)
        self.error = None

    def _suitable(self, snapshot: Snapshot) -> Rotation | None:
        """Return the rotation to code by, choosing one if need be; None while there are too few rows to choose by."""
        if self._rotation is None:
            with self._engine.catalog.reading() as reader:
                self._rotation = self._engine.derivations.newest(reader)
        known, live = self._rotation, sum(block.live for block in snapshot.segments)
        if live >= (PLAN_ROWS if known is None else GROWTH * known.rows):
            plan = _core.choose_plan(sample(snapshot), rows=live, threads=config.current().thread_pool_size)
            self._rotation = self._engine.insert_rotation(live, plan)
        return self._rotation

    def _code(self, block: SegmentBlock, rotation: Rotation, plan: _core.Plan) -> None:
        engine, segment = self._engine, block.segment
        arrays = _core.encode(plan, block.vectors, block.norms, threads=config.current().thread_pool_size)
        block.source.let_go()
        with engine.holding_merges():  # one might remove the segment before its codes are listed
            if self._stopping or all(other.segment.id != segment.id for other in engine.snapshot().segments):
                return
            folder = shard_folder(engine.folder, segment.shard)
            written = sidecar.write(folder, segment, rotation, engine.marker.uuid, arrays)
            for name in engine.put_codes(written):
                files.remove(folder / name)

    def _failed(self, error: Exception) -> None:
        self._engine.breaks(error)
        said = str(error) or type(error).__name__
        if said != self.error and not self._stopping and not interpreter_ends():
            log.warning("coding segments of %s failed, searches go on without: %s", self._engine.folder, said)
        self.error = said
