"""A TOML file that is taken apart key by key, with the lines that things stand on, which the parser forgets."""

import itertools
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NoReturn, TypeAlias

from anam_py._validation import describe
from anam_py.exceptions import ValidationError

__all__ = ["Source", "Table"]

_MAX_BYTES: Final = 1024 * 1024

# Names of tables and keys, and indices into arrays of tables.
_Where: TypeAlias = tuple[str | int, ...]

_STRING_OR_COMMENT: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' + r"'''.*?'''|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|" + r"(?P<comment>#[^\n]*)", re.DOTALL
)
_VISIBLE: Final = re.compile(r"[^\n]")


class Source:
    """A TOML file, read and parsed.

    Parameters
    ----------
    content : bytes
        The file.
    name : str
        Its name, for messages.

    Raises
    ------
    ValidationError
        If it is too large, not UTF-8, or not TOML.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self._name = name
        if len(content) > _MAX_BYTES:
            raise ValidationError(f"the catalogue {name} is too large: it may have at most {_MAX_BYTES:,} bytes")
        try:
            self._text = content.decode("utf-8-sig").replace("\r\n", "\n")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            raise ValidationError(f"{name}, line {line}: it is not UTF-8; save the file in that encoding") from None
        try:
            self.content: Mapping[str, Any] = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise ValidationError(f"{name} is not TOML: {error}") from None
        except (RecursionError, ValueError) as error:  # nested too deeply, or a number of too many digits
            raise ValidationError(f"{name} is no catalogue: {error}") from None

    @classmethod
    def read(cls, path: Path) -> "tuple[Source, bytes]":
        """Read a file, no more of it than a catalogue may have.

        Parameters
        ----------
        path : pathlib.Path
            The file.

        Returns
        -------
        Source, bytes
            The source, and the file's bytes.

        Raises
        ------
        ValidationError
            If it cannot be read, or as for the class.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_BYTES + 1)
        except OSError as error:
            raise ValidationError(f"the catalogue {str(path)!r} cannot be read: {error.strerror or error}") from error
        return cls(content, str(path)), content

    def refuse(self, where: _Where, reason: str) -> NoReturn:
        """Raise for something in the file.

        Parameters
        ----------
        where : tuple of str and int
            The names and indices that lead to it, its own text last.
        reason : str
            What is wrong with it.

        Raises
        ------
        ValidationError
            With the file's name, the line and the reason.
        """
        raise ValidationError(f"{self._name}, line {self._line(where)}: {reason}")

    def _line(self, where: _Where) -> int:
        """Return the line on which the last step is found, or else the last step before it that is."""
        bare = _STRING_OR_COMMENT.sub(lambda found: _VISIBLE.sub(" ", found.group()), self._text)
        without_comments = _STRING_OR_COMMENT.sub(
            lambda found: _VISIBLE.sub(" ", found.group()) if found["comment"] else found.group(), self._text
        )
        at, end = 0, len(bare)
        for step, following in itertools.pairwise((*where, "")):
            if isinstance(step, int):
                continue
            name = re.escape(step)
            headers = [found.end() for found in re.finditer(rf"^\s*\[\[[^\]\n]*\b{name}\s*\]\]", bare[at:end], re.MULTILINE)]
            if isinstance(following, int) and following < len(headers):
                at += headers[following]
                after = re.compile(rf"^\s*\[(?!\[?\s*{name}\s*\.)", re.MULTILINE).search(bare, at, end)
                end = after.start() if after else end
                continue
            key = re.compile(rf"(?<![\w-])[\"']?{name}[\"']?\s*[=\]]").search(without_comments, at, end)
            at = max(at, key.start() if key else without_comments.find(step, at, end))
            if isinstance(following, int):  # an array in one place, whose tables are in braces
                for _ in range(following + 1):
                    at = max(at, bare.find("{", at + 1, end))
        return self._text.count("\n", 0, at) + 1


class Table:
    """A table of a source, whose keys are taken one by one; what is left in the end should not be there.

    Parameters
    ----------
    source : Source
        The file.
    where : tuple of str and int
        The names and indices that lead to the table.
    content : mapping, optional
        The table; the whole file by default.
    """

    def __init__(self, source: Source, where: _Where = (), content: Mapping[str, Any] | None = None) -> None:
        self._source, self._where = source, where
        self._content = source.content if content is None else content
        self._taken: set[str] = set()

    def refuse(self, where: _Where, reason: str) -> NoReturn:
        """Raise for something in the table, as `Source.refuse` does."""
        self._source.refuse((*self._where, *where), reason)

    def finish(self) -> None:
        """Refuse a key that was not taken."""
        for key in self.rest():
            self.refuse((key,), f"{key!r} is unknown here; known are {', '.join(sorted(self._taken))}")

    def rest(self) -> list[str]:
        """Return the keys that were not taken."""
        return [key for key in self._content if key not in self._taken]

    def text(self, key: str) -> str:
        """Take a text that is not empty."""
        value = self._take(key)
        if not isinstance(value, str) or not value.strip():
            self.refuse((key,), f"{key} must be a text, got {describe(value)}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Take a list of different texts, not empty unless there is a default."""
        value = self._take(key, default)
        if not isinstance(value, (list, tuple)) or (not value and default is None):
            self.refuse((key,), f"{key} must be a list of texts, got {describe(value)}")
        seen: set[str] = set()
        for text in value:
            if not isinstance(text, str) or not text.strip():
                self.refuse((key,), f"{key} must hold texts, got {describe(text)}")
            if text in seen:
                self.refuse((key, text), f"{key} has {text!r} twice")
            seen.add(text)
        return tuple(value)

    def number(
        self, key: str, least: float, most: float, *, above: bool = False, whole: bool = False, default: float | None = None
    ) -> float:
        """Take a number in a range, whose lower end is left out if it must be above."""
        value = self._take(key, default)
        kinds = (int,) if whole else (int, float)
        if not isinstance(value, kinds) or isinstance(value, bool) or not least <= value <= most or (above and value == least):
            expected = (
                f"{'an integer' if whole else 'a number'} {f'above {least} and' if above else f'from {least}'} up to {most}"
            )
            self.refuse((key,), f"{key} must be {expected}, got {describe(value)}")
        return float(value)

    def table(self, key: str) -> "Table":
        """Take a table, empty if it is missing."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            self.refuse((key,), f"{key} must be a table, got {describe(value)}")
        return Table(self._source, (*self._where, key), value)

    def tables(self, key: str) -> "list[Table]":
        """Take an array of tables, empty if it is missing."""
        value = self._take(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.refuse((key,), f"{key} must be an array of tables, got {describe(value)}")
        return [Table(self._source, (*self._where, key, index), item) for index, item in enumerate(value)]

    def _take(self, key: str, default: object = None) -> Any:
        self._taken.add(key)
        value = self._content.get(key, default)
        if value is None:
            self.refuse((), f"{key} is missing")
        return value
