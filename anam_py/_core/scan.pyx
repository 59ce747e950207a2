"""Exact cosine top-k over blocks of rows: a fast pass that selects candidates, and the exact score of those.

``approximate`` fills an approximate cosine for every row, whose error ``slack`` bounds; ``select`` lists the rows
that may be among the best by that bound; ``rescore`` gives them the score that the contract defines. The proof is
in docs/explanation/exactness.md, the face for Python in ``_core/__init__.py``.
"""

import os

import numpy as np

from cython.parallel cimport parallel, prange, threadid
from libc.float cimport FLT_EPSILON
from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free

from anam_py._core._fenv cimport enter_ieee, fenv_t, leave_ieee
from anam_py._core._openmp cimport ANAM_OPENMP, omp_get_max_threads, omp_in_parallel


cdef extern from "simd.h" nogil:
    ctypedef struct anam_simd:
        const char *name
        int (*usable)() noexcept nogil
        void (*dots)(const float *, size_t, size_t, const float *, float *) noexcept nogil
        double (*exact)(const float *, const float *, size_t) noexcept nogil

    const anam_simd anam_simd_table[]
    const int ANAM_SIMD_LEVELS
    const int ANAM_LANES

OPENMP = bool(ANAM_OPENMP)

# Rows of a norm outside this range might overflow or lose bits in single precision: they are always candidates.
cdef double SMALLEST_NORM = 2.0 ** -60
cdef double LARGEST_NORM = 2.0 ** 60

# What a thread scans at a time: enough to make calls cheap, little enough to share evenly.
cdef Py_ssize_t SPAN_BYTES = 512 * 1024


# ---- instruction sets ----

def simd_levels():
    """List the instruction sets that this CPU and build have, best first."""
    return tuple([simd.name.decode() for simd in anam_simd_table[:ANAM_SIMD_LEVELS] if simd.usable()])


def simd_level():
    """Name the instruction set in use."""
    return SIMD.name.decode()


cdef const anam_simd *choose_simd(str wanted) except NULL:
    """Find the implementation that is named, or the best where none is."""
    cdef int i
    usable = simd_levels()
    if wanted and wanted not in usable:
        raise ImportError(f"ANAM_SIMD is {wanted!r}; this CPU and build have: {', '.join(usable)}")
    for i in range(ANAM_SIMD_LEVELS):
        if anam_simd_table[i].name.decode() == (wanted or usable[0]):
            return &anam_simd_table[i]


cdef const anam_simd *SIMD = choose_simd(os.environ.get("ANAM_SIMD", ""))


# ---- threads ----

def effective_threads(int requested):
    """Give the number of threads to start: at most those requested, OMP_NUM_THREADS, and the CPUs of this process."""
    return 1 if omp_in_parallel() else max(1, min(requested, omp_get_max_threads()))


# ---- exact scores ----

cdef inline double norm_of(const float *row, Py_ssize_t dimension) noexcept nogil:
    return sqrt(SIMD.exact(row, row, dimension))


def norms(const float[:, ::1] vectors, double[::1] out):
    """Write the norm of each row: the root of the double-precision sum of squares, in the fixed order.

    Parameters
    ----------
    vectors : float32 memoryview of shape (n, D), n > 0
    out : float64 memoryview of shape (n,)
    """
    cdef Py_ssize_t i, dimension = vectors.shape[1]
    cdef fenv_t caller
    with nogil:
        caller = enter_ieee()
        for i in range(vectors.shape[0]):
            out[i] = norm_of(&vectors[i, 0], dimension)
        leave_ieee(caller)


def scores(const float[:, ::1] vectors, const float[::1] query, double[::1] out):
    """Write the exact score of each row: its dot product with `query` over the product of both norms.

    Parameters
    ----------
    vectors : float32 memoryview of shape (n, D), n > 0
    query : float32 memoryview of shape (D,)
    out : float64 memoryview of shape (n,)

    Raises
    ------
    ValueError
        If the query has another dimension than the rows.
    """
    cdef Py_ssize_t i, dimension = vectors.shape[1]
    cdef const float *row
    cdef double query_norm
    cdef fenv_t caller
    if query.shape[0] != dimension:
        raise ValueError(f"a query of dimension {query.shape[0]} has no cosine with rows of dimension {dimension}")
    with nogil:
        caller = enter_ieee()
        query_norm = norm_of(&query[0], dimension)
        for i in range(vectors.shape[0]):
            row = &vectors[i, 0]
            out[i] = SIMD.exact(row, &query[0], dimension) / (query_norm * norm_of(row, dimension))
        leave_ieee(caller)


