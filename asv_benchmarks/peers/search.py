"""Exact and approximate searches beside each other: the same rows, the same queries, the same threads, in one run.

::

    python asv_benchmarks/peers/search.py [--rows 10000 100000 1000000] [--data clustered code] [--only NumPy anam_py]
        [--markdown FILE] [--json FILE] [--plot FILE.svg]
    python asv_benchmarks/peers/search.py --from FILE.json --plot FILE.svg

`make peers` installs the peers first; one that is not installed is left out. Each is measured in a process of its own, where it
waits for its turn; figures are medians of all rounds. Above 500,000 rows only the exact ones and hnswlib are measured, on the
first of the data sets. What takes minutes to make, data sets and graphs, is kept in a folder for the next run.

Rows and queries are float32 of length 1, so that inner products are cosines. Recall is the share of the ten best rows by
products in double precision that was found; in single precision a row may be taken for another that is as near within 1e-7.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import platform
import statistics
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bandwidth import Bandwidth
from child import K
from indexes import HnswLib, NumPy
from library import present
from plot import plot
from rounds import Result, measured
from search_data import DIMENSION, NAMES, QUERIES, DataSet
from searchers import SEARCHERS
from stores import Anam
from tables import Line, markdown, text

if TYPE_CHECKING:
    from searcher import Searcher

# Above this, memory and patience are too short for all.
LARGE = 500_000
# A batch that takes longer is cut short, and single queries stop.
SECONDS = 3.0


def arguments() -> argparse.Namespace:
    """Return what was asked for."""
    columns = [searcher.column for searcher in SEARCHERS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--data", nargs="+", choices=NAMES, default=NAMES)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=columns, default=columns, metavar="NAME", help=", ".join(columns))
    parser.add_argument("--folder", type=Path, default=Path("build/peers"), help="where to keep data and what is built")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables in Markdown too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="draw recall and speed")
    parser.add_argument("--from", type=Path, metavar="FILE", dest="source", help="measure nothing, show what --json has written")
    return parser.parse_args()


def machine(searchers: list[type[Searcher]]) -> str:
    """Return what the figures depend on."""
    cpu = next((line.partition(": ")[2] for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line), "")
    versions = dict.fromkeys(version for searcher in searchers for version in searcher.versions())
    return f"{cpu}, {os.cpu_count()} CPUs; {platform.platform()}; Python {platform.python_version()}; {', '.join(versions)}"


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, and return all of it in a form that JSON has."""
    wanted = [searcher for searcher in SEARCHERS if searcher.column in options.only or searcher is NumPy]
    searchers = present(wanted)
    options.folder.mkdir(parents=True, exist_ok=True)
    bandwidth = Bandwidth(options.folder)
    found: dict[str, Any] = {
        "machine": machine(searchers),
        "rounds": options.rounds,
        "threads": options.threads,
        "notes": {searcher.column: " ".join((inspect.getdoc(searcher) or "").split()) for searcher in searchers},
        "results": [],
        "sets": [],
    }
    for rows in options.rows:
        for name in options.data[: 1 if rows > LARGE else None]:
            data = DataSet.made(name, rows, options.folder)
            taking_part = [s for s in searchers if s.exact or s is HnswLib] if rows > LARGE else searchers
            results, speeds = measured(
                data,
                taking_part,
                options.folder,
                rounds=options.rounds,
                threads=options.threads,
                seconds=SECONDS,
                bandwidth=bandwidth,
            )
            found["results"] += map(asdict, results)
            found["sets"].append({"data": name, "rows": rows, "found": len(data.vectors), "bandwidth": speeds})
            if options.json:  # after each, as the next may take an hour
                options.json.write_text(json.dumps(found))
    return found


def report(found: dict[str, Any], form: Any) -> str:
    """Return the tables, in a form, with what is to be known of them."""
    results = [Result(**result) for result in found["results"]]
    explained = f"ms: one query; q/s: queries a second in batches of {QUERIES}; in brackets: speed as a multiple of NumPy's"
    pieces = [found["machine"], explained]
    for made in found["sets"]:
        own = [r for r in results if (r.data, r.rows) == (made["data"], made["rows"]) and r.usual]
        few = f", no more being there of {made['rows']:,}" if made["found"] < made["rows"] else ""
        title = f"{made['data']}: {made['found']:,} x {DIMENSION}{few}, k = {K}, medians of {found['rounds']} rounds"
        pieces += [f"### {title}" if form is markdown else title, form(*table(own, found["threads"]))]
        pieces += [limit(made, own, count) for count in found["threads"] if made["bandwidth"]]
    notes = [f"{column}: {note}" for column, note in found["notes"].items()]
    return "\n\n".join(pieces) + "\n\n" + ("\n\n" if form is markdown else "\n").join(notes)


def table(results: list[Result], threads: list[int]) -> tuple[list[str], list[Line]]:
    """Return columns and lines, the exact ones first; in brackets how many times as fast as NumPy in the same rounds."""
    yardsticks = {result.group: result for result in results if result.column == NumPy.column}
    once: dict[str, Result] = {}
    for result in results:  # of NumPy's, those of the first group
        once.setdefault(result.column, result)
    lines = []
    for result in sorted(once.values(), key=lambda result: not result.exact):
        numpy = yardsticks[result.group]
        figures = {"exact": "yes" if result.exact else "no", "recall": f"{result.recall:.3f}"}
        for count in threads:
            ours = result.milliseconds(count)
            figures[f"{named(count)}, ms"] = with_ratio(ours, numpy.milliseconds(count) / ours)
        for count in threads:
            rate = result.rate(count)
            figures[f"batch, {named(count)}, q/s"] = with_ratio(rate, rate / numpy.rate(count))
        figures["built in s"] = figure(result.built)
        lines.append(Line(result.column, figures))
    return list(lines[0].figures), lines


def limit(made: dict[str, Any], results: list[Result], threads: int) -> str:
    """Return how close anam_py comes to what reading a byte of each number once takes."""
    speed = statistics.median(made["bandwidth"][str(threads)])
    codes = made["found"] * DIMENSION
    least = codes / speed / 1e6
    ours = next((result for result in results if result.column == Anam.column), None)
    reached = f", {least / ours.milliseconds(threads):.0%} of which anam_py reaches" if ours else ""
    queries = f"{figure(1e3 / least)} queries a second{reached}"
    return f"{named(threads)}: {speed:.1f} GB/s from memory, enough to read {codes / 1e6:.1f} MB, a byte a number, for {queries}"


def named(threads: int) -> str:
    """Return a number of threads in words."""
    return f"{threads} thread{'s' if threads > 1 else ''}"


def figure(value: float) -> str:
    """Return three digits of a figure, or all that it has before the point."""
    return f"{value:,.{0 if value >= 100 else 1 if value >= 10 else 2 if value >= 1 else 3}f}"


def with_ratio(value: float, ratio: float) -> str:
    """Return a figure, and a multiple beside it."""
    return f"{figure(value)} ({ratio:.{0 if ratio >= 100 else 1 if ratio >= 10 else 2}f}x)"


def main() -> None:
    """Measure, or read what was measured, and show it."""
    options = arguments()
    found = json.loads(options.source.read_text()) if options.source else run(options)
    print(report(found, text))
    if options.markdown:
        options.markdown.write_text(report(found, markdown) + "\n")
    if options.plot:
        plot([Result(**result) for result in found["results"]], found, options.plot)


if __name__ == "__main__":
    main()
