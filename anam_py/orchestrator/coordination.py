"""From a request to its outcome: its turn, the decision, the run, its time, and what is recorded of it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from anam_py.exceptions import AnamError
from anam_py.orchestrator.agents import Agent
from anam_py.orchestrator.assignment import Offer, assign, require_covered
from anam_py.orchestrator.decision import Decision, decide, is_asked_for
from anam_py.orchestrator.request import Request
from anam_py.orchestrator.run import Run, Services, is_inside
from anam_py.orchestrator.slots import Slots
from anam_py.store import AuditLog

__all__ = ["Coordination", "Desk"]

log = logging.getLogger("anam_py.orchestrator")


@dataclass(frozen=True, slots=True)
class Desk:
    """Where an orchestrator's requests go.

    Attributes
    ----------
    services : Services
    agents : Callable
        Returns the agents of this moment, by their ids.
    turns : Slots
        For tasks.
    audit : AuditLog
    enforces : bool
        Whether what is refused does not run.
    running : set of Coordination
    """

    services: Services
    agents: Callable[[], Mapping[str, Agent]]
    turns: Slots
    audit: AuditLog
    enforces: bool
    running: set["Coordination"] = field(default_factory=set)


class Coordination:
    """One call of `coordinate_task`.

    Parameters
    ----------
    desk : Desk
    request : Request

    Attributes
    ----------
    over : concurrent.futures.Future
        Done when nothing of it goes on any more, except what was given up.
    """

    def __init__(self, desk: Desk, request: Request) -> None:
        self.over: Future[None] = Future()
        self.over.set_running_or_notify_cancel()  # whoever waits for it cannot cancel it
        self._desk = desk
        self._request = request
        self._run = Run(desk.services, request)
        self._decision: Decision | None = None
        self._decision_digest: str | None = None
        self._early: tuple[str, str] | None = None
        self._start = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        self._work: asyncio.Task[None] | None = None
        desk.running.add(self)

    async def outcome(self) -> dict[str, Any]:
        """Let it run for as long as it may, and return what `coordinate_task` returns.

        Raises
        ------
        HTMError
            If the decision cannot be recorded: nothing has been run then.
        OrchestratorError
            If an agent was removed that nobody can stand in for.
        """
        self._work = work = self._loop.create_task(self._perform())
        try:
            if self._early:  # stopped before it began
                await _cancelled(work)
            await asyncio.wait({work}, timeout=self._request.timeout)
            if not work.done():
                self._early = "TimeoutError", f"the task took longer than {self._request.timeout:g} s"
                await _cancelled(work)
        except asyncio.CancelledError:
            await _cancelled(work)
            self._record_at_most(self._task_record("cancelled"))
            raise
        finally:
            self._desk.running.discard(self)
            self.over.set_result(None)
        if not work.cancelled():
            self._early = None
            if work.exception() is not None:
                self._record_at_most(self._task_record("failed"))
            work.result()
        if not self._is_refused:
            self._run.fail_unfinished(*(self._early or ("CancelledError", "it was cancelled")))
        return await self._told()

    @property
    def is_of_a_closed_loop(self) -> bool:
        """Whether nobody is left who could end it."""
        return self._loop.is_closed()

    def stop(self, message: str) -> None:
        """End it early, from any thread."""
        self._early = "OrchestratorError", message
        with contextlib.suppress(RuntimeError):  # of a loop that is closed
            self._loop.call_soon_threadsafe(self._cancel)

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    @property
    def _is_refused(self) -> bool:
        return self._decision is not None and not self._decision.allowed and self._desk.enforces

    async def _perform(self) -> None:
        # What a task that has its turn asks for must not wait until that has ended.
        needs_turn = not is_inside(self._desk.services)
        if needs_turn:
            await self._desk.turns.acquire()
        try:
            await self._decide()
            if not self._is_refused:
                agents = self._desk.agents()
                await self._run.perform(assign(self._request.required, _able(agents, self._request.required)), agents)
        finally:
            if needs_turn:
                self._desk.turns.release()

    async def _decide(self) -> None:
        if not is_asked_for(self._request.task):
            return
        services = self._desk.services
        self._decision = decide(self._request.task, services.validator, services.gate)
        self._decision_digest = await self._recorded(self._decision_record(self._decision))

    async def _told(self) -> dict[str, Any]:
        """Return the outcome, once it has been recorded."""
        run, unmet = self._run, [] if self._is_refused else self._run.unmet
        success = not (self._is_refused or run.errors or unmet)
        audit: dict[str, Any] = {"decision": self._decision_digest, "task": None, "error": None}
        try:
            audit["task"] = await self._recorded(self._task_record(self._outcome(success=success)))
        except AnamError as error:
            self._log(error)
            audit["error"] = str(error)
        ran = {entry["agent"] for entry in run.trace}
        return {
            "success": success and audit["error"] is None,
            "run_id": run.id,
            "agents_involved": sorted(ran),
            "results": {name: run.results[name] for name in self._request.required if name in run.results},
            "errors": {name: run.errors[name] for name in self._request.required if name in run.errors},
            "unmet": unmet,
            "assignments": {
                name: {"agent": agent_id, "reason": reason, "passed_over": passed_over}
                for name, (agent_id, reason, passed_over) in run.assignments.items()
            },
            "trace": run.trace,
            "nam": self._nam(),
            "duration_ms": (time.perf_counter() - self._start) * 1000,
            "audit": audit,
        }

    def _outcome(self, *, success: bool) -> str:
        if self._is_refused:
            return "refused"
        if self._early:
            return "timed out" if self._early[0] == "TimeoutError" else "stopped"
        return "succeeded" if success else "failed"

    def _nam(self) -> dict[str, Any] | None:
        return None if self._decision is None else {**self._judgement(self._decision), "axioms": self._decision.axioms}

    def _judgement(self, decision: Decision) -> dict[str, Any]:
        return {
            "decision_id": decision.decision_id,
            "verdict": decision.verdict,
            "enforced": self._desk.enforces,
            "reasons": decision.reasons,
            "determining": decision.determining,
            "scores": decision.scores,
            "evaluation_ms": decision.seconds * 1000,
        }

    def _decision_record(self, decision: Decision) -> dict[str, Any]:
        return {**self._about("decision"), **self._judgement(decision)}

    def _task_record(self, outcome: str) -> dict[str, Any]:
        decision, run = self._decision, self._run
        return {
            **self._about("task"),
            "decision_id": None if decision is None else decision.decision_id,
            "verdict": None if decision is None else decision.verdict,
            "outcome": outcome,
            "assignments": [{"capability": name, "agent": each.agent_id} for name, each in run.assignments.items()],
            "attempts": len(run.trace),
            "errors": [{"capability": name, "error": _short(error)} for name, error in run.errors.items()],
            "unmet": [] if self._is_refused else run.unmet,
            "duration_ms": (time.perf_counter() - self._start) * 1000,
        }

    def _about(self, kind: str) -> dict[str, Any]:
        """Return what every record says."""
        catalogue = self._desk.services.validator.catalogue
        return {
            "kind": kind,
            "run_id": self._run.id,
            "task_type": self._request.kind,
            "required": list(self._request.required),
            "input_digest": self._request.digest,
            "catalogue": {"version": catalogue.version, "digest": catalogue.digest},
        }

    def _record_at_most(self, record: dict[str, Any]) -> None:
        """Have something recorded that is not waited for."""
        try:
            self._desk.audit.append(record).add_done_callback(self._log_failure)
        except AnamError as error:
            self._log(error)

    def _log_failure(self, recorded: "Future[str]") -> None:
        if error := recorded.exception():
            self._log(error)

    def _log(self, error: BaseException) -> None:
        log.error("task %s could not be recorded: %s", self._run.id, error)

    async def _recorded(self, record: dict[str, Any]) -> str:
        """Append to the audit log; returns the record's digest once it is on the disk, which being cancelled does not undo."""
        return await asyncio.shield(asyncio.wrap_future(self._desk.audit.append(record)))


def _able(agents: Mapping[str, Agent], required: Sequence[str]) -> list[Offer]:
    """Return what agents offer that can begin something, or of all agents where those do not suffice."""
    offers = [agent.offer() for agent in agents.values() if not agent.slots.is_stuck]
    if not {name for offer in offers for name in offer.capabilities}.issuperset(required):
        offers = [agent.offer() for agent in agents.values()]
        require_covered(required, offers)  # an agent may have been removed while this waited
    return offers


def _short(error: Mapping[str, str]) -> str:
    return f"{error['type']}: {error['message']}"[:500]


async def _cancelled(work: "asyncio.Task[None]") -> None:
    """Cancel a task and wait until it has ended, which takes a bounded time; if this is cancelled meanwhile, raise that then."""
    work.cancel()
    interruption: asyncio.CancelledError | None = None
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError as error:
            interruption = error
    if interruption:
        raise interruption
