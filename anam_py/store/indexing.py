"""Declared metadata paths: what of an entry stands in the catalog's index, and which entries a filter finds there.

The index narrows a filter down to candidates. It holds long strings only by their beginning, and SQLite may read a
decimal number otherwise than Python, whose values it holds; where that matters, the filter itself decides.
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
# Up to here they agree about integers.
_EXACT = 2**53
_ORDERS = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


class Test(NamedTuple):
    """A SQL expression over type and value of a place in the index, and its parameters; `exact` if it lets through no others."""

    sql: str
    parameters: tuple[Any, ...]
    exact: bool


class Candidates(NamedTuple):
    """The entries that may fulfil a condition on a path, by tests of which one must hold."""

    path: str
    tests: tuple[Test, ...]

    @property
    def exact(self) -> bool:
        """Whether all of them fulfil it."""
        return all(test.exact for test in self.tests)

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
            tests = [Test("1", (), exact=True)]
        case "$in", list() | tuple() | set() | frozenset():
            tests = _one_of(operand)
        case "$prefix", str():
            start = operand[:_LONGEST]
            sql = "type = 'text' AND value >= ? AND value < CAST(? AS TEXT)"
            tests = [Test(sql, (start, start.encode() + b"\xff"), len(operand) <= _LONGEST)]
        case "$eq", None | bool() | int() | float() | str():
            tests = [_equal(operand)]
        case "$gt" | "$gte" | "$lt" | "$lte", str():
            tests = [_ordered("text", sign, operand[:_LONGEST], exact=len(operand) < _LONGEST)]
        case "$gt" | "$gte" | "$lt" | "$lte", int() | float():
            slack = _slack(operand)
            tests = [_ordered("number", sign, operand + (slack if sign in ("$lt", "$lte") else -slack), exact=not slack)]
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
    joined = [Candidates(path, (_all_of(tests),)) for path, tests in single.items()]
    return joined + [part for part in found if len(part.tests) > 1]


def _all_of(tests: Sequence[Test]) -> Test:
    parameters = tuple(value for test in tests for value in test.parameters)
    return Test(" AND ".join(test.sql for test in tests), parameters, all(test.exact for test in tests))


def _one_of(values: Collection[Any]) -> list[Test]:
    # json_each cuts a string at a NUL, in SQLite before 3.45.
    texts = [value for value in values if isinstance(value, str) and "\0" not in value]
    others = [value for value in values if not isinstance(value, str) or "\0" in value]
    if len(others) > _MOST_TESTS:
        return []
    tests = [_equal(value) for value in others]
    if texts:
        listed = json.dumps([value[:_LONGEST] for value in texts], ensure_ascii=False)
        exact = max(map(len, texts)) < _LONGEST
        tests.append(Test("type = 'text' AND value IN (SELECT value FROM json_each(?))", (listed,), exact))
    return tests


def _equal(value: Any) -> Test:
    if isinstance(value, int | float) and not isinstance(value, bool):
        slack = _slack(value)
        return Test("type = 'number' AND value BETWEEN ? AND ?", (value - slack, value + slack), not slack)
    return Test("type = ? AND value = ?", _place(value), not isinstance(value, str) or len(value) < _LONGEST)


def _ordered(kind: str, sign: str, limit: Any, *, exact: bool) -> Test:
    order = _ORDERS[sign] if exact else _ORDERS[sign][0] + "="
    return Test(f"type = '{kind}' AND value {order} ?", (limit,), exact)


def _slack(number: float) -> float:
    """Return how far from a number another may be that SQLite takes for it."""
    return 0 if abs(number) <= _EXACT and number == int(number) else abs(number) * _SLACK


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
