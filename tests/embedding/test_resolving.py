"""What may be given as an embedder, and what becomes of it."""

import math
import re
import shutil
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from anam_py import CodeBaseCrawler, CrawlerError, HTMCore, ValidationError
from anam_py.embedding import (
    Embedder,
    HashingEmbedder,
    StaticEmbedder,
    as_embedder,
    choice_of,
    default_embedder,
    from_callable,
    is_built_in,
)

ROOT = Path(__file__).parents[2]
FINITE = st.floats(allow_nan=False, allow_infinity=False)
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def count_letters(texts: list[str]) -> list[list[int]]:
    """Embed texts for tests: that this is a function of a module's gives it a name."""
    return [[text.lower().count(letter) for letter in LETTERS] for text in texts]


class Counter:
    """Callable, without a name of its own; its method has one that other objects share."""

    def __call__(self, texts: list[str]) -> list[list[int]]:
        return count_letters(texts)

    def count(self, texts: list[str]) -> list[list[int]]:
        return count_letters(texts)

    @staticmethod
    def count_static(texts: list[str]) -> list[list[int]]:
        return count_letters(texts)


class Own:
    """All that an embedder needs."""

    name = "own-1"
    dimension = 26

    def embed(self, texts: Sequence[str], kind: Any = "document") -> npt.NDArray[np.float32]:
        return np.zeros((len(texts), 26), np.float32)


# ---- what is taken ----


def test_nothing_is_the_default_and_two_names_are_the_built_in_ones() -> None:
    assert as_embedder(None) is default_embedder()
    assert isinstance(as_embedder("static"), StaticEmbedder)
    assert isinstance(as_embedder("hash"), HashingEmbedder)
    assert as_embedder("static").name == default_embedder().name


def test_an_embedder_is_taken_as_it_is() -> None:
    for embedder in (Own(), HashingEmbedder(), from_callable(count_letters, name="letters-1")):
        assert as_embedder(embedder) is embedder


@pytest.mark.parametrize("function", [count_letters, Counter.count_static])
def test_a_function_of_a_module_is_named_after_its_place(function: Any) -> None:
    embedder = as_embedder(function)
    assert embedder.name == f"{__name__}.{function.__qualname__}"
    assert embedder.dimension == 26
    assert np.array_equal(embedder.embed(["aab"]), from_callable(count_letters, name="x").embed(["aab"]))


def test_a_compiled_function_is_named_after_its_module() -> None:
    assert as_embedder(math.fsum).name == "math.fsum"  # type: ignore[arg-type]


def inside() -> Any:
    def function(texts: list[str]) -> list[list[int]]:
        return count_letters(texts)

    return function


def of_a_script() -> Any:
    names: dict[str, Any] = {"__name__": "__main__"}
    exec("def embed(texts): return [[1.0]] * len(texts)", names)
    return names["embed"]


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda texts: count_letters(texts), id="lambda"),  # noqa: PLW0108 - a lambda is what is tested
        pytest.param(inside(), id="inside a function"),
        pytest.param(of_a_script(), id="of a script"),
        pytest.param(partial(count_letters), id="partial"),
        pytest.param(Counter(), id="object"),
        pytest.param(Counter().count, id="method"),
    ],
)
def test_a_callable_that_others_might_be_taken_for_has_to_be_given_a_name(function: Any) -> None:
    with pytest.raises(ValidationError, match=r"no name that tells it.*write embedder=anam_py\.embedding\.from_callable\("):
        as_embedder(function)
    assert from_callable(function, name="mine-1").name == "mine-1"


