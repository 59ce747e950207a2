"""What `anam status` says of an index, and what the searches say beside their answers."""

import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest
from commands import C_LOCALE, run, start, write_files

from anam_py import HTMCore
from anam_py.store import Ledger

MANY = {f"module_{number:04}.py": f"def function_{number}(value):\n    return value\n" for number in range(2000)}


def remarks(*arguments: str) -> list[str]:
    """Return the lines on standard error that begin with "Note: "."""
    return [line for line in run(*arguments).err.splitlines() if line.startswith("Note: ")]


def test_an_index_that_is_up_to_date_says_so_with_status_0(indexed: Path) -> None:
    result = run("status")
    assert (result.status, result.err) == (0, "")
    first, counts, verdict = result.out.splitlines()
    assert first.startswith("Indexed . at 2")
    assert ": complete, in " in first
    assert counts == "Files in .anam: 6 indexed, 0 empty, 1 skipped (1 binary)."
    assert verdict == "It is up to date."


def test_what_has_changed_is_gone_or_new_is_listed_with_status_1_until_it_is_indexed(indexed: Path) -> None:
    write_files(indexed, {"notes.md": "# Other notes\n", "src/new.py": "x = 1\n"})
    (indexed / "web/view.js").unlink()
    result = run("status")
    assert result.status == 1
    assert result.out.splitlines()[2:] == [
        "changed  notes.md",
        "deleted  web/view.js",
        "new      src/new.py",
        "1 file has changed, 1 is gone and 1 is new since the index was made; bring it up to date with: anam index .",
    ]
    assert run("index").status == 0
    assert run("status").status == 0


def test_a_file_that_was_only_touched_is_read_and_makes_nothing_stale(indexed: Path) -> None:
    os.utime(indexed / "notes.md")
    assert run("status").status == 0
    assert remarks("search", "compress") == [
        "Note: 1 file may have changed since the index was made; bring it up to date with: anam index ., or search with --refresh"
    ]
    run("index")
    assert remarks("search", "compress") == []


def test_long_lists_are_cut_unless_all_are_wanted(indexed: Path) -> None:
    write_files(indexed, {f"new_{number:02}.py": "x = 1\n" for number in range(13)})
    lines = run("status").out.splitlines()
    assert sum(line.startswith("new ") for line in lines) == 11
    assert "new      and 3 more; --verbose lists them" in lines
    lines = run("status", "--verbose").out.splitlines()
    assert sum(line.startswith("new ") for line in lines) == 13
    assert "skipped  picture.bin: binary (a NUL byte near the start)" in lines


def test_the_json_has_the_documented_fields(indexed: Path) -> None:
    (indexed / "notes.md").unlink()
    result = run("status", "--json", "-v")
    assert result.status == 1
    fields = result.json
    (root,) = fields.pop("roots")
    assert root.pop("started") <= root.pop("ended") <= time.time()
    assert root == {
        "path": str(indexed.resolve()),
        "include": [],
        "exclude": [],
        "symbols": True,
        "notes": [],
        "complete": True,
    }
    assert fields.pop("seconds") > 0
    assert fields == {
        "store": str(indexed.resolve() / ".anam"),
        "complete": True,
        "up_to_date": False,
        "files": {"indexed": 6, "empty": 0, "skipped": 1},
        "skipped": {"binary": 1},
        "skipped_files": [{"path": "picture.bin", "reason": "binary", "detail": "a NUL byte near the start"}],
        "changed": [],
        "touched": [],
        "deleted": ["notes.md"],
        "new": [],
        "outdated": 0,
    }
    assert "skipped_files" not in run("status", "--json").json


