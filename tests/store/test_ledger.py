"""What a crawler may rely on: files and entries change together, or not at all."""

import threading
from typing import Any

import numpy as np
import pytest
from stores import V, W, contents

from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import Entry, File, HTMCore, Ledger, Root, jobs


def file(path: str, **changes: Any) -> File:
    return File(path, 10, 123456789012345678, "abc", "indexed", "")._replace(**changes)


def test_a_new_store_knows_no_files(store: HTMCore) -> None:
    ledger = Ledger(store)
    assert ledger.files() == {}
    assert ledger.embedder is None


@pytest.mark.parametrize("count", [3, 30])
def test_entries_and_files_are_committed_together(
    open_store: Any, count: int, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator
) -> None:
    monkeypatch.setattr(jobs, "BULK_ROWS", 20)
    htm = open_store()
    ledger = Ledger(htm)
    paths = [f"src/{i}.py" for i in range(count)]
    entries = [Entry(path, V, {"n": i}, None, f"word {i}") for i, path in enumerate(paths)]
    ledger.commit(entries=entries, files=[file(path) for path in paths], embedder="hash-1")
    assert ledger.files() == {path: file(path) for path in paths}
    assert ledger.embedder == "hash-1"
    assert list(htm) == sorted(paths)
    ops = [{"op": "insert", "pos": 0, "count": 0, "lines": ["x\n"]}]
    ledger.commit(
        entries=[Entry("src/0.py", W, {"n": 99}, ops, None), Entry("src/new.py", W, {})],
        forget=["src/1.py", "src/0.py", "src/never.py", "src/1.py"],
        files=[file("src/0.py", hash="def"), file("src/new.py", outcome="skipped", reason="too large")],
        gone=["src/1.py", "never"],
    )
    assert set(htm) == {*paths, "src/new.py"} - {"src/1.py"}
    assert ledger.files()["src/0.py"] == file("src/0.py", hash="def")
    assert ledger.files()["src/new.py"].reason == "too large"
    assert "src/1.py" not in ledger.files()
    assert [version["version"] for version in htm.history("src/0.py")] == [1, 2]
    assert htm.history("src/0.py")[1]["diff_ops"] == ops
    assert htm.get_text("src/0.py") is None
    before, files = contents(htm), ledger.files()
    htm.close()
    htm = open_store()
    assert (contents(htm), Ledger(htm).files(), Ledger(htm).embedder) == (before, files, "hash-1")
    assert htm.stats()["crawled_files"] == count
    assert htm.stats()["embedder"] == "hash-1"


def test_what_an_embedder_can_be_made_of_is_recorded_with_its_name(store: HTMCore) -> None:
    ledger = Ledger(store)
    assert ledger.choice is None
    ledger.commit(embedder="hash-1", choice="hash")
    ledger.commit(files=[file("a")], choice="of none")
    assert (ledger.embedder, ledger.choice) == ("hash-1", "hash")
    ledger.commit(embedder="another")
    assert (ledger.embedder, ledger.choice) == ("another", None)
    ledger.commit(embedder="hash-1")
    assert ledger.choice == "hash"


def test_a_commit_that_cannot_be_stored_changes_nothing(store: HTMCore) -> None:
    ledger = Ledger(store)
    ledger.commit(entries=[Entry("a", V, {})], files=[file("a")], embedder="one")
    before, files = contents(store), ledger.files()
    good = Entry("b", W, {})
    for bad in (Entry("", V, {}), Entry("c", np.zeros(4, np.float32), {}), Entry("c", V, {"x": {1}}), Entry("b", V, {})):
        with pytest.raises(ValidationError):
            ledger.commit(entries=[good, bad], forget=["a"], files=[file("b")], gone=["a"], embedder="two")
    assert (contents(store), ledger.files(), ledger.embedder) == (before, files, "one")


def test_a_ledger_may_change_without_entries(store: HTMCore) -> None:
    ledger = Ledger(store)
    ledger.commit(files=[file("empty", outcome="empty"), file("gone")])
    ledger.commit(gone=["gone"])
    ledger.commit(embedder="hash-1")
    ledger.commit()
    assert ledger.files() == {"empty": file("empty", outcome="empty")}
    assert ledger.embedder == "hash-1"
    assert len(store) == 0


def test_a_read_only_handle_reads_the_ledger_and_refuses_to_change_it(open_store: Any) -> None:
    Ledger(open_store()).commit(files=[file("a")])
    reading = Ledger(open_store(read_only=True))
    assert set(reading.files()) == {"a"}
    with pytest.raises(HTMError, match="read_only"):
        reading.commit(files=[file("b")])


def test_whoever_has_seen_an_entry_sees_its_file(store: HTMCore) -> None:
    ledger = Ledger(store)
    stop = threading.Event()
    errors: list[str] = []

    def look() -> None:
        while not stop.is_set():
            record = store.get_embedding("a")
            known = ledger.files().get("a")
            if record is not None and (known is None or int(known.hash) < record["metadata"]["n"]):
                errors.append(f"{record} without its file: {known}")

    looking = threading.Thread(target=look)
    looking.start()
    for number in range(200):
        ledger.commit(entries=[Entry("a", V, {"n": number})], files=[file("a", hash=str(number))])
    stop.set()
    looking.join()
    assert errors == []


def test_what_is_known_of_roots_is_kept_with_what_is_committed_until_it_is_forgotten(open_store: Any) -> None:
    htm = open_store()
    ledger = Ledger(htm)
    assert ledger.roots() == {}
    root = Root("/src", None, 1.5, None, ["*.py"], [], True, ["a note"])
    other = root._replace(path="/caf\\xe9", beside="../é", ended=2.5, symbols=False)
    ledger.commit(files=[file("a")], roots={"": root, "src/": other})
    assert ledger.roots() == {"": root, "src/": other}
    assert [each.complete for each in ledger.roots().values()] == [False, True]
    with pytest.raises(ValidationError):
        ledger.commit(entries=[Entry("", V, {})], roots={"": other})
    htm.close()
    ledger = Ledger(open_store())
    ledger.commit(roots={"": None, "never": None})
    assert ledger.roots() == {"src/": other}


def test_files_can_be_asked_for_by_name_and_by_outcome(store: HTMCore) -> None:
    ledger = Ledger(store)
    rows = [file(f"{number:03}", mtime_ns=number, outcome=("indexed", "empty", "skipped")[number % 3]) for number in range(300)]
    ledger.commit(files=rows)
    assert ledger.files_named(["007", "nowhere", "001"]) == {"001": rows[1], "007": rows[7]}
    assert ledger.files_named(row.path for row in rows) == ledger.files()
    assert ledger.files_with("skipped") == rows[2::3]
    assert ledger.moments("indexed", "empty") == [(row.path, 10, row.mtime_ns) for row in rows if row.outcome != "skipped"]
    ledger.commit(files=[rows[0]._replace(hash="2:x"), rows[1]._replace(hash="2:")])
    assert ledger.outcomes("2:") == {"indexed": (100, 99), "empty": (100, 99), "skipped": (100, 100)}
