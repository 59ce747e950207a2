"""Backups: one moment of a store in a folder that is a store, there wholly or not at all."""

import errno
import itertools
import os
import random
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import crashing
import numpy as np
import pytest
from crashing import Nursery
from remote import Remote
from stores import V, W, contents, rows, segment_files

from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import AuditLog, HTMCore, jobs, merge, tables, writer


@pytest.fixture
def filled(store: HTMCore, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> HTMCore:
    """Return a store with segments, dead rows, pending rows, texts and histories; it merges only when it is told to."""
    monkeypatch.setattr(merge, "choose", lambda _: [])
    store.store_embeddings([f"key {i}" for i in range(50)], rows(rng, 50), [{"n": i} for i in range(50)], texts=["word"] * 50)
    store.flush()
    store.store_embeddings([f"key {i}" for i in range(40, 60)], rows(rng, 20), texts=["other"] * 20)
    store.delete_many(["key 1", "key 41"])
    store.flush()
    store.store_embedding("key 2", V, {"n": "new"}, [{"op": "insert", "pos": 0, "lines": ["a"]}], text="anew")
    return store


def all_files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def siblings(path: Path) -> set[str]:
    return {found.name for found in path.parent.iterdir()}


@pytest.mark.parametrize("link", [False, True])
def test_a_backup_is_a_store_that_holds_the_same(filled: HTMCore, tmp_path: Path, link: bool) -> None:
    before = contents(filled)
    assert filled.backup(tmp_path / "backup", link=link) == (tmp_path / "backup").resolve()
    assert siblings(tmp_path / "backup") == {"store", "backup"}
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert restored.verify() == []
        assert contents(restored) == before
        found, expected = restored.search_similar(V, 100, -1), filled.search_similar(V, 100, -1)
        assert [(key, score) for key, score, _ in found] == [(key, score) for key, score, _ in expected]
        assert {key for key, _, _ in restored.search_text("word", 100)} == {key for key, _, _ in filled.search_text("word", 100)}
    assert contents(filled) == before


def test_a_backup_holds_what_the_store_needs_and_nothing_else(filled: HTMCore, tmp_path: Path) -> None:
    path = filled.storage_path
    expected = {"anam.json", "catalog.sqlite", "audit.jsonl", *(str(file.relative_to(path)) for file in segment_files(path))}
    (path / "quarantine").mkdir()
    (path / "quarantine/old.h5").write_bytes(b"set aside")
    (path / "shard-0000/seg-7-01234567.codes-1.h5").write_bytes(b"derived")
    (path / "notes.txt").write_text("somebody's")
    AuditLog(filled).append({"kind": "test"}).result()
    filled.backup(tmp_path / "backup")
    found = all_files(tmp_path / "backup")
    assert found.keys() == expected
    assert found["audit.jsonl"] == (path / "audit.jsonl").read_bytes()
    (path / "shard-0000/seg-7-01234567.codes-1.h5").unlink()


@pytest.mark.skipif(os.name != "posix", reason="modes mean nothing there")
def test_only_the_owner_may_read_a_backup(filled: HTMCore, tmp_path: Path) -> None:
    filled.backup(tmp_path / "backup")
    folders = {path.stat().st_mode & 0o777 for path in [tmp_path / "backup", *(tmp_path / "backup").glob("shard-*")]}
    assert folders == {0o700}
    assert (tmp_path / "backup/catalog.sqlite").stat().st_mode & 0o777 == 0o600
    assert {path.stat().st_mode & 0o777 for path in segment_files(tmp_path / "backup")} == {0o400}


def test_an_empty_store_can_be_backed_up(store: HTMCore, tmp_path: Path) -> None:
    store.backup(tmp_path / "backup")
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert len(restored) == 0
        assert restored.verify() == []


@pytest.mark.parametrize("link", [False, True])
def test_a_restored_backup_goes_on_being_written(filled: HTMCore, tmp_path: Path, link: bool) -> None:
    before = contents(filled)
    filled.backup(tmp_path / "backup", link=link)
    with HTMCore(tmp_path / "backup") as restored:
        assert contents(restored) == before
        version = restored.get_embedding("key 2")["version"]
        restored.store_embedding("key 2", W, {})
        assert restored.get_embedding("key 2")["version"] == version + 1
        restored.delete_many([f"key {i}" for i in range(10, 30)])
        restored.compact()
        assert restored.verify() == []
    assert contents(filled) == before  # what the backup's merges removed were its own names of the files
    filled.compact()
    assert filled.verify() == []


def test_a_backup_copied_back_takes_the_place_of_what_was_lost(filled: HTMCore, tmp_path: Path) -> None:
    before = contents(filled)
    filled.backup(tmp_path / "backup")
    filled.close()
    shutil.rmtree(filled.storage_path)
    shutil.copytree(tmp_path / "backup", filled.storage_path)
    with HTMCore(filled.storage_path) as restored:
        assert contents(restored) == before
        assert restored.verify() == []


def test_a_linked_backup_shares_the_segments_with_the_store(filled: HTMCore, tmp_path: Path) -> None:
    filled.backup(tmp_path / "backup", link=True)
    for file in segment_files(filled.storage_path):
        assert file.samefile(tmp_path / "backup" / file.relative_to(filled.storage_path))


def test_where_nothing_can_be_linked_a_linked_backup_is_a_copy(
    filled: HTMCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    filled.backup(tmp_path / "backup", link=True)
    assert all(file.stat().st_nlink == 1 for file in segment_files(tmp_path / "backup"))
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert contents(restored) == contents(filled)


async def test_a_backup_can_be_awaited(filled: HTMCore, tmp_path: Path) -> None:
    await filled.backup_async(tmp_path / "backup", link=True)
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert contents(restored) == contents(filled)


# ---- where a backup can be ----


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("store", "one would lie in the other"),
        ("store/backup", "one would lie in the other"),
        (".", "one would lie in the other"),
        ("full", "there already"),
        ("file", "there already"),
        ("file/backup", "no folder"),
        ("missing/backup", "no folder"),
        ("x" * 300, "too long"),
    ],
)
def test_a_backup_goes_to_a_new_or_an_empty_folder_outside_the_store(
    filled: HTMCore, tmp_path: Path, target: str, reason: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/notes.txt").write_text("somebody's")
    (tmp_path / "file").write_text("somebody's")
    filled.flush()
    before = all_files(tmp_path)
    with pytest.raises(HTMError, match=reason):
        filled.backup(tmp_path / target)
    assert {name for name in all_files(tmp_path) if "-shm" not in name} == {name for name in before if "-shm" not in name}


@pytest.mark.parametrize("target", ["", "a\0b", 7, None])
def test_a_target_that_is_no_path_is_refused(filled: HTMCore, target: Any) -> None:
    with pytest.raises(ValidationError, match="path"):
        filled.backup(target)


def test_an_empty_folder_or_a_link_to_one_can_be_the_target(filled: HTMCore, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    assert filled.backup(tmp_path / "link") == (tmp_path / "empty").resolve()
    with HTMCore(tmp_path / "link", read_only=True) as restored:
        assert contents(restored) == contents(filled)


def test_a_backup_of_a_backup_takes_the_place_of_neither(filled: HTMCore, tmp_path: Path) -> None:
    filled.backup(tmp_path / "1")
    with HTMCore(tmp_path / "1", read_only=True) as first:
        first.backup(tmp_path / "2")
    with pytest.raises(HTMError, match="there already"):
        filled.backup(tmp_path / "2")
    with HTMCore(tmp_path / "2", read_only=True) as second:
        assert contents(second) == contents(filled)


# ---- while others write ----


def moments(htm: HTMCore, numbers: Iterator[int], chance: random.Random) -> None:
    """Write so that a store which is not of one moment shows it."""
    for number in numbers:
        together = [f"together {i}" for i in range(30 if number % 3 else 5)]
        htm.store_embeddings(together, np.tile(V + number, (len(together), 1)), [{"n": number}] * len(together))
        htm.store_embedding(f"log {number}", V, {}, text=f"word {number}")
        if chance.random() < 0.2:
            htm.flush()
        if chance.random() < 0.1:
            htm.compact()
        if number >= 20 and chance.random() < 0.2:
            htm.delete_many([f"gone {number - 20}"])


def is_one_moment(htm: HTMCore) -> int:
    """Return the moment that a store is of; raises AssertionError where it is of several."""
    assert htm.verify() == []
    keys = list(htm)
    records = dict(zip(keys, htm.get_embeddings(keys), strict=True))
    logged = sorted(int(key.removeprefix("log ")) for key in keys if key.startswith("log "))
    assert logged == list(range(len(logged)))
    if not records:
        return -1
    number = records["together 0"]["metadata"]["n"]
    assert number - len(logged) in (-1, 0)  # logged right after what is stored together
    for key, record in records.items():
        if key.startswith("together "):
            i = int(key.removeprefix("together "))
            last = number if i < 5 or number % 3 else number - 1
            assert record["metadata"]["n"] == last, (key, record, number)
            assert record["embedding"]["values"].tolist() == (V + last).tolist()
            times = last + 1 if i < 5 else sum(1 for n in range(last + 1) if n % 3)
            assert record["version"] == times
        else:
            assert htm.get_text(key) == f"word {key.removeprefix('log ')}"
    return int(number)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 8)
    monkeypatch.setattr(jobs, "BULK_ROWS", 20)


@pytest.mark.usefixtures("small_segments")
def test_a_backup_during_writes_is_one_moment_of_them(store: HTMCore, tmp_path: Path) -> None:
    stopping = threading.Event()
    numbers = itertools.takewhile(lambda _: not stopping.is_set(), itertools.count())
    thread = threading.Thread(target=moments, args=(store, numbers, random.Random(0)))
    thread.start()
    try:
        found = []
        for number in range(8):
            before = store.count()
            store.backup(tmp_path / f"{number}", link=number % 2 == 1)
            with HTMCore(tmp_path / f"{number}", read_only=True) as restored:
                found.append(is_one_moment(restored))
                assert len(restored) >= before  # what was there when the call began
    finally:
        stopping.set()
        thread.join()
    assert found == sorted(found)
    assert found[-1] > found[0]


WRITING = """
import itertools, random, sys
from anam_py.store import AuditLog, HTMCore, jobs, writer
from test_backup import moments
writer._FLUSH_ROWS, jobs.BULK_ROWS = 8, 20
with HTMCore(sys.argv[1]) as htm:
    print("opened", flush=True)
    import threading
    stopping = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stopping.set()), daemon=True).start()
    moments(htm, itertools.takewhile(lambda _: not stopping.is_set(), itertools.count()), random.Random(1))
"""


def test_a_backup_by_a_process_that_reads_while_another_writes_is_one_moment(store: HTMCore, tmp_path: Path) -> None:
    store.close()
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *filter(None, sys.path)]
    other = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", WRITING, str(store.storage_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(folders)},
    )
    with other:
        assert other.stdout.readline() == b"opened\n"
        found = []
        with HTMCore(store.storage_path, read_only=True) as reading:
            for number in range(8):
                before = reading.count()
                reading.backup(tmp_path / f"{number}", link=number % 2 == 1)
                with HTMCore(tmp_path / f"{number}", read_only=True) as restored:
                    found.append(is_one_moment(restored))
                    assert len(restored) >= before
        other.stdin.close()
    assert other.returncode == 0
    assert found == sorted(found)
    assert found[-1] > found[0]


