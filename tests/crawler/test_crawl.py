"""Crawling a folder into a store, and again after it has changed."""

import itertools
import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from trees import git, make_tree

from anam_py import CodeBaseCrawler, CrawlerError, HTMCore, ValidationError
from anam_py.crawler import batch, reading
from anam_py.crawler.paths import key_prefix, unwritten, written
from anam_py.embedding import default_embedder

SOURCE = '''"""Greets."""
import os

class Greeter:
    def greet(self, name):
        """Say hello."""
        if name:
            return f"hello {name}"

def main():
    return Greeter().greet("you")
'''


def statuses(results: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {result["path"]: result["status"] for result in results}


def age(folder: Path) -> None:
    """Let what is in a folder be old enough to be told from what is written from now on."""
    for path in [folder, *folder.rglob("*")]:
        os.utime(path, ns=(10**18, 10**18), follow_symlinks=False)


class CountingEmbedder:
    """The built-in embedder, counting what it is given."""

    name = "counting"
    dimension = 768

    def __init__(self) -> None:
        self.texts: list[str] = []

    def embed(self, texts: Sequence[str], kind: Any = "document") -> npt.NDArray[np.float32]:
        self.texts += texts
        return default_embedder().embed(texts, kind)


# ---- results ----


def test_each_file_is_given_by_path_with_content_metadata_and_embedding(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"src/b.py": SOURCE, "src/a.js": "function f() {}\n", "src/data.csv": "x,y\n1,2\n", "src/empty.py": ""})
    results = CodeBaseCrawler(htm).crawl_directory("./src")
    assert statuses(results) == dict.fromkeys(["src/a.js", "src/b.py", "src/data.csv", "src/empty.py"], "new")
    result = results[1]
    assert result["content"] == SOURCE
    assert result["embedding"].shape == (768,)
    assert result["embedding"].dtype == np.float32
    assert results[3]["embedding"] is None
    metadata = result["metadata"]
    mtime, content_hash = metadata.pop("mtime"), metadata.pop("content_hash")
    assert mtime == (tree / "src/b.py").stat().st_mtime
    assert len(content_hash) == 32
    assert metadata == {
        "kind": "file",
        "language": "python",
        "file_type": "source",
        "size_bytes": len(SOURCE),
        "line_count": 11,
        "blank_lines": 2,
        "comment_lines": 0,
        "code_lines": 9,
        "complexity_score": 1.5,
        "max_complexity": 2,
        "functions": ["Greeter.greet", "main"],
        "classes": ["Greeter"],
        "symbols": [
            {"name": "Greeter", "kind": "class", "start_line": 4, "end_line": 8},
            {"name": "Greeter.greet", "kind": "method", "start_line": 5, "end_line": 8},
            {"name": "main", "kind": "function", "start_line": 10, "end_line": 11},
        ],
        "chunks": "syntax",
        "path": "src/b.py",
        "dependencies": ["os"],
        "doc": "Greets.",
        "encoding": "utf-8",
        "masked_values": 0,
        "notes": [],
        "embedder": default_embedder().name,
    }


def test_what_is_embedded_is_stored_under_its_path_with_its_text(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"src/b.py": SOURCE, "src/empty.py": "\n"})
    (result, empty) = CodeBaseCrawler(htm).crawl_directory("src")
    assert list(htm) == ["src/b.py"]
    record = htm.get_embedding("src/b.py")
    assert record is not None
    assert np.array_equal(record["embedding"]["values"], result["embedding"])
    assert record["metadata"] == result["metadata"]
    assert htm.get_text("src/b.py") == SOURCE
    assert empty["path"] == "src/empty.py"


def test_symbols_are_entries_of_themselves(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"b.py": SOURCE + "\ndef main():\n    again()\n"})
    crawler.crawl_directory(".")
    assert list(htm) == ["b.py", "b.py::Greeter", "b.py::Greeter.greet", "b.py::main", "b.py::main#2"]
    record = htm.get_embedding("b.py::Greeter.greet")
    assert record is not None
    metadata = record["metadata"]
    del metadata["content_hash"]
    assert metadata == {
        "kind": "method",
        "path": "b.py",
        "name": "Greeter.greet",
        "language": "python",
        "file_type": "source",
        "start_line": 5,
        "end_line": 8,
        "signature": "def greet(self, name)",
        "doc": "Say hello.",
        "complexity": 2,
        "embedder": default_embedder().name,
    }
    assert htm.get_text("b.py::main#2") == "def main():\n    again()"
    assert htm.get_text("b.py::Greeter") == "class Greeter:\n    def greet(self, name):"


