"""Which agents a task goes to: the smallest set that covers it, the least loaded of those, and why."""

from collections.abc import Sequence
from typing import NamedTuple

from anam_py.exceptions import OrchestratorError

__all__ = ["Assigned", "Offer", "assign", "require_covered"]

# Finding the smallest set takes time that doubles with each capability; beyond these, large sets are taken one by one.
_EXACT = 12


class Offer(NamedTuple):
    """What an agent can do, and how busy it is.

    Attributes
    ----------
    agent_id : str
    capabilities : frozenset of str
    load : float
        What it has been given and has not finished, as a multiple of what it can do at a time.
    given : int
        How much it has been given so far.
    at_a_time : int
        How much it can do at a time.
    """

    agent_id: str
    capabilities: frozenset[str]
    load: float
    given: int = 0
    at_a_time: int = 1

    @property
    def rank(self) -> tuple[float, int, str]:
        """What decides between agents that can do the same: the lowest comes first."""
        return self.load, self.given, self.agent_id


class Assigned(NamedTuple):
    """Which agent has a capability of a task, and why.

    Attributes
    ----------
    agent_id : str
    reason : str
    passed_over : dict of str to str
        Why not the others that have the capability.
    """

    agent_id: str
    reason: str
    passed_over: dict[str, str]


def require_covered(required: Sequence[str], offers: Sequence[Offer]) -> None:
    """Raise OrchestratorError unless some agent has each capability.

    Parameters
    ----------
    required : sequence of str
    offers : sequence of Offer

    Raises
    ------
    OrchestratorError
        Names what nobody has, and who has what.
    """
    missing = [name for name in required if not any(name in offer.capabilities for offer in offers)]
    if missing:
        there = "; ".join(f"{offer.agent_id} has {', '.join(sorted(offer.capabilities))}" for offer in offers)
        raise OrchestratorError(
            f"no agent has {', '.join(map(repr, missing))}: {there or 'there are no agents'}; "
            "register one with add_agent(agent_id, capabilities)"
        )


def assign(required: Sequence[str], offers: Sequence[Offer]) -> dict[str, Assigned]:
    """Choose the agents for a task, the same ones each time for the same offers.

    Parameters
    ----------
    required : sequence of str
        Distinct capabilities, each of which some agent has.
    offers : sequence of Offer

    Returns
    -------
    dict of str to Assigned
        By capability. The agents are as few as possible (for more than 12 capabilities, as few as come of always taking
        the one that has most of what is left), and of such sets the one whose loads are the least in sum, then the one
        that has been given the least, then the first by name. Where several of them have a capability, the less busy one
        gets it.
    """
    offers = sorted(offers, key=lambda offer: offer.rank)
    chosen = _smallest(required, offers) if len(required) <= _EXACT else _greedy(required, offers)
    busy = {offer.agent_id: offer.load for offer in chosen}
    assigned = {}
    for name in required:
        able = [offer for offer in chosen if name in offer.capabilities]
        best = min(able, key=lambda offer: (busy[offer.agent_id], offer.given, offer.agent_id))
        busy[best.agent_id] += 1 / best.at_a_time
        others = [offer for offer in offers if name in offer.capabilities and offer is not best]
        passed_over = {offer.agent_id: _against(offer, best, chosen, required) for offer in others}
        assigned[name] = Assigned(best.agent_id, _reason(best, chosen, others), passed_over)
    return assigned


def _smallest(required: Sequence[str], offers: Sequence[Offer]) -> list[Offer]:
    """Return the best set: for each set of capabilities that is left, the best way to cover it is found once."""
    bit = {name: 1 << place for place, name in enumerate(required)}
    able: dict[int, Offer] = {}  # the least loaded of those that can do the same
    for offer in offers:
        if mask := sum(bit[name] for name in offer.capabilities if name in bit):
            able.setdefault(mask, offer)
    known: dict[int, _Cost] = {0: _Cost(0, 0.0, 0, ())}

    def cost(left: int) -> _Cost:
        if left not in known:
            first = left & -left  # somebody has to do it
            known[left] = min(cost(left & ~mask).plus(offer) for mask, offer in able.items() if mask & first)
        return known[left]

    ids = set(cost(sum(bit.values())).ids)
    return [offer for offer in offers if offer.agent_id in ids]


class _Cost(NamedTuple):
    """What a set of agents costs: the least is the best."""

    agents: int
    load: float
    given: int
    ids: tuple[str, ...]

    def plus(self, offer: Offer) -> "_Cost":
        ids = tuple(sorted((*self.ids, offer.agent_id)))
        return _Cost(self.agents + 1, self.load + offer.load, self.given + offer.given, ids)


def _greedy(required: Sequence[str], offers: Sequence[Offer]) -> list[Offer]:
    left, chosen = set(required), []
    while left:
        best = max(offers, key=lambda offer: len(left & offer.capabilities))  # the first, and so the least loaded, of equals
        chosen.append(best)
        left -= best.capabilities
    return chosen


def _reason(best: Offer, chosen: Sequence[Offer], others: Sequence[Offer]) -> str:
    if not others:
        return "the only agent that has it"
    if len(chosen) == 1:
        return f"has all that the task requires, at load {best.load:g}"
    return f"one of the {len(chosen)} agents that together have all that the task requires, at load {best.load:g}"


def _against(offer: Offer, best: Offer, chosen: Sequence[Offer], required: Sequence[str]) -> str:
    """Return why an agent was passed over."""
    if offer in chosen:
        return "has other work of this task" if offer.load <= best.load else f"load {offer.load:g} against {best.load:g}"
    instead = {name for each in (*chosen, offer) if each is not best for name in each.capabilities}
    if not instead.issuperset(required):
        return "with it the task would need more agents"
    if offer.load != best.load:
        return f"load {offer.load:g} against {best.load:g}"
    if offer.given != best.given:
        return f"has been given {offer.given:,} so far, against {best.given:,}"
    return "comes later by name"
