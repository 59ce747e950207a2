"""The compiled modules, loaded together: whoever needs one imports it from here."""

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def _patient_threads() -> Iterator[None]:
    """Load an OpenMP runtime whose threads sleep while they wait, unless the user has said how they should.

    GNU's spins by default, and where the kernel has put two threads on one CPU, the one that waits keeps the other from
    ending: two threads were slower than one (asv_benchmarks/peers/scan.py). It reads the variable when it is loaded, so
    other libraries' copies of it are not concerned.
    """
    if {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        yield
        return
    os.environ["OMP_WAIT_POLICY"] = "passive"
    try:
        yield
    finally:
        del os.environ["OMP_WAIT_POLICY"]


try:
    with _patient_threads():
        from anam_py._core import checksum, coding, lstat, resonance, scan, settle, simd, static, sums, tokens
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled core of anam_py is missing: install the package (pip install .), "
        "or in a checkout run python setup.py build_ext --inplace"
    ) from error

__all__ = ["checksum", "coding", "lstat", "resonance", "scan", "settle", "simd", "static", "sums", "tokens"]
