"""The thread pool behind every ``_async`` method.

An async method is its sync twin run in this pool: :func:`async_twin` derives it, so there is one implementation of each
operation and the event loop is never held.
"""

import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from anam_py import config

__all__ = ["async_twin", "run"]

P = ParamSpec("P")
R = TypeVar("R")
Owner = TypeVar("Owner")


class _Pool:
    """A thread pool of the configured size, made when it is first needed.

    The interpreter joins its threads at exit by itself.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: ThreadPoolExecutor | None = None
        self._size = 0

    def submit(self, call: Callable[[], R]) -> Future[R]:
        """Queue a call; when the size has changed a new pool takes it, and the old one finishes what it has."""
        size = config.current().thread_pool_size
        with self._lock:  # a pool that was just replaced accepts no more work
            if self._threads is None or size != self._size:
                if self._threads is not None:
                    self._threads.shutdown(wait=False)
                self._threads = ThreadPoolExecutor(size, thread_name_prefix="anam_py")
                self._size = size
            return self._threads.submit(call)

    def forget(self) -> None:
        """Drop the threads, which do not exist in a forked child, and the lock, which the parent may have held."""
        self._lock = threading.Lock()
        self._threads = None


_pool = _Pool()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)


def run(function: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[R]:
    """Run a function in the package's thread pool.

    Parameters
    ----------
    function : Callable
        What to run; it sees the caller's context variables.
    *args, **kwargs
        Its arguments.

    Returns
    -------
    Awaitable
        Resolves to the function's result or exception. Cancelling it before a thread has taken the work up cancels the
        work; after that the work completes and its result is dropped.
    """
    call = functools.partial(contextvars.copy_context().run, function, *args, **kwargs)
    from asyncio import wrap_future  # noqa: PLC0415 - whoever awaits has it loaded; the others need not wait for it

    return wrap_future(_pool.submit(call))


def async_twin(
    method: Callable[Concatenate[Owner, P], R],
) -> Callable[Concatenate[Owner, P], Coroutine[Any, Any, R]]:
    """Derive the ``_async`` form of a method: same signature, same documentation, run in the pool.

    Parameters
    ----------
    method : Callable
        The sync method, as the class body defines it. A subclass that overrides it changes both forms.

    Returns
    -------
    Callable
        A coroutine function named like the method, with ``_async`` appended.
    """
    name = method.__name__
    form = f"{name.rstrip('_')}_async"

    @functools.wraps(method)
    async def twin(self: Owner, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast("R", await run(getattr(self, name), *args, **kwargs))

    twin.__name__ = form
    twin.__qualname__ = f"{method.__qualname__.removesuffix(name)}{form}"
    twin.__doc__ = f"Asynchronous form of :meth:`{name}`: the work runs in the thread pool.\n\n{inspect.getdoc(method) or ''}"
    return twin
