"""The arithmetic of a validation, pair by pair, for those who want to check it."""

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Explanation", "Pair"]


class Pair(NamedTuple):
    """Two axioms that a validation compares.

    Attributes
    ----------
    axiom, other : str
        Their identifiers; the first is a proposed one.
    weight : float
        The product of their weights.
    relation : float
        Their relation, in [-1, 1].
    share : float or None
        What the pair adds to the resonance: weight * (1 + relation) / 2; None where resonance does not ask for it.
    tension : float
        max(0, -relation).
    """

    axiom: str
    other: str
    weight: float
    relation: float
    share: float | None
    tension: float


@dataclass(frozen=True)
class Explanation:
    """How a validation came to its verdict; printed, it is a table.

    Attributes
    ----------
    axioms : tuple of str
        The identifiers of what was proposed.
    context : tuple of str
        Those of the context.
    pairs : tuple of Pair
        Each pair that was compared, once.
    resonance, tension : float
        The sum of all shares over the sum of their weights, 1.0 if there are none; and the largest tension.
    min_resonance, max_tension : float
        The thresholds.
    refused : tuple of str
        The proposed axioms that are not valid each by itself in the context.
    determining : tuple of (str, str, float)
        The pairs that decided, with their relations.
    is_valid : bool
        The verdict.
    """

    axioms: tuple[str, ...]
    context: tuple[str, ...]
    pairs: tuple[Pair, ...]
    resonance: float
    tension: float
    min_resonance: float
    max_tension: float
    refused: tuple[str, ...]
    determining: tuple[tuple[str, str, float], ...]
    is_valid: bool

    def __str__(self) -> str:
        names = [f"{pair.axiom} {pair.other}" for pair in self.pairs]
        width = max(map(len, [*names, "pair"]))
        deciding = {frozenset(pair[:2]) for pair in self.determining}
        lines = [f"{'pair':<{width}} {'weight':>8} {'relation':>9} {'share':>8} {'tension':>8}"]
        for name, pair in zip(names, self.pairs, strict=True):
            share = "" if pair.share is None else f"{pair.share:.4f}"
            mark = "  <" if {pair.axiom, pair.other} in deciding else ""
            lines.append(f"{name:<{width}} {pair.weight:>8.4f} {pair.relation:>+9.2f} {share:>8} {pair.tension:>8.2f}{mark}")
        shared = [pair for pair in self.pairs if pair.share is not None]
        weights, shares = sum(pair.weight for pair in shared), sum(pair.share or 0.0 for pair in shared)
        quotient = f" = {shares:.4f} / {weights:.4f}" if shared else ", as there is nothing to compare"
        lines += [
            f"{'':<{width}} {weights:>8.4f} {'':>9} {shares:>8.4f} {self.tension:>8.2f}",
            "",
            f"resonance {self.resonance:.4f}{quotient}; at least {self.min_resonance} is wanted",
            f"tension   {self.tension:.4f}, the largest; at most {self.max_tension} is allowed",
        ]
        if self.refused:
            lines.append(f"not valid in the context: {', '.join(self.refused)}")
        lines.append("valid" if self.is_valid else "not valid")
        return "\n".join(lines)
