"""The files of codes beside segments: made in the background, never needed, and made again whatever becomes of them."""

import contextlib
import json
import logging
import os
import sqlite3
import stat
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from oracles import oracle_search
from remote import Remote
from stores import code, codes_files, contents, rows, segment_files

from anam_py import _core
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, coding, merge, sidecar

DIMENSION = 64
COUNT = 3_000
Vectors = dict[str, NDArray[np.float32]]


def plan(width: int = 32) -> _core.Plan:
    """Return a plan that has everything."""
    rotation, _ = np.linalg.qr(np.random.default_rng(width).standard_normal((DIMENSION, width)))
    return _core.Plan(DIMENSION, width, 4, np.ascontiguousarray(rotation.T, np.float32), detail=True)


@pytest.fixture(autouse=True)
def choose(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let plans be chosen that do not depend on the rows; returns for how many rows that was done."""
    chosen: list[int] = []

    def choose_plan(sample: NDArray[np.float32], *, rows: int, threads: int) -> _core.Plan:
        assert threads > 0
        np.testing.assert_allclose(np.linalg.norm(sample, axis=1), 1, atol=1e-6)
        chosen.append(rows)
        return plan(32 + len(chosen))

    monkeypatch.setattr(_core, "choose_plan", choose_plan)
    return chosen


@pytest.fixture
def vectors(rng: np.random.Generator) -> Vectors:
    """Return what the coded store holds."""
    return some(rng, COUNT)


@pytest.fixture
def coded(open_store: Any, vectors: Vectors) -> HTMCore:
    """Return a store of two segments, both with codes."""
    htm = open_store(shard_count=2, dimension=DIMENSION)
    fill(htm, vectors)
    code(htm)
    assert is_coded(htm)
    return htm


def some(rng: np.random.Generator, count: int, prefix: str = "key") -> Vectors:
    return {f"{prefix} {i}": vector for i, vector in enumerate(rows(rng, count, DIMENSION))}


def fill(htm: HTMCore, vectors: Vectors) -> None:
    htm.store_embeddings(list(vectors), np.stack(list(vectors.values())), [{"n": i} for i in range(len(vectors))])


def is_coded(htm: HTMCore) -> bool:
    """Return whether every row of a segment has codes, and nothing is wrong."""
    stats = htm.stats()
    assert stats["background_error"] is None
    assert htm.verify() == []
    return bool(stats["coded_rows"] == stats["rows"] - stats["pending_rows"])


def finds(htm: HTMCore, vectors: Vectors) -> None:
    """Assert that searches give what they should."""
    for query in rows(np.random.default_rng(1), 3, DIMENSION):
        assert [hit[:2] for hit in htm.search_similar(query, 10, -1)] == oracle_search(vectors, query, 10)


def catalog(path: Path, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
    """Ask, or change, the catalog of a store that is not open."""
    with contextlib.closing(sqlite3.connect(path / "catalog.sqlite")) as sql, sql:
        return sql.execute(statement, arguments).fetchall()


def bytes_of(path: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in codes_files(path)}


def soon(true: Callable[[], bool]) -> bool:
    """Return whether something in the background comes true."""
    deadline = time.monotonic() + 30
    while not true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return true()


# ---- that they appear ----


@pytest.mark.parametrize("how", ["bulk", "flush", "compact"])
def test_segments_get_codes_in_the_background(
    open_store: Any, vectors: Vectors, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(coding, "QUIET_SECONDS", 0.0)
    htm = open_store(shard_count=2, dimension=DIMENSION)
    if how == "bulk":
        fill(htm, vectors)
    else:
        for start in range(0, COUNT, 500):
            fill(htm, dict(list(vectors.items())[start : start + 500]))
    if how == "flush":
        htm.flush()
    if how == "compact":
        htm.compact()
        assert is_coded(htm)  # without waiting for it
    assert soon(lambda: is_coded(htm))
    assert len(codes_files(htm.storage_path)) == len(segment_files(htm.storage_path))
    assert {stat.S_IMODE(file.stat().st_mode) for file in codes_files(htm.storage_path)} == {0o400}
    finds(htm, vectors)


def test_h5py_reads_the_codes_that_the_catalog_lists(coded: HTMCore, vectors: Vectors) -> None:
    path = coded.storage_path
    snapshot = coded._writing().snapshot()
    coded.close()
    listed = "SELECT segments.name, derived.name, derived.crc FROM derived JOIN segments ON segments.id = segment"
    for segment, name, crc in catalog(path, listed):
        (file,) = path.glob(f"shard-*/{name}")
        assert name == segment.replace(".h5", ".codes-1.h5")
        assert zlib.crc32(file.read_bytes()) == crc
        (block,) = [block for block in snapshot.segments if block.segment.name == segment]
        with h5py.File(file) as found:
            assert found.attrs["magic"] == b"anam-codes"
            assert found.attrs["segment"].decode() == segment
            expected = _core.encode(plan(33), block.vectors, block.norms, threads=1)
            assert set(found) == set(expected)
            for part, array in expected.items():
                np.testing.assert_array_equal(found[part][:], array)
                np.testing.assert_array_equal(getattr(block.codes, part), array)
                assert found[part].id.get_offset() % 64 == 0
                assert not getattr(block.codes, part).flags.writeable


def test_a_store_of_few_rows_has_no_codes(open_store: Any, rng: np.random.Generator, choose: list[int]) -> None:
    htm = open_store(dimension=DIMENSION)
    fill(htm, some(rng, coding.PLAN_ROWS - 1))
    htm.compact()
    assert choose == codes_files(htm.storage_path) == []
    assert (htm.stats()["codes"], htm.stats()["coded_rows"], htm.stats()["codes_bytes"]) == (None, 0, 0)


def test_a_small_segment_has_no_codes(coded: HTMCore, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "choose", lambda _: [])
    fill(coded, some(rng, coding.LEAST_ROWS - 1, "more"))
    coded.flush()
    code(coded)
    assert coded.stats()["segments"] == 4
    assert (coded.stats()["coded_rows"], len(codes_files(coded.storage_path))) == (COUNT, 2)


def test_rows_that_no_codes_would_speed_up_get_none(open_store: Any, vectors: Vectors, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(_core, "choose_plan", lambda _, rows, **__: asked.append(rows))
    htm = open_store(shard_count=2, dimension=DIMENSION)
    fill(htm, vectors)
    htm.compact()
    htm.close()
    htm = open_store()
    htm.compact()
    assert asked == [COUNT]
    assert codes_files(htm.storage_path) == []
    assert htm.stats()["codes"] is None


def test_figures_tell_of_codes(coded: HTMCore) -> None:
    stats, files = coded.stats(), codes_files(coded.storage_path)
    assert stats["codes"] == "4 bits of 33 of 64 rotated coordinates, then 8 bits of all"
    assert stats["codes_bytes"] == sum(file.stat().st_size for file in files)
    assert coded.get_memory_stats()["mapped_bytes"] == stats["segment_bytes"] + stats["codes_bytes"]
    json.dumps(stats)


def test_the_real_choice_serves_the_rows(open_store: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    matrix = rows(rng, COUNT, 256) * (1 + np.arange(256, dtype=np.float32)) ** -0.5
    htm = open_store(dimension=256)
    htm.store_embeddings([f"key {i}" for i in range(COUNT)], matrix)
    code(htm)
    assert is_coded(htm)
    assert 0 < htm.stats()["codes_bytes"] < 0.5 * htm.stats()["segment_bytes"]


# ---- that they stay, and that they go ----


def test_codes_are_there_at_once_when_a_store_is_opened_again(coded: HTMCore, open_store: Any, vectors: Vectors) -> None:
    coded.close()
    before = bytes_of(coded.storage_path)
    for read_only in (True, False):
        with HTMCore(coded.storage_path, read_only=read_only) as htm:
            assert is_coded(htm)
            finds(htm, vectors)
    assert bytes_of(coded.storage_path) == before


def test_a_store_written_before_there_were_codes_gets_them_by_itself(
    coded: HTMCore, open_store: Any, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coding, "QUIET_SECONDS", 0.0)
    path = coded.storage_path
    coded.close()
    for file in codes_files(path):
        file.unlink()
    catalog(path, "DELETE FROM derived")
    catalog(path, "DELETE FROM rotations")
    with HTMCore(path, read_only=True) as htm:
        finds(htm, vectors)
        assert htm.stats()["coded_rows"] == 0
        assert htm.verify() == []
    htm = open_store()
    assert soon(lambda: is_coded(htm))


def test_codes_go_with_the_segments_that_are_merged_away(coded: HTMCore, vectors: Vectors) -> None:
    before = codes_files(coded.storage_path)
    keys = list(vectors)[::3]
    coded.delete_many(keys)
    coded.compact()
    assert not {*before} & {*codes_files(coded.storage_path)}
    assert len(codes_files(coded.storage_path)) == 2
    assert is_coded(coded)
    finds(coded, {key: vector for key, vector in vectors.items() if key not in set(keys)})


def test_a_purge_takes_the_codes_of_what_is_purged_with_it(coded: HTMCore, vectors: Vectors) -> None:
    path = coded.storage_path
    row = vectors["key 7"][np.newaxis]
    secret = _core.encode(plan(33), row, _core.norms(row), threads=1)["detail"].tobytes()
    assert [file for file in path.rglob("*") if file.is_file() and secret in file.read_bytes()]
    coded.delete("key 7", purge=True)
    coded.compact()
    assert is_coded(coded)
    assert not [file for file in path.rglob("*") if file.is_file() and secret in file.read_bytes()]


def test_a_store_that_has_grown_is_coded_anew(
    coded: HTMCore,
    open_store: Any,
    rng: np.random.Generator,
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
    choose: list[int],
) -> None:
    monkeypatch.setattr(coding, "GROWTH", 2)
    more = vectors | some(rng, COUNT - 1, "more")
    fill(coded, more)
    code(coded)
    assert choose == [COUNT]
    more |= some(rng, 1, "last")
    coded.store_embedding("last 0", more["last 0"], {})
    coded.compact()
    assert choose == [COUNT, 2 * COUNT]
    assert is_coded(coded)
    assert coded.stats()["codes"].startswith("4 bits of 34 of 64")
    assert {file.name[-4:] for file in codes_files(coded.storage_path)} == {"2.h5"}
    finds(coded, more)
    coded.close()
    assert catalog(coded.storage_path, "SELECT id FROM rotations") == [(2,)]
    assert is_coded(open_store())


def test_codes_of_an_older_plan_serve_until_there_are_newer_ones(
    coded: HTMCore, open_store: Any, rng: np.random.Generator, vectors: Vectors, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merge, "choose", lambda _: [])
    monkeypatch.setattr(coding, "GROWTH", 2)
    more = vectors | some(rng, COUNT, "more")
    fill(coded, {key: more[key] for key in more.keys() - vectors.keys()})
    seen = []
    put_codes = coded._writing().put_codes

    def put(written: sidecar.Sidecar) -> list[str]:
        finds(coded, more)
        seen.append(rotations(coded))
        if len(seen) == 3:
            raise HTMError("for a test")
        return put_codes(written)

    monkeypatch.setattr(coded._writing(), "put_codes", put)
    code(coded)
    assert [sorted(ids) for ids in seen] == [[0, 0, 1, 1], [0, 1, 1, 2], [1, 1, 2, 2]]
    coded.close()
    htm = open_store()
    assert sorted(rotations(htm)) == [1, 1, 2, 2]
    finds(htm, more)
    code(htm)
    assert rotations(htm) == [2, 2, 2, 2]
    assert is_coded(htm)
    finds(htm, more)


def rotations(htm: HTMCore) -> list[int]:
    """Return by which rotation each segment is coded; 0 for none."""
    return [block.sidecar.derived.rotation if block.sidecar else 0 for block in htm._writing().snapshot().segments]


# ---- whatever becomes of the files ----


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size - 1)


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 1
    file.chmod(0o600)
    file.write_bytes(data)


def replace(file: Path, data: bytes) -> None:
    file.unlink()
    file.write_bytes(data)


def swap(file: Path) -> None:
    one, other = codes_files(file.parent.parent)
    data = one.read_bytes()
    replace(one, other.read_bytes())
    replace(other, data)


def lie(file: Path) -> None:
    """Write a header, with its checksum, that says that a dataset lies beyond the file's end."""
    data = file.read_bytes()
    header = json.loads(data[: sidecar.HEADER_BYTES - 9])
    header["layout"]["panels"] = len(data) - 64
    replace(file, sidecar._packed(header) + data[sidecar.HEADER_BYTES :])


DAMAGES: dict[str, Callable[[Path], object]] = {
    "deleted": Path.unlink,
    "cut off": cut,
    "cut within its header": lambda file: os.truncate(file, 1000),
    "emptied": lambda file: os.truncate(file, 0),
    "garbage": lambda file: replace(file, np.random.default_rng(0).bytes(file.stat().st_size)),
    "a header flipped": lambda file: flip(file, 100),
    "grown": lambda file: replace(file, file.read_bytes() + b"\0"),
    "another segment's": swap,
    "a layout beyond its end": lie,
    "a folder": lambda file: (file.unlink(), file.mkdir()),
    "a loop": lambda file: (file.unlink(), file.symlink_to(file)),
}
if hasattr(os, "mkfifo"):
    DAMAGES["a pipe"] = lambda file: (file.unlink(), os.mkfifo(file))


@pytest.mark.parametrize("damage", DAMAGES)
def test_codes_that_cannot_be_used_are_no_error_and_made_again(
    coded: HTMCore, open_store: Any, vectors: Vectors, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = coded.storage_path
    coded.close()
    before = bytes_of(path)
    file = codes_files(path)[0]
    DAMAGES[damage](file)
    with HTMCore(path, read_only=True) as htm:
        finds(htm, vectors)
        assert htm.stats()["coded_rows"] < COUNT
        problems = htm.verify(deep=False)
        assert f"{file.parent.name}/{file.name}" in [problem.where for problem in problems]
        assert {problem.severity for problem in problems} == {"warning"}
        finds(htm, vectors)
        assert caplog.text.count(file.name) == 1
    if damage == "a folder":  # nothing is renamed to where it is
        file.rmdir()
    htm = open_store()
    assert htm.verify() == []
    finds(htm, vectors)
    code(htm)
    assert is_coded(htm)
    assert bytes_of(path) == before
    finds(htm, vectors)


def test_a_bit_that_flips_in_codes_is_found_by_verify_and_repaired(coded: HTMCore, open_store: Any, vectors: Vectors) -> None:
    path = coded.storage_path
    coded.close()
    file = codes_files(path)[1]
    flip(file, -1000)
    with HTMCore(path, read_only=True) as htm:
        assert htm.verify(deep=False) == []
        ((severity, where, what),) = htm.verify()
        assert (severity, where) == ("error", f"{file.parent.name}/{file.name}")
        assert "repair" in what
    report = HTMCore.repair(path)
    assert report.actions == ["removed 2 files of codes, which are made anew"]
    assert (report.kept, report.lost, report.set_aside, report.folder) == (COUNT, 0, [], None)
    assert codes_files(path) == []
    assert HTMCore.verify(path) == []
    htm = open_store()
    code(htm)
    assert is_coded(htm)
    finds(htm, vectors)


def test_files_of_codes_that_nobody_lists_are_told_and_removed(coded: HTMCore, open_store: Any) -> None:
    path = coded.storage_path
    stray = path / "shard-0001" / "seg-7-0123abcd.codes-9.h5"
    stray.write_bytes(b"left by a crash")
    assert [problem[:2] for problem in coded.verify()] == [("warning", "shard-0001/seg-7-0123abcd.codes-9.h5")]
    coded.close()
    assert [problem.severity for problem in HTMCore.verify(path)] == ["warning"]
    report = HTMCore.repair(path)
    assert (report.actions, report.set_aside) == (["removed 3 files of codes, which are made anew"], [])
    stray.write_bytes(b"left by a crash")
    htm = open_store()
    assert not stray.exists()
    code(htm)
    assert is_coded(htm)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rotations SET blob = zeroblob(100)",
        "UPDATE rotations SET crc = crc + 1",
        "DELETE FROM rotations",
        "UPDATE derived SET name = '../../somebody-elses-file' WHERE segment = 1",
        "UPDATE derived SET rotation = 77",
        "UPDATE derived SET crc = 'text' WHERE segment = 1",
    ],
)
def test_what_is_damaged_in_the_catalogs_list_is_no_error_and_made_again(
    coded: HTMCore, open_store: Any, vectors: Vectors, statement: str
) -> None:
    path = coded.storage_path
    coded.close()
    catalog(path, statement)
    with HTMCore(path, read_only=True) as htm:
        finds(htm, vectors)
        assert {problem.severity for problem in htm.verify()} == {"warning"}
    htm = open_store()
    finds(htm, vectors)
    code(htm)
    finds(htm, vectors)
    assert htm.stats()["coded_rows"] == COUNT
    htm.repair()
    assert htm.verify() == []
    code(htm)
    assert is_coded(htm)
    finds(htm, vectors)


