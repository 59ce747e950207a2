"""The thread pool behind every ``_async`` method.

An async method is its sync twin run in this pool: :func:`async_twin` derives it, so there is one implementation of each
operation and the event loop is never held.
"""

import asyncio
import contextvars
import functools
import inspect
import os
import threading
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from anam_py import config

__all__ = ["async_twin", "run"]

P = ParamSpec("P")
R = TypeVar("R")
Self_ = TypeVar("Self_")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_size = 0


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
    with _lock:  # a pool that was just replaced accepts no more work
        future = _current_pool().submit(call)
    return asyncio.wrap_future(future)


def async_twin(
    method: Callable[Concatenate[Self_, P], R],
) -> Callable[Concatenate[Self_, P], Coroutine[Any, Any, R]]:
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

    @functools.wraps(method)
    async def twin(self: Self_, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, await run(getattr(self, name), *args, **kwargs))

    twin.__name__ = f"{name}_async"
    twin.__qualname__ = f"{method.__qualname__}_async"
    twin.__doc__ = f"Asynchronous form of :meth:`{name}`: the work runs in the thread pool.\n\n{inspect.getdoc(method) or ''}"
    return twin


def _current_pool() -> ThreadPoolExecutor:
    """Return the pool, made or replaced to have the configured size; a replaced one finishes the work it has.

    The interpreter joins the pool's threads at exit by itself.
    """
    global _pool, _size
    size = config.current().thread_pool_size
    if _pool is None or size != _size:
        if _pool is not None:
            _pool.shutdown(wait=False)
        _pool = ThreadPoolExecutor(size, thread_name_prefix="anam_py")
        _size = size
    return _pool


def _after_fork_in_child() -> None:
    """Drop the parent's pool: its threads do not exist in the child, and its lock may be held for ever."""
    global _lock, _pool
    _lock = threading.Lock()
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
