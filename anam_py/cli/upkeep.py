"""``anam verify``, ``repair``, ``backup`` and ``compact``: looking after a store."""

import os
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import anam_py
from anam_py.cli import output
from anam_py.cli.location import Location, alone, find_store, holding_store, json_option, open_store, store_option
from anam_py.cli.rows import visible

if TYPE_CHECKING:
    from anam_py.store import Problem, Repair

__all__ = ["backup", "compact", "repair", "verify"]

PROBLEMS = 1
_COLOURS = {"error": "red", "warning": "yellow"}


@click.command()
@click.option("--quick", is_flag=True, help="Compare the catalog with the files only, without reading every row.")
@store_option
@json_option
def verify(store: Path | None, *, quick: bool, as_json: bool) -> None:
    """Look for damage in the store.

    Changes nothing. Exit status 1 when there are problems. Also works on a store that does not open, and while another process
    writes it.
    """
    start = time.perf_counter()
    location = find_store(store)
    folder = holding_store(location)
    with output.waiting("verifying"):
        problems = anam_py.HTMCore.verify(folder, deep=not quick)
    seconds = time.perf_counter() - start
    if as_json:
        found = [problem._asdict() for problem in problems]
        output.write_json({"store": str(folder), "deep": not quick, "problems": found, "seconds": round(seconds, 3)})
    else:
        _write_problems(problems)
        _write_verdict(problems, location, seconds, quick=quick)
    click.get_current_context().exit(PROBLEMS if problems else 0)


def _write_problems(problems: Sequence["Problem"]) -> None:
    for severity, where, what in problems:
        click.echo(f"{output.styled(severity, fg=_COLOURS.get(severity))}: {visible(where)}: {visible(what)}")


def _write_verdict(problems: Sequence["Problem"], location: Location, seconds: float, *, quick: bool) -> None:
    if problems and problems[0].where == location.store.name:
        extent = "it does not open"
    else:
        extent = "rows were not read" if quick else "every row was read"
    if not problems:
        click.echo(f"No problems in {location.shown} ({extent}, {seconds:.1f} s).")
        return
    counts = Counter(problem.severity for problem in problems)
    said = ", ".join(f"{count:,} {severity}{'' if count == 1 else 's'}" for severity, count in counts.items())
    click.echo(f"{said} in {location.shown} ({extent}, {seconds:.1f} s).")
    if counts["error"]:
        click.echo(
            f"Repair it with: {location.command('repair')}\nOr restore a backup. What is damaged is never given as an answer."
        )
    else:
        click.echo(f"Nothing is lost. What is left over is set aside with: {location.command('repair')}")


@click.command()
@store_option
@json_option
def repair(store: Path | None, *, as_json: bool) -> None:
    """Make a damaged store whole again.

    From all of it that can be read: what is sound is kept, what is not goes to the store's quarantine folder. Nothing is
    deleted. Exit status 0 once verify finds nothing any more.
    """
    start = time.perf_counter()
    location = find_store(store)
    folder = holding_store(location)
    click.echo(
        f"Repairing {location.shown}: keeping what is sound, setting aside what is not in {location.shown}/quarantine.", err=True
    )
    with alone(location), output.waiting("repairing"):
        report = anam_py.HTMCore.repair(folder)
    seconds = time.perf_counter() - start
    if as_json:
        output.write_json({"store": str(folder), **_as_json(report), "seconds": round(seconds, 3)})
    else:
        _write_report(report, location, seconds)


def _as_json(report: "Repair") -> dict[str, object]:
    return {
        "found": [problem._asdict() for problem in report.found],
        "actions": report.actions,
        "kept": report.kept,
        "lost": report.lost,
        "may_reappear": report.may_reappear,
        "without_text": report.without_text,
        "set_aside": report.set_aside,
        "folder": None if report.folder is None else str(report.folder),
    }


def _write_report(report: "Repair", location: Location, seconds: float) -> None:
    _write_problems(report.found)
    for action in report.actions:
        click.echo(f"done: {visible(action)}")
    if not report.found and not report.actions:
        click.echo(f"Nothing to repair in {location.shown}: no problems were found ({seconds:.1f} s).")
        return
    click.echo(f"{location.shown} is whole again, with {report.kept:,} entries ({seconds:.1f} s).")
    if report.may_reappear:
        click.echo(f"{report.may_reappear:,} of them the catalog did not name: some may have been deleted before.")
    if report.lost:
        click.echo(f"Lost: {report.lost:,}. Entries that came from files are made again by: {location.index_command}")
    if report.without_text:
        click.echo(f"Not found by words, their texts being lost: {report.without_text:,}. Mended by: {location.index_command}")
    if report.folder is not None:
        folder = os.path.relpath(report.folder, location.store)
        click.echo(f"What was set aside is in {visible(location.shown)}/{visible(Path(folder).as_posix())}.")


@click.command()
@click.argument("destination", type=click.Path(path_type=Path))
@click.option(
    "--link", is_flag=True, help="Link segment files instead of copying them: quick and small, but damage to one hits both."
)
@store_option
@json_option
def backup(destination: Path, store: Path | None, *, link: bool, as_json: bool) -> None:
    """Copy the store to the new folder DESTINATION, verified.

    The copy is of one moment, also while another process writes. It is a store itself: restore it by copying it back, or name
    it with --store.
    """
    start = time.perf_counter()
    location = find_store(store)
    with open_store(location) as htm, output.progress("backing up", in_bytes=True) as show_progress:
        folder = htm.backup(destination, link=link, progress_callback=show_progress)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    seconds = time.perf_counter() - start
    if as_json:
        output.write_json({"store": str(location.store), "backup": str(folder), "bytes": size, "seconds": round(seconds, 3)})
    else:
        shown = visible(location.path_of(str(folder)))
        click.echo(f"Backed up {location.shown} to {shown}: {output.human_bytes(size)}, verified ({seconds:.1f} s).")


@click.command()
@store_option
@json_option
def compact(store: Path | None, *, as_json: bool) -> None:
    """Give the space of deleted entries back.

    Also that of overwritten ones, by merging files. No answer changes.
    """
    start = time.perf_counter()
    location = find_store(store)
    with open_store(location, read_only=False) as htm:
        before = htm.stats()
        with output.waiting("compacting"):
            htm.compact()
        after = htm.stats()
    seconds = time.perf_counter() - start
    figures = {
        name: {"before": sum(before[field] for field in fields), "after": sum(after[field] for field in fields)}
        for name, fields in (
            ("bytes", ("segment_bytes", "catalog_bytes")),
            ("segments", ["segments"]),
            ("dead_rows", ["dead_rows"]),
        )
    }
    if as_json:
        output.write_json({"store": str(location.store), **figures, "seconds": round(seconds, 3)})
    else:
        sizes, segments = figures["bytes"], figures["segments"]
        click.echo(
            f"{location.shown}: {output.human_bytes(sizes['before'])} before, {output.human_bytes(sizes['after'])} after; "
            f"{segments['before']:,} segments before, {segments['after']:,} after ({seconds:.1f} s)."
        )
