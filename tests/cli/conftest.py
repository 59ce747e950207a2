"""A small code base, and the command run on it."""

from pathlib import Path

import pytest
from commands import run, write_files

FILES = {
    "src/options.py": '''"""Command line options of the program."""

import argparse


def parse_command_line(arguments):
    """Parse command line arguments into options."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    return parser.parse_args(arguments)
''',
    "src/squeeze.py": '''"""Compression of data."""

import gzip


def compress_with_gzip(data):
    """Compress data with gzip."""
    return gzip.compress(data)


class Archive:
    """A compressed archive."""

    def add(self, name, data):
        """Add a compressed member."""
        self.members[name] = compress_with_gzip(data)
''',
    "src/squeeze_more.py": '''"""Compression of data, again."""

import gzip


def compress_with_gzip(data):
    """Compress data with gzip, again."""
    return gzip.compress(data, 9)
''',
    "web/view.js": """// Draws the table of results.
function drawTable(rows) {
  return rows.map((row) => row.join(" ")).join("\\n");
}
""",
    "notes.md": "# Notes\n\nNothing much.\n",
    ".gitignore": "ignored.py\n",
    "ignored.py": "secret_of_the_ignored_file = 1\n",
    "picture.bin": "\0\1\2\0",
}


@pytest.fixture(autouse=True)
def no_store_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget a store that the environment of the test run names."""
    monkeypatch.delenv("ANAM_STORE", raising=False)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small code base, and stand in it."""
    folder = tmp_path / "project"
    write_files(folder, FILES)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def indexed(project: Path) -> Path:
    """Return the small code base with its store."""
    assert run("index").status == 0
    return project
