"""What goes in comes out: entries, many at once, keys and texts."""

import datetime as dt
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import V, W, contents, names, rows

from anam_py.exceptions import ValidationError
from anam_py.store import HTMCore, writer

# ---- one entry ----


def test_an_entry_comes_back_as_it_was_stored(store: HTMCore) -> None:
    store.store_embedding("src/model.py", V, {"language": "python", "lines": [1, 2.5, None, True]})
    record = store.get_embedding("src/model.py")
    assert record is not None
    assert set(record) == {"key", "embedding", "metadata", "diff_ops", "version"}
    assert set(record["embedding"]) == {"values", "norm", "timestamp"}
    assert record["key"] == "src/model.py"
    assert record["embedding"]["values"].dtype == np.float32
    np.testing.assert_array_equal(record["embedding"]["values"], V)
    assert record["embedding"]["norm"] == math.sqrt(30)
    assert type(record["embedding"]["norm"]) is type(record["embedding"]["timestamp"]) is float
    assert record["metadata"] == {"language": "python", "lines": [1, 2.5, None, True]}
    assert (record["diff_ops"], record["version"]) == ([], 1)


def test_a_key_that_was_never_stored_gives_none(store: HTMCore) -> None:
    assert store.get_embedding("nothing") is None
    assert store.get_embeddings(["nothing"]) == [None]
    assert store.get_text("nothing") is None
    assert store.history("nothing") == []
    assert store.delete("nothing") is False
    assert "nothing" not in store


def test_a_record_may_be_changed_without_changing_the_store(store: HTMCore) -> None:
    store.store_embedding("a", V, {"list": [1]}, [{"op": "insert", "pos": 0, "lines": ["x"]}])
    before = contents(store)
    for record in (store.get_embedding("a"), store.get_embeddings(["a"])[0], store.search_similar(V)[0][2]):
        assert record is not None
        record["embedding"]["values"][:] = 0
        record["metadata"]["list"].append(2)
        record["diff_ops"].clear()
        record["version"] = 7
    assert contents(store) == before


def test_storing_again_replaces_everything_and_counts_the_version(store: HTMCore) -> None:
    store.store_embedding("a", V, {"old": 1}, text="first words")
    store.store_embedding("a", W, {"new": 1})
    record = store.get_embedding("a")
    assert record is not None
    assert (record["metadata"], record["version"]) == ({"new": 1}, 2)
    np.testing.assert_array_equal(record["embedding"]["values"], W)
    assert store.get_text("a") is None
    assert store.search_text("words") == []
    assert len(store) == 1
    assert names(store.search_similar(V, min_similarity=-1)) == ["a"]


def test_the_history_of_a_key_is_every_version_oldest_first(store: HTMCore) -> None:
    ops = [{"op": "replace", "pos": 0, "count": 1, "lines": ["b"]}]
    store.store_embedding("a", V, {"n": 1})
    store.store_embedding("a", V, {"n": 2}, ops)
    store.flush()
    store.store_embedding("a", V, {"n": 3}, [])
    versions = store.history("a")
    assert [set(version) for version in versions] == [{"version", "timestamp", "diff_ops", "metadata"}] * 3
    assert [version["version"] for version in versions] == [1, 2, 3]
    assert [version["metadata"] for version in versions] == [{"n": 1}, {"n": 2}, {"n": 3}]
    assert [version["diff_ops"] for version in versions] == [[], ops, []]
    record = store.get_embedding("a")
    assert record is not None
    assert versions[-1]["timestamp"] == record["embedding"]["timestamp"]


def test_a_deleted_key_is_gone_but_keeps_its_history_and_goes_on_counting(store: HTMCore) -> None:
    store.store_embedding("a", V, {"n": 1}, text="words")
    assert store.delete("a") is True
    assert store.delete("a") is False
    assert ("a" in store, len(store), list(store)) == (False, 0, [])
    assert store.get_embedding("a") is None
    assert store.get_text("a") is None
    assert store.search_similar(V, min_similarity=-1) == store.search_text("words") == store.query_by_resonance(0) == []
    assert [version["metadata"] for version in store.history("a")] == [{"n": 1}]
    store.store_embedding("a", V, {"n": 2})
    assert [version["version"] for version in store.history("a")] == [1, 2]


