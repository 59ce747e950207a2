"""Fetching the packages that the model is trained on: exactly those that packages.tsv pins, as their authors published them."""

import csv
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

__all__ = ["Package", "download", "packages"]

_LIST = Path(__file__).with_name("packages.tsv")
_AT_ONCE = 4


class Package(NamedTuple):
    """A row of packages.tsv: what to fetch, its licence, and whether it is to "train", "validate" or "test"."""

    name: str
    version: str
    licence: str
    split: str

    @property
    def pin(self) -> str:
        """What pip is asked for."""
        return f"{self.name}=={self.version}"


def packages() -> list[Package]:
    """Return the rows of packages.tsv."""
    with _LIST.open(encoding="utf-8", newline="") as file:
        return [Package(**row) for row in csv.DictReader(file, delimiter="\t")]


def download(folder: Path, split: str | None = None) -> dict[Package, Path]:
    """Fetch the wheel of each package that the folder does not have yet.

    Parameters
    ----------
    folder : Path
    split : str, optional
        The only split to fetch.

    Returns
    -------
    dict of Package to Path
        Where each wheel is.
    """
    wanted = [package for package in packages() if split in (None, package.split)]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        wheels = pool.map(lambda package: _wheel(folder / package.pin, package), wanted)
        return dict(zip(wanted, wheels, strict=True))


def _wheel(folder: Path, package: Package) -> Path:
    """Return the only wheel in a folder of its own; only wheels, since reading an sdist's version would run its code."""
    if not list(folder.glob("*.whl")):
        options = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, package.pin], check=True)
    return next(folder.glob("*.whl"))