@pytest.mark.parametrize("wrong", [7, b"hash", "", "hsah", "sentence-transformers:", HashingEmbedder, Counter, ["hash"]])
def test_anything_else_is_refused_with_a_list_of_what_is_taken(wrong: Any, store_path: Path) -> None:
    message = r"embedder must be 'static', 'hash', 'sentence-transformers:MODEL', .*a function of a list of texts, .*, got"
    with HTMCore(store_path) as htm, pytest.raises(ValidationError, match=message):
        CodeBaseCrawler(htm, embedder=wrong)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"function": 7}, r"function must be callable as \(texts\), got int 7"),
        ({"function": Counter}, "function must be callable"),
        ({"name": ""}, "name must be a str that is not empty"),
        ({"name": None}, "name must be a str that is not empty, got None"),
        ({"dimension": 0}, "dimension must be an integer of at least 1"),
        ({"dimension": "26"}, "dimension must be an integer of at least 1"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        from_callable(**{"function": count_letters, "name": "letters-1"} | arguments)


# ---- and back ----


@pytest.mark.parametrize("choice", ["static", "hash", "sentence-transformers:all-MiniLM-L6-v2"])
def test_what_was_chosen_by_name_can_be_chosen_by_that_name_again(choice: str) -> None:
    assert choice_of(as_embedder(choice)) == choice


def test_a_folder_of_a_model_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "models/small"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder.parent)
    assert choice_of(as_embedder("sentence-transformers:small")) == f"sentence-transformers:{folder.resolve()}"


def test_what_nobody_chose_by_name_has_none() -> None:
    others: list[Any] = [None, count_letters, Own()]
    assert [choice_of(as_embedder(given)) for given in others] == [None, None, None]


def test_names_of_built_in_embedders_of_any_version_are_known() -> None:
    assert all(map(is_built_in, (default_embedder().name, HashingEmbedder().name, "hash-12", "static-0-01234567")))
    assert not any(map(is_built_in, ("own-1", "hash-mine", "static-1-mine", "hash-1 (unfinished)", "sentence-transformers-0123")))


# ---- what a function's vectors become ----


@given(
    arrays(
        np.float64, array_shapes(min_dims=2, max_dims=2, max_side=4), elements=st.floats(allow_nan=False, allow_infinity=False)
    )
)
def test_rows_are_brought_to_unit_length_and_zero_rows_stay_zero(vectors: npt.NDArray[np.float64]) -> None:
    embedder = from_callable(lambda _: vectors, name="given", dimension=vectors.shape[1])
    rows = embedder.embed(["text"] * len(vectors))
    assert rows.dtype == np.float32
    for row, vector in zip(rows, vectors, strict=True):
        largest = max(map(abs, vector))
        length = math.hypot(*(vector / largest)) if largest else 1.0
        assert row == pytest.approx(vector / largest / length if largest else vector, rel=1e-6, abs=1e-7)


def test_texts_without_a_word_are_not_handed_on_and_have_no_vector() -> None:
    seen: list[list[str]] = []

    def embed(texts: list[str]) -> npt.NDArray[np.float64]:
        seen.append(texts)
        return np.ones((len(texts), 2))

    embedder = from_callable(embed, name="ones")
    vectors = embedder.embed(["", "a", " \n", "_ __ ...", "é", "7"])
    assert vectors.any(axis=1).tolist() == [False, True, False, False, True, True]
    assert embedder.embed(["", "?"]).shape == (2, 2)
    assert embedder.embed([]).shape == (0, 2)
    assert seen == [["dimension"], ["a", "é", "7"]]


def test_no_word_is_embedded_to_find_out_a_dimension_that_was_given() -> None:
    def embed(texts: list[str]) -> None:
        raise AssertionError(texts)

    embedder = from_callable(embed, name="never", dimension=5)  # type: ignore[arg-type]
    assert embedder.dimension == 5
    assert embedder.embed(["..."]).shape == (1, 5)


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.ones((1, 2)), r"array of shape \(2, dimension\), a vector for each text, it gave one of shape \(1, 2\)"),
        (np.ones(2), r"it gave one of shape \(2,\)"),
        (np.ones((2, 0)), r"it gave one of shape \(2, 0\)"),
        (np.ones((2, 3)), "must give vectors of 2 numbers, it gave some of 3"),
        (np.array([[1, 2], [np.nan, 1]]), "not finite, of the text 'two words'"),
        (np.array([[1, np.inf], [2, 1]]), "not finite, of the text 'one'"),
        ([["a", "b"]] * 2, "what embedder 'odd' gives must hold real numbers"),
        ([[1.0], [1.0, 2.0]], "what embedder 'odd' gives must be an array of real numbers"),
        (None, "what embedder 'odd' gives must"),
    ],
)
def test_what_a_function_gives_is_checked(vectors: Any, message: str) -> None:
    embedder = from_callable(lambda _: vectors, name="odd", dimension=2)
    with pytest.raises(ValidationError, match=message):
        embedder.embed(["one", "", "two words"])


