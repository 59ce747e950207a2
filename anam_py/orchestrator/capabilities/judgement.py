"""What the axioms and the gate say of a task: nam_validation and ethical_checking."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from anam_py._validation import describe
from anam_py.exceptions import ValidationError

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context

__all__ = ["ethical_checking", "nam_validation"]


def nam_validation(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Validate the axioms that a task states, or those that are recommended for it.

    Parameters
    ----------
    task : mapping
        "axioms", against "context_axioms"; without axioms, those recommended for its "description", or else its "type".
    context : Context

    Returns
    -------
    dict
        passed; recommended_for: the text that the axioms were recommended for, or None where the task states them; axioms; and
        what `AxiomValidator.validate_batch` says. Where none are recommended, passed is None, and a note says so.

    Raises
    ------
    ValidationError
        If a field of the task is not of its type.
    AxiomError
        If an axiom is not known.
    """
    context_axioms = _listed(task, "context_axioms")
    text, axioms = None, _listed(task, "axioms")
    if "axioms" not in task:
        text = _text(task, "description") or str(task.get("type", "")).replace("_", " ")
        axioms = context.validator.recommend_axioms(text)
    told = {"recommended_for": text, "axioms": axioms}
    if not axioms:
        return {"passed": None, "note": "nothing to validate: no axiom is stated or recommended", **told}
    result = _as_json(context.validator.validate_batch(axioms, context_axioms))
    return {"passed": result["batch_valid"], **told, **result}


def ethical_checking(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Judge the action that a task describes: by the sizes of its effects, by what is said of it, or both.

    Parameters
    ----------
    task : mapping
        "action_vector" is judged by the gate; "description", or else "action", by the axioms.
    context : Context

    Returns
    -------
    dict
        passed: whether all that was checked passed; None if there was nothing to check, and a note says so. checked: the
        names of the fields judged. action_vector: valid, tension and threshold. description or action: what
        `AxiomValidator.assess` says.

    Raises
    ------
    ValidationError
        If a field of the task is not of its type.
    """
    outcome: dict[str, Any] = {}
    verdicts = []
    if "action_vector" in task:
        valid, tension = context.gate.validate(task["action_vector"])
        outcome["action_vector"] = {"valid": valid, "tension": tension, "threshold": context.gate.tension_threshold}
        verdicts.append(valid)
    name = next((name for name in ("description", "action") if _text(task, name)), None)
    if name is not None:
        assessment = context.validator.assess(task[name])
        outcome[name] = _as_json(assessment.as_dict())
        verdicts.append(assessment.allowed)
    if not verdicts:
        note = 'nothing to check: the task has no "action_vector", "description" or "action"'
        return {"passed": None, "note": note, "checked": []}
    return {"passed": all(verdicts), "checked": list(outcome), **outcome}


def _as_json(told: dict[str, Any]) -> Any:
    """Return lists in the place of tuples, which JSON has not."""
    return json.loads(json.dumps(told))


def _listed(task: Mapping[str, Any], name: str) -> list[str]:
    value = task.get(name, [])
    if isinstance(value, (list, tuple)):
        return list(value)
    raise ValidationError(f'task["{name}"] must be a list of axioms, got {describe(value)}')


def _text(task: Mapping[str, Any], name: str) -> str | None:
    value = task.get(name)
    if value is None or isinstance(value, str):
        return value or None
    raise ValidationError(f'task["{name}"] must be a str, got {describe(value)}')
