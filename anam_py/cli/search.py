"""``anam search``, ``anam similar`` and ``anam explain``: ask the store, show what it finds, and how."""

import dataclasses
import datetime as dt
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, get_args

import click

import anam_py
from anam_py.cli import output, state
from anam_py.cli.embedder import to_search_with
from anam_py.cli.location import BusyError, Location, find_store, json_option, limit_option, open_store, store_option, typed
from anam_py.cli.nearby import not_indexed
from anam_py.cli.rows import Row
from anam_py.cli.when import moment
from anam_py.exceptions import AnamError

if TYPE_CHECKING:
    from anam_py.crawler import Hit, IndexStatus

__all__ = ["explain", "search", "similar"]

NO_HITS = 1
SNIPPET_LINES = 8

Mode: TypeAlias = Literal["hybrid", "lexical", "semantic"]  # the crawler's


@click.command()
@click.argument("words", nargs=-1, required=True)
@limit_option
@click.option(
    "--mode",
    type=click.Choice(get_args(Mode)),
    default="hybrid",
    show_default=True,
    help="What decides: the words, the vectors, or both.",
)
@click.option("--language", "languages", multiple=True, metavar="NAME", help="Only hits in this language; repeatable.")
@click.option("--kind", "kinds", multiple=True, metavar="KIND", help="Only functions, classes, files, ...; repeatable.")
@click.option("--path", "paths", multiple=True, metavar="GLOB", help="Only files whose path or name matches; repeatable.")
@click.option("--exclude", "exclude_paths", multiple=True, metavar="GLOB", help="No files and folders that match; repeatable.")
@click.option("--duplicates", is_flag=True, help="Show each of those with the same text, instead of the best.")
@click.option(
    "--changed-since",
    callback=moment,
    metavar="WHEN",
    help="Only in files that were written since then: a date, a date and time, or 30min, 2h, 3d, 1w for so long ago.",
)
@click.option("--refresh", is_flag=True, help="First bring the index up to date, with the patterns of its last run.")
@store_option
@json_option
def search(
    words: tuple[str, ...],
    limit: int,
    mode: Mode,
    languages: tuple[str, ...],
    kinds: tuple[str, ...],
    paths: tuple[str, ...],
    exclude_paths: tuple[str, ...],
    changed_since: dt.datetime | None,
    store: Path | None,
    *,
    duplicates: bool,
    refresh: bool,
    as_json: bool,
) -> None:
    """Search the indexed code for WORDS, from anywhere inside it.

    A GLOB with a slash is relative to the current folder. Says which hits are in files that have changed or are gone since they
    were indexed, and whether the index is complete and up to date. Exits with status 1 if there are no hits.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 - help need not wait for it

    query = " ".join(map(typed, words))
    location = find_store(store)
    with _opened(location, refresh=refresh) as htm:
        embedder = None if mode == "lexical" and htm.read_only else to_search_with(htm, location)
        crawler = anam_py.CodeBaseCrawler(htm, embedder=embedder)
        if not htm.read_only:
            with output.progress("indexing") as show_progress:
                crawler.refresh(progress_callback=show_progress)
            htm.make_codes()
        with ThreadPoolExecutor(1) as beside:
            checked = beside.submit(crawler.status, thorough=False)
            start = time.perf_counter()
            hits = crawler.search(
                query,
                limit=limit,
                mode=mode,
                languages=languages,
                kinds=kinds,
                paths=[location.glob_of(typed(glob)) for glob in paths],
                exclude_paths=[location.glob_of(typed(glob)) for glob in exclude_paths],
                changed_since=changed_since,
                duplicates=duplicates,
            )
            seconds = time.perf_counter() - start
            status = checked.result()
    rows = [_found(location, hit) for hit in hits]
    question = {"query": query, "mode": mode}
    if changed_since is not None:
        question["changed_since"] = changed_since.isoformat()
    _report(question, rows, location, seconds, status, as_json=as_json)


def _opened(location: Location, *, refresh: bool) -> "anam_py.HTMCore":
    """Return the store, opened to be brought up to date if that is wanted and nobody else writes it."""
    if refresh:
        try:
            return open_store(location, read_only=False)
        except BusyError as error:
            click.echo(f"Note: not brought up to date: {error}", err=True)
    return open_store(location)


@click.command()
@click.argument("file", metavar="FILE")
@limit_option
@store_option
@json_option
def similar(file: str, limit: int, store: Path | None, *, as_json: bool) -> None:
    """Show the indexed files that are most like FILE.

    FILE::NAME asks for a function, method or class, and shows the ones most like it. Exits with status 1 if there are none.
    """
    location = find_store(store)
    path, separator, symbol = file.partition("::")
    key = location.key_of(Path(path)) + separator + typed(symbol)
    with open_store(location) as htm:
        start = time.perf_counter()
        found = _nearest(htm, location, key, limit)
        seconds = time.perf_counter() - start
        status = anam_py.CodeBaseCrawler(htm).status(thorough=False)
    what = dict.fromkeys(status.changed, "changed") | dict.fromkeys(status.deleted, "deleted")
    rows = [row._replace(path=location.path_of(row.path), stale=what.get(row.path)) for row in found]
    _report({"file": typed(file)}, rows, location, seconds, status, as_json=as_json)


@click.command()
@click.argument("words", nargs=-1, required=True)
@limit_option
@store_option
@json_option
def explain(words: tuple[str, ...], limit: int, store: Path | None, *, as_json: bool) -> None:
    """Show how the vectors nearest to WORDS are found: each step, what it left, read and took."""
    query = " ".join(map(typed, words))
    location = find_store(store)
    with open_store(location) as htm:
        vector = to_search_with(htm, location).embed([query], kind="query")[0]
        if not vector.any():
            raise AnamError(f"{query!r} has no words to search for; ask with letters or digits")
        explanation = htm.explain_search(vector, limit, -1.0)
    if as_json:
        steps = [step._asdict() for step in explanation.steps]
        output.write_json({"query": query, "store": str(location.store), **dataclasses.asdict(explanation), "steps": steps})
    else:
        click.echo(str(explanation))


def _found(location: Location, hit: "Hit") -> Row:
    also = [f"{location.path_of(path)}{separator}{name}" for path, separator, name in (key.partition("::") for key in hit.also)]
    return Row(**(hit._asdict() | {"path": location.path_of(hit.path), "also": also}))


def _nearest(htm: "anam_py.HTMCore", location: Location, key: str, limit: int) -> list[Row]:
    """Return the entries most like one of the store's: files like a file, symbols like a symbol."""
    record = htm.get_embedding(key)
    if record is None:
        raise not_indexed(htm, location, key)
    of_files = record["metadata"].get("kind") == "file"
    wanted = limit + 1
    while True:
        found = htm.search_similar(record["embedding"]["values"], wanted, 0.0)
        like = [hit for hit in found if hit[0] != key and (hit[2]["metadata"].get("kind") == "file") == of_files]
        if len(like) >= limit or len(found) < wanted:
            break
        wanted *= 4
    return [_row(score, found, htm.get_text(found["key"])) for _, score, found in like[:limit]]


