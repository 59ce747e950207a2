"""``anam audit``: check the record of what was decided and done, show it, or begin it anew where it is damaged."""

import datetime as dt
import json
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anam_py.cli import output
from anam_py.cli.location import Location, find_store, json_option, limit_option, open_store, store_option, typed
from anam_py.cli.rows import visible

if TYPE_CHECKING:
    from anam_py.store import AuditLog, HTMCore, Problem

__all__ = ["audit"]

PROBLEMS = 1
_SHOWN_APART = ("seq", "time", "previous", "kind", "digest")


@click.group()
def audit() -> None:
    """Check, show or restart the store's audit log.

    It is the record of what was decided and done.
    """


def _log_of(htm: "HTMCore") -> "AuditLog":
    from anam_py.store import AuditLog  # noqa: PLC0415 - who asks for help need not wait for the store

    return AuditLog(htm)


@audit.command()
@store_option
@json_option
def verify(store: Path | None, *, as_json: bool) -> None:
    """Check that no record was changed, taken out or put in.

    Also while another process writes the store. Exit status 1 when there are problems. The digest of the last record stands for
    all of them: whoever has noted it elsewhere can tell whether all were written anew.
    """
    start = time.perf_counter()
    location = find_store(store)
    with open_store(location) as htm:
        log = _log_of(htm)
        problems = log.verify()
        last = None if problems else next(log.records(last=1), None)
    seconds = time.perf_counter() - start
    if as_json:
        output.write_json(
            {
                "store": str(location.store),
                "records": None if problems else last["seq"] if last else 0,
                "digest": last and last["digest"],
                "problems": [problem._asdict() for problem in problems],
                "seconds": round(seconds, 3),
            }
        )
    else:
        _write_verdict(problems, last, location, seconds)
    click.get_current_context().exit(PROBLEMS if problems else 0)


def _write_verdict(problems: Sequence["Problem"], last: dict[str, Any] | None, location: Location, seconds: float) -> None:
    for problem in problems:
        click.echo(f"{problem.severity}: {visible(problem.what)}")
    if not problems:
        count = last["seq"] if last else 0
        records = f"{count:,} record{'' if count == 1 else 's'}"
        click.echo(f"No problems in the audit log of {location.shown}: {records} ({seconds:.1f} s).")
        if last:
            click.echo(f"The last has the digest {last['digest']}.")
    elif any(problem.severity == "error" for problem in problems):
        click.echo(f"Set it aside, and begin a new one, with: {location.command('audit restart')}")
    else:
        click.echo(f"No record is damaged. What is left over is set aside with: {location.command('audit restart')}")


@audit.command()
@limit_option
@click.option("--kind", help="Show only records of this kind.")
@store_option
@json_option
def show(store: Path | None, limit: int, kind: str | None, *, as_json: bool) -> None:
    """Show the newest records, the last one at the end."""
    location = find_store(store)
    wanted = None if kind is None else typed(kind)
    with open_store(location) as htm:
        log = _log_of(htm)
        if wanted is None:
            records = list(log.records(last=limit))
        else:
            records = list(deque((record for record in log.records() if record.get("kind") == wanted), limit))
    if as_json:
        output.write_json({"store": str(location.store), "kind": wanted, "records": records})
        return
    for record in records:
        fields = {name: value for name, value in record.items() if name not in _SHOWN_APART}
        moment = dt.datetime.fromtimestamp(record["time"], dt.UTC).isoformat(sep=" ", timespec="milliseconds")
        shown = json.dumps(fields, ensure_ascii=False) if fields else ""
        click.echo(visible(f"{record['seq']}  {moment}  {record.get('kind', '-')}  {shown}").rstrip())
    if not records:
        click.echo("no records", err=True)


@audit.command()
@store_option
@json_option
def restart(store: Path | None, *, as_json: bool) -> None:
    """Set a damaged log aside in the store's quarantine folder and begin a new one.

    The new log's first record says so. A log that is whole is left as it is.
    """
    location = find_store(store)
    with open_store(location, read_only=False) as htm:
        log = _log_of(htm)
        problems = log.verify()
        set_aside = log.restart()
    is_new = any(problem.severity == "error" for problem in problems)
    if as_json:
        found = [problem._asdict() for problem in problems]
        folder = None if set_aside is None else str(set_aside)
        output.write_json({"store": str(location.store), "problems": found, "restarted": is_new, "set_aside": folder})
    elif not is_new:
        click.echo(f"The audit log of {location.shown} is whole, and goes on.")
    elif set_aside is None:
        click.echo(f"There was no audit log in {location.shown} any more; a new one says so.")
    else:
        click.echo(f"Set the damaged log aside as {location.shown}/quarantine/{set_aside.name}; a new one says so.")
