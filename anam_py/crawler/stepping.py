"""Taking the steps of a crawl one by one, in this thread or in the pool, and telling a callback how far it is."""

import inspect
from collections.abc import Awaitable, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from anam_py._executor import run
from anam_py._validation import describe
from anam_py.crawler.crawl import Step
from anam_py.exceptions import ValidationError

if TYPE_CHECKING:
    import asyncio

__all__ = ["AsyncProgressCallback", "ProgressCallback", "check_callback", "results_async", "results_of"]

ProgressCallback: TypeAlias = Callable[[int, int, str], object]
AsyncProgressCallback: TypeAlias = Callable[[int, int, str], object | Awaitable[object]]


def check_callback(progress_callback: object) -> None:
    """Refuse what cannot be called."""
    if progress_callback is not None and not callable(progress_callback):
        raise ValidationError(f"progress_callback must be callable as (done, total, path), got {describe(progress_callback)}")


def results_of(steps: Generator[Step, None, None], progress_callback: ProgressCallback | None) -> Iterator[dict[str, Any]]:
    """Take the steps, and give each file once it is stored."""
    for step in steps:
        if progress_callback is not None and step.path:
            progress_callback(step.done, step.total, step.path)
        yield from step.results


async def results_async(
    steps: Generator[Step, None, None], progress_callback: AsyncProgressCallback | None
) -> list[dict[str, Any]]:
    """Take the steps in the thread pool and return all files; when cancelled, stop within one step."""
    import asyncio  # noqa: PLC0415 - who searches without a loop need not wait for it

    results: list[dict[str, Any]] = []
    under_way: asyncio.Future[Step | None] | None = None
    try:
        while True:
            under_way = asyncio.ensure_future(run(next, steps, None))
            step = await _unless_cancelled(under_way)
            if step is None:
                return results
            results += step.results
            if progress_callback is not None and step.path:
                outcome = progress_callback(step.done, step.total, step.path)
                if inspect.isawaitable(outcome):
                    await outcome
    finally:
        if under_way is None or under_way.done():
            steps.close()
        else:  # cancelled twice
            under_way.add_done_callback(lambda _: steps.close())


async def _unless_cancelled(under_way: "asyncio.Future[Step | None]") -> Step | None:
    """Wait for a step; when cancelled meanwhile, first wait for its end, since it cannot be stopped."""
    import asyncio  # noqa: PLC0415 - as above

    try:
        return await asyncio.shield(under_way)
    except asyncio.CancelledError:
        await asyncio.wait([under_way])
        raise
