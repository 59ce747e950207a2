"""What a filter lets through is kept from one search to the next, and is always what it lets through at that moment."""

import gc
import os
import tempfile
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from oracles import oracle_filter, oracle_search
from remote import Remote
from stores import V, W, merge_in_the_background, names, rows

from anam_py import configure_ffi
from anam_py.store import HTMCore, filters, queries, selecting, snapshot, writer
from anam_py.store.engine import ReadingEngine
from anam_py.store.snapshot import Snapshot

EXAMPLES = int(os.environ.get("ANAM_TEST_EXAMPLES", "25"))
KEYS = [f"key {i}" for i in range(12)]
METADATA = st.fixed_dictionaries({"n": st.integers(0, 3), "kind": st.sampled_from(["class", "function"])})
WHERE = st.sampled_from(
    [
        {"n": 1},
        {"n": {"$gte": 1, "$lt": 3}},
        {"kind": "class"},
        {"kind": {"$ne": "class"}, "n": {"$in": [0, 2]}},
        {"gone": {"$exists": True}},
        {"n": {"$exists": True}},
    ]
)
CONDITION = filters.condition({"chosen": True})


class Searched(RuleBasedStateMachine):
    """A store that is searched with few filters between changes of all kinds, against a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "store")
        self.htm = HTMCore(self.path, shard_count=2, dimension=4, durability="normal")
        self.reading = ReadingEngine(self.path)
        self.model: dict[str, tuple[Any, Any]] = {}
        self.rng = np.random.default_rng(0)

    @rule(keys=st.lists(st.sampled_from(KEYS), min_size=1, unique=True), data=st.data())
    def put(self, keys: list[str], data: st.DataObject) -> None:
        metadata = [data.draw(METADATA) for _ in keys]
        matrix = rows(self.rng, len(keys))
        self.htm.store_embeddings(keys, matrix, metadata, texts=["word"] * len(keys))
        self.model |= zip(keys, zip(matrix, metadata, strict=True), strict=True)

    @rule(keys=st.lists(st.sampled_from(KEYS), max_size=3, unique=True), purge=st.booleans())
    def delete(self, keys: list[str], purge: bool) -> None:
        self.htm.delete_many(keys, purge=purge)
        self.model = {key: value for key, value in self.model.items() if key not in keys}

    @rule(where=WHERE)
    def delete_where(self, where: dict[str, Any]) -> None:
        self.htm.delete_where(where)
        self.model = {key: value for key, value in self.model.items() if not oracle_filter(value[1], where)}

    @rule(name=st.sampled_from(["flush", "compact", "clear_cache", "prune_history", "merge", "index", "reopen"]))
    def look_after(self, name: str) -> None:
        if name == "merge":
            merge_in_the_background(self.htm)
        elif name == "index":
            self.htm.create_index("n")
        elif name == "reopen":
            self.htm.close()
            self.htm = HTMCore(self.path)
        elif name == "prune_history":
            self.htm.prune_history(1)
        else:
            getattr(self.htm, name)()

    @rule(where=WHERE, limit=st.sampled_from([2, 100]))
    def search(self, where: dict[str, Any], limit: int) -> None:
        chosen = {key: vector for key, (vector, metadata) in self.model.items() if oracle_filter(metadata, where)}
        wanted = oracle_search(chosen, V, limit)
        assert {hit[0] for hit in self.htm.search_text("word", 100, where=where)} == set(chosen)  # may know of older entries only
        assert [hit[:2] for hit in self.htm.search_similar(V, limit, -1, where=where)] == wanted
        assert [hit[:2] for hit in self.htm.search_many([W, V], limit, -1, where=where)[1]] == wanted
        assert {hit[0] for hit in self.htm.query_by_resonance(0.0, where=where)} == set(chosen)
        assert {hit[0] for hit in self.htm.search_hybrid("word", V, 100, where=where)} == set(chosen)
        by_words = self.htm.search_text("word", 100, where=where)
        assert {hit[0] for hit in by_words} == set(chosen)
        assert [hit[:2] for hit in by_words] == [hit[:2] for hit in self.htm.search_text("word", 100) if hit[0] in chosen]
        scope = queries.Scope(filters.condition(where), partial=False)
        assert {hit[0] for hit in queries.matching(self.reading, "word", 100, scope)} == set(chosen)
        assert [hit[:2] for hit in queries.similar(self.reading, V[np.newaxis], limit, -1.0, scope)[0]] == wanted

    @initialize()
    def start(self) -> None:
        self.search({"n": 1}, 2)

    def teardown(self) -> None:
        self.reading.close()
        assert self.htm.verify() == []
        self.htm.close()
        self.folder.cleanup()


@pytest.mark.parametrize("sparse", [0, 64])
def test_filtered_searches_find_what_a_plain_evaluation_does_whatever_came_between(
    monkeypatch: pytest.MonkeyPatch, sparse: int
) -> None:
    monkeypatch.setattr(snapshot, "_SPARSE", sparse)
    run_state_machine_as_test(Searched, settings=settings(max_examples=EXAMPLES, stateful_step_count=30))


@pytest.fixture
def statements(store: HTMCore) -> Iterator[list[str]]:
    """Give the list of what is asked of the catalog."""
    asked: list[str] = []
    engine = store._engine
    with engine.catalog.reading() as reader:
        reader.sql.set_trace_callback(asked.append)  # it is lent again to whoever comes next
    yield asked
    with engine.catalog.reading() as reader:
        reader.sql.set_trace_callback(None)


def test_a_filter_is_evaluated_once_and_then_for_new_entries_only(
    store: HTMCore, rng: np.random.Generator, statements: list[str]
) -> None:
    def search() -> list[str]:
        statements.clear()
        assert len(store.search_similar(V, 100, -1, where={"n": {"$lt": 10}})) == wanted
        return [statement for statement in statements if "group_concat" in statement]

    wanted = 10
    store.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50), [{"n": i} for i in range(50)])
    (first,) = search()
    assert "id > 0 " in first
    assert search() == []
    store.store_embedding("new", V, {"n": 1})
    wanted += 1
    (second,) = search()
    assert "id > 50 " in second
    store.delete("key 3")
    wanted -= 1
    store.flush()
    store.compact()
    assert "id > 51 " in search()[0]
    assert search() == []
    store.clear_cache()
    assert "id > 0 " in search()[0]


def test_a_filter_of_declared_paths_is_answered_by_their_index_alone(
    store: HTMCore, rng: np.random.Generator, statements: list[str]
) -> None:
    store.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50), [{"n": i, "m": "x" * (i + 100)} for i in range(50)])
    store.create_index("n")
    store.create_index("m")
    for where, alone in (
        ({"n": {"$gte": 3, "$lt": 10}, "m": {"$prefix": "x" * 105}}, True),
        ({"n": {"$in": [7, 7.0, None, "x"]}}, True),
        ({"n": 7.5}, False),  # a decimal that SQLite may read otherwise
        ({"m": "x" * 130}, False),  # of which the index has the beginning
        ({"n": 7, "o": {"$ne": 1}}, False),
    ):
        statements.clear()
        found = store.search_similar(V, 100, -1, where=where)
        (asked,) = [statement for statement in statements if "group_concat" in statement]
        assert ("FROM entries" not in asked) is alone
        wanted = {i for i in range(50) if oracle_filter({"n": i, "m": "x" * (i + 100)}, where)}
        assert {record["metadata"]["n"] for _, _, record in found} == wanted


def test_what_filters_let_through_is_counted_limited_and_dropped(store: HTMCore, rng: np.random.Generator) -> None:
    def cached() -> int:
        stats = store.get_memory_stats()
        assert stats["used_bytes"] == stats["cache_bytes"] + stats["pending_bytes"]
        return stats["cache_bytes"]

    def search(where: dict[str, Any]) -> None:
        assert store.query_by_resonance(1.0, where=where) == []

    store.store_embeddings([f"key {i}" for i in range(20_000)], rows(rng, 20_000), [{"n": i % 2} for i in range(20_000)])
    search({"n": 1})
    once = cached()
    assert once >= 20_000 + 8 * 10_000
    search({"n": 1})
    assert cached() == once
    configure_ffi({"cache_size_mb": 1})
    for i in range(40):
        search({"n": {"$in": [1, f"{i}"]}})
        assert once <= cached() <= 1 << 18
    store.clear_cache()
    assert cached() == 0
    configure_ffi({"cache_size_mb": 128})
    for i in range(40):
        search({"n": i + 2})
    assert cached() < 40 * 20_000
    store.garbage_collect()
    assert cached() == 0
    configure_ffi({"cache_size_mb": 0})
    search({"n": 1})
    assert cached() == 0


def test_what_is_kept_for_a_filter_does_not_keep_replaced_files_mapped(store: HTMCore) -> None:
    store.store_embedding("a", V, {"n": 1})
    store.flush()
    store.search_similar(V, where={"n": 1})
    replaced = weakref.ref(store._engine.snapshot())
    store.store_embedding("b", W, {"n": 1})
    gc.collect()
    assert replaced() is None


# ---- one moment ----


def put(htm: HTMCore, chosen: list[str], others: list[str] = []) -> None:  # noqa: B006
    """Store entries, some of which the condition lets through, all at once."""
    keys = chosen + others
    htm.store_embeddings(keys, [V] * len(keys), [{"chosen": key in chosen} for key in keys])


def narrowed(htm: HTMCore, moment: Snapshot) -> list[int] | None:
    """Return the ids that are chosen of a moment, as far as it can be told now."""
    assert CONDITION is not None
    engine = htm._engine
    with engine.catalog.reading() as reader:
        found = engine.scopes.narrowed(moment, reader, CONDITION)
    return None if found is None else found.live_ids().tolist()


def test_what_was_committed_since_a_moment_is_not_taken_for_its_own(store: HTMCore) -> None:
    put(store, ["a", "b"], ["c"])  # ids 1 to 3
    before = store._engine.snapshot()
    put(store, ["d"])
    assert narrowed(store, before) == [1, 2]
    put(store, ["c"], ["a"])  # 5 and 6 replace 3 and 1
    assert narrowed(store, before) == [1, 2]  # as has been found out before
    assert narrowed(store, store._engine.snapshot()) == [2, 4, 5]
    store.clear_cache()
    assert narrowed(store, before) is None
    assert narrowed(store, store._engine.snapshot()) == [2, 4, 5]
    assert narrowed(store, before) is None


def test_a_deletion_since_a_moment_is_not_kept_with_it(store: HTMCore) -> None:
    put(store, ["a", "b"], ["c"])
    before = store._engine.snapshot()
    store.delete("a")
    assert narrowed(store, before) == [2]  # what is there now, all of which the moment has
    assert before.narrowed == {}
    assert store.get_memory_stats()["cache_bytes"] == 0
    assert narrowed(store, store._engine.snapshot()) == [2]


def test_ids_known_of_a_later_moment_do_not_stand_for_an_earlier_one(store: HTMCore) -> None:
    put(store, ["a", "b"], ["c"])
    before = store._engine.snapshot()
    put(store, ["d"], ["e"])
    between = store._engine.snapshot()
    store.delete("a")
    assert narrowed(store, store._engine.snapshot()) == [2, 4]
    assert narrowed(store, before) is None
    assert narrowed(store, between) is None
    assert names(store.search_similar(V, where={"chosen": True})) == ["b", "d"]


def test_ids_known_of_a_later_moment_do_not_stand_for_one_that_a_reader_holds_on_to(store: HTMCore) -> None:
    put(store, ["a", "b"], ["c"])
    engine, before = store._engine, store._engine.snapshot()
    assert CONDITION is not None
    with engine.catalog.reading() as reader, reader.frozen():
        assert reader.count() == 3
        store.delete("a")
        assert narrowed(store, engine.snapshot()) == [2]
        found = engine.scopes.narrowed(before, reader, CONDITION)
    assert found is not None
    assert found.live_ids().tolist() == [1, 2]


def test_what_is_known_of_a_filter_does_not_stand_for_the_moment_that_a_reader_holds_on_to_nor_cost_memory_without_end(
    store: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(store, ["a", "b"], ["c"])
    engine = store._engine
    with engine.catalog.reading() as reader:
        assert engine.scopes.known(reader, CONDITION) is None
        assert narrowed(store, engine.snapshot()) == [1, 2]
        known = engine.scopes.known(reader, CONDITION)
        assert known is not None
        assert (known.ids.tolist(), known.last, known.marks()) == ([1, 2], 3, b"\1\1\0")
        assert engine.scopes.known(reader, None) is None
        with reader.frozen():
            assert engine.scopes.known(reader, CONDITION) is None
    store.store_embedding("d", V, {"chosen": True}, text="word")
    store.search_similar(V, where={"chosen": True})
    monkeypatch.setattr(selecting, "_MOST_MARKS", 2)
    monkeypatch.setattr(selecting.LetThrough, "marks", None)
    assert names(store.search_text("word", where={"chosen": True})) == ["d"]


def test_entries_that_follow_others_that_left_no_trace_are_looked_at(store: HTMCore) -> None:
    put(store, ["a", "b"], ["c"])
    put(store, ["d", "e"])
    assert narrowed(store, store._engine.snapshot()) == [1, 2, 4, 5]
    store.delete_many(["d", "e"])
    store.compact()
    assert narrowed(store, store._engine.snapshot()) == [1, 2]
    put(store, ["f"])
    assert narrowed(store, store._engine.snapshot()) == [1, 2, 6]


@pytest.mark.parametrize("where", [None, {"chosen": True}])
def test_a_hybrid_search_that_a_commit_comes_in_between_is_of_one_moment(
    store: HTMCore, monkeypatch: pytest.MonkeyPatch, where: dict[str, Any] | None
) -> None:
    """One that only words find goes, one that only its vector finds comes: an answer has one of the two."""
    store.store_embedding("by less of its vector", V + W, {"chosen": True}, text="nothing")
    store.store_embedding("by words", W, {"chosen": True}, text="word")
    store.search_hybrid("word", V, where=where)
    monkeypatch.setattr(queries, "_FUSED_LEAST", 1)
    monkeypatch.setattr(queries, "_FUSED_PER_HIT", 1)
    engine = store._engine
    latest = engine.snapshot

    def overtaken() -> Snapshot:
        moment = latest()
        monkeypatch.setattr(engine, "snapshot", latest)
        store.delete("by words")
        store.store_embedding("by vector", V, {"chosen": True}, text="other")
        return moment

    monkeypatch.setattr(engine, "snapshot", overtaken)
    assert names(store.search_hybrid("word", V, 1, where=where)) == ["by vector"]


def changes(store: HTMCore, rng: np.random.Generator) -> Iterator[None]:
    """Change what is chosen, again and again: ten entries of twenty at each moment, and never the number of them."""
    keys = [f"key {i}" for i in range(20)]
    while True:
        chosen = set(rng.permutation(keys)[:10].tolist())
        metadata = [{"chosen": key in chosen} for key in keys]
        yield store.store_embeddings(keys, rows(rng, 20), metadata, texts=["word"] * 20)
        # One changes places with another.
        pair = [min(chosen), min(set(keys) - chosen)]
        yield store.store_embeddings(pair, rows(rng, 2), [{"chosen": False}, {"chosen": True}], texts=["word"] * 2)
        # Others come and go, none of which is chosen.
        yield store.store_embeddings(["x", "y"], rows(rng, 2), [{"chosen": False}] * 2, texts=["word"] * 2)
        store.delete_many(["x", "y"])


def test_threads_and_other_processes_find_what_a_filter_lets_through_at_one_moment(
    open_store: Any, store_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 50)
    store = open_store(durability="normal")
    where = {"chosen": True}
    change = changes(store, rng)
    next(change)
    done = threading.Event()

    def look() -> None:
        while not done.is_set():
            for hits in (
                store.search_similar(V, 100, -1, where=where),
                *store.search_many([V, W], 100, -1, where=where),
                store.query_by_resonance(0.0, where=where),
                store.search_hybrid("word", V, 100, where=where),
            ):
                assert len(hits) == 10
                assert all(record["metadata"]["chosen"] for _, _, record in hits)

    with Remote(store_path, read_only=True) as other, ThreadPoolExecutor(3) as pool:

        def look_there() -> None:
            while not done.is_set():
                assert other(f"[len(htm.search_similar([1, 2, 3, 4], 100, -1, where={where})) for _ in range(10)]") == [10] * 10

        looking = [pool.submit(look), pool.submit(look), pool.submit(look_there)]
        for number in range(300):
            next(change)
            if number % 100 == 0:
                store.compact()
        done.set()
        for each in looking:
            each.result()
