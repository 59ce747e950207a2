"""The first paragraph of what documents a piece of code, as one line."""

import inspect
import re

__all__ = ["comment_summary", "string_summary"]

_MAX_CHARACTERS = 500
_MAX_READ = 4000

_OPENING_QUOTES = re.compile(r"[A-Za-z]*(\"{3}|'{3}|\"|')")
_COMMENT_MARKS = re.compile(r"^[ \t]*(?:/\*+!?|\*+/|\*+(?!/)|//+!?|#+:?|--+)[ \t]?|[ \t]*\*+/[ \t]*$", re.MULTILINE)
_BRIEF = re.compile(r"^[ \t]*[@\\]brief\b", re.MULTILINE)
_RULE = re.compile(r"^[\W_]*$")
_LEGAL = re.compile(
    r"copyright|licen[cs]e|eslint|jshint|istanbul|prettier|@flow|use strict|coding[:=]|^!|^go:\w|^\+build", re.IGNORECASE
)


def string_summary(literal: str) -> str:
    """Return the first paragraph of a documenting string, given as it stands in the source."""
    opening = _OPENING_QUOTES.match(literal)
    if opening is None:
        return ""
    inside = literal[opening.end() : len(literal) - len(opening[1])] if literal.endswith(opening[1]) else literal[opening.end() :]
    return _first_paragraph(inspect.cleandoc(inside[:_MAX_READ]).splitlines())


def comment_summary(comment: str) -> str:
    """Return the first paragraph of a comment, given with its marks; nothing for a licence or an instruction to a tool."""
    lines = _BRIEF.sub("", _COMMENT_MARKS.sub("", comment[:_MAX_READ])).splitlines()
    summary = _first_paragraph(lines)
    return "" if _LEGAL.search(summary) else summary


def _first_paragraph(lines: list[str]) -> str:
    paragraph: list[str] = []
    for line in map(str.strip, lines):
        if line.startswith(("@", "\\", "<p>")) or _RULE.match(line):  # a tag (@param), a ruler (-----) or an empty line
            if paragraph:
                break
            continue
        paragraph.append(line)
    return " ".join(" ".join(paragraph).split())[:_MAX_CHARACTERS]
