"""Metadata and diff ops as JSON text that gives back what was put in.

The standard library's encoder quietly changes what JSON cannot hold: tuples become lists, keys become strings. So values
are checked first. Plain ones (by far the most) take a fast, iterative check and go straight to the encoder; all others are
converted one by one, which also finds the path of what cannot be converted.
"""

import datetime as dt
import json
import math
import os
import reprlib
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any, Final

import numpy as np

from anam_py.exceptions import ValidationError

__all__ = ["MAX_LEVELS", "MAX_METADATA_BYTES", "check_diff_ops", "encode_metadata", "plain"]

MAX_METADATA_BYTES: Final = 1024 * 1024
MAX_LEVELS: Final = 64
# Of what is not stored: half a gigabyte as Python objects.
_MAX_VALUES: Final = 1 << 24

# Python refuses to parse longer integers unless told otherwise, so text with one might not be readable elsewhere.
_MAX_DIGITS: Final = 4300
_INT_BOUND: Final = 10**_MAX_DIGITS
_MAX_POSITION: Final = 2**63 - 1
_ATOMS: Final = frozenset({str, bool, float, NoneType})
_OPS: Final = ("insert", "delete", "replace")

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))
# What the encoder makes anew for each value, and what takes half of its time for a small one.
_make = getattr(json.encoder, "c_make_encoder", None)
_chunks = _make and _make(
    markers=None,
    default=_encoder.default,
    encoder=json.encoder.encode_basestring,
    indent=None,
    key_separator=":",
    item_separator=",",
    sort_keys=False,
    skipkeys=False,
    allow_nan=False,
)


def _encode(value: object) -> str:
    return "".join(_chunks(value, 0)) if _chunks else _encoder.encode(value)


def encode_metadata(metadata: object, name: str = "metadata") -> str:
    """Return metadata as JSON text.

    Parameters
    ----------
    metadata : dict
        Keys are str, values None, bool, int, float, str, lists and dicts of these, at most 64 levels deep. NumPy scalars
        and arrays, paths, dates and times are converted.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    str
        Text that ``json.loads`` turns back into an equal dict; at most 1 MiB in UTF-8.

    Raises
    ------
    ValidationError
        If something in it cannot be represented; the message gives its path, as in ``metadata["a"][3]["b"]``.
    """
    if not isinstance(metadata, dict):
        raise ValidationError(f"{name} must be a dict, got {type(metadata).__name__}")
    text = _encoded_if_plain(metadata, MAX_METADATA_BYTES)
    if text is None:
        text = _encode(_Converter(name).convert(metadata))
    size = len(text) if text.isascii() else len(text.encode())
    if size > MAX_METADATA_BYTES:
        raise _too_large(name, f"{size:,}")
    return text


def plain(value: object, name: str) -> Any:
    """Return a value made of the types that JSON has, converted as `encode_metadata` converts.

    Parameters
    ----------
    value : object
        Of at most 16,777,216 values in all.
    name : str
        Name of the value, for messages.

    Returns
    -------
    None, bool, int, float, str, list or dict
        The value itself, if it is one already.

    Raises
    ------
    ValidationError
        If something in it cannot be represented; the message gives its path.
    """
    if isinstance(value, dict) and _encoded_if_plain(value, _MAX_VALUES) is not None:
        return value
    return _Converter(name, _MAX_VALUES).convert(value)


def check_diff_ops(diff_ops: object, name: str = "diff_ops") -> str | None:
    """Return diff ops as JSON text.

    Parameters
    ----------
    diff_ops : sequence of dict, or None
        Each ``{"op": "insert" | "delete" | "replace", "pos": int, "count": int, "lines": list of str}``, where count and
        lines may be left out.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    str or None
        JSON text, or None if there are none.

    Raises
    ------
    ValidationError
        If one has an unknown or missing key, or a wrong value.
    """
    if diff_ops is None:
        return None
    if not isinstance(diff_ops, Sequence) or isinstance(diff_ops, (str, bytes)):
        raise ValidationError(f"{name} must be a list of dicts or None, got {type(diff_ops).__name__}")
    if not diff_ops:
        return None
    return _encode([_diff_op(item, f"{name}[{index}]") for index, item in enumerate(diff_ops)])


def _diff_op(item: object, name: str) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise ValidationError(f"{name} must be a dict, got {type(item).__name__}")
    for key in item:
        if key not in ("op", "pos", "count", "lines"):
            raise ValidationError(f"{name} must only have the keys op, pos, count and lines, got {key!r}")
    for key in ("op", "pos"):
        if key not in item:
            raise ValidationError(f"{name} must have the key {key!r}")
    if item["op"] not in _OPS:
        raise ValidationError(f'{name}["op"] must be one of {", ".join(_OPS)}, got {reprlib.repr(item["op"])}')
    checked: dict[str, Any] = {"op": str(item["op"])}
    for key in ("pos", "count"):
        if key in item:
            checked[key] = _position(item[key], f'{name}["{key}"]')
    if "lines" in item:
        checked["lines"] = _lines(item["lines"], f'{name}["lines"]')
    return checked


def _position(value: object, name: str) -> int:
    if isinstance(value, (int, np.integer)) and not isinstance(value, bool) and 0 <= value <= _MAX_POSITION:
        return int(value)
    raise ValidationError(f"{name} must be an integer of at least 0, got {reprlib.repr(value)}")


def _lines(value: object, name: str) -> list[str]:
    if not isinstance(value, (list, tuple)):
        raise ValidationError(f"{name} must be a list of str, got {type(value).__name__}")
    for index, line in enumerate(value):
        if not isinstance(line, str):
            raise ValidationError(f"{name}[{index}] must be a str, got {type(line).__name__}")
        if not _is_utf8(line):
            raise ValidationError(f"{name}[{index}] must not contain lone surrogates, got {reprlib.repr(line)}")
    return list(value)


