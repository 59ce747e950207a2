"""One coordinated task: who does what of it, in which order, how often it is tried, and what came of it."""

import asyncio
import contextvars
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anam_py.axioms import AxiomValidator
from anam_py.gate import EthicalGate
from anam_py.orchestrator import attempts
from anam_py.orchestrator.agents import Agent
from anam_py.orchestrator.assignment import Assigned
from anam_py.orchestrator.attempts import Work
from anam_py.orchestrator.context import Context
from anam_py.orchestrator.ends import Ended, error_of
from anam_py.orchestrator.request import Request
from anam_py.orchestrator.retries import Retries
from anam_py.orchestrator.slots import Claim, Slots, StuckError
from anam_py.store import HTMCore

__all__ = ["Run", "Services", "inside"]

# The agents whose handlers this code runs inside of.
_inside: contextvars.ContextVar[frozenset[Agent]] = contextvars.ContextVar("_inside", default=frozenset())


def inside() -> frozenset[Agent]:
    """Return the agents whose handlers this code runs inside of: to wait for one of them would be to wait for itself."""
    return _inside.get()


@dataclass(frozen=True, slots=True)
class Services:
    """What all runs of an orchestrator share.

    Attributes
    ----------
    htm : HTMCore
    validator : AxiomValidator
    gate : EthicalGate
    threads : Slots
        For sync handlers.
    retries : Retries
    attempt_timeout : float or None
        Seconds that an attempt may take.
    grace : float
        Seconds that an attempt has to end in once it was asked to.
    """

    htm: HTMCore
    validator: AxiomValidator
    gate: EthicalGate
    threads: Slots
    retries: Retries
    attempt_timeout: float | None
    grace: float


