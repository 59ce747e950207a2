"""Ignore rules as git reads them from ``.gitignore``, for where git itself cannot be asked, and from ``.anamignore``.

See gitignore(5). A rule is one regular expression that takes linear time; what a file may hold is bounded, so that
a hostile one can neither hang a crawl nor fill the memory.
"""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from anam_py.crawler.globs import segment_expression, segments

__all__ = ["MAX_RULES", "RuleFile", "Scope", "ignored", "read_rules", "rules_above"]

# Far beyond what people write; the rules in force cost time for every name that is met.
MAX_FILE_BYTES = 256 * 1024
MAX_RULES = 4096
MAX_RULE_CHARACTERS = 1024

_WILDCARD = re.compile(r"[*?\[\\]")


class Rule(NamedTuple):
    """One line of an ignore file."""

    pattern: re.Pattern[str]
    anchored: bool
    folders_only: bool
    ignores: bool


class RuleFile(NamedTuple):
    """The rules of one ignore file, last line first; how long it is; and what was left out of it."""

    rules: tuple[Rule, ...]
    size: int
    problem: str = ""

    def verdict(self, relative: str, *, folder: bool) -> bool | None:
        """Tell whether a path, relative to the file's folder, is ignored; None if no rule speaks of it."""
        name = relative[relative.rfind("/") + 1 :]
        for rule in self.rules:
            if (folder or not rule.folders_only) and rule.pattern.fullmatch(relative if rule.anchored else name):
                return rule.ignores
        return None


class Scope(NamedTuple):
    """A rule file in force below a folder of the crawl, or above its root.

    Attributes
    ----------
    file : RuleFile
    strip : int
        How many characters of a path, relative to the crawl's root, lead to the file's folder.
    lead : str
        What leads from the file's folder to the crawl's root, when the file is above it.
    """

    file: RuleFile
    strip: int = 0
    lead: str = ""


def ignored(scopes: Sequence[Scope], relative: str, *, folder: bool = False) -> bool:
    """Tell whether a path is ignored, in a folder that is not.

    Parameters
    ----------
    scopes : sequence of Scope
        The rule files in force, the weakest first: of two files the nearer one decides, within a file the last line.
    relative : str
        Path relative to the crawl's root.
    folder : bool
        Whether it is a folder.

    Returns
    -------
    bool
    """
    for scope in reversed(scopes):
        verdict = scope.file.verdict(scope.lead + relative[scope.strip :], folder=folder)
        if verdict is not None:
            return verdict
    return False


def rules_above(top: Path, folder: Path, strip: int) -> tuple[Scope, ...]:
    """Return what a repository's rules above a folder say of what is below it.

    Parameters
    ----------
    top : Path
        The repository's top folder.
    folder : Path
        A folder in it.
    strip : int
        How many characters of a path, relative to the crawl's root, lead to `folder`.

    Returns
    -------
    tuple of Scope
        Empty if they ignore the folder itself, which has then been named in spite of them.
    """
    parts = folder.relative_to(top).parts
    paths = [(0, top / ".git" / "info" / "exclude")]
    paths += [(depth, top.joinpath(*parts[:depth], ".gitignore")) for depth in range(len(parts))]
    files = [(depth, rules) for depth, path in paths if (rules := read_rules(path)) is not None]
    for length in range(1, len(parts) + 1):
        in_force = [Scope(rules, 0, "/".join(parts[depth:length])) for depth, rules in files if depth < length]
        if ignored(in_force, "", folder=True):
            return ()
    return tuple(Scope(rules, strip, "".join(f"{part}/" for part in parts[depth:])) for depth, rules in files)


def read_rules(path: str | os.PathLike[str]) -> RuleFile | None:
    """Read an ignore file, or return None if there is none that can be read."""
    try:
        # Neither a link, which may lead anywhere, nor a pipe, which would not end.
        if not stat.S_ISREG(os.lstat(path).st_mode):  # two a folder, and a Path takes longer than the look
            return None
        with open(path, "rb") as file:  # noqa: PTH123 - likewise
            data = file.read(MAX_FILE_BYTES + 1)
    except OSError:
        return None
    return parse_rules(data)


def parse_rules(data: bytes) -> RuleFile:
    """Return the rules in the content of an ignore file."""
    problems = []
    if len(data) > MAX_FILE_BYTES:
        problems.append(f"only the first {MAX_FILE_BYTES} bytes are read")
        data = data[:MAX_FILE_BYTES].rpartition(b"\n")[0]
    lines = data.decode("utf-8-sig", "surrogateescape").split("\n")
    too_long = sum(len(line) > MAX_RULE_CHARACTERS for line in lines)
    if too_long:
        problems.append(f"{too_long} lines of more than {MAX_RULE_CHARACTERS} characters are left out")
    parsed = (parse_rule(line) for line in lines if len(line) <= MAX_RULE_CHARACTERS)
    rules = [rule for rule in parsed if rule is not None]
    if len(rules) > MAX_RULES:
        problems.append(f"only the first {MAX_RULES} rules are read")
    return RuleFile(tuple(reversed(rules[:MAX_RULES])), len(data), "; ".join(problems))


def parse_rule(line: str) -> Rule | None:
    """Return the rule in a line; None for a comment, an empty line, or a pattern that can match nothing."""
    pattern = _without_trailing_spaces(line.removesuffix("\r"))
    if not pattern or pattern.startswith("#"):
        return None
    ignores = not pattern.startswith("!")
    pattern = pattern if ignores else pattern[1:]
    folders_only = pattern.endswith("/")
    pattern = pattern[:-1] if folders_only else pattern
    anchored = "/" in pattern
    expression = _path_expression(pattern.removeprefix("/")) if anchored else segment_expression(pattern)
    if not expression:
        return None
    return Rule(re.compile(expression, re.DOTALL), anchored, folders_only, ignores)


def _without_trailing_spaces(line: str) -> str:
    stripped = line.rstrip(" ")
    backslashes = len(stripped) - len(stripped.rstrip("\\"))
    return stripped + " " if backslashes % 2 and stripped != line else stripped


def _path_expression(pattern: str) -> str | None:
    """Return the regular expression of a pattern over a path: ``**`` between slashes stands for any number of folders."""
    # Git compares what is before the first wildcard as it is, and reads the rest as if a path began there.
    literal = _WILDCARD.split(pattern, maxsplit=1)[0]
    start, rest = re.escape(literal), pattern[len(literal) :]
    if not rest:
        return start
    runs: list[list[str]] = [[]]
    for segment in segments(rest):
        if segment == "**":
            runs.append([])
            continue
        expression = segment_expression(segment) if segment else None
        if expression is None:
            return None
        runs[-1].append(expression)
    if len(runs) == 1:
        return start + "/".join(runs[0])
    first, *between, last = ["/".join(run) for run in runs]
    # As with stars in a name, the first place where a run of segments fits is as good as any later one.
    held = "".join(f"(?>(?:[^/]*/)*?{run}/)" for run in between if run)
    return start + (f"{first}/" if first else "") + held + (f"(?:[^/]*/)*{last}" if last else ".*")
