"""What the profiling figures mean."""

import math
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py._profiling import WINDOW, Profiler, profiled


class Service:
    """Something with profiled methods."""

    def __init__(self) -> None:
        self._profiler = Profiler()

    @profiled
    def double(self, value: int, *, fail: bool = False) -> int:
        """Return twice the value."""
        if fail:
            raise KeyError(value)
        return 2 * value


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=300))
def test_figures_are_those_of_the_recorded_durations_in_milliseconds(seconds: list[float]) -> None:
    profiler = Profiler()
    for duration in seconds:
        profiler.record("get", duration)
    figures = profiler.data()["get"]
    ordered = sorted(seconds)
    assert figures["count"] == len(seconds)
    assert figures["min_duration_ms"] == ordered[0] * 1000
    assert figures["max_duration_ms"] == ordered[-1] * 1000
    assert figures["total_duration_ms"] == pytest.approx(math.fsum(seconds) * 1000)
    assert figures["avg_duration_ms"] == pytest.approx(math.fsum(seconds) * 1000 / len(seconds))
    for percent in (50, 95, 99):
        value = figures[f"p{percent}_duration_ms"] / 1000
        assert sum(duration <= value * (1 + 1e-12) for duration in seconds) >= percent / 100 * len(seconds)
        assert sum(duration < value * (1 - 1e-12) for duration in seconds) < percent / 100 * len(seconds)


def test_counts_cover_all_calls_while_memory_stays_bounded() -> None:
    profiler = Profiler()
    for _ in range(3 * WINDOW):
        profiler.record("get", 0.001)
    assert profiler.data()["get"]["count"] == 3 * WINDOW
    assert len(profiler._operations["get"].recent) == WINDOW


def test_nothing_is_recorded_while_profiling_is_off() -> None:
    service = Service()
    service.double(2)
    assert service._profiler.data() == {}


def test_calls_are_recorded_under_the_methods_name_while_profiling_is_on() -> None:
    service = Service()
    service._profiler.enabled = True
    assert service.double(2) == 4
    assert service._profiler.data()["double"]["count"] == 1


def test_a_call_that_raises_is_recorded_and_raises() -> None:
    service = Service()
    service._profiler.enabled = True
    with pytest.raises(KeyError):
        service.double(2, fail=True)
    assert service._profiler.data()["double"]["count"] == 1


def test_a_profiled_method_keeps_its_name_and_documentation() -> None:
    assert Service.double.__name__ == "double"
    assert Service.double.__doc__ == "Return twice the value."


def test_records_of_many_threads_are_all_counted() -> None:
    profiler = Profiler()
    threads = [threading.Thread(target=lambda: [profiler.record("get", 0.001) for _ in range(2000)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert profiler.data()["get"]["count"] == 16_000
