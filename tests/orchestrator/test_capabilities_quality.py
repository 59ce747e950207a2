"""quality_analysis: what is too large, and what is there twice, compared with plain ways to find out."""

import ast
import io
import itertools
import json
import sysconfig
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py import ValidationError
from anam_py.orchestrator import Context
from anam_py.orchestrator.capabilities import BUILT_IN
from anam_py.orchestrator.capabilities.duplicates import find_duplicates
from anam_py.orchestrator.capabilities.quality import THRESHOLDS
from anam_py.orchestrator.capabilities.tokens import tokens_of

STDLIB = Path(sysconfig.get_path("stdlib"))


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def assess(files: dict[str, str], **task: Any) -> dict[str, Any]:
    """Write files and assess them."""
    for name, text in files.items():
        Path(name).write_text(text, encoding="utf-8")
    output = BUILT_IN["quality_analysis"].handler({"files": list(files), **task}, Context("quality_analysis", "agent", "run"))
    assert json.loads(json.dumps(output)) == output
    return output


def found(output: dict[str, Any]) -> list[tuple[str, int, str, int, str]]:
    return [(each["file"], each["line"], each["rule"], each["value"], each["severity"]) for each in output["findings"]]


def function(complexity: int = 1, lines: int = 0, parameters: int = 0) -> str:
    names = ", ".join(f"p{number}" for number in range(parameters))
    ifs = "".join(f"    if x: y{number}()\n" for number in range(complexity - 1))
    return f'def f({names}):\n    """F."""\n{ifs}' + "".join(
        f"    z{number} = {number}\n" for number in range(lines - complexity - 1)
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (function(complexity=10), []),
        (function(complexity=11), [("complexity", 11, "medium")]),
        (function(complexity=20), [("complexity", 20, "medium")]),
        (function(complexity=21), [("complexity", 21, "high")]),
        (function(lines=80), []),
        (function(lines=81), [("function_lines", 81, "medium")]),
        (function(lines=201), [("function_lines", 201, "high")]),
        (function(parameters=8), []),
        (function(parameters=9), [("parameters", 9, "medium")]),
        (function(parameters=16), [("parameters", 16, "high")]),
        ("x = 1\n" * 1000, []),
        ("x = 1\n" * 1001, [("file_lines", 1001, "medium")]),
        ("x = 1\n" * 3001, [("file_lines", 3001, "high")]),
    ],
)
def test_what_is_above_a_threshold_is_found(source: str, expected: list[tuple[str, int, str]]) -> None:
    output = assess({"a.py": source})
    assert found(output) == [("a.py", 1, *each) for each in expected]
    assert output["passed"] is ("high" not in str(expected))


@pytest.mark.parametrize(
    ("name", "source", "nesting"),
    [
        ("a.py", "def f():\n    if a:\n        for b in c:\n            pass\n    x = [\n  1,\n              2]\n", 2),
        ("a.py", "class A:\n    def f(self):\n        return 1\n", 0),
        ("a.py", "def f():\n    x = 1 + \\\n            2\n    with a:\n        '''\n                 b'''\n", 1),
        ("a.js", "function f() {\n  if (a) {\n    while (b) {\n      c();\n    }\n  }\n}\n", 2),
        ("a.js", "class A {\n  f() {\n    return '{{{';  // {{\n  }\n}\n", 0),
    ],
)
def test_nesting_is_blocks_inside_blocks_of_a_function(name: str, source: str, nesting: int) -> None:
    output = assess({name: source}, thresholds={"nesting": [1, 100]})
    assert [value for *_, rule, value, _ in found(output) if rule == "nesting"] == [nesting] * (nesting > 1)


@pytest.mark.parametrize(
    ("name", "source", "parameters"),
    [
        ("a.py", "def f(a, b: dict[str, int], *, c=(1, 2), d=',', **e) -> tuple[int, int]: ...", 5),
        ("a.py", "def f(a, /, b, *args): ...", 3),
        ("a.py", "class A:\n    def f(self, a: Callable[[int, int], str], b=lambda x, y: 1): ...", 3),
        ("a.py", "class A:\n    def f(self): ...", 0),
        ("a.py", "def f(\n    a,\n    b,\n): ...", 2),
        ("a.js", "function f({a, b} = {}, [c, d], ...e) {}", 3),
        ("a.js", "const f = async (a, b = (c, d)) => a", 2),
        ("a.ts", "function f(this: X, a: Map<string, number>, b: (x: A, y: B) => void): void {}", 2),
    ],
)
def test_parameters_are_counted_as_a_caller_sees_them(name: str, source: str, parameters: int) -> None:
    counted = [
        value for *_, rule, value, _ in found(assess({name: source}, thresholds={"parameters": [1, 100]})) if rule == "parameters"
    ]
    assert counted == [parameters] * (parameters > 1)


