"""What verifying and repairing a store have to say."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Problem(NamedTuple):
    """Something that is not as it should be.

    Attributes
    ----------
    severity : str
        "error" where data is lost or damaged, "warning" where only space is wasted.
    where : str
        The file, table or key.
    what : str
        What was found, and what was expected.
    """

    severity: str
    where: str
    what: str


@dataclass(frozen=True)
class Repair:
    """What a repair has found and done.

    Attributes
    ----------
    found : list of Problem
        What `HTMCore.verify` said before; empty for a healthy store.
    actions : list of str
        What was done about it, in words; empty if there was nothing to do.
    kept : int
        How many entries the store has now.
    lost : int
        How many it had of which too little was left; ``lost.jsonl`` in `folder` says what there is of each.
    may_reappear : int
        How many were taken from segments because the catalog could not tell; some may have been deleted before.
    without_text : int
        How many have no text now, and are not found by words. What was crawled is given its text again by the next crawl.
    set_aside : list of str
        Names of the files that are in `folder` now.
    folder : pathlib.Path or None
        Where the repair has put what it has set aside; None if that is nothing.
    """

    found: list[Problem] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    kept: int = 0
    lost: int = 0
    may_reappear: int = 0
    without_text: int = 0
    set_aside: list[str] = field(default_factory=list)
    folder: Path | None = None
