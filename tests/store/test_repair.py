"""Repairing a store: what is sound is kept bit for bit, what is not is named, nothing is deleted, and verify is content."""

import collections
import contextlib
import functools
import json
import os
import random
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import crashing
import h5py
import numpy as np
import pytest
from crashing import Nursery
from remote import Remote, RemoteError
from stores import V, W, codes_files, contents, names, rows, segment_files

from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import HTMCore, Ledger, jobs, merge, segment, writer
from anam_py.store.ledger import Entry, File

EXAMPLES = int(os.environ.get("ANAM_TEST_REPAIRS", "2"))
KILLS = int(os.environ.get("ANAM_TEST_KILLS", "6"))

LENGTH = 50
DIMENSION = crashing.DIMENSION
Contents = dict[str, Any]


# ---- stores to damage ----


@pytest.fixture(scope="module", name="stores")
def make_stores(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, Contents]]:
    """Return closed stores that random workloads have made, of few segments and of many, each with all that it holds."""
    made = []
    for seed in range(2):
        path = tmp_path_factory.mktemp("stores") / "store"
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(writer, "_FLUSH_ROWS", crashing.FLUSH_ROWS)
            monkeypatch.setattr(jobs, "BULK_ROWS", crashing.BULK_ROWS)
            if seed:
                monkeypatch.setattr(merge, "choose", lambda _: [])
            with HTMCore(path, 2, dimension=DIMENSION) as htm:
                for operation in crashing.workload(seed, LENGTH):
                    if operation.kind != "compact" or not seed:
                        crashing.do(htm, operation)
        with HTMCore(path) as htm:
            assert htm.verify() == []
            made.append((path, contents(htm)))
    assert len(segment_files(made[0][0])) < len(segment_files(made[1][0]))
    return made


@pytest.fixture
def store_of(stores: list[tuple[Path, Contents]], tmp_path: Path) -> Callable[[int], tuple[Path, Contents]]:
    """Return a function that gives a copy of one of the stores, and what it holds."""

    def copy(number: int) -> tuple[Path, Contents]:
        path, held = stores[number % len(stores)]
        return shutil.copytree(path, tmp_path / "store"), held

    return copy


def ever(number: int, length: int = LENGTH) -> set[tuple[str, int, int]]:
    """Return each key, version and number that a workload has ever stored."""
    states = crashing.states(crashing.workload(number, length))
    return {(key, *version) for state in states for key, version in state.items()}


def replace(path: Path, data: bytes) -> None:
    """Put other bytes into a file, whatever its mode."""
    path.unlink()
    path.write_bytes(data)


@contextlib.contextmanager
def catalog(path: Path) -> Iterator[sqlite3.Connection]:
    """Give a connection to a closed store's catalog."""
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as sql:
        yield sql
        sql.commit()


def every_file(path: Path) -> collections.Counter[bytes]:
    """Return the content of each file that a repair may not lose: of all but codes, which are made anew."""
    found = [file for file in {*path.rglob("*")} - {*codes_files(path)} if file.is_file() and not file.name.startswith("LOCK")]
    return collections.Counter(file.read_bytes() for file in found if file.suffix != ".sqlite-shm" and file.stat().st_size)


def listing(path: Path) -> dict[str, tuple[int, int, bytes]]:
    """Return size, time and content of each file but the lock's and SQLite's own beside the catalog."""
    found = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    return {
        name: (file.stat().st_size, file.stat().st_mtime_ns, file.read_bytes())
        for name, file in found.items()
        if not name.startswith("LOCK") and not name.endswith(("-wal", "-shm"))
    }


class Repaired:
    """A store that was repaired, and has been opened, asked, written to and verified since; AssertionError where that fails."""

    def __init__(self, path: Path, number: int = 0) -> None:
        before = every_file(path)
        self.report = HTMCore.repair(path)
        after = every_file(path)
        assert [len(data) for data in before if data not in after] == [], "these many bytes are gone"
        assert HTMCore.verify(path) == []
        with HTMCore(path) as htm:
            assert htm.verify() == []
            self.held = contents(htm)
            keys = set(self.held)
            assert len(htm) == len(keys) == self.report.kept
            assert {key for key, _, _ in htm.search_similar(np.ones(htm.dimension), 10_000, -1)} == keys
            assert {key for key, _, _ in htm.search_text("word", 10_000)} == {key for key in keys if htm.get_text(key)}
        self.lost = self._lost()
        assert len(self.lost) == self.report.lost
        self._require_right(number)

    def _lost(self) -> dict[str, dict[str, Any]]:
        folder = self.report.folder
        if folder is None or not (folder / "lost.jsonl").exists():
            return {}
        return {line["key"]: line for line in map(json.loads, (folder / "lost.jsonl").read_text().splitlines())}

    def _require_right(self, number: int) -> None:
        """Assert that everything there was stored under its key at some time, and never damaged."""
        stored = ever(number % 2)
        for key, (record, vector, _, text, history) in self.held.items():
            n = record["metadata"]["n"]
            assert (key, record["version"], n) in stored
            assert vector == crashing.vector(key, n).tobytes()
            assert text in (None, crashing.text(n))
            assert all((key, version["version"], version["metadata"]["n"]) in stored for version in history)


# ---- segments ----


def rows_of(path: Path) -> dict[str, tuple[int, int]]:
    """Return where each dataset of a segment file begins, and the bytes of a row; of the strings those of them all."""
    with h5py.File(path) as file:
        return {name: (file[name].id.get_offset(), file[name].nbytes) for name in file}


def hurt(path: Path, kind: str, chance: random.Random) -> set[int]:
    """Damage a segment file; returns the ids of the rows whose vectors are not what they were."""
    with h5py.File(path) as file:
        ids, places = file["ids"][:].tolist(), rows_of(path)
    before = data = path.read_bytes()
    if kind == "deleted":
        path.unlink()
        return set(ids)
    match kind:
        case "cut off":
            data = data[: chance.randrange(len(data))]
        case "garbage":
            data = chance.randbytes(len(data))
        case "zeros":
            data = bytes(len(data))
        case "structure":
            data = flipped(data, [chance.randrange(min(start for start, _ in places.values())) for _ in range(3)], chance)
        case _:
            start, size = places[kind]
            data = flipped(data, [start + chance.randrange(size) for _ in range(chance.choice([1, 1, 4]))], chance)
    replace(path, data)
    start, size = places["vectors"]
    width = size // len(ids)
    return {i for n, i in enumerate(ids) if before[start + n * width :][:width] != data[start + n * width :][:width]}


