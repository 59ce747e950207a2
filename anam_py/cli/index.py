"""``anam index``: bring the store of a folder up to date."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import anam_py
from anam_py.cli import output, state
from anam_py.cli.embedder import embedder_option, to_index_with
from anam_py.cli.location import Location, json_option, nearest_store, open_store, store_for, store_option, typed
from anam_py.cli.rows import visible
from anam_py.exceptions import AnamError

if TYPE_CHECKING:
    from anam_py.crawler import CrawlReport
    from anam_py.embedding import Embedder

__all__ = ["index"]


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--include", multiple=True, metavar="GLOB", help="Index only files whose path or name matches; repeatable.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="Leave out files and folders that match; repeatable.")
@click.option("--symbols/--no-symbols", default=True, show_default=True, help="Also index functions, methods and classes.")
@click.option("--prune", is_flag=True, help="Drop files and symbols that were indexed before and are left out now.")
@embedder_option
@click.option("--yes", is_flag=True, help="Do not ask before the home folder or a whole disk is indexed.")
@click.option("-v", "--verbose", is_flag=True, help="List every file that was skipped, with the reason.")
@store_option
@json_option
def index(
    path: Path | None,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    embedder: "Embedder | None",
    store: Path | None,
    *,
    symbols: bool,
    prune: bool,
    yes: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Index the code in PATH, by default in the folder of the nearest store above, or else in the current one.

    The store is PATH/.anam. Only files that changed since the last time are embedded again. Interrupting is safe: what was
    indexed is kept, and the next run goes on from there. With --prune, what was indexed of a folder that is no longer there is
    dropped, too.
    """
    start = time.perf_counter()
    if path is None:
        nearest = None if store else nearest_store()
        path = nearest.parent if nearest else Path()
    location = store_for(path, store)
    if not path.is_dir():
        if not prune:
            raise AnamError(f"there is no folder {str(path)!r}")
        _forget(path, location, as_json=as_json)
        return
    if not yes:
        _ask_if_vast(path)
    dimension = None if embedder is None else embedder.dimension
    location.prepare()
    with open_store(location, read_only=False, create=True, dimension=dimension) as htm:
        crawler = anam_py.CodeBaseCrawler(htm, symbols=symbols, embedder=to_index_with(htm, location, embedder))
        recorded = htm.stats()["embedder"]
        embedded = 0
        with location.entered(path) as root, output.progress("indexing") as show_progress:
            if recorded not in (None, crawler.embedder.name):
                click.echo(f"Embedding anew with {crawler.embedder.name}: the store was made with {recorded}", err=True)
                embedded = crawler.reembed(progress_callback=show_progress)
            wanted, unwanted = [*map(typed, include)], [*map(typed, exclude)]
            report = crawler.index(root, wanted, unwanted, prune=prune, progress_callback=show_progress)
        entries = len(htm)
        htm.make_codes()  # for the searches that follow, which only read
    summary = _summary(path, location, report, embedded, entries, time.perf_counter() - start)
    if as_json:
        output.write_json(summary)
    else:
        _write(summary, location)
    if verbose:
        for skip in report.skipped:
            click.echo(f"skipped {visible(str(skip))}", err=True)


def _ask_if_vast(path: Path) -> None:
    """Ask whoever names the home folder, or a folder that it is in, whether that is what they mean."""
    folder, home = path.resolve(), Path(os.path.expanduser("~")).resolve()  # noqa: PTH111 - Path.home() fails where there is none
    if not home.is_relative_to(folder):
        return
    what = "your home folder" if folder == home else "a whole disk" if folder == Path(folder.anchor) else "where home folders are"
    if not sys.stdin.isatty():
        raise AnamError(f"{str(folder)!r} is {what}; if you mean all of it, add --yes")
    if not click.confirm(f"{str(folder)!r} is {what}. Index all of it?", err=True):
        raise AnamError("nothing was indexed")


def _forget(path: Path, location: Location, *, as_json: bool) -> None:
    with open_store(location, read_only=False) as htm, location.entered(path) as root:
        forgotten = anam_py.CodeBaseCrawler(htm).forget(root)
    if as_json:
        output.write_json({"path": str(path.resolve()), "store": str(location.store), "files": {"forgotten": forgotten}})
    else:
        click.echo(f"{path} is not there any more: {forgotten:,} forgotten, in {location.shown}.")


def _summary(
    path: Path, location: Location, report: "CrawlReport", embedded: int, entries: int, seconds: float
) -> dict[str, Any]:
    return {
        "path": str(path.resolve()),
        "store": str(location.store),
        "files": {
            "new": report.new,
            "changed": report.changed,
            "unchanged": report.unchanged,
            "forgotten": report.forgotten,
            "skipped": len(report.skipped),
        },
        "skipped": report.reasons,
        "renamed": report.renamed,
        "notes": [*map(state.for_shells, report.notes), *report.remarks],
        "embedded_anew": embedded,
        "entries": entries,
        "seconds": round(seconds, 3),
        "files_per_second": round(report.files / seconds, 1),
    }


def _write(summary: dict[str, Any], location: Location) -> None:
    files = summary["files"]
    known = files["new"] + files["changed"] + files["unchanged"]
    counts = ", ".join(f"{count:,} {what}" for what, count in files.items())
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in summary["skipped"].items())
    anew = summary["embedded_anew"]
    unchanged = (
        f" {anew:,} entries were embedded anew." if anew else " Nothing was indexed anew." if known == files["unchanged"] else ""
    )
    click.echo(f"{known:,} files in {summary['seconds']:.1f} s, {summary['files_per_second']:,.0f} files/s.{unchanged}")
    click.echo(f"Files: {counts}{f' ({reasons})' if reasons else ''}.")
    if summary["renamed"]:
        click.echo(f"Renamed: {len(summary['renamed']):,}, each both new and forgotten; anam history goes back beyond that.")
    click.echo(f"Entries: {summary['entries']:,}, in {location.shown}")
    for note in summary["notes"]:
        click.echo(f"Note: {visible(note)}", err=True)
