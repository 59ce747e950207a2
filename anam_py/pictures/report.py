"""What there is to tell of a code base: languages, sizes, complexity, hot spots, near-duplicates, central and skipped files."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from anam_py.pictures.duplicates import THRESHOLD, Alike, Entries, alike, read_entries
from anam_py.pictures.surveying import IndexedFile, Survey, when
from anam_py.store import File, HTMCore

__all__ = ["report_content"]

_SHOWN: Final = 20
_SKIPPED_SHOWN: Final = 500
_LEAST_LINES: Final = 8
_LEAST_FILE_LINES: Final = 20
_LINE_BANDS: Final = (1, 101, 301, 1_001, 3_001)
_COMPLEXITY_BANDS: Final = (1, 6, 11, 21, 51)
_FUNCTIONS: Final = {"kind": {"$in": ["function", "method"]}, "file_type": "source"}
_FILES: Final = {"kind": "file", "file_type": "source"}


def report_content(htm: HTMCore, survey: Survey, name: str) -> dict[str, Any]:
    """Gather what the report tells.

    Complexity, hot spots, duplicates and central files are those of sources: tests, generated files, documents, settings and
    data are left out.

    Parameters
    ----------
    htm : HTMCore
        The store.
    survey : Survey
        Its files.
    name : str
        What to call it.

    Returns
    -------
    dict
        What JSON can hold: name, root, embedder, indexed (when, as ISO 8601, or None), files, lines, functions; languages,
        sizes, complexity, hot_spots, duplicates, central and skipped, which docs/reference/cli.md describes.

    Raises
    ------
    HTMError
        If the store cannot be read.
    """
    sources = [file for file in survey.files if file.file_type == "source"]
    functions = read_entries(htm, _FUNCTIONS, "complexity", 1)
    return {
        "name": name,
        "root": survey.root,
        "embedder": survey.embedder,
        "indexed": when(survey.changed),
        "files": len(survey.files),
        "lines": sum(file.lines for file in survey.files),
        "functions": sum(file.functions for file in survey.files),
        "languages": _languages(survey.files),
        "sizes": _sizes(survey.files),
        "complexity": _complexity(htm, functions, survey.root),
        "hot_spots": _hot_spots(htm, sources),
        "duplicates": {
            "threshold": THRESHOLD,
            "functions": _duplicates(htm, functions, _LEAST_LINES, survey.root),
            "files": _duplicates(htm, read_entries(htm, _FILES, "code_lines", _LEAST_FILE_LINES), _LEAST_FILE_LINES, survey.root),
        },
        "central": _central(sources),
        "skipped": _skipped(survey.others, survey.root),
    }


def _languages(files: Sequence[IndexedFile]) -> list[dict[str, Any]]:
    counts, lines = Counter[str](), Counter[str]()
    for file in files:
        counts[file.language] += 1
        lines[file.language] += file.lines
    total = max(lines.total(), 1)
    ordered = sorted(counts, key=lambda language: (-lines[language], language))
    return [
        {"language": language, "files": counts[language], "lines": lines[language], "share": round(lines[language] / total, 4)}
        for language in ordered
    ]


def _sizes(files: Sequence[IndexedFile]) -> dict[str, Any]:
    largest = sorted(files, key=lambda file: (-file.lines, file.path))[:_SHOWN]
    return {
        "bands": _bands(_LINE_BANDS, lambda least, most: sum(least <= max(file.lines, 1) <= most for file in files), "files"),
        "largest": [{"path": file.path, "language": file.language, "lines": file.lines, "bytes": file.size} for file in largest],
    }


def _complexity(htm: HTMCore, functions: Entries, root: str) -> dict[str, Any]:
    most = sorted(functions.records, key=lambda record: (-record["metadata"]["complexity"], record["key"]))[:_SHOWN]
    return {
        "bands": _bands(
            _COMPLEXITY_BANDS,
            lambda least, most: htm.count({**_FUNCTIONS, "complexity": {"$gte": least, "$lte": most}}),
            "functions",
        ),
        "functions": [{**_place(record, root), "complexity": record["metadata"]["complexity"]} for record in most],
    }


def _bands(starts: Sequence[int], count: Callable[[int, int], int], what: str) -> list[dict[str, Any]]:
    """Return how many there are from each start to the next; the last band has no end."""
    ends = [*(start - 1 for start in starts[1:]), None]
    return [
        {"least": start, "most": end, what: count(start, 2**53 if end is None else end)}
        for start, end in zip(starts, ends, strict=True)
    ]


def _place(record: dict[str, Any], root: str) -> dict[str, Any]:
    """Return where a function or a file is."""
    metadata = record["metadata"]
    if metadata["kind"] == "file":
        return {"path": record["key"].removeprefix(root), "line": 1, "name": None, "lines": metadata["line_count"]}
    lines = metadata["end_line"] - metadata["start_line"] + 1
    return {"path": metadata["path"].removeprefix(root), "line": metadata["start_line"], "name": metadata["name"], "lines": lines}


def _hot_spots(htm: HTMCore, sources: Sequence[IndexedFile]) -> dict[str, Any]:
    """Weigh the complexity of files by their recorded changes, or, where none are recorded, by their size."""
    changes = {file.key: _changes(htm, file) for file in sources if file.complexity and file.version > 1}
    by_changes = any(changes.values())
    scored = [
        (file.complexity * (changes.get(file.key, 0) if by_changes else file.code_lines), file)
        for file in sources
        if file.complexity
    ]
    scored.sort(key=lambda each: (-each[0], each[1].path))
    return {
        "by": "changes" if by_changes else "size",
        "files": [
            {
                "path": file.path,
                "complexity": file.complexity,
                "changes": changes.get(file.key, 0),
                "lines": file.lines,
                "code_lines": file.code_lines,
                "score": score,
            }
            for score, file in scored[:_SHOWN]
            if score
        ],
    }


def _changes(htm: HTMCore, file: IndexedFile) -> int:
    """Return how many changes of a file are recorded; that it was embedded anew is none."""
    return sum(bool(version["diff_ops"]) for version in htm.history(file.key))


def _duplicates(htm: HTMCore, entries: Entries, least_lines: int, root: str) -> dict[str, Any]:
    groups = alike(htm, entries, least_lines)
    return {
        "least": entries.least,
        "least_lines": least_lines,
        "found": len(groups),
        "groups": [_group(group, root) for group in groups[:_SHOWN]],
    }


def _group(group: Alike, root: str) -> dict[str, Any]:
    members = [_place(member, root) for member in group.members]
    return {"lines": group.lines, "cosine": round(group.cosine, 3), "identical": group.identical, "members": members}


def _central(sources: Sequence[IndexedFile]) -> list[dict[str, Any]]:
    ordered = sorted(sources, key=lambda file: (-file.resonance, file.path))[:_SHOWN]
    return [{"path": file.path, "resonance": round(file.resonance, 4), "lines": file.lines, "doc": file.doc} for file in ordered]


def _skipped(others: Sequence[File], root: str) -> dict[str, Any]:
    skipped = [(row.path.removeprefix(root), *row.reason.partition(": ")[::2]) for row in others if row.outcome == "skipped"]
    return {
        "reasons": dict(Counter(reason for _, reason, _ in skipped).most_common()),
        "files": [{"path": path, "reason": reason, "detail": detail} for path, reason, detail in skipped[:_SKIPPED_SHOWN]],
        "empty": sum(row.outcome == "empty" for row in others),
    }
