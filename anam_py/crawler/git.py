"""What git knows of a folder: which files there are that it does not ignore."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["Listing", "list_files", "top_of"]

# A listing reads the whole tree once; whatever takes longer than this hangs.
_TIMEOUT_SECONDS = 300
_CHUNK = 1 << 20

# A repository's own configuration may name programs to run (a file system monitor) and hide a repository in a folder of
# someone else's; reading a listing needs neither.
_SAFELY = ("-c", "core.fsmonitor=false", "-c", "safe.bareRepository=explicit", "-c", "core.quotePath=false")

_UNREADABLE = re.compile(rb"warning: could not open directory '(.*?)/?': (.*)")


class Listing(NamedTuple):
    """What ``git ls-files`` said.

    Attributes
    ----------
    problem : str
        Why there is no listing; empty if there is one.
    output : file object or None
        The paths, relative to the folder, each ended by a NUL.
    unreadable : tuple of (str, str)
        Folders that git could not open, with the system's message.
    """

    problem: str
    output: IO[bytes] | None = None
    unreadable: tuple[tuple[str, str], ...] = ()

    def paths(self) -> Iterator[str]:
        """Read the paths, each once, in constant memory."""
        if self.output is None:
            return
        previous = rest = b""
        with self.output as output:
            while chunk := output.read(_CHUNK):
                *whole, rest = (rest + chunk).split(b"\0")
                for path in whole:
                    if path != previous:  # an unmerged file is listed once a side
                        yield os.fsdecode(path)
                    previous = path


def top_of(folder: Path) -> Path | None:
    """Return the nearest folder, from `folder` upwards, that holds a ``.git``; None if there is none."""
    return next((place for place in (folder, *folder.parents) if os.path.lexists(place / ".git")), None)


def list_files(folder: Path, top: Path) -> Listing:
    """Ask git for the files below a folder that are tracked, or neither tracked nor ignored.

    Parameters
    ----------
    folder : Path
    top : Path
        Where its repository's ``.git`` is.

    Returns
    -------
    Listing
        With a problem if git is not installed, refuses (as it does in a repository of another user), fails, or ignores
        the folder itself, which has then been named in spite of that.
    """
    program = shutil.which("git")
    if program is None:
        return Listing("git is not installed")
    if folder != top and _run(program, top, "check-ignore", "-q", "--", str(folder.relative_to(top))) == (0, b""):
        return Listing("git ignores the folder itself")
    output = tempfile.TemporaryFile()  # noqa: SIM115 - the Listing closes it
    status, errors = _run(program, folder, "ls-files", "-co", "--exclude-standard", "-z", output=output)
    if status != 0:
        output.close()
        return Listing(f"git failed: {errors.decode(errors='replace').strip().partition(chr(10))[0] or status}")
    output.seek(0)
    above = "".join(f"{part}/" for part in folder.relative_to(top).parts)
    unreadable = tuple(
        (os.fsdecode(found[1]).removeprefix(above), found[2].decode(errors="replace")) for found in _UNREADABLE.finditer(errors)
    )
    return Listing("", output, unreadable)


def _run(program: str, folder: Path, *arguments: str, output: IO[bytes] | None = None) -> tuple[int, bytes]:
    """Run git in a folder, unaffected by the caller's environment, and return its exit status and error messages."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    try:
        done = subprocess.run(  # noqa: S603 - the program is git, the arguments are ours
            [program, *_SAFELY, *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return -1, str(error).encode()
    return done.returncode, done.stderr
