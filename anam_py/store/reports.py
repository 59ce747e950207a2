"""What verifying, repairing and searching a store have to say."""

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


class Step(NamedTuple):
    """One step of a search.

    Attributes
    ----------
    name : str
        What is looked at.
    rows : int
        How many rows it began with.
    left : int
        How many it left to the next.
    bytes : int
        How many bytes of them it read.
    seconds : float
        How long it took.
    """

    name: str
    rows: int
    left: int
    bytes: int
    seconds: float


@dataclass(frozen=True)
class Explanation:
    """How a search came to its answer, and what it took.

    Attributes
    ----------
    steps : list of Step
        In their order; the last leaves the hits.
    threshold : float or None
        The score of the last hit, below which rows are of no interest; None if there are fewer hits than wanted.
    plan : str or None
        How rows are coded, in words; None where they have no codes.
    considered : list of (str, float)
        The plans that it was chosen from, each with the bytes a row that a search of a sample read with it.
    skipped_by_filter, skipped_by_threshold : int
        Rows that ``where=`` left out, and rows that the first look at them left out.
    simd : str
        The instruction set in use.
    threads : int
        How many threads there were to share the work.
    """

    steps: list[Step]
    threshold: float | None
    plan: str | None
    considered: list[tuple[str, float]]
    skipped_by_filter: int
    skipped_by_threshold: int
    simd: str
    threads: int

    @property
    def seconds(self) -> float:
        """How long all steps took together."""
        return sum(step.seconds for step in self.steps)

    def __str__(self) -> str:
        width = max(len(step.name) for step in self.steps)
        lines = [f"{'step':<{width}} {'rows':>11} {'left':>11} {'bytes read':>14} {'ms':>8}"]
        lines += [
            f"{step.name:<{width}} {step.rows:>11,} {step.left:>11,} {step.bytes:>14,} {step.seconds * 1e3:>8.3f}"
            for step in self.steps
        ]
        lines.append(f"{'':<{width}} {'':>11} {'':>11} {sum(s.bytes for s in self.steps):>14,} {self.seconds * 1e3:>8.3f}")
        skipped = f"{self.skipped_by_filter:,} rows skipped by the filter, {self.skipped_by_threshold:,} after the first look"
        last = "fewer hits than wanted" if self.threshold is None else f"last hit {self.threshold:.6f}"
        lines += ["", f"{last}; {skipped}", f"{self.simd}, up to {self.threads} threads", ""]
        if self.plan is None:
            lines.append("no codes: there are too few rows, they are too short, or they have not been coded yet")
        else:
            lines += [f"codes: {self.plan}", "chosen for the bytes a row that a search of a sample read:"]
            lines += [f"{read:>9,.1f}  {plan}{'  <' if plan == self.plan else ''}" for plan, read in self.considered]
        return "\n".join(lines)
