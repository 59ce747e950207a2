"""MultiAgentOrchestrator: agents, and the tasks that they are given together."""

import asyncio
import difflib
import logging
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from anam_py import config
from anam_py._validation import check_count, describe
from anam_py.axioms import AxiomValidator
from anam_py.exceptions import OrchestratorError, ValidationError
from anam_py.gate import EthicalGate
from anam_py.orchestrator.agents import Agent, Skill
from anam_py.orchestrator.assignment import require_covered
from anam_py.orchestrator.capabilities import BUILT_IN
from anam_py.orchestrator.context import Handler
from anam_py.orchestrator.coordination import Coordination, Desk
from anam_py.orchestrator.processes import require_sendable
from anam_py.orchestrator.request import Request, check_name, check_names, check_seconds
from anam_py.orchestrator.retries import Retries
from anam_py.orchestrator.run import Services, inside
from anam_py.orchestrator.slots import Slots
from anam_py.store import AuditLog, HTMCore

__all__ = ["MultiAgentOrchestrator"]

log = logging.getLogger("anam_py.orchestrator")

_USUAL_ORDER = {name: capability.after for name, capability in BUILT_IN.items()}
_MOST_RETRIES = 1000
_MOST_CONCURRENT = 100_000


class MultiAgentOrchestrator:
    """Gives tasks to the agents that can do them, keeps their time, and records what was decided and done.

    Sync handlers run in threads, as many at a time as ``configure_ffi``'s thread_pool_size says; coroutine functions on the
    caller's event loop. Whatever a handler raises fails its capability, and nothing else.

    Parameters
    ----------
    htm_core : HTMCore
        The store that handlers work on, and whose audit log has what was decided and done; open for writing.
    validator : AxiomValidator, optional
        What judges the axioms that a task states; one with the built-in catalogue by default.
    gate : EthicalGate, optional
        What judges the action vector that a task states.
    mode : {"enforce", "shadow"}, default "enforce"
        Whether a task that is refused does not run, or is only recorded as refused.
    max_concurrency : int, default 64
        How many tasks go on at a time; the others wait for their turn, in order.
    attempt_timeout : float, optional
        Seconds that one attempt of one handler may take; as long as it likes by default.
    retries : int, default 0
        How often a handler that failed or took too long is tried again.
    backoff, max_backoff : float, default 0.1 and 5.0
        Seconds: the delay before a repetition is a random part of `backoff`, doubled each time, up to `max_backoff`.
    grace : float, default 1.0
        Seconds that an attempt has to end in once it is asked to: its coroutine is cancelled, its ``context.cancelled`` set,
        its process killed. What has not ended then is given up, and counted as abandoned until it ends.

    Raises
    ------
    ValidationError
        If an argument is not of its type or range.
    OrchestratorError
        If the store is not open for writing.

    Examples
    --------
    >>> async def main():
    ...     with HTMCore("./data") as htm:
    ...         async with MultiAgentOrchestrator(htm) as orchestrator:
    ...             orchestrator.add_agent("analyzer", ["code_analysis"])
    ...             task = {"type": "code_review", "files": ["src/main.py"], "requirements": ["security_check"]}
    ...             result = await orchestrator.coordinate_task(task, ["code_analysis"])
    ...             print(result["results"]["code_analysis"]["security_check"]["passed"])
    """

    def __init__(
        self,
        htm_core: HTMCore,
        *,
        validator: AxiomValidator | None = None,
        gate: EthicalGate | None = None,
        mode: str = "enforce",
        max_concurrency: int = 64,
        attempt_timeout: float | None = None,
        retries: int = 0,
        backoff: float = 0.1,
        max_backoff: float = 5.0,
        grace: float = 1.0,
    ) -> None:
        _check_type(htm_core, HTMCore, "htm_core")
        if validator is not None:
            _check_type(validator, AxiomValidator, "validator")
        if gate is not None:
            _check_type(gate, EthicalGate, "gate")
        if mode not in ("enforce", "shadow"):
            raise ValidationError(f"mode must be 'enforce' or 'shadow', got {describe(mode)}")
        if htm_core.read_only:
            raise OrchestratorError(
                f"the store {str(htm_core.storage_path)!r} is open read-only, and what is decided is recorded in it; "
                "open it without read_only=True"
            )
        turns = check_count(max_concurrency, "max_concurrency", 1, _MOST_CONCURRENT)
        services = Services(
            htm=htm_core,
            validator=validator or AxiomValidator(),
            gate=gate or EthicalGate(),
            threads=Slots(lambda: config.current().thread_pool_size),
            retries=Retries(
                check_count(retries, "retries", 0, _MOST_RETRIES),
                check_seconds(backoff, "backoff"),
                check_seconds(max_backoff, "max_backoff"),
            ),
            attempt_timeout=None if attempt_timeout is None else check_seconds(attempt_timeout, "attempt_timeout"),
            grace=check_seconds(grace, "grace"),
        )
        self._agents: dict[str, Agent] = {}
        self._changing = threading.Lock()
        self._closed = False
        self._desk = Desk(services, lambda: self._agents, Slots(lambda: turns), AuditLog(htm_core), enforces=mode == "enforce")

    def add_agent(
        self,
        agent_id: str,
        capabilities: Sequence[str],
        *,
        handlers: Mapping[str, Handler] | None = None,
        max_concurrency: int = 1,
        process: bool = False,
    ) -> None:
        """Register an agent.

        Parameters
        ----------
        agent_id : str
        capabilities : sequence of str
            What it can do. For ``code_analysis``, ``ast_parsing``, ``embedding_generation``, ``similarity_search``,
            ``nam_validation``, ``ethical_checking``, ``security_check`` and ``quality_analysis`` there are handlers.
        handlers : mapping of str to Callable, optional
            For the other ones, or in the place of those: ``(task, context) -> result``, sync or async. The result is made of
            what JSON can hold; ``context`` is a `Context`.
        max_concurrency : int, default 1
            How many attempts it makes at a time.
        process : bool, default False
            Whether each attempt runs in a process of its own, which is killed when its time is over. Its handlers are then
            functions at the top of a module, and get no store.

        Raises
        ------
        ValidationError
            If an argument is not of its type or range.
        OrchestratorError
            If there is such an agent, or nothing says how it does something.
        """
        check_name(agent_id, "agent_id")
        names = check_names(capabilities, "capabilities")
        own = _checked_handlers(handlers, names)
        if unknown := [name for name in names if name not in own and name not in BUILT_IN]:
            raise OrchestratorError(
                f"nothing says how agent {agent_id!r} does {', '.join(map(repr, unknown))}: pass "
                f"handlers={{{unknown[0]!r}: function}}, or use what is built in: {', '.join(BUILT_IN)}"
            )
        skills = {name: Skill(own[name], frozenset()) if name in own else Skill(*BUILT_IN[name][:2]) for name in names}
        if process:
            for name, skill in skills.items():
                require_sendable(name, skill.handler)
        most = check_count(max_concurrency, "max_concurrency", 1, _MOST_CONCURRENT)
        agent = Agent(agent_id, skills, most, process=bool(process))
        with self._changing:
            if agent_id in self._agents:
                raise OrchestratorError(f"there is an agent {agent_id!r} already; remove_agent({agent_id!r}) first")
            self._agents = {**self._agents, agent_id: agent}

    def remove_agent(self, agent_id: str) -> None:
        """Give an agent no more tasks; what it has begun it ends.

        Parameters
        ----------
        agent_id : str

        Raises
        ------
        OrchestratorError
            If there is no such agent.
        """
        with self._changing:
            if agent_id not in self._agents:
                near = difflib.get_close_matches(str(agent_id), self._agents, 3) or sorted(self._agents)
                raise OrchestratorError(f"there is no agent {agent_id!r}; there are: {', '.join(near) or 'none'}")
            self._agents = {name: agent for name, agent in self._agents.items() if name != agent_id}

    def get_agent_status(self) -> dict[str, dict[str, Any]]:
        """Return how each agent is doing.

        Returns
        -------
        dict of str to dict
            capabilities, state ("idle", "busy", or "stuck" where all that it may do at a time was given up and has not
            ended), active, waiting, abandoned, completed, failed (attempts), avg_duration_ms, last_error, max_concurrency
            and process.
        """
        return {agent_id: agent.status() for agent_id, agent in sorted(self._agents.items())}

    async def coordinate_task(
        self,
        task: dict[str, Any],
        required_capabilities: Sequence[str],
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - a timeout is an outcome here, not an exception
    ) -> dict[str, Any]:
        """Have agents do a task together.

        Parameters
        ----------
        task : dict
            "type" is what it is, a str. "requirements" are names that the outputs have to hold as keys. "after" says for
            a capability which others come first. "axioms" (against "context_axioms") and "action_vector" are judged before
            anything runs. The rest is for the handlers.
        required_capabilities : sequence of str
            What it takes. The smallest set of agents that has all of them is chosen, of such sets the least loaded one.
        timeout : float, optional
            Seconds that all of it may take, waiting included.

        Returns
        -------
        dict
            success: whether all capabilities have results, all requirements are met, and nothing was refused.
            results: outputs by capability; errors: type, message and traceback by capability; unmet: requirements.
            agents_involved, assignments (by capability agent, reason, and why not the others), trace (the attempts).
            nam: the verdict on the axioms and the action vector with its reasons, or None if the task states neither.
            audit: digests of its records. run_id, duration_ms.

        Raises
        ------
        ValidationError
            If an argument is not of its type or range.
        OrchestratorError
            If no agent has a capability, capabilities wait for each other, or the orchestrator is closed.
        HTMError
            If a decision cannot be recorded; nothing has run then.
        """
        self._require_open()
        request = Request.checked(task, required_capabilities, timeout, _USUAL_ORDER)
        require_covered(request.required, [agent.offer() for agent in self._agents.values()])
        return await Coordination(self._desk, request).outcome()

    async def close(self) -> None:
        """Stop what is going on, and take no more tasks; returns when nothing is left but what had to be given up."""
        self._closed = True
        running = [*self._desk.running]
        for coordination in running:
            coordination.stop("the orchestrator was closed")
        if not inside() & {*self._agents.values()}:  # a handler that closes it would wait for itself
            await asyncio.gather(*(asyncio.wrap_future(coordination.over) for coordination in running))
        for agent_id, status in self.get_agent_status().items():
            if status["abandoned"]:
                log.warning("%d attempts of agent %r were given up and have not ended", status["abandoned"], agent_id)

    async def __aenter__(self) -> Self:
        self._require_open()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    def _require_open(self) -> None:
        if self._closed:
            raise OrchestratorError("the orchestrator is closed; make another one")


def _check_type(value: object, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise ValidationError(f"{name} must be of type {kind.__name__}, got {describe(value)}")


def _checked_handlers(handlers: object, names: Sequence[str]) -> dict[str, Handler]:
    if handlers is None:
        return {}
    if not isinstance(handlers, Mapping):
        raise ValidationError(f"handlers must be a dict of capability to function, got {describe(handlers)}")
    for name, handler in handlers.items():
        if name not in names:
            raise ValidationError(f"handlers has {describe(name)}, which is not one of capabilities {list(names)}")
        if not callable(handler):
            raise ValidationError(f"handlers[{name!r}] must be a function (task, context) -> result, got {describe(handler)}")
    return dict(handlers)
