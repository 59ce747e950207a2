"""The store beside its peers and beside plain files: the same work on the same disk, in one run.

::

    python asv_benchmarks/peers/store.py [--rows 100000] [--folder .] [--quick] [--markdown] [--only bulk anam_py Chroma]

`make peers` installs the peers first; one that is not installed is left out. Figures are medians of several rounds, in which the
contenders take turns in changing order. Single puts go to new stores. Each may use as many threads as it likes. Files that a
process opens lie in the operating system's cache. Notes below the table say how each store was set up, and what it syncs.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from contenders import CONTENDERS
from data import DIMENSION, metadata, rows_and_queries
from library import present
from measures import MEASURES, Bench
from tables import Line, markdown, text

QUERIES = 20


def main() -> None:
    """Measure and print."""
    names = list(dict.fromkeys(contender.column for contender in CONTENDERS))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the bulk insertion")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(), help="where to write: the disk that is measured")
    parser.add_argument("--quick", action="store_true", help="small figures, to see that all of it runs")
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--only", nargs="+", choices=[*MEASURES, *names], default=[], metavar="NAME", help="measures, columns")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.rounds = min(options.rows, 2_000), 1

    measures = [MEASURES[name] for name in MEASURES if name in options.only] or list(MEASURES.values())
    wanted = [name for name in names if name in options.only] or names
    contenders = present([contender for contender in CONTENDERS if contender.column in wanted])
    if not contenders:
        sys.exit("nothing is left to measure")
    versions = dict.fromkeys(version for contender in contenders for version in contender.versions())
    print(f"Python {platform.python_version()}, {platform.platform()}, {os.cpu_count()} CPUs; {', '.join(versions)}")
    print(f"{options.rows:,} x {DIMENSION} float32, metadata of {len(json.dumps(metadata(options.rows)))} bytes", end="; ")
    print(f"medians of {options.rounds} rounds", flush=True)

    rows, queries = rows_and_queries(options.rows, QUERIES)
    lines: list[Line] = []
    with tempfile.TemporaryDirectory(dir=options.folder, prefix="anam-peers-") as name:
        bench = Bench(Path(name), contenders, rows, queries, options.rounds, 0.1 if options.quick else 1)
        for measure in measures:
            start = time.perf_counter()
            lines += measure(bench)
            print(f"  {measure.__name__}: {time.perf_counter() - start:,.0f} s", file=sys.stderr, flush=True)
    columns = list(dict.fromkeys(contender.column for contender in contenders))
    print("\n" + (markdown if options.markdown else text)(columns, lines))
    for contender in contenders:
        print(f"\n{contender.column}: {inspect.getdoc(contender)}")


if __name__ == "__main__":
    main()
