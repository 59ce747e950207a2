"""From source text to symbols: definitions with their place, signature, documentation and complexity; imports; comments.

One tree-sitter query finds everything (`crawler.grammars`); one pass over what it found, in the order of the source, puts
each documenting string and each decision into the innermost definition. Broken source gives what can still be read.
"""

import re
import sys
from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING

from anam_py.crawler.grammars import compiled
from anam_py.crawler.summaries import comment_summary, string_summary

if TYPE_CHECKING:
    import tree_sitter

__all__ = ["MAX_SYMBOLS", "Symbol", "Syntax", "parse", "too_slow"]

# A parse takes linear time, but up to 10 µs a byte where all is wrong.
MAX_PARSED_BYTES = 1024 * 1024
# A file's metadata, which names each symbol twice, may have 1 MiB.
MAX_SYMBOLS = 2000
MAX_NAME = 200
_MAX_NAME_BYTES = 128 * 1024
MAX_SIGNATURE = 300
# tree-sitter's queries look for the next named sibling of each node: quadratic in a run of tokens without any.
_MAX_TOKEN_RUN = 5000
# Nor do they forget what they have begun in trees of more than 65,535 levels: quadratic, too.
_MAX_DEPTH = 20_000

_KINDS = ("function", "method", "class", "interface", "enum", "type", "module")
_CALLABLE = ("function", "method")
_SPACE = re.compile(r"\s+")
_SIGNATURE_END = re.compile(r"[\s:{=]*(?:=>)?\s*$")
_PLACE = re.compile(r"^(?:(?:module\.)?exports|this)\.|\.prototype(?=\.)")


@dataclass(frozen=True, slots=True)
class Symbol:
    """A definition.

    Attributes
    ----------
    name : str
        Qualified: ``Class.method``.
    kind : str
        "function", "method", "class", "interface", "enum", "type" or "module".
    start_line, end_line : int
        Its lines, counted from 1, the last one included.
    signature : str
        What stands before its body, on one line.
    doc : str
        The first paragraph of its documentation, on one line.
    complexity : int
        Cyclomatic complexity of a function or method, without that of functions inside it; 0 for what is neither.
    """

    name: str
    kind: str
    start_line: int
    end_line: int
    signature: str
    doc: str = ""
    complexity: int = 0


@dataclass(frozen=True, slots=True)
class Syntax:
    """What the syntax of a file says.

    Attributes
    ----------
    symbols : tuple of Symbol
        In the order of the source.
    imports : tuple of str
        As they are written, each once, in order.
    doc : str
        The first paragraph of the file's documentation.
    comment_lines : int
        Lines with nothing but comment on them.
    notes : tuple of str
        What keeps it from being the whole truth.
    """

    symbols: tuple[Symbol, ...] = ()
    imports: tuple[str, ...] = ()
    doc: str = ""
    comment_lines: int = 0
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Definition:
    """A definition that the query found: its place in the source, and what is gathered of it."""

    start: int
    end: int
    first_row: int
    last_row: int
    kind: str
    name: str
    body: int
    doc: str = ""
    decisions: int = 0


@dataclass(slots=True)
class _Findings:
    """What the query found."""

    definitions: list[_Definition] = field(default_factory=list)
    docs: list[tuple[int, str]] = field(default_factory=list)
    decisions: list[int] = field(default_factory=list)
    imports: dict[str, None] = field(default_factory=dict)
    comments: list["tree_sitter.Node"] = field(default_factory=list)


@dataclass(slots=True)
class _Comments:
    """The comments of a file: how many lines they fill, where each is, and by their last row those that fill their lines."""

    lines: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    blocks: dict[int, tuple[int, int]] = field(default_factory=dict)


def parse(text: str, grammar: str) -> Syntax:
    """Read the syntax of a source text.

    Parameters
    ----------
    text : str
    grammar : str
        A row of `crawler.grammars`.

    Returns
    -------
    Syntax
        Empty, with a note, for a text that would take too long.
    """
    import tree_sitter  # noqa: PLC0415 - a search does not need it

    source = text.encode("utf-8")
    if len(source) > MAX_PARSED_BYTES:
        return Syntax(notes=(f"not parsed: more than {MAX_PARSED_BYTES:,} bytes",))
    language, query = compiled(grammar)
    root = tree_sitter.Parser(language).parse(source).root_node
    if reason := too_slow(root):
        return Syntax(notes=(f"not parsed: {reason}",))
    found = _sorted_out(source, tree_sitter.QueryCursor(query).matches(root))
    notes = ["syntax errors"] if root.has_error else []
    comments = _read_comments(source, found.comments)
    doc = _gather(found) or comment_summary(_opening(source, comments))
    listed = _listed(found.definitions)
    if len(listed) < len(found.definitions):
        notes.append(f"only the first {len(listed):,} of {len(found.definitions):,} symbols are listed")
    symbols = tuple(_symbol(source, definition, comments) for definition in listed)
    return Syntax(symbols, tuple(found.imports), doc, comments.lines, tuple(notes))


def too_slow(root: "tree_sitter.Node") -> str:
    """Return why queries would take too long on a tree, as errors and odd literals can make them; empty if they would not."""
    pending = [(root, 0)]
    while pending:
        node, depth = pending.pop()
        if depth > _MAX_DEPTH:
            return f"more than {_MAX_DEPTH:,} levels deep"
        run = 0
        for child in node.children:
            run = 0 if child.is_named else run + 1
            if run > _MAX_TOKEN_RUN:
                return f"more than {_MAX_TOKEN_RUN:,} tokens in a row without structure"
            if child.descendant_count > _MAX_TOKEN_RUN:
                pending.append((child, depth + 1))
    return ""


