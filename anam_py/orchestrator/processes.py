"""A handler in a process of its own, which can be killed whatever the handler does."""

import asyncio
import contextlib
import inspect
import multiprocessing
import os
import signal
import threading
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

from anam_py.exceptions import OrchestratorError
from anam_py.orchestrator.context import Context, Handler
from anam_py.orchestrator.ends import Ended

__all__ = ["Child", "require_sendable"]

# Not a fork: it would inherit the locks of threads that it does not have.
_processes = multiprocessing.get_context("spawn")
_ENDING_SECONDS = 1.0


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
        self._pid: int | None = None
        self._killed = threading.Event()

    def outcome(self) -> Ended:
        """Start the process, wait for it to end, and return what came of it.

        Raises
        ------
        OrchestratorError
            If it ended without saying so: it was killed, or crashed.
        """
        try:
            return self._outcome()
        finally:
            self._ours.close()
            self._theirs.close()
            if self._pid is not None:
                self._end(self._pid)
            self._process.close()

    def kill(self) -> None:
        """End the process, and what it has started, at once; does not wait, whatever the process is doing."""
        self._killed.set()
        if self._pid is not None:
            _kill(self._pid)

    def _outcome(self) -> Ended:
        if self._killed.is_set():
            raise OrchestratorError("the process was stopped before it had begun")
        self._process.start()
        self._pid = self._process.pid
        if self._killed.is_set():  # meanwhile
            self.kill()
        self._theirs.close()  # so that reading ends when the process does
        try:
            ended: Ended = self._ours.recv()
        except EOFError:
            code = self._end(self._process.pid or 0)
            raise OrchestratorError(f"the process ended without a result, with exit code {code}") from None
        return ended

    def _end(self, pid: int) -> int | None:
        """Let the process end, if need be against its will, and all that it has started; returns its exit code."""
        wait([self._process.sentinel], _ENDING_SECONDS)
        _kill(pid)  # before it is joined: until then nobody else has its number
        self._pid = None
        self._process.join()
        return self._process.exitcode


def _kill(pid: int) -> None:
    """End a process and its group, which it leads from its first moments on."""
    for end in (getattr(os, "killpg", os.kill), os.kill):
        with contextlib.suppress(OSError):
            end(pid, getattr(signal, "SIGKILL", signal.SIGTERM))


def _run(there: Connection, handler: Handler, task: dict[str, Any], told: dict[str, Any]) -> None:
    if hasattr(os, "setsid"):  # so that all that the handler starts can be ended with it
        os.setsid()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        value = handler(task, Context(**told))
        ended = Ended.returned(asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the other side is waiting
        ended = Ended.failed(error)
    there.send(ended)
    there.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        _kill(os.getpid())


async def _awaited(value: Any) -> Any:
    return await value
