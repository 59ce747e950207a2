"""Whether an index is complete, and how the disk differs from it."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from trees import git, make_tree

from anam_py import CodeBaseCrawler, CrawlerError, HTMCore
from anam_py.crawler import IndexStatus
from anam_py.crawler.known import INDEXED, KnownFiles
from anam_py.crawler.reading import read
from anam_py.store import File, Ledger

FILES = {"a.py": "def one(): pass\n", "src/b.py": "def two(): pass\n", "src/deep/c.py": "x = 1\n", "empty.py": "", "d.bin": b"\0"}


@dataclass
class Index:
    """A folder with its store inside, as the command line has it."""

    folder: Path
    crawler: CodeBaseCrawler

    def status(self, *, thorough: bool = True) -> IndexStatus:
        return self.crawler.status(thorough=thorough)

    def both(self) -> tuple[IndexStatus, IndexStatus]:
        """Return what a look and what a thorough look tell."""
        return self.status(thorough=False), self.status()

    def refresh(self) -> None:
        self.crawler.index(".")


@pytest.fixture
def index(tree: Path) -> Iterator[Index]:
    """Return a small folder that was indexed and is as it was indexed, its files old enough to be told by their times."""
    make_tree(tree, FILES)
    settle(tree)
    with HTMCore(tree / ".anam", durability="normal") as htm:
        crawler = CodeBaseCrawler(htm, symbols=True)
        crawler.index(".")
        yield Index(tree, crawler)


def settle(folder: Path) -> None:
    """Let the times of folders be old: what was made just before a crawl makes it look for more, which it does not find."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir():
            os.utime(path, ns=(10**18, 10**18))


def age(index: Index) -> None:
    """Let the ledger be certain of its files, as it is of files that were some seconds old when they were read."""
    ledger = Ledger(index.crawler._htm)
    ledger.commit(files=[row._replace(mtime_ns=abs(row.mtime_ns)) for row in ledger.files().values()])


def differences(status: IndexStatus) -> dict[str, tuple[str, ...]]:
    names = ("changed", "touched", "deleted", "new")
    return {name: getattr(status, name) for name in names if getattr(status, name)}


# ---- nothing has happened ----


@pytest.mark.parametrize("certain", [True, False])
def test_what_was_just_indexed_is_up_to_date_though_its_files_were_just_written(index: Index, *, certain: bool) -> None:
    if certain:
        age(index)
    for status in index.both():
        assert differences(status) == {}
        assert status.up_to_date
        assert status.complete is True
        assert (status.indexed, status.empty, status.reasons) == (3, 1, {"binary": 1})


def test_a_status_names_the_root_its_times_and_what_it_was_asked_for(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, FILES)
    before = time.time()
    CodeBaseCrawler(htm).index("src", ["*.py", "/x"], ["deep"])
    status = CodeBaseCrawler(htm).status()
    (root,) = status.roots.values()
    assert list(status.roots) == ["src/"]
    assert root.path == str(tree / "src")
    assert root.ended is not None
    assert before <= root.started <= root.ended <= time.time()
    assert (root.include, root.exclude, root.symbols) == (["*.py", "/x"], ["deep"], False)
    assert [note.partition(" can ")[0] for note in root.notes] == ["include_patterns: '/x'"]
    assert status.up_to_date


def test_a_store_that_nothing_was_indexed_into_is_not_complete(htm: HTMCore) -> None:
    status = CodeBaseCrawler(htm).status()
    assert (status.complete, status.up_to_date, status.indexed) == (False, False, 0)


def test_of_an_index_of_an_earlier_version_it_is_not_known_whether_it_is_complete(index: Index) -> None:
    Ledger(index.crawler._htm).commit(roots={"": None})
    for status in index.both():
        assert (status.complete, status.up_to_date, status.unplaced) == (None, False, 4)
    index.refresh()
    assert index.status().up_to_date


