"""What a user may rely on of each instruction set: it computes what portable C does, also those that this CPU does not have."""

import os
import platform
import re
import shlex
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from anam_py import _core

SOURCE = Path(__file__).parent / "levels" / "levels.c"
HEADERS = Path(__file__).parents[2] / "anam_py" / "_core"
# As setup.py builds the core.
FLAGS = ("-O3", "-ffp-contract=off", "-fopenmp-simd")

NATIVE = tuple(shlex.split(sysconfig.get_config_var("CC") or "cc"))
CROSS = ("aarch64-linux-gnu-gcc", "-static")
EMULATOR = "qemu-aarch64"
# The sanitizer that watches the core (scripts/sanitize.py) watches the program too, but neither the compiler nor the emulator.
SANITIZE = os.environ.get("ANAM_SANITIZE", "")
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}


def run(*command: str | Path) -> str:
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False)
    assert result.returncode == 0, f"{shlex.join(map(str, command))}: {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout


def compiled(compiler: tuple[str, ...], folder: Path, *options: str) -> Path:
    program = folder / "levels"
    run(*compiler, *FLAGS, *options, f"-I{HEADERS}", SOURCE, "-o", program, "-lm")
    return program


def compared(said: str) -> tuple[str, ...]:
    """Return the names of the instruction sets that a program found to compute the same."""
    return tuple(re.findall(r"^(\w+) ok [1-9]\d{5,} comparisons$", said, re.MULTILINE))


@pytest.fixture(scope="module")
def native() -> tuple[str, ...]:
    """Return the command of the compiler that Python was built with."""
    if shutil.which(NATIVE[0]) is None:
        pytest.skip(f"there is no {NATIVE[0]} to compile with")
    return NATIVE


@pytest.fixture(scope="module")
def arm_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a program for 64-bit Arm, which an emulator runs; ANAM_TEST_NEON=1 says that both have to be here."""
    missing = [program for program in (CROSS[0], EMULATOR) if shutil.which(program) is None]
    if missing:
        reason = f"no {' and no '.join(missing)} (Debian: qemu-user, gcc-aarch64-linux-gnu and libc6-dev-arm64-cross)"
        assert os.environ.get("ANAM_TEST_NEON") != "1", reason
        pytest.skip(reason)
    return compiled(CROSS, tmp_path_factory.mktemp("arm"))


def test_every_instruction_set_of_this_cpu_computes_what_portable_c_does(native: tuple[str, ...], tmp_path: Path) -> None:
    options = (f"-fsanitize={SANITIZE}", "-fno-sanitize-recover=undefined") if SANITIZE else ()
    assert compared(run(compiled(native, tmp_path, *options))) == _core.simd_levels()


def test_neon_computes_what_portable_c_does(arm_program: Path) -> None:
    assert compared(run(EMULATOR, "-cpu", "max", arm_program)) == ("neon", "portable")


def test_an_arm_without_dot_products_gets_portable_c(arm_program: Path) -> None:
    said = run(EMULATOR, "-cpu", "cortex-a53", arm_program)
    assert "neon not on this CPU\n" in said
    assert compared(said) == ("portable",)


def test_a_build_for_one_arm_cpu_has_neon_too(arm_program: Path, tmp_path: Path) -> None:
    program = compiled(CROSS, tmp_path, "-mcpu=neoverse-n1")
    assert compared(run(EMULATOR, "-cpu", "neoverse-n1", program)) == ("neon", "portable")


# More than the architecture that the kernels name, and less with another extension, do not keep them from being compiled.
@pytest.mark.parametrize("kind", ["-march=armv8.4-a", "-march=armv8-a+crypto", "-march=armv8.2-a+sve"])
def test_a_build_for_one_kind_of_arm_has_neon_too(arm_program: Path, tmp_path: Path, kind: str) -> None:
    listing = tmp_path / "levels.s"
    run(*CROSS, *FLAGS, "-O0", kind, "-S", f"-I{HEADERS}", SOURCE, "-o", listing)
    assert re.search(r"\ssdot\s", listing.read_text())


@pytest.mark.skipif((platform.system(), platform.machine()) != ("Linux", "x86_64"), reason="reads GNU listings for x86-64")
def test_avx_vnni_is_used_in_the_encoding_of_cpus_without_avx512(native: tuple[str, ...], tmp_path: Path) -> None:
    listing = tmp_path / "levels.s"
    run(*native, *FLAGS, "-S", f"-I{HEADERS}", SOURCE, "-o", listing)
    functions = re.findall(r"^(anam_avxvnni_\w+):$(.*?)^\s*\.size\s+\1\b", listing.read_text(), re.MULTILINE | re.DOTALL)
    if not functions:
        pytest.skip("this compiler does not know AVX-VNNI")
    lines = [line for _, body in functions for line in body.splitlines()]
    products = [line for line in lines if "vpdpbusd" in line]
    assert products
    assert all("{vex}" in line for line in products)
    assert not [line for line in lines if re.search(r"%zmm|%k[0-7]|%ymm(1[6-9]|2\d|3[01])", line)]


@pytest.mark.skipif("avx512vnni" not in _core.simd_levels(), reason="this CPU does not have the instruction in either encoding")
def test_avx_vnni_computes_what_portable_c_does_with_the_instruction_in_its_other_encoding(
    native: tuple[str, ...], tmp_path: Path
) -> None:
    said = run(compiled(native, tmp_path, "-DANAM_TEST_EVEX"))
    if "avxvnni" not in said:
        pytest.skip("this compiler does not know AVX-VNNI")
    assert compared(said) == ("avx512vnni", "avxvnni", "avx2", "portable")