def test_texts_and_kind_are_checked_before_a_function_is_called() -> None:
    embedder = from_callable(count_letters, name="letters-1")
    with pytest.raises(ValidationError, match="texts must be a sequence of str, got str"):
        embedder.embed("text")
    with pytest.raises(ValidationError, match="kind must be"):
        embedder.embed(["text"], "both")  # type: ignore[arg-type]


def test_what_a_function_raises_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        from_callable(lambda texts: [[1 / 0]] * len(texts), name="fails").embed(["text"])


def test_threads_may_share_a_function_that_bears_it() -> None:
    together = threading.Barrier(4, timeout=60)

    def embed(texts: list[str]) -> list[list[int]]:
        together.wait()  # all four are in here at once
        return count_letters(texts)

    embedder = from_callable(embed, name="letters-1", dimension=26)
    texts = [["parse"], ["birds"], ["lines"], ["zebra"]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(embedder.embed, texts))
    plain = from_callable(count_letters, name="letters-1")
    assert all(np.array_equal(rows, plain.embed(each)) for rows, each in zip(found, texts, strict=True))


# ---- from end to end ----


def test_a_store_is_indexed_and_searched_with_a_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/zoo.py").write_text("zebra = zoo = 'zzz'\n")
    (tmp_path / "src/bees.py").write_text("bees = bee = 'eee'\n")
    (tmp_path / "src/empty.py").write_text("...\n")
    monkeypatch.chdir(tmp_path)
    with HTMCore("store", dimension=26) as htm:
        crawler = CodeBaseCrawler(htm, embedder=count_letters)
        report = crawler.index("src")
        assert (report.new, report.empty) == (3, 1)
        assert [hit.path for hit in crawler.search("zz", mode="semantic")] == ["src/zoo.py"]
        assert crawler.index("src").unchanged == 3
        other = CodeBaseCrawler(htm, embedder=from_callable(count_letters, name="letters-1"))
        with pytest.raises(CrawlerError, match=rf"was indexed with embedder '{re.escape(crawler.embedder.name)}'"):
            other.index("src")
        assert other.reembed() == 2
        assert other.search("bees", mode="semantic")[0].path == "src/bees.py"
        assert htm.verify() == []
    with (
        HTMCore("other") as htm,
        pytest.raises(CrawlerError, match=r"vectors of 26 numbers.*open another store with dimension=26"),
    ):
        crawler = CodeBaseCrawler(htm, embedder=count_letters).index("src")


def test_the_example_of_the_documentation_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "tests/reference/src", tmp_path / "src")
    monkeypatch.chdir(tmp_path)
    section = (ROOT / "docs/embedding.md").read_text(encoding="utf-8").split("## Other embedders")[1]
    (example,) = re.findall(r"^```python\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    exec(example, {})
    assert "Hit(path='src/" in capsys.readouterr().out


def test_without_its_package_a_model_is_an_import_error_on_use_that_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # as where it is not installed
    embedder: Embedder = as_embedder("sentence-transformers:all-MiniLM-L6-v2")
    for use in (lambda: embedder.name, lambda: embedder.dimension, lambda: embedder.embed(["text"])):
        with pytest.raises(ImportError, match=r'pip install "anam_py\[sentence-transformers\]"'):
            use()
