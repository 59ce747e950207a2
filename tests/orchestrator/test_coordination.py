"""Tasks that agents do together: who does what, in which order, and what comes of it."""

import asyncio
import contextvars
import functools
import sys
import threading
from collections.abc import Callable
from typing import Any

import handlers
import numpy as np
import pytest

from anam_py import HTMCore, MultiAgentOrchestrator
from anam_py.config import configure_ffi
from anam_py.exceptions import OrchestratorError
from anam_py.orchestrator import Context, IncompleteError

Make = Callable[..., MultiAgentOrchestrator]

TASK = {"type": "test"}


async def one(task: Any, context: Context) -> int:
    return 1


def two(task: Any, context: Context) -> int:
    return 2


async def test_sync_and_async_handlers_do_a_task_together(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("first", ["a"], handlers={"a": one})
    orchestrator.add_agent("second", ["b"], handlers={"b": two})
    result = await orchestrator.coordinate_task(TASK, ["a", "b"])
    assert result["success"] is True
    assert result["results"] == {"a": 1, "b": 2}
    assert result["agents_involved"] == ["first", "second"]
    assert (result["errors"], result["unmet"], result["nam"]) == ({}, [], None)
    assert result["assignments"]["a"] == {"agent": "first", "reason": "the only agent that has it", "passed_over": {}}
    assert [entry["outcome"] for entry in result["trace"]] == ["succeeded", "succeeded"]
    assert {entry["attempt_id"] for entry in result["trace"]} == {f"{result['run_id']}-a-1", f"{result['run_id']}-b-1"}
    assert handlers.tasks() == set()


async def test_a_handler_learns_for_whom_it_works_and_what_was_found_before(make: Make, htm: HTMCore) -> None:
    seen: dict[str, Context] = {}

    def look(task: Any, context: Context) -> str:
        seen[context.capability] = context
        return f"{task['type']} {context.capability}"

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b", "c"], handlers=dict.fromkeys("abc", look), max_concurrency=3)
    result = await orchestrator.coordinate_task({"type": "test", "after": {"c": ["a", "b"], "b": ["a"]}}, ["c", "b", "a"])
    assert result["results"] == {"c": "test c", "b": "test b", "a": "test a"}
    assert [entry["capability"] for entry in result["trace"]] == ["a", "b", "c"]
    assert seen["c"].results == {"a": "test a", "b": "test b"}
    assert (seen["c"].agent_id, seen["c"].run_id, seen["c"].attempt, seen["c"].htm) == ("agent", result["run_id"], 1, htm)


async def test_what_is_independent_goes_on_at_once(make: Make) -> None:
    both = asyncio.Barrier(2)

    async def meet(task: Any, context: Context) -> bool:
        await both.wait()
        return True

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": meet, "b": meet}, max_concurrency=2)
    assert (await orchestrator.coordinate_task(TASK, ["a", "b"], timeout=10))["success"]


async def test_sync_handlers_go_on_in_as_many_threads_as_are_configured(make: Make) -> None:
    configure_ffi({"thread_pool_size": 3})
    both, most = threading.Barrier(3, timeout=10), []

    def meet(task: Any, context: Context) -> bool:
        most.append(len(handlers.threads()))
        both.wait()
        return True

    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": meet}, max_concurrency=9)
    results = await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"]) for _ in range(9)))
    assert all(result["success"] for result in results)
    assert max(most) <= 3


async def test_the_interpreter_switches_threads_as_before_when_handlers_have_ended(make: Make) -> None:
    before = sys.getswitchinterval()
    orchestrator = make()
    handler = {"a": lambda task, context: sys.getswitchinterval()}
    orchestrator.add_agent("agent", ["a"], handlers=handler, max_concurrency=4)
    results = await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"]) for _ in range(8)))
    assert {result["results"]["a"] for result in results} == {min(before, 0.001)}
    while handlers.threads():
        await asyncio.sleep(0)
    assert sys.getswitchinterval() == before


async def test_an_agent_makes_no_more_attempts_at_a_time_than_it_was_given(make: Make) -> None:
    active, most = 0, 0

    async def count(task: Any, context: Context) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.001)
        active -= 1

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": count, "b": count}, max_concurrency=2)
    results = await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a", "b"]) for _ in range(10)))
    assert all(result["success"] for result in results)
    assert most == 2


