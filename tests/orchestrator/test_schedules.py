"""Whatever handlers do, in whatever order: every capability has one end, every task one record, and nothing is left behind."""

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import handlers
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anam_py import HTMCore, MultiAgentOrchestrator
from anam_py.orchestrator import Context
from anam_py.store import AuditLog

EXAMPLES = int(os.environ.get("ANAM_TEST_SCHEDULES", "25"))
TASKS = int(os.environ.get("ANAM_TEST_TASKS", "1000"))
CAPABILITIES = "abcd"

ACTS = ["succeed", "sync", "fail", "fail sync", "exit", "hang", "hang sync", "ignore cancellation", "cancel itself", "bad result"]


class Call(NamedTuple):
    """A call of `coordinate_task`, what becomes of each capability, and when it is cancelled or times out."""

    required: list[str]
    acts: dict[str, str]
    after: list[tuple[str, str]]
    timeout: float | None
    cancelled_after: float | None


CALLS = st.builds(
    Call,
    st.lists(st.sampled_from(CAPABILITIES), min_size=1, unique=True),
    st.fixed_dictionaries({name: st.sampled_from(ACTS) for name in CAPABILITIES}),
    st.lists(st.sampled_from([("b", "a"), ("c", "b"), ("d", "a")]), max_size=2),
    st.sampled_from([None, None, 0.001, 0.02]),
    st.sampled_from([None, None, 0.0, 0.002, 0.02]),
)


class Stage:
    """Handlers that do what the task says, and can be told to stop hanging."""

    def __init__(self) -> None:
        self.go = threading.Event()

    async def act(self, task: Any, context: Context) -> Any:
        act = task["acts"][context.capability]
        if act == "fail":
            raise ValueError("it failed")
        if act == "exit":
            raise SystemExit(1)
        if act == "cancel itself":
            raise asyncio.CancelledError
        if act == "hang":
            await asyncio.sleep(60)
        while act == "ignore cancellation" and not self.go.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                continue
        return {"bad": {1}} if act == "bad result" else act

    def act_sync(self, task: Any, context: Context) -> Any:
        act = task["acts"][context.capability]
        if act == "fail sync":
            raise ValueError("it failed")
        if act == "hang sync":
            self.go.wait(60)
        return act


@pytest.mark.soak
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(CALLS, min_size=1, max_size=6), retries=st.integers(0, 1))
def test_no_schedule_leaves_a_task_a_thread_or_a_loose_end(
    tmp_path_factory: pytest.TempPathFactory, calls: list[Call], retries: int
) -> None:
    stage = Stage()
    with HTMCore(tmp_path_factory.mktemp("schedule"), 1, dimension=4, durability="normal") as htm:
        asyncio.run(play(htm, stage, calls, retries))
        records = list(AuditLog(htm).records())
        assert AuditLog(htm).verify() == []
    assert len(records) == len({record["run_id"] for record in records}) <= len(calls)
    assert handlers.threads() == []


async def play(htm: HTMCore, stage: Stage, calls: list[Call], retries: int) -> None:
    orchestrator = MultiAgentOrchestrator(
        htm, attempt_timeout=0.02, grace=0.005, retries=retries, backoff=0.001, max_backoff=0.001, max_concurrency=3
    )
    work = {**dict.fromkeys(CAPABILITIES, stage.act), **{f"{name} sync": stage.act_sync for name in CAPABILITIES}}
    for number in range(3):
        orchestrator.add_agent(f"agent {number}", list(work), handlers=work, max_concurrency=1 + number)
    results = await asyncio.gather(*(one(orchestrator, call) for call in calls), return_exceptions=True)
    for call, result in zip(calls, results, strict=True):
        if isinstance(result, asyncio.CancelledError):
            assert call.cancelled_after is not None
            continue
        assert isinstance(result, dict), result
        ends = Counter([*result["results"], *result["errors"]])
        assert ends == Counter(names_of(call))
        assert all(error["type"] and error["message"] for error in result["errors"].values())
        assert result["success"] == (not result["errors"])
        assert all(value in ACTS for value in result["results"].values())
    stage.go.set()
    while any(status["active"] for status in orchestrator.get_agent_status().values()):
        await asyncio.sleep(0.001)
    await orchestrator.close()
    status = orchestrator.get_agent_status().values()
    assert all((s["active"], s["waiting"], s["abandoned"], s["state"]) == (0, 0, 0, "idle") for s in status)
    while handlers.threads():
        await asyncio.sleep(0.001)
    assert handlers.tasks() == set()


def names_of(call: Call) -> list[str]:
    return [f"{name} sync" if "sync" in call.acts[name] else name for name in call.required]


async def one(orchestrator: MultiAgentOrchestrator, call: Call) -> dict[str, Any]:
    names = dict(zip(call.required, names_of(call), strict=True))
    after: dict[str, list[str]] = {}
    for later, earlier in call.after:
        if later in names and earlier in names:
            after.setdefault(names[later], []).append(names[earlier])
    task = {"type": "test", "after": after, "acts": {name: call.acts[name[0]] for name in names.values()}}
    running = asyncio.ensure_future(orchestrator.coordinate_task(task, list(names.values()), timeout=call.timeout))
    if call.cancelled_after is not None:
        asyncio.get_running_loop().call_later(call.cancelled_after, running.cancel)
    return await running


@pytest.mark.soak
async def test_thousands_of_tasks_at_once_are_all_done_once_and_fairly(
    tmp_path: Path, record_property: Callable[[str, int], None]
) -> None:
    done: Counter[str] = Counter()
    agents: Counter[str] = Counter()

    async def count(task: Any, context: Context) -> int:
        done[f"{task['number']} {context.capability}"] += 1
        agents[context.agent_id] += 1
        await asyncio.sleep(random.random() / 1000)
        number: int = task["number"]
        return number

    with HTMCore(tmp_path / "store", 1, dimension=4) as htm:
        orchestrator = MultiAgentOrchestrator(htm)
        for number in range(50):
            orchestrator.add_agent(f"agent {number}", ["a"], handlers={"a": count})
        results = await asyncio.gather(
            *(orchestrator.coordinate_task({"type": "test", "number": i}, ["a"]) for i in range(TASKS))
        )
        assert [result["results"]["a"] for result in results] == list(range(TASKS))
        assert set(done.values()) == {1}
        assert len(done) == TASKS
        assert AuditLog(htm).verify() == []
        assert sum(1 for _ in AuditLog(htm).records()) == TASKS
    assert max(agents.values()) <= 2 * TASKS / 50
    assert min(agents.values()) >= TASKS / 50 / 2
    record_property("tasks of an orchestrator", TASKS)
