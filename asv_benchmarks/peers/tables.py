"""Tables of figures, for a terminal and in Markdown."""

from __future__ import annotations

from typing import NamedTuple


class Line(NamedTuple):
    """One line of a table: what it is, and a figure for each column."""

    name: str
    figures: dict[str, str]


def text(columns: list[str], lines: list[Line]) -> str:
    """Return a table for a terminal."""
    widest = max(len(line.name) for line in lines)
    widths = [max(len(column), 10) for column in columns]
    head = " " * widest + "".join(f"  {column:>{width}}" for column, width in zip(columns, widths, strict=True))
    rows = (
        f"{line.name:<{widest}}" + "".join(f"  {line.figures.get(c, '-'):>{w}}" for c, w in zip(columns, widths, strict=True))
        for line in lines
    )
    return "\n".join([head, *rows])


def markdown(columns: list[str], lines: list[Line]) -> str:
    """Return a table in Markdown."""
    rows = [["", *columns], ["---", *("---:" for _ in columns)]]
    rows += [[line.name, *(line.figures.get(column, "-") for column in columns)] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
