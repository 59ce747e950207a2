"""Declared metadata paths: what of an entry stands in the catalog's index, and which entries a filter finds there.

The index narrows a filter down to candidates, which the filter itself then decides. So it holds long
strings only by their beginning, and numbers may round: it must never leave an entry out, no more.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from anam_py.exceptions import HTMError
from anam_py.store.advice import REPAIR

_LONGEST = 128
# SQLite joins no more than 500 queries.
_MOST_TESTS = 100
# More than two parsers of one decimal number differ by.
_SLACK = 2.0**-40


class Test(NamedTuple):
    """A SQL expression over type and value of a place in the index, and its parameters."""

    sql: str
    parameters: tuple[Any, ...]


class Candidates(NamedTuple):
    """The entries that may fulfil a condition on a path, by tests of which one must hold."""

    path: str
    tests: tuple[Test, ...]

    def select(self) -> tuple[str, tuple[Any, ...]]:
        """Return a query for their ids, and its parameters."""
        sql = " UNION ALL ".join(f"SELECT id FROM indexed WHERE path = ? AND {test.sql}" for test in self.tests)
        return sql, tuple(value for test in self.tests for value in (self.path, *test.parameters))


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
    tests: list[Test]
    match sign, operand:
        case "$exists", True:
            tests = [Test("1", ())]
        case "$in", list() | tuple() | set() | frozenset():
            tests = _one_of(operand)
        case "$prefix", str():
            start = operand[:_LONGEST]
            tests = [Test("type = 'text' AND value >= ? AND value < CAST(? AS TEXT)", (start, start.encode() + b"\xff"))]
        case "$eq", None | bool() | int() | float() | str():
            tests = [_equal(operand)]
        case "$gt" | "$gte", str():
            tests = [Test("type = 'text' AND value >= ?", (operand[:_LONGEST],))]
        case "$lt" | "$lte", str():
            tests = [Test("type = 'text' AND value <= ?", (operand[:_LONGEST],))]
        case "$gt" | "$gte", int() | float():
            tests = [Test("type = 'number' AND value >= ?", (operand - abs(operand) * _SLACK,))]
        case "$lt" | "$lte", int() | float():
            tests = [Test("type = 'number' AND value <= ?", (operand + abs(operand) * _SLACK,))]
        case _:
            tests = []
    return Candidates(path, tuple(tests)) if tests else None


def of_paths(parts: Iterable[Candidates], paths: Collection[str]) -> list[Candidates]:
    """Return the candidates on these paths, all of which an entry must be among, as few: a path has one place in the index."""
    found = [part for part in parts if part.path in paths]
    single: dict[str, list[Test]] = {}
    for path, tests in found:
        if len(tests) == 1:
            single.setdefault(path, []).extend(tests)
    joined = [
        Candidates(path, (Test(" AND ".join(test.sql for test in tests), tuple(v for test in tests for v in test.parameters)),))
        for path, tests in single.items()
    ]
    return joined + [part for part in found if len(part.tests) > 1]


def _one_of(values: Collection[Any]) -> list[Test]:
    # json_each cuts a string at a NUL, in SQLite before 3.45.
    texts = [value for value in values if isinstance(value, str) and "\0" not in value]
    others = [value for value in values if not isinstance(value, str) or "\0" in value]
    if len(others) > _MOST_TESTS:
        return []
    tests = [_equal(value) for value in others]
    if texts:
        listed = json.dumps([value[:_LONGEST] for value in texts], ensure_ascii=False)
        tests.append(Test("type = 'text' AND value IN (SELECT value FROM json_each(?))", (listed,)))
    return tests


def _equal(value: Any) -> Test:
    if isinstance(value, int | float) and not isinstance(value, bool):
        slack = abs(value) * _SLACK
        return Test("type = 'number' AND value BETWEEN ? AND ?", (value - slack, value + slack))
    return Test("type = ? AND value = ?", _place(value))


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
