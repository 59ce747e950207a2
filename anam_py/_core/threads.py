"""How many threads kernels use."""

import os

from anam_py._core.loading import scan as _scan

# Waking a thread costs about as much as reading this many bytes.
_BYTES_PER_THREAD = 8 * 2**20

_forked = False


def _after_fork_in_child() -> None:
    global _forked  # noqa: PLW0603  one fact about the process
    _forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def effective_threads(requested: int) -> int:
    """Give the number of threads that kernels use when asked for some.

    Parameters
    ----------
    requested : int

    Returns
    -------
    int
        At least 1; at most `requested`, OMP_NUM_THREADS, and the CPUs of this process. 1 without OpenMP, inside a
        parallel region, and in a forked child: GNU's OpenMP would wait there for threads that the fork has not copied.
    """
    return 1 if _forked else _scan.effective_threads(requested)


def threads_for(n_bytes: float, threads: int) -> int:
    """Give the number of threads that `n_bytes` of rows are worth."""
    return max(1, min(effective_threads(threads), int(n_bytes // _BYTES_PER_THREAD)))
