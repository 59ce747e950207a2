"""The map of a code base: what is on it, and the page that shows it."""

from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anam_py.pictures.groups import by_folder, by_name
from anam_py.pictures.layout import arrange, kept, neighbours_of
from anam_py.pictures.page import escaped, page, part, shown_moment
from anam_py.pictures.surveying import Survey, when

__all__ = ["Colour", "map_content", "map_page"]

Colour: TypeAlias = Literal["folder", "language"]

_NEAREST_SHOWN: Final = 6
_DOC_CHARACTERS: Final = 200


def map_content(survey: Survey, name: str) -> dict[str, Any]:
    """Lay a code base out in the plane.

    Parameters
    ----------
    survey : Survey
        Its files.
    name : str
        What to call it.

    Returns
    -------
    dict
        What JSON can hold: name, root, embedder, indexed (when, as ISO 8601, or None), neighbours (how many nearest ones were
        sought of each file), kept (which share of them the map keeps), folders and languages (names of groups, the largest
        first), and files: a list of path, folder and language (numbers of groups), lines, doc, x and y (from -1 to 1, y upwards),
        resonance (with the mean field of all files), rank (0 for the file that is to have a label first: sources come before
        all else, then it is the resonance that counts), nearest (list of the number of a file and its cosine).
    """
    files = survey.files
    neighbours = neighbours_of(survey.vectors)
    places = arrange(survey.vectors, neighbours)
    folders = by_folder([file.path for file in files])
    languages = by_name([file.language for file in files], "other languages")
    order = sorted(range(len(files)), key=lambda i: (files[i].file_type != "source", -files[i].resonance, files[i].path))
    ranks = {index: rank for rank, index in enumerate(order)}
    nearest = _nearest(survey.vectors, neighbours)
    return {
        "name": name,
        "root": survey.root,
        "embedder": survey.embedder,
        "indexed": when(survey.changed),
        "kept": round(kept(places, neighbours), 3),
        "neighbours": neighbours.shape[1],
        "folders": folders.names,
        "languages": languages.names,
        "files": [
            {
                "path": file.path,
                "folder": folders.members[index],
                "language": languages.members[index],
                "lines": file.lines,
                "doc": _short(file.doc),
                "x": round(float(places[index, 0]), 4),
                "y": round(float(places[index, 1]), 4),
                "resonance": round(file.resonance, 4),
                "rank": ranks[index],
                "nearest": nearest[index],
            }
            for index, file in enumerate(files)
        ],
    }


def map_page(content: dict[str, Any], colour: Colour = "folder") -> str:
    """Make a page of a map.

    Parameters
    ----------
    content : dict
        As `map_content` returns it.
    colour : {"folder", "language"}
        What the colours say at first.

    Returns
    -------
    str
        HTML.
    """
    count = len(content["files"])
    lines = sum(file["lines"] for file in content["files"])
    body = part(
        "map.html",
        name=escaped(content["name"]),
        facts=f"{count:,} file{'' if count == 1 else 's'}, {lines:,} line{'' if lines == 1 else 's'}",
        kept=f"{10 * content['kept']:.1f}",
        by_folder="checked" if colour == "folder" else "",
        by_language="checked" if colour == "language" else "",
        embedder=escaped(content["embedder"] or "nothing"),
        indexed=shown_moment(content["indexed"]),
    )
    styles = part("base.css") + part("map.css")
    return page("map", f"{content['name']}: map", body, styles=styles, script=part("map.js"), data=content)


def _nearest(vectors: NDArray[np.float32], neighbours: NDArray[np.int64]) -> list[list[list[float]]]:
    """Return the numbers of the nearest few of each file, with their cosines."""
    shown = neighbours[:, :_NEAREST_SHOWN]
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    cosines = np.stack([np.einsum("ij,ij->i", units, units[column]) for column in shown.T], axis=1) if shown.size else shown
    return [
        [[number, round(cosine, 3)] for number, cosine in zip(*row, strict=True)]
        for row in zip(shown.tolist(), cosines.tolist(), strict=True)
    ]


def _short(doc: str) -> str:
    return doc if len(doc) <= _DOC_CHARACTERS else f"{doc[:_DOC_CHARACTERS].rstrip()}…"
