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
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from anam_py._validation import describe
from anam_py.exceptions import ValidationError
from anam_py.store.indexing import Candidates, candidates

_DEEPEST = 32
_MOST_CONDITIONS = 500
_INT64 = 2**63

_TYPE = "json_type(metadata, ?)"
# SQLite before 3.45 cuts a string at an escaped NUL; `text_at` and `has_text` do not.
_IS_TEXT = "= 'text'"
_NUL = "instr(metadata, '\\u0000')"
_TEXT = f"CASE WHEN {_NUL} THEN anam_text(metadata, ?) ELSE json_extract(metadata, ?) END"


class Condition(NamedTuple):
    """A SQL expression over ``entries.metadata`` that is 0 or 1, and its parameters.

    `candidates` says for each part that must hold which entries can fulfil it at all, if its path is indexed.
    """

    sql: str
    parameters: tuple[Any, ...]
    candidates: tuple[Candidates, ...] = ()

    def using(self, indexed: Collection[str]) -> "Condition":
        """Return the same condition, as an expression over ``entries`` that looks at candidates only."""
        narrow = [part for part in self.candidates if part.path in indexed]
        sql = " AND ".join([*(f"id IN ({part.sql})" for part in narrow), self.sql])
        return Condition(sql, (*(value for part in narrow for value in part.parameters), *self.parameters))


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
            return Condition(f"NOT ({part.sql or 1})", part.parameters)
        if key.startswith("$"):
            raise ValidationError(f"{name} has the unknown operator {key!r}; expected $and, $or, $not or a metadata path")
        path = check_path(key, name)
        place = f'{name}["{key}"]'
        if isinstance(value, dict):
            if not value:
                raise ValidationError(f"{place} must name at least one operator: {_listed(_OPERATORS)}")
            return _joined("AND", [self._operator(path, sign, operand, place) for sign, operand in value.items()])
        return self._operator(path, "$eq", value, place)

    def _operator(self, path: str, sign: object, operand: object, place: str) -> Condition:
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            raise ValidationError(f"where has more than {_MOST_CONDITIONS} conditions; use $in for many values")
        if sign not in _OPERATORS:
            raise ValidationError(f"{place} has the unknown operator {sign!r}; expected one of {_listed(_OPERATORS)}")
        compiled = _OPERATORS[str(sign)](_json_path(path), operand, place if sign == "$eq" else f'{place}["{sign}"]')
        found = candidates(path, str(sign), operand)
        # A path that is not there makes an expression NULL, of which NOT would be NULL, too.
        return Condition(f"coalesce({compiled.sql}, 0)", compiled.parameters, (found,) if found else ())


def _equal(path: str, operand: object, place: str) -> Condition:
    if operand is None or isinstance(operand, bool):
        return Condition(f"{_TYPE} = ?", (path, json.dumps(operand)))
    if isinstance(operand, str):
        return Condition(f"({_TYPE} = 'text' AND {_TEXT} = ?)", (path, path, path, _text(operand, place)))
    if isinstance(operand, int | float):
        return Condition(
            f"({_TYPE} IN ('integer', 'real') AND json_extract(metadata, ?) = ?)", (path, path, _number(operand, place))
        )
    raise ValidationError(f"{place} must be a str, number, bool or None, got {describe(operand)}")


def _not_equal(path: str, operand: object, place: str) -> Condition:
    return _negated(_equal(path, operand, place))


def _ordering(sign: str) -> Callable[[str, object, str], Condition]:
    def compiled(path: str, operand: object, place: str) -> Condition:
        if isinstance(operand, str):
            parameters = (path, path, path, _text(operand, place))
            return Condition(f"({_TYPE} = 'text' AND {_TEXT} {sign} ?)", parameters)
        if isinstance(operand, int | float) and not isinstance(operand, bool):
            return Condition(
                f"({_TYPE} IN ('integer', 'real') AND json_extract(metadata, ?) {sign} ?)",
                (path, path, _number(operand, place)),
            )
        raise ValidationError(f"{place} must be a str or a number, got {describe(operand)}")

    return compiled


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
        parts.append(
            Condition(
                f"({_TYPE} = 'text' AND {_TEXT} IN (SELECT value FROM json_each(?)))",
                (path, path, path, _text(json.dumps(texts, ensure_ascii=False), place)),
            )
        )
    return _joined("OR", [Condition(f"coalesce({part.sql}, 0)", part.parameters) for part in parts] or [Condition("0", ())])


def _none_of(path: str, operand: object, place: str) -> Condition:
    return _negated(_one_of(path, operand, place))


def _exists(path: str, operand: object, place: str) -> Condition:
    if not isinstance(operand, bool):
        raise ValidationError(f"{place} must be True or False, got {describe(operand)}")
    return Condition(f"({_TYPE} IS {'NOT ' if operand else ''}NULL)", (path,))


def _contains(path: str, operand: object, place: str) -> Condition:
    """Let through a list that has an element equal to the operand, and a string that has it as a part."""
    element = f"({_TYPE} = 'array' AND EXISTS (SELECT 1 FROM json_each(metadata, ?) WHERE type {{}} AND value {{}}))"
    if isinstance(operand, str):
        text = _text(operand, place)
        among = element.format(_IS_TEXT, "= ?")
        listed = Condition(
            f"CASE WHEN {_NUL} THEN anam_contains(metadata, ?, ?) ELSE {among} END", (path, text, path, path, text)
        )
        part = Condition(f"({_TYPE} = 'text' AND instr({_TEXT}, ?) > 0)", (path, path, path, text))
        return _joined("OR", [listed, part])
    if operand is None or isinstance(operand, bool):
        return Condition(element.format("= ?", "IS value"), (path, path, json.dumps(operand)))
    if isinstance(operand, int | float):
        return Condition(element.format("IN ('integer', 'real')", "= ?"), (path, path, _number(operand, place)))
    raise ValidationError(f"{place} must be a str, number, bool or None, got {describe(operand)}")


def _prefix(path: str, operand: object, place: str) -> Condition:
    if not isinstance(operand, str):
        raise ValidationError(f"{place} must be a str, got {describe(operand)}")
    text = _text(operand, place)
    return Condition(f"({_TYPE} = 'text' AND substr({_TEXT}, 1, ?) = ?)", (path, path, path, len(text), text))


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


def _json_path(path: str) -> str:
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


def _negated(part: Condition) -> Condition:
    return Condition(f"NOT coalesce({part.sql}, 0)", part.parameters)


def _joined(operator: str, parts: Sequence[Condition]) -> Condition:
    filled = [part for part in parts if part.sql]
    if len(filled) == 1:
        return filled[0]
    sql = f" {operator} ".join(part.sql for part in filled)
    found = tuple(found for part in filled for found in part.candidates) if operator == "AND" else ()
    return Condition(f"({sql})" if sql else "", tuple(value for part in filled for value in part.parameters), found)


def _listed(names: Sequence[str] | dict[str, Any]) -> str:
    return ", ".join(names)
