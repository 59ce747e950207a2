"""Cues: phrases that are looked for in a text.

A cue is a few words. ``delete ... backup|archive`` stands for a form of *delete*, up to five other words of the same sentence,
and then one of two; ``@person`` for any word of that class, ``first?`` for a word that may be missing. Fillers, such as articles,
may stand between any two words.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from anam_py.axioms.words import Word, split

__all__ = ["Cue", "CueReader", "Language", "Match", "Searcher"]

_GAP: Final = "..."
_GAP_WORDS: Final = 5
_FILLERS_IN_A_ROW: Final = 3
_MAX_GAPS: Final = 2
_PART: Final = re.compile(r"@?[^\W_]+(?:[-'][^\W_]+)*(?:\|@?[^\W_]+(?:[-'][^\W_]+)*)*\??")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Language:
    """What a catalogue says about words.

    Attributes
    ----------
    classes : mapping of str to tuple of str
        Words or phrases of like meaning, by the name of their class.
    forms : mapping of str to str
        Irregular forms, each with what it is a form of.
    fillers : frozenset of str
        Words that a cue passes over.
    breaks : frozenset of str
        Words after which a negation does not reach.
    reach : int
        How many words after a negation it still turns, in the same clause, fillers not counted.
    negated : float
        What is left of the strength of a cue that is turned.
    synonyms : tuple of tuple of str
        Groups of words, each of which recommends what the others do.
    """

    classes: Mapping[str, tuple[str, ...]]
    forms: Mapping[str, str]
    fillers: frozenset[str]
    breaks: frozenset[str]
    reach: int
    negated: float
    synonyms: tuple[tuple[str, ...], ...]

    def split(self, text: str) -> list[Word]:
        """Return the words of a text, see :func:`anam_py.axioms.words.split`."""
        return split(text, self.forms)

    def stems(self, text: str) -> tuple[str, ...]:
        """Return the stems of the words of a text."""
        return tuple(word.stem for word in self.split(text))


@dataclass(frozen=True, slots=True)
class _Part:
    """One place of a cue: what may stand there, by the first stem of each, longest first; nothing for a gap."""

    options: Mapping[str, tuple[tuple[str, ...], ...]]
    optional: bool = False

    @property
    def is_gap(self) -> bool:
        return not self.options


@dataclass(frozen=True, slots=True)
class Cue:
    """A phrase to look for, as `CueReader` reads it.

    Attributes
    ----------
    text : str
        As the catalogue has it.
    parts : tuple
        What may stand in each of its places.
    """

    text: str
    parts: tuple[_Part, ...] = field(repr=False)


class CueReader:
    """Reads cues.

    Parameters
    ----------
    language : Language
        What their words mean.
    """

    def __init__(self, language: Language) -> None:
        self._language = language
        self._parts: dict[str, _Part] = {}

    def read(self, text: str) -> Cue:
        """Return a cue.

        Parameters
        ----------
        text : str
            Its words, see the head of this module.

        Returns
        -------
        Cue
            The cue.

        Raises
        ------
        ValueError
            If it is none, with the reason.
        """
        written = text.split()
        if not written:
            raise ValueError("it is empty")
        if _GAP in (written[0], written[-1]) or written[0].endswith("?"):
            raise ValueError("it must begin with a word that is always there, and not end with a gap")
        if written.count(_GAP) > _MAX_GAPS:
            raise ValueError(f"it has more than {_MAX_GAPS} gaps")
        return Cue(text, tuple(map(self._part, written)))

    def _part(self, written: str) -> _Part:
        if written not in self._parts:
            if written == _GAP:
                part = _Part({})
            elif _PART.fullmatch(written):
                part = _Part(self._options(written.rstrip("?")), optional=written.endswith("?"))
            else:
                raise ValueError(f"{written!r} is neither a word, words with | between them, a @class nor a gap (...)")
            self._parts[written] = part
        return self._parts[written]

    def _options(self, part: str) -> dict[str, tuple[tuple[str, ...], ...]]:
        options: set[tuple[str, ...]] = set()
        for choice in part.split("|"):
            if not choice.startswith("@"):
                options.add(self._language.stems(choice))
            elif choice[1:] in self._language.classes:
                options.update(self._language.stems(phrase) for phrase in self._language.classes[choice[1:]])
            else:
                raise ValueError(f"there is no class {choice!r} in [words]")
        by_first: dict[str, tuple[tuple[str, ...], ...]] = {}
        for option in sorted(options, key=lambda option: (-len(option), option)):
            by_first[option[0]] = (*by_first.get(option[0], ()), option)
        return by_first


@dataclass(frozen=True, slots=True)
class Match(Generic[_T]):
    """Where a text has a cue.

    Attributes
    ----------
    value : object
        What the cue was registered with.
    start, end : int
        The first of its words, and the one after the last.
    """

    value: _T
    start: int
    end: int


class Searcher(Generic[_T]):
    """Finds many cues in one pass over a text.

    Parameters
    ----------
    cues : iterable of (Cue, object)
        What to look for, each with what a match has to say.
    language : Language
        That of the cues.
    """

    def __init__(self, cues: Sequence[tuple[Cue, _T]], language: Language) -> None:
        self._fillers = language.fillers
        self._by_first: dict[str, list[tuple[Cue, _T]]] = {}
        for cue, value in cues:
            for first in cue.parts[0].options:
                self._by_first.setdefault(first, []).append((cue, value))

    def find(self, words: Sequence[Word]) -> list[Match[_T]]:
        """Return every cue that a text has, at each place where it begins, in the order of the text."""
        return [
            Match(value, start, end)
            for start, word in enumerate(words)
            for cue, value in self._by_first.get(word.stem, ())
            if (end := self._end(words, start, cue.parts, 0, word.sentence)) is not None
        ]

    def _end(self, words: Sequence[Word], at: int, parts: tuple[_Part, ...], place: int, sentence: int) -> int | None:
        """Return where the shortest match of the parts from one place on ends, or None."""
        if place == len(parts):
            return at
        part = parts[place]
        if part.is_gap:
            ends = (self._end(words, at + skipped, parts, place + 1, sentence) for skipped in range(_GAP_WORDS + 1))
            return next((end for end in ends if end is not None), None)
        for start in self._starts(words, at) if place else (at,):
            if start >= len(words) or words[start].sentence != sentence:
                break
            for option in part.options.get(words[start].stem, ()):
                after = start + len(option)
                if tuple(word.stem for word in words[start:after]) == option:
                    end = self._end(words, after, parts, place + 1, sentence)
                    if end is not None:
                        return end
        return self._end(words, at, parts, place + 1, sentence) if part.optional else None

    def _starts(self, words: Sequence[Word], at: int) -> Iterator[int]:
        """Return where the next part may begin: here, or after fillers."""
        yield at
        for start in range(at, min(at + _FILLERS_IN_A_ROW, len(words))):
            if words[start].text not in self._fillers:
                return
            yield start + 1
