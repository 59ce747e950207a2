"""C and C++ as a grammar can read them that knows no preprocessor: what it would stumble over is blanked out.

Blanks take the place of what they blank out, byte for byte, so that all places stay what they are.
"""

import re
from collections.abc import Iterator

__all__ = ["readings"]

_MACRO = rb"[A-Z_][A-Z0-9_]{2,}\b"
_LONE = re.compile(
    rb"^[ \t]*(%b(?:[ \t]*\([^()\n]*\))?)[ \t]*(?=\r?$(?!\s*\{)|//|/\*|(?:template|class|struct|extern|namespace)\b)" % _MACRO,
    re.MULTILINE,
)
_EXPORT = re.compile(rb"\b(?:class|struct|union)\s+(%b\s+)(?=[A-Za-z_]\w*\s*(?:final\s*)?[:{])" % _MACRO)
_CONDITIONAL = re.compile(
    rb"^[ \t]*#[ \t]*(if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b(?:[^\\\n]|\\\r?\n|\\)*", re.MULTILINE
)
_NOT_A_BREAK = re.compile(rb"[^\r\n]")


def readings(source: bytes) -> Iterator[tuple[bytes, list[int]]]:
    """Give ways to read a source, each of which changes more of it than the one before.

    Parameters
    ----------
    source : bytes

    Yields
    ------
    bytes
        As long as `source`, each another one. First without the macros between ``class`` and a name, which look as if they
        were the name; then without those that have a line of their own or begin one with ``template``, ``class`` and the
        like, which may hide a declaration (``NS_BEGIN``); then with only the first branch of each conditional, for branches
        that open a brace each and close it together.
    list of int
        Where the conditions were that are no longer in it and that lizard counts.
    """
    source = _EXPORT.sub(_without_group, source)
    yield source, []
    without_lines = _LONE.sub(_without_group, source)
    if without_lines != source:
        yield without_lines, []
    if _CONDITIONAL.search(source):
        yield _first_branches(without_lines)


def _first_branches(source: bytes) -> tuple[bytes, list[int]]:
    parts: list[bytes] = []
    conditions: list[int] = []
    is_over: list[bool] = []  # of each conditional around: whether its first branch is
    at = 0
    for directive in _CONDITIONAL.finditer(source):
        between = source[at : directive.start()]
        parts += [_blank(between) if is_over and is_over[-1] else between, _blank(directive[0])]
        at = directive.end()
        name = directive[1]
        if name in (b"if", b"ifdef", b"elif"):
            conditions.append(directive.start(1))
        if name.startswith(b"if"):
            is_over.append(bool(is_over and is_over[-1]))
        elif name == b"endif":
            del is_over[-1:]
        elif is_over:
            is_over[-1] = True
    return b"".join([*parts, source[at:]]), conditions


def _without_group(found: re.Match[bytes]) -> bytes:
    start, end = found.start(1) - found.start(), found.end(1) - found.start()
    return found[0][:start] + _blank(found[1]) + found[0][end:]


def _blank(text: bytes) -> bytes:
    return _NOT_A_BREAK.sub(b" ", text)
