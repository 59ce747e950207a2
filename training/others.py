"""From the sources in an sdist that are not Python to items, by the parser that the crawler has; most wheels hold none."""

import inspect
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from extract import MAX_BYTES, MAX_LINES, Item, is_left_out, written

from anam_py.crawler.languages import FileType, file_type_of, language_of
from anam_py.crawler.parse import Symbol, parse

__all__ = ["extract_others"]

_LEAST_LINES = 3
_COMMENT = re.compile(r"^\s*(?://+|\*)\s+(?=\w)")
_LEAST_WORDS = 5


def extract_others(sdist: Path, target: Path) -> None:
    """Write what an sdist's files in other languages hold, one item a line as JSON, unless it is there already."""
    written(target, lambda: (item for path, source in _sources(sdist) for item in _items(path, source)))


def _sources(sdist: Path) -> Iterator[tuple[str, str]]:
    with tarfile.open(sdist) as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            if not member.isfile() or member.size > MAX_BYTES or is_left_out(path) or not _is_other(path):
                continue
            file = archive.extractfile(member)
            source = file.read().decode("utf-8", "replace") if file else ""
            if file_type_of(path, language_of(path, source), source) is FileType.SOURCE:
                yield path, source


def _is_other(path: str) -> bool:
    return language_of(path).grammar not in ("", "python")


def _items(path: str, source: str) -> Iterator[Item]:
    syntax = parse(source, language_of(path, source).grammar)
    lines = source.splitlines() if "\f" not in source else source.split("\n")
    for index, symbol in enumerate(syntax.symbols):
        code = _code(lines, symbol, syntax.symbols[index + 1 :])
        if not _LEAST_LINES <= len(code) <= MAX_LINES:
            continue
        name = re.split(r"[.:]+", symbol.name)[-1]
        text = inspect.cleandoc("\n".join(code))
        if symbol.kind in ("function", "method"):
            comments = tuple(
                said for line in code if len((said := line.strip()).split()) >= _LEAST_WORDS and _COMMENT.match(line)
            )
            yield Item("function", path, name, text, symbol.doc, comments)
        elif symbol.kind != "module":
            yield Item("class", path, name, text, symbol.doc)


def _code(lines: list[str], symbol: Symbol, later: tuple[Symbol, ...]) -> list[str]:
    """Return the lines of a symbol; of what holds methods without the lines of their bodies."""
    if symbol.kind in ("function", "method"):
        return lines[symbol.start_line - 1 : symbol.end_line]
    inside = {
        line
        for inner in later
        if inner.start_line <= symbol.end_line and inner.kind in ("function", "method")
        for line in range(inner.start_line + 1, inner.end_line + 1)
    }
    return [lines[line - 1] for line in range(symbol.start_line, symbol.end_line + 1) if line not in inside]
