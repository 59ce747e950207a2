"""What threads may rely on: every write is done once, every answer is of one moment, and closing ends everything well."""

import contextlib
import gc
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import V, W, names, rows

from anam_py import configure_ffi
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, queries, registry, tables, writer


@pytest.fixture(autouse=True)
def small_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush after a few rows, so that flushing and merging go on all the time."""
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 50)


def together(*functions: Callable[[], object]) -> None:
    """Run functions in threads; raises what any of them raised."""
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@contextlib.contextmanager
def meanwhile(*functions: Callable[[], object]) -> Iterator[None]:
    """Call functions in threads, again and again, until the block ends; raises what any of them raised."""
    stop = threading.Event()
    errors: list[BaseException] = []

    def run(function: Callable[[], object]) -> None:
        try:
            while not stop.is_set():
                function()
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


# ---- writing ----


def test_every_write_of_many_threads_is_done_once(store: HTMCore) -> None:
    def write(name: int) -> None:
        for number in range(60):
            store.store_embedding("shared", V, {"by": name, "n": number})
            store.store_embedding(f"own {name}", V, {"n": number}, text=f"word {number}")
            if number % 10 == name:
                assert store.delete(f"own {name}")

    together(*(lambda name=name: write(name) for name in range(8)))
    history = store.history("shared")
    assert [version["version"] for version in history] == list(range(1, 481))
    for name in range(8):
        assert [version["metadata"]["n"] for version in history if version["metadata"]["by"] == name] == list(range(60))
        assert [version["metadata"]["n"] for version in store.history(f"own {name}")] == list(range(60))
    assert len(store) == 9 == len(store.search_similar(V, 100))


@pytest.mark.parametrize("hybrid", [False, True])
def test_a_search_by_words_remembers_nothing_that_was_overwritten_meanwhile(
    store: HTMCore, monkeypatch: pytest.MonkeyPatch, hybrid: bool
) -> None:
    store.store_embedding("key", V, {"n": 1}, text="word")
    store.clear_cache()
    lexical = queries._lexical

    def slow(*arguments: Any) -> list[tuple[int, float]]:
        found = lexical(*arguments)  # of the moment that the search goes on to read
        together(lambda: store.store_embedding("key", W, {"n": 2}, text="word"))
        return found

    with monkeypatch.context() as patch:
        patch.setattr(queries, "_lexical", slow)
        store.search_hybrid("word", V) if hybrid else store.search_text("word")
    record = store.get_embedding("key")
    assert record is not None
    assert record["metadata"]["n"] == 2


def test_a_thread_reads_what_it_has_written(store: HTMCore) -> None:
    def write(name: int) -> None:
        key = f"key {name}"
        for number in range(80):
            vector = np.array([name + 1, number, 1, 0], np.float32)
            store.store_embedding(key, vector, {"n": number}, text=f"word{name} n{number}")
            record = store.get_embedding(key)
            assert record is not None
            assert (record["metadata"], record["version"]) == ({"n": number}, number + 1)
            assert store.get_text(key) == f"word{name} n{number}"
            assert (key, 1.0, number + 1) in [
                (key, round(score, 9), hit["version"]) for key, score, hit in store.search_similar(vector, 50)
            ]
            if number % 5 == 0:
                assert key in names(store.search_text(f"n{number}", 50))

    together(*(lambda name=name: write(name) for name in range(4)))


def test_deletes_of_one_key_by_many_threads_count_once(store: HTMCore) -> None:
    found: list[bool] = []
    for number in range(20):
        store.store_embedding("a", V, {})
        together(*[lambda: found.append(store.delete("a"))] * 6)
        assert found.count(True) == number + 1


def test_a_write_that_fails_does_not_fail_those_it_shares_a_transaction_with(
    store: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexed = tables.text.indexed

    def failing(key: str, text: str) -> tuple[str, str]:
        if text == "bad":
            raise RuntimeError("this text cannot be indexed")
        return indexed(key, text)

    monkeypatch.setattr(tables.text, "indexed", failing)
    outcomes: dict[int, str] = {}
    store.store_embedding("old", V, {"old": True})
    deleted: list[int] = []

    def put(number: int) -> None:
        try:
            store.store_embedding(f"key {number}", V, {"n": number}, text="bad" if number % 3 == 0 else "good")
        except RuntimeError:
            outcomes[number] = "failed"
        else:
            outcomes[number] = "stored"

    engine = store._writing()
    putting = [threading.Thread(target=put, args=(number,)) for number in range(12)]
    putting.insert(0, threading.Thread(target=lambda: deleted.append(store.delete_where({"old": True}))))

    def let_them_queue() -> None:
        for thread in putting:
            thread.start()
        while engine._queue._queue.qsize() < len(putting):
            threading.Event().wait(0.001)

    engine.run(let_them_queue)
    for thread in putting:
        thread.join()
    assert deleted == [1]
    assert outcomes == {number: "stored" if number % 3 else "failed" for number in range(12)}
    assert sorted(record["metadata"]["n"] for record in store.get_embeddings(list(store))) == [
        number for number in range(12) if number % 3
    ]
    store.store_embedding("after", V, {}, text="good")
    assert [version["version"] for version in store.history("after")] == [1]


@pytest.mark.parametrize("count", [1000, 1001])
def test_an_array_that_changes_before_it_is_stored_is_stored_as_it_was_or_not_at_all(store: HTMCore, count: int) -> None:
    """As it may where a caller cancels his call and goes on with the array."""
    matrix = np.tile(V, (count, 1))
    outcome: list[str] = []

    def put() -> None:
        try:
            store.store_embeddings([f"key {i}" for i in range(count)], matrix)
        except HTMError as error:
            outcome.append(str(error))
        else:
            outcome.append("stored")

    putting = threading.Thread(target=put)
    engine = store._writing()

    def change_once_it_is_queued() -> None:
        putting.start()
        while engine._queue._queue.qsize() < 1:
            threading.Event().wait(0.001)
        matrix[count // 2] = 7

    engine.run(change_once_it_is_queued)
    putting.join()
    if outcome == ["stored"]:
        assert {record["embedding"]["values"].tobytes() for record in store.get_embeddings(list(store))} == {V.tobytes()}
        assert len(store) == count
    else:
        assert "changed while it was being stored" in outcome[0]
        assert len(store) == len(store.search_similar(V, 2000)) == 0
    assert store.stats()["quarantined"] == []


# ---- reading while others write ----


def test_a_reader_never_sees_a_key_go_back(store: HTMCore) -> None:
    keys = [f"key {i}" for i in range(5)]
    for key in keys:
        store.store_embedding(key, V, {"n": 0})
    last = threading.local()

    def look() -> None:
        seen = last.__dict__.setdefault("seen", dict.fromkeys(keys, 0))
        key = random.choice(keys)
        record = store.get_embedding(key)
        assert record is not None
        assert record["version"] == record["metadata"]["n"] + 1
        assert record["embedding"]["values"][0] == 1 + record["metadata"]["n"]
        assert record["version"] >= seen[key]
        seen[key] = record["version"]
        for key, _, record in store.search_similar(V, 10, -1):
            assert record["version"] >= seen[key]
            seen[key] = record["version"]

    with meanwhile(look, look, look):
        for number in range(1, 60):
            for key in keys:
                store.store_embedding(key, V + np.array([number, 0, 0, 0], np.float32), {"n": number})
            if number % 20 == 0:
                store.compact()
            if number % 15 == 0:
                store.clear_cache()


def test_row_37_entries_stored_together_are_seen_together(store: HTMCore, rng: np.random.Generator) -> None:
    keys = ["a", "b", "c", "d", "e"]

    def put(number: int) -> None:
        store.store_embeddings(keys, rows(rng, 5), [{"n": number}] * 5, texts=[f"word {number}"] * 5)

    def of_one_moment(records: Any) -> None:
        assert len({record["metadata"]["n"] for record in records}) == 1
        assert len(records) == 5

    def look() -> None:
        store.get_embedding(random.choice(keys))  # so that some are in the cache, and some are not
        of_one_moment(store.get_embeddings(keys))
        of_one_moment([record for _, _, record in store.search_similar(V, 10, -1)])
        of_one_moment([record for _, _, record in store.search_text("word")])
        of_one_moment([record for _, _, record in store.search_hybrid("word", V)])
        of_one_moment([record for _, _, record in store.query_by_resonance(-1)])

    put(0)
    with meanwhile(look, look):
        for number in range(1, 100):
            put(number)
            if number % 50 == 0:
                store.compact()


def test_row_37_entries_deleted_together_are_gone_together(store: HTMCore, rng: np.random.Generator) -> None:
    keys = [f"key {i}" for i in range(30)]

    def look() -> None:
        store.get_embedding(random.choice(keys))
        counts = (
            len([record for record in store.get_embeddings(keys) if record]),
            len(store.search_similar(V, 100, -1)),
            len(store.search_text("word", 100)),
            len(store.search_hybrid("word", V, 100)),
            len(store.query_by_resonance(-1)),
            len(list(store)),
            len(store),
        )
        assert set(counts) <= {0, 30}

    with meanwhile(look, look):
        for number in range(50):
            store.store_embeddings(keys, rows(rng, 30), texts=["word"] * 30)
            if number % 20 == 0:
                store.compact()
            assert store.delete_many(keys) == 30


def test_a_filter_sees_one_moment(store: HTMCore, rng: np.random.Generator) -> None:
    """Of twenty entries, ten are always chosen, though not the same ones."""
    keys = [f"key {i}" for i in range(20)]

    def put() -> None:
        chosen = rng.permutation(20) < 10
        metadata = [{"chosen": bool(choice)} for choice in chosen]
        store.store_embeddings(keys, rows(rng, 20), metadata, texts=["word"] * 20)

    def look() -> None:
        where = {"chosen": True}
        for hits in (
            store.search_similar(V, 100, -1, where=where),
            store.search_text("word", 100, where=where),
            store.search_hybrid("word", V, 100, where=where),
            *store.search_many([V, W], 100, -1, where=where),
        ):
            assert len(hits) == 10
            assert all(record["metadata"]["chosen"] for _, _, record in hits)
        assert store.count(where) == 10
        assert store.count() == 20

    put()
    with meanwhile(look, look):
        for number in range(80):
            put()
            if number % 20 == 0:
                store.compact()


def test_row_37_a_search_under_steady_writing_ends(store: HTMCore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where every attempt finds that what it saw has been replaced meanwhile."""
    store.store_embedding("a", V, {"n": 0}, text="word")
    hits, best = queries.hits, queries._best

    def overwrite() -> None:
        # From another thread, as others would; it cannot be done while commits are held back.
        writing = threading.Thread(target=store.store_embedding, args=("a", V, {"n": 1}), kwargs={"text": "word"}, daemon=True)
        writing.start()
        writing.join(0.5)

    def slow_hits(*arguments: Any) -> Any:
        overwrite()
        return hits(*arguments)

    def slow_best(*arguments: Any, **keywords: Any) -> Any:
        overwrite()
        return best(*arguments, **keywords)

    monkeypatch.setattr(queries, "hits", slow_hits)
    assert names(store.search_similar(V)) == ["a"]
    monkeypatch.setattr(queries, "hits", hits)
    monkeypatch.setattr(queries, "_best", slow_best)
    assert names(store.search_text("word")) == ["a"]
    monkeypatch.undo()
    assert store.history("a")[-1]["version"] > 5