async def test_no_more_tasks_go_on_at_a_time_than_the_orchestrator_was_given_and_they_go_in_order(make: Make) -> None:
    begun: list[int] = []
    active, most = 0, 0

    async def count(task: Any, context: Context) -> None:
        nonlocal active, most
        begun.append(task["number"])
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.001)
        active -= 1

    orchestrator = make(max_concurrency=1)
    orchestrator.add_agent("agent", ["a"], handlers={"a": count}, max_concurrency=5)
    await asyncio.gather(*(orchestrator.coordinate_task({"type": "test", "number": i}, ["a"]) for i in range(10)))
    assert (most, begun) == (1, list(range(10)))


async def test_the_least_loaded_agent_gets_the_next_task(make: Make) -> None:
    done: list[str] = []
    go = asyncio.Event()

    async def wait(task: Any, context: Context) -> None:
        await go.wait()
        done.append(context.agent_id)

    orchestrator = make()
    for name in ("x", "y", "z"):
        orchestrator.add_agent(name, ["a"], handlers={"a": wait})
    running = [asyncio.create_task(orchestrator.coordinate_task(TASK, ["a"])) for _ in range(9)]
    while sum(status["active"] + status["waiting"] for status in orchestrator.get_agent_status().values()) < 9:
        await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*running)
    assert sorted(done) == ["x"] * 3 + ["y"] * 3 + ["z"] * 3


async def test_a_failing_handler_fails_its_capability_and_what_comes_after_it(make: Make) -> None:
    def fail(task: Any, context: Context) -> None:
        raise KeyError("no such thing")

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b", "c"], handlers={"a": fail, "b": one, "c": one})
    result = await orchestrator.coordinate_task({"type": "test", "after": {"b": ["a"]}}, ["a", "b", "c"])
    assert result["success"] is False
    assert result["results"] == {"c": 1}
    assert (result["errors"]["a"]["type"], result["errors"]["a"]["message"]) == ("KeyError", "'no such thing'")
    assert "in fail" in result["errors"]["a"]["traceback"]
    assert result["errors"]["b"] == {"type": "Skipped", "message": "not run, since a failed", "traceback": ""}
    status = orchestrator.get_agent_status()["agent"]
    assert (status["completed"], status["failed"], status["state"]) == (1, 1, "idle")
    assert status["last_error"] == "a: KeyError: 'no such thing'"


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), GeneratorExit(), BaseException("x")]
)
@pytest.mark.parametrize("is_async", [False, True])
async def test_whatever_a_handler_raises_reaches_nobody_else(make: Make, error: BaseException, is_async: bool) -> None:
    def raise_it(task: Any, context: Context) -> None:
        raise error

    async def raise_it_async(task: Any, context: Context) -> None:
        raise error

    orchestrator = make(retries=3)
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": raise_it_async if is_async else raise_it, "b": one})
    result = await orchestrator.coordinate_task(TASK, ["a", "b"])
    assert result["results"] == {"b": 1}
    assert result["errors"]["a"]["type"]
    assert not isinstance(error, SystemExit) or len(result["trace"]) == 2  # there is no point in trying that again


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({1, 2}, r"the handler's result: a set cannot be stored as JSON; use a list"),
        ({"a": [1, object()]}, r'the handler\'s result\["a"\]\[1\]: a object cannot be stored'),
        ({"a": float("nan")}, r'the handler\'s result\["a"\]: nan cannot be stored'),
        ({1: 2}, r"the handler's result: its key 1 is a int"),
    ],
)
async def test_what_json_cannot_hold_is_refused_with_its_place(make: Make, value: Any, message: str) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": lambda task, context: value})
    errors = (await orchestrator.coordinate_task(TASK, ["a"]))["errors"]
    with pytest.raises(ValueError, match=message):
        raise ValueError(errors["a"]["message"])
    assert errors["a"]["type"] == "ValidationError"


