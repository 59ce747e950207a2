"""What waits for the writer thread, and who waits for it."""

import queue
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from anam_py.store.batch import Batch

# Batches above this many rows go straight to segments, and so never share a transaction.
BULK_ROWS = 1_000


class Write:
    """A batch to commit, and the caller's way to wait for it: a Future takes twice as long to wake somebody.

    Parameters
    ----------
    batch : Batch
        What to commit.

    Attributes
    ----------
    deleted : int
        How many keys its deletes have found.
    """

    __slots__ = ("_done", "_error", "batch", "deleted")

    def __init__(self, batch: Batch) -> None:
        self.batch = batch
        self.deleted = 0
        self._error: BaseException | None = None
        self._done = threading.Lock()
        self._done.acquire()

    @property
    def is_bulk(self) -> bool:
        """Whether it goes straight to segments."""
        return len(self.batch.puts) > BULK_ROWS

    def end(self, error: BaseException | None = None) -> None:
        """Let the caller go on: the batch is committed, or `error` says why it is not."""
        self._error = error
        self._done.release()

    def wait(self) -> int:
        """Wait for the end; returns how many keys its deletes have found, or raises why it was not committed."""
        self._done.acquire()
        if self._error is not None:
            raise self._error
        return self.deleted


@dataclass(slots=True)
class Job:
    """Something else to do between two commits."""

    function: Callable[[], Any]
    future: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        """Call the function and resolve the future with what comes of it."""
        try:
            result = self.function()
        except BaseException as error:  # noqa: BLE001 - goes to whoever waits for it
            self.future.set_exception(error)
        else:
            self.future.set_result(result)


class WorkQueue:
    """Jobs and writes in their order; writes that wait together come out together.

    Whoever puts something here waits for it, so that it is never longer than there are callers.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Write | Job | None] = queue.SimpleQueue()
        self._taken: deque[Write | Job | None] = deque()

    def put(self, item: Write | Job | None) -> None:
        """Add an item; None ends the queue."""
        self._queue.put(item)

    def take(self) -> list[Write] | Job | None:
        """Wait for the next item; a list of writes can share one transaction."""
        first = self._taken.popleft() if self._taken else self._queue.get()
        if not isinstance(first, Write):
            return first
        group, rows = [first], len(first.batch.puts)
        while rows <= BULK_ROWS:
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                break
            if not isinstance(item, Write) or item.is_bulk:
                self._taken.append(item)
                break
            group.append(item)
            rows += len(item.batch.puts)
        return group
