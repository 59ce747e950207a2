"""Build the compiled core: its extensions, and the flags that this compiler proves to understand.

Environment:
    ANAM_OPENMP=0|1        forbid or require OpenMP; unset, its absence is a warning and a sequential build
    ANAM_CYTHON_DEBUG=1    check bounds and initialisation in the compiled code
    ANAM_SANITIZE=address|undefined|thread
                           have GCC's sanitizers watch the compiled code, which then loads only after their libraries, and
                           build it below build/sanitize-*; scripts/sanitize.py does both
"""

import json
import os
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from typing import NamedTuple

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError, LinkError, SetupError

CORE = "anam_py/_core"
MODULES = ("checksum", "coding", "lstat", "resonance", "scan", "settle", "simd", "static", "sums", "tokens")
DEBUG = os.environ.get("ANAM_CYTHON_DEBUG", "0") == "1"
SANITIZE = os.environ.get("ANAM_SANITIZE", "")

DIRECTIVES = {
    "language_level": 3,
    "boundscheck": DEBUG,
    "initializedcheck": DEBUG,
    "wraparound": False,
    "cdivision": True,
}


class Flags(NamedTuple):
    """What to add to the command lines of the compiler and the linker."""

    compile: tuple[str, ...] = ()
    link: tuple[str, ...] = ()


# By compiler type, each added on its own if the compiler takes it. No -march=native: the instruction set is chosen
# when the program runs. No -ffast-math, and no contraction to FMA: answers are the same bits on every CPU.
OPTIMISATION = {
    "unix": (Flags(("-O3",)), Flags(("-ffp-contract=off",)), Flags(("-fopenmp-simd",))),
    "mingw32": (Flags(("-O3",)), Flags(("-ffp-contract=off",)), Flags(("-fopenmp-simd",))),
    "msvc": (Flags(("/O2",)), Flags(("/fp:precise",))),
}

# By compiler type, best first: the first that works is the one.
OPENMP = {
    "unix": (Flags(("-fopenmp",), ("-fopenmp",)),),
    "mingw32": (Flags(("-fopenmp",), ("-fopenmp",)),),
    "msvc": (Flags(("/openmp",)),),
}

# By ANAM_SANITIZE. With the -fwrapv of Python's own flags no signed overflow is reported, but not every compiler has that. What
# ThreadSanitizer has to be told about OpenMP stands in a header.
TSAN_OPENMP = "tests/sanitize/tsan_openmp.h"
WATCHED = ("-g", "-fno-omit-frame-pointer")
SANITIZERS = {
    "address": Flags(("-fsanitize=address", *WATCHED), ("-fsanitize=address",)),
    "undefined": Flags(
        ("-fsanitize=undefined", "-fno-sanitize-recover=undefined", "-fno-wrapv", *WATCHED), ("-fsanitize=undefined",)
    ),
    "thread": Flags(
        ("-fsanitize=thread", "-include", TSAN_OPENMP, *WATCHED),
        ("-fsanitize=thread", "-Wl,--wrap=GOMP_parallel,--wrap=GOMP_barrier"),
    ),
}

# Apple's clang has no OpenMP of its own. LLVM's may stand in CFLAGS and LDFLAGS, or where Homebrew (Arm, Intel) and MacPorts
# put it.
LIBOMP_FOLDERS = (
    ("/opt/homebrew/opt/libomp/lib", "/opt/homebrew/opt/libomp/include"),
    ("/usr/local/opt/libomp/lib", "/usr/local/opt/libomp/include"),
    ("/opt/local/lib/libomp", "/opt/local/include/libomp"),
)

TRIVIAL_PROGRAM = "int main(void) { return 0; }\n"
GCC_PROGRAM = """\
#ifdef __clang__
#error "its sanitizers want other options, other libraries and another OpenMP"
#endif
int main(void) { return 0; }
"""
OPENMP_PROGRAM = """\
#include <omp.h>
int main(void) {
    int n = 0;
    #pragma omp parallel reduction(+:n) num_threads(2)
    n += omp_get_max_threads() > 0;
    return n < 1;
}
"""


def macos_openmp():
    """List the candidates for a Mac: libomp where the compiler already looks, then in each folder that has it."""
    compile_args = ("-Xpreprocessor", "-fopenmp")
    candidates = [Flags(compile_args, ("-lomp",))]
    for lib, include in LIBOMP_FOLDERS:
        if Path(lib, "libomp.dylib").exists():
            candidates.append(Flags((*compile_args, f"-I{include}"), (f"-L{lib}", "-lomp", f"-Wl,-rpath,{lib}")))
    return candidates