def test_a_repair_of_the_catalog_leaves_no_codes_behind_that_belong_to_the_old_one(
    coded: HTMCore, open_store: Any, vectors: Vectors
) -> None:
    path = coded.storage_path
    coded.close()
    (path / "catalog.sqlite").unlink()
    assert HTMCore.repair(path).kept == COUNT
    assert codes_files(path) == []
    htm = open_store()
    code(htm)
    assert is_coded(htm)
    finds(htm, vectors)


def test_a_backup_holds_no_codes_and_gets_them_again(coded: HTMCore, tmp_path: Path, choose: list[int], vectors: Vectors) -> None:
    before = bytes_of(coded.storage_path)
    target = coded.backup(tmp_path / "backup")
    assert codes_files(target) == []
    with HTMCore(target, read_only=True) as copy:
        assert copy.verify() == []
        finds(copy, vectors)
    with HTMCore(target) as copy:
        code(copy)
        assert is_coded(copy)
        finds(copy, vectors)
    assert choose == [COUNT]  # by the same plan
    assert [file.read_bytes() for file in codes_files(target)] == [*before.values()]


# ---- while others work ----


def test_a_reader_in_another_process_sees_codes_come_and_go(
    coded: HTMCore, open_store: Any, rng: np.random.Generator, vectors: Vectors
) -> None:
    with Remote(coded.storage_path, read_only=True) as other:
        assert other("htm.stats()['coded_rows']") == COUNT
        more = vectors | some(rng, COUNT, "more")
        fill(coded, more)
        coded.flush()
        assert other("htm.stats()['rows']") == 2 * COUNT
        coded.compact()
        assert other("htm.stats()['coded_rows']") == 2 * COUNT
        query = rows(rng, 1, DIMENSION)[0]
        found = other(f"[hit[:2] for hit in htm.search_similar({query.tolist()}, 10, -1)]")
        assert [tuple(hit) for hit in found] == oracle_search(more, query, 10)
        assert other("htm.verify()") == []