def _sorted_out(source: bytes, matches: "list[tuple[int, dict[str, list[tree_sitter.Node]]]]") -> _Findings:
    found = _Findings()
    for _, captures in matches:
        if "decision" in captures:
            found.decisions.append(captures["decision"][0].start_byte)
        elif "comment" in captures:
            found.comments.append(captures["comment"][0])
        elif "import" in captures:
            found.imports.setdefault(_text(source, captures["import"][0])[:MAX_NAME])
        elif "doc" in captures:
            node = captures["doc"][0]
            found.docs.append((node.start_byte, string_summary(_text(source, node))))
        else:
            definition = _definition(source, captures)
            if definition.name:
                found.definitions.append(definition)
    found.definitions.sort(key=lambda definition: (definition.start, -definition.end))
    return found


def _definition(source: bytes, captures: "dict[str, list[tree_sitter.Node]]") -> _Definition:
    kind = next(kind for kind in _KINDS if kind in captures)
    node = captures[kind][0]
    body = captures["body"][0].start_byte if "body" in captures else node.end_byte
    name = _plain_name(_text(source, captures["name"][0]))
    return _Definition(node.start_byte, node.end_byte, node.start_point.row, node.end_point.row, kind, name, body)


def _text(source: bytes, node: "tree_sitter.Node") -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _plain_name(name: str) -> str:
    """Return a name without what only says where it is put (``exports.``, ``this.``, ``.prototype``) and without quotes."""
    name = _PLACE.sub("", _SPACE.sub("", name)).strip("\"'`").replace("\0", "")
    return name[-MAX_NAME:]


def _gather(found: _Findings) -> str:
    """Put documentation, decisions and names into the innermost definition that holds them; return the file's documentation."""
    file = _Definition(0, sys.maxsize, 0, 0, kind="file", name="", body=0)
    around = [file]
    places: list[tuple[int, _Definition | str | None]] = [(definition.start, definition) for definition in found.definitions]
    places += found.docs
    places += [(start, None) for start in found.decisions]
    places.sort(key=itemgetter(0))  # stable: of definitions that start together, the outer one stays first
    for start, item in places:
        while around[-1].end <= start:
            around.pop()
        inner = around[-1]
        if isinstance(item, _Definition):
            if inner.kind == "class" and item.kind == "function":
                item.kind = "method"
            item.name = f"{inner.name}.{item.name}"[-MAX_NAME:] if inner.name else item.name
            around.append(item)
        elif isinstance(item, str):
            inner.doc = inner.doc or item
        else:
            next((each for each in reversed(around) if each.kind in _CALLABLE), file).decisions += 1
    return file.doc


def _listed(definitions: list[_Definition]) -> list[_Definition]:
    """Return as many definitions as a file's metadata has room for."""
    sizes = accumulate(len(definition.name.encode("utf-8")) for definition in definitions[:MAX_SYMBOLS])
    return definitions[: sum(size <= _MAX_NAME_BYTES for size in sizes)]


def _read_comments(source: bytes, nodes: "list[tree_sitter.Node]") -> _Comments:
    comments = _Comments()
    last_row = -1
    for node in nodes:
        start, end = node.start_byte, node.end_byte
        first, column = node.start_point
        comments.spans.append((start, end))
        if source[start - column : start].strip():
            continue
        above = comments.blocks.pop(first - 1, None)
        comments.lines += node.end_point.row - max(first, last_row + 1) + 1
        last_row = node.end_point.row
        comments.blocks[last_row] = (above[0] if above else start, end)
    return comments


def _above(source: bytes, comments: _Comments, row: int) -> str:
    """Return the comment that ends on the line above a row."""
    start, end = comments.blocks.get(row - 1, (0, 0))
    return source[start:end].decode("utf-8", "replace")


def _opening(source: bytes, comments: _Comments) -> str:
    """Return the comment that the file opens with, if it does, perhaps below a line for the system."""
    return next((source[start:end].decode("utf-8", "replace") for start, end in comments.blocks.values() if start == 0), "")


def _symbol(source: bytes, definition: _Definition, comments: _Comments) -> Symbol:
    return Symbol(
        name=definition.name,
        kind=definition.kind,
        start_line=definition.first_row + 1,
        end_line=definition.last_row + 1,
        signature=_signature(source, definition, comments.spans),
        doc=definition.doc or comment_summary(_above(source, comments, definition.first_row)),
        complexity=1 + definition.decisions if definition.kind in _CALLABLE else 0,
    )


def _signature(source: bytes, definition: _Definition, comments: list[tuple[int, int]]) -> str:
    """Return what stands before a definition's body, without comments, on one line."""
    parts = []
    start = definition.start
    for comment in comments[bisect_left(comments, (start, start)) :]:
        if comment[0] >= definition.body:
            break
        parts.append(source[start : comment[0]])
        start = comment[1]
    head = b" ".join([*parts, source[start : definition.body]])[: 4 * MAX_SIGNATURE].decode("utf-8", "replace")
    return _SIGNATURE_END.sub("", _SPACE.sub(" ", head))[:MAX_SIGNATURE]
