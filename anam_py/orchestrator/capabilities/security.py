"""What is dangerous in files, which tool read which of them, and which no tool read: security_check."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from anam_py.crawler import find_violations, has_rules
from anam_py.orchestrator.capabilities import bandit
from anam_py.orchestrator.capabilities.files import Source, read_files, until_cancelled
from anam_py.orchestrator.capabilities.findings import Findings

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context

__all__ = ["check_security", "security_check"]


def security_check(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Look for what is dangerous: in Python by bandit's rules as ruff has them, in JavaScript and TypeScript by rules of our own.

    Parameters
    ----------
    task : mapping
        "files": paths, relative to the working folder.
    context : Context

    Returns
    -------
    dict
        passed: False for a finding of high severity that nobody has acknowledged, or a file that was only read in part; None if
        no file could be checked. checked: of each file read the path, the tool with its version, and incomplete, what kept it
        from reading all of the file, or None. not_checked: path and language of the others. findings: file, line, column, rule,
        message, severity, acknowledged (a ``noqa`` comment at the place names it; it is shown, and does not decide), the worst
        first; left_out, how many more there are; counts by severity; by_file.

    Raises
    ------
    IncompleteError
        If files could not be read.
    ValidationError
        If a field of the task is not of its type.
    OrchestratorError
        If ruff cannot be run.
    """
    files = read_files(task, context)
    return files.complete(check_security(files.sources, task, context))


def check_security(sources: Sequence[Source], task: Mapping[str, Any], context: "Context") -> dict[str, Any]:  # noqa: ARG001 - as checks are called
    """Do what `security_check` does, on sources."""
    findings = Findings()
    python = [source for source in sources if source.language == "python"]
    script = [source for source in sources if has_rules(source.analysis.grammar)]
    checked = [*_check_python(python, findings, context), *_check_script(script, findings, context)]
    read = {each["path"] for each in checked}
    unread = [{"path": source.path, "language": source.language} for source in sources if source.path not in read]
    passed = not findings.decisive and all(each["incomplete"] is None for each in checked)
    return {"passed": passed if checked else None, "checked": checked, "not_checked": unread, **findings.told()}


def _check_python(sources: Sequence[Source], findings: Findings, context: "Context") -> list[dict[str, Any]]:
    if not sources:
        return []
    tool = bandit.tool()
    incomplete: dict[str, str] = {}
    for said in bandit.run_ruff(sources, context):
        if said.code is None:
            incomplete.setdefault(said.source.path, f"syntax error in line {said.line}: {said.message}")
            continue
        findings.add(
            {
                "file": said.source.path,
                "line": said.line,
                "column": said.column,
                "rule": said.code,
                "message": said.message,
                "severity": said.severity,
                "acknowledged": said.acknowledged,
            }
        )
    return [{"path": source.path, "tool": tool, "incomplete": incomplete.get(source.path)} for source in sources]


def _check_script(sources: Sequence[Source], findings: Findings, context: "Context") -> list[dict[str, Any]]:
    tool = f"anam_py {version('anam_py')}, rules of syntax"
    checked = []
    for source in until_cancelled(context, sources):
        found = find_violations(source.analysis.text, source.analysis.grammar)
        for violation in found.violations:
            findings.add({"file": source.path, **violation._asdict(), "acknowledged": False})
        incomplete = None if found.is_complete else "syntax errors, or too large to be read as a whole"
        checked.append({"path": source.path, "tool": tool, "incomplete": incomplete})
    return checked
