"""Draw the README's picture: a search as a terminal shows it.

::

    anam index .
    python scripts/picture.py docs/images/search.svg "keep a store locked while a process writes it"
"""

import os
import pty
import shlex
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

COLUMNS, LINES = 110, 40


def seen_on_a_terminal(command: list[str]) -> str:
    """Return what a command writes to a terminal, escape sequences included."""
    written = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65_536)
        written.extend(data)
        return data

    os.environ |= {"COLUMNS": str(COLUMNS), "LINES": str(LINES), "TERM": "xterm-256color"}
    pty.spawn(command, read)
    return written.decode().replace("\r\n", "\n")


def main() -> None:
    """Run the search and write the picture."""
    target, words = sys.argv[1:]
    anam = Path(sys.executable).with_name("anam")
    shown = seen_on_a_terminal([str(anam), "search", words, "--limit", "3"])
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere)
        console.print(Text(f"$ anam search {shlex.quote(words)} --limit 3", "bold"))
        console.print(Text.from_ansi(shown.rstrip()))
    Path(target).parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(target, title="anam")


if __name__ == "__main__":
    main()
