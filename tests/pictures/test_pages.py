"""What a page is as text, and where it is written."""

import base64
import hashlib
import html
import json
import re
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py.crawler import analyse_file
from anam_py.exceptions import AnamError
from anam_py.pictures import map_page, report_page, write_page
from anam_py.pictures.page import page

Content = dict[str, Any]

ROOT = Path(__file__).parents[2]


class Elements(HTMLParser):
    """The elements of a page, each with its attributes and the text right inside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self.found.append((f"/{tag}", {}, ""))

    def handle_data(self, data: str) -> None:
        if self.found:
            tag, attributes, text = self.found[-1]
            self.found[-1] = tag, attributes, text + data

    def texts(self, tag: str) -> list[str]:
        return [text for found, _, text in self.found if found == tag]


@pytest.fixture(params=["map", "report"])
def written(request: pytest.FixtureRequest, drawn: Content, told: Content) -> str:
    """Return a page of each kind."""
    return map_page(drawn) if request.param == "map" else report_page(told)


def test_a_page_may_load_nothing_and_run_only_its_own_script(written: str) -> None:
    elements = Elements(written)
    (policy,) = [attributes["content"] or "" for _, attributes, _ in elements.found if "http-equiv" in attributes]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    scripts = [text for tag, attributes, text in elements.found if tag == "script" and "type" not in attributes]
    for name, texts in (("style-src", elements.texts("style")), ("script-src", scripts)):
        allowed = [f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts]
        assert rules.get(name, "") == " ".join(allowed)
    assert rules.keys() <= {"default-src", "base-uri", "form-action", "style-src", "script-src"}


def test_no_page_names_anything_outside_of_it(written: str) -> None:
    for tag, attributes, _ in Elements(written).found:
        assert tag not in {"img", "link", "iframe", "object", "embed", "form", "base", "audio", "video", "source"}
        assert attributes.keys().isdisjoint({"src", "srcset", "style", "action", "data"})
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
    (styles,) = Elements(written).texts("style")
    assert "url(" not in styles
    assert "@import" not in styles


@given(st.text(), st.text())
def test_no_text_in_the_data_or_the_title_can_end_its_element(title: str, text: str) -> None:
    data = {text: [text, f"</script>{text}<!--<script>"]}
    made = page("map", title, "<p>body</p>", styles="p {}", script="run()", data=data)
    (content,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', made, re.DOTALL)
    assert "<" not in content
    assert json.loads(content) == data
    (shown,) = re.findall(r"<title>(.*?)</title>", made, re.DOTALL)
    assert html.unescape(shown) == title
    assert "<" not in shown


def test_a_page_is_written_over_a_page_but_not_over_anything_else(tmp_path: Path, written: str) -> None:
    path = tmp_path / "page.html"
    write_page(path, "first".join(written.partition("<body>")))
    write_page(path, written)
    assert path.read_bytes() == written.encode()
    for other in (b"", b"<!doctype html>\n<p>mine</p>", b"\xff\xfe", written.encode()[1:]):
        path.write_bytes(other)
        with pytest.raises(AnamError, match=r"page\.html' is not a page of anam; .* --force"):
            write_page(path, written)
        assert path.read_bytes() == other
        write_page(path, written, replace=True)
        assert path.read_bytes() == written.encode()
    assert [*tmp_path.iterdir()] == [path]


def test_a_link_to_a_page_is_followed(tmp_path: Path, written: str) -> None:
    (tmp_path / "page.html").write_text(written, encoding="utf-8")
    (tmp_path / "link.html").symlink_to("page.html")
    write_page(tmp_path / "link.html", written + "\n")
    assert (tmp_path / "link.html").is_symlink()
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == written + "\n"


def test_where_no_page_can_be_the_error_says_why(tmp_path: Path, written: str) -> None:
    with pytest.raises(AnamError, match=r"there is no folder .*nowhere"):
        write_page(tmp_path / "nowhere" / "page.html", written)
    for replace in (False, True):
        with pytest.raises(AnamError, match="is not a file"):
            write_page(tmp_path, written, replace=replace)
    for name in ("long" * 100, "circle"):
        (tmp_path / "circle").symlink_to("circle")
        with pytest.raises(AnamError, match="cannot be written to"):
            write_page(tmp_path / name, written)
        (tmp_path / "circle").unlink()
    assert [*tmp_path.iterdir()] == []


def test_a_crawl_takes_a_page_for_what_a_program_has_made(tmp_path: Path, told: Content) -> None:
    write_page(tmp_path / "page.html", report_page(told))
    _, analysis = analyse_file(tmp_path / "page.html", max_line_bytes=10**7)
    assert analysis.metadata["file_type"] == "generated"


def test_wheels_and_sdists_are_told_to_have_the_templates_in_them() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]["*"]
    included = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").split("recursive-include anam_py ")[1].split("\n")[0].split()
    templates = [path.name for path in (ROOT / "anam_py/pictures").iterdir() if path.suffix in {".html", ".css", ".js"}]
    assert templates
    for patterns in (data, included):
        assert [name for name in templates if not any(fnmatch(name, pattern) for pattern in patterns)] == []
