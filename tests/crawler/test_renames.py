"""Files that were renamed keep their past: counted as such, and followed by their history."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from trees import make_tree

from anam_py import CodeBaseCrawler, HTMCore
from anam_py.crawler import Version, history
from anam_py.crawler.renames import Renames
from anam_py.crawler.versions import _done, _texts, _undone
from anam_py.store import File, diff_ops

LINES = [f"line_{number} = {number}\n" for number in range(20)]


def edit(path: Path, *lines: str) -> None:
    path.write_text("".join(lines))


def shown(versions: Sequence[Version]) -> list[tuple[str, int, int]]:
    return [(version.path, version.version, len(version.hunks)) for version in versions]


# ---- renames ----


def test_a_renamed_file_is_new_under_its_name_and_says_what_it_was_called(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"a.py": "x = 1\n", "b.py": "y = 1\n"})
    crawler = CodeBaseCrawler(htm)
    crawler.index(".")
    (tree / "a.py").rename(tree / "c.py")
    (result, new) = crawler.crawl_directory(".")
    assert (new["path"], new["status"], new["metadata"]["renamed_from"]) == ("c.py", "new", "a.py")
    assert "renamed_from" not in result["metadata"]
    report = crawler.last_report
    assert (report.renamed, report.new, report.forgotten) == ({"c.py": "a.py"}, 1, 1)
    assert set(htm) == {"b.py", "c.py"}
    assert htm.get_embedding("c.py")["metadata"]["renamed_from"] == "a.py"  # type: ignore[index]
    assert crawler.index(".").renamed == {}


def test_a_copy_is_no_rename_nor_is_a_file_that_was_edited_on_the_way(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"a.py": "x = 1\n", "b.py": "y = 1\n", "empty.py": ""})
    crawler = CodeBaseCrawler(htm)
    crawler.index(".")
    make_tree(tree, {"copy.py": "x = 1\n", "c.py": "y = 2\n"})
    (tree / "b.py").unlink()
    (tree / "empty.py").rename(tree / "void.py")
    report = crawler.index(".")
    assert (report.renamed, report.new, report.forgotten) == ({}, 3, 2)


def test_a_folder_that_was_renamed_takes_its_files_along(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {f"old/{name}.py": "same = 1\n" for name in "abc"} | {"old/deep/d.py": "x = 1\n"})
    crawler = CodeBaseCrawler(htm)
    crawler.index(".")
    (tree / "old").rename(tree / "new")
    expected = {f"new/{name}.py": f"old/{name}.py" for name in ("a", "b", "c", "deep/d")}
    assert crawler.index(".").renamed == expected


def test_of_files_with_one_content_each_is_the_former_name_of_one() -> None:
    renames = Renames(File(path, 1, 1, "1:same", "indexed", "") for path in ("a/x.py", "b/y.py"))
    assert renames.former_name("c/y.py", "same") == "b/y.py"
    assert renames.former_name("c/z.py", "same") == "a/x.py"
    assert renames.former_name("c/x.py", "same") is None
    assert renames.former_name("c/x.py", "other") is None


# ---- history ----


def test_the_history_of_a_file_shows_what_changed_with_the_lines_around_it(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    edit(tree / "a.py", *LINES)
    crawler.index(".")
    edit(tree / "a.py", *LINES[:10], "added = 1\n", *LINES[10:])
    crawler.index(".")
    edit(tree / "a.py", *LINES[:5], *LINES[6:10], "added = 2\n", *LINES[10:])
    crawler.index(".")
    first, second, third = history(htm, "a.py")
    assert (first.hunks, first.is_same, first.version) == ([], False, 1)
    (hunk,) = second.hunks
    assert (hunk.old_start, hunk.new_start) == (8, 8)
    assert (hunk.before, hunk.removed, hunk.added) == (["line_7 = 7", "line_8 = 8", "line_9 = 9"], [], ["added = 1"])
    assert hunk.after == ["line_10 = 10", "line_11 = 11", "line_12 = 12"]
    deleted, replaced = third.hunks
    assert (deleted.removed, deleted.added) == ([None], [])  # its text is nowhere any more
    assert (replaced.removed, replaced.added) == (["added = 1"], ["added = 2"])  # it came in and went
    assert deleted.after == ["line_6 = 6", "line_7 = 7", "line_8 = 8"]
    assert (replaced.before, replaced.old_start, replaced.new_start) == (["line_9 = 9"], 10, 9)


def test_the_history_of_a_renamed_file_goes_on_from_what_it_was_called(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    edit(tree / "a.py", "x = 1\n")
    crawler.index(".")
    for number in range(2, 4):
        edit(tree / "a.py", f"x = {number}\n")
        crawler.index(".")
    (tree / "a.py").rename(tree / "b.py")
    crawler.index(".")
    edit(tree / "b.py", "x = 4\n")
    edit(tree / "a.py", "something = 'else'\n")
    crawler.index(".")
    versions = history(htm, "b.py")
    assert shown(versions) == [("a.py", 1, 0), ("a.py", 2, 1), ("a.py", 3, 1), ("b.py", 1, 0), ("b.py", 2, 1)]
    assert [version.is_same for version in versions] == [False, False, False, True, False]
    assert versions[-1].hunks[0].removed == ["x = 3"]
    assert versions[1].hunks[0].removed == [None]
    assert [(version.path, version.version) for version in history(htm, "a.py")] == [
        ("a.py", 1),
        ("a.py", 2),
        ("a.py", 3),
        ("a.py", 4),
    ]


def test_a_name_that_was_given_back_is_followed_through_both_renames(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    edit(tree / "a.py", "x = 1\n")
    crawler.index(".")
    for old, new in (("a.py", "b.py"), ("b.py", "a.py")):
        (tree / old).rename(tree / new)
        crawler.index(".")
    assert shown(history(htm, "a.py")) == [("a.py", 1, 0), ("b.py", 1, 0), ("a.py", 2, 0)]


def test_a_file_that_was_deleted_still_has_a_history(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm)
    edit(tree / "a.py", "x = 1\n")
    crawler.index(".")
    edit(tree / "a.py", "x = 1\ny = 1\n")
    crawler.index(".")
    (tree / "a.py").unlink()
    crawler.index(".")
    (_, second) = history(htm, "a.py")
    assert second.hunks[0].added == ["y = 1"]
    edit(tree / "a.py", "z = 1\n")
    crawler.index(".")
    versions = history(htm, "a.py")
    assert shown(versions) == [("a.py", 1, 0), ("a.py", 2, 1), ("a.py", 3, 0)]
    assert not versions[-1].is_same


def test_nothing_has_no_history(htm: HTMCore) -> None:
    assert history(htm, "a.py") == history(htm, "a.py::f") == []


def test_the_history_of_a_symbol_shows_its_own_changes_only(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    def write(first: str, second: str, name: str = "a.py") -> None:
        edit(tree / name, "import os\n\n", f"def one():\n    return {first}\n", "\n\n", f"def two():\n    return {second}\n")
        crawler.index(".")

    write("1", "1")
    write("2", "1")
    write("2", "2")
    write("1 +\\\n        1", "2")  # moves the other down
    (tree / "a.py").rename(tree / "b.py")
    crawler.index(".")
    write("3", "3", "b.py")
    two = history(htm, "b.py::two")
    assert [(version.path, version.version) for version in two] == [("a.py", 1), ("a.py", 3), ("b.py", 2)]
    assert [[hunk.added for hunk in version.hunks] for version in two] == [[], [["    return 2"]], [["    return 3"]]]
    one = history(htm, "b.py::one")
    assert [(version.path, version.version) for version in one] == [("a.py", 1), ("a.py", 2), ("a.py", 4), ("b.py", 2)]


TEXTS = st.lists(st.lists(st.sampled_from(["a\n", "b\n", "c\n", "\n"]), max_size=12), min_size=1, max_size=6)


@given(TEXTS)
def test_what_is_known_of_a_version_is_what_it_was(versions: list[list[str]]) -> None:
    texts = ["".join(lines) for lines in versions]
    recorded: list[tuple[str, dict[str, Any]]] = []
    for index, text in enumerate(texts):
        ops = diff_ops(texts[index - 1], text) if index else []
        recorded.append(("a.py", {"metadata": {"content_hash": text, "line_count": len(versions[index])}, "diff_ops": ops}))
    expected = [[line.removesuffix("\n") for line in lines] for lines in versions]
    for known, whole in zip(_texts(recorded, texts[-1]), expected, strict=True):
        assert [line if seen is not None else None for seen, line in zip(known, whole, strict=True)] == known
    assert _texts(recorded, texts[-1])[-1] == expected[-1]
    for index in range(1, len(texts)):
        ops = recorded[index][1]["diff_ops"]
        assert _done(ops, list(expected[index - 1])) == expected[index]
        assert len(_undone(ops, list(expected[index]))) == len(expected[index - 1])
