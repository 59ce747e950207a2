"""Process-wide settings: what they are, what they may be, and where they start.

Start values come from the environment (``ANAM_THREAD_POOL_SIZE`` and so on), read once, when a setting is first needed.
:func:`configure_ffi` replaces them for the whole process; code that depends on a setting asks :func:`current` each time,
so a change applies at once to stores that are already open.
"""

import dataclasses
import difflib
import logging
import operator
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Protocol, TextIO

from anam_py._cpu import available_cpus
from anam_py.exceptions import ValidationError

__all__ = ["Settings", "configure_ffi", "current", "get_ffi_config", "reset_defaults"]

_MAX_THREADS: Final = 1024
_MAX_MB: Final = 1024 * 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Settings:
    """The settings in force, as :func:`current` gives them.

    Attributes
    ----------
    thread_pool_size : int
        Threads of a scan, and threads of the pool that runs the ``_async`` methods. Starts as the number of CPUs
        available to the process.
    memory_limit_mb : int
        What the package itself may hold in memory, in MiB.
    enable_logging : bool
        Whether log records of the package are written to standard error.
    log_level : str
        Least severe level that is written: DEBUG, INFO, WARNING, ERROR or CRITICAL.
    cache_size_mb : int
        Size of the record cache of each store, in MiB; 0 switches it off. What filters let through may take a quarter of it more.
    """

    thread_pool_size: int = dataclasses.field(default_factory=lambda: min(available_cpus(), _MAX_THREADS))
    memory_limit_mb: int = 2048
    enable_logging: bool = False
    log_level: str = "INFO"
    cache_size_mb: int = 128


class _Kind(Protocol):
    """What a setting may be: `check` takes a Python value, `parse` the text of an environment variable."""

    def check(self, value: object) -> Any: ...
    def parse(self, text: str) -> Any: ...


class _Integer(NamedTuple):
    minimum: int
    maximum: int

    def __str__(self) -> str:
        return f"an integer from {self.minimum} to {self.maximum}"

    def check(self, value: object) -> int:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]
        if not self.minimum <= number <= self.maximum:
            raise ValueError
        return number

    def parse(self, text: str) -> int:
        return self.check(int(text))


class _Flag(NamedTuple):
    def __str__(self) -> str:
        return "True or False"

    def check(self, value: object) -> bool:
        if not isinstance(value, bool):
            raise TypeError
        return value

    def parse(self, text: str) -> bool:
        return {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}[
            text.strip().lower()
        ]


class _Level(NamedTuple):
    names: tuple[str, ...] = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

    def __str__(self) -> str:
        return "one of " + ", ".join(self.names)

    def check(self, value: object) -> str:
        if not isinstance(value, str):
            raise TypeError
        return self.parse(value)

    def parse(self, text: str) -> str:
        return self.names[self.names.index(text.strip().upper())]


_KINDS: Final[dict[str, _Kind]] = {
    "thread_pool_size": _Integer(1, _MAX_THREADS),
    "memory_limit_mb": _Integer(16, _MAX_MB),
    "enable_logging": _Flag(),
    "log_level": _Level(),
    "cache_size_mb": _Integer(0, _MAX_MB),
}


class _State:
    """The settings in force; none before they are first asked for."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.settings: Settings | None = None


_state = _State()


def configure_ffi(settings: Mapping[str, Any]) -> None:
    """Change settings for the whole process, at once and also for stores that are open.

    Settings that are not mentioned keep their value. When one value is wrong nothing changes.

    Parameters
    ----------
    settings : Mapping[str, Any]
        Any of ``thread_pool_size`` (1 to 1024), ``memory_limit_mb`` (16 to 1048576), ``enable_logging``, ``log_level``
        (DEBUG, INFO, WARNING, ERROR or CRITICAL) and ``cache_size_mb`` (0 to 1048576).

    Raises
    ------
    ValidationError
        If a key is unknown, or a value has the wrong type or is out of range.

    Examples
    --------
    >>> configure_ffi({"thread_pool_size": 8, "cache_size_mb": 512})
    """
    if not isinstance(settings, Mapping):
        raise ValidationError(f"configure_ffi needs a mapping of settings, got {type(settings).__name__}. {_valid_settings()}")
    changes = {name: _checked(name, value) for name, value in settings.items()}
    with _state.lock:
        _put_in_force(dataclasses.replace(current(), **changes))


def get_ffi_config() -> dict[str, Any]:
    """Return the settings in force.

    Returns
    -------
    dict[str, Any]
        Every setting by name; ``configure_ffi(get_ffi_config())`` changes nothing.

    Raises
    ------
    ValidationError
        If an environment variable that sets a start value is wrong.
    """
    return dataclasses.asdict(current())


def current() -> Settings:
    """Return the settings in force, at the price of one global read.

    Returns
    -------
    Settings
        An immutable view; ask again to see later changes.

    Raises
    ------
    ValidationError
        If an environment variable that sets a start value is wrong.
    """
    return _state.settings or _first_settings()


def reset_defaults() -> Settings:
    """Forget what :func:`configure_ffi` set and read the environment again.

    Returns
    -------
    Settings
        The settings now in force.

    Raises
    ------
    ValidationError
        If an environment variable is wrong; the settings then stay as they were.
    """
    with _state.lock:
        return _put_in_force(_from_environment())


def _first_settings() -> Settings:
    with _state.lock:
        return _state.settings or reset_defaults()


def _put_in_force(settings: Settings) -> Settings:
    _apply_logging(settings)
    _state.settings = settings
    return settings


def _from_environment() -> Settings:
    values = {}
    for name, kind in _KINDS.items():
        variable = f"ANAM_{name.upper()}"
        text = os.environ.get(variable)
        if text:
            try:
                values[name] = kind.parse(text)
            except (ValueError, KeyError):
                raise ValidationError(f"environment variable {variable} must be {kind}, got {text!r}") from None
    return Settings(**values)


def _checked(name: object, value: object) -> Any:
    kind = _KINDS.get(name) if isinstance(name, str) else None
    if kind is None:
        near = difflib.get_close_matches(str(name), _KINDS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValidationError(f"configure_ffi does not know the setting {name!r}.{hint} {_valid_settings()}")
    try:
        return kind.check(value)
    except (TypeError, ValueError):
        raise ValidationError(
            f"configure_ffi: {name} must be {kind}, got {value!r} ({type(value).__name__}). {_valid_settings()}"
        ) from None


def _valid_settings() -> str:
    return "Valid settings: " + "; ".join(f"{name} ({kind})" for name, kind in _KINDS.items()) + "."


class _StderrHandler(logging.StreamHandler[TextIO]):
    """Write to whatever ``sys.stderr`` is at the time of the record, so that redirection works."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)
        self.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))

    @property
    def stream(self) -> TextIO:  # type: ignore[override]
        return sys.stderr


_logger = logging.getLogger("anam_py")
_logger.addHandler(logging.NullHandler())
_handler = _StderrHandler()


def _apply_logging(settings: Settings) -> None:
    """Attach or remove the one handler of ours; the application's own logging set-up is never touched."""
    if settings.enable_logging:
        _logger.addHandler(_handler)
        _logger.setLevel(settings.log_level)
    elif _handler in _logger.handlers:
        _logger.removeHandler(_handler)
        _logger.setLevel(logging.NOTSET)
