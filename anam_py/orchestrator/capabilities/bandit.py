"""Bandit's rules as ruff has them, on Python sources, in a process of its own.

The sources are written to a temporary folder under numbers, as the text that was analysed. So neither the names of the files
nor the encodings they declare matter, and nothing in the reviewed project can configure ruff, hide a file from it or take its
place on the module path.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from anam_py.exceptions import OrchestratorError
from anam_py.orchestrator.capabilities.files import Source, until_cancelled

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context

__all__ = ["Diagnostic", "run_ruff", "tool"]

_SECONDS = 60.0
_POLL_SECONDS = 0.05
# What ruff says of a source may be some sixty times as long.
_MAX_BATCH_BYTES = 2 * 1024 * 1024
_MAX_BATCH = 500
_HOW_TO_INSTALL = 'install it with: pip install "ruff>=0.9"'
_OPTIONS = (
    "check", "--isolated", "--no-cache", "--no-respect-gitignore", "--ignore-noqa", "--select", "S", "--target-version", "py313",
    "--output-format", "json-lines", "--exit-zero", "--quiet",
)  # fmt: skip

# Bandit's own severities (bandit.readthedocs.io, "severity" of each test); only running a text as code counts for more.
_SEVERITIES = {
    "high": "S102 S201 S202 S304 S307 S312 S321 S324 S401 S402 S411 S412 S413 S415 S501 S502 S505 S507 S602 S605 S609 S701",
    "low": "S101 S105 S106 S107 S110 S112 S311 S403 S404 S405 S406 S407 S408 S409 S504 S603 S606 S607",
}
_SEVERITY_OF = {code: severity for severity, codes in _SEVERITIES.items() for code in codes.split()}
_SEEMS_SAFE = "seems safe"
_CODE = re.compile(r"S[0-9]+")
_NOQA = re.compile(r"#\s*noqa(?:\s*:\s*(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*)|(?!\s*:))", re.IGNORECASE)
_LINE_END = re.compile(r"\r\n?|\n")


class Diagnostic(NamedTuple):
    """What ruff says.

    Attributes
    ----------
    source : Source
    code : str or None
        None for a syntax error.
    message, severity : str
    line, column : int
    acknowledged : bool
        Whether a ``noqa`` comment at the place says that somebody knows.
    """

    source: Source
    code: str | None
    message: str
    severity: str
    line: int
    column: int
    acknowledged: bool


def tool() -> str:
    """Return what runs, with its version.

    Raises
    ------
    OrchestratorError
        If ruff is not installed.
    """
    try:
        return f"ruff {version('ruff')}, bandit's rules"
    except PackageNotFoundError:
        raise OrchestratorError(f"security_check reads Python with ruff, which is not installed; {_HOW_TO_INSTALL}") from None


def run_ruff(sources: Sequence[Source], context: "Context") -> Iterator[Diagnostic]:
    """Let ruff read sources.

    Parameters
    ----------
    sources : sequence of Source
        In Python.
    context : Context
        Ruff is killed when the handler is asked to stop.

    Yields
    ------
    Diagnostic

    Raises
    ------
    OrchestratorError
        If it cannot be run, fails, takes more than a minute for a batch of files, or is cancelled.
    """
    for batch in until_cancelled(context, _batches(sources)):
        with tempfile.TemporaryDirectory(prefix="anam-ruff-") as folder:
            for number, source in enumerate(batch):
                suffix = ".pyi" if source.path.endswith(".pyi") else ".py"
                Path(folder, f"{number}{suffix}").write_bytes(source.analysis.text.encode("utf-8"))
            answer = Path(folder, "answer")
            _call(folder, answer, context)
            split: dict[int, list[str]] = {}
            with answer.open(encoding="utf-8") as answers:
                yield from (_diagnostic(json.loads(said), batch, split) for said in answers)


def _batches(sources: Sequence[Source]) -> Iterator[list[Source]]:
    batch: list[Source] = []
    size = 0
    for source in sources:
        length = source.analysis.metadata["size_bytes"]
        if batch and (size + length > _MAX_BATCH_BYTES or len(batch) == _MAX_BATCH):
            yield batch
            batch, size = [], 0
        batch.append(source)
        size += length
    if batch:
        yield batch


def _call(folder: str, answer: Path, context: "Context") -> None:
    """Run ruff in a folder, and put its answer into a file."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RUFF_")}
    command = [sys.executable, "-P", "-m", "ruff", *_OPTIONS, "--config", "exclude = []", "."]
    with answer.open("wb") as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(  # noqa: S603 - the interpreter that runs this, and constants
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err
            )
        except OSError as error:
            raise OrchestratorError(f"ruff cannot be run by {sys.executable!r}: {error}; {_HOW_TO_INSTALL}") from error
        with process:
            try:
                _wait(process, context)
            finally:
                process.kill()
        if process.returncode:
            err.seek(0)
            said = err.read(2000).decode("utf-8", "replace").strip() or f"exit status {process.returncode}"
            raise OrchestratorError(f"ruff cannot be run by {sys.executable!r}: {said}; {_HOW_TO_INSTALL}")


def _wait(process: "subprocess.Popen[bytes]", context: "Context") -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            if context.cancelled.is_set():
                raise OrchestratorError(f"{context.capability} was stopped while ruff was running") from None
            if time.monotonic() > deadline:
                raise OrchestratorError(f"ruff took longer than {_SECONDS:g} s; give the files in several tasks") from None
        else:
            return


def _diagnostic(said: dict[str, Any], batch: Sequence[Source], lines: dict[int, list[str]]) -> Diagnostic:
    number = int(Path(said["filename"]).stem)
    code = said["code"] if _CODE.fullmatch(said["code"] or "") else None
    message, place = said["message"], said["location"]
    severity = "low" if _SEEMS_SAFE in message else _SEVERITY_OF.get(code or "", "medium")
    if code and number not in lines:
        lines[number] = _LINE_END.split(batch[number].analysis.text)
    acknowledged = code is not None and _is_acknowledged(lines[number][(said["noqa_row"] or place["row"]) - 1], code)
    return Diagnostic(batch[number], code, message, severity, place["row"], place["column"], acknowledged)


def _is_acknowledged(line: str, code: str) -> bool:
    comment = _NOQA.search(line)
    return comment is not None and (not comment["codes"] or code in re.split(r"[,\s]+", comment["codes"].upper()))
