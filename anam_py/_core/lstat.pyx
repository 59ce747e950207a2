"""The status of many files, without the interpreter's lock: what else runs is not kept waiting, and does not keep it waiting."""

from libc.stdint cimport int64_t

cdef extern from "lstat.h" nogil:
    void anam_lstat(const char *path, int64_t *out) noexcept


def lstat_many(bytes paths, int64_t[:, ::1] out):
    """Look at files by their paths, and write mode, size and times of each.

    Parameters
    ----------
    paths : bytes
        As many paths as `out` has rows, each ended by a NUL.
    out : int64 memoryview of shape (n, 4)

    Raises
    ------
    ValueError
        If there are fewer paths.
    """
    cdef const char *path = paths
    cdef const char *end = path + len(paths)
    cdef Py_ssize_t i, n = out.shape[0]
    if paths.count(b"\0") < n or out.shape[1] != 4:
        raise ValueError(f"{paths.count(b'\0')} paths do not fill an array of shape ({n}, {out.shape[1]})")
    with nogil:
        for i in range(n):
            anam_lstat(path, &out[i, 0])
            while path < end and path[0] != 0:
                path += 1
            path += 1
