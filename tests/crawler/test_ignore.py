"""Ignore rules: what they mean, and that a hostile file of them can do no harm."""

import time
from pathlib import Path

import pytest
from trees import make_tree

from anam_py.crawler import ignore
from anam_py.crawler.ignore import parse_rule, parse_rules, read_rules
from anam_py.crawler.selection import Selection
from anam_py.crawler.walk import Walk


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("*.py", "src/a.py", True),
        ("/*.py", "src/a.py", None),
        ("src/*.py", "src/a.py", True),
        ("src/*.py", "src/sub/a.py", None),
        ("src/**/a.py", "src/x/y/a.py", True),
        ("src/**/a.py", "src/a.py", True),
        ("**/y/a.py", "src/x/y/a.py", True),
        ("src/**", "src/x", True),
        ("build/", "build", None),
        ("*.py\n!a.py", "a.py", False),
        ("\\!a", "!a", True),
        ("# a", "# a", None),
        ("a\\ ", "a ", True),
        ("a  ", "a", True),
        ("[a-c]x", "bx", True),
        ("[!a]x", "ax", None),
        ("[[:digit:]]", "7", True),
        ("[[:nonsense:]]", "7", None),
        ("a?c", "a/c", None),
        ("\ufeffa", "a", True),
        ("a\r\nb\r", "b", True),
        ("a\\", "a", None),
        ("[", "[", None),
    ],
)
def test_a_rule_means_what_gitignore_says(rules: str, path: str, expected: bool | None) -> None:
    assert parse_rules(rules.encode()).verdict(path, folder=False) is expected


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        ("a*" * 10 + "b", "a" * 40),
        ("a*" * 500 + "b", "a" * 255),
        ("?*" * 300 + "b", "a" * 255),
        ("[a-z]*" * 150 + "Q", "a" * 255),
        ("**/a" * 200 + "/b", "a/" * 250 + "c"),
        ("/".join(["*a*a*a"] * 100) + "b", "/".join(["a" * 9] * 100)),
        ("**/" + "*a*a*a*a/" * 20 + "b", "/".join(["a" * 20] * 40)),
        ("*" * 1000 + "b", "a" * 255),
    ],
)
def test_row_48_no_rule_takes_more_than_linear_time(rule: str, name: str) -> None:
    parsed = parse_rule(rule)
    assert parsed is not None
    start = time.perf_counter()
    assert parsed.pattern.fullmatch(name) is None
    assert time.perf_counter() - start < 0.1


def test_row_48_what_an_ignore_file_may_hold_is_bounded_and_the_rest_reported(tmp_path: Path) -> None:
    lines = [f"name{number}" for number in range(ignore.MAX_RULES + 10)]
    make_tree(tmp_path, {".gitignore": "\n".join(["x" * 2000, *lines]), "sub/.gitignore": "y\n" * 300_000, "a.py": ""})
    walk = Walk(tmp_path, "", Selection(["*.py"]))
    assert [file.key for file in walk] == ["a.py"]
    assert sorted(walk.notes) == [
        ".gitignore: 1 lines of more than 1024 characters are left out; only the first 4096 rules are read",
        "sub/.gitignore: only the first 262144 bytes are read; only the first 4096 rules are read",
    ]


def test_row_48_many_hostile_ignore_files_are_bounded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("anam_py.crawler.walk.MAX_RULE_BYTES", 1000)
    for number in range(10):
        make_tree(tmp_path / str(number), {".gitignore": "a*" * 200 + "\n", "a.py": ""})
    walk = Walk(tmp_path, "", Selection(["*.py"]))
    assert len(list(walk)) == 10
    assert walk.notes == ["ignore files beyond 1000 bytes in all are not read"]


def test_an_ignore_file_that_is_a_link_or_a_folder_is_not_read(tmp_path: Path) -> None:
    make_tree(tmp_path, {"rules": "a.py\n", "folder/.gitignore/x": ""})
    (tmp_path / ".gitignore").symlink_to("rules")
    assert read_rules(tmp_path / ".gitignore") is None
    assert read_rules(tmp_path / "folder/.gitignore") is None
