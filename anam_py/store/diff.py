"""Line-based differences between two texts, in the form that a key's history keeps."""

import difflib
from typing import Any

from anam_py._validation import check_text

# SequenceMatcher is quadratic in the worst case. Beyond this many lines that still differ once
# the common head and tail are cut off, the middle is one replacement.
_MOST_LINES = 20_000


def diff_ops(old_text: str, new_text: str) -> list[dict[str, Any]]:
    r"""Return the operations that turn one text into another.

    Parameters
    ----------
    old_text, new_text : str
        The two texts. Lines end at ``"\n"``, which stays part of the line, so that joining
        the lines gives the text back exactly.

    Returns
    -------
    list of dict
        ``{"op": "insert" | "delete" | "replace", "pos": int, "count": int, "lines": [str]}``
        in ascending order of position: at line `pos` of the *old* text (from 0), `count`
        lines make way for `lines`. Applied from last to first, the positions stay valid.

    Raises
    ------
    ValidationError
        If an argument is not a str that a store can hold.

    Examples
    --------
    >>> diff_ops("a\nb\n", "a\nc\n")
    [{'op': 'replace', 'pos': 1, 'count': 1, 'lines': ['c\n']}]
    """
    old = _lines(check_text(old_text, "old_text", optional=False))
    new = _lines(check_text(new_text, "new_text", optional=False))
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    old_middle, new_middle = old[head : len(old) - tail], new[head : len(new) - tail]
    if max(len(old_middle), len(new_middle)) > _MOST_LINES:
        spans = [("replace", 0, len(old_middle), 0, len(new_middle))]
    else:
        matcher = difflib.SequenceMatcher(None, old_middle, new_middle)
        spans = [span for span in matcher.get_opcodes() if span[0] != "equal"]
    return [{"op": op, "pos": head + i1, "count": i2 - i1, "lines": new_middle[j1:j2]} for op, i1, i2, j1, j2 in spans]


def _lines(text: str) -> list[str]:
    lines = text.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def _common(a: list[str], b: list[str]) -> int:
    count = 0
    for x, y in zip(a, b, strict=False):
        if x != y:
            break
        count += 1
    return count
