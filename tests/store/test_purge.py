"""What is purged leaves no trace, and histories are as long as one wants them."""

import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import V, contents, merge_in_the_background, names, rows, segment_files

from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import HTMCore, merge, tables


def traces(path: Path, *secrets: bytes) -> set[str]:
    """Return the files of a store that hold one of these."""
    return {file.name for file in path.rglob("*") if file.is_file() and any(secret in file.read_bytes() for secret in secrets)}


def fill(htm: HTMCore, rng: np.random.Generator, count: int = 50) -> None:
    keys = [f"key {i}" for i in range(count)]
    htm.store_embeddings(keys, rows(rng, count), [{"n": i} for i in range(count)], texts=[f"word {i}" for i in range(count)])


@pytest.mark.parametrize("where", ["pending", "in a segment", "deleted before", "overwritten", "pruned before"])
def test_what_is_purged_is_in_no_file_any_more(open_store: Any, store_path: Path, rng: np.random.Generator, where: str) -> None:
    htm = open_store()
    fill(htm, rng)
    secret, other = np.array([0.123, 4.56, 7.89, 0.1], np.float32), np.array([3.21, 6.54, 9.87, 1.1], np.float32)
    stored = {"metadata": {"who": "xyzzymeta"}, "diff_ops": [{"op": "insert", "pos": 0, "lines": ["xyzzydiff"]}]}
    htm.store_embedding("xyzzykey", secret, **stored, text="xyzzytext plugh")
    if where in ("in a segment", "overwritten", "pruned before"):
        htm.flush()
    if where == "deleted before":
        assert htm.delete("xyzzykey")
    if where in ("overwritten", "pruned before"):
        htm.store_embedding("xyzzykey", other, {"who": "xyzzymeta again"}, text="xyzzytext again")
    if where == "pruned before":
        assert htm.prune_history(1) == 1
    assert htm.delete("xyzzykey", purge=True) == (where != "deleted before")
    assert htm.history("xyzzykey") == []
    assert htm.search_text("plugh") == []
    merge_in_the_background(htm)
    sought = b"xyzzymeta", b"xyzzykey", b"xyzzydiff", b"plugh", secret.tobytes(), other.tobytes()
    assert traces(store_path, *sought) == set()
    assert htm.verify() == []
    htm.close()
    assert traces(store_path, *sought) == set()
    htm = open_store()
    assert len(htm) == 50 == len(htm.search_text("word", 100))
    htm.store_embedding("xyzzykey", V, {})
    assert htm.get_embedding("xyzzykey")["version"] == 1


