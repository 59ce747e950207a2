"""Who gets a task: the smallest set of agents that covers it, the least loaded of those, and why."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py.exceptions import OrchestratorError
from anam_py.orchestrator.assignment import Offer, assign, require_covered

CAPABILITIES = "abcdef"
OFFERS = st.lists(
    st.tuples(st.frozensets(st.sampled_from(CAPABILITIES), min_size=1), st.sampled_from([0.0, 0.5, 1.0, 2.0])),
    min_size=1,
    max_size=6,
).map(lambda pairs: [Offer(f"agent {i}", *pair) for i, pair in enumerate(pairs)])


def covers(offers: tuple[Offer, ...], required: list[str]) -> bool:
    return set(required) <= {name for offer in offers for name in offer.capabilities}


def best_by_trying_all(required: list[str], offers: list[Offer]) -> tuple[int, float]:
    for size in range(1, len(offers) + 1):
        loads = [sum(o.load for o in some) for some in itertools.combinations(offers, size) if covers(some, required)]
        if loads:
            return size, min(loads)
    raise AssertionError("not covered")


@given(OFFERS, st.data())
def test_the_agents_are_as_few_as_possible_and_of_those_the_least_loaded(offers: list[Offer], data: st.DataObject) -> None:
    able = sorted({name for offer in offers for name in offer.capabilities})
    required = data.draw(st.lists(st.sampled_from(able), min_size=1, unique=True))
    assigned = assign(required, offers)
    chosen = {offer for offer in offers if offer.agent_id in {each.agent_id for each in assigned.values()}}
    assert list(assigned) == required
    assert all(name in next(o for o in chosen if o.agent_id == each.agent_id).capabilities for name, each in assigned.items())
    assert (len(chosen), sum(offer.load for offer in chosen)) == best_by_trying_all(required, offers)


@given(OFFERS, st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_agents(offers: list[Offer], order: random.Random) -> None:
    required = sorted(offers[0].capabilities)
    mixed = offers[:]
    order.shuffle(mixed)
    assert assign(required, offers) == assign(required, mixed)


@given(OFFERS, st.data())
def test_everybody_who_could_have_done_it_is_told_of(offers: list[Offer], data: st.DataObject) -> None:
    required = sorted(data.draw(st.sampled_from(offers)).capabilities)
    for name, assigned in assign(required, offers).items():
        able = {offer.agent_id for offer in offers if name in offer.capabilities}
        assert assigned.reason
        assert set(assigned.passed_over) == able - {assigned.agent_id}
        assert all(assigned.passed_over.values())


def test_many_capabilities_are_covered_too() -> None:
    names = [f"capability {i}" for i in range(40)]
    offers = [Offer(f"agent {i}", frozenset(names[i : i + 4]), 0.0) for i in range(40)]
    assert set(assign(names, offers)) == set(names)


def test_of_agents_that_can_do_the_same_the_idle_one_is_chosen() -> None:
    offers = [Offer("one", frozenset("a"), 3.0), Offer("two", frozenset("a"), 0.0)]
    assigned = assign(["a"], offers)["a"]
    assert assigned.agent_id == "two"
    assert assigned.passed_over == {"one": "load 3 against 0"}


def test_what_nobody_can_do_is_named_with_who_can_do_what() -> None:
    offers = [Offer("one", frozenset({"paint", "draw"}), 0.0)]
    with pytest.raises(OrchestratorError, match=r"no agent has 'sing': one has draw, paint; register one with add_agent"):
        require_covered(["paint", "sing"], offers)
    with pytest.raises(OrchestratorError, match="there are no agents"):
        require_covered(["sing"], [])
