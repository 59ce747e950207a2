"""Which axioms a text is about: words in common with an axiom, the rarer the better, and the cues that the text has."""

import math
from typing import Final

from anam_py.axioms.assessment import Assessor
from anam_py.axioms.catalogue import Axiom, Catalogue
from anam_py.gate import MAX_TENSION

__all__ = ["Recommender"]

# What a word in common counts, by where the axiom has it (its category is part of its name); a synonym, as a share of that; and a
# cue of strength 1.
_NAME: Final = 3.0
_KEYWORD: Final = 2.0
_STATEMENT: Final = 1.0
_SYNONYM: Final = 0.5
_CUE: Final = 12.0


class Recommender:
    """Ranks the axioms of a catalogue by a text.

    Parameters
    ----------
    catalogue : Catalogue
        The axioms.
    assessor : Assessor
        What finds the cues in a text.
    """

    def __init__(self, catalogue: Catalogue, assessor: Assessor) -> None:
        self._axioms = catalogue.axioms
        self._language = catalogue.language
        self._empty = self._language.fillers | self._language.breaks  # words that say nothing
        self._assessor = assessor
        self._values = [self._valued(axiom) for axiom in self._axioms]
        owners: dict[str, int] = {}
        for values in self._values:
            for stem in values:
                owners[stem] = owners.get(stem, 0) + 1
        self._rarity = {stem: math.log1p(len(self._axioms) / count) for stem, count in owners.items()}
        self._synonyms: dict[str, set[str]] = {}
        for group in self._language.synonyms:
            stems = {stem for text in group for stem in self._language.stems(text)}
            for stem in stems:
                self._synonyms.setdefault(stem, set()).update(stems)

    def recommend(self, text: str, limit: int) -> list[str]:
        """Return the identifiers of the axioms that fit best, none of which is in tension with a better one."""
        scores = self._scores(text)
        chosen: list[Axiom] = []
        for place in sorted(range(len(scores)), key=lambda place: (-scores[place], self._axioms[place].number)):
            axiom = self._axioms[place]
            if not scores[place] or len(chosen) == limit:
                break
            if all(axiom.tensions.get(better.id, 0.0) <= MAX_TENSION for better in chosen):
                chosen.append(axiom)
        return [axiom.id for axiom in chosen]

    def _scores(self, text: str) -> list[float]:
        words = self._language.split(text)
        asked: dict[str, float] = {}
        for word in words:
            if word.text not in self._empty:
                asked[word.stem] = 1.0
                for synonym in self._synonyms.get(word.stem, ()):
                    asked.setdefault(synonym, _SYNONYM)
        strengths = self._assessor.strengths(words)
        return [
            math.fsum(share * self._rarity[stem] * values[stem] for stem, share in asked.items() if stem in values)
            + _CUE * strengths.get(place, 0.0)
            for place, values in enumerate(self._values)
        ]

    def _valued(self, axiom: Axiom) -> dict[str, float]:
        """Return what a word in common with an axiom counts, by its stem."""
        values: dict[str, float] = {}
        fields: tuple[tuple[float, tuple[str, ...]], ...] = (
            (_STATEMENT, (axiom.statement,)),
            (_KEYWORD, axiom.keywords),
            (_NAME, (axiom.category, axiom.name)),
        )
        for value, texts in fields:
            for text in texts:
                values |= {word.stem: value for word in self._language.split(text) if word.text not in self._empty}
        return values
