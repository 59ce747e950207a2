"""Which files there are: git's answer, ours where there is no git, and what is passed over."""

import os
import random
import socket
import subprocess
from pathlib import Path

import pytest
from trees import GIT_ENVIRONMENT, git, make_repository, make_tree, random_rule, random_tree, skips, walked

from anam_py.crawler import git as listing
from anam_py.crawler.selection import Selection
from anam_py.crawler.walk import Walk
from anam_py.exceptions import ValidationError


def listed_by_git(root: Path) -> list[str]:
    return sorted(filter(None, git(root, "ls-files", "-co", "--exclude-standard", "-z").split("\0")))


@pytest.mark.parametrize("seed", range(25))
def test_a_walk_finds_what_git_lists_with_git_and_without(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = random.Random(seed)
    random_tree(generator, tmp_path)
    git(tmp_path, "init", "-q")
    (tmp_path / ".git/info/exclude").write_text(random_rule(generator) + "\n", encoding="utf-8")
    expected = listed_by_git(tmp_path)
    folders = [folder for folder in tmp_path.rglob("*") if folder.is_dir() and ".git" not in folder.parts]
    inner = generator.choice(folders) if folders else tmp_path
    assert walked(tmp_path) == expected
    inside = walked(inner)
    monkeypatch.setattr(listing.shutil, "which", lambda _: None)
    assert walked(tmp_path) == expected
    assert walked(inner) == inside


def test_tracked_files_are_found_although_they_are_ignored_and_deleted_ones_are_not(tmp_path: Path) -> None:
    make_repository(tmp_path, {".gitignore": "*.log\n", "kept.log": "", "other.log": "", "a.py": "", "gone.py": ""})
    git(tmp_path, "add", "-f", "kept.log", "a.py", "gone.py")
    (tmp_path / "gone.py").unlink()
    assert walked(tmp_path) == [".gitignore", "a.py", "kept.log"]
    assert skips(tmp_path) == {}


def test_a_folder_that_git_ignores_is_walked_when_it_is_named(tmp_path: Path) -> None:
    make_repository(
        tmp_path, {".gitignore": "venv/\n", "a.py": "", "venv/lib/b.py": "", "venv/lib/.gitignore": "c.py\n", "venv/lib/c.py": ""}
    )
    assert walked(tmp_path) == [".gitignore", "a.py"]
    assert walked(tmp_path / "venv") == ["lib/.gitignore", "lib/b.py"]
    assert walked(tmp_path / "venv/lib") == [".gitignore", "b.py"]


def test_a_subfolder_of_a_repository_obeys_the_rules_above_it(tmp_path: Path) -> None:
    make_repository(tmp_path, {".gitignore": "/src/x.py\n*.tmp\n", "x.py": "", "src/x.py": "", "src/y.py": "", "src/z.tmp": ""})
    assert walked(tmp_path / "src") == ["y.py"]


def test_repositories_inside_one_another_each_have_their_own_rules(tmp_path: Path) -> None:
    make_repository(tmp_path / "library", {".gitignore": "*.o\n", "lib.c": "", "lib.o": "", "main.log": ""})
    git(tmp_path / "library", "add", ".")
    git(tmp_path / "library", "commit", "-qm", "first")
    outer = make_repository(tmp_path / "outer", {".gitignore": "*.log\n", "main.c": "", "main.o": "", "main.log": ""})
    git(outer, "submodule", "add", "-q", "../library", "vendored")
    make_repository(outer / "clone", {".gitignore": "*.txt\n", "b.txt": "", "b.log": ""})
    assert walked(outer) == [
        ".gitignore", ".gitmodules", "clone/.gitignore", "clone/b.log", "main.c", "main.o", "vendored/.gitignore",
        "vendored/lib.c", "vendored/main.log",
    ]  # fmt: skip


def test_a_plain_folder_of_repositories_is_walked_through(tmp_path: Path) -> None:
    make_repository(tmp_path / "one", {".gitignore": "*.o\n", "a.c": "", "a.o": ""})
    make_tree(tmp_path, {"notes.txt": "", "two/b.o": "", "two/.gitignore": "c.o\n", "two/c.o": ""})
    assert walked(tmp_path) == ["notes.txt", "one/.gitignore", "one/a.c", "two/.gitignore", "two/b.o"]


def test_git_variables_of_the_caller_do_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = make_repository(tmp_path / "other", {"other.py": ""})
    here = make_repository(tmp_path / "here", {".gitignore": "b.py\n", "a.py": "", "b.py": ""})
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_INDEX_FILE", str(other / ".git/index"))
    monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
    assert walked(here) == [".gitignore", "a.py"]


def test_where_git_refuses_or_fails_the_rules_are_read_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_repository(tmp_path, {".gitignore": "b.py\n", "a.py": "", "b.py": ""})
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".git/config").write_text("[core\nbroken")
    walk = Walk(tmp_path, "", Selection())
    assert sorted(file.key for file in walk) == [".gitignore", "a.py"]
    assert walk.notes[0].startswith(".: ignore rules are read without git, since git failed: fatal: bad config")


