"""What the orchestrator's tests share: handlers that can run in processes of their own, and a look at what is left behind."""

import asyncio
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anam_py.orchestrator import Context


def echo(task: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Return what a process can see."""
    return {"process": os.getpid(), "capability": context.capability, "results": dict(context.results), "task": dict(task)}


async def echo_async(task: Mapping[str, Any], context: Context) -> dict[str, Any]:
    """Return what a process can see, from a loop of its own."""
    await asyncio.sleep(0)
    return echo(task, context)


def hang(task: Mapping[str, Any], context: Context) -> None:
    """Say who hangs, and hang."""
    Path(task["file"]).write_text(str(os.getpid()), encoding="utf-8")
    while True:
        time.sleep(60)


def crash(task: Mapping[str, Any], context: Context) -> None:
    """End the process without a word."""
    os._exit(7)


def leave(task: Mapping[str, Any], context: Context) -> None:
    """Ask the interpreter to end."""
    raise SystemExit(3)


def give_a_set(task: Mapping[str, Any], context: Context) -> set[int]:
    """Return what JSON cannot hold."""
    return {1}


def threads() -> list[threading.Thread]:
    """Return the threads that run handlers."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("anam-handler-")]


def tasks() -> set[asyncio.Task[Any]]:
    """Return the tasks of the running loop, but for the one that asks."""
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
