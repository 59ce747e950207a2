"""Train the built-in embedder: download, extract, train, round to four bits, write anam_py/embedding/static.npz.

    python training/train.py --seed 0

needs torch, two cores and half an hour. training/README.md says what it does and why.
"""

import argparse
import hashlib
import json
import math
import random
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from download import download, download_others
from extract import Item, extract, read
from model import Model, gather
from others import extract_others
from pairs import KINDS, Corpus, build_corpus, shingles, vocabulary_of, without_copies
from peer import Peer
from start import start
from torch.nn import functional

from anam_py import _core
from anam_py.embedding import terms_of

NAME = "static-2"
TARGET = Path(__file__).parents[1] / "anam_py/embedding"
N_WORDS = 30_000
N_SHARED = 4_096
MOST_ITEMS = 15_000  # of one package and kind: some consist of thousands of variations of one theme
BATCH = 1536
CHUNK = 128  # pairs of one package that stay together: each other's hard negatives
RATE = 2e-3
WARM_UP = 30
DROPPED = 0.15
PULL = 5.0  # of a word's start, for words that texts have less than some hundred times: Adam would take them far in few steps
OFTEN = 300
MASKED = 0.33
# Of the learned block in a cosine. Training makes it .9, best for documentation that asks for functions; files and halves
# are found better with more of the words themselves (validation split: .497 and .639 with .8, .480 and .634 with .9).
SHARE = 0.8
LARGEST = 7  # of an integer of four bits, with its negative
LEAST_WEIGHT = 2**-14  # so that no word counts nothing when the core rounds what it counts


