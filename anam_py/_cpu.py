"""How many CPUs this process may use."""

import os
from pathlib import Path, PurePosixPath

__all__ = ["available_cpus"]


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of CPUs that the scheduler gives to this process.

    Parameters
    ----------
    root : Path
        Where ``proc`` and ``sys`` are mounted.

    Returns
    -------
    int
        At least 1: the CPUs of the affinity mask, bounded by the CPU quota of the control group (a container's limit).
    """
    try:
        allowed = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        allowed = os.cpu_count() or 1
    quotas = [-(-quota // period) for quota, period in _cgroup_quotas(root)]
    return max(1, min([allowed, *quotas]))


def _cgroup_quotas(root: Path) -> list[tuple[int, int]]:
    """Return (quota, period) in microseconds of each control group that bounds this process, in versions 1 and 2."""
    quotas = []
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / controllers
        path = PurePosixPath(name.lstrip("/"))
        for group in (path, *path.parents):
            if controllers:
                words = [_read(mount / group / f"cpu.cfs_{what}_us").strip() for what in ("quota", "period")]
            else:
                words = _read(mount / group / "cpu.max").split()
            if len(words) == 2 and all(word.isdecimal() and int(word) > 0 for word in words):
                quotas.append((int(words[0]), int(words[1])))
    return quotas


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
