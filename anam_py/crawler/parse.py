"""From source text to symbols: definitions with their place, signature, documentation and complexity; imports; comments.

One tree-sitter query finds everything (`crawler.grammars`); one pass over what it found, in the order of the source, puts
each documenting string and each decision into the innermost definition. Broken source gives what can still be read.
"""

import re
import sys
from bisect import bisect_left
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter
from typing import TYPE_CHECKING

from anam_py.crawler.grammars import ANGULAR, PREPROCESSED, compiled
from anam_py.crawler.preprocessor import readings
from anam_py.crawler.summaries import comment_summary, string_summary

if TYPE_CHECKING:
    import tree_sitter

__all__ = ["KINDS", "MAX_SYMBOLS", "Symbol", "Syntax", "TooLongError", "parse", "syntax_tree"]

# A parse takes linear time, but up to 10 µs a byte where all is wrong.
MAX_PARSED_BYTES = 1024 * 1024
# A file's metadata, which names each symbol twice, may have 1 MiB.
MAX_SYMBOLS = 2000
MAX_NAME = 200
_MAX_NAME_BYTES = 128 * 1024
MAX_SIGNATURE = 300
# A parser calls back after 100 steps; real source takes up to 1.6 calls for 100 bytes, ambiguities without end take 20 and more.
_MAX_CALLS = 500
_MAX_CALLS_PER_BYTE = 0.05
# What is opened and not closed costs grammars with type arguments quadratic memory at the end of the file.
_ANGLES = re.compile(rb"[;{}]")
_MAX_ANGLES = 2000
_CHUNK = 64 * 1024
# tree-sitter's queries look for the next named sibling of each node: quadratic in a run of tokens without any.
_MAX_TOKEN_RUN = 5000
# Nor do they forget what they have begun in trees of more than 65,535 levels: quadratic, too.
_MAX_DEPTH = 20_000

