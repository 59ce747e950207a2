"""One attempt of a handler: as a coroutine, in a thread, or in a process that can be killed.

However a handler is run, what comes of it is an `Ended`; nothing that it raises reaches the event loop. Its time is kept from
outside: it is asked to stop, given a moment, and then given up. A coroutine is cancelled and a process killed, so only a sync
function in a thread (and a coroutine that refuses to be cancelled) can outlast that. It is then reported, and holds on to
what it holds until it ends.
"""

import asyncio
import contextlib
import contextvars
import functools
import inspect
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from anam_py.orchestrator.context import Context, Handler
from anam_py.orchestrator.ends import Ended, error_of
from anam_py.orchestrator.processes import Child
from anam_py.orchestrator.slots import Claim
from anam_py.orchestrator.turns import prompt_turns

__all__ = ["Work", "begin", "in_thread", "way_of"]

# The loop itself would forget a coroutine that nobody waits for.
_alive: set["asyncio.Task[Ended]"] = set()


class Work(NamedTuple):
    """An attempt that is under way.

    Attributes
    ----------
    ended : asyncio.Future of Ended
        Cancelled if the attempt was.
    stop : Callable
        Asks it to end.
    """

    ended: "asyncio.Future[Ended]"
    stop: Callable[[], object]


Way: TypeAlias = Callable[[Handler, Mapping[str, Any], Context, Callable[[], object]], Work]


def way_of(handler: Handler, *, process: bool) -> Way:
    """Return how a handler is run: in a process if that is wanted, else a coroutine function on the loop, others in threads."""
    if process:
        return in_process
    while isinstance(handler, functools.partial):
        handler = handler.func
    is_coroutine = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(getattr(handler, "__call__", None))  # noqa: B004
    return on_loop if is_coroutine else in_thread


def begin(way: Way, handler: Handler, task: Mapping[str, Any], context: Context, claim: Claim) -> Work:
    """Start an attempt, which gives back what it holds when it has really ended, whoever still waits.

    Parameters
    ----------
    way : Way
        `on_loop`, `in_thread` or `in_process`.
    handler : Handler
    task : mapping
    context : Context
    claim : Claim

    Returns
    -------
    Work
    """
    try:
        return way(handler, task, context, claim.end)
    except Exception as error:  # noqa: BLE001 - the system has no thread or no pipe left, say
        claim.end()
        ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        ended.set_result(Ended.failed(error))
        return Work(ended, lambda: None)


def on_loop(handler: Handler, task: Mapping[str, Any], context: Context, on_end: Callable[[], object]) -> Work:
    """Start a coroutine function as a task of its own."""
    work = asyncio.get_running_loop().create_task(_awaited(handler, task, context))
    _alive.add(work)
    work.add_done_callback(_alive.discard)
    work.add_done_callback(lambda _: on_end())
    return Work(work, work.cancel)


async def _awaited(handler: Handler, task: Mapping[str, Any], context: Context) -> Ended:
    try:
        value = handler(task, context)
        return Ended.returned(await value if inspect.isawaitable(value) else value)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return Ended.failed(RuntimeError("the handler cancelled itself"))
    except BaseException as error:  # noqa: BLE001 - on the loop, it would end it
        return Ended.failed(error)


def in_thread(handler: Handler, task: Mapping[str, Any], context: Context, on_end: Callable[[], object]) -> Work:
    """Start a function in a thread of its own, for which an interpreter that ends does not wait."""
    seen = contextvars.copy_context()

    def run() -> Ended:
        with prompt_turns:
            return Ended.returned(_no_coroutine(seen.run(handler, task, context)))

    return Work(_beside(run, context, on_end), context.cancelled.set)


def _no_coroutine(value: object) -> object:
    if inspect.iscoroutine(value):
        value.close()
        raise TypeError("the handler returned a coroutine: define it with async def, so that it runs on the event loop")
    return value


def in_process(handler: Handler, task: Mapping[str, Any], context: Context, on_end: Callable[[], object]) -> Work:
    """Start a function in a process of its own, which is killed when it is asked to stop; a thread waits for it."""
    child = Child(handler, dict(task), context.told())
    ended = _beside(child.outcome, context, on_end)
    return Work(ended, child.kill)


def _beside(run: Callable[[], Ended], context: Context, on_end: Callable[[], object]) -> "asyncio.Future[Ended]":
    """Return what a function will return, called in a thread that ends with it."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Ended] = loop.create_future()

    def tell(end: Ended) -> None:
        if not ended.done():
            ended.set_result(end)

    def call() -> None:
        end = Ended(error=error_of("RuntimeError", "what the handler raised cannot be told"), is_final=True)
        try:
            end = run()
        except BaseException as error:  # noqa: BLE001 - a thread has nobody above it
            end = Ended.failed(error)
        finally:
            on_end()
            answer(end)

    def answer(end: Ended) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is no more, and so is whoever waited
            loop.call_soon_threadsafe(tell, end)

    threading.Thread(target=call, name=f"anam-handler-{context.agent_id}-{context.capability}", daemon=True).start()
    return ended
