"""``anam watch``: keep an index up to date while somebody works on the code."""

import contextlib
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType

import click

import anam_py
from anam_py.cli import output, state
from anam_py.cli.embedder import to_index_with
from anam_py.cli.location import BusyError, Location, find_store, open_store, store_option
from anam_py.cli.rows import visible
from anam_py.exceptions import AnamError

__all__ = ["watch"]

# How long changes are gathered for, and how long nothing is waited for at once, be it a change or another process that writes.
_GATHERED_MS = 800
_PATIENCE_MS = 1_000
# What changes of its own accord.
_OWN = {".anam", ".git"}


@click.command()
@store_option
def watch(store: Path | None) -> None:
    """Keep the index up to date with its folders, until interrupted.

    What has changed meanwhile is indexed first. In between, the store is closed: others may search it, and write it.
    """
    watchfiles = _library()
    location = find_store(store)
    folders = _brought_up_to_date(location)
    if not folders:
        raise AnamError(f"nothing has been indexed in {location.shown} yet; begin with: {location.index_command}")
    click.echo(f"Watching {', '.join(visible(location.path_of(folder)) for folder in folders)}; Ctrl-C ends it.", err=True)
    with contextlib.suppress(KeyboardInterrupt):
        for _ in _changes(watchfiles, folders, location):
            _brought_up_to_date(location)


def _library() -> ModuleType:
    try:
        import watchfiles  # noqa: PLC0415 - the other commands need not wait for it
    except ImportError as error:
        raise ImportError(
            f'watching needs watchfiles, which cannot be imported ({error}): pip install "anam_py[watch]"'
        ) from error
    return watchfiles


def _changes(watchfiles: ModuleType, folders: Collection[str], location: Location) -> Iterator[None]:
    """Give a moment each time that something has changed in a folder, until interrupted."""
    store = f"{location.store}{os.sep}"

    def matters(_: object, path: str) -> bool:
        return not path.startswith(store) and _OWN.isdisjoint(Path(path).parts)

    is_first = True  # what has changed before the watch began is not told
    for changes in watchfiles.watch(
        *folders, watch_filter=matters, debounce=_GATHERED_MS, rust_timeout=_PATIENCE_MS, yield_on_timeout=True
    ):
        if changes or is_first:
            yield
        is_first = False


def _brought_up_to_date(location: Location) -> list[str]:
    """Bring the index up to date, say so if there was anything to do, and return the folders that are in it."""
    while True:
        try:
            return _refreshed(location)
        except BusyError:
            time.sleep(_PATIENCE_MS / 1000)


def _refreshed(location: Location) -> list[str]:
    start = time.perf_counter()
    with open_store(location, read_only=False) as htm:
        crawler = anam_py.CodeBaseCrawler(htm, embedder=to_index_with(htm, location, None))
        with output.progress("indexing") as show_progress:
            reports = crawler.refresh(progress_callback=show_progress)
        htm.make_codes()
        folders = [root.path for root in crawler.status(thorough=False).roots.values()]
    new, changed, forgotten = (sum(getattr(report, name) for report in reports) for name in ("new", "changed", "forgotten"))
    if new or changed or forgotten:
        now = time.strftime("%H:%M:%S")
        click.echo(f"{now}  {new:,} new, {changed:,} changed, {forgotten:,} forgotten ({time.perf_counter() - start:.1f} s)")
    for report in reports:
        for note in report.notes:
            click.echo(f"Note: {visible(state.for_shells(note))}", err=True)
    return [folder for folder in folders if Path(folder).is_dir()]
