"""The map as a browser shows it: where its dots are, in what colours, and what it does when it is used."""

import io
import json
import re
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib.image
import numpy as np
import pytest
from browser import Tab
from numpy.typing import NDArray
from picturing import HOSTILE, HOSTILE_DOC

from anam_py.pictures import map_page, write_page

Content = dict[str, Any]
OpenTab = Callable[..., Tab]

OPAQUE, FAINT = 0.88, 0.1  # how much of its colour a dot has: one that is meant, and another
LARGEST = "shapes/long.py"


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory, drawn: Content) -> Path:
    """Return the page of the map."""
    path = tmp_path_factory.mktemp("page") / "map.html"
    write_page(path, map_page(drawn))
    return path


@pytest.fixture
def shown(open_tab: OpenTab, page: Path) -> Tab:
    """Return a tab with the map in it."""
    tab = open_tab()
    tab.open(page)
    return tab


def colours(*, dark: bool) -> dict[str, NDArray[np.float64]]:
    """Return the colours of a theme, by the names that the style sheet gives them."""
    light, _, night = files("anam_py.pictures").joinpath("base.css").read_text("utf-8").partition("prefers-color-scheme: dark")
    found = re.findall(r"--([a-z0-9]+): #([0-9a-f]{6})", night if dark else light)
    return {name: np.array([*bytes.fromhex(digits)]) / 255 for name, digits in found}


def pixels(tab: Tab) -> NDArray[np.float64]:
    image: NDArray[np.float64] = matplotlib.image.imread(io.BytesIO(tab.screenshot()), format="png")[:, :, :3]
    return image


def ring_of(tab: Tab) -> tuple[float, float]:
    """Return the middle of the ring around the chosen dot."""
    tab.settle()
    box = tab.run("(({left, top, width, height}) => [left + width / 2, top + height / 2])(ring.getBoundingClientRect())")
    return box[0], box[1]


def choose(tab: Tab, path: str) -> tuple[float, float]:
    """Choose a file by the address, and return where its ring is."""
    parts = tab.run("location.hash.slice(1)")
    rest = "&".join(part for part in parts.split("&") if part and not part.startswith("file="))
    tab.run(f"location.hash = {json.dumps(rest + '&file=' + quote(path, safe=''))}")
    return ring_of(tab)


def places(tab: Tab, content: Content) -> dict[str, tuple[float, float]]:
    found = {file["path"]: choose(tab, file["path"]) for file in content["files"]}
    tab.press_in("#canvas", "Escape")
    return found


def colour_at(image: NDArray[np.float64], place: tuple[float, float]) -> NDArray[np.float64]:
    x, y = place
    colour: NDArray[np.float64] = image[round(y), round(x)]
    return colour


def mixed(theme: dict[str, NDArray[np.float64]], group: int, share: float) -> Any:
    return pytest.approx(share * theme[f"c{min(group, 8)}"] + (1 - share) * theme["paper"], abs=0.03)


def test_the_map_loads_without_complaints_and_asks_for_nothing(shown: Tab) -> None:
    assert shown.complaints() == []
    assert shown.text("h1") == "project"
    assert "10 files" in shown.text("header")


@pytest.mark.parametrize("dark", [False, True])
def test_every_dot_is_in_its_colour_where_its_vector_says(open_tab: OpenTab, page: Path, drawn: Content, *, dark: bool) -> None:
    tab = open_tab(dark=dark)
    tab.open(page)
    at = places(tab, drawn)
    where = np.array([at[file["path"]] for file in drawn["files"]])
    meant = np.array([(file["x"], file["y"]) for file in drawn["files"]])
    for axis, sign in ((0, 1), (1, -1)):
        scale, offset = np.polyfit(meant[:, axis], where[:, axis], 1)
        assert sign * scale > 100
        np.testing.assert_allclose(where[:, axis], scale * meant[:, axis] + offset, atol=0.6)
    image, theme = pixels(tab), colours(dark=dark)
    assert colour_at(image, (640, 5)) == pytest.approx(theme["paper"], abs=0.01)
    for file in drawn["files"]:
        assert colour_at(image, at[file["path"]]) == mixed(theme, file["folder"], OPAQUE), file["path"]


