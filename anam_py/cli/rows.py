"""A hit as it is shown."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Row", "visible"]

SNIPPET_LINES = 5
OTHERS = 3
_VISIBLE = dict.fromkeys((*range(32), *range(127, 160)), "\N{REPLACEMENT CHARACTER}") | {9: "    "}


class Row(NamedTuple):
    """A hit as it is shown; its fields are those of a hit in the JSON output."""

    path: str
    start_line: int
    end_line: int
    symbol: str | None
    kind: str
    language: str | None
    score: float
    scores: Mapping[str, float]
    snippet: str
    stale: str | None = None
    also: Sequence[str] = ()

    @property
    def others(self) -> str:
        """Where the same text is found, in words; nothing if it is nowhere else."""
        if not self.also:
            return ""
        places = "another place" if len(self.also) == 1 else f"{len(self.also):,} other places"
        more = ", …" if len(self.also) > OTHERS else ""
        return visible(f"also in {places}: {', '.join(self.also[:OTHERS])}{more}")

    @property
    def lines(self) -> str:
        """The range of lines."""
        return f"{self.start_line}-{self.end_line}" if self.end_line != self.start_line else f"{self.start_line}"

    @property
    def title(self) -> str:
        """What was found, in words."""
        return f"{self.kind} {self.symbol}" if self.symbol else self.kind

    @property
    def remark(self) -> str:
        """What has become of the file, in words; empty if it is as it was indexed."""
        return f"{self.stale} since it was indexed" if self.stale else ""

    def excerpt(self) -> list[str]:
        """Return the first lines of the snippet without common indentation, safe to show."""
        lines = [line.translate(_VISIBLE).rstrip() for line in self.snippet.split("\n")]
        lines = [line for line in lines if line][:SNIPPET_LINES]
        indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
        return [line[indent:] for line in lines]


def visible(text: str) -> str:
    """Return a text whose control characters cannot move a cursor or change a colour.

    Parameters
    ----------
    text : str
        One line.

    Returns
    -------
    str
        The line, with a replacement character for each.
    """
    return text.translate(_VISIBLE)
