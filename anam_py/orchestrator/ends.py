"""How an attempt ended, in the same words wherever it was made."""

import traceback
from typing import Any, NamedTuple

from anam_py._json import plain
from anam_py.exceptions import ValidationError
from anam_py.orchestrator.context import IncompleteError

__all__ = ["Ended", "error_of"]


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
        described = error_of(type(error).__name__, str(error) or repr(error), trace)
        return cls(value, described, is_final or not isinstance(error, Exception))


def error_of(kind: str, message: str, trace: str = "") -> dict[str, str]:
    """Return an error as results tell it."""
    return {"type": kind, "message": message, "traceback": trace}
