"""Handles: opening, closing, sharing, where a store may lie, and the async forms."""

import asyncio
import gc
import logging
import math
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import V, W, contents, names, rows

from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import HTMCore, recovery, registry

# ---- opening and closing ----


def test_what_was_stored_is_there_after_reopening(open_store: Any, rng: np.random.Generator) -> None:
    with open_store(shard_count=3) as htm:
        htm.store_embeddings([f"bulk {i}" for i in range(1200)], rows(rng, 1200))
        htm.delete_many([f"bulk {i}" for i in range(1150)])
        htm.store_embeddings(["a", "b"], rows(rng, 2), [{"n": 1}, {"n": 2}], texts=["one", None])
        htm.flush()
        htm.store_embeddings(["a", "c"], rows(rng, 2), texts=[None, "two"])
        before = contents(htm)
    assert contents(open_store()) == before


def test_reopening_without_closing_finds_everything(open_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    htm = open_store()
    htm.store_embedding("a", V, {}, text="word")
    monkeypatch.setattr(htm._engine, "_flush", lambda: pytest.fail("flushed"))
    before = contents(htm)
    htm._engine._last_flush.function = lambda: None
    htm.close()
    again = open_store()
    assert again.stats()["pending_rows"] == 1
    assert contents(again) == before


def test_a_context_manager_closes_also_after_an_error(store_path: Path) -> None:
    def fail() -> None:
        with htm:
            htm.store_embedding("a", V, {})
            raise ZeroDivisionError

    htm = HTMCore(store_path, dimension=4)
    with pytest.raises(ZeroDivisionError):
        fail()
    assert htm.closed
    with HTMCore(store_path) as htm:
        assert list(htm) == ["a"]
        assert htm.verify() == []


async def test_an_async_context_manager_closes_too_and_keeps_what_was_stored(store_path: Path) -> None:
    async with HTMCore(store_path, dimension=4) as store:
        await store.store_embedding_async("a", V, {})
    assert store.closed
    with pytest.raises(HTMError, match="closed"):
        async with store:
            pass
    with HTMCore(store_path) as store:
        assert "a" in store


def test_row_18_closing_twice_is_fine_and_flushes(store_path: Path) -> None:
    htm = HTMCore(store_path, dimension=4)
    htm.store_embedding("a", V, {})
    htm.close()
    htm.close()
    assert htm.closed
    assert len(list(store_path.glob("shard-*/seg-*.h5"))) == 1


CALLS = {
    "store_embedding": lambda htm: htm.store_embedding("a", V, {}),
    "store_embeddings": lambda htm: htm.store_embeddings(["a"], [V]),
    "get_embedding": lambda htm: htm.get_embedding("a"),
    "get_embeddings": lambda htm: htm.get_embeddings(["a"]),
    "get_text": lambda htm: htm.get_text("a"),
    "history": lambda htm: htm.history("a"),
    "delete": lambda htm: htm.delete("a"),
    "delete_many": lambda htm: htm.delete_many(["a"]),
    "flush": lambda htm: htm.flush(),
    "compact": lambda htm: htm.compact(),
    "keys": lambda htm: htm.keys(),
    "iter": iter,
    "len": len,
    "in": lambda htm: "a" in htm,
    "with": lambda htm: htm.__enter__(),
    "search_similar": lambda htm: htm.search_similar(V),
    "search_text": lambda htm: htm.search_text("a"),
    "search_hybrid": lambda htm: htm.search_hybrid("a", V),
    "calculate_resonance": lambda htm: htm.calculate_resonance(V, V),
    "query_by_resonance": lambda htm: htm.query_by_resonance(0.5),
    "get_memory_stats": lambda htm: htm.get_memory_stats(),
    "garbage_collect": lambda htm: htm.garbage_collect(),
    "clear_cache": lambda htm: htm.clear_cache(),
    "benchmark_operations": lambda htm: htm.benchmark_operations(1),
    "stats": lambda htm: htm.stats(),
    "verify": lambda htm: htm.verify(),
}
WRITES = {"store_embedding", "store_embeddings", "delete", "delete_many", "flush", "compact"}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_row_18_using_a_closed_handle_is_an_error_that_says_so(store_path: Path, call: Any) -> None:
    htm = HTMCore(store_path, dimension=4)
    htm.close()
    with pytest.raises(HTMError, match="closed"):
        call(htm)


def test_a_closed_handle_still_says_what_it_was(store_path: Path) -> None:
    htm = HTMCore(store_path, 2, dimension=4)
    assert "open" in repr(htm)
    htm.close()
    assert (htm.storage_path, htm.dimension, htm.shard_count, htm.read_only) == (store_path, 4, 2, False)
    assert "closed" in repr(htm)
    assert htm.get_profiling_data() == {}


def test_a_handle_that_is_dropped_releases_the_store(store_path: Path) -> None:
    htm = HTMCore(store_path, dimension=4)
    htm.store_embedding("a", V, {})
    del htm
    gc.collect()
    registry._registry.submit(lambda: None).result()  # what was dropped before is released by then
    assert registry._registry.engines == {}
    with HTMCore(store_path, durability="normal") as htm:  # which would be a conflict while the store is open
        assert list(htm) == ["a"]
        assert htm.verify() == []


COLLECTED = """
import gc, sys
from anam_py.store import HTMCore

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "h5py._hl.dataset":
            gc.collect()
            print("collected")

sys.meta_path.insert(0, Finder())
gc.disable()
htm = HTMCore(sys.argv[1], dimension=4)
htm.store_embedding("a", [1, 2, 3, 4], {})
cycle = [htm]
cycle.append(cycle)
del htm, cycle
import h5py
"""


def test_a_handle_may_be_collected_where_locks_are_held_that_closing_needs(store_path: Path) -> None:
    """As that of the import of h5py, which flushing waits for."""
    command = [sys.executable, "-c", COLLECTED, store_path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "collected\n", "")
    with HTMCore(store_path) as htm:
        assert list(htm) == ["a"]
        assert htm.verify() == []


def test_row_16_handles_on_one_path_share_what_they_know(open_store: Any, store_path: Path) -> None:
    first, second = open_store(), open_store()
    (store_path.parent / "link").symlink_to(store_path)
    third = open_store(store_path.parent / "link")
    first.store_embedding("a", V, {})
    assert list(second) == list(third) == ["a"]
    first.close()
    second.store_embedding("b", V, {})
    assert list(third) == ["a", "b"]
    with pytest.raises(HTMError, match="closed"):
        first.get_embedding("a")


def test_a_conflicting_durability_is_refused(open_store: Any) -> None:
    htm = open_store(durability="normal")
    with pytest.raises(HTMError, match="'normal'"):
        open_store(durability="full")
    htm.store_embedding("a", V, {})
    htm.close()
    assert list(open_store(durability="full")) == ["a"]


def test_a_read_only_handle_reads_and_refuses_to_write(open_store: Any) -> None:
    writing = open_store()
    writing.store_embedding("a", V, {}, text="word")
    for beside_the_writer in (True, False):
        if not beside_the_writer:
            writing.close()
        reading = open_store(read_only=True)
        assert reading.read_only
        for name, call in CALLS.items():
            if name in WRITES:
                with pytest.raises(HTMError, match="read_only"):
                    call(reading)
            else:
                call(reading)
        assert names(reading.search_similar(V)) == names(reading.search_text("word")) == ["a"]
        reading.close()


def test_a_reader_opened_first_sees_what_a_later_writer_commits(open_store: Any) -> None:
    open_store().close()
    reading = open_store(read_only=True)
    assert len(reading) == 0
    writing = open_store()
    for number in range(5):
        writing.store_embedding(f"key {number}", V, {"n": number})
        assert len(reading) == number + 1
        assert len(reading.search_similar(V)) == number + 1
        writing.flush()
        assert len(reading.search_similar(V)) == number + 1
    writing.close()
    assert len(reading) == 5


def test_reading_what_is_not_there_is_an_error_and_creates_nothing(store_path: Path) -> None:
    with pytest.raises(HTMError, match="no store"):
        HTMCore(store_path, read_only=True)
    assert not store_path.exists()
    store_path.mkdir()
    with pytest.raises(HTMError, match="no store"):
        HTMCore(store_path, read_only=True)
    assert list(store_path.iterdir()) == []


def test_row_21_an_existing_store_keeps_its_shards_and_says_so(open_store: Any, caplog: pytest.LogCaptureFixture) -> None:
    open_store(shard_count=7).close()
    with caplog.at_level(logging.INFO, "anam_py.store"):
        assert open_store(shard_count=3).shard_count == 7
    assert "7 shards" in caplog.text


def test_an_existing_store_keeps_its_dimension_and_refuses_another(open_store: Any) -> None:
    open_store(dimension=5).close()
    with pytest.raises(HTMError, match="dimension 5, not 6"):
        open_store(dimension=6)
    assert open_store().dimension == open_store(dimension=5).dimension == 5
    with pytest.raises(HTMError, match="dimension 5, not 4"):
        open_store(dimension=4)


def test_a_new_store_has_768_dimensions_and_4_shards(store_path: Path) -> None:
    with HTMCore(store_path) as htm:
        assert (htm.dimension, htm.shard_count) == (768, 4)
        htm.store_embedding("a", np.ones(768), {})
        assert htm.verify() == []


@pytest.mark.parametrize("dimension", [1, 2, 17, 768, 65_536])
@pytest.mark.parametrize("shards", [1, 4_096])
def test_any_shape_of_store_works(open_store: Any, rng: np.random.Generator, dimension: int, shards: int) -> None:
    htm = open_store(shard_count=shards, dimension=dimension)
    vectors = rows(rng, 3, dimension)
    htm.store_embeddings(["a", "b", "c"], vectors)
    htm.compact()
    assert [record["embedding"]["values"].tobytes() for record in htm.get_embeddings(["a", "b", "c"])] == [
        vector.tobytes() for vector in vectors
    ]
    (hit,) = htm.search_similar(vectors[1], 1)
    assert hit[0] == "b" or dimension == 1
    assert hit[1] == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize("value", [0, -1, 4_097, 1.5, "4", None, True, [4]])
def test_row_21_a_shard_count_out_of_range_is_refused(store_path: Path, value: Any) -> None:
    with pytest.raises(ValidationError, match="shard_count"):
        HTMCore(store_path, value)
    assert not store_path.exists()


@pytest.mark.parametrize("value", [0, -1, 65_537, 1.5, "4", True])
def test_a_dimension_out_of_range_is_refused(store_path: Path, value: Any) -> None:
    with pytest.raises(ValidationError, match="dimension"):
        HTMCore(store_path, dimension=value)
    assert not store_path.exists()


@pytest.mark.parametrize("value", ["off", "", None, 1])
def test_an_unknown_durability_is_refused(store_path: Path, value: Any) -> None:
    with pytest.raises(ValidationError, match="durability"):
        HTMCore(store_path, durability=value)
    assert not store_path.exists()


# ---- where a store is ----


@pytest.mark.parametrize(
    "name", ["with space", "a?b#c%20d&e=f", "quote'\"`", "\u00e9\U0001f600", "new\nline", "file:x", "~", "a" * 200]
)
def test_row_20_any_name_of_a_folder_will_do(tmp_path: Path, open_store: Any, name: str) -> None:
    htm = open_store(tmp_path / name / "missing" / "store")
    htm.store_embedding("a", V, {}, text="word")
    htm.compact()
    htm.close()
    assert list(open_store(tmp_path / name / "missing" / "store")) == ["a"]
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert list(open_store(tmp_path / name / "missing" / "store", read_only=True)) == ["a"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has names that are not UTF-8")
def test_row_20_a_folder_name_that_is_not_utf8_will_do(tmp_path: Path, open_store: Any) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe store"))
    htm = open_store(path)
    htm.store_embedding("a", V, {})
    htm.compact()
    htm.close()
    htm = open_store(path)
    assert htm.search_similar(V)[0][0] == "a"
    assert open_store(path, read_only=True).stats()["rows"] == 1


def test_any_path_like_will_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PathLike:
        def __fspath__(self) -> str:
            return "relative/path"

    monkeypatch.chdir(tmp_path)
    with HTMCore(PathLike(), dimension=4) as htm, HTMCore("./relative/../relative/path") as same:
        assert htm.storage_path == same.storage_path == tmp_path / "relative" / "path"
        htm.store_embedding("a", V, {})
        assert "a" in same
        assert htm.verify() == []


@pytest.mark.parametrize("bad", [None, 5, "", "a\0b", ["a"]])
def test_what_is_no_path_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="storage_path"):
        HTMCore(bad)


def test_row_20_a_path_that_cannot_be_a_folder_is_an_error_that_says_why(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("mine")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in (file, file / "below", tmp_path / "loop", tmp_path / "loop" / "below", tmp_path / ("x" * 300)):
        for read_only in (False, True):
            with pytest.raises(HTMError, match=path.name[:50]):
                HTMCore(path, dimension=4, read_only=read_only)
    assert file.read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "loop"}


@pytest.mark.skipif(os.name != "posix", reason="permissions are different elsewhere")
def test_only_the_owner_may_read_a_store(tmp_path: Path, open_store: Any) -> None:
    umask = os.umask(0o002)
    try:
        htm = open_store(tmp_path / "missing" / "store")
        htm.store_embedding("a", V, {})
        htm.flush()
        htm.store_embedding("b", V, {})
        modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "missing").rglob("*")}
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "missing").stat().st_mode) == 0o700
    assert {path.name: oct(mode) for path, mode in modes.items() if mode & 0o077} == {}
    assert {oct(mode) for path, mode in modes.items() if path.suffix == ".h5"} == {"0o400"}


