"""What waits for the writer thread, and who waits for it."""

import queue
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from anam_py.store.batch import Batch

# Batches above this many rows go straight to segments, and so never share a transaction.
BULK_ROWS = 1_000
# Callers beyond this wait for a place: what is queued stays bounded.
_MOST_WAITING = 1_024


@dataclass(slots=True)
class Write:
    """A batch to commit; its result is the number of keys that its deletes found."""

    batch: Batch
    future: Future[int] = field(default_factory=Future)
    deleted: int = 0

    @property
    def is_bulk(self) -> bool:
        """Whether it goes straight to segments."""
        return len(self.batch.puts) > BULK_ROWS


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
    """Jobs and writes in their order; writes that wait together come out together."""

    def __init__(self) -> None:
        self._queue: queue.Queue[Write | Job | None] = queue.Queue(_MOST_WAITING)
        self._taken: deque[Write | Job | None] = deque()

    def put(self, item: Write | Job | None) -> None:
        """Add an item, waiting for a place; None ends the queue."""
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
