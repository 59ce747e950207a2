"""What other processes may rely on while one writes: a clear refusal, or each commit at their next call."""

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from remote import Remote, RemoteError
from stores import V, W, merge_in_the_background, names, rows, segment_files

from anam_py.exceptions import HTMError
from anam_py.store import HTMCore, lock, writer

# ---- one writer ----


def test_row_15_a_second_writer_is_refused_with_the_pid_of_the_first(open_store: Any, store_path: Path) -> None:
    htm = open_store()
    with (
        pytest.raises(RemoteError, match=rf"HTMError.*being written by process {os.getpid()}\b.*read_only=True"),
        Remote(store_path),
    ):
        pass
    htm.store_embedding("a", V, {})
    htm.close()
    with Remote(store_path) as other:
        other("htm.store_embedding('b', [1, 2, 3, 4], {})")
        with pytest.raises(HTMError, match=rf"process {other.pid}\b"):
            open_store()
        assert names(open_store(read_only=True).search_similar(V)) == ["a", "b"]
        other("htm.close()")
        open_store().store_embedding("c", V, {})


def test_a_refused_writer_leaves_nothing_behind(open_store: Any, store_path: Path) -> None:
    with Remote(store_path, dimension=4) as other:
        files = sorted(store_path.rglob("*"))
        with pytest.raises(HTMError, match="being written"):
            open_store()
        assert sorted(store_path.rglob("*")) == files
        other("htm.store_embedding('a', [1, 2, 3, 4], {})")
        assert other("htm.verify()") == []


def test_row_15_a_writer_waits_for_one_that_is_about_to_close(
    open_store: Any, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "WAIT_SECONDS", 60)
    tried = threading.Event()
    try_lock = lock._try_lock

    def trying(descriptor: int) -> bool:
        locked = try_lock(descriptor)
        tried.set()
        return locked

    monkeypatch.setattr(lock, "_try_lock", trying)
    with Remote(store_path, dimension=4) as other:
        opening = threading.Thread(target=open_store)
        opening.start()
        tried.wait()
        other("htm.store_embedding('a', [1, 2, 3, 4], {})")
        other("htm.close()")
        opening.join()
    assert list(open_store()) == ["a"]


def test_a_killed_writer_holds_nothing_back(open_store: Any, store_path: Path) -> None:
    with Remote(store_path, dimension=4) as other:
        other("htm.store_embedding('a', [1, 2, 3, 4], {})")
        other.kill()
    assert (store_path / "LOCK.owner").exists()
    htm = open_store()
    assert list(htm) == ["a"]
    with pytest.raises(RemoteError, match=rf"process {os.getpid()}\b"), Remote(store_path):
        pass


def test_an_owner_file_that_says_nothing_gives_an_error_all_the_same(open_store: Any, store_path: Path) -> None:
    open_store()
    for content in ('{"pid": ', "\udcff"):
        (store_path / "LOCK.owner").write_text(content, errors="surrogateescape")
        with pytest.raises(RemoteError, match=r"HTMError.*being written by"), Remote(store_path):
            pass


# ---- readers ----