def test_a_store_may_lie_in_the_folder_of_another(tmp_path: Path, open_store: Any) -> None:
    outer = open_store(tmp_path / "data")
    inner = open_store(tmp_path / "data" / "htm", dimension=3)
    outer.store_embedding("outer", V, {})
    inner.store_embedding("inner", [1, 2, 3], {})
    for htm in (outer, inner):
        htm.compact()
        assert htm.verify() == []
        htm.close()
    assert list(open_store(tmp_path / "data")) == ["outer"]
    assert list(open_store(tmp_path / "data" / "htm")) == ["inner"]


def test_files_that_are_not_ours_are_left_alone(store_path: Path, open_store: Any) -> None:
    store_path.mkdir()
    foreign = [
        store_path / name
        for name in (
            "notes.txt",
            "LOCK.txt",
            "seg-1-00000000.h5",
            "anam.json.bak",
            "shard-1/seg-1-00000000.h5",
            "x/y",
            "catalog.db",
        )
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.name)
    (store_path / "shard-0001").symlink_to(store_path / "shard-1")
    for _ in range(2):
        htm = open_store(shard_count=1)
        htm.store_embedding("a", V, {})
        assert htm.verify() == []
        htm.compact()
        htm.close()
    shard_file = store_path / "shard-0000" / "mine.txt"
    shard_file.write_text("mine.txt")
    open_store().compact()
    assert [path.read_text() for path in (*foreign, shard_file)] == [path.name for path in (*foreign, shard_file)]
    assert not (store_path / "quarantine").exists()


