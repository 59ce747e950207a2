"""Searching what was crawled: what a hit tells, and each rule of the ranking."""

import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from trees import make_tree

from anam_py import CodeBaseCrawler, HTMCore, ValidationError
from anam_py.crawler import Hit
from anam_py.crawler.ranking import WEIGHTS, Candidate, Mode, ranked

CSV = '''"""Read and write csv files."""

class Reader:
    """Reads rows."""

    def read_row(self, line):
        """Split a line at its commas."""
        return line.split(",")


def write_row(values):
    return ",".join(values)
'''


def paths(hits: list[Hit]) -> list[str]:
    return [hit.path if hit.symbol is None else f"{hit.path}::{hit.symbol}" for hit in hits]


def test_a_hit_says_what_it_is_where_it_is_and_why(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"csv.py": CSV, "other.js": "function paint() {}\n"})
    crawler.index(".")
    (hit, *_) = crawler.search("split a line at commas")
    assert (hit.path, hit.symbol, hit.kind, hit.language) == ("csv.py", "Reader.read_row", "method", "python")
    assert (hit.start_line, hit.end_line) == (6, 8)
    assert hit.snippet.startswith("    def read_row(self, line):\n")
    assert set(hit.scores) == {"lexical", "vector", "name", "path", "summary"}
    assert all(0 <= score <= 1 for score in (hit.score, *hit.scores.values()))
    assert hit.scores["summary"] == 1
    first_words = crawler.search("paint")
    assert paths(first_words)[:2] == ["other.js::paint", "other.js"]


def test_a_hit_on_a_file_shows_the_lines_with_most_of_the_words(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    make_tree(tree, {"notes.md": "intro\n" * 50 + "parsing here\nand there arguments\n" + "outro\n" * 50})
    crawler.index(".")
    (hit,) = crawler.search("parse arguments")
    assert (hit.symbol, hit.kind, hit.start_line, hit.end_line) == (None, "file", 51, 58)
    assert hit.snippet.startswith("parsing here\nand there arguments\noutro")


def test_where_limit_and_mode(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"csv.py": CSV, "csv.js": "/** Reads a row. */\nfunction readRow() {}\n"})
    crawler.index(".")
    assert {hit.language for hit in crawler.search("read row")} == {"python", "javascript"}
    assert paths(crawler.search("read row", where={"language": "javascript", "kind": "function"})) == ["csv.js::readRow"]
    assert len(crawler.search("read row", 2)) == 2
    assert {hit.scores["vector"] for hit in crawler.search("read row", mode="lexical")} == {0.0}
    assert {hit.scores["lexical"] for hit in crawler.search("read row", mode="semantic")} == {0.0}
    assert crawler.search("read row", mode="semantic")[0].symbol in ("readRow", "Reader.read_row")


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
def test_nothing_is_found_in_nothing_and_for_no_words(mode: str, tree: Path, crawler: CodeBaseCrawler) -> None:
    assert crawler.search("words", mode=mode) == []  # type: ignore[arg-type]
    make_tree(tree, {"csv.py": CSV})
    crawler.index(".")
    for text in ("", "  ", "()", "the"):
        found = crawler.search(text, mode=mode)  # type: ignore[arg-type]
        assert found == [] or text == "the"


@pytest.mark.parametrize(
    "arguments", [(None,), (7,), ("text", 0), ("text", True), ("text", 10, "fuzzy"), ("text", 10, "hybrid", {"$x": 1})]
)
def test_wrong_arguments_are_refused(arguments: tuple[object, ...], crawler: CodeBaseCrawler) -> None:
    with pytest.raises(ValidationError):
        crawler.search(*arguments)  # type: ignore[arg-type]


def test_what_users_stored_themselves_is_no_hit(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    htm.store_embedding("mine", np.ones(768), {}, text="read and write csv files")
    make_tree(tree, {"csv.py": CSV})
    crawler.index(".")
    assert {hit.path for hit in crawler.search("read and write csv files", 50)} == {"csv.py"}


async def test_it_can_be_awaited(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"csv.py": CSV})
    crawler.index(".")
    assert await crawler.search_async("write a row") == crawler.search("write a row")


