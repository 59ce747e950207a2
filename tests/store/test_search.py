"""What a search finds: exactly the best, by score and then key, the same for every store of equal content."""

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import oracle_mean_field, oracle_resonance, oracle_scores, oracle_search
from stores import V, W, merge_in_the_background, names, rows

from anam_py import _core, configure_ffi
from anam_py.store import HTMCore

EXAMPLES = int(os.environ.get("ANAM_TEST_EXAMPLES", "25"))

Vectors = dict[str, NDArray[np.float32]]


class Put(NamedTuple):
    """Store these vectors, in one call."""

    entries: Vectors


class Delete(NamedTuple):
    """Delete these keys."""

    keys: list[str]


class Flush(NamedTuple):
    """Move what is pending to segments."""


class Merge(NamedTuple):
    """Merge what the merging thread would."""


class Compact(NamedTuple):
    """Merge all that can be merged."""


Step = Put | Delete | Flush | Merge | Compact


@pytest.fixture(autouse=True)
def threads_for_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use as many threads as are asked for, however little there is to do."""
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)


def apply(htm: HTMCore, steps: Sequence[Step]) -> Vectors:
    """Do the steps; returns what the store holds then."""
    model: Vectors = {}
    for step in steps:
        match step:
            case Put(entries):
                htm.store_embeddings(list(entries), np.array(list(entries.values())).reshape(-1, htm.dimension))
                model |= entries
            case Delete(keys):
                htm.delete_many(keys)
                model = {key: vector for key, vector in model.items() if key not in keys}
            case Flush():
                htm.flush()
            case Merge():
                merge_in_the_background(htm)
            case Compact():
                htm.compact()
    return model


def similar(htm: HTMCore, query: Any, limit: int = 10, least: float = -1.0) -> list[tuple[str, float]]:
    """Return (key, score) of the hits, whose records must be those of their keys."""
    hits = htm.search_similar(query, limit, least)
    for key, score, record in hits:
        assert type(score) is float
        assert record["key"] == key
        np.testing.assert_equal(record, htm.get_embedding(key))
    return [(key, score) for key, score, _ in hits]


def resonant(htm: HTMCore, least: float, limit: int | None = None) -> list[tuple[str, float]]:
    return [(key, score) for key, score, _ in htm.query_by_resonance(least, limit)]


def oracle_resonant(model: Vectors) -> list[tuple[str, float]]:
    """Return (key, resonance) of every entry by its place relative to the mean field, best first."""
    if not model:
        return []
    matrix = np.stack(list(model.values()))
    block = _core.Rows(matrix, _core.norms(matrix))
    field = _core.mean_field([block], threads=1).astype(np.float32)
    if field.any():
        np.testing.assert_allclose(field, oracle_mean_field([block]), atol=1e-6)
    cosines = oracle_scores(matrix, field) if field.any() else np.zeros(len(matrix))
    scores = _core.resonance(cosines)
    np.testing.assert_allclose(scores, oracle_resonance(cosines), atol=1e-14)
    return sorted(zip(model, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0].encode()))


# Few keys, so that they are overwritten; bytes and characters order some of them differently from UTF-16.
keys = st.sampled_from([*"abcdefghij", "\ue000", "\uffff", "\U0001f600", "\U0010ffff", "\u00e9", "e\u0301", "\u00e91"])
# Few values, so that there are duplicates and ties, exact and nearly so.
values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 1.0000001, 0.99999994, 1e-30, 1e30, -1e30, 1e-45])


def vectors_of(dimension: int) -> st.SearchStrategy[NDArray[np.float32]]:
    vector = st.lists(values, min_size=dimension, max_size=dimension).map(lambda items: np.array(items, np.float32))
    return vector.filter(lambda items: bool(items.any()))


def steps_of(dimension: int) -> st.SearchStrategy[list[Step]]:
    entries = st.dictionaries(keys, vectors_of(dimension), max_size=8)
    step = st.one_of(
        entries.map(Put),
        entries.map(Put),
        st.lists(keys, max_size=4).map(Delete),
        st.sampled_from([Flush(), Merge(), Compact()]),
    )
    return st.lists(step, max_size=12)


dimensions = st.sampled_from([1, 2, 3, 8, 17])
cases = dimensions.flatmap(lambda dimension: st.tuples(steps_of(dimension), vectors_of(dimension)))


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    case=cases,
    shards=st.sampled_from([1, 2, 5]),
    limit=st.integers(1, 20),
    least=st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0, 0.9999999]),
    threads=st.integers(1, 3),
)
def test_a_search_finds_exactly_the_best_in_any_history_of_a_store(
    case: tuple[list[Step], NDArray[np.float32]], shards: int, limit: int, least: float, threads: int
) -> None:
    steps, query = case
    configure_ffi({"thread_pool_size": threads})
    with tempfile.TemporaryDirectory() as folder, HTMCore(folder, shards, dimension=len(query), durability="normal") as htm:
        model = apply(htm, steps)
        assert len(htm) == len(model)
        assert similar(htm, query, limit, least) == oracle_search(model, query, limit, least)
        assert similar(htm, query, 100) == oracle_search(model, query, 100)
        expected = oracle_resonant(model)
        assert resonant(htm, -1.0) == expected
        assert resonant(htm, least, limit) == [hit for hit in expected if hit[1] >= least][:limit]
        assert htm.verify() == []


@settings(max_examples=max(EXAMPLES // 2, 5), deadline=None)
@given(case=cases, seed=st.randoms(use_true_random=False))
def test_stores_of_equal_content_give_equal_answers_to_the_last_bit(
    case: tuple[list[Step], NDArray[np.float32]], seed: Any
) -> None:
    steps, query = case
    with tempfile.TemporaryDirectory() as folder:
        with HTMCore(Path(folder) / "one", 3, dimension=len(query), durability="normal") as htm:
            model = apply(htm, steps)
            answers = similar(htm, query, 5), similar(htm, query, 100), resonant(htm, -1.0, 3), resonant(htm, -1.0)
            text = htm.search_hybrid("a é", query, 5)
        order = list(model)
        seed.shuffle(order)
        other: list[Step] = [Put({key: model[key]}) for key in order]
        for _ in range(3):
            other.insert(seed.randrange(len(other) + 1), seed.choice([Flush(), Merge(), Compact()]))
        configure_ffi({"thread_pool_size": seed.randint(1, 4)})
        with HTMCore(Path(folder) / "two", seed.randint(1, 9), dimension=len(query), durability="normal") as htm:
            assert set(apply(htm, other)) == set(model)
            assert (similar(htm, query, 5), similar(htm, query, 100), resonant(htm, -1.0, 3), resonant(htm, -1.0)) == answers
            assert [hit[:2] for hit in htm.search_hybrid("a é", query, 5)] == [hit[:2] for hit in text]


@pytest.mark.parametrize("dimension", [7, 96])
def test_a_large_store_answers_like_a_plain_loop(open_store: Any, rng: np.random.Generator, dimension: int) -> None:
    htm = open_store(dimension=dimension, shard_count=3)
    base = rows(rng, 200, dimension)
    matrix = base[rng.integers(0, 200, 6000)] * rng.choice([0.5, 1, 1, 3], (6000, 1)).astype(np.float32)  # ties, nearly all
    keys = [f"key {i}" for i in range(6000)]
    htm.store_embeddings(keys[:4000], matrix[:4000])
    htm.store_embeddings(keys[4000:5500], matrix[4000:5500])
    for start in range(5500, 6000, 100):
        htm.store_embeddings(keys[start : start + 100], matrix[start : start + 100])
    gone = rng.choice(6000, 2500, replace=False)
    htm.delete_many([keys[i] for i in gone])
    model = {key: matrix[i] for i, key in enumerate(keys) if i not in set(gone.tolist())}
    for query in (base[0], rows(rng, 1, dimension)[0], -base[7]):
        for limit in (1, 10, 50, 3499, 5000):
            assert [hit[:2] for hit in htm.search_similar(query, limit, -1)] == oracle_search(model, query, limit)
    expected = oracle_resonant(model)
    for limit in (1, 33, 1000, None):
        assert resonant(htm, 0.0, limit) == expected[:limit]
    htm.compact()
    assert [hit[:2] for hit in htm.search_similar(base[0], 77, -1)] == oracle_search(model, base[0], 77)
    assert resonant(htm, 0.0) == expected


def test_ties_at_the_last_place_go_by_the_keys_bytes(store: HTMCore) -> None:
    keys = ["\u00e9", "e", "\uffff", "\U00010000", "z", "Z", "aa", "a", "e\u0301"]
    for shuffled in (keys, keys[::-1]):
        for number, key in enumerate(shuffled):
            store.store_embedding(key, V * np.float32(2.0**number), {})  # the same direction, exactly
            if number % 3 == 0:
                store.flush()
        store.store_embedding("best", W, {})
        for limit in range(1, 12):
            assert names(store.search_similar(V, limit, 0.9)) == sorted(keys, key=str.encode)[:limit]
            assert names(store.search_similar(W, limit, -1)) == ["best", *sorted(keys, key=str.encode)][:limit]


@pytest.fixture(params=[1, 2, 7])
def close_together(request: pytest.FixtureRequest, open_store: Any) -> tuple[HTMCore, Vectors]:
    """Return a store whose vectors are a few units in the last place apart, so that their scores nearly tie."""
    rng = np.random.default_rng(request.param)
    dimension = 3
    center = np.array([1, 1, 1], np.float32)
    steps = rng.integers(-2, 3, (400, dimension)).astype(np.float32) * np.float32(2.0**-23)
    matrix = center + steps
    htm = open_store(dimension=dimension, shard_count=request.param)
    model = {f"key {i}": matrix[i] for i in range(400)}
    htm.store_embeddings(list(model), matrix)
    return htm, model


def test_scores_a_bit_apart_are_told_apart(close_together: tuple[HTMCore, Vectors]) -> None:
    htm, model = close_together
    for query in ([1, 1, 1], [1, 1.0000001, 1], [3, 2, 1]):
        for limit in range(1, 60):
            found = [hit[:2] for hit in htm.search_similar(query, limit, -1)]
            assert found == oracle_search(model, np.array(query, np.float32), limit)


def test_resonances_a_bit_apart_are_told_apart(close_together: tuple[HTMCore, Vectors]) -> None:
    htm, model = close_together
    expected = oracle_resonant(model)
    for limit in range(1, 60):
        assert resonant(htm, 0.0, limit) == expected[:limit]
    for _, least in expected[::20]:
        assert resonant(htm, least) == [hit for hit in expected if hit[1] >= least]


def test_entries_against_the_mean_field_all_tie_at_no_resonance(store: HTMCore) -> None:
    store.store_embeddings(list("edcba"), [V, V, V, V, -V])
    assert resonant(store, 0.0)[-1] == ("a", 0.0)
    store.store_embeddings(list("zyx"), [W, -W, -W])
    for limit in range(1, 9):
        assert resonant(store, -1.0, limit) == resonant(store, -1.0)[:limit]


def test_where_the_mean_field_vanishes_everything_ties(store: HTMCore) -> None:
    store.store_embeddings(list("dbca"), [V, -V, W, -W])
    store.flush()
    store.store_embeddings(list("fe"), [V, -V])
    assert resonant(store, 0.0) == [(key, 0.0) for key in "abcdef"]
    assert resonant(store, 0.0, 3) == [(key, 0.0) for key in "abc"]
    assert resonant(store, 0.1) == []


def test_the_number_of_threads_changes_no_answer(open_store: Any, rng: np.random.Generator) -> None:
    htm = open_store(dimension=33)
    htm.store_embeddings([f"key {i}" for i in range(3000)], rows(rng, 3000, 33))
    htm.store_embeddings([f"key {i}" for i in range(500)], rows(rng, 500, 33))
    query, answers = rows(rng, 1, 33)[0], []
    for threads in (1, 2, 3, 8):
        configure_ffi({"thread_pool_size": threads})
        htm._engine._field = None  # the mean field is kept while nothing changes
        answers.append((similar(htm, query, 50), resonant(htm, 0.0, 50)))
    assert all(answer == answers[0] for answer in answers)


def test_words_give_equal_answers_in_stores_of_equal_content(open_store: Any, tmp_path: Path, rng: np.random.Generator) -> None:
    vocabulary = [f"word{chr(97 + i)}" for i in range(12)]
    texts = {f"key {i}": " ".join(rng.choice(vocabulary, rng.integers(1, 8))) for i in range(200)}
    one, two = open_store(tmp_path / "one", shard_count=1), open_store(tmp_path / "two", shard_count=5)
    for key, text in texts.items():
        one.store_embedding(key, V, {}, text="before this " + text)
        one.store_embedding(f"{key} again", V, {}, text=text)
        one.store_embedding(key, V, {}, text=text)
        one.delete(f"{key} again")
    two.store_embeddings(list(texts)[::-1], np.tile(V, (200, 1)), texts=list(texts.values())[::-1])
    for query in ("worda", "wordb wordc", "this", "key 17", "wordl wordk wordj"):
        for limit in (1, 5, 300):
            hits = [[hit[:2] for hit in htm.search_text(query, limit)] for htm in (one, two)]
            assert hits[0] == hits[1]
            assert hits[0] == sorted(hits[0], key=lambda hit: (-hit[1], hit[0].encode()))
    assert one.search_text("this") == []


def test_hybrid_search_gives_equal_answers_in_stores_of_equal_content(
    open_store: Any, tmp_path: Path, rng: np.random.Generator
) -> None:
    """Also where entries that tie are more than can take part in a fusion."""
    keys = [f"key{i:03}" for i in range(300)]
    good, fair = ["some words"] * 100, ["some thing else"] * 200
    matrix = np.concatenate([np.tile(W, (100, 1)), V + rows(rng, 200) * np.float32(0.01)])
    answers = []
    for number in range(4):
        htm = open_store(tmp_path / f"{number}", shard_count=number + 1)
        for part in np.split(rng.permutation(300), 4):
            htm.store_embeddings([keys[i] for i in part], matrix[part], texts=[(good + fair)[i] for i in part])
            htm.flush()
        answers.append([hit[:2] for hit in htm.search_hybrid("some words", V, 10)])
    assert answers == [answers[0]] * 4
