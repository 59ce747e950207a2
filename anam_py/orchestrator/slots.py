"""Slots: how much may go on at a time, given out in the order in which they were asked for."""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable

from anam_py.exceptions import OrchestratorError

__all__ = ["Claim", "Slots", "StuckError"]


class StuckError(OrchestratorError):
    """Every slot is held by something that was given up and has not ended."""


class _Turn:
    """Somebody who waits for a slot."""

    __slots__ = ("_loop", "called", "has_slot")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.called: asyncio.Future[None] = self._loop.create_future()
        self.has_slot = False

    def call(self, error: StuckError | None = None) -> bool:
        """Let it go on, from any thread, with a slot or an error; False if its loop is no more."""
        try:
            self._loop.call_soon_threadsafe(self._called, error)
        except RuntimeError:
            return False
        return True

    def _called(self, error: StuckError | None) -> None:
        if not self.called.done():
            if error is None:
                self.called.set_result(None)
            else:
                self.called.set_exception(error)


class Slots:
    """So many slots, for the coroutines of any number of event loops.

    Parameters
    ----------
    size : Callable
        Returns how many slots there are at the moment.
    stuck : str
        What to say to those who wait when every slot is held by something that was given up.
    """

    def __init__(self, size: Callable[[], int], stuck: str = "") -> None:
        self._size = size
        self._stuck = stuck
        self._lock = threading.Lock()
        self._taken = 0
        self._given_up = 0
        self._waiting: OrderedDict[_Turn, None] = OrderedDict()

    @property
    def taken(self) -> int:
        """How many are taken."""
        return self._taken

    @property
    def given_up(self) -> int:
        """How many are held by something that was given up and has not ended."""
        return self._given_up

    @property
    def is_stuck(self) -> bool:
        """Whether all are held by something that was given up and has not ended."""
        return self._given_up >= self._size()

    async def acquire(self) -> None:
        """Wait for a slot.

        Raises
        ------
        StuckError
            If none will come, as far as can be told.
        """
        with self._lock:
            if self.is_stuck:
                raise StuckError(self._stuck)
            if not self._waiting and self._taken < self._size():
                self._taken += 1
                return
            turn = _Turn()
            self._waiting[turn] = None
        try:
            await turn.called
        except asyncio.CancelledError:
            with self._lock:
                self._waiting.pop(turn, None)
            if turn.has_slot:
                self.release()
            raise

    def release(self) -> None:
        """Give a slot back, from any thread."""
        with self._lock:
            self._taken -= 1
            self._call_next()

    def give_up(self) -> None:
        """Say that what holds a slot is not waited for any more; it keeps the slot until it ends."""
        with self._lock:
            self._given_up += 1
            while self.is_stuck and self._waiting:
                self._waiting.popitem(last=False)[0].call(StuckError(self._stuck))

    def release_given_up(self) -> None:
        """Give back the slot of what had been given up, from any thread."""
        with self._lock:
            self._given_up -= 1
            self._taken -= 1
            self._call_next()

    def _call_next(self) -> None:
        while self._waiting and self._taken < self._size():
            turn, _ = self._waiting.popitem(last=False)
            turn.has_slot = turn.call()
            self._taken += turn.has_slot


class Claim:
    """What an attempt holds: a slot of its agent until it has really ended, and one for its thread until it has or is given up.

    Parameters
    ----------
    agent, threads : Slots or None
        None where it needs none.
    """

    def __init__(self, agent: Slots | None, threads: Slots | None) -> None:
        self._agent = agent
        self._threads = threads
        self._lock = threading.Lock()
        self._given_up = self._ended = False

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits for the attempt any more, though it has not ended then."""
        return self._given_up

    async def acquire(self) -> None:
        """Wait for what it needs; StuckError if that will not come."""
        if self._agent is not None:
            await self._agent.acquire()
        if self._threads is not None:
            try:
                await self._threads.acquire()
            except BaseException:
                if self._agent is not None:
                    self._agent.release()
                raise

    def give_up(self) -> None:
        """Do not wait for the attempt any more, unless it has ended meanwhile."""
        with self._lock:
            if self._ended:
                return
            self._given_up = True
        if self._threads is not None:
            self._threads.release()
        if self._agent is not None:
            self._agent.give_up()

    def end(self) -> None:
        """Give back what is held, from any thread, once the attempt has ended."""
        with self._lock:
            self._ended = True
        if not self._given_up and self._threads is not None:
            self._threads.release()
        if self._agent is not None:
            if self._given_up:
                self._agent.release_given_up()
            else:
                self._agent.release()
