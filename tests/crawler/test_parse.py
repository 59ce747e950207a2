"""From source to symbols: what is found, in good source, in broken source and in source made to do harm."""

import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import lizard
import pytest

from anam_py.crawler.parse import MAX_SYMBOLS, Symbol, Syntax, parse

PYTHON = '''#!/usr/bin/env python
# A licence.
"""Sums things.

More of it."""
import os, sys as system
from . import near
from .near.by import it
from __future__ import annotations

class Adder(Base):  # a comment: here
    # another
    """Adds.

    A lot."""

    @property
    def total(self, first: int = 1,
              second=2) -> int:  # note
        r\'\'\'The total\'\'\'
        def inner():
            return [x for x in y if x and z]
        return a if b else c

    async def later(self): "At once."

    class Nested:
        def total(self): ...

# Explains
# the function.
def plain():
    match x:
        case 1 if y: pass
    try: pass
    except E: pass
    finally: pass

def plain(): pass
lambda: (1 if 2 else 3)
'''

JAVASCRIPT = """/** Opens the file. */
import a from "b"; export {x} from './c'; const d = require('e'); import('f');

/**
 * Makes a thing.
 * @param {string} x
 */
export default class A extends B {
  constructor() { this.ready = () => { if (a && b) return 1 ? 2 : 3; }; }
  static make = () => 1;
  get size() { return 1; }
  #secret() {}
}
// The first
// and only.
const f = async (a, b) => { for (const x of y) {} }, g = function () {};
Foo.prototype.bar = function (x) { switch (x) { case 1: break; default: } };
module.exports = { k: function () {}, l() {}, m: () => 1 };
exports.helper = function () {};
function* gen() { while (1) {} }
a?.b ?? c;
"""

TYPESCRIPT = """
interface Shape { area(x: number): string }
enum Colour { Red, Green }
type Id = string | number;
namespace Inner { export function f<T>(x?: T): x is string { return true; } }
declare function declared(a: string): void;
abstract class C<T> { abstract m(): void; private p = () => 1; }
export const Button = (): JSX.Element => <div>{a ? <b/> : null}</div>;
"""


def by_name(syntax: Syntax) -> dict[str, Symbol]:
    return {symbol.name: symbol for symbol in reversed(syntax.symbols)}


def test_python_symbols_with_kind_place_signature_documentation_and_complexity() -> None:
    syntax = parse(PYTHON, "python")
    assert [(symbol.name, symbol.kind, symbol.start_line, symbol.end_line) for symbol in syntax.symbols] == [
        ("Adder", "class", 11, 28),
        ("Adder.total", "method", 18, 23),
        ("Adder.total.inner", "function", 21, 22),
        ("Adder.later", "method", 25, 25),
        ("Adder.Nested", "class", 27, 28),
        ("Adder.Nested.total", "method", 28, 28),
        ("plain", "function", 32, 37),
        ("plain", "function", 39, 39),
    ]
    found = by_name(syntax)
    assert found["Adder"] == Symbol("Adder", "class", 11, 28, "class Adder(Base)", "Adds.", 0)
    assert found["Adder.total"].signature == "def total(self, first: int = 1, second=2) -> int"
    assert found["Adder.total"].doc == "The total"
    assert found["Adder.later"].signature == "async def later(self)"
    assert found["Adder.later"].doc == "At once."
    assert found["plain"].doc == "Explains the function."
    assert {name: symbol.complexity for name, symbol in found.items() if symbol.complexity > 1} == {
        "Adder.total": 2,
        "Adder.total.inner": 4,
        "plain": 5,
    }
    assert syntax.doc == "Sums things."
    assert syntax.imports == ("os", "sys", ".", ".near.by")
    assert syntax.comment_lines == 5
    assert syntax.notes == ()


def test_javascript_symbols() -> None:
    syntax = parse(JAVASCRIPT, "javascript")
    assert [(symbol.name, symbol.kind, symbol.start_line) for symbol in syntax.symbols] == [
        ("A", "class", 8),
        ("A.constructor", "method", 9),
        ("A.constructor.ready", "function", 9),
        ("A.make", "method", 10),
        ("A.size", "method", 11),
        ("A.#secret", "method", 12),
        ("f", "function", 16),
        ("g", "function", 16),
        ("Foo.bar", "function", 17),
        ("k", "function", 18),
        ("l", "method", 18),
        ("m", "function", 18),
        ("helper", "function", 19),
        ("gen", "function", 20),
    ]
    found = by_name(syntax)
    assert found["A"].doc == "Makes a thing."
    assert found["A"].signature == "class A extends B"
    assert found["f"].doc == "The first and only."
    assert found["f"].signature == "f = async (a, b)"
    assert found["A.constructor.ready"].complexity == 4
    assert syntax.imports == ("b", "./c", "e", "f")
    assert syntax.doc == "Opens the file."
    assert syntax.comment_lines == 7


def test_typescript_symbols() -> None:
    symbols = parse(TYPESCRIPT, "tsx").symbols
    assert [(symbol.name, symbol.kind) for symbol in symbols] == [
        ("Shape", "interface"),
        ("Colour", "enum"),
        ("Id", "type"),
        ("Inner", "module"),
        ("Inner.f", "function"),
        ("declared", "function"),
        ("C", "class"),
        ("C.m", "method"),
        ("C.p", "method"),
        ("Button", "function"),
    ]
    assert [symbol.signature for symbol in symbols][4:6] == [
        "function f<T>(x?: T): x is string",
        "function declared(a: string): void;",
    ]
    assert symbols[-1].complexity == 2


