"""What `anam history` shows of a file's versions."""

import os
from pathlib import Path

import pytest
from commands import run, start, write_files

OLD = "def compress_with_gzip(data):\n"
NEW = "def compress_with_gzip(data, level=9):\n"


@pytest.fixture
def edited(indexed: Path) -> Path:
    """Return the small code base after a file was edited twice, and renamed."""
    path = indexed / "src/squeeze.py"
    for old, new in ((OLD, NEW), (NEW, NEW.replace("9", "6"))):
        path.write_text(path.read_text().replace(old, new))
        assert run("index").status == 0
    path.rename(indexed / "src/pack.py")
    assert run("index").status == 0
    return indexed


def test_versions_are_shown_newest_first_as_readable_differences(edited: Path) -> None:
    result = run("history", "src/pack.py")
    assert (result.status, result.err) == (0, "")
    newest, third, second, first = (part.splitlines() for part in result.out.strip().split("\n\n"))
    assert newest[0].startswith("src/pack.py  version 1  2")
    assert newest[0].endswith("  renamed from src/squeeze.py")
    assert third[0].startswith("src/squeeze.py  version 3  2")
    assert third[0].endswith("  1 line in, 1 out")
    assert third[1:] == [
        "@@ -3,7 +3,7 @@",
        " import gzip",
        " ",
        " ",
        "-def compress_with_gzip(data, level=9):",
        "+def compress_with_gzip(data, level=6):",
        '     """Compress data with gzip."""',
        "     return gzip.compress(data)",
        " ",
    ]
    assert second[5:7] == ["-(1 line whose text was not kept)", "+def compress_with_gzip(data, level=9):"]
    assert first[0].endswith("  16 lines, new")
    assert len(first) == 1


def test_a_symbol_has_the_versions_in_which_it_changed(edited: Path) -> None:
    lines = [line for line in run("history", "src/pack.py::compress_with_gzip").out.splitlines() if "  version " in line]
    assert [line.partition("  version ")[2][:1] for line in lines] == ["3", "2", "1"]
    lines = [line for line in run("history", "src/pack.py::Archive").out.splitlines() if "  version " in line]
    assert len(lines) == 1


def test_the_limit_says_how_many_are_shown(edited: Path) -> None:
    result = run("history", "src/pack.py", "-n", "1")
    assert result.out.count("  version ") == 1
    assert result.err == "3 earlier versions; -n says how many to show\n"


def test_the_json_has_the_documented_fields(edited: Path) -> None:
    answer = run("history", "src/pack.py", "--json").json
    assert answer.keys() == {"file", "store", "indexed", "versions"}
    assert answer["indexed"] is True
    newest, third, second, first = answer["versions"]
    assert (newest["path"], newest["renamed_from"], newest["is_same"]) == ("src/pack.py", "src/squeeze.py", True)
    assert [version["version"] for version in answer["versions"]] == [1, 3, 2, 1]
    assert third["diff_ops"] == [{"op": "replace", "pos": 5, "count": 1, "lines": [NEW.replace("9", "6")]}]
    assert third["hunks"][0]["removed"] == [NEW.rstrip()]
    assert second["hunks"][0]["removed"] == [None]
    assert first["line_count"] == 16
    assert first["timestamp"] <= second["timestamp"] <= third["timestamp"] <= newest["timestamp"]


def test_a_file_that_is_gone_has_a_history_and_one_that_never_was_has_none(edited: Path) -> None:
    gone = run("history", "src/squeeze.py")
    assert (gone.status, gone.err) == (0, "src/squeeze.py is no longer in .anam\n")
    never = run("history", "src/never.py")
    assert never.status == 2
    assert never.err == "anam: src/never.py is not in .anam; bring that up to date with: anam index .\n"
    misspelt = run("history", "src/pack.py::compres_with_gzip")
    assert misspelt.err == "anam: src/pack.py::compres_with_gzip is not in .anam; near to it: src/pack.py::compress_with_gzip\n"


def test_control_characters_do_not_reach_the_terminal(indexed: Path) -> None:
    write_files(indexed, {"notes.md": "# Notes \x1b[31m\r\n"})
    run("index")
    out = run("history", "notes.md").out
    assert "\x1b" not in out
    assert "+# Notes \N{REPLACEMENT CHARACTER}[31m" in out.splitlines()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False), ({"TERM": "dumb"}, False)])
def test_on_a_terminal_changes_have_colours_unless_they_are_not_wanted(
    edited: Path, environment: dict[str, str], *, coloured: bool
) -> None:
    leader, follower = os.openpty()
    process = start("history", "src/pack.py", stdout=follower, environment={"TERM": "xterm", **environment})
    os.close(follower)
    out = b""
    while chunk := _read(leader):
        out += chunk
    process.communicate(timeout=60)
    os.close(leader)
    assert (b"\x1b[32m+def compress_with_gzip" in out) == coloured
    assert b"+def compress_with_gzip" in out


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # its other end is closed
        return b""
