"""From a request to its outcome: its turn, the decision, the run, its time, and what is recorded of it."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from anam_py.exceptions import AnamError
from anam_py.orchestrator.agents import Agent
from anam_py.orchestrator.assignment import assign, require_covered
from anam_py.orchestrator.decision import Decision, decide, is_asked_for
from anam_py.orchestrator.request import Request
from anam_py.orchestrator.run import Run, Services, inside
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
        self._desk = desk
        self._request = request
        self._run = Run(desk.services, request)
        self._decision: Decision | None = None
        self._decision_digest: str | None = None
        self._early: tuple[str, str] | None = None
        self._start = time.perf_counter()
        self._loop = asyncio.get_running_loop()
        self._work = self._loop.create_task(self._perform())

    async def outcome(self) -> dict[str, Any]:
        """Let it run for as long as it may, and return what `coordinate_task` returns.

        Raises
        ------
        HTMError
            If the decision cannot be recorded: nothing has been run then.
        """
        self._desk.running.add(self)
        try:
            await asyncio.wait({self._work}, timeout=self._request.timeout)
            if not self._work.done():
                self._early = "TimeoutError", f"the task took longer than {self._request.timeout:g} s"
                await _ended(self._work)
        except asyncio.CancelledError:
            await _ended(self._work)
            self._desk.audit.append(self._record("cancelled"))
            raise
        finally:
            self._desk.running.discard(self)
            self.over.set_result(None)
        if not self._work.cancelled():
            self._work.result()
        if not self._is_refused:
            self._run.fail_unfinished(*(self._early or ("CancelledError", "it was cancelled")))
        return await self._told()

    def stop(self, message: str) -> None:
        """End it early, from any thread."""
        self._early = "OrchestratorError", message
        self._loop.call_soon_threadsafe(self._work.cancel)

    @property
    def _is_refused(self) -> bool:
        return self._decision is not None and not self._decision.allowed and self._desk.enforces

    async def _perform(self) -> None:
        # Whoever is asked for by a task that has its turn must not wait for that.
        needs_turn = not inside() & {*self._desk.agents().values()}
        if needs_turn:
            await self._desk.turns.acquire()
        try:
            await self._decide()
            if not self._is_refused:
                agents = self._desk.agents()
                offers = [agent.offer() for agent in agents.values()]
                require_covered(self._request.required, offers)  # an agent may have been removed while this waited
                await self._run.perform(assign(self._request.required, offers), agents)
        finally:
            if needs_turn:
                self._desk.turns.release()

    async def _decide(self) -> None:
        if not is_asked_for(self._request.task):
            return
        services = self._desk.services
        self._decision = decide(self._request.task, services.validator, services.gate)
        self._decision_digest = await self._recorded(self._record("decision"))

    async def _told(self) -> dict[str, Any]:
        """Return the outcome, once it has been recorded."""
        run, unmet = self._run, [] if self._is_refused else self._run.unmet
        success = not (self._is_refused or run.errors or unmet)
        audit: dict[str, Any] = {"decision": self._decision_digest, "task": None, "error": None}
        try:
            audit["task"] = await self._recorded(self._record(self._outcome(success=success)))
        except AnamError as error:
            log.error("task %s was run, and could not be recorded: %s", run.id, error)  # noqa: TRY400 - the message says it all
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
        decision = self._decision
        if decision is None:
            return None
        return {
            "decision_id": decision.decision_id,
            "verdict": decision.verdict,
            "enforced": self._desk.enforces,
            "reasons": decision.reasons,
            "determining": decision.determining,
            "scores": decision.scores,
            "axioms": decision.axioms,
            "evaluation_ms": decision.seconds * 1000,
        }

    def _record(self, outcome: str) -> dict[str, Any]:
        """Return what the audit log is told: of the decision, or of how the task ended."""
        decision, run = self._decision, self._run
        catalogue = self._desk.services.validator.catalogue
        record: dict[str, Any] = {
            "kind": "decision" if outcome == "decision" else "task",
            "run_id": run.id,
            "task_type": self._request.kind,
            "required": list(self._request.required),
            "input_digest": self._request.digest,
            "catalogue": {"version": catalogue.version, "digest": catalogue.digest},
            "decision_id": None if decision is None else decision.decision_id,
        }
        if outcome == "decision" and decision is not None:
            return record | {
                "verdict": decision.verdict,
                "enforced": self._desk.enforces,
                "reasons": decision.reasons,
                "determining": decision.determining,
                "scores": decision.scores,
                "evaluation_ms": decision.seconds * 1000,
            }
        return record | {
            "verdict": None if decision is None else decision.verdict,
            "outcome": outcome,
            "assignments": {name: assigned.agent_id for name, assigned in run.assignments.items()},
            "attempts": len(run.trace),
            "errors": {name: f"{error['type']}: {error['message']}"[:500] for name, error in run.errors.items()},
            "unmet": run.unmet,
            "duration_ms": (time.perf_counter() - self._start) * 1000,
        }

    async def _recorded(self, record: dict[str, Any]) -> str:
        """Append to the audit log; returns the record's digest once it is on the disk, which being cancelled does not undo."""
        return await asyncio.shield(asyncio.wrap_future(self._desk.audit.append(record)))


async def _ended(work: "asyncio.Task[None]") -> None:
    """Cancel a task and wait until it has ended, also when this is cancelled meanwhile: what it waits for is bounded."""
    work.cancel()
    while not work.done():
        try:
            await asyncio.wait({work})
        except asyncio.CancelledError:
            continue
