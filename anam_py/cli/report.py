"""``anam report``: what there is to tell of a code base, in one HTML file."""

from pathlib import Path

import click

from anam_py.cli.location import json_option, store_option
from anam_py.cli.pages import deliver, force_option, open_option, output_option

__all__ = ["report"]

FILE = "anam-report.html"


@click.command()
@output_option(FILE)
@open_option
@force_option
@store_option
@json_option
def report(target: Path | None, store: Path | None, *, open_it: bool, force: bool, as_json: bool) -> None:
    """Write a report on the indexed code.

    Languages, sizes, complexity, hot spots, near-duplicates, the most central files, and what was skipped and why. The report is
    one HTML file that works offline and loads nothing. It is not written over a file that is something else.
    """
    from anam_py.pictures import report_content, report_page  # noqa: PLC0415 - help need not wait for NumPy

    deliver(
        "reporting",
        FILE,
        report_content,
        report_page,
        store=store,
        target=target,
        force=force,
        open_it=open_it,
        as_json=as_json,
    )
