"""Fixtures that every test shares."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from anam_py import config

# No deadline: the machine may be busy with something else.
hypothesis.settings.register_profile("anam_py", deadline=None, print_blob=True)
hypothesis.settings.load_profile("anam_py")


@pytest.fixture(autouse=True)
def default_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give every test the default settings, whatever the environment and the tests before it set."""
    for variable in [name for name in os.environ if name.removeprefix("ANAM_").lower() in config.Settings.__slots__]:
        monkeypatch.delenv(variable)
    config.reset_defaults()
    yield
    monkeypatch.undo()
    config.reset_defaults()


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a random generator with a fixed seed."""
    return np.random.default_rng(0)


@pytest.fixture
def store_path(tmp_path: Path) -> Path:
    """Return a path where no store is yet."""
    return tmp_path / "store"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how often it was tried to break the store: the sums of what tests recorded as properties."""
    reports = [report for name in ("passed", "failed") for report in terminalreporter.stats.get(name, [])]
    sums = Counter[str]()
    for report in reports:
        for name, value in getattr(report, "user_properties", []):
            sums[name] += value
    if sums:
        terminalreporter.section("tried")
        for name, value in sums.items():
            terminalreporter.write_line(f"{value:>10,} {name}")
