"""Which entries a search is over: what is asked of their language, kind and path, as one filter on their metadata."""

from collections.abc import Collection, Iterable
from typing import Any, TypeAlias

from anam_py._validation import describe
from anam_py.crawler.chunks import BLOCK, WINDOW
from anam_py.crawler.known import INDEXED
from anam_py.crawler.languages import LANGUAGES
from anam_py.crawler.parse import KINDS
from anam_py.crawler.selection import Selection
from anam_py.crawler.since import check_moment, written_since
from anam_py.exceptions import ValidationError
from anam_py.store import HTMCore, Ledger

__all__ = ["Scope", "Where"]

Where: TypeAlias = dict[str, Any]

_KNOWN = {
    "languages": frozenset(language.name for language in LANGUAGES),
    "kinds": frozenset(("file", *KINDS, BLOCK, WINDOW)),
}


class Scope:
    """What a caller asks of hits.

    Parameters
    ----------
    htm : HTMCore
        The store that is searched.
    languages, kinds : list of str, optional
        One of each is asked for.
    paths, exclude_paths : list of str, optional
        Globs on the keys of files, as a `Selection` takes them.
    changed_since : datetime or float, optional
        When files must have been written, or later.

    Raises
    ------
    ValidationError
        If an argument is not of its type, or names what there is not.
    """

    def __init__(
        self, htm: HTMCore, languages: object, kinds: object, paths: object, exclude_paths: object, changed_since: object
    ) -> None:
        self._ledger = Ledger(htm)
        self._names = {"languages": _names(languages, "languages"), "kinds": _names(kinds, "kinds")}
        for argument, names in self._names.items():
            if unknown := [name for name in names if name not in _KNOWN[argument]]:
                raise self._nothing_of(argument, unknown)
        self._selection = None
        if paths is not None or exclude_paths is not None:
            self._selection = Selection(paths, exclude_paths, names=("paths", "exclude_paths"))
        self._recent = None if changed_since is None else written_since(htm, check_moment(changed_since))

    def filter(self, where: Where | None) -> Where | None:
        """Return the filter that lets through what is asked for and what another one does."""
        parts: list[Where] = [] if where is None else [where]
        for argument, names in self._names.items():
            if names:
                parts.append({argument.removesuffix("s"): {"$in": names}})
        if self._selection is not None:
            parts.append({"path": {"$in": self._selection.chosen(self._ledger.paths(INDEXED))}})
        if self._recent is not None:
            parts.append({"path": {"$in": self._recent}})
        return {"$and": parts} if len(parts) > 1 else parts[0] if parts else None

    def check_not_empty(self) -> None:
        """Refuse what nothing at all can have been found in: languages or kinds of which the store has none."""
        for argument, names in self._names.items():
            if names and not any(name in self._ledger.values(argument.removesuffix("s")) for name in names):
                raise self._nothing_of(argument, names)

    def _nothing_of(self, argument: str, names: Iterable[str]) -> ValidationError:
        there = ", ".join(sorted(self._ledger.values(argument.removesuffix("s")))) or "none at all"
        return ValidationError(
            f"{argument} asks for {', '.join(map(repr, names))}: the store has no such {argument}; it has {there}"
        )


def _names(given: object, argument: str) -> list[str]:
    if given is None:
        return []
    if isinstance(given, str) or not isinstance(given, Collection) or not all(isinstance(name, str) for name in given):
        raise ValidationError(f"{argument} must be a list of str, got {describe(given)}")
    return sorted(given)
