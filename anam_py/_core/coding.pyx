"""Rows and queries as codes, with the bounds of what the codes leave out (panels.h, docs/explanation/exactness.md)."""

from cython.parallel cimport parallel, prange, threadid
from libc.math cimport INFINITY, fabs, nextafterf, rint, sqrt
from libc.stdint cimport int8_t, int32_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset

from anam_py._core._fenv cimport enter_ieee, fenv_t, leave_ieee
from anam_py._core.simd cimport ANAM_PANEL_ROWS, SIMD, anam_sketch

# More than what computing a norm of at most 2 in double precision can be wrong by.
cdef double NORM_SLACK = 2.0 ** -22
# For each coordinate, more than the sums can be wrong by, relatively, whose quotient is the scale of a row's code.
cdef double SCALE_SLACK = 2.0 ** -22
# Smaller coordinates of a query, whose norm is 1, are not coded.
cdef double LEAST_CODED = 2.0 ** -100


cdef inline float above(double value) noexcept nogil:
    """Round up to single precision."""
    cdef float rounded = <float> value
    return nextafterf(rounded, INFINITY) if rounded < value else rounded


# ---- rows ----

cdef void pack_group(const uint8_t *codes, Py_ssize_t width, int bits, Py_ssize_t group, uint8_t *out) noexcept nogil:
    """Write one group of sixteen rows' codes, four bytes of a row at a time."""
    cdef Py_ssize_t j, part
    cdef const uint8_t *code
    cdef uint32_t four[4]
    cdef uint32_t packed
    for j in range(ANAM_PANEL_ROWS):
        code = codes + j * width + group * (8 if bits == 4 else 16)
        memcpy(four, code, 8 if bits == 4 else 16)
        packed = (four[0] & 0x0F0F0F0F) | (four[1] & 0x0F0F0F0F) << 4
        memcpy(out + 4 * j, &packed, 4)
        if bits == 6:
            packed = (four[2] & 0x0F0F0F0F) | (four[3] & 0x0F0F0F0F) << 4
            memcpy(out + 64 + 4 * j, &packed, 4)
            packed = 0
            for part in range(4):
                packed |= (four[part] >> 4 & 0x03030303) << (2 * part)
            memcpy(out + 128 + 4 * j, &packed, 4)


cdef void pack_panel(
    const float *values, const uint8_t *sound, Py_ssize_t n_rows, Py_ssize_t width, Py_ssize_t padded, int bits,
    Py_ssize_t early, bint rotated, double error, double defect, uint8_t *codes, uint8_t *out,
) noexcept nogil:
    cdef Py_ssize_t j, group, n_groups = padded // (8 if bits == 4 else 16)
    cdef Py_ssize_t group_bytes = 64 if bits == 4 else 192
    cdef int zero = 1 << (bits - 1)
    cdef float *scale = <float *> (out + n_groups * group_bytes)
    cdef float *residual = scale + ANAM_PANEL_ROWS
    cdef float *rest = residual + ANAM_PANEL_ROWS
    cdef double norm, left_out, later, known
    cdef fenv_t caller = enter_ieee()
    memset(codes, zero, ANAM_PANEL_ROWS * padded)
    for j in range(ANAM_PANEL_ROWS):
        scale[j] = rest[j] = 0.0
        if j >= n_rows:
            residual[j] = -INFINITY
        elif not sound[j]:
            residual[j] = INFINITY
        else:
            scale[j] = SIMD.quantise(values + j * width, width, bits, codes + j * padded)
            SIMD.residual(values + j * width, codes + j * padded, width, zero, scale[j], early, &norm, &left_out, &later)
            residual[j] = above(sqrt(left_out) + error + NORM_SLACK)
            if rotated:
                known = max(0.0, sqrt(norm) - error - NORM_SLACK)
                rest[j] = above(sqrt(max(0.0, 1.0 - known * known / (1.0 + defect))) + NORM_SLACK)
            elif early < width:
                rest[j] = above(sqrt(later) + NORM_SLACK)
    leave_ieee(caller)
    for group in range(n_groups):
        pack_group(codes, padded, bits, group, out + group * group_bytes)


