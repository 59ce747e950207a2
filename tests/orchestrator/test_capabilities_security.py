"""security_check: what it finds, what it says of the tools, and what keeps reviewed code from interfering."""

import json
import os
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from anam_py import OrchestratorError
from anam_py.orchestrator import Context
from anam_py.orchestrator.capabilities import BUILT_IN, bandit

RUFF = f"ruff {version('ruff')}, bandit's rules"
OURS = f"anam_py {version('anam_py')}, rules of syntax"


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check(files: dict[str, str | bytes], **told: Any) -> dict[str, Any]:
    """Write files and check them."""
    for name, text in files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    task = {"files": list(files)}
    output = BUILT_IN["security_check"].handler(task, Context("security_check", "agent", "run", **told))
    assert json.loads(json.dumps(output)) == output
    return output


def found(output: dict[str, Any]) -> list[tuple[str, int, int, str, str]]:
    return [(each["file"], each["line"], each["column"], each["rule"], each["severity"]) for each in output["findings"]]


def test_python_is_read_by_ruff_scripts_by_our_rules_and_the_rest_is_named() -> None:
    output = check({"a.py": "x = 1\n", "b.ts": "let x: number = 1\n", "c.rs": "fn main() {}\n", "d.md": "# D\n"})
    assert output["checked"] == [
        {"path": "a.py", "tool": RUFF, "incomplete": None},
        {"path": "b.ts", "tool": OURS, "incomplete": None},
    ]
    assert output["not_checked"] == [{"path": "c.rs", "language": "rust"}, {"path": "d.md", "language": "markdown"}]
    assert (output["passed"], output["findings"]) == (True, [])


def test_findings_have_their_place_rule_and_severity_the_worst_first() -> None:
    output = check({"b.js": "f();\n  eval(x);\n", "a.py": "import subprocess\nassert x\nä = 1; subprocess.run(x, shell=True)\n"})
    assert found(output) == [
        ("a.py", 3, 8, "S602", "high"),
        ("b.js", 2, 3, "js-eval", "high"),
        ("a.py", 2, 1, "S101", "low"),
    ]
    assert (output["passed"], output["left_out"]) == (False, 0)
    assert output["counts"] == {"high": 2, "medium": 0, "low": 1}
    assert output["by_file"] == {"a.py": 2, "b.js": 1}


@pytest.mark.parametrize(
    ("source", "rule", "severity"),
    [
        ("exec(x)", "S102", "high"),
        ("eval(x)", "S307", "high"),
        ("import pickle\npickle.loads(x)", "S301", "medium"),
        ("import hashlib\nhashlib.md5(x)", "S324", "high"),
        ("import random\nrandom.random()", "S311", "low"),
        ("password = 'hunter2'", "S105", "low"),
        ("import requests\nrequests.get(x, verify=False, timeout=1)", "S501", "high"),
        ("import subprocess\nsubprocess.run('/bin/ls', shell=True)", "S602", "low"),
        ("import yaml\nyaml.load(x)", "S506", "medium"),
    ],
)
def test_severities_are_bandits_except_that_running_a_text_as_code_is_high(source: str, rule: str, severity: str) -> None:
    output = check({"a.py": source + "\n"})
    assert [(each["rule"], each["severity"]) for each in output["findings"]] == [(rule, severity)]
    assert output["passed"] is (severity != "high")


def test_nothing_that_a_tool_could_read_is_not_the_same_as_passed() -> None:
    output = check({"a.rs": "fn main() {}\n"})
    assert (output["passed"], output["checked"]) == (None, [])


@pytest.mark.parametrize(
    ("comment", "acknowledged"),
    [
        ("# noqa", True),
        ("# noqa: S307", True),
        ("#NOQA:E501,S307", True),
        ("# noqa: S102 S307", True),
        ("# noqa: E501", False),
        ("# noqa: because I say so", False),
        ("# nothing", False),
    ],
)
def test_what_a_noqa_comment_acknowledges_is_shown_and_does_not_decide(comment: str, acknowledged: bool) -> None:
    output = check({"a.py": f"eval(x)  {comment}\n"})
    assert [each["acknowledged"] for each in output["findings"]] == [acknowledged]
    assert output["passed"] is acknowledged


def test_a_noqa_comment_for_the_whole_file_acknowledges_nothing() -> None:
    assert check({"a.py": "# ruff: noqa\n# flake8: noqa\neval(x)\n"})["passed"] is False


@pytest.mark.parametrize("name", ["-x.py", "--config=a.py", "a b.py", "ü.py", "@b.py", "node_modules/a.py", "build/.venv/a.py"])
def test_no_name_of_a_file_hides_it_or_becomes_an_option(name: str) -> None:
    assert found(check({name: "eval(x)\n"})) == [(name, 1, 1, "S307", "high")]


