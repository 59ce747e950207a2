"""Time is kept: what takes too long is stopped, or killed, or given up and reported; nothing is left behind in silence."""

import asyncio
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import handlers
import pytest

from anam_py import MultiAgentOrchestrator
from anam_py.exceptions import OrchestratorError
from anam_py.orchestrator import Context

Make = Callable[..., MultiAgentOrchestrator]

TASK = {"type": "test"}


async def sleep(task: Any, context: Context) -> None:
    await asyncio.sleep(60)


async def one(task: Any, context: Context) -> int:
    return 1


async def test_a_coroutine_that_takes_too_long_is_cancelled_and_has_ended(make: Make) -> None:
    ended = False

    async def sleep_and_say(task: Any, context: Context) -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    orchestrator = make(attempt_timeout=0.02, retries=1)
    orchestrator.add_agent("agent", ["a"], handlers={"a": sleep_and_say})
    result = await orchestrator.coordinate_task(TASK, ["a"])
    assert ended
    assert [entry["outcome"] for entry in result["trace"]] == ["timed out", "timed out"]
    assert result["errors"]["a"] == {"type": "TimeoutError", "message": "attempt 2 took longer than 0.02 s", "traceback": ""}
    assert orchestrator.get_agent_status()["agent"]["state"] == "idle"
    assert handlers.tasks() == set()


async def test_a_task_that_takes_too_long_is_no_exception_and_keeps_what_was_found(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b", "c"], handlers={"a": one, "b": sleep, "c": one}, max_concurrency=3)
    result = await orchestrator.coordinate_task({"type": "test", "after": {"c": ["b"]}}, ["a", "b", "c"], timeout=0.1)
    assert result["success"] is False
    assert result["results"] == {"a": 1}
    assert {name: error["message"] for name, error in result["errors"].items()} == dict.fromkeys(
        "bc", "the task took longer than 0.1 s"
    )
    assert [entry["outcome"] for entry in result["trace"]] == ["succeeded", "cancelled"]
    assert handlers.tasks() == set()


async def test_waiting_for_a_turn_counts_as_time_too(make: Make) -> None:
    orchestrator = make(max_concurrency=1)
    orchestrator.add_agent("agent", ["a"], handlers={"a": sleep})
    running = asyncio.create_task(orchestrator.coordinate_task(TASK, ["a"]))
    await asyncio.sleep(0)
    result = await orchestrator.coordinate_task(TASK, ["a"], timeout=0.02)
    assert (result["success"], result["trace"], result["assignments"]) == (False, [], {})
    assert result["errors"]["a"]["type"] == "TimeoutError"
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_sync_handler_is_told_that_its_time_is_over(make: Make) -> None:
    def wait(task: Any, context: Context) -> None:
        assert context.cancelled.wait(60)

    orchestrator = make(attempt_timeout=0.02, grace=10)
    orchestrator.add_agent("agent", ["a"], handlers={"a": wait})
    result = await orchestrator.coordinate_task(TASK, ["a"])
    assert [entry["outcome"] for entry in result["trace"]] == ["timed out"]
    assert handlers.threads() == []


async def test_a_sync_handler_that_does_not_end_is_given_up_and_reported_until_it_does(make: Make) -> None:
    go = threading.Event()
    orchestrator = make(attempt_timeout=0.02, grace=0.02, retries=5)
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": lambda task, context: go.wait(60), "b": one})
    result = await orchestrator.coordinate_task(TASK, ["a"])
    assert [entry["outcome"] for entry in result["trace"]] == ["abandoned"]  # a second one beside it might do harm
    assert "given up after 0.02 s more; it may still run" in result["errors"]["a"]["message"]
    status = orchestrator.get_agent_status()["agent"]
    assert (status["state"], status["abandoned"], status["active"]) == ("stuck", 1, 1)
    stuck = await orchestrator.coordinate_task(TASK, ["b"])
    assert stuck["errors"]["b"]["type"] == "StuckError"
    assert "register it with process=True" in stuck["errors"]["b"]["message"]
    go.set()
    while orchestrator.get_agent_status()["agent"]["abandoned"]:
        await asyncio.sleep(0.001)
    assert orchestrator.get_agent_status()["agent"]["state"] == "idle"
    assert (await orchestrator.coordinate_task(TASK, ["b"]))["results"] == {"b": 1}


async def test_whoever_waits_for_an_agent_that_gets_stuck_is_told(make: Make) -> None:
    go = threading.Event()
    orchestrator = make(attempt_timeout=0.05, grace=0.02)
    orchestrator.add_agent("agent", ["a"], handlers={"a": lambda task, context: go.wait(60)})
    results = await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"]) for _ in range(5)))
    go.set()
    assert sorted(result["errors"]["a"]["type"] for result in results) == ["StuckError"] * 4 + ["TimeoutError"]


async def test_threads_of_handlers_that_hang_are_not_missed_by_the_others(make: Make) -> None:
    go = threading.Event()
    orchestrator = make(attempt_timeout=0.02, grace=0.02)
    orchestrator.add_agent("hanging", ["a"], handlers={"a": lambda task, context: go.wait(60)}, max_concurrency=50)
    orchestrator.add_agent("working", ["b"], handlers={"b": lambda task, context: "done"})
    await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"]) for _ in range(20)))
    assert orchestrator.get_agent_status()["hanging"]["abandoned"] == 20
    result = await orchestrator.coordinate_task(TASK, ["b"], timeout=10)
    go.set()
    assert result["results"] == {"b": "done"}


async def test_a_coroutine_that_refuses_to_be_cancelled_is_given_up_too(make: Make) -> None:
    go = asyncio.Event()

    async def refuse(task: Any, context: Context) -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue

    orchestrator = make(attempt_timeout=0.02, grace=0.02)
    orchestrator.add_agent("agent", ["a"], handlers={"a": refuse})
    result = await orchestrator.coordinate_task(TASK, ["a"])
    assert [entry["outcome"] for entry in result["trace"]] == ["abandoned"]
    assert orchestrator.get_agent_status()["agent"]["state"] == "stuck"
    go.set()
    while orchestrator.get_agent_status()["agent"]["abandoned"]:
        await asyncio.sleep(0)
    assert orchestrator.get_agent_status()["agent"]["state"] == "idle"
    assert handlers.tasks() == set()


@pytest.mark.parametrize("times", [1, 3])
async def test_cancelling_the_call_cancels_its_handlers_and_waits_for_them(make: Make, times: int) -> None:
    begun, ended = asyncio.Event(), False

    async def end_slowly(task: Any, context: Context) -> None:
        nonlocal ended
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.02)
            ended = True

    orchestrator = make(grace=10)
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": end_slowly, "b": end_slowly})
    running = asyncio.create_task(orchestrator.coordinate_task(TASK, ["a", "b"]))
    await begun.wait()
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended
    status = orchestrator.get_agent_status()["agent"]
    assert (status["active"], status["waiting"], status["state"]) == (0, 0, "idle")
    assert handlers.tasks() == set()