def pack(
    const float[:, ::1] values, const uint8_t[::1] sound, int bits, Py_ssize_t early, bint rotated, double error, double defect,
    uint8_t[:, ::1] panels, int threads,
):
    """Write rows to panels.

    Parameters
    ----------
    values : float32 memoryview of shape (n, width), n > 0
        The coordinates to code.
    sound : uint8 memoryview of shape (n,)
        0 for a row whose values mean nothing: it is given no bound.
    bits : {4, 6}
    early : int
        Coordinates of the early groups, a multiple of those of a group; `width` if there are none.
    rotated : bool
        Whether `values` are those of a rotation, beyond which there is a rest.
    error : float
        A bound of the norm of the error in each row's values.
    defect : float
        How far the rotation is from orthonormal.
    panels : uint8 memoryview of shape (ceil(n / 16), stride)
    threads : int
    """
    cdef Py_ssize_t i, first, n = values.shape[0], width = values.shape[1]
    cdef Py_ssize_t group_width = 8 if bits == 4 else 16
    cdef Py_ssize_t padded = (width + group_width - 1) // group_width * group_width
    cdef uint8_t *codes = <uint8_t *> malloc(threads * ANAM_PANEL_ROWS * padded)
    if codes == NULL:
        raise MemoryError
    with nogil, parallel(num_threads=threads):
        for i in prange(panels.shape[0], schedule="static"):
            first = i * ANAM_PANEL_ROWS
            pack_panel(
                &values[first, 0], &sound[first], min(ANAM_PANEL_ROWS, n - first), width, padded, bits, early, rotated,
                error, defect, codes + threadid() * ANAM_PANEL_ROWS * padded, &panels[i, 0],
            )
    free(codes)


