"""One store, one embedder: another one is refused, or takes over the whole store."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from trees import make_tree

from anam_py import CodeBaseCrawler, CrawlerError, HTMCore, ValidationError
from anam_py.crawler import reembedding
from anam_py.embedding import default_embedder
from anam_py.store import Ledger

FILES = {"a.py": "def one():\n    pass\n", "b.md": "# Words\n", "empty.py": "\n", "digits.txt": "123 456\n"}


class Reversed:
    """An embedder whose vectors differ from the built-in ones, and that has nothing to say of digits."""

    name = "reversed-1"
    dimension = 768

    def embed(self, texts: Sequence[str], kind: Any = "document") -> npt.NDArray[np.float32]:
        vectors = default_embedder().embed(texts, kind)[:, ::-1].copy()
        vectors[[text.endswith("123 456\n") for text in texts]] = 0
        return vectors


@pytest.fixture
def indexed(tree: Path, htm: HTMCore) -> HTMCore:
    """Return a store with some files, indexed with the built-in embedder, and an entry of a user's."""
    make_tree(tree, FILES)
    CodeBaseCrawler(htm, symbols=True).index(".")
    htm.store_embedding("mine", np.ones(768), {"kind": "note"})
    return htm


def test_another_embedder_is_refused(indexed: HTMCore) -> None:
    crawler = CodeBaseCrawler(indexed, embedder=Reversed())
    message = rf"was indexed with embedder '{default_embedder().name}', this crawler has 'reversed-1'.*call reembed\(\)"
    with pytest.raises(CrawlerError, match=message):
        crawler.crawl_directory(".")
    for mode in ("hybrid", "semantic"):
        with pytest.raises(CrawlerError, match=message):
            crawler.search("words", mode=mode)  # type: ignore[arg-type]
    assert [hit.path for hit in crawler.search("words", mode="lexical")] == ["b.md"]
    assert len(crawler.crawl_directory(".", extract_embeddings=False)) == 4


def test_an_embedder_of_another_length_is_refused(tree: Path, tmp_path: Path) -> None:
    with HTMCore(tmp_path / "small", dimension=4) as htm, pytest.raises(CrawlerError, match=r"768 numbers.*vectors of 4"):
        CodeBaseCrawler(htm).crawl_directory(tree)


def test_a_store_is_embedded_anew_from_its_own_texts(indexed: HTMCore, tree: Path) -> None:
    for path in FILES:
        (tree / path).unlink()
    crawler = CodeBaseCrawler(indexed, symbols=True, embedder=Reversed())
    steps: list[tuple[int, int]] = []
    old = indexed.get_embedding("a.py")
    assert crawler.reembed(progress_callback=lambda done, total, _: steps.append((done, total))) == 3
    assert steps == [(5, 5)]
    assert crawler.reembed() == 0
    new = indexed.get_embedding("a.py")
    assert old is not None
    assert new is not None
    assert np.array_equal(new["embedding"]["values"], old["embedding"]["values"][::-1])
    assert new["metadata"] == old["metadata"] | {"embedder": "reversed-1"}
    assert set(indexed) == {"a.py", "a.py::one", "b.md", "mine"}
    mine = indexed.get_embedding("mine")
    assert mine is not None
    assert mine["metadata"] == {"kind": "note"}
    make_tree(tree, FILES)
    report = crawler.index(".")
    assert (report.unchanged, report.new, report.empty) == (2, 2, 2)
    assert crawler.search("one")[0].symbol == "one"
    with pytest.raises(CrawlerError, match="was indexed with embedder 'reversed-1'"):
        CodeBaseCrawler(indexed).index(".")


def test_a_refusal_says_how_the_embedder_was_chosen(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, FILES)
    CodeBaseCrawler(htm, embedder="hash").index(".")
    with pytest.raises(CrawlerError, match=r"with embedder 'hash-1', .* or use a crawler with embedder='hash'$"):
        CodeBaseCrawler(htm).index(".")


def test_a_choice_of_the_embedder_that_a_store_has_is_recorded_though_nothing_is_embedded(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, FILES)
    CodeBaseCrawler(htm).index(".")
    assert Ledger(htm).choice is None
    CodeBaseCrawler(htm, embedder="static").index(".")
    assert Ledger(htm).choice == "static"
    CodeBaseCrawler(htm).index(".")
    assert Ledger(htm).choice == "static"


def test_an_interrupted_change_of_embedders_is_nobodys_until_it_is_finished(
    indexed: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reembedding, "_AT_ONCE", 2)

    def interrupt(done: int, _: int, __: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    crawler = CodeBaseCrawler(indexed, embedder=Reversed())
    with pytest.raises(KeyboardInterrupt):
        crawler.reembed(progress_callback=interrupt)
    for other in (crawler, CodeBaseCrawler(indexed)):
        with pytest.raises(CrawlerError, match=r"'reversed-1 \(unfinished\)'"):
            other.index(".")
    assert crawler.reembed() == 1
    assert crawler.index(".").changed == 0


def test_what_an_embedder_gives_is_checked(tree: Path, htm: HTMCore) -> None:
    class Wrong(Reversed):
        def embed(self, texts: Sequence[str], kind: Any = "document") -> npt.NDArray[np.float32]:
            return super().embed(texts, kind)[:, :5]

    make_tree(tree, FILES)
    with pytest.raises(
        CrawlerError, match=r"'reversed-1' must give 4 vectors of 768 numbers, it gave an array of shape \(4, 5\)"
    ):
        CodeBaseCrawler(htm, embedder=Wrong()).index(".")
    assert len(htm) == 0


def test_vectors_of_several_lengths_are_the_embedders_fault(tree: Path, htm: HTMCore) -> None:
    class Ragged(Reversed):
        def embed(self, texts: Sequence[str], kind: Any = "document") -> Any:
            return [vector[: 9 - place] for place, vector in enumerate(super().embed(texts, kind))]

    make_tree(tree, FILES)
    with pytest.raises(CrawlerError, match=r"'reversed-1' must give 4 vectors of 768 numbers, what it gave is no array"):
        CodeBaseCrawler(htm, embedder=Ragged()).index(".")


@pytest.mark.parametrize("number", [np.nan, np.inf, 1e300])
def test_vectors_that_are_not_finite_are_the_embedders_fault(number: float, tree: Path, htm: HTMCore) -> None:
    class Broken(Reversed):
        def embed(self, texts: Sequence[str], kind: Any = "document") -> npt.NDArray[Any]:
            vectors = default_embedder().embed(texts, kind).astype(np.float64)
            vectors[-1, 3] = number
            return vectors

    make_tree(tree, FILES)
    crawler = CodeBaseCrawler(htm, embedder=Broken())
    for call in (lambda: crawler.index("."), lambda: crawler.search("words")):
        with pytest.raises(CrawlerError, match=r"embedder 'reversed-1' gave a vector that is not finite"):
            call()
    assert len(htm) == 0


@pytest.mark.parametrize(("attribute", "value"), [("name", ""), ("name", None), ("dimension", "768"), ("dimension", 0)])
def test_an_embedder_without_a_name_or_a_length_is_refused(attribute: str, value: object, htm: HTMCore) -> None:
    embedder = Reversed()
    setattr(embedder, attribute, value)
    with pytest.raises(ValidationError, match=rf"embedder\.{attribute}"):
        CodeBaseCrawler(htm, embedder=embedder)