class Run:
    """One coordinated task.

    Parameters
    ----------
    services : Services
    request : Request

    Attributes
    ----------
    id : str
    assignments : dict of str to Assigned
    results, errors : dict
        By capability.
    trace : list of dict
        The attempts, in the order of their ends.
    """

    def __init__(self, services: Services, request: Request) -> None:
        self.id = secrets.token_hex(8)
        self.request = request
        self.assignments: dict[str, Assigned] = {}
        self.results: dict[str, Any] = {}
        self.errors: dict[str, dict[str, str]] = {}
        self.trace: list[dict[str, Any]] = []
        self._services = services
        self._agents: dict[str, Agent] = {}
        self._asked: dict[str, tuple[str, ...]] = {}
        self._ended: dict[str, asyncio.Event] = {}

    async def perform(self, assignments: Mapping[str, Assigned], agents: Mapping[str, Agent]) -> None:
        """Let agents do the task; what does not depend on each other goes on at once.

        Cancelling this stops what is under way, and waits until it has ended or was given up.

        Parameters
        ----------
        assignments : mapping of str to Assigned
            By capability.
        agents : mapping of str to Agent
            By their ids.
        """
        self.assignments = dict(assignments)
        self._agents = {name: agents[assigned.agent_id] for name, assigned in assignments.items()}
        self._asked = self._requirements_of_each()
        self._ended = {name: asyncio.Event() for name in self._agents}
        for agent in self._agents.values():
            agent.assign(1)
        left = dict(self._agents)
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._agents:
                    group.create_task(self._do(name, left))
        finally:
            for agent in left.values():
                agent.assign(-1)

    def fail_unfinished(self, kind: str, message: str) -> None:
        """Give this error to each capability that has neither a result nor an error."""
        for name in self.request.required:
            if name not in self.results and name not in self.errors:
                self.errors[name] = error_of(kind, message)

    @property
    def unmet(self) -> list[str]:
        """What of the requirements no output holds."""
        met = {*self.results, *(key for output in self.results.values() if isinstance(output, dict) for key in output)}
        return [name for name in self.request.requirements if name not in met]

    def _requirements_of_each(self) -> dict[str, tuple[str, ...]]:
        """Return what each capability has to deliver: each requirement falls to the first that says it can."""
        asked: dict[str, list[str]] = {name: [] for name in self._agents}
        for requirement in self.request.requirements:
            able = (name for name, agent in self._agents.items() if requirement in agent.skills[name].delivers)
            if requirement not in asked and (name := next(able, None)):
                asked[name].append(requirement)
        return {name: tuple(requirements) for name, requirements in asked.items()}

    async def _do(self, name: str, left: dict[str, Agent]) -> None:
        """Do one capability, once those before it are done, and take it out of what is left."""
        for before in self.request.after[name]:
            await self._ended[before].wait()
        failed = [before for before in self.request.after[name] if before in self.errors]
        if failed:
            self.errors[name] = error_of("Skipped", f"not run, since {', '.join(failed)} failed")
        else:
            await self._try(name, self._agents[name])
        left.pop(name).assign(-1)
        self._ended[name].set()

    async def _try(self, name: str, agent: Agent) -> None:
        """Make attempts until one succeeds, or no more may be made."""
        attempt = 1
        while True:
            ended = await self._attempt(name, agent, attempt)
            if ended.error is None:
                self.results[name] = ended.value
                return
            if ended.is_final or attempt > self._services.retries.most:
                self.errors[name] = ended.error
                if ended.value is not None:
                    self.results[name] = ended.value
                return
            await asyncio.sleep(self._services.retries.delay(attempt))
            attempt += 1

    async def _attempt(self, name: str, agent: Agent, attempt: int) -> Ended:
        """Make one attempt, and enter it in the trace."""
        handler = agent.skills[name].handler
        how = attempts.way_of(handler, process=agent.process)
        claim = Claim(None if agent in inside() else agent.slots, self._services.threads if how is attempts.in_thread else None)
        asked = time.time()
        try:
            await claim.acquire()
        except StuckError as error:
            return Ended.failed(error, is_final=True)
        began = time.time()
        entry = {
            "capability": name,
            "agent": agent.id,
            "attempt": attempt,
            "attempt_id": f"{self.id}-{name}-{attempt}",
            "started": began,
            "waited_ms": (began - asked) * 1000,
        }
        outcome = "cancelled"
        token = _inside.set(inside() | {agent})
        work = attempts.begin(how, handler, self.request.task, self._context(name, agent, attempt), claim)
        _inside.reset(token)
        start = time.perf_counter()
        try:
            ended, outcome = await self._watch(work, claim, attempt)
        finally:
            seconds = time.perf_counter() - start
            if outcome == "cancelled" and claim.is_given_up:
                outcome = "abandoned"
            self.trace.append({**entry, "duration_ms": seconds * 1000, "outcome": outcome})
            agent.count(seconds, outcome)
        if ended.error is not None:
            agent.last_error = f"{name}: {ended.error['type']}: {ended.error['message']}"
        return ended

    def _context(self, name: str, agent: Agent, attempt: int) -> Context:
        services, before = self._services, self.request.after[name]
        return Context(
            capability=name,
            agent_id=agent.id,
            run_id=self.id,
            attempt=attempt,
            requirements=self._asked[name],
            results={each: self.results[each] for each in before},
            htm=services.htm,
            validator=services.validator,
            gate=services.gate,
        )

    async def _watch(self, work: Work, claim: Claim, attempt: int) -> tuple[Ended, str]:
        """Wait for an attempt as long as it may take; returns how it ended, also in a word."""
        limit, grace = self._services.attempt_timeout, self._services.grace
        try:
            await asyncio.wait({work.ended}, timeout=limit)
        except asyncio.CancelledError:
            await _stop(work, claim, grace)
            raise
        if not work.ended.done():
            await _stop(work, claim, grace)
            message = f"attempt {attempt} took longer than {limit:g} s"
            if claim.is_given_up:
                message += f", did not end when it was asked to, and was given up after {grace:g} s more; it may still run"
                return Ended(error=error_of("TimeoutError", message), is_final=True), "abandoned"
            return Ended(error=error_of("TimeoutError", message)), "timed out"
        ended = work.ended.result()
        return ended, "succeeded" if ended.error is None else "failed"


async def _stop(work: Work, claim: Claim, grace: float) -> None:
    """Ask an attempt to end, and wait for that for some seconds, also when this is cancelled meanwhile; then give it up."""
    work.stop()
    interrupted: asyncio.CancelledError | None = None
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace
    while not work.ended.done() and (left := deadline - loop.time()) > 0:
        try:
            await asyncio.wait({work.ended}, timeout=left)
        except asyncio.CancelledError as error:
            interrupted = error
    if not work.ended.done():
        claim.give_up()
    if interrupted:
        raise interrupted