def test_a_search_loads_no_parser(tree: Path, store_path: Path) -> None:
    with HTMCore(store_path) as htm:
        make_tree(tree, {"csv.py": CSV})
        CodeBaseCrawler(htm).index(".")
    program = (
        "import sys; from anam_py import CodeBaseCrawler, HTMCore\n"
        f"with HTMCore({str(store_path)!r}, read_only=True) as htm:\n"
        "    assert CodeBaseCrawler(htm).search('read csv')\n"
        "assert not [name for name in sys.modules if 'tree_sitter' in name]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


# ---- the rules of the ranking ----


def candidate(key: str, lexical: float = 1.0, vector: float = 0.5, **metadata: str) -> Candidate:
    return Candidate({"key": key, "metadata": {"file_type": "source", "doc": "", **metadata}}, lexical, vector)


def order(query: str, *candidates: Candidate) -> list[str]:
    return [found.record["key"] for found in ranked(query, candidates, "hybrid")]


def test_a_definition_comes_before_what_uses_it() -> None:
    uses = candidate("a.py::main", 1.1)
    assert order("parse arguments", uses, candidate("b.py::parse_arguments"))[0] == "b.py::parse_arguments"
    assert order("parseArguments", uses, candidate("b.py::parse_arguments"))[0] == "b.py::parse_arguments"


def test_a_name_of_just_the_words_comes_before_one_with_more() -> None:
    longer = candidate("a.py::parse_arguments_of_old_format")
    assert order("parse arguments", longer, candidate("b.py::parse_arguments"))[0] == "b.py::parse_arguments"


def test_the_name_of_the_file_counts_with_the_name_of_the_symbol() -> None:
    assert order("gzip compress", candidate("bz2.py::compress"), candidate("gzip.py::compress"))[0] == "gzip.py::compress"


def test_a_word_that_few_are_called_by_counts_more() -> None:
    many = [candidate(f"{number}.py::read_file") for number in range(20)]
    assert order("read csv file", *many, candidate("csv.py::load"))[0] == "csv.py::load"


def test_what_the_documentation_says_counts() -> None:
    said = candidate("b.py::g", doc="Parse the arguments.")
    assert order("parse arguments", candidate("a.py::f"), said)[0] == "b.py::g"


def test_folders_count_a_little() -> None:
    assert order("http client", candidate("ftp/a.py::f"), candidate("http/a.py::f"))[0] == "http/a.py::f"


@pytest.mark.parametrize("aside", ["test", "generated"])
def test_tests_and_generated_files_come_later(aside: str) -> None:
    put_aside = candidate("a.py::parse", 1.2, file_type=aside)
    assert order("parse", put_aside, candidate("b.py::parse"))[0] == "b.py::parse"


def test_tests_come_first_when_they_are_asked_for() -> None:
    test = candidate("test_a.py::test_parse", file_type="test")
    assert order("test that parses", candidate("b.py::parse"), test)[0] == "test_a.py::test_parse"


def test_of_one_file_a_couple_of_hits_come_first() -> None:
    same = [candidate(f"a.py::parse{number}", 2 - number / 10) for number in range(5)]
    found = order("parse", *same, candidate("b.py::other", 0.5), candidate("c.py::other", 0.4))
    assert found == ["a.py::parse0", "a.py::parse1", "b.py::other", "c.py::other", "a.py::parse2", "a.py::parse3", "a.py::parse4"]


def test_equal_scores_are_ordered_by_key() -> None:
    same = [candidate(f"{name}.py::f") for name in ("é", "b", "a")]
    assert order("words", *same) == ["a.py::f", "b.py::f", "é.py::f"]


def test_weights_are_shares() -> None:
    shares = [getattr(WEIGHTS, field.name) for field in fields(WEIGHTS) if field.name not in ("aside", "per_file")]
    assert sum(shares) == pytest.approx(1)
    assert replace(WEIGHTS, name=0.5).name == 0.5


# ---- on real code ----


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeBaseCrawler]:
    """Return a crawler that has taken in the top-level modules of the standard library."""
    with HTMCore(tmp_path_factory.mktemp("library") / "store", durability="normal") as htm:
        crawler = CodeBaseCrawler(htm, symbols=True)
        crawler.index(sysconfig.get_path("stdlib"), ["*.py"], ["*/*"])
        yield crawler


@pytest.mark.parametrize(
    ("query", "file"),
    [
        ("parse command line arguments", "argparse.py"),
        ("compress data with gzip", "gzip.py"),
        ("read and write csv files", "csv.py"),
        ("base64 encode bytes", "base64.py"),
        ("pretty print data structures", "pprint.py"),
        ("walk a directory tree", "os.py"),
        ("create a temporary file", "tempfile.py"),
    ],
)
def test_the_standard_library_is_found_by_what_it_is_for(query: str, file: str, library: CodeBaseCrawler) -> None:
    assert file in [Path(hit.path).name for hit in library.search(query, 3)]


def test_words_that_are_nowhere_have_no_hits_unless_their_vector_says_otherwise(library: CodeBaseCrawler) -> None:
    for nonsense in ("zzzzqqq", "flurbl gnarx", "qwxyz vrtpl mmnbv kjhgf"):
        assert library.search(nonsense) == []
    assert library.search("zzzzqqq", mode="semantic")  # the nearest there are, as asked for


def test_without_a_shared_word_only_a_near_vector_makes_a_hit() -> None:
    def found(vector: float, mode: Mode = "hybrid") -> bool:
        return bool(ranked("words", [candidate("a.py::f", 0.0, vector)], mode))

    assert (found(0.8), found(0.2), found(-0.2)) == (True, False, False)
    assert (found(0.2, "semantic"), found(0.0, "semantic"), found(-0.2, "semantic")) == (True, False, False)
