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
from benchmark import Figures, Task, figures, tasks
from bm25 import BM25
from download import download
from extract import Item, extract, read

from anam_py.embedding import Embedder, HashingEmbedder, StaticEmbedder, terms_of

HYBRID_SHARE = 0.7  # of the vectors; the rest is BM25's
FOLDER = Path("build/training")
PEER = "all-MiniLM-L6-v2"

T = TypeVar("T")
Scores = Callable[[Sequence[str]], npt.NDArray[np.floating]]


def main() -> None:
    """Print a table for each task."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--split", choices=("validate", "test"), default="test")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="for what is downloaded and extracted")
    arguments = parser.parse_args()
    embedders: dict[str, Embedder] = {"hashing": HashingEmbedder(), "static": StaticEmbedder()}
    try:
        embedders[PEER] = peer()
    except (ImportError, OSError) as error:  # its package, or its weights
        print(f"{PEER}: not installed ({error})")
    items = held_out(arguments.folder, arguments.split)
    print(f"\nThe {arguments.split} split: {sum(item.kind == 'function' for item in items):,} functions\n")
    for task in tasks(items):
        show(task, embedders)


def held_out(folder: Path, split: str) -> list[Item]:
    """Return what the packages of a split hold, downloaded and extracted where that has not been done."""
    items = []
    for package, wheel in download(folder / "wheels", split).items():
        target = folder / "items" / f"{package.pin}.jsonl"
        extract(wheel, target)
        items += read(target)
    return items


def peer() -> Embedder:
    """Return the embedder that people reach for.

    Raises
    ------
    ImportError, OSError
        If its package is not installed, or its weights cannot be had.
    """
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - need not be there

    class Peer:
        name = PEER
        dimension = 384
        model = SentenceTransformer(PEER)

        def embed(self, texts: Sequence[str], kind: str = "document") -> npt.NDArray[np.float32]:  # noqa: ARG002
            return self.model.encode(list(texts), normalize_embeddings=True)

    return Peer()


def show(task: Task, embedders: dict[str, Embedder]) -> None:
    """Print how each method does a task."""
    print(f"{task.name}: {len(task.queries):,} queries, {len(task.documents):,} texts")
    print(f"  {'':18s}{'NDCG@10':>9s}{'MRR@10':>9s}{'recall@1':>10s}{'recall@10':>11s}{'texts/s':>10s}")
    words, speed = timed(lambda: BM25(task.documents, terms_of), len(task.documents))
    report("BM25", figures(task, words.scores), speed)
    for name, embedder in embedders.items():
        dense, speed = timed(lambda embedder=embedder: by_vector(embedder, task.documents), len(task.documents))
        report(name, figures(task, dense), speed)
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
    """Return a convex combination of scores that each spread over 0 to 1 (Bruch et al., 2023)."""
    return HYBRID_SHARE * spread(dense) + (1 - HYBRID_SHARE) * spread(words)


def spread(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return scores from 0 to 1 in each row."""
    least, most = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    return (scores - least) / np.maximum(most - least, 1e-12)


def report(name: str, found: Figures, speed: float) -> None:
    """Print a line of a table."""
    print(f"  {name:18s}{found.ndcg:9.3f}{found.mrr:9.3f}{found.recall_1:10.3f}{found.recall_10:11.3f}", end="")
    print(f"{speed:10,.0f}" if speed else "")


if __name__ == "__main__":
    main()
