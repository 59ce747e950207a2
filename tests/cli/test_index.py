"""What `anam index` does, says and leaves behind."""

import json
import os
import shutil
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from commands import C_LOCALE, run, start, write_files

from anam_py import HTMCore


def test_the_summary_counts_files_entries_and_what_was_skipped_and_why(project: Path) -> None:
    result = run("index", str(project))
    assert result.status == 0
    assert result.err == ""
    assert "6 new, 0 changed, 0 unchanged, 0 forgotten, 1 skipped (1 binary)" in result.out
    assert ".anam" in result.out


def test_the_json_summary_has_the_documented_fields(project: Path) -> None:
    summary = run("index", "--json").json
    assert summary["path"] == str(project.resolve())
    assert summary["store"] == str(project.resolve() / ".anam")
    assert summary["files"] == {"new": 6, "changed": 0, "unchanged": 0, "forgotten": 0, "skipped": 1}
    assert summary["skipped"] == {"binary": 1}
    assert summary["entries"] > 6
    assert summary["seconds"] > 0
    assert summary["files_per_second"] > 0


def test_a_second_run_says_that_nothing_was_indexed_anew(indexed: Path) -> None:
    result = run("index")
    assert "Nothing was indexed anew." in result.out
    assert "0 new, 0 changed, 6 unchanged, 0 forgotten" in result.out


def test_only_what_changed_is_indexed_again_and_what_is_gone_is_forgotten(indexed: Path) -> None:
    (indexed / "notes.md").write_text("# Notes\n\nAbout the migration of birds.\n")
    (indexed / "web/view.js").unlink()
    write_files(indexed, {"src/new.py": "def brand_new():\n    return 1\n"})
    assert run("index", "--json").json["files"] == {"new": 1, "changed": 1, "unchanged": 4, "forgotten": 1, "skipped": 1}
    assert run("search", "birds", "--json", "-n", "1").paths == ["notes.md"]
    assert "web/view.js" not in run("search", "draw table", "--json").paths


@pytest.mark.parametrize("named", ["home", "above home", "as it is"])
def test_a_home_folder_is_indexed_only_by_those_who_mean_it(
    named: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(project))
    monkeypatch.setenv("USERPROFILE", str(project))
    arguments = ["index"] if named == "as it is" else ["index", str(project if named == "home" else project.parent)]
    result = run(*arguments)
    assert result.status == 2
    assert "if you mean all of it, add --yes" in result.err
    assert not list(tmp_path.rglob(".anam"))
    assert run(*arguments, "--yes").status == 0
    (project / "inner").mkdir()
    assert run("index", str(project / "inner")).status == 0


def test_a_whole_disk_is_indexed_only_by_those_who_mean_it() -> None:
    result = run("index", Path.cwd().anchor)
    assert result.status == 2
    assert "is a whole disk; if you mean all of it, add --yes" in result.err


def test_git_ignored_files_are_not_indexed(indexed: Path) -> None:
    assert "ignored.py" not in run("search", "secret of the ignored file", "--json").paths


def test_files_without_a_grammar_are_said_to_be_cut_into_windows(project: Path) -> None:
    long = "".join(f"step {number}\n\n" for number in range(100))
    write_files(project, {"a.rb": long, "b.sh": long, "c.sh": long})
    result = run("index")
    assert result.err == "Note: 3 files in 2 languages without a grammar (ruby, shell) were cut into windows of lines\n"
    assert run("index").err == ""
    write_files(project, {"b.sh": f"{long}more\n"})
    assert run("index", "--json").json["notes"] == [
        "1 file in 1 language without a grammar (shell) was cut into windows of lines"
    ]


def test_patterns_say_what_to_index(project: Path) -> None:
    summary = run("index", "--include", "*.py", "--include", "*.md", "--exclude", "*more*", "--json").json
    assert summary["files"]["new"] == 3


def test_without_symbols_only_files_are_indexed(project: Path) -> None:
    assert run("index", "--no-symbols", "--json").json["entries"] == 6


def test_verbose_lists_each_skipped_file_with_its_reason(project: Path) -> None:
    assert "skipped picture.bin: binary" in run("index", "--verbose").err


def test_the_store_is_private_and_kept_out_of_version_control(indexed: Path) -> None:
    assert (indexed / ".anam/.gitignore").read_text() == "*\n"
    assert stat.S_IMODE((indexed / ".anam").stat().st_mode) == 0o700