def normalise(const float[::1] query, float[::1] out):
    """Write the unit vector of a query, rounded once, and return the norm of the query.

    Parameters
    ----------
    query : float32 memoryview of shape (D,)
    out : float32 memoryview of shape (D,)

    Returns
    -------
    float
    """
    cdef Py_ssize_t i, dimension = query.shape[0]
    cdef double query_norm
    cdef fenv_t caller
    with nogil:
        caller = enter_ieee()
        query_norm = norm_of(&query[0], dimension)
        for i in range(dimension):
            out[i] = <float> (query[i] / query_norm)
        leave_ieee(caller)
    return query_norm


# ---- blocks ----

cdef struct Block:
    const float *vectors
    const double *norms
    const uint8_t *alive        # NULL where all are

cdef struct Span:
    Py_ssize_t block
    Py_ssize_t first            # row of the block
    Py_ssize_t n_rows
    Py_ssize_t offset           # of `first` among the rows of all blocks


cdef class Blocks:
    """The rows of all blocks as one sequence, cut into spans that one thread scans at a time.

    Parameters
    ----------
    blocks : sequence of (vectors, norms, alive)
        float32 (n, D), float64 (n,) and uint8 (n,) or None; C-contiguous. A block may be empty.
    dimension : int

    Raises
    ------
    ValueError
        If the parts of a block do not fit each other or the dimension.
    """

    cdef readonly Py_ssize_t n_rows
    cdef readonly Py_ssize_t n_spans
    cdef readonly Py_ssize_t dimension
    cdef Block *block
    cdef Span *span
    cdef object owners

    def __cinit__(self, blocks, Py_ssize_t dimension):
        cdef const float[:, ::1] vectors
        cdef const double[::1] norms
        cdef const uint8_t[::1] alive
        cdef Py_ssize_t i, first, length, height = max(1, SPAN_BYTES // (4 * dimension))
        self.owners = blocks
        self.dimension = dimension
        self.block = <Block *> calloc(len(blocks) + 1, sizeof(Block))
        self.span = <Span *> calloc(sum([(len(rows[0]) + height - 1) // height for rows in blocks]) + 1, sizeof(Span))
        if self.block == NULL or self.span == NULL:
            raise MemoryError
        for i, rows in enumerate(blocks):
            vectors = rows[0]
            norms = rows[1]
            alive = rows[2]
            length = vectors.shape[0]
            if vectors.shape[1] != dimension or norms.shape[0] != length or not (alive is None or alive.shape[0] == length):
                shapes = [None if part is None else part.shape for part in rows]
                raise ValueError(f"block {i}: vectors, norms and alive of shapes {shapes} are not rows of dimension {dimension}")
            if length == 0:
                continue
            self.block[i].vectors = &vectors[0, 0]
            self.block[i].norms = &norms[0]
            if alive is not None:
                self.block[i].alive = &alive[0]
            for first in range(0, length, height):
                self.span[self.n_spans] = Span(i, first, min(height, length - first), self.n_rows)
                self.n_rows += self.span[self.n_spans].n_rows
                self.n_spans += 1

    def __dealloc__(self):
        free(self.block)
        free(self.span)


# ---- the fast pass ----

def slack(Py_ssize_t dimension):
    """Bound the difference between the approximate and the exact score of a row (docs/explanation/exactness.md).

    Parameters
    ----------
    dimension : int

    Returns
    -------
    float
    """
    cdef double unit = FLT_EPSILON / 2
    cdef double roundings = dimension // ANAM_LANES + 8
    return 1.01 * (roundings / (1 - roundings * unit) + 3) * unit


cdef inline void replace_smallest(float *heap, Py_ssize_t size, float value) noexcept nogil:
    """Put `value` in the place of the root of a min-heap, and restore the heap."""
    cdef Py_ssize_t parent = 0, child = 1
    while child < size:
        if child + 1 < size and heap[child + 1] < heap[child]:
            child += 1
        if value <= heap[child]:
            break
        heap[parent] = heap[child]
        parent = child
        child = 2 * parent + 1
    heap[parent] = value


cdef float approximate_span(
    const Block *block, Py_ssize_t first, Py_ssize_t n_rows, Py_ssize_t dimension, const float *query,
    float *approx, float *heap, Py_ssize_t k,
) noexcept nogil:
    """Fill the approximate scores of some rows, note the best in a heap, and return the greatest."""
    cdef Py_ssize_t i
    cdef double norm
    cdef float greatest = -INFINITY
    cdef fenv_t caller = enter_ieee()
    SIMD.dots(block.vectors + first * dimension, n_rows, dimension, query, approx)
    for i in range(n_rows):
        norm = block.norms[first + i]
        if block.alive != NULL and not block.alive[first + i]:
            approx[i] = -INFINITY
        elif SMALLEST_NORM <= norm <= LARGEST_NORM:
            approx[i] = <float> (approx[i] / norm)
            if k > 0 and approx[i] > heap[0]:
                replace_smallest(heap, k, approx[i])
        else:
            approx[i] = INFINITY
        greatest = max(greatest, approx[i])
    leave_ieee(caller)
    return greatest


def approximate(
    Blocks blocks, const float[::1] query, float[::1] approx, float[::1] greatest, float[:, ::1] heaps, int threads
):
    """Fill the approximate score of every row.

    Parameters
    ----------
    blocks : Blocks
    query : float32 memoryview of shape (D,)
        As `normalise` gives it.
    approx : float32 memoryview of shape (n_rows,)
        -inf for a dead row, +inf for one that single precision cannot judge.
    greatest : float32 memoryview of shape (n_spans,)
        The greatest approximate score of each span.
    heaps : float32 memoryview of shape (threads, k)
        Given full of -inf; receives the k greatest finite approximate scores that each thread has seen.
    threads : int
    """
    cdef Py_ssize_t i, k = heaps.shape[1]
    cdef float *heap
    cdef Span *span
    with nogil, parallel(num_threads=threads):
        # Not static: on a busy machine a thread may start late or lose its CPU, and then the others go on with its share.
        for i in prange(blocks.n_spans, schedule="dynamic"):
            span = &blocks.span[i]
            heap = &heaps[threadid(), 0] if k > 0 else NULL
            greatest[i] = approximate_span(
                &blocks.block[span.block], span.first, span.n_rows, blocks.dimension, &query[0],
                &approx[span.offset], heap, k,
            )


# ---- candidates ----

def select(Blocks blocks, const float[::1] approx, const float[::1] greatest, double threshold):
    """List the rows whose approximate score is at least `threshold`.

    Returns
    -------
    block : int32 ndarray of shape (m,)
    row : int64 ndarray of shape (m,)
    """
    cdef Py_ssize_t i, j, m = 0
    cdef Span span
    cdef int32_t[::1] block_view
    cdef int64_t[::1] row_view
    with nogil:
        for i in range(blocks.n_spans):
            span = blocks.span[i]
            if greatest[i] >= threshold:
                for j in range(span.n_rows):
                    m += approx[span.offset + j] >= threshold
    block = np.empty(m, np.int32)
    row = np.empty(m, np.int64)
    block_view = block
    row_view = row
    m = 0
    with nogil:
        for i in range(blocks.n_spans):
            span = blocks.span[i]
            if greatest[i] >= threshold:
                for j in range(span.n_rows):
                    if approx[span.offset + j] >= threshold:
                        block_view[m] = <int32_t> span.block
                        row_view[m] = span.first + j
                        m += 1
    return block, row


cdef void rescore_range(
    const Block *blocks, Py_ssize_t dimension, const float *query, double query_norm,
    const int32_t *block, const int64_t *row, double *score, Py_ssize_t n,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef const float *vector
    cdef fenv_t caller = enter_ieee()
    for i in range(n):
        vector = blocks[block[i]].vectors + row[i] * dimension
        score[i] = SIMD.exact(vector, query, dimension) / (query_norm * blocks[block[i]].norms[row[i]])
    leave_ieee(caller)


def rescore(
    Blocks blocks, const float[::1] query, double query_norm,
    const int32_t[::1] block, const int64_t[::1] row, double[::1] score, int threads,
):
    """Write the exact scores of candidates.

    Parameters
    ----------
    blocks : Blocks
    query : float32 memoryview of shape (D,)
        Not the unit vector.
    query_norm : float
    block, row : int32 and int64 memoryviews of shape (m,), m > 0
    score : float64 memoryview of shape (m,)
    threads : int
    """
    cdef Py_ssize_t i, first, n = row.shape[0], step = 64
    with nogil, parallel(num_threads=threads):
        for i in prange((n + step - 1) // step, schedule="static"):
            first = i * step
            rescore_range(
                blocks.block, blocks.dimension, &query[0], query_norm,
                &block[first], &row[first], &score[first], min(step, n - first),
            )
