"""A search that is confined to the files that were written since a moment."""

import datetime as dt
import os
from pathlib import Path
from typing import Any

import pytest
from trees import make_tree

from anam_py import CodeBaseCrawler, HTMCore, ValidationError
from anam_py.store import Ledger


def test_only_files_written_since_a_moment_are_searched(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(
        tree, {"old.py": "def read_row(): pass\n", "new.py": "def read_row_too(): pass\n", "same.py": "def read_row(): pass\n"}
    )
    os.utime(tree / "old.py", (1000, 1000))
    os.utime(tree / "same.py", (2000, 2000))
    os.utime(tree / "new.py", (3000, 3000))
    crawler.index(".")

    def found(moment: float, **options: Any) -> set[str]:
        return {hit.path for hit in crawler.search("read row", changed_since=moment, duplicates=True, **options)}

    assert found(0) == found(1000) == {"old.py", "same.py", "new.py"}
    assert found(1000.5) == {"same.py", "new.py"}
    assert found(3000, where={"kind": "function"}) == {"new.py"}
    assert found(3001) == set()
    os.utime(tree / "old.py", (5000, 5000))  # what counts is what the disk says now
    assert found(4000) == {"old.py"}
    (tree / "new.py").unlink()  # of what is gone, what it said
    assert found(2500) == {"old.py", "new.py"}


@pytest.mark.parametrize("wrong", ["yesterday", True, float("nan"), [1]])
def test_a_moment_that_is_none_is_refused(wrong: Any, crawler: CodeBaseCrawler) -> None:
    with pytest.raises(ValidationError, match="changed_since must be a datetime, or a number of seconds since 1970"):
        crawler.search("x", changed_since=wrong)


def test_a_moment_may_be_a_datetime_of_any_zone(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": "def read_row(): pass\n"})
    crawler.index(".")
    now = dt.datetime.now(dt.UTC)
    hour = dt.timedelta(hours=1)
    for zone in (dt.UTC, dt.timezone(5 * hour), None):
        assert crawler.search("read row", changed_since=now.astimezone(zone) - hour)
        assert not crawler.search("read row", changed_since=now.astimezone(zone) + hour)
    assert not crawler.search("read row", changed_since=(now + hour).astimezone().replace(tzinfo=None))  # local


def test_in_an_index_that_does_not_say_where_its_files_are_their_times_when_indexed_count(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"old.py": "def read_row(): pass\n", "new.py": "def read_row_too(): pass\n"})
    os.utime(tree / "old.py", (1000, 1000))
    crawler = CodeBaseCrawler(htm)
    crawler.index(".")
    Ledger(htm).commit(roots={"": None})
    assert {hit.path for hit in crawler.search("read row", changed_since=2000)} == {"new.py"}
