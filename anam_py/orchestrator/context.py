"""What a handler is given beside its task, what it may raise, and what a capability is made of."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from anam_py.axioms import AxiomValidator
from anam_py.exceptions import OrchestratorError
from anam_py.gate import EthicalGate
from anam_py.store import HTMCore

__all__ = ["Capability", "Context", "Handler", "IncompleteError"]

# Takes the task and a Context; may be a coroutine function.
Handler: TypeAlias = Callable[[Mapping[str, Any], "Context"], Any]


@dataclass(frozen=True, slots=True)
class Context:
    """What a handler is given beside its task.

    Attributes
    ----------
    capability : str
        What it is asked for.
    agent_id : str
        For whom it works.
    run_id : str
        Identifies this call of `coordinate_task`, as in its trace and in the audit log.
    attempt : int
        1 at first, 2 when it is tried again, and so on.
    requirements : tuple of str
        What of ``task["requirements"]`` it is to deliver: each a key of its output.
    results : mapping
        Outputs of the capabilities that came before, by name.
    cancelled : threading.Event
        Set when its time is over, so that a function that looks at it can end by itself.
    htm : HTMCore or None
        The store; None in a process of its own.
    validator : AxiomValidator
        The orchestrator's; in a process of its own one with the built-in catalogue.
    gate : EthicalGate
        Likewise.
    """

    capability: str
    agent_id: str
    run_id: str
    attempt: int = 1
    requirements: tuple[str, ...] = ()
    results: Mapping[str, Any] = field(default_factory=dict)
    cancelled: threading.Event = field(default_factory=threading.Event)
    htm: HTMCore | None = None
    validator: AxiomValidator = field(default_factory=AxiomValidator)
    gate: EthicalGate = field(default_factory=EthicalGate)

    def told(self) -> dict[str, Any]:
        """Return what another process can be told of it."""
        names = ("capability", "agent_id", "run_id", "attempt", "requirements")
        return {**{name: getattr(self, name) for name in names}, "results": dict(self.results)}


class Capability(NamedTuple):
    """Something that agents can do without being told how.

    Attributes
    ----------
    handler : Handler
        A plain function of the task and a context; what it returns JSON can hold.
    delivers : frozenset of str
        Requirements that it can meet, each by a key of its output.
    after : tuple of str
        Capabilities whose results it uses, if they are asked for too.
    """

    handler: Handler
    delivers: frozenset[str] = frozenset()
    after: tuple[str, ...] = ()


class IncompleteError(OrchestratorError):
    """What a handler raises that could do some of what it was asked for: its capability has an error and a result.

    Parameters
    ----------
    message : str
    output : dict
        What it would have returned, of the rest.
    """

    def __init__(self, message: str, output: dict[str, Any]) -> None:
        super().__init__(message)
        self.output = output

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.output)
