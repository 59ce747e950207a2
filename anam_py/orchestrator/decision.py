"""Whether a task may run: what the axioms and the gate say of it, and why.

The default is to refuse: an axiom that is not known, a vector that is none, a gate that raises, all of these refuse the task.
"""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from anam_py._validation import describe
from anam_py.axioms import AxiomValidator
from anam_py.exceptions import ValidationError
from anam_py.gate import EthicalGate

__all__ = ["Decision", "decide", "is_asked_for"]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a task.

    Attributes
    ----------
    allowed : bool
    reasons : list of str
        Why it was refused; none otherwise.
    determining : list of list
        The pairs of axioms that decided, as `AxiomValidator.validate_batch` gives them.
    scores : dict of str to float
        resonance and tension of the axioms, action_tension of the vector, where there are any.
    axioms : dict or None
        All that `AxiomValidator.validate_batch` said.
    seconds : float
        How long it took.
    decision_id : str
    """

    allowed: bool
    reasons: list[str]
    determining: list[list[Any]]
    scores: dict[str, float]
    axioms: dict[str, Any] | None
    seconds: float
    decision_id: str = field(default_factory=lambda: secrets.token_hex(8))

    @property
    def verdict(self) -> str:
        """In a word."""
        return "allowed" if self.allowed else "refused"


def is_asked_for(task: Mapping[str, Any]) -> bool:
    """Return whether a task states anything to be judged by."""
    return "axioms" in task or "action_vector" in task


def decide(task: Mapping[str, Any], validator: AxiomValidator, gate: EthicalGate) -> Decision:
    """Decide whether a task may run.

    Parameters
    ----------
    task : mapping
        Its "axioms" are judged against its "context_axioms", its "action_vector" by the gate.
    validator : AxiomValidator
    gate : EthicalGate

    Returns
    -------
    Decision
        Never an exception: what cannot be judged is refused.
    """
    start = time.perf_counter()
    reasons: list[str] = []
    determining: list[list[Any]] = []
    scores: dict[str, float] = {}
    axioms = None
    if "axioms" in task:
        try:
            axioms = validator.validate_batch(_listed(task, "axioms"), _listed(task, "context_axioms"))
            scores |= {"resonance": axioms["overall_resonance"], "tension": axioms["overall_tension"]}
            determining = [list(pair) for pair in axioms["determining"]]
            if not axioms["batch_valid"]:
                reasons.append(_said(axioms))
        except Exception as error:  # noqa: BLE001 - whatever went wrong, it was not found to be allowed
            reasons.append(f"its axioms cannot be judged: {error}")
    if "action_vector" in task:
        try:
            valid, tension = gate.validate(task["action_vector"])
            scores["action_tension"] = tension
            if not valid:
                reasons.append(f"the tension of its action vector is {tension:.3f}, above {gate.tension_threshold:g}")
        except Exception as error:  # noqa: BLE001 - likewise
            reasons.append(f"its action vector cannot be judged: {error}")
    return Decision(not reasons, reasons, determining, scores, axioms, time.perf_counter() - start)


def _listed(task: Mapping[str, Any], name: str) -> list[str]:
    value = task.get(name, [])
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ValidationError(f'task["{name}"] must be a list of axioms, got {describe(value)}')


def _said(axioms: dict[str, Any]) -> str:
    resonance, tension = axioms["overall_resonance"], axioms["overall_tension"]
    refused = [name for name, result in axioms["results"].items() if not result["is_valid"]]
    each = f"; not valid: {', '.join(refused)}" if refused else ""
    return f"its axioms have resonance {resonance:.3f} and tension {tension:.3f}{each}"