def flipped(data: bytes, places: list[int], chance: random.Random) -> bytes:
    changed = bytearray(data)
    for place in places:
        changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


def keys_of(path: Path, ids: set[int]) -> set[str]:
    """Return the keys whose current version has one of these ids."""
    with catalog(path) as sql:
        return {key for i, key in sql.execute("SELECT id, key FROM entries") if i in ids}


def largest(path: Path) -> Path:
    """Return the largest segment file."""
    return max(segment_files(path), key=lambda file: file.stat().st_size)


KINDS = ["deleted", "cut off", "garbage", "zeros", "structure", *segment.TYPES]


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(EXAMPLES))
@pytest.mark.parametrize("kind", KINDS)
def test_with_the_catalog_whole_exactly_the_entries_whose_own_vectors_were_damaged_are_lost(
    store_of: Any, kind: str, seed: int
) -> None:
    path, held = store_of(seed)
    chance = random.Random(f"{kind} {seed}")
    chosen = chance.sample(segment_files(path), chance.choice([1, 1, 2]))
    gone = keys_of(path, set().union(*(hurt(file, kind, chance) for file in chosen)))
    repaired = Repaired(path, seed)
    assert {key: found for key, found in held.items() if key not in gone} == repaired.held
    assert set(repaired.lost) == gone
    for key, line in repaired.lost.items():
        record, _, _, text, _ = held[key]
        assert (line["version"], line["metadata"], line["text"]) == (record["version"], record["metadata"], text)
    assert repaired.report.may_reappear == 0


@pytest.mark.skipif(os.name != "posix", reason="needs pipes and links")
@pytest.mark.parametrize("way", ["folder", "pipe", "broken link"])
def test_what_is_no_file_in_place_of_a_segment_is_set_aside_unopened(store_of: Any, tmp_path: Path, way: str) -> None:
    path, held = store_of(0)
    file = largest(path)
    with h5py.File(file) as opened:
        gone = keys_of(path, set(opened["ids"][:].tolist()))
    file.rename(tmp_path / "elsewhere.h5")
    match way:
        case "folder":
            file.mkdir()
        case "pipe":
            os.mkfifo(file)
        case "broken link":
            file.symlink_to(tmp_path / "nowhere")
    report = HTMCore.repair(path)
    assert f"{file.parent.name}-{file.name}" in report.set_aside
    assert os.path.lexists(report.folder / f"{file.parent.name}-{file.name}")
    with HTMCore(path) as htm:
        assert contents(htm) == {key: found for key, found in held.items() if key not in gone}
        assert htm.verify() == []


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize("linked", ["shard", "segments", "catalog"])
def test_what_somebody_has_put_elsewhere_and_linked_to_is_kept(store_of: Any, tmp_path: Path, linked: str) -> None:
    path, held = store_of(0)
    with catalog(path) as sql:
        sql.execute("UPDATE entries SET timestamp = 1")
    moved = {"shard": [path / "shard-0001"], "segments": segment_files(path), "catalog": [path / "catalog.sqlite"]}[linked]
    for number, place in enumerate(moved):
        shutil.move(place, tmp_path / f"elsewhere {number}")
        place.symlink_to(tmp_path / f"elsewhere {number}")
    assert Repaired(path).held == held
    hurt(largest(path), "crc", random.Random(0))
    assert Repaired(path).held == held


def test_of_a_segment_that_was_cut_off_the_rows_before_the_cut_are_kept(store_path: Path) -> None:
    """Also those that have lost everything but their vector: the catalog knows in which order they were."""
    keys = [f"key {n:02}" for n in range(40)]
    with HTMCore(store_path, 1, dimension=DIMENSION) as htm:
        htm.store_embeddings(keys, np.stack([crashing.vector(key, 0) for key in keys]), [{"n": 0}] * 40)
        htm.flush()
        htm.delete_many(keys[5:12])
        held = contents(htm)
    (file,) = segment_files(store_path)
    start, size = rows_of(file)["vectors"]
    replace(file, file.read_bytes()[: start + size // 2 + 1])
    report = HTMCore.repair(store_path)
    assert (report.kept, report.lost) == (13, 20)
    with HTMCore(store_path) as htm:
        assert contents(htm) == {key: held[key] for key in [*keys[:5], *keys[12:20]]}
        assert htm.verify() == []


def test_a_segment_in_quarantine_is_found_there(store_of: Any) -> None:
    path, held = store_of(0)
    for file in segment_files(path):
        (path / "quarantine").mkdir(exist_ok=True)
        file.rename(path / "quarantine" / f"20240101T000000-{file.parent.name}-{file.name}")
    assert Repaired(path).held == held


def test_what_was_set_aside_stays_there_and_a_second_repair_finds_nothing_to_do(store_of: Any) -> None:
    path, _ = store_of(0)
    file = largest(path)
    hurt(file, "vectors", random.Random(0))
    data = file.read_bytes()
    first = Repaired(path)
    name = f"{file.parent.name}-{file.name}"
    assert name in first.report.set_aside
    assert (first.report.folder / name).read_bytes() == data
    before = listing(path)
    assert HTMCore.repair(path).actions == []
    assert listing(path) == before


def test_a_key_whose_vector_was_lost_goes_on_with_its_history(store_of: Any) -> None:
    path, held = store_of(0)
    largest(path).unlink()
    repaired = Repaired(path)
    key = next(iter(repaired.lost))
    version = held[key][0]["version"]
    with HTMCore(path) as htm:
        assert [item["version"] for item in htm.history(key)] == list(range(1, version + 1))
        htm.store_embedding(key, V, {"n": 1})
        assert htm.get_embedding(key)["version"] == version + 1
        assert htm.verify() == []


# ---- the catalog ----


def garbage(data: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.choice([100, 4096, len(data)]))


def cut_off(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data))]


def bits(data: bytes, chance: random.Random) -> bytes:
    return flipped(data, [chance.randrange(len(data)) for _ in range(chance.choice([1, 3, 30, 300]))], chance)