def test_a_repository_cannot_have_programs_run(tmp_path: Path) -> None:
    make_repository(tmp_path, {"a.py": ""})
    git(tmp_path, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    assert walked(tmp_path) == ["a.py"]


def test_a_linked_worktree_is_listed(tmp_path: Path) -> None:
    main = make_repository(tmp_path / "main", {".gitignore": "b.py\n", "a.py": ""})
    git(main, "add", ".")
    git(main, "commit", "-qm", "first")
    git(main, "worktree", "add", "-q", "../linked")
    make_tree(tmp_path / "linked", {"b.py": ""})
    assert walked(tmp_path / "linked") == [".gitignore", "a.py"]


@pytest.mark.parametrize("repository", [True, False])
def test_anamignore_leaves_out_what_git_keeps(tmp_path: Path, *, repository: bool) -> None:
    files = {".anamignore": "fixtures/\n*.sql\n!keep.sql\n", "a.py": "", "b.sql": "", "keep.sql": "", "fixtures/c.py": ""}
    files |= {"sub/.anamignore": "d.py\n", "sub/d.py": "", "sub/e.py": "", ".gitignore": "!f.py\n"}
    make_tree(tmp_path, files)
    if repository:
        git(tmp_path, "init", "-q")
        git(tmp_path, "add", ".")
    assert walked(tmp_path) == [".anamignore", ".gitignore", "a.py", "keep.sql", "sub/.anamignore", "sub/e.py"]


@pytest.mark.parametrize("repository", [True, False])
def test_stores_and_git_folders_are_never_walked(tmp_path: Path, *, repository: bool) -> None:
    make_tree(tmp_path, {"a.py": "", ".anam/notes.txt": "", "data/anam.json": "{}", "data/inner/b.py": "", "sub/.git-blame": ""})
    if repository:
        git(tmp_path, "init", "-q")
    assert walked(tmp_path) == ["a.py", "sub/.git-blame"]
    assert skips(tmp_path) == {".anam": "store", "data": "store"}
    assert walked(tmp_path / "data") == []
    assert skips(tmp_path / "data") == {".": "store"}


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        (["*.py"], None, ["a.py", "src/b.py", "src/deep/c.py", "tests/test_b.py"]),
        (["src/*.py"], None, ["src/b.py", "src/deep/c.py"]),
        (["**/*.py"], None, ["a.py", "src/b.py", "src/deep/c.py", "tests/test_b.py"]),
        (["src/**/c.py", "a.p?"], None, ["a.py", "src/deep/c.py"]),
        (["src/"], None, ["src/b.py", "src/deep/c.py", "src/d.js"]),
        (["./src/b.py", "[t]est_?.py"], None, ["src/b.py", "tests/test_b.py"]),
        (["*.py"], ["*test*", "*__pycache__*"], ["a.py", "src/b.py", "src/deep/c.py"]),
        (None, ["src", "__pycache__"], ["a.py", "tests/test_b.py"]),
        (None, ["src/deep/"], ["__pycache__/a.pyc", "a.py", "src/b.py", "src/d.js", "tests/test_b.py"]),
        (None, ["*.py", "*.pyc"], ["src/d.js"]),
        ([], [], ["__pycache__/a.pyc", "a.py", "src/b.py", "src/d.js", "src/deep/c.py", "tests/test_b.py"]),
    ],
)
@pytest.mark.parametrize("repository", [True, False])
def test_patterns_select_by_path_and_name(
    include: list[str] | None, exclude: list[str] | None, expected: list[str], tmp_path: Path, *, repository: bool
) -> None:
    paths = ("a.py", "src/b.py", "src/deep/c.py", "src/d.js", "tests/test_b.py", "__pycache__/a.pyc")
    make_tree(tmp_path, dict.fromkeys(paths, ""))
    if repository:
        git(tmp_path, "init", "-q")
    assert walked(tmp_path, include, exclude) == sorted(expected)


