"""Fixtures of the core's tests."""

import sys
import threading
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def releases_gil() -> Iterator[Callable[[Callable[[], object]], bool]]:
    """Return a function that says whether a call lets other threads run while it lasts."""

    def released(call: Callable[[], object], most: int = 500) -> bool:
        stop = threading.Event()
        calls = 0

        def repeat() -> None:
            nonlocal calls
            while calls < most and not stop.is_set():
                call()
                calls += 1

        thread = threading.Thread(target=repeat)
        thread.start()
        stop.set()
        thread.join()
        return calls < most

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # no thread is made to give way
    yield released
    sys.setswitchinterval(interval)