def test_delete_many_counts_the_keys_that_were_there_once_each(store: HTMCore) -> None:
    store.store_embeddings(["a", "b", "c"], [V, V, V])
    assert store.delete_many(["a", "a", "x", "b"]) == 2
    assert store.delete_many([]) == 0
    assert list(store) == ["c"]


def test_row_40_the_clock_may_jump_without_changing_the_order_of_versions(
    store: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, now in enumerate([2e9, 0.0, -1e9, 1e9]):
        monkeypatch.setattr(writer.time, "time", lambda now=now: now)
        store.store_embedding("a", V, {"n": number})
    assert [version["metadata"]["n"] for version in store.history("a")] == [0, 1, 2, 3]
    assert [version["timestamp"] for version in store.history("a")] == [2e9, 0.0, -1e9, 1e9]
    record = store.get_embedding("a")
    assert record is not None
    assert (record["metadata"], record["version"]) == ({"n": 3}, 4)


# ---- what goes in ----


FORMS = {
    "array": lambda v: v,
    "list": lambda v: v.tolist(),
    "tuple": lambda v: tuple(v.tolist()),
    "float64": lambda v: v.astype(np.float64),
    "float16": lambda v: v.astype(np.float16),
    "int8": lambda v: v.astype(np.int8),
    "big-endian": lambda v: v.astype(">f4"),
    "big-endian double": lambda v: v.astype(">f8"),
    "strided": lambda v: np.repeat(v, 3)[::3],
    "reversed": lambda v: v[::-1].copy()[::-1],
    "Fortran": lambda v: np.asfortranarray(np.stack([v, v]))[1],
    "read-only": lambda v: np.frombuffer(v.tobytes(), np.float32),
    "buffer": memoryview,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_vector_is_stored_alike(store: HTMCore, form: Any) -> None:
    store.store_embedding("one", form(V), {})
    store.store_embeddings(["many"], form(V)[np.newaxis] if isinstance(form(V), np.ndarray) else [form(V)])
    for record in store.get_embeddings(["one", "many"]):
        assert record is not None
        np.testing.assert_array_equal(record["embedding"]["values"], V)
    assert [score for _, score, _ in store.search_similar(form(V))] == [1.0, 1.0]


def test_a_memory_map_is_stored_like_an_array(store: HTMCore, tmp_path: Path) -> None:
    np.save(tmp_path / "matrix.npy", np.asfortranarray(np.stack([V, W])))
    store.store_embeddings(["a", "b"], np.load(tmp_path / "matrix.npy", mmap_mode="r"))
    np.testing.assert_array_equal([record["embedding"]["values"] for record in store.get_embeddings(["a", "b"])], [V, W])


@pytest.mark.parametrize("count", [1, 1001])
def test_changing_an_array_after_the_call_changes_nothing(store: HTMCore, count: int) -> None:
    vector, matrix = V.copy(), np.tile(V, (count, 1))
    store.store_embedding("one", vector, {})
    store.store_embeddings([f"key {i}" for i in range(count)], matrix)
    vector[:] = matrix[:] = 9
    assert {record["embedding"]["values"].tobytes() for record in store.get_embeddings(list(store))} == {V.tobytes()}


def test_the_smallest_and_largest_values_are_kept_to_the_bit(store: HTMCore) -> None:
    tiny, huge = np.float32(1e-45), np.finfo(np.float32).max
    vectors = np.array([[tiny, 0, -0.0, 0], [huge, -huge, huge, huge], [huge, tiny, 0, 0]], np.float32)
    store.store_embeddings(["a", "b", "c"], vectors)
    store.flush()
    store.clear_cache()
    records = store.get_embeddings(["a", "b", "c"])
    assert [record["embedding"]["values"].tobytes() for record in records] == [vector.tobytes() for vector in vectors]
    assert [record["embedding"]["norm"] for record in records] == np.linalg.norm(vectors.astype(float), axis=1).tolist()
    assert [(key, round(score, 9)) for key, score, _ in store.search_similar(vectors[0])] == [("a", 1), ("c", 1), ("b", 0.5)]


BAD_VECTORS = {
    "nan": [1, 2, math.nan, 4],
    "infinite": [1, 2, -math.inf, 4],
    "zero": [0, 0, 0, 0],
    "beyond float32": [1, 2, 3, 1e300],
    "rounds to zero": [1e-60, 0, 0, 0],
    "short": [1, 2, 3],
    "empty": [],
    "a number": 1.0,
    "a matrix": [[1, 2, 3, 4]],
    "text": "1234",
    "complex": [1, 2, 3, 4j],
    "objects": [1, 2, 3, object()],
    "ragged": [1, 2, [3], 4],
    "none": None,
}


@pytest.mark.parametrize("bad", BAD_VECTORS.values(), ids=BAD_VECTORS)
def test_a_bad_vector_is_refused_wherever_it_is_given_and_nothing_is_stored(store: HTMCore, bad: Any) -> None:
    store.store_embedding("a", V, {})
    before = contents(store)
    with pytest.raises(ValidationError, match="embedding"):
        store.store_embedding("b", bad, {})
    with pytest.raises(ValidationError, match="matrix"):
        store.store_embeddings(["b", "c"], [V, bad])
    with pytest.raises(ValidationError, match="query_embedding"):
        store.search_similar(bad)
    with pytest.raises(ValidationError, match="embedding"):
        store.search_hybrid("words", bad)
    with pytest.raises(ValidationError, match="embedding1"):
        store.calculate_resonance(bad, V)
    with pytest.raises(ValidationError, match="embedding2"):
        store.calculate_resonance(V, bad)
    assert contents(store) == before


ODD_KEYS = [
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\CON",
    "CON",
    ".",
    "a\nb\tc",
    " ",
    "'; DROP TABLE entries; --",
    "%_*?[",
    "\u00e9",
    "e\u0301",
    "\U0001f600",
    "\uffff\U0010ffff",
    "\x01\x7f",
    "ab" * 512,
    "\u20ac" * 341,
]


def test_odd_keys_are_kept_verbatim_and_apart_and_never_become_file_names(store: HTMCore, store_path: Path) -> None:
    for number, key in enumerate(ODD_KEYS):
        store.store_embedding(key, V, {"n": number}, text=f"text {number}")
    store.flush()
    store.clear_cache()
    assert list(store) == sorted(ODD_KEYS, key=str.encode)
    assert [record["metadata"]["n"] for record in store.get_embeddings(ODD_KEYS)] == list(range(len(ODD_KEYS)))
    for number, key in enumerate(ODD_KEYS):
        assert key in store
        assert store.get_text(key) == f"text {number}"
        record = store.get_embedding(key)
        assert record is not None
        assert (record["key"], record["metadata"]) == (key, {"n": number})
    assert {path.name for path in store_path.parent.iterdir()} == {store_path.name}
    assert all(path.suffix == ".h5" for path in store_path.glob("shard-*/*"))
    assert store.delete_many(ODD_KEYS) == len(ODD_KEYS)


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800", "x" * 1025, "\u20ac" * 342, 5, None, b"bytes", ["a"]])
def test_a_bad_key_is_refused_wherever_it_is_given(store: HTMCore, bad: Any) -> None:
    for call in (
        lambda: store.store_embedding(bad, V, {}),
        lambda: store.store_embeddings(["good", bad], [V, V]),
        lambda: store.get_embedding(bad),
        lambda: store.get_embeddings(["good", bad]),
        lambda: store.get_text(bad),
        lambda: store.history(bad),
        lambda: store.delete(bad),
        lambda: store.delete_many(["good", bad]),
    ):
        with pytest.raises(ValidationError, match="key"):
            call()
    assert len(store) == 0


@pytest.mark.parametrize("bad", ["", "a\0b", "\ud800", "x" * 2000, 5, None, b"bytes", ["a"]])
def test_what_is_no_key_is_not_in_the_store(store: HTMCore, bad: Any) -> None:
    assert bad not in store


def test_metadata_comes_back_equal_with_its_values_converted(store: HTMCore) -> None:
    now = dt.datetime(2024, 2, 29, 12, 30, tzinfo=dt.UTC)
    store.store_embedding(
        "a",
        V,
        {
            "integer": np.int64(2**40),
            "float": np.float32(0.5),
            "bool": np.True_,
            "array": np.arange(6).reshape(2, 3),
            "path": Path("src") / "a.py",
            "datetime": now,
            "nul": "a\0b",
            "unicode": "\U0001f600\u00e9",
            "big": 10**400,
            "nested": {"": [[], {}, [None]]},
        },
    )
    record = store.get_embedding("a")
    assert record is not None
    assert record["metadata"] == {
        "integer": 2**40,
        "float": 0.5,
        "bool": True,
        "array": [[0, 1, 2], [3, 4, 5]],
        "path": str(Path("src") / "a.py"),
        "datetime": now.isoformat(),
        "nul": "a\0b",
        "unicode": "\U0001f600\u00e9",
        "big": 10**400,
        "nested": {"": [[], {}, [None]]},
    }


BAD_METADATA = {
    "a list": [1],
    "nan": {"a": [1, {"b": math.nan}]},
    "bytes": {"a": b"x"},
    "a set": {"a": {1}},
    "an integer as key": {1: "a"},
    "true as key": {True: "a"},
    "a tuple": {"a": (1, 2)},
    "a surrogate": {"a": "\ud800"},
    "too large": {"a": "x" * (1 << 20)},
}


@pytest.mark.parametrize("bad", BAD_METADATA.values(), ids=BAD_METADATA)
def test_bad_metadata_is_refused_and_nothing_is_stored(store: HTMCore, bad: Any) -> None:
    with pytest.raises(ValidationError, match="metadata"):
        store.store_embedding("a", V, bad)
    with pytest.raises(ValidationError, match=r"metadata\[1\]"):
        store.store_embeddings(["a", "b"], [V, V], [{}, bad])
    assert len(store) == 0


def test_metadata_that_holds_itself_or_is_too_deep_is_refused(store: HTMCore) -> None:
    loop: dict[str, Any] = {}
    loop["self"] = loop
    deep: dict[str, Any] = {}
    for _ in range(65):
        deep = {"d": deep}
    for bad in (loop, deep):
        with pytest.raises(ValidationError, match="metadata"):
            store.store_embedding("a", V, bad)
    assert len(store) == 0


@pytest.mark.parametrize(
    "arguments", [{"diff_ops": [{"op": "rename", "pos": 0}]}, {"diff_ops": 5}, {"text": b"bytes"}, {"text": "\ud800"}]
)
def test_bad_diff_ops_or_text_are_refused_and_nothing_is_stored(store: HTMCore, arguments: dict[str, Any]) -> None:
    ((name, bad),) = arguments.items()
    with pytest.raises(ValidationError, match=name):
        store.store_embedding("a", V, {}, **arguments)
    plural = {"diff_ops": "diff_ops", "text": "texts"}[name]
    with pytest.raises(ValidationError, match=rf"{plural}\[1\]"):
        store.store_embeddings(["a", "b"], [V, V], **{plural: [None, bad]})
    assert len(store) == 0


# ---- many entries ----


@pytest.mark.parametrize("count", [1, 1000, 1001])
def test_many_entries_are_stored_as_one_by_one(open_store: Any, tmp_path: Path, rng: np.random.Generator, count: int) -> None:
    keys, vectors = [f"key {i}" for i in range(count)], rows(rng, count)
    metadata = [{"n": i} for i in range(count)]
    ops = [None if i % 2 else [{"op": "delete", "pos": i, "count": 1}] for i in range(count)]
    texts = [None if i % 3 else f"text {i}" for i in range(count)]
    bulk, single = open_store(tmp_path / "bulk"), open_store(tmp_path / "single", durability="normal")
    chosen = range(0, count, 37)
    for number in chosen:  # some are there already
        for htm in (bulk, single):
            htm.store_embedding(keys[number], V, {}, text="before")
    bulk.store_embeddings(keys, vectors, metadata, ops, texts)
    for number in chosen:
        single.store_embedding(keys[number], vectors[number], metadata[number], ops[number], text=texts[number])
    assert len(bulk) == count
    for number in chosen:
        (a, b) = (htm.get_embedding(keys[number]) for htm in (bulk, single))
        np.testing.assert_equal({**a, "embedding": a["embedding"]["values"]}, {**b, "embedding": b["embedding"]["values"]})
        assert bulk.get_text(keys[number]) == single.get_text(keys[number])
        assert [version["version"] for version in bulk.history(keys[number])] == [1, 2]
    assert bulk.search_text("before") == []


def test_many_entries_are_stored_all_or_not_at_all(store: HTMCore, rng: np.random.Generator) -> None:
    keys, vectors = [f"key {i}" for i in range(1500)], rows(rng, 1500)
    store.store_embedding("key 7", V, {})
    before = contents(store)
    vectors[1400, 2] = np.nan
    with pytest.raises(ValidationError, match=r"matrix\[1400\]\[2\]"):
        store.store_embeddings(keys, vectors)
    vectors[1400, 2] = 1
    with pytest.raises(ValidationError, match=r"metadata\[1499\]"):
        store.store_embeddings(keys, vectors, [{}] * 1499 + [{"a": {1}}])
    assert contents(store) == before


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        ({"keys": ["a", "a"]}, "distinct"),
        ({"keys": "ab"}, "keys"),
        ({"keys": 5}, "keys"),
        ({"keys": ["a"]}, "matrix"),
        ({"keys": []}, "matrix"),
        ({"matrix": V}, "matrix"),
        ({"matrix": np.zeros((2, 3))}, "matrix"),
        ({"matrix": None}, "matrix"),
        ({"metadata": [{}]}, "metadata"),
        ({"metadata": {}}, "metadata"),
        ({"metadata": 5}, "metadata"),
        ({"metadata": "ab"}, "metadata"),
        ({"diff_ops": [None]}, "diff_ops"),
        ({"diff_ops": 5}, "diff_ops"),
        ({"texts": ["a", "b", "c"]}, "texts"),
        ({"texts": "ab"}, "texts"),
    ],
)
def test_lists_that_do_not_fit_together_are_refused(store: HTMCore, arguments: dict[str, Any], what: str) -> None:
    with pytest.raises(ValidationError, match=what):
        store.store_embeddings(**{"keys": ["a", "b"], "matrix": [V, W], **arguments})
    assert len(store) == 0


