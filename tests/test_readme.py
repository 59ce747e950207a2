"""The README's Python runs as written."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent


def test_the_examples_of_the_readme_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    shutil.copytree(ROOT / "tests/reference/src", tmp_path / "src")
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(examples) == 3
    matrix = rng.standard_normal((3, 384), dtype=np.float32)
    names: dict[str, Any] = {"keys": ["a", "b", "c"], "matrix": matrix, "query": matrix[0]}
    for example in examples:
        exec(example, names)
    assert names["result"]["success"]
