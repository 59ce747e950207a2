"""What of a file is found by itself beside its symbols: which lines, under which names, and that names last."""

import random
import sysconfig
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import make_tree

from anam_py import CodeBaseCrawler, HTMCore
from anam_py.crawler.chunks import BLOCK, WINDOW, Chunk, blocks, windows
from anam_py.crawler.languages import language_of
from anam_py.crawler.parse import Syntax, parse

ROWS = "".join(f'    "code_{number}": "what the code {number} stands for",\n' for number in range(8))

PYTHON = f'''# Copyright 2001 someone. All rights reserved, and a licence of several lines
# that nobody looks for: it is the same in every file and so says nothing
# of what is in this one, however many lines there may be of it,
# and however many words.
"""Sums things.

A docstring of several lines is what the file itself is found by,
so that it makes no block, however much it says of what can be done
with all that is defined further down in this file and whatever more
there may be to say of it.
"""
import os
from collections import (
    ChainMap,
    Counter,
    OrderedDict,
    UserDict,
    defaultdict,
    deque,
    namedtuple,
)

__all__ = [
    "summing_of_what_is_given_to_it",
    "subtracting_of_what_is_given_to_it",
    "multiplying_of_what_is_given_to_it",
    "dividing_of_what_is_given_to_it",
    "powers_of_what_is_given_to_it",
]
VERSION = "1.0"

# What the codes of the protocol mean.
CODES: dict[str, str] = {{
{ROWS}}}

def add(a, b):
    return a + b

if __name__ == "__main__":
    import sys
    first, second = map(int, sys.argv[1:3])
    print("the sum of the two numbers is", add(first, second))
    print("and their product, which nobody asked for, is", first * second)
    print("and what is left after the division is", first % second)
    sys.exit(0)
'''
JAVASCRIPT = f"""'use strict';
const express = require('express');
import fs from 'fs';
const app = express();

// The routes of the shop.
app.get('/baskets/:basket', (request, response) => response.json(find(request)));
app.put('/baskets/:basket', (request, response) => response.json(store(request)));
app.delete('/baskets/:basket', (request, response) => response.json(drop(request)));
app.post('/orders', (request, response) => response.json(order(request)));
app.listen(8000);

function find(request) {{ return 1; }}

module.exports.codes = {{
{ROWS}}};
"""
TYPESCRIPT = f"""import {{ a }} from "./a";
export class Shop {{ open(): void {{}} }}
export const codes: Record<string, string> = {{
{ROWS}}};
"""
RUST = f"""use std::fmt;
mod other;
fn main() {{}}
/// What the codes mean.
pub static CODES: &'static [(&str, &str)] = &[
{ROWS}];
"""
GO = f"""package shop

import (
	"fmt"
	"net/http"
)

func main() {{}}

var codes = map[string]string{{
{ROWS}}}
"""
JAVA = """package shop;

import java.util.List;
import java.util.Map;

class Shop { void open() {} }
"""
C = f"""#include <stdio.h>
#ifndef SHOP_H
#define SHOP_H
int main(void) {{ return 0; }}
static const struct pair codes[] = {{
{ROWS}}};
#endif
"""
CPP = f"""#include <vector>
using std::vector;
class Shop {{ void open() {{}} }};
const std::vector<std::pair<int, int>> codes = {{
{ROWS}}};
"""


def found_in(source: str, grammar: str) -> list[tuple[str, int, int]]:
    return [(chunk.name, chunk.start_line, chunk.end_line) for chunk in blocks(source.split("\n"), parse(source, grammar))]


def lines_of(source: str, start: str, end: str) -> tuple[int, int]:
    """Return the numbers of the first line that starts with something and the first one after it that is something else."""
    lines = source.split("\n")
    first = next(number for number, line in enumerate(lines, 1) if line.startswith(start))
    return first, next(number for number, line in enumerate(lines[first:], first + 1) if line == end)


# ---- blocks ----


def test_python_tables_and_scripts_are_blocks_and_imports_licences_and_lone_assignments_are_not() -> None:
    table, script = lines_of(PYTHON, "# What the codes", "}"), lines_of(PYTHON, "if __name__", "    sys.exit(0)")
    (first, second) = blocks(PYTHON.split("\n"), parse(PYTHON, "python"))
    assert first == Chunk("CODES", BLOCK, table[0] - 2, table[1], "What the codes of the protocol mean.")
    assert second == Chunk("if __name__ __main__", BLOCK, *script)