def test_storing_nothing_is_fine(store: HTMCore) -> None:
    store.store_embeddings([], [])
    store.store_embeddings([], np.empty((0, 4)), [], [], [])
    assert len(store) == 0


def test_any_iterable_of_keys_will_do(store: HTMCore) -> None:
    store.store_embeddings((key for key in "ab"), np.stack([V, W]), ({"n": i} for i in range(2)))
    assert [record["metadata"] for record in store.get_embeddings(key for key in "ba")] == [{"n": 1}, {"n": 0}]
    assert store.delete_many({"a": 1, "b": 2}.keys()) == 2


def test_many_entries_are_fetched_in_the_order_asked_for(store: HTMCore) -> None:
    store.store_embeddings(["a", "b"], [V, W])
    records = store.get_embeddings(["b", "x", "a", "b"])
    assert [record and record["key"] for record in records] == ["b", None, "a", "b"]
    assert records[0] is not records[3]


# ---- keys ----


def test_keys_come_in_the_order_of_their_utf8_bytes(store: HTMCore) -> None:
    keys = ["b", "a", "B", "\u00e9", "z", "\uffee", "\U0001f600", "a/b", "a!", "aa"]
    store.store_embeddings(keys, np.tile(V, (len(keys), 1)))
    assert list(store) == list(store.keys()) == sorted(keys, key=str.encode)


