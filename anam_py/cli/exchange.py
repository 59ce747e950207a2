"""``anam export`` and ``anam import``: between a store and Parquet files."""

import json
import time
from pathlib import Path
from typing import Any

import click

from anam_py.cli import output
from anam_py.cli.location import Location, find_store, json_option, open_store, store_option, typed
from anam_py.cli.rows import visible
from anam_py.exceptions import AnamError

__all__ = ["export", "import_"]


def _filter(context: click.Context, parameter: click.Parameter, value: str | None) -> dict[str, Any] | None:
    if value is None:
        return None
    try:
        where = json.loads(typed(value))
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}", context, parameter) from error
    if not isinstance(where, dict):
        raise click.BadParameter('not a JSON object, as {"language": "python"} is', context, parameter)
    return where


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--where", metavar="JSON", callback=_filter, help='Only entries whose metadata fulfil this: {"language": "python"}.'
)
@click.option("--overwrite", is_flag=True, help="Replace FILE if it is there.")
@store_option
@json_option
def export(file: Path, where: dict[str, Any] | None, store: Path | None, *, overwrite: bool, as_json: bool) -> None:
    """Write the entries to a Parquet FILE.

    All of one moment, also while another process writes. Needs pyarrow: pip install "anam_py[parquet]"
    """
    start = time.perf_counter()
    location = find_store(store)
    if file.exists() and not overwrite:
        raise AnamError(f"{str(file)!r} is there already; give another name, or --overwrite to replace it")
    with open_store(location) as htm, output.progress("exporting") as show_progress:
        rows = htm.export(file, where=where, overwrite=overwrite, progress_callback=show_progress)
    if as_json:
        _write_json(location, file, rows, start)
    else:
        seconds = time.perf_counter() - start
        click.echo(f"Exported {rows:,} entries from {location.shown} to {visible(str(file))} ({seconds:.1f} s).")


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@store_option
@json_option
def import_(file: Path, store: Path | None, *, as_json: bool) -> None:
    """Store the rows of a Parquet FILE.

    They take the place of entries of the same keys. FILE is one of anam export, or one of another tool with the columns key and
    vector. All of it is checked before anything is stored. Needs pyarrow: pip install "anam_py[parquet]"
    """
    start = time.perf_counter()
    location = find_store(store)
    with open_store(location, read_only=False) as htm, output.progress("importing") as show_progress:
        rows = htm.import_(file, progress_callback=show_progress)
    if as_json:
        _write_json(location, file, rows, start)
    else:
        seconds = time.perf_counter() - start
        click.echo(f"Imported {rows:,} entries from {visible(str(file))} into {location.shown} ({seconds:.1f} s).")


def _write_json(location: Location, file: Path, rows: int, start: float) -> None:
    content = {"store": str(location.store), "file": str(file.resolve()), "rows": rows, "bytes": file.stat().st_size}
    output.write_json({**content, "seconds": round(time.perf_counter() - start, 3)})
