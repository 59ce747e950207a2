"""The report as a browser shows it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from browser import Tab
from picturing import HOSTILE, HOSTILE_DOC

from anam_py.pictures import report_page, write_page

Content = dict[str, Any]

SECTIONS = ["Languages", "Sizes", "Complexity", "Hot spots", "Near-duplicates", "Central files", "Skipped files"]


@pytest.fixture
def shown(open_tab: Callable[..., Tab], tmp_path: Path, told: Content) -> Tab:
    """Return a tab with the report in it."""
    write_page(tmp_path / "report.html", report_page(told))
    tab = open_tab()
    tab.open(tmp_path / "report.html")
    return tab


def table(tab: Tab, section: str, number: int = 0) -> list[list[str]]:
    """Return the cells of a table."""
    tables = f"document.querySelectorAll('#{section} table')[{number}]"
    rows: list[list[str]] = tab.run(f"[...{tables}.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.innerText))")
    return rows


def test_it_loads_without_complaints_and_asks_for_nothing(shown: Tab) -> None:
    assert shown.complaints() == []
    assert shown.run("document.scripts.length") == 0
    assert shown.text("h1") == "project"


def test_every_section_is_there_and_every_link_leads_to_one(shown: Tab) -> None:
    assert shown.run("[...document.querySelectorAll('h2')].map((each) => each.innerText)") == SECTIONS
    assert shown.text("nav").split("\n") == SECTIONS
    targets = shown.run(
        "[...document.querySelectorAll('a')].map((each) => document.querySelector(each.getAttribute('href')) !== null)"
    )
    assert targets
    assert all(targets)


def test_the_tables_show_the_figures(shown: Tab, told: Content) -> None:
    assert [(row[0], row[1], row[2]) for row in table(shown, "languages")] == [
        (each["language"], f"{each['files']:,}", f"{each['lines']:,}") for each in told["languages"]
    ]
    assert [(row[0], row[2]) for row in table(shown, "sizes", 1)] == [
        (each["path"], f"{each['lines']:,}") for each in told["sizes"]["largest"]
    ]
    assert [(row[0], row[1], row[3]) for row in table(shown, "complexity", 1)] == [
        (f"{each['path']}:{each['line']}", each["name"], f"{each['complexity']:,}") for each in told["complexity"]["functions"]
    ]
    assert [(row[0], row[3]) for row in table(shown, "hot-spots")] == [
        (each["path"], f"{each['score']:,}") for each in told["hot_spots"]["files"]
    ]
    (group,) = told["duplicates"]["functions"]["groups"]
    (row,) = table(shown, "duplicates")
    assert row[0].split("\n") == [f"{each['path']}:{each['line']} {each['name']}" for each in group["members"]]
    assert [row[0] for row in table(shown, "central")] == [each["path"] for each in told["central"]]
    assert [(row[0], row[1]) for row in table(shown, "skipped")] == [("binary", "1")]


def test_bars_are_as_long_as_the_figures_say(shown: Tab, told: Content) -> None:
    widths = shown.run("[...document.querySelectorAll('#languages .bar rect')].map((each) => each.getBoundingClientRect().width)")
    most = max(each["lines"] for each in told["languages"])
    for width, each in zip(widths, told["languages"], strict=True):
        assert width / widths[0] == pytest.approx(max(each["lines"] / most, 0.005), abs=0.005)


def test_hostile_names_and_texts_are_shown_and_do_nothing(shown: Tab) -> None:
    text = shown.run("document.body.innerText")
    assert f"odd/{HOSTILE}" in text
    assert HOSTILE_DOC in text
    assert shown.run("document.title") == "project: report"
    assert shown.run("document.querySelectorAll('img').length") == 0
    assert shown.complaints() == []


@pytest.mark.parametrize("width", [320, 420, 800])
def test_on_a_narrow_screen_nothing_sticks_out(open_tab: Callable[..., Tab], tmp_path: Path, told: Content, width: int) -> None:
    write_page(tmp_path / "report.html", report_page(told))
    tab = open_tab(width, 800)
    tab.open(tmp_path / "report.html")
    assert tab.run("document.documentElement.scrollWidth") <= width