@pytest.mark.parametrize("patterns", ["*.py", [1], {"*.py"}, 7])
def test_patterns_must_be_a_list_of_globs(patterns: list[str]) -> None:
    with pytest.raises(ValidationError, match="include_patterns must be a list of globs"):
        Selection(patterns)


@pytest.mark.parametrize("patterns", [[""], ["*.py", ""], ["./"], ["/"]])
def test_an_empty_pattern_is_refused(patterns: list[str]) -> None:
    with pytest.raises(ValidationError, match="include_patterns must not hold an empty pattern"):
        Selection(patterns)


def test_what_is_kept_of_a_file_is_small(tmp_path: Path) -> None:
    (file,) = Walk(make_tree(tmp_path, {"a.py": "x = 1\n"}), "", Selection())
    status = (tmp_path / "a.py").stat()
    assert file == ("a.py", str(tmp_path.resolve() / "a.py"), 6, max(status.st_mtime_ns, status.st_ctime_ns))


# ---- the fault table ----


def test_row_42_links_are_not_followed_and_each_is_listed_with_the_reason(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", {"secret.py": "", "folder/d.py": ""})
    root = make_tree(tmp_path / "root", {"a.py": "", "sub/b.py": ""})
    for name, target in {
        "out.py": outside / "secret.py",
        "out": outside / "folder",
        "up": "..",
        "loop": "loop",
        "sub/around": root,
        "again.py": "a.py",
        "sub2": "sub",
        "nowhere": "missing",
    }.items():
        (root / name).symlink_to(target)
    expected = {
        "out.py": "symbolic link out of the root",
        "out": "symbolic link out of the root",
        "up": "symbolic link out of the root",
        "loop": "symbolic link loop",
        "sub/around": "symbolic link loop",
        "again.py": "symbolic link",
        "sub2": "symbolic link",
        "nowhere": "broken symbolic link",
    }
    assert walked(root) == ["a.py", "sub/b.py"]
    assert skips(root) == expected
    git(root, "init", "-q")
    assert walked(root) == ["a.py", "sub/b.py"]
    assert skips(root) == expected


def test_row_42_a_tracked_folder_that_became_a_link_is_not_followed(tmp_path: Path) -> None:
    outside = make_tree(tmp_path / "outside", {"a.py": "secret"})
    root = make_repository(tmp_path / "root", {"sub/a.py": "", "b.py": ""})
    git(root, "add", ".")
    (root / "sub/a.py").unlink()
    (root / "sub").rmdir()
    (root / "sub").symlink_to(outside)
    assert walked(root) == ["b.py"]
    assert skips(root) == {"sub": "symbolic link out of the root"}


def test_row_42_a_root_that_is_a_link_or_has_dots_is_walked(tmp_path: Path) -> None:
    root = make_tree(tmp_path / "root", {"a.py": "", "sub/b.py": ""})
    (tmp_path / "link").symlink_to(root)
    assert walked(tmp_path / "link") == ["a.py", "sub/b.py"]
    assert walked(root / "sub" / "..") == ["a.py", "sub/b.py"]


@pytest.mark.parametrize("repository", [True, False])
def test_row_43_special_files_are_passed_over(tmp_path: Path, *, repository: bool) -> None:
    root = make_tree(tmp_path / "r", {"a.py": ""})
    os.mkfifo(root / "pipe.py")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(root / "socket.py"))
        if repository:  # git lists neither
            git(root, "init", "-q")
        assert walked(root) == ["a.py"]
        assert skips(root) == ({} if repository else {"pipe.py": "special file", "socket.py": "special file"})