def test_a_reader_keeps_the_codes_that_it_has_while_their_files_go(coded: HTMCore, vectors: Vectors) -> None:
    snapshot = coded._writing().snapshot()
    query = rows(np.random.default_rng(2), 1, DIMENSION)[0]
    expected = _core.top_k(snapshot.rows(), query, 10, threads=1)
    coded.delete_many([*vectors][:1500])
    coded.compact()
    found = _core.top_k(snapshot.rows(), query, 10, threads=1)
    np.testing.assert_array_equal(found.score, expected.score)


class Gate:
    """Holds coding back between computing a segment's codes and listing them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reached, self.open = threading.Event(), threading.Event()
        self.count = 0
        self._encode = _core.encode
        monkeypatch.setattr(_core, "encode", self)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        found = self._encode(*arguments, **keywords)
        self.count += 1
        self.reached.set()
        assert self.open.wait(60)
        return found


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Gate:
    monkeypatch.setattr(coding, "QUIET_SECONDS", 0.0)
    return Gate(monkeypatch)


def test_everything_goes_on_while_segments_are_coded(
    gate: Gate, open_store: Any, vectors: Vectors, rng: np.random.Generator
) -> None:
    htm = open_store(shard_count=2, dimension=DIMENSION)
    fill(htm, vectors)
    assert gate.reached.wait(60)
    more = vectors | some(rng, 2_000, "bulk")
    fill(htm, more)
    more |= some(rng, 1, "put")
    htm.store_embedding("put 0", more["put 0"], {})
    htm.flush()
    htm._writing()._merger.compact()
    htm.backup(htm.storage_path.with_name("backup"))
    finds(htm, more)
    assert htm.verify() == []
    assert codes_files(htm.storage_path) == []
    gate.open.set()
    code(htm)
    assert is_coded(htm)
    assert len(codes_files(htm.storage_path)) == len(segment_files(htm.storage_path)) == 2
    finds(htm, more)


def test_closing_waits_for_no_further_segment_and_the_next_opening_goes_on(gate: Gate, open_store: Any, vectors: Vectors) -> None:
    htm = open_store(shard_count=4, dimension=DIMENSION)
    fill(htm, vectors)
    assert gate.reached.wait(60)
    coder = htm._writing().coder
    closing = threading.Thread(target=htm.close)
    closing.start()
    assert soon(lambda: coder._stopping)
    gate.open.set()
    closing.join()
    assert gate.count == 1
    assert codes_files(htm.storage_path) == []
    htm = open_store()
    assert soon(lambda: is_coded(htm))


def test_one_who_waits_for_codes_is_not_left_waiting_by_a_close(gate: Gate, open_store: Any, vectors: Vectors) -> None:
    htm = open_store(shard_count=4, dimension=DIMENSION)
    fill(htm, vectors)
    compacting = threading.Thread(target=_compact, args=(htm,))
    compacting.start()
    assert gate.reached.wait(60)
    coder = htm._writing().coder
    closing = threading.Thread(target=htm.close)
    closing.start()
    assert soon(lambda: coder._stopping)
    gate.open.set()
    compacting.join(60)
    closing.join(60)
    assert not compacting.is_alive()
    with pytest.raises(HTMError, match="closed"):
        coder.finish()


def _compact(htm: HTMCore) -> None:
    with contextlib.suppress(HTMError):
        htm.compact()


@pytest.mark.parametrize("error", [MemoryError, ValueError("for a test")])
@pytest.mark.parametrize("step", ["choose_plan", "encode"])
def test_coding_that_fails_is_told_once_and_tried_again(
    open_store: Any,
    vectors: Vectors,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Any,
    step: str,
) -> None:
    htm = open_store(shard_count=2, dimension=DIMENSION)

    def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
        patch.setattr(_core, step, fail)
        fill(htm, vectors)  # not before: coding begins by itself
        for _ in range(3):
            htm.compact()
            finds(htm, vectors)
        said = "for a test" if isinstance(error, ValueError) else "MemoryError"
        assert htm.stats()["background_error"] == said
        assert caplog.text.count(said) == 1
    assert codes_files(htm.storage_path) == []
    htm.compact()
    assert is_coded(htm)
    assert contents(htm).keys() == vectors.keys()