def pages(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 5])):
        start = 4096 * chance.randrange(len(data) // 4096)
        changed[start : start + 4096] = chance.choice([chance.randbytes(4096), bytes(4096)])
    return bytes(changed)


def nothing(data: bytes, chance: random.Random) -> bytes:
    return b""


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(4 * EXAMPLES))
@pytest.mark.parametrize("damage", [garbage, cut_off, bits, pages, nothing, None])
def test_whatever_happens_to_the_catalog_every_entry_in_a_segment_is_there(store_of: Any, damage: Any, seed: int) -> None:
    if damage in (None, nothing) and seed > 1:
        return
    path, held = store_of(seed)
    chance = random.Random(f"{damage and damage.__name__} {seed}")
    file = path / "catalog.sqlite"
    if damage is None:
        file.unlink()
    else:
        replace(file, damage(file.read_bytes(), chance))
    repaired = None
    try:
        repaired = Repaired(path, seed)
    except HTMError as error:
        if not is_newer(path):
            raise
        assert "upgrade" in str(error)  # noqa: PT017 - it may be raised, or not
    if repaired is not None:
        for key, (record, vector, norm, *_) in held.items():
            found, *same = repaired.held[key]
            assert (found["version"], found["metadata"], same[:2]) == (record["version"], record["metadata"], [vector, norm])
        assert len(repaired.held) - len(held) <= repaired.report.may_reappear


def is_newer(path: Path) -> bool:
    """Return whether damage made a catalog say that it has a later format."""
    return 1 < int.from_bytes((path / "catalog.sqlite").read_bytes()[60:64], "big") < 1000


def test_without_the_catalog_deleted_keys_come_back_only_where_a_segment_still_has_them(store_of: Any) -> None:
    path, held = store_of(0)
    with HTMCore(path) as htm:
        deleted, *_ = held
        htm.delete(deleted)
        htm.flush()
    (path / "catalog.sqlite").unlink()
    repaired = Repaired(path)
    assert set(held) - set(repaired.held) <= {deleted}
    assert repaired.report.may_reappear == len(repaired.held)


def test_with_half_of_the_catalog_no_key_comes_back_that_the_other_half_knows_to_be_deleted(store_of: Any) -> None:
    path, held = store_of(0)
    keys = sorted(held)
    with HTMCore(path) as htm:
        htm.delete_many(keys[:10])
    with catalog(path) as sql:
        sql.execute("DELETE FROM dead")
        sql.execute("DROP TABLE meta")
    assert set(Repaired(path).held) == set(keys[10:])


ROWS = {
    "vector checksum": "UPDATE entries SET crc = crc + 1",
    "metadata": "UPDATE entries SET metadata = '{\"n\":7}'",
    "metadata that is none": "UPDATE entries SET metadata = x'ff00'",
    "version": "UPDATE entries SET version = version + 7",
    "timestamp": "UPDATE entries SET timestamp = 1",
    "key": "UPDATE entries SET key = key || 'x'",
    "shard": "UPDATE entries SET shard = 1 - shard",
    "id": "UPDATE entries SET id = id + 1000",
    "all but the id": "UPDATE entries SET key = key || 'x', version = 0, crc = 0, metadata = '', mcrc = 0, timestamp = 0",
    "entry": "DELETE FROM entries",
}


@pytest.mark.parametrize("statement", ROWS.values(), ids=ROWS)
def test_what_is_damaged_of_an_entry_is_taken_from_its_segment(store_of: Any, statement: str) -> None:
    path, held = store_of(0)
    with catalog(path) as sql:
        for key in sorted(held)[:5]:
            sql.execute(f"{statement} WHERE key = ?", (key,))
    repaired = Repaired(path)
    assert {key: found[:3] for key, found in repaired.held.items()} == {key: found[:3] for key, found in held.items()}
    if statement != ROWS["entry"]:
        assert repaired.held == held


def test_damaged_diff_ops_texts_and_old_versions_are_left_out_and_the_rest_is_kept(store_of: Any) -> None:
    path, held = store_of(0)
    with HTMCore(path) as htm:
        htm.store_embedding("key 1", crashing.vector("key 1", 1), {"n": 1}, [{"op": "delete", "pos": 0, "count": 1, "lines": []}])
        htm.flush()
        held = contents(htm)
    keys = sorted(key for key, found in held.items() if found[3] and len(found[4]) > 1 and key != "key 1")[:3]
    with catalog(path) as sql:
        sql.execute("UPDATE entries SET diff_ops = '[]' WHERE key = 'key 1'")
        sql.execute("UPDATE texts SET zlib = x'00' || zlib WHERE id = (SELECT id FROM entries WHERE key = ?)", (keys[0],))
        sql.execute("UPDATE history SET metadata = '{}' WHERE key = ? AND version = 1", (keys[1],))
        sql.execute("UPDATE history SET diff_ops = '[1]' WHERE key = ? AND version = 1", (keys[2],))
    report = HTMCore.repair(path)
    assert (report.lost, report.kept) == (0, len(held))
    assert [line for line in report.actions if "left out" in line]
    with HTMCore(path) as htm:
        assert htm.verify() == []
        assert htm.get_embedding("key 1")["diff_ops"] == []
        assert htm.get_text(keys[0]) is None
        assert htm.history(keys[1]) == held[keys[1]][4][1:]
        assert htm.history(keys[2]) == held[keys[2]][4]
        found = contents(htm)
        assert {key: found[key] for key in held if key not in ("key 1", *keys)} == {
            key: held[key] for key in held if key not in ("key 1", *keys)
        }


def test_of_a_table_with_several_pages_that_cannot_be_read_the_others_are_kept(store_path: Path) -> None:
    keys = [f"key {n:03}" for n in range(400)]
    vectors = np.stack([crashing.vector(key, 0) for key in keys])
    chance = random.Random(0)
    with HTMCore(store_path, 1, dimension=DIMENSION) as htm:
        for n in range(3):
            texts = [f"word {chance.randbytes(100).hex()}" for _ in keys]
            htm.store_embeddings(keys, vectors, [{"n": n, "padding": "x" * 100}] * 400, texts=texts)
        htm.compact()
        held = contents(htm)
    with catalog(store_path) as sql:
        roots = dict(sql.execute("SELECT name, rootpage FROM sqlite_master"))
    data = bytearray((store_path / "catalog.sqlite").read_bytes())
    for table in ("history", "texts", "entries"):
        pages_ = leaves(bytes(data), roots[table])
        assert len(pages_) > 12
        for page in pages_[3::4]:
            data[4096 * (page - 1) : 4096 * page] = bytes(4096)
    replace(store_path / "catalog.sqlite", bytes(data))
    assert HTMCore.repair(store_path).kept == 400
    with HTMCore(store_path) as htm:
        found = contents(htm)
        assert {key: item[:3] for key, item in found.items()} == {key: item[:3] for key, item in held.items()}
        assert sum(item[3] is not None for item in found.values()) > 280
        assert sum(len(item[4]) for item in found.values()) > 400 + 2 * 280
        assert htm.verify() == []