def test_files_that_an_earlier_version_analysed_are_counted_until_they_are_taken_in_anew(index: Index) -> None:
    ledger = Ledger(index.crawler._htm)
    ledger.commit(files=[row._replace(hash="0:" + row.hash[2:]) for row in ledger.files().values() if row.outcome == "indexed"])
    assert [(status.outdated, status.up_to_date) for status in index.both()] == [(3, False)] * 2
    index.refresh()
    assert index.status().up_to_date


# ---- files ----


def test_a_file_that_was_edited_has_changed(index: Index) -> None:
    (index.folder / "src/b.py").write_text("def longer_than_before(): pass\n")
    for status in index.both():
        assert differences(status) == {"changed": ("src/b.py",)}
        assert not status.up_to_date
    index.refresh()
    assert index.status().up_to_date


@pytest.mark.parametrize("certain", [True, False])
def test_a_change_of_the_same_size_may_be_one_until_the_file_is_read(index: Index, *, certain: bool) -> None:
    if certain:
        age(index)
    time.sleep(0.02)  # a tick of the kernel's clock
    (index.folder / "src/b.py").write_text("def tow(): pass\n")
    look, thorough = index.both()
    assert differences(look) == {"touched": ("src/b.py",)}
    assert differences(thorough) == {"changed": ("src/b.py",)}


def test_a_file_that_was_touched_may_have_changed_until_it_is_read(index: Index) -> None:
    os.utime(index.folder / "a.py", ns=(1, 1))
    os.utime(index.folder / "empty.py")
    look, thorough = index.both()
    assert differences(look) == {"touched": ("a.py", "empty.py")}
    assert thorough.up_to_date
    index.refresh()
    assert index.status(thorough=False).up_to_date


def test_a_change_is_seen_though_the_time_was_set_back(index: Index) -> None:
    path = index.folder / "a.py"
    times = path.stat()
    path.write_text("def eno(): pass\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert differences(index.status()) == {"changed": ("a.py",)}


def test_a_file_that_was_replaced_by_one_of_the_same_size_and_time_has_changed(index: Index) -> None:
    path = index.folder / "a.py"
    times = path.stat()
    other = index.folder.parent / "other.py"
    other.write_text("def eno(): pass\n")
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)
    assert index.status(thorough=False).touched == ("a.py",)
    assert index.status().changed == ("a.py",)


@pytest.mark.parametrize("when", [0, 1, 2**33 * 10**9])
def test_odd_times_are_no_change_and_hide_none(index: Index, when: int) -> None:
    path = index.folder / "a.py"
    path.write_text("def three(): pass\n")
    os.utime(path, ns=(when, when))
    index.refresh()
    for status in index.both():
        assert status.up_to_date
    other = index.folder.parent / "other.py"
    other.write_text("def eerht(): pass\n")
    os.utime(other, ns=(when, when))
    other.replace(path)
    assert index.status(thorough=False).touched == ("a.py",)
    assert index.status().changed == ("a.py",)


def test_a_moment_of_which_an_earlier_version_said_nothing_is_settled_by_reading(index: Index) -> None:
    ledger = Ledger(index.crawler._htm)
    ledger.commit(files=[ledger.files()["a.py"]._replace(mtime_ns=0)])
    look, thorough = index.both()
    assert differences(look) == {"touched": ("a.py",)}
    assert thorough.up_to_date


def test_files_that_are_gone_or_no_files_any_more_are_deleted(index: Index) -> None:
    (index.folder / "a.py").unlink()
    (index.folder / "empty.py").unlink()
    (index.folder / "empty.py").mkdir()
    (index.folder / "src/b.py").unlink()
    (index.folder / "src/b.py").symlink_to("deep/c.py")
    for status in index.both():
        assert status.deleted == ("a.py", "empty.py", "src/b.py")
    index.refresh()
    assert index.status().up_to_date


def test_of_a_folder_that_is_gone_every_file_is_deleted(index: Index) -> None:
    shutil.rmtree(index.folder / "src")
    for status in index.both():
        assert differences(status) == {"deleted": ("src/b.py", "src/deep/c.py")}


