"""What a user of tokens may rely on: identifiers become words, words become vectors, the same everywhere."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anam_py import _core

# ---- words ----


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ""),
        (" \n\t+-*/", ""),
        ("word", "word"),
        ("camelCase", "camel case"),
        ("PascalCase", "pascal case"),
        ("HTTPServer", "http server"),
        ("parseHTTP", "parse http"),
        ("XMLHttpRequest2", "xml http request 2"),
        ("ABC", "abc"),
        ("aB", "a b"),
        ("AbC", "ab c"),
        ("snake_case_name", "snake case name"),
        ("__init__", "init"),
        ("_", ""),
        ("SCREAMING_SNAKE", "screaming snake"),
        ("utf8", "utf 8"),
        ("sha256sum", "sha 256 sum"),
        ("Vec3D", "vec 3 d"),
        ("0xFF", "0 x ff"),
        ("3.14", "3 14"),
        ("x.y(z)", "x y z"),
        ("don't", "don t"),
        ("a\0b", "a b"),
        ("a\ud800b", "a b"),
        ("ÉcoleÜber", "école über"),
        ("naïveBayes", "naïve bayes"),
        ("ΑλφαΒήτα", "αλφα βήτα"),
        ("СложныйПример", "сложный пример"),
        ("数据_処理", "数据 処理"),
        ("𐐀𐐁 𐐨𐐀x", "𐐨𐐩 𐐨 𐐨x"),
        ("İstanbul", "istanbul"),
        ("٣x", "٣ x"),
    ],
)
def test_identifiers_are_cut_at_their_borders(text: str, words: str) -> None:
    assert _core.subtokens(text) == words.split()


def test_composed_and_decomposed_letters_are_the_same_word() -> None:
    assert _core.subtokens("cafe\u0301") == _core.subtokens("caf\u00e9") == ["caf\u00e9"]


def test_a_run_of_64_bytes_or_more_is_cut_and_nothing_of_it_is_lost() -> None:
    assert _core.subtokens("a" * 64) == ["a" * 64]
    assert _core.subtokens("a" * 150) == ["a" * 64, "a" * 64, "a" * 22]
    assert "".join(_core.subtokens("ж" * 1000)) == "ж" * 1000
    assert max(len(word.encode()) for word in _core.subtokens("語" * 1000)) <= 66


@pytest.mark.parametrize(
    ("text", "lexemes"),
    [
        ("", ""),
        ("word", "word"),
        ("def parseArgs(self):", "def parse args parseargs self"),
        ("HTTPServer utf8", "http server httpserver utf 8 utf8"),
        ("x = _private_name__", "x private name private_name"),
        ("__init__ a__b", "init a b a__b"),
        ("ÉcoleÜber", "école über écoleüber"),
    ],
)
def test_the_text_index_also_holds_compound_identifiers_whole(text: str, lexemes: str) -> None:
    assert _core.lexemes(text) == lexemes


def test_identifiers_of_more_than_256_bytes_are_not_held_whole() -> None:
    name = "_".join(["word"] * 51)
    assert _core.lexemes(name).split()[-1] == name
    assert set(_core.lexemes(name + "_word").split()) == {"word"}


@settings(deadline=None)
@given(st.text(st.characters(codec=None, exclude_categories=())))
def test_any_text_has_words_that_are_their_own_words(text: str) -> None:
    words = _core.subtokens(text)
    assert all(words)
    assert [word for word in _core.lexemes(text).split() if word in words][: len(words)] or not words
    again = [part for word in words for part in _core.subtokens(word)]
    assert "".join(again) == "".join(words)


@settings(deadline=None)
@given(st.lists(st.text("abcxyzABC019_", min_size=1), max_size=20))
def test_no_letter_or_digit_is_dropped(identifiers: list[str]) -> None:
    text = " ".join(identifiers)
    assert "".join(_core.subtokens(text)) == text.lower().replace("_", "").replace(" ", "")


# ---- vectors ----


def test_texts_become_unit_vectors_and_texts_without_words_zero() -> None:
    vectors = _core.hash_tokens(["def f(x): return x", "", "+ - ___", "größe"], 768)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), [1, 0, 0, 1], atol=1e-6)
    assert _core.hash_tokens([], 768).shape == (0, 768)


def test_texts_that_share_words_are_alike_and_others_are_not() -> None:
    texts = ["parse the command line arguments", "argumentsLine commandParse", "write rows of a csv file"]
    a, b, c = _core.hash_tokens(texts, 768)
    assert a @ b > 0.8
    assert abs(a @ c) < 0.25


def test_neither_order_nor_case_nor_separators_change_a_vector() -> None:
    vectors = _core.hash_tokens(["readCsvFile read", "file_csv READ (read)"], 256)
    np.testing.assert_array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize("count", [2, 3, 10, 1000, 1023, 1024, 1025, 5000])
def test_a_word_weighs_one_and_the_logarithm_of_its_count(count: int) -> None:
    once, other = _core.hash_tokens(["alpha", "beta"], 4096)
    both = _core.hash_tokens(["alpha " * count + "beta"], 4096)[0]
    assert both @ once / (both @ other) == pytest.approx(1 + math.log(count), rel=1e-5)


def test_every_text_has_its_vector_whatever_stands_beside_it(rng: np.random.Generator) -> None:
    words = ["parse", "HTTP2", "naïve", "x", "loadFile", "数据"]
    texts = [" ".join(rng.choice(words, length)) for length in rng.integers(0, 200, 100)]
    together = _core.hash_tokens(texts, 64)
    np.testing.assert_array_equal(together, np.concatenate([_core.hash_tokens([text], 64) for text in texts]))
    np.testing.assert_array_equal(together[::-1], _core.hash_tokens(texts[::-1], 64))


def test_threads_do_not_change_vectors(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)
    texts = ["".join(rng.choice(list("abcdeXYZ_ 01"), 500)) for _ in range(200)]
    np.testing.assert_array_equal(_core.hash_tokens(texts, 96, threads=1), _core.hash_tokens(texts, 96, threads=2))


def test_vectors_are_these_bits_everywhere() -> None:
    vector = _core.hash_tokens(["import numpy as np; naïveBayes = np.load('x86_64')"], 16)[0]
    assert vector.tobytes().hex() == (
        "0e1ff43daf1830be000000001b14953eaf18303e00000000831204bfaf1830be"
        "1b1415bf00000000af18b0beaf18303eaf18303e0000000000000000af18303e"
    )


@pytest.mark.parametrize("dimension", [1, 2, 3, 1000])
def test_any_dimension_will_do(dimension: int) -> None:
    vectors = _core.hash_tokens(["one two three", "four"], dimension)
    assert vectors.shape == (2, dimension)
    assert np.isfinite(vectors).all()


def test_hashing_and_lexing_let_other_threads_run(releases_gil: Callable[[Callable[[], object]], bool]) -> None:
    text = "def loadFile(name): return open(name)\n" * 1000
    assert releases_gil(lambda: _core.hash_tokens([text], 768))
    assert releases_gil(lambda: _core.lexemes(text))