@pytest.mark.parametrize(
    ("given", "key"),
    [("src", "src/m.py"), ("./src", "src/m.py"), ("src/", "src/m.py"), (".", "src/m.py"), ("src/../src", "src/m.py"), ("", None)],
)
def test_keys_are_the_path_as_given_normalised_and_joined(given: str, key: str | None, tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"src/m.py": SOURCE})
    crawler = CodeBaseCrawler(htm)
    if key is None:
        with pytest.raises(ValidationError):
            crawler.crawl_directory(given)
    else:
        assert [result["path"] for result in crawler.crawl_directory(given)] == [key]
        assert [result["path"] for result in crawler.crawl_directory(Path(given))] == [key]


def test_keys_of_an_absolute_path_are_absolute_and_of_a_parent_start_with_dots(
    tree: Path, htm: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {"src/m.py": SOURCE, "n.py": SOURCE})
    crawler = CodeBaseCrawler(htm)
    assert [result["path"] for result in crawler.crawl_directory(tree / "src")] == [f"{tree.as_posix()}/src/m.py"]
    monkeypatch.chdir(tree / "src")
    assert [result["path"] for result in crawler.crawl_directory("..")] == ["../n.py", "../src/m.py"]
    assert [result["path"] for result in crawler.crawl_directory(".")] == ["m.py"]
    assert [result["status"] for result in crawler.crawl_directory("..")] == ["unchanged", "unchanged"]
    assert key_prefix("/") == "/"


