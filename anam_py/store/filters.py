"""Filters: a `where` dict as a SQL condition over an entry's metadata.

A filter is a dict. A plain key is a dotted path into the metadata and asks for equality, or for
what a dict of operators says; several keys must all hold::

    {"language": "python", "size_bytes": {"$gt": 1000, "$lte": 5000}}
    {"$or": [{"kind": "class"}, {"path": {"$prefix": "src/"}}], "$not": {"file_type": "test"}}

Values compare as JSON does: 1 equals 1.0 and not true; an ordering holds only between two
numbers, or two strings (by UTF-8); a path that is not there equals nothing, so that ``$ne``,
``$nin`` and ``$not`` hold for it. Every value reaches SQLite as a parameter.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from anam_py._validation import describe
from anam_py.exceptions import ValidationError
from anam_py.store.indexing import Candidates, candidates

_DEEPEST = 32
_MOST_CONDITIONS = 500
_INT64 = 2**63
# A quarter of the nested symbols that SQLite's parser takes: the deepest filter needs another, a single condition the rest.
_PARSED = 24

# One look at the value decides for most entries; CASE, unlike AND within an expression, then leaves the rest undone,
# and is 0 where a path that is not there makes the look NULL.
_TYPE = "json_type(metadata, ?)"
_VALUE = "json_extract(metadata, ?)"
_IS_NUMBER = f"{_TYPE} IN ('integer', 'real')"
# SQLite before 3.45 cuts a string at an escaped NUL; `text_at` and `has_text` do not.
_NUL = "instr(metadata, '\\u0000')"
_TEXT = "anam_text(metadata, ?)"
_IS_WHOLE_TEXT = f"CASE WHEN {_NUL} THEN {_TEXT} IS {_VALUE} ELSE {_TYPE} = 'text' END"


class Condition(NamedTuple):
    """A SQL expression over ``entries.metadata`` that is 0 or 1, and its parameters.

    `candidates` says for each part that must hold which entries can fulfil it at all, if its path is indexed, and
    `covered`, whether those that are among all of them do; `nested` is how many symbols around its conditions a parser
    has to keep in mind at most.
    """

    sql: str
    parameters: tuple[Any, ...]
    candidates: tuple[Candidates, ...] = ()
    covered: bool = False
    nested: int = 0

    def among(self, candidates: Sequence[Candidates]) -> "Condition":
        """Return the same condition, as an expression over ``entries`` that looks at what is in all of `candidates` only."""
        selects = [part.select() for part in candidates]
        sql = " AND ".join([*(f"id IN ({sql})" for sql, _ in selects), self.sql])
        return Condition(sql, (*(value for _, values in selects for value in values), *self.parameters))


def condition(where: object) -> Condition | None:
    """Return the condition that a filter stands for.

    Parameters
    ----------
    where : dict or None
        The filter; None and an empty dict let everything through.

    Returns
    -------
    Condition or None
        None for a filter that lets everything through.

    Raises
    ------
    ValidationError
        If the filter is malformed; names the place, what is there and what is expected.
    """
    if where is None:
        return None
    compiled = _Compiler().all_of(where, "where", 0)
    return compiled if compiled.sql else None


class _Compiler:
    """One filter on its way to SQL; counts its conditions, so that SQLite's limits are never met."""

    def __init__(self) -> None:
        self._conditions = 0

    def all_of(self, where: object, name: str, depth: int) -> Condition:
        if not isinstance(where, dict):
            raise ValidationError(f"{name} must be a dict, got {describe(where)}")
        if depth > _DEEPEST:
            raise ValidationError(f"{name} is nested more than {_DEEPEST} levels deep")
        return _joined("AND", [self._item(key, value, name, depth) for key, value in where.items()])

    def _item(self, key: object, value: object, name: str, depth: int) -> Condition:
        if not isinstance(key, str):
            raise ValidationError(f"{name} must have str keys, got {describe(key)}")
        if key in ("$and", "$or"):
            if not isinstance(value, list) or not value:
                raise ValidationError(f'{name}["{key}"] must be a list of at least one filter, got {describe(value)}')
            parts = [self.all_of(part, f'{name}["{key}"][{i}]', depth + 1) for i, part in enumerate(value)]
            if key == "$and":
                return _joined("AND", parts)
            return _joined("OR", [part if part.sql else Condition("1", ()) for part in parts])
        if key == "$not":
            part = self.all_of(value, f'{name}["$not"]', depth + 1)
            return _negated(part) if part.sql else Condition("0", ())
        if key.startswith("$"):
            raise ValidationError(f"{name} has the unknown operator {key!r}; expected $and, $or, $not or a metadata path")
        path = check_path(key, name)
        place = f'{name}["{key}"]'
        if isinstance(value, dict):
            if not value:
                raise ValidationError(f"{place} must name at least one operator: {_listed(_OPERATORS)}")
            return _within(path, value, _joined("AND", [self._operator(path, sign, each, place) for sign, each in value.items()]))
        return self._operator(path, "$eq", value, place)

    def _operator(self, path: str, sign: object, operand: object, place: str) -> Condition:
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise ValidationError(f"where has more than {_MOST_CONDITIONS} conditions; use $in for many values")
        if sign not in _OPERATORS:
            raise ValidationError(f"{place} has the unknown operator {sign!r}; expected one of {_listed(_OPERATORS)}")
        compiled = _OPERATORS[str(sign)](json_path(path), operand, place if sign == "$eq" else f'{place}["{sign}"]')
        found = candidates(path, str(sign), operand)
        return compiled._replace(candidates=(found,), covered=found.exact) if found else compiled


