"""From the bytes of a file to what is known of it: its text, its metadata and its symbols."""

import hashlib
import os
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

from anam_py.crawler.chunks import Chunk, blocks, windows
from anam_py.crawler.languages import FileType, Language, file_type_of, language_of
from anam_py.crawler.parse import Symbol, Syntax, parse
from anam_py.crawler.paths import symbol_key, written
from anam_py.crawler.reading import Content, Unindexable, decode, read
from anam_py.crawler.report import Reason, masked_note
from anam_py.exceptions import CrawlerError

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_LINE_BYTES",
    "Analysis",
    "analyse",
    "analyse_file",
    "content_hash",
    "content_of",
    "holds_secrets",
]

MAX_FILE_BYTES = 1024 * 1024
MAX_LINE_BYTES = 20_000
_MAX_IMPORTS = 500


class Analysis(NamedTuple):
    """What is known of a file.

    Attributes
    ----------
    text : str
        With asterisks for the values in it that look like secrets.
    metadata : dict
        What its entry says of it.
    symbols : tuple of (str, Symbol)
        Its definitions, each with the key it is stored under.
    chunks : tuple of (str, Chunk)
        Likewise what else of it is found by itself.
    grammar : str
        By which it was read; empty if there is none for its language.
    """

    text: str
    metadata: dict[str, Any]
    symbols: tuple[tuple[str, Symbol], ...]
    chunks: tuple[tuple[str, Chunk], ...]
    grammar: str


def content_hash(data: bytes) -> str:
    """Return what tells one content from another."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def analyse_file(path: Path, max_file_bytes: int = MAX_FILE_BYTES, max_line_bytes: int = MAX_LINE_BYTES) -> tuple[str, Analysis]:
    """Find out what there is to know of a file by itself, without a crawl.

    Parameters
    ----------
    path : Path
    max_file_bytes, max_line_bytes : int
        As for `CodeBaseCrawler`.

    Returns
    -------
    str
        The key that a crawl of the current folder would store it under.
    Analysis

    Raises
    ------
    CrawlerError
        If it is no file, or not one that a crawl would take in.
    """
    if not path.exists():
        raise CrawlerError(f"there is no file {str(path)!r}")
    if path.is_dir():
        raise CrawlerError(f"{str(path)!r} is a directory: call crawl_directory() for the files in it")
    key = written(os.path.normpath(path))
    try:
        content = content_of(str(path.resolve()), path.name, max_file_bytes)
        return key, analyse(content.data, content.status.st_mtime, key, _below_here(path), max_line_bytes)
    except Unindexable as error:
        raise CrawlerError(f"{str(path)!r} cannot be taken in: {error}") from None


def content_of(place: str, name: str, max_file_bytes: int) -> Content:
    """Read a file.

    Parameters
    ----------
    place : str
        Where it is.
    name : str
        What it is called, maybe with the folders that it is in.
    max_file_bytes : int

    Returns
    -------
    Content

    Raises
    ------
    Unindexable
        If it cannot be read, is no text by its first bytes, or is a secret by its name.
    """
    from anam_py.crawler import secrets  # noqa: PLC0415 - a search does not need it

    if kind := secrets.kind_by_name(name):
        raise Unindexable(Reason.SECRET, kind)
    return read(place, max_file_bytes)


def _below_here(path: Path) -> str:
    """Return what a file's path says of the part it plays: where the code base lies says nothing."""
    absolute = path.absolute()
    return written(str(absolute.relative_to(Path.cwd()))) if absolute.is_relative_to(Path.cwd()) else written(path.name)


