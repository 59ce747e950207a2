"""What the orchestrator's tests share: a store, orchestrators, and a look at what is left behind."""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import handlers
import pytest

from anam_py import HTMCore, MultiAgentOrchestrator


@pytest.fixture(name="htm")
def open_store(tmp_path: Path) -> Iterator[HTMCore]:
    """Give a store, which is sound at the end."""
    with HTMCore(tmp_path / "store", 1, dimension=4, durability="normal") as htm:
        yield htm
        if not htm.closed:
            assert htm.verify() == []


@pytest.fixture(name="make")
def make_orchestrators(htm: HTMCore) -> Callable[..., MultiAgentOrchestrator]:
    """Give what makes orchestrators that are quick to give up."""
    return lambda **options: MultiAgentOrchestrator(htm, **{"grace": 0.2, "backoff": 0.001, "max_backoff": 0.002, **options})


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Require that no thread of a handler and no process outlives a test."""
    yield
    deadline = time.monotonic() + 10
    while (left := handlers.threads() or multiprocessing.active_children()) and time.monotonic() < deadline:
        time.sleep(0.01)  # a handler that was told to end needs a moment to do so
    assert left == []
