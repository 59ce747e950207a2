"""What a search is over: languages, kinds and paths; and what has the same text is one hit."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import SEGMENTS, make_tree

from anam_py import CodeBaseCrawler, HTMCore, ValidationError
from anam_py.crawler.languages import LANGUAGES
from anam_py.crawler.selection import Selection

FILES: dict[str, str | bytes] = {
    "src/rows.py": "class Rows:\n    def read_row(self):\n        return 1\n\ndef write_row():\n    return 2\n",
    "src/deep/rows.py": "def read_deep_row():\n    return 3\n",
    "src/rows.js": "function readRow() { return 4; }\n",
    "tests/test_rows.py": "def test_read_row():\n    assert 5\n",
    "tests/data/rows.rb": "# Reads a row.\n" + "def read_row\n  row\nend\n\n" * 20,
    "a/b.py": "def read_the_row():\n    return 6\n",
    "notes.md": "How to read a row.\n",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CodeBaseCrawler]:
    """Return a crawler that has taken in the files."""
    folder = make_tree(tmp_path_factory.mktemp("scope"), FILES)
    with pytest.MonkeyPatch.context() as patch, HTMCore(folder / "store", durability="normal") as htm:
        patch.chdir(folder)
        htm.store_embedding("mine", np.ones(768), {"language": "klingon", "path": "src/mine.py"}, text="read row")
        crawler = CodeBaseCrawler(htm, symbols=True)
        crawler.index(".", None, ["store"])
        yield crawler


def found(crawler: CodeBaseCrawler, **asked: Any) -> set[str]:
    """Return the files of the hits."""
    return {hit.path for hit in crawler.search("read row", asked.pop("limit", 100), duplicates=True, **asked)}


@pytest.mark.parametrize("mode", ["hybrid", "lexical", "semantic"])
def test_languages_and_kinds_say_what_hits_are(rows: CodeBaseCrawler, mode: Any) -> None:
    hits = rows.search("read row", 100, mode, languages=["javascript", "ruby"])
    assert {hit.language for hit in hits} == {"javascript", "ruby"}
    hits = rows.search("read row", 100, mode, kinds=["method", "window"])
    assert {hit.kind for hit in hits} == {"method", "window"}
    hits = rows.search("read row", 100, mode, languages=["python"], kinds=["file"])
    assert {hit.path for hit in hits} == {path for path in FILES if path.endswith(".py")}
    assert {hit.kind for hit in hits} == {"file"}


@pytest.mark.parametrize(
    ("paths", "exclude_paths", "files"),
    [
        (["src/*"], None, {"src/rows.py", "src/deep/rows.py", "src/rows.js"}),
        (["src/"], ["deep"], {"src/rows.py", "src/rows.js"}),
        (["*.py"], ["tests", "a/*"], {"src/rows.py", "src/deep/rows.py"}),
        (["rows.py"], None, {"src/rows.py", "src/deep/rows.py"}),
        (["./a/b.py", "notes.md"], None, {"a/b.py", "notes.md"}),
        (None, ["*.py", "*.js"], {"tests/data/rows.rb", "notes.md"}),
        (None, ["tests/data/"], FILES.keys() - {"tests/data/rows.rb"}),
        (["**/rows.*"], ["src/deep"], {"src/rows.py", "src/rows.js", "tests/data/rows.rb"}),
        (["nowhere/*"], None, set()),
        (["[a"], None, set()),
        ([], [], FILES.keys()),
        (("src/*.js",), ("*.py",), {"src/rows.js"}),
    ],
)
@pytest.mark.parametrize("mode", ["hybrid", "lexical"])
def test_paths_say_in_which_files_hits_are(
    paths: Any, exclude_paths: Any, files: set[str], mode: Any, rows: CodeBaseCrawler
) -> None:
    assert found(rows, paths=paths, exclude_paths=exclude_paths, mode=mode) == files


GLOBS = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=3).map("/".join)


@given(paths=st.lists(GLOBS, max_size=2), exclude_paths=st.lists(GLOBS, max_size=2))
def test_paths_are_chosen_as_a_crawl_chooses_files(paths: list[str], exclude_paths: list[str]) -> None:
    names = ["a", "b/a", "a/b/c.py", "build/x-y", "é.py", "[z]/a", "x/y/z/é.py", "/abs/a.py", "doc.txt", "a b/t "]
    selection = Selection(paths, exclude_paths)
    assert selection.chosen(names) == [name for name in names if not selection.leaves_out(name)]


def test_all_that_is_asked_for_counts_together_with_where(rows: CodeBaseCrawler) -> None:
    assert found(rows, where={"kind": "function"}, languages=["python"], paths=["src/*"]) == {"src/rows.py", "src/deep/rows.py"}
    only = found(rows, where={"kind": "function", "start_line": {"$gt": 1}}, paths=["*.py"])
    assert only == {"src/rows.py"}
    assert found(rows, where={}, kinds=["file"], paths=["*.md"]) == {"notes.md"}


def test_as_many_hits_as_are_wanted_come_back_however_many_others_are_better(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    better: dict[str, str | bytes] = {
        f"better/read_row_{number}.py": f"def read_row():\n    return {number}\n" for number in range(300)
    }
    wanted: dict[str, str | bytes] = {
        f"other/{name}.rb": f"def something\n  # it may read a row, {name}\nend\n" for name in "abc"
    }
    make_tree(tree, better | wanted)
    crawler.index(".")
    for asked in ({"languages": ["ruby"]}, {"paths": ["other/"]}, {"exclude_paths": ["better"]}):
        for mode in ("hybrid", "lexical", "semantic"):
            assert {hit.path for hit in crawler.search("read row", 3, mode, **asked)} == wanted.keys()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"languages": ["pyhton"]}, "languages asks for 'pyhton': the store has no such languages; it has javascript, .*, ruby"),
        ({"languages": ["python", "pyhton"]}, "languages asks for 'pyhton'"),
        (
            {"languages": ["kotlin", "go"]},
            "languages asks for 'go', 'kotlin': the store has no such languages; it has javascript",
        ),
        (
            {"kinds": ["functions"]},
            "kinds asks for 'functions': the store has no such kinds; it has class, file, function, method, window",
        ),
        ({"kinds": ["interface"]}, "kinds asks for 'interface'"),
        ({"languages": "python"}, "languages must be a list of str, got str 'python'"),
        ({"kinds": [1]}, "kinds must be a list of str"),
        ({"paths": "src/*"}, r"paths must be a list of globs such as \['\*.py'\]"),
        ({"exclude_paths": [""]}, "exclude_paths must not hold an empty pattern"),
        ({"where": {"$x": 1}, "kinds": ["file"]}, "unknown operator"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(asked: dict[str, Any], message: str, rows: CodeBaseCrawler) -> None:
    with pytest.raises(ValidationError, match=message):
        rows.search("read row", **asked)


def test_of_an_empty_store_everything_known_is_refused_and_says_so(crawler: CodeBaseCrawler) -> None:
    assert crawler.search("anything") == []
    with pytest.raises(ValidationError, match="it has none at all"):
        crawler.search("anything", languages=["python"])


def test_one_language_of_several_is_enough_and_no_words_are_no_error(rows: CodeBaseCrawler) -> None:
    assert found(rows, languages=["kotlin", "ruby"]) == {"tests/data/rows.rb"}
    assert rows.search("zzzzqqq", languages=["ruby"]) == []


def test_every_language_of_the_table_is_known(rows: CodeBaseCrawler) -> None:
    assert found(rows, languages=[language.name for language in LANGUAGES]) == FILES.keys()


# ---- the same text ----

SAME = "def read_row(line):\n    return line.split()\n"


def test_what_has_the_same_text_is_one_hit_that_names_the_others(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": SAME + "x = 1\n", "b.py": SAME + "y = 2\n", "sub/c.py": SAME, "d.py": "def read_a_row(): pass\n"})
    crawler.index(".")
    hits = crawler.search("read row", kinds=["function"])
    assert sorted((hit.path, hit.also) for hit in hits) == [("a.py", ("b.py::read_row", "sub/c.py::read_row")), ("d.py", ())]
    hits = crawler.search("read row", kinds=["function"], duplicates=True)
    assert {(hit.path, hit.also) for hit in hits} == {(path, ()) for path in ("a.py", "b.py", "sub/c.py", "d.py")}
    assert len({hit.path for hit in crawler.search("read row", kinds=["file"])}) == 4


def test_very_many_of_the_same_do_not_hide_what_is_different(tree: Path, crawler: CodeBaseCrawler) -> None:
    copies: dict[str, str | bytes] = {f"copies/{number}.py": SAME for number in range(450)}
    make_tree(tree, copies | {f"own_{name}.py": f"def {name}():\n    '''May read a row.'''\n" for name in "abcd"})
    crawler.index(".")
    for mode in ("hybrid", "lexical", "semantic"):
        hits = crawler.search("read row line", 5, mode, kinds=["function"])  # type: ignore[arg-type]
        assert len(hits) == 5
        assert len(hits[0].also) == 449
        assert {hit.path for hit in hits[1:]} == {"own_a.py", "own_b.py", "own_c.py", "own_d.py"}
