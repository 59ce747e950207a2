"""The arithmetic of relations between axioms: resonance, tension, and which pairs decide.

Axioms are indices into a catalogue's `axioms`. All sums are `math.fsum`'s, which rounds once, so no order changes a bit of them.
"""

import math
import operator
from collections.abc import Collection
from typing import Final

from anam_py.axioms.catalogue import Catalogue

__all__ = ["Relations"]

KINSHIP: Final = 0.15  # of two axioms of one category that have no relation of their own


class Relations:
    """The relation matrix of a catalogue, and what is computed from it.

    Parameters
    ----------
    catalogue : Catalogue
        The axioms.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        axioms = catalogue.axioms
        # Row by row: the matrix A; w_i·w_j; and w_i·w_j·(1 + A_ij)/2. Nothing weighs with itself: it is not compared.
        self._matrix = [
            [
                1.0
                if a is b
                else a.supports.get(b.id) or -a.tensions.get(b.id, 0.0) or (KINSHIP if a.category == b.category else 0.0)
                for b in axioms
            ]
            for a in axioms
        ]
        self._weights = [[0.0 if a is b else a.weight * b.weight for b in axioms] for a in axioms]
        self._shares = [
            [weight * (1.0 + relation) / 2.0 for weight, relation in zip(weights, relations, strict=True)]
            for weights, relations in zip(self._weights, self._matrix, strict=True)
        ]
        place = {axiom.id: index for index, axiom in enumerate(axioms)}
        self._supports = [[(place[other], (other, strength)) for other, strength in axiom.supports.items()] for axiom in axioms]
        self._tensions = [[(place[other], (other, strength)) for other, strength in axiom.tensions.items()] for axiom in axioms]
        self._ids = list(place)
        self._all_supports = self._listed(self._supports)
        self._all_tensions = self._listed(self._tensions)

    @staticmethod
    def _listed(relations: list[list[tuple[int, tuple[str, float]]]]) -> list[tuple[int, int, float]]:
        """Return all relations of a kind, each once, strongest first."""
        listed = [
            (axiom, other, strength) for axiom, row in enumerate(relations) for other, (_, strength) in row if axiom < other
        ]
        return sorted(listed, key=lambda relation: (-relation[2], relation[0], relation[1]))

    def resonance(self, axioms: Collection[int]) -> float:
        """Return the resonance of a set of axioms: the weighted mean of (1 + A_ij)/2 over its pairs; 1.0 for a single one."""
        others = list(axioms)
        if len(others) == 1:
            return 1.0
        shares: list[float] = []
        weights: list[float] = []
        while others:
            axiom = others.pop()
            row = self._shares[axiom]
            shares += [row[other] for other in others]
            row = self._weights[axiom]
            weights += [row[other] for other in others]
        return math.fsum(shares) / math.fsum(weights)

    def resonance_with(self, axiom: int, context: Collection[int]) -> float:
        """Return the same mean over the pairs of one axiom with the others of a context; 1.0 if there are none."""
        if not context:
            return 1.0
        pick = operator.itemgetter(axiom, *context)  # with itself, so that there are two, and a tuple comes out
        weights = math.fsum(pick(self._weights[axiom]))
        return math.fsum(pick(self._shares[axiom])) / weights if weights else 1.0

    def supporting(self, axiom: int, context: Collection[int]) -> list[tuple[str, float]]:
        """Return the axioms of a context that support one, strongest first."""
        return [relation for place, relation in self._supports[axiom] if place in context]

    def conflicting(self, axiom: int, context: Collection[int]) -> list[tuple[str, float]]:
        """Return the axioms of a context that one is in tension with, strongest first."""
        return [relation for place, relation in self._tensions[axiom] if place in context]

    def supports(self, axioms: Collection[int], everything: Collection[int]) -> list[tuple[str, str, float]]:
        """Return the supports between axioms and everything that is compared with them, each once, strongest first."""
        return self._between(self._all_supports, axioms, everything)

    def conflicts(self, axioms: Collection[int], everything: Collection[int]) -> list[tuple[str, str, float]]:
        """Return the tensions between axioms and everything that is compared with them, each once, strongest first."""
        return self._between(self._all_tensions, axioms, everything)

    def _between(
        self, relations: list[tuple[int, int, float]], axioms: Collection[int], everything: Collection[int]
    ) -> list[tuple[str, str, float]]:
        ids = self._ids
        return [
            (ids[one], ids[other], strength) if one in axioms else (ids[other], ids[one], strength)
            for one, other, strength in relations
            if one in everything and other in everything and (one in axioms or other in axioms)
        ]

    def mean_tension(self, axiom: int, context: Collection[int]) -> float:
        """Return the weighted mean of the tensions of one axiom with the others of a context."""
        weights = self._weights[axiom]
        strains = [weights[other] * strength for other, (_, strength) in self._tensions[axiom] if other in context]
        return math.fsum(strains) / math.fsum([weights[other] for other in context]) if strains else 0.0

    def pair(self, axiom: int, other: int, *, shares: bool) -> tuple[float, float, float | None, float]:
        """Return weight, relation, share of the resonance (None unless it has one) and tension of two axioms."""
        relation = self._matrix[axiom][other]
        share = self._shares[axiom][other] if shares else None
        return self._weights[axiom][other], relation, share, max(0.0, -relation)
