"""What an orchestrator is told wrong, it says: the argument, the value, what was expected."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from anam_py import MultiAgentOrchestrator
from anam_py.exceptions import OrchestratorError, ValidationError

Make = Callable[..., MultiAgentOrchestrator]


async def one(task: Any, context: Any) -> int:
    return 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "strict"}, r"mode must be 'enforce' or 'shadow', got str 'strict'"),
        ({"max_concurrency": 0}, r"max_concurrency must be an integer from 1 to 100,000, got 0"),
        ({"retries": -1}, r"retries must be an integer from 0 to 1,000, got -1"),
        ({"backoff": 0}, r"backoff must be a number of seconds above 0, got int 0"),
        ({"max_backoff": math.inf}, r"max_backoff must be a number of seconds above 0, got float inf"),
        ({"attempt_timeout": math.nan}, r"attempt_timeout must be a number of seconds above 0, got float nan"),
        ({"grace": "long"}, r"grace must be a number of seconds above 0, got str 'long'"),
        ({"validator": 7}, r"validator must be of type AxiomValidator, got int 7"),
        ({"gate": 7}, r"gate must be of type EthicalGate, got int 7"),
    ],
)
def test_an_option_that_is_wrong_is_named(make: Make, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make(**options)


def test_an_orchestrator_needs_a_store() -> None:
    with pytest.raises(ValidationError, match=r"htm_core must be of type HTMCore, got str './data'"):
        MultiAgentOrchestrator("./data")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        ((7, ["a"]), {}, ValidationError, r"agent_id must be a str that is not empty, got int 7"),
        (("", ["a"]), {}, ValidationError, r"agent_id must be a str that is not empty"),
        (("x", "a"), {}, ValidationError, r"capabilities must be a list of str, got str 'a'"),
        (("x", []), {}, ValidationError, r"capabilities must name at least one capability, got none"),
        (("x", ["a", None]), {}, ValidationError, r"capabilities\[1\] must be a str that is not empty, got None"),
        (("x", ["paint"]), {}, OrchestratorError, r"nothing says how agent 'x' does 'paint': pass handlers=.*code_analysis"),
        (("x", ["a"]), {"handlers": [one]}, ValidationError, r"handlers must be a dict of capability to function"),
        (("x", ["a"]), {"handlers": {"a": 7}}, ValidationError, r"handlers\['a'\] must be a function .*got int 7"),
        (("x", ["a"]), {"handlers": {"b": one}}, ValidationError, r"handlers has str 'b', which is not one of capabilities"),
        (("x", ["a"]), {"handlers": {"a": one}, "max_concurrency": 1.5}, ValidationError, r"max_concurrency must be an integer"),
    ],
)
def test_an_agent_that_cannot_be_is_refused(
    make: Make, arguments: tuple[Any, ...], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    orchestrator = make()
    with pytest.raises(error, match=message):
        orchestrator.add_agent(*arguments, **options)
    assert orchestrator.get_agent_status() == {}


def test_two_agents_of_one_name_are_refused(make: Make) -> None:
    orchestrator = make()
    orchestrator.add_agent("x", ["a"], handlers={"a": one})
    with pytest.raises(OrchestratorError, match=r"there is an agent 'x' already; remove_agent\('x'\) first"):
        orchestrator.add_agent("x", ["a"], handlers={"a": one})
    with pytest.raises(OrchestratorError, match=r"there is no agent 'y'; there are: x"):
        orchestrator.remove_agent("y")


def of_itself() -> dict[str, Any]:
    task: dict[str, Any] = {"type": "test"}
    task["task"] = task
    return task


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("review", ["a"]), ValidationError, r"task must be a dict, got str 'review'"),
        (({}, ["a"]), ValidationError, r'task\["type"\], which says what it is, must be a str that is not empty, got None'),
        (({"type": 7}, ["a"]), ValidationError, r'task\["type"\].*must be a str that is not empty, got int 7'),
        (({"type": "t"}, []), ValidationError, r"required_capabilities must name at least one capability, got none"),
        (({"type": "t"}, "a"), ValidationError, r"required_capabilities must be a list of str, got str 'a'"),
        (({"type": "t"}, ["a", 7]), ValidationError, r"required_capabilities\[1\] must be a str"),
        (
            ({"type": "t"}, [f"{i}" for i in range(1001)]),
            ValidationError,
            r"required_capabilities .* most 1,000, got 1,001",
        ),
        (({"type": "t"}, ["z"]), OrchestratorError, r"no agent has 'z': agent has a, b"),
        (({"type": "t", "requirements": "x"}, ["a"]), ValidationError, r'task\["requirements"\] must be a list of str'),
        (({"type": "t", "after": ["a"]}, ["a"]), ValidationError, r'task\["after"\] must be a dict'),
        (
            ({"type": "t", "after": {"a": ["c"]}}, ["a", "b"]),
            ValidationError,
            r'task\["after"\] names \'c\', which is not',
        ),
        (({"type": "t", "after": {"a": "b"}}, ["a", "b"]), ValidationError, r'task\["after"\]\[\'a\'\] must be a list of str'),
        (
            ({"type": "t", "after": {"a": ["b"], "b": ["a"]}}, ["a", "b"]),
            OrchestratorError,
            r"""capabilities wait for each other: '[ab]' after '[ab]' after '[ab]'; take one of these out of task\["after"\]""",
        ),
        (({"type": "t", "after": {"a": ["a"]}}, ["a"]), OrchestratorError, r"capabilities wait for each other: 'a' after 'a'"),
        (({"type": "t", 7: 7}, ["a"]), ValidationError, r"task must have keys that are str"),
        ((of_itself(), ["a"]), ValidationError, r"task must have keys that are str and must not contain itself"),
    ],
)
async def test_a_task_that_cannot_be_is_refused(
    make: Make, arguments: tuple[Any, ...], error: type[Exception], message: str
) -> None:
    orchestrator = make()
    orchestrator.add_agent("agent", ["a", "b"], handlers={"a": one, "b": one})
    with pytest.raises(error, match=message):
        await orchestrator.coordinate_task(*arguments)
    assert orchestrator.get_agent_status()["agent"]["completed"] == 0


@pytest.mark.parametrize("timeout", [0, -1, math.nan, math.inf, "soon", True])
async def test_a_timeout_is_a_number_of_seconds(make: Make, timeout: Any) -> None:  # noqa: ASYNC109 - a case, not a limit
    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": one})
    with pytest.raises(ValidationError, match="timeout must be a number of seconds above 0"):
        await orchestrator.coordinate_task({"type": "test"}, ["a"], timeout=timeout)