KINDS = ("function", "method", "class", "interface", "enum", "type", "module")
# What broken C can make of a statement in the argument of a macro.
_STATEMENTS = {"if", "for", "while", "switch", "return", "else", "do", "sizeof", "catch"}
# And of a field with an annotation: Data* data GUARDED_BY(mutex);
_ANNOTATION = re.compile(r"[A-Z][A-Z0-9]*_[A-Z0-9_]*")
_CALLABLE = ("function", "method")
_HAS_METHODS = ("class", "interface", "scope")
_SPACE = re.compile(r"\s+")
_LOOSE_SPACE = re.compile(r"\s+(?!\w)|(?<!\w)\s+")
_SIGNATURE_END = re.compile(r"[\s:{=]*(?:=>)?\s*$")
_PLACE = re.compile(r"^(?:(?:module\.)?exports|this)\.|\.prototype(?=\.)|^&(?:'\w+\b)? ?(?:mut )?")
_ARGUMENTS = re.compile(r"(?<=\w)(?:::)?<[^<>]*>")


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
        Cyclomatic complexity of a function or method, without that of functions inside it; 0 for what is neither, or has
        no body.
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
    comments : tuple of (int, int)
        The first and the last line of each comment that fills its lines.
    asides : tuple of (int, int)
        Likewise of what says nothing of itself: imports and the strings that document definitions or the file.
    notes : tuple of str
        What keeps it from being the whole truth.
    parsed : bool
        Whether there is a syntax at all: False without a grammar, and where parsing would take too long.
    """

    symbols: tuple[Symbol, ...] = ()
    imports: tuple[str, ...] = ()
    doc: str = ""
    comment_lines: int = 0
    comments: tuple[tuple[int, int], ...] = ()
    asides: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()
    parsed: bool = False


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
    is_forward: bool = False
    is_local: bool = False
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
    between: list["tree_sitter.Node"] = field(default_factory=list)
    asides: list["tree_sitter.Node"] = field(default_factory=list)
    has_errors: bool = False


@dataclass(slots=True)
class _Comments:
    """The comments of a file: how many lines they fill, where each is, and by their last row those that fill their lines."""

    lines: int = 0
    spans: list[tuple[int, int]] = field(default_factory=list)
    ranges: list[tuple[int, int]] = field(default_factory=list)
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
    source = text.encode("utf-8")
    try:
        _require_short(source)
        found = _best_reading(source, grammar)
    except TooLongError as error:
        return Syntax(notes=(f"not parsed: {error}",))
    notes = ["syntax errors"] if found.has_errors else []
    comments = _read_comments(source, found)
    doc = _gather(found) or _opening(source, comments)
    definitions = _settled(source, found.definitions, comments)
    listed = _listed(definitions)
    if len(listed) < len(definitions):
        notes.append(f"only the first {len(listed):,} of {len(definitions):,} symbols are listed")
    symbols = tuple(_symbol(source, definition, comments) for definition in listed)
    asides = tuple((node.start_point.row + 1, _last_row(node) + 1) for node in found.asides)
    return Syntax(symbols, tuple(found.imports), doc, comments.lines, tuple(comments.ranges), asides, tuple(notes), parsed=True)


class TooLongError(Exception):
    """A source would take too long, or too much memory."""


def _best_reading(source: bytes, grammar: str) -> _Findings:
    """Return what the query finds in a source, in the reading that shows most of it."""
    if grammar not in PREPROCESSED:
        return _found(source, source, grammar)
    first, *others = readings(source)
    best = _found(source, first[0], grammar)
    for readable, conditions in others:
        if not best.has_errors:
            break
        with suppress(TooLongError):
            found = _found(source, readable, grammar)
            found.decisions += conditions
            best = max(best, found, key=lambda each: len(each.definitions))
    return best


def _found(source: bytes, readable: bytes, grammar: str) -> _Findings:
    """Return what the query finds in a source that is blanked out in part."""
    import tree_sitter  # noqa: PLC0415 - a search does not need it

    root = syntax_tree(readable, grammar)
    found = _sorted_out(source, tree_sitter.QueryCursor(compiled(grammar)[1]).matches(root))
    found.has_errors = root.has_error
    return found


def syntax_tree(source: bytes, grammar: str) -> "tree_sitter.Node":
    """Return the root of a source's syntax tree, on which queries take linear time.

    Parameters
    ----------
    source : bytes
        UTF-8.
    grammar : str
        A row of `crawler.grammars`.

    Raises
    ------
    TooLongError
        If there is none.
    """
    import tree_sitter  # noqa: PLC0415 - a search does not need it

    _require_short(source)
    if grammar in ANGULAR and any(part.count(b"<") > _MAX_ANGLES for part in _ANGLES.split(source)):
        raise TooLongError(f"more than {_MAX_ANGLES:,} angle brackets in a row without structure")
    calls = iter(range(int(_MAX_CALLS + _MAX_CALLS_PER_BYTE * len(source))))
    parser = tree_sitter.Parser(compiled(grammar)[0])
    try:
        root = parser.parse(
            lambda offset, _point: source[offset : offset + _CHUNK],
            progress_callback=lambda _offset, _has_error: next(calls, None) is None,
        ).root_node
    except ValueError:
        raise TooLongError("too ambiguous") from None
    if reason := _too_slow(root):
        raise TooLongError(reason)
    return root


def _require_short(source: bytes) -> None:
    if len(source) > MAX_PARSED_BYTES:
        raise TooLongError(f"more than {MAX_PARSED_BYTES:,} bytes")


def _too_slow(root: "tree_sitter.Node") -> str:
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
    certain: list[tuple[int, int]] = []
    for _, captures in matches:
        if "decision" in captures:
            found.decisions.append(captures["decision"][0].start_byte)
        elif "comment" in captures:
            found.comments.append(captures["comment"][0])
        elif "certain" in captures:
            certain.append(captures["certain"][0].byte_range)
        elif "between" in captures:
            found.between.append(captures["between"][0])
        elif "aside" in captures:
            found.asides.append(captures["aside"][0])
        elif "import" in captures:
            found.imports.setdefault(_text(source, captures["import"][0]).strip('"`<>')[:MAX_NAME])
        elif "doc" in captures:
            node = captures["doc"][0]
            found.asides.append(node)
            found.docs.append((node.start_byte, string_summary(_text(source, node))))
        else:
            definition = _definition(source, captures)
            if definition.name:
                found.definitions.append(definition)
    found.definitions.sort(key=lambda definition: (definition.start, -definition.end))
    if certain:
        certain.sort()
        found.decisions = [place for place in found.decisions if not _is_within(place, certain)]
    return found


def _is_within(place: int, spans: list[tuple[int, int]]) -> bool:
    before = bisect_left(spans, (place + 1,)) - 1
    return before >= 0 and place < spans[before][1]


def _definition(source: bytes, captures: "dict[str, list[tree_sitter.Node]]") -> _Definition:
    kind = next(kind for kind in (*KINDS, "scope") if kind in captures)
    node = captures[kind][0]
    body = captures["body"][0].start_byte if "body" in captures else node.end_byte
    if "name" in captures:
        name = _text(source, captures["name"][0])
    else:
        name = _declared_name(source, captures["declarator"][0], is_function=kind == "function")
        if name in _STATEMENTS or ("forward" in captures and kind == "function" and _ANNOTATION.fullmatch(name)):
            name = ""
    if kind == "function" and "::" in name:
        kind = "method"
    owner = f"{_text(source, captures['owner'][0])}." if "owner" in captures else ""
    return _Definition(
        start=node.start_byte,
        end=node.end_byte,
        first_row=node.start_point.row,
        last_row=_last_row(node),
        kind=kind,
        name=f"{owner}{_plain_name(name)}"[-MAX_NAME:] if name else "",
        body=body,
        is_forward="forward" in captures,
    )


def _declared_name(source: bytes, node: "tree_sitter.Node", *, is_function: bool) -> str:
    """Return the name at the end of a chain of declarators as C has them; nothing if it has to be a function's and is not."""
    declares = ""
    while node.type.endswith("_declarator"):
        if node.type != "parenthesized_declarator":
            declares = node.type
        inner = node.child_by_field_name("declarator") or (node.named_child(0) if node.named_child_count else None)
        if inner is None:
            return ""
        node = inner
    last = node
    while last.type == "qualified_identifier" and (inner := last.child_by_field_name("name")) is not None:
        last = inner
    if last.type == "operator_cast":
        parameters = last.child_by_field_name("declarator")
        return source[node.start_byte : parameters.start_byte if parameters else node.end_byte].decode("utf-8", "replace")
    return "" if is_function and declares != "function_declarator" else _text(source, node)


