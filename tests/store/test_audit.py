"""What an audit log is good for: no record that was acknowledged is lost, and none is changed or taken out unnoticed."""

import asyncio
import errno
import itertools
import json
import math
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from remote import Remote, RemoteError
from stores import V

from anam_py import exceptions
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import AuditLog, HTMCore, Problem, chain, files, recorder, tables

KILLS = int(os.environ.get("ANAM_TEST_KILLS", "15"))
OWN = ("seq", "time", "previous", "digest")
Damage = Callable[[Path], object]


def fields(records: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what was given to append."""
    return [{name: value for name, value in record.items() if name not in OWN} for record in records]


def lines(path: Path) -> list[bytes]:
    return (path / "audit.jsonl").read_bytes().splitlines(keepends=True)


def errors(problems: list[Problem]) -> list[str]:
    return [problem.what for problem in problems if problem.severity == "error"]


def quarantined(path: Path) -> list[tuple[str, bytes]]:
    """Return what of the log was set aside: the end of each file's name, and its content."""
    found = [file for file in path.glob("quarantine/*audit*") if file.is_file()]
    return sorted((file.name.partition("audit")[2], file.read_bytes()) for file in found)


def forget_head(path: Path) -> None:
    with closing(sqlite3.connect(path / "catalog.sqlite")) as catalog:
        assert catalog.execute("DELETE FROM meta WHERE key = 'audit'").rowcount == 1
        catalog.commit()


def write_head(path: Path, head: str) -> None:
    with closing(sqlite3.connect(path / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE meta SET value = ? WHERE key = 'audit'", (head,))
        catalog.commit()


@pytest.fixture
def log(store: HTMCore) -> AuditLog:
    """Return the log of a new store."""
    return AuditLog(store)


@pytest.fixture(scope="module", name="whole")
def make_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a closed store with five records in its log."""
    path = tmp_path_factory.mktemp("whole") / "store"
    with HTMCore(path, 1, dimension=4) as htm:
        htm.store_embedding("key", V, {})
        log = AuditLog(htm)
        for number in range(5):
            log.append({"kind": "ü", "n": number}).result()
    return path


@pytest.fixture
def copied(whole: Path, tmp_path: Path) -> Path:
    """Return a copy of the store."""
    return shutil.copytree(whole, tmp_path / "copy")


# ---- appending ----


def test_a_record_says_what_it_was_given_and_when_and_names_the_one_before(log: AuditLog) -> None:
    given = [{"kind": "decision", "scores": {"AX_1": 0.5}, "text": "a\nb  ü"}, {}, {"n": [1, None, True]}]
    digests = [log.append(record).result() for record in given]
    records = list(log.records())
    assert fields(iter(records)) == given
    assert [record["seq"] for record in records] == [1, 2, 3]
    assert [record["digest"] for record in records] == digests
    assert [record["previous"] for record in records] == ["0" * 64, *digests[:2]]
    times = [record["time"] for record in records]
    assert times == sorted(times)


def test_a_line_can_be_checked_with_any_sha256(log: AuditLog) -> None:
    """As docs/storage.md says; nothing of ours is needed for it."""
    digest = log.append({"kind": "ü"}).result()
    path = log._path
    script = f"sed 's/,\"digest\":\"[0-9a-f]*\"}}$/}}/' '{path}' | tr -d '\\n' | sha256sum"
    if shutil.which("sha256sum"):
        assert subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout.split()[0] == digest
    assert list(json.loads(path.read_bytes())) == ["seq", "time", "previous", "kind", "digest"]


def test_records_stay_from_one_opening_to_the_next(open_store: Any) -> None:
    for number in range(3):
        htm = open_store()
        log = AuditLog(htm)
        log.append({"n": number}).result()
        assert log.verify() == htm.verify() == []
        htm.close()
    assert fields(AuditLog(open_store()).records()) == [{"n": 0}, {"n": 1}, {"n": 2}]


def test_a_store_without_a_log_has_no_records_and_no_problems(log: AuditLog) -> None:
    assert list(log.records()) == list(log.records(last=1)) == log.verify() == []
    assert log.restart() is None
    assert not log._path.exists()


def test_changing_the_argument_later_changes_nothing(log: AuditLog) -> None:
    record: dict[str, Any] = {"list": [1]}
    done = log.append(record)
    record["list"].append(2)
    record["more"] = 3
    done.result()
    assert fields(log.records()) == [{"list": [1]}]


def test_numpy_values_and_paths_are_taken_as_in_metadata(log: AuditLog) -> None:
    log.append({"scores": np.array([0.5, 1.0], np.float32), "n": np.int64(3), "file": Path("a/b")}).result()
    assert fields(log.records()) == [{"scores": [0.5, 1.0], "n": 3, "file": str(Path("a/b"))}]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([("kind", "x")], "record must be a mapping"),
        (None, "record must be a mapping"),
        ({"x": math.nan}, r'record\["x"\]'),
        ({"x": {"y": b"bytes"}}, r'record\["x"\]\["y"\]'),
        ({1: "x"}, "JSON keys are str"),
        ({"digest": "x"}, "must not have the field 'digest'"),
        ({"kind": "x", "seq": 1}, "must not have the field 'seq'"),
        ({"x": "y" * 2**20}, "at most 1,048,576 bytes"),
        ({"x": "\ud800"}, "lone surrogate"),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_the_call(log: AuditLog, record: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        log.append(record)
    assert list(log.records()) == []


@pytest.mark.parametrize("last", [0, -1, 1.5, True, "x"])
def test_how_many_records_are_wanted_is_a_positive_integer(log: AuditLog, last: Any) -> None:
    with pytest.raises(ValidationError, match="last must be"):
        log.records(last=last)


def test_secrets_do_not_reach_the_disk(log: AuditLog) -> None:
    log.append({"password": "hunter2", "command": "curl -H 'Authorization: Bearer abcdef0123456789' https://u:pw1@h"}).result()
    content = log._path.read_text()
    assert not any(secret in content for secret in ("hunter2", "abcdef0123456789", "pw1"))
    assert log.verify() == []


@given(last=st.integers(1, 9))
def test_the_last_records_are_the_newest_in_order(whole: Path, last: int) -> None:
    with HTMCore(whole, read_only=True) as htm:
        log = AuditLog(htm)
        assert list(log.records(last=last)) == list(log.records())[-last:]


def test_the_last_records_are_found_behind_long_ones(log: AuditLog) -> None:
    for size in (1 << 18, 10, 1 << 19):
        log.append({"text": "x" * size})
    log.append({"n": 1}).result()
    everything = list(log.records())
    for last in range(1, 6):
        assert list(log.records(last=last)) == everything[-last:]


def test_an_event_loop_can_await_many_appends_and_give_up_on_one(log: AuditLog) -> None:
    async def work() -> list[str]:
        given_up = asyncio.wrap_future(log.append({"n": -1}))
        given_up.cancel()
        return await asyncio.gather(*(asyncio.wrap_future(log.append({"n": number})) for number in range(50)))

    digests = asyncio.run(work())
    assert [record["n"] for record in log.records()] == [-1, *range(50)]
    assert [record["digest"] for record in log.records(last=50)] == digests


class Held:
    """The writer thread, held up between two commits, and how many syncs there were."""

    def __init__(self, htm: HTMCore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.syncs = 0
        self._go = threading.Event()
        sync = files._sync

        def counted(descriptor: int) -> None:
            self.syncs += 1
            sync(descriptor)

        monkeypatch.setattr(files, "_sync", counted)
        self._held = htm._writing().later(self._go.wait)

    def let_go(self) -> None:
        self._go.set()
        self._held.result()


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_ten_thousand_records_that_wait_together_take_one_sync_and_one_commit(
    open_store: Any, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    htm = open_store(durability=durability)
    log = AuditLog(htm)
    log.append({}).result()
    held = Held(htm, monkeypatch)
    commits = htm._writing()._writer._commits
    statements: list[str] = []
    htm._writing()._writer.sql.set_trace_callback(statements.append)
    done = [log.append({"n": number}) for number in range(10_000)]
    assert not any(future.done() for future in done)
    held.let_go()
    assert len({future.result() for future in done}) == 10_000
    assert held.syncs == 1
    assert htm._writing()._writer._commits == commits + 1
    assert ("PRAGMA synchronous = FULL" in statements) == (durability == "normal")
    assert [record["n"] for record in log.records(last=10_000)] == list(range(10_000))
    assert log.verify() == []


def test_too_much_that_waits_is_refused_and_nothing_blocks(
    store: HTMCore, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_MOST_WAITING_BYTES", 1000)
    held = Held(store, monkeypatch)
    done = [log.append({"text": "x" * 80}) for _ in range(10)]
    with pytest.raises(exceptions.MemoryError, match="wait for what append has returned"):
        log.append({"text": "x" * 80})
    held.let_go()
    assert len({future.result() for future in done}) == 10
    log.append({"text": "x" * 80}).result()
    assert len(list(log.records())) == 11


def test_no_record_of_many_threads_and_handles_is_lost(open_store: Any) -> None:
    logs = [AuditLog(open_store()) for _ in range(2)]
    digests: list[list[str]] = [[] for _ in range(6)]

    def work(number: int) -> None:
        log = logs[number % 2]
        for i in range(50):
            done = log.append({"thread": number, "i": i})
            if i % 7 == 0:
                done.result()
            done.add_done_callback(lambda future: digests[number].append(future.result()))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    logs[0].append({"thread": None}).result()
    records = list(logs[1].records())
    assert [record["seq"] for record in records] == list(range(1, 302))
    for number in range(6):
        mine = [record for record in records if record["thread"] == number]
        assert [record["i"] for record in mine] == list(range(50))
        assert sorted(record["digest"] for record in mine) == sorted(digests[number])
    assert logs[0].verify() == []


def test_records_and_embeddings_are_written_side_by_side(store: HTMCore, log: AuditLog) -> None:
    done = []
    for number in range(30):
        done.append(log.append({"n": number}))
        store.store_embedding(f"key {number}", V, {})
    store.flush()
    assert [record["digest"] for record in log.records()] == [future.result() for future in done]
    assert len(store) == 30


def test_what_was_appended_before_closing_is_written(open_store: Any) -> None:
    htm = open_store()
    log = AuditLog(htm)
    done = [log.append({"n": number}) for number in range(100)]
    htm.close()
    assert len({future.result() for future in done}) == 100
    with pytest.raises(HTMError, match="is closed"):
        log.append({})
    with pytest.raises(HTMError, match="is closed"):
        log.verify()
    assert len(list(AuditLog(open_store()).records())) == 100


# ---- other processes ----


def test_a_process_that_only_reads_sees_what_another_appends_and_cannot_append(store: HTMCore, log: AuditLog) -> None:
    log.append({"n": 0}).result()
    with Remote(store.storage_path, read_only=True) as other:
        other("exec('from anam_py.store import AuditLog') or globals().update(log=AuditLog(htm))")
        for number in range(1, 4):
            log.append({"n": number}).result()
            assert other("[record['n'] for record in log.records()]") == list(range(number + 1))
            assert other("log.verify() + htm.verify()") == []
        done = [log.append({"n": number}) for number in range(2000)]
        while not all(future.done() for future in done):
            assert other("log.verify()") == []
        with pytest.raises(RemoteError, match="read_only=True; open it without"):
            other("log.append({})")
        with pytest.raises(RemoteError, match="read_only=True; open it without"):
            other("log.restart()")


CRASHING = """
import json, os, shutil, sys
import crashing
from anam_py.store import AuditLog, HTMCore
from stores import V

def append(htm, said):
    log = AuditLog(htm)
    for n in range(5, 30, 3):
        done = [log.append({"n": n + i}) for i in range(3)]
        if n == 14:
            htm.store_embedding("other", V, {})
        for future in done:
            future.result()
        crashing._write(said, b"%d\\n" % (n + 2))

def first(htm, said):
    AuditLog(htm).append({"n": 0}).result()

def restart(htm, said):
    AuditLog(htm).restart()

whole, work, kills = sys.argv[1], globals()[sys.argv[2]], json.loads(sys.argv[3])
for kill_at in kills:
    if not os.fork():
        path = f"{whole} {kill_at}"
        shutil.copytree(whole, path)
        said = os.open(f"{path} said", os.O_WRONLY | os.O_CREAT)
        steps = crashing._Steps(kill_at)
        with HTMCore(path) as htm:
            work(htm, said)
            crashing._write(1, b"%d" % steps.count)
            os._exit(0)
    os.wait()
"""


def crashed(whole: Path, work: str) -> Iterator[Path]:
    """Yield copies of a store with which a process was killed right before some of its steps on the way to the disk."""

    def crash(kills: list[int | None]) -> str:
        search = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])
        command = [sys.executable, "-W", "ignore", "-c", CRASHING, str(whole), work, json.dumps(kills)]
        return subprocess.run(
            command, env={**os.environ, "PYTHONPATH": search}, check=True, capture_output=True, text=True
        ).stdout

    steps = int(crash([None]))
    kills = random.Random(0).sample(range(1, steps + 1), min(KILLS, steps))
    assert crash([*kills]) == ""
    for kill_at in kills:
        yield Path(f"{whole} {kill_at}")


@pytest.mark.soak
@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_a_process_killed_at_any_step_loses_no_record_that_was_acknowledged(copied: Path) -> None:
    with (copied / "audit.jsonl").open("ab") as file:
        file.write(b"torn")  # so that opening has something to set aside, too
    for path in crashed(copied, "append"):
        acknowledged = max(map(int, Path(f"{path} said").read_text().split()), default=4)
        assert errors(HTMCore.verify(path)) == []
        with HTMCore(path) as htm:
            log = AuditLog(htm)
            numbers = [record["n"] for record in log.records()]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) > acknowledged
            log.append({"n": len(numbers)}).result()
            assert [record["n"] for record in log.records()] == [*numbers, len(numbers)]
            assert htm.verify() == []
        assert (".jsonl-tail", b"torn") in quarantined(path)


@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_a_process_killed_at_any_step_of_the_first_append_leaves_no_problem(tmp_path: Path) -> None:
    HTMCore(tmp_path / "store", 1, dimension=4).close()
    for path in crashed(tmp_path / "store", "first"):
        assert HTMCore.verify(path) == []
        with HTMCore(path) as htm:
            AuditLog(htm).append({"n": 1}).result()
            assert fields(AuditLog(htm).records()) in ([{"n": 1}], [{"n": 0}, {"n": 1}])


@pytest.mark.soak
@pytest.mark.skipif(os.name != "posix", reason="needs fork and SIGKILL")
def test_a_restart_that_was_killed_at_any_step_can_be_made_again_and_loses_nothing(copied: Path) -> None:
    DAMAGES["line removed"](copied)
    content = (copied / "audit.jsonl").read_bytes()
    for path in crashed(copied, "restart"):
        with HTMCore(path) as htm:
            log = AuditLog(htm)
            is_done = not errors(log.verify())
            assert (log.restart() is None) or not is_done
            assert next(log.records())["kind"] == "restart"
            assert htm.verify() == []
        assert (".jsonl", content) in quarantined(path)
        assert list(path.glob("*.partial-*")) == []


# ---- damage ----


def test_any_byte_that_is_changed_is_found(copied: Path, rng: np.random.Generator) -> None:
    path = copied / "audit.jsonl"
    content = path.read_bytes()
    with HTMCore(copied, read_only=True) as htm:
        log = AuditLog(htm)
        for position in range(len(content)):
            other = content[position] ^ int(rng.integers(1, 256))
            path.write_bytes(content[:position] + bytes([other]) + content[position + 1 :])
            assert 1 <= len(errors(log.verify())) <= 3
        path.write_bytes(content)
        assert log.verify() == []


def test_any_byte_that_is_missing_or_new_is_found(copied: Path, rng: np.random.Generator) -> None:
    path = copied / "audit.jsonl"
    content = path.read_bytes()
    newlines = [position for position, byte in enumerate(content) if byte == ord("\n")]
    with HTMCore(copied, read_only=True) as htm:
        log = AuditLog(htm)
        for position in [*newlines, *rng.choice(len(content), 200).tolist()]:
            path.write_bytes(content[:position] + content[position + 1 :])
            assert errors(log.verify())
            new = b"\n" if position % 5 == 0 else bytes([int(rng.integers(256))])
            path.write_bytes(content[:position] + new + content[position:])
            assert errors(log.verify())


def test_an_end_that_is_missing_is_found_wherever_it_was_cut_off(copied: Path) -> None:
    path = copied / "audit.jsonl"
    with HTMCore(copied, read_only=True) as htm:
        log = AuditLog(htm)
        for size in reversed(range(path.stat().st_size)):
            os.truncate(path, size)
            assert any("its end is missing" in what for what in errors(log.verify()))
        assert any(where == "audit.jsonl" for _, where, _ in htm.verify(deep=False))


def removed(number: int) -> Damage:
    return lambda path: (path / "audit.jsonl").write_bytes(b"".join(line for i, line in enumerate(lines(path)) if i != number))


def doubled(number: int) -> Damage:
    return lambda path: (path / "audit.jsonl").write_bytes(
        b"".join(line * (1 + (i == number)) for i, line in enumerate(lines(path)))
    )


def swapped(path: Path) -> None:
    first, second, third, *rest = lines(path)
    (path / "audit.jsonl").write_bytes(b"".join([first, third, second, *rest]))


def replaced_by_itself_twice(path: Path) -> None:
    (path / "audit.jsonl").write_bytes(b"".join(lines(path)) * 2)


def exchanged(path: Path) -> None:
    """Put the log of another store there."""
    with HTMCore(path.parent / "other", 1, dimension=4) as htm:
        log = AuditLog(htm)
        for number in range(9):
            log.append({"kind": "ü", "n": number}).result()
    shutil.copy(path.parent / "other/audit.jsonl", path / "audit.jsonl")


def made_a_folder(path: Path) -> None:
    (path / "audit.jsonl").unlink()
    (path / "audit.jsonl").mkdir()


def made_a_link(path: Path) -> None:
    (path / "audit.jsonl").rename(path.parent / "elsewhere")
    (path / "audit.jsonl").symlink_to(path.parent / "elsewhere")


DAMAGES: dict[str, Damage] = {
    "first line removed": removed(0),
    "line removed": removed(2),
    "last line removed": removed(4),
    "line doubled": doubled(1),
    "lines swapped": swapped,
    "emptied": lambda path: (path / "audit.jsonl").write_bytes(b""),
    "missing": lambda path: (path / "audit.jsonl").unlink(),
    "of another store": exchanged,
    "a folder": made_a_folder,
    "garbage": lambda path: (path / "audit.jsonl").write_bytes(b"\0\xff\n" * 1000),
    "one endless line": lambda path: (path / "audit.jsonl").write_bytes(b"x" * (3 << 20)),
}
if os.name == "posix":
    DAMAGES["a link"] = made_a_link


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damage_is_told_and_a_restart_sets_it_aside_and_says_so(copied: Path, damage: Damage) -> None:
    last_good = json.loads(lines(copied)[1])["digest"]
    damage(copied)
    was_there = os.path.lexists(copied / "audit.jsonl")
    whole_before = HTMCore.verify(copied)
    assert errors(whole_before)
    assert {where for _, where, _ in whole_before} == {"audit.jsonl"}
    assert len(whole_before) <= 21
    with HTMCore(copied) as htm:
        log = AuditLog(htm)
        assert log.verify() == whole_before
        with pytest.raises(HTMError, match=r"audit.jsonl.*restart\(\)"):
            list(log.records())
        target = log.restart()
        assert (target is not None) == was_there
        (first,) = log.records()
        assert (first["seq"], first["kind"], first["previous"]) == (1, "restart", "0" * 64)
        assert first["problem"] == whole_before[0].what
        assert first["set_aside"] == (target and target.name)
        if damage is DAMAGES["lines swapped"]:
            assert first["good_records"] == 1
        if damage is DAMAGES["line removed"]:
            assert (first["good_records"], first["last_good_digest"]) == (2, last_good)
        log.append({"n": 9}).result()
        assert log.restart() is None
        assert len(list(log.records())) == 2
        assert htm.verify() == []
        assert htm.get_embedding("key") is not None


SEEN_AT_ONCE = ["last line removed", "line removed", "emptied", "missing", "of another store", "a folder", "garbage"]


@pytest.mark.parametrize("name", SEEN_AT_ONCE)
@pytest.mark.parametrize("is_open", [False, True])
def test_nothing_is_appended_where_the_end_is_not_what_was_written_last(copied: Path, name: str, is_open: bool) -> None:
    if not is_open:
        DAMAGES[name](copied)
    with HTMCore(copied) as htm:
        log = AuditLog(htm)
        if is_open:
            log.append({}).result()
            DAMAGES[name](copied)
        before = quarantined(copied)
        for _ in range(2):
            with pytest.raises(HTMError, match=r"nothing is appended.*anam audit verify.*AuditLog.restart\(\)"):
                log.append({"n": 9}).result()
        assert quarantined(copied) == before
        htm.store_embedding("other", V, {})  # the rest of the store goes on
        log.restart()
        log.append({"n": 9}).result()
        assert htm.verify() == []


def test_a_head_that_is_lost_or_unreadable_is_told(copied: Path) -> None:
    for change in (lambda: write_head(copied, "5 many"), lambda: forget_head(copied)):
        change()
        assert [where for _, where, _ in HTMCore.verify(copied)] == ["audit.jsonl"]
        with HTMCore(copied) as htm, pytest.raises(HTMError, match="head"):
            AuditLog(htm).append({}).result()
        assert len(lines(copied)) == 5
    HTMCore.repair(copied)


def test_a_log_that_another_process_restarts_while_it_is_checked_is_no_problem(copied: Path) -> None:
    with HTMCore(copied) as htm:
        before = htm._reading().meta()
        DAMAGES["missing"](copied)
        AuditLog(htm).restart()
        moments = iter([before, *[htm._reading().meta()] * 2])
        assert chain.verify(copied / "audit.jsonl", lambda: next(moments)) == []
        assert chain.verify(copied / "audit.jsonl", lambda: before) != []


def test_a_head_of_other_records_is_told(copied: Path) -> None:
    count, size, digest = 5, len(b"".join(lines(copied))), json.loads(lines(copied)[-1])["digest"]
    shorter = len(b"".join(lines(copied)[:4]))
    for head in (f"4 {size} {digest}", f"5 {size} {'0' * 64}", f"5 {size + 1} {digest}", f"{count} {shorter} {digest}"):
        write_head(copied, head)
        with HTMCore(copied, read_only=True) as htm:
            assert errors(AuditLog(htm).verify()), head
    write_head(copied, f"{count} {size} {digest}")
    assert HTMCore.verify(copied) == []


def test_a_first_append_that_a_crash_has_undone_leaves_no_problem(open_store: Any, store_path: Path) -> None:
    htm = open_store()
    AuditLog(htm).append({}).result()
    htm.close()
    write_head(store_path, f"0 0 {'0' * 64}")
    (store_path / "audit.jsonl").unlink()
    log = AuditLog(open_store())
    assert log.verify() == []
    log.append({"n": 1}).result()
    assert fields(log.records()) == [{"n": 1}]


# ---- what a crash leaves after the last record ----


def test_whole_records_after_the_head_count(copied: Path) -> None:
    """As after a crash between the two: here, the catalog knows of three records only."""
    three = lines(copied)[:3]
    write_head(copied, f"3 {len(b''.join(three))} {json.loads(three[-1])['digest']}")
    assert HTMCore.verify(copied) == []
    with HTMCore(copied) as htm:
        log = AuditLog(htm)
        log.append({"n": 5}).result()
        assert [record["n"] for record in log.records()] == list(range(6))
        assert htm.verify() == []
    assert not (copied / "quarantine").exists()


@pytest.mark.parametrize("is_open", [False, True])
@pytest.mark.parametrize(
    ("tail", "severities"),
    [(b'{"seq":6,"time":', set()), (b"\0" * 5000, set()), (b"\0\0\n{}\nx", {"warning"}), (b"\n", {"warning"})],
)
def test_what_is_no_record_after_the_last_is_set_aside(copied: Path, tail: bytes, severities: set[str], is_open: bool) -> None:
    content = (copied / "audit.jsonl").read_bytes()

    def tear() -> None:
        (copied / "audit.jsonl").write_bytes(content + tail)

    if not is_open:
        tear()
        assert {problem.severity for problem in HTMCore.verify(copied)} == severities
    with HTMCore(copied) as htm:
        log = AuditLog(htm)
        if is_open:
            tear()
            assert {problem.severity for problem in log.verify()} == severities
            assert len(list(log.records())) == 5
            assert [record["n"] for record in log.records(last=2)] == [3, 4]
            log.append({"n": 5}).result()
        assert quarantined(copied) == [(".jsonl-tail", tail)]
        log.append({"n": 6}).result()
        assert htm.verify() == []
    assert (copied / "audit.jsonl").read_bytes().startswith(content)


# ---- a failing disk ----


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, error: BaseException, write_first: int = 0) -> list[bool]:
    """Let a function that reaches the disk fail for as long as the returned list is not empty."""
    function, failing = getattr(owner, name), [True]

    def call(*arguments: Any, **keywords: Any) -> Any:
        if failing:
            if write_first:
                function(arguments[0], bytes(arguments[1])[:write_first])
            raise error
        return function(*arguments, **keywords)

    monkeypatch.setattr(owner, name, call)
    return failing


FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("written", [0, 1, 300, 700])
def test_a_full_disk_fails_appends_and_never_the_log(
    store: HTMCore, log: AuditLog, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    log.append({"n": 0}).result()
    content = log._path.read_bytes()
    with monkeypatch.context() as patch:
        held = Held(store, patch)
        fail_at(patch, os, "write", FULL, written)
        done = [log.append({"n": number}) for number in range(5)]
        held.let_go()
        for future in done:
            with pytest.raises(HTMError, match="the disk is full; free some space"):
                future.result()
    assert log._path.read_bytes() == content
    assert log.verify() == []
    log.append({"n": 1}).result()
    assert [record["n"] for record in log.records()] == [0, 1]
    assert quarantined(store.storage_path) == []


def test_records_whose_head_cannot_be_committed_are_taken_back(
    store: HTMCore, log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append({"n": 0}).result()
    with monkeypatch.context() as patch:
        fail_at(patch, tables.Writer, "set_meta", HTMError("the disk is full"))
        with pytest.raises(HTMError, match="disk is full"):
            log.append({"n": 9}).result()
    assert len(lines(store.storage_path)) == 1
    log.append({"n": 1}).result()
    assert [record["n"] for record in log.records()] == [0, 1]


def test_records_that_could_not_be_taken_back_count(store: HTMCore, log: AuditLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever got the error cannot know; the chain goes on all the same."""
    log.append({"n": 0}).result()
    with monkeypatch.context() as patch:
        fail_at(patch, tables.Writer, "set_meta", FULL)
        fail_at(patch, os, "truncate", FULL)
        with pytest.raises(OSError, match="space"):
            log.append({"n": 1}).result()
    log.append({"n": 2}).result()
    assert [record["n"] for record in log.records()] == [0, 1, 2]


def test_a_log_that_cannot_be_read_is_a_problem_and_not_a_crash(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with HTMCore(copied, read_only=True) as htm, monkeypatch.context() as patch:
        fail_at(patch, chain, "_lines", OSError(errno.EIO, os.strerror(errno.EIO)))
        assert any("cannot read" in what and "audit.jsonl" in what for what in errors(AuditLog(htm).verify()))
        with pytest.raises(HTMError, match=r"cannot read .*audit\.jsonl"):
            list(AuditLog(htm).records())


@pytest.mark.parametrize("fails", ["file", "catalog"])
def test_after_a_failed_sync_the_store_is_read_only_and_says_which_file(
    open_store: Any, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    htm = open_store()
    log = AuditLog(htm)
    log.append({"n": 0}).result()
    with monkeypatch.context() as patch:
        if fails == "file":
            fail_at(patch, files, "_sync", OSError(errno.EIO, os.strerror(errno.EIO)))
        else:
            fail_at(patch, tables.Writer, "set_meta", recorder.CatalogSyncError("syncing 'audit' failed"))
        with pytest.raises(HTMError, match=r"syncing .*audit.* failed"):
            log.append({"n": 1}).result()
    assert len(lines(htm.storage_path)) == 2  # the head may be on the disk all the same: the file is not behind it
    for call in (lambda: log.append({}).result(), log.restart, lambda: htm.store_embedding("key", V, {})):
        with pytest.raises(HTMError, match=r"read-only now.*audit.*reopen"):
            call()
    htm.close()
    log = AuditLog(open_store())
    log.append({"n": 2}).result()
    assert [record["n"] for record in log.records()] in ([0, 1, 2], [0, 2])


def test_a_tail_that_finds_no_room_in_the_quarantine_stays_until_it_does(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (copied / "audit.jsonl").open("ab") as file:
        file.write(b"torn")
    with monkeypatch.context() as patch:
        fail_at(patch, os, "write", FULL)
        htm = HTMCore(copied)
    with htm:
        assert quarantined(copied) == []
        AuditLog(htm).append({"n": 5}).result()
        assert quarantined(copied) == [(".jsonl-tail", b"torn")]
        assert htm.verify() == []


# ---- backup and repair ----


def test_a_backup_made_while_records_are_appended_has_all_from_before_it(store: HTMCore, log: AuditLog, tmp_path: Path) -> None:
    stop = threading.Event()
    numbers = itertools.count()

    def work() -> None:
        while not stop.is_set():
            done = [log.append({"n": next(numbers), "text": "x" * 500}) for _ in range(5)]
            done[0].result()

    log.append({"n": next(numbers)}).result()
    thread = threading.Thread(target=work)
    thread.start()
    try:
        for number in range(3):
            before = [record["digest"] for record in log.records(last=1)]
            path = store.backup(tmp_path / f"backup {number}")
            content = (path / "audit.jsonl").read_bytes()
            assert log._path.read_bytes().startswith(content)
            assert content.endswith(b"\n")
            with HTMCore(path) as backup:
                copy = AuditLog(backup)
                assert before[0] in {record["digest"] for record in copy.records()}
                copy.append({}).result()
                assert backup.verify() == []
            assert not (path / "quarantine").exists()
    finally:
        stop.set()
        thread.join()


def test_a_backup_has_whole_records_only(copied: Path, tmp_path: Path) -> None:
    content = (copied / "audit.jsonl").read_bytes()
    with HTMCore(copied) as htm:
        with (copied / "audit.jsonl").open("ab") as file:
            file.write(b'{"seq":6,')  # as while a record is being written
        htm.backup(tmp_path / "backup")
    assert (tmp_path / "backup/audit.jsonl").read_bytes() == content


def test_a_damaged_log_is_not_backed_up_without_a_word(copied: Path, tmp_path: Path) -> None:
    DAMAGES["line removed"](copied)
    with HTMCore(copied) as htm:
        with pytest.raises(HTMError, match=r"audit\.jsonl"):
            htm.backup(tmp_path / "backup")
        AuditLog(htm).restart()
        htm.backup(tmp_path / "backup")
    assert HTMCore.verify(tmp_path / "backup") == []


def test_a_repair_takes_a_lost_head_from_a_log_that_is_whole(copied: Path) -> None:
    content = (copied / "audit.jsonl").read_bytes()
    (copied / "audit.jsonl").write_bytes(content + b"torn")
    forget_head(copied)
    repaired = HTMCore.repair(copied)
    assert repaired.actions == ["took the head of audit.jsonl from the file, which has 5 records"]
    assert repaired.folder is None
    assert (copied / "audit.jsonl").read_bytes() == content
    assert quarantined(copied) == [(".jsonl-tail", b"torn")]


def test_a_repair_of_a_lost_catalog_keeps_the_log(copied: Path) -> None:
    content = (copied / "audit.jsonl").read_bytes()
    for file in copied.glob("catalog.sqlite*"):
        file.unlink()
    HTMCore.repair(copied)
    assert (copied / "audit.jsonl").read_bytes() == content
    with HTMCore(copied) as htm:
        assert len(htm) == 1
        AuditLog(htm).append({"n": 5}).result()
        assert htm.verify() == []


def test_a_repair_of_the_catalog_keeps_the_head_so_that_a_missing_end_is_still_found(copied: Path) -> None:
    DAMAGES["last line removed"](copied)
    with closing(sqlite3.connect(copied / "catalog.sqlite")) as catalog:
        catalog.execute("UPDATE entries SET mcrc = mcrc + 1")
        catalog.commit()
    repaired = HTMCore.repair(copied)
    assert repaired.folder is not None
    assert any("began audit.jsonl anew" in action for action in repaired.actions)
    with HTMCore(copied) as htm:
        (record,) = AuditLog(htm).records()
        assert (record["kind"], record["good_records"]) == ("restart", 4)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_repair_restarts_a_damaged_log_and_touches_nothing_else(copied: Path, damage: Damage) -> None:
    damage(copied)
    repaired = HTMCore.repair(copied)
    assert repaired.folder is None
    assert (repaired.kept, repaired.lost, len(repaired.actions)) == (1, 0, 1)
    with HTMCore(copied) as htm:
        (record,) = AuditLog(htm).records()
        assert record["kind"] == "restart"
        assert htm.get_embedding("key") is not None
    assert HTMCore.repair(copied).actions == []


def test_a_repair_sets_aside_what_is_after_the_last_record(copied: Path) -> None:
    with (copied / "audit.jsonl").open("ab") as file:
        file.write(b"{}\n")
    repaired = HTMCore.repair(copied)
    assert [problem.severity for problem in repaired.found] == ["warning"]
    assert len(repaired.actions) == 1
    assert quarantined(copied) == [(".jsonl-tail", b"{}\n")]
    with HTMCore(copied) as htm:
        assert len(list(AuditLog(htm).records())) == 5