def test_a_store_is_healthy_at_every_moment(open_store: Any, rng: np.random.Generator) -> None:
    htm = open_store(durability="normal", shard_count=2)

    def look() -> None:
        assert htm.verify() == []
        htm.stats()
        htm.get_memory_stats()

    def change() -> None:
        keys = [f"key {random.randrange(200)}" for _ in range(20)]
        htm.store_embeddings(sorted(set(keys)), np.ones((len(set(keys)), 4)))
        htm.delete_many(keys[:5])

    with meanwhile(look, change, change):
        for number in range(20):
            htm.store_embeddings([f"bulk {i}" for i in range(1001)], rows(rng, 1001))
            htm.delete_many([f"bulk {i}" for i in range(random.randrange(1001))])
            if number % 5 == 0:
                htm.compact()


def test_settings_may_change_while_the_store_is_busy(store: HTMCore) -> None:
    def put() -> None:
        store.store_embedding(f"key {random.randrange(100)}", V, {})

    def look() -> None:
        hits = store.search_similar(V, 200)
        assert len(hits) == len({key for key, _, _ in hits})

    with meanwhile(put, look):
        for number in range(100):
            configure_ffi({"thread_pool_size": 1 + number % 4, "cache_size_mb": 1 + number % 3, "memory_limit_mb": 64 + number})