def test_a_method_may_be_called_like_a_statement() -> None:
    assert [symbol.name for symbol in parse("class A { catch() {} }", "javascript").symbols] == ["A", "A.catch"]


def test_no_symbols_in_nothing() -> None:
    assert parse("", "python") == Syntax(parsed=True)


def simple_functions(text: str) -> Iterator[Symbol]:
    """Give the functions that neither hold a function nor are in one: lizard takes the lines after an inner one for its own."""
    functions = [symbol for symbol in parse(text, "python").symbols if symbol.complexity]
    for symbol in functions:
        around = [other for other in functions if other.start_line <= symbol.end_line and symbol.start_line <= other.end_line]
        if around == [symbol]:
            yield symbol


def test_complexity_of_python_is_lizards() -> None:
    compared = 0
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(path for package in ("json", "email", "asyncio", "logging") for path in (library / package).glob("*.py")):
        text = path.read_text(encoding="utf-8")
        expected = {
            function.start_line: function.cyclomatic_complexity
            for function in lizard.analyze_file.analyze_source_code(str(path), text).function_list
        }
        for symbol in simple_functions(text):
            assert (symbol.name, symbol.complexity) == (symbol.name, expected[symbol.start_line])
            compared += 1
    assert compared > 1000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "if (a) {} else if (b) {} else {}",
        "for (;;) { while (a) {} do {} while (b) }",
        "switch (a) { case 1: case 2: break; default: }",
        "try {} catch (e) {} finally {}",
        "return a && b || c ?? d",
        "return a ? b : c ? d : e",
        "for (const a of b) { for (const c in d) {} }",
        "return a?.b?.c",
    ],
)
def test_complexity_of_javascript_is_lizards(body: str) -> None:
    source = f"function f(a, b) {{ {body} }}\n"
    (function,) = lizard.analyze_file.analyze_source_code("a.js", source).function_list
    for grammar in ("javascript", "typescript", "tsx"):
        assert parse(source, grammar).symbols[0].complexity == function.cyclomatic_complexity


def test_broken_source_gives_what_can_be_read() -> None:
    syntax = parse("def good(a):\n    return a\n\ndef broken(:\n\nclass Also:\n    def fine(self): pass\n", "python")
    assert {"good", "Also", "Also.fine"} <= {symbol.name for symbol in syntax.symbols}
    assert syntax.notes == ("syntax errors",)


@pytest.mark.parametrize("grammar", ["python", "javascript", "tsx"])
@pytest.mark.parametrize(
    "source",
    [
        "(" * 100_000,
        "[" * 50_000 + "]" * 50_000,
        "[" + "," * 100_000 + "]",
        "not " * 50_000,
        "lambda:" * 30_000,
        "$%^&*(" * 15_000,
        "{" * 100_000,
        "a" + ".a" * 50_000,
        "1" + "+1" * 50_000,
        "if x:\n" + "".join(" " * depth + "if x:\n" for depth in range(500)),
        "function f(){" * 10_000,
        "class A:\n" * 10_000,
        "a?" * 50_000,
        "<a>" * 30_000,
        "`${" * 30_000,
        "\0" * 100_000,
        "\ufffd" * 30_000,
        "'" * 50_001,
    ],
    ids=lambda source: source[:6].encode("unicode_escape").decode(),
)
def test_nesting_bombs_take_bounded_time_and_stack(source: str, grammar: str) -> None:
    start = time.perf_counter()
    parse(source, grammar)
    assert time.perf_counter() - start < 5


def test_what_would_take_too_long_is_not_parsed_and_that_is_noted() -> None:
    assert parse("x = 1\n" * 200_000, "python").notes == ("not parsed: more than 1,048,576 bytes",)
    assert parse("(" * 100_000, "python").notes == ("not parsed: more than 5,000 tokens in a row without structure",)
    many = parse("def f(): pass\n" * (MAX_SYMBOLS + 1), "python")
    assert len(many.symbols) == MAX_SYMBOLS
    assert many.notes == ("only the first 2,000 of 2,001 symbols are listed",)


def test_a_list_of_many_values_is_no_bomb() -> None:
    assert parse("a = [" + "1, " * 100_000 + "]\ndef f(): pass\n", "python").symbols[0].name == "f"


def test_names_and_signatures_are_bounded_and_hold_nothing_a_key_cannot() -> None:
    name = "n" * 1000
    (symbol,) = parse(f"def {name}({'a, ' * 1000}): pass\n", "python").symbols
    assert len(symbol.name) <= 200
    assert len(symbol.signature) <= 300
    (quoted,) = parse('x = {\n"a b": 1, c: function() {}}\n', "javascript").symbols
    assert quoted.name == "c"
    assert all("\0" not in symbol.name for symbol in parse("class A { ['a\0b']() {} }", "javascript").symbols)


def test_parsing_needs_no_deep_stack() -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(200)
    try:
        parse("class A:\n" + "".join(" " * depth + "def f():\n" for depth in range(1, 300)) + " " * 300 + "pass", "python")
    finally:
        sys.setrecursionlimit(limit)
