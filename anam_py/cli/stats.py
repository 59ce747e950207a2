"""``anam stats``: what the store holds."""

from collections import Counter
from pathlib import Path
from typing import Any

import click

from anam_py.cli import output
from anam_py.cli.location import find_store, json_option, open_store, store_option
from anam_py.cli.rows import visible

__all__ = ["stats"]


@click.command()
@store_option
@json_option
def stats(store: Path | None, *, as_json: bool) -> None:
    """Show what the store holds."""
    location = find_store(store)
    from anam_py.store import Ledger  # noqa: PLC0415 - help need not wait for it

    with open_store(location) as htm:
        figures = htm.stats()
        outcomes = Counter(row.outcome for row in Ledger(htm).files().values())
    del figures["crawled_files"]  # all that the ledger knows of, and so the sum of these
    files = {outcome: outcomes[outcome] for outcome in ("indexed", "empty", "skipped")}
    figures = {"store": figures.pop("path"), "files": files, **figures}
    if as_json:
        output.write_json(figures)
    else:
        for name, value in _lines(figures):
            click.echo(f"{name:<20} {value}")


def _lines(figures: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines = []
    for name, value in figures.items():
        if value is None:
            continue
        label = prefix + name.replace("_", " ")
        if isinstance(value, dict):
            lines += _lines(value, f"{label} ")
        elif isinstance(value, list):
            lines += [(label, visible(str(item))) for item in value] or [(label, "none")]
        elif name.endswith("bytes"):
            lines.append((label, output.human_bytes(value)))
        elif isinstance(value, int) and not isinstance(value, bool):
            lines.append((label, f"{value:,}"))
        else:
            lines.append((label, visible(str(value))))
    return lines
