"""How often threads take turns: more often while handlers compute in some, so that the event loop is not kept waiting.

A thread that computes in Python gives the interpreter up every five milliseconds, and then to any of those that wait. Beside
two of them an event loop waited up to a tenth of a second for its turn; at one millisecond it waits a few.
"""

import sys
import threading

__all__ = ["prompt_turns"]

_SECONDS = 0.001


class _PromptTurns:
    """Shortens the interpreter's switch interval while entered, by however many threads; then it is what it was."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0
        self._usual = 0.0

    def __enter__(self) -> None:
        with self._lock:
            self._entered += 1
            if self._entered == 1:
                self._usual = sys.getswitchinterval()
                sys.setswitchinterval(min(self._usual, _SECONDS))

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered:
                sys.setswitchinterval(self._usual)


prompt_turns = _PromptTurns()