def test_a_block_is_documented_by_the_comment_above_it() -> None:
    source = f"import os\n\n# Not this.\n\n# What the codes mean.\n# In detail.\n\nCODES = {{\n{ROWS}}}\ndef f(): pass\n"
    (chunk,) = blocks(source.split("\n"), parse(source, "python"))
    assert (chunk.name, chunk.start_line, chunk.doc) == ("CODES", 8, "")
    source = source.replace("detail.\n\n", "detail.\n")
    (chunk,) = blocks(source.split("\n"), parse(source, "python"))
    assert (chunk.name, chunk.start_line, chunk.doc) == ("CODES", 5, "What the codes mean. In detail.")


def test_javascript_routes_and_tables_are_blocks() -> None:
    routes, table = lines_of(JAVASCRIPT, "const app", "app.listen(8000);"), lines_of(JAVASCRIPT, "module", "};")
    assert found_in(JAVASCRIPT, "javascript") == [
        ("app.get baskets basket request response response.json", *routes),
        ("module.exports.codes", *table),
    ]


@pytest.mark.parametrize(
    ("source", "grammar", "name", "start", "end"),
    [
        (TYPESCRIPT, "typescript", "codes", "export const", "};"),
        (RUST, "rust", "CODES", "/// What", "];"),
        (GO, "go", "codes", "var codes", "}"),
        (C, "c", "codes", "static const", "};"),
        (CPP, "cpp", "codes", "const std", "};"),
    ],
)
def test_tables_of_other_languages_are_blocks(source: str, grammar: str, name: str, start: str, end: str) -> None:
    assert found_in(source, grammar) == [(name, *lines_of(source, start, end))]


def test_java_has_nothing_outside_of_its_classes() -> None:
    assert found_in(JAVA, "java") == []


def test_a_file_that_is_one_block_and_nothing_else_has_none() -> None:
    source = f"CODES = {{\n{ROWS}}}\n"
    assert found_in(source, "python") == []
    assert len(found_in(source + "\ndef f(): pass\n", "python")) == 1


def test_what_is_long_is_cut_at_blank_lines_and_what_goes_on_is_called_like_its_beginning() -> None:
    groups = "\n".join("".join(f'    "{group} {row}",\n' for row in range(25)) for group in range(6))
    source = f"TABLE = [\n{groups}]\n\ndef f(): pass\n"
    found = found_in(source, "python")
    assert [name for name, _, _ in found] == ["TABLE"] * len(found)
    assert len(found) >= 3
    lines = source.split("\n")
    assert all(lines[start - 2] == "" for _, start, _ in found[1:])


GENERATED = st.lists(
    st.sampled_from(
        [
            "",
            "# a comment",
            "import os",
            "from a import (\n    b,\n    c,\n)",
            "def function():\n    return 1",
            "class Class:\n    attribute = 1\n\n    def method(self):\n        pass",
            "VALUE = compute_the_value_of_something(1)",
            "TABLE = [\n    1,\n    2,\n]",
            "if condition_holds_now:\n    do_this_and_that()\n\n    and_more_of_it()",
            '"""A string."""',
        ]
    ),
    max_size=60,
)


def words_in(line: str) -> bool:
    return any(character.isalnum() for character in line)


@given(GENERATED)
def test_a_line_is_in_a_symbol_or_in_at_most_one_block_and_only_too_little_code_is_in_neither(parts: list[str]) -> None:
    source = "\n".join(parts)
    lines, syntax = source.split("\n"), parse(source, "python")
    found = blocks(lines, syntax)
    covered = [line for chunk in found for line in range(chunk.start_line, chunk.end_line + 1)]
    in_symbols = {line for symbol in syntax.symbols for line in range(symbol.start_line, symbol.end_line + 1)}
    idle = {line for first, last in (*syntax.comments, *syntax.asides) for line in range(first, last + 1)}
    assert len(covered) == len(set(covered))
    assert not in_symbols & set(covered)
    assert found == blocks(lines, syntax)
    code = {line for line, text in enumerate(lines, 1) if words_in(text) and line not in in_symbols | idle}
    for chunk in found:
        of_it = code & set(range(chunk.start_line, chunk.end_line + 1))
        assert len(of_it) >= 5
        assert sum(len(lines[line - 1].strip()) for line in of_it) >= 150
    # What is left out by itself, without a cut, is too little.
    for gap in gaps(in_symbols, len(lines)):
        left = code & set(gap) - set(covered)
        if len(gap) <= 60 and syntax.symbols:
            assert len(left) < 5 or sum(len(lines[line - 1].strip()) for line in left) < 150


