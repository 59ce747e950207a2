"""What is built for others has the model of the embedder in it."""

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["static.npz", "static.json"])
def test_wheels_and_sdists_are_told_to_have_the_model_in_them(name: str) -> None:
    assert (ROOT / "anam_py/embedding" / name).is_file()
    data = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["package-data"]["*"]
    assert any(fnmatch(name, pattern) for pattern in data)
    included = (ROOT / "MANIFEST.in").read_text(encoding="utf-8").split("recursive-include anam_py ")[1].split("\n")[0].split()
    assert any(fnmatch(name, pattern) for pattern in included)