class UnspeakableError(Exception):
    """What an exception may be like."""

    def __str__(self) -> str:
        raise ZeroDivisionError

    __repr__ = __str__


@pytest.mark.parametrize("error", [UnspeakableError(), ExceptionGroup("x", [KeyError()]), StopIteration(), ValueError("\ud800")])
@pytest.mark.parametrize("is_async", [False, True])
async def test_an_error_that_cannot_be_told_is_one_all_the_same(make: Make, error: Exception, is_async: bool) -> None:
    def raise_it(task: Any, context: Context) -> None:
        raise error

    async def raise_it_async(task: Any, context: Context) -> None:
        raise error

    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": raise_it_async if is_async else raise_it})
    result = await orchestrator.coordinate_task(TASK, ["a"], timeout=10)
    assert result["audit"]["error"] is None
    assert result["errors"]["a"]["message"].encode()
    assert orchestrator.get_agent_status()["agent"]["state"] == "idle"


async def test_a_handler_that_cancels_itself_fails_and_holds_nobody_up(make: Make) -> None:
    async def cancel_itself(task: Any, context: Context) -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(0)

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": cancel_itself, "b": one})
    result = await orchestrator.coordinate_task({"type": "test", "after": {"b": ["a"]}}, ["a", "b"], timeout=10)
    assert result["errors"]["a"]["message"] == "the handler cancelled itself"
    assert result["errors"]["b"]["type"] == "Skipped"