def _equal(path: str, operand: object, place: str) -> Condition:
    if operand is None or isinstance(operand, bool):
        return Condition(f"{_TYPE} IS ?", (path, json.dumps(operand)))
    if isinstance(operand, str):
        if "\0" in operand:
            return _case(_NUL, f"{_TEXT} IS ?", (), (path, _text(operand, place)))
        return _case(f"{_VALUE} = ?", _IS_WHOLE_TEXT, (path, _text(operand, place)), (path,) * 3)
    if isinstance(operand, int | float):
        return _case(f"{_VALUE} = ?", _IS_NUMBER, (path, _number(operand, place)), (path,))
    raise ValidationError(f"{place} must be a str, number, bool or None, got {describe(operand)}")


def _not_equal(path: str, operand: object, place: str) -> Condition:
    return _negated(_equal(path, operand, place))


def _ordering(sign: str) -> Callable[[str, object, str], Condition]:
    def compiled(path: str, operand: object, place: str) -> Condition:
        if isinstance(operand, str):
            text = _text(operand, place)
            return Condition(
                f"CASE WHEN {_NUL} THEN coalesce({_TEXT} {sign} ?, 0) WHEN {_VALUE} {sign} ? THEN {_TYPE} = 'text' ELSE 0 END",
                (path, text, path, text, path),
            )
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return _case(f"{_VALUE} {sign} ?", _IS_NUMBER, (path, _number(operand, place)), (path,))
        raise ValidationError(f"{place} must be a str or a number, got {describe(operand)}")

    return compiled


def _within(path: str, operators: dict[Any, Any], compiled: Condition) -> Condition:
    """Return the same condition, with one look for two bounds where there is a lower and an upper one, both numbers."""
    low = operators.get("$gte", operators.get("$gt"))
    high = operators.get("$lte", operators.get("$lt"))
    if any(not isinstance(bound, int | float) or isinstance(bound, bool) for bound in (low, high)):
        return compiled
    looked = _case(f"{_VALUE} BETWEEN ? AND ?", compiled.sql, (json_path(path), low, high), compiled.parameters)
    return compiled._replace(sql=looked.sql, parameters=looked.parameters)


def _one_of(path: str, operand: object, place: str) -> Condition:
    if not isinstance(operand, list | tuple | set | frozenset):
        raise ValidationError(f"{place} must be a list, got {describe(operand)}")
    values = list(operand)
    # Strings, by far the most, are looked up in one table; the others are few kinds of values.
    texts = [value for value in values if isinstance(value, str) and "\0" not in value]
    others = [(i, value) for i, value in enumerate(values) if not isinstance(value, str) or "\0" in value]
    parts = [_equal(path, value, f"{place}[{i}]") for i, value in others]
    if len(parts) > _MOST_CONDITIONS:
        raise ValidationError(f"{place} must have at most {_MOST_CONDITIONS} values that are not str, got {len(parts)}")
    if texts:
        listed = _text(json.dumps(texts, ensure_ascii=False), place)
        parts.append(_case(f"{_VALUE} IN (SELECT value FROM json_each(?))", _IS_WHOLE_TEXT, (path, listed), (path,) * 3))
    return _joined("OR", parts or [Condition("0", ())])


def _none_of(path: str, operand: object, place: str) -> Condition:
    return _negated(_one_of(path, operand, place))


def _exists(path: str, operand: object, place: str) -> Condition:
    if not isinstance(operand, bool):
        raise ValidationError(f"{place} must be True or False, got {describe(operand)}")
    return Condition(f"({_TYPE} IS {'NOT ' if operand else ''}NULL)", (path,))


def _contains(path: str, operand: object, place: str) -> Condition:
    """Let through a list that has an element equal to the operand, and a string that has it as a part."""
    among = f"EXISTS (SELECT 1 FROM json_each({_VALUE}) WHERE type {{}} AND value {{}})"
    if isinstance(operand, str):
        text = _text(operand, place)
        part, listed = f"instr({_VALUE}, ?) > 0", among.format("= 'text'", "= ?")
        sql = (
            f"CASE {_TYPE} WHEN 'text' THEN CASE WHEN {_NUL} THEN instr({_TEXT}, ?) > 0 ELSE {part} END"
            f" WHEN 'array' THEN CASE WHEN {_NUL} THEN anam_contains(metadata, ?, ?) ELSE {listed} END ELSE 0 END"
        )
        whole = Condition(sql, (path, *(path, text) * 4))
        if json.dumps(text, ensure_ascii=False) != f'"{text}"':
            return whole
        # It stands in the JSON as it is, so that where it does not there is no need to look what is there.
        return _case(f"instr(metadata, ?) AND ({part} OR {_NUL})", sql, (text, path, text), whole.parameters)
    if operand is None or isinstance(operand, bool):
        return _case(f"{_TYPE} = 'array'", among.format("= ?", "IS value"), (path,), (path, json.dumps(operand)))
    if isinstance(operand, int | float):
        listed = among.format("IN ('integer', 'real')", "= ?")
        return _case(f"{_TYPE} = 'array'", listed, (path,), (path, _number(operand, place)))
    raise ValidationError(f"{place} must be a str, number, bool or None, got {describe(operand)}")