def test_a_larger_file_has_a_larger_dot(shown: Tab) -> None:
    widths = {}
    for path in (LARGEST, "shapes/circle.py"):
        choose(shown, path)
        widths[path] = shown.run("ring.getBoundingClientRect().width")
    assert widths[LARGEST] > widths["shapes/circle.py"] + 5


def test_colours_can_say_the_language_instead(shown: Tab, drawn: Content) -> None:
    assert shown.text("#legend").split("\n")[::2] == drawn["folders"]
    shown.run("document.querySelector('input[value=language]').click()")
    shown.settle()
    assert shown.text("#legend").split("\n")[::2] == drawn["languages"]
    at = places(shown, drawn)
    image, theme = pixels(shown), colours(dark=False)
    for file in drawn["files"]:
        assert colour_at(image, at[file["path"]]) == mixed(theme, file["language"], OPAQUE), file["path"]


def test_a_search_lets_the_other_dots_fade_and_lists_what_it_found(shown: Tab, drawn: Content) -> None:
    at = places(shown, drawn)
    shown.type("#query", "Settings READS")
    assert shown.text("#matches") == "2 files found"
    assert sorted(shown.text("#hits").split("\n")) == ["settings/printer.py", "settings/window.py"]
    image, theme = pixels(shown), colours(dark=False)
    for file in drawn["files"]:
        share = OPAQUE if file["path"].startswith("settings/") else FAINT
        assert colour_at(image, at[file["path"]]) == mixed(theme, file["folder"], share), file["path"]
    for hit in shown.text("#hits").split("\n"):
        shown.press("Enter")
        assert shown.text("#card h2") == hit


def test_the_legend_filters(shown: Tab, drawn: Content) -> None:
    at = places(shown, drawn)
    shapes = drawn["folders"].index("shapes")
    shown.run(f"document.querySelectorAll('#legend button')[{shapes}].click()")
    shown.settle()
    assert shown.run("[...document.querySelectorAll('#legend [aria-pressed=true] .name')].map((each) => each.innerText)") == [
        "shapes"
    ]
    image, theme = pixels(shown), colours(dark=False)
    for file in drawn["files"]:
        share = OPAQUE if file["folder"] == shapes else FAINT
        assert colour_at(image, at[file["path"]]) == mixed(theme, file["folder"], share), file["path"]


def test_under_the_pointer_a_dot_says_what_it_is(shown: Tab) -> None:
    x, y = choose(shown, "shapes/circle.py")
    shown.press_in("#canvas", "Escape")
    shown.mouse("mouseMoved", x, y)
    assert shown.text("#tip").split("\n\n") == ["shapes/circle.py", "python, 8 lines", "Circles."]
    shown.mouse("mouseMoved", 1270, 10)
    assert shown.run("tip.hidden")


def test_a_click_chooses_a_dot_and_tells_its_nearest(shown: Tab, drawn: Content) -> None:
    x, y = choose(shown, "settings/window.py")
    shown.press_in("#canvas", "Escape")
    assert shown.run("card.hidden")
    shown.click(x, y)
    assert shown.text("#card h2") == "settings/window.py"
    (file,) = [each for each in drawn["files"] if each["path"] == "settings/window.py"]
    nearest = [drawn["files"][number]["path"] for number, _ in file["nearest"]]
    assert shown.text("#card ul").split("\n")[::2] == nearest
    shown.run("document.querySelector('#card ul button').click()")
    shown.settle()
    assert shown.text("#card h2") == nearest[0]


