"""Threads beside the one that calls, also while the interpreter is ending and starts none any more."""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, Self, TypeVar

T = TypeVar("T")


def interpreter_ends() -> bool:
    """Return whether nothing of the program runs any more but its exit handlers."""
    main = threading.main_thread()  # a daemon in the child of a thread that was one
    return not any(thread.is_alive() and (thread is main or not thread.daemon) for thread in threading.enumerate())


def started(thread: threading.Thread) -> bool:
    """Start a thread; False if the interpreter is ending, and starts none."""
    if interpreter_ends():
        return False
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


class Beside(Generic[T]):
    """Functions called in other threads while the caller does something else, and then by the caller, too.

    Leaving the block waits for those under way, so that nothing goes on behind the caller's back.
    Once one has raised something, no other is begun.

    Parameters
    ----------
    functions : sequence of callable
        What to call, each once.
    threads : int
        How many threads may work, the caller's included.
    """

    def __init__(self, functions: Sequence[Callable[[], T]], threads: int) -> None:
        self._left = list(enumerate(functions))[::-1]
        self._results: dict[int, T] = {}
        self._errors: list[BaseException] = []
        count = min(threads, len(functions)) - 1
        self._threads = [threading.Thread(target=self._work, name="anam-beside", daemon=True) for _ in range(count)]

    def __enter__(self) -> Self:
        self._threads = [thread for thread in self._threads if started(thread)]
        return self

    def __exit__(self, *_: object) -> None:
        self._left.clear()
        self._join()

    def results(self) -> list[T]:
        """Return what the functions returned, in their order, or raise what the first to fail raised."""
        self._work()
        self._join()
        if self._errors:
            raise self._errors[0]
        return [self._results[i] for i in range(len(self._results))]

    def _join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while not self._errors:
            try:
                i, function = self._left.pop()
            except IndexError:
                return
            try:
                self._results[i] = function()
            except BaseException as error:  # noqa: BLE001 - goes to whoever asks for the results
                self._errors.append(error)