def gaps(taken: set[int], count: int) -> list[list[int]]:
    found: list[list[int]] = [[]]
    for line in range(1, count + 1):
        if line in taken:
            found.append([])
        else:
            found[-1].append(line)
    return found


def test_the_standard_library_has_blocks_of_bounded_size_outside_of_its_symbols() -> None:
    library = Path(sysconfig.get_path("stdlib"))
    for name in ("token.py", "shutil.py", "stat.py", "html/entities.py", "encodings/aliases.py", "locale.py", "re/_parser.py"):
        text = (library / name).read_text(encoding="utf-8")
        lines, syntax = text.split("\n"), parse(text, "python")
        found = blocks(lines, syntax)
        assert found, name
        assert all(chunk.end_line - chunk.start_line < 120 for chunk in found)
        inside = {line for symbol in syntax.symbols for line in range(symbol.start_line, symbol.end_line + 1)}
        assert not inside & {line for chunk in found for line in range(chunk.start_line, chunk.end_line + 1)}


# ---- windows ----

MARKDOWN = "".join(f"# Part {part}\n\n" + "Some words of it.\n\n" * 8 + "## More\n\n" + "Others.\n" * 15 for part in range(5))
RST = "".join(
    f"=======\nPart {part}\n=======\n\n" + "Some words of it.\n\n" * 12 + "More\n----\n\n" + "Others.\n" * 15 for part in range(5)
)
RUBY = "".join(
    f"# Does it.\ndef method_{number}(argument)\n  first = argument\n\n  first + {number}\nend\n\n" for number in range(40)
)
SHELL = "#!/bin/sh\n# Copyright someone.\n\n" + "".join(
    f"step_{number}() {{\n    echo one\n\n    echo two\n}}\n\n" for number in range(40)
)
SQL = "".join(f"CREATE TABLE table_{number} (\n    id INTEGER,\n    name TEXT\n);\n\n" for number in range(40))
YAML = "".join(f"job_{number}:\n  image: one\n\n  steps:\n    - run: make {number}\n\n" for number in range(40))


@pytest.mark.parametrize(
    ("path", "text", "beginnings"),
    [
        ("a.md", MARKDOWN, ("# Part ", "## More")),
        ("a.rst", RST, ("=======", "More")),
        ("a.rb", RUBY, ("# Does it.",)),
        ("a.sh", SHELL, ("#!/bin/sh", "step_")),
        ("a.sql", SQL, ("CREATE TABLE",)),
        ("a.yaml", YAML, ("job_",)),
    ],
)
def test_windows_begin_where_something_begins(path: str, text: str, beginnings: tuple[str, ...]) -> None:
    lines = text.split("\n")
    found = windows(lines, language_of(path, text))
    assert len(found) >= 3
    for chunk in found:
        assert chunk.kind == WINDOW
        assert lines[chunk.start_line - 1].startswith(beginnings)
        assert 10 <= chunk.end_line - chunk.start_line < 60


def test_windows_are_called_by_headings_and_by_the_first_code() -> None:
    assert [chunk.name for chunk in windows(MARKDOWN.split("\n"), language_of("a.md"))][:2] == ["Part 0", "Part 1"]
    assert windows(RUBY.split("\n"), language_of("a.rb"))[0].name == "def method_0 argument"
    assert windows(SHELL.split("\n"), language_of("a.sh"))[0].name == "step_0"
    assert windows(('<p align="center">\n' + "words\n" * 100).split("\n"), language_of("a.md"))[0].name == "p align center"


def test_what_looks_like_a_heading_in_a_fence_is_none() -> None:
    text = "words\n" * 15 + "```sh\n" + "run this\n\n# And that\n" * 8 + "```\n\n" + "words\n" * 40
    (first, second, *_) = windows(text.split("\n"), language_of("a.md"))
    assert (first.end_line, second.start_line) == (41, 43)


def test_a_file_no_longer_than_a_window_has_none() -> None:
    assert windows(["word"] * 60, language_of("a.rb")) == []
    assert len(windows(["word"] * 61, language_of("a.rb"))) == 2


