"""Fixtures of the store's tests."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anam_py.store import HTMCore

OpenStore = Callable[..., HTMCore]


@pytest.fixture
def open_store(store_path: Path) -> Iterator[OpenStore]:
    """Return a function that opens the test's store; what is still open at the end is verified and closed."""
    handles: list[HTMCore] = []

    def open_(path: Path = store_path, **arguments: Any) -> HTMCore:
        if not (path / "anam.json").exists():
            arguments.setdefault("dimension", 4)
        handles.append(HTMCore(path, **arguments))
        return handles[-1]

    yield open_
    problems = [problem for htm in handles if not htm.closed for problem in htm.verify()]
    for htm in handles:
        htm.close()
    assert problems == []


@pytest.fixture
def store(open_store: OpenStore) -> HTMCore:
    """Return a new store of four dimensions."""
    return open_store()