# ---- opening and closing ----


def test_closing_while_others_use_the_store_loses_nothing_and_hangs_nobody(store_path: Path) -> None:
    stored: set[str] = set()
    for attempt in range(12):
        htm = HTMCore(store_path, dimension=4)
        started = threading.Barrier(5)

        def put(name: int, htm: HTMCore = htm, attempt: int = attempt, started: threading.Barrier = started) -> None:
            started.wait()
            with contextlib.suppress(HTMError):
                for number in range(10_000):
                    key = f"{attempt} {name} {number}"
                    htm.store_embedding(key, V, {})
                    stored.add(key)

        def look(htm: HTMCore = htm, started: threading.Barrier = started) -> None:
            started.wait()
            with contextlib.suppress(HTMError):
                while True:
                    htm.search_similar(W, 5, -1)
                    htm.search_text("word")
                    htm.verify()
                    htm.flush()
                    htm.compact()

        def close(htm: HTMCore = htm, attempt: int = attempt, started: threading.Barrier = started) -> None:
            started.wait()
            with contextlib.suppress(HTMError):  # the other one has closed it
                while len(htm) < len(stored) // 2 + attempt:
                    pass
            htm.close()

        together(lambda put=put: put(0), lambda put=put: put(1), look, close, close)
        with pytest.raises(HTMError, match="closed"):
            htm.get_embedding("a")
    with HTMCore(store_path) as htm:
        there = set(htm)
        assert stored <= there
        assert len(there - stored) <= 24  # what was under way
        assert htm.verify() == []


