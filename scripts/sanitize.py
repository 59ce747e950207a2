"""Test the compiled core with GCC's sanitizers watching it: what `make sanitize` runs.

Each run builds the core below ``build/sanitize-*``, where nothing else looks for it, and runs the core's tests and those of
the store under threads. Python and the libraries are not built with the sanitizers: of them is seen what they allocate, copy
and lock. A run fails when a test does, or when there is a report, of this process or of one that a test has started.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

LONGEST = 300  # seconds that one build, and the tests of one run, may take

CORE_AND_STORE = ("tests/core", "tests/store/test_threads.py")


class Run(NamedTuple):
    """A build of the core, and what to run with it."""

    sanitizer: str
    openmp: str
    runtime: str
    variable: str
    options: str
    tests: tuple[str, ...]

    @property
    def folder(self) -> Path:
        """Where setup.py builds."""
        return Path(f"build/sanitize-{self.sanitizer}{'-sequential' if self.openmp == '0' else ''}").resolve()

    @property
    def site(self) -> Path:
        """Where the package is installed."""
        return self.folder / "site"


ASAN_OPTIONS = (
    "detect_leaks=0:"  # Python does not free everything at its end
    "allocator_may_return_null=1:"  # and has an answer to a malloc that fails
    "detect_stack_use_after_return=0"  # GCC's frames for it are not aligned for AVX-512 (its bug 110027)
)
TSAN_OPTIONS = "history_size=4:atexit_sleep_ms=100"
RUNS = (
    Run("address", "1", "libasan.so", "ASAN_OPTIONS", ASAN_OPTIONS, CORE_AND_STORE),
    Run("undefined", "1", "libubsan.so", "UBSAN_OPTIONS", "print_stacktrace=1", CORE_AND_STORE),
    Run("thread", "1", "libtsan.so", "TSAN_OPTIONS", TSAN_OPTIONS, CORE_AND_STORE),
    # Python's threads alone, so that not everything rests on what tsan_openmp.h says of OpenMP.
    Run("thread", "0", "libtsan.so", "TSAN_OPTIONS", TSAN_OPTIONS, ("tests/core/test_concurrency.py",)),
)


def failed(command: list[str], environment: dict[str, str]) -> bool:
    """Run a command, and leave nothing of it running, however it ends."""
    process = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        return process.wait(LONGEST) != 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def build(run: Run) -> dict[str, str]:
    """Build and install the package for a run, and return the environment in which Python loads it and reports go to files."""
    environment = os.environ | {"ANAM_SANITIZE": run.sanitizer, "ANAM_OPENMP": run.openmp}
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-deps", "--upgrade"]
    if failed([*pip, "--target", str(run.site), "."], environment | {"PIP_BUILD_CONSTRAINT": "constraints.txt"}):
        sys.exit(f"{run.folder.name}: the core could not be built")
    # The sanitizer has to be there before anything is allocated: it is loaded first, the very one that the core is linked with.
    core = next(run.site.glob("anam_py/_core/scan.*.so"))
    linked = subprocess.run(["ldd", str(core)], capture_output=True, text=True, check=True).stdout  # noqa: S607
    library = re.search(rf"{re.escape(run.runtime)}\S* => (\S+)", linked)
    if library is None:
        sys.exit(f"{core} is not linked with {run.runtime}:\n{linked}")
    return environment | {
        "LD_PRELOAD": library[1],
        "OMP_NUM_THREADS": "4",  # also where there are fewer CPUs
        "OPENBLAS_NUM_THREADS": "1",  # what orders NumPy's own threads nobody sees
        "PYTHONMALLOC": "malloc",  # in the blocks of Python's own allocator nobody sees where an object ends
        "PYTHONPATH": str(run.site),
        run.variable: f"{run.options}:log_path={run.folder / 'report'}",
    }


def passes(run: Run) -> bool:
    """Build, test, and show what the sanitizer reports."""
    name = run.folder.name
    print(f"\n== {name}: {' '.join(run.tests)}", flush=True)
    start = time.monotonic()
    environment = build(run)
    built = time.monotonic()
    for report in run.folder.glob("report.*"):
        report.unlink()

    python = [sys.executable, "-P"]  # not the package in the current folder
    this_core = f"from anam_py._core import scan; assert scan.__file__.startswith({str(run.site)!r}), scan.__file__"
    pytest = [*python, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *run.tests]
    wrong = failed([*python, "-c", this_core], environment) or failed(pytest, environment)

    reports = sorted(run.folder.glob("report.*"))
    for report in reports:
        print(f"\n{report.name}:\n{report.read_text(errors='replace')}")
    took = f"{built - start:.0f} s to build, {time.monotonic() - built:.0f} s to run"
    print(f"{name}: {'FAILED' if wrong or reports else 'clean'}, {len(reports)} reports; {took}", flush=True)
    return not wrong and not reports


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # through `failed`, which ends what runs
    outcomes = [passes(run) for run in RUNS]
    sys.exit(not all(outcomes))
