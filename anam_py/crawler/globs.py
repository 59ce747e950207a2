"""Globs as regular expressions that take linear time, however many stars a hostile pattern holds.

Between two stars the first place where the text fits is as good as any later one, so an atomic group may hold on to it.
Only the part after the last star backtracks, and it is anchored at its end.
"""

import re

__all__ = ["ANY", "NO_SLASH", "expression", "segment_expression", "segments"]

ANY = r"."
NO_SLASH = r"[^/]"

_STARS = re.compile(r"\*+")
_NAMED_CLASS = re.compile(r"\[:(\w*):\]")
_CLASS_NAMES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"!-/:-@\[-`{-~",
    "space": r" \t\r\n\v\f",
    "upper": "A-Z",
    "xdigit": "a-fA-F0-9",
}


def segment_expression(glob: str, one: str = NO_SLASH) -> str | None:
    """Return the regular expression of a glob, or None if it is malformed and matches nothing.

    Parameters
    ----------
    glob : str
        With ``*``, ``?``, ``[...]`` and backslash escapes, as in fnmatch(3).
    one : str
        The expression of what ``?`` matches and ``*`` matches any number of.

    Returns
    -------
    str or None
        To be followed by the end of the text, or by something that `one` does not match.
    """
    chunks: list[str] = [""]
    position = 0
    while position < len(glob):
        character = glob[position]
        if character == "*":
            position = _end_of_stars(glob, position)
            chunks.append("")
            continue
        matched = _one_character(glob, position, one)
        if matched is None:
            return None
        fragment, position = matched
        chunks[-1] += fragment
    if len(chunks) == 1:
        return chunks[0]
    first, *middle, last = chunks
    return first + "".join(f"(?>{one}*?{chunk})" for chunk in middle) + f"{one}*{last}"


def expression(glob: str) -> str | None:
    """Return the regular expression of a glob over a whole path: ``*`` also matches ``/``, and ``**/`` also nothing."""
    parts = [segment_expression(part, ANY) for part in re.split(r"(?:\*\*/)+", glob)]
    return None if None in parts else "(?:.*/)?".join(part for part in parts if part is not None)


def segments(glob: str) -> list[str]:
    """Split a glob at its slashes, but for those in brackets; an unclosed bracket is left to `segment_expression`."""
    parts: list[str] = []
    start = position = 0
    while position < len(glob):
        if glob[position] == "/":
            parts.append(glob[start:position])
            start = position + 1
        matched = None if glob[position] == "*" else _one_character(glob, position, NO_SLASH)
        position = position + 1 if matched is None else matched[1]
    return [*parts, glob[start:]]


def _end_of_stars(glob: str, position: int) -> int:
    stars = _STARS.match(glob, position)
    return stars.end() if stars else position


def _one_character(glob: str, position: int, one: str) -> tuple[str, int] | None:
    """Return the expression of the single character that is described at a position, and where the next one is."""
    character = glob[position]
    if character == "?":
        return one, position + 1
    if character == "[":
        return _bracket(glob, position + 1, one)
    if character == "\\":
        position += 1
        if position == len(glob):
            return None
    return re.escape(glob[position]), position + 1


def _bracket(glob: str, position: int, one: str) -> tuple[str, int] | None:
    negated = glob[position : position + 1] in ("!", "^")
    position += negated
    members = ""
    start = position
    while glob[position : position + 1] != "]" or position == start:
        named = _NAMED_CLASS.match(glob, position)
        if named:
            if named[1] not in _CLASS_NAMES:
                return None
            members += _CLASS_NAMES[named[1]]
            position = named.end()
            continue
        low, position = _member(glob, position)
        high = low
        if glob[position : position + 1] == "-" and glob[position + 1 : position + 2] not in ("", "]"):
            high, position = _member(glob, position + 1)
        if not low or not high:
            return None
        if low <= high:  # an empty range matches nothing, and is no error
            members += f"{re.escape(low)}-{re.escape(high)}"
    inside = f"[{'^' if negated else ''}{members}]" if members else (ANY if negated else "(?!)")
    return f"(?={one}){inside}", position + 1


def _member(glob: str, position: int) -> tuple[str, int]:
    if glob[position : position + 1] == "\\":
        position += 1
    return glob[position : position + 1], position + 1
