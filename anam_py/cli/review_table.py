"""A review on a terminal: a table of the files, and the findings in colours."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

__all__ = ["print_review"]

_STYLES = {"high": "red", "medium": "yellow", "low": "dim"}


def print_review(columns: Sequence[str], files: Sequence[Sequence[str]], findings: Sequence[tuple[str, str, str, str]]) -> None:
    """Print what a review found.

    Parameters
    ----------
    columns : sequence of str
        What the cells of a row are, the name of the file first.
    files : sequence of sequence of str
    findings : sequence of tuple
        Place, severity, rule and message of each.
    """
    console = Console()
    heads = [Column(columns[0], style="cyan", overflow="fold"), *(Column(name, justify="right") for name in columns[1:])]
    table = Table(*heads, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in files:
        table.add_row(*map(Text, row))
    console.print(table)
    for place, severity, rule, message in findings:
        console.print(Text.assemble((place, "cyan"), " ", (severity, _STYLES[severity]), f" {rule}: {message}"), soft_wrap=True)
    if findings:
        console.print()
