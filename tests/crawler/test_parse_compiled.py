"""From Rust, Go, Java, C and C++ to symbols, with lizard as the judge of what is complex."""

import sysconfig
from pathlib import Path

import lizard
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anam_py.crawler.parse import MAX_SYMBOLS, Symbol, Syntax, parse

RUST = """// Copyright someone.

//! Shapes.
//!
//! More.
use std::{fmt, io::Write};
use std::collections::*;
use crate::a::b as c;
extern crate serde;
mod other;

/// A point.
///
/// More.
#[derive(Debug)]
#[repr(C)]
pub struct Point<T> { x: T }
struct Unit;
pub enum Either { A, B }
pub type Id = u32;
pub trait Can<T>: Sized {
    type Out;
    /// Has to.
    fn must(&self) -> T;
    fn may(&self) -> bool { true }
}
impl<T> Point<T> where T: Copy {
    /// Makes one.
    #[inline]
    pub fn new(x: T) -> Self { Self { x } }
}
impl<'a> fmt::Display for &'a Point<Vec<u8>> { type X = u8; fn fmt(&self) { fn inner() {} } }
impl Can<u8> for Box<dyn Fn(u8) -> u8> { fn must(&self) {} }
macro_rules! maker { ($a:expr) => { 1 } }
extern "C" { fn puts(s: *const u8) -> i32; }
#[cfg(test)]
mod tests { use super::*; #[test] fn works() {} }
"""

GO = """// Copyright 2020.

//go:build linux

// Package shapes has shapes.
package shapes

import "fmt"
import ( x "a/b"; . "c" )

// Point is one.
type Point struct { X, Y int }

type (
	// Can can.
	Can[T any] interface {
		// Must must.
		Must(a T) error
	}
	ID = int
	Handler func(int) error
)

// Len gives it.
func (p *Point) Len() (n int, err error) { return }
func (s *Set[K, V]) Add(k K) {}
func (Handler) Call() {}
func Map[T, U any](xs []T, f func(T) U) []U { g := func() {}; g(); return nil }
var hook = func(a int) {}
func external(a int) int
"""

JAVA = """/* Licensed under the Apache License. */
package a.b;

import java.util.List;
import static a.b.C.*;

/**
 * A shape.
 *
 * <p>More.
 */
@Deprecated
public abstract class Shape<T extends Number> extends Base {
  private final Runnable r = new Runnable() { @Override public void run() {} };
  public Shape(int a) { super(a); }
  /** Area. */
  @Override
  public abstract double area(List<? super T> x) throws E;
  enum Colour { RED { void f() {} }, GREEN; Colour() {} }
  interface Inner { int v(); default int w() { return 1; } }
  record R(int a) { R { } }
  @interface An { int v() default 1; }
}
"""

C = """/* Copyright someone */

/* Shapes in C.
 *
 * More. */
#include <stdio.h>
#include "own.h"
#ifdef __cplusplus
extern "C" {
#endif
/* A point. */
struct point { int x; int (*cb)(int); };
typedef union { int a; float b; } either_t, *either_p;
typedef struct node { struct node *next; } node;
typedef int (*handler)(int, void *);
typedef enum { A } letter;
#define MAX(a, b) ((a) > (b) ? (a) : (b))
/**
 * @brief Adds two.
 * @param a first
 */
API_FUNC(int) add(int a, int b);
extern int glibc(const char *a) __THROW __nonnull ((1));
/* Helps. */
static int helper(int);
static int
helper(int a)
{
    int local(int);
    return a;
}
int kr(a, b) int a; char *b; { return a; }
int (*chooser(int a))(double) { return 0; }
char **lines(void) { return 0; }
static void (parens)(void) { }
void (*variable)(int);
#ifdef __cplusplus
}
#endif
"""

CPP = """#include <vector>
namespace geo::flat {
/// A shape.
template <typename T>
class GEO_EXPORT Shape final : public Base<T>, private Other {
 public:
  Shape() = default;
  explicit Shape(int a) : a_(a), b_{2} { }
  /// Destroys.
  virtual ~Shape();
  virtual double area() const = 0;
  T& ref() { return x; }
  operator bool() const { return a_; }
  int (*cb)(int);
  T* const data GUARDED_BY(mutex);
  struct Inner { void f(); };
  enum class Kind : int { A };
  using Ptr = T*;
};
namespace { int hidden() { return 1; } }
}
template <typename T>
geo::flat::Shape<T>::~Shape() { delete x; }
bool Foo::operator<(const Foo& o) const { return true; }
void* Foo::operator new(size_t n) { return 0; }
int Foo::operator()(int a) const { return 1; }
template <> void swap<int>(int& a, int& b) { }
template <> struct hash<Foo> { size_t operator()(const Foo&) const; };
auto trailing(int a) -> std::vector<int> { return {}; }
extern "C" int plain(void) { return 0; }
template <typename T> concept Num = true;
int main() { Foo q(bar); auto f = [&] { return a; }; }
"""


