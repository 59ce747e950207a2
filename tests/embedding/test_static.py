"""The static embedder: its model is there, whole, and gives the same vectors everywhere."""

import hashlib
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py.embedding import StaticEmbedder, default_embedder, static
from anam_py.exceptions import AnamError

QUESTION = "Parse the command line arguments."
ANSWER = "def read_options(argv):\n    parser = ArgumentParser()\n    return parser.parse_args(argv)"
OTHERS = ["class Widget:\n    def draw(self):\n        self.paint()", "def mean(values):\n    return sum(values) / len(values)"]
# Of the vectors of the four texts, as the model in this checkout gives them: a new model has new ones.
DIGEST = "bc0d93023b3d393ffafd58cce928247f721aa258e63344eb34af86b34f1768cd"


def test_vectors_are_the_same_bits_on_every_machine() -> None:
    vectors = StaticEmbedder().embed([QUESTION, ANSWER, *OTHERS])
    assert hashlib.sha256(vectors.astype("<f4").tobytes()).hexdigest() == DIGEST


def test_its_name_says_which_model_it_has_and_loads_nothing() -> None:
    program = (
        "from anam_py.embedding import static, StaticEmbedder\n"
        "print(StaticEmbedder().name)\n"
        "assert static._model.cache_info().currsize == 0"
    )
    name = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    content = (files("anam_py.embedding") / "static.npz").read_bytes()
    assert name == f"static-2-{hashlib.sha256(content).hexdigest()[:8]}"


def test_it_is_what_is_used_where_none_is_given() -> None:
    assert isinstance(default_embedder(), StaticEmbedder)


def test_the_model_takes_at_most_12_mb_of_the_package() -> None:
    assert len((files("anam_py.embedding") / "static.npz").read_bytes()) <= 12_000_000


def test_a_question_is_closest_to_the_code_that_answers_it() -> None:
    vectors = StaticEmbedder().embed([QUESTION, ANSWER, *OTHERS])
    assert np.argmax(vectors[1:] @ vectors[0]) == 0


def test_a_function_is_closest_to_itself_under_other_names() -> None:
    renamed = "def v0(v1):\n    v2 = ArgumentParser()\n    return v2.parse_args(v1)"
    vectors = StaticEmbedder().embed([renamed, ANSWER, *OTHERS])
    assert np.argmax(vectors[1:] @ vectors[0]) == 0


@given(st.text())
def test_every_text_with_a_word_has_a_unit_vector_and_any_other_a_zero_one(text: str) -> None:
    norm = np.linalg.norm(StaticEmbedder().embed([text])[0])
    assert norm == pytest.approx(1 if static._core.subtokens(text) else 0)


def test_composed_and_decomposed_letters_are_the_same() -> None:
    composed, decomposed = StaticEmbedder().embed(["größe", "gro\u0308ße"])
    assert np.array_equal(composed, decomposed)


@pytest.mark.parametrize("harm", ["cut short", "changed", "emptied"])
def test_a_damaged_model_is_said_to_be_damaged(harm: str) -> None:
    whole = (files("anam_py.embedding") / "static.npz").read_bytes()
    content = {"cut short": whole[:-1], "changed": whole[:-9] + b"x" + whole[-8:], "emptied": b""}[harm]
    with pytest.raises(AnamError, match=r"'somewhere' is damaged: its SHA-256 is \w+, expected \w+; install anam_py again"):
        static._read(content, "somewhere")


def test_a_missing_model_is_said_to_be_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(static, "_folder", lambda: tmp_path)
    static._model.cache_clear()
    with pytest.raises(AnamError, match=r"model '.*static\.npz' cannot be read: .*; install anam_py again"):
        StaticEmbedder().embed(["text"])
