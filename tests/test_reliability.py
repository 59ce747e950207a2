"""The page on reliability names what there is: fifty rows, each with tests called after it."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs" / "reliability.md"
ROW = re.compile(r"^\| (\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)


def test_each_of_the_fifty_rows_has_tests_called_after_it_where_the_page_says() -> None:
    rows = {int(number): files.split(", ") for number, files in ROW.findall(PAGE.read_text(encoding="utf-8"))}
    assert sorted(rows) == list(range(1, 51))
    for number, files in rows.items():
        for file in files:
            assert f"def test_row_{number:02}_" in (TESTS / file).read_text(encoding="utf-8"), f"row {number} in {file}"


def test_the_page_names_every_file_with_tests_of_a_row() -> None:
    named = {(int(number), file) for number, files in ROW.findall(PAGE.read_text(encoding="utf-8")) for file in files.split(", ")}
    for path in TESTS.rglob("test_*.py"):
        file = path.relative_to(TESTS).as_posix()
        for number in map(int, re.findall(r"^(?:async )?def test_row_(\d\d)_", path.read_text(encoding="utf-8"), re.MULTILINE)):
            assert (number, file) in named, f"row {number} in {file}"
