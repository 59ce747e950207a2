"""What `anam search` and `anam similar` find and how they say it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import run, start, write_files

from anam_py import HTMCore

HIT_FIELDS = {"path", "start_line", "end_line", "symbol", "kind", "language", "score", "scores", "snippet"}


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("parse command line arguments", "src/options.py"),
        ("compress data with gzip", "src/squeeze.py"),
        ("draw table", "web/view.js"),
    ],
)
def test_the_best_answer_comes_first_with_its_lines_score_and_text(indexed: Path, words: str, path: str) -> None:
    result = run("search", *words.split())
    assert result.status == 0
    assert path.removesuffix(Path(path).suffix) in result.out.splitlines()[0]


def test_into_a_pipe_goes_plain_text(indexed: Path) -> None:
    lines = run("search", "drawTable", "--limit", "1").out.splitlines()
    assert lines[0].startswith("web/view.js:")
    assert all(line.startswith("    ") for line in lines[1:-2])
    assert lines[-2] == ""
    assert "\x1b" not in "".join(lines)
    assert "\t" not in "".join(lines)


def test_the_json_answer_has_the_documented_fields(indexed: Path) -> None:
    answer = run("search", "compress", "data", "--json").json
    assert answer.keys() == {"query", "mode", "store", "seconds", "hits"}
    assert answer["query"] == "compress data"
    assert answer["store"] == str(indexed.resolve() / ".anam")
    for hit in answer["hits"]:
        assert hit.keys() == HIT_FIELDS
        assert 1 <= hit["start_line"] <= hit["end_line"]
    scores = [hit["score"] for hit in answer["hits"]]
    assert scores == sorted(scores, reverse=True)


def test_functions_and_classes_are_found_by_name_with_their_lines(indexed: Path) -> None:
    hits = run("search", "compress_with_gzip", "--json").json["hits"]
    symbol = next(hit for hit in hits if hit["symbol"] == "compress_with_gzip" and hit["path"] == "src/squeeze.py")
    assert (symbol["kind"], symbol["language"], symbol["start_line"], symbol["end_line"]) == ("function", "python", 6, 8)


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
def test_words_vectors_or_both_may_decide(indexed: Path, mode: str) -> None:
    assert run("search", "parse command line", "--mode", mode, "--json").paths[0] == "src/options.py"


def test_the_limit_is_respected(indexed: Path) -> None:
    assert len(run("search", "compress", "-n", "2", "--json").json["hits"]) == 2


def test_no_hits_is_status_1_as_with_grep(indexed: Path) -> None:
    result = run("search", "zyzzyva", "--mode", "lexical")
    assert (result.status, result.out) == (1, "")
    assert run("search", "zyzzyva", "--mode", "lexical", "--json").json["hits"] == []


def test_it_works_from_anywhere_inside_the_tree(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed / "src")
    assert run("search", "parse command line", "--json", "-n", "1").paths == ["options.py"]
    assert run("search", "drawTable", "--json", "-n", "1").paths == ["../web/view.js"]


def test_without_a_store_the_error_says_how_to_make_one(project: Path) -> None:
    result = run("search", "anything")
    assert result.status == 2
    assert "anam index" in result.err


def test_a_store_may_be_named_by_option_or_environment(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run("index", "--store", "../store").status == 0
    assert not (project / ".anam").exists()
    assert run("search", "drawTable", "--store", "../store", "--json", "-n", "1").paths == ["web/view.js"]
    monkeypatch.setenv("ANAM_STORE", str(tmp_path / "store"))
    assert run("search", "drawTable", "--json", "-n", "1").paths == ["web/view.js"]
    monkeypatch.chdir("/")
    assert run("search", "drawTable", "--json", "-n", "1").status == 0


def test_a_wrong_store_is_one_line_of_error_and_debug_shows_more(project: Path) -> None:
    result = run("search", "anything", "--store", "no-such-store")
    assert result.status == 2
    assert result.err.startswith("anam: ")
    assert len(result.err.splitlines()) == 1
    assert not (project / "no-such-store").exists()
    debug = run("--debug", "search", "anything", "--store", "no-such-store")
    assert debug.status == 2
    assert "Traceback" in debug.err


@pytest.mark.parametrize(
    "arguments", [["search"], ["search", "a", "-n", "0"], ["search", "a", "--mode", "magic"], ["fly"], ["similar"]]
)
def test_wrong_usage_is_status_2(indexed: Path, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.status == 2
    assert "Usage" in result.err


def test_searching_works_while_another_process_writes(indexed: Path) -> None:
    with HTMCore(indexed / ".anam") as htm:
        htm.flush()
        process = start("search", "drawTable", "--json")
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        assert json.loads(out)["hits"]


def test_searching_loads_neither_h5py_nor_grammars_nor_tables(indexed: Path) -> None:
    code = (
        "import sys\n"
        "from anam_py.cli import anam\n"
        "try: anam(['search', 'drawTable'])\n"
        "except SystemExit as end: assert not end.code\n"
        "heavy = {'h5py', 'tree_sitter', 'rich', 'torch'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_a_reader_that_has_seen_enough_is_no_error(indexed: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("search", "compress", stdout=writing)
    os.close(writing)
    _, err = process.communicate(timeout=60)
    assert err == ""


def test_control_characters_of_indexed_files_never_reach_the_screen(project: Path) -> None:
    write_files(project, {"evil.py": "# evil \x1b]0;owned\x07 \x1b[31mred\ndef evil_function():\n    return 1\n"})
    run("index")
    out = run("search", "evil_function", "evil").out
    assert "evil.py" in out
    assert "\x1b" not in out
    assert "\x07" not in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_hits_come_as_a_table_in_colour_unless_that_is_unwanted(indexed: Path, no_color: bool) -> None:
    import pty  # noqa: PLC0415 - not on Windows

    leader, follower = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "100", **({"NO_COLOR": "1"} if no_color else {})}
    process = start("search", "parse command line", stdout=follower, environment=environment)
    os.close(follower)
    out = b""
    try:
        while chunk := os.read(leader, 65536):
            out += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(leader)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert b"score" in out
    assert b"src/options.py" in out
    assert (b"\x1b[3" in out) != no_color


def test_similar_finds_the_nearly_equal_file_first_and_not_itself(indexed: Path) -> None:
    answer = run("similar", "src/squeeze.py", "--json")
    assert answer.status == 0
    assert answer.json.keys() == {"file", "store", "seconds", "hits"}
    assert answer.paths[0] == "src/squeeze_more.py"
    assert "src/squeeze.py" not in answer.paths
    assert {hit["kind"] for hit in answer.json["hits"]} == {"file"}
    assert all(hit.keys() == HIT_FIELDS for hit in answer.json["hits"])


def test_similar_works_for_a_function_too(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed / "src")
    hit = run("similar", "squeeze.py::compress_with_gzip", "--json").json["hits"][0]
    assert (hit["path"], hit["symbol"], hit["kind"]) == ("squeeze_more.py", "compress_with_gzip", "function")
    assert hit["snippet"].startswith("def compress_with_gzip")


@pytest.mark.parametrize("file", ["no-such-file.py", "ignored.py", "src/squeeze.py::no_such_function"])
def test_similar_to_what_is_not_indexed_is_an_error_that_says_so(indexed: Path, file: str) -> None:
    result = run("similar", file)
    assert result.status == 2
    assert "is not in" in result.err
    assert "anam index" in result.err
