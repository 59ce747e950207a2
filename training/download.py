"""Fetching the packages that the model is trained on: exactly those that packages.tsv pins, as their authors published them."""

import csv
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

__all__ = ["Package", "download", "download_others", "packages"]

_LIST = Path(__file__).with_name("packages.tsv")
_AT_ONCE = 4
# The build backends of those sdists, as pyproject.toml names them.
_BACKENDS = ("hatchling.build", "maturin", "mesonpy", "setuptools.build_meta")


class Package(NamedTuple):
    """A row of packages.tsv: what to fetch, its licence, and whether it is to "train", "validate" or "test".

    `others` says the same of its sources in other languages than Python, which its sdist holds; empty where there are none
    worth the download.
    """

    name: str
    version: str
    licence: str
    split: str
    others: str

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


def download_others(folder: Path, split: str | None = None) -> dict[Package, Path]:
    """Fetch the sdist of each package whose sources in other languages are wanted, as `download` does wheels.

    pip asks an sdist's build backend for its metadata. Here `backend.py` is what it finds under the backend's name, so that
    nothing of the sdist is run.
    """
    wanted = [package for package in packages() if package.others and split in (None, package.others)]
    with TemporaryDirectory() as backends, ThreadPoolExecutor(_AT_ONCE) as pool:
        for name in _BACKENDS:
            module = Path(backends, *name.split(".")).with_suffix(".py")
            module.parent.mkdir(exist_ok=True)
            (module.parent / "__init__.py").touch()  # without it, an installed package of that name would come first
            shutil.copy(Path(__file__).with_name("backend.py"), module)
        sdists = pool.map(lambda package: _sdist(folder / package.pin, package, backends), wanted)
        return dict(zip(wanted, sdists, strict=True))


def _sdist(folder: Path, package: Package, backends: str) -> Path:
    if not list(folder.glob("*.tar.gz")):
        options = ["--no-deps", "--no-binary=:all:", "--no-build-isolation", "--quiet", "--dest", str(folder)]
        command = [sys.executable, "-m", "pip", "download", *options, package.pin]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": backends})
    return next(folder.glob("*.tar.gz"))


def _wheel(folder: Path, package: Package) -> Path:
    """Return the only wheel in a folder of its own; only wheels, since reading an sdist's version would run its code."""
    if not list(folder.glob("*.whl")):
        options = ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder)]
        subprocess.run([sys.executable, "-m", "pip", "download", *options, package.pin], check=True)
    return next(folder.glob("*.whl"))
