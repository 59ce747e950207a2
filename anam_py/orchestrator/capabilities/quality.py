"""What makes files hard to read and to change, measured against thresholds: quality_analysis."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from anam_py._validation import check_count, describe
from anam_py.exceptions import ValidationError
from anam_py.orchestrator.capabilities.duplicates import find_duplicates
from anam_py.orchestrator.capabilities.files import Source, read_files, until_cancelled
from anam_py.orchestrator.capabilities.findings import Finding, Findings
from anam_py.orchestrator.capabilities.tokens import Tokens, tokens_of

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context

__all__ = ["THRESHOLDS", "assess_quality", "quality_analysis"]


class Threshold(NamedTuple):
    """Above which value a measure is a finding of medium severity, and above which one of high severity.

    Attributes
    ----------
    warn, fail : int
    """

    warn: int
    fail: int


THRESHOLDS = {
    "complexity": Threshold(10, 20),
    "function_lines": Threshold(80, 200),
    "parameters": Threshold(8, 15),
    "nesting": Threshold(5, 8),
    "file_lines": Threshold(1000, 3000),
    "duplicated_tokens": Threshold(80, 400),
}
_MAX_THRESHOLD = 1_000_000_000
_FILE_TYPES = ("source", "test", "config")
# Strings, of which a signature may end in the middle, and arrows, whose head is no bracket.
_NO_PARAMETER = re.compile(r"\"[^\"]*+\"?|'[^']*+'?|`[^`]*+`?|[=-]>")


def quality_analysis(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Look for functions and files that are too large, too complex, too deep, and for code that is there twice.

    Parameters
    ----------
    task : mapping
        "files": paths, relative to the working folder. "thresholds" in the place of the usual ones: a dict of a measure
        (complexity, function_lines, parameters, nesting, file_lines, duplicated_tokens) to a pair: above the first it is a
        finding of medium severity, above the second one of high severity.
    context : Context

    Returns
    -------
    dict
        passed: whether no finding is of high severity; None if there was no code. checked: the files with code. thresholds.
        findings: file, line, column, rule (the measure), value, message, severity, the worst first; left_out, how many more
        there are; counts by severity; by_file. undocumented: of each file how many public definitions have no documentation.

    Raises
    ------
    IncompleteError
        If files could not be read.
    ValidationError
        If a field of the task is not of its type.
    """
    files = read_files(task, context)
    return files.complete(assess_quality(files.sources, task, context))


def assess_quality(sources: Sequence[Source], task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Do what `quality_analysis` does, on sources."""
    thresholds = _thresholds(task.get("thresholds", {}))
    code = [source for source in sources if source.analysis.metadata["file_type"] in _FILE_TYPES]
    findings = Findings()
    tokens = []
    for source in until_cancelled(context, code):
        tokens.append(tokens_of(source.analysis.text, source.language))
        for finding in _measured(source, tokens[-1], thresholds):
            findings.add(finding)
    for finding in _duplicated(code, tokens, thresholds["duplicated_tokens"]):
        findings.add(finding)
    return {
        "passed": not findings.decisive if code else None,
        "checked": [source.path for source in code],
        "thresholds": {name: list(threshold) for name, threshold in thresholds.items()},
        **findings.told(),
        "undocumented": {source.path: _undocumented(source) for source in code},
    }


def _measured(source: Source, tokens: Tokens, thresholds: Mapping[str, Threshold]) -> Iterator[Finding]:
    """Give what is too large in a file."""
    lines = source.analysis.metadata["line_count"]
    measured = [(1, "file_lines", lines, f"the file has {lines:,} lines")]
    for _, symbol in source.analysis.symbols:
        if symbol.complexity:
            length = symbol.end_line - symbol.start_line + 1
            parameters = _parameters(symbol.signature)
            inside = tokens.depths[symbol.start_line + 1 : symbol.end_line + 1].max(initial=0)
            nesting = int(inside - tokens.depths[symbol.start_line]) - 1
            name = f"{symbol.kind} {symbol.name}"
            measured += [
                (
                    symbol.start_line,
                    "complexity",
                    symbol.complexity,
                    f"{name} has a cyclomatic complexity of {symbol.complexity:,}",
                ),
                (symbol.start_line, "function_lines", length, f"{name} has {length:,} lines"),
                (symbol.start_line, "parameters", parameters, f"{name} has {parameters:,} parameters"),
                (symbol.start_line, "nesting", nesting, f"{name} has {nesting:,} blocks inside each other"),
            ]
    for line, measure, value, message in measured:
        if value > thresholds[measure].warn:
            yield _finding(source, line, measure, value, message, thresholds[measure])


def _duplicated(code: Sequence[Source], tokens: Sequence[Tokens], threshold: Threshold) -> Iterator[Finding]:
    """Give the passages that have occurred before, each at its second place."""
    for first, again, length in find_duplicates([each.values for each in tokens], threshold.warn + 1):
        (there, *lines_there), (here, *lines) = (_lines(code, tokens, place, length) for place in (first, again))
        place = f"{there.path}:{lines_there[0]}-{lines_there[1]}"
        message = f"lines {lines[0]}-{lines[1]} are the same {length:,} tokens as {place}"
        other = {"file": there.path, "line": lines_there[0], "end_line": lines_there[1]}
        yield {
            **_finding(here, lines[0], "duplicated_tokens", length, message, threshold),
            "end_line": lines[1],
            "duplicate_of": other,
        }


def _lines(code: Sequence[Source], tokens: Sequence[Tokens], place: tuple[int, int], length: int) -> tuple[Source, int, int]:
    text, start = place
    return code[text], int(tokens[text].lines[start]), int(tokens[text].last_lines[start + length - 1])


def _finding(source: Source, line: int, measure: str, value: int, message: str, threshold: Threshold) -> Finding:
    severity, limit = ("high", threshold.fail) if value > threshold.fail else ("medium", threshold.warn)
    return {
        "file": source.path,
        "line": line,
        "column": 1,
        "rule": measure,
        "value": value,
        "message": f"{message}, the limit is {limit:,}",
        "severity": severity,
    }


def _parameters(signature: str) -> int:
    """Return how many parameters a signature has, without the object that a method is called on."""
    depth = 0
    parts = [""]
    for character in _NO_PARAMETER.sub("", signature).partition("(")[2]:
        depth += (character in "([{<") - (character in ")]}>")
        if depth < 0:
            break
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    names = [part.split(":")[0].strip() for part in parts]
    if names[0] in ("self", "cls", "this"):
        del names[0]
    return sum(name not in ("", "*", "/") for name in names)


def _undocumented(source: Source) -> int:
    return sum(not symbol.doc and _is_public(symbol.name) for _, symbol in source.analysis.symbols)


def _is_public(name: str) -> bool:
    return not any(part.startswith(("_", "#")) for part in name.split("."))


def _thresholds(given: object) -> dict[str, Threshold]:
    if not isinstance(given, Mapping):
        raise ValidationError(f'task["thresholds"] must be a dict of a measure to a pair of numbers, got {describe(given)}')
    thresholds = dict(THRESHOLDS)
    for name, pair in given.items():
        field = f'task["thresholds"][{name!r}]'
        if name not in THRESHOLDS:
            raise ValidationError(f"{field} is no measure; there are: {', '.join(THRESHOLDS)}")
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise ValidationError(f"{field} must be two integers, the second one not below the first, got {describe(pair)}")
        warn = check_count(pair[0], f"{field}[0]", 1, _MAX_THRESHOLD)
        thresholds[name] = Threshold(warn, check_count(pair[1], f"{field}[1]", warn, _MAX_THRESHOLD))
    return thresholds
