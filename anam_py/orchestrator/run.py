"""One coordinated task: who does what of it, in which order, how often it is tried, and what came of it."""

import asyncio
import contextvars
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from anam_py.axioms import AxiomValidator
from anam_py.gate import EthicalGate
from anam_py.orchestrator import attempts
from anam_py.orchestrator.agents import Agent
from anam_py.orchestrator.assignment import Assigned
from anam_py.orchestrator.attempts import Work
from anam_py.orchestrator.context import Context
from anam_py.orchestrator.ends import Ended, error_of
from anam_py.orchestrator.request import Request, snapshot
from anam_py.orchestrator.retries import Retries
from anam_py.orchestrator.slots import Claim, Slots, StuckError
from anam_py.store import HTMCore

__all__ = ["Run", "Services", "is_inside"]


class _Frame(NamedTuple):
    """An attempt that code runs inside of, and what it lends: its own agent and thread, which would wait for themselves."""

    services: "Services"
    agent: Agent
    claim: Claim
    agent_slots: Slots
    thread_slots: Slots | None


# Outermost first. A task that outlives the attempt which started it is inside of nothing.
_frames: contextvars.ContextVar[tuple[_Frame, ...]] = contextvars.ContextVar("_frames", default=())


def _alive(services: "Services") -> list[_Frame]:
    """Return the attempts of an orchestrator that this code runs inside of, innermost first."""
    return [frame for frame in reversed(_frames.get()) if frame.services is services and not frame.claim.is_ended]


def is_inside(services: "Services") -> bool:
    """Return whether this code runs inside of a handler of an orchestrator's."""
    return bool(_alive(services))


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
            agent.give()
        left = dict(self._agents)
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._agents:
                    group.create_task(self._do(name, left))
        finally:
            for agent in left.values():
                agent.take_back()

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
        try:
            for before in self.request.after[name]:
                await self._ended[before].wait()
            failed = [before for before in self.request.after[name] if before in self.errors]
            if failed:
                self.errors[name] = error_of("Skipped", f"not run, since {', '.join(failed)} failed")
            else:
                await self._try(name, self._agents[name])
        finally:
            left.pop(name).take_back()
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
        frame = self._frame(agent, in_thread=how is attempts.in_thread)
        asked = time.time()
        try:
            await frame.claim.acquire()
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
        token = _frames.set((*_frames.get(), frame))
        work = attempts.begin(how, handler, snapshot(self.request.task), self._context(name, agent, attempt), frame.claim)
        _frames.reset(token)
        start = time.perf_counter()
        try:
            ended, outcome = await self._watch(work, frame.claim, attempt)
        finally:
            seconds = time.perf_counter() - start
            if outcome == "cancelled" and frame.claim.is_given_up:
                outcome = "abandoned"
            self.trace.append({**entry, "duration_ms": seconds * 1000, "outcome": outcome})
            agent.count(seconds, outcome)
        if ended.error is not None:
            agent.last_error = f"{name}: {ended.error['type']}: {ended.error['message']}"
        return ended

    def _frame(self, agent: Agent, *, in_thread: bool) -> _Frame:
        """Return what an attempt holds: slots of its own, or what the handler that it is made for lends it, one at a time."""
        alive = _alive(self._services)
        agent_slots = next((frame.agent_slots for frame in alive if frame.agent is agent), agent.slots)
        lent = next((frame.thread_slots for frame in alive if frame.thread_slots is not None), None)
        claim = Claim(agent_slots, (lent or self._services.threads) if in_thread else None)
        return _Frame(self._services, agent, claim, Slots(_one), Slots(_one) if in_thread else None)

    def _context(self, name: str, agent: Agent, attempt: int) -> Context:
        services, before = self._services, self.request.after[name]
        return Context(
            capability=name,
            agent_id=agent.id,
            run_id=self.id,
            attempt=attempt,
            requirements=self._asked[name],
            results={each: snapshot(self.results[each]) for each in before},
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
        if work.ended.cancelled():
            return Ended.failed(RuntimeError("the handler cancelled itself")), "failed"
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


def _one() -> int:
    return 1
