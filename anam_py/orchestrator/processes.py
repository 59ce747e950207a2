"""A handler in a process of its own, which can be killed whatever the handler does."""

import asyncio
import inspect
import multiprocessing
import threading
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

from anam_py.exceptions import OrchestratorError
from anam_py.orchestrator.context import Context, Handler
from anam_py.orchestrator.ends import Ended

__all__ = ["Child", "require_sendable"]

# Not a fork: it would inherit the locks of threads that it does not have.
_processes = multiprocessing.get_context("spawn")


def require_sendable(name: str, handler: Handler) -> None:
    """Raise OrchestratorError unless another process can be told which function a handler is.

    Parameters
    ----------
    name : str
        The capability that it is for.
    handler : Handler

    Raises
    ------
    OrchestratorError
        If it is a lambda, a function inside another one, or the like.
    """
    try:
        ForkingPickler.dumps(handler)
    except Exception as error:
        raise OrchestratorError(
            f"the handler of {name!r} cannot run in a process of its own: {error}; "
            "define it at the top of a module, or leave process=True out"
        ) from error


class Child:
    """A process that runs one handler once.

    Parameters
    ----------
    handler : Handler
    task : dict
    told : dict
        What its context is made of, without what cannot be sent.
    """

    def __init__(self, handler: Handler, task: dict[str, Any], told: dict[str, Any]) -> None:
        self._ours, self._theirs = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=_run, args=(self._theirs, handler, task, told), daemon=True)
        self._lock = threading.Lock()
        self._runs = False
        self._killed = False

    def outcome(self) -> Ended:
        """Start the process, wait for it to end, and return what came of it.

        Raises
        ------
        OrchestratorError
            If it ended without saying so: it was killed, or crashed.
        """
        try:
            self._start()
            ended: Ended = self._ours.recv()
        except EOFError:
            self._process.join()
            raise OrchestratorError(f"the process ended without a result, with exit code {self._process.exitcode}") from None
        finally:
            self._ours.close()
            self._theirs.close()
            self._end()
        return ended

    def kill(self) -> None:
        """End the process at once."""
        with self._lock:
            self._killed = True
            if self._runs:
                self._process.kill()

    def _start(self) -> None:
        with self._lock:
            if self._killed:
                raise OrchestratorError("the process was stopped before it had begun")
            self._process.start()
            self._runs = True
        self._theirs.close()  # so that reading ends when the process does

    def _end(self) -> None:
        if self._process.pid is not None:
            self._process.join()
        with self._lock:
            self._runs = False
            self._process.close()


def _run(there: Connection, handler: Handler, task: dict[str, Any], told: dict[str, Any]) -> None:
    try:
        value = handler(task, Context(**told))
        ended = Ended.returned(asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other side is waiting
        ended = Ended.failed(error)
    there.send(ended)
    there.close()


async def _awaited(value: Any) -> Any:
    return await value
