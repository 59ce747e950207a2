"""Durations of named operations, kept in bounded memory."""

import functools
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Concatenate, Final, ParamSpec, Protocol, TypeVar

__all__ = ["Profiler", "profiled"]

# Percentiles describe this many most recent calls; count, total, minimum and maximum describe all.
WINDOW: Final = 4096


class _Durations:
    """What is known of one operation, in seconds."""

    __slots__ = ("count", "maximum", "minimum", "recent", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = 0.0
        self.recent: deque[float] = deque(maxlen=WINDOW)

    def add(self, seconds: float) -> None:
        self.count += 1
        self.total += seconds
        self.minimum = min(self.minimum, seconds)
        self.maximum = max(self.maximum, seconds)
        self.recent.append(seconds)

    def summary(self) -> dict[str, float]:
        """Return the figures in milliseconds; a percentile is the nearest-rank one, so always a duration that occurred."""
        ordered = sorted(self.recent)
        percentiles = {f"p{p}_duration_ms": ordered[math.ceil(p / 100 * len(ordered)) - 1] * 1000 for p in (50, 95, 99)}
        return {
            "count": self.count,
            "avg_duration_ms": self.total / self.count * 1000,
            "min_duration_ms": self.minimum * 1000,
            "max_duration_ms": self.maximum * 1000,
            **percentiles,
            "total_duration_ms": self.total * 1000,
        }


class Profiler:
    """Collects durations by operation name, from any thread.

    Attributes
    ----------
    enabled : bool
        Whether methods marked with :func:`profiled` are timed; off at first.
    """

    def __init__(self) -> None:
        self.enabled = False
        self._lock = threading.Lock()
        self._operations: dict[str, _Durations] = {}

    def record(self, operation: str, seconds: float) -> None:
        """Add one duration.

        Parameters
        ----------
        operation : str
            Name of the operation.
        seconds : float
            How long it took.
        """
        with self._lock:
            durations = self._operations.get(operation)
            if durations is None:
                durations = self._operations[operation] = _Durations()
            durations.add(seconds)

    def data(self) -> dict[str, dict[str, float]]:
        """Return what was measured.

        Returns
        -------
        dict[str, dict[str, float]]
            By operation: count, and in milliseconds the average, minimum, maximum, total, and the 50th, 95th and 99th
            percentile of the most recent 4,096 calls.
        """
        with self._lock:
            return {operation: durations.summary() for operation, durations in self._operations.items()}


class _HasProfiler(Protocol):
    _profiler: Profiler


P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound=_HasProfiler)


def profiled(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Time each call of a method under the method's name, while its object's profiler is enabled.

    Parameters
    ----------
    method : Callable
        A method of a class whose objects have a ``_profiler``; a leading underscore is no part of its name.

    Returns
    -------
    Callable
        The method, timed; calls that raise count too.
    """
    operation = method.__name__.removeprefix("_")

    @functools.wraps(method)
    def timed(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        profiler = self._profiler
        if not profiler.enabled:
            return method(self, *args, **kwargs)
        start = time.perf_counter()
        try:
            return method(self, *args, **kwargs)
        finally:
            profiler.record(operation, time.perf_counter() - start)

    return timed
