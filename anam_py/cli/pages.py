"""What `anam map` and `anam report` have in common: where the page goes, and what is said of it."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anam_py.cli import output
from anam_py.cli.location import Location, find_store, open_store
from anam_py.cli.rows import visible

if TYPE_CHECKING:
    from anam_py import HTMCore
    from anam_py.pictures import Survey

__all__ = ["deliver", "force_option", "open_option", "output_option"]

open_option = click.option("--open", "open_it", is_flag=True, help="Open the page in the browser.")
force_option = click.option("--force", is_flag=True, help="Write over FILE even if it is not a page of anam.")


def output_option(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return the option that says where the page goes."""
    return click.option(
        "--output", "target", type=click.Path(path_type=Path), metavar="FILE", help=f"Where to write the page.  [default: {name}]"
    )


def deliver(
    doing: str,
    default: str,
    contents: "Callable[[HTMCore, Survey, str], dict[str, Any]]",
    page: Callable[[dict[str, Any]], str],
    *,
    store: Path | None,
    target: Path | None,
    force: bool,
    open_it: bool,
    as_json: bool,
) -> None:
    """Make a page of a store, write it and say where it is; or write what would be on it as JSON.

    Parameters
    ----------
    doing : str
        What is going on, as "drawing".
    default : str
        Name of the file where none is given.
    contents, page : Callable
        From a store, its survey and its name to what is told, and from that to the page.
    store, target, force, open_it, as_json
        The options.

    Raises
    ------
    click.UsageError
        If options contradict each other.
    AnamError
        If the store cannot be read, or the page cannot be written.
    """
    from anam_py.pictures import check_target, survey, write_page  # noqa: PLC0415 - help need not wait for NumPy

    if as_json and (target is not None or force or open_it):
        raise click.UsageError("--json writes no page; leave out --output, --force and --open")
    start = time.perf_counter()
    location = find_store(store)
    file = target or Path(default)
    if not as_json:
        check_target(file, replace=force)
    with open_store(location) as htm, output.waiting(doing):
        surveyed = survey(htm)
        content = contents(htm, surveyed, _name(location, surveyed.root))
    seconds = time.perf_counter() - start
    if as_json:
        output.write_json({"store": str(location.store), **content, "seconds": round(seconds, 3)})
        return
    write_page(file, page(content), replace=force)
    count = len(surveyed.files)
    said = f"{count:,} file{'' if count == 1 else 's'}"
    click.echo(f"Wrote {visible(os.fspath(file))}: {said} of {location.shown} ({seconds:.1f} s).")
    if not count:
        click.echo(f"There are no files in the index; bring it up to date with: {location.index_command}", err=True)
    if open_it:
        import webbrowser  # noqa: PLC0415 - rarely wanted

        webbrowser.open(file.resolve().as_uri())


def _name(location: Location, root: str) -> str:
    """Return what to call the code base: the name of its folder."""
    return (location.root or Path(root) if location.root or root else location.store).name or root
