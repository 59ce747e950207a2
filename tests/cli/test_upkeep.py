"""`anam verify`, `anam repair`, `anam backup` and `anam compact`: looking after a store."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import run, start, write_files

from anam_py import HTMCore

STORE = Path(".anam")


def segments(folder: Path = STORE) -> list[Path]:
    return sorted(folder.glob("shard-*/seg-*.h5"))


def flip_a_bit_of_a_vector(path: Path) -> str:
    """Damage one row; returns its key."""
    with HTMCore(path, read_only=True) as htm:
        record = next(htm.get_embedding(key) for key in htm if "::" not in key)
    vector = record["embedding"]["values"].tobytes()
    for file in segments(path):
        content = bytearray(file.read_bytes())
        if (place := content.find(vector)) >= 0:
            content[place + 2] ^= 1
            file.chmod(0o600)
            file.write_bytes(content)
            return str(record["key"])
    raise AssertionError("no segment holds it")


def every_byte(folder: Path) -> dict[str, bytes]:
    """Return the files of a store, but for the empty ones that reading it leaves."""
    return {
        path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and not path.name.endswith(("-shm", "-wal"))
    }


# ---- verify ----


def test_a_healthy_store_has_no_problems(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("verify")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("No problems in .anam (every row was read, ")
    found = run("verify", "--quick", "--json").json
    assert found.keys() == {"store", "deep", "problems", "seconds"}
    assert (found["store"], found["deep"], found["problems"]) == (str(indexed.resolve() / ".anam"), False, [])
    monkeypatch.chdir("src")
    assert run("verify").out.startswith("No problems in ../.anam ")


def test_a_problem_is_a_line_that_says_where_and_what_and_the_last_says_what_to_do(indexed: Path) -> None:
    key = flip_a_bit_of_a_vector(STORE)
    before = every_byte(STORE)
    result = run("verify")
    assert result.status == 1
    *lines, verdict, advice, _ = result.out.splitlines()
    assert f"error: {key}: its vector is damaged" in lines
    assert verdict.startswith(f"{len(lines)} errors in .anam (every row was read, ")
    assert advice == "Repair it with: anam repair"
    found = run("verify", "--json")
    assert found.status == 1
    assert {"severity": "error", "where": key, "what": "its vector is damaged"} in found.json["problems"]
    assert every_byte(STORE) == before


def test_a_quick_verification_does_not_read_the_rows(indexed: Path) -> None:
    flip_a_bit_of_a_vector(STORE)
    assert run("verify", "--quick").status == 0
    segments()[0].unlink()
    assert run("verify", "--quick").status == 1


@pytest.mark.parametrize("damage", ["no catalog", "no marker", "foreign catalog"])
def test_a_store_that_does_not_open_can_be_verified(indexed: Path, damage: str) -> None:
    if damage == "no marker":
        (STORE / "anam.json").unlink()
    else:
        for file in STORE.glob("catalog.sqlite*"):
            file.unlink()
    if damage == "foreign catalog":
        (STORE / "catalog.sqlite").write_bytes(b"no database, but long enough to look like one" * 100)
    assert run("search", "compress").status == 2
    result = run("verify")
    assert result.status == 1
    assert "Traceback" not in result.out + result.err
    assert "Repair it with: anam repair\n" in result.out


def test_what_is_only_left_over_is_said_to_be_no_loss(indexed: Path) -> None:
    shutil.copy(segments()[0], segments()[0].with_name("seg-1-01234567.h5"))
    result = run("verify")
    assert result.status == 1
    warning, verdict, advice = result.out.splitlines()
    assert warning.startswith("warning: shard-0")
    assert verdict.startswith("1 warning in .anam ")
    assert advice == "Nothing is lost. What is left over is set aside with: anam repair"
    assert run("repair").status == 0
    assert run("verify").status == 0


def test_verifying_works_while_another_process_writes(indexed: Path) -> None:
    with HTMCore(STORE) as htm:
        htm.store_embedding("new", np.ones(768), {})
        process = start("verify", "--json")
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert json.loads(out)["problems"] == []


@pytest.mark.parametrize("command", [["verify"], ["repair"], ["compact"], ["backup", "copy"], ["export", "x"], ["import", "x"]])
def test_where_there_is_no_store_none_is_made(project: Path, command: list[str]) -> None:
    result = run(*command)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("anam: no store in ")
    for name in ("src", "missing"):
        result = run(*command, "--store", name)
        assert (result.status, result.err) == (2, f"anam: no store in {name!r}; make one with: anam index --store {name}\n")
    assert not list(Path().rglob("anam.json"))
    assert not Path("missing").exists()


# ---- repair ----


def test_a_damaged_store_is_whole_after_its_repair(indexed: Path) -> None:
    key = flip_a_bit_of_a_vector(STORE)
    with HTMCore(STORE, read_only=True) as htm:
        entries = len(htm)
    result = run("repair")
    assert result.status == 0
    assert result.err.startswith("Repairing .anam: keeping what is sound, setting aside what is not in .anam/quarantine.")
    assert f"error: {key}: its vector is damaged\n" in result.out
    assert "done: " in result.out
    assert f".anam is whole again, with {entries - 1} entries" in result.out
    assert "Lost: 1. Entries that came from files are made again by: anam index .\n" in result.out
    (folder,) = STORE.glob("quarantine/repair-*")
    assert f"What was set aside is in {folder}.\n" in result.out
    assert run("verify").status == 0
    assert run("index").status == 0
    with HTMCore(STORE, read_only=True) as htm:
        assert key in htm
        assert len(htm) == entries


def test_a_lost_catalog_is_made_again(indexed: Path) -> None:
    with HTMCore(STORE) as htm:
        htm.flush()
        expected = set(htm)
    for file in STORE.glob("catalog.sqlite*"):
        file.unlink()
    report = run("repair", "--json").json
    counts = {"kept", "lost", "may_reappear", "without_text"}
    assert report.keys() == {"store", "found", "actions", "set_aside", "folder", "seconds", *counts}
    assert report["kept"] == report["may_reappear"] == report["without_text"] == len(expected)
    assert report["found"][0].keys() == {"severity", "where", "what"}
    assert run("verify").status == 0
    assert run("index").status == 0
    with HTMCore(STORE, read_only=True) as htm:
        assert set(htm) == expected
        assert htm.stats()["texts"] == len(expected)


@pytest.mark.parametrize("command", [["search", "word"], ["stats"]])
def test_a_store_without_its_marker_is_said_to_be_damaged(indexed: Path, command: list[str]) -> None:
    (STORE / "anam.json").unlink()
    result = run(*command)
    assert result.status == 2
    assert result.err == "anam: the store in '.anam' is damaged: anam.json is missing; run anam repair\n"
    assert "(it does not open, " in run("verify").out
    assert run("repair").status == 0
    assert run(*command).status in (0, 1)


def test_a_healthy_store_needs_no_repair(indexed: Path) -> None:
    before = every_byte(STORE)
    result = run("repair")
    assert result.status == 0
    assert result.out.startswith("Nothing to repair in .anam: no problems were found (")
    report = run("repair", "--json").json
    assert (report["found"], report["actions"], report["folder"]) == ([], [], None)
    assert every_byte(STORE) == before


@pytest.mark.parametrize("command", [["repair"], ["compact"], ["import", "rows.parquet"]])
def test_what_writes_says_which_process_does_so_already(indexed: Path, command: list[str]) -> None:
    assert run("export", "rows.parquet").status == 0
    with HTMCore(STORE):
        process = start(*command)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert err.splitlines()[-1] == f"anam: another process (pid {os.getpid()}) is writing '.anam'; try again when it is done"


# ---- backup ----


@pytest.mark.parametrize("options", [[], ["--link"]])
def test_a_backup_can_be_searched_and_takes_the_place_of_a_lost_store(indexed: Path, options: list[str]) -> None:
    expected = run("search", "compress", "gzip", "--json").json["hits"]
    result = run("backup", "../copy", *options)
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("Backed up .anam to ../copy: ")
    assert run("verify", "--store", "../copy").status == 0
    shutil.rmtree(STORE)
    shutil.copytree("../copy", STORE)
    assert run("search", "compress", "gzip", "--json").json["hits"] == expected
    write_files(indexed, {"notes.md": "# New notes\n"})
    assert run("index", "--json").json["files"] == {"new": 0, "changed": 1, "unchanged": 5, "forgotten": 0, "skipped": 1}


def test_a_backup_as_json_says_where_it_is_and_what_it_takes(indexed: Path) -> None:
    report = run("backup", "../copy", "--json").json
    assert report.keys() == {"store", "backup", "bytes", "seconds"}
    copy = (indexed.parent / "copy").resolve()
    assert (report["store"], report["backup"]) == (str(indexed.resolve() / ".anam"), str(copy))
    assert report["bytes"] == sum(path.stat().st_size for path in copy.rglob("*") if path.is_file())


def test_a_backup_is_made_while_another_process_writes(indexed: Path) -> None:
    with HTMCore(STORE) as htm:
        htm.store_embedding("new", np.ones(768), {})
        process = start("backup", "../copy")
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    with HTMCore("../copy", read_only=True) as htm:
        assert "new" in htm


@pytest.mark.parametrize("destination", ["src", ".anam/copy", "missing/copy", "notes.md"])
def test_a_backup_that_cannot_be_made_is_one_line_of_error(indexed: Path, destination: str) -> None:
    before = sorted(path for path in indexed.rglob("*") if "-shm" not in path.name and "-wal" not in path.name)
    result = run("backup", destination)
    assert (result.status, result.out) == (2, "")
    assert len(result.err.splitlines()) == 1
    assert sorted(path for path in indexed.rglob("*") if "-shm" not in path.name and "-wal" not in path.name) == before


def test_a_damaged_store_is_not_backed_up(indexed: Path) -> None:
    flip_a_bit_of_a_vector(STORE)
    result = run("backup", "../copy")
    assert result.status == 2
    assert "is damaged" in result.err
    assert not Path("../copy").exists()


def test_an_interrupted_backup_leaves_nothing_and_claims_nothing(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anam_py.store.backup._require_whole", interrupt)
    result = run("backup", "../copy")
    assert (result.status, result.err) == (130, "anam: interrupted\n")
    assert [path.name for path in indexed.parent.iterdir()] == ["project"]


# ---- compact ----


def test_compacting_says_what_the_store_took_and_takes(indexed: Path) -> None:
    with HTMCore(STORE) as htm:
        for number in range(5):
            htm.store_embeddings([f"key {i}" for i in range(300)], np.random.default_rng(number).standard_normal((300, 768)))
            htm.flush()
        htm.delete_many([f"key {i}" for i in range(300)])
        before = set(htm)
    report = run("compact", "--json").json
    assert report.keys() == {"store", "bytes", "segments", "dead_rows", "seconds"}
    assert report["bytes"]["after"] < report["bytes"]["before"]
    assert report["dead_rows"]["after"] == 0
    with HTMCore(STORE, read_only=True) as htm:
        assert set(htm) == before
        assert htm.stats()["segments"] == report["segments"]["after"]
    out = run("compact").out
    assert out.startswith(".anam: ")
    assert " before, " in out


# ---- on a terminal ----


def on_a_terminal(*arguments: str) -> tuple[int, bytes]:
    """Run the command with its standard error on a terminal; return its status and what it wrote there."""
    import pty  # noqa: PLC0415 - not on Windows

    leader, follower = pty.openpty()
    process = start(*arguments, stderr=follower, environment={"TERM": "xterm-256color", "COLUMNS": "100"})
    os.close(follower)
    written = b""
    try:
        while chunk := os.read(leader, 65536):
            written += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(leader)
    process.communicate(timeout=60)
    return process.returncode, written


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["verify"], b"verifying"),
        (["repair"], b"repairing"),
        (["compact"], b"compacting"),
        (["backup", "../copy"], b"backing up"),
        (["export", "rows.parquet"], b"exporting"),
        (["import", "given.parquet"], b"importing"),
    ],
)
def test_on_a_terminal_one_sees_that_something_goes_on(indexed: Path, arguments: list[Any], shown: bytes) -> None:
    assert run("export", "given.parquet").status == 0
    status, written = on_a_terminal(*arguments)
    assert status == 0
    assert shown in written
