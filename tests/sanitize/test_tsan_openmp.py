"""What `make sanitize` may rely on: ThreadSanitizer reports races between OpenMP's threads, and only races."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path

import pytest

HEADER = Path(__file__).with_name("tsan_openmp.h")
COMPILER = [*shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"), "-g", "-fopenmp", "-fsanitize=thread"]
WITH_HEADER = ["-include", str(HEADER), "-Wl,--wrap=GOMP_parallel,--wrap=GOMP_barrier"]

PROGRAM = """
#include <omp.h>
#if defined(__clang__)
#error "GCC only"
#endif

int main(void)
{
    int value = 0, part[2] = {0};
    for (int round = 0; round < 20; round++) {
        value++;
        #pragma omp parallel num_threads(2)
        {
            int self = omp_get_thread_num();
            BODY
        }
        value = part[0] + part[1];
    }
    return 0;
}
"""


def reports(folder: Path, body: str, *flags: str) -> bool:
    """Return whether ThreadSanitizer reports a race in a parallel region."""
    source, program = folder / "program.c", folder / "program"
    source.write_text(PROGRAM.replace("BODY", body))
    subprocess.run([*COMPILER, *flags, str(source), "-o", str(program)], check=True, capture_output=True)
    result = subprocess.run(
        [str(program)],
        env=os.environ | {"TSAN_OPTIONS": "atexit_sleep_ms=0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ("data race" in result.stderr) == (result.returncode != 0), result.stderr
    return result.returncode != 0


@pytest.fixture(autouse=True)
def _needs_gcc(tmp_path: Path) -> None:
    try:
        reports(tmp_path, "part[self] = value;")
    except (OSError, subprocess.CalledProcessError, AssertionError):
        pytest.skip("no GCC with OpenMP and ThreadSanitizer")


@pytest.mark.parametrize(
    "body",
    [
        "part[self] = value;",
        'part[self] = value; _Pragma("omp barrier") int other = part[!self]; _Pragma("omp barrier") part[self] = other;',
    ],
    ids=["starts and ends of regions", "barriers"],
)
def test_what_openmp_orders_is_no_race(tmp_path: Path, body: str) -> None:
    assert not reports(tmp_path, body, *WITH_HEADER)


@pytest.mark.parametrize(
    "body",
    [
        "part[0] += self;",
        "part[self] = value; part[!self]++;",
        'part[self] = value; _Pragma("omp barrier") part[self] = part[!self];',
    ],
    ids=["one place", "a missing barrier", "a second barrier is missing"],
)
def test_what_openmp_leaves_unordered_is_a_race(tmp_path: Path, body: str) -> None:
    assert reports(tmp_path, body, *WITH_HEADER)
