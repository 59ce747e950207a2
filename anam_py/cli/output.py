"""What the commands write: a table on a terminal, plain text into a pipe, JSON on request."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from anam_py.cli.rows import Row, visible

__all__ = ["human_bytes", "progress", "styled", "waiting", "write_json", "write_rows"]


def write_rows(rows: Sequence[Row], seconds: float) -> None:
    """Show hits to a person.

    Parameters
    ----------
    rows : sequence of Row
        The hits, best first.
    seconds : float
        How long the search took.
    """
    if sys.stdout.isatty():
        from anam_py.cli import terminal  # noqa: PLC0415 - a pipe need not wait for rich

        terminal.print_rows(rows)
    else:
        for row in rows:
            remark = f"  ({row.remark})" if row.remark else ""
            click.echo(f"{visible(row.path)}:{row.lines}  {row.score:.3f}  {visible(row.title)}{remark}")
            for line in row.excerpt():
                click.echo(f"    {line}")
            if row.others:
                click.echo(f"    ({row.others})")
            click.echo()
    count = f"{len(rows)} hit{'' if len(rows) == 1 else 's'}" if rows else "no hits"
    click.echo(f"{count} in {seconds * 1000:.0f} ms", err=not rows)


def styled(text: str, **style: Any) -> str:
    """Return a text with colours, for who wants any; what goes into a pipe loses them.

    Parameters
    ----------
    text : str
    **style
        As for `click.style`.

    Returns
    -------
    str
    """
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return text if is_plain else click.style(text, **style)


@contextlib.contextmanager
def progress(doing: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int, str], None] | None]:
    """Show progress on standard error for as long as the context lasts, if that is a terminal.

    Parameters
    ----------
    doing : str
        What is going on.
    in_bytes : bool
        Whether bytes are counted.

    Yields
    ------
    Callable or None
        Takes how much is done, how much there is, and what is being worked on; None if nobody watches.
    """
    if not sys.stderr.isatty():
        yield None
        return
    from anam_py.cli import terminal  # noqa: PLC0415 - a pipe need not wait for rich

    with terminal.progress_bar(doing, in_bytes=in_bytes) as show:
        yield show


@contextlib.contextmanager
def waiting(doing: str) -> Iterator[None]:
    """Show for how long something has been going on that does not say how far it is, if standard error is a terminal.

    Parameters
    ----------
    doing : str
        What is going on.
    """
    if not sys.stderr.isatty():
        yield
        return
    from anam_py.cli import terminal  # noqa: PLC0415 - a pipe need not wait for rich

    with terminal.clock(doing):
        yield


def write_json(content: Mapping[str, Any]) -> None:
    """Write one JSON object and a newline.

    Parameters
    ----------
    content : mapping
        The object.
    """
    escaped = (sys.stdout.encoding or "").lower() != "utf-8"  # where a letter might be lost
    click.echo(json.dumps(content, ensure_ascii=escaped, indent=2))


def human_bytes(size: float) -> str:
    """Return a size as people read it.

    Parameters
    ----------
    size : float
        A number of bytes.

    Returns
    -------
    str
        Number and unit.
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
