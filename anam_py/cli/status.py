"""``anam status``: what is in the index, what is not and why, and how the disk differs from it now."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import anam_py
from anam_py.cli import output, state
from anam_py.cli.location import Location, find_store, json_option, open_store, store_option
from anam_py.cli.rows import visible
from anam_py.cli.when import shown

if TYPE_CHECKING:
    from anam_py.crawler import IndexStatus

__all__ = ["status"]

STALE = 1
MOST_SHOWN = 10
DIFFERENCES = ("changed", "touched", "deleted", "new")


@click.command()
@click.option("-v", "--verbose", is_flag=True, help="List every file that was skipped, with the reason, and all that differ.")
@store_option
@json_option
def status(store: Path | None, *, verbose: bool, as_json: bool) -> None:
    """Show whether the index is complete and up to date.

    Says how many files are in it, how many were skipped and why, and which have changed, are gone or are new on the disk since.
    Exit status 1 if it is incomplete or not up to date.
    """
    start = time.perf_counter()
    location = find_store(store)
    with open_store(location) as htm:
        found = anam_py.CodeBaseCrawler(htm).status()
    seconds = time.perf_counter() - start
    if as_json:
        output.write_json(_fields(found, location, seconds, verbose=verbose))
    else:
        _write(found, location, verbose=verbose)
    click.get_current_context().exit(0 if found.up_to_date else STALE)


def _fields(found: "IndexStatus", location: Location, seconds: float, *, verbose: bool) -> dict[str, Any]:
    roots = [root._asdict() | {"complete": root.complete} for root in found.roots.values()]
    for root in roots:
        del root["beside"]
    fields = {
        "store": str(location.store),
        "complete": found.complete,
        "up_to_date": found.up_to_date,
        "files": {"indexed": found.indexed, "empty": found.empty, "skipped": len(found.skipped)},
        "skipped": found.reasons,
        "roots": roots,
        **{name: [location.path_of(key) for key in getattr(found, name)] for name in DIFFERENCES},
        "outdated": found.outdated,
        "seconds": round(seconds, 3),
    }
    if verbose:
        fields["skipped_files"] = [skip._asdict() | {"path": location.path_of(skip.path)} for skip in found.skipped]
    return fields


def _write(found: "IndexStatus", location: Location, *, verbose: bool) -> None:
    for root in found.roots.values():
        folder = visible(location.path_of(root.path))
        end = "not complete" if root.ended is None else f"complete, in {root.ended - root.started:.1f} s"
        click.echo(f"Indexed {folder} at {shown(root.started)}: {end}.")
        for note in root.notes:
            click.echo(f"Note: {visible(state.for_shells(note))}")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in found.reasons.items())
    counts = (
        f"{found.indexed:,} indexed, {found.empty:,} empty, {len(found.skipped):,} skipped{f' ({reasons})' if reasons else ''}"
    )
    click.echo(f"Files in {location.shown}: {counts}.")
    for name in DIFFERENCES:
        keys = getattr(found, name)
        for key in keys if verbose else keys[:MOST_SHOWN]:
            click.echo(f"{name:<8} {visible(location.path_of(key))}")
        if len(keys) > MOST_SHOWN and not verbose:
            click.echo(f"{name:<8} and {len(keys) - MOST_SHOWN:,} more; --verbose lists them")
    for skip in found.skipped if verbose else ():
        click.echo(f"skipped  {visible(str(skip._replace(path=location.path_of(skip.path))))}")
    remark = state.remark(found, location)
    click.echo("It is up to date." if remark is None else f"{remark[0].upper()}{remark[1:]}")
