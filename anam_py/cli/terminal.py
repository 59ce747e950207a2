"""The table of hits and progress, for terminals only."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich import box
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column, Table
from rich.text import Text

from anam_py.cli.rows import Row, visible

__all__ = ["clock", "print_rows", "progress_bar"]


def print_rows(rows: Sequence[Row]) -> None:
    """Print hits as a table as wide as the terminal.

    Parameters
    ----------
    rows : sequence of Row
        The hits, best first.
    """
    if not rows:
        return
    table = Table(
        Column("score", justify="right", style="green", no_wrap=True),
        Column("where", style="cyan", overflow="fold", ratio=2),
        Column("lines", justify="right", no_wrap=True),
        Column("snippet", ratio=3),
        box=box.SIMPLE_HEAD,
        expand=True,
        pad_edge=False,
    )
    for number, row in enumerate(rows):
        where = Text(visible(row.path)) + Text(f"\n{visible(row.title)}", style="dim") if row.symbol else Text(visible(row.path))
        if row.remark:
            where += Text(f"\n{row.remark}", style="yellow")
        if row.others:
            where += Text(f"\n{row.others}", style="dim italic")
        snippet = Text("\n".join(row.excerpt()), no_wrap=True, overflow="ellipsis", style="dim")
        table.add_row(f"{row.score:.3f}", where, row.lines, snippet, end_section=number + 1 == len(rows))
    Console().print(table)


@contextmanager
def progress_bar(doing: str, *, in_bytes: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Show a progress bar on standard error for as long as the context lasts.

    Parameters
    ----------
    doing : str
        What is going on.
    in_bytes : bool
        Whether bytes are counted.

    Yields
    ------
    Callable
        Takes how much is done, how much there is, and what is being worked on.
    """
    bar = Progress(
        TextColumn(doing, markup=False),
        BarColumn(),
        DownloadColumn() if in_bytes else MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[path]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=Console(stderr=True),
        transient=True,
        expand=True,
    )
    with bar:
        task = bar.add_task("", total=None, path="")
        yield lambda done, total, path: bar.update(task, completed=done, total=total, path=visible(path))


@contextmanager
def clock(doing: str) -> Iterator[None]:
    """Show on standard error for how long the context lasts.

    Parameters
    ----------
    doing : str
        What is going on.
    """
    columns = (SpinnerColumn(), TextColumn(doing, markup=False), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        bar.add_task("", total=None)
        yield
