"""What an async method promises to the event loop."""

import asyncio
import contextvars
import inspect
import os
import subprocess
import sys
import threading
import time

import pytest

from anam_py import configure_ffi
from anam_py._executor import async_twin, run


class Service:
    """Something with a method and its async form."""

    def greet(self, name: str, *, loud: bool = False) -> str:
        """Return a greeting.

        Parameters
        ----------
        name : str
            Whom to greet.
        """
        return f"HELLO {name}" if loud else f"hello {name}"

    greet_async = async_twin(greet)


class Polite(Service):
    """A subclass that overrides only the sync form."""

    def greet(self, name: str, *, loud: bool = False) -> str:
        """Return a polite greeting."""
        return f"good morning, {name}{'!' * loud}"


def test_the_async_form_gives_what_the_sync_form_gives() -> None:
    assert asyncio.run(Service().greet_async("Ada", loud=True)) == "HELLO Ada"


def test_the_async_form_has_the_signature_and_documentation_of_the_sync_form() -> None:
    twin = Service.greet_async
    assert inspect.iscoroutinefunction(twin)
    assert inspect.signature(twin) == inspect.signature(Service.greet)
    assert (twin.__name__, twin.__qualname__) == ("greet_async", "Service.greet_async")
    assert twin.__doc__ is not None
    assert "Whom to greet." in twin.__doc__


def test_overriding_the_sync_form_changes_the_async_form() -> None:
    assert asyncio.run(Polite().greet_async("Ada")) == "good morning, Ada"


def test_wrong_arguments_are_a_type_error_as_in_the_sync_form() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        asyncio.run(Service().greet_async("Ada", quiet=True))  # type: ignore[call-arg]


def test_exceptions_arrive_where_the_result_is_awaited() -> None:
    async def main() -> None:
        await run(int, "no number")

    with pytest.raises(ValueError, match="no number"):
        asyncio.run(main())


def test_the_event_loop_runs_on_while_work_is_done() -> None:
    released = threading.Event()

    async def main() -> None:
        work = asyncio.ensure_future(run(released.wait, 30))
        await asyncio.sleep(0)
        assert not work.done()
        released.set()
        assert await work is True

    asyncio.run(main())


def test_context_variables_of_the_caller_are_seen() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    async def main() -> str:
        variable.set("set")
        return await run(variable.get)

    assert asyncio.run(main()) == "set"


def test_the_configured_size_bounds_the_threads_and_applies_at_once() -> None:
    async def threads_used(size: int) -> int:
        configure_ffi({"thread_pool_size": size})
        barrier = threading.Barrier(size)

        def work() -> int:
            barrier.wait(30)  # passes only with as many threads as configured
            time.sleep(0.01)
            return threading.get_ident()

        return len(set(await asyncio.gather(*(run(work) for _ in range(2 * size)))))

    for size in (1, 4, 2):
        assert asyncio.run(threads_used(size)) == size


def test_work_under_way_survives_a_change_of_the_size() -> None:
    async def main() -> list[int]:
        configure_ffi({"thread_pool_size": 1})
        first = [asyncio.ensure_future(run(int, i)) for i in range(20)]
        configure_ffi({"thread_pool_size": 3})
        second = [asyncio.ensure_future(run(int, i)) for i in range(20, 40)]
        return await asyncio.gather(*first, *second)

    assert asyncio.run(main()) == list(range(40))


def test_work_cancelled_before_it_began_is_never_done() -> None:
    done = []

    async def main() -> None:
        configure_ffi({"thread_pool_size": 1})
        released = threading.Event()
        busy = asyncio.ensure_future(run(released.wait, 30))
        waiting = asyncio.ensure_future(run(done.append, 1))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        released.set()
        await busy
        await run(int)

    asyncio.run(main())
    assert done == []


def test_work_cancelled_under_way_is_completed() -> None:
    started, finished = threading.Event(), threading.Event()

    def work() -> None:
        started.set()
        time.sleep(0.05)
        finished.set()

    async def main() -> None:
        task = asyncio.ensure_future(run(work))
        await asyncio.to_thread(started.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert finished.wait(30)


def python(code: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_gets_a_pool_of_its_own() -> None:
    result = python(
        "import asyncio, os, sys\n"
        "from anam_py._executor import run\n"
        "async def main(): return await asyncio.wait_for(run(os.getpid), 20)\n"
        "assert asyncio.run(main()) == os.getpid()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(0 if asyncio.run(main()) == os.getpid() else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert result.returncode == 0, result.stderr


def test_the_interpreter_exits_with_work_still_queued() -> None:
    result = python(
        "import asyncio, time\n"
        "from anam_py import configure_ffi\n"
        "from anam_py._executor import run\n"
        "configure_ffi({'thread_pool_size': 1})\n"
        "async def main():\n"
        "    for _ in range(3): run(time.sleep, 0.05)\n"
        "asyncio.run(main())\n"
    )
    assert (result.returncode, result.stderr) == (0, "")
