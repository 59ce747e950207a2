"""The tokens of a source text in any language, without layout and comments, as numbers that are fast to compare."""

import re
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Tokens", "tokens_of"]

_LINE_COMMENTS = {
    "#": ("python", "cython", "shell", "ruby", "perl", "r", "make", "cmake", "dockerfile", "yaml", "toml", "ini", "php"),
    "//": (
        "javascript", "typescript", "rust", "go", "java", "c", "cpp", "csharp", "kotlin", "php", "scala", "swift", "css",
    ),
    "--": ("lua", "sql"),
}  # fmt: skip
_BLOCK_COMMENTS = {*_LINE_COMMENTS["//"], "sql"}
_INDENTED = ("python", "cython")
_OPENING, _CLOSING = ("(", "[", "{"), (")", "]", "}")

# Each alternative also matches what is not closed, to its line's or the text's end: so no place is read twice.
_STRINGS = (
    r'"""(?:[^"\\]|\\.|"(?!""))*+(?:"""|\Z)'
    r"|'''(?:[^'\\]|\\.|'(?!''))*+(?:'''|\Z)"
    r'|"(?:[^"\\\n]|\\.)*+"?'
    r"|'(?:[^'\\\n]|\\.)*+'?"
    r"|`(?:[^`\\]|\\.)*+`?"
)
_TOKEN = rf"(?P<token>{_STRINGS}|\w++|[^\w\s])"


class Tokens(NamedTuple):
    """The tokens of a text.

    Attributes
    ----------
    values : ndarray of shape (n,), uint64
        Equal for equal tokens.
    lines : ndarray of shape (n,), int64
        The line each starts in, counted from 1.
    last_lines : ndarray of shape (n,), int64
        The line each ends in.
    depths : ndarray of shape (number of lines + 1,), int64
        How many blocks are open where a line, counted from 1, begins.
    """

    values: npt.NDArray[np.uint64]
    lines: npt.NDArray[np.int64]
    last_lines: npt.NDArray[np.int64]
    depths: npt.NDArray[np.int64]


def tokens_of(text: str, language: str) -> Tokens:
    """Take a text apart, in time that is linear in its length.

    Parameters
    ----------
    text : str
    language : str
        By its name in `crawler.languages`; decides what a comment is, and what makes a block: braces, or indentation.

    Returns
    -------
    Tokens
    """
    found = [match for match in _pattern(language).finditer(text) if match.lastgroup]
    words = [match[0] for match in found]
    spans = np.array([match.span() for match in found], np.int64).reshape(-1, 2)
    line_starts = np.array([0, *(match.end() for match in re.finditer("\n", text))], np.int64)
    lines = np.searchsorted(line_starts, spans[:, 0], side="right")
    last_lines = np.searchsorted(line_starts, spans[:, 1] - 1, side="right")
    numbers = {word: _number(word) for word in set(words)}
    values = np.array([numbers[word] for word in words], np.uint64)
    columns = (spans[:, 0] - line_starts[lines - 1]).tolist()
    opened = _opened_by_indentation if language in _INDENTED else _opened_by_braces
    depths = np.zeros(len(line_starts) + 1, np.int64)
    for line, depth in opened(words, lines.tolist(), columns):
        depths[line] = depth
    return Tokens(values, lines, last_lines, depths)


def _opened_by_indentation(words: list[str], lines: list[int], columns: list[int]) -> Iterator[tuple[int, int]]:
    """Give for each line that starts a statement how many blocks hold it."""
    columns_of_blocks = [0]
    brackets = line_before = 0
    word_before = ""
    for word, line, column in zip(words, lines, columns, strict=True):
        if line != line_before and not brackets and word_before != "\\":
            while columns_of_blocks[-1] > column:
                columns_of_blocks.pop()
            if columns_of_blocks[-1] < column:
                columns_of_blocks.append(column)
            yield line, len(columns_of_blocks) - 1
        brackets = max(0, brackets + (word in _OPENING) - (word in _CLOSING))
        line_before, word_before = line, word


def _opened_by_braces(words: list[str], lines: list[int], columns: list[int]) -> Iterator[tuple[int, int]]:  # noqa: ARG001 - as above
    """Give for each line with a token how many braces are open where it starts."""
    depth = line_before = 0
    for word, line in zip(words, lines, strict=True):
        if line != line_before:
            yield line, depth
            line_before = line
        depth = max(0, depth + (word == "{") - (word == "}"))


@cache
def _pattern(language: str) -> re.Pattern[str]:
    comments = [rf"{re.escape(mark)}[^\n]*+" for mark, languages in _LINE_COMMENTS.items() if language in languages]
    comments += [r"/\*(?:[^*]|\*(?!/))*+(?:\*/|\Z)"] if language in _BLOCK_COMMENTS else []
    return re.compile("|".join([*comments, _TOKEN]), re.DOTALL)


def _number(token: str) -> int:
    return int.from_bytes(blake2b(token.encode("utf-8"), digest_size=8).digest(), "little")
