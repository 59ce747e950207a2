"""What a user may rely on of the build: OpenMP where there is one, and an honest word about it."""

import os
import subprocess
import sys

import pytest

import anam_py
from anam_py import _core, _versions


@pytest.mark.skipif(sys.platform != "linux", reason="only GCC and Clang on Linux always have OpenMP")
@pytest.mark.skipif(os.environ.get("ANAM_OPENMP") == "0", reason="built without OpenMP on purpose")
def test_the_core_has_openmp_on_linux() -> None:
    assert _core.OPENMP is True


def test_a_core_that_is_not_built_says_how_to_build_it() -> None:
    program = "import sys; sys.modules['anam_py._core.scan'] = None; import anam_py._core"
    result = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: the compiled core of anam_py is missing: install the package (pip install .)" in result.stderr


def test_threads_are_bounded_by_the_request_and_by_openmp() -> None:
    program = "from anam_py import _core; print([_core.effective_threads(n) for n in (-1, 0, 1, 2, 99)])"
    result = subprocess.run(
        [sys.executable, "-P", "-c", program],
        env=os.environ | {"OMP_NUM_THREADS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == ("[1, 1, 1, 2, 3]" if _core.OPENMP else "[1, 1, 1, 1, 1]")


def test_show_versions_tells_how_the_core_was_built(capsys: pytest.CaptureFixture[str]) -> None:
    anam_py.show_versions()
    shown = capsys.readouterr().out
    for name, value in _versions.versions().items():
        assert name in shown
        assert value in shown


def test_show_versions_loads_neither_h5py_nor_torch() -> None:
    program = "import sys, anam_py; anam_py.show_versions(); assert not {'h5py', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-P", "-c", program], check=True, stdout=subprocess.DEVNULL)
