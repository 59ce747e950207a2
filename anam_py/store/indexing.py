"""Declared metadata paths: what of an entry stands in the catalog's index, and which entries a filter finds there.

The index narrows a filter down to candidates, which the filter itself then decides. So it holds long
strings only by their beginning, and numbers may round: it must never leave an entry out, no more.
"""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from anam_py.exceptions import HTMError
from anam_py.store.advice import REPAIR

_LONGEST = 128
# More than two parsers of one decimal number differ by.
_SLACK = 2.0**-40


class Candidates(NamedTuple):
    """A query for the ids of the entries that may fulfil a condition on a path, and its parameters."""

    path: str
    sql: str
    parameters: tuple[Any, ...]


def rows_of(paths: Sequence[str], entries: Iterable[tuple[int, str]]) -> Iterator[tuple[str, str, Any, int]]:
    """Yield the index's rows (path, type, value, id) for entries given as (id, metadata)."""
    for entry_id, metadata in entries:
        try:
            body = json.loads(metadata)
        except (ValueError, TypeError, RecursionError) as error:
            raise HTMError(f"the metadata of id {entry_id} is damaged: {error}; {REPAIR}") from error
        for path in paths:
            found: Any = body
            for label in path.split("."):
                if not isinstance(found, dict) or label not in found:
                    break
                found = found[label]
            else:
                yield path, *_place(found), entry_id


def candidates(path: str, sign: str, operand: Any) -> Candidates | None:
    """Return the candidates of one condition; None where the index does not help."""
    chosen, values = "", tuple[Any, ...]()
    match sign, operand:
        case "$exists", True:
            pass
        case "$in", list() | tuple() | set() | frozenset() if all(isinstance(item, str) and "\0" not in item for item in operand):
            chosen = " AND type = 'text' AND value IN (SELECT value FROM json_each(?))"
            values = (json.dumps([item[:_LONGEST] for item in operand], ensure_ascii=False),)
        case "$prefix", str():
            start = operand[:_LONGEST]
            chosen, values = " AND type = 'text' AND value >= ? AND value < CAST(? AS TEXT)", (start, start.encode() + b"\xff")
        case "$eq", None | bool() | str():
            chosen, values = " AND type = ? AND value = ?", _place(operand)
        case "$gt" | "$gte", str():
            chosen, values = " AND type = 'text' AND value >= ?", (operand[:_LONGEST],)
        case "$lt" | "$lte", str():
            chosen, values = " AND type = 'text' AND value <= ?", (operand[:_LONGEST],)
        case "$eq" | "$gt" | "$gte" | "$lt" | "$lte", int() | float() if not isinstance(operand, bool):
            slack = abs(operand) * _SLACK
            low = -math.inf if sign in ("$lt", "$lte") else operand - slack
            high = math.inf if sign in ("$gt", "$gte") else operand + slack
            chosen, values = " AND type = 'number' AND value BETWEEN ? AND ?", (low, high)
        case _:
            return None
    return Candidates(path, f"SELECT id FROM indexed WHERE path = ?{chosen}", (path, *values))


def _place(value: Any) -> tuple[str, Any]:
    """Return the type and the value under which the index holds a JSON value."""
    match value:
        case str():
            return "text", value[:_LONGEST]
        case bool():
            return str(value).lower(), 0
        case int() | float():
            return "number", _bounded(value)
        case None:
            return "null", 0
    return "other", 0


def _bounded(number: float) -> float:
    if isinstance(number, int) and not -(2**63) <= number < 2**63:
        try:
            return float(number)
        except OverflowError:
            return math.inf if number > 0 else -math.inf
    return number
