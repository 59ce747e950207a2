"""What a user of static models may rely on: words are counted by where they stand, and vectors are the same everywhere."""

import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anam_py import _core

PLAIN, HEAD, DEFINED, CALLED, ATTRIBUTE, METHOD = range(6)
WORDS = ["parse", "args", "self", "größe"]
N_SHARED = 5
DIMENSION = 24
N_LEARNED = 16


def model() -> _core.StaticModel:
    chance = np.random.default_rng(0)
    n_rows = len(WORDS) + N_SHARED
    return _core.StaticModel(
        _core.Vocabulary(WORDS, N_SHARED),
        chance.integers(-7, 8, (n_rows, N_LEARNED)).astype(np.int8),
        chance.integers(0, 2**63, len(WORDS)).astype(np.uint64),
        chance.uniform(0.1, 1, (2, n_rows)),
        chance.uniform(0.5, 2, (2, 6)),
        np.array([1.5, 2.5]),
        np.array([0.8, 0.6]),
    )


def places(text: str) -> dict[str, list[int]]:
    """Return for each word of a text how often it stands where."""
    words = list(dict.fromkeys(_core.subtokens(text)))
    _, rows, counts = _core.features([text], _core.Vocabulary(words, 1))
    return {words[row]: list(np.repeat(np.arange(6), count)) for row, count in zip(rows, counts, strict=True)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("one two", {"one": [HEAD], "two": [HEAD]}),
        ("\n\none\ntwo", {"one": [HEAD], "two": [PLAIN]}),
        ("def load_file(path):\n    path", {"def": [HEAD], "load": [DEFINED], "file": [DEFINED], "path": [PLAIN, HEAD]}),
        ("x\nopen(a).read() + b.name", {"open": [CALLED], "read": [METHOD], "name": [ATTRIBUTE], "a": [PLAIN], "b": [PLAIN]}),
        ("x\nclass _Box:\nfn swap<T>(\nstruct Point {", {"box": [DEFINED], "swap": [DEFINED], "point": [DEFINED]}),
        ("x\nthe class of functions (all)", {"of": [PLAIN], "functions": [PLAIN], "class": [PLAIN]}),
        ("x\nself._name", {"self": [PLAIN], "name": [ATTRIBUTE]}),
    ],
)
def test_words_are_counted_by_where_they_stand(text: str, expected: dict[str, list[int]]) -> None:
    found = places(text)
    assert {word: sorted(found[word]) for word in expected} == {word: sorted(there) for word, there in expected.items()}


@given(st.text())
def test_every_word_is_counted_once(text: str) -> None:
    words = _core.subtokens(text)
    _, rows, counts = _core.features([text], _core.Vocabulary(sorted(set(words)), 1))
    order = sorted(set(words))
    assert {order[row]: int(count.sum()) for row, count in zip(rows, counts, strict=True)} == {
        word: words.count(word) for word in words
    }


def test_words_outside_of_the_vocabulary_share_rows() -> None:
    vocabulary = _core.Vocabulary(WORDS, N_SHARED)
    ends, rows, _ = _core.features(["parse unknown", "", "self"], vocabulary)
    assert list(ends) == [2, 2, 3]
    assert rows[0] == WORDS.index("parse")
    assert len(WORDS) <= rows[1] < len(WORDS) + N_SHARED
    assert rows[2] == WORDS.index("self")


def mixed(x: int) -> int:
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
    return x ^ x >> 31


def hash_of(word: str) -> int:
    value = 0xCBF29CE484222325
    for byte in word.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return mixed(value)


def plain_vector(text: str, of: _core.StaticModel) -> list[float]:
    """Compute a vector as the documentation says, word by word."""
    words = list(dict.fromkeys(_core.subtokens(text)))
    _, rows, counts = _core.features([text], of.vocabulary)
    totals = [0] * DIMENSION
    for word, row, count in zip(words, rows, counts, strict=True):
        integers = []
        for block in range(2):
            often = 0.0
            for place in range(6):
                often += float(of.places[block, place]) * int(count[place])
            share = often / (often + float(of.saturations[block]))
            integers.append(math.floor(2.0**20 * (float(of.weights[block, row]) * share) + 0.5))
        seed = int(of.seeds[row]) if row < len(WORDS) else hash_of(word)
        signs = mixed((seed + 0x9E3779B97F4A7C15) % 2**64)
        for i in range(N_LEARNED):
            totals[i] += integers[0] * int(of.table[row, i])
        for i in range(DIMENSION - N_LEARNED):
            totals[N_LEARNED + i] += integers[1] if signs >> i & 1 else -integers[1]
    vector = []
    for block, length in ((totals[:N_LEARNED], of.lengths[0]), (totals[N_LEARNED:], of.lengths[1])):
        norm = math.sqrt(math.fsum(float(total) ** 2 for total in block))
        vector += [float(length) * (total / norm) if norm else 0.0 for total in block]
    return vector


@given(st.text() | st.lists(st.sampled_from([*WORDS, "other", "(", ".", "\n", "def", "_"])).map(" ".join))
def test_a_vector_is_the_sum_that_is_documented(text: str) -> None:
    vector = _core.embed_static([text], model(), dimension=DIMENSION)[0]
    assert vector == pytest.approx(np.float32(plain_vector(text, model())), abs=1e-7)


@settings(max_examples=10, deadline=None)
@given(st.integers(2, 8), st.integers())
def test_the_number_of_threads_changes_no_bit(threads: int, seed: int) -> None:
    chance = random.Random(seed)
    texts = [" ".join(chance.choices([*WORDS, "other", "(", "\n"], k=chance.randrange(400))) for _ in range(400)]
    one = _core.embed_static(texts, model(), dimension=DIMENSION)
    assert _core.embed_static(texts, model(), dimension=DIMENSION, threads=threads).tobytes() == one.tobytes()


def test_a_long_text_is_embedded_like_any_other() -> None:
    text = " ".join(f"word{number}x" for number in range(100_000))
    assert np.linalg.norm(_core.embed_static([text], model(), dimension=DIMENSION)) == pytest.approx(1)


@pytest.mark.parametrize("piece", ["中。", "_", "a_", "x.", "aB", "é\u2003"])
def test_no_text_takes_quadratic_time(piece: str) -> None:
    """It would reach the suite's timeout."""
    text = piece * (2_000_000 // len(piece)) + "word"
    assert np.linalg.norm(_core.embed_static([text], model(), dimension=DIMENSION)) == pytest.approx(1)
