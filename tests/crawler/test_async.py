"""Crawling in the event loop: progress, cancelling, and that the loop is never held."""

import asyncio
import inspect
import threading
from pathlib import Path

import pytest
from trees import make_tree

from anam_py import CodeBaseCrawler, CrawlerError, HTMCore, configure_ffi
from anam_py.crawler import analysts, batch


def files(count: int) -> dict[str, str]:
    return {f"{number:03}.py": f"def f{number}():\n    return {number}\n" for number in range(count)}


async def test_it_gives_what_the_sync_form_gives(tree: Path, tmp_path: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, files(5))
    results = await crawler.crawl_directory_async(".", ["*.py"], ["004*"])
    with HTMCore(tmp_path / "other") as htm:
        expected = CodeBaseCrawler(htm, symbols=True).crawl_directory(".", ["*.py"], ["004*"])
    assert [result["path"] for result in results] == ["000.py", "001.py", "002.py", "003.py"]
    for ours, theirs in zip(results, expected, strict=True):
        assert (ours.pop("embedding") == theirs.pop("embedding")).all()
        assert ours == theirs
    assert inspect.iscoroutinefunction(crawler.crawl_directory_async)


async def test_progress_is_called_in_the_loop_plain_or_async(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, files(3))
    plain: list[tuple[int, int, str]] = []
    awaited: list[tuple[int, int, str]] = []

    def callback(done: int, total: int, path: str) -> None:
        assert threading.current_thread() is threading.main_thread()
        plain.append((done, total, path))

    async def async_callback(done: int, total: int, path: str) -> None:
        await asyncio.sleep(0)
        awaited.append((done, total, path))

    await crawler.crawl_directory_async(".", progress_callback=callback)
    await crawler.crawl_directory_async(".", progress_callback=async_callback)
    assert plain == awaited == [(1, 3, "000.py"), (2, 3, "001.py"), (3, 3, "002.py")]


async def test_a_callback_may_use_the_store_although_the_pool_has_one_thread(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    make_tree(tree, files(3))
    configure_ffi({"thread_pool_size": 1})

    async def callback(done: int, total: int, path: str) -> None:
        await htm.get_embedding_async(path)

    results = await asyncio.wait_for(crawler.crawl_directory_async(".", progress_callback=callback), 30)
    assert len(results) == 3


async def test_the_loop_goes_on_meanwhile(tree: Path, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, files(50))
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    await crawler.crawl_directory_async(".")
    ticking.cancel()
    assert ticks > 50


@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_an_exception_in_the_callback_stops_the_crawl(
    kind: str, tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    make_tree(tree, files(10))

    def failing(done: int, total: int, path: str) -> None:
        if done == 4:
            raise LookupError(path, total)

    async def failing_later(done: int, total: int, path: str) -> None:
        failing(done, total, path)

    with pytest.raises(LookupError):
        await crawler.crawl_directory_async(".", progress_callback=failing if kind == "plain" else failing_later)
    assert htm.verify() == []
    assert not crawler.last_report.complete
    results = await crawler.crawl_directory_async(".")
    assert len(results) == 10


async def test_cancelling_stops_within_one_file_and_leaves_the_store_whole(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "_MAX_ROWS", 6)
    make_tree(tree, files(200))
    taken: list[str] = []
    reached = asyncio.Event()
    loop = asyncio.get_running_loop()
    analyse = analysts.analyse

    def watched(data: bytes, mtime: float, key: str, *rest: object) -> object:
        taken.append(key)
        if len(taken) == 20:
            loop.call_soon_threadsafe(reached.set)
        return analyse(data, mtime, key, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(analysts, "analyse", watched)
    crawling = asyncio.create_task(crawler.crawl_directory_async("."))
    await reached.wait()
    before = len(taken)
    crawling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await crawling
    assert len(taken) <= before + 1
    stopped = len(taken)
    await asyncio.sleep(0.05)
    assert len(taken) == stopped
    assert htm.verify() == []
    stored = len([key for key in htm if "::" not in key])
    assert 0 < stored < 200
    monkeypatch.undo()
    monkeypatch.chdir(tree)
    report = crawler.index(".")
    assert (report.new, report.unchanged) == (200 - stored, stored)


async def test_cancelling_twice_and_timeouts_do_no_harm(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    make_tree(tree, files(50))
    crawling = asyncio.create_task(crawler.crawl_directory_async("."))
    await asyncio.sleep(0.01)
    crawling.cancel()
    await asyncio.sleep(0)
    crawling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await crawling
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(crawler.crawl_directory_async("."), 0.01)
    await crawler.crawl_directory_async(".")
    assert len(htm) == 100
    assert htm.verify() == []


async def test_refusals_are_raised_when_it_is_awaited(tree: Path, crawler: CodeBaseCrawler) -> None:
    with pytest.raises(CrawlerError, match="there is no directory"):
        await crawler.crawl_directory_async(str(tree / "missing"))