def test_handles_may_be_opened_and_closed_by_many_threads(store_path: Path) -> None:
    HTMCore(store_path, dimension=4).close()

    def use(name: int) -> None:
        for number in range(25):
            with HTMCore(store_path, dimension=4) as htm:
                htm.store_embedding(f"{name} {number}", V, {})
                assert f"{name} {number}" in htm

    def read() -> None:
        for _ in range(25):
            with HTMCore(store_path, read_only=True) as htm:
                assert len(htm.search_similar(V, 1000)) <= 75

    together(lambda: use(0), lambda: use(1), lambda: use(2), read)
    assert registry._registry.engines == {}
    with HTMCore(store_path) as htm:
        assert len(htm) == 75
        assert htm.verify() == []


def test_handles_may_be_dropped_by_any_thread(tmp_path: Path) -> None:
    """Also where the collector runs in a thread of another store."""

    def use(name: int) -> None:
        for number in range(15):
            htm = HTMCore(tmp_path / f"store {name % 2}", dimension=4)
            htm.store_embedding(f"{name} {number}", V, {})
            cycle = [htm]
            cycle.append(cycle)  # so that only the collector finds it
            del htm, cycle

    with meanwhile(lambda: gc.collect() and threading.Event().wait(0.02)):
        together(*(lambda name=name: use(name) for name in range(4)))
    gc.collect()
    registry._registry.submit(lambda: None).result()  # what was dropped before is released by then
    assert registry._registry.engines == {}
    for name in range(2):
        with HTMCore(tmp_path / f"store {name}") as htm:
            assert len(htm) == 30
            assert htm.verify() == []
