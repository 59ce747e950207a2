"""The API reference, executed: every example runs as written, every listed signature is the real one.

`python_ffi_api.rst` is the reference as its user wrote it, with NumPy's random call corrected: `np.random.float32` does not
exist, so it reads `rng.standard_normal`, and `rng` is there when the examples run.
"""

import ast
import importlib
import inspect
import os
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

HERE = Path(__file__).parent

# What needs an extra that may not be installed.
NEED_TORCH = {
    "axiomvalidator-python-interface-resonance-kernels",
    "axiomvalidator-python-interface-resonance-kernels-resonancekernel",
    "axiomvalidator-python-interface-resonance-kernels-harmonickernel",
}


class Block(NamedTuple):
    """A Python block of the reference: where it stands and what it says."""

    name: str
    line: int
    code: str

    @property
    def is_listing(self) -> bool:
        """Whether it lists signatures of a class, rather than being an example."""
        return any(isinstance(node, ast.ClassDef) for node in ast.parse(self.code).body)


class Signature(NamedTuple):
    """A method as the reference lists it."""

    class_name: str
    method: ast.FunctionDef | ast.AsyncFunctionDef

    def __str__(self) -> str:
        return f"{self.class_name}.{self.method.name}"


def read_blocks(text: str) -> Iterator[Block]:
    lines = text.splitlines()
    headings: dict[str, str] = {}  # by the character that underlines them, outermost first
    label = ""
    for number, line in enumerate(lines):
        below = lines[number + 1] if number + 1 < len(lines) else ""
        if line and re.fullmatch(r"([=\-^\"])\1+", below):
            level = below[0]
            outer = list(headings)[: list(headings).index(level)] if level in headings else list(headings)
            headings = {key: headings[key] for key in outer} | {level: line}
            label = ""
        elif bold := re.fullmatch(r"\*\*(.+):\*\*", line):
            label = bold[1]
        elif line == ".. code-block:: python":
            body = []
            for inner in lines[number + 1 :]:
                if inner and not inner.startswith("   "):
                    break
                body.append(inner)
            titles = [title for level, title in headings.items() if level != "="][-2:]
            name = re.sub(r"[^a-z0-9]+", "-", " ".join([*titles, label]).lower()).strip("-")
            yield Block(name, number + 3, textwrap.dedent("\n".join(body)).strip() + "\n")


BLOCKS = list(read_blocks((HERE / "python_ffi_api.rst").read_text(encoding="utf-8")))
EXAMPLES = [block for block in BLOCKS if not block.is_listing]
SIGNATURES = [
    Signature(node.name, method)
    for block in BLOCKS
    for node in ast.parse(block.code).body
    if isinstance(node, ast.ClassDef)
    for method in node.body
    if isinstance(method, (ast.FunctionDef, ast.AsyncFunctionDef))
]


class Run(NamedTuple):
    """All examples, run in order: what each raised, and what was left in the namespace they share."""

    errors: dict[str, BaseException | None]
    namespace: dict[str, Any]


@pytest.fixture(scope="module", name="run")
def run_all_examples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Run every example once, in one folder, with the source files that the reference speaks of."""
    folder = tmp_path_factory.mktemp("reference")
    shutil.copytree(HERE / "src", folder / "src")
    before = Path.cwd()
    os.chdir(folder)
    namespace: dict[str, Any] = {"__name__": "reference", "rng": np.random.default_rng(0)}
    errors: dict[str, BaseException | None] = {}
    try:
        for block in EXAMPLES:
            code = compile("\n" * (block.line - 1) + block.code, str(HERE / "python_ffi_api.rst"), "exec")
            try:
                exec(code, namespace)
            except Exception as error:  # noqa: BLE001 - the test of this example raises it again
                errors[block.name] = error
            else:
                errors[block.name] = None
        yield Run(errors, namespace)
    finally:
        os.chdir(before)
        namespace.clear()


@pytest.mark.parametrize("name", [block.name for block in EXAMPLES])
def test_the_example_runs_as_written(run: Run, name: str) -> None:
    if name in NEED_TORCH:
        pytest.importorskip("torch")
    error = run.errors[name]
    if error is not None:
        raise error


@pytest.mark.parametrize("signature", SIGNATURES, ids=str)
def test_the_signature_is_the_one_listed(signature: Signature) -> None:
    method = getattr(getattr(importlib.import_module("anam_py"), signature.class_name), signature.method.name)
    assert inspect.iscoroutinefunction(method) == isinstance(signature.method, ast.AsyncFunctionDef)
    ours = list(inspect.signature(method).parameters.values())
    listed = signature.method.args
    first_default = len(listed.args) - len(listed.defaults)
    for position, argument in enumerate(listed.args):
        parameter = ours[position]
        assert parameter.name == argument.arg
        assert parameter.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        if position >= first_default:
            assert parameter.default == ast.literal_eval(listed.defaults[position - first_default])
        else:
            assert parameter.default is inspect.Parameter.empty
    for parameter in ours[len(listed.args) :]:
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, f"{parameter} is ours, so it is passed by name only"
        assert parameter.default is not inspect.Parameter.empty


def test_the_whole_reference_is_covered() -> None:
    assert len(BLOCKS) == 27
    assert len({block.name for block in EXAMPLES}) == len(EXAMPLES)
    assert {block.name for block in EXAMPLES} >= NEED_TORCH


def test_what_the_examples_stored_and_found_is_what_they_say(run: Run) -> None:
    names = run.namespace
    store = names["HTMCore"]
    assert names["benchmark_results"]["search_ops_per_sec"] > 0
    assert names["profile_data"]
    with store("./data/htm_storage") as storage:
        assert storage.get_embedding("src/model.py")["metadata"] == names["metadata"]
        assert {f"file_{i}.py" for i in range(10)} <= set(storage)
    with store("./data") as data:
        assert {"test", *(f"thread_{i}" for i in range(10))} <= set(data)
    with store("./data/htm") as crawled:
        assert set(crawled) == {"src/main.py", "src/model.py", "src/utils.py"}
