"""What a user may rely on across machines: neither instruction set, threads nor the thread's arithmetic change a bit."""

import ctypes
import os
import pickle
import platform
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from coded import coded, some_plans

from anam_py import _core

# Prints a digest of every kernel's answers on data that has ties, near ties, extreme scales and odd dimensions.
FINGERPRINT = """
import hashlib
import numpy as np
from anam_py import _core

_core.threads._BYTES_PER_THREAD = 1
rng = np.random.default_rng(1)
digest = hashlib.sha256()
for dimension in (1, 3, 8, 31, 100, 768):
    query = rng.standard_normal(dimension, dtype=np.float32)
    vectors = rng.standard_normal((1500, dimension), dtype=np.float32)
    vectors[500:700] = query * (1 + 1e-7 * rng.standard_normal((200, dimension)))
    vectors[700:800] = vectors[0]
    vectors[800:1000] *= (10.0 ** rng.uniform(-43, 37, (200, 1))).astype(np.float32)
    vectors[~vectors.any(axis=1)] = 1e-44
    blocks = [_core.Rows(part, _core.norms(part)) for part in np.split(vectors, [400, 401, 1200])]
    for found in (_core.top_k(blocks, query, k, threads=5) for k in (1, 50, 1100, 5000)):
        digest.update(b"".join(part.tobytes() for part in found))
    digest.update(_core.norms(vectors).tobytes() + _core.scores(vectors, query).tobytes())
    digest.update(_core.mean_field(blocks, threads=5).tobytes())
    digest.update(_core.resonance(_core.scores(vectors, query)).tobytes())
    digest.update(_core.hash_tokens(["loadFile utf8 naïve " * n for n in range(50)], dimension, threads=5).tobytes())
print(_core.simd_level(), digest.hexdigest())
"""

# Prints a digest of all bounds of rows with the codes it is given; another of the answers by these and by codes of its own.
CODED_FINGERPRINT = f"""
import hashlib, pickle, sys
from pathlib import Path
import numpy as np
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from anam_py import _core
from coded import bounds_of, coded

_core.threads._BYTES_PER_THREAD = 1
_core.search._FEW_ROWS = 0
bounds, answers = hashlib.sha256(), hashlib.sha256()
for blocks, queries in pickle.loads(Path(sys.argv[1]).read_bytes()):
    for n in (1, 3, 4, 9):
        for threshold in (-np.inf, 0.3):
            bounds.update(bounds_of(blocks, queries[:n], threshold).tobytes())
    told = []
    for some in (blocks, [coded(rows.codes.plan, rows.vectors, rows.alive, threads=5) for rows in blocks]):
        for n, k, least in ((1, 10, -np.inf), (9, 3, -np.inf), (9, 500, 0.3)):
            for found in _core.top_k_many(some, queries[:n], k, least, threads=5):
                answers.update(b"".join(part.tobytes() for part in found))
    _core.top_k_many(blocks, queries, 5, threads=1, levels=told)
    bounds.update(repr([(of_query.bounded, of_query.scored) for of_query in told]).encode())
print(_core.simd_level(), bounds.hexdigest(), answers.hexdigest())
"""


def run(program: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-P", "-c", program, *arguments],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_instruction_sets_and_threads_change_no_bit_of_any_answer() -> None:
    digests = set()
    for level in _core.simd_levels():
        for threads in ("1", "5"):
            result = run(FINGERPRINT, ANAM_SIMD=level, OMP_NUM_THREADS=threads)
            assert result.returncode == 0, result.stderr
            used, digest = result.stdout.split()
            assert used == level
            digests.add(digest)
    assert len(digests) == 1


def test_instruction_sets_agree_on_the_bounds_of_codes_whoever_made_them(rng: np.random.Generator, tmp_path: Path) -> None:
    cases = []
    for dimension in (1, 8, 31, 100, 300):
        vectors = rng.standard_normal((1100, dimension), dtype=np.float32)
        vectors[500:600] = vectors[0] * (1 + 1e-7 * rng.standard_normal((100, dimension)))
        vectors[600:700] = np.sign(vectors[:100])
        vectors[700:800] *= (10.0 ** rng.uniform(-30, 30, (100, 1))).astype(np.float32)
        alive = (rng.random(1100) < 0.7).astype(np.uint8)
        for plan in some_plans(rng, dimension):
            blocks = [coded(plan, vectors[:401]), coded(plan, vectors[401:], alive[401:])]
            cases.append((blocks, np.concatenate([vectors[[0, 3, 605]], rng.standard_normal((6, dimension), dtype=np.float32)])))
    (tmp_path / "cases").write_bytes(pickle.dumps(cases))
    digests = set()
    for level in _core.simd_levels():
        for threads in ("1", "5"):
            result = run(CODED_FINGERPRINT, str(tmp_path / "cases"), ANAM_SIMD=level, OMP_NUM_THREADS=threads)
            assert result.returncode == 0, result.stderr
            used, *found = result.stdout.split()
            assert used == level
            digests.add(tuple(found))
    assert len(digests) == 1


def test_the_best_instruction_set_is_used_unless_another_is_asked_for() -> None:
    assert _core.simd_levels()[-1] == "portable"
    assert run("from anam_py import _core; print(_core.simd_level())", ANAM_SIMD="").stdout.strip() == _core.simd_levels()[0]


@pytest.mark.parametrize("name", ["sse9", "AVX2", " "])
def test_an_instruction_set_that_is_not_there_is_a_clear_error(name: str) -> None:
    result = run("import anam_py._core", ANAM_SIMD=name)
    assert result.returncode != 0
    assert f"ImportError: ANAM_SIMD is {name!r}; this CPU and build have: {', '.join(_core.simd_levels())}" in result.stderr


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="the system does not list what its CPU can do")
def test_the_instruction_sets_that_the_system_reports_are_found() -> None:
    flags = Path("/proc/cpuinfo").read_text().split()
    assert ("avx2" in _core.simd_levels()) == ("avx2" in flags and "fma" in flags)


@pytest.fixture
def libm() -> ctypes.CDLL:
    """Return the C library's mathematics."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("knows the floating-point environment of glibc on x86-64 only")
    return ctypes.CDLL("libm.so.6")


def test_threads_that_take_denormals_for_zero_get_the_same_answers(libm: ctypes.CDLL) -> None:
    vectors = (np.random.default_rng(0).standard_normal((100, 20)) * 1e-41).astype(np.float32)
    rows = _core.Rows(vectors, _core.norms(vectors))
    expected = _core.top_k([rows], vectors[0], 10, threads=1)
    found: list[object] = []

    def flushing() -> None:
        environment = (ctypes.c_uint8 * 32)()
        libm.fegetenv(environment)
        mxcsr = ctypes.c_uint32.from_buffer(environment, 28)
        mxcsr.value |= 0x8040
        libm.fesetenv(environment)
        found.append((vectors * np.float32(1)).any())
        found.append(_core.norms(vectors).tobytes() == rows.norms.tobytes())
        found.append([part.tobytes() for part in _core.top_k([rows], vectors[0], 10, threads=1)])
        found.append(_core.mean_field([rows], threads=1).tobytes())
        found.append((vectors * np.float32(1)).any())

    thread = threading.Thread(target=flushing)
    thread.start()
    thread.join()
    field = _core.mean_field([rows], threads=1).tobytes()
    assert found == [False, True, [part.tobytes() for part in expected], field, False]
