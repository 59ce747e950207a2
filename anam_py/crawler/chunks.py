"""What of a file is found by itself beside its symbols: blocks of code outside of all of them, or windows of lines.

Both are cut at natural borders: headings, blank lines, the least indented line. Among equals the text of a line decides, so
that a border depends on what is near it and an edit moves few others. They are called by what is in them, not by where they
are, so that they keep their names when lines are put in above.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate, groupby
from typing import NamedTuple
from zlib import crc32

from anam_py.crawler.languages import FileType, Language
from anam_py.crawler.parse import Syntax
from anam_py.crawler.summaries import comment_summary

__all__ = ["BLOCK", "WINDOW", "Chunk", "blocks", "windows"]

BLOCK = "block"
WINDOW = "window"

# Sizes are in rows: lines, broken after so many characters.
_ROW = 100
# The least and the greatest size of a piece of what is cut; what is no larger than the greatest is not.
_LEAST, _MOST = 20, 60
# Where there would be more pieces, they are larger.
_MAX_PIECES = 200
# What a block has to have beside comments and imports.
_LEAST_LINES = 5
_LEAST_CHARACTERS = 150
_MAX_NAME = 60
_NAME_WORDS = 6
_NAMED_BY = 200

_WORD = re.compile(r"[^\W_]")
# Lines of code that say nothing: without a word, or that only say when others count.
_SAYS_NOTHING = re.compile(r"[\W_]*$|\s*#\s*(?:if|ifn?def|el\w+|endif|pragma|undef)\b|\s*[\"']use strict[\"'];?\s*$")
# Lines that name nothing: keywords by themselves (try, const), and those that go on with what was begun above.
_LONE = re.compile(r"\W*(?:except \w+|[a-z]+)\s?[:({]?")
_DATA = re.compile(r"\s*[\"'\d(\[{.,*+-]")
_WORDS = re.compile(r"\w+(?:[.$-]\w+)*")
_IDENTIFIER = re.compile(r"[A-Za-z_$][\w.$]*")
_NO_TARGET = re.compile(r"[(\"'`#]|[=!<>]$")
_TYPE = re.compile(r"(?<!:):(?!:)")
_INDEX = re.compile(r"\[[^\]]*\]")
_CLOSING = (")", "]", "}")

_HEADING = re.compile(r"(#{1,6})\s")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_RULE = re.compile(r"([=\-~^\"'`#*+.:_])\1{2,}\s*$")
# How good a line is to begin a piece with; each column of indentation is one less.
_AFTER_BLANK, _HEADINGS = 1000, 2000
_MAX_INDENT = 500

_COMMENT, _ASIDE = 1, 2


class Chunk(NamedTuple):
    """A range of lines that is found by itself.

    Attributes
    ----------
    name : str
        What is assigned, or the first words, of its first lines.
    kind : str
        `BLOCK` or `WINDOW`.
    start_line, end_line : int
        Its lines, counted from 1, the last one included.
    doc : str
        The first paragraph of the comment above these.
    """

    name: str
    kind: str
    start_line: int
    end_line: int
    doc: str = ""


def windows(lines: Sequence[str], language: Language) -> list[Chunk]:
    """Cut a text that no syntax is known of.

    Parameters
    ----------
    lines : sequence of str
        The text, split at its line breaks.
    language : Language

    Returns
    -------
    list of Chunk
        Windows, in which every line with a word in it stands once; none if the text is no longer than one.
    """
    is_prose = language.file_type is FileType.DOCS
    pieces = _cut(lines, 0, len(lines), is_prose=is_prose)
    if len(pieces) == 1:
        return []
    found = []
    for start, end in pieces:
        wordy = [line for line in lines[start:end] if _WORD.search(line)]
        if wordy:
            code = (line for line in wordy if not (language.comment and line.lstrip().startswith(language.comment)))
            first, last = _trimmed(lines, start, end)
            line = next(code, wordy[0])
            found.append(Chunk(_first_words(line) if is_prose else _name(line), WINDOW, first + 1, last))
    return found


def blocks(lines: Sequence[str], syntax: Syntax) -> list[Chunk]:
    """Cut what stands outside of every symbol of a text.

    Parameters
    ----------
    lines : sequence of str
        The text, split at its line breaks.
    syntax : Syntax
        What was found in it.

    Returns
    -------
    list of Chunk
        Blocks with enough in them that is neither comment nor import; none if the whole text is one.
    """
    outside = list(_outside(syntax, len(lines)))
    idle = bytearray(len(lines))
    for start, end in outside:
        for line in range(start, end):
            if _SAYS_NOTHING.match(lines[line]):
                idle[line] = _ASIDE
    for ranges, mark in ((syntax.comments, _COMMENT), (syntax.asides, _ASIDE)):
        for first, last in ranges:
            idle[first - 1 : last] = bytes([mark]) * (last - first + 1)
    found = [chunk for start, end in outside for chunk in _blocks(lines, idle, start, end)]
    return found if syntax.symbols or len(found) > 1 else []


def _outside(syntax: Syntax, count: int) -> Iterator[tuple[int, int]]:
    """Give the ranges of lines outside of symbols: from 0, the last one excluded."""
    line = 0
    for symbol in syntax.symbols:
        if symbol.start_line - 1 > line:
            yield line, symbol.start_line - 1
        line = max(line, symbol.end_line)
    if line < count:
        yield line, count


def _blocks(lines: Sequence[str], idle: bytearray, start: int, end: int) -> Iterator[Chunk]:
    first, last = idle.find(0, start, end), idle.rfind(0, start, end)
    if first < 0:
        return
    while first > start and idle[first - 1] == _COMMENT:
        first -= 1
    while last + 1 < end and lines[last + 1].lstrip().startswith(_CLOSING):
        last += 1
    name = ""
    for piece in _cut(lines, first, last + 1):
        code = [line for line in range(*piece) if not idle[line]]
        if not code:
            continue
        main = _main_paragraph(lines, piece[0], code)
        if not (name and _DATA.match(lines[main[0]])):
            name = _name(next((lines[line] for line in main if not _LONE.fullmatch(lines[line].strip())), lines[main[0]]))
        if len(code) >= _LEAST_LINES and sum(len(lines[line].strip()) for line in code) >= _LEAST_CHARACTERS:
            above = main[0]
            while above > piece[0] and idle[above - 1] == _COMMENT:
                above -= 1
            first, last = _trimmed(lines, *piece)
            yield Chunk(name, BLOCK, first + 1, last, comment_summary("\n".join(lines[above : main[0]])))


def _main_paragraph(lines: Sequence[str], start: int, code: list[int]) -> list[int]:
    """Return the lines of code of a block that say what it is for: up to a blank line, and not one by itself."""
    blank = list(accumulate(not line.strip() for line in lines[start : code[-1] + 1]))
    paragraphs = (list(run) for _, run in groupby(code, lambda line: blank[line - start]))
    return next((paragraph for paragraph in paragraphs if len(paragraph) > 1), code)


def _trimmed(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    while not lines[start].strip():
        start += 1
    while not lines[end - 1].strip():
        end -= 1
    return start, end


def _name(line: str) -> str:
    """Return what a piece is called that has this as its first line of code, or of text."""
    line = line[:_NAMED_BY]
    target, sign, value = line.partition("=")
    target = _TYPE.split(target, maxsplit=1)[0]
    if sign and value[:1] not in ("=", ">") and not _NO_TARGET.search(target):
        names: list[str] = _IDENTIFIER.findall(_INDEX.sub("", target))
        if names:
            return names[-1][:_MAX_NAME]
    return _first_words(line)


def _first_words(line: str) -> str:
    return " ".join(_WORDS.findall(line[:_NAMED_BY])[:_NAME_WORDS])[:_MAX_NAME].strip()


def _cut(lines: Sequence[str], start: int, end: int, *, is_prose: bool = False) -> list[tuple[int, int]]:
    """Cut a range of lines into ranges; each line is looked at a few times."""
    sizes = [0, *accumulate(1 + len(lines[line]) // _ROW for line in range(start, end))]
    total, count = sizes[-1], end - start
    least, most = _LEAST, _MOST
    while total > least * _MAX_PIECES:
        least, most = 2 * least, 2 * most
    pieces, at = [], 0
    strengths = _strengths(lines[start:end], is_prose=is_prose) if total > most else []
    while total - sizes[at] > most:
        low = bisect_left(sizes, sizes[at] + least)
        high = bisect_right(sizes, min(sizes[at] + most, total - least))
        following = max(range(low, high), key=strengths.__getitem__) if low < high else low
        pieces.append((start + at, start + following))
        at = following
    if at < count:
        pieces.append((start + at, end))
    return pieces


def _strengths(lines: Sequence[str], *, is_prose: bool) -> list[tuple[int, int]]:
    """Return of each line how good it is to begin a piece with; among equals what it says decides."""
    found = []
    after_blank = True
    for line in lines:
        stripped = line.lstrip()
        strength = -min(len(line) - len(stripped), _MAX_INDENT)
        if not stripped or stripped.startswith(_CLOSING):
            strength -= _AFTER_BLANK
        elif after_blank:
            strength += _AFTER_BLANK
        after_blank = not stripped
        found.append((strength, crc32(line.encode("utf-8"))))
    for index, strength in _marked(lines) if is_prose else ():
        found[index] = (strength, found[index][1])
    return found


def _marked(lines: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Give how good lines are to begin with where Markdown or reStructuredText say so: headings, and code in fences."""
    in_fence = False
    levels: dict[str, int] = {}
    for index, line in enumerate(lines):
        is_fence = _FENCE.match(line) is not None
        if in_fence:
            yield index, -_AFTER_BLANK
        elif heading := _HEADING.match(line):
            yield index, _HEADINGS - len(heading[1])
        elif index and (rule := _RULE.match(line)) and _WORD.search(lines[index - 1]):
            over = index > 1 and lines[index - 2].rstrip() == line.rstrip()
            yield index - 1 - over, _HEADINGS - levels.setdefault(f"{over}{rule[1]}", len(levels) + 1)
        in_fence ^= is_fence