def names(syntax: Syntax) -> list[tuple[str, str]]:
    return [(symbol.name, symbol.kind) for symbol in syntax.symbols]


def by_name(syntax: Syntax) -> dict[str, Symbol]:
    return {symbol.name: symbol for symbol in reversed(syntax.symbols)}


def test_rust_symbols_and_the_types_that_their_impl_blocks_are_for() -> None:
    syntax = parse(RUST, "rust")
    assert names(syntax) == [
        ("Point", "class"),
        ("Unit", "class"),
        ("Either", "enum"),
        ("Id", "type"),
        ("Can", "interface"),
        ("Can.must", "method"),
        ("Can.may", "method"),
        ("Point.new", "method"),
        ("Point.fmt", "method"),
        ("Point.fmt.inner", "function"),
        ("Box.must", "method"),
        ("maker", "function"),
        ("puts", "function"),
        ("tests", "module"),
        ("tests.works", "function"),
    ]
    found = by_name(syntax)
    assert found["Point"] == Symbol("Point", "class", 17, 17, "pub struct Point<T>", "A point.", 0)
    assert found["Point.new"] == Symbol("Point.new", "method", 30, 30, "pub fn new(x: T) -> Self", "Makes one.", 1)
    assert (found["Can.must"].doc, found["Can.must"].complexity) == ("Has to.", 0)
    assert syntax.imports == ("std", "std::collections", "crate::a::b", "serde", "other", "super")
    assert (syntax.doc, syntax.comment_lines, syntax.notes) == ("Shapes.", 9, ())


def test_go_symbols_and_the_receivers_of_their_methods() -> None:
    syntax = parse(GO, "go")
    assert names(syntax) == [
        ("Point", "class"),
        ("Can", "interface"),
        ("Can.Must", "method"),
        ("ID", "type"),
        ("Handler", "type"),
        ("Point.Len", "method"),
        ("Set.Add", "method"),
        ("Handler.Call", "method"),
        ("Map", "function"),
        ("hook", "function"),
        ("external", "function"),
    ]
    found = by_name(syntax)
    assert found["Point"] == Symbol("Point", "class", 12, 12, "type Point struct", "Point is one.", 0)
    assert found["Point.Len"].signature == "func (p *Point) Len() (n int, err error)"
    assert (found["Can"].doc, found["Can.Must"].doc) == ("Can can.", "Must must.")
    assert syntax.imports == ("fmt", "a/b", "c")
    assert (syntax.doc, syntax.comment_lines, syntax.notes) == ("Package shapes has shapes.", 7, ())


def test_java_symbols() -> None:
    syntax = parse(JAVA, "java")
    assert names(syntax) == [
        ("Shape", "class"),
        ("Shape.run", "method"),
        ("Shape.Shape", "method"),
        ("Shape.area", "method"),
        ("Shape.Colour", "enum"),
        ("Shape.Colour.f", "method"),
        ("Shape.Colour.Colour", "method"),
        ("Shape.Inner", "interface"),
        ("Shape.Inner.v", "method"),
        ("Shape.Inner.w", "method"),
        ("Shape.R", "class"),
        ("Shape.R.R", "method"),
        ("Shape.An", "interface"),
    ]
    found = by_name(syntax)
    assert found["Shape"].doc == "A shape."
    assert found["Shape.area"].doc == "Area."
    assert found["Shape.area"].signature == "@Override public abstract double area(List<? super T> x) throws E;"
    assert syntax.imports == ("java.util.List", "a.b.C")
    assert (syntax.doc, syntax.comment_lines, syntax.notes) == ("", 7, ())


