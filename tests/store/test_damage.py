"""What happens to a damaged store: a clear error, nothing deleted, and never a wrong answer."""

import contextlib
import json
import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from damaging import OUTCOMES, UNACCEPTABLE, Ward
from stores import V, W, contents, merge_in_the_background, names, rows, segment_files

from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, merge

# ---- a store to damage ----

KEYS = [f"key {i}" for i in range(40)]


@pytest.fixture(scope="module", name="whole")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed store: two shards of three segments each, texts, history, a few rows that are dead."""
    path = tmp_path_factory.mktemp("whole") / "store"
    rng = np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as monkeypatch, HTMCore(path, 2, dimension=4) as htm:
        monkeypatch.setattr(merge, "choose", lambda _: [])
        for start, stop in ((0, 24), (24, 34), (34, 40)):
            htm.store_embeddings(KEYS[start:stop], rows(rng, stop - start), texts=["some words"] * (stop - start))
            htm.flush()
        htm.store_embedding("key 1", V, {"n": 2}, [{"op": "insert", "pos": 0, "count": 0, "lines": ["x"]}], text="new words")
        htm.delete("key 2")
        htm.flush()
    with HTMCore(path) as htm:
        assert htm.verify() == []
        assert len(segment_files(path)) == 7
    return path


@pytest.fixture
def damaged(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the store."""
    return shutil.copytree(whole, tmp_path / "store")


def files(path: Path) -> dict[str, bytes]:
    """Return every file of a store that holds data."""
    found = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
    # SQLite makes an empty log for a reader, too.
    return {name: file.read_bytes() for name, file in found.items() if not name.startswith("LOCK") and "sqlite-" not in name}


def refused(path: Path, what: str, *, read_only: bool | None = None) -> None:
    """Assert that a store does not open, for a reason that is told, and that nothing of it changes."""
    before = files(path)
    for way in (False, True) if read_only is None else (read_only,):
        for _ in range(2):
            with pytest.raises(HTMError, match=what):
                HTMCore(path, read_only=way)
    assert files(path) == before


