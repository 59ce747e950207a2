"""What anam_py.kernels gives before torch is imported, and where it cannot be."""

import subprocess
import sys

import pytest

import anam_py.kernels

WITHOUT_TORCH = "import sys; sys.modules['torch'] = None\n"


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_kernels_and_using_the_gate_does_not_import_torch() -> None:
    code = """
import sys, anam_py.kernels
from anam_py.kernels import EthicalGate, ResonanceScore, calculate_resonance_score, validate_nam_compliance
dir(anam_py.kernels)
print(EthicalGate().validate([0.1, 0.2, -0.05, 0.15])[0], validate_nam_compliance(0.5, 0.3), "torch" in sys.modules)
"""
    assert run(code) == "True True False"


def test_without_torch_what_needs_it_says_how_to_get_it_and_the_rest_works() -> None:
    code = """
from anam_py.kernels import EthicalGate, ResonanceScore, calculate_resonance_score, validate_nam_compliance
print(EthicalGate().validate([1.0, 0.0]), validate_nam_compliance(0.5, 0.3))
try:
    calculate_resonance_score([1.0, 2.0])
except ImportError as error:
    print(error)
for name in ("ResonanceKernel", "HarmonicKernel"):
    try:
        exec(f"from anam_py.kernels import {name}")
    except ImportError as error:
        print(error)
"""
    first, *errors = run(WITHOUT_TORCH + code).splitlines()
    assert first == "(False, 1.0) True"
    assert len(errors) == 3
    assert all(error.endswith('pip install "anam_py[torch]"') for error in errors)


def test_the_kernels_are_listed_and_an_unknown_name_is_an_attribute_error() -> None:
    assert set(anam_py.kernels.__all__) <= set(dir(anam_py.kernels))
    with pytest.raises(AttributeError, match="has no attribute 'Kernel'"):
        anam_py.kernels.Kernel  # noqa: B018