def leaves(data: bytes, page: int) -> list[int]:
    """Return the pages of a B-tree that have none below them, in their order."""
    start = 4096 * (page - 1)
    if data[start] in (10, 13):
        return [page]
    assert data[start] in (2, 5)
    count = int.from_bytes(data[start + 3 : start + 5], "big")
    cells = [start + int.from_bytes(data[start + 12 + 2 * n :][:2], "big") for n in range(count)]
    below = [int.from_bytes(data[place : place + 4], "big") for place in [*cells, start + 8]]
    return [leaf for child in below for leaf in leaves(data, child)]


def test_texts_that_the_index_does_not_know_are_indexed_again(store_of: Any) -> None:
    path, held = store_of(0)
    with catalog(path) as sql:
        sql.execute("DELETE FROM lexemes_docsize WHERE id % 2")
        sql.execute("UPDATE lexemes_data SET block = x'00' WHERE id > 10")
    assert Repaired(path).held == held


def test_an_entry_that_waits_for_a_segment_is_lost_with_its_metadata_and_named_with_its_text(store_path: Path) -> None:
    store_and_crash(store_path, [("a", 1), ("b", 3), ("c", 5), ("d", 7)])
    with catalog(store_path) as sql:
        sql.execute("UPDATE entries SET metadata = '{\"n\":9}' WHERE key = 'b'")
        sql.execute("UPDATE pending SET vector = zeroblob(16) WHERE id = (SELECT id FROM entries WHERE key = 'c')")
        sql.execute("UPDATE pending SET vector = x'00' WHERE id = (SELECT id FROM entries WHERE key = 'd')")
    report = HTMCore.repair(store_path)
    assert (report.kept, report.lost) == (1, 3)
    lines = [json.loads(line) for line in (report.folder / "lost.jsonl").read_text().splitlines()]
    assert [(line["key"], line["lost"], line["metadata"], line["text"]) for line in lines] == [
        ("b", "metadata", {"n": 9}, "word 3"),
        ("c", "vector", {"n": 5}, "word 5"),
        ("d", "vector", {"n": 7}, "word 7"),
    ]
    with HTMCore(store_path) as htm:
        assert list(contents(htm)) == ["a"]
        assert htm.verify() == []


def store_and_crash(path: Path, entries: list[tuple[str, int]]) -> None:
    """Leave a store as a process that was killed would: everything waits in the catalog's log."""
    script = "; ".join(f"htm.store_embedding({key!r}, vector({key!r}, {n}), {{'n': {n}}}, text=text({n}))" for key, n in entries)
    with Remote(path, dimension=DIMENSION) as remote:
        remote("exec('from crashing import vector, text', globals())")
        remote(f"exec({script!r}, globals())")
        remote.kill()


@pytest.mark.parametrize("damaged", ["catalog.sqlite", "catalog.sqlite-wal"])
def test_what_is_only_in_the_log_survives_damage_to_either_file(store_path: Path, damaged: str) -> None:
    entries = [(f"key {n}", n) for n in range(40)]
    store_and_crash(store_path, entries)
    file = store_path / damaged
    assert (store_path / "catalog.sqlite-wal").stat().st_size > 100_000
    if damaged == "catalog.sqlite":
        replace(file, b"")
    else:
        replace(file, flipped(file.read_bytes(), [30_000], random.Random(0)))
        with HTMCore(shutil.copytree(store_path, store_path.parent / "copy")) as htm:
            assert len(htm) < 38
    report = HTMCore.repair(store_path)
    with HTMCore(store_path) as htm:
        assert report.kept == len(htm) >= 39
        for key, record in ((key, htm.get_embedding(key)) for key in htm):
            assert record["embedding"]["values"].tobytes() == crashing.vector(key, record["metadata"]["n"]).tobytes()


def test_segments_that_are_newer_than_a_catalog_without_its_log_are_taken_up(store_of: Any) -> None:
    path, held = store_of(0)
    old = (path / "catalog.sqlite").read_bytes()
    with HTMCore(path) as htm:
        for n in range(1, 9):
            htm.store_embedding(f"new {n}", crashing.vector(f"new {n}", n), {"n": n})
        htm.flush()
        htm.compact()
        held = contents(htm)
    replace(path / "catalog.sqlite", old)
    assert "error" in {problem.severity for problem in HTMCore.verify(path)}
    report = HTMCore.repair(path)
    with HTMCore(path) as htm:
        found = contents(htm)
        assert {key: item[:3] for key, item in found.items()} == {key: item[:3] for key, item in held.items()}
        assert htm.verify() == []
    assert report.may_reappear == 8


def test_a_log_of_another_database_is_not_mixed_with_the_catalog(store_of: Any, tmp_path: Path) -> None:
    path, held = store_of(0)
    other = tmp_path / "other"
    store_and_crash(other, [("alien", 1)])
    shutil.copy(other / "catalog.sqlite-wal", path / "catalog.sqlite-wal")
    assert Repaired(path).held == held


# ---- the marker, and what belongs to another store ----


@pytest.mark.parametrize(
    "data",
    [None, b"", b"garbage", b"{}", b"\xff", {"uuid": "0" * 32}, {"uuid": "x"}, {"shards": 3}, {"shards": 0}, {"dimension": 5}],
)
def test_a_marker_that_is_missing_or_damaged_is_written_anew(store_of: Any, data: Any) -> None:
    path, held = store_of(0)
    file = path / "anam.json"
    marker = file.read_bytes()
    if data is None:
        file.unlink()
    else:
        replace(file, data if isinstance(data, bytes) else json.dumps({**json.loads(marker), **data}).encode())
    assert Repaired(path).held == held
    assert file.read_bytes() == marker


