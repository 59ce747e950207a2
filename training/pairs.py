"""From items to pairs of texts that belong together, and the features of each text as the compiled core counts them."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from extract import Item

from anam_py import _core

__all__ = ["KINDS", "Corpus", "build_corpus", "first_sentence", "halves", "shingles", "vocabulary_of", "without_copies"]

_Features: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.uint8]]

# What is asked, and what is found; "masked" functions lack their names.
KINDS = ("sentence", "doc", "name", "half", "clone", "comment", "class", "file")
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s|\n\s*\n")
_MARKUP = re.compile(r":[a-z:]+:`~?([^`<]*)[^`]*`|`+")
_LEAST_HALF = 8
_SHINGLE = 10
_MOST_SHARED = 0.3


def first_sentence(doc: str) -> str:
    """Return the first sentence of a docstring on one line, without the marks of reStructuredText."""
    sentence = _SENTENCE_END.split(doc.strip(), maxsplit=1)[0]
    return " ".join(_MARKUP.sub(r"\1", sentence).split())


def halves(code: str) -> tuple[str, str] | None:
    """Return the two halves of a function's lines; None of a short one."""
    lines = code.split("\n")
    if len(lines) < _LEAST_HALF:
        return None
    middle = len(lines) // 2
    return "\n".join(lines[:middle]), "\n".join(lines[middle:])


def shingles(text: str) -> npt.NDArray[np.int64]:
    """Return the hashes of each ten words of a text that follow each other."""
    words = np.fromiter((hash(word) for word in text.split()), np.int64)
    if len(words) < _SHINGLE:
        return np.zeros(0, np.int64)
    with np.errstate(over="ignore"):
        return sum(
            words[i : len(words) - _SHINGLE + 1 + i] * np.int64(2 * i + 1) * np.int64(0x9E3779B97F4A7C1) for i in range(_SHINGLE)
        )


def vocabulary_of(packages: Iterable[Sequence[Item]], size: int) -> list[str]:
    """Return the words that most items of at least two packages have."""
    documents: Counter[str] = Counter()
    spread: Counter[str] = Counter()
    for items in packages:
        here: Counter[str] = Counter()
        for item in items:
            if item.kind != "file":
                here.update(set(_core.subtokens(item.code + " " + item.doc)))
            elif item.doc:
                here.update(set(_core.subtokens(item.doc)))
        documents.update(here)
        spread.update(here.keys())
    shared = [(count, word) for word, count in documents.items() if spread[word] > 1]
    return [word for _, word in sorted(shared, key=lambda row: (-row[0], row[1]))[:size]]


@dataclass(slots=True)
class Corpus:
    """Pairs of texts, and the features of all texts.

    Attributes
    ----------
    ends : int64 ndarray of shape (n_texts + 1,)
    rows : int32 ndarray of shape (n_features,)
    counts : uint8 ndarray of shape (n_features, N_PLACES)
    pairs : int32 ndarray of shape (n_pairs, 4)
        Package, kind, text that asks, text that is found.
    same : int64 ndarray of shape (n_pairs,)
        Equal for pairs that ask the same.
    """

    ends: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int32]
    counts: npt.NDArray[np.uint8]
    pairs: npt.NDArray[np.int32]
    same: npt.NDArray[np.int64]


def without_copies(items: Sequence[Item], held_out: npt.NDArray[np.int64]) -> list[Item]:
    """Leave out what shares over 30 % of its shingles with held-out texts.

    Parameters
    ----------
    items : sequence of Item
    held_out : int64 ndarray
        Sorted shingles.

    Returns
    -------
    list of Item
    """
    return [item for item in items if _shared(shingles(item.code), held_out) <= _MOST_SHARED]


def _shared(mine: npt.NDArray[np.int64], held_out: npt.NDArray[np.int64]) -> float:
    found = np.searchsorted(held_out, mine) % max(1, len(held_out))
    return float(np.mean(held_out[found] == mine)) if len(mine) and len(held_out) else 0.0


def build_corpus(packages: Sequence[Sequence[Item]], vocabulary: "_core.Vocabulary", seed: int) -> Corpus:
    """Return the pairs of packages.

    Parameters
    ----------
    packages : sequence of sequences of Item
    vocabulary : Vocabulary
    seed : int
    """
    chance = random.Random(seed)
    parts: list[_Features] = []
    pairs: list[tuple[int, int, int, int]] = []
    same: list[int] = []
    n_texts = 0
    seen: set[int] = set()
    for number, items in enumerate(packages):
        texts: list[str] = []
        for kind, query, found in _pairs(items, chance):
            identity = hash((kind, query, found))
            if identity in seen:
                continue
            seen.add(identity)
            pairs.append((number, KINDS.index(kind), n_texts + len(texts), n_texts + len(texts) + 1))
            same.append(hash(query))
            texts += [query, found]
        if not texts:
            continue
        ends, rows, counts = _core.features(texts, vocabulary)
        parts.append((ends, rows, np.minimum(counts, 255).astype(np.uint8)))
        n_texts += len(texts)
    return _joined(parts, pairs, same)


def _joined(parts: list[_Features], pairs: list[tuple[int, int, int, int]], same: list[int]) -> Corpus:
    offset, ends = 0, [np.zeros(1, np.int64)]
    for each, _, _ in parts:
        ends.append(each + offset)
        offset += each[-1]
    return Corpus(
        np.concatenate(ends),
        np.concatenate([rows for _, rows, _ in parts]),
        np.concatenate([counts for _, _, counts in parts]),
        np.array(pairs, np.int32),
        np.array(same, np.int64),
    )


def _pairs(items: Sequence[Item], chance: random.Random) -> Iterator[tuple[str, str, str]]:
    """Yield kind, query and text. Each function gives one pair of its documentation, and by chance some of itself."""
    for kind in ("function", "class", "file"):
        for item in (each for each in items if each.kind == kind):
            sentence = first_sentence(item.doc)
            documented = len(sentence.split()) > 2
            if kind != "function":
                if documented:
                    yield kind, sentence if chance.random() < 0.5 else item.doc, item.code
                continue
            if documented:
                yield "sentence", sentence, item.code
                if len(item.doc) > 1.5 * len(sentence) and chance.random() < 0.4:
                    yield "doc", item.doc, item.code
            if chance.random() < 0.2 and len(_core.subtokens(item.name)) > 1:
                yield "name", item.name, item.code
            if chance.random() < (0.25 if documented else 0.15) and (two := halves(item.code)):
                yield "half", *two
            if item.renamed and chance.random() < 0.12:
                yield "clone", item.renamed, item.code
            if item.comments and chance.random() < 0.5:
                comment = chance.choice(item.comments)
                yield "comment", comment, item.code.replace(comment, "")
