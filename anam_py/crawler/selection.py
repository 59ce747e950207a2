"""Which files a crawl was asked for: the caller's include and exclude patterns."""

import re
from collections.abc import Iterable, Sequence

from anam_py.crawler import globs
from anam_py.exceptions import ValidationError

__all__ = ["Selection"]

# What no path relative to a root has: a slash in front, two in a row, or a step to the folder itself or the one above.
_NOT_BELOW = re.compile(r"^/|//|(?:^|/)\.\.?(?:/|$)")


class Selection:
    """The files that a call's patterns select.

    A pattern is a glob that is tried on a file's path relative to the root and on its name; ``*`` also matches ``/``, and
    ``**/`` also no folder at all. An exclude pattern is also tried on the folders that a file is in, so that ``build``
    or ``build/`` leaves out all that is below. An include pattern that ends in ``/`` selects all that is below a folder.

    Parameters
    ----------
    include : sequence of str, optional
        A file is selected if any matches; all are if there is none.
    exclude : sequence of str, optional
        A file is left out if any matches.
    names : (str, str)
        What the caller calls these.

    Attributes
    ----------
    include, exclude : list of str
        The patterns, relative to the root.
    notes : list of str
        Which patterns can match no file.

    Raises
    ------
    ValidationError
        If the patterns are not a list of str, or one is empty.
    """

    def __init__(
        self, include: object = None, exclude: object = None, names: tuple[str, str] = ("include_patterns", "exclude_patterns")
    ) -> None:
        self.include = _checked(include, names[0])
        self.exclude = _checked(exclude, names[1])
        self.notes = [*_pointless(self.include, names[0]), *_pointless(self.exclude, names[1])]
        self._include = _compile([f"{pattern}*" if pattern.endswith("/") else pattern for pattern in self.include])
        self._exclude = _compile([pattern.rstrip("/") for pattern in self.exclude])

    def leaves_out_folder(self, relative: str) -> bool:
        """Tell whether all below a folder is left out; its parents are known not to be."""
        return _matches(self._exclude, relative)

    def leaves_out_file(self, relative: str) -> bool:
        """Tell whether a file is left out, in a folder that is not."""
        return _matches(self._exclude, relative) or (self._include is not None and not _matches(self._include, relative))

    def leaves_out(self, relative: str) -> bool:
        """Tell whether a file is left out by itself or by a folder that it is in."""
        if self._exclude is not None:
            slash = relative.find("/")
            while slash >= 0:
                if self.leaves_out_folder(relative[:slash]):
                    return True
                slash = relative.find("/", slash + 1)
        return self.leaves_out_file(relative)

    def chosen(self, paths: Iterable[str]) -> list[str]:
        """Return those of many files that are not left out; each folder is looked at once."""
        left_out = {"": False}

        def leaves_out_below(folder: str) -> bool:
            if folder not in left_out:
                left_out[folder] = leaves_out_below(folder.rpartition("/")[0]) or self.leaves_out_folder(folder)
            return left_out[folder]

        return [path for path in paths if not (leaves_out_below(path.rpartition("/")[0]) or self.leaves_out_file(path))]


def _matches(patterns: re.Pattern[str] | None, relative: str) -> bool:
    if patterns is None:
        return False
    return patterns.fullmatch(relative) is not None or patterns.fullmatch(relative.rpartition("/")[2]) is not None


def _checked(patterns: object, name: str) -> list[str]:
    if patterns is None:
        return []
    if isinstance(patterns, str) or not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
        raise ValidationError(f"{name} must be a list of globs such as ['*.py'], got {patterns!r}")
    globs_below = [pattern.removeprefix("./") for pattern in patterns]
    if not all(pattern.rstrip("/") for pattern in globs_below):
        raise ValidationError(f"{name} must not hold an empty pattern, got {patterns!r}: write '*' for all files")
    return globs_below


def _pointless(patterns: list[str], name: str) -> list[str]:
    """Return what there is to say of patterns that no path below a root can match."""
    never = [pattern for pattern in patterns if globs.expression(pattern) is None or _NOT_BELOW.search(pattern)]
    return [f"{name}: {pattern!r} can match no file below the folder" for pattern in never]


def _compile(patterns: list[str]) -> re.Pattern[str] | None:
    expressions = [globs.expression(pattern) for pattern in patterns]
    if not expressions:
        return None
    return re.compile("|".join(f"(?:{each})" for each in expressions if each is not None) or "(?!)", re.DOTALL)