def _prefix(path: str, operand: object, place: str) -> Condition:
    if not isinstance(operand, str):
        raise ValidationError(f"{place} must be a str, got {describe(operand)}")
    text = _text(operand, place)
    if "\0" in text:  # at which substr ends
        starts = f"coalesce({_TEXT} >= ? AND {_TEXT} < CAST(? AS TEXT), 0)"
        return _case(_NUL, starts, (), (path, text, path, text.encode() + b"\xff"))
    return _case(f"substr({_VALUE}, 1, ?) = ?", f"{_TYPE} = 'text'", (path, len(text), text), (path,))


_OPERATORS: dict[str, Callable[[str, object, str], Condition]] = {
    "$eq": _equal,
    "$ne": _not_equal,
    "$gt": _ordering(">"),
    "$gte": _ordering(">="),
    "$lt": _ordering("<"),
    "$lte": _ordering("<="),
    "$in": _one_of,
    "$nin": _none_of,
    "$exists": _exists,
    "$contains": _contains,
    "$prefix": _prefix,
}


def check_path(path: object, name: str) -> str:
    """Return a dotted path into metadata, or raise ValidationError."""
    # SQLite compares names as they are escaped in the JSON, each version in its own way.
    if not isinstance(path, str) or not all(path.split(".")) or not path.isprintable() or '"' in path or "\\" in path:
        raise ValidationError(
            f"{name} has the path {path!r}; a path is names joined by dots, none of them empty, "
            "without quotes, backslashes and control characters"
        )
    return path


def json_path(path: str) -> str:
    """Return a dotted path as SQLite writes it."""
    return "$" + "".join(f'."{label}"' for label in path.split("."))


def text_at(metadata: str, path: str) -> str | None:
    """Return the string at a path, as `json_extract` would if it knew NUL; None if there is none."""
    found = _at(metadata, path)
    return found if isinstance(found, str) else None


def has_text(metadata: str, path: str, text: str) -> bool:
    """Return whether there is a list at a path that has this string as an element."""
    found = _at(metadata, path)
    return isinstance(found, list) and any(isinstance(item, str) and item == text for item in found)


def _at(metadata: str, path: str) -> Any:
    found = json.loads(metadata)
    for label in path[3:-1].split('"."'):
        if not isinstance(found, dict) or label not in found:
            return None
        found = found[label]
    return found


def _text(operand: str, place: str) -> str:
    try:
        operand.encode()
    except UnicodeEncodeError:
        raise ValidationError(f"{place} must not contain lone surrogates, got {describe(operand)}") from None
    return operand


def _number(operand: float, place: str) -> float:
    if isinstance(operand, int):
        if not -_INT64 <= operand < _INT64:
            raise ValidationError(f"{place} must fit 64 bits, got {describe(operand)}")
    elif not math.isfinite(operand):
        raise ValidationError(f"{place} must be finite, got {operand}")
    return operand


def _case(look: str, rest: str, looked: tuple[Any, ...], rested: tuple[Any, ...]) -> Condition:
    """Return the condition that `look` is true and `rest` too, each with its parameters."""
    return Condition(f"CASE WHEN {look} THEN {rest} ELSE 0 END", looked + rested)


def _negated(part: Condition) -> Condition:
    return Condition(f"NOT {part.sql}", part.parameters, nested=part.nested + 1)


def _joined(operator: str, parts: Sequence[Condition]) -> Condition:
    filled = [part for part in parts if part.sql]
    if len(filled) == 1:
        return filled[0]
    nested = _nested(filled)
    if nested > _PARSED:  # what comes first is put aside as one symbol before the next is read
        filled.sort(key=lambda part: -part.nested)
        nested = _nested(filled)
    sql = f" {operator} ".join(part.sql for part in filled)
    parameters = tuple(value for part in filled for value in part.parameters)
    if operator == "OR" or not filled:
        return Condition(f"({sql})" if sql else "", parameters, nested=nested)
    candidates = tuple(found for part in filled for found in part.candidates)
    return Condition(f"({sql})", parameters, candidates, all(part.covered for part in filled), nested)


def _nested(parts: Sequence[Condition]) -> int:
    return max((part.nested + (3 if i else 1) for i, part in enumerate(parts)), default=0)


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(names)
