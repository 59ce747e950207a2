"""A store that another process has open, asked from here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Self

_SCRIPT = """
import json, os, sys
import numpy as np
from anam_py.store import HTMCore
from stores import contents, names
htm = None
for line in sys.stdin:
    try:
        reply = {"value": eval(json.loads(line))}
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
"""


class RemoteError(Exception):
    """What the other process raised."""


class Remote:
    """Another process with a store open as `htm`.

    Parameters
    ----------
    path : pathlib.Path
        The store.
    **arguments
        Of its HTMCore.
    """

    def __init__(self, path: Path, **arguments: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])},
        )
        self.pid = self._process.pid
        self.opening = f"globals().update(htm=HTMCore({str(path)!r}, **{arguments!r}))"

    def __enter__(self) -> Self:
        try:
            self(self.opening)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __call__(self, expression: str) -> Any:
        """Return the value of a Python expression there, as JSON has it; raises RemoteError with what it raised."""
        self._process.stdin.write(json.dumps(expression) + "\n")
        reply = json.loads(self._process.stdout.readline())
        if "error" in reply:
            raise RemoteError(reply["error"])
        return reply["value"]

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.wait()