def test_the_wheel_zooms_where_the_pointer_is_and_dragging_moves_the_map(shown: Tab) -> None:
    x, y = choose(shown, "shapes/circle.py")
    shown.mouse("mouseWheel", x, y, deltaX=0, deltaY=-600)
    left, top = ring_of(shown)
    # A pointer is at a whole pixel, and what is off by a part of one is off by more after zooming in.
    assert (left, top) == (pytest.approx(x, abs=3), pytest.approx(y, abs=3))
    start = (1200, 20)
    shown.mouse("mouseMoved", *start)
    shown.mouse("mousePressed", *start, button="left", clickCount=1)
    shown.mouse("mouseMoved", start[0] - 40, start[1] + 30, button="left")
    shown.mouse("mouseReleased", start[0] - 40, start[1] + 30, button="left", clickCount=1)
    assert ring_of(shown) == (pytest.approx(left - 40, abs=1), pytest.approx(top + 30, abs=1))
    shown.run("document.querySelector('#all').click()")
    shown.settle()
    assert ring_of(shown) == (pytest.approx(x, abs=1), pytest.approx(y, abs=1))


def test_the_arrow_keys_go_from_dot_to_dot(shown: Tab, drawn: Content) -> None:
    at = places(shown, drawn)
    shown.press_in("#canvas", "ArrowRight")
    first = shown.text("#card h2")
    assert first == min(drawn["files"], key=lambda file: file["rank"])["path"]
    left = min(at, key=lambda path: at[path])
    for _ in at:
        before = shown.text("#card h2")
        shown.press("ArrowLeft")
        after = shown.text("#card h2")
        assert after == before or at[after][0] < at[before][0]
    assert at[after][0] <= at[first][0]
    assert at[left][0] <= at[after][0]
    shown.press("Escape")
    assert shown.run("card.hidden && ring.hidden")


def test_the_address_remembers_what_was_asked(open_tab: OpenTab, page: Path, shown: Tab) -> None:
    shown.type("#query", "circle")
    shown.press("Enter")
    shown.run("document.querySelector('input[value=language]').click()")
    fragment = shown.run("location.hash.slice(1)")
    again = open_tab()
    again.open(page, fragment)
    assert again.run("query.value") == "circle"
    assert again.text("#card h2") == "shapes/circle.py"
    assert again.run("document.querySelector('input[name=colour]:checked').value") == "language"
    assert again.complaints() == []


def test_hostile_names_and_texts_are_shown_and_do_nothing(shown: Tab) -> None:
    choose(shown, f"odd/{HOSTILE}")
    assert shown.text("#card h2") == f"odd/{HOSTILE}"
    assert HOSTILE_DOC in shown.text("#card")
    assert shown.run("document.title") == "project: map"
    assert shown.run("document.querySelectorAll('img, b').length") == 0
    assert shown.complaints() == []


def test_even_a_script_that_got_in_could_load_nothing(shown: Tab) -> None:
    attempt = "new Image().src = 'http://127.0.0.1:9/picture.png'"
    listening = "addEventListener('securitypolicyviolation', (event) => done(event.effectiveDirective))"
    assert shown.run(f"new Promise((done) => {{ {listening}; {attempt}; }})") == "img-src"


@pytest.mark.parametrize("width", [320, 420, 1280])
def test_on_a_narrow_screen_nothing_sticks_out(open_tab: OpenTab, page: Path, width: int) -> None:
    tab = open_tab(width, 800)
    tab.open(page, "query=shapes&file=shapes%2Flong.py")
    assert tab.run("document.documentElement.scrollWidth") <= width
    assert tab.run("canvas.getBoundingClientRect().width") > 250
    assert tab.complaints() == []


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_files_are_no_problem(open_tab: OpenTab, tmp_path: Path, drawn: Content, count: int) -> None:
    few = [{**file, "x": 0.0, "y": 0.0, "nearest": []} for file in drawn["files"][:count]]
    write_page(tmp_path / "few.html", map_page({**drawn, "files": few}))
    tab = open_tab()
    tab.open(tmp_path / "few.html")
    assert tab.run("document.querySelector('#empty').hidden") is (count > 0)
    assert tab.complaints() == []