@pytest.fixture
def small_flushes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flush after a few rows."""
    monkeypatch.setattr(writer, "_FLUSH_ROWS", 10)


def test_a_reader_sees_each_commit_at_its_next_call(open_store: Any, store_path: Path, rng: np.random.Generator) -> None:
    htm = open_store()
    chance = random.Random(0)
    bulk = [f"bulk {i}" for i in range(1001)]

    def some_keys() -> list[str]:
        return sorted({f"key {chance.randrange(30)}" for _ in range(chance.randint(1, 5))})

    def put_many(keys: list[str]) -> None:
        htm.store_embeddings(keys, rows(rng, len(keys)), texts=["word"] * len(keys))

    changes = [
        *[lambda: htm.store_embedding(some_keys()[0], rows(rng, 1)[0], {}, text=f"word {chance.random()}")] * 6,
        *[lambda: put_many(some_keys())] * 3,
        *[lambda: htm.delete_many([*some_keys(), *bulk])] * 2,
        lambda: put_many(bulk),
        htm.flush,
        htm.compact,
        lambda: merge_in_the_background(htm),
    ]
    questions = [
        "len(htm)",
        "list(htm)",
        "[hit[:2] for hit in htm.search_similar([1, 2, 3, 4], 50, -1)]",
        "[hit[:2] for hit in htm.search_text('word', 50)]",
        "[hit[:2] for hit in htm.query_by_resonance(0.1, 50)]",
        "[htm.get_text(key) for key in htm]",
        "[len(htm.history(key)) for key in htm]",
        "htm.verify()",
    ]
    with Remote(store_path, read_only=True) as reader:
        for number in range(160):
            chance.choice(changes)()
            question = questions[number % len(questions)]
            expected = json.loads(json.dumps(eval(question, {"htm": htm})))
            assert reader(question) == expected


def test_a_reader_sees_an_entry_replaced_and_deleted(open_store: Any, store_path: Path) -> None:
    htm = open_store()
    htm.store_embedding("a", V, {"n": 1}, text="one")
    with Remote(store_path, read_only=True) as reader:
        assert reader("htm.get_embedding('a')['metadata']") == {"n": 1}
        htm.store_embedding("a", W, {"n": 2}, text="two")
        assert reader("htm.get_embedding('a')['metadata']") == {"n": 2}
        assert reader("htm.get_text('a')") == "two"
        assert reader("[version['metadata'] for version in htm.history('a')]") == [{"n": 1}, {"n": 2}]
        htm.delete("a")
        assert reader("htm.get_embedding('a')") is None
        assert reader("'a' in htm") is False
        assert reader("htm.search_similar([1, 2, 3, 4], 9, -1) + htm.search_text('two')") == []


def test_row_37_a_reader_goes_on_with_a_segment_that_was_merged_away(
    open_store: Any, store_path: Path, rng: np.random.Generator
) -> None:
    htm = open_store(shard_count=1)
    htm.store_embeddings([f"key {i}" for i in range(2000)], rows(rng, 2000))
    (before,) = segment_files(store_path)
    with Remote(store_path, read_only=True) as reader:
        total = reader("globals().update(old=htm._engine.snapshot()) or float(old.segments[0].vectors.sum())")
        htm.delete_many([f"key {i}" for i in range(1000)])
        htm.compact()
        assert not before.exists()
        assert reader("float(old.segments[0].vectors.sum())") == total
        assert reader("len(htm)") == len(htm) == 1000
        assert reader("htm.verify()") == []


def test_a_reader_outlives_its_writers(store_path: Path, open_store: Any) -> None:
    open_store().close()
    with Remote(store_path, read_only=True) as reader:
        for number, ending in enumerate(["close", "kill", "kill", "close"], start=1):
            with Remote(store_path) as writing:
                writing(f"htm.store_embedding('key {number}', [1, 2, 3, 4], {{}}, text='word')")
                assert reader("len(htm)") == number
                if ending == "kill":
                    writing.kill()
            assert reader("len(htm.search_similar([1, 2, 3, 4]))") == number
            assert reader("len(htm.search_text('word'))") == number
        assert reader("htm.verify()") == []
    assert len(open_store()) == 4


def test_a_reader_refuses_to_write_and_changes_no_file(open_store: Any, store_path: Path) -> None:
    with open_store() as htm:
        htm.store_embedding("a", V, {}, text="word")
    before = {path: path.read_bytes() for path in store_path.rglob("*") if path.is_file()}
    with Remote(store_path, read_only=True) as reader:
        for call in ("store_embedding('b', [1, 2, 3, 4], {})", "delete('a')", "flush()", "compact()"):
            with pytest.raises(RemoteError, match=r"HTMError.*read_only"):
                reader(f"htm.{call}")
        assert reader("names(htm.search_similar([1, 2, 3, 4]))") == ["a"]
        reader("htm.garbage_collect(True)")
        reader("htm.close()")
    assert {path: path.read_bytes() for path in before} == before


def test_row_37_readers_in_other_processes_always_see_one_moment(
    open_store: Any, store_path: Path, small_flushes: None, rng: np.random.Generator
) -> None:
    """Two keys are always written together, so a reader must never see them differ."""
    htm = open_store(shard_count=3)
    keys = ["a", "b", "c", "d"]
    htm.store_embeddings(keys, rows(rng, 4), [{"n": 0}] * 4, texts=["word 0"] * 4)
    look = """(lambda records, hits, texts: [
        sorted({record["metadata"]["n"] for record in records}),
        sorted({record["metadata"]["n"] for _, _, record in hits}), len(hits),
        sorted({record["metadata"]["n"] for _, _, record in texts}), len(texts), len(htm),
    ])(htm.get_embeddings(list("abcd")), htm.search_similar([1, 2, 3, 4], 10, -1), htm.search_text("word"))"""
    stop = threading.Event()
    written: list[int] = []

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            htm.store_embeddings(keys, rows(rng, 4), [{"n": number}] * 4, texts=[f"word {number}"] * 4)
            written.append(number)
            if number % 17 == 0:
                htm.compact()

    writing = threading.Thread(target=write)
    with Remote(store_path, read_only=True) as one, Remote(store_path, read_only=True) as two:
        writing.start()
        try:
            last = 0
            for round_ in range(60):
                for reader in (one, two):
                    at_least = len(written)
                    records, similar, hits, texts, words, count = reader(look)
                    assert len(records) == len(similar) == len(texts) == 1
                    assert hits == words == count == 4
                    assert at_least <= records[0] <= similar[0] <= texts[0]
                    assert records[0] >= last
                    last = texts[0]
                if round_ % 10 == 0:
                    assert one("htm.verify()") == []
        finally:
            stop.set()
            writing.join()


def test_an_idle_reader_does_not_make_the_log_grow(open_store: Any, store_path: Path) -> None:
    htm = open_store(durability="normal")
    with Remote(store_path, read_only=True) as reader:
        assert reader("len(htm)") == 0
        for _ in range(60):
            htm.store_embeddings([f"key {i}" for i in range(200)], np.tile(V, (200, 1)), [{"padding": "x" * 300}] * 200)
            assert (store_path / "catalog.sqlite-wal").stat().st_size < 32 << 20


# ---- folders that may only be read ----


@pytest.fixture
def shared_path() -> Iterator[Path]:
    """Return a path that other users can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "store"


