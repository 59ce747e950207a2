"""How an attempt ended, in the same words wherever it was made."""

import traceback
from typing import Any, NamedTuple

from anam_py._json import plain
from anam_py.exceptions import ValidationError
from anam_py.orchestrator.context import IncompleteError

__all__ = ["Ended", "error_of", "message_of"]

_MOST_CHARACTERS = 10_000


class Ended(NamedTuple):
    """How an attempt ended: with a value, or with an error.

    Attributes
    ----------
    value : object
        What the handler returned, as plain JSON types; beside an error, what it did all the same.
    error : dict of str to str, or None
        type, message and traceback.
    is_final : bool
        Whether there is no point in trying again.
    """

    value: Any = None
    error: dict[str, str] | None = None
    is_final: bool = False

    @classmethod
    def returned(cls, value: object) -> "Ended":
        """Return the end that a handler's result is; ValidationError if JSON cannot hold it."""
        return cls(plain(value, "the handler's result"))

    @classmethod
    def failed(cls, error: BaseException, *, is_final: bool = False) -> "Ended":
        """Return the end that an exception is; one that asks the interpreter to end is final."""
        value = None
        if isinstance(error, IncompleteError):
            try:
                value = plain(error.output, "the handler's result")
            except ValidationError as wrong:
                error = wrong
        trace = "".join(traceback.format_exception(error))
        described = error_of(type(error).__name__, message_of(error), trace)
        return cls(value, described, is_final or not isinstance(error, Exception))


def error_of(kind: str, message: str, trace: str = "") -> dict[str, str]:
    """Return an error as results tell it."""
    return {"type": kind, "message": _clean(message), "traceback": _clean(trace)}


def message_of(error: BaseException) -> str:
    """Return what an exception says, even if its own methods raise."""
    for say in (str, repr):
        try:
            if message := say(error):
                return _clean(message)
        except Exception:  # noqa: BLE001, S112 - there is another way
            continue
    return type(error).__name__


def _clean(text: str) -> str:
    """Return a text without lone surrogates, of bounded length: its end, where a traceback says what went wrong."""
    return text[-_MOST_CHARACTERS:].encode("utf-8", "backslashreplace").decode()