def test_the_path_may_be_given_from_anywhere(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("index", "project/src").status == 0
    with HTMCore(project / "src/.anam", read_only=True) as htm:
        assert "options.py" in htm


def test_without_a_path_the_nearest_store_above_is_brought_up_to_date(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(indexed, {"notes.md": "# Notes\n\nAbout the migration of birds.\n"})
    monkeypatch.chdir(indexed / "src")
    summary = run("index", "--json").json
    assert summary["path"] == str(indexed.resolve())
    assert (summary["files"]["changed"], summary["files"]["unchanged"]) == (1, 5)
    assert not (indexed / "src/.anam").exists()
    assert run("index", ".").status == 0  # a folder that is named gets a store of its own
    assert (indexed / "src/.anam").is_dir()


def test_another_store_inside_is_skipped_and_said_to_be(indexed: Path) -> None:
    assert run("index", "src").status == 0
    assert "skipped src/.anam: store" in run("index", "--verbose").err


@pytest.mark.skipif(sys.platform == "win32", reason="no such locales")
def test_patterns_mean_the_same_in_every_locale(project: Path) -> None:
    write_files(project, {"éa.py": "x = 1\n", "b.py": "y = 1\n"})
    process = start("index", "--include", "é*", "--json", environment=C_LOCALE)
    out, _ = process.communicate(timeout=60)
    assert json.loads(out)["files"]["new"] == 1


def test_a_tree_can_be_moved_together_with_its_store(indexed: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(indexed, moved)
    summary = run("index", str(moved), "--json").json
    assert summary["files"] == {"new": 0, "changed": 0, "unchanged": 6, "forgotten": 0, "skipped": 1}


def test_two_code_bases_in_one_store_are_kept_apart(project: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write_files(other, {"notes.md": "# Other notes\n\nAbout the migration of birds.\n"})
    for folder in (".", "../other"):
        assert run("index", folder, "--store", "../both").status == 0
    with HTMCore(tmp_path / "both", read_only=True) as htm:
        keys = set(htm)
    assert {(project.resolve() / "notes.md").as_posix(), (other.resolve() / "notes.md").as_posix()} <= keys


def test_a_missing_folder_is_an_error(project: Path) -> None:
    for folder in ("no-such-folder", "notes.md"):
        result = run("index", folder)
        assert (result.status, result.err) == (2, f"anam: there is no folder {folder!r}\n")
        assert run("index", folder, "--store", "../other").status == 2
    assert not (project.parent / "other").exists()


def test_while_another_index_runs_the_error_says_which(indexed: Path) -> None:
    with HTMCore(indexed / ".anam"):
        process = start("index")
        _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == f"anam: another process (pid {os.getpid()}) is writing '.anam'; try again when it is done\n"


def test_a_store_that_cannot_be_made_is_one_line_of_error(project: Path) -> None:
    (project / ".anam").write_text("not a folder")
    process = start("index", ".")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err.startswith("anam: ")
    assert "Traceback" not in err


def test_an_interrupted_run_is_completed_by_the_next(tmp_path: Path) -> None:
    functions = "".join(f"def function_{i}(value):\n    return value + {i}\n\n\n" for i in range(30))
    write_files(tmp_path, {f"module_{i:04d}.py": f"# module {i}\n{functions}" for i in range(600)})
    process = start("index", str(tmp_path))
    deadline = time.monotonic() + 60
    while not (tmp_path / ".anam/anam.json").exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "anam: interrupted; run the same command again to go on from here\n")
    summary = run("index", str(tmp_path), "--json").json
    assert summary["files"]["new"] + summary["files"]["unchanged"] == 600
    with HTMCore(tmp_path / ".anam") as htm:
        assert htm.verify() == []
        assert len(htm) == summary["entries"]


def test_searches_that_follow_find_codes_by_which_they_read_less(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("steps", "ways"):
        functions = "\n".join(f"def {name}_{i}_of_{i % 7}():\n    return {i}\n" for i in range(1_500))
        (tmp_path / f"{name}.py").write_text(functions)
    monkeypatch.chdir(tmp_path)
    assert run("index").status == 0
    figures = run("stats", "--json").json
    assert figures["coded_rows"] == figures["rows"]