def test_a_network_file_system_is_refused_unless_it_is_allowed(
    store_path: Path, monkeypatch: pytest.MonkeyPatch, open_store: Any
) -> None:
    kind = recovery._file_system(store_path.parent)
    if not kind:
        pytest.skip("the type of this file system is not known")
    monkeypatch.setattr(recovery, "_NETWORK", {kind})
    for read_only in (False, True):
        with pytest.raises(HTMError, match="network"):
            open_store(read_only=read_only)
    monkeypatch.setenv("ANAM_ALLOW_NETWORK_FS", "1")
    open_store().store_embedding("a", V, {})


# ---- async ----


async def test_every_operation_has_an_async_form_that_does_the_same(store: HTMCore) -> None:
    await store.store_embedding_async("a", V, {"n": 1}, text="word")
    await store.store_embeddings_async(["b", "c"], [W, V])
    assert (await store.get_embedding_async("a"))["metadata"] == {"n": 1}
    assert len(await store.get_embeddings_async(["a", "b"])) == 2
    assert await store.get_text_async("a") == "word"
    assert len(await store.history_async("a")) == 1
    assert names(await store.search_similar_async(V)) == ["a", "c"]
    assert names(await store.search_text_async("word")) == ["a"]
    assert names(await store.search_hybrid_async("word", V))[0] == "a"
    assert names(await store.query_by_resonance_async(0.0)) == names(store.query_by_resonance(0.0))
    assert await store.delete_async("b") is True
    assert await store.delete_many_async(["c", "d"]) == 1
    await store.flush_async()
    await store.compact_async()
    await store.garbage_collect_async(aggressive=True)
    assert set(await store.benchmark_operations_async(2)) >= {"num_operations"}
    assert await store.verify_async() == []
    await store.close_async()
    with pytest.raises(HTMError, match="closed"):
        await store.get_embedding_async("a")


