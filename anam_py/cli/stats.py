"""``anam stats``: what the store holds."""

from pathlib import Path
from typing import Any

import click

import anam_py
from anam_py.cli import output
from anam_py.cli.location import find_store, json_option, store_option
from anam_py.cli.rows import visible

__all__ = ["stats"]


@click.command()
@store_option
@json_option
def stats(store: Path | None, *, as_json: bool) -> None:
    """Show what the store holds."""
    location = find_store(store)
    with anam_py.HTMCore(location.store, read_only=True) as htm:
        figures = htm.stats()
    figures = {"store": figures.pop("path"), **figures}
    if as_json:
        output.write_json(figures)
    else:
        for name, value in _lines(figures):
            click.echo(f"{name:<20} {value}")


def _lines(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines = []
    for name, value in figures.items():
        label = prefix + name.replace("_", " ")
        if isinstance(value, dict):
            lines += _lines(value, f"{label} ")
        elif isinstance(value, list):
            lines += [(label, visible(str(item))) for item in value] or [(label, "none")]
        elif name.endswith("bytes"):
            lines.append((label.removesuffix(" bytes"), output.human_bytes(value)))
        elif value is None:
            lines.append((label, "none"))
        elif isinstance(value, int) and not isinstance(value, bool):
            lines.append((label, f"{value:,}"))
        else:
            lines.append((label, visible(str(value))))
    return lines