def test_nothing_in_the_reviewed_project_configures_or_replaces_the_tool(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUFF_OUTPUT_FILE", str(project / "stolen"))
    monkeypatch.setattr(tempfile, "tempdir", str(project))
    output = check(
        {
            "pyproject.toml": '[tool.ruff.lint]\nignore = ["S307"]\n',
            "ruff.toml": 'exclude = ["*.py"]\n',
            ".gitignore": "*\n",
            "ruff.py": "raise SystemExit(3)\n",
            "ruff/__main__.py": "raise SystemExit(3)\n",
            "a.py": "eval(x)\n",
        }
    )
    assert ("a.py", 1, 1, "S307", "high") in found(output)
    assert not (project / "stolen").exists()
    assert not [path for path in project.iterdir() if path.name.startswith("anam-ruff-")]


@pytest.mark.parametrize(
    "source",
    [
        "# coding: latin-1\nx = 'é'\neval(x)\n".encode("latin-1"),
        b"\xef\xbb\xbfx = 1\r\n\r\neval(x)\r\n",
        b"x = '\xff'\n\neval(x)\n",
        "x = 1\n\neval(x)\n".encode("utf-16"),
    ],
    ids=["declared", "marked", "broken", "utf-16"],
)
def test_a_file_is_read_in_the_encoding_it_has(source: bytes) -> None:
    assert found(check({"a.py": source})) == [("a.py", 3, 1, "S307", "high")]


def test_scripts_without_an_extension_and_stubs_are_read() -> None:
    output = check({"run": "#!/usr/bin/env python3\neval(x)\n", "a.pyi": "x: int = eval(y)\n"})
    assert {(file, rule) for file, _, _, rule, _ in found(output)} == {("run", "S307"), ("a.pyi", "S307")}


def test_a_file_with_a_syntax_error_has_not_passed() -> None:
    output = check({"a.py": "def f(:\n", "b.js": "function {{{\n", "c.py": "x = 1\n"})
    incomplete = {each["path"]: each["incomplete"] for each in output["checked"]}
    assert incomplete["a.py"].startswith("syntax error in line 1: ")
    assert incomplete["b.js"].startswith("syntax errors")
    assert incomplete["c.py"] is None
    assert output["passed"] is False


def test_a_file_with_very_many_findings_is_counted_and_cut() -> None:
    output = check({"a.py": "assert 0\n" * 3000 + "eval(x)\n", "b.js": "eval(x);\n" * 20})
    assert (len(output["findings"]), output["left_out"]) == (1000, 2021)
    assert output["counts"] == {"high": 21, "medium": 0, "low": 3000}
    assert output["by_file"] == {"a.py": 3001, "b.js": 20}
    assert [each["severity"] for each in output["findings"][:22]] == ["high"] * 21 + ["low"]


def test_more_files_than_one_batch_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bandit, "_MAX_BATCH", 3)
    monkeypatch.setattr(bandit, "_MAX_BATCH_BYTES", 40)
    files: dict[str, str | bytes] = {f"{number}.py": f"eval(x{number:0{number}})\n" for number in range(8)}
    assert {file for file, *_ in found(check(files))} == files.keys()


def test_without_ruff_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    monkeypatch.setattr(bandit, "version", lambda name: version("no such package"))
    with pytest.raises(OrchestratorError, match=r'which is not installed; install it with: pip install "ruff>=0\.9"'):
        check({"a.py": "x = 1\n"})
    assert check({"a.js": "x\n"})["passed"] is True


@pytest.mark.parametrize("python", ["no such python", "broken"])
def test_where_ruff_cannot_be_run_the_error_says_so(python: str, monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    if python == "broken":
        if sys.platform == "win32":
            pytest.skip("a script cannot stand for the interpreter")
        program = project / "broken"
        program.write_text("#!/bin/sh\necho 'No module named ruff' >&2\nexit 1\n")
        program.chmod(0o700)
        python = str(program)
    monkeypatch.setattr(bandit.sys, "executable", python)
    with pytest.raises(OrchestratorError, match=r"ruff cannot be run by .*(No such file|No module named ruff).*install it with"):
        check({"a.py": "x = 1\n"})


@pytest.mark.skipif(sys.platform == "win32", reason="a script cannot stand for the interpreter")
def test_a_ruff_that_hangs_is_killed_when_the_handler_is_asked_to_stop(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    pid, cancelled = hanging(monkeypatch, project), threading.Event()
    threading.Thread(target=lambda: (_until(pid.exists), cancelled.set())).start()
    with pytest.raises(OrchestratorError, match="security_check was stopped while ruff was running"):
        check({"a.py": "x = 1\n"}, cancelled=cancelled)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


@pytest.mark.skipif(sys.platform == "win32", reason="a script cannot stand for the interpreter")
def test_a_ruff_that_hangs_is_killed_after_a_while(monkeypatch: pytest.MonkeyPatch, project: Path) -> None:
    hanging(monkeypatch, project)
    monkeypatch.setattr(bandit, "_SECONDS", 0.1)
    with pytest.raises(OrchestratorError, match=r"ruff took longer than 0\.1 s; give the files in several tasks"):
        check({"a.py": "x = 1\n"})


def hanging(monkeypatch: pytest.MonkeyPatch, project: Path) -> Path:
    """Let ruff hang; return the file that gets its process id, whole."""
    program = project / "hangs"
    program.write_text(f"#!/bin/sh\necho $$ > {project}/new && mv {project}/new {project}/pid\nexec sleep 600\n")
    program.chmod(0o700)
    monkeypatch.setattr(bandit.sys, "executable", str(program))
    return project / "pid"


def _until(condition: Any) -> None:
    while not condition():
        time.sleep(0.01)