def test_c_symbols_however_they_are_declared() -> None:
    syntax = parse(C, "c")
    assert names(syntax) == [
        ("point", "class"),
        ("either_t", "class"),
        ("either_p", "type"),
        ("node", "class"),
        ("handler", "type"),
        ("letter", "enum"),
        ("MAX", "function"),
        ("add", "function"),
        ("glibc", "function"),
        ("helper", "function"),
        ("kr", "function"),
        ("chooser", "function"),
        ("lines", "function"),
        ("parens", "function"),
    ]
    found = by_name(syntax)
    assert found["add"] == Symbol("add", "function", 22, 22, "API_FUNC(int) add(int a, int b);", "Adds two.", 0)
    assert found["helper"] == Symbol("helper", "function", 26, 31, "static int helper(int a)", "Helps.", 1)
    assert found["either_t"].signature == "typedef union either_t"
    assert syntax.imports == ("stdio.h", "own.h")
    assert (syntax.doc, syntax.comment_lines) == ("Shapes in C.", 10)


def test_cpp_symbols_inside_and_outside_of_their_classes() -> None:
    syntax = parse(CPP, "cpp")
    assert names(syntax) == [
        ("geo.flat", "module"),
        ("geo.flat.Shape", "class"),
        ("geo.flat.Shape.Shape", "method"),
        ("geo.flat.Shape.Shape", "method"),
        ("geo.flat.Shape.area", "method"),
        ("geo.flat.Shape.ref", "method"),
        ("geo.flat.Shape.operator bool", "method"),
        ("geo.flat.Shape.Inner", "class"),
        ("geo.flat.Shape.Inner.f", "method"),
        ("geo.flat.Shape.Kind", "enum"),
        ("geo.flat.Shape.Ptr", "type"),
        ("geo.flat.hidden", "function"),
        ("geo.flat.Shape.~Shape", "method"),
        ("Foo.operator<", "method"),
        ("Foo.operator new", "method"),
        ("Foo.operator()", "method"),
        ("swap", "function"),
        ("hash", "class"),
        ("hash.operator()", "method"),
        ("trailing", "function"),
        ("plain", "function"),
        ("Num", "interface"),
        ("main", "function"),
    ]
    found = by_name(syntax)
    assert found["geo.flat.Shape"].signature == "class GEO_EXPORT Shape final : public Base<T>, private Other"
    assert found["geo.flat.Shape"].doc == "A shape."
    assert found["geo.flat.Shape.~Shape"] == Symbol(
        "geo.flat.Shape.~Shape", "method", 23, 23, "geo::flat::Shape<T>::~Shape()", "Destroys.", 1
    )
    assert syntax.notes == ("syntax errors",)  # the annotation


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("NS_BEGIN\nclass A {\n int f() { return 1; }\n};\nNS_END\nint g() { return 2; }\n", {"A.f", "g"}),
        (
            "#ifdef A\nint f(void) { if (a) {\n#else\nint f(int b) { if (b) {\n#endif\n } }\nint g(void) { return 1; }\n",
            {"f", "g"},
        ),
        (
            "class A {\n A() :\n#if X\n a(1),\n#endif\n b(2) {}\n int f() { return 1; }\n};\nint g() { return 1; }\n",
            {"A.A", "A.f", "g"},
        ),
        ("int f(void) {\n EACH(x,\n if (x) { y(); });\n}\nint g(void) { return 1; }\n", {"f", "g"}),
        ("int f( {{{\n}\nint g(void) { return 1; }\n", {"g"}),
        ("@@ ## $$\nint g(void) { return 1; }\n", {"g"}),
    ],
    ids=["lone macros", "split branches", "conditional initialiser", "statements as arguments", "unclosed", "rubbish"],
)
def test_what_a_preprocessor_would_change_does_not_hide_the_rest(source: str, expected: set[str]) -> None:
    found = {symbol.name for symbol in parse(source, "cpp").symbols}
    assert expected <= found
    assert not found & {"if", "else", "A.if"}


