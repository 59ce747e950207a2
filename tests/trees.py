"""Small folders of files for tests, with and without git."""

import os
import random
import subprocess
from collections.abc import Mapping
from pathlib import Path

from anam_py.crawler.selection import Selection
from anam_py.crawler.walk import Walk

# Without the settings of whoever runs the tests.
GIT_ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("GIT_")},
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


def make_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files, by their paths below a folder, and return the folder."""
    for path, content in files.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return what it writes."""
    command = ["git", "-c", "protocol.file.allow=always", *arguments]
    return subprocess.run(command, cwd=folder, env=GIT_ENVIRONMENT, check=True, stdout=subprocess.PIPE, text=True).stdout


def make_repository(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Write files into a new repository and return its folder."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q")
    return make_tree(root, files)


def walked(root: Path, include: list[str] | None = None, exclude: list[str] | None = None) -> list[str]:
    """Return the paths of the files that a walk finds, sorted."""
    return sorted(file.key for file in Walk(root, "", Selection(include, exclude)))


def skips(root: Path) -> dict[str, str]:
    """Return why a walk passes over what it passes over."""
    walk = Walk(root, "", Selection())
    list(walk)
    return {skip.path: str(skip.reason) for skip in walk.skipped}


NAMES = ("a", "b", "ab", "a.py", "b.py", "build", "x-y", "A", "a b", "[z]", "é.py", "#h", "!n", "doc.txt", " s", "t ")
SEGMENTS = (
    "a", "b", "*", "**", "?", "a*", "*.py", "build", "[ab]", "[!a]", "[^a]*", "[a-c]?", "x-y", "\\#h", "!n", "\\!n", "a\\ b",
    "é*", "*b*", "**a", "a**", "[[:alpha:]]", "[[]z]", "[]-a]*", "[z", "t\\ ", "doc.*", "\\[z\\]", "[[:upper:]]", " s", "*.p[xy]",
)  # fmt: skip


def random_rule(random_: random.Random) -> str:
    """Return a line of an ignore file, with all that such lines may have."""
    rule = "/".join(random_.choice(SEGMENTS) for _ in range(random_.choice([1, 1, 1, 2, 2, 3, 4])))
    for chance, change in (
        (0.2, "/{}"),
        (0.3, "{}/"),
        (0.25, "!{}"),
        (0.1, "{}  "),
        (0.05, "#{}"),
        (0.05, "{}\r"),
        (0.05, "{}\\"),
    ):
        if random_.random() < chance:
            rule = change.format(rule)
    return rule


def random_tree(random_: random.Random, root: Path, depth: int = 0) -> None:
    """Fill a folder with folders, files and ignore files."""
    for name in random_.sample(NAMES, random_.randint(2, 6)):
        place = root / name
        if depth < 3 and random_.random() < 0.5:
            place.mkdir()
            random_tree(random_, place, depth + 1)
        else:
            place.write_text("x")
    if random_.random() < (0.9 if depth == 0 else 0.3):
        rules = [random_rule(random_) for _ in range(random_.randint(1, 5))]
        (root / ".gitignore").write_text("\n".join(rules) + "\n", encoding="utf-8")
