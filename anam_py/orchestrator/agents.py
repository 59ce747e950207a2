"""An agent: what it can do, how much at a time, and how it has fared."""

import threading
from collections.abc import Mapping
from typing import Any, NamedTuple

from anam_py.orchestrator.assignment import Offer
from anam_py.orchestrator.context import Handler
from anam_py.orchestrator.slots import Slots

__all__ = ["Agent", "Skill"]


class Skill(NamedTuple):
    """How an agent does something.

    Attributes
    ----------
    handler : Handler
    delivers : frozenset of str
        Requirements that it says it can meet.
    """

    handler: Handler
    delivers: frozenset[str]


class Agent:
    """An agent of an orchestrator.

    Parameters
    ----------
    agent_id : str
    skills : mapping of str to Skill
        By capability.
    max_concurrency : int
        How many attempts it makes at a time.
    process : bool
        Whether it makes them in processes of their own.
    """

    def __init__(self, agent_id: str, skills: Mapping[str, Skill], max_concurrency: int, *, process: bool) -> None:
        self.id = agent_id
        self.skills = dict(skills)
        self.process = process
        self.slots = Slots(
            lambda: max_concurrency,
            f"agent {agent_id!r} is stuck: {max_concurrency} of its attempts were given up and have not ended, and it makes no "
            "more at a time; register it with process=True, so that they can be killed, or with a larger max_concurrency",
        )
        self._max_concurrency = max_concurrency
        self._lock = threading.Lock()
        self.last_error: str | None = None
        self._assigned = self._completed = self._failed = 0
        self._seconds = 0.0

    def offer(self) -> Offer:
        """Return what it can do and how busy it is; nothing if it is stuck."""
        capabilities = frozenset(self.skills)
        return Offer(self.id, capabilities, (self._assigned + self.slots.given_up) / self._max_concurrency)

    def assign(self, count: int) -> None:
        """Count so many capabilities as given to it, or with a negative number as done."""
        with self._lock:
            self._assigned += count

    def count(self, seconds: float, outcome: str) -> None:
        """Count an attempt, unless it was cancelled."""
        if outcome == "cancelled":
            return
        with self._lock:
            self._seconds += seconds
            if outcome == "succeeded":
                self._completed += 1
            else:
                self._failed += 1

    def status(self) -> dict[str, Any]:
        """Return what `get_agent_status` says of it."""
        with self._lock:
            ended = self._completed + self._failed
            active = self.slots.taken
            return {
                "capabilities": sorted(self.skills),
                "state": "stuck" if self.slots.is_stuck else "busy" if active else "idle",
                "active": active,
                "waiting": max(self._assigned - active, 0),
                "abandoned": self.slots.given_up,
                "completed": self._completed,
                "failed": self._failed,
                "avg_duration_ms": self._seconds / ended * 1000 if ended else 0.0,
                "last_error": self.last_error,
                "max_concurrency": self._max_concurrency,
                "process": self.process,
            }
