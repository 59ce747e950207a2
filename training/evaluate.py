"""Measure retrieval on packages that the model has not been trained on: what `make eval` prints.

python training/evaluate.py --split test
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from benchmark import Figures, Task, among, figures, tasks
from bm25 import BM25
from download import download, download_others
from extract import Item, extract, read
from others import extract_others
from peer import Peer

from anam_py.crawler.fusion import comparable
from anam_py.crawler.ranking import WEIGHTS
from anam_py.embedding import Embedder, HashingEmbedder, StaticEmbedder, terms_of

FOLDER = Path("build/training")

T = TypeVar("T")
Scores = Callable[[Sequence[str]], npt.NDArray[np.floating]]


def main() -> None:
    """Print a table for each task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--split", choices=("validate", "test"), default="test")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for what is downloaded and extracted")
    parser.add_argument(
        "--texts", type=int, default=sys.maxsize, help="at most so many for each task, the answers and some by chance"
    )
    arguments = parser.parse_args()
    embedders: dict[str, Embedder] = {"hashing": HashingEmbedder(), "static": StaticEmbedder()}
    try:
        embedders[Peer.name] = Peer(arguments.folder / "minilm")
    except (ImportError, OSError) as error:
        print(f"{Peer.name}: not installed ({error})")
    print(f"\nThe {arguments.split} split\n")
    for task in tasks(held_out(arguments.folder, arguments.split)):
        show(among(task, arguments.texts), embedders)
    if arguments.split == "test":
        first, _, _, half, _ = tasks(held_out_others(arguments.folder))
        embedders.pop(Peer.name, None)
        for task in (first, half):
            show(task._replace(name=f"{task.name}, other languages"), embedders)


def held_out(folder: Path, split: str) -> list[Item]:
    """Return what the packages of a split hold, downloaded and extracted where that has not been done."""
    items = []
    for package, wheel in download(folder / "wheels", split).items():
        target = folder / "items" / f"{package.pin}.jsonl"
        extract(wheel, target)
        items += read(target)
    return items


def held_out_others(folder: Path) -> list[Item]:
    """Return likewise what is held out of sources in other languages than Python."""
    items = []
    for package, sdist in download_others(folder / "sdists", "test").items():
        target = folder / "items" / f"{package.pin}.others.jsonl"
        extract_others(sdist, target)
        items += read(target)
    return items


def show(task: Task, embedders: dict[str, Embedder]) -> None:
    """Print how each method does a task."""
    print(f"{task.name}: {len(task.queries):,} queries, {len(task.documents):,} texts")
    print(f"  {'':18s}{'NDCG@10':>9s}{'MRR@10':>9s}{'recall@1':>10s}{'recall@10':>11s}{'texts/s':>10s}")
    words, speed = timed(lambda: BM25(task.documents, terms_of), len(task.documents))
    report("BM25", figures(task, words.scores), speed)
    for name, embedder in embedders.items():
        dense, speed = timed(lambda embedder=embedder: by_vector(embedder, task.documents), len(task.documents))
        report(name, figures(task, dense), 0 if name == Peer.name else speed)
        if name == "static":
            report("static + BM25", figures(task, lambda queries, dense=dense: fused(dense(queries), words.scores(queries))), 0)
    print()
    sys.stdout.flush()


def timed(make: Callable[[], T], count: int) -> tuple[T, float]:
    """Return what a function makes, and how many a second that were."""
    began = time.perf_counter()
    made = make()
    return made, count / (time.perf_counter() - began)


def by_vector(embedder: Embedder, documents: Sequence[str]) -> Scores:
    """Return the cosines of queries and documents, as a function of queries."""
    vectors = embedder.embed(documents, "document")
    return lambda queries: embedder.embed(list(queries), "query") @ vectors.T


def fused(dense: npt.NDArray[np.floating], words: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return the part of a search's score that comes from words and vectors."""
    lexical, vector = comparable(words, dense)
    return WEIGHTS.lexical * lexical + WEIGHTS.vector * vector


def report(name: str, found: Figures, speed: float) -> None:
    """Print a line of a table."""
    print(f"  {name:18s}{found.ndcg:9.3f}{found.mrr:9.3f}{found.recall_1:10.3f}{found.recall_10:11.3f}", end="")
    print(f"{speed:10,.0f}" if speed else "")


if __name__ == "__main__":
    main()
