"""`AxiomValidator`: whether axioms fit together, which apply to a text, and whether a described action may be done."""

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from anam_py._validation import check_limit, check_text, describe
from anam_py.axioms import registry
from anam_py.axioms.assessment import Assessment, Assessor
from anam_py.axioms.catalogue import Catalogue
from anam_py.axioms.explanation import Explanation, Pair
from anam_py.axioms.recommendation import Recommender
from anam_py.axioms.relations import Relations
from anam_py.exceptions import ValidationError
from anam_py.gate import MAX_TENSION, MIN_RESONANCE, validate_nam_compliance

if TYPE_CHECKING:
    import os

__all__ = ["AxiomValidator"]

_MAX_CHARACTERS: Final = 20_000
_AT_LEAST: Final = f"(at least {MIN_RESONANCE})"
_AT_MOST: Final = f"(at most {MAX_TENSION})"

# Where axioms stand in the catalogue: in order, each once, quick to look up.
_Places: TypeAlias = dict[int, None]
# One axiom or two, and the strength of their relation.
_Related: TypeAlias = tuple[Any, ...]


class AxiomValidator:
    """Says whether axioms fit together, which apply to a text, and whether a described action may be done.

    Deterministic, with no learned weights; docs/axioms.md has the rules. Axioms may be named by identifier or symbol, as
    "AX_NO_HARM", "Λ11" or "L11", in any case. May be shared by threads: nothing in it changes.
    """

    def __init__(self) -> None:
        self._set_up(registry.built_in())

    @classmethod
    def from_file(cls, path: "str | os.PathLike[str]") -> "AxiomValidator":
        """Return a validator over a catalogue of your own.

        Parameters
        ----------
        path : str or os.PathLike
            A TOML file in the format of the package's own `catalogue.toml`, whose head explains it.

        Returns
        -------
        AxiomValidator
            The validator.

        Raises
        ------
        ValidationError
            If the file cannot be read, has more than 1 MiB, or is wrong; the message has the line and the reason.
        """
        validator = cls.__new__(cls)
        validator._set_up(registry.load(path))  # noqa: SLF001 - of this class
        return validator

    def _set_up(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._heads = [{"axiom_id": a.id, "symbol": a.symbol, "name": a.name, "category": a.category} for a in catalogue.axioms]
        self._relations = Relations(catalogue)

    @functools.cached_property
    def _assessor(self) -> Assessor:
        return Assessor(self._catalogue)

    @functools.cached_property
    def _recommender(self) -> Recommender:
        return Recommender(self._catalogue, self._assessor)

    @property
    def catalogue(self) -> Catalogue:
        """The axioms, with the version and the digest of the file that they come from."""
        return self._catalogue

    def validate_axiom(self, axiom_id: str, context_axioms: "Iterable[str] | None" = None) -> dict[str, Any]:
        """Say whether an axiom fits a context.

        Parameters
        ----------
        axiom_id : str
            The axiom.
        context_axioms : iterable of str, optional
            The axioms in force; repeats, and the axiom itself, count for nothing.

        Returns
        -------
        dict
            axiom_id, symbol, name, category; is_valid, whether resonance_score is at least 0.45 and ethical_tension at most 0.35;
            mean_tension, the weighted mean of the tensions of which ethical_tension is the largest; supports and conflicts, the
            axioms of the context that support it or are in tension with it, lists of (axiom_id, strength), strongest first;
            determining, what decided: a list of (axiom_id, other_id, relation); details, a sentence.

        Raises
        ------
        AxiomError
            If an axiom is not known.
        ValidationError
            If `context_axioms` is not a list of axioms.
        """
        return self._judged(self._catalogue.place(axiom_id), self._places(context_axioms, "context_axioms"))

    def validate_batch(self, axiom_ids: Iterable[str], context_axioms: "Iterable[str] | None" = None) -> dict[str, Any]:
        """Say whether axioms fit a context and each other.

        Parameters
        ----------
        axiom_ids : iterable of str
            The axioms, at least one; repeats count once.
        context_axioms : iterable of str, optional
            The axioms in force.

        Returns
        -------
        dict
            batch_valid, whether every result is valid and both overall figures keep their thresholds; overall_resonance, that of
            the axioms with each other; overall_tension, the largest of a pair among them or with the context; results, what
            :meth:`validate_axiom` returns, by identifier; conflicts, the pairs among them that are in tension, a list of
            (axiom_id, axiom_id, strength), strongest first; determining, what decided, as for :meth:`validate_axiom`.

        Raises
        ------
        AxiomError
            If an axiom is not known.
        ValidationError
            If `axiom_ids` is empty or one of the arguments is not a list of axioms.
        """
        axioms = self._some(axiom_ids, "axiom_ids")
        return self._judged_together(axioms, self._places(context_axioms, "context_axioms"))

    def calculate_resonance(self, axioms: Iterable[str]) -> float:
        """Return how well axioms go together.

        Parameters
        ----------
        axioms : iterable of str
            At least one; repeats count once.

        Returns
        -------
        float
            The weighted mean of (1 + relation)/2 over their pairs, in [0, 1]; 1.0 for a single axiom. The same bits in any order.

        Raises
        ------
        AxiomError
            If an axiom is not known.
        ValidationError
            If there is none, or it is not a list of axioms.
        """
        return self._relations.resonance(self._some(axioms, "axioms"))

    def calculate_tension(self, proposed_axioms: Iterable[str], context_axioms: Iterable[str]) -> float:
        """Return the largest tension between an axiom that is proposed and one of a context.

        Parameters
        ----------
        proposed_axioms, context_axioms : iterable of str
            The axioms; one that is in both is not compared with itself.

        Returns
        -------
        float
            In [0, 1]; 0.0 if there is no pair in tension.

        Raises
        ------
        AxiomError
            If an axiom is not known.
        ValidationError
            If one of the arguments is not a list of axioms.
        """
        proposed = self._places(proposed_axioms, "proposed_axioms")
        context = self._places(context_axioms, "context_axioms")
        conflicts = [pair for axiom in proposed for pair in self._relations.conflicting(axiom, context)]
        return max((strength for _, strength in conflicts), default=0.0)

    def explain(self, axiom_ids: "str | Iterable[str]", context_axioms: "Iterable[str] | None" = None) -> Explanation:
        """Return the arithmetic of a validation.

        Parameters
        ----------
        axiom_ids : str or iterable of str
            One axiom, as for :meth:`validate_axiom`, or several, as for :meth:`validate_batch`.
        context_axioms : iterable of str, optional
            The axioms in force.

        Returns
        -------
        Explanation
            Every pair with its weight, relation and share, the sums and the thresholds.

        Raises
        ------
        AxiomError
            If an axiom is not known.
        ValidationError
            As for the validation.
        """
        context = self._places(context_axioms, "context_axioms")
        if isinstance(axiom_ids, str):
            place = self._catalogue.place(axiom_ids)
            return self._explained({place: None}, context, self._judged(place, context))
        axioms = self._some(axiom_ids, "axiom_ids")
        return self._explained(axioms, context, self._judged_together(axioms, context))

    def recommend_axioms(self, context: str, *, limit: int = 5) -> list[str]:
        """Return the axioms that a text is about.

        Parameters
        ----------
        context : str
            A few words or sentences, at most 20,000 characters.
        limit : int
            How many axioms to return at most.

        Returns
        -------
        list of str
            Identifiers, the best first; fewer, if the text has too few words that any axiom knows. None is in a tension above
            0.35 with a better one.

        Raises
        ------
        ValidationError
            If the text is empty or too long, or the limit is less than 1.
        """
        return self._recommender.recommend(_checked_text(context, "context"), check_limit(limit))

    def assess(self, description: str) -> Assessment:
        """Judge the plain description of an action.

        It looks for words and phrases, and understands nothing: docs/axioms.md says how often it is right.

        Parameters
        ----------
        description : str
            What is to be done, in English, at most 20,000 characters.

        Returns
        -------
        Assessment
            The axioms that the words say are upheld or strained, each with the words, and the verdict: "refused" if the strain on
            an axiom, scaled by its weight, exceeds 0.35.

        Raises
        ------
        ValidationError
            If the description is empty or too long.
        """
        return self._assessor.assess(_checked_text(description, "description"))

    def _judged(self, axiom: int, context: _Places) -> dict[str, Any]:
        head = self._heads[axiom]
        name = head["axiom_id"]
        supports, conflicts = self._relations.supporting(axiom, context), self._relations.conflicting(axiom, context)
        resonance = self._relations.resonance_with(axiom, context)
        tension = conflicts[0][1] if conflicts else 0.0
        valid = validate_nam_compliance(resonance, tension)
        where = f" with {conflicts[0][0]}" if conflicts else ""
        return head | {
            "is_valid": valid,
            "resonance_score": resonance,
            "ethical_tension": tension,
            "details": f"{name} {'fits' if valid else 'does not fit'} its context: "
            f"resonance {resonance:.3f} {_AT_LEAST}, tension {tension:.3f}{where} {_AT_MOST}.",
            "mean_tension": self._relations.mean_tension(axiom, context) if conflicts else 0.0,
            "supports": supports,
            "conflicts": conflicts,
            "determining": [(name, *pair) for pair in _determining(conflicts, supports, resonance, tension)],
        }

    def _judged_together(self, axioms: _Places, context: _Places) -> dict[str, Any]:
        results = {self._catalogue.axioms[axiom].id: self._judged(axiom, context) for axiom in axioms}
        refused = [result for result in results.values() if not result["is_valid"]]
        resonance = self._relations.resonance(axioms)
        everything = axioms | context
        conflicts = self._relations.conflicts(axioms, everything)
        tension = conflicts[0][2] if conflicts else 0.0
        complies = validate_nam_compliance(resonance, tension)
        if complies and refused:
            determining = [decider for result in refused for decider in result["determining"]]
        else:
            supports = [] if conflicts else self._relations.supports(axioms, everything)
            determining = _determining(conflicts, supports, resonance, tension)
        return {
            "batch_valid": complies and not refused,
            "overall_resonance": resonance,
            "overall_tension": tension,
            "results": results,
            "conflicts": [conflict for conflict in conflicts if conflict[1] in results],
            "determining": determining,
        }

    def _explained(self, axioms: _Places, context: _Places, result: dict[str, Any]) -> Explanation:
        ids = [axiom.id for axiom in self._catalogue.axioms]
        single = "axiom_id" in result
        pairs = {}
        for axiom in axioms:
            for other in axioms | context:
                if other != axiom and frozenset((axiom, other)) not in pairs:
                    pair = self._relations.pair(axiom, other, shares=single or other in axioms)
                    pairs[frozenset((axiom, other))] = Pair(ids[axiom], ids[other], *pair)
        return Explanation(
            axioms=tuple(ids[axiom] for axiom in axioms),
            context=tuple(ids[axiom] for axiom in context),
            pairs=tuple(pairs.values()),
            resonance=result["resonance_score" if single else "overall_resonance"],
            tension=result["ethical_tension" if single else "overall_tension"],
            min_resonance=MIN_RESONANCE,
            max_tension=MAX_TENSION,
            refused=() if single else tuple(name for name, each in result["results"].items() if not each["is_valid"]),
            determining=tuple(result["determining"]),
            is_valid=result["is_valid" if single else "batch_valid"],
        )

    def _some(self, axioms: object, name: str) -> _Places:
        places = self._places(axioms, name)
        if not places:
            raise ValidationError(f"{name} must have at least one axiom, got none")
        return places

    def _places(self, axioms: object, name: str) -> _Places:
        """Return where axioms stand in the catalogue, each once, in their order."""
        if axioms is None:
            return {}
        if isinstance(axioms, str) or not isinstance(axioms, Iterable):
            raise ValidationError(f"{name} must be a list of axioms, got {describe(axioms)}")
        return dict.fromkeys(map(self._catalogue.place, axioms))


def _determining(conflicts: list[_Related], supports: list[_Related], resonance: float, tension: float) -> list[_Related]:
    """Return what is beyond the broken threshold, else what is nearest to one, else the strongest support; as relations."""
    if tension > MAX_TENSION:
        deciding = [found for found in conflicts if found[-1] > MAX_TENSION]
    elif resonance < MIN_RESONANCE:
        deciding = [found for found in conflicts if (1.0 - found[-1]) / 2.0 < MIN_RESONANCE]
    elif conflicts:
        deciding = conflicts[:1]
    else:
        return supports[:1]
    return [(*found[:-1], -found[-1]) for found in deciding]


def _checked_text(text: object, name: str) -> str:
    checked = check_text(text, name, optional=False)
    if not checked.strip():
        raise ValidationError(f"{name} must not be empty")
    if len(checked) > _MAX_CHARACTERS:
        raise ValidationError(f"{name} must have at most {_MAX_CHARACTERS:,} characters, got {len(checked):,}")
    return checked
