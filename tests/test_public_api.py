"""The public surface: what is there, what it costs to import."""

import json
import subprocess
import sys
from importlib.metadata import version
from typing import Any

import pytest

import anam_py

PUBLIC = [
    "AnamError",
    "AxiomError",
    "AxiomValidator",
    "CodeBaseCrawler",
    "CrawlerError",
    "HTMCore",
    "HTMError",
    "MultiAgentOrchestrator",
    "OrchestratorError",
    "ValidationError",
    "calculate_resonance_score",
    "configure_ffi",
    "diff_ops",
    "get_ffi_config",
    "show_versions",
    "validate_nam_compliance",
]


def modules_after(code: str) -> set[str]:
    """Return the modules that a fresh interpreter has loaded after running some code."""
    code = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_exactly_these_names_are_public() -> None:
    assert anam_py.__all__ == PUBLIC


@pytest.mark.parametrize("texts", [("a\n", None), (7, "a\n"), (b"a\n", "a\n"), ("a\n", "\ud800")])
def test_differences_are_those_of_two_texts(texts: tuple[Any, Any]) -> None:
    with pytest.raises(anam_py.ValidationError, match=r"(old|new)_text must"):
        anam_py.diff_ops(*texts)


def test_searching_does_not_wait_for_asyncio() -> None:
    assert "asyncio" not in modules_after("from anam_py import CodeBaseCrawler, HTMCore")


def test_every_public_name_can_be_imported_and_is_documented() -> None:
    for name in PUBLIC:
        assert getattr(anam_py, name).__doc__, name


def test_public_names_can_be_discovered_before_their_first_use() -> None:
    code = "import anam_py\nassert set(anam_py.__all__) <= set(dir(anam_py))"
    assert "anam_py.store" not in modules_after(code)


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    assert not hasattr(anam_py, "no_such_name")


def test_a_star_import_does_not_hide_the_builtin_memory_error() -> None:
    assert "MemoryError" not in anam_py.__all__
    assert not hasattr(anam_py, "MemoryError")


def test_importing_the_package_loads_nothing_heavy() -> None:
    heavy = {"torch", "h5py", "numpy", "sqlite3", "asyncio", "tree_sitter", "click", "rich"}
    assert modules_after("import anam_py") & heavy == set()


def test_the_store_loads_neither_h5py_nor_torch_nor_the_command_line_before_it_is_used() -> None:
    heavy = {"torch", "h5py", "pyarrow", "tree_sitter", "click", "rich"}
    assert modules_after("from anam_py import HTMCore, configure_ffi, diff_ops") & heavy == set()


def test_a_star_import_loads_neither_torch_nor_the_command_line() -> None:
    assert modules_after("from anam_py import *") & {"torch", "click", "rich"} == set()


def test_the_version_is_that_of_the_installed_distribution() -> None:
    assert anam_py.__version__ == version("anam_py")