def test_public_definitions_without_documentation_are_counted() -> None:
    source = (
        "def a(): ...\ndef b():\n    '''B.'''\ndef _c(): ...\nclass D:\n    def e(self): ...\nclass _F:\n    def g(self): ...\n"
    )
    output = assess({"a.py": source, "b.js": "// F.\nfunction f() {}\nfunction g() {}\n"})
    assert output["undocumented"] == {"a.py": 3, "b.js": 1}


PASSAGE = "".join(f"    value_{number} = compute(value_{number}, {number}) + other\n" for number in range(12))
LONG_PASSAGE = "".join(f"    value_{number} = compute(value_{number}, {number}) + other\n" for number in range(50))


def test_code_that_is_there_twice_is_found_with_both_places() -> None:
    first = "import os\n\n\ndef f():\n" + PASSAGE + "    return 1\n"
    again = "# A comment.\nx = 1\n\n\nclass A:\n    def g(self):\n" + PASSAGE.replace("    ", "\t\t# why\n\t\t", 1).replace(
        " = ", "="
    )
    output = assess({"a.py": first, "b.py": again})
    (finding,) = output["findings"]
    assert (finding["file"], finding["line"], finding["end_line"], finding["rule"]) == ("b.py", 6, 19, "duplicated_tokens")
    assert finding["duplicate_of"] == {"file": "a.py", "line": 4, "end_line": 16}
    assert "a.py:4-16" in finding["message"]
    assert output["passed"] is True


def test_duplicates_within_a_file_are_found_and_long_ones_fail() -> None:
    output = assess({"a.py": f"def f():\n{LONG_PASSAGE}\ndef g():\n{LONG_PASSAGE}"})
    ((*place, value, severity),) = found(output)
    assert (place, severity, output["passed"]) == (["a.py", 53, "duplicated_tokens"], "high", False)
    assert value >= 500


@pytest.mark.parametrize(
    "source",
    [
        "x = [\n" + "    0, 0, 0, 0, 0, 0, 0, 0,\n" * 200 + "]\n",
        "x = [\n" + "    0x0, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7,\n" * 200 + "]\n",
        "# a comment that is there twice\n" * 200,
        "\n" * 500,
        "",
    ],
)
def test_tables_and_comments_are_no_duplicates(source: str) -> None:
    assert assess({"a.py": source, "b.py": source})["findings"] == []


def test_prose_and_data_are_not_assessed() -> None:
    output = assess({"a.md": "word " * 900 + "\n", "b.json": "{\n}\n" * 3000})
    assert (output["passed"], output["checked"], output["findings"]) == (None, [], [])


def test_thresholds_may_be_changed_and_are_told() -> None:
    source = function(complexity=12)
    assert assess({"a.py": source}, thresholds={"complexity": [12, 12]})["findings"] == []
    output = assess({"a.py": source}, thresholds={"complexity": (5, 11)})
    assert found(output) == [("a.py", 1, "complexity", 12, "high")]
    assert output["thresholds"] == {name: list(pair) for name, pair in THRESHOLDS.items()} | {"complexity": [5, 11]}


