"""MultiAgentOrchestrator: what coordinating costs where the handlers do nothing, and how long a loop waits while they do much."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from typing import TYPE_CHECKING, Any

from anam_py import HTMCore, MultiAgentOrchestrator
from anam_py.store import AuditLog

if TYPE_CHECKING:
    from anam_py.orchestrator import Context

NAMES = ["a", "b", "c", "d"]
TASK = {"type": "benchmark"}


async def nothing(task: Any, context: Context) -> None:
    """Do nothing."""


def nothing_sync(task: Any, context: Context) -> None:
    """Do nothing in a thread."""


def busy(task: Any, context: Context) -> int:
    """Compute in Python, which lets go of the interpreter every few milliseconds, as one long call of C would not."""
    total = 0
    for number in range(3_000_000):
        total += number
    return total


class OrchestratorBenchmark:
    """Base of benchmarks with a store and an orchestrator on it."""

    timeout = 120

    def setup(self, *_: object) -> None:
        self.folder = tempfile.mkdtemp()
        self.htm = HTMCore(self.folder, 1, dimension=4, durability="normal")
        self.orchestrator = MultiAgentOrchestrator(self.htm)

    def teardown(self, *_: object) -> None:
        self.htm.close()
        shutil.rmtree(self.folder)


class Overhead(OrchestratorBenchmark):
    """A task of four agents whose handlers do nothing; and what of that the audit log's sync takes."""

    params = (("async", "sync"),)
    param_names = ("handlers",)

    def setup(self, kind: str) -> None:
        super().setup()
        for name in NAMES:
            self.orchestrator.add_agent(f"agent {name}", [name], handlers={name: nothing if kind == "async" else nothing_sync})
        self.audit = AuditLog(self.htm)

    def time_task(self, kind: str) -> None:
        asyncio.run(self._tasks())

    def time_audit(self, kind: str) -> None:
        for _ in range(10):
            self.audit.append({"kind": "task", "task_type": "benchmark"}).result()

    async def _tasks(self) -> None:
        for _ in range(10):
            await self.orchestrator.coordinate_task(TASK, NAMES)


class Lag(OrchestratorBenchmark):
    """How late the loop wakes a coroutine while sync handlers hold the interpreter: the 99th percentile."""

    unit = "ms"

    def track_p99_lag(self) -> float:
        self.orchestrator.add_agent("agent", ["a"], handlers={"a": busy}, max_concurrency=16)
        return asyncio.run(self._lag())

    async def _lag(self) -> float:
        tasks = [asyncio.create_task(self.orchestrator.coordinate_task(TASK, ["a"])) for _ in range(16)]
        lags = []
        while not all(task.done() for task in tasks):
            start = time.perf_counter()
            await asyncio.sleep(0.001)
            lags.append(time.perf_counter() - start - 0.001)
        return sorted(lags)[int(len(lags) * 0.99)] * 1000