def test_names_that_are_not_utf8_are_found_again(index: Index) -> None:
    place = Path(os.fsdecode(os.fsencode(index.folder) + b"/src/caf\xe9\n::x.py"))
    place.write_text("y = 1\n")
    index.refresh()
    for status in index.both():
        assert status.up_to_date
    place.unlink()
    assert index.status(thorough=False).deleted == ("src/caf\\xe9\n:\\x3ax.py",)


# ---- new files ----


@pytest.mark.parametrize("repository", [True, False])
@pytest.mark.parametrize("path", ["new.py", "src/deep/new.py", "src/fresh/deeper/new.py", "src/fresh.d/b.py"])
def test_new_files_are_found_where_they_are(index: Index, path: str, *, repository: bool) -> None:
    if repository:
        git(index.folder, "init", "-q")
    make_tree(index.folder, {path: "y = 1\n"})
    for status in index.both():
        assert differences(status) == {"new": (path,)}
    index.refresh()
    assert index.status().up_to_date


@pytest.mark.parametrize("repository", [True, False])
def test_what_is_ignored_or_left_out_is_not_new(index: Index, *, repository: bool) -> None:
    if repository:
        git(index.folder, "init", "-q")
    make_tree(index.folder, {".gitignore": "__pycache__/\n.gitignore\n"})
    index.crawler.index(".", None, ["*.log", "build"])
    make_tree(index.folder, {"src/__pycache__/b.pyc": "x", "run.log": "x", "build/x.py": "x", ".cache/x.py": "x"})
    make_tree(index.folder, {".cache/.gitignore": "*\n"})
    for status in index.both():
        assert status.up_to_date


def test_a_file_in_a_folder_that_held_none_is_found_by_a_thorough_look(index: Index) -> None:
    (index.folder / "later").mkdir()
    index.refresh()
    settle(index.folder)
    make_tree(index.folder, {"later/new.py": "y = 1\n"})
    assert index.status().new == ("later/new.py",)


def test_what_was_passed_over_is_new_once_it_can_be_taken_in(tree: Path, htm: HTMCore) -> None:
    crawler = CodeBaseCrawler(htm, max_file_bytes=100, max_line_bytes=50)
    make_tree(tree, {"big.py": "x" * 101, "long.py": "x" * 60, "was.bin": b"\0", "still.bin": b"\0"})
    (tree / "link.py").symlink_to("/")
    crawler.index(".")
    assert crawler.status().reasons == {"binary": 2, "oversized": 1, "long line": 1, "symbolic link out of the root": 1}
    assert crawler.status().up_to_date
    (tree / "link.py").unlink()
    make_tree(tree, {"big.py": "y", "long.py": "y", "was.bin": "y", "still.bin": b"\0\0", "link.py": "y"})
    assert crawler.status().new == ("big.py", "link.py", "long.py", "was.bin")
    crawler.index(".")
    assert crawler.status().up_to_date


def test_a_secret_that_has_changed_is_still_one(tree: Path, crawler: CodeBaseCrawler) -> None:
    key = "-----BEGIN PRIVATE KEY-----\n" + "A" * 64 + "\n-----END PRIVATE KEY-----\n"
    make_tree(tree, {".env": "A=1\n", "key.txt": key})
    crawler.index(".")
    assert crawler.status().reasons == {"secret": 2}
    make_tree(tree, {".env": "A=2\nB=3\n", "key.txt": key * 2})
    assert crawler.status().up_to_date
    make_tree(tree, {"key.txt": "None any more.\n"})
    assert crawler.status().new == ("key.txt",)


