"""Resonance: the mean field of all rows, and the curve from a cosine to its resonance.

Both give the same bits on every CPU, for any order of rows and any number of threads.
"""

import numpy as np

from cython.parallel cimport parallel, prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcpy

from anam_py._core._fenv cimport enter_ieee, fenv_t, leave_ieee

# A component of a unit vector as an integer: 2**36 leaves room for the sum of 2**27 rows in 64 bits.
cdef double SCALE = 2.0 ** 36

# Adding 1.5 * 2**52 rounds a double to an integer, which then stands in its low bits; unlike a conversion to
# int64, every vector instruction set can do it.
cdef double ROUNDER = 1.5 * 2.0 ** 52


cdef inline int64_t bits(double value) noexcept nogil:
    cdef int64_t pattern
    memcpy(&pattern, &value, sizeof(pattern))
    return pattern


cdef void add_unit_range(
    const float *vectors, const double *norms, const uint8_t *alive, Py_ssize_t first, Py_ssize_t last,
    int64_t *total, Py_ssize_t dimension,
) noexcept nogil:
    cdef Py_ssize_t row, i
    cdef const float *vector
    cdef double factor, rounder = ROUNDER
    cdef int64_t zero = bits(rounder)
    cdef fenv_t caller = enter_ieee()
    for row in range(first, last):
        if norms[row] > 0 and (alive == NULL or alive[row]):
            vector = vectors + row * dimension
            factor = SCALE / norms[row]
            for i in range(dimension):
                total[i] += bits(vector[i] * factor + rounder) - zero
    leave_ieee(caller)


def add_unit_rows(
    const float[:, ::1] vectors, const double[::1] norms, const uint8_t[::1] alive, int64_t[:, ::1] totals, int threads
):
    """Add each living row, scaled to norm 2**36 and rounded to integers, to the totals of the thread that reads it.

    Parameters
    ----------
    vectors : float32 memoryview of shape (n, D), n > 0
    norms : float64 memoryview of shape (n,)
    alive : uint8 memoryview of shape (n,), or None
    totals : int64 memoryview of shape (threads, D)
    threads : int

    Raises
    ------
    ValueError
        If the parts do not fit each other.
    """
    cdef Py_ssize_t i, n = vectors.shape[0], step = 256
    cdef const uint8_t *living = NULL
    if vectors.shape[1] != totals.shape[1] or norms.shape[0] != n or not (alive is None or alive.shape[0] == n):
        raise ValueError(f"{n} rows of dimension {vectors.shape[1]} do not fit their norms or a total of {totals.shape[1]}")
    if alive is not None:
        living = &alive[0]
    with nogil, parallel(num_threads=threads):
        # Not static, as in scan.pyx; sums of integers do not depend on who adds what.
        for i in prange((n + step - 1) // step, schedule="dynamic"):
            add_unit_range(
                &vectors[0, 0], &norms[0], living, i * step, min((i + 1) * step, n), &totals[threadid(), 0], vectors.shape[1]
            )


def direction(const int64_t[::1] total, double n_rows, double vanishing):
    """Give the total of unit rows as a unit vector, or zero where their mean is no longer than `vanishing`.

    Parameters
    ----------
    total : int64 memoryview of shape (D,)
        What `add_unit_rows` has summed, over all threads.
    n_rows : float
        Number of rows summed.
    vanishing : float

    Returns
    -------
    float32 ndarray of shape (D,)
    """
    cdef Py_ssize_t i
    cdef double length = 0
    cdef float[::1] out
    result = np.zeros(total.shape[0], np.float32)
    out = result
    with nogil:
        for i in range(total.shape[0]):
            length += (total[i] / SCALE) ** 2
        length = sqrt(length)
        if length > n_rows * vanishing:
            for i in range(total.shape[0]):
                out[i] = <float> (total[i] / SCALE / length)
    return result


# sin(pi x) / x for |x| <= 1/2 as a polynomial in x**2: the Taylor series, whose next term is below 2**-53.
cdef double[11] SINE = [
    3.141592653589793, -5.16771278004997, 2.5501640398773455, -0.5992645293207921, 0.08214588661112823,
    -0.0073704309457143504, 0.00046630280576761255, -2.1915353447830217e-05, 7.952054001475513e-07,
    -2.2948428997269873e-08, 5.392664662608129e-10,
]


cdef inline double sine_pi(double x) noexcept nogil:
    """Give sin(pi x) for 0 <= x <= 1."""
    cdef double square, value
    cdef int i
    if x > 0.5:
        x = 1 - x
    square = x * x
    value = SINE[10]
    for i in range(9, -1, -1):
        value = value * square + SINE[i]
    return value * x


def resonances(const double[::1] cosines, double[::1] out):
    """Write clip(c (1 + 0.1 sin(pi c)), 0, 1) of each cosine c.

    Parameters
    ----------
    cosines : float64 memoryview of shape (n,)
    out : float64 memoryview of shape (n,)
    """
    cdef Py_ssize_t i
    cdef double cosine
    with nogil:
        for i in range(cosines.shape[0]):
            # A cosine below 0 has resonance 0, as its sine is above -1; one that rounding left above 1 counts as 1.
            cosine = min(max(cosines[i], 0.0), 1.0)
            out[i] = min(cosine * (1 + 0.1 * sine_pi(cosine)), 1.0)
