"""Tables of axioms: drawn by rich on a terminal, plain columns into a pipe."""

import sys
from collections.abc import Sequence

import click

from anam_py.cli.rows import visible

__all__ = ["write_table"]


def write_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Show rows under their heads; columns of numbers are on the right.

    Parameters
    ----------
    heads : sequence of str
        A head for each column.
    rows : sequence of sequence of str
        The cells. The last column may be long: on a terminal it is folded.
    """
    shown = [[visible(cell) for cell in row] for row in rows]
    numeric = [all(_is_number(row[place]) for row in shown) for place in range(len(heads))]
    if sys.stdout.isatty():
        _draw(heads, shown, numeric)
        return
    widths = [max(map(len, column)) for column in zip(heads, *shown, strict=True)]
    for row in (heads, *shown):
        cells = [
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(row, widths, numeric, strict=True)
        ]
        click.echo("  ".join(cells).rstrip())


def _draw(heads: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool]) -> None:
    from rich import box  # noqa: PLC0415 - a pipe need not wait for rich
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, (head, right) in enumerate(zip(heads, numeric, strict=True)):
        style = "green" if right else "cyan" if head == "axiom" else None
        table.add_column(head, justify="right" if right else "left", style=style, no_wrap=place + 1 < len(heads), overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _is_number(cell: str) -> bool:
    try:
        float(cell or "0")
    except ValueError:
        return False
    return True