async def test_many_writes_at_once_are_all_kept(store: HTMCore) -> None:
    await asyncio.gather(*(store.store_embedding_async(f"key {i}", V, {"n": i}) for i in range(200)))
    assert len(store) == 200


async def test_row_38_a_cancelled_write_is_done_or_not_but_never_half(store: HTMCore) -> None:
    keys = [f"key {i}" for i in range(300)]
    for attempt in range(20):
        task = asyncio.create_task(store.store_embeddings_async(keys, np.tile(V, (300, 1)), [{"n": attempt}] * 300))
        for _ in range(attempt):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    await store.flush_async()  # whatever was still queued is done by now
    counts = {len({record["metadata"]["n"] for record in store.get_embeddings(keys) if record}), len(store) // 300}
    assert counts in ({0}, {1})
    assert len(store) in (0, 300)


async def test_errors_of_async_forms_are_those_of_the_sync_forms(store: HTMCore) -> None:
    with pytest.raises(ValidationError, match="embedding"):
        await store.store_embedding_async("a", [math.nan] * 4, {})
    with pytest.raises(TypeError):
        await store.store_embedding_async("a")  # type: ignore[call-arg]
    assert len(store) == 0


async def test_the_event_loop_runs_on_while_the_store_is_busy(store: HTMCore) -> None:
    started, finish = threading.Event(), threading.Event()
    engine = store._writing()
    waiting = asyncio.create_task(asyncio.to_thread(engine.run, lambda: (started.set(), finish.wait())))
    await asyncio.to_thread(started.wait)
    write = asyncio.create_task(store.store_embedding_async("a", V, {}))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not write.done()
    finish.set()
    await asyncio.gather(waiting, write)
    assert "a" in store
