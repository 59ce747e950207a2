"""What a catalogue is made of: axioms, how they relate, and the words that tell of them."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from anam_py._validation import describe
from anam_py.axioms.cues import Cue, Language
from anam_py.exceptions import AxiomError

__all__ = ["Axiom", "Catalogue", "Mitigation", "Sign"]


class Sign(NamedTuple):
    """A cue, and how strongly it speaks.

    Attributes
    ----------
    cue : Cue
        What to look for.
    strength : float
        In (0, 1].
    """

    cue: Cue
    strength: float


@dataclass(frozen=True, slots=True)
class Axiom:
    """An axiom.

    Attributes
    ----------
    number : int
        Its number, from 1.
    id : str
        Its identifier, as "AX_NO_HARM".
    name, category, statement : str
        Its name, the category it belongs to, and what it says.
    weight : float
        What it counts; greater than 0.
    keywords : tuple of str
        Words by which it is recommended.
    supports, tensions : mapping of str to float
        The axioms that it supports and those it is in tension with, each with the strength, in (0, 1].
    upheld, strained : tuple of Sign
        What in a description says that it is upheld, or strained.
    """

    number: int
    id: str
    name: str
    category: str
    weight: float
    statement: str
    keywords: tuple[str, ...]
    supports: Mapping[str, float]
    tensions: Mapping[str, float]
    upheld: tuple[Sign, ...]
    strained: tuple[Sign, ...]

    @property
    def symbol(self) -> str:
        """The symbol, as Λ11."""
        return f"\N{GREEK CAPITAL LETTER LAMDA}{self.number:02d}"


class Mitigation(NamedTuple):
    """What in a description relieves strain.

    Attributes
    ----------
    sign : Sign
        What to look for; its strength is the share of the strain that it takes away.
    relieves : frozenset of str
        The axioms that it relieves.
    """

    sign: Sign
    relieves: frozenset[str]


@dataclass(frozen=True)
class Catalogue:
    """A checked set of axioms; nothing in it changes.

    Attributes
    ----------
    version : str
        The version that the file gives itself.
    digest : str
        SHA-256 of the file's bytes, in hexadecimal.
    categories : tuple of str
        The categories, in their order.
    axioms : tuple of Axiom
        The axioms, by number.
    language : Language
        What is said about words.
    negations : tuple of Cue
        What turns the cues that follow it into their opposite.
    mitigations : tuple of Mitigation
        What relieves strain.
    """

    version: str
    digest: str
    categories: tuple[str, ...]
    axioms: tuple[Axiom, ...]
    language: Language = field(repr=False)
    negations: tuple[Cue, ...] = field(repr=False)
    mitigations: tuple[Mitigation, ...] = field(repr=False)
    _places: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        places = {}
        for place, axiom in enumerate(self.axioms):
            for name in (axiom.id, axiom.symbol, f"L{axiom.number:02d}"):
                places[name.casefold()] = place
        object.__setattr__(self, "_places", places)

    def find(self, name: object) -> Axiom:
        """Return an axiom by any of its names.

        Parameters
        ----------
        name : str
            Identifier or symbol: "AX_NO_HARM", "Λ11" or "L11", in any case.

        Returns
        -------
        Axiom
            The axiom.

        Raises
        ------
        AxiomError
            If there is none of that name; the message has the three closest identifiers.
        """
        return self.axioms[self.place(name)]

    def place(self, name: object) -> int:
        """Return where an axiom stands in `axioms`, as :meth:`find` returns the axiom.

        Parameters
        ----------
        name : str
            Identifier or symbol.

        Returns
        -------
        int
            Its index.

        Raises
        ------
        AxiomError
            If there is none of that name.
        """
        place = self._places.get(name.casefold()) if isinstance(name, str) else None
        if place is None:
            raise AxiomError(f"there is no axiom {describe(name)}; {self._advice(name)}")
        return place

    def _advice(self, name: object) -> str:
        if not isinstance(name, str):
            return "name one by a str, such as " + ", ".join(axiom.id for axiom in self.axioms[:3])
        names = {known: self.axioms[place].id for known, place in self._places.items()}
        wanted = name.strip().casefold()[:100]
        ranked = sorted(names, key=lambda known: (-difflib.SequenceMatcher(None, wanted, known).ratio(), known))
        closest = list(dict.fromkeys(names[known] for known in ranked))[:3]
        return "the closest are " + ", ".join(closest)
