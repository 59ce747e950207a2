"""What `anam map` and `anam report` write and say."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from commands import run, start
from picturing import FILES, store_of

PAGES = {"map": "anam-map.html", "report": "anam-report.html"}
both = pytest.mark.parametrize("command", PAGES)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project: Path) -> Path:
    """Return an empty folder, and stand in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ANAM_STORE", str(store_of(project)))
    return tmp_path


@both
def test_the_page_is_written_where_the_command_says(here: Path, command: str) -> None:
    result = run(command)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Wrote {PAGES[command]}: {len(FILES)} files of ")
    assert (here / PAGES[command]).read_text(encoding="utf-8").startswith("<!doctype html>")
    assert run(command, "--output", "other.html").out.startswith("Wrote other.html")
    assert {path.name for path in here.iterdir()} == {PAGES[command], "other.html"}


@both
def test_the_json_answer_is_what_is_on_the_page(here: Path, command: str, request: pytest.FixtureRequest) -> None:
    answer = run(command, "--json").json
    assert answer.pop("store") == os.environ["ANAM_STORE"]
    assert answer.pop("seconds") >= 0
    assert answer == request.getfixturevalue({"map": "drawn", "report": "told"}[command])
    assert [*here.iterdir()] == []


@both
def test_what_is_no_page_is_not_written_over_before_it_is_said(here: Path, command: str) -> None:
    Path(PAGES[command]).write_text("mine", encoding="utf-8")
    result = run(command)
    assert (result.status, result.out) == (2, "")
    assert "is not a page of anam" in result.err
    assert Path(PAGES[command]).read_text(encoding="utf-8") == "mine"
    assert run(command, "--force").status == 0
    assert run(command).status == 0


@both
@pytest.mark.parametrize("option", [("--open",), ("--force",), ("--output", "x.html")])
def test_json_writes_no_page(here: Path, command: str, option: tuple[str, ...]) -> None:
    result = run(command, "--json", *option)
    assert result.status == 2
    assert "--json writes no page" in result.err


@pytest.mark.parametrize("colour", ["folder", "language"])
def test_the_map_starts_with_the_colours_that_were_asked_for(here: Path, colour: str) -> None:
    assert run("map", "--colour", colour).status == 0
    assert f'value="{colour}" checked' in (here / "anam-map.html").read_text(encoding="utf-8")


@both
def test_an_empty_index_makes_an_empty_page_and_says_so(here: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANAM_STORE")
    assert run("index").status == 0
    result = run(command)
    assert result.status == 0
    assert result.out.startswith(f"Wrote {PAGES[command]}: 0 files of .anam")
    assert "anam index" in result.err


@both
def test_without_a_store_the_error_says_how_to_make_one(here: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANAM_STORE")
    result = run(command)
    assert result.status == 2
    assert "anam index" in result.err


@pytest.mark.skipif(sys.platform == "win32", reason="a browser is not chosen by the environment there")
def test_the_page_is_opened_in_the_browser(here: Path) -> None:
    browser = here / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {here}/opened.part && mv {here}/opened.part {here}/opened\n', encoding="utf-8")
    browser.chmod(0o700)
    process = start("map", "--open", environment={"BROWSER": f"{browser} %s"})
    assert process.communicate()[1] == ""
    assert process.returncode == 0
    end = time.monotonic() + 60
    while not (here / "opened").exists():
        assert time.monotonic() < end
        time.sleep(0.02)
    assert (here / "opened").read_text(encoding="utf-8").strip() == (here.resolve() / "anam-map.html").as_uri()


def test_help_does_not_wait_for_numpy() -> None:
    code = "import sys\nfrom anam_py.cli import app\nprint('numpy' in sys.modules, 'anam_py.pictures' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["False", "False"]
