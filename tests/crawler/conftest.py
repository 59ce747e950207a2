"""Fixtures of the crawler's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from anam_py import CodeBaseCrawler, HTMCore


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the current one."""
    folder = tmp_path / "tree"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def htm(store_path: Path) -> Iterator[HTMCore]:
    """Return an empty store, outside the tree."""
    with HTMCore(store_path, durability="normal") as store:
        yield store


@pytest.fixture
def crawler(htm: HTMCore) -> CodeBaseCrawler:
    """Return a crawler that takes in symbols, too."""
    return CodeBaseCrawler(htm, symbols=True)


@pytest.fixture
def no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let git not be installed."""
    monkeypatch.setattr("anam_py.crawler.git.shutil.which", lambda _: None)