def main() -> None:
    """Run the whole recipe."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--folder", type=Path, default=Path("build/training"), help="for what is downloaded and extracted")
    arguments = parser.parse_args()
    words, corpus = prepared(items_by_split(arguments.folder), arguments.seed)
    stems = stems_of(words)
    table = start(corpus, Peer(arguments.folder / "minilm").embed(words), len(words) + N_SHARED, arguments.seed)
    model = Model(corpus, table, stems, arguments.seed)
    train(model, corpus, arguments.steps, arguments.seed)
    write(model, words, stems)


def items_by_split(folder: Path) -> list[tuple[str, list[Item]]]:
    """Return the split of each wheel and sdist, and what it holds, downloaded and extracted where that has not been done."""
    wheels, sdists = download(folder / "wheels"), download_others(folder / "sdists")
    python = {folder / "items" / f"{package.pin}.jsonl": package.split for package in wheels}
    others = {folder / "items" / f"{package.pin}.others.jsonl": package.others for package in sdists}
    with ProcessPoolExecutor() as pool:
        list(pool.map(extract, wheels.values(), python))
        list(pool.map(extract_others, sdists.values(), others))
    return [(split, read(target)) for target, split in (python | others).items()]


def prepared(archives: list[tuple[str, list[Item]]], seed: int) -> tuple[list[str], Corpus]:
    """Return the vocabulary, and the pairs of what is to be trained on without copies of what is tested on."""
    tested = [shingles(item.code) for split, items in archives if split == "test" for item in items if item.kind == "function"]
    held_out = np.unique(np.concatenate(tested))
    packages = [without_copies(sampled(items, seed), held_out) for split, items in archives if split == "train"]
    words = vocabulary_of(packages, N_WORDS)
    corpus = build_corpus(packages, _core.Vocabulary(words, N_SHARED), seed)
    print(f"{sum(map(len, packages)):,} items, {len(words):,} words, {len(corpus.pairs):,} pairs", flush=True)
    return words, corpus


def sampled(items: list[Item], seed: int) -> list[Item]:
    """Return at most so many items of a kind."""
    chance = random.Random(seed)
    kept: list[Item] = []
    for kind in ("function", "class", "file"):
        mine = [item for item in items if item.kind == kind]
        kept += chance.sample(mine, MOST_ITEMS) if len(mine) > MOST_ITEMS else mine
    return kept


def stems_of(words: list[str]) -> npt.NDArray[np.int64]:
    """Return for each word the place of the first one with the same stem."""
    first: dict[str, int] = {}
    return np.array([first.setdefault("".join(terms_of(word)) or word, place) for place, word in enumerate(words)])


def train(model: Model, corpus: Corpus, steps: int, seed: int) -> None:
    """Bring pairs together: InfoNCE in both directions (van den Oord et al., 2018) among the pairs of a batch."""
    groups = [
        {"params": [model.table], "lr": RATE},
        {"params": [model.weights], "lr": 3 * RATE},
        {"params": [model.places, model.saturations, model.share, model.scale], "lr": 5 * RATE},
    ]
    optimiser = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1, (step + 1) / WARM_UP) * (0.03 + 0.485 * (1 + math.cos(math.pi * step / steps)))
    )
    torch.manual_seed(seed)
    begun = model.table.detach().clone()
    pull = PULL / (1 + torch.from_numpy(np.bincount(corpus.rows, minlength=len(begun))[:, np.newaxis]).float() / OFTEN)
    chance = np.random.default_rng(seed)
    batches = batches_of(corpus, chance)
    began, losses = time.monotonic(), []
    for step in range(1, steps + 1):
        loss = loss_of(model, corpus, next(batches), chance)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            model.table.lerp_(begun, pull * schedule.get_last_lr()[0])
        schedule.step()
        losses.append(loss.item())
        if step % 50 == 0:
            print(f"step {step}: loss {np.mean(losses[-50:]):.3f}, {(time.monotonic() - began) / step:.2f} s a step", flush=True)


def batches_of(corpus: Corpus, chance: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    """Yield the pairs of each batch: chunks of packages, in an order by chance, for ever."""
    while True:
        chunks = []
        for package in np.unique(corpus.pairs[:, 0]):
            mine = chance.permutation(np.flatnonzero(corpus.pairs[:, 0] == package))
            chunks += [mine[first : first + CHUNK] for first in range(0, len(mine), CHUNK)]
        shuffled = np.concatenate([chunks[place] for place in chance.permutation(len(chunks))])
        for first in range(0, len(shuffled) - BATCH + 1, BATCH):
            yield shuffled[first : first + BATCH]


def loss_of(model: Model, corpus: Corpus, batch: npt.NDArray[np.intp], chance: np.random.Generator) -> torch.Tensor:
    """Return the loss of a batch. Pairs that ask the same are no negatives of each other."""
    kinds, same = corpus.pairs[batch, 1], torch.from_numpy(corpus.same[batch])
    documented = np.isin(kinds, (KINDS.index("sentence"), KINDS.index("doc")))
    masked = (documented & (chance.random(len(batch)) < MASKED)) | (kinds == KINDS.index("name"))
    asked, found = (
        model(*features, (torch.rand(len(features[0])) >= DROPPED).float())
        for features in (gather(corpus, corpus.pairs[batch, 2]), gather(corpus, corpus.pairs[batch, 3], masked))
    )
    equal = (same[:, None] == same).fill_diagonal_(False)  # noqa: FBT003 - torch's own signature
    scores = (asked @ found.T * model.scale.exp()).masked_fill(equal, -1e4)
    answers = torch.arange(len(batch))
    return (functional.cross_entropy(scores, answers) + functional.cross_entropy(scores.T, answers)) / 2


def write(model: Model, words: list[str], stems: npt.NDArray[np.int64]) -> None:
    """Write the model with rows of four bits, whose scale goes into the weight of the word."""
    table = model.table.detach().double().numpy()
    steps = scales_of(table)
    rounded = (np.clip(np.rint(table / steps[:, None]), -LARGEST, LARGEST) + 8).astype(np.uint8)
    weights = model.weights.detach().double().exp().numpy() * np.stack((steps, np.ones(len(steps))))
    weights = np.maximum(weights / weights.max(axis=1, keepdims=True), LEAST_WEIGHT)
    arrays = {
        "words": np.frombuffer("\n".join(words).encode(), np.uint8),
        "stems": stems.astype(np.uint16),
        "table": rounded[:, ::2] | rounded[:, 1::2] << 4,
        "weights": weights.astype(np.float32),
        "places": model.places.detach().double().exp().numpy(),
        "saturations": model.saturations.detach().double().exp().numpy(),
        "lengths": np.sqrt([SHARE, 1 - SHARE]),
    }
    np.savez(TARGET / "static.npz", allow_pickle=False, **arrays)
    digest = hashlib.sha256((TARGET / "static.npz").read_bytes()).hexdigest()
    (TARGET / "static.json").write_text(json.dumps({"name": NAME, "sha256": digest}, indent=2) + "\n", encoding="utf-8")
    print(f"{NAME}: {(TARGET / 'static.npz').stat().st_size:,} bytes, SHA-256 {digest}")


def scales_of(table: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the step of each row with which rounding it to four bits loses least."""
    largest = np.abs(table).max(axis=1)
    best, least = largest / LARGEST, np.full(len(table), np.inf)
    for part in np.linspace(0.4, 1, 13):
        steps = part * largest / LARGEST
        lost = ((np.clip(np.rint(table / steps[:, None]), -LARGEST, LARGEST) * steps[:, None] - table) ** 2).sum(axis=1)
        best, least = np.where(lost < least, steps, best), np.minimum(lost, least)
    return best


if __name__ == "__main__":
    main()
