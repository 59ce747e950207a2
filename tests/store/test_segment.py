"""What the files of a segment promise: plain HDF5 that anyone can read, mapped without HDF5 in between."""

import re
import threading
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle_norms
from stores import V, names, rows, segment_files

from anam_py.store import HTMCore, jobs, merge, segment
from anam_py.store.segment import Strings

TYPES = {
    "ids": ("<i8", 1),
    "vectors": ("<f4", 2),
    "norms": ("<f8", 1),
    "crc": ("<u4", 1),
    "mcrc": ("<u4", 1),
    "versions": ("<i8", 1),
    "timestamps": ("<f8", 1),
    "keys": ("|u1", 1),
    "key_ends": ("<i8", 1),
    "metadata": ("|u1", 1),
    "metadata_ends": ("<i8", 1),
}


@pytest.fixture(params=["pending", "bulk", "merged"])
def written(request: pytest.FixtureRequest, open_store: Any, monkeypatch: pytest.MonkeyPatch) -> HTMCore:
    """Return a store whose segments came about in each of the three ways."""
    rng = np.random.default_rng(0)
    htm = open_store(shard_count=2, dimension=5)
    keys = [f"key {i} \u00e9\U0001f600" for i in range(60)]
    matrix = rows(rng, 60, 5)
    metadata = [{"n": i, "text": "\u00e9" * i} for i in range(60)]
    if request.param != "merged":
        monkeypatch.setattr(merge, "choose", lambda _: [])
    if request.param == "bulk":
        monkeypatch.setattr(jobs, "BULK_ROWS", 10)
    htm.store_embeddings(keys[:30], matrix[:30], metadata[:30])
    htm.flush()
    htm.store_embeddings(keys[20:], matrix[20:], metadata[20:])
    htm.flush()
    if request.param == "merged":
        htm.delete_many(keys[:10])
        htm.compact()
    return htm


def test_h5py_reads_everything_that_a_segment_holds(written: HTMCore) -> None:
    seen = set()
    for path in segment_files(written.storage_path):
        with h5py.File(path) as file:
            assert set(file) == set(TYPES)
            ids, vectors = file["ids"][:], file["vectors"][:]
            keys, metadata = strings(file, "keys", "key_ends"), strings(file, "metadata", "metadata_ends")
            np.testing.assert_array_equal(file["norms"][:], oracle_norms(vectors))
            assert file["crc"][:].tolist() == [zlib.crc32(vector.tobytes()) for vector in vectors]
            for row, (key, vector) in enumerate(zip(keys, vectors, strict=True)):
                record = written.get_embedding(key)
                if record is not None and record["version"] == file["versions"][row]:
                    assert record["embedding"]["values"].tobytes() == vector.tobytes()
                    assert record["embedding"]["timestamp"] == file["timestamps"][row]
                    assert metadata[row].startswith('{"n":')
                    seen.add(key)
            fields = zip(ids, keys, file["versions"][:], file["timestamps"][:], metadata, strict=True)
            assert file["mcrc"][:].tolist() == [
                zlib.crc32(f"{i}\0{key}\0{version}\0{float(time)!r}\0{body}".encode()) for i, key, version, time, body in fields
            ]
    assert seen == set(written)


def strings(file: h5py.File, data: str, ends: str) -> list[str]:
    body, stops = file[data][:].tobytes(), file[ends][:].tolist()
    return [body[start:stop].decode() for start, stop in zip([0, *stops], stops, strict=False)]


def test_datasets_are_contiguous_plain_and_aligned(written: HTMCore) -> None:
    for path in segment_files(written.storage_path):
        with h5py.File(path) as file:
            count = file.attrs["rows"]
            for name, (dtype, dimensions) in TYPES.items():
                dataset = file[name]
                assert dataset.dtype == np.dtype(dtype)
                assert dataset.ndim == dimensions
                assert (dataset.chunks, dataset.compression, dataset.external, dataset.is_virtual) == (None, None, None, False)
                assert dataset.id.get_offset() % 64 == 0
                assert len(dataset) == count or name in ("keys", "metadata")
            assert file["vectors"].shape == (count, 5)


def test_ids_ascend_and_segments_of_a_shard_do_not_overlap(written: HTMCore) -> None:
    ends: dict[str, int] = {}
    files = sorted(segment_files(written.storage_path), key=lambda path: int(path.name.split("-")[1]))
    for path in files:
        with h5py.File(path) as file:
            ids = file["ids"][:].tolist()
            assert ids == sorted(set(ids))
            assert ids[0] > ends.get(path.parent.name, 0)
            ends[path.parent.name] = ids[-1]
            assert re.fullmatch(rf"seg-{ids[-1]}-[0-9a-f]{{8}}\.h5", path.name)
            assert {zlib.crc32(key.encode()) % 2 for key in strings(file, "keys", "key_ends")} == {file.attrs["shard"]}


