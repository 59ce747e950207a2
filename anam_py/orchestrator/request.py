"""What is asked for: a task and the capabilities it requires, checked, with the order they go in."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

import numpy as np

from anam_py._validation import describe
from anam_py.exceptions import OrchestratorError, ValidationError

__all__ = ["Request", "check_name", "check_names", "check_seconds"]

_MOST_CAPABILITIES = 1000


@dataclass(frozen=True, slots=True)
class Request:
    """A task and what it requires.

    Attributes
    ----------
    task : mapping
        As it was given.
    kind : str
        Its type.
    required : tuple of str
        Capabilities, each once, in the order in which they were given.
    requirements : tuple of str
        What the outputs have to hold.
    after : dict of str to tuple of str
        For each capability the ones that come first.
    timeout : float or None
        Seconds that all of it may take.
    digest : str
        SHA-256 of the task and what it requires, which tells one input from another in the audit log.
    """

    task: Mapping[str, Any]
    kind: str
    required: tuple[str, ...]
    requirements: tuple[str, ...]
    after: dict[str, tuple[str, ...]]
    timeout: float | None
    digest: str

    @classmethod
    def checked(cls, task: object, required: object, timeout: object, usual_order: Mapping[str, Sequence[str]]) -> "Request":
        """Check what was asked for.

        Parameters
        ----------
        task, required, timeout : object
            As `coordinate_task` takes them.
        usual_order : mapping
            For capabilities, those whose results they use.

        Returns
        -------
        Request

        Raises
        ------
        ValidationError
            If an argument is not of its type or range.
        OrchestratorError
            If capabilities wait for each other.
        """
        if not isinstance(task, Mapping):
            raise ValidationError(f"task must be a dict, got {describe(task)}")
        kind = check_name(task.get("type"), 'task["type"], which says what it is,')
        names = check_names(required, "required_capabilities")
        if len(names) > _MOST_CAPABILITIES:
            raise ValidationError(f"required_capabilities must be at most {_MOST_CAPABILITIES:,}, got {len(names):,}")
        requirements = check_names(task.get("requirements", ()), 'task["requirements"]', empty=True)
        stated = _stated_order(task.get("after", {}), names)
        after = {
            name: tuple(dict.fromkeys([*stated.get(name, ()), *(x for x in usual_order.get(name, ()) if x in names)]))
            for name in names
        }
        try:
            TopologicalSorter(after).prepare()
        except CycleError as error:
            circle = " after ".join(map(repr, error.args[1]))
            raise OrchestratorError(
                f'capabilities wait for each other: {circle}; take one of these out of task["after"]'
            ) from None
        seconds = None if timeout is None else check_seconds(timeout, "timeout")
        return cls(task, kind, names, requirements, after, seconds, _digest(task, names))


def check_name(value: object, name: str) -> str:
    """Return the name of something.

    Parameters
    ----------
    value : str
        Not empty.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    str

    Raises
    ------
    ValidationError
        If it is anything else.
    """
    if not isinstance(value, str) or not value:
        raise ValidationError(f"{name} must be a str that is not empty, got {describe(value)}")
    return value


def check_names(value: object, name: str, *, empty: bool = False) -> tuple[str, ...]:
    """Return names of capabilities, each once.

    Parameters
    ----------
    value : iterable of str
        Not a single str.
    name : str
        Name of the argument, for messages.
    empty : bool
        Whether there may be none.

    Returns
    -------
    tuple of str

    Raises
    ------
    ValidationError
        If it is anything else.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise ValidationError(f"{name} must be a list of str, got {describe(value)}")
    names = tuple(value)
    for index, item in enumerate(names):
        check_name(item, f"{name}[{index}]")
    if not names and not empty:
        raise ValidationError(f"{name} must name at least one capability, got none")
    return tuple(dict.fromkeys(names))


def check_seconds(value: object, name: str) -> float:
    """Return a time in seconds.

    Parameters
    ----------
    value : float
        Above 0.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    float

    Raises
    ------
    ValidationError
        If it is anything else.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < math.inf:
        return float(value)
    raise ValidationError(f"{name} must be a number of seconds above 0, got {describe(value)}")


def _stated_order(after: object, names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    if not isinstance(after, Mapping):
        raise ValidationError(f'task["after"] must be a dict of capability to capabilities, got {describe(after)}')
    order = {}
    for name, first in after.items():
        order[name] = check_names(first, f'task["after"][{name!r}]', empty=True)
        for each in (name, *order[name]):
            if each not in names:
                raise ValidationError(f'task["after"] names {each!r}, which is not one of required_capabilities {list(names)}')
    return order


def _digest(task: Mapping[str, Any], names: tuple[str, ...]) -> str:
    try:
        content = json.dumps({"task": dict(task), "required": names}, sort_keys=True, default=_told)
    except (TypeError, ValueError, RecursionError) as error:
        raise ValidationError(f"task must have keys that are str and must not contain itself: {error}") from error
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def _told(value: Any) -> Any:
    """Return something that JSON can hold in the place of what it cannot."""
    if hasattr(value, "__array__"):
        array = np.asarray(value)
        return [str(array.dtype), list(array.shape), hashlib.sha256(array.tobytes()).hexdigest()]
    return f"<{type(value).__module__}.{type(value).__qualname__}>"
