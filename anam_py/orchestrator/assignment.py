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
    """

    agent_id: str
    capabilities: frozenset[str]
    load: float


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
        the one that has most of what is left), and of such sets the one whose loads are the least in sum, then the
        first by their ids. Where several of them have a capability, the less busy one gets it.
    """
    offers = sorted(offers, key=lambda offer: (offer.load, offer.agent_id))
    chosen = _smallest(required, offers) if len(required) <= _EXACT else _greedy(required, offers)
    busy = {offer.agent_id: offer.load for offer in chosen}
    assigned = {}
    for name in required:
        able = [offer for offer in chosen if name in offer.capabilities]
        best = min(able, key=lambda offer: (busy[offer.agent_id], offer.agent_id))
        busy[best.agent_id] += 1
        others = [offer for offer in offers if name in offer.capabilities and offer is not best]
        assigned[name] = Assigned(
            best.agent_id, _reason(best, chosen, others), {offer.agent_id: _against(offer, best, chosen) for offer in others}
        )
    return assigned


def _smallest(required: Sequence[str], offers: Sequence[Offer]) -> list[Offer]:
    """Return the best set: for each set of capabilities that is left, the best way to cover it is found once."""
    bit = {name: 1 << place for place, name in enumerate(required)}
    able: dict[int, Offer] = {}  # the least loaded of those that can do the same
    for offer in offers:
        if mask := sum(bit[name] for name in offer.capabilities if name in bit):
            able.setdefault(mask, offer)
    known: dict[int, tuple[int, float, tuple[str, ...]]] = {0: (0, 0.0, ())}

    def cost(left: int) -> tuple[int, float, tuple[str, ...]]:
        if left not in known:
            first = left & -left  # somebody has to do it
            known[left] = min(_with(offer, cost(left & ~mask)) for mask, offer in able.items() if mask & first)
        return known[left]

    ids = set(cost(sum(bit.values()))[2])
    return [offer for offer in offers if offer.agent_id in ids]


def _with(offer: Offer, rest: tuple[int, float, tuple[str, ...]]) -> tuple[int, float, tuple[str, ...]]:
    count, load, ids = rest
    return count + 1, load + offer.load, tuple(sorted((*ids, offer.agent_id)))


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
    return f"of the {'one agent' if len(chosen) == 1 else f'{len(chosen)} agents'} that cover the task, load {best.load:g}"


def _against(offer: Offer, best: Offer, chosen: Sequence[Offer]) -> str:
    if offer in chosen:
        return f"has other work of this task, or more load ({offer.load:g} against {best.load:g})"
    if offer.load > best.load:
        return f"load {offer.load:g} against {best.load:g}"
    return "a larger set of agents would be needed, or one that is no less busy"