def test_what_could_not_be_read_is_listed_until_it_can_be(
    tree: Path, crawler: CodeBaseCrawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {"a.py": "x = 1\n", "locked/b.py": "y = 1\n", "c.py": "z = 1\n"})
    scandir, open_ = os.scandir, os.open

    def no_scandir(path: str = ".") -> object:
        if str(path).rstrip("/").endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    def no_open(path: str, *arguments: int) -> int:
        if str(path).endswith("c.py"):
            raise PermissionError(13, "Permission denied", path)
        return open_(path, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", no_scandir)
        patch.setattr(os, "open", no_open)
        crawler.index(".")
        status = crawler.status()
        assert [str(skip) for skip in status.skipped] == [
            "c.py: unreadable (Permission denied)",
            "locked: unreadable (Permission denied)",
        ]
        assert status.up_to_date
    assert crawler.status().new == ("c.py", "locked/b.py")
    crawler.index(".")
    status = crawler.status()
    assert (status.up_to_date, status.skipped, status.indexed) == (True, (), 3)


# ---- folders, stores and patterns ----


def test_an_index_that_moves_with_its_folder_is_as_fresh_as_it_was(index: Index) -> None:
    age(index)
    index.crawler._htm.close()
    moved = index.folder.with_name("moved")
    index.folder.rename(moved)
    with HTMCore(moved / ".anam", read_only=True) as htm:
        status = CodeBaseCrawler(htm).status(thorough=False)
        assert status.up_to_date
        assert [root.path for root in status.roots.values()] == [str(moved)]
        (moved / "a.py").unlink()
        assert CodeBaseCrawler(htm).status().deleted == ("a.py",)


def test_a_backup_under_another_name_speaks_of_the_folder_that_was_indexed(index: Index, tmp_path: Path) -> None:
    index.crawler._htm.backup(tmp_path / "backup")
    with HTMCore(tmp_path / "backup", read_only=True) as htm:
        assert CodeBaseCrawler(htm).status().up_to_date
        (index.folder / "a.py").unlink()
        assert CodeBaseCrawler(htm).status().deleted == ("a.py",)


def test_two_roots_in_one_store_are_told_apart(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"one/a.py": "x = 1\n", "two/a.py": "y = 1\n"})
    crawler = CodeBaseCrawler(htm)
    for name in ("one", "two"):
        crawler.index(tree / name)
    assert crawler.status().up_to_date
    (tree / "one/a.py").unlink()
    make_tree(tree, {"two/b.py": "z = 1\n"})
    prefix = tree.as_posix()
    for thorough in (False, True):
        assert differences(crawler.status(thorough=thorough)) == {
            "deleted": (f"{prefix}/one/a.py",),
            "new": (f"{prefix}/two/b.py",),
        }
    shutil.rmtree(tree / "one")
    assert [report.new for report in crawler.refresh()] == [1]  # what is gone as a whole may only be out of reach
    assert crawler.status().deleted == (f"{prefix}/one/a.py",)


def test_a_folder_that_is_gone_can_be_forgotten(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"one/a.py": "def f(): pass\n", "one/b.bin": b"\0", "two/a.py": "y = 1\n"})
    crawler = CodeBaseCrawler(htm, symbols=True)
    for name in ("one", "two"):
        crawler.index(name)
    shutil.rmtree(tree / "one")
    with pytest.raises(CrawlerError, match=r"nothing was crawled from 'on' into the store"):
        crawler.forget("on")
    assert crawler.forget("one") == 1
    assert list(htm) == ["two/a.py"]
    assert set(Ledger(htm).files()) == {"two/a.py"}
    assert crawler.status().up_to_date


def test_a_root_that_holds_another_one_speaks_for_it(tree: Path, htm: HTMCore) -> None:
    make_tree(tree, {"src/a.py": "x = 1\n", "b.py": "y = 1\n"})
    CodeBaseCrawler(htm).index("src")
    CodeBaseCrawler(htm).index(".", ["*.py"])
    assert list(CodeBaseCrawler(htm).status().roots) == ["", "src/"]
    CodeBaseCrawler(htm).index(".")
    assert list(CodeBaseCrawler(htm).status().roots) == [""]