async def test_a_process_gives_its_result(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": handlers.echo, "b": handlers.echo_async}, process=True)
    result = await orchestrator.coordinate_task({"type": "test", "after": {"b": ["a"]}}, ["a", "b"], timeout=60)
    first, second = result["results"]["a"], result["results"]["b"]
    assert len({first["process"], second["process"], os.getpid()}) == 3
    assert second["results"] == {"a": first}
    assert second["task"]["type"] == "test"


async def test_a_process_that_hangs_is_killed(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "process"
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": handlers.hang}, process=True)
    running = asyncio.create_task(orchestrator.coordinate_task({"type": "test", "file": str(file)}, ["a"]))
    deadline = time.monotonic() + 60
    while not (file.exists() and file.read_text()) and time.monotonic() < deadline:
        await asyncio.sleep(0.01)
    await orchestrator.close()
    result = await running
    assert result["errors"]["a"]["message"] == "the orchestrator was closed"
    assert orchestrator.get_agent_status()["agent"]["abandoned"] == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int(file.read_text()), 0)


async def test_a_process_that_ends_without_a_word_fails_its_capability(make: Make) -> None:
    orchestrator = make()
    work = {"a": handlers.crash, "b": handlers.leave, "c": handlers.give_a_set}
    orchestrator.add_agent("agent", list(work), handlers=work, process=True, max_concurrency=3)
    errors = (await orchestrator.coordinate_task(TASK, ["a", "b", "c"], timeout=60))["errors"]
    assert errors["a"]["message"] == "the process ended without a result, with exit code 7"
    assert errors["b"]["type"] == "SystemExit"
    assert "in leave" in errors["b"]["traceback"]
    assert errors["c"]["message"] == "the handler's result: a set cannot be stored as JSON; use a list"


async def test_a_handler_that_no_process_can_be_told_of_is_refused_at_once(make: Make) -> None:
    with pytest.raises(OrchestratorError, match=r"the handler of 'a' cannot run in a process of its own: .*define it at the top"):
        make().add_agent("agent", ["a"], handlers={"a": lambda task, context: 1}, process=True)


async def test_a_task_that_no_process_can_be_told_of_fails(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": handlers.echo}, process=True)
    result = await orchestrator.coordinate_task({"type": "test", "lock": threading.Lock()}, ["a"], timeout=60)
    assert "cannot pickle" in result["errors"]["a"]["message"]
