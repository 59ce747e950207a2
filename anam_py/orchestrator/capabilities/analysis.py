"""What a reviewer wants to know of files before reading them: code_analysis and ast_parsing."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anam_py.orchestrator.capabilities.files import Source, read_files
from anam_py.orchestrator.capabilities.quality import assess_quality
from anam_py.orchestrator.capabilities.security import check_security

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context

__all__ = ["ast_parsing", "code_analysis"]

_TOLD = (
    "language", "file_type", "size_bytes", "line_count", "code_lines", "complexity_score", "max_complexity", "functions",
    "classes", "dependencies", "doc", "content_hash", "notes",
)  # fmt: skip
_CHECKS = {"security_check": check_security, "quality_analysis": assess_quality}


def code_analysis(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Tell of each file what the crawler finds out, and check it as far as that is required.

    Parameters
    ----------
    task : mapping
        "files": paths, relative to the working folder. What the checks take, too.
    context : Context
        Of its requirements "security_check" and "quality_analysis" are met.

    Returns
    -------
    dict
        files: of each its path and metadata as `CodeBaseCrawler` gives them; totals; and what the checks say, by name.

    Raises
    ------
    IncompleteError
        If files could not be read.
    ValidationError
        If a field of the task is not of its type.
    OrchestratorError
        If a check cannot be made.
    """
    files = read_files(task, context)
    output: dict[str, Any] = {"files": [_described(source) for source in files.sources], "totals": _totals(files.sources)}
    for name, check in _CHECKS.items():
        if name in context.requirements:
            output[name] = check(files.sources, task, context)
    return files.complete(output)


def ast_parsing(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Tell what each file defines and imports.

    Parameters
    ----------
    task : mapping
        "files": paths, relative to the working folder.
    context : Context

    Returns
    -------
    dict
        files: of each path, language, definitions (kind, qualified name, start_line, end_line, signature, doc, complexity),
        imports, and notes on what keeps that from being all.

    Raises
    ------
    IncompleteError
        If files could not be read.
    ValidationError
        If a field of the task is not of its type.
    """
    files = read_files(task, context)
    return files.complete({"files": [_parsed(source) for source in files.sources]})


def _described(source: Source) -> dict[str, Any]:
    return {"path": source.path, **{name: source.analysis.metadata[name] for name in _TOLD}}


def _totals(sources: list[Source]) -> dict[str, Any]:
    metadata = [source.analysis.metadata for source in sources]
    return {
        "files": len(metadata),
        "languages": dict(Counter(each["language"] for each in metadata)),
        "line_count": sum(each["line_count"] for each in metadata),
        "code_lines": sum(each["code_lines"] for each in metadata),
        "functions": sum(len(each["functions"]) for each in metadata),
        "classes": sum(len(each["classes"]) for each in metadata),
        "max_complexity": max((each["max_complexity"] for each in metadata), default=0),
    }


def _parsed(source: Source) -> dict[str, Any]:
    metadata, grammar = source.analysis.metadata, source.analysis.grammar
    return {
        "path": source.path,
        "language": source.language,
        "definitions": [
            {
                "kind": symbol.kind,
                "name": symbol.name,
                "start_line": symbol.start_line,
                "end_line": symbol.end_line,
                "signature": symbol.signature,
                "doc": symbol.doc,
                "complexity": symbol.complexity,
            }
            for _, symbol in source.analysis.symbols
        ],
        "imports": metadata["dependencies"],
        "notes": metadata["notes"] if grammar else [*metadata["notes"], f"not parsed: no grammar for {source.language}"],
    }
