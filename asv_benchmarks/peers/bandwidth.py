"""How fast this machine reads memory: the limit of whoever reads every row."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

# Far more than any cache holds.
BYTES = 1 << 29


class Bandwidth:
    """A stream of float32 from memory, added up by a few lines of C; nothing where there is no C compiler.

    Parameters
    ----------
    folder : pathlib.Path
        Where to compile.
    """

    def __init__(self, folder: Path) -> None:
        self._stream = None
        compiler = shutil.which("cc")
        if compiler is None:
            return
        library = folder / "bandwidth.so"
        flags = ["-O3", "-march=native", "-ffast-math", "-funroll-loops", "-pthread", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", library, Path(__file__).with_suffix(".c")], check=True)
        self._stream = ctypes.CDLL(str(library)).peers_stream
        self._stream.restype = ctypes.c_double
        self._floats = np.ones(BYTES // 4, np.float32)

    def measure(self, threads: int) -> float | None:
        """Return gigabytes a second, by so many threads."""
        if self._stream is None:
            return None
        address, count = ctypes.c_void_p(self._floats.ctypes.data), ctypes.c_size_t(len(self._floats))
        seconds = self._stream(address, count, ctypes.c_int(threads), ctypes.byref(ctypes.c_float()))
        return BYTES / seconds / 1e9 if seconds > 0 else None