# Imports everything that is imported on use: the other user may not be able to read this interpreter's files.
WARM = """
import os, sys, tempfile
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore
with tempfile.TemporaryDirectory() as folder, HTMCore(folder, dimension=4) as htm:
    htm.store_embedding("a", [1, 2, 3, 4], {}, text="word")
    htm.compact()
    htm.search_text("word"), htm.search_similar([1, 2, 3, 4]), htm.verify()
"""


def as_another_user(script: str, *arguments: object) -> str:
    """Run Python code as a user whom permissions hold back; returns what it prints."""
    become = "os.setgid(65534); os.setuid(65534)\n" if os.geteuid() == 0 else ""
    ended = subprocess.run(
        [sys.executable, "-c", WARM + become + script, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == ""
    return ended.stdout


def may_be_read_only(path: Path) -> None:
    """Let everybody read a store, and nobody write it."""
    for item in (path, *path.rglob("*")):
        item.chmod(0o555 if item.is_dir() else 0o444)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are different elsewhere")
@pytest.mark.parametrize("closed", [pytest.param(True, id="closed"), pytest.param(False, id="after a crash")])
def test_row_09_a_store_in_a_folder_that_may_only_be_read_can_be_read(shared_path: Path, closed: bool) -> None:
    with Remote(shared_path, dimension=4) as writer_:
        writer_("htm.store_embeddings(['a', 'b'], np.eye(4)[:2], texts=['word', None])")
        writer_("htm.flush()")
        writer_("htm.store_embedding('c', [1, 2, 3, 4], {})")
        writer_("htm.close()") if closed else writer_.kill()
    may_be_read_only(shared_path)
    found = as_another_user(
        """
try:
    HTMCore(sys.argv[1])
except HTMError as error:
    assert sys.argv[1] in str(error) and "read_only" in str(error), error
with HTMCore(sys.argv[1], read_only=True) as htm:
    assert htm.verify() == []
    print(list(htm), [key for key, _, _ in htm.search_text("word")], len(htm.search_similar([1, 2, 3, 4], 9, -1)))
""",
        shared_path,
    )
    shared_path.chmod(0o755)
    assert found == "['a', 'b', 'c'] ['a'] 3\n"


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are different elsewhere")
def test_row_09_a_folder_that_cannot_be_written_is_an_error_that_names_it(shared_path: Path) -> None:
    shared_path.mkdir()
    (shared_path / "closed").mkdir(mode=0o000)
    found = as_another_user(
        """
for path in (sys.argv[1], sys.argv[1] + "/below", sys.argv[1] + "/closed", sys.argv[1] + "/closed/below"):
    for read_only in (False, True):
        try:
            HTMCore(path, dimension=4, read_only=read_only)
        except HTMError as error:
            assert sys.argv[1] in str(error), error
        else:
            print("opened", path)
""",
        shared_path,
    )
    assert found == ""
    assert [path.name for path in shared_path.iterdir()] == ["closed"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="permissions are different elsewhere")
def test_row_10_a_segment_that_cannot_be_read_hides_only_its_own_rows(shared_path: Path) -> None:
    with HTMCore(shared_path, shard_count=1, dimension=4) as htm:
        htm.store_embedding("a", V, {}, text="word a")
        htm.flush()
        (segment,) = segment_files(shared_path)
    may_be_read_only(shared_path)
    shared_path.chmod(0o777)
    (shared_path / "shard-0000").chmod(0o777)
    for path in shared_path.iterdir():
        if path.is_file():
            path.chmod(0o666)
    segment.chmod(0o000)
    found = as_another_user(
        """
with HTMCore(sys.argv[1]) as htm:
    htm.store_embedding("b", [1, 2, 3, 4], {})
    print([problem.where for problem in htm.verify()])
    for call in (lambda: htm.get_embedding("a"), lambda: htm.search_similar([1, 2, 3, 4])):
        try:
            call()
        except HTMError as error:
            print(sys.argv[2] in str(error))
    print(htm.get_embedding("b")["key"], len(htm))
with HTMCore(sys.argv[1], allow_partial=True) as htm:
    print([key for key, _, _ in htm.search_similar([1, 2, 3, 4])])
""",
        shared_path,
        segment.name,
    )
    assert found.splitlines() == [f"['{segment.name}']", "True", "True", "b 1", "['b']"]
    segment.chmod(0o400)
    with HTMCore(shared_path) as htm:
        assert list(htm) == ["a", "b"]
        assert len(htm.search_similar(V)) == 2
        assert htm.verify() == []
