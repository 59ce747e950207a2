"""What a review found, as text: a table of the files, the findings, and what each check says."""

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import click

from anam_py.cli.rows import visible

__all__ = ["not_passed", "write"]

COLUMNS = ("file", "language", "lines", "complexity", "findings")
MAX_FINDINGS = 200
SEVERITIES = ("high", "medium", "low")
CHECKS = ("security_check", "quality_analysis")

_Finding: TypeAlias = tuple[str, str, str, str]


def not_passed(result: Mapping[str, Any]) -> list[str]:
    """Return the names of what failed or did not pass.

    Parameters
    ----------
    result : mapping
        As `MultiAgentOrchestrator.coordinate_task` returns it.

    Returns
    -------
    list of str
    """
    refused = [name for name, outcome in _outcomes(result["results"]).items() if outcome.get("passed") is False]
    return [*dict.fromkeys([*refused, *result["errors"], *result["unmet"]])]


def write(result: Mapping[str, Any]) -> None:
    """Show what came of a review to a person.

    Parameters
    ----------
    result : mapping
        As `MultiAgentOrchestrator.coordinate_task` returns it.
    """
    outcomes = _outcomes(result["results"])
    findings, more = _findings(outcomes)
    files = _files(result["results"], outcomes)
    if files and sys.stdout.isatty():
        from anam_py.cli import review_table  # noqa: PLC0415 - a pipe need not wait for rich

        review_table.print_review(COLUMNS, files, findings)
    elif files:
        _write_plainly(files, findings)
    if more:
        click.echo(f"And {more:,} findings more; --json has up to 1,000 of each check.\n")
    for name, outcome in outcomes.items():
        click.echo(f"{name}: {visible('; '.join(_said(name, outcome)))}")
    for name, error in result["errors"].items():
        click.echo(f"{name}: {visible(error['message'])}", err=True)


def _outcomes(results: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return what each capability says; what code_analysis has to say of the checks stands by itself."""
    inside = {name: results["code_analysis"][name] for name in CHECKS if name in results.get("code_analysis", ())}
    return {name: outcome for name, outcome in {**inside, **results}.items() if name != "code_analysis"}


def _findings(outcomes: Mapping[str, Mapping[str, Any]]) -> tuple[list[_Finding], int]:
    """Return place, severity, rule and message of the findings to show, the worst first, and how many more there are."""
    checks = [outcomes[name] for name in CHECKS if name in outcomes]
    found = [finding for check in checks for finding in check["findings"]]
    found.sort(key=lambda finding: (SEVERITIES.index(finding["severity"]), finding["file"], finding["line"]))
    total = len(found) + sum(check["left_out"] for check in checks)
    shown = [(_place(each), each["severity"], each["rule"], _message(each)) for each in found[:MAX_FINDINGS]]
    return shown, max(0, total - MAX_FINDINGS)


def _place(finding: Mapping[str, Any]) -> str:
    """Return where something was found, as compilers write it."""
    return f"{visible(finding['file'])}:{finding['line']}:{finding['column']}"


def _message(finding: Mapping[str, Any]) -> str:
    return visible(finding["message"]) + (" (acknowledged there by noqa)" if finding.get("acknowledged") else "")


def _files(results: Mapping[str, Any], outcomes: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    counts = Counter[str]()
    for name in CHECKS:
        counts.update(outcomes.get(name, {}).get("by_file", {}))
    return [
        (
            visible(file["path"]),
            file["language"],
            f"{file['line_count']:,}",
            f"{file['complexity_score']:.1f}, at most {file['max_complexity']:,}" if file["max_complexity"] else "-",
            f"{counts[file['path']]:,}",
        )
        for file in results.get("code_analysis", {}).get("files", ())
    ]


def _write_plainly(files: Sequence[tuple[str, ...]], findings: Sequence[_Finding]) -> None:
    rows = [COLUMNS, *files]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(map(str.ljust, row, widths)).rstrip())
    click.echo()
    for place, severity, rule, message in findings:
        click.echo(f"{place}: {severity} {rule}: {message}")
    if findings:
        click.echo()


def _said(name: str, outcome: Mapping[str, Any]) -> Iterator[str]:
    """Give what a capability says, in few words."""
    if "passed" in outcome:
        yield {True: "passed", False: "not passed", None: "nothing to check"}[outcome["passed"]]
    if "counts" in outcome:
        yield ", ".join(f"{count:,} {severity}" for severity, count in outcome["counts"].items() if count) or "no findings"
    if name == "security_check":
        yield from _said_of_tools(outcome)
    elif name == "nam_validation" and outcome["axioms"]:
        yield f"resonance {outcome['overall_resonance']:.2f}, tension {outcome['overall_tension']:.2f}"
        yield ", ".join(outcome["axioms"])
        yield f"recommended for {outcome['recommended_for']!r}"
    elif name == "ethical_checking":
        strains = outcome.get("description", {}).get("strains", ())
        yield from (f"{strain['axiom_id']} is strained, with tension {strain['tension']:.2f}" for strain in strains)
    elif name == "ast_parsing":
        yield f"{sum(len(file['definitions']) for file in outcome['files']):,} definitions"
    elif name == "embedding_generation":
        yield f"{len(outcome['vectors']):,} vectors of {outcome['dimension']} numbers"
    elif name == "similarity_search":
        yield from _said_of_neighbours(outcome)


def _said_of_tools(outcome: Mapping[str, Any]) -> Iterator[str]:
    for tool, count in Counter(each["tool"] for each in outcome["checked"]).items():
        yield f"{count:,} read by {tool}"
    yield from (f"{each['path']} only in part: {each['incomplete']}" for each in outcome["checked"] if each["incomplete"])
    if outcome["not_checked"]:
        unread = ", ".join(f"{each['path']} ({each['language']})" for each in outcome["not_checked"])
        yield f"no tool for {unread}"


def _said_of_neighbours(outcome: Mapping[str, Any]) -> Iterator[str]:
    if outcome["note"]:
        yield outcome["note"]
    for each in outcome["neighbours"]:
        near = ", ".join(f"{hit['key']} {hit['score']:.2f}" for hit in each["nearest"])
        yield f"{each['source']} is like {near or 'nothing'}"
