"""``anam history``: the versions of a file or symbol, and the lines that changed in each."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from anam_py.cli import output
from anam_py.cli.location import Location, find_store, json_option, limit_option, open_store, store_option, typed
from anam_py.cli.nearby import not_indexed
from anam_py.cli.rows import visible
from anam_py.cli.when import shown

if TYPE_CHECKING:
    from anam_py.crawler import Hunk, Version

__all__ = ["history"]

_STYLES: dict[str, dict[str, Any]] = {"-": {"fg": "red"}, "+": {"fg": "green"}, "@": {"fg": "cyan"}}


@click.command()
@click.argument("file", metavar="FILE")
@limit_option
@store_option
@json_option
def history(file: str, limit: int, store: Path | None, *, as_json: bool) -> None:
    """Show the versions of FILE that were indexed, the newest first, and what changed in each.

    Under its former names, too, where it was renamed. FILE::NAME shows the versions in which a function, method or class
    changed. The text of lines that were taken out is known only if they had come in while the file was in the index.
    """
    from anam_py.crawler import history as versions_of  # noqa: PLC0415 - help need not wait for it

    location = find_store(store)
    path, separator, symbol = file.partition("::")
    key = location.key_of(Path(path)) + separator + typed(symbol)
    with open_store(location) as htm:
        versions = versions_of(htm, key)
        if not versions:
            raise not_indexed(htm, location, key)
        is_there = key in htm
    newest = versions[::-1][:limit]
    if as_json:
        shown_versions = [_fields(version, location) for version in newest]
        output.write_json({"file": typed(file), "store": str(location.store), "indexed": is_there, "versions": shown_versions})
        return
    if not is_there:
        click.echo(f"{visible(location.path_of(key))} is no longer in {location.shown}", err=True)
    for number, version in enumerate(newest):
        _write(version, location, is_first=number == len(versions) - 1)
    if len(versions) > limit:
        click.echo(f"{len(versions) - limit:,} earlier versions; -n says how many to show", err=True)


def _fields(version: "Version", location: Location) -> dict[str, Any]:
    former = version.metadata.get("renamed_from")
    return {
        "path": location.path_of(version.path),
        "version": version.version,
        "timestamp": version.timestamp,
        "renamed_from": None if former is None else location.path_of(former),
        "is_same": version.is_same,
        "line_count": version.metadata.get("line_count"),
        "content_hash": version.metadata.get("content_hash"),
        "diff_ops": version.diff_ops,
        "hunks": [hunk._asdict() for hunk in version.hunks],
    }


def _write(version: "Version", location: Location, *, is_first: bool) -> None:
    title = f"{visible(location.path_of(version.path))}  version {version.version}  {shown(version.timestamp)}"
    click.echo(f"{output.styled(title, bold=True)}  {_in_words(version, location, is_first=is_first)}")
    for hunk in version.hunks:
        for mark, line in _lines(hunk):
            shown_line = visible(line.removesuffix("\r"))
            click.echo(output.styled(f"{mark}{shown_line}", **_STYLES.get(mark, {})))
    click.echo()


def _in_words(version: "Version", location: Location, *, is_first: bool) -> str:
    lines = f"{version.metadata.get('line_count', 0):,} lines"
    former = version.metadata.get("renamed_from")
    if former is not None and not version.hunks:
        return f"renamed from {visible(location.path_of(former))}"
    if version.hunks:
        added = sum(len(hunk.added) for hunk in version.hunks)
        removed = sum(len(hunk.removed) for hunk in version.hunks)
        return f"{added:,} line{'' if added == 1 else 's'} in, {removed:,} out"
    if is_first:
        return f"{lines}, new" if version.version == 1 else f"{lines}, the earliest that is kept"
    return "stored anew, with the same text" if version.is_same else f"{lines}; what changed was not kept"


def _lines(hunk: "Hunk") -> list[tuple[str, str]]:
    """Return the lines of a unified diff, each with the mark that it begins with."""
    around = len(hunk.before) + len(hunk.after)
    ranges = [
        f"{sign}{start - (not count)},{count}"  # of no lines, after which
        for sign, start, count in (
            ("-", hunk.old_start, around + len(hunk.removed)),
            ("+", hunk.new_start, around + len(hunk.added)),
        )
    ]
    unknown = sum(line is None for line in hunk.removed)
    return [
        ("@", f"@ {' '.join(ranges)} @@"),
        *((" ", line) for line in hunk.before),
        *(("-", line) for line in hunk.removed if line is not None),
        *([("-", f"({unknown:,} line{'' if unknown == 1 else 's'} whose text was not kept)")] if unknown else []),
        *(("+", line) for line in hunk.added),
        *((" ", line) for line in hunk.after),
    ]