def analyse(data: bytes, mtime: float, key: str, relative: str, max_line_bytes: int) -> Analysis:
    """Find out what there is to know of a file.

    Parameters
    ----------
    data : bytes
        What is in it.
    mtime : float
        When it was last written, in Unix seconds.
    key : str
        The key it is stored under.
    relative : str
        Its path relative to the root of the crawl: what the root is called does not make a file a test.
    max_line_bytes : int

    Returns
    -------
    Analysis

    Raises
    ------
    Unindexable
        If it has too long a line, or is a secret by what is in it.
    """
    from anam_py.crawler import secrets  # noqa: PLC0415 - a search does not need it

    text, encoding, broken = decode(data, max_line_bytes)
    language = language_of(relative, text)
    if not language.grammar and (kind := secrets.kind_by_text(relative, text)):
        raise Unindexable(Reason.SECRET, kind)
    text, masked = secrets.masked(text, language)
    syntax = parse(text, language.grammar) if language.grammar else Syntax()
    file_type = file_type_of(relative, language, text)
    lines = text.split("\n")
    cut, chunks = _chunks(lines, language, file_type, syntax)
    line_count = len(lines) - (not lines[-1])
    blank = sum(not line.strip() for line in lines[:line_count])
    comments = syntax.comment_lines if language.grammar else _comment_lines(lines, language)
    notes = [*syntax.notes, *([f"invalid {encoding}, decoded with replacement"] if broken else [])]
    if masked:
        notes.append(masked_note(masked))
    metadata: dict[str, Any] = {
        "kind": "file",
        "language": language.name,
        "file_type": str(file_type),
        "size_bytes": len(data),
        "line_count": line_count,
        "blank_lines": blank,
        "comment_lines": comments,
        "code_lines": max(line_count - blank - comments, 0),
        **_complexity(syntax.symbols),
        "functions": [symbol.name for symbol in syntax.symbols if symbol.kind in ("function", "method")],
        "classes": [symbol.name for symbol in syntax.symbols if symbol.kind == "class"],
        "symbols": [
            {"name": symbol.name, "kind": symbol.kind, "start_line": symbol.start_line, "end_line": symbol.end_line}
            for symbol in syntax.symbols
        ],
        "chunks": cut,
        "dependencies": list(syntax.imports[:_MAX_IMPORTS]),
        "doc": syntax.doc,
        "encoding": encoding,
        "content_hash": content_hash(data),
        "mtime": mtime,
        "masked_values": masked,
        "notes": notes,
    }
    keys = _keys(key, [*(symbol.name for symbol in syntax.symbols), *(f"<{chunk.name}>" for chunk in chunks)])
    count = len(syntax.symbols)
    return Analysis(
        text,
        metadata,
        tuple(zip(keys[:count], syntax.symbols, strict=True)),
        tuple(zip(keys[count:], chunks, strict=True)),
        language.grammar,
    )


def holds_secrets(path: str, text: str) -> bool:
    """Tell whether a text that was taken in from a path has values in it that would be masked now."""
    from anam_py.crawler import secrets  # noqa: PLC0415 - a search does not need it

    return secrets.masked(text, language_of(path, text))[1] > 0


def _comment_lines(lines: list[str], language: Language) -> int:
    return sum(line.lstrip().startswith(language.comment) for line in lines) if language.comment else 0


def _complexity(symbols: tuple[Symbol, ...]) -> dict[str, float | int]:
    complexities = [symbol.complexity for symbol in symbols if symbol.complexity]
    mean = sum(complexities) / len(complexities) if complexities else 0.0
    return {"complexity_score": mean, "max_complexity": max(complexities, default=0)}


def _chunks(lines: list[str], language: Language, file_type: FileType, syntax: Syntax) -> tuple[str, list[Chunk]]:
    """Return by what a file is cut, and its pieces: of data and of what is generated there are none."""
    if file_type in (FileType.DATA, FileType.GENERATED):
        return "none", []
    return ("syntax", blocks(lines, syntax)) if syntax.parsed else ("windows", windows(lines, language))


def _keys(key: str, names: list[str]) -> list[str]:
    seen: Counter[str] = Counter()
    keys = []
    for name in names:
        seen[name] += 1
        keys.append(symbol_key(key, name, seen[name]))
    return keys
