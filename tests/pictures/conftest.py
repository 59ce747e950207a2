"""A code base to make pictures of, and a browser to look at them with."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Tab, running
from picturing import make_project, store_of

from anam_py import HTMCore
from anam_py.pictures import Survey, map_content, report_content, survey


@pytest.fixture(autouse=True)
def no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget a store that the environment of the test run names."""
    monkeypatch.delenv("ANAM_STORE", raising=False)


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a code base with a store beside it; nobody may change it."""
    return make_project(tmp_path_factory.mktemp("pictures") / "project")


@pytest.fixture
def htm(project: Path) -> Iterator[HTMCore]:
    """Return the store of the code base."""
    with HTMCore(store_of(project), read_only=True) as htm:
        yield htm


@pytest.fixture(scope="session")
def surveyed(project: Path) -> Survey:
    """Return what is known of the code base."""
    with HTMCore(store_of(project), read_only=True) as htm:
        return survey(htm)


@pytest.fixture(scope="session")
def drawn(surveyed: Survey) -> dict[str, Any]:
    """Return what is on the map of the code base."""
    return map_content(surveyed, "project")


@pytest.fixture(scope="session")
def told(project: Path, surveyed: Survey) -> dict[str, Any]:
    """Return what the report tells of the code base."""
    with HTMCore(store_of(project), read_only=True) as htm:
        return report_content(htm, surveyed, "project")


@pytest.fixture(scope="session")
def open_tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Tab]]:
    """Return what opens a tab in a browser of this test run's own."""
    with running(tmp_path_factory.mktemp("browser")) as tab:
        yield tab