async def test_a_plain_function_that_returns_a_coroutine_is_told_what_to_be(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": lambda task, context: one(task, context)})  # noqa: PLW0108 - no coroutine function
    assert "define it with async def" in (await orchestrator.coordinate_task(TASK, ["a"]))["errors"]["a"]["message"]


async def test_what_is_changed_after_the_call_or_by_a_handler_changes_nothing(make: Make) -> None:
    go = asyncio.Event()

    async def change(task: Any, context: Context) -> list[int]:
        await go.wait()
        seen = list(task["list"])
        task["list"].append(7)
        for result in context.results.values():
            result.append(8)
        return seen

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": change, "b": change})
    task = {"type": "test", "list": [1], "after": {"b": ["a"]}}
    running = asyncio.create_task(orchestrator.coordinate_task(task, ["a", "b"]))
    await asyncio.sleep(0)
    task["list"] = [2]
    go.set()
    assert (await running)["results"] == {"a": [1], "b": [1]}
    assert task["list"] == [2]


@pytest.mark.parametrize("output", [{"done": 1}, {"done": {1}}])
async def test_a_handler_can_fail_and_give_what_it_did(make: Make, output: dict[str, Any]) -> None:
    def do_some(task: Any, context: Context) -> None:
        raise IncompleteError("the rest is missing", output)

    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": do_some})
    result = await orchestrator.coordinate_task(TASK, ["a"], timeout=10)
    assert result["success"] is False
    if output == {"done": 1}:
        assert (result["results"], result["errors"]["a"]["message"]) == ({"a": output}, "the rest is missing")
    else:
        assert (result["results"], result["errors"]["a"]["type"]) == ({}, "ValidationError")


async def test_arrays_in_results_become_lists(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": lambda task, context: {"v": np.arange(2), "n": np.float32(0.5)}})
    assert (await orchestrator.coordinate_task(TASK, ["a"]))["results"] == {"a": {"v": [0, 1], "n": 0.5}}


async def test_a_function_that_returns_an_awaitable_and_a_partial_are_handlers_too(make: Make) -> None:
    class Callee:
        async def __call__(self, task: Any, context: Context) -> str:
            await asyncio.sleep(0)
            return threading.current_thread().name

    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": functools.partial(one), "b": Callee()})
    assert (await orchestrator.coordinate_task(TASK, ["a", "b"]))["results"] == {"a": 1, "b": threading.current_thread().name}


async def test_handlers_see_the_context_variables_of_the_caller(make: Make) -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")
    variable.set("set")
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": lambda task, context: variable.get()})
    assert (await orchestrator.coordinate_task(TASK, ["a"]))["results"] == {"a": "set"}


async def test_what_failed_is_tried_again_as_often_as_was_asked(make: Make) -> None:
    attempts: list[int] = []

    def fail_twice(task: Any, context: Context) -> str:
        attempts.append(context.attempt)
        if context.attempt < 3:
            raise OSError("not yet")
        return "at last"

    orchestrator = make(retries=2)
    orchestrator.add_agent("agent", ["a"], handlers={"a": fail_twice})
    result = await orchestrator.coordinate_task(TASK, ["a"])
    assert result["results"] == {"a": "at last"}
    assert attempts == [1, 2, 3]
    assert [entry["outcome"] for entry in result["trace"]] == ["failed", "failed", "succeeded"]
    orchestrator.remove_agent("agent")
    orchestrator.add_agent("agent", ["a"], handlers={"a": lambda task, context: 1 / 0})
    result = await orchestrator.coordinate_task(TASK, ["a"])
    assert len(result["trace"]) == 3
    assert result["errors"]["a"]["type"] == "ZeroDivisionError"


async def test_a_handler_may_have_other_tasks_done_even_by_its_own_agent(make: Make) -> None:
    orchestrator = make(max_concurrency=1)

    async def inner(task: Any, context: Context) -> Any:
        if task["depth"] == 0:
            return "bottom"
        return (await orchestrator.coordinate_task({"type": "test", "depth": task["depth"] - 1}, ["a"]))["results"]["a"]

    def inner_sync(task: Any, context: Context) -> Any:
        return asyncio.run(orchestrator.coordinate_task({"type": "test", "depth": 2}, ["a"]))["results"]["a"]

    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": inner, "b": inner_sync})
    assert (await orchestrator.coordinate_task({"type": "test", "depth": 3}, ["a"], timeout=10))["results"] == {"a": "bottom"}
    assert (await orchestrator.coordinate_task(TASK, ["b"], timeout=10))["results"] == {"b": "bottom"}


async def test_sync_handlers_that_ask_for_sync_handlers_do_not_wait_for_their_own_threads(make: Make) -> None:
    configure_ffi({"thread_pool_size": 2})
    orchestrator = make()

    def ask(task: Any, context: Context) -> Any:
        return asyncio.run(orchestrator.coordinate_task(TASK, ["b"]))["results"]["b"]

    orchestrator.add_agent("asking", ["a"], handlers={"a": ask}, max_concurrency=4)
    orchestrator.add_agent("working", ["b"], handlers={"b": two}, max_concurrency=4)
    results = await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"], timeout=10) for _ in range(4)))
    assert [result["results"] for result in results] == [{"a": 2}] * 4


async def test_what_outlives_a_handler_has_no_more_of_its_rights(make: Make) -> None:
    active, most, left = 0, 0, []
    orchestrator = make()

    async def count(task: Any, context: Context) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        await asyncio.sleep(0.001)
        active -= 1

    async def leave(task: Any, context: Context) -> None:
        left.extend(asyncio.create_task(orchestrator.coordinate_task(TASK, ["b"])) for _ in range(6))

    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": leave, "b": count})
    await orchestrator.coordinate_task(TASK, ["a"])
    assert all(result["success"] for result in await asyncio.gather(*left))
    assert most == 1


async def test_of_equal_agents_each_gets_its_share(make: Make) -> None:
    orchestrator = make(max_concurrency=7)
    for number in range(5):
        orchestrator.add_agent(f"{number}", ["a"], handlers={"a": one})
    await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"]) for _ in range(100)))
    for _ in range(50):
        await orchestrator.coordinate_task(TASK, ["a"])
    assert [status["completed"] for status in orchestrator.get_agent_status().values()] == [30] * 5


def test_loops_of_several_threads_may_share_an_orchestrator(make: Make) -> None:
    orchestrator = make(max_concurrency=2)
    orchestrator.add_agent("agent", ["a"], handlers={"a": one})
    results: list[Any] = []

    async def several() -> None:
        results.extend(await asyncio.gather(*(orchestrator.coordinate_task(TASK, ["a"]) for _ in range(20))))

    running = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert len(results) == 80
    assert all(result["success"] for result in results)
    assert len({result["run_id"] for result in results}) == 80


async def test_an_agent_that_is_removed_gets_no_more_tasks_and_ends_what_it_has(make: Make) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(task: Any, context: Context) -> str:
        begun.set()
        await go.wait()
        return "done"

    orchestrator = make(max_concurrency=1)
    orchestrator.add_agent("agent", ["a"], handlers={"a": wait})
    running = asyncio.create_task(orchestrator.coordinate_task(TASK, ["a"]))
    waiting = asyncio.create_task(orchestrator.coordinate_task(TASK, ["a"]))
    await begun.wait()
    orchestrator.remove_agent("agent")
    go.set()
    assert (await running)["results"] == {"a": "done"}
    with pytest.raises(OrchestratorError, match="no agent has 'a'"):
        await waiting
    with pytest.raises(OrchestratorError, match=r"there is no agent 'agent'; there are: none"):
        orchestrator.remove_agent("agent")


async def test_requirements_are_met_by_what_outputs_hold(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": lambda task, context: {"x": None}, "b": one})
    result = await orchestrator.coordinate_task({"type": "test", "requirements": ["x", "b", "y"]}, ["a", "b"])
    assert (result["success"], result["unmet"], result["errors"]) == (False, ["y"], {})
    assert (await orchestrator.coordinate_task({"type": "test", "requirements": ["x", "b"]}, ["a", "b"]))["success"]


async def test_an_orchestrator_that_is_closed_stops_what_goes_on_and_takes_no_more(make: Make) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait(task: Any, context: Context) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    async with make() as orchestrator:
        orchestrator.add_agent("agent", ["a", "b"], handlers={"a": wait, "b": one}, max_concurrency=2)
        running = asyncio.create_task(orchestrator.coordinate_task(TASK, ["a", "b"]))
        await begun.wait()
        while orchestrator.get_agent_status()["agent"]["completed"] == 0:
            await asyncio.sleep(0)
    assert ended.is_set()
    result = await running
    assert result["results"] == {"b": 1}
    assert result["errors"]["a"] == {"type": "OrchestratorError", "message": "the orchestrator was closed", "traceback": ""}
    with pytest.raises(OrchestratorError, match="the orchestrator is closed; make another one"):
        await orchestrator.coordinate_task(TASK, ["a"])
    await orchestrator.close()


async def test_closing_can_be_given_up_without_harm_to_what_goes_on(make: Make) -> None:
    begun = asyncio.Event()

    async def end_slowly(task: Any, context: Context) -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.05)

    orchestrator = make(grace=10)
    orchestrator.add_agent("agent", ["a"], handlers={"a": end_slowly})
    running = asyncio.create_task(orchestrator.coordinate_task(TASK, ["a"]))
    await begun.wait()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(orchestrator.close(), 0.01)
    assert (await running)["errors"]["a"]["message"] == "the orchestrator was closed"


async def test_what_an_agent_did_shows_in_its_status(make: Make) -> None:
    orchestrator = make()
    assert orchestrator.get_agent_status() == {}
    orchestrator.add_agent("agent", ["b", "a"], handlers={"a": one, "b": one}, max_concurrency=3)
    fresh = orchestrator.get_agent_status()["agent"]
    assert fresh == {
        "capabilities": ["a", "b"], "state": "idle", "active": 0, "waiting": 0, "abandoned": 0, "completed": 0, "failed": 0,
        "avg_duration_ms": 0.0, "last_error": None, "max_concurrency": 3, "process": False,
    }  # fmt: skip
    await orchestrator.coordinate_task(TASK, ["a", "b"])
    status = orchestrator.get_agent_status()["agent"]
    assert (status["completed"], status["active"], status["state"]) == (2, 0, "idle")
    assert status["avg_duration_ms"] > 0
