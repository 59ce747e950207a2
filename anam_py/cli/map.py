"""``anam map``: the code base as a map, in one HTML file."""

from pathlib import Path
from typing import Literal, TypeAlias, get_args

import click

from anam_py.cli.location import json_option, store_option
from anam_py.cli.pages import deliver, force_option, open_option, output_option

__all__ = ["map_"]

FILE = "anam-map.html"

Colour: TypeAlias = Literal["folder", "language"]  # the pictures'


@click.command("map")
@output_option(FILE)
@click.option(
    "--colour",
    type=click.Choice(get_args(Colour)),
    default="folder",
    show_default=True,
    help="What colours say at first; the page can change it.",
)
@open_option
@force_option
@store_option
@json_option
def map_(target: Path | None, colour: Colour, store: Path | None, *, open_it: bool, force: bool, as_json: bool) -> None:
    """Draw the indexed files as a map: what is alike lies close together.

    The map is one HTML file that works offline and loads nothing. It is not written over a file that is something else.
    """
    from anam_py.pictures import map_content, map_page  # noqa: PLC0415 - help need not wait for NumPy

    deliver(
        "drawing",
        FILE,
        lambda _, survey, name: map_content(survey, name),
        lambda content: map_page(content, colour),
        store=store,
        target=target,
        force=force,
        open_it=open_it,
        as_json=as_json,
    )
