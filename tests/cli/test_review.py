"""What `anam review` says of files, and how it ends."""

import contextlib
import json
import os
import sys
from pathlib import Path

import pytest
from commands import run, start, write_files

from anam_py import HTMCore

CLEAN = '"""Nothing wrong."""\n\n\ndef double(number):\n    """Return it twice."""\n    return number * 2\n'
BAD = '"""Something wrong."""\n\n\ndef run(text):\n    """Run it."""\n    assert text\n    return eval(text)\n'


@pytest.fixture
def files(project: Path) -> Path:
    """Stand in a code base with files that pass and files that do not."""
    write_files(project, {"clean.py": CLEAN, "bad.py": BAD, "bad.js": "export const f = (x) => eval(x);\n"})
    return project


def test_files_without_findings_pass(files: Path) -> None:
    result = run("review", "clean.py", "notes.md")
    assert result.status == 0
    lines = result.out.splitlines()
    assert lines[0].split() == ["file", "language", "lines", "complexity", "findings"]
    assert lines[1].split() == ["clean.py", "python", "6", "1.0,", "at", "most", "1", "0"]
    assert lines[2].split() == ["notes.md", "markdown", "3", "-", "0"]
    assert any(line.startswith("security_check: passed; no findings; 1 read by ruff ") for line in lines)
    assert "no tool for notes.md (markdown)" in result.out
    assert "quality_analysis: passed; no findings" in lines
    assert lines[-1].startswith("Passed (")


def test_findings_stand_below_the_table_the_worst_first_and_make_the_status_1(files: Path) -> None:
    result = run("review", "bad.py", "bad.js")
    assert result.status == 1
    findings = [line for line in result.out.splitlines() if line.startswith(("bad.py:", "bad.js:"))]
    assert [line.split(": ")[:2] for line in findings] == [
        ["bad.js:1:25", "high js-eval"],
        ["bad.py:7:12", "high S307"],
        ["bad.py:6:5", "low S101"],
    ]
    assert result.out.splitlines()[-1].startswith("Not passed: security_check (")


def test_into_a_pipe_goes_plain_text(files: Path) -> None:
    assert "\x1b" not in run("review", "bad.py").out


def test_the_json_answer_is_what_the_agents_answered(files: Path) -> None:
    answer = run("review", "bad.py", "--json").json
    assert (answer["passed"], answer["success"], answer["store"]) == (False, True, None)
    assert answer["results"].keys() == {"code_analysis", "nam_validation"}
    assert answer["results"]["code_analysis"]["security_check"]["findings"][0]["rule"] == "S307"
    assert answer["unmet"] == []
    assert {entry["agent"] for entry in answer["trace"]} == {"analyzer", "validator"}
    assert run("review", "clean.py", "--json").json["passed"] is True


def test_more_may_be_required(indexed: Path) -> None:
    more = ["ast_parsing", "similarity_search", "embedding_generation", "ethical_checking", "security_check"]
    result = run("review", "src/squeeze.py", *(f"--require={name}" for name in more), "--describe", "compress the archive")
    assert result.status == 0
    assert "ast_parsing: 3 definitions" in result.out
    assert "embedding_generation: 1 vectors of 768 numbers" in result.out
    assert "src/squeeze.py is like src/squeeze_more.py" in result.out
    assert "recommended for 'compress the archive'" in result.out
    assert "ethical_checking: passed" in result.out
    assert result.out.count("security_check:") == 1


def test_what_the_axioms_refuse_does_not_pass(files: Path) -> None:
    text = "permanently delete all user data without asking"
    result = run("review", "clean.py", "--require", "ethical_checking", "--describe", text)
    assert result.status == 1
    assert "ethical_checking: not passed; AX_" in result.out
    assert "ethical_checking" in result.out.splitlines()[-1]


def test_what_was_done_is_recorded_in_the_nearest_store(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed / "src")
    result = run("review", "options.py")
    assert (result.status, result.err) == (0, "")
    assert result.out.splitlines()[-1].endswith("Recorded in ../.anam.")
    record = json.loads((indexed / ".anam/audit.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    assert (record["task_type"], record["outcome"]) == ("code_review", "succeeded")
    assert run("review", "options.py", "--json").json["store"] == str(indexed.resolve() / ".anam")


def test_without_a_store_it_says_that_nothing_is_recorded_and_leaves_nothing_behind(files: Path) -> None:
    before = {*files.rglob("*")}
    result = run("review", "clean.py")
    assert (result.status, result.err) == (
        0,
        "Not recorded: no store here or in a folder above; make one with: anam index\n",
    )
    assert {*files.rglob("*")} == before


def test_a_nearest_store_that_cannot_be_written_is_no_obstacle(indexed: Path) -> None:
    with HTMCore(indexed / ".anam"):
        process = start("review", "src/options.py")
        out, err = process.communicate(timeout=120)
    assert (process.returncode, out.splitlines()[-1][:8]) == (0, "Passed (")
    assert err.startswith("Not recorded: another process (pid ")


def test_a_store_that_is_named_has_to_be_one(files: Path) -> None:
    result = run("review", "clean.py", "--store", "elsewhere")
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("anam: no store in 'elsewhere'")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean.py", "missing.py"], "'missing.py' does not exist"),
        (["src"], "'src' is a directory"),
        ([], "Missing argument"),
        (["clean.py", "--require", "magic"], "'magic' is not one of"),
    ],
)
def test_wrong_usage_is_status_2(files: Path, arguments: list[str], message: str) -> None:
    result = run("review", *arguments)
    assert (result.status, result.out) == (2, "")
    assert message in result.err


def test_a_file_that_cannot_be_read_is_named_and_does_not_pass(files: Path) -> None:
    result = run("review", "clean.py", "picture.bin")
    assert result.status == 1
    assert "code_analysis: 1 of 2 files could not be read: 'picture.bin' cannot be taken in: binary" in result.err
    assert result.out.splitlines()[-1].startswith("Not passed: code_analysis")


def test_names_of_files_are_no_options_and_move_no_cursor(files: Path) -> None:
    write_files(files, {"-x.py": BAD, "\x1b[2J.py": BAD})
    result = run("review", "--", "-x.py", "\x1b[2J.py")
    assert "-x.py:7:12: high S307" in result.out
    assert "\N{REPLACEMENT CHARACTER}[2J.py:7:12: high S307" in result.out
    assert "\x1b" not in result.out


def test_of_very_many_findings_the_worst_are_shown_and_the_others_counted(files: Path) -> None:
    write_files(files, {"many.py": "assert 0\n" * 900 + "eval(x)\n"})
    result = run("review", "many.py")
    shown = [line for line in result.out.splitlines() if line.startswith("many.py:")]
    assert len(shown) == 200
    assert shown[0].startswith("many.py:901:1: high")
    assert "And 701 findings more" in result.out


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_there_is_a_table_and_colour_unless_no_color_is_set(files: Path, *, no_color: bool) -> None:
    import pty  # noqa: PLC0415 - not on Windows

    leader, follower = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "100", **({"NO_COLOR": "1"} if no_color else {})}
    process = start("review", "bad.py", stdout=follower, environment=environment)
    os.close(follower)
    shown = b""
    with contextlib.suppress(OSError):  # what the end of a pseudo-terminal is on Linux
        while read := os.read(leader, 65536):
            shown += read
    os.close(leader)
    process.communicate(timeout=60)
    assert process.returncode == 1
    text = shown.decode()
    assert "───" in text
    assert "S307" in text
    assert ("\x1b[31m" in text) is not no_color