@pytest.mark.parametrize("moment", ["after the catalog is copied", "between segments"])
def test_a_segment_that_another_process_merges_away_is_looked_for_anew(
    filled: HTMCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    path, expected = filled.storage_path, contents(filled)
    filled.close()
    merged: list[list[Path]] = []
    with Remote(path) as other, HTMCore(path, read_only=True) as reading:

        def merge_once(now: str) -> None:
            if now == moment and not merged:
                other("htm.compact()")
                merged.append(segment_files(path))

        def report(done: int, total: int, what: str) -> None:
            if done:
                merge_once("between segments")

        def copy_to(reader: tables.Reader, target: Path) -> None:
            copy(reader, target)
            merge_once("after the catalog is copied")

        copy = tables.Reader.copy_to
        monkeypatch.setattr(tables.Reader, "copy_to", copy_to)
        reading.backup(tmp_path / "backup", progress_callback=report)
    assert [file.name for file in segment_files(tmp_path / "backup")] == [file.name for file in merged[0]]
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert contents(restored) == expected
        assert restored.verify() == []


def test_what_another_process_commits_after_a_backup_has_begun_is_not_half_in_it(
    filled: HTMCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, expected = filled.storage_path, contents(filled)
    filled.close()
    with Remote(path) as other, HTMCore(path, read_only=True) as reading:
        other("setattr(__import__('sys').modules['anam_py.store.merge'], 'choose', lambda _: [])")  # it would begin anew
        other("htm.store_embedding('pending', [1, 2, 3, 4], {})")

        def copy_to(reader: tables.Reader, target: Path) -> None:
            other("[htm.flush(), htm.store_embedding('late', [1, 2, 3, 4], {})]")
            copy(reader, target)

        copy = tables.Reader.copy_to
        monkeypatch.setattr(tables.Reader, "copy_to", copy_to)
        reading.backup(tmp_path / "backup")
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert restored.verify() == []
        assert contents(restored).keys() == expected.keys() | {"pending"}


def test_merges_wait_for_a_backup_and_go_on_after_it(filled: HTMCore, tmp_path: Path) -> None:
    compacting = threading.Thread(target=filled.compact)
    during: list[bool] = []

    def report(done: int, total: int, what: str) -> None:
        if what != "verifying":
            if not compacting.ident:
                compacting.start()
            time.sleep(0.02)  # enough to merge all of it, if nothing held that back
            during.append(before <= set(segment_files(filled.storage_path)))

    before = set(segment_files(filled.storage_path))
    filled.backup(tmp_path / "backup", progress_callback=report)
    compacting.join()
    assert during
    assert all(during)
    assert not before <= set(segment_files(filled.storage_path))


# ---- what cannot be backed up, and what goes wrong ----


def test_progress_is_told_in_bytes_and_an_error_in_it_ends_the_backup(filled: HTMCore, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    filled.backup(tmp_path / "backup", progress_callback=lambda *step: seen.append(step))
    total = filled.stats()["segment_bytes"]
    assert {step[1] for step in seen} == {total}
    assert [step[0] for step in seen] == sorted(step[0] for step in seen)
    assert (seen[0][0], seen[-1][0]) == (0, total)

    def fail(done: int, total: int, what: str) -> None:
        raise RuntimeError(f"enough of {what}")

    with pytest.raises(RuntimeError, match="enough"):
        filled.backup(tmp_path / "other", progress_callback=fail)
    assert siblings(tmp_path / "other") == {"store", "backup"}


def flip_a_bit(path: Path) -> None:
    file = segment_files(path)[0]
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def cut_off(path: Path) -> None:
    os.truncate(segment_files(path)[0], 100)


def remove(path: Path) -> None:
    segment_files(path)[-1].unlink()


def change_the_catalog(path: Path) -> None:
    """Change a record in a way that only its checksum shows."""
    (path / "catalog.sqlite").write_bytes((path / "catalog.sqlite").read_bytes().replace(b'{"n":7}', b'{"n":8}'))


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (flip_a_bit, "seg-.*damaged"),
        (cut_off, "seg-.*damaged"),
        (remove, "seg-.*missing"),
        (change_the_catalog, "key 7.*metadata"),
    ],
)
def test_a_damaged_store_is_not_backed_up(
    filled: HTMCore, tmp_path: Path, damage: Callable[[Path], None], named: str, link: bool
) -> None:
    path = filled.storage_path
    filled.close()
    for file in segment_files(path):
        file.chmod(0o600)
    damage(path)
    with HTMCore(path, read_only=True) as damaged:
        with pytest.raises(HTMError, match=named):
            damaged.backup(tmp_path / "backup", link=link)
        assert damaged.verify() != []
    assert siblings(path) == {"store"}


def test_a_full_disk_leaves_nothing_of_a_backup(filled: HTMCore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled.flush()
    expected = contents(filled)
    state = {"count": 0, "fail_at": 0}

    def failing(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            state["count"] += 1
            if state["count"] == state["fail_at"]:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return function(*arguments, **keywords)

        return call

    for name in ("write", "replace", "mkdir"):
        monkeypatch.setattr(os, name, failing(getattr(os, name)))
    filled.backup(tmp_path / "whole")
    for fail_at in range(1, state["count"] + 1):
        state.update(count=0, fail_at=fail_at)
        with pytest.raises(HTMError, match="disk is full"):
            filled.backup(tmp_path / "backup")
        assert siblings(tmp_path / "backup") == {"store", "whole"}
    state["fail_at"] = 0
    filled.backup(tmp_path / "backup")
    with HTMCore(tmp_path / "backup", read_only=True) as restored:
        assert contents(restored) == contents(filled) == expected


LIMITED = """
import resource, sys
from anam_py.exceptions import HTMError
from anam_py.store import AuditLog, HTMCore
with HTMCore(sys.argv[1], read_only=True) as htm:
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    try:
        htm.backup(sys.argv[2])
    except HTMError as error:
        print(error)
"""


@pytest.mark.skipif(os.name != "posix", reason="needs RLIMIT_FSIZE")
def test_a_catalog_that_cannot_be_copied_leaves_nothing_of_a_backup(filled: HTMCore, tmp_path: Path) -> None:
    filled.close()
    command = [sys.executable, "-W", "error", "-c", LIMITED, filled.storage_path, tmp_path / "backup"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout.startswith("catalog")
    assert siblings(tmp_path / "backup") == {"store"}


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
@pytest.mark.parametrize("link", [False, True])
def test_a_process_killed_at_any_step_of_a_backup_leaves_the_store_whole_and_no_half_backup(tmp_path: Path, link: bool) -> None:
    store, target = tmp_path / "store", tmp_path / "backup"

    def check(path: Path) -> None:
        with HTMCore(path) as htm:
            assert htm.verify() == []
            assert crashing.state(htm) == expected

    with Nursery() as nursery:
        list(nursery.start(crashing.write, store, seed=3, length=20))
        with HTMCore(store) as htm:
            expected = crashing.state(htm)
        *_, last, end = nursery.start(crashing.back_up, store, target=str(target), link=link)
        assert end == "ended 0"
        check(target)
        shutil.rmtree(target)
        total = int(last.removeprefix("steps "))
        assert total > 20
        for step in range(1, total + 1):
            *_, end = nursery.start(crashing.back_up, store, target=str(target), link=link, kill_at=step)
            assert end == "ended -9"
            if target.exists():  # the last steps sync its name
                assert step >= total - 1
                check(target)
                shutil.rmtree(target)
            for partial in tmp_path.glob("backup.partial-*"):
                shutil.rmtree(partial)
            check(store)
