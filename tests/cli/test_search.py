"""What `anam search` and `anam similar` find and how they say it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from commands import C_LOCALE, run, start, write_files

from anam_py import HTMCore

HIT_FIELDS = {"path", "start_line", "end_line", "symbol", "kind", "language", "score", "scores", "snippet", "stale", "also"}


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
    assert answer.keys() == {"query", "mode", "store", "seconds", "index", "hits"}
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


def test_hits_may_be_asked_for_by_language_kind_and_path(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def paths(*options: str) -> set[str]:
        return set(run("search", "compress", "draw", "table", "-n", "50", "--json", *options).paths)

    assert paths("--language", "javascript") == {"web/view.js"}
    assert paths("--language", "javascript", "--language", "python", "--kind", "class") == {"src/squeeze.py"}
    assert paths("--path", "src/*", "--exclude", "*more*", "--exclude", "options.py") == {"src/squeeze.py"}
    assert paths("--path", str(indexed.resolve() / "web/*")) == {"web/view.js"}
    assert paths("--path", "nowhere/*") == set()
    monkeypatch.chdir(indexed / "src")
    assert paths("--path", "../web/") == {"../web/view.js"}
    assert paths("--path", "./squeeze*", "--exclude", "*_more.py") == {"squeeze.py"}
    assert paths("--path", "*.js") == {"../web/view.js"}


def test_globs_mean_paths_as_they_are_typed_also_where_the_store_has_absolute_ones(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = project / "[odd]*"
    write_files(odd, {"src/view.js": "function drawTable() {}\n"})
    assert run("index", "--store", "../store").status == 0
    monkeypatch.chdir(odd)
    found = run("search", "drawTable", "--path", "src/*", "--store", "../../store", "--json")
    assert set(found.paths) == {"src/view.js"}


def test_a_language_or_kind_that_there_is_not_is_an_error_that_lists_what_there_is(indexed: Path) -> None:
    result = run("search", "compress", "--language", "pyhton")
    assert (result.status, result.out) == (2, "")
    assert result.err == (
        "anam: languages asks for 'pyhton': the store has no such languages; it has javascript, markdown, python, text\n"
    )
    assert run("search", "compress", "--kind", "enum").status == 2


def test_what_has_the_same_text_is_shown_once_and_where_else_it_is(indexed: Path) -> None:
    same = "def unpack_archive(archive):\n    return archive.members\n"
    write_files(indexed, {f"copies/{name}.py": f"{name} = 1\n{same}" for name in "abcde"})
    run("index")
    options = ("search", "unpack_archive", "--kind", "function", "-n", "3")
    out = run(*options).out
    assert out.count("function unpack_archive") == 1
    others = ", ".join(f"copies/{name}.py::unpack_archive" for name in "bcd")
    assert f"    (also in 4 other places: {others}, …)\n" in out
    hit = run(*options, "--json").json["hits"][0]
    assert hit["also"] == [f"copies/{name}.py::unpack_archive" for name in "bcde"]
    assert run(*options, "--duplicates").out.count("function unpack_archive") == 3


def test_no_hits_is_status_1_as_with_grep(indexed: Path) -> None:
    result = run("search", "zyzzyva", "--mode", "lexical")
    assert (result.status, result.out) == (1, "")
    assert run("search", "zyzzyva", "--mode", "lexical", "--json").json["hits"] == []
    assert run("search", "zzzzqqq").status == 1


def test_it_works_from_anywhere_inside_the_tree(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed / "src")
    assert run("search", "parse command line", "--json", "-n", "1").paths == ["options.py"]
    assert run("search", "drawTable", "--json", "-n", "1").paths == ["../web/view.js"]


def test_without_a_store_the_error_says_how_to_make_one(project: Path) -> None:
    result = run("search", "anything")
    assert result.status == 2
    assert result.err == f"anam: no store in {str(project)!r} or a folder above it; make one with: anam index\n"


@pytest.mark.parametrize("command", [["search", "words"], ["similar", "notes.md"], ["stats"]])
def test_without_a_finished_store_the_error_is_about_the_shell(command: list[str], project: Path) -> None:
    (project / ".anam").mkdir()
    assert run(*command).err == "anam: no store in '.anam'; make one with: anam index .\n"
    missing = run(*command, "--store", "no such store")
    assert (missing.status, missing.out) == (2, "")
    assert missing.err == "anam: no store in 'no such store'; make one with: anam index --store 'no such store'\n"


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
    assert answer.json.keys() == {"file", "store", "seconds", "index", "hits"}
    assert answer.paths[0] == "src/squeeze_more.py"
    assert "src/squeeze.py" not in answer.paths
    assert {hit["kind"] for hit in answer.json["hits"]} == {"file"}
    assert all(hit.keys() == HIT_FIELDS for hit in answer.json["hits"])


def test_similar_works_for_a_function_too(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(indexed / "src")
    hit = run("similar", "squeeze.py::compress_with_gzip", "--json").json["hits"][0]
    assert (hit["path"], hit["symbol"], hit["kind"]) == ("squeeze_more.py", "compress_with_gzip", "function")
    assert hit["snippet"].startswith("def compress_with_gzip")


@pytest.mark.parametrize("file", ["no-such-file.py", "ignored.py", "no-such-file.py::f"])
def test_similar_to_what_is_not_indexed_is_an_error_that_says_so(indexed: Path, file: str) -> None:
    result = run("similar", file)
    assert result.status == 2
    assert result.err == f"anam: {file} is not in .anam; bring that up to date with: anam index .\n"


def test_a_name_that_was_misspelt_is_answered_with_those_that_are_near(indexed: Path) -> None:
    result = run("similar", "src/squeeze.py::compress_whith_gzip")
    assert result.status == 2
    assert result.err == (
        "anam: src/squeeze.py::compress_whith_gzip is not in .anam; near to it: src/squeeze.py::compress_with_gzip\n"
    )
    assert "near to it: src/squeeze.py::Archive.add\n" in run("similar", "src/squeeze.py::ad").err
    assert run("similar", "src/squeeze.py::zzz").err.endswith(", which has 3 other names of that file\n")


def test_the_advice_names_the_folder_of_the_store(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(indexed, {"src/new.py": "def new(): pass\n"})
    monkeypatch.chdir(indexed / "src")
    assert run("similar", "new.py").err == "anam: new.py is not in ../.anam; bring that up to date with: anam index ..\n"


def test_similar_shows_what_a_file_says_of_itself_or_its_first_definition(project: Path) -> None:
    imports = "# Copyright 2001\nimport os\nimport sys\n\n"
    write_files(project, {"a.py": f'"""Says what it is."""\n{imports}', "b.py": f"{imports}def first():\n    return os\n"})
    run("index")
    (snippet,) = (hit["snippet"] for hit in run("similar", "a.py", "--json").json["hits"] if hit["path"] == "b.py")
    assert snippet == "def first():\n    return os\n"
    (snippet,) = (hit["snippet"] for hit in run("similar", "b.py", "--json").json["hits"] if hit["path"] == "a.py")
    assert snippet == "Says what it is."


@pytest.mark.skipif(sys.platform == "win32", reason="closes a stream as a POSIX shell does")
@pytest.mark.parametrize("command", ["index", "search compress", "search zzzzqqq", "similar src/squeeze.py", "stats", "verify"])
def test_a_closed_standard_output_changes_neither_status_nor_store(command: str, indexed: Path) -> None:
    shell = ["sh", "-c", f'exec "$0" -m anam_py {command} >&-', sys.executable]
    done = subprocess.run(shell, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert done.returncode == run(*command.split()).status
    assert "Traceback" not in done.stderr
    with HTMCore(indexed / ".anam") as htm:
        assert htm.verify() == []


@pytest.mark.skipif(sys.platform == "win32", reason="no such locales")
def test_words_mean_the_same_in_every_locale(project: Path) -> None:
    write_files(project, {"menü.py": "def zähle_gerichte():\n    return 1\n"})
    assert run("index").status == 0
    process = start("search", "zähle", "--json", environment=C_LOCALE)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["hits"][0]["symbol"] == "zähle_gerichte"
    process = start("similar", "menü.py::zähle_gerichte", environment=C_LOCALE)
    assert "is not in" not in process.communicate(timeout=60)[1]
    not_utf8 = subprocess.run(
        [sys.executable, "-m", "anam_py", "search", b"caf\xe9"], capture_output=True, timeout=60, check=False
    )
    assert (not_utf8.returncode, not_utf8.stdout) == (1, b"")
    assert not_utf8.stderr.startswith(b"no hits")


def test_explain_shows_the_steps_of_a_search(indexed: Path) -> None:
    answer = run("explain", "compress", "data")
    assert answer.out.startswith("step")
    assert "exact score" in answer.out
    told = run("explain", "compress", "data", "--json").json
    assert told["steps"][-1]["name"] == "records"
    assert told["query"] == "compress data"


def test_explain_without_words_to_search_for_is_an_error(indexed: Path) -> None:
    result = run("explain", "???")
    assert result.status == 2
    assert result.err == "anam: '???' has no words to search for; ask with letters or digits\n"
