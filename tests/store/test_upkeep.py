"""Looking after a store: flushing, merging, memory, benchmarks, profiles and figures."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import V, contents, merge_in_the_background, rows, segment_files

from anam_py import configure_ffi, exceptions
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import HTMCore, benchmark, merge, tables, writer

# ---- flushing and merging ----


def test_flushing_and_compacting_change_nothing_that_can_be_asked(store: HTMCore, rng: np.random.Generator) -> None:
    for start in range(0, 60, 10):
        store.store_embeddings([f"key {i}" for i in range(start, start + 10)], rows(rng, 10), texts=["a word"] * 10)
        store.delete(f"key {start}")
        store.store_embedding("key 5", V, {"n": start})
        before = contents(store)
        store.flush()
        assert contents(store) == before
    store.compact()
    store.clear_cache()
    assert contents(store) == before
    assert store.verify() == []
    stats = store.stats()
    assert (stats["rows"], stats["dead_rows"], stats["pending_rows"]) == (len(before), 0, 0)
    assert stats["segments"] <= store.shard_count


def test_rows_move_to_segments_by_themselves_and_segments_stay_few(store: HTMCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 10)
    for number in range(400):
        store.store_embedding(f"key {number}", V, {})
    store.delete("none")  # the writer has looked after the last put once it has done this
    merge_in_the_background(store)
    stats = store.stats()
    assert stats["pending_rows"] < 20
    assert 0 < stats["segments"] <= 4 * store.shard_count
    assert len(store.search_similar(V, 1000)) == 400


def test_deletes_alone_give_space_back(open_store: Any, rng: np.random.Generator) -> None:
    store = open_store(dimension=64)
    keys = [f"key {i}" for i in range(2000)]
    store.store_embeddings(keys, rows(rng, 2000, 64))
    before = store.stats()["segment_bytes"]
    store.delete_many(keys[:1900])
    merge_in_the_background(store)
    assert store.stats()["segment_bytes"] < before / 5
    store.delete_many(keys)
    merge_in_the_background(store)
    assert (store.stats()["segments"], store.stats()["dead_rows"]) == (0, 0)
    assert segment_files(store.storage_path) == []


def test_a_catalog_that_has_grown_gives_space_back_without_a_call(
    open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    htm = open_store(dimension=1024)
    for start in range(0, 2000, 500):
        htm.store_embeddings([f"key {i}" for i in range(start, start + 500)], rows(rng, 500, 1024))
    grown = htm.stats()["catalog_bytes"]
    htm.flush()
    monkeypatch.setattr(tables, "_FREE_BYTES", 1 << 20)
    monkeypatch.setattr(tables, "_CHECKPOINT_COMMITS", 1)
    for number in range(20):
        htm.store_embedding("key", rows(rng, 1, 1024)[0], {"n": number})
    assert htm.stats()["reclaimable_bytes"] < 2 << 20
    htm.close()
    assert (htm.storage_path / "catalog.sqlite").stat().st_size < grown / 3


def test_figures_say_what_could_be_given_back(open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "choose", lambda _: [])
    htm = open_store(dimension=64)
    assert htm.stats()["fragmentation"] == 0
    keys = [f"key {i}" for i in range(2000)]
    htm.store_embeddings(keys, rows(rng, 2000, 64))
    before = htm.stats()
    htm.delete_many(keys[:1000])
    htm.create_index("n")
    after = htm.stats()
    assert after["reclaimable_bytes"] - before["reclaimable_bytes"] >= 1000 * 64 * 4
    assert 0 < after["fragmentation"] < 1
    assert (after["rows"], after["dead_rows"], after["indexes"]) == (1000, 1000, ["n"])
    htm.compact()
    assert htm.stats()["reclaimable_bytes"] == htm.stats()["fragmentation"] == 0


def test_compacting_waits_for_no_reader(store: HTMCore, rng: np.random.Generator) -> None:
    """Nor does a put that comes meanwhile; the log is emptied the next time."""
    store.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50))
    log = store.storage_path / "catalog.sqlite-wal"
    with store._engine.moment() as (_, reader):
        store.compact()
        store.store_embedding("later", V, {})
        assert log.stat().st_size > 0
        assert reader.count() == 50
    store.compact()
    assert log.stat().st_size == 0
    assert len(store) == 51


def test_segments_of_full_size_are_not_merged_further(store: HTMCore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "FULL_BYTES", 6000)
    monkeypatch.setattr(merge, "LARGEST_BYTES", 12000)
    for number in range(100):
        store.store_embedding(f"key {number}", V, {"padding": "x" * 200})
        if number % 5 == 0:
            store.flush()
    store.compact()
    assert store.stats()["segments"] > store.shard_count
    assert max(path.stat().st_size for path in segment_files(store.storage_path)) <= 16000
    assert len(store.search_similar(V, 1000)) == 100


# ---- looking after it ----


def test_memory_stats_are_integers_that_follow_what_happens(store: HTMCore, rng: np.random.Generator) -> None:
    def stats() -> dict[str, int]:
        found = store.get_memory_stats()
        assert all(type(value) is int for value in found.values())
        assert (found["used"], found["total"]) == (found["used_bytes"], found["limit_bytes"])
        assert found["used_bytes"] == found["cache_bytes"] + found["pending_bytes"]
        return found

    assert stats()["used_bytes"] == stats()["mapped_bytes"] == 0
    assert stats()["limit_bytes"] == 2048 << 20
    store.store_embeddings([f"key {i}" for i in range(100)], rows(rng, 100))
    assert stats()["pending_bytes"] >= 1600
    store.get_embeddings(list(store))
    assert stats()["cache_entries"] == 100
    assert stats()["cache_bytes"] > 1600
    store.clear_cache()
    assert (stats()["cache_entries"], stats()["cache_bytes"]) == (0, 0)
    assert stats()["pending_bytes"] >= 1600
    store.get_embeddings(list(store))
    store.garbage_collect()
    assert (stats()["cache_bytes"], stats()["pending_bytes"]) == (0, 0)
    assert stats()["mapped_bytes"] >= 1600
    configure_ffi({"memory_limit_mb": 512})
    assert stats()["limit_bytes"] == 512 << 20


@pytest.mark.parametrize("aggressive", [False, True])
def test_garbage_collection_loses_nothing(store: HTMCore, rng: np.random.Generator, aggressive: bool) -> None:
    store.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50), texts=["word"] * 50)
    store.delete_many([f"key {i}" for i in range(40)])
    before = contents(store)
    store.garbage_collect(aggressive)
    assert contents(store) == before
    assert store.stats()["pending_rows"] == 0


def test_the_record_cache_stays_within_its_size(store: HTMCore, rng: np.random.Generator) -> None:
    configure_ffi({"cache_size_mb": 1})
    keys = [f"key {i}" for i in range(2000)]
    store.store_embeddings(keys, rows(rng, 2000), [{"padding": "x" * 1000}] * 2000)
    for key in keys:
        store.get_embedding(key)
    stats = store.get_memory_stats()
    assert 0 < stats["cache_bytes"] <= 1 << 20
    assert 0 < stats["cache_entries"] < 2000
    record = store.get_embedding(keys[-1])
    assert record is not None
    assert record["metadata"] == {"padding": "x" * 1000}


def test_row_41_at_the_memory_limit_the_store_flushes_and_refuses_only_what_cannot_fit(open_store: Any) -> None:
    htm = open_store(dimension=65_536)
    configure_ffi({"memory_limit_mb": 128})
    vector = np.ones((1, 65_536), np.float32)
    htm.store_embeddings([f"a {i}" for i in range(400)], np.tile(vector, (400, 1)))  # 100 MB
    htm.store_embeddings([f"b {i}" for i in range(400)], np.tile(vector, (400, 1)))
    with pytest.raises(exceptions.MemoryError, match="memory_limit_mb"):
        htm.store_embeddings([f"c {i}" for i in range(600)], np.broadcast_to(vector, (600, 65_536)))
    assert len(htm) == 800
    assert htm.get_memory_stats()["used_bytes"] <= 128 << 20
    with pytest.raises(MemoryError):  # it is the built-in one, too
        htm.store_embeddings([f"c {i}" for i in range(600)], np.broadcast_to(vector, (600, 65_536)))


PUTS = int(os.environ.get("ANAM_TEST_PUTS", "20000"))


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_row_41_single_puts_leave_few_pending_rows_and_a_short_log(
    open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, record_property: Callable[[str, int], None]
) -> None:
    rows_at_most = max(1_000, PUTS // 16)
    monkeypatch.setattr(writer, "_FLUSH_ROWS", rows_at_most)
    htm = open_store(durability="normal")
    vectors = rows(rng, 1000)
    pending = log = 0

    def put(thread: int) -> None:
        for i in range(thread, PUTS, 8):
            htm.store_embedding(f"key {i}", vectors[i % 1000], {"n": i})

    threads = [threading.Thread(target=put, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(0.02)
        pending = max(pending, htm.stats()["pending_rows"])
        log = max(log, (htm.storage_path / "catalog.sqlite-wal").stat().st_size)
    assert 0 < pending <= rows_at_most + 1_024
    assert log < 64 << 20
    assert len(htm) == PUTS
    assert len(htm.search_similar(V, 5, -1)) == 5
    htm.compact()
    assert (htm.storage_path / "catalog.sqlite-wal").stat().st_size == 0
    record_property("single puts by eight threads", PUTS)


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (400 << 20, 400 << 20))
import numpy as np
from anam_py import HTMCore
count = 20_000
rng = np.random.default_rng(0)
rows = np.empty((count, 768), np.float32)
with HTMCore(sys.argv[1]) as htm:
    for start in range(0, 3 * count, count):
        rng.standard_normal(dtype=np.float32, out=rows)
        htm.store_embeddings([f"key {i}" for i in range(start, start + count)], rows)
    assert htm.search_similar(rows[7], 1)[0][0] == f"key {2 * count + 7}"
    htm.compact()
with HTMCore(sys.argv[1], read_only=True) as htm:
    assert htm.search_similar(rows[7], 1)[0][0] == f"key {2 * count + 7}"
    print(len(htm))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on anonymous memory")
def test_row_41_a_store_is_filled_searched_and_merged_within_a_limit_on_memory(store_path: Path) -> None:
    """Of 184 MB of rows the caller holds 61 at a time; interpreter, NumPy and threads take some 150 of the 400."""
    ended = subprocess.run([sys.executable, "-c", LIMITED, store_path], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "60000\n"), ended.stderr


def test_benchmarking_measures_and_leaves_the_store_as_it_was(store: HTMCore, store_path: Path) -> None:
    store.store_embedding("a", V, {}, text="word")
    before, files = contents(store), sorted(store_path.rglob("*"))
    found = store.benchmark_operations(20)
    assert found["num_operations"] == 20
    for name in ("store_ops_per_sec", "retrieve_ops_per_sec", "search_ops_per_sec"):
        assert type(found[name]) is float
        assert found[name] > 0
    assert (contents(store), sorted(store_path.rglob("*"))) == (before, files)


@pytest.mark.parametrize("bad", [0, -1, 1.5, "10", None, True])
def test_benchmarking_less_than_one_operation_is_refused(store: HTMCore, bad: Any) -> None:
    with pytest.raises(ValidationError, match="num_operations"):
        store.benchmark_operations(bad)


def test_a_benchmark_that_fails_leaves_nothing_behind(store: HTMCore, store_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = sorted(store_path.rglob("*"))

    def fail(htm: HTMCore, count: int) -> None:
        raise HTMError(f"{count} operations in {htm} failed")

    monkeypatch.setattr(benchmark, "operations_per_second", fail)
    with pytest.raises(HTMError, match="3 operations"):
        store.benchmark_operations(3)
    assert sorted(store_path.rglob("*")) == files


def test_profiling_measures_operations_while_it_is_on(store: HTMCore) -> None:
    store.store_embedding("a", V, {})
    assert store.get_profiling_data() == {}
    store.enable_profiling()
    for _ in range(3):
        store.search_similar(V)
    store.enable_profiling(False)
    store.search_similar(V)
    data = store.get_profiling_data()["search_similar"]
    assert data["count"] == 3
    assert data["min_duration_ms"] <= data["p50_duration_ms"] <= data["max_duration_ms"] <= data["total_duration_ms"]
    assert {"avg_duration_ms", "p95_duration_ms", "p99_duration_ms"} <= set(data)


def test_stats_say_what_the_store_holds(store: HTMCore, rng: np.random.Generator) -> None:
    store.store_embeddings(["a", "b", "c"], rows(rng, 3), texts=["x", "y", None])
    store.store_embedding("a", V, {})
    stats = store.stats()
    expected = {"dimension": 4, "shards": 4, "durability": "full", "rows": 3, "texts": 1, "superseded_versions": 1}
    assert expected.items() <= stats.items()
    assert (stats["missing_segments"], stats["quarantined"], stats["background_error"]) == ([], [], None)
    assert stats["catalog_bytes"] > 0
    store.compact()
    stats = store.stats()
    assert (stats["pending_rows"], stats["dead_rows"], stats["segments"]) == (0, 0, len(segment_files(store.storage_path)))
    assert stats["segment_bytes"] == sum(path.stat().st_size for path in segment_files(store.storage_path))