LINE = st.sampled_from(["", "", "  ", "word", "  word", "    more words", "# heading", "```", "====", "}", "---", "word " * 60])


@given(st.lists(LINE, max_size=300), st.sampled_from(["a.md", "a.rst", "a.rb", "a.yaml", "unknown"]))
def test_every_line_that_is_not_blank_is_in_one_window_unless_a_window_has_no_word(lines: list[str], path: str) -> None:
    found = windows(lines, language_of(path))
    assert found == windows(lines, language_of(path))
    covered = [line for chunk in found for line in range(chunk.start_line, chunk.end_line + 1)]
    assert covered == sorted(set(covered))
    if found:
        assert {number for number, line in enumerate(lines, 1) if words_in(line)} <= set(covered)
    for chunk in found:
        assert lines[chunk.start_line - 1].strip()
        assert lines[chunk.end_line - 1].strip()
        assert chunk.name
        size = sum(1 + len(line) // 100 for line in lines[chunk.start_line - 1 : chunk.end_line])
        assert size <= 60 + max(1 + len(line) // 100 for line in lines)


@pytest.mark.parametrize("path", ["a.md", "a.rb"])
def test_an_edit_leaves_most_windows_and_their_names_as_they_are(path: str) -> None:
    random_ = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    lines = [random_.choice(["", " ".join(random_.choices(words, k=7))]) for _ in range(1500)]
    before = pieces(lines, path)
    for place in (0, 10, 700):
        after = pieces([*lines[:place], *["an entirely new line"] * 7, *lines[place:]], path)
        assert len(before & after) >= 0.8 * len(before)


def pieces(lines: list[str], path: str) -> set[tuple[str, str]]:
    """Return the names and texts of the windows."""
    return {(chunk.name, "\n".join(lines[chunk.start_line - 1 : chunk.end_line])) for chunk in windows(lines, language_of(path))}


# ---- odd files ----


def test_line_ends_make_no_difference() -> None:
    for path, text in {"a.md": MARKDOWN, "a.rst": RST, "a.rb": RUBY}.items():
        with_returns = windows(text.replace("\n", "\r\n").split("\n"), language_of(path))
        places = [(chunk.start_line, chunk.end_line) for chunk in windows(text.split("\n"), language_of(path))]
        # Which of equal borders is taken is decided by the bytes of the line.
        assert len(with_returns) == pytest.approx(len(places), abs=2)
        assert {chunk.name for chunk in with_returns} & {chunk.name for chunk in windows(text.split("\n"), language_of(path))}
    with_returns_too = PYTHON.replace("\n", "\r\n")
    assert found_in(with_returns_too, "python") == found_in(PYTHON, "python")


def test_a_file_of_one_endless_line_is_one_piece() -> None:
    assert windows(["word " * 200_000], language_of("a.rb")) == []
    assert found_in(f"x = '{'word ' * 100_000}'", "python") == []


def test_endless_lines_do_not_share_a_window() -> None:
    found = windows(["word " * 4000] * 5, language_of("a.rb"))
    assert [(chunk.start_line, chunk.end_line) for chunk in found] == [(line, line) for line in range(1, 6)]


def test_very_many_lines_make_a_bounded_number_of_windows_that_hold_all_of_them() -> None:
    found = windows([f"line {number}" for number in range(100_000)], language_of("a.txt"))
    assert 50 < len(found) <= 200
    assert [chunk.start_line for chunk in found] == [1, *(chunk.end_line + 1 for chunk in found[:-1])]
    assert found[-1].end_line == 100_000


def test_a_mebibyte_of_blank_lines_or_of_what_looks_like_the_worst_takes_linear_time() -> None:
    """What went back over it again and again would take hours."""
    assert windows(["", *[""] * 2**20], language_of("a.md")) == []
    assert blocks([""] * 2**18, Syntax(parsed=True)) == []
    for line in ("a" + " " * 19_000 + "b", "=" * 19_000 + "x", "[" * 19_000, "a:" * 9_000, "(" * 19_000 + "a", " " * 19_000):
        windows([line] * 50, language_of("a.md"))
        windows([line] * 50, language_of("a.rb"))
        blocks([line] * 50, Syntax(parsed=True))


# ---- in a crawl ----


def test_blocks_and_windows_are_entries_that_are_found_with_their_lines(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    make_tree(tree, {"sums.py": PYTHON, "guide.md": MARKDOWN.replace("Others.", "About the migration of birds.", 1)})
    report = crawler.index(".")
    assert "sums.py::<CODES>" in htm
    assert htm.get_embedding("guide.md::<Part 0>")["metadata"]["kind"] == "window"  # type: ignore[index]
    record = htm.get_embedding("sums.py::<if __name__ __main__>")
    assert record is not None
    metadata = record["metadata"]
    start, end = lines_of(PYTHON, "if __name__", "    sys.exit(0)")
    assert (metadata["kind"], metadata["path"], metadata["language"]) == ("block", "sums.py", "python")
    assert (metadata["start_line"], metadata["end_line"]) == (start, end)
    assert htm.get_text(record["key"]) == "\n".join(PYTHON.split("\n")[start - 1 : end])
    assert report.symbols == len(htm) - 2
    hit = crawler.search("and their product which nobody asked for", 1, where={"kind": "block"})[0]
    assert (hit.path, hit.symbol, hit.start_line, hit.end_line) == ("sums.py", "<if __name__ __main__>", start, end)
    hit = crawler.search("migration of birds", 1, where={"kind": "window"})[0]
    assert hit.path == "guide.md"
    assert hit.start_line <= MARKDOWN.split("\n").index("Others.") + 1 <= hit.end_line


def test_how_a_file_is_cut_is_in_its_metadata_and_files_without_a_grammar_are_counted(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    data = "".join(f'"{number}": "a row of data",\n' for number in range(200))
    make_tree(
        tree,
        {
            "a.py": PYTHON,
            "b.rb": RUBY,
            "c.rb": RUBY,
            "short.rb": "puts 1\n",
            "d.sql": SQL,
            "e.json": f"{{{data}}}",
            "poetry.lock": data,
            "f_pb2.py": PYTHON,
            "g.py": "x = [" + "<" * 100 + "\n" * (1024 * 1024 // 2 + 1),
        },
    )
    report = crawler.index(".")
    cut = {key: htm.get_embedding(key)["metadata"]["chunks"] for key in htm if "::" not in key}  # type: ignore[index]
    assert cut == {
        "a.py": "syntax",
        "b.rb": "windows",
        "c.rb": "windows",
        "short.rb": "windows",
        "d.sql": "windows",
        "e.json": "none",
        "poetry.lock": "none",
        "f_pb2.py": "none",
        "g.py": "syntax",
    }
    assert report.windows == {"ruby": 2, "sql": 1}
    assert report.remarks == ["3 files in 2 languages without a grammar (ruby, sql) were cut into windows of lines"]
    assert {key.partition("::")[0] for key in htm if "::<" in key} == {"a.py", "b.rb", "c.rb", "d.sql"}
    assert crawler.index(".").remarks == []
    assert CodeBaseCrawler(htm).index(".").remarks == []


def test_keys_are_unique_and_a_block_never_takes_the_key_of_a_symbol(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    table = f"CODES = {{\n{ROWS}}}\n"
    make_tree(tree, {"a.py": f"{table}def CODES(): pass\n{table}def f(): pass\n{table}"})
    crawler.index(".")
    assert [key for key in htm if "CODES" in key] == ["a.py::<CODES>", "a.py::<CODES>#2", "a.py::<CODES>#3", "a.py::CODES"]
    assert htm.get_embedding("a.py::CODES")["metadata"]["kind"] == "function"  # type: ignore[index]


def test_keys_last_when_something_is_put_in_above(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": PYTHON, "a.md": MARKDOWN})
    crawler.index(".")
    before = set(htm)
    make_tree(
        tree,
        {
            "a.py": PYTHON.replace("import os\n", "import os\n\ndef first():\n    pass\n\n"),
            "a.md": "Words.\n\nMore words.\n\n" + MARKDOWN,
        },
    )
    crawler.index(".")
    assert set(htm) >= {key for key in before if key.startswith("a.py")}
    assert len(before - set(htm)) <= 1


def test_a_source_that_cannot_be_parsed_is_cut_into_windows_and_is_not_counted_as_without_a_grammar(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    make_tree(tree, {"a.java": "a < b <\n" * 2500})
    report = crawler.index(".")
    metadata = htm.get_embedding("a.java")["metadata"]  # type: ignore[index]
    assert metadata["notes"][0].startswith("not parsed")
    assert metadata["chunks"] == "windows"
    assert report.symbols > 20
    assert report.remarks == []