class BuildCore(build_ext):
    """Build with the flags that a probe compiled, linked and ran."""

    def build_extensions(self):
        """Choose the flags, then build; all anew when the choice differs from that of the last build."""
        flags = [*self._optimisation(), *self._sanitizers(), *self._openmp()]
        compile_args = [argument for choice in flags for argument in choice.compile]
        link_args = [argument for choice in flags for argument in choice.link]
        for extension in self.extensions:
            extension.extra_compile_args += compile_args
            extension.extra_link_args += link_args
        self._force_if_changed([compile_args, link_args, DIRECTIVES])
        self.parallel = self.parallel or len(self.extensions)
        super().build_extensions()

    def _optimisation(self):
        return [choice for choice in OPTIMISATION.get(self.compiler.compiler_type, ()) if self._works(choice, TRIVIAL_PROGRAM)]

    def _sanitizers(self):
        if not SANITIZE:
            return []
        if SANITIZE not in SANITIZERS:
            raise SetupError(f"ANAM_SANITIZE is {SANITIZE!r}; it is one of {', '.join(map(repr, SANITIZERS))}, or not set")
        if not self._works(SANITIZERS[SANITIZE], GCC_PROGRAM):
            raise SetupError(f"ANAM_SANITIZE={SANITIZE} requires GCC with its sanitizers on Linux, but no program with them ran")
        return [SANITIZERS[SANITIZE]]

    def _openmp(self):
        wanted = os.environ.get("ANAM_OPENMP", "")
        if wanted not in {"", "0", "1"}:
            raise SetupError(f"ANAM_OPENMP is {wanted!r}; it forbids OpenMP with 0, requires it with 1, or is not set")
        if wanted == "0":
            return []
        candidates = OPENMP.get(self.compiler.compiler_type, ())
        if sys.platform == "darwin":
            candidates = [*candidates, *macos_openmp()]
        for choice in candidates:
            if self._works(choice, OPENMP_PROGRAM):
                return [choice]
        if wanted == "1":
            raise SetupError("ANAM_OPENMP=1 requires OpenMP, but no program that uses it could be compiled, linked and run")
        warnings.warn("no OpenMP found: the core is built for one thread (macOS: brew install libomp)", stacklevel=2)
        return []

    def _works(self, flags, program):
        """Say whether `program` can be compiled, linked and run with `flags`."""
        folder = Path(self.build_temp) / "probe"
        folder.mkdir(parents=True, exist_ok=True)
        source = folder / "probe.c"
        source.write_text(program)
        try:
            objects = self.compiler.compile([str(source)], output_dir=str(folder), extra_postargs=list(flags.compile))
            # Unlike the command that links extensions, distutils' command for programs leaves out LDFLAGS.
            ldflags = shlex.split(os.environ.get("LDFLAGS", ""))
            self.compiler.link_executable(objects, str(folder / "probe"), extra_postargs=[*ldflags, *flags.link])
        except (CompileError, LinkError):
            return False
        # A program for another machine cannot run here; that it links has to do.
        if "_PYTHON_HOST_PLATFORM" in os.environ or "PYTHON_CROSSENV" in os.environ:
            return True
        executable = self.compiler.executable_filename(str(folder.resolve() / "probe"))
        try:
            return subprocess.run([executable], timeout=60, check=False).returncode == 0
        except (OSError, subprocess.TimeoutExpired):
            return False

    def _force_if_changed(self, choice):
        """Rebuild all when flags changed: timestamps do not show it."""
        record = Path(self.build_temp) / "flags.json"
        text = json.dumps(choice)
        if not record.exists() or record.read_text() != text:
            self.force = True
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(text)


def build_base():
    """Give the folder to build in: with sanitizers one of their own, so that no other build takes their files for its own."""
    sequential = "-sequential" if os.environ.get("ANAM_OPENMP") == "0" else ""
    return f"build/sanitize-{SANITIZE}{sequential}" if SANITIZE else "build"


def extensions():
    """List the extension modules of the core."""
    return [
        Extension(
            f"{CORE}/{name}".replace("/", "."),
            [f"{CORE}/{name}.pyx"],
            include_dirs=[CORE],
            depends=[*map(str, Path(CORE).glob("*.h")), *([TSAN_OPENMP] if SANITIZE == "thread" else [])],
        )
        for name in MODULES
    ]


setup(
    ext_modules=cythonize(
        extensions(),
        build_dir="build/cython-debug" if DEBUG else "build/cython",
        compiler_directives=DIRECTIVES,
    ),
    cmdclass={"build_ext": BuildCore},
    options={"build": {"build_base": build_base()}},
)
