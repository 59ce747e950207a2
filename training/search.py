"""Measure what `anam search` finds in held-out packages: docstrings ask for the functions that they were taken from.

python training/search.py --split test
"""

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
from evaluate import FOLDER, held_out
from extract import Item
from pairs import first_sentence

from anam_py import CodeBaseCrawler, HTMCore
from anam_py.crawler.ranking import Mode

N_QUERIES = 400


def main() -> None:
    """Print NDCG@10 of each mode."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--split", choices=("validate", "test"), default="test")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for what is downloaded and extracted")
    arguments = parser.parse_args()
    items = held_out(arguments.folder, arguments.split)
    with TemporaryDirectory() as folder, HTMCore(Path(folder) / "store", durability="normal") as htm:
        code = Path(folder) / "code"
        write(items, code)
        crawler = CodeBaseCrawler(htm, symbols=True)
        crawler.index(code)
        asked = questions(items)
        for mode in get_args(Mode):
            ranks = [rank(crawler, query, code / item.path, item.name, mode) for query, item in asked]
            print(f"{mode:10s} {np.mean([1 / np.log2(1 + place) if place else 0 for place in ranks]):.3f}", flush=True)


def write(items: Sequence[Item], folder: Path) -> None:
    """Write the files without their documentation."""
    for item in items:
        if item.kind == "file":
            path = folder / item.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(item.code, encoding="utf-8", errors="replace")


def questions(items: Sequence[Item]) -> list[tuple[str, Item]]:
    """Return first sentences of docstrings, each with its function: the only one of its name in its file."""
    functions = [item for item in items if item.kind == "function"]
    named = Counter((item.path, item.name) for item in functions)
    written = {item.path for item in items if item.kind == "file"}
    asked = [
        (sentence, item)
        for item in functions
        if item.path in written and named[item.path, item.name] == 1 and len((sentence := first_sentence(item.doc)).split()) > 2
    ]
    return random.Random(0).sample(asked, N_QUERIES)


def rank(crawler: CodeBaseCrawler, query: str, path: Path, name: str, mode: Mode) -> int:
    """Return the place of a function among the first ten hits, from 1; 0 if it is not there."""
    for place, hit in enumerate(crawler.search(query, 10, mode), 1):
        if hit.path == path.as_posix() and hit.symbol and hit.symbol.rpartition(".")[2] == name:
            return place
    return 0


if __name__ == "__main__":
    main()