@pytest.mark.parametrize(
    ("thresholds", "message"),
    [
        (3, r'task\["thresholds"\] must be a dict'),
        ({"size": [1, 2]}, r"\['size'\] is no measure; there are: complexity, function_lines"),
        ({"complexity": 10}, r"\['complexity'\] must be two integers"),
        ({"complexity": [1, 2, 3]}, r"\['complexity'\] must be two integers"),
        ({"complexity": [20, 10]}, r"\['complexity'\]\[1\] must be an integer from 20"),
        ({"complexity": [0, 10]}, r"\['complexity'\]\[0\] must be an integer from 1"),
        ({"complexity": [1.5, 10]}, r"\['complexity'\]\[0\] must be an integer"),
        ({"complexity": [True, 10]}, r"\['complexity'\]\[0\] must be an integer"),
    ],
)
def test_thresholds_that_are_none_are_told_by_name(thresholds: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        assess({"a.py": "x = 1\n"}, thresholds=thresholds)


@pytest.mark.parametrize("name", ["argparse.py", "http/server.py", "tokenize.py"])
def test_tokens_of_python_are_pythons_own(name: str) -> None:
    text = (STDLIB / name).read_text(encoding="utf-8")
    ours = tokens_of(text, "python")
    ignored = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    theirs = [each for each in tokenize.generate_tokens(io.StringIO(text).readline) if each.type not in ignored]
    strings = [each for each in theirs if each.type == tokenize.STRING]
    lines = dict(zip(ours.lines.tolist(), ours.last_lines.tolist(), strict=True))
    assert {each.start[0] for each in theirs} == {*ours.lines.tolist()} - lines_of_backslashes(text)
    assert all(lines[each.start[0]] >= each.end[0] for each in strings if each.end[0] > each.start[0])


def lines_of_backslashes(text: str) -> set[int]:
    """Return the lines with nothing but a continuation mark, which Python does not call a token."""
    return {number for number, line in enumerate(text.split("\n"), 1) if line.strip() == "\\"}


@pytest.mark.parametrize("name", ["argparse.py", "subprocess.py"])
def test_depths_of_python_are_those_of_its_syntax_tree(name: str) -> None:
    text = (STDLIB / name).read_text(encoding="utf-8")
    depths = tokens_of(text, "python").depths

    def walk(node: ast.AST, depth: int) -> None:
        for child in ast.iter_child_nodes(node):
            is_elif = isinstance(child, ast.If) and text[start_of(child) :].startswith("elif")
            opens = isinstance(child, ast.stmt) and not is_elif and not isinstance(node, ast.Module)
            inner = depth + opens
            if isinstance(child, ast.stmt) and not text[text.rfind("\n", 0, start_of(child)) + 1 : start_of(child)].strip():
                assert depths[child.lineno] == inner, child.lineno
            # The handler of an exception is no statement, and what it holds stands as deep as what is tried.
            walk(child, inner)

    def start_of(node: ast.stmt) -> int:
        return starts[node.lineno - 1] + node.col_offset

    starts = [0, *itertools.accumulate(len(line) for line in text.splitlines(keepends=True))]
    walk(ast.parse(text), 0)


@given(st.text(alphabet="\"'`/*#\\\n ab1({[", max_size=80), st.sampled_from(["python", "javascript", "rust", "sql", "text"]))
def test_any_text_has_tokens_in_its_order_and_lines(text: str, language: str) -> None:
    tokens = tokens_of(text, language)
    assert len(tokens.values) == len(tokens.lines) == len(tokens.last_lines)
    assert (np.diff(tokens.lines) >= 0).all()
    assert (tokens.last_lines >= tokens.lines).all()
    assert tokens.last_lines.max(initial=1) <= text.count("\n") + 1
    assert len(tokens.depths) == text.count("\n") + 2


def test_layout_and_comments_change_no_token() -> None:
    plain = tokens_of("x = f(1, 'a')\ny\n", "python").values
    np.testing.assert_array_equal(tokens_of("x=f( 1,\n  'a') # c\n\n# 'd\ny", "python").values, plain)
    script = tokens_of("x = f(1, 'a'); y", "javascript").values
    np.testing.assert_array_equal(tokens_of("/* ' */ x = // d\nf(1,'a')\n;y /* e", "javascript").values, script)


texts_of_numbers = st.lists(st.lists(st.integers(0, 5), max_size=60), max_size=4)


@given(texts_of_numbers, st.integers(2, 12))
def test_every_duplicate_occurs_twice_as_long_as_it_can_and_overlaps_nothing(texts: list[list[int]], least: int) -> None:
    last = (0, 0)
    for (text, start), (again, second), length in find_duplicates([np.array(each, np.uint64) for each in texts], least):
        assert length >= least
        assert texts[text][start : start + length] == texts[again][second : second + length]
        assert len(texts[text][start : start + length]) == length
        assert (text, start + length) <= (again, second)
        assert (again, second) >= last
        last = (again, second + length)
        room = text != again or start + length < second
        if room and start + length < len(texts[text]) and second + length < len(texts[again]):
            assert texts[text][start + length] != texts[again][second + length]


@given(
    st.lists(st.integers(0, 10**6), max_size=50, unique=True),
    st.integers(2, 40),
    st.integers(0, 20),
    st.integers(0, 50),
    st.integers(0, 50),
)
def test_a_passage_that_is_pasted_is_found(around: list[int], least: int, more: int, before: int, between: int) -> None:
    passage = [10**7 + number for number in range(least + more)]
    one, other = around[:before], around[before : before + between]
    texts = [np.array(text, np.uint64) for text in ([*one, *passage, *other], [*other[:3], *passage])]
    found_there = [(first, again, length) for first, again, length in find_duplicates(texts, least)]
    assert found_there[-1][1] == (1, len(other[:3])) or found_there[-1][2] > len(passage)
    assert found_there[-1][2] >= len(passage)