def test_a_crawl_of_a_part_says_what_it_leaves_and_does_not_narrow_what_is_kept_up_to_date(index: Index) -> None:
    make_tree(index.folder, {"notes.md": "# Notes\n"})
    index.refresh()
    report = index.crawler.index(".", ["*.py"])
    assert report.notes == ["1 file that these patterns leave out stays in the index: index(prune=True) drops what is left out"]
    make_tree(index.folder, {"notes.md": "# Other notes\n", "more.md": "# More\n"})
    assert differences(index.status()) == {"changed": ("notes.md",), "new": ("more.md",)}
    (report,) = index.crawler.refresh()
    assert (report.new, report.changed, report.notes) == (1, 1, [])
    assert index.status().up_to_date


def test_pruning_drops_what_patterns_leave_out_and_what_is_not_wanted_of_symbols(index: Index) -> None:
    htm = index.crawler._htm
    make_tree(index.folder, {"notes.md": "# Notes\n"})
    index.refresh()
    report = CodeBaseCrawler(htm).index(".", ["*.py"])
    assert report.notes[1:] == ["symbols stay in the index for files that have not changed: index(prune=True) drops them"]
    assert "a.py::one" in htm
    report = CodeBaseCrawler(htm).index(".", ["*.py"], prune=True)
    assert (report.forgotten, report.notes) == (1, [])
    assert list(htm) == ["a.py", "src/b.py", "src/deep/c.py"]
    status = index.status()
    assert status.up_to_date
    assert (status.roots[""].include, status.roots[""].symbols) == (["*.py"], False)
    assert CodeBaseCrawler(htm).index(".", ["*.py"], prune=True).unchanged == 4