def test_row_47_a_folder_that_cannot_be_read_is_reported_and_the_walk_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path, {"a.py": "", "locked/b.py": "", "open/c.py": ""})
    scandir = os.scandir

    def refusing(path: str) -> "os._ScandirIterator[str]":
        if path.rstrip("/").endswith("locked"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    assert walked(tmp_path) == ["a.py", "open/c.py"]
    assert skips(tmp_path) == {"locked": "unreadable"}


def test_row_47_a_file_that_vanishes_or_cannot_be_looked_at_hides_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_tree(tmp_path, dict.fromkeys(["a.py", "gone.py", "locked.py", "z.py"], ""))
    lstat = os.lstat

    def refusing(path: str) -> os.stat_result:
        if str(path).endswith(("gone.py", "locked.py")):
            raise (FileNotFoundError if "gone" in path else PermissionError)(13, "Permission denied", path)
        return lstat(path)

    monkeypatch.setattr(os, "lstat", refusing)
    assert walked(tmp_path) == ["a.py", "z.py"]
    assert skips(tmp_path) == {"locked.py": "unreadable"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("repository", [True, False])
def test_row_47_permissions_are_respected(tmp_path: Path, *, repository: bool) -> None:
    make_tree(tmp_path, {"a.py": "", "locked/b.py": ""})
    if repository:
        git(tmp_path, "init", "-q")
    (tmp_path / "locked").chmod(0)
    try:
        assert walked(tmp_path) == ["a.py"]
        assert skips(tmp_path) == {"locked": "unreadable"}
    finally:
        (tmp_path / "locked").chmod(0o700)


@pytest.mark.parametrize("repository", [True, False])
def test_row_49_names_that_are_not_utf8_are_escaped_and_no_two_names_become_one(tmp_path: Path, *, repository: bool) -> None:
    names = [b"caf\xe9.py", rb"caf\xe9.py", b"new\nline.py", b"a::b.py", rb"a:\x3ab.py", rb"back\slash.py", "é.py".encode()]
    for name in names:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("")
    if repository:
        git(tmp_path, "init", "-q")
    assert walked(tmp_path) == sorted(
        ["caf\\xe9.py", "caf\\x5cxe9.py", "new\nline.py", "a:\\x3ab.py", "a:\\x5cx3ab.py", "back\\slash.py", "é.py"]
    )


@pytest.mark.parametrize("repository", [True, False])
def test_row_50_a_thousand_levels_are_walked_to_the_limit_of_keys(tmp_path: Path, *, repository: bool) -> None:
    make_tree(tmp_path, {"a.py": "", f"{'b' * 200}/{'c' * 200}/{'d' * 200}/{'e' * 200}/{'f' * 230}.py": ""})
    folder = os.open(tmp_path, os.O_RDONLY)
    for level in range(1000):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
        if level in (9, 999):
            os.close(os.open("deep.py", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    if repository:
        git(tmp_path, "init", "-q")
    try:
        assert walked(tmp_path) == ["a.py", "d/" * 10 + "deep.py"]
        reasons = skips(tmp_path)
        assert set(reasons.values()) == {"key too long"}
        assert len(reasons) == 2
    finally:
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)  # too deep for pytest


def test_row_50_ten_thousand_files_in_one_folder(tmp_path: Path) -> None:
    for number in range(10_000):
        (tmp_path / f"{number}.py").touch()
    assert len(walked(tmp_path)) == 10_000


def test_the_tests_themselves_keep_the_settings_of_the_user_out() -> None:
    assert "GIT_DIR" not in GIT_ENVIRONMENT
