"""Judging the plain description of an action: what it upholds, what it strains, and whether it may be done.

The rule, in the order of its steps:

1. The catalogue's cues are looked for. One inside a longer one of the same axiom does not count.
2. A cue that closely follows an odd number of negations, in its clause, speaks for the other side, and less strongly.
3. The cues for one side of an axiom add up as independent signs do, to 1 - (1 - s1)(1 - s2)...; of two that share words the
   stronger counts.
4. What is then too faint to refuse an action, even on the heaviest axiom, is left out.
5. A strain is relieved by the mitigations that the catalogue has for its axiom, to s (1 - m1)(1 - m2)..., and scaled by the
   axiom's weight as a share of the heaviest.
6. The action is refused if any strain that is left exceeds the greatest tension allowed.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from anam_py.axioms.catalogue import Catalogue
from anam_py.axioms.cues import Cue, Match, Searcher
from anam_py.axioms.words import Word
from anam_py.gate import MAX_TENSION

__all__ = ["Assessment", "Assessor", "Finding", "Sighting"]


class Sighting(NamedTuple):
    """Words of a description that fit a cue.

    Attributes
    ----------
    words : str
        The words.
    cue : str
        The cue, as the catalogue has it.
    strength : float
        How strongly it speaks, in (0, 1].
    negated : bool
        Whether a negation before them turns it into its opposite.
    """

    words: str
    cue: str
    strength: float
    negated: bool

    def __str__(self) -> str:
        return f"not {self.words}" if self.negated else self.words


@dataclass(frozen=True, slots=True)
class Finding:
    """What a description says of one axiom.

    Attributes
    ----------
    axiom_id : str
        The axiom.
    strength : float
        How strongly the words say so, in (0, 1].
    said : tuple of Sighting
        The words that say so, strongest first.
    relieved : tuple of Sighting
        The words that relieve a strain.
    tension : float
        What is left of a strain, scaled by the axiom's weight; 0.0 for what is upheld.
    """

    axiom_id: str
    strength: float
    said: tuple[Sighting, ...]
    relieved: tuple[Sighting, ...] = ()
    tension: float = 0.0


@dataclass(frozen=True, slots=True)
class Assessment:
    """What a description says of the axioms, and the verdict; printed, it is a table.

    Attributes
    ----------
    verdict : str
        "allowed" or "refused".
    tension : float
        The largest tension of `strains`; 0.0 if there are none.
    max_tension : float
        The largest that is allowed.
    upholds, strains : tuple of Finding
        The axioms upheld, by strength, and those strained, by tension.
    determining : tuple of str
        The axioms that decided: those strained too much, or for an action that is allowed, the one strained most, if any is.
    """

    verdict: str
    tension: float
    max_tension: float
    upholds: tuple[Finding, ...]
    strains: tuple[Finding, ...]
    determining: tuple[str, ...]

    @property
    def allowed(self) -> bool:
        """Whether the verdict is "allowed"."""
        return self.verdict == "allowed"

    def as_dict(self) -> dict[str, Any]:
        """Return it as what JSON can hold.

        Returns
        -------
        dict
            Its attributes by name; findings and sightings are dicts likewise.
        """
        return {
            "verdict": self.verdict,
            "tension": self.tension,
            "max_tension": self.max_tension,
            "upholds": [_as_dict(finding) for finding in self.upholds],
            "strains": [_as_dict(finding) for finding in self.strains],
            "determining": list(self.determining),
        }

    def __str__(self) -> str:
        findings = [("upholds", finding) for finding in self.upholds] + [("strains", finding) for finding in self.strains]
        lines = ["no words of it speak clearly of an axiom of the catalogue"]
        if findings:
            width = max(len(finding.axiom_id) for _, finding in findings)
            lines = [f"{'':<7} {'axiom':<{width}} {'strength':>8} {'tension':>8}  words"]
        for kind, finding in findings:
            tension = f"{finding.tension:.3f}" if kind == "strains" else ""
            words = "; ".join(map(str, finding.said))
            relief = f" (relieved by: {'; '.join(map(str, finding.relieved))})" if finding.relieved else ""
            lines.append(f"{kind} {finding.axiom_id:<{width}} {finding.strength:>8.2f} {tension:>8}  {words}{relief}")
        comparison = "exceeds" if self.tension > self.max_tension else "is within"
        return "\n".join([*lines, "", f"{self.verdict}: tension {self.tension:.3f} {comparison} {self.max_tension}"])


class _Evidence(NamedTuple):
    """What a cue says: of an axiom's side, as a negation (no axiom), or as a mitigation (of several)."""

    cue: Cue
    strength: float
    places: frozenset[int]
    side: str