@contextlib.contextmanager
def catalog(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to a closed store's catalog."""
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as connection:
        yield connection
        connection.commit()


def overwrite(path: Path, data: bytes) -> None:
    """Replace a file, whatever its mode."""
    path.unlink()
    path.write_bytes(data)


# ---- the catalog ----


def test_row_12_a_missing_catalog_is_refused_and_nothing_is_deleted(damaged: Path) -> None:
    (damaged / "catalog.sqlite").unlink()
    refused(damaged, "catalog.*missing.*repair it")


def test_row_12_an_empty_catalog_is_refused_and_nothing_is_deleted(damaged: Path) -> None:
    overwrite(damaged / "catalog.sqlite", b"")
    refused(damaged, "catalog.*empty.*repair it")


def test_a_missing_catalog_is_refused_also_where_the_marker_is_missing(damaged: Path) -> None:
    (damaged / "catalog.sqlite").unlink()
    (damaged / "anam.json").unlink()
    refused(damaged, "catalog.*missing.*repair it", read_only=False)
    refused(damaged, "no store", read_only=True)


@pytest.mark.parametrize(
    "data", [b"garbage", b"SQLite format 3\0", os.urandom(8192), b"\0" * 8192], ids=["text", "header", "random", "zeros"]
)
def test_row_12_a_catalog_of_garbage_is_refused(damaged: Path, data: bytes) -> None:
    overwrite(damaged / "catalog.sqlite", data)
    refused(damaged, "catalog")


@pytest.mark.parametrize("size", [100, 4096, 20_000, -4096])
def test_row_12_a_catalog_that_was_cut_off_is_refused_or_named_by_verify(damaged: Path, size: int) -> None:
    data = (damaged / "catalog.sqlite").read_bytes()
    overwrite(damaged / "catalog.sqlite", data[:size])
    htm = opened_or_refused(damaged, "catalog")
    if htm is not None:
        with htm:
            problems = htm.verify()
            assert any(problem.severity == "error" and "catalog" in problem.where for problem in problems)


def test_row_12_someone_elses_database_is_refused(damaged: Path) -> None:
    (damaged / "catalog.sqlite").unlink()
    with catalog(damaged) as sql:
        sql.execute("CREATE TABLE mine (a)")
    refused(damaged, "not a catalog of anam_py")
    (damaged / "anam.json").unlink()
    refused(damaged, "not a catalog of anam_py", read_only=False)


def test_row_12_a_damaged_text_index_is_found_by_verify_and_mended_by_repair(damaged: Path) -> None:
    """SQLite's own check does not look at what is in it."""
    with HTMCore(damaged, read_only=True) as htm:
        before = contents(htm)
    with catalog(damaged) as sql:
        sql.execute("UPDATE lexemes_data SET block = x'00000000' || substr(block, 5) WHERE id > 10")
        sql.commit()
    assert [problem.where for problem in HTMCore.verify(damaged)] == ["lexemes"]
    HTMCore.repair(damaged)
    with HTMCore(damaged) as htm:
        assert htm.verify() == []
        assert contents(htm) == before
        assert htm.search_text("word", 100)


def test_row_02_a_creation_that_was_cut_off_inside_sqlite_is_begun_anew(store_path: Path) -> None:
    store_path.mkdir()
    subprocess.run([sys.executable, "-c", CUT_OFF, store_path / "catalog.sqlite"], check=True)
    assert (store_path / "catalog.sqlite-journal").exists()
    with HTMCore(store_path, dimension=4) as htm:
        htm.store_embedding("a", V, {})
        assert htm.verify() == []


CUT_OFF = """
import os, sqlite3, sys
sql = sqlite3.connect(sys.argv[1], isolation_level=None)
sql.execute("PRAGMA cache_size = 1")
sql.execute("BEGIN")
sql.execute("CREATE TABLE half (a)")
sql.executemany("INSERT INTO half VALUES (randomblob(3000))", [()] * 20)
os._exit(0)
"""


@pytest.mark.parametrize("state", ["live", "dead"])
def test_row_35_a_catalog_that_names_a_file_elsewhere_never_removes_or_reads_it(damaged: Path, state: str) -> None:
    precious = damaged.parent / "precious.h5"
    data = segment_files(damaged)[0].read_bytes()
    precious.write_bytes(data)
    with catalog(damaged) as sql:
        sql.execute("UPDATE segments SET name = '../../precious.h5', state = ? WHERE id = 1", (state,))
    htm = opened_or_refused(damaged, "segment")
    if htm is not None:
        with htm:
            assert [problem for problem in htm.verify() if problem.severity == "error"]
    assert precious.read_bytes() == data


def test_someone_elses_database_alone_in_a_folder_is_left_alone(store_path: Path) -> None:
    store_path.mkdir()
    with catalog(store_path) as sql:
        sql.execute("CREATE TABLE mine (a)")
    refused(store_path, "not a catalog of anam_py", read_only=False)


def test_row_14_a_newer_format_is_refused_with_both_versions(damaged: Path) -> None:
    with catalog(damaged) as sql:
        sql.execute("PRAGMA user_version = 7")
    refused(damaged, r"format 7.*up to 1.*upgrade")


@pytest.mark.parametrize("file", ["marker", "catalog"])
def test_row_14_a_newer_format_of_the_marker_is_refused_with_both_versions(damaged: Path, file: str) -> None:
    body = json.loads((damaged / "anam.json").read_text())
    overwrite(damaged / "anam.json", json.dumps({**body, "format": 7}).encode())
    if file == "catalog":
        (damaged / "catalog.sqlite").unlink()
    refused(damaged, r"format 7.*up to 1.*upgrade")


def test_an_unknown_required_feature_is_refused_and_named(damaged: Path) -> None:
    set_features(damaged, {"required": ["codes", "shape"], "required_to_write": [], "tables": []})
    refused(damaged, "'codes', 'shape'.*upgrade")


def test_a_feature_required_to_write_still_lets_others_read(damaged: Path) -> None:
    set_features(damaged, {"required": [], "required_to_write": ["stamps"], "tables": ["stamps"]})
    with catalog(damaged) as sql:
        sql.execute("CREATE TABLE stamps (a)")
    refused(damaged, "'stamps'.*upgrade", read_only=False)
    with HTMCore(damaged, read_only=True) as htm:
        assert len(htm) == 39
        assert htm.verify() == []


def test_an_optional_feature_and_its_tables_are_left_alone(damaged: Path) -> None:
    set_features(damaged, {"required": [], "required_to_write": [], "tables": ["extra"], "optional": ["extra"]})
    with catalog(damaged) as sql:
        sql.execute("CREATE TABLE extra (a)")
        sql.execute("INSERT INTO extra VALUES (1)")
        sql.execute("CREATE INDEX extra_a ON extra (a)")
    with HTMCore(damaged) as htm:
        htm.store_embedding("a", V, {})
        assert htm.verify() == []
    with catalog(damaged) as sql:
        assert sql.execute("SELECT a FROM extra").fetchall() == [(1,)]


@pytest.mark.parametrize("features", ["", "{", "[]", "1", '{"required": 5}', '{"tables": {"a": 1}}', '{"tables": [[]]}', None])
def test_features_that_are_none_are_refused(damaged: Path, features: str | None) -> None:
    with catalog(damaged) as sql:
        if features is None:
            sql.execute("DELETE FROM meta WHERE key = 'features'")
        else:
            sql.execute("UPDATE meta SET value = ? WHERE key = 'features'", (features,))
    refused(damaged, "catalog")


def set_features(path: Path, features: dict[str, Any]) -> None:
    with catalog(path) as sql:
        sql.execute("UPDATE meta SET value = ? WHERE key = 'features'", (json.dumps(features),))


STRANGE = {
    "trigger": "CREATE TRIGGER evil AFTER INSERT ON pending BEGIN DELETE FROM entries; END",
    "view": "CREATE VIEW evil AS SELECT * FROM entries",
    "table": "CREATE TABLE evil (a)",
    "index": "CREATE INDEX evil ON entries (timestamp)",
    "virtual table": "CREATE VIRTUAL TABLE evil USING fts5(a)",
    "column": "ALTER TABLE entries ADD COLUMN evil",
    "dropped": "DROP TABLE files",
    "renamed": "ALTER TABLE dead RENAME TO evil",
    "meta": "DROP TABLE meta",
    "sqlite_": "CREATE TRIGGER sqliteevil AFTER INSERT ON pending BEGIN DELETE FROM entries; END",
}


@pytest.mark.parametrize("statement", STRANGE.values(), ids=STRANGE)
def test_row_35_a_catalog_with_other_tables_or_a_trigger_is_refused(damaged: Path, statement: str) -> None:
    with catalog(damaged) as sql:
        sql.execute(statement)
    refused(damaged, "catalog")


def test_an_optional_table_does_not_excuse_a_trigger(damaged: Path) -> None:
    set_features(damaged, {"required": [], "required_to_write": [], "tables": ["extra", "evil"]})
    with catalog(damaged) as sql:
        sql.execute("CREATE TABLE extra (a)")
        sql.execute("CREATE TRIGGER evil AFTER INSERT ON extra BEGIN DELETE FROM entries; END")
    refused(damaged, "evil")


def test_row_13_a_stale_log_next_to_the_catalog_changes_nothing(whole: Path, damaged: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    htm = HTMCore(other, dimension=4)
    htm.store_embedding("alien", V, {})
    wal = (other / "catalog.sqlite-wal").read_bytes()
    htm.close()
    assert wal
    (damaged / "catalog.sqlite-wal").write_bytes(wal)
    htm = opened_or_refused(damaged, "mixed up|catalog")
    if htm is not None:
        with htm, HTMCore(whole, read_only=True) as original:
            right_or_refused(htm, {key: original.get_embedding(key) for key in original})
            assert contents(htm) == contents(original) if htm.verify() == [] else True


def opened_or_refused(path: Path, what: str) -> HTMCore | None:
    """Return a handle on a store; None if it is refused with an error that says so."""
    try:
        return HTMCore(path)
    except HTMError as error:
        if not re.search(what, str(error)):
            raise
        return None


def right_or_refused(htm: HTMCore, expected: dict[str, Any]) -> int:
    """Assert that each record is as it was, or an HTMError; returns how many are."""
    right = 0
    for key, record in expected.items():
        with contextlib.suppress(HTMError):
            found = htm.get_embedding(key)
            if found is not None:
                np.testing.assert_equal(found, record)
                right += 1
    return right


# ---- the marker ----


def test_a_missing_marker_is_refused_where_there_is_data(damaged: Path) -> None:
    (damaged / "anam.json").unlink()
    refused(damaged, r"anam\.json.*missing.*repair it", read_only=False)
    refused(damaged, r"anam\.json.*missing.*repair it", read_only=True)


@pytest.mark.parametrize(
    "data", [b"", b"garbage", b"{}", b"[]", b"null", b'{"magic": "other"}', b'{"magic": "anam-htm"}', b"\xff\xfe", b"[" * 100_000]
)
def test_a_marker_of_garbage_is_refused(damaged: Path, data: bytes) -> None:
    overwrite(damaged / "anam.json", data)
    refused(damaged, r"anam\.json.*marker.*repair it")


@pytest.mark.parametrize(
    "change", [{"uuid": "0" * 32}, {"dimension": 5}, {"dimension": "x"}, {"shards": 3}, {"shards": 0}, {"format": None}]
)
def test_a_marker_that_is_not_the_catalogs_is_refused(damaged: Path, change: dict[str, Any]) -> None:
    body = json.loads((damaged / "anam.json").read_text())
    overwrite(damaged / "anam.json", json.dumps({**body, **change}).encode())
    refused(damaged, "marker")


def test_a_marker_of_another_store_is_refused_with_both_names(damaged: Path, tmp_path: Path) -> None:
    HTMCore(tmp_path / "other", 2, dimension=4).close()
    overwrite(damaged / "anam.json", (tmp_path / "other" / "anam.json").read_bytes())
    refused(damaged, "marker of store [0-9a-f]{32} and the catalog of store [0-9a-f]{32}")


# ---- segments ----

Damage = Callable[[Path], None]


def remove(path: Path) -> None:
    path.unlink()


def cut_off(path: Path) -> None:
    overwrite(path, path.read_bytes()[:-1])


def empty(path: Path) -> None:
    overwrite(path, b"")


def lengthen(path: Path) -> None:
    overwrite(path, path.read_bytes() + b"\0")


def make_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize("damage", [remove, cut_off, empty, lengthen, make_folder])
@pytest.mark.parametrize("read_only", [False, True])
def test_row_11_a_store_opens_with_a_segment_missing_and_only_its_rows_are_gone(
    whole: Path, damaged: Path, damage: Damage, read_only: bool, caplog: pytest.LogCaptureFixture
) -> None:
    segment = segment_files(damaged)[0]
    gone = keys_of(segment)
    damage(segment)
    with HTMCore(whole, read_only=True) as original, HTMCore(damaged, read_only=read_only) as htm:
        assert read_only or len([line for line in caplog.messages if segment.name in line]) == 1
        kept = [key for key in original if key not in gone]
        assert kept
        assert all(htm.get_embedding(key) is not None for key in kept)
        assert len(htm.get_embeddings(kept)) == len(kept)
        for key in gone:
            with pytest.raises(HTMError, match=key):
                htm.get_embedding(key)
            assert key in htm
            assert htm.get_text(key) == original.get_text(key)
            assert htm.history(key) == original.history(key)
        for search in (
            lambda: htm.search_similar(V),
            lambda: htm.query_by_resonance(0.0),
            lambda: htm.search_hybrid("words", V),
        ):
            with pytest.raises(HTMError, match=rf"{segment.name}.*allow_partial"):
                search()
        assert [problem.where for problem in htm.verify()] == [segment.name]
        assert htm.stats()["missing_segments"] == [segment.name]


def keys_of(segment: Path) -> list[str]:
    """Return the keys of a segment whose current version is there."""
    with h5py.File(segment) as file, catalog(segment.parent.parent) as sql:
        ids = file["ids"][:].tolist()
        return [key for id_, key in sql.execute("SELECT id, key FROM entries") if id_ in ids]


def test_with_allow_partial_every_search_passes_over_what_cannot_be_read(damaged: Path, whole: Path) -> None:
    segment = segment_files(damaged)[0]
    gone = set(keys_of(segment))
    segment.unlink()
    with HTMCore(whole, read_only=True) as original, HTMCore(damaged, allow_partial=True) as htm:
        kept = set(original) - gone
        assert len(htm) == len(kept)
        assert set(names(htm.search_similar(V, 100, -1))) == kept
        assert set(names(htm.query_by_resonance(-1))) == kept
        assert set(names(htm.search_text("words", 100))) == kept
        assert set(names(htm.search_hybrid("words", V, 100))) == kept
        assert len(htm.search_text("words", 3)) == 3
        assert htm.stats()["missing_segments"] == [segment.name]


def test_what_a_missing_segment_held_can_be_stored_again_or_deleted(damaged: Path) -> None:
    segment = segment_files(damaged)[0]
    gone = keys_of(segment)
    segment.unlink()
    with HTMCore(damaged) as htm:
        for key in gone[::2]:
            htm.store_embedding(key, V, {"again": True}, text="words")
        htm.delete_many(gone[1::2])
        assert [htm.get_embedding(key)["metadata"] for key in gone[::2]] == [{"again": True}] * len(gone[::2])
        htm.compact()
    with HTMCore(damaged) as htm:
        assert {record["key"] for record in htm.get_embeddings(list(htm)) if record} == set(htm)
        assert [problem.where for problem in htm.verify()] == [segment.name]


@pytest.mark.parametrize("number", range(7))
def test_a_segment_that_comes_back_is_taken_up_again(damaged: Path, whole: Path, number: int) -> None:
    """Whatever was merged while it was away."""
    segment = segment_files(damaged)[number]
    data = segment.read_bytes()
    segment.unlink()
    with HTMCore(damaged) as htm:
        htm.compact()
        merge_in_the_background(htm)
        htm.compact()
    segment.write_bytes(data)
    with HTMCore(whole, read_only=True) as original, HTMCore(damaged) as htm:
        assert htm.verify() == []
        assert contents(htm) == contents(original)
        htm.compact()
        assert htm.verify() == []
        assert contents(htm) == contents(original)


DATASETS = ["ids", "vectors", "norms", "crc", "mcrc", "versions", "timestamps", "keys", "key_ends", "metadata", "metadata_ends"]


@pytest.mark.parametrize("dataset", DATASETS)
def test_row_11_a_flipped_bit_in_a_segment_is_never_a_wrong_answer(damaged: Path, whole: Path, dataset: str) -> None:
    """An HTMError, or the right answer, for every row and query; and verify names the segment."""
    chance = random.Random(dataset)
    with HTMCore(whole, read_only=True) as original:
        keys = list(original)
        records = [original.get_embedding(key) for key in keys]
        queries = [record["embedding"]["values"] for record in records[::7]] + [V, -W]
        hits = [original.search_similar(query, 5, -1) for query in queries]
        for number in range(12):
            path = shutil.copytree(damaged, damaged.parent / f"{number}")
            segment = chance.choice(segment_files(path))
            flip(segment, dataset, chance)
            with HTMCore(path) as htm:
                for key, expected in zip(keys, records, strict=True):
                    with contextlib.suppress(HTMError):
                        np.testing.assert_equal(htm.get_embedding(key), expected)
                for query, expected_hits in zip(queries, hits, strict=True):
                    with contextlib.suppress(HTMError):
                        for key, score, record in htm.search_similar(query, 5, -1):
                            np.testing.assert_equal(record, original.get_embedding(key))
                            assert score == dict(scores(original, query))[key]
                            assert expected_hits
                problems = htm.verify()
                assert any(segment.name in problem.where for problem in problems)
            shutil.rmtree(path)


def scores(htm: HTMCore, query: Any) -> list[tuple[str, float]]:
    return [(key, score) for key, score, _ in htm.search_similar(query, 100, -1)]


def flip(segment: Path, dataset: str, chance: random.Random) -> None:
    """Flip one bit of a dataset."""
    with h5py.File(segment) as file:
        offset, size = file[dataset].id.get_offset(), file[dataset].nbytes
    data = bytearray(segment.read_bytes())
    data[offset + chance.randrange(size)] ^= 1 << chance.randrange(8)
    overwrite(segment, bytes(data))


def test_damaged_rows_are_not_spread_by_merging(damaged: Path, whole: Path) -> None:
    """A merge copies checksums with their rows, so that damage stays visible."""
    flip(segment_files(damaged)[0], "vectors", random.Random(0))
    with HTMCore(damaged) as htm, HTMCore(whole, read_only=True) as original:
        htm.compact()
        right = right_or_refused(htm, {key: original.get_embedding(key) for key in original})
        damaged_keys = [problem.where for problem in htm.verify() if problem.where.startswith("key")]
        assert right == 39 - len(damaged_keys) >= 38
        for key in damaged_keys:
            with pytest.raises(HTMError, match=f"vector of {key!r}"):
                htm.get_embedding(key)


# ---- rows of the catalog ----

ROWS = {
    "vector checksum": ("UPDATE entries SET crc = crc + 1 WHERE key = 'key 7'", "vector"),
    "metadata": ("UPDATE entries SET metadata = '{\"n\":1}' WHERE key = 'key 7'", "metadata"),
    "version": ("UPDATE entries SET version = 9 WHERE key = 'key 7'", "metadata"),
    "timestamp": ("UPDATE entries SET timestamp = 1 WHERE key = 'key 7'", "metadata"),
    "diff ops": ("UPDATE entries SET diff_ops = '[]' WHERE key = 'key 7'", "diff ops"),
    "key": ("UPDATE entries SET key = 'key 7' || 'x' WHERE key = 'key 7'", "metadata"),
    "shard": ("UPDATE entries SET shard = 1 - shard WHERE key = 'key 7'", "do not agree"),
    "id": ("UPDATE entries SET id = id + 1000 WHERE key = 'key 7'", "do not agree"),
}


@pytest.mark.parametrize(("statement", "what"), ROWS.values(), ids=ROWS)
def test_a_changed_row_of_the_catalog_is_an_error_and_found_by_verify(damaged: Path, statement: str, what: str) -> None:
    with catalog(damaged) as sql:
        sql.execute(statement)
    with HTMCore(damaged) as htm:
        (key,) = (key for key in htm if key.startswith("key 7"))
        with pytest.raises(HTMError, match=what):
            htm.get_embedding(key)
        with pytest.raises(HTMError, match=what):
            htm.search_similar(V, 100, -1)
        assert [problem for problem in htm.verify() if problem.severity == "error"]
        assert len(htm.get_embeddings(["key 8", "key 9"])) == 2


def test_a_changed_row_of_the_history_is_an_error_and_found_by_verify(damaged: Path) -> None:
    with catalog(damaged) as sql:
        sql.execute("UPDATE history SET metadata = '{\"n\":7}' WHERE key = 'key 1'")
    with HTMCore(damaged) as htm:
        with pytest.raises(HTMError, match="version 1 of 'key 1'"):
            htm.history("key 1")
        assert len(htm.history("key 2")) == 1
        assert any("key 1" in problem.where for problem in htm.verify())


@pytest.mark.parametrize("blob", [b"garbage", b"", b"\x78\x9c"])
def test_a_damaged_text_is_an_error_found_by_verify_and_can_be_replaced(damaged: Path, blob: bytes) -> None:
    with catalog(damaged) as sql:
        sql.execute("UPDATE texts SET zlib = ? WHERE id = (SELECT id FROM entries WHERE key = 'key 7')", (blob,))
    with HTMCore(damaged) as htm:
        with pytest.raises(HTMError, match="text of 'key 7'"):
            htm.get_text("key 7")
        assert any("key 7" in problem.where for problem in htm.verify())
        htm.store_embedding("key 7", V, {}, text="better words")
        assert htm.get_text("key 7") == "better words"
        assert "key 7" in names(htm.search_text("better"))
        assert htm.verify() == []


def test_a_text_that_is_not_indexed_is_found_by_verify(damaged: Path) -> None:
    with catalog(damaged) as sql:
        sql.execute("DELETE FROM texts WHERE id = (SELECT id FROM entries WHERE key = 'key 7')")
    with HTMCore(damaged) as htm:
        assert "lexemes" in [problem.where for problem in htm.verify()]


def test_a_lost_segment_row_is_found_by_verify_and_its_file_kept(damaged: Path) -> None:
    with catalog(damaged) as sql:
        ((name,),) = sql.execute("DELETE FROM segments WHERE id = (SELECT min(id) FROM segments) RETURNING name").fetchall()
    with HTMCore(damaged) as htm:
        assert [file for file in htm.stats()["quarantined"] if file.endswith(name)]
        assert "entries" in [problem.where for problem in htm.verify()]


def test_an_impossible_layout_is_an_error_and_never_a_crash(damaged: Path) -> None:
    for layout in ("{}", '{"ids": -8}', '{"ids": 1000000000000}', '{"ids": "x"}', "[]", "", "{"):
        path = shutil.copytree(damaged, damaged.parent / "copy")
        with catalog(path) as sql:
            sql.execute("UPDATE segments SET layout = ? WHERE id = 1", (layout,))
        with HTMCore(path) as htm:
            with pytest.raises(HTMError, match="layout"):
                htm.search_similar(V)
            assert [problem for problem in htm.verify() if problem.severity == "error"]
        shutil.rmtree(path)


# ---- files that do not belong ----


def test_segments_that_the_catalog_does_not_list_are_set_aside(damaged: Path, whole: Path) -> None:
    shard = damaged / "shard-0001"
    (shard / "seg-999-0123abcd.h5").write_bytes(b"unknown")
    (shard / "seg-999-0123abce.h5.partial-00000000").write_bytes(b"temporary")
    (damaged / "anam.json.partial-00000000").write_bytes(b"temporary")
    (shard / "seg-1-0123abcd.codes-1.h5").write_bytes(b"derived from what is gone")
    (shard / "notes.txt").write_bytes(b"mine")
    with HTMCore(damaged) as htm, HTMCore(whole, read_only=True) as original:
        (name,) = htm.stats()["quarantined"]
        assert name.endswith("seg-999-0123abcd.h5")
        assert (damaged / "quarantine" / name).read_bytes() == b"unknown"
        assert not list(damaged.rglob("*.partial-*"))
        assert (shard / "notes.txt").read_bytes() == b"mine"
        assert contents(htm) == contents(original)
        assert htm.verify() == []
    with HTMCore(damaged) as htm:
        assert htm.stats()["quarantined"] == [name]


def test_a_reader_sets_nothing_aside(damaged: Path) -> None:
    (damaged / "shard-0001" / "seg-999-0123abcd.h5").write_bytes(b"unknown")
    before = files(damaged)
    with HTMCore(damaged, read_only=True) as htm:
        assert len(htm.search_similar(V, 100, -1)) == 39
    assert files(damaged) == before


def test_an_unknown_segment_that_appears_while_the_store_is_open_is_named_by_verify(damaged: Path) -> None:
    with HTMCore(damaged) as htm:
        (damaged / "shard-0001" / "seg-999-0123abcd.h5").write_bytes(b"unknown")
        assert [(problem.severity, problem.where) for problem in htm.verify()] == [("warning", "shard-0001/seg-999-0123abcd.h5")]


# ---- random damage ----

TRIALS = int(os.environ.get("ANAM_TEST_TRIALS", "15"))
DAMAGES = ["bit flipped", "cut off", "garbage", "deleted", "emptied", "unreadable"]
# Their pages hold something in the store that is damaged.
TABLES = [
    *("sqlite_schema", "sqlite_sequence", "meta", "entries", "sqlite_autoindex_entries_1", "history", "texts"),
    *("lexemes_data", "lexemes_idx", "lexemes_docsize", "lexemes_config"),
    *("segments", "sqlite_autoindex_segments_1", "dead", "indexes", "indexed"),
    *("rotations", "derived", "sqlite_autoindex_derived_1", "sqlite_autoindex_derived_2"),
]


Accepted = Callable[..., set[str]]


@pytest.fixture(scope="module", name="ward")
def start_ward(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    if hasattr(os, "geteuid") and os.geteuid() == 0 and not shutil.which("setpriv"):
        pytest.skip("root needs setpriv (util-linux) to do without its rights")
    with Ward(tmp_path_factory.mktemp("ward")) as ward:
        yield ward


@pytest.fixture
def accepted(ward: Ward, record_property: Callable[[str, int], None]) -> Accepted:
    """Return a function that asserts that no trial ends worse than in an error; it returns how they did."""

    def accepted(file: str, damage: str, count: int = TRIALS) -> set[str]:
        trials = ward.trials(file, damage, count)
        counts = Counter(trial.outcome for trial in trials)
        name, _, table = file.partition(" ")
        for outcome in OUTCOMES:
            if counts[outcome]:
                record_property(f"{name}, {damage}{' in a table' * bool(table)}: {OUTCOMES[outcome]}", counts[outcome])
        assert [trial for trial in trials if trial.outcome in UNACCEPTABLE] == []
        return set(counts)

    return accepted


@pytest.mark.soak
@pytest.mark.parametrize("damage", DAMAGES)
def test_row_11_a_damaged_segment_gives_errors_or_what_was_stored_and_verify_names_it(accepted: Accepted, damage: str) -> None:
    assert accepted("segment", damage) <= {"error", "verify"}


@pytest.mark.soak
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_codes_are_no_error_and_verify_names_them(accepted: Accepted, damage: str) -> None:
    """Or they are dropped, where the store is opened for writing and they are seen to be none."""
    assert accepted("codes", damage) <= {"verify", "harmless"} | {"incomplete" if damage == "bit flipped" else "verify"}


@pytest.mark.soak
@pytest.mark.parametrize("damage", DAMAGES)
def test_row_12_a_damaged_catalog_is_refused_or_gives_errors_or_what_was_stored(accepted: Accepted, damage: str) -> None:
    found = accepted("catalog.sqlite", damage)
    assert found.isdisjoint({"older", "set aside"})
    assert damage == "bit flipped" or found <= {"refused", "error", "incomplete", "verify"}


@pytest.mark.soak
@pytest.mark.parametrize("table", TABLES)
def test_row_12_a_flipped_bit_in_any_table_of_the_catalog_gives_errors_or_what_was_stored(accepted: Accepted, table: str) -> None:
    accepted(f"catalog.sqlite {table}", "bit flipped")


@pytest.mark.soak
def test_row_12_a_store_whose_catalog_is_damaged_here_and_there_can_be_written_to_without_more_harm(accepted: Accepted) -> None:
    accepted("catalog.sqlite", "partly garbage", 2 * TRIALS)


@pytest.mark.soak
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_log_gives_what_was_there_earlier_and_never_a_mixture(accepted: Accepted, damage: str) -> None:
    """SQLite takes the first damaged frame for the end of the log: what was committed after it is gone."""
    assert accepted("catalog.sqlite-wal", damage) <= {"refused", "older", "set aside"}


@pytest.mark.soak
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_marker_is_refused_or_says_what_it_said(accepted: Accepted, damage: str) -> None:
    assert accepted("anam.json", damage) <= {"refused", "harmless"}
