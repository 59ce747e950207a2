"""What `anam stats` and the command itself say."""

import subprocess
import sys
from pathlib import Path

import pytest
from commands import run

import anam_py
from anam_py.embedding import default_embedder


def test_stats_show_what_the_store_holds(indexed: Path) -> None:
    result = run("stats")
    assert result.status == 0
    assert "dimension            768" in result.out
    assert default_embedder().name in result.out


def test_stats_as_json_are_the_stores_own(indexed: Path) -> None:
    figures = run("stats", "--json").json
    assert figures["store"] == str(indexed.resolve() / ".anam")
    with anam_py.HTMCore(indexed / ".anam", read_only=True) as htm:
        assert figures["rows"] == len(htm)
        assert figures.keys() == {"store", "files", *htm.stats()} - {"path", "crawled_files"}


def test_stats_tell_indexed_files_from_others_that_are_known(indexed: Path) -> None:
    assert run("stats", "--json").json["files"] == {"indexed": 6, "empty": 0, "skipped": 1}
    assert "files indexed        6" in run("stats").out


def test_stats_say_nothing_of_what_there_is_not_and_keep_units(indexed: Path) -> None:
    lines = run("stats").out.splitlines()
    assert not [line for line in lines if line.startswith(("durability", "background"))]
    assert [line for line in lines if line.startswith("catalog bytes") and line.endswith("KiB")]


def test_stats_without_a_store_are_an_error(project: Path) -> None:
    assert run("stats").status == 2


def test_the_version_is_the_packages() -> None:
    assert run("--version").out == f"anam {anam_py.__version__}\n"


COMMANDS = (
    "index",
    "status",
    "search",
    "similar",
    "history",
    "stats",
    "verify",
    "repair",
    "backup",
    "compact",
    "export",
    "import",
)


@pytest.mark.parametrize("command", [[], *([command] for command in COMMANDS)])
def test_help_names_the_options(command: list[str]) -> None:
    result = run(*command, "-h")
    assert result.status == 0
    assert ("--store" in result.out) == bool(command)


def test_help_says_in_full_what_each_command_is_for() -> None:
    lines = run("-h").out.splitlines()
    for command in ("backup", "compact", "export", "import", "repair", "verify"):
        (line,) = (line for line in lines if line.startswith(f"  {command} "))
        assert line.endswith(".")
        assert not line.endswith("...")


def test_help_needs_neither_numpy_nor_the_store() -> None:
    code = "import sys\nimport anam_py.cli\nsys.exit(bool({'numpy', 'sqlite3', 'rich', 'anam_py.store'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0