def _encoded_if_plain(value: dict[Any, Any], budget: int) -> str | None:
    """Return a dict as JSON text if it needs no conversion, and there is no need to say what is wrong with it."""
    if not _is_plain(value, budget):
        return None
    try:
        text = _encode(value)
    except ValueError:  # NaN or infinity
        return None
    return text if _is_utf8(text) else None


def _is_plain(metadata: dict[Any, Any], budget: int) -> bool:
    """Whether everything in it is of a type that JSON gives back as it was, within bounds of depth and number."""
    containers: list[Any] = [metadata]
    for _ in range(MAX_LEVELS):
        inner: list[Any] = []
        for container in containers:
            budget -= len(container)
            if budget < 0:
                return False
            values = container
            if type(container) is dict:
                for key in container:
                    if type(key) is not str:
                        return False
                values = container.values()
            for value in values:
                kind = type(value)
                if kind in _ATOMS:
                    continue
                if kind is dict or kind is list:
                    inner.append(value)
                elif kind is not int or not -_INT_BOUND < value < _INT_BOUND:
                    return False
        if not inner:
            return True
        containers = inner
    return False


class _Converter:
    """Turns one value into plain JSON types, or finds what cannot be turned."""

    def __init__(self, name: str, budget: int = MAX_METADATA_BYTES) -> None:  # every value takes a byte and more
        self._name = name
        self._path: list[str | int] = []
        self._open: set[int] = set()  # identities of the containers on the path
        self._most = self._budget = budget

    def convert(self, value: Any) -> Any:
        self._budget -= 1
        if self._budget < 0:
            raise self._too_many()
        for kinds, turn in self._TURNS:
            if isinstance(value, kinds):
                return turn(self, value)
        raise self._refusal(f"a {type(value).__name__} cannot be stored as JSON; {_advice(value)}")

    def _container(self, value: Any) -> Any:
        if id(value) in self._open:
            raise self._refusal("it contains itself")
        if len(self._open) == MAX_LEVELS:
            raise ValidationError(f"{self._name} must not nest deeper than {MAX_LEVELS} levels, see {self._where()}")
        self._open.add(id(value))
        if isinstance(value, dict):
            converted: Any = {self._key(key): self._item(key, item) for key, item in value.items()}
        else:
            converted = [self._item(index, item) for index, item in enumerate(value)]
        self._open.remove(id(value))
        return converted

    def _item(self, step: str | int, value: Any) -> Any:
        self._path.append(step)
        converted = self.convert(value)
        self._path.pop()
        return converted

    def _key(self, key: object) -> str:
        if not isinstance(key, str):
            raise self._refusal(f"its key {reprlib.repr(key)} is a {type(key).__name__}; JSON keys are str")
        return self._text(key)

    def _text(self, value: str) -> str:
        if not _is_utf8(value):
            raise self._refusal(f"the text {reprlib.repr(value)} has a lone surrogate")
        return str.__str__(value)

    def _integer(self, value: int | np.integer) -> int:
        number = int(value)
        if not -_INT_BOUND < number < _INT_BOUND:
            raise self._refusal(f"an integer must not have more than {_MAX_DIGITS:,} digits")
        return number

    def _float(self, value: float | np.floating) -> float:
        number = float(value)
        if not math.isfinite(number):
            raise self._refusal(f"{number} cannot be stored as JSON; use None or leave it out")
        return number

    def _datetime64(self, value: np.datetime64) -> str:
        if np.isnat(value):
            raise self._refusal("NaT cannot be stored as JSON; use None or leave it out")
        return str(value)

    def _array(self, value: "np.ndarray[Any, Any]") -> Any:
        if value.size > self._budget:
            raise self._too_many()
        if value.dtype.kind in "mM":  # as Python objects, nanoseconds would turn into plain integers
            return self.convert(list(value) if value.ndim else value[()])
        return self.convert(value.tolist())

    # The first that fits: bool is an int, datetime64 a NumPy scalar of its own.
    _TURNS: tuple[tuple[tuple[type, ...], Callable[["_Converter", Any], Any]], ...] = (
        ((NoneType, bool), lambda _, value: value),
        ((np.bool_,), lambda _, value: bool(value)),
        ((str,), _text),
        ((int, np.integer), _integer),
        ((float, np.floating), _float),
        ((dict, list), _container),
        ((dt.date, dt.time), lambda _, value: value.isoformat()),
        ((os.PathLike,), lambda self, value: self.convert(os.fspath(value))),
        ((np.datetime64,), _datetime64),
        ((np.ndarray,), _array),
    )

    def _too_many(self) -> ValidationError:
        if self._most == MAX_METADATA_BYTES:
            return _too_large(self._name, "more")
        return ValidationError(f"{self._name} must have at most {self._most:,} values, got more")

    def _refusal(self, reason: str) -> ValidationError:
        return ValidationError(f"{self._where()}: {reason}")

    def _where(self) -> str:
        return self._name + "".join(f"[{_quoted(step)}]" for step in self._path)


def _quoted(step: str | int) -> str:
    return str(step) if isinstance(step, int) else json.dumps(step)


def _advice(value: object) -> str:
    if isinstance(value, (tuple, set, frozenset)):
        return "use a list"
    if isinstance(value, (bytes, bytearray)):
        return "decode it first"
    return "use None, bool, int, float, str, list or dict"


def _is_utf8(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _too_large(name: str, size: str) -> ValidationError:
    return ValidationError(f"{name} must be at most {MAX_METADATA_BYTES:,} bytes as JSON, got {size}")
