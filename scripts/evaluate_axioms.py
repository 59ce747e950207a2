"""How often the axioms are right about described actions: against labels that people gave, and beside two baselines.

::

    python scripts/evaluate_axioms.py tests/axioms/actions-dev.jsonl
    python scripts/evaluate_axioms.py tests/axioms/actions-heldout.jsonl --markdown figures.md

A line of the file is an object with `action`, `upholds`, `strains` (lists of identifiers) and `verdict` ("allow" or "refuse").
Intervals are the middle 95 % of 2,000 bootstrap samples of the actions, of a fixed seed.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from anam_py import AxiomValidator

SAMPLES = 2000
SEED = 0
LIMIT = 5  # of recommendations

Counts = npt.NDArray[np.int64]


class Row(NamedTuple):
    """A line of a table: what is judged, and its figures with their intervals."""

    what: str
    figures: tuple[str, ...]


def counted(found: set[str], wanted: set[str]) -> tuple[int, int, int]:
    """Return how many are found rightly, found wrongly, and missed."""
    return len(found & wanted), len(found - wanted), len(wanted - found)


def precision(counts: Counts) -> float:
    """Return the share of what is found that is right; 0 if nothing is found."""
    right, wrong, _ = counts
    return float(right / (right + wrong)) if right + wrong else 0.0


def recall(counts: Counts) -> float:
    """Return the share of what is right that is found; 0 if nothing is."""
    right, _, missed = counts
    return float(right / (right + missed)) if right + missed else 0.0


def f1(counts: Counts) -> float:
    """Return the harmonic mean of both."""
    right, wrong, missed = counts
    return float(2 * right / (2 * right + wrong + missed)) if right + wrong + missed else 0.0


def accuracy(counts: Counts) -> float:
    """Return the share of verdicts that are right: of the four counts of a confusion matrix."""
    refused_rightly, refused_wrongly, allowed_wrongly, allowed_rightly = counts
    return float((refused_rightly + allowed_rightly) / (refused_rightly + refused_wrongly + allowed_wrongly + allowed_rightly))


def interval(measure: Callable[[Counts], float], counts: Counts) -> str:
    """Return a measure of the sum of counts, one row an action, with its interval."""
    rng = np.random.default_rng(SEED)
    picks = rng.integers(0, len(counts), (SAMPLES, len(counts)))
    low, high = np.quantile([measure(counts[pick].sum(axis=0)) for pick in picks], (0.025, 0.975))
    return f"{measure(counts.sum(axis=0)):.2f} ({low:.2f} to {high:.2f})"


def judged(validator: AxiomValidator, actions: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Counts]]:
    """Return counts of axioms for each of the three ways to name some, one row an action."""
    assessments = [validator.assess(action["action"]) for action in actions]
    ways = {
        f"recommended ({LIMIT})": [
            counted(set(validator.recommend_axioms(action["action"], limit=LIMIT)), {*action["upholds"], *action["strains"]})
            for action in actions
        ],
        "upheld": [
            counted({finding.axiom_id for finding in assessment.upholds}, set(action["upholds"]))
            for action, assessment in zip(actions, assessments, strict=True)
        ],
        "strained": [
            counted({finding.axiom_id for finding in assessment.strains}, set(action["strains"]))
            for action, assessment in zip(actions, assessments, strict=True)
        ],
    }
    for way, counts in ways.items():
        yield way, np.array(counts)


def confusion(refused: Sequence[bool], actions: Sequence[dict[str, Any]]) -> Counts:
    """Return for each action which cell of the confusion matrix it is in: refused rightly, wrongly, allowed wrongly, rightly."""
    cells = np.zeros((len(actions), 4), np.int64)
    for row, (verdict, action) in enumerate(zip(refused, actions, strict=True)):
        wanted = action["verdict"] == "refuse"
        cells[row, (0 if wanted else 1) if verdict else (2 if wanted else 3)] = 1
    return cells


def verdicts(validator: AxiomValidator, actions: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Counts]]:
    """Return the confusion matrix of the gate and of both baselines, one row an action."""
    share = sum(action["verdict"] == "refuse" for action in actions) / len(actions)
    yield "assess", confusion([not validator.assess(action["action"]).allowed for action in actions], actions)
    yield "refuse nothing", confusion([False] * len(actions), actions)
    yield "the majority's verdict", confusion([share > 0.5] * len(actions), actions)


def table(heads: Sequence[str], rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table."""
    lines = [heads, ["---"] * len(heads), *([row.what, *row.figures] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(validator: AxiomValidator, actions: Sequence[dict[str, Any]]) -> str:
    """Return all figures as Markdown."""
    named = [
        Row(way, (interval(precision, counts), interval(recall, counts), interval(f1, counts)))
        for way, counts in judged(validator, actions)
    ]
    decided = []
    for way, cells in verdicts(validator, actions):
        refusals = cells[:, :3]
        shown = (interval(accuracy, cells), interval(precision, refusals), interval(recall, refusals))
        decided.append(Row(way, (*map(str, cells.sum(axis=0)), *shown)))
    refused = sum(action["verdict"] == "refuse" for action in actions)
    catalogue = f"catalogue {validator.catalogue.version} ({validator.catalogue.digest[:12]})"
    cells = ("refused rightly", "refused wrongly", "allowed wrongly", "allowed rightly")
    measures = ("accuracy", "precision of refusals", "recall of refusals")
    return "\n\n".join(
        [
            f"{len(actions)} actions, of which {refused} are to be refused; {catalogue}.",
            table(("axioms", "precision", "recall", "F1"), named),
            table(("verdict", *cells, *measures), decided),
        ]
    )


def main() -> None:
    """Print the figures, and write them where that is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="labelled actions, as JSON lines")
    parser.add_argument("--markdown", type=Path, help="also write the tables to this file")
    options = parser.parse_args()
    actions = [json.loads(line) for line in options.file.read_text(encoding="utf-8").splitlines() if line.strip()]
    shown = figures(AxiomValidator(), actions)
    print(shown)
    if options.markdown is not None:
        options.markdown.write_text(shown + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