@pytest.mark.parametrize("shards", [1, 2, 7])
def test_without_marker_and_catalog_a_store_is_made_of_its_segments(store_path: Path, shards: int) -> None:
    keys = [f"key {n}" for n in range(60)]
    with HTMCore(store_path, shards, dimension=DIMENSION) as htm:
        htm.store_embeddings(keys, np.stack([crashing.vector(key, 0) for key in keys]), [{"n": 0}] * 60)
        uuid = htm.stats()["uuid"]
    (store_path / "anam.json").unlink()
    (store_path / "catalog.sqlite").unlink()
    assert HTMCore.repair(store_path).kept == 60
    with HTMCore(store_path) as htm:
        assert set(htm) == {*keys}
        assert (htm.stats()["uuid"], htm.shard_count, htm.dimension) == (uuid, shards, DIMENSION)
        assert all(htm.get_embedding(key)["embedding"]["values"].tobytes() == crashing.vector(key, 0).tobytes() for key in keys)


def test_a_catalog_of_another_store_is_set_aside_and_its_entries_are_not_taken(store_of: Any, tmp_path: Path) -> None:
    path, held = store_of(0)
    with HTMCore(tmp_path / "other", 2, dimension=DIMENSION) as htm:
        htm.store_embedding("alien", V, {"n": 1})
    replace(path / "catalog.sqlite", (tmp_path / "other" / "catalog.sqlite").read_bytes())
    repaired = Repaired(path)
    assert {key: found[:3] for key, found in repaired.held.items()} == {key: found[:3] for key, found in held.items()}


def test_a_marker_of_another_store_gives_way_to_what_catalog_and_segments_say(store_of: Any, tmp_path: Path) -> None:
    path, held = store_of(0)
    HTMCore(tmp_path / "other", 4, dimension=9).close()
    replace(path / "anam.json", (tmp_path / "other" / "anam.json").read_bytes())
    assert Repaired(path).held == held


def test_a_segment_of_another_store_is_not_taken_in(store_of: Any, tmp_path: Path) -> None:
    path, held = store_of(0)
    with HTMCore(tmp_path / "other", 2, dimension=DIMENSION) as htm:
        htm.store_embeddings([f"alien {n}" for n in range(9)], rows(np.random.default_rng(0), 9))
    for file in segment_files(tmp_path / "other"):
        shutil.copy(file, path / file.parent.name / file.name)
    (path / "catalog.sqlite").unlink()
    assert set(Repaired(path).held) == set(held)


def test_another_programs_database_beside_segments_is_set_aside(store_of: Any) -> None:
    path, held = store_of(0)
    (path / "catalog.sqlite").unlink()
    with catalog(path) as sql:
        sql.execute("CREATE TABLE mine (a)")
    assert set(Repaired(path).held) == set(held)


@pytest.mark.parametrize("seed", range(5 * EXAMPLES))
@pytest.mark.soak
def test_whatever_is_damaged_together_a_repair_gives_nothing_that_was_never_stored(store_of: Any, seed: int) -> None:
    path, _ = store_of(seed)
    chance = random.Random(seed)
    for file in chance.sample(segment_files(path), chance.choice([1, 2])):
        hurt(file, chance.choice(KINDS), chance)
    if chance.random() < 0.7:
        file = path / "catalog.sqlite"
        replace(file, chance.choice([garbage, cut_off, bits, pages, nothing])(file.read_bytes(), chance))
    if chance.random() < 0.4:
        replace(path / "anam.json", chance.choice([b"", b"garbage"]))
    if not is_newer(path):
        Repaired(path, seed)


# ---- what a repair leaves alone, and what it refuses ----


def test_a_healthy_store_is_left_as_it_is(store_of: Any) -> None:
    path, held = store_of(1)
    before = listing(path)
    report = HTMCore.repair(path)
    assert (report.found, report.actions, report.set_aside, report.folder) == ([], [], [], None)
    assert (report.kept, report.lost, report.may_reappear) == (len(held), 0, 0)
    assert listing(path) == before


def test_what_a_crash_has_left_is_set_aside_and_nothing_else_is_touched(store_of: Any) -> None:
    path, held = store_of(0)
    catalog_before = (path / "catalog.sqlite").read_bytes()
    (path / "shard-0001" / "seg-1-0123abcd.h5").write_bytes(b"of a call that never returned")
    assert [(problem.severity, problem.where) for problem in HTMCore.verify(path)] == [
        ("warning", "shard-0001/seg-1-0123abcd.h5")
    ]
    assert HTMCore.repair(path).set_aside == ["shard-0001-seg-1-0123abcd.h5"]
    assert (path / "catalog.sqlite").read_bytes() == catalog_before
    with HTMCore(path) as htm:
        assert contents(htm) == held


def test_where_there_is_no_store_there_is_nothing_to_repair(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "elses").mkdir()
    with contextlib.closing(sqlite3.connect(tmp_path / "elses" / "catalog.sqlite")) as sql:
        sql.execute("CREATE TABLE mine (a)")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "notes.txt", tmp_path / "elses"):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(HTMError, match="no store"):
            HTMCore.repair(path)
        assert sorted(tmp_path.rglob("*")) == before
    for bad in ("", 5, None):
        with pytest.raises(ValidationError, match="path"):
            HTMCore.repair(bad)


def test_a_store_of_a_later_version_is_not_repaired_by_an_earlier_one(store_of: Any) -> None:
    path, _ = store_of(0)
    largest(path).unlink()
    for statement in (
        "PRAGMA user_version = 7",
        """UPDATE meta SET value = '{"required": ["codes"], "required_to_write": [], "tables": []}' WHERE key = 'features'""",
        """UPDATE meta SET value = '{"required": [], "required_to_write": ["x"], "tables": []}' WHERE key = 'features'""",
    ):
        copy = shutil.copytree(path, path.parent / "copy")
        with catalog(copy) as sql:
            sql.execute(statement)
        before = listing(copy)
        with pytest.raises(HTMError, match="upgrade"):
            HTMCore.repair(copy)
        assert listing(copy) == before
        shutil.rmtree(copy)
    marker = path / "anam.json"
    replace(marker, json.dumps({**json.loads(marker.read_bytes()), "format": 7}).encode())
    with pytest.raises(HTMError, match="upgrade"):
        HTMCore.repair(path)


