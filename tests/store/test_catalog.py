"""What the catalog promises: durable transactions, one moment to each reader, and nothing but what belongs in it."""

import contextlib
import shutil
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stores import V, merge_in_the_background, rows

from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, recovery, schema
from anam_py.store.catalog import Catalog


@contextlib.contextmanager
def opened(path: Path) -> Any:
    """Give a plain connection to a closed store's catalog."""
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as sql:
        yield sql


def test_a_new_catalog_is_what_the_format_says(open_store: Any, store_path: Path) -> None:
    open_store(shard_count=3).close()
    with opened(store_path) as sql:
        assert sql.execute("PRAGMA application_id").fetchone() == (0x616E616D,)
        assert sql.execute("PRAGMA user_version").fetchone() == (1,)
        assert sql.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert sql.execute("PRAGMA auto_vacuum").fetchone() == (2,)
        tables = {name for (name,) in sql.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert set(schema.TABLES) <= tables
        meta = dict(sql.execute("SELECT key, value FROM meta"))
        assert (meta["shards"], meta["dimension"]) == ("3", "4")
        assert meta["features"] == '{"required": [], "required_to_write": [], "tables": []}'


def test_a_closed_store_leaves_no_log_behind(open_store: Any, store_path: Path) -> None:
    htm = open_store()
    htm.store_embedding("a", V, {})
    htm.close()
    assert {path.name for path in store_path.iterdir()} >= {"LOCK", "anam.json", "catalog.sqlite"}
    assert not list(store_path.glob("catalog.sqlite-*"))
    assert not (store_path / "LOCK.owner").exists()


@pytest.mark.parametrize(("durability", "level"), [("full", 2), ("normal", 1)])
def test_every_commit_is_synced_as_the_durability_says(open_store: Any, durability: str, level: int) -> None:
    htm = open_store(durability=durability)
    sql = htm._writing()._writer.sql
    assert sql.execute("PRAGMA synchronous").fetchone() == (level,)
    statements: list[str] = []
    sql.set_trace_callback(statements.append)
    htm.store_embedding("a", V, {})
    assert not [statement for statement in statements if "synchronous" in statement]
    statements.clear()
    htm.flush()
    order = [statement for statement in statements if "synchronous" in statement or statement in ("BEGIN IMMEDIATE", "COMMIT")]
    if durability == "normal":  # files depend on it
        assert order[:4] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE", "COMMIT", "PRAGMA synchronous = NORMAL"]
    else:
        assert order == ["BEGIN IMMEDIATE", "COMMIT"]
    sql.set_trace_callback(None)


def test_ids_ascend_and_are_never_used_again(open_store: Any, store_path: Path) -> None:
    seen: list[int] = []
    for number in range(4):
        with open_store() as htm:
            with htm._engine.catalog.reading() as reader:
                assert reader.last_id() == max(seen, default=0)
            for key in ("a", "b"):
                htm.store_embedding(key, V, {"n": number})
                with htm._engine.catalog.reading() as reader:
                    seen.append(reader.entry(key).id)
            htm.delete_many(["a", "b"])
            if number % 2:
                htm.compact()
    assert seen == list(range(1, 9))


def test_a_failed_write_gives_its_ids_back(store: HTMCore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.store_embedding("a", V, {})
    insert = store._writing()._writer.insert_pending

    def fail(_: Any) -> None:
        raise sqlite3.OperationalError("injected")

    monkeypatch.setattr(store._writing()._writer, "insert_pending", fail)
    with pytest.raises(HTMError, match="injected"):
        store.store_embedding("b", V, {})
    assert "b" not in store
    monkeypatch.setattr(store._writing()._writer, "insert_pending", insert)
    store.store_embedding("c", V, {})
    with store._engine.catalog.reading() as reader:
        assert (reader.entry("a").id, reader.entry("c").id) == (1, 2)


def test_superseded_rows_leave_the_lists_of_pending_and_dead(open_store: Any, store_path: Path, rng: np.random.Generator) -> None:
    htm = open_store()
    for _ in range(3):
        htm.store_embeddings([f"key {i}" for i in range(100)], rows(rng, 100), texts=["word"] * 100)
        htm.flush()
    htm.delete_many([f"key {i}" for i in range(50)])
    htm.compact()
    merge_in_the_background(htm)
    htm.close()
    with opened(store_path) as sql:
        counts = {table: sql.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in schema.TABLES}
        assert (counts["pending"], counts["dead"]) == (0, 0)
        assert (counts["entries"], counts["history"], counts["texts"]) == (50, 250, 50)
        assert sql.execute("SELECT DISTINCT state FROM segments").fetchall() == [("live",)]
        sql.execute("INSERT INTO lexemes(lexemes) VALUES ('integrity-check')")
        assert sql.execute("SELECT count(*) FROM lexemes WHERE lexemes MATCH 'word'").fetchone() == (50,)


def test_compacting_gives_the_space_of_deleted_entries_back(open_store: Any, store_path: Path) -> None:
    htm = open_store(dimension=64)
    keys = [f"key {i}" for i in range(2000)]
    for start in range(0, 2000, 500):
        htm.store_embeddings(keys[start : start + 500], np.ones((500, 64)), texts=["a word " * 50] * 500)
    catalog = store_path / "catalog.sqlite"
    htm.compact()
    before = catalog.stat().st_size
    htm.delete_many(keys)
    htm.compact()
    assert catalog.stat().st_size < before
    assert (store_path / "catalog.sqlite-wal").stat().st_size == 0
    for start in range(0, 2000, 500):
        htm.store_embeddings(keys[start : start + 500], np.ones((500, 64)))
    size = htm.stats()["catalog_bytes"]
    htm.compact()
    assert htm.stats()["catalog_bytes"] < size - 2000 * 64 * 4  # what was pending is in segments only


def test_the_index_of_words_is_rebuilt_when_words_are_made_otherwise(open_store: Any, store_path: Path) -> None:
    with open_store() as htm:
        htm.store_embedding("a", V, {}, text="some words")
    with opened(store_path) as sql:
        sql.execute("UPDATE meta SET value = '0' WHERE key = 'lexemes'")
        sql.execute("INSERT INTO lexemes(lexemes) VALUES ('delete-all')")
        sql.commit()
    with open_store(read_only=True) as htm:
        assert htm.search_text("words") == []
    with open_store() as htm:
        assert [key for key, _, _ in htm.search_text("words")] == ["a"]
        htm.delete("a")
        assert htm.search_text("words") == []
        assert htm.verify() == []


def test_catalog_files_belong_to_their_owner(open_store: Any, store_path: Path) -> None:
    open_store().store_embedding("a", V, {})
    for path in store_path.glob("catalog.sqlite*"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_hostile_schema_could_run_is_off(open_store: Any) -> None:
    htm = open_store()
    with htm._engine.catalog.reading() as reader:
        assert reader.sql.execute("PRAGMA trusted_schema").fetchone() == (0,)
        assert reader.sql.execute("PRAGMA cell_size_check").fetchone() == (1,)
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            reader.sql.execute("DELETE FROM entries")


def test_exactly_one_connection_can_write(open_store: Any, store_path: Path) -> None:
    htm = open_store()
    htm.store_embedding("a", V, {})
    catalog = Catalog(store_path / recovery.CATALOG)
    with catalog.reading() as one, catalog.reading() as two:
        for reader in (one, two):
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                reader.sql.execute("CREATE TABLE x (a)")
    catalog.close()


def test_readers_frozen_at_a_moment_stay_there(open_store: Any) -> None:
    htm = open_store()
    htm.store_embedding("a", V, {"n": 1})
    with htm._engine.catalog.reading() as reader, reader.frozen():
        assert reader.count() == 1
        htm.store_embedding("b", V, {})
        with reader.frozen():
            assert reader.count() == 1
        assert reader.count() == 1
    assert len(htm) == 2


def test_the_store_loads_neither_hdf5_nor_anything_slow_before_it_has_to(store_path: Path) -> None:
    script = """
import sys
from anam_py.store import HTMCore
with HTMCore(sys.argv[1], dimension=4) as htm:
    htm.store_embedding("a", [1, 2, 3, 4], {}, text="word")
    htm.search_similar([1, 2, 3, 4]), htm.search_text("word"), htm.verify()
    print(sorted({"h5py", "torch", "rich", "click", "tree_sitter"} & set(sys.modules)))
"""
    found = subprocess.run([sys.executable, "-c", script, store_path], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


def killed_with_a_log(path: Path, count: int) -> None:
    """Store entries in a process that is killed, and so leaves a WAL."""
    script = """
import os, signal, sys
from anam_py.store import HTMCore
htm = HTMCore(sys.argv[1], dimension=4)
for i in range(int(sys.argv[2])):
    htm.store_embedding(f"{os.getpid()} {i}", [1, 2, 3, 4], {"n": i}, text="word")
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script, path, str(count)], check=False).returncode == -9
    assert (path / "catalog.sqlite-wal").stat().st_size


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
@pytest.mark.parametrize("count", [1, 40, 700])
def test_row_13_a_log_beside_an_older_catalog_is_refused(store_path: Path, count: int) -> None:
    """SQLite would mix the two, and find nothing wrong with what comes of it."""
    killed_with_a_log(store_path, count)
    copies = []
    for number in range(3):
        with HTMCore(store_path) as htm:
            assert len(htm) == (number + 1) * count
            assert htm.verify() == []
        copies.append((store_path / "catalog.sqlite").read_bytes())
        killed_with_a_log(store_path, count)
    current = (store_path / "catalog.sqlite").read_bytes()
    for copy in copies[:-1]:
        (store_path / "catalog.sqlite").write_bytes(copy)
        changing = "LOCK.owner", "catalog.sqlite-shm"
        files = [path for path in store_path.rglob("*") if path.is_file() and path.name not in changing]
        before = [path.read_bytes() for path in files]
        for arguments in ({}, {"read_only": True}):
            with pytest.raises(HTMError, match=r"catalog\.sqlite-wal.*put the one back"):
                HTMCore(store_path, **arguments)
        assert [path.read_bytes() for path in files] == before
    (store_path / "catalog.sqlite").write_bytes(current)
    for arguments in ({"read_only": True}, {}):
        with HTMCore(store_path, **arguments) as htm:
            assert len(htm) == 4 * count
            assert htm.verify() == []


def test_a_log_goes_with_its_catalog_at_every_moment(open_store: Any, store_path: Path, tmp_path: Path) -> None:
    """Also while readers hold up its checkpoints, and when both are copied as a crash would leave them."""
    htm = open_store()
    stop = htm._engine.catalog.reading()
    for number in range(40):
        htm.store_embedding(f"key {number}", V, {"n": number})
        if number % 3 == 0:
            htm._writing().run(lambda: htm._writing()._writer.checkpoint("PASSIVE"))
        if number == 10:
            reader = stop.__enter__()
            reader.sql.execute("BEGIN")
            assert reader.count() == 11
        if number == 20:
            reader.sql.execute("ROLLBACK")
            stop.__exit__(None, None, None)
        if number == 30:
            htm.flush()
            htm.compact()
        copy = tmp_path / f"{number}"
        shutil.copytree(store_path, copy, ignore=shutil.ignore_patterns("*-shm", "LOCK*"))
        with HTMCore(copy, read_only=True) as copied:
            assert len(copied) == number + 1
        with HTMCore(copy) as copied:
            assert len(copied) == number + 1
            assert copied.verify() == []


@pytest.mark.parametrize("first", ["vacuum", "optimize", "put"])
def test_whatever_is_written_first_to_a_log_marks_it(open_store: Any, store_path: Path, tmp_path: Path, first: str) -> None:
    htm = open_store()
    htm.store_embeddings([f"key {i}" for i in range(900)], np.tile(V, (900, 1)), texts=["word"] * 900)
    htm.flush()
    writer = htm._writing()._writer
    before = []

    def write() -> None:
        for _ in range(2):
            writer.checkpoint("TRUNCATE")
            before.append((store_path / "catalog.sqlite").read_bytes())
            match first:
                case "vacuum":
                    writer._vacuum(3)
                case "optimize":
                    writer.scrub()
                    writer.checkpoint("PASSIVE")
            with writer.transaction():
                writer.set_meta("embedder", "x")

    htm._writing().run(write)
    image = tmp_path / "image"
    shutil.copytree(store_path, image, ignore=shutil.ignore_patterns("*-shm", "LOCK*"))
    with HTMCore(image, read_only=True) as copied:
        assert len(copied) == 900
    (image / "catalog.sqlite").write_bytes(before[0])
    with pytest.raises(HTMError, match=r"put the one back|malformed"):  # SQLite may not even be able to mix them
        HTMCore(image)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the system's list of locks")
def test_looking_at_the_catalog_alone_drops_no_lock(open_store: Any, store_path: Path) -> None:
    htm = open_store()
    htm.store_embedding("a", V, {})

    def locks() -> list[str]:
        inode = f":{(store_path / 'catalog.sqlite').stat().st_ino} "
        return sorted(line.split(": ", 1)[1] for line in Path("/proc/locks").read_text().splitlines() if inode in line)

    with htm._engine.catalog.reading() as reader, reader.frozen():
        reader.count()
        before = locks()
        assert before
        htm._engine.catalog.check_files()
        assert locks() == before
