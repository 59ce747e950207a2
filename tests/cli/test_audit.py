"""What `anam audit` shows of a store's audit log, and how it says what is wrong with it."""

import json
from pathlib import Path

import pytest
from commands import run

from anam_py import HTMCore
from anam_py.store import AuditLog


@pytest.fixture
def recorded(project: Path) -> Path:
    """Return a project whose store has four records in its log, and stand in it."""
    with HTMCore(project / ".anam", 1, dimension=4) as htm:
        log = AuditLog(htm)
        for number in range(3):
            log.append({"kind": "decision", "verdict": "allow", "n": number})
        log.append({"kind": "task", "text": "\x1b[31mred"}).result()
    return project


def damage(project: Path) -> None:
    path = project / ".anam/audit.jsonl"
    path.write_bytes(path.read_bytes().replace(b"allow", b"deny!", 1))


def test_verify_says_that_nothing_is_wrong_and_gives_the_digest_to_note(recorded: Path) -> None:
    result = run("audit", "verify")
    last = json.loads((recorded / ".anam/audit.jsonl").read_bytes().splitlines()[-1])
    assert result.status == 0
    assert "No problems in the audit log of .anam: 4 records" in result.out
    assert last["digest"] in result.out
    answer = run("audit", "verify", "--json").json
    assert (answer["records"], answer["digest"], answer["problems"]) == (4, last["digest"], [])
    assert answer.keys() == {"store", "records", "digest", "problems", "seconds"}


def test_a_store_without_records_has_nothing_wrong(indexed: Path) -> None:
    assert run("audit", "verify").out.startswith("No problems in the audit log of .anam: 0 records")
    assert run("audit", "verify", "--json").json["digest"] is None
    shown = run("audit", "show")
    assert (shown.status, shown.out, shown.err) == (0, "", "no records\n")


def test_damage_is_status_1_with_what_to_do(recorded: Path) -> None:
    damage(recorded)
    result = run("audit", "verify")
    assert result.status == 1
    first, advice = result.out.splitlines()
    assert first == "error: line 1, at byte 0: record 1 is damaged: its digest is not that of its content"
    assert advice == "Set it aside, and begin a new one, with: anam audit restart"
    answer = run("audit", "verify", "--json")
    assert answer.status == 1
    assert answer.json["records"] is None
    assert [problem["severity"] for problem in answer.json["problems"]] == ["error"]
    assert run("verify", "--quick").status == 0
    assert run("verify").status == 1


def test_what_is_only_left_over_is_status_1_without_alarm(recorded: Path) -> None:
    with (recorded / ".anam/audit.jsonl").open("ab") as file:
        file.write(b"left\n")
    result = run("audit", "verify")
    assert result.status == 1
    assert "No record is damaged" in result.out
    assert run("audit", "restart").out == "The audit log of .anam is whole, and goes on.\n"
    assert run("audit", "verify").status == 0


def test_show_has_a_line_for_each_of_the_newest_records(recorded: Path) -> None:
    lines = run("audit", "show").out.splitlines()
    assert len(lines) == 4
    assert lines[1].startswith("2  ")
    assert lines[1].endswith('decision  {"verdict": "allow", "n": 1}')
    assert "\x1b" not in lines[3]
    assert run("audit", "show", "-n", "2").out.splitlines() == lines[2:]
    assert run("audit", "show", "--kind", "task").out.splitlines() == lines[3:]
    assert run("audit", "show", "--kind", "decision", "-n", "1").out.splitlines() == lines[2:3]


def test_show_gives_whole_records_as_json(recorded: Path) -> None:
    answer = run("audit", "show", "--json", "--kind", "decision").json
    lines = (recorded / ".anam/audit.jsonl").read_bytes().splitlines()
    assert answer == {"store": str((recorded / ".anam").resolve()), "kind": "decision", "records": [*map(json.loads, lines[:3])]}


def test_show_of_a_damaged_log_is_an_error_that_names_the_way_out(recorded: Path) -> None:
    damage(recorded)
    result = run("audit", "show")
    assert result.status == 2
    assert "is damaged" in result.err
    assert "anam audit verify" in result.err


def test_restart_sets_a_damaged_log_aside_and_the_new_one_says_so(recorded: Path) -> None:
    assert run("audit", "restart").out == "The audit log of .anam is whole, and goes on.\n"
    damage(recorded)
    content = (recorded / ".anam/audit.jsonl").read_bytes()
    result = run("audit", "restart")
    assert result.status == 0
    assert "a new one says so" in result.out
    name = result.out.split(".anam/quarantine/")[1].split(";")[0]
    assert (recorded / ".anam/quarantine" / name).read_bytes() == content
    assert run("audit", "verify").status == 0
    (record,) = run("audit", "show", "--json").json["records"]
    assert (record["kind"], record["set_aside"]) == ("restart", name)


def test_restart_says_where_there_was_no_log_any_more(recorded: Path) -> None:
    (recorded / ".anam/audit.jsonl").unlink()
    assert run("audit", "verify").status == 1
    answer = run("audit", "restart", "--json").json
    assert (answer["restarted"], answer["set_aside"]) == (True, None)
    (recorded / ".anam/audit.jsonl").unlink()
    assert run("audit", "restart").out == "There was no audit log in .anam any more; a new one says so.\n"


def test_without_a_store_there_is_an_error(project: Path) -> None:
    for command in ("verify", "show", "restart"):
        result = run("audit", command)
        assert result.status == 2
        assert "make one with: anam index" in result.err


def test_a_store_elsewhere_is_named(recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage(recorded)
    monkeypatch.chdir(tmp_path)
    assert "with: anam audit restart --store project/.anam" in run("audit", "verify", "--store", "project/.anam").out
