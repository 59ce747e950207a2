"""Index every file of this interpreter's standard library and search it: what `make demo` shows.

Run it twice: the second time nothing is indexed anew. The store stays under ``build/demo``.
"""

import json
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path

STORE = Path("build/demo/stdlib.anam")
TOP = 3

# What to search for, and the file that anyone would call the right answer.
SEARCHES = {
    "parse command line arguments": "argparse.py",
    "compress data with gzip": "gzip.py",
    "read and write csv files": "csv.py",
}


def anam(*arguments: str) -> str:
    """Run the `anam` command in this environment and return what it writes to standard output."""
    command = [str(Path(sys.executable).with_name("anam")), *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def show(*arguments: str) -> None:
    """Print a command as one would type it, run it, and print its output."""
    print("\n$ " + shlex.join(["anam", *arguments]), flush=True)
    print(anam(*arguments), end="")


def rank_of(name: str, words: str) -> int | None:
    """Return where a file stands among the hits, counted from 1."""
    hits = json.loads(anam("search", words, "--store", str(STORE), "--limit", str(TOP), "--json"))["hits"]
    return next((rank for rank, hit in enumerate(hits, 1) if Path(hit["path"]).name == name), None)


def main() -> int:
    """Run the demonstration and return the exit status: 0 if every search has its right answer near the top."""
    library = sysconfig.get_path("stdlib")
    STORE.parent.mkdir(parents=True, exist_ok=True)
    show("index", library, "--store", str(STORE), "--exclude", "site-packages", "--exclude", "__pycache__")
    for words in SEARCHES:
        show("search", words, "--store", str(STORE), "--limit", str(TOP))

    print("\nThe answers anyone would expect, and where they came:")
    ranks = {words: rank_of(expected, words) for words, expected in SEARCHES.items()}
    for words, rank in ranks.items():
        print(f"  {words:30s} {SEARCHES[words]:12s} {f'number {rank}' if rank else f'not among the first {TOP}'}")
    print(f"\nThe store is {STORE.resolve()}; try: {shlex.join(['anam', 'search', 'open a url', '--store', str(STORE)])}")
    return 0 if all(ranks.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