def test_keys_with_a_prefix_are_found_whatever_the_prefix_is(store: HTMCore) -> None:
    prefixes = ["src/", "%", "_", "*", "[a]", "'", '"', "\u00e9", "\U0010ffff", "\uffff", "a" * 1000, "\x7f"]
    keys = [prefix + rest for prefix in prefixes for rest in ("", "1", "\U0010ffff")]
    store.store_embeddings(keys, np.tile(V, (len(keys), 1)))
    for prefix in prefixes:
        assert list(store.keys(prefix)) == [prefix, f"{prefix}1", f"{prefix}\U0010ffff"]
    assert list(store.keys("src/2")) == []


def test_a_bad_prefix_is_refused_at_the_call(store: HTMCore) -> None:
    for bad in (5, None, "\ud800", "a\0", "x" * 2000):
        with pytest.raises(ValidationError, match="prefix"):
            store.keys(bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [999, 1000, 1001, 2500])
def test_every_key_is_met_once_however_many_there_are(store: HTMCore, count: int) -> None:
    keys = [f"key {i:05}" for i in range(count)]
    store.store_embeddings(keys, np.tile(V, (count, 1)))
    assert (list(store), len(store)) == (keys, count)


def test_keys_may_come_and_go_during_an_iteration(store: HTMCore) -> None:
    keys = [f"key {i:05}" for i in range(2000)]
    store.store_embeddings(keys, np.tile(V, (2000, 1)))
    met = []
    for number, key in enumerate(store):
        met.append(key)
        if number == 500:
            store.delete_many(keys[900:1500])
            store.store_embedding("zzz", V, {})
    assert sorted(met) == met
    assert {*keys[:900], *keys[1500:], "zzz"} <= set(met)