def test_a_store_that_another_process_writes_is_not_repaired(store_of: Any) -> None:
    path, _ = store_of(0)
    with Remote(path) as remote:
        with pytest.raises(HTMError, match=f"being written by process {remote.pid}"):
            HTMCore.repair(path)
        remote("htm.close()")
        largest(path).unlink()
        assert HTMCore.repair(path).lost
        with pytest.raises(RemoteError, match="closed"):
            remote("len(htm)")


def test_a_store_that_is_open_here_is_not_repaired_by_its_path(store_of: Any) -> None:
    path, _ = store_of(0)
    for read_only in (False, True):
        with (
            HTMCore(path, read_only=read_only),
            HTMCore(path, read_only=read_only),
            pytest.raises(HTMError, match="open in this process, by 2 other handles"),
        ):
            HTMCore.repair(path)
    assert HTMCore.repair(path).actions == []


def test_nobody_opens_a_store_while_it_is_repaired(store_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = store_of(0)
    hurt(largest(path), "vectors", random.Random(0))
    refused = []
    write = segment.write

    def meanwhile(*arguments: Any) -> Any:
        for attempt in (lambda: HTMCore(path), lambda: HTMCore(path, read_only=True), lambda: HTMCore.repair(path)):
            with pytest.raises(HTMError, match="being repaired in this process"):
                attempt()
            refused.append(attempt)
        with pytest.raises(RemoteError, match="being written by process"), Remote(path):
            pass
        return write(*arguments)

    monkeypatch.setattr(segment, "write", meanwhile)
    HTMCore.repair(path)
    assert refused
    with HTMCore(path) as htm:
        assert htm.verify() == []


def test_an_open_store_repairs_itself_and_is_open_afterwards(store_of: Any) -> None:
    path, held = store_of(0)
    with HTMCore(path) as htm:
        assert htm.repair().actions == []
        hurt(largest(path), "vectors", random.Random(0))
    with HTMCore(path, durability="normal") as htm, HTMCore(path, durability="normal") as other:
        with pytest.raises(HTMError, match="by 1 other handles"):
            htm.repair()
        assert len(htm) == len(other) == len(held)
        other.close()
        report = htm.repair()
        assert (report.lost, report.kept) == (len(held) - len(htm), len(htm))
        assert report.lost
        assert htm.verify() == []
        assert htm.stats()["durability"] == "normal"
        htm.store_embedding("new", V, {})
        assert "new" in names(htm.search_similar(V, 3))
    with HTMCore(path, read_only=True) as htm, pytest.raises(HTMError, match="read_only"):
        htm.repair()
    with pytest.raises(HTMError, match="closed"):
        htm.repair()


async def test_repair_and_verify_have_async_forms_that_take_a_path_too(store_of: Any) -> None:
    path, _ = store_of(0)
    largest(path).unlink()
    assert await HTMCore.verify_async(path) != []
    assert (await HTMCore.repair_async(path)).lost
    assert await HTMCore.verify_async(path) == []
    with HTMCore(path) as htm:
        assert await htm.verify_async() == []
        assert (await htm.repair_async()).actions == []


def test_a_repair_that_fails_leaves_everything_as_it_was(store_of: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = store_of(1)
    for file in segment_files(path)[::2]:
        hurt(file, "structure", random.Random(0))
    before = listing(path)
    write = segment.write
    written = []

    def full(*arguments: Any) -> Any:
        if written:
            raise HTMError("the disk is full")
        written.append(write(*arguments))
        return written[0]

    with monkeypatch.context() as patched:
        patched.setattr(segment, "write", full)
        with pytest.raises(HTMError, match="disk is full"):
            HTMCore.repair(path)
    assert written
    assert listing(path) == before
    Repaired(path, 1)


# ---- what depends on entries ----


def test_the_crawler_takes_up_again_what_was_lost_and_only_that(store_path: Path) -> None:
    with HTMCore(store_path, 1, dimension=DIMENSION) as htm:
        for name in ("a.py", "b.py", "c.py"):
            entries = [Entry(key, crashing.vector(key, 0), {"n": 0}) for key in (name, f"{name}::f")]
            Ledger(htm).commit(entries=entries, files=[File(name, 5, 7, "hash", "indexed", "")], embedder="e 1")
    (file,) = segment_files(store_path)
    with h5py.File(file) as opened, catalog(store_path) as sql:
        ((lost,),) = sql.execute("SELECT id FROM entries WHERE key = 'b.py::f'")
        row = opened["ids"][:].tolist().index(lost)
    start, _ = rows_of(file)["vectors"]
    replace(file, flipped(file.read_bytes(), [start + row * 4 * DIMENSION], random.Random(0)))
    assert HTMCore.repair(store_path).lost == 1
    with HTMCore(store_path) as htm:
        assert sorted(Ledger(htm).files()) == ["a.py", "c.py"]
        assert Ledger(htm).embedder == "e 1"
        assert sorted(htm) == ["a.py", "a.py::f", "b.py", "c.py", "c.py::f"]


def test_after_the_catalog_was_lost_the_crawler_looks_at_every_file_again(store_path: Path) -> None:
    with HTMCore(store_path, dimension=DIMENSION) as htm:
        rows_ = [File(f"{n}.py", 5, 7, "hash", "indexed", "") for n in range(50)]
        entries = [Entry(row.path, crashing.vector(row.path, 0), {"n": 0}) for row in rows_]
        Ledger(htm).commit(entries=entries, files=rows_)
    with catalog(store_path) as sql:
        (page,) = sql.execute("SELECT rootpage FROM sqlite_master WHERE name = 'sqlite_autoindex_entries_1'").fetchone()
    data = bytearray((store_path / "catalog.sqlite").read_bytes())
    data[4096 * (page - 1) : 4096 * page] = bytes(4096)
    replace(store_path / "catalog.sqlite", bytes(data))
    assert HTMCore.repair(store_path).kept == 50
    with HTMCore(store_path) as htm:
        known = Ledger(htm).files()
        assert len(known) == len(htm) == 50
        assert {(row.mtime_ns, row.hash) for row in known.values()} == {(0, "")}


def test_declared_paths_and_what_has_to_be_purged_outlive_a_repair(store_of: Any) -> None:
    path, held = store_of(1)
    with HTMCore(path) as htm:
        htm.create_index("n")
        kept, purged, *_ = sorted(held)
    with catalog(path) as sql:
        sql.execute("UPDATE entries SET timestamp = 1 WHERE key = ?", (kept,))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(merge.Merger, "_merge_one", lambda _: False)
        with HTMCore(path) as htm:
            htm.delete(purged, purge=True)
        with catalog(path) as sql:
            marked = [row[0] for row in sql.execute("SELECT id FROM dead WHERE purge")]
            assert marked
        assert HTMCore.repair(path).lost == 0
    there = set()
    for file in segment_files(path):
        with h5py.File(file) as opened:
            there.update(opened["ids"][:].tolist())
    with catalog(path) as sql:
        assert {row[0] for row in sql.execute("SELECT id FROM dead WHERE purge")} == there & {*marked} != set()
        assert sql.execute("SELECT count(*) FROM indexed").fetchone()[0] == len(held) - 1
    with HTMCore(path) as htm:
        assert htm.stats()["indexes"] == ["n"]
        n = held[kept][0]["metadata"]["n"]
        assert {key for key, _, _ in htm.search_similar(V, 100, -1, where={"n": n})} == {
            key for key, found in held.items() if found[0]["metadata"]["n"] == n and key != purged
        }
        assert htm.verify() == []


def test_ids_are_not_used_again_after_a_repair(store_of: Any) -> None:
    path, _ = store_of(0)
    with catalog(path) as sql:
        (last,) = sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchone()
        sql.execute("UPDATE sqlite_sequence SET seq = 3 WHERE name = 'entries'")
    assert any("last id" in problem.what for problem in HTMCore.verify(path))
    Repaired(path)
    with HTMCore(path) as htm:
        htm.store_embedding("new", W, {"n": 1})
    with catalog(path) as sql:
        ((highest,),) = sql.execute("SELECT max(last_id) FROM segments")
        ((new,),) = sql.execute("SELECT id FROM entries WHERE key = 'new'")
        assert new == highest > last - len(segment_files(path))


def test_an_impossible_id_among_the_dead_uses_no_ids_up(store_of: Any) -> None:
    path, _ = store_of(0)
    with catalog(path) as sql:
        sql.execute("INSERT INTO dead VALUES (?, 0)", (2**63 - 1,))
        ((last,),) = sql.execute("SELECT seq FROM sqlite_sequence WHERE name = 'entries'").fetchall()
    Repaired(path)
    with HTMCore(path) as htm:
        htm.store_embedding("new", W, {"n": 1})
    with catalog(path) as sql:
        assert sql.execute("SELECT id FROM entries WHERE key = 'new'").fetchall() == [(last + 1,)]


# ---- verify ----


def test_verify_by_path_says_what_is_wrong_with_a_store_that_does_not_open_and_changes_nothing(store_of: Any) -> None:
    path, _ = store_of(0)
    assert HTMCore.verify(path) == []
    (path / "catalog.sqlite").unlink()
    file = largest(path)
    hurt(file, "vectors", random.Random(1))
    other = next(found for found in segment_files(path) if found != file)
    replace(other, b"garbage")
    before = listing(path)
    problems = HTMCore.verify(path)
    assert {problem.severity for problem in problems} == {"error"}
    assert "missing" in problems[0].what
    found = {problem.where: problem.what for problem in problems}
    assert "rows are damaged" in found[f"{file.parent.name}/{file.name}"]
    assert "signature" in found[f"{other.parent.name}/{other.name}"]
    assert len(HTMCore.verify(path, deep=False)) == len(problems) - 1
    assert listing(path) == before


def test_verify_by_path_looks_at_a_store_that_others_have_open(store_of: Any) -> None:
    path, _ = store_of(0)
    with HTMCore(path) as htm:
        assert HTMCore.verify(path) == htm.verify() == []
        htm.store_embedding("a", V, {})
        assert HTMCore.verify(path) == []
    with Remote(path):
        assert HTMCore.verify(path) == []


def test_verify_by_path_of_no_store_says_so(tmp_path: Path) -> None:
    (problem,) = HTMCore.verify(tmp_path)
    assert "no store" in problem.what
    (problem,) = HTMCore.verify(tmp_path / "missing")
    assert "no store" in problem.what
    assert not (tmp_path / "missing").exists()


# ---- interrupted repairs ----


@pytest.fixture(scope="module", name="nursery")
def start_nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


def no_catalog(path: Path) -> None:
    (path / "catalog.sqlite").unlink()


def damaged_rows(path: Path) -> None:
    for seed, file in enumerate(segment_files(path)[::2]):
        hurt(file, "vectors", random.Random(seed))


def neither(path: Path) -> None:
    damaged_rows(path)
    (path / "anam.json").unlink()
    with catalog(path) as sql:
        sql.execute("UPDATE entries SET metadata = '{}' WHERE id % 3")


class Case(NamedTuple):
    """A damaged store, how many steps its repair takes, and what it then holds but for histories."""

    path: Path
    steps: int
    held: Contents


@pytest.fixture(scope="module", name="cases")
def make_cases(
    nursery: Nursery, stores: list[tuple[Path, Contents]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Callable[[Path], None]], Case]:
    """Return a function that gives the case of a kind of damage."""

    @functools.cache
    def case(damage: Callable[[Path], None]) -> Case:
        folder = tmp_path_factory.mktemp(damage.__name__)
        path = shutil.copytree(stores[1][0], folder / "store")
        damage(path)
        whole = shutil.copytree(path, folder / "whole")
        *_, last, end = nursery.start(crashing.repair, whole)
        assert end == "ended 0"
        with HTMCore(whole) as htm:
            return Case(path, int(last.removeprefix("steps ")), without_history(contents(htm)))

    return case


def without_history(held: Contents) -> Contents:
    return {key: found[:4] for key, found in held.items()}


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.soak
@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize("damage", [no_catalog, damaged_rows, neither])
def test_a_repair_that_is_killed_at_any_step_leaves_a_store_that_repairs(
    nursery: Nursery, cases: Any, tmp_path: Path, damage: Any, number: int
) -> None:
    whole, steps, held = cases(damage)
    path = shutil.copytree(whole, tmp_path / "store")
    before = every_file(path)
    step = random.Random(f"{damage.__name__} {number}").randrange(1, steps + 1)
    *_, end = nursery.start(crashing.repair, path, kill_at=step)
    assert end == "ended -9"
    assert before - every_file(path) == collections.Counter()
    # It is as it was, or done but for some files to set aside, or says what to do.
    errors = [problem.what for problem in HTMCore.verify(path) if problem.severity == "error"]
    if (path / "catalog.sqlite.repaired").exists():
        assert "HTMCore.repair" in errors[0]
    elif errors:
        assert listing(path).items() >= listing(whole).items()
    assert without_history(Repaired(path, 1).held) == held


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.soak
@pytest.mark.parametrize("number", range(KILLS))
@pytest.mark.parametrize(
    "then", ["nothing", "log deleted", "log damaged", "catalog deleted", "marker deleted", "segment damaged"]
)
def test_after_a_process_was_killed_a_repair_gives_what_was_acknowledged_but_for_what_was_damaged(
    nursery: Nursery, tmp_path: Path, number: int, then: str
) -> None:
    chance = random.Random(f"{then} {number}")
    path = tmp_path / "store"
    *_, last, _ = nursery.start(crashing.write, tmp_path / "whole", seed=number, length=30)
    steps = int(last.removeprefix("steps "))
    lines = list(nursery.start(crashing.write, path, seed=number, length=30, kill_at=chance.randrange(steps // 4, steps)))
    done = lines.count("done 0")
    possible = crashing.states(crashing.workload(number, 30))[done : done + 2]
    log = path / "catalog.sqlite-wal"
    match then:
        case "log deleted":
            log.unlink(missing_ok=True)
        case "log damaged" if log.exists() and log.stat().st_size:
            replace(log, flipped(log.read_bytes(), [chance.randrange(log.stat().st_size)], chance))
        case "catalog deleted":
            (path / "catalog.sqlite").unlink()
        case "marker deleted":
            (path / "anam.json").unlink()
        case "segment damaged" if segment_files(path):
            hurt(chance.choice(segment_files(path)), chance.choice(KINDS), chance)
    before = every_file(path)
    report = HTMCore.repair(path)
    assert [len(data) for data in before if data not in every_file(path)] == []
    with HTMCore(path) as htm:
        assert htm.verify() == []
        found = {key: (item[0]["version"], item[0]["metadata"]["n"]) for key, item in contents(htm).items()}
        for key, (_, n) in found.items():
            assert htm.get_embedding(key)["embedding"]["values"].tobytes() == crashing.vector(key, n).tobytes()
    if then in ("nothing", "marker deleted"):
        assert found in possible
    elif then == "log damaged":  # of the last commit nobody knows that it was one, if it is what was damaged
        assert found in crashing.states(crashing.workload(number, 30))[max(0, done - 1) : done + 2]
    elif then == "segment damaged":
        assert any(found.items() <= state.items() and len(state) - len(found) == report.lost for state in possible)
    else:
        assert {(key, *version) for key, version in found.items()} <= ever(number, 30)


def replaced_by(file: Path) -> list[str]:
    """Return the names of the segments that one says it was merged from."""
    with h5py.File(file) as opened:
        said = opened.attrs["replaces"].decode()
    return [] if said == "-" else said.split(",")


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("sources", [1, 2])
def test_half_an_insert_does_not_come_back_where_a_segment_is_lost_that_was_being_merged(
    nursery: Nursery, store_path: Path, sources: int
) -> None:
    *_, end = nursery.start(crashing.insert, store_path, sources=sources, commit=False)
    assert end == "ended -9"
    shard = store_path / "shard-0001"
    *_, half = sorted(shard.iterdir(), key=lambda file: int(file.name.split("-")[1]))
    half.unlink()
    (names,) = filter(None, map(replaced_by, shard.iterdir()))
    assert len(names) == sources
    (shard / names[0]).unlink()
    report = HTMCore.repair(store_path)
    assert (report.lost, report.may_reappear) == (0, 0)
    with HTMCore(store_path) as htm:
        assert crashing.state(htm) == crashing.states(crashing.before_insert(sources))[-1]


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("sources", [1, 2])
def test_an_insert_is_taken_up_where_the_log_was_cut_off_before_it_and_before_a_merge(
    nursery: Nursery, store_path: Path, sources: int
) -> None:
    *_, said, end = nursery.start(crashing.insert, store_path, sources=sources, commit=True)
    assert end == "ended -9"
    log = store_path / "catalog.sqlite-wal"
    replace(log, log.read_bytes()[: int(said.removeprefix("log "))])
    report = HTMCore.repair(store_path)
    # What was deleted is in the catalog again, but its vectors are nowhere.
    assert (report.lost, report.may_reappear) == (len(crashing.DELETE.keys) if sources == 1 else 0, len(crashing.INSERT.keys))
    with HTMCore(store_path) as htm:
        found = {key: (item[0]["version"], item[0]["metadata"]["n"]) for key, item in contents(htm).items()}
    assert found == crashing.states([*crashing.before_insert(sources), crashing.INSERT])[-1]


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_half_of_the_first_insert_of_a_session_does_not_come_back(nursery: Nursery, store_path: Path) -> None:
    *_, end = nursery.start(crashing.insert, store_path, sources=0, commit=False)
    assert end == "ended -9"
    half, other = segment_files(store_path)
    other.unlink()
    assert [(severity, where) for severity, where, _ in HTMCore.verify(store_path)] == [
        ("warning", f"{half.parent.name}/{half.name}")
    ]
    report = HTMCore.repair(store_path)
    assert (report.kept, report.lost, report.may_reappear) == (0, 0, 0)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_store_whose_repair_was_interrupted_is_refused_until_it_is_repaired(store_of: Any, read_only: bool) -> None:
    path, held = store_of(0)
    (path / "catalog.sqlite").rename(path / "catalog.sqlite.repaired")
    (path / "catalog.sqlite").write_bytes(b"the old one")
    with pytest.raises(HTMError, match=r"interrupted.*HTMCore\.repair"):
        HTMCore(path, read_only=read_only)
    repaired = Repaired(path)
    assert repaired.held == held
    assert (repaired.report.folder / "catalog.sqlite").read_bytes() == b"the old one"
    assert "finished the repair that was interrupted" in repaired.report.actions
