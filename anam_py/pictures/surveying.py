"""What the pictures are made of: every indexed file with its vector, read from a store page by page."""

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py import _core
from anam_py.config import current
from anam_py.store import File, HTMCore, Ledger

__all__ = ["IndexedFile", "Survey", "survey", "when"]

_AT_ONCE = 1_000
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")


class IndexedFile(NamedTuple):
    """A file, and what its entry says of it.

    Attributes
    ----------
    key : str
    path : str
        The key below the root of the survey.
    language, file_type : str
    lines, code_lines, size : int
    functions : int
        How many functions and methods are in it.
    complexity : int
        Their cyclomatic complexities together; that of the most complex one is `max_complexity`.
    max_complexity : int
    doc : str
        What it says of itself.
    version : int
        How often it was stored.
    resonance : float
        With the mean field of all files: how central it is.
    """

    key: str
    path: str
    language: str
    file_type: str
    lines: int
    code_lines: int
    size: int
    functions: int
    complexity: int
    max_complexity: int
    doc: str
    version: int
    resonance: float


@dataclass(frozen=True)
class Survey:
    """The indexed files of a store.

    Attributes
    ----------
    root : str
        Path of the folder that all files are in, with a slash at the end; empty where keys are relative.
    files : list of IndexedFile
        By path.
    vectors : float32 ndarray of shape (n, D)
        Those of `files`.
    others : list of File
        What the ledger knows of the files that have no vector: those without a word, and those that were skipped.
    embedder : str or None
        Name of what made the vectors.
    changed : float or None
        When a file was last stored, in seconds since 1970.
    """

    root: str
    files: list[IndexedFile]
    vectors: NDArray[np.float32]
    others: list[File]
    embedder: str | None
    changed: float | None


def survey(htm: HTMCore) -> Survey:
    """Read what a store knows of its files.

    The centrality of a file is its resonance with the mean field of the files, the normalised mean of their unit vectors, by the
    formula of `HTMCore.calculate_resonance`. It is what `HTMCore.query_by_resonance` asks for, with one vote for every file,
    whatever number of functions it has.

    Parameters
    ----------
    htm : HTMCore
        The store.

    Returns
    -------
    Survey
        What there is while nobody writes; of a store that is being written, files may be of different moments.

    Raises
    ------
    HTMError
        If the store cannot be read.
    """
    ledger = Ledger(htm)
    rows = ledger.files()
    keys = sorted(key for key, row in rows.items() if row.outcome == "indexed")
    root = _common_folder(keys)
    files: list[IndexedFile] = []
    vectors = np.empty((len(keys), htm.dimension), np.float32)
    changed: float | None = None
    for start in range(0, len(keys), _AT_ONCE):
        for record in htm.get_embeddings(keys[start : start + _AT_ONCE]):
            if record is not None and record["metadata"].get("kind") == "file":
                vectors[len(files)] = record["embedding"]["values"]
                files.append(_file(record, root))
                changed = max(changed or 0.0, record["embedding"]["timestamp"])
    vectors = vectors[: len(files)]
    others = sorted((row for row in rows.values() if row.outcome != "indexed"), key=lambda row: row.path)
    resonances = _resonances(vectors)
    files = [file._replace(resonance=value) for file, value in zip(files, resonances, strict=True)]
    return Survey(root, files, vectors, others, ledger.embedder, changed)


def when(seconds: float | None) -> str | None:
    """Return a moment as ISO 8601, in UTC, to the second."""
    return None if seconds is None else dt.datetime.fromtimestamp(int(seconds), dt.UTC).isoformat()


def _file(record: dict[str, Any], root: str) -> IndexedFile:
    metadata = record["metadata"]
    functions = len(metadata["functions"])
    return IndexedFile(
        key=record["key"],
        path=record["key"].removeprefix(root),
        language=metadata["language"],
        file_type=metadata["file_type"],
        lines=metadata["line_count"],
        code_lines=metadata["code_lines"],
        size=metadata["size_bytes"],
        functions=functions,
        complexity=round(metadata["complexity_score"] * functions),
        max_complexity=metadata["max_complexity"],
        doc=metadata["doc"],
        version=record["version"],
        resonance=0.0,
    )


def _common_folder(keys: Sequence[str]) -> str:
    """Return the folder that all files are in, if their keys are absolute paths."""
    if not keys or not all(map(_ABSOLUTE.match, keys)):
        return ""
    folders = [key.split("/")[:-1] for key in keys]
    shared = takewhile(lambda pair: pair[0] == pair[1], zip(min(folders), max(folders), strict=False))
    return "".join(f"{name}/" for name, _ in shared)


def _resonances(vectors: NDArray[np.float32]) -> list[float]:
    if not len(vectors):
        return []
    field = _core.mean_field([_core.Rows(vectors, _core.norms(vectors))], threads=current().thread_pool_size)
    if not field.any():  # the vectors cancel out: nothing is more central than anything else
        return [0.0] * len(vectors)
    resonances: list[float] = _core.resonance(_core.scores(vectors, field)).tolist()
    return resonances
