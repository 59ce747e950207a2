"""The command itself: its groups, and what it does about errors and interruptions."""

import os
import sys
import traceback
from typing import Any

import click

from anam_py import __version__
from anam_py.cli.audit import audit
from anam_py.cli.axioms import axioms
from anam_py.cli.exchange import export, import_
from anam_py.cli.history import history
from anam_py.cli.index import index
from anam_py.cli.map import map_
from anam_py.cli.report import report
from anam_py.cli.review import review
from anam_py.cli.rows import visible
from anam_py.cli.search import explain, search, similar
from anam_py.cli.stats import stats
from anam_py.cli.status import status
from anam_py.cli.upkeep import backup, compact, repair, verify
from anam_py.cli.watch import watch
from anam_py.exceptions import AnamError

__all__ = ["anam", "main"]

ERROR = 2
RESUMED = ("index", "compact", "import", "repair")  # what they did before they were interrupted is done
_COMMANDS = {
    "AuditLog.restart()": "anam audit restart",
    "HTMCore.repair(path)": "anam repair",
    "run verify()": "run anam verify",
    ", or open the store with read_only=True": "",
    ", or open it with allow_partial=True to search the rest": "",
}
INTERRUPTED = 130  # what a shell reports for a program that SIGINT ended


class _Group(click.Group):
    """A group whose commands end with one line and a status, not with a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (AnamError, OSError, ImportError) as error:  # of an extra that is not installed
            if isinstance(error, BrokenPipeError):  # the reader of our output has seen enough
                raise
            self._show_traceback(ctx)
            click.echo(f"anam: {visible(_for_shells(str(error)))}", err=True)
            ctx.exit(ERROR)
        except KeyboardInterrupt:
            self._show_traceback(ctx)
            again = "; run the same command again to go on from here" if ctx.invoked_subcommand in RESUMED else ""
            click.echo(f"anam: interrupted{again}", err=True)
            ctx.exit(INTERRUPTED)

    @staticmethod
    def _show_traceback(ctx: click.Context) -> None:
        if ctx.params.get("debug"):
            click.echo(traceback.format_exc(), err=True)


def _for_shells(message: str) -> str:
    """Return a message with the commands that do what it advises in Python."""
    for python, command in _COMMANDS.items():
        message = message.replace(python, command)
    return message


@click.group(
    cls=_Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 when done, or when there are hits; 1 when a search has no hits, an index is not up to date, a "
    "verification finds problems, or a review or an axiom does not pass; 2 for an error; 130 when interrupted.",
)
@click.version_option(__version__, prog_name="anam", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def anam(debug: bool) -> None:  # noqa: FBT001 - click passes options by name; the group's error handling reads it
    """Search code by what it means and by the words it uses, on this machine, with no server."""


_COMMANDS_BY_USE = (
    *(index, watch, status, search, similar, explain, history, map_, report),
    *(stats, verify, repair, backup, compact, export, import_),
    *(review, axioms, audit),
)
for command in _COMMANDS_BY_USE:
    anam.add_command(command)


def main() -> None:
    """Run the command with the arguments of this process, and exit."""
    # What was started with a closed stream gets one that leads nowhere, so that no file of the store takes its place.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115 - until the process ends
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a character that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="replace")
    anam(prog_name="anam")