# ---- text ----


def test_a_text_comes_back_as_it_was_stored(store: HTMCore) -> None:
    texts = ["", "def f():\n\treturn 'x'\r\n", "\0\x01", "\U0001f600\u00e9", "word " * 100_000]
    for number, text in enumerate(texts):
        store.store_embedding(f"key {number}", V, {}, text=text)
    assert [store.get_text(f"key {number}") for number in range(len(texts))] == texts


def test_words_find_identifiers_however_they_are_written(store: HTMCore) -> None:
    store.store_embedding("one.py", V, {}, text="def parseArgument(self): ...")
    store.store_embedding("two.py", V, {}, text="def parse_arguments(): ...")
    store.store_embedding("three.py", V, {}, text="class HTTPServer2: ...")
    store.store_embedding("parse_it.py", V, {}, text="nothing")
    store.store_embedding("without.py", V, {})
    assert {"one.py", "two.py"} <= set(names(store.search_text("parse arguments")))
    assert set(names(store.search_text("PARSE"))) == {"one.py", "two.py", "parse_it.py"}
    assert names(store.search_text("http server")) == ["three.py"]
    assert store.search_text("without") == []


def test_hits_by_words_are_ordered_by_score_and_then_by_key(store: HTMCore) -> None:
    for key in ("b", "\u4e00", "a", "\u00e9", "c"):
        store.store_embedding(key, V, {}, text="same words")
    store.store_embedding("best", V, {}, text="words")
    hits = store.search_text("words")
    assert names(hits) == ["best", "a", "b", "c", "\u00e9", "\u4e00"]
    assert all(score > 0 for _, score, _ in hits)
    assert all(record["key"] == key for key, _, record in hits)
    for limit in range(1, 8):
        assert names(store.search_text("words", limit)) == names(hits)[:limit]


