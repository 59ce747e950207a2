"""The embedders that are built in: what both promise, and what the terms of a text are."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from anam_py.embedding import Embedder, HashingEmbedder, StaticEmbedder, default_embedder, terms_of
from anam_py.exceptions import ValidationError

TEXTS = ["def parse_args(argv): ...", "Parse the command line arguments.", "", "the if return", "größe_in_px", "x" * 10_000]


@pytest.fixture(params=[HashingEmbedder, StaticEmbedder])
def embedder(request: pytest.FixtureRequest) -> Embedder:
    return request.param()


def test_it_is_an_embedder(embedder: Embedder) -> None:
    assert isinstance(embedder, Embedder)
    assert embedder.dimension == 768
    assert default_embedder() is default_embedder()


def test_rows_are_unit_float32(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    assert vectors.shape == (6, 768)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors[[0, 1, 4, 5]], axis=1) == pytest.approx([1, 1, 1, 1])
    assert not vectors[2].any()
    assert embedder.embed([]).shape == (0, 768)


def test_a_text_of_stop_words_has_no_hashed_terms() -> None:
    assert not HashingEmbedder().embed(["the if return"]).any()


def test_a_vector_depends_on_its_text_alone(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    for text, vector in zip(TEXTS, vectors, strict=True):
        assert np.array_equal(embedder.embed([text], "query")[0], vector)


def test_vectors_are_the_same_in_every_process_and_thread(embedder: Embedder) -> None:
    vectors = embedder.embed(TEXTS)
    name = type(embedder).__name__
    program = f"from anam_py.embedding import {name}; print({name}().embed({TEXTS!r}).tobytes().hex())"
    environment = {"PYTHONHASHSEED": "7", "ANAM_THREAD_POOL_SIZE": "1"}
    there = subprocess.run([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
    assert bytes.fromhex(there) == vectors.tobytes()
    with ThreadPoolExecutor(4) as pool:
        assert all(np.array_equal(found, vectors) for found in pool.map(embedder.embed, [TEXTS] * 20))


def test_texts_that_share_terms_are_closer(embedder: Embedder) -> None:
    code, prose, other = embedder.embed([TEXTS[0], TEXTS[1], "class Widget: def draw(self): self.paint()"])
    assert code @ prose > 0.3
    assert abs(code @ other) < 0.2


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("parse parses parsed parsing parser", ["pars"] * 5),
        ("compress compression compressor compresses", ["compress"] * 4),
        ("HTTPServerError", ["http", "serv", "err"]),
        ("self.return_value = the_value2", ["value"[:-1], "value"[:-1], "2"]),
        ("running stopped losses status this is", ["run", "stop", "loss", "status"]),
        ("queries query files_io", ["query", "query", "fil", "io"]),
        ("größen", ["größen"]),
        ("", []),
    ],
)
def test_terms_are_stems_of_the_sub_tokens_that_say_something(text: str, terms: list[str]) -> None:
    assert terms_of(text) == terms


def test_arguments_are_checked(embedder: Embedder) -> None:
    with pytest.raises(ValidationError, match="texts must be a sequence of str, got str"):
        embedder.embed("text")
    with pytest.raises(ValidationError, match="texts must be a sequence of str, got list"):
        embedder.embed(["text", 7])  # type: ignore[list-item]
    with pytest.raises(ValidationError, match="texts must be a sequence of str, got int"):
        embedder.embed(7)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="kind must be 'document' or 'query', got 'both'"):
        embedder.embed(["text"], "both")  # type: ignore[arg-type]