def _last_row(node: "tree_sitter.Node") -> int:
    """Return the row of a node's last character: where the line break belongs to it, it ends where the next row begins."""
    row, column = node.end_point
    return row - (column == 0 and row > node.start_point.row)


def _text(source: bytes, node: "tree_sitter.Node") -> str:
    return source[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _plain_name(name: str) -> str:
    """Return a name in one form for all languages: ``Class.method``.

    It loses what only says where it is put (``exports.``, ``this.``, ``.prototype``), quotes, and arguments of templates.
    """
    name = _PLACE.sub("", _LOOSE_SPACE.sub("", _SPACE.sub(" ", name[: 4 * MAX_NAME]))).strip("\"'`").replace("\0", "")
    if "<" in name:
        owner, operator, rest = name.partition("operator")
        name = _without_arguments(owner) + operator + rest
    return name.replace("::", ".").strip(".")[-MAX_NAME:]


def _without_arguments(name: str) -> str:
    name, count = name.replace("->", ""), 1
    while count:
        name, count = _ARGUMENTS.subn("", name)
    return name


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
            if (inner.start, inner.end) == (item.start, item.end):  # as in typedef struct {} name, *pointer
                inner = around[-2]
            if inner.kind in _HAS_METHODS and item.kind == "function":
                item.kind = "method"
            item.name = f"{inner.name}.{item.name}"[-MAX_NAME:] if inner.name else item.name
            item.is_local = inner.is_local or inner.kind in _CALLABLE
            if item.kind != "type":
                around.append(item)
        elif isinstance(item, str):
            inner.doc = inner.doc or item
        else:
            next((each for each in reversed(around) if each.kind in _CALLABLE), file).decisions += 1
    return file.doc


def _settled(source: bytes, definitions: list[_Definition], comments: _Comments) -> list[_Definition]:
    """Leave out what names no symbol, and what announces a definition that is there: its documentation is that one's, too."""
    for each in definitions:
        each.doc = each.doc or comment_summary(_above(source, comments, each.first_row))
    symbols = [each for each in definitions if each.kind != "scope" and not (each.is_forward and each.is_local)]
    defined = {each.name: each for each in reversed(symbols) if not each.is_forward}
    for each in symbols:
        if each.is_forward and each.name in defined:
            defined[each.name].doc = defined[each.name].doc or each.doc
    return [each for each in symbols if not (each.is_forward and each.name in defined)]


def _listed(definitions: list[_Definition]) -> list[_Definition]:
    """Return as many definitions as a file's metadata has room for."""
    sizes = accumulate(len(definition.name.encode("utf-8")) for definition in definitions[:MAX_SYMBOLS])
    return definitions[: sum(size <= _MAX_NAME_BYTES for size in sizes)]


def _read_comments(source: bytes, found: _Findings) -> _Comments:
    comments = _Comments()
    last_row = -1
    for node in found.comments:
        start, end = node.start_byte, node.end_byte
        first, column = node.start_point
        comments.spans.append((start, end))
        if source[start - column : start].strip():
            continue
        above = comments.blocks.pop(first - 1, None)
        last = _last_row(node)
        comments.lines += last - max(first, last_row + 1) + 1
        comments.ranges.append((first + 1, last + 1))
        last_row = last
        comments.blocks[last_row] = (above[0] if above else start, end)
    for node in found.between:
        if above := comments.blocks.get(node.start_point.row - 1):
            comments.blocks.setdefault(_last_row(node), above)
    return comments


def _above(source: bytes, comments: _Comments, row: int) -> str:
    """Return the comment that ends on the line above a row."""
    start, end = comments.blocks.get(row - 1, (0, 0))
    return source[start:end].decode("utf-8", "replace")


def _opening(source: bytes, comments: _Comments) -> str:
    """Return the first comment that says anything, if nothing but comments stands above it."""
    end = 0
    for start, stop in comments.blocks.values():
        if source[end:start].strip():
            break
        if summary := comment_summary(source[start:stop].decode("utf-8", "replace")):
            return summary
        end = stop
    return ""


def _symbol(source: bytes, definition: _Definition, comments: _Comments) -> Symbol:
    return Symbol(
        name=definition.name,
        kind=definition.kind,
        start_line=definition.first_row + 1,
        end_line=definition.last_row + 1,
        signature=_signature(source, definition, comments.spans),
        doc=definition.doc,
        complexity=1 + definition.decisions if definition.kind in _CALLABLE and definition.body < definition.end else 0,
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
    signature = _SIGNATURE_END.sub("", _SPACE.sub(" ", head))[:MAX_SIGNATURE]
    return f"{signature} {definition.name}" if signature.startswith("typedef") and definition.body < definition.end else signature