@pytest.mark.parametrize(
    "query", ["", " ", '"', "'", "*", "(", "a AND", "NEAR(", "^", ":", "body:x", "-", "\0", "\u0300", "\U0001f600", "a " * 9999]
)
def test_no_query_is_a_syntax_error(store: HTMCore, query: str) -> None:
    store.store_embedding("key", V, {}, text=query)
    assert store.get_text("key") == query
    assert names(store.search_text(query)) in ([], ["key"])
    assert names(store.search_hybrid(query, V)) == ["key"]


def test_a_query_may_have_more_words_than_count(store: HTMCore) -> None:
    words = [f"word{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(600)]
    store.store_embedding("key", V, {}, text=words[0])
    assert names(store.search_text(" ".join(words))) == ["key"]


def test_hybrid_search_is_by_vector_at_one_end_and_by_words_at_the_other(store: HTMCore) -> None:
    store.store_embedding("a", [1, 0, 0, 0], {}, text="red")
    store.store_embedding("b", [1, 1, 0, 0], {}, text="red green")
    store.store_embedding("c", [0, 1, 0, 0], {}, text="green green green")
    assert names(store.search_hybrid("green", [1, 0, 0, 0], weight=1)) == ["a", "b", "c"]
    assert names(store.search_hybrid("green", [1, 0, 0, 0], weight=0)) == ["c", "b", "a"]
    hits = store.search_hybrid("green", [1, 0, 0, 0], 2)
    assert len(hits) == 2
    assert all(0 <= score <= 1 for _, score, _ in hits)


@pytest.mark.parametrize("weight", [-0.1, 1.1, math.nan, math.inf, "1", None, True])
def test_a_weight_outside_zero_to_one_is_refused(store: HTMCore, weight: Any) -> None:
    with pytest.raises(ValidationError, match="weight"):
        store.search_hybrid("x", V, weight=weight)


# ---- arguments of searches ----


@pytest.mark.parametrize("limit", [0, -1, 1.5, "1", None, True, math.nan])
def test_row_36_a_limit_that_is_no_positive_integer_is_refused(store: HTMCore, limit: Any) -> None:
    for call in (
        lambda: store.search_similar(V, limit),
        lambda: store.search_text("x", limit),
        lambda: store.search_hybrid("x", V, limit),
    ):
        with pytest.raises(ValidationError, match="limit"):
            call()
    if limit is not None:
        with pytest.raises(ValidationError, match="max_results"):
            store.query_by_resonance(0.5, limit)


@pytest.mark.parametrize("limit", [3, 2**31, 2**63 - 1, 2**64, 10**30, np.uint8(200)])
def test_row_36_a_limit_above_the_number_of_entries_gives_all(store: HTMCore, limit: Any) -> None:
    store.store_embeddings(["a", "b"], [V, W], texts=["word", "word"])
    assert len(store.search_similar(V, limit, -1)) == 2
    assert len(store.search_text("word", limit)) == 2
    assert len(store.search_hybrid("word", V, limit)) == 2
    assert len(store.query_by_resonance(0, limit)) == 2


def test_row_36_an_empty_store_has_no_hits(store: HTMCore) -> None:
    for _ in range(2):
        assert store.search_similar(V, min_similarity=-1) == []
        assert store.search_text("word") == []
        assert store.search_hybrid("word", V) == []
        assert store.query_by_resonance(-1) == []
        store.store_embedding("a", V, {}, text="word")  # and the same once it is empty again
        store.flush()
        store.delete("a")


@pytest.mark.parametrize("bad", [math.nan, math.inf, "0.5", None, True, 1j])
def test_a_threshold_that_is_no_finite_number_is_refused(store: HTMCore, bad: Any) -> None:
    with pytest.raises(ValidationError, match="min_similarity"):
        store.search_similar(V, 10, bad)
    with pytest.raises(ValidationError, match="min_resonance"):
        store.query_by_resonance(bad)


def test_hits_are_at_least_as_similar_as_asked_for(store: HTMCore) -> None:
    store.store_embeddings(["same", "half", "opposite"], [[1, 0, 0, 0], [1, 1, 1, 1], [-1, 0, 0, 0]])
    query = [1, 0, 0, 0]
    assert names(store.search_similar(query, min_similarity=0.5)) == ["same", "half"]
    assert names(store.search_similar(query)) == ["same", "half"]
    assert names(store.search_similar(query, min_similarity=np.nextafter(0.5, 1))) == ["same"]
    assert names(store.search_similar(query, min_similarity=-1)) == ["same", "half", "opposite"]
    assert store.search_similar(query, min_similarity=1.5) == []


def test_resonance_of_two_vectors_is_the_contracts(store: HTMCore) -> None:
    assert store.calculate_resonance(V, V) == pytest.approx(1, abs=1e-12)
    assert store.calculate_resonance(V, -V) == 0
    assert store.calculate_resonance([1, 0, 0, 0], [1, 1, 1, 1]) == pytest.approx(0.55)
    assert store.calculate_resonance(V, W) == store.calculate_resonance(W, V)