EXTENSIONS = {"c": "c", "cpp": "cpp", "go": "go", "java": "java", "rust": "rs"}
HEADS = {
    "c": "int f(int a, int b) {",
    "cpp": "template <class T> int A<T>::f(int a, int b) const {",
    "go": "func f(a int, b int) int {",
    "java": "class A { int f(int a, int b) {",
    "rust": "fn f(a: i32, b: i32) -> i32 {",
}
BRACED = ["if (a) {% }", "if (a && b) {% } else {% }", "for (;;) {% }", "while (a || b) {% }", "do {% } while (a);"]
STATEMENTS = {
    "c": [*BRACED, "switch (a) { case 1: case 2:% break; default:% }", "x = a ? b : c;", "\n#ifdef A\n%\n#elif B\n%\n#endif\n"],
    "cpp": [
        *BRACED,
        "try {% } catch (E& e) {% }",
        "for (auto x : y) {% }",
        "x = a ? b : c;",
        "\n#if defined(A) || B\n%\n#endif\n",
    ],
    "java": [
        *BRACED,
        "try {% } catch (E e) {% } finally {% }",
        "x = a ? b : c;",
        "switch (a) { case 1 -> {% } default -> {% } }",
    ],
    "go": [
        "if a {% }",
        "if a && b {% } else if c {% }",
        "for {% }",
        "for i := range a {% }",
        "switch a {\ncase 1, 2:\n%\ndefault:\n%\n}",
        "select {\ncase <-c:\n%\n}",
    ],
    "rust": [
        "if a {% }",
        "if a && b {% } else if let Some(x) = c {% } else {% }",
        "for x in y {% }",
        "while let Some(x) = y {% }",
        "loop {% }",
        "match a { 1 => {% } 2 | 3 if b || c => {% } _ => {% } }",
        "let Some(x) = y else { return 1 };",
        "g(x)?;",
    ],
}


def programs(language: str) -> st.SearchStrategy[str]:
    """Draw functions of nested statements."""
    statements = st.recursive(
        st.just("\n"),
        lambda inner: st.builds(
            lambda outer, first, second: outer.replace("%", f"\n{first}\n", 1).replace("%", f"\n{second}\n"),
            st.sampled_from(STATEMENTS[language]),
            inner,
            inner,
        ),
        max_leaves=8,
    )
    end = "\n} }" if language == "java" else "\n}"
    return st.lists(statements, max_size=3).map(lambda parts: HEADS[language] + "\n" + "\n".join(parts) + end)


@pytest.mark.parametrize("language", list(EXTENSIONS))
@settings(max_examples=50)
@given(data=st.data())
def test_complexity_is_lizards(language: str, data: st.DataObject) -> None:
    program = data.draw(programs(language))
    (expected,) = lizard.analyze_file.analyze_source_code(f"a.{EXTENSIONS[language]}", program).function_list
    functions = [symbol for symbol in parse(program, language).symbols if symbol.complexity]
    assert [symbol.complexity for symbol in functions] == [expected.cyclomatic_complexity]


def test_complexity_of_functions_in_pythons_own_headers_is_lizards() -> None:
    compared = 0
    for path in sorted(Path(sysconfig.get_path("include")).rglob("*.h")):
        text = path.read_text(encoding="utf-8")
        ours = {(symbol.name, symbol.end_line): symbol.complexity for symbol in parse(text, "c").symbols}
        for function in lizard.analyze_file.analyze_source_code("a.c", text).function_list:
            key = (function.name, function.end_line)
            if key in ours:
                assert (*key, ours[key]) == (*key, function.cyclomatic_complexity)
                compared += 1
    assert compared > 100


@pytest.mark.parametrize("grammar", list(EXTENSIONS))
@pytest.mark.parametrize(
    "source",
    [
        "(" * 25_000,
        "{" * 25_000,
        "$%^&*(" * 3_750,
        "void f(){" * 2_500,
        "func f(){" * 2_500,
        "impl A{fn f(){" * 1_750,
        "namespace a{" * 2_000,
        "int " + "(" * 10_000 + "f" + ")" * 10_000 + "(){}",
        "a?" * 12_500,
        "a<" * 12_500,
        "a<b>::" * 3_750 + "c(){}",
        "case 1:" * 3_500,
        "#if A\n{\n#else\n{\n#endif\n" * 750,
        "/*" * 12_500,
        "match a{_=>" * 2_250,
        "AAAA\n" * 5_000,
        "//\n#[a]\n" * 3_000,
        "typedef struct{" * 1_500,
        "\\\n" * 12_500,
        "int a[] = {" + "1, " * 7_500 + "};",
    ],
    ids=lambda source: source[:12].encode("unicode_escape").decode(),
)
def test_hostile_source_does_no_harm(source: str, grammar: str) -> None:
    assert len(parse(source, grammar).symbols) <= MAX_SYMBOLS


def test_what_would_take_a_parser_too_long_is_refused_and_that_is_noted() -> None:
    assert parse("case 1:" * 14_000, "java").notes == ("not parsed: too ambiguous",)
    assert parse("a<" * 50_000, "java").notes == ("not parsed: more than 2,000 angle brackets in a row without structure",)
