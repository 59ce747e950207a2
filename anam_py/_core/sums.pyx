"""Sums of rows, each times a weight, and products of rows with a vector: in single precision, at the speed of memory.

The same bits for any number of threads, not on every CPU: the dot products are those of the scan's first pass (floats.h).
"""

from cython.parallel cimport prange
from libc.math cimport sqrtf

from anam_py._core.simd cimport SIMD


cdef void invert_norms(const float *rows, Py_ssize_t n, Py_ssize_t dimension, float *inverse) noexcept nogil:
    cdef Py_ssize_t row
    cdef float square
    for row in range(n):
        SIMD.dots(rows + row * dimension, 1, dimension, rows + row * dimension, &square)
        inverse[row] = 1 / sqrtf(square) if square > 0 else square


cdef void add_rows(const float *rows, const float *weights, Py_ssize_t n, Py_ssize_t dimension, float *total) noexcept nogil:
    """Add up to four rows, each times its weight: four at once, as a total is read and written for each."""
    cdef Py_ssize_t i, row
    cdef const float *second = rows + dimension
    cdef const float *third = second + dimension
    cdef const float *fourth = third + dimension
    if n == 4:
        for i in range(dimension):
            total[i] += (weights[0] * rows[i] + weights[1] * second[i]) + (weights[2] * third[i] + weights[3] * fourth[i])
    else:
        for row in range(n):
            for i in range(dimension):
                total[i] += weights[row] * rows[row * dimension + i]


def weighted_sums(const float[:, ::1] vectors, float[::1] weights, float[:, ::1] sums, bint unit, int threads):
    """Sum consecutive parts of the rows, of equal size but for the last, each row times its weight.

    Parameters
    ----------
    vectors : float32 memoryview of shape (n, D), n > 0
    weights : float32 memoryview of shape (n,)
    sums : float32 memoryview of shape (parts, D)
    unit : bool
        Whether to set the weights first, to the rows' inverse norms; 0 for one of zeros.
    threads : int

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    cdef Py_ssize_t n = vectors.shape[0], dimension = vectors.shape[1], parts = sums.shape[0]
    cdef Py_ssize_t part, row, last, some, size = (n + parts - 1) // parts
    if weights.shape[0] != n or sums.shape[1] != dimension:
        raise ValueError(f"{n} rows of dimension {dimension} do not fit {weights.shape[0]} weights, sums of {sums.shape[1]}")
    for part in prange(parts, schedule="dynamic", num_threads=threads, nogil=True):
        sums[part, :] = 0
        last = min(n, (part + 1) * size)
        row = part * size
        while row < last:
            some = min(last - row, 4)
            if unit:
                invert_norms(&vectors[row, 0], some, dimension, &weights[row])
            add_rows(&vectors[row, 0], &weights[row], some, dimension, &sums[part, 0])
            row = row + 4


def dots(const float[:, ::1] vectors, const float[::1] query, float[::1] out, int threads):
    """Multiply each row with a vector.

    Parameters
    ----------
    vectors : float32 memoryview of shape (n, D), n > 0
    query : float32 memoryview of shape (D,)
    out : float32 memoryview of shape (n,)
    threads : int

    Raises
    ------
    ValueError
        If the arrays do not fit each other.
    """
    cdef Py_ssize_t n = vectors.shape[0], dimension = vectors.shape[1], step = 256, i
    if query.shape[0] != dimension or out.shape[0] != n:
        raise ValueError(f"{n} rows of dimension {dimension} do not fit a vector of {query.shape[0]} and {out.shape[0]} products")
    for i in prange((n + step - 1) // step, schedule="dynamic", num_threads=threads, nogil=True):
        SIMD.dots(&vectors[i * step, 0], min(step, n - i * step), dimension, &query[0], &out[i * step])
