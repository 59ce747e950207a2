"""What the axioms and the gate say of a task, before anything runs; and what is recorded."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from anam_py import AxiomValidator, HTMCore, MultiAgentOrchestrator
from anam_py.exceptions import HTMError, OrchestratorError
from anam_py.gate import EthicalGate
from anam_py.orchestrator import Context
from anam_py.store import AuditLog

Make = Callable[..., MultiAgentOrchestrator]

GOOD = ["AX_NO_HARM", "AX_BENEFICENCE"]
TENSE = ["AX_CRITICALITY", "AX_NO_HARM"]


def ready(orchestrator: MultiAgentOrchestrator) -> tuple[MultiAgentOrchestrator, list[str]]:
    """Return an orchestrator with an agent, and where that enters what it did."""
    ran: list[str] = []

    async def run(task: Any, context: Context) -> str:
        ran.append(context.run_id)
        return "done"

    orchestrator.add_agent("agent", ["a"], handlers={"a": run})
    return orchestrator, ran


async def test_a_task_whose_axioms_agree_runs_and_says_what_decided(make: Make) -> None:
    orchestrator, ran = ready(make())
    result = await orchestrator.coordinate_task({"type": "test", "axioms": GOOD, "action_vector": [0.1, 0.2, -0.05, 0.15]}, ["a"])
    assert result["success"]
    assert len(ran) == 1
    nam = result["nam"]
    assert (nam["verdict"], nam["enforced"], nam["reasons"]) == ("allowed", True, [])
    batch = AxiomValidator().validate_batch(GOOD)
    assert nam["scores"] == {
        "resonance": batch["overall_resonance"],
        "tension": batch["overall_tension"],
        "action_tension": EthicalGate().validate([0.1, 0.2, -0.05, 0.15])[1],
    }
    assert nam["determining"] == [list(pair) for pair in batch["determining"]]
    assert nam["axioms"] == batch


@pytest.mark.parametrize(
    ("stated", "reason"),
    [
        ({"axioms": TENSE}, "its axioms have resonance"),
        ({"axioms": ["AX_NO_HARM"], "context_axioms": ["AX_CRITICALITY"]}, "not valid: AX_NO_HARM"),
        ({"axioms": ["AX_NONE"]}, "its axioms cannot be judged: .*'AX_NONE'"),
        ({"axioms": []}, "its axioms cannot be judged"),
        ({"axioms": "AX_NO_HARM"}, r'its axioms cannot be judged: task\["axioms"\] must be a list of axioms'),
        ({"axioms": [7]}, "its axioms cannot be judged"),
        ({"axioms": None}, "its axioms cannot be judged"),
        ({"axioms": GOOD, "context_axioms": ["AX_NONE"]}, "its axioms cannot be judged: .*'AX_NONE'"),
        ({"action_vector": [1.0, 0.0, 0.0]}, r"the tension of its action vector is 1.000, above 0.35"),
        ({"action_vector": [np.nan, 1.0]}, "its action vector cannot be judged"),
        ({"action_vector": []}, "its action vector cannot be judged"),
        ({"action_vector": "up"}, "its action vector cannot be judged"),
        ({"action_vector": None}, "its action vector cannot be judged"),
        ({"axioms": GOOD, "action_vector": [1.0, 0.0]}, "the tension of its action vector"),
    ],
)
async def test_what_is_not_found_to_be_allowed_does_not_run(make: Make, stated: dict[str, Any], reason: str) -> None:
    orchestrator, ran = ready(make())
    result = await orchestrator.coordinate_task({"type": "test", "requirements": ["x"], **stated}, ["a"])
    assert ran == []
    assert result["success"] is False
    assert (result["agents_involved"], result["results"], result["errors"], result["trace"]) == ([], {}, {}, [])
    assert result["nam"]["verdict"] == "refused"
    with pytest.raises(ValueError, match=reason):
        raise ValueError("; ".join(result["nam"]["reasons"]))


async def test_a_gate_or_a_validator_that_errs_refuses(make: Make) -> None:
    class Broken(EthicalGate):
        def validate(self, action_vector: Any) -> tuple[bool, float]:
            raise ZeroDivisionError("broken")

    orchestrator, ran = ready(make(gate=Broken()))
    result = await orchestrator.coordinate_task({"type": "test", "action_vector": [1.0, 1.0]}, ["a"])
    assert (ran, result["nam"]["reasons"]) == ([], ["its action vector cannot be judged: broken"])


async def test_in_shadow_mode_a_refusal_is_recorded_and_not_enforced(make: Make, htm: HTMCore) -> None:
    orchestrator, ran = ready(make(mode="shadow"))
    result = await orchestrator.coordinate_task({"type": "test", "axioms": TENSE}, ["a"])
    assert result["success"]
    assert len(ran) == 1
    assert (result["nam"]["verdict"], result["nam"]["enforced"]) == ("refused", False)
    decision, task = AuditLog(htm).records()
    assert (decision["verdict"], decision["enforced"], task["outcome"]) == ("refused", False, "succeeded")


async def test_every_decision_and_every_task_is_one_record(make: Make, htm: HTMCore) -> None:
    orchestrator, _ = ready(make())
    allowed = await orchestrator.coordinate_task({"type": "first", "axioms": GOOD}, ["a"])
    refused = await orchestrator.coordinate_task({"type": "second", "axioms": TENSE}, ["a"])
    plain = await orchestrator.coordinate_task({"type": "third", "requirements": ["x"]}, ["a"])
    log = AuditLog(htm)
    records = list(log.records())
    assert log.verify() == []
    assert [(record["kind"], record["task_type"]) for record in records] == [
        ("decision", "first"), ("task", "first"), ("decision", "second"), ("task", "second"), ("task", "third")
    ]  # fmt: skip
    assert [record["run_id"] for record in records] == [
        allowed["run_id"], allowed["run_id"], refused["run_id"], refused["run_id"], plain["run_id"]
    ]  # fmt: skip
    decision, task = records[:2]
    catalogue = AxiomValidator().catalogue
    assert decision["catalogue"] == {"version": catalogue.version, "digest": catalogue.digest}
    assert (decision["decision_id"], decision["scores"]) == (allowed["nam"]["decision_id"], allowed["nam"]["scores"])
    assert decision["determining"] == allowed["nam"]["determining"]
    assert (decision["verdict"], decision["evaluation_ms"] > 0) == ("allowed", True)
    assert (task["outcome"], task["assignments"], task["decision_id"]) == ("succeeded", {"a": "agent"}, decision["decision_id"])
    assert [record.get("outcome") for record in records] == [None, "succeeded", None, "refused", "failed"]
    assert records[-1]["unmet"] == ["x"]
    assert [record["digest"] for record in records[:2]] == [allowed["audit"]["decision"], allowed["audit"]["task"]]
    assert len({record["input_digest"] for record in records}) == 3
    assert all(record["time"] > 1e9 for record in records)


async def test_equal_inputs_have_equal_digests_and_others_have_others(make: Make, htm: HTMCore) -> None:
    orchestrator, _ = ready(make())
    for task in (
        {"type": "t", "b": 1, "a": np.ones(3)},
        {"type": "t", "a": np.ones(3), "b": 1},
        {"type": "t", "a": np.zeros(3), "b": 1},
    ):
        await orchestrator.coordinate_task(task, ["a"])
    first, second, third = (record["input_digest"] for record in AuditLog(htm).records())
    assert first == second != third


async def test_a_cancelled_task_is_on_record(make: Make, htm: HTMCore) -> None:
    orchestrator = make()
    begun = asyncio.Event()

    async def sleep(task: Any, context: Context) -> None:
        begun.set()
        await asyncio.sleep(60)

    orchestrator.add_agent("agent", ["a"], handlers={"a": sleep})
    running = asyncio.create_task(orchestrator.coordinate_task({"type": "test"}, ["a"]))
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    htm.flush()
    assert [record["outcome"] for record in AuditLog(htm).records()] == ["cancelled"]


async def test_secrets_in_messages_do_not_reach_the_record(make: Make, htm: HTMCore) -> None:
    def leak(task: Any, context: Context) -> None:
        raise ValueError("password=hunter2hunter2 refused")

    orchestrator = make()
    orchestrator.add_agent("agent", ["a"], handlers={"a": leak})
    await orchestrator.coordinate_task({"type": "test"}, ["a"])
    assert "hunter2" not in str(list(AuditLog(htm).records()))


async def test_a_decision_that_cannot_be_recorded_lets_nothing_run(make: Make, htm: HTMCore) -> None:
    orchestrator, ran = ready(make())
    htm.close()
    with pytest.raises(HTMError, match="closed"):
        await orchestrator.coordinate_task({"type": "test", "axioms": GOOD}, ["a"])
    assert ran == []
    result = await orchestrator.coordinate_task({"type": "test"}, ["a"])
    assert (len(ran), result["success"], result["results"]) == (1, False, {"a": "done"})
    assert "closed" in result["audit"]["error"]


async def test_a_store_that_is_only_read_has_no_orchestrator(htm: HTMCore) -> None:
    with HTMCore(htm.storage_path, read_only=True) as reader, pytest.raises(OrchestratorError, match="without read_only=True"):
        MultiAgentOrchestrator(reader)
