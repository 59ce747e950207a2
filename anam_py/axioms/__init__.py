"""The axioms: a catalogue, whether axioms fit together, which apply, and whether a described action may be done."""

from anam_py.axioms.assessment import Assessment, Finding, Sighting
from anam_py.axioms.catalogue import Axiom, Catalogue
from anam_py.axioms.explanation import Explanation, Pair
from anam_py.axioms.validator import AxiomValidator

__all__ = ["Assessment", "Axiom", "AxiomValidator", "Catalogue", "Explanation", "Finding", "Pair", "Sighting"]