def test_attributes_say_what_a_segment_is(written: HTMCore) -> None:
    for path in segment_files(written.storage_path):
        with h5py.File(path) as file:
            assert set(file.attrs) == {"magic", "format", "uuid", "shard", "rows", "dimension", "replaces"}
            assert (file.attrs["magic"], file.attrs["format"]) == (b"anam-segment", 1)
            assert file.attrs["uuid"].decode() == written.stats()["uuid"]
            assert (file.attrs["rows"], file.attrs["dimension"]) == file["vectors"].shape
            assert f"shard-{file.attrs['shard']:04}" == path.parent.name
            assert all(
                h5py.check_string_dtype(file.attrs.get_id(name).dtype) is None
                or h5py.check_string_dtype(file.attrs.get_id(name).dtype).length
                for name in ("magic", "uuid", "replaces")
            )


def test_a_merged_segment_says_what_it_replaces(
    open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "choose", lambda _: [])
    htm = open_store(shard_count=1)
    for number in range(3):
        htm.store_embeddings([f"key {number} {i}" for i in range(5)], rows(rng, 5))
        htm.flush()
    before = [path.name for path in sorted(segment_files(htm.storage_path), key=lambda path: int(path.name.split("-")[1]))]
    htm.compact()
    (path,) = segment_files(htm.storage_path)
    with h5py.File(path) as file:
        assert file.attrs["replaces"].decode().split(",") == before
        assert strings(file, "keys", "key_ends") == [f"key {number} {i}" for number in range(3) for i in range(5)]


@pytest.mark.parametrize("dimension", [1, 3, 768])
def test_a_segment_of_one_row_is_as_good_as_any(open_store: Any, dimension: int) -> None:
    htm = open_store(dimension=dimension, shard_count=1)
    htm.store_embedding("a", np.ones(dimension), {})
    htm.compact()
    (path,) = segment_files(htm.storage_path)
    with h5py.File(path) as file:
        assert file["vectors"].shape == (1, dimension)
        assert file["ids"][:].tolist() == [1]
    assert names(htm.search_similar(np.ones(dimension))) == ["a"]


def test_scans_read_the_file_in_place(open_store: Any, rng: np.random.Generator) -> None:
    htm = open_store(shard_count=1, dimension=16)
    htm.store_embeddings([f"key {i}" for i in range(100)], rows(rng, 100, 16))
    htm.flush()
    (block,) = htm._engine.snapshot().segments
    for array in (block.ids, block.vectors, block.norms):
        assert not array.flags.owndata
        assert not array.flags.writeable
        assert array.flags.aligned
        assert array.ctypes.data % 64 == 0
    assert block.segment.layout["vectors"] % 64 == 0


def test_files_are_never_changed_once_written(open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "choose", lambda _: [])
    htm = open_store()
    htm.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50))
    htm.flush()
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in segment_files(htm.storage_path)}
    htm.delete_many([f"key {i}" for i in range(25)])
    htm.store_embeddings([f"key {i}" for i in range(20, 70)], rows(rng, 50))
    htm.flush()
    htm.search_similar(V)
    htm.close()
    open_store().verify()
    for path, (data, modified, inode) in before.items():
        assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) == (data, modified, inode)


def test_segments_may_be_written_by_many_threads_at_once(tmp_path: Path, rng: np.random.Generator) -> None:
    """HDF5 confuses files in memory of one name."""
    handles = [HTMCore(tmp_path / f"{number}", dimension=4) for number in range(4)]
    matrix = rows(rng, 300)

    def fill(htm: HTMCore) -> None:
        for start in range(0, 300, 10):
            htm.store_embeddings([f"key {i}" for i in range(start, start + 10)], matrix[start : start + 10])
            htm.flush()

    threads = [threading.Thread(target=fill, args=(htm,)) for htm in handles]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for htm in handles:
        assert len(htm.search_similar(V, 1000, -1)) == 300
        assert htm.verify() == []
        assert htm.stats()["background_error"] is None
        htm.close()


def test_a_large_bulk_is_split_into_segments_of_bounded_size(open_store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "FULL_BYTES", 50_000)
    monkeypatch.setattr(merge, "LARGEST_BYTES", 100_000)
    htm = open_store(dimension=64, shard_count=2)
    htm.store_embeddings([f"key {i}" for i in range(2000)], np.ones((2000, 64)))
    sizes = [path.stat().st_size for path in segment_files(htm.storage_path)]
    assert len(sizes) > 8
    assert max(sizes) < 70_000
    htm.compact()
    assert max(path.stat().st_size for path in segment_files(htm.storage_path)) < 110_000
    assert len(htm) == len(htm.search_similar(np.ones(64), 5000)) == 2000


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5), min_size=1), st.data())
def test_strings_end_to_end_are_the_strings(strings: list[str], data: st.DataObject) -> None:
    packed = Strings.of(strings)
    assert [packed[i].decode() for i in range(len(strings))] == strings
    chosen = data.draw(st.lists(st.integers(0, len(strings) - 1), min_size=1).map(lambda rows: sorted(set(rows))))
    taken = packed.take(np.array(chosen, np.intp))
    assert [taken[i].decode() for i in range(len(chosen))] == [strings[i] for i in chosen]
    joined = Strings.joined([packed, taken])
    assert [joined[i].decode() for i in range(len(strings) + len(chosen))] == [*strings, *(strings[i] for i in chosen)]
    assert joined.ends.dtype == np.int64


def test_nothing_but_segments_imports_hdf5(store: HTMCore) -> None:
    assert segment.__doc__ is not None
    store.store_embedding("a", V, {})
    assert names(store.search_similar(V)) == ["a"]