def test_it_works_from_anywhere_inside_and_names_files_from_there(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (indexed / "notes.md").unlink()
    monkeypatch.chdir(indexed / "src")
    lines = run("status").out.splitlines()
    assert "deleted  ../notes.md" in lines
    assert lines[-1].endswith("anam index ..")


def test_the_advice_repeats_what_the_last_run_was_asked_for(project: Path) -> None:
    assert run("index", "--include", "*.py", "--exclude", "a b", "--no-symbols").status == 0
    (project / "src/options.py").unlink()
    assert run("status").out.endswith("anam index . --include '*.py' --exclude 'a b' --no-symbols\n")


def test_without_a_store_or_anything_indexed_it_is_not_up_to_date(project: Path) -> None:
    assert run("status").status == 2
    HTMCore(project / ".anam").close()
    result = run("status")
    assert result.status == 1
    assert result.out.endswith("Nothing has been indexed yet; bring it up to date with: anam index .\n")


def test_an_index_of_an_earlier_version_is_not_said_to_be_complete(indexed: Path) -> None:
    with HTMCore(indexed / ".anam") as htm:
        Ledger(htm).commit(roots={"": None})
    result = run("status")
    assert result.status == 1
    assert "The index does not say whether it is complete, since an earlier version of anam made it" in result.out
    assert run("status", "--json").json["complete"] is None
    assert "the index may not be complete" in run("search", "zyzzyva", "--mode", "lexical").err


def test_a_tree_that_was_moved_with_its_store_is_looked_at_where_it_is(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = indexed.with_name("moved")
    indexed.rename(moved)
    monkeypatch.chdir(moved)
    assert run("status").status == 0
    (moved / "notes.md").unlink()
    assert "deleted  notes.md" in run("status").out.splitlines()


def test_several_code_bases_in_one_store_are_each_looked_at(project: Path) -> None:
    other = project.parent / "other"
    write_files(other, {"notes.md": "# Other notes\n"})
    for folder in (".", "../other"):
        assert run("index", folder, "--store", "../both").status == 0
    assert run("status", "--store", "../both").status == 0
    write_files(other, {"notes.md": "# Notes of birds\n"})
    result = run("status", "--store", "../both")
    assert result.status == 1
    assert f"changed  {(other / 'notes.md').as_posix()}" in result.out.splitlines()
    shutil.rmtree(other)
    advice = f"anam index {other.as_posix()} --store {(project.parent / 'both').as_posix()} --prune"
    assert advice in run("status", "--store", "../both").out
    assert run("index", "../other", "--store", "../both").status == 2
    assert "1 forgotten" in run("index", "../other", "--store", "../both", "--prune").out
    assert run("status", "--store", "../both").status == 0
    assert run("index", "../other", "--store", "../both", "--prune", "--json").status == 2


def test_a_run_that_was_killed_leaves_an_index_that_says_so_and_the_next_completes_it(tmp_path: Path) -> None:
    write_files(tmp_path, MANY)
    process = start("index", str(tmp_path))
    store = str(tmp_path / ".anam")
    deadline = time.monotonic() + 60
    while not (tmp_path / ".anam/anam.json").exists() or not run("stats", "--store", store, "--json").json["rows"]:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    process.kill()
    process.communicate(timeout=60)
    result = run("status", "--store", store)
    assert result.status == 1
    assert ": not complete." in result.out
    assert "The index is not complete: what was begun in" in result.out
    searched = run("search", "zyzzyva", "--mode", "lexical", "--store", store)
    assert "the index is not complete, none was skipped" in searched.err
    assert run("search", "function", "--store", store, "--json").json["index"]["complete"] is False
    assert run("index", str(tmp_path)).status == 0
    assert run("status", "--store", store).status == 0


# ---- beside the answers ----


def test_hits_in_files_that_have_changed_or_are_gone_are_shown_as_such(indexed: Path) -> None:
    write_files(indexed, {"src/squeeze.py": "nothing = 1\n"})
    (indexed / "src/squeeze_more.py").unlink()
    result = run("search", "compress_with_gzip")
    titles = [line for line in result.out.splitlines() if line.startswith("src/squeeze")]
    assert titles
    assert all(line.endswith(f"({_stale(line)} since it was indexed)") for line in titles)
    assert result.err == (
        "Note: 1 file has changed and 1 is gone since the index was made; bring it up to date with: anam index ., "
        "or search with --refresh\n"
    )
    answer = run("search", "compress_with_gzip", "--json").json
    assert {hit["path"]: hit["stale"] for hit in answer["hits"]}["src/squeeze.py"] == "changed"
    assert answer["index"] == {
        "complete": True,
        "up_to_date": False,
        "changed": 1,
        "touched": 0,
        "deleted": 1,
        "new": 0,
        "outdated": 0,
    }
    (like,) = (hit for hit in run("similar", "src/squeeze.py", "--json").json["hits"] if hit["path"] == "src/squeeze_more.py")
    assert like["stale"] == "deleted"


def _stale(line: str) -> str:
    return "deleted" if line.startswith("src/squeeze_more.py") else "changed"


def test_an_empty_answer_says_how_much_was_searched_and_what_was_skipped(indexed: Path) -> None:
    *_, extent = run("search", "zyzzyva", "--mode", "lexical").err.splitlines()
    assert extent == "searched 6 files: the index is complete, 1 skipped (1 binary)"


def test_a_search_that_refreshes_finds_what_is_new_with_the_patterns_of_the_last_run(project: Path) -> None:
    assert run("index", "--exclude", "web").status == 0
    write_files(project, {"src/new.py": "def migrate_birds():\n    pass\n", "web/new.js": "function migrateBirds() {}\n"})
    result = run("search", "migrate birds", "--refresh", "--json")
    assert set(result.paths) == {"src/new.py"}
    assert result.json["index"]["up_to_date"]
    assert result.err == ""
    assert run("status").status == 0


def test_while_another_process_writes_a_refresh_says_so_and_what_there_is_is_searched(indexed: Path) -> None:
    with HTMCore(indexed / ".anam"):
        process = start("search", "compress", "--refresh", "--json")
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert json.loads(out)["hits"]
    assert err == (
        f"Note: not brought up to date: another process (pid {os.getpid()}) is writing '.anam'; try again when it is done\n"
    )


def test_only_what_was_written_since_a_moment_is_searched(indexed: Path) -> None:
    for path in (indexed / "src").iterdir():
        os.utime(path, (10**9, 10**9))
    os.utime(indexed / "src/squeeze.py")
    assert set(run("search", "compress", "--changed-since", "1h", "--json").paths) == {"src/squeeze.py"}
    since = run("search", "compress", "--changed-since", "2001-01-01", "--json").json
    assert {"src/squeeze.py", "src/squeeze_more.py"} <= {hit["path"] for hit in since["hits"]}
    assert since["changed_since"].startswith("2001-01-01T00:00:00")
    wrong = run("search", "compress", "--changed-since", "lately")
    assert wrong.status == 2
    assert "'lately' is no moment; expected a date" in wrong.err


@pytest.mark.skipif(sys.platform == "win32", reason="no such locales")
def test_files_are_found_again_in_every_locale(project: Path) -> None:
    folder = project.with_name("mappé")
    write_files(folder, {"menü.py": "def zähle_gerichte():\n    return 1\n"})
    for first, second in (({}, C_LOCALE), (C_LOCALE, {})):
        shutil.rmtree(folder / ".anam", ignore_errors=True)
        for command, environment in ((["index", "."], first), (["status"], second)):
            process = start(*command, cwd=folder, environment=environment)
            out, err = process.communicate(timeout=60)
            assert (process.returncode, err) == (0, ""), out


def test_an_interrupted_run_says_nothing_of_what_it_did_not_begin(indexed: Path) -> None:
    process = start("index")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert run("status").status == 0


# ---- pruning ----


def test_what_patterns_leave_out_is_said_to_stay_until_it_is_pruned(indexed: Path) -> None:
    result = run("index", "--exclude", "web", "--no-symbols")
    assert result.err.splitlines() == [
        "Note: 1 file that these patterns leave out stays in the index: the same command with --prune drops what is left out",
        "Note: symbols stay in the index for files that have not changed: the same command with --prune drops them",
    ]
    assert run("search", "drawTable", "--json").paths[0] == "web/view.js"
    result = run("index", "--exclude", "web", "--no-symbols", "--prune", "--json")
    assert result.json["files"]["forgotten"] == 1
    assert result.json["entries"] == 5
    assert "web/view.js" not in run("search", "drawTable", "--json").paths
    assert run("status").status == 0