cdef void detail_row(
    const float *values, bint sound, Py_ssize_t width, double error, uint8_t *codes, int8_t *out, float *factors,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double norm, left_out, later
    factors[0] = 0.0
    factors[1] = INFINITY
    if sound:
        factors[0] = SIMD.quantise(values, width, 8, codes)
        SIMD.residual(values, codes, width, 128, factors[0], width, &norm, &left_out, &later)
        factors[1] = above(sqrt(left_out) + error + NORM_SLACK)
        for i in range(width):
            out[i] = <int8_t> (<int> codes[i] - 128)


def detail(
    const float[:, ::1] values, const uint8_t[::1] sound, double error, int8_t[:, ::1] rows, float[:, ::1] factors, int threads
):
    """Write rows as signed bytes.

    Parameters
    ----------
    values : float32 memoryview of shape (n, D), n > 0
    sound : uint8 memoryview of shape (n,)
    error : float
        As `pack` takes them.
    rows : int8 memoryview of shape (n, D or more), given full of zeros
    factors : float32 memoryview of shape (n, 2)
        Scale and residual of each row.
    threads : int
    """
    cdef Py_ssize_t i, n = values.shape[0], width = values.shape[1]
    cdef uint8_t *codes = <uint8_t *> malloc(threads * width)
    cdef fenv_t caller
    if codes == NULL:
        raise MemoryError
    with nogil, parallel(num_threads=threads):
        caller = enter_ieee()
        for i in prange(n, schedule="static"):
            detail_row(&values[i, 0], sound[i], width, error, codes + threadid() * width, &rows[i, 0], &factors[i, 0])
        leave_ieee(caller)
    free(codes)


# ---- queries ----

def project(const float[:, ::1] rotation, const float[:, ::1] queries, const double[::1] norms, double[:, ::1] out):
    """Write the coordinates of unit queries in the frame of a rotation, or their own, in double precision.

    Parameters
    ----------
    rotation : float32 memoryview of shape (width, D), or None
    queries : float32 memoryview of shape (n, D)
    norms : float64 memoryview of shape (n,)
        Of the queries.
    out : float64 memoryview of shape (n, width)
    """
    cdef Py_ssize_t i, j, m, width = out.shape[1]
    cdef const float *rows[4]
    cdef double dots[4]
    cdef fenv_t caller
    with nogil:
        caller = enter_ieee()
        for i in range(queries.shape[0]):
            if rotation is None:
                for j in range(width):
                    out[i, j] = queries[i, j] / norms[i]
                continue
            for j in range((width + 3) // 4):
                for m in range(4):
                    rows[m] = &rotation[min(4 * j + m, width - 1), 0]
                SIMD.exact4(rows, &queries[i, 0], queries.shape[1], dots)
                for m in range(min(4, width - 4 * j)):
                    out[i, 4 * j + m] = dots[m] / norms[i]
        leave_ieee(caller)


cdef class Sketches:
    """Queries as the levels see them: eight bits a coordinate, and what the bounds need.

    Parameters
    ----------
    values : float64 memoryview of shape (n, width)
        The queries' coordinates; the whole query has norm 1.
    padded : int
        Codes of a query, `width` or more; those beyond are 0.
    zero : int
        The code of a row that stands for 0.
    early : int
        Coordinates of the early groups; `width` if there are none.
    rotated : bool
        Whether `values` are those of a rotation, beyond which there is a rest.
    error : float
        A bound of the norm of the error in the values that rows' codes stand for.
    defect : float
        How far the rotation is from orthonormal.
    share : float
        How much of what the codes leave out the bounds allow for: 1 for bounds that hold; with less, most do.
    """

    def __cinit__(
        self, const double[:, ::1] values, Py_ssize_t padded, int zero, Py_ssize_t early, bint rotated, double error,
        double defect, double share,
    ):
        cdef Py_ssize_t k, n = values.shape[0]
        cdef fenv_t caller
        self.sketches = <anam_sketch *> calloc(max(1, n), sizeof(anam_sketch))
        self.codes = <int8_t *> calloc(max(1, n), padded)
        if self.sketches == NULL or self.codes == NULL:
            raise MemoryError
        with nogil:
            caller = enter_ieee()
            for k in range(n):
                sketch(
                    &values[k, 0], values.shape[1], zero, early, rotated, error, defect, share, self.codes + k * padded,
                    self.sketches + k,
                )
            leave_ieee(caller)

    def __dealloc__(self):
        free(self.sketches)
        free(self.codes)


cdef void sketch(
    const double *values, Py_ssize_t width, int zero, Py_ssize_t early, bint rotated, double error, double defect,
    double share, int8_t *codes, anam_sketch *out,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef double greatest = 0.0, norm = 0.0, missed = 0.0, later = 0.0, step, difference, decoded
    cdef int32_t total = 0, first = 0
    for i in range(width):
        greatest = max(greatest, fabs(values[i]))
        norm += values[i] * values[i]
        if i >= early:
            later += values[i] * values[i]
    # A step that underflows would be too far from its share for codes to fit eight bits; all of such values is left out.
    out.step = <float> (greatest / 127.0) if greatest >= LEAST_CODED else 0.0
    step = out.step
    for i in range(width):
        codes[i] = <int8_t> rint(values[i] / step) if step > 0.0 else 0
        difference = values[i] - step * codes[i]
        missed += difference * difference
        total += codes[i]
        if i < early:
            first += codes[i]
    out.codes = codes
    out.offset = zero * total
    out.early_offset = zero * first
    out.residual = above(share * (sqrt(norm) + NORM_SLACK))
    out.rest = above(share * (sqrt(max(0.0, 1.0 - norm / (1.0 + defect))) + NORM_SLACK)) if rotated else 0.0
    # What the code of the query leaves out, times a decoded row, whose norm exceeds 1 by little; the rotation's defect; and
    # the roundings of the bound itself.
    decoded = (1.0 + defect + error) * (1.0 + (width + 8) * SCALE_SLACK)
    out.slack = above(share * sqrt(missed) * decoded + 2.0 * defect + 2.0 ** -18)
    out.early_rest = above(sqrt(later) + NORM_SLACK)
