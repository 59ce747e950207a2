"""How this installation was built and what it runs on, for bug reports."""

import importlib.metadata
import platform
import sqlite3
import sys

import anam_py
from anam_py import _core, config


def versions() -> dict[str, str]:
    """Give the versions and choices that an answer or its speed may depend on.

    Returns
    -------
    dict of str to str
        By name, in the order in which `show_versions` prints them.
    """
    return {
        "anam_py": anam_py.__version__,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "numpy": _version_of("numpy"),
        "h5py": _version_of("h5py"),
        "torch": _version_of("torch"),
        "sqlite": sqlite3.sqlite_version,
        "openmp": "yes" if _core.OPENMP else "no: kernels use one thread",
        "instruction set": f"{_core.simd_level()} (of {', '.join(_core.simd_levels())})",
        "threads": str(_core.effective_threads(config.current().thread_pool_size)),
    }


def show_versions() -> None:
    """Print the versions and choices that an answer or its speed may depend on."""
    shown = versions()
    width = max(map(len, shown))
    for name, value in shown.items():
        sys.stdout.write(f"{name:>{width}}: {value}\n")


def _version_of(distribution: str) -> str:
    """Give the version of an installed distribution without importing it."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"