def _row(score: float, record: dict[str, Any], text: str | None) -> Row:
    metadata = record["metadata"]
    path, _, symbol = record["key"].partition("::")
    return Row(
        path=path,
        start_line=metadata.get("start_line", 1),
        end_line=metadata.get("end_line", metadata.get("line_count", 1)),
        symbol=symbol or None,
        kind=metadata.get("kind", "entry"),
        language=metadata.get("language"),
        score=score,
        scores={"vector": score},
        snippet=_snippet(metadata, (text or "").split("\n")),
    )


def _snippet(metadata: dict[str, Any], lines: list[str]) -> str:
    """Return what a file says of itself, or its first definition: not the imports and licence that it starts with."""
    first = 0
    if metadata.get("kind") == "file":
        if metadata.get("doc"):
            return textwrap.fill(metadata["doc"])
        first = min((symbol["start_line"] - 1 for symbol in metadata.get("symbols", ())), default=0)
    return "\n".join(lines[first : first + SNIPPET_LINES])


def _report(
    question: dict[str, Any],
    rows: list[Row],
    location: Location,
    seconds: float,
    status: "IndexStatus",
    *,
    as_json: bool,
) -> NoReturn:
    if as_json:
        hits = [row._asdict() | {"score": round(row.score, 6)} for row in rows]
        fields = {**question, "store": str(location.store), "seconds": round(seconds, 6), "index": state.as_json(status)}
        output.write_json({**fields, "hits": hits})
    else:
        output.write_rows(rows, seconds)
        if not rows:
            click.echo(state.extent(status), err=True)
    remark = state.remark(status, location)
    if remark is not None:
        otherwise = ", or search with --refresh" if "query" in question and status.roots else ""
        click.echo(f"Note: {remark}{otherwise}", err=True)
    click.get_current_context().exit(0 if rows else NO_HITS)
