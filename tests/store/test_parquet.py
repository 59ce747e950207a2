"""Parquet files: what is exported comes back as it was, what other tools made is taken, and what is damaged is refused."""

import builtins
import contextlib
import errno
import json
import os
import random
import sqlite3
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st
from remote import Remote
from stores import V, W, contents, merge_in_the_background, rows, segment_files

from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import HTMCore, engine, exchange, parquet

CASES = int(os.environ.get("ANAM_TEST_EXAMPLES", "10"))


def held(htm: HTMCore) -> dict[str, Any]:
    """Return what a file of any tool can hold of each key."""
    found = {}
    for key, (record, vector, _, text, _) in contents(htm).items():
        found[key] = (vector, record["metadata"], record["diff_ops"], text)
    return found


def times(htm: HTMCore) -> dict[str, tuple[int, float]]:
    """Return version and time of each key."""
    records = [htm.get_embedding(key) for key in htm]
    return {record["key"]: (record["version"], record["embedding"]["timestamp"]) for record in records}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a path for a Parquet file."""
    return tmp_path / "rows.parquet"


@pytest.fixture
def filled(store: HTMCore, rng: np.random.Generator) -> HTMCore:
    """Return a store with segments, pending and dead rows, texts and differences."""
    store.store_embeddings([f"key {i}" for i in range(300)], rows(rng, 300), [{"n": i} for i in range(300)], texts=["word"] * 300)
    store.flush()
    store.store_embedding("key 7", V, {"n": "new"}, [{"op": "insert", "pos": 0, "lines": ["ä\0"]}], text="a\0b")
    store.delete_many(["key 1", "key 200"])
    return store


def import_into(file: Path, path: Path, shards: int = 4) -> dict[str, Any]:
    """Import a file into a new store; returns what it holds then."""
    with HTMCore(path, shards, dimension=4) as htm:
        assert htm.import_(file) == len(htm)
        assert htm.verify() == []
        return held(htm)


# ---- there and back ----

letters = st.characters(exclude_categories=["Cs"])
keys = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=30)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(letters, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(letters, max_size=8), inner, max_size=3),
    max_leaves=8,
)
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
vectors = st.lists(numbers, min_size=4, max_size=4).filter(any)
differences = st.lists(
    st.fixed_dictionaries(
        {"op": st.sampled_from(["insert", "delete", "replace"]), "pos": st.integers(0, 2**63 - 1)},
        optional={"count": st.integers(0, 99), "lines": st.lists(st.text(letters, max_size=8), max_size=3)},
    ),
    max_size=2,
)
entries = st.tuples(
    vectors,
    st.dictionaries(st.text(letters, max_size=8), values, max_size=3),
    differences,
    st.none() | st.text(letters, max_size=20),
)


@hypothesis.settings(max_examples=2 * CASES)
@hypothesis.given(stored=st.dictionaries(keys, entries, max_size=12), shards=st.integers(1, 9), again=st.booleans())
def test_what_is_exported_comes_back_as_it_was(stored: dict[str, Any], shards: int, again: bool) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        with HTMCore(path / "store", 3, dimension=4) as htm:
            for key, (vector, metadata, diff_ops, text) in stored.items():
                htm.store_embedding(key, vector, metadata, diff_ops, text=text)
            if again:
                htm.flush()
            expected = held(htm)
            assert htm.export(path / "rows.parquet") == len(stored)
        assert import_into(path / "rows.parquet", path / "other", shards) == expected


def test_metadata_of_any_size_and_texts_come_back(store: HTMCore, file: Path, tmp_path: Path) -> None:
    store.store_embedding("large", V, {"padding": "ä" * 500_000}, text="x\0" * 2_000_000)
    store.store_embedding("number", V, {"n": 10**4000, "small": 5e-324, "minus": -0.0, "nested": [[[{"a": []}]]]}, text="")
    store.store_embedding("none", [5e-324, 1e-40, -0.0, 1], {})
    store.export(file)
    assert import_into(file, tmp_path / "other") == held(store)


def test_imported_entries_keep_their_versions_and_times_and_count_on(
    filled: HTMCore, file: Path, open_store: Any, tmp_path: Path
) -> None:
    filled.store_embedding("key 7", V, {})
    filled.export(file)
    other = open_store(tmp_path / "other")
    other.import_(file)
    assert times(other) == times(filled)
    assert times(other)["key 7"][0] == 3
    assert [version["version"] for version in other.history("key 7")] == [3]
    other.store_embedding("key 7", W, {})
    assert times(other)["key 7"][0] == 4
    other.import_(file)
    assert times(other)["key 7"] == (5, times(filled)["key 7"][1])


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_a_store_comes_back_in_any_number_of_shards(filled: HTMCore, file: Path, tmp_path: Path, shards: int) -> None:
    assert filled.export(file) == 298
    assert import_into(file, tmp_path / "other", shards) == held(filled)
    with HTMCore(tmp_path / "other", read_only=True) as other:
        expected = [(key, score) for key, score, _ in filled.search_similar(V, 20, -1)]
        assert [(key, score) for key, score, _ in other.search_similar(V, 20, -1)] == expected
        assert {key for key, _, _ in other.search_text("word", 400)} == {key for key, _, _ in filled.search_text("word", 400)}


def test_an_empty_store_gives_an_empty_file(store: HTMCore, file: Path, tmp_path: Path) -> None:
    assert store.export(file) == 0
    assert pq.read_table(file).num_rows == 0
    assert import_into(file, tmp_path / "other") == {}


def test_files_larger_than_a_group_of_rows_are_written_and_stored_in_parts(
    filled: HTMCore, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 4_000)
    monkeypatch.setattr(exchange, "_BATCH_BYTES", 5_000)
    filled.export(file)
    metadata = pq.read_metadata(file)
    assert metadata.num_row_groups > 5
    assert max(metadata.row_group(i).total_byte_size for i in range(metadata.num_row_groups)) < 8_000
    assert import_into(file, tmp_path / "other") == held(filled)


def test_only_what_fulfils_a_filter_is_exported(filled: HTMCore, file: Path, tmp_path: Path) -> None:
    assert filled.export(file, where={"n": {"$lt": 10}}) == 8
    assert import_into(file, tmp_path / "other").keys() == {f"key {i}" for i in range(10)} - {"key 1", "key 7"}
    with pytest.raises(ValidationError, match="where"):
        filled.export(tmp_path / "other.parquet", where={"n": {"$bad": 1}})


def test_keys_that_exist_are_overwritten_and_others_stay(filled: HTMCore, file: Path, open_store: Any, tmp_path: Path) -> None:
    filled.export(file)
    other = open_store(tmp_path / "other")
    other.store_embedding("key 5", W, {"old": True}, text="old")
    other.store_embedding("mine", W, {})
    assert other.import_(file) == 298
    assert len(other) == 299
    assert (held(other)["key 5"], times(other)["key 5"][0]) == (held(filled)["key 5"], 2)
    assert [version["metadata"] for version in other.history("key 5")] == [{"old": True}, {"n": 5}]


async def test_exports_and_imports_can_be_awaited(filled: HTMCore, file: Path, open_store: Any, tmp_path: Path) -> None:
    assert await filled.export_async(file) == 298
    other = open_store(tmp_path / "other")
    assert await other.import_async(file) == 298
    assert held(other) == held(filled)


def test_other_tools_read_what_is_exported(filled: HTMCore, file: Path) -> None:
    filled.export(file)
    table = pq.read_table(file)
    assert table.column_names == ["key", "vector", "metadata", "text", "diff_ops", "version", "timestamp", "crc"]
    found = {row["key"]: row for row in table.to_pylist()}
    record = filled.get_embedding("key 7")
    row = found["key 7"]
    assert (row["vector"], json.loads(row["metadata"]), row["text"]) == (V.tolist(), {"n": "new"}, "a\0b")
    assert (json.loads(row["diff_ops"]), found["key 8"]["diff_ops"]) == (record["diff_ops"], None)
    assert (row["version"], row["timestamp"]) == (2, record["embedding"]["timestamp"])
    said = pq.read_metadata(file).metadata
    assert (said[b"anam.format"], said[b"anam.dimension"], said[b"anam.rows"]) == (b"1", b"4", b"298")


def test_progress_is_told_in_rows(filled: HTMCore, file: Path, open_store: Any, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    filled.export(file, progress_callback=lambda *step: seen.append(step))
    assert seen[-1] == (298, 298, "exporting")
    seen.clear()
    open_store(tmp_path / "other").import_(file, progress_callback=lambda *step: seen.append(step))
    assert [step for step in seen if step[0] == 298] == [(298, 298, "checking"), (298, 298, "storing")]


# ---- one moment ----


def test_an_export_is_one_moment_whatever_is_written_meanwhile(filled: HTMCore, file: Path, tmp_path: Path) -> None:
    expected = held(filled)

    def write(done: int, total: int, what: str) -> None:
        filled.delete_many([f"key {i}" for i in range(0, 300, 2)])
        filled.store_embeddings([f"new {i}" for i in range(done, done + 1001)], np.tile(W, (1001, 1)))
        merge_in_the_background(filled)

    filled.export(file, progress_callback=write)
    assert import_into(file, tmp_path / "other") == expected


def test_an_export_is_one_moment_whatever_another_process_writes(filled: HTMCore, file: Path, tmp_path: Path) -> None:
    path, expected = filled.storage_path, held(filled)
    filled.close()
    with Remote(path) as other, HTMCore(path, read_only=True) as reading:

        def write(done: int, total: int, what: str) -> None:
            other("[htm.delete_many([f'key {i}' for i in range(0, 300, 2)]), htm.store_embedding('new', [1, 2, 3, 4], {})]")
            other("[htm.flush(), __import__('stores').merge_in_the_background(htm)]")

        reading.export(file, progress_callback=write)
        assert "new" in reading
    assert import_into(file, tmp_path / "other") == expected


def test_a_segment_that_was_merged_away_meanwhile_is_no_damage(
    filled: HTMCore, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled.store_embedding("late", V, {})
    path, expected = filled.storage_path, held(filled)
    filled.close()
    load = engine.load_snapshot
    merges: list[int] = []
    with Remote(path) as other, HTMCore(path, read_only=True) as reading:
        other("[htm.store_embedding('key 1', [1, 2, 3, 4], {}), htm.flush()]")
        other("[htm.delete('key 1'), htm.store_embedding('late', [1, 2, 3, 4], {})]")

        def after_a_merge(of: Any, reader: Any, known: Any) -> Any:
            reader.segments()  # the moment begins
            if not merges:
                other("[htm.flush(), __import__('stores').merge_in_the_background(htm)]")
                merges.append(len(segment_files(path)))
            return load(of, reader, None)

        assert "key 1" not in reading  # it has seen what there was until now
        monkeypatch.setattr(engine, "load_snapshot", after_a_merge)
        reading.export(file)
    assert merges
    assert import_into(file, tmp_path / "other").keys() == expected.keys()


# ---- where a file can be ----


def test_a_file_that_is_there_is_kept_unless_it_is_to_be_replaced(filled: HTMCore, file: Path, tmp_path: Path) -> None:
    file.write_text("somebody's")
    with pytest.raises(HTMError, match=r"there already.*overwrite=True"):
        filled.export(file)
    assert file.read_text() == "somebody's"
    filled.export(file, overwrite=True)
    assert import_into(file, tmp_path / "other") == held(filled)


@pytest.mark.parametrize("target", ["store/rows.parquet", "store/catalog.sqlite", "missing/rows.parquet", ".", "x" * 300])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_goes_where_it_does_no_harm(filled: HTMCore, tmp_path: Path, target: str, overwrite: bool) -> None:
    before = {path.name for path in tmp_path.rglob("*")}
    with pytest.raises(HTMError, match=r"store|already|No such file|Is a directory|directory|too long"):
        filled.export(tmp_path / target, overwrite=overwrite)
    assert {path.name for path in tmp_path.rglob("*")} == before
    assert filled.verify() == []


def test_a_full_disk_leaves_nothing_of_a_file(filled: HTMCore, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 4_000)
    file.write_text("what was there")
    write, written = os.write, []

    def fail_later(descriptor: int, part: bytes) -> int:
        written.append(len(part))
        if len(written) == 20:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, part)

    monkeypatch.setattr(os, "write", fail_later)
    with pytest.raises(HTMError, match="disk is full"):
        filled.export(file, overwrite=True)
    assert len(written) == 20
    assert {path.name for path in file.parent.iterdir()} == {"store", "rows.parquet"}
    assert file.read_text() == "what was there"


@pytest.mark.parametrize("damage", ["flip", "remove"])
def test_a_damaged_store_is_not_exported(filled: HTMCore, file: Path, damage: str) -> None:
    path = filled.storage_path
    filled.close()
    segment = max(segment_files(path), key=lambda file: file.stat().st_size)
    content = bytearray(segment.read_bytes())
    segment.unlink()
    if damage == "flip":
        with HTMCore(path, read_only=True) as htm:
            ((row, _),) = htm._reading().snapshot().missing
        content[row.layout["vectors"] + 3] ^= 1
        segment.write_bytes(content)
    with HTMCore(path, read_only=True) as htm, pytest.raises(HTMError, match="damaged" if damage == "flip" else "cannot be read"):
        htm.export(file)
    assert {path.name for path in file.parent.iterdir()} == {"store"}


def test_an_entry_whose_row_is_gone_is_not_left_out_without_a_word(filled: HTMCore, file: Path) -> None:
    filled.close()
    with contextlib.closing(sqlite3.connect(filled.storage_path / "catalog.sqlite")) as catalog, catalog:
        catalog.execute(
            "INSERT INTO entries SELECT 9999, 'lost', shard, version, crc, metadata, mcrc, NULL, dcrc, 0 FROM entries LIMIT 1"
        )
    with HTMCore(filled.storage_path, read_only=True) as htm, pytest.raises(HTMError, match="do not agree; run verify"):
        htm.export(file)
    assert {path.name for path in file.parent.iterdir()} == {"store"}


def test_without_pyarrow_the_error_says_what_to_install(filled: HTMCore, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    importing = builtins.__import__

    def refuse(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return importing(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", refuse)
    for call in (filled.export, filled.import_):
        with pytest.raises(ImportError, match=r'pip install "anam_py\[parquet\]"'):
            call(file)
    assert {path.name for path in file.parent.iterdir()} == {"store"}


# ---- files of other tools ----


def lists(kind: Any, matrix: Any = ((1, 2, 3, 4), (5, 6, 7, 8))) -> Any:
    return pa.array([list(row) for row in matrix], kind)


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float16(), 4),
        pa.list_(pa.float64(), 4),
        pa.list_(pa.int32()),
        pa.list_(pa.uint8(), 4),
    ],
    ids=str,
)
def test_vectors_may_be_lists_of_any_kind_of_number(file: Path, tmp_path: Path, kind: Any) -> None:
    pq.write_table(pa.table({"key": ["a", "b"], "vector": lists(kind)}), file)
    found = import_into(file, tmp_path / "other")
    assert found == {
        "a": (np.array([1, 2, 3, 4], np.float32).tobytes(), {}, [], None),
        "b": (np.array([5, 6, 7, 8], np.float32).tobytes(), {}, [], None),
    }


METADATA = {
    "JSON": pa.array(['{"n": 1, "tags": ["x"]}', None]),
    "large JSON": pa.array(['{"n": 1, "tags": ["x"]}', "{}"], pa.large_string()),
    "repeated JSON": pa.array(['{"n": 1, "tags": ["x"]}', None]).dictionary_encode(),
    "structs": pa.array([{"n": 1, "tags": ["x"]}, None]),
}


@pytest.mark.parametrize("kind", METADATA)
def test_metadata_may_be_json_or_structs_and_any_of_it_null(file: Path, tmp_path: Path, kind: str) -> None:
    table = pa.table({"key": ["a", "b"], "vector": lists(pa.list_(pa.float32())), "metadata": METADATA[kind]})
    pq.write_table(table, file)
    found = import_into(file, tmp_path / "other")
    assert (found["a"][1], found["b"][1]) == ({"n": 1, "tags": ["x"]}, {})


def test_texts_and_differences_are_taken_and_other_columns_left_out(file: Path, tmp_path: Path) -> None:
    diff_ops = [{"op": "delete", "pos": 3, "count": 2}]
    columns = {
        "timestamp": pa.array(["yesterday", None]),
        "text": pa.array(["words", None]).dictionary_encode(),
        "vector": lists(pa.list_(pa.float32())),
        "other": pa.array([1, 2]),
        "diff_ops": pa.array([json.dumps(diff_ops), None]),
        "key": pa.array(["a", "b"]).dictionary_encode(),
        "metadata": pa.nulls(2),
        "crc": pa.array([0, 0]),
    }
    pq.write_table(pa.table(columns), file)
    found = import_into(file, tmp_path / "other")
    assert [value[1:] for value in found.values()] == [({}, diff_ops, "words"), ({}, [], None)]


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"data_page_version": "2.0"}, {"row_group_size": 7}, {"version": "1.0"}]
)
def test_many_rows_of_any_encoding_are_taken(
    file: Path, tmp_path: Path, rng: np.random.Generator, options: dict[str, Any]
) -> None:
    matrix = rows(rng, 1000)
    table = pa.table({"key": [f"key {i}" for i in range(1000)], "vector": lists(pa.list_(pa.float32()), matrix.tolist())})
    pq.write_table(table, file, **options)
    found = import_into(file, tmp_path / "other")
    assert all(found[f"key {i}"][0] == matrix[i].tobytes() for i in range(1000))


COUNT = 400  # more than are read at once


def column(good: Callable[[int], Any], bad: Any, kind: Any, at: int = 300) -> Any:
    """Return a column with one bad value."""
    return pa.array([bad if i == at else good(i) for i in range(COUNT)], kind)


def broken_utf8() -> Any:
    data = pa.array([b"\xff" if i == 300 else f"key {i}".encode() for i in range(COUNT)])
    return pa.StringArray.from_buffers(COUNT, *data.buffers()[1:])


def vectors_with(bad: Any, kind: Any) -> dict[str, Any]:
    return {"vector": column(lambda i: [1.0, 2.0, 3.0, float(i + 1)], bad, kind)}


FLOATS, FIXED, STRINGS = pa.list_(pa.float32()), pa.list_(pa.float32(), 4), pa.string()
DEEP = "[" * 100_000 + "]" * 100_000
BAD_ROWS = {
    "short vector": (vectors_with([1.0, 2.0, 3.0], FLOATS), "vector has 3 numbers, the store takes 4"),
    "long vector": (vectors_with([1.0] * 5, pa.large_list(pa.float32())), "vector has 5 numbers"),
    "empty vector": (vectors_with([], FLOATS), "vector has 0 numbers"),
    "null vector": (vectors_with(None, FLOATS), "vector is null"),
    "null fixed vector": (vectors_with(None, FIXED), "vector is null"),
    "null in a vector": (vectors_with([1.0, None, 3.0, 4.0], FLOATS), "null in it"),
    "null in a fixed vector": (vectors_with([1.0, None, 3.0, 4.0], FIXED), "null in it"),
    "NaN": (vectors_with([1.0, 2.0, float("nan"), 4.0], FLOATS), "not finite"),
    "infinity": (vectors_with([1.0, 2.0, float("inf"), 4.0], FIXED), "not finite"),
    "beyond float32": (vectors_with([1.0, 2.0, 1e300, 4.0], pa.list_(pa.float64())), "beyond float32"),
    "zero vector": (vectors_with([0.0] * 4, FLOATS), "zero vector"),
    "null key": ({"key": column("key {}".format, None, STRINGS)}, "key must be a str, got None"),
    "empty key": ({"key": column("key {}".format, "", STRINGS)}, "key must not be empty"),
    "NUL in a key": ({"key": column("key {}".format, "a\0", STRINGS)}, "NUL"),
    "long key": ({"key": column("key {}".format, "x" * 1025, STRINGS)}, "1,024 bytes"),
    "key that is not UTF-8": ({"key": broken_utf8()}, "key cannot be read"),
    "key of another row": ({"key": column("key {}".format, "key 5", STRINGS)}, "'key 5' is that of row 5"),
    "key of the next row": ({"key": column("key {}".format, "key 299", STRINGS)}, "'key 299' is that of row 299"),
    "metadata that is no JSON": ({"metadata": column(lambda i: f'{{"n": {i}}}', "{n: 1}", STRINGS)}, "metadata is not JSON"),
    "metadata that is no object": ({"metadata": column("{{}}".format, "[1]", STRINGS)}, "metadata must be a dict, got list"),
    "metadata without end": ({"metadata": column("{{}}".format, DEEP, STRINGS)}, "metadata is not JSON"),
    "metadata with NaN": ({"metadata": column("{{}}".format, '{"a": [NaN]}', STRINGS)}, r'metadata\["a"\]\[0\]'),
    "bytes in metadata": (
        {"metadata": column(lambda _: {"b": None}, {"b": b"x"}, pa.struct([("b", pa.binary())]))},
        r'metadata\["b"\]: a bytes cannot',
    ),
    "differences that are none": ({"diff_ops": column(lambda _: None, '[{"op": "x"}]', STRINGS)}, "diff_ops"),
    "text that is not UTF-8": ({"text": broken_utf8()}, "text cannot be read"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_row_that_cannot_be_stored_is_named_and_nothing_stored(
    store: HTMCore, file: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exchange, "_BATCH_BYTES", 1_000)  # the rows before it would be stored in batches of their own
    columns, problem = BAD_ROWS[case]
    good = {
        "key": pa.array([f"key {i}" for i in range(COUNT)]),
        "vector": lists(FLOATS, [[1, 2, 3, i + 1] for i in range(COUNT)]),
    }
    pq.write_table(pa.table(good | columns), file)
    store.store_embedding("before", V, {})
    with pytest.raises(ValidationError, match=rf"(?s)rows\.parquet.*row 300 .*{problem}.*nothing of it was stored"):
        store.import_(file)
    assert list(store) == ["before"]


BAD_FILES = {
    "no key": ({"vector": lists(FLOATS)}, "no column 'key', only 'vector'"),
    "no vector": ({"key": ["a", "b"], "embedding": lists(FLOATS)}, "no column 'vector'"),
    "no columns": ({}, "no column 'key', only none at all"),
    "keys that are numbers": ({"key": [1, 2], "vector": lists(FLOATS)}, "must have strings in the column 'key', it has int64"),
    "keys that are bytes": ({"key": [b"a", b"b"], "vector": lists(FLOATS)}, "must have strings in the column 'key'"),
    "vectors of strings": ({"key": ["a", "b"], "vector": [["1"], ["2"]]}, "lists of numbers in the column 'vector'"),
    "vectors that are numbers": ({"key": ["a", "b"], "vector": [1.0, 2.0]}, "lists of numbers"),
    "matrices": ({"key": ["a", "b"], "vector": [[[1.0] * 4]] * 2}, "lists of numbers"),
    "texts that are numbers": ({"key": ["a", "b"], "vector": lists(FLOATS), "text": [1, 2]}, "strings in the column 'text'"),
    "metadata that are numbers": ({"key": ["a", "b"], "vector": lists(FLOATS), "metadata": [1, 2]}, "JSON strings or structs"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_file_without_the_columns_of_a_store_is_refused(store: HTMCore, file: Path, case: str) -> None:
    columns, problem = BAD_FILES[case]
    pq.write_table(pa.table(columns), file)
    with pytest.raises(ValidationError, match=problem):
        store.import_(file)
    assert len(store) == 0


def test_two_columns_of_one_name_are_refused(store: HTMCore, file: Path) -> None:
    keys_ = pa.array(["a", "b"])
    pq.write_table(pa.Table.from_arrays([keys_, lists(FLOATS), keys_], names=["key", "vector", "key"]), file)
    with pytest.raises(ValidationError, match="two columns of one name"):
        store.import_(file)


# ---- files that are damaged, or no files ----


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" * 10, b"not a Parquet file", bytes(1000)])
def test_what_is_no_parquet_file_is_refused(store: HTMCore, file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValidationError, match="no Parquet file"):
        store.import_(file)


def test_a_path_without_a_file_is_an_error(store: HTMCore, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.parquet"):
        with pytest.raises(HTMError, match=f"cannot read '{path}'"):
            store.import_(path)
    for bad in ("", None, 7):
        with pytest.raises(ValidationError, match="path"):
            store.import_(bad)


def test_a_store_that_is_only_read_takes_no_rows(filled: HTMCore, file: Path) -> None:
    filled.export(file)
    with HTMCore(filled.storage_path, read_only=True) as reading, pytest.raises(HTMError, match="read_only=True"):
        reading.import_(file)


def test_vectors_of_another_dimension_are_refused(filled: HTMCore, file: Path, tmp_path: Path) -> None:
    filled.export(file)
    with HTMCore(tmp_path / "other", dimension=5) as other:
        with pytest.raises(ValidationError, match="vectors of 4 numbers, the store takes 5"):
            other.import_(file)
        assert len(other) == 0


def test_a_truncated_file_is_refused_wherever_it_ends(filled: HTMCore, file: Path, tmp_path: Path) -> None:
    filled.export(file)
    content = file.read_bytes()
    lengths = random.Random(0).sample(range(len(content)), 5 * CASES)
    with HTMCore(tmp_path / "other", dimension=4) as other:
        for length in (*lengths, len(content) - 1):
            file.write_bytes(content[:length])
            with pytest.raises(ValidationError, match="no Parquet file, or damaged"):
                other.import_(file)
        assert len(other) == 0


def test_a_flipped_bit_is_found_or_changes_nothing(store: HTMCore, file: Path, tmp_path: Path) -> None:
    """Some bits of a footer say nothing, as those of its statistics."""
    for i in range(5):
        store.store_embedding(f"key {i}", V + i, {"n": i}, text=f"word {i}")
    store.export(file)
    expected, content = held(store), bytearray(file.read_bytes())
    chance = random.Random(0)
    found = 0
    with HTMCore(tmp_path / "other", dimension=4) as other:
        for _ in range(30 * CASES):
            place, bit = chance.randrange(len(content)), 1 << chance.randrange(8)
            content[place] ^= bit
            file.write_bytes(content)
            content[place] ^= bit
            try:
                other.import_(file)
            except ValidationError:
                found += 1
                assert len(other) == 0
            else:
                assert held(other) == expected
                other.delete_many(list(other))
    assert found > 15 * CASES


def test_damage_to_a_page_is_found_in_a_file_of_another_tool_that_has_checksums(store: HTMCore, file: Path) -> None:
    table = pa.table({"key": ["a", "b"], "vector": lists(FLOATS)})
    pq.write_table(table, file, compression="none", use_dictionary=False, write_page_checksum=True)
    content = file.read_bytes()
    file.write_bytes(content.replace(np.float32(7).tobytes(), np.float32(7.5).tobytes(), 1))
    with pytest.raises(ValidationError, match="no Parquet file, or damaged"):
        store.import_(file)
    assert len(store) == 0


@pytest.mark.parametrize(("version", "timestamp"), [(0, 1.0), (-1, 1.0), (2**63 - 1, 1.0), (1, float("nan")), (1, float("inf"))])
def test_versions_and_times_that_cannot_be_are_refused(store: HTMCore, file: Path, version: int, timestamp: float) -> None:
    vectors = [V, W]
    made = [
        parquet.Row(f"key {i}", vectors[i], "{}", None, None, (7, version)[i], (1.5, timestamp)[i], zlib.crc32(vectors[i]))
        for i in range(2)
    ]
    file.write_bytes(b"".join(parquet.write(made, 4)))
    with pytest.raises(ValidationError, match=r"row 1 .*its version is"):
        store.import_(file)
    assert len(store) == 0
    file.write_bytes(b"".join(parquet.write(made[:1], 4)))
    store.import_(file)
    assert times(store) == {"key 0": (7, 1.5)}


def test_what_a_file_says_of_itself_must_be_so(filled: HTMCore, file: Path, store_path: Path, tmp_path: Path) -> None:
    """Also where every page has the right checksum, as after a change by another tool."""
    filled.export(file)
    table = pq.read_table(file)
    said = {name: value for name, value in pq.read_metadata(file).metadata.items() if name.startswith(b"anam.")}
    table = table.replace_schema_metadata(said)
    changed = {
        "fewer rows": table.slice(1),
        "more rows": pa.concat_tables([table, table.slice(0, 1)]),
        "another order": table.take(list(reversed(range(table.num_rows)))),
        "another value": table.set_column(3, table.schema.field(3), pa.array(["changed"] * table.num_rows)),
        "another column": table.drop_columns(["text"]),
        "a newer format": table.replace_schema_metadata(said | {b"anam.format": b"2"}),
        "no checksum": table.replace_schema_metadata({name: value for name, value in said.items() if name != b"anam.crc"}),
        "no number": table.replace_schema_metadata(said | {b"anam.rows": b"many"}),
        "something else": table.replace_schema_metadata(said | {b"anam.more": b"1"}),
    }
    with HTMCore(tmp_path / "other", dimension=4) as other:
        for name, damaged in changed.items():
            pq.write_table(damaged, file)
            with pytest.raises(
                ValidationError, match="upgrade anam_py" if name == "a newer format" else "damaged|is that of row"
            ):
                other.import_(file)
            assert len(other) == 0
        pq.write_table(changed["fewer rows"].replace_schema_metadata({}), file)
        assert other.import_(file) == table.num_rows - 1
