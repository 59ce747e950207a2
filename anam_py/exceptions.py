"""Every exception that anam_py raises on purpose.

::

    AnamError
     ├─ HTMError            the store cannot do what was asked, or its files are damaged
     ├─ ValidationError     an argument or a setting is wrong (also a ValueError)
     ├─ AxiomError          an axiom is not known (also a LookupError)
     ├─ CrawlerError        a code base cannot be crawled
     ├─ MemoryError         the memory limit leaves no room (also the built-in MemoryError)
     └─ OrchestratorError   agents cannot take on a task

A message says what was wrong, with what value, and what to do about it.
"""

import builtins

__all__ = [
    "AnamError",
    "AxiomError",
    "CrawlerError",
    "HTMError",
    "MemoryError",
    "OrchestratorError",
    "ValidationError",
]


class AnamError(Exception):
    """Base of every exception of this package."""


class HTMError(AnamError):
    """The store cannot do what was asked of it, or its files are damaged."""


class ValidationError(AnamError, ValueError):
    """An argument, a setting or an environment variable has a value that cannot be used."""


class AxiomError(AnamError, LookupError):
    """An axiom is not known."""


class CrawlerError(AnamError):
    """A code base cannot be crawled."""


class MemoryError(AnamError, builtins.MemoryError):  # noqa: A001 - the name is part of the public API
    """The configured memory limit leaves no room, even after flushing and evicting."""


class OrchestratorError(AnamError):
    """Agents cannot be registered or a task cannot be coordinated."""