def test_a_refresh_does_what_the_last_crawl_did_wherever_one_stands(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.crawler.index(".", None, ["deep"], prune=True)
    make_tree(index.folder, {"a.py": "def changed(): pass\n", "src/deep/new.py": "y = 1\n", "src/new.py": "y = 1\n"})
    monkeypatch.chdir("/")
    (report,) = CodeBaseCrawler(index.crawler._htm).refresh()
    assert (report.changed, report.new) == (1, 1)
    htm = index.crawler._htm
    assert {"a.py::changed", "src/new.py"} <= set(htm)
    assert "src/deep/new.py" not in htm
    assert index.status().up_to_date


# ---- interruptions ----


def test_a_crawl_that_stops_leaves_an_index_that_says_so_and_the_next_completes_it(
    index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anam_py.crawler.batch._MAX_ROWS", 4)
    make_tree(index.folder, {f"{number}.py": f"x = {number}\n" for number in range(20)})
    crawl = index.crawler.iter_crawl(".")
    next(crawl)
    crawl.close()  # type: ignore[attr-defined]
    for status in index.both():
        assert (status.complete, status.up_to_date) == (False, False)
        assert status.roots[""].ended is None
    index.refresh()
    assert index.status().up_to_date


def test_a_crawl_that_stops_before_it_has_stored_anything_leaves_the_index_as_it_was(index: Index) -> None:
    def refusing(*_: object) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        index.crawler.index(".", progress_callback=refusing)
    assert index.status().up_to_date


def test_a_part_that_was_crawled_does_not_complete_what_was_interrupted(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(index.folder, {"notes.md": "# Notes\n", **{f"{number}.py": f"x = {number}\n" for number in range(20)}})
    with monkeypatch.context() as patch:
        patch.setattr("anam_py.crawler.batch._MAX_ROWS", 4)
        crawl = index.crawler.iter_crawl(".")
        next(crawl)
        crawl.close()  # type: ignore[attr-defined]
    index.crawler.index(".", ["src/*"])
    assert index.status().complete is False
    index.refresh()
    assert index.status().complete is True


PROGRAM = """
import sys
from anam_py import CodeBaseCrawler, HTMCore
from anam_py.crawler import batch

batch._MAX_ROWS = 20
with HTMCore(".anam", durability="normal") as htm:
    CodeBaseCrawler(htm).index(".", progress_callback=lambda done, *_: print(done, flush=True))
"""


def test_a_crawl_that_is_killed_leaves_an_index_that_says_so(tree: Path) -> None:
    make_tree(tree, {f"{number:03}.py": f"x = {number}\n" for number in range(300)})
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True) as crawl:
        assert crawl.stdout is not None
        for line in crawl.stdout:
            if int(line) == 137:
                crawl.send_signal(signal.SIGKILL)
                break
    with HTMCore(tree / ".anam", durability="normal") as htm:
        crawler = CodeBaseCrawler(htm)
        status = crawler.status()
        assert status.complete is False
        assert len(status.new) == 300 - status.indexed > 0
        crawler.index(".")
        assert crawler.status().up_to_date


def test_an_index_that_is_embedded_anew_in_part_is_not_complete(index: Index) -> None:
    Ledger(index.crawler._htm).commit(embedder="other (unfinished)")
    assert index.status().complete is False


# ---- hits ----


def test_hits_say_what_has_become_of_their_files(index: Index) -> None:
    def found() -> dict[str, str | None]:
        return {hit.path: hit.stale for hit in index.crawler.search("one two", mode="lexical")}

    assert found() == {"a.py": None, "src/b.py": None}
    os.utime(index.folder / "a.py")
    (index.folder / "src/b.py").write_text("def tow(): pass\n")
    assert found() == {"a.py": None, "src/b.py": "changed"}
    (index.folder / "a.py").write_text("another = 1\n")
    (index.folder / "src/b.py").unlink()
    assert found() == {"a.py": "changed", "src/b.py": "deleted"}


def test_of_hits_in_an_index_of_an_earlier_version_nothing_is_said(index: Index) -> None:
    Ledger(index.crawler._htm).commit(roots={"": None})
    (index.folder / "a.py").unlink()
    assert {hit.stale for hit in index.crawler.search("one")} == {None}


def test_a_reason_that_only_a_later_version_knows_is_shown_as_it_stands(index: Index) -> None:
    ledger = Ledger(index.crawler._htm)
    ledger.commit(files=[ledger.files()["d.bin"]._replace(reason="haunted: by two ghosts")])
    assert [str(skip) for skip in index.status().skipped] == ["d.bin: other (haunted: by two ghosts)"]
    assert index.status().up_to_date


def test_a_root_of_which_nonsense_is_recorded_is_not_known(index: Index) -> None:
    htm = index.crawler._htm
    recorded = Ledger(htm).roots()[""]._asdict()
    wrong: list[dict[str, Any]] = [
        *({"path": path} for path in (5, None)),
        {"beside": 5},
        *({name: when} for name in ("started", "ended") for when in ("x", math.nan, math.inf, 1e300, -1e300)),
        {"started": None},
        *({name: several} for name in ("include", "exclude", "notes") for several in (None, "*.py", [5])),
        {"symbols": "x"},
    ]
    for nonsense in ("", "[1]", '{"path": 1}', "nonsense", *(json.dumps(recorded | each) for each in wrong)):
        with htm._writing()._writer.transaction():
            htm._writing()._writer.set_meta("root:", nonsense)
        assert index.status().complete is None


def test_a_file_that_is_only_in_the_ledger_is_below_no_root(htm: HTMCore, tree: Path) -> None:
    make_tree(tree, {"src/a.py": "x = 1\n"})
    CodeBaseCrawler(htm).index("src")
    Ledger(htm).commit(files=[File("elsewhere.py", 1, 1, "1:x", "indexed", "")])
    assert CodeBaseCrawler(htm).status().unplaced == 1


def test_a_file_read_just_after_it_was_written_stays_uncertain_however_long_it_takes_to_be_stored(
    tree: Path, htm: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tree, {"a.py": "x = 1\n"})
    content = read(str(tree / "a.py"), 1000)
    monkeypatch.setattr(time, "time_ns", lambda: content.read_ns + 60_000_000_000)
    row = KnownFiles(Ledger(htm), "", symbols=False).row("a.py", content, "digest", INDEXED)
    assert row.mtime_ns == -max(content.status.st_mtime_ns, content.status.st_ctime_ns)