class _Said(NamedTuple):
    """A cue that a text has, and how strongly it speaks there."""

    strength: float
    match: Match[_Evidence]
    negated: bool


_UPHELD, _STRAINED, _NEGATION, _MITIGATION = "upheld", "strained", "negation", "mitigation"
_OTHER_SIDE = {_UPHELD: _STRAINED, _STRAINED: _UPHELD}


class Assessor:
    """Judges descriptions by the cues of a catalogue.

    Parameters
    ----------
    catalogue : Catalogue
        The axioms, their cues, and what relieves strain.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._axioms = catalogue.axioms
        self._language = catalogue.language
        heaviest = max(axiom.weight for axiom in self._axioms)
        self._scales = [axiom.weight / heaviest for axiom in self._axioms]
        self._searcher = Searcher([(found.cue, found) for found in _evidence(catalogue)], self._language)

    def assess(self, description: str) -> Assessment:
        """Return what a description says, and the verdict."""
        words = self._language.split(description)
        matches = self._searcher.find(words)
        reliefs = self._reliefs(words, matches)
        upholds, strains = [], []
        for (side, place), said in self._sides(words, matches).items():
            finding = Finding(self._axioms[place].id, _together(said), _sightings(words, said))
            if side == _UPHELD:
                upholds.append(finding)
            else:
                relief = reliefs.get(place, [])
                tension = finding.strength * (1.0 - _together(relief)) * self._scales[place]
                strains.append(dataclasses.replace(finding, relieved=_sightings(words, relief), tension=tension))
        upholds.sort(key=lambda finding: (-finding.strength, finding.axiom_id))
        strains.sort(key=lambda finding: (-finding.tension, finding.axiom_id))
        tension = strains[0].tension if strains else 0.0
        return Assessment(
            verdict="refused" if tension > MAX_TENSION else "allowed",
            tension=tension,
            max_tension=MAX_TENSION,
            upholds=tuple(upholds),
            strains=tuple(strains),
            determining=tuple(found.axiom_id for found in strains if found.tension > MAX_TENSION or found is strains[0]),
        )

    def strengths(self, words: Sequence[Word]) -> dict[int, float]:
        """Return how strongly words speak of axioms, whether they are upheld or strained, by the place of each."""
        strengths: dict[int, float] = {}
        for (_, place), said in self._sides(words, self._searcher.find(words)).items():
            strengths[place] = max(strengths.get(place, 0.0), _together(said))
        return strengths

    def _sides(self, words: Sequence[Word], matches: Sequence[Match[_Evidence]]) -> dict[tuple[str, int], list[_Said]]:
        """Return the cues that speak for each side of each axiom, strongest first, unless they are too faint together."""
        speaking: dict[int, list[Match[_Evidence]]] = {}
        for match in matches:
            if match.value.side in _OTHER_SIDE:
                for place in match.value.places:
                    speaking.setdefault(place, []).append(match)
        turned = self._negated(words, matches)
        sides: dict[tuple[str, int], list[_Said]] = {}
        for place in sorted(speaking):
            for match in _outermost(speaking[place]):
                side, strength = match.value.side, match.value.strength
                negated = match.start in turned
                if negated:
                    side, strength = _OTHER_SIDE[side], strength * self._language.negated
                sides.setdefault((side, place), []).append(_Said(strength, match, negated))
        apart = {side: _apart(said) for side, said in sides.items()}
        return {side: said for side, said in apart.items() if _together(said) > MAX_TENSION}

    def _reliefs(self, words: Sequence[Word], matches: Sequence[Match[_Evidence]]) -> dict[int, list[_Said]]:
        """Return the mitigations of each axiom, strongest first."""
        turned = self._negated(words, matches)
        reliefs: dict[int, list[_Said]] = {}
        for match in matches:
            if match.value.side == _MITIGATION and match.start not in turned:
                for place in match.value.places:
                    reliefs.setdefault(place, []).append(_Said(match.value.strength, match, negated=False))
        return {place: _apart(said) for place, said in reliefs.items()}

    def _negated(self, words: Sequence[Word], matches: Sequence[Match[_Evidence]]) -> set[int]:
        """Return the words that follow an odd number of negations closely, in their clause: what begins there is turned."""
        turned: set[int] = set()
        negations = _outermost([match for match in matches if match.value.side == _NEGATION])
        for end in {match.start: match.end for match in negations}.values():
            clause, left = words[end - 1].clause, self._language.reach
            for place in range(end, len(words)):
                if not left or words[place].clause != clause or words[place].text in self._language.breaks:
                    break
                turned ^= {place}
                left -= words[place].text not in self._language.fillers
        return turned


def _evidence(catalogue: Catalogue) -> list[_Evidence]:
    places = {axiom.id: place for place, axiom in enumerate(catalogue.axioms)}
    found = [
        _Evidence(sign.cue, sign.strength, frozenset({place}), side)
        for place, axiom in enumerate(catalogue.axioms)
        for side, signs in ((_UPHELD, axiom.upheld), (_STRAINED, axiom.strained))
        for sign in signs
    ]
    found += [_Evidence(negation, 1.0, frozenset(), _NEGATION) for negation in catalogue.negations]
    found += [
        _Evidence(sign.cue, sign.strength, frozenset(places[name] for name in relieves), _MITIGATION)
        for sign, relieves in catalogue.mitigations
    ]
    return found


def _outermost(matches: Sequence[Match[_Evidence]]) -> list[Match[_Evidence]]:
    """Return the matches that are not inside a longer one."""
    outermost: list[Match[_Evidence]] = []
    for match in sorted(matches, key=lambda match: (match.start, -match.end)):
        widest = outermost[-1] if outermost else match
        if match.end > widest.end or (match.start, match.end) == (widest.start, widest.end):
            outermost.append(match)
    return outermost


def _apart(said: Sequence[_Said]) -> list[_Said]:
    """Return cues of which no two share a word, strongest first."""
    chosen: list[_Said] = []
    taken: set[int] = set()
    for one in sorted(said, key=lambda one: (-one.strength, one.match.start, one.match.end)):
        span = range(one.match.start, one.match.end)
        if taken.isdisjoint(span):
            chosen.append(one)
            taken.update(span)
    return chosen


def _together(said: Sequence[_Said]) -> float:
    """Return the strength of independent signs together."""
    return 1.0 - math.prod(1.0 - one.strength for one in said)


def _sightings(words: Sequence[Word], said: Sequence[_Said]) -> tuple[Sighting, ...]:
    return tuple(
        Sighting(
            " ".join(word.text for word in words[one.match.start : one.match.end]),
            one.match.value.cue.text,
            one.strength,
            one.negated,
        )
        for one in said
    )


def _as_dict(finding: Finding) -> dict[str, Any]:
    content = dataclasses.asdict(finding)
    return content | {name: [one._asdict() for one in getattr(finding, name)] for name in ("said", "relieved")}