def test_a_purge_that_was_cut_short_is_finished_when_the_store_is_opened_again(
    open_store: Any, store_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = rows(rng, 40)
    with monkeypatch.context() as patch:
        patch.setattr(merge, "purgeable", lambda *_: [])
        patch.setattr(merge, "choose", lambda _: [])
        htm = open_store()
        fill(htm, rng)
        for i in range(0, 40, 10):
            htm.store_embeddings([f"xyzzy {i + j}" for j in range(10)], secrets[i : i + 10])
            htm.flush()
        assert htm.delete_many([f"xyzzy {i}" for i in range(40)], purge=True) == 40
        htm.close()
    assert traces(store_path, *(secret.tobytes() for secret in secrets))
    htm = open_store()
    deadline = time.monotonic() + 30
    while len(htm._writing().purging) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not traces(store_path, b"xyzzy", *(secret.tobytes() for secret in secrets))
    assert len(htm) == 50
    assert htm.verify() == []


def test_the_log_is_emptied_of_what_is_purged_as_soon_as_readers_let_go(
    open_store: Any, store_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_CHECKPOINT_COMMITS", 1)
    htm = open_store()
    fill(htm, rng)
    htm.store_embedding("xyzzykey", V, {"who": "xyzzymeta"}, text="xyzzytext")
    with htm._engine.moment() as (_, reader):
        assert reader.entry("xyzzykey")
        assert htm.delete("xyzzykey", purge=True)
        assert traces(store_path, b"xyzzymeta") != set()  # the reader may still want it
    htm.store_embedding("later", V, {})
    htm.delete("none")  # the writer has looked after the put before once it has done this
    merge_in_the_background(htm)
    assert traces(store_path, b"xyzzymeta", b"xyzzykey") == set()
    assert htm.verify() == []


def test_many_are_purged_at_once_and_the_others_stay(open_store: Any, rng: np.random.Generator) -> None:
    htm = open_store()
    fill(htm, rng)
    fill(htm, rng)
    before = contents(htm)
    assert htm.delete_many([f"key {i}" for i in range(10)] + ["none"], purge=True) == 10
    assert htm.delete_where({"n": {"$gte": 40}}, purge=True) == 10
    merge_in_the_background(htm)
    assert contents(htm) == {f"key {i}": before[f"key {i}"] for i in range(10, 40)}
    assert all(htm.history(f"key {i}") == [] for i in [*range(10), *range(40, 50)])
    assert htm.verify() == []


def test_a_delete_without_purge_keeps_the_history(store: HTMCore) -> None:
    for number in range(3):
        store.store_embedding("a", V, {"n": number})
    assert store.delete("a")
    assert [version["metadata"]["n"] for version in store.history("a")] == [0, 1, 2]
    store.store_embedding("a", V, {})
    assert store.get_embedding("a")["version"] == 4


@given(
    changes=st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=20),
    keep=st.integers(1, 4),
    key=st.sampled_from([None, "a", "none"]),
)
def test_a_pruned_history_has_the_newest_versions(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, bool]], keep: int, key: str | None
) -> None:
    with HTMCore(tmp_path_factory.mktemp("store") / "s", dimension=4, durability="normal") as htm:
        for number, (name, stored) in enumerate(changes):
            if stored:
                htm.store_embedding(name, V, {"n": number}, text="word")
            else:
                htm.delete(name)
        before = {name: htm.history(name) for name in "abc"}
        present = contents(htm)
        expected = {name: found[-keep:] if key in (None, name) else found for name, found in before.items()}
        dropped = htm.prune_history(keep=keep, key=key)
        assert {name: htm.history(name) for name in "abc"} == expected
        assert dropped == sum(map(len, before.values())) - sum(map(len, expected.values()))
        assert htm.prune_history(keep, key) == 0
        for name, (record, *_, text, _) in present.items():
            assert htm.get_text(name) == text
            assert htm.get_embedding(name)["version"] == record["version"]
        for name, found in expected.items():
            htm.store_embedding(name, V, {})
            assert htm.get_embedding(name)["version"] == (found[-1]["version"] if found else 0) + 1
        assert htm.verify() == []


@pytest.mark.parametrize("keep", [0, -1, True, 1.5, "2", None])
def test_a_history_keeps_at_least_one_version(store: HTMCore, keep: Any) -> None:
    with pytest.raises(ValidationError, match="keep"):
        store.prune_history(keep)


def test_purging_and_pruning_need_a_store_that_is_written(open_store: Any) -> None:
    open_store().store_embedding("a", V, {})
    reading = open_store(read_only=True)
    for call in (lambda: reading.delete("a", purge=True), lambda: reading.prune_history(1), lambda: reading.create_index("n")):
        with pytest.raises(HTMError, match="read_only"):
            call()
    assert names(reading.search_similar(V)) == ["a"]


async def test_pruning_and_indexing_have_async_forms(store: HTMCore) -> None:
    for number in range(3):
        await store.store_embedding_async("a", V, {"n": number})
    assert await store.prune_history_async(keep=1) == 2
    await store.create_index_async("n")
    assert await store.count_async({"n": 2}) == 1
    assert await store.delete_async("a", purge=True)
    assert segment_files(store.storage_path) == [] or os.name == "nt"
