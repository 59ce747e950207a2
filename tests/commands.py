"""Runs the `anam` command, in this process or in one of its own."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click.testing

from anam_py.cli import anam

# The environment in which Python takes words that are not ASCII for bytes that it does not know.
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


class Result:
    """What a command wrote and how it ended."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def json(self) -> Any:
        """Standard output, parsed."""
        return json.loads(self.out)

    @property
    def paths(self) -> list[str]:
        """The paths of the hits in the JSON output."""
        return [hit["path"] for hit in self.json["hits"]]


def run(*arguments: str) -> Result:
    """Run the command in this process."""
    result = click.testing.CliRunner().invoke(anam, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Result(result.exit_code, result.stdout, result.stderr)


def start(*arguments: str, **options: Any) -> "subprocess.Popen[str]":
    """Start the command as a process of its own."""
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    environment = {**os.environ, **options.pop("environment", {})}
    if sys.platform != "win32":  # whatever started the tests may have had it ignored, and children inherit that
        options.setdefault("preexec_fn", lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    return subprocess.Popen([sys.executable, "-m", "anam_py", *arguments], text=True, env=environment, **options)


def write_files(folder: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
