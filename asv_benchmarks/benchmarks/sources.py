"""Embeddings of a real code base: the functions and classes of the Python at hand, by the built-in embedder.

How many there are, and which, depends on the Python and on what is installed beside it; their order does not change.
"""

from __future__ import annotations

import ast
import sysconfig
import tokenize
import warnings
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from anam_py.embedding import default_embedder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

# Texts that are embedded at once.
PIECE = 2_000
# Of what is taken, this much may be vectors that are there already, and empty ones.
SPARE = 1.2
QUERY_DOC = 40  # letters of documentation that make a question

T = TypeVar("T")
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


class Source(NamedTuple):
    """A function or a class: its documentation, and its text below its name; of a class only what precedes its methods."""

    doc: str
    text: str


def folders(*, installed: bool = True) -> list[Path]:
    """Return where sources lie: the standard library, and what is installed beside it."""
    return [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")[: 1 + installed]]


def paths(folder: Path) -> list[Path]:
    """Return the modules below a folder, in order; those of packages that lie inside the standard library are none of its."""
    found = (path.relative_to(folder) for path in folder.rglob("*.py"))
    return [folder / path for path in sorted(found) if not {"site-packages", "dist-packages"} & set(path.parts)]


def sources(modules: Iterable[Path]) -> Iterator[Source]:
    """Yield the functions and classes of modules, each text once."""
    seen = set()
    for path in modules:
        for source in definitions(path):
            if source.text not in seen:
                seen.add(source.text)
                yield source


def definitions(path: Path) -> Iterator[Source]:
    """Yield the functions and classes of a module; none of one that this Python cannot read."""
    try:
        with tokenize.open(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of invalid escapes, and the like
            text = file.read()
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return
    lines = text.split("\n")
    for node in ast.walk(tree):
        if isinstance(node, Definition):
            body = "\n".join(lines[node.lineno - 1 : last_line(node)])
            doc = ast.get_docstring(node) or ""
            yield Source(doc, f"{path.stem}\n{node.name}\n{doc}\n{body}")


def last_line(node: Definition) -> int:
    """Return the last line of a function; of a class the one before its first method, which is found by itself."""
    inner = (child.lineno - 1 for child in node.body if isinstance(child, Definition))
    return next(inner, node.end_lineno or node.lineno) if isinstance(node, ast.ClassDef) else node.end_lineno or node.lineno


def vectors_and_queries(found: list[Source], count: int, queries: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return as many vectors as there are up to a number, none twice, and queries: documented functions that are left out.

    Of the queries every other is the documentation alone, as somebody would ask; the others are whole functions.
    """
    found = evenly(found, int(SPARE * count) + queries)
    documented = [i for i, source in enumerate(found) if len(source.doc) >= QUERY_DOC]
    held_out = evenly(documented, queries)
    asked = embedded([found[i].text if n % 2 else found[i].doc for n, i in enumerate(held_out)])
    left_out = set(held_out)
    vectors = embedded([source.text for i, source in enumerate(found) if i not in left_out])
    _, first = np.unique(vectors, axis=0, return_index=True)
    rows = [row for row in np.sort(first).tolist() if vectors[row].any()]
    return vectors[evenly(rows, count)], asked


def evenly(items: list[T], count: int) -> list[T]:
    """Return so many of some items, in their order, from beginning to end."""
    return [items[i * len(items) // count] for i in range(count)] if len(items) > count else items


def embedded(texts: list[str]) -> NDArray[np.float32]:
    """Return the vectors of texts."""
    embedder = default_embedder()
    return np.concatenate([embedder.embed(texts[i : i + PIECE]) for i in range(0, len(texts), PIECE)])


def code(count: int, queries: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return vectors and queries out of the first modules of the standard library that have enough of them."""
    modules = (path for folder in folders(installed=False) for path in paths(folder))
    return vectors_and_queries(list(islice(sources(modules), int(SPARE * count) + queries)), count, queries)