def test_without_embeddings_nothing_is_stored(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": SOURCE})
    for _ in range(2):
        (result,) = crawler.crawl_directory(".", extract_embeddings=False)
        assert (result["embedding"], result["status"], result["content"]) == (None, "new", SOURCE)
    assert len(htm) == 0
    crawler.crawl_directory(".")
    (tree / "b.py").write_text("x = 1\n")
    (tree / "a.py").write_text("y = 1\n")
    results = crawler.crawl_directory(".", None, None, False)
    assert statuses(results) == {"a.py": "changed", "b.py": "new"}
    assert htm.get_text("a.py") == SOURCE


def test_iter_crawl_and_index_do_the_same(tree: Path, tmp_path: Path) -> None:
    make_tree(tree, {"a.py": SOURCE, "sub/b.js": "class A { m() {} }\n"})
    steps: list[tuple[int, int, str]] = []
    contents = []
    for name in ("crawl_directory", "iter_crawl", "index"):
        with HTMCore(tmp_path / name) as htm:
            crawler = CodeBaseCrawler(htm, symbols=True)
            callback = {} if name == "crawl_directory" else {"progress_callback": lambda *step: steps.append(step)}
            done = getattr(crawler, name)(".", **callback)
            report = done if name == "index" else (list(done), crawler.last_report)[1]
            assert (report.new, report.symbols, report.complete) == (2, 5, True)
            contents.append({key: (htm.get_text(key), htm.get_embedding(key)["metadata"]) for key in htm})  # type: ignore[index]
    assert contents[0] == contents[1] == contents[2]
    assert steps == [(1, 2, "a.py"), (2, 2, "sub/b.js")] * 2


# ---- again ----


def test_what_has_not_changed_is_neither_read_nor_embedded_again(
    tree: Path, htm: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = CountingEmbedder()
    crawler = CodeBaseCrawler(htm, embedder=embedder)
    make_tree(tree, {"a.py": SOURCE, "b.py": "x = 1\n", "empty.py": "", "c.bin": b"\0\0"})
    first = crawler.crawl_directory(".")
    versions = {key: htm.get_embedding(key)["version"] for key in htm}  # type: ignore[index]
    age_ledger(crawler, monkeypatch)
    embedder.texts.clear()
    monkeypatch.setattr("anam_py.crawler.analysis.read", None)
    report = crawler.index(".")
    assert (report.new, report.changed, report.unchanged, report.empty, report.bytes_read) == (0, 0, 3, 1, 0)
    assert report.reasons == {"binary": 1}
    monkeypatch.undo()
    monkeypatch.chdir(tree)
    commit, commits = batch.Ledger.commit, []
    with monkeypatch.context() as patch:
        patch.setattr(batch.Ledger, "commit", lambda self, **changes: (commits.append(changes), commit(self, **changes)))
        again = crawler.crawl_directory(".")
    (changes,) = commits
    assert {name for name, value in changes.items() if value} == {"roots"}  # when that was
    assert statuses(again) == dict.fromkeys(["a.py", "b.py", "empty.py"], "unchanged")
    for old, new in zip(first, again, strict=True):
        assert {**old, "status": "", "embedding": None} == {**new, "status": "", "embedding": None}
        assert np.array_equal(old["embedding"], new["embedding"])
    assert "".join(embedder.texts) == ""
    assert {key: htm.get_embedding(key)["version"] for key in htm} == versions  # type: ignore[index]


def age_ledger(crawler: CodeBaseCrawler, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the ledger remember the files' times, as it does once they are some seconds old."""
    monkeypatch.setattr("anam_py.crawler.known._CLOCK_TICK_NS", -(10**12))
    crawler.index(".")


def test_a_file_that_was_only_touched_is_unchanged(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    make_tree(tree, {"a.py": SOURCE})
    crawler.crawl_directory(".")
    os.utime(tree / "a.py", ns=(1, 1))
    assert statuses(crawler.crawl_directory(".")) == {"a.py": "unchanged"}


def test_a_change_of_the_same_size_within_a_tick_or_with_the_time_set_back_is_seen(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    make_tree(tree, {"a.py": "x = 1\n", "b.py": "x = 1\n"})
    age(tree)
    crawler.crawl_directory(".")
    (tree / "a.py").write_text("x = 2\n")
    (tree / "b.py").write_text("x = 2\n")
    age(tree)
    assert statuses(crawler.crawl_directory(".")) == {"a.py": "changed", "b.py": "changed"}


def test_changed_files_record_what_has_changed(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": SOURCE, "b.py": SOURCE})
    crawler.crawl_directory(".")
    (tree / "a.py").write_text("# first\n" + SOURCE.replace("you", "all"))
    assert statuses(crawler.crawl_directory(".")) == {"a.py": "changed", "b.py": "unchanged"}
    record = htm.get_embedding("a.py")
    assert record is not None
    assert record["version"] == 2
    assert record["diff_ops"] == [
        {"op": "insert", "pos": 0, "count": 0, "lines": ["# first\n"]},
        {"op": "replace", "pos": 10, "count": 1, "lines": ['    return Greeter().greet("all")\n']},
    ]
    assert htm.get_embedding("b.py")["version"] == 1  # type: ignore[index]


def test_symbols_follow_their_file(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": "def one():\n    pass\n\ndef two():\n    pass\n\ndef three():\n    pass\n"})
    crawler.crawl_directory(".")
    (tree / "a.py").write_text("def one():\n    pass\n\ndef three():\n    pass\n\ndef four():\n    pass\n")
    crawler.crawl_directory(".")
    assert list(htm) == ["a.py", "a.py::four", "a.py::one", "a.py::three"]
    versions = {key: htm.get_embedding(key)["version"] for key in htm}  # type: ignore[index]
    assert versions == {"a.py": 2, "a.py::four": 1, "a.py::one": 1, "a.py::three": 2}
    assert htm.get_embedding("a.py::three")["metadata"]["start_line"] == 4  # type: ignore[index]
    (tree / "a.py").unlink()
    crawler.crawl_directory(".")
    assert list(htm) == []


def test_symbols_are_added_when_they_come_to_be_wanted_and_stay_when_they_are_not(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"a.py": "def one():\n    pass\n"})
    CodeBaseCrawler(htm).crawl_directory(".")
    assert list(htm) == ["a.py"]
    CodeBaseCrawler(htm, symbols=True).crawl_directory(".")
    assert list(htm) == ["a.py", "a.py::one"]
    assert statuses(CodeBaseCrawler(htm).crawl_directory(".")) == {"a.py": "unchanged"}
    assert statuses(CodeBaseCrawler(htm, symbols=True).crawl_directory(".")) == {"a.py": "unchanged"}
    (tree / "a.py").write_text("def two():\n    pass\n")
    CodeBaseCrawler(htm).crawl_directory(".")
    assert list(htm) == ["a.py"]


def test_what_is_gone_is_forgotten_and_what_is_left_out_is_kept(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"src/a.py": SOURCE, "src/b.js": "f()", "src/old.py": SOURCE, "src/sub/c.py": SOURCE, "other/d.py": SOURCE})
    crawler.index(".")
    (tree / "src/old.py").rename(tree / "src/new.py")
    (tree / "src/sub/c.py").unlink()
    (tree / "src/b.js").unlink()
    (tree / "other/d.py").unlink()
    report = crawler.index("src", ["*.py"], ["sub"])
    assert (report.new, report.forgotten) == (1, 1)
    assert [key for key in htm if "::" not in key] == ["other/d.py", "src/a.py", "src/b.js", "src/new.py", "src/sub/c.py"]
    assert crawler.index("src").forgotten == 2
    assert crawler.index(".").forgotten == 1
    assert {key.partition("::")[0] for key in htm} == {"src/a.py", "src/new.py"}


def test_a_file_that_comes_back_or_goes_back_is_right_whatever_root_is_crawled(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    make_tree(tree, {"src/a.py": "one = 1\n"})
    crawler.crawl_directory("src")
    (tree / "src/a.py").write_text("two = 2\n")
    crawler.crawl_directory(".")
    (tree / "src/a.py").write_text("one = 1\n")
    assert statuses(crawler.crawl_directory("src")) == {"src/a.py": "changed"}
    (tree / "src/a.py").unlink()
    crawler.crawl_directory(".")
    (tree / "src/a.py").write_text("one = 1\n")
    assert statuses(crawler.crawl_directory("src")) == {"src/a.py": "new"}
    assert htm.get_text("src/a.py") == "one = 1\n"


def test_what_was_deleted_from_the_store_is_taken_in_again(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    make_tree(tree, {"a.py": SOURCE, "b.py": "x = 1\n"})
    crawler.crawl_directory(".")
    htm.delete("a.py")
    assert crawler.index(".").unchanged == 1
    htm.delete("b.py")
    crawler.crawl_directory(".")
    assert list(htm) == ["a.py", "b.py"]


def test_a_file_that_is_no_longer_fit_leaves_the_store_and_comes_back_when_it_is(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm, symbols=True, max_file_bytes=1000)
    names = ["binary.py", "empty.py", "ignored.py", "large.py", "link.py"]
    make_tree(tree, dict.fromkeys([*names, "good.py"], SOURCE))
    crawler.index(".")
    assert len([key for key in htm if "::" not in key]) == 6
    (tree / "binary.py").write_bytes(b"\0")
    (tree / "empty.py").write_text("")
    (tree / ".gitignore").write_text("ignored.py\n.gitignore\n")
    (tree / "large.py").write_text("x" * 1001)
    (tree / "link.py").unlink()
    (tree / "link.py").symlink_to("good.py")
    report = crawler.index(".")
    assert {key.partition("::")[0] for key in htm} == {"good.py"}
    assert report.reasons == {"symbolic link": 1, "binary": 1, "oversized": 1}
    assert (report.changed, report.empty, report.forgotten) == (1, 1, 1)
    (tree / ".gitignore").unlink()
    (tree / "link.py").unlink()
    make_tree(tree, dict.fromkeys(names, SOURCE))
    crawler.index(".")
    assert len([key for key in htm if "::" not in key]) == 6


def test_rows_that_users_stored_themselves_are_left_alone(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    htm.store_embedding("mine", np.ones(768), {"kind": "note"})
    htm.store_embedding("gone.py", np.ones(768), {})
    make_tree(tree, {"a.py": "x = 1\n"})
    crawler.crawl_directory(".")
    (tree / "a.py").unlink()
    crawler.crawl_directory(".")
    assert list(htm) == ["gone.py", "mine"]


# ---- batches, interruptions ----


def test_many_files_are_committed_together_and_batches_are_bounded(
    tree: Path, htm: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {f"{number:03}.py": f"x = {number}\n" for number in range(100)})
    commits: list[int] = []
    commit = batch.Ledger.commit
    monkeypatch.setattr(
        batch.Ledger, "commit", lambda self, **changes: (commits.append(len(changes["entries"])), commit(self, **changes))
    )
    monkeypatch.setattr(batch, "_MAX_ROWS", 60)
    CodeBaseCrawler(htm).index(".")
    assert commits == [30, 30, 30, 10]


def test_what_iter_crawl_has_given_is_stored_and_the_next_crawl_carries_on(
    tree: Path, htm: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_MAX_ROWS", 20)
    make_tree(tree, {f"{number:03}.py": f"x = {number}\n" for number in range(40)})
    crawler = CodeBaseCrawler(htm)
    crawl = crawler.iter_crawl(".")
    given = [next(crawl)["path"] for _ in range(12)]
    crawl.close()  # type: ignore[attr-defined]
    stored = set(htm)
    assert set(given) <= stored
    assert not crawler.last_report.complete
    report = crawler.index(".")
    assert (report.unchanged, report.new, report.complete) == (len(stored), 40 - len(stored), True)


def test_an_exception_in_the_callback_stops_the_crawl_and_leaves_the_store_whole(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {f"{number}.py": SOURCE for number in range(5)})
    crawler = CodeBaseCrawler(htm, symbols=True)

    def failing(done: int, total: int, path: str) -> None:
        if done == 3:
            raise KeyError(path, total)

    with pytest.raises(KeyError):
        crawler.index(".", progress_callback=failing)
    assert htm.verify() == []
    assert crawler.index(".").new + len([key for key in htm if "::" not in key]) >= 5
    assert len(htm) == 20


def test_two_crawlers_may_crawl_at_once(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {f"{folder}/{number}.py": SOURCE for folder in "ab" for number in range(30)})
    threads = [
        threading.Thread(target=CodeBaseCrawler(htm, symbols=True).crawl_directory, args=(folder,)) for folder in ("a", "b", ".")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(htm) == 60 * 4
    assert htm.verify() == []
    assert CodeBaseCrawler(htm, symbols=True).index(".").unchanged == 60


# ---- refusals ----


def test_a_missing_folder_a_file_and_an_unreadable_folder_are_refused(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.py": SOURCE})
    with pytest.raises(CrawlerError, match="there is no directory 'missing'"):
        crawler.crawl_directory("missing")
    with pytest.raises(CrawlerError, match=r"'a\.py' is not a directory: call analyze_file"):
        crawler.iter_crawl("a.py")
    with pytest.raises(ValidationError, match="include_patterns"):
        crawler.crawl_directory(".", "*.py")
    with pytest.raises(ValidationError, match="exclude_patterns"):
        crawler.crawl_directory(".", None, [1])  # type: ignore[list-item]
    with pytest.raises(ValidationError):
        crawler.crawl_directory(7)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "arguments",
    [{"htm_core": "store"}, {"embedder": "words"}, {"max_file_bytes": 0}, {"max_line_bytes": "1"}, {"max_file_bytes": True}],
)
def test_wrong_arguments_are_refused(arguments: dict[str, Any], htm: HTMCore) -> None:
    with pytest.raises(ValidationError, match=next(iter(arguments))):
        CodeBaseCrawler(**({"htm_core": htm} | arguments))


# ---- single files ----


async def test_a_callback_that_cannot_be_called_is_refused_before_anything_is_done(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"a.py": SOURCE})
    crawler = CodeBaseCrawler(htm)
    wrong: Any = "progress"
    for call in (crawler.iter_crawl, crawler.index):
        with pytest.raises(ValidationError, match="progress_callback must be callable"):
            call(".", progress_callback=wrong)
    with pytest.raises(ValidationError, match="progress_callback must be callable"):
        await crawler.crawl_directory_async(".", progress_callback=wrong)
    with pytest.raises(ValidationError, match="progress_callback must be callable"):
        crawler.reembed(progress_callback=wrong)
    assert len(htm) == 0


def test_patterns_that_can_match_nothing_are_noted(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"src/a.py": SOURCE})
    report = crawler.index(".", ["src/*.py", "/src/*.py", "[a"], ["../*"])
    assert report.new == 1
    assert [note.partition(" can ")[0] for note in report.notes] == [
        "include_patterns: '/src/*.py'",
        "include_patterns: '[a'",
        "exclude_patterns: '../*'",
    ]


def test_analyze_file_gives_metadata_nested_and_at_top_level(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"src/a.py": SOURCE})
    analysis = crawler.analyze_file("./src/a.py")
    assert analysis["path"] == "src/a.py"
    assert analysis["content"] == SOURCE
    assert analysis["metadata"]["complexity_score"] == analysis["complexity_score"] == 1.5
    assert analysis["file_type"] == "source"
    assert crawler.analyze_file(tree / "src/a.py")["path"] == f"{tree.as_posix()}/src/a.py"
    assert len(htm) == 0


def test_analyze_file_refuses_what_a_crawl_would_pass_over(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, {"a.bin": b"\0", "big.py": "x" * (1 << 21), "dir/b.py": ""})
    for path, message in {
        "missing.py": "there is no file 'missing.py'",
        "dir": "'dir' is a directory: call crawl_directory",
        "a.bin": "'a.bin' cannot be taken in: binary",
        "big.py": "'big.py' cannot be taken in: oversized",
    }.items():
        with pytest.raises(CrawlerError, match=message):
            crawler.analyze_file(path)


# ---- the fault table ----


def test_row_44_what_is_too_large_is_passed_over_and_reported(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"big.py": "x = 1\n" * 200, "bundle.js": "x" * 30_000, "good.py": "x = 1\n"})
    crawler = CodeBaseCrawler(htm, max_file_bytes=40_000, max_line_bytes=20_000)
    with (tree / "sparse.py").open("wb") as file:
        file.truncate(1 << 40)
    assert statuses(crawler.crawl_directory(".")) == {"big.py": "new", "good.py": "new"}
    assert [str(skip) for skip in crawler.last_report.skipped] == [
        "bundle.js: long line (30,000 bytes, the limit is 20,000)",
        "sparse.py: oversized (1,099,511,627,776 bytes, the limit is 40,000)",
    ]
    assert len(CodeBaseCrawler(htm, max_file_bytes=1000).crawl_directory(".")) == 1
    assert list(htm) == ["good.py"]
    assert len(CodeBaseCrawler(htm, max_line_bytes=40_000).crawl_directory(".")) == 3


def test_row_45_every_kind_of_text_is_taken_in_and_lines_stay_lines(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    source = "# é\r\ndef crlf():\r\n    pass\r\n"
    make_tree(
        tree,
        {
            "bom.py": b"\xef\xbb\xbf" + source.encode(),
            "utf16.py": source.encode("utf-16"),
            "latin.py": b"# coding: latin-1\r\n" + source.encode("latin-1"),
            "broken.py": source.encode("latin-1"),
            "binary.py": source.encode() + b"\0",
        },
    )
    results = {result["path"]: result for result in crawler.crawl_directory(".")}
    assert {path: result["metadata"]["encoding"] for path, result in results.items()} == {
        "bom.py": "utf-8",
        "broken.py": "utf-8",
        "latin.py": "iso8859-1",
        "utf16.py": "utf-16-le",
    }
    assert results["bom.py"]["content"] == source
    assert results["broken.py"]["content"] == source.replace("é", "\ufffd")
    assert results["broken.py"]["metadata"]["notes"] == ["invalid utf-8, decoded with replacement"]
    assert results["utf16.py"]["metadata"]["line_count"] == 3
    assert htm.get_embedding("utf16.py::crlf")["metadata"]["start_line"] == 2  # type: ignore[index]
    assert htm.get_text("utf16.py") == source
    assert crawler.last_report.reasons == {"binary": 1}
    assert crawler.index(".").unchanged == 4


def test_row_46_a_file_that_keeps_changing_is_passed_over_and_what_was_stored_stays(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {"a.py": SOURCE})
    crawler.index(".")
    (tree / "a.py").write_text("x = 1\n")
    monkeypatch.setattr(reading, "_read_once", lambda *_: None)
    report = crawler.index(".")
    assert report.reasons == {"changing": 1}
    assert htm.get_text("a.py") == SOURCE


def test_row_46_a_file_that_vanishes_between_the_walk_and_the_reading_is_forgotten(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    make_tree(tree, {"a.py": SOURCE, "b.py": SOURCE})
    crawler.index(".")
    (tree / "b.py").write_text("changed = 1\n")
    report = crawler.index(".", progress_callback=lambda done, *_: (tree / "b.py").unlink() if done == 1 else None)
    assert report.reasons == {"vanished": 1}
    assert report.forgotten == 1
    assert {key.partition("::")[0] for key in htm} == {"a.py"}


def test_row_47_what_cannot_be_read_is_reported_and_what_was_stored_stays(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {"a.py": SOURCE, "locked/b.py": SOURCE, "c.py": SOURCE})
    crawler.index(".")
    (tree / "c.py").write_text("x = 1\n")
    scandir, open_ = os.scandir, os.open

    def no_scandir(path: Any = ".") -> Any:
        if str(path).rstrip("/").endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    def no_open(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).endswith("c.py"):
            raise PermissionError(13, "Permission denied", path)
        return open_(path, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", no_scandir)
        patch.setattr(os, "open", no_open)
        report = crawler.index(".")
    assert [str(skip) for skip in report.skipped] == [
        "locked: unreadable (Permission denied)",
        "c.py: unreadable (Permission denied)",
    ]
    assert report.forgotten == 0
    assert htm.get_text("c.py") == SOURCE
    assert htm.get_text("locked/b.py") == SOURCE
    assert crawler.index(".").changed == 1


@pytest.mark.parametrize("root", [".", "src"])
def test_row_47_a_root_that_can_no_longer_be_read_forgets_nothing(
    root: str, tree: Path, htm: HTMCore, crawler: CodeBaseCrawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {"src/a.py": SOURCE})
    crawler.index(root)
    scandir, looks = os.scandir, itertools.count()

    def refusing(path: Any = ".") -> Any:
        if next(looks):  # at the second look, after the check that there is a folder
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refusing)
        report = crawler.index(root)
    assert (report.reasons, report.forgotten) == ({"unreadable": 1}, 0)
    assert htm.get_text("src/a.py") == SOURCE


@pytest.mark.parametrize("repository", [True, False])
def test_row_49_names_that_are_not_utf8_come_and_go(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler, *, repository: bool
) -> None:
    if repository:
        git(tree, "init", "-q")
    place = Path(os.fsdecode(os.fsencode(tree) + b"/caf\xe9\n::x.py"))
    place.write_text(SOURCE)
    (result,) = crawler.crawl_directory(".")
    assert result["path"] == "caf\\xe9\n:\\x3ax.py"
    assert json.loads(json.dumps(result["metadata"])) == result["metadata"]
    assert "caf\\xe9\n:\\x3ax.py::Greeter.greet" in htm
    assert crawler.index(".").unchanged == 1
    place.unlink()
    assert crawler.index(".").forgotten == 1
    assert len(htm) == 0


def test_row_49_two_names_are_never_written_as_one() -> None:
    names = ["a\udcff", r"a\xff", r"a\x5cxff", "a\\", "a::b", r"a:\x3ab", "a:b", "ÿ"]
    assert len({written(name) for name in names}) == len(names)


@given(st.lists(st.sampled_from([*b"ax:\\\xff\xc3\xa9 /\n"]), min_size=1, max_size=12))
def test_row_49_a_name_is_read_back_as_it_was_written(name: list[int]) -> None:
    path = os.fsdecode(bytes(name))
    assert unwritten(written(path)) == path


def test_row_50_symbols_whose_keys_are_too_long_are_left_out(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    folder = "/".join(["d" * 200] * 5)
    make_tree(tree, {f"{folder}/a.py": f"def {'f' * 100}(): pass\ndef g(): pass\n"})
    crawler.index(".")
    assert [key.partition("::")[2] for key in htm] == ["", "g"]


def test_a_file_with_very_many_names_is_still_taken_in(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"a.py": "".join(f"def {'ü' * 190}{number}(): pass\n" for number in range(1900))})
    (result,) = CodeBaseCrawler(htm).crawl_directory(".")
    assert "a.py" in htm
    assert result["metadata"]["notes"]


def test_the_store_itself_is_neither_crawled_nor_skipped_but_other_stores_are(tree: Path) -> None:
    with HTMCore(tree / "data/htm") as htm:
        make_tree(tree, {"a.py": "x = 1\n"})
        crawler = CodeBaseCrawler(htm)
        assert [result["path"] for result in crawler.crawl_directory(".")] == ["a.py"]
        assert crawler.last_report.skipped == []
        assert crawler.index(".").unchanged == 1
        HTMCore(tree / "other").close()
        assert [str(skip) for skip in crawler.index(".").skipped] == ["other: store"]
