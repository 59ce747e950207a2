"""``anam review``: let agents review files, and say what they found and whether it passes."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import anam_py
from anam_py.cli import output, verdicts
from anam_py.cli.location import Location, find_store, json_option, nearest_store, open_store, store_option, typed
from anam_py.cli.rows import visible
from anam_py.exceptions import AnamError

__all__ = ["review"]

NOT_PASSED = 1
AGENTS = {
    "analyzer": ["code_analysis", "ast_parsing", "security_check", "quality_analysis"],
    "embedder": ["embedding_generation", "similarity_search"],
    "validator": ["nam_validation", "ethical_checking"],
}
REQUIRED = ("code_analysis", "nam_validation")
REQUIREMENTS = ("security_check", "quality_analysis")


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--require",
    "more",
    multiple=True,
    metavar="NAME",
    type=click.Choice([name for names in AGENTS.values() for name in names]),
    help="Also require this capability; repeatable.",
)
@click.option("--describe", "description", metavar="TEXT", help="What is to be done, for the axioms to judge.")
@store_option
@json_option
def review(files: tuple[Path, ...], more: tuple[str, ...], description: str | None, store: Path | None, *, as_json: bool) -> None:
    """Review FILEs: what is dangerous in them, what is hard to read, and what the axioms say of it.

    What was decided is recorded in the nearest store above, if that can be written. Exits with status 1 if something was refused,
    failed or did not pass.
    """
    import asyncio  # noqa: PLC0415 - the other commands need not wait for it

    start = time.perf_counter()
    task: dict[str, Any] = {"type": "code_review", "files": [os.fspath(path) for path in files], "requirements": [*REQUIREMENTS]}
    if description is not None:
        task["description"] = typed(description)
        more = ("ethical_checking", *more)
    required = [*dict.fromkeys((*REQUIRED, *more))]
    with _store(store) as (htm, location), output.waiting("reviewing"):
        result = asyncio.run(_coordinated(htm, task, required))
    seconds = time.perf_counter() - start
    failed = verdicts.not_passed(result)
    if as_json:
        told = {"passed": not failed, "store": location and str(location.store), "seconds": round(seconds, 3)}
        output.write_json({**told, **result})
    else:
        verdicts.write(result)
        recorded = f" Recorded in {location.shown}." if location and not result["audit"]["error"] else ""
        click.echo(f"{'Not passed: ' + ', '.join(failed) if failed else 'Passed'} ({seconds:.1f} s).{recorded}")
    click.get_current_context().exit(NOT_PASSED if failed else 0)


@contextlib.contextmanager
def _store(store: Path | None) -> Iterator[tuple["anam_py.HTMCore", Location | None]]:
    """Open the store that is named, the nearest one, or one that is gone afterwards; only that has no location."""
    if store is not None or nearest_store() is not None:
        location = find_store(store)
        try:
            htm = open_store(location, read_only=False)
        except AnamError as error:
            if store is not None:
                raise
            click.echo(f"Not recorded: {visible(str(error))}", err=True)
        else:
            with htm:
                yield htm, location
            return
    else:
        click.echo("Not recorded: no store here or in a folder above; make one with: anam index", err=True)
    import tempfile  # noqa: PLC0415 - likewise

    with tempfile.TemporaryDirectory(prefix="anam-review-") as folder, anam_py.HTMCore(folder, durability="normal") as htm:
        yield htm, None


async def _coordinated(htm: "anam_py.HTMCore", task: dict[str, Any], required: list[str]) -> dict[str, Any]:
    async with anam_py.MultiAgentOrchestrator(htm) as orchestrator:
        for agent_id, capabilities in AGENTS.items():
            orchestrator.add_agent(agent_id, capabilities)
        return await orchestrator.coordinate_task(task, required)
