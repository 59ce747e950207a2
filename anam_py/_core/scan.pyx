"""The scan: exact scores, and the first level of a search, which bounds the cosine of every row.

A row is bounded by its code or, where it has none, by a product in single precision; settle.pyx takes it from there. The
proof is in docs/explanation/exactness.md, the face for Python in ``_core/search.py``.
"""

import numpy as np

from cython.parallel cimport parallel, prange, threadid
from libc.float cimport FLT_EPSILON
from libc.math cimport INFINITY, sqrt
from libc.stdint cimport int8_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from anam_py._core._fenv cimport enter_ieee, fenv_t, leave_ieee
from anam_py._core._openmp cimport ANAM_OPENMP, omp_get_max_threads, omp_in_parallel
from anam_py._core.coding cimport Sketches
from anam_py._core.simd cimport ANAM_LANES, ANAM_PANEL_ROWS, SIMD, anam_heap, anam_heap_offer, anam_sketch


cdef extern from "apart.h" nogil:
    int anam_this_cpu()
    void anam_go_anywhere()
    void anam_keep_off(int cpu)

OPENMP = bool(ANAM_OPENMP)

# Rows of a norm outside this range might overflow or lose bits in single precision: they are always candidates.
cdef double SMALLEST_NORM = 2.0 ** -60
cdef double LARGEST_NORM = 2.0 ** 60

# What a thread scans at a time: enough to make calls cheap, little enough to share evenly.
cdef Py_ssize_t SPAN_BYTES = 512 * 1024
# Of coded rows, bounds for all queries are to stay in the cache: so many, divided by the queries, but some panels at least.
cdef Py_ssize_t SPAN_BOUNDS = 32 * 1024


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


def normalise(const float[:, ::1] queries, float[:, ::1] units, double[::1] norms):
    """Write the norm of each query, and its unit vector, rounded once.

    Parameters
    ----------
    queries : float32 memoryview of shape (n, D)
    units : float32 memoryview of shape (n, D)
    norms : float64 memoryview of shape (n,)
    """
    cdef Py_ssize_t i, k, dimension = queries.shape[1]
    cdef fenv_t caller
    with nogil:
        caller = enter_ieee()
        for k in range(queries.shape[0]):
            norms[k] = norm_of(&queries[k, 0], dimension)
            for i in range(dimension):
                units[k, i] = <float> (queries[k, i] / norms[k])
        leave_ieee(caller)


# ---- blocks ----

cdef class Blocks:
    """The rows of all blocks as one sequence, cut into spans that one thread scans at a time.

    Parameters
    ----------
    blocks : sequence of (vectors, norms, alive, codes)
        float32 (n, D), float64 (n,), uint8 (n,) or None, and (plan number, bits, early groups, panels, detail rows or None, their
        factors or None) or None, which may be those of the first rows only; C-contiguous. A block may be empty.
    dimension : int
    n_queries : int
        How many queries are to be searched for together.

    Raises
    ------
    ValueError
        If the parts of a block do not fit each other or the dimension.
    """

    def __cinit__(self, blocks, Py_ssize_t dimension, Py_ssize_t n_queries):
        cdef const float[:, ::1] vectors
        cdef const double[::1] norms
        cdef const uint8_t[::1] alive
        cdef Py_ssize_t i, length
        cdef Py_ssize_t plain_height = max(1, SPAN_BYTES // (4 * dimension))
        cdef Py_ssize_t coded_height = min(64, max(8, SPAN_BOUNDS // (ANAM_PANEL_ROWS * n_queries))) * ANAM_PANEL_ROWS
        self.owners = blocks
        self.dimension = dimension
        self.block = <Block *> calloc(len(blocks) + 1, sizeof(Block))
        lengths = [len(rows[0]) for rows in blocks]
        n_spans = sum([length // plain_height + length // coded_height + 2 for length in lengths])
        self.span = <Span *> calloc(n_spans + 1, sizeof(Span))
        if self.block == NULL or self.span == NULL:
            raise MemoryError
        for i, rows in enumerate(blocks):
            vectors = rows[0]
            norms = rows[1]
            alive = rows[2]
            length = vectors.shape[0]
            if vectors.shape[1] != dimension or norms.shape[0] != length or not (alive is None or alive.shape[0] == length):
                shapes = [None if part is None else part.shape for part in rows[:3]]
                raise ValueError(f"block {i}: vectors, norms and alive of shapes {shapes} are not rows of dimension {dimension}")
            if length == 0:
                continue
            self.block[i].vectors = &vectors[0, 0]
            self.block[i].norms = &norms[0]
            if alive is not None:
                self.block[i].alive = &alive[0]
            if rows[3] is not None:
                self.take_codes(&self.block[i], length, rows[3])
            self.cut(i, 0, self.block[i].coded, coded_height)
            self.cut(i, self.block[i].coded, length, plain_height)

    cdef int cut(self, Py_ssize_t block, Py_ssize_t first, Py_ssize_t end, Py_ssize_t height) except -1:
        """Cut some rows of a block into spans."""
        cdef Py_ssize_t n_rows
        while first < end:
            n_rows = min(height, end - first)
            self.span[self.n_spans] = Span(block, first, n_rows, self.n_rows)
            self.n_rows += n_rows
            self.longest_span = max(self.longest_span, n_rows)
            self.n_spans += 1
            first += n_rows
        return 0

    cdef int take_codes(self, Block *block, Py_ssize_t length, codes) except -1:
        cdef const uint8_t[:, ::1] panels
        cdef const int8_t[:, ::1] detail
        cdef const float[:, ::1] factors
        cdef Py_ssize_t j, last, group_bytes
        cdef const float *residual
        block.plan, block.panels.bits, block.panels.groups, block.panels.early, panels, detail, factors = codes
        block.coded = min(length, panels.shape[0] * ANAM_PANEL_ROWS)
        group_bytes = 64 if block.panels.bits == 4 else 192
        if (
            panels.shape[0] > (length + ANAM_PANEL_ROWS - 1) // ANAM_PANEL_ROWS
            or panels.shape[1] < <Py_ssize_t> block.panels.groups * group_bytes + 192
            or (detail is not None and (detail.shape[0] != block.coded or factors.shape[0] != block.coded or factors.shape[1] != 2))
        ):
            raise ValueError("codes do not fit their rows")
        if block.coded == 0:
            return 0
        # Codes of fewer rows end with a whole panel: what fills up another has a bound below all, and would not be found.
        last = panels.shape[0] - 1
        residual = <const float *> (&panels[last, 0] + block.panels.groups * group_bytes) + ANAM_PANEL_ROWS
        for j in range(block.coded - last * ANAM_PANEL_ROWS):
            if residual[j] == -INFINITY:
                raise ValueError("codes do not fit their rows")
        block.panels.data = &panels[0, 0]
        block.panels.stride = panels.shape[1]
        if detail is not None:
            block.detail = &detail[0, 0]
            block.detail_stride = detail.shape[1]
            block.factors = &factors[0, 0]
        return 0

    def __dealloc__(self):
        free(self.block)
        free(self.span)


# ---- the first level ----

def slack(Py_ssize_t dimension):
    """Bound the difference between the single-precision and the exact score of a row (docs/explanation/exactness.md).

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


cdef void bound_plain(
    const Block *block, Py_ssize_t first, Py_ssize_t n_rows, Py_ssize_t dimension, const float *query, float error,
    Py_ssize_t offset, float *bounds, anam_heap *heap, float *greatest,
) noexcept nogil:
    """Bound rows without codes by their single-precision scores."""
    cdef Py_ssize_t i
    cdef double norm
    cdef float score
    cdef float most = -INFINITY
    SIMD.dots(block.vectors + first * dimension, n_rows, dimension, query, bounds)
    for i in range(n_rows):
        norm = block.norms[first + i]
        if block.alive != NULL and not block.alive[first + i]:
            bounds[i] = -INFINITY
        elif SMALLEST_NORM <= norm <= LARGEST_NORM:
            score = <float> (bounds[i] / norm)
            if heap.size > 0:
                anam_heap_offer(heap, score, offset + i)
            bounds[i] = score + error
        else:
            bounds[i] = INFINITY
        most = max(most, bounds[i])
    greatest[0] = most


cdef float greatest_of(const float *values) noexcept nogil:
    cdef Py_ssize_t i
    cdef float greatest = values[0]
    for i in range(1, ANAM_PANEL_ROWS):
        greatest = max(greatest, values[i])
    return greatest


cdef class Bounds:
    """What the first level found: an upper bound of each query's cosine with each row, and the rows that look best.

    Parameters
    ----------
    blocks : Blocks
    queries : float32 memoryview of shape (n, D)
        Unit vectors, as `normalise` gives them.
    sketches : sequence of Sketches
        The queries for each plan of the blocks' codes.
    n_best : int
        How many of the rows that look best each thread notes for each query; 0 for none.
    threshold : float
        Rows that cannot reach this score may be given a bound of -inf.
    threads : int
    """

    def __cinit__(
        self, Blocks blocks, const float[:, ::1] queries, sketches, Py_ssize_t n_best, double threshold, int threads
    ):
        cdef Py_ssize_t i, k, n = queries.shape[0], n_heaps = threads * queries.shape[0], plan
        cdef float error = <float> (1.0000001 * slack(blocks.dimension) + 2.0 ** -23)
        cdef float lowest = <float> (threshold - 2.0 ** -22)
        cdef Sketches sketch
        cdef const anam_sketch **plans = <const anam_sketch **> calloc(len(sketches) + 1, sizeof(void *))
        cdef Span *span
        cdef Block *block
        cdef anam_heap *heaps
        cdef float *most
        cdef fenv_t caller
        cdef int cpu = anam_this_cpu()
        self.n_queries = n
        self.n_rows = blocks.n_rows
        self.n_spans = blocks.n_spans
        self.n_best = n_best
        self.threads = threads
        self.bounds = <float *> malloc(max(1, n * blocks.n_rows) * sizeof(float))
        self.greatest = <float *> malloc(max(1, n * blocks.n_spans) * sizeof(float))
        self.best_score = <float *> malloc(max(1, n_heaps * n_best) * sizeof(float))
        self.best_row = <int64_t *> malloc(max(1, n_heaps * n_best) * sizeof(int64_t))
        self.heaps = <anam_heap *> malloc(max(1, n_heaps) * sizeof(anam_heap))
        if (
            plans == NULL or self.bounds == NULL or self.greatest == NULL or self.best_score == NULL or self.best_row == NULL
            or self.heaps == NULL
        ):
            free(plans)
            raise MemoryError
        for plan, sketch in enumerate(sketches):
            plans[plan] = sketch.sketches
        for i in range(n_heaps * n_best):
            self.best_score[i] = -INFINITY
            self.best_row[i] = -1
        for i in range(n_heaps):
            self.heaps[i] = anam_heap(self.best_score + i * n_best, self.best_row + i * n_best, n_best)
        with nogil, parallel(num_threads=threads):
            if threadid() > 0:
                anam_go_anywhere()
            most = <float *> malloc(n * ANAM_PANEL_ROWS * sizeof(float))
            caller = enter_ieee()
            # Not static: on a busy machine a thread may start late or lose its CPU, and then the others go on with its share.
            for i in prange(blocks.n_spans, schedule="dynamic"):
                span = &blocks.span[i]
                block = &blocks.block[span.block]
                heaps = self.heaps + threadid() * n
                if span.first < block.coded and most != NULL:
                    for k in range(n * ANAM_PANEL_ROWS):
                        most[k] = -INFINITY
                    SIMD.scan(
                        &block.panels, span.first // ANAM_PANEL_ROWS, span.n_rows,
                        block.alive + span.first if block.alive != NULL else NULL, plans[block.plan], n, lowest, span.offset,
                        self.bounds + n * span.offset, span.n_rows, heaps, most,
                    )
                    for k in range(n):
                        self.greatest[k * self.n_spans + i] = greatest_of(most + k * ANAM_PANEL_ROWS)
                else:
                    for k in range(n):
                        bound_plain(
                            block, span.first, span.n_rows, blocks.dimension, &queries[k, 0], error, span.offset,
                            self.bounds + n * span.offset + k * span.n_rows, heaps + k, self.greatest + k * self.n_spans + i,
                        )
            leave_ieee(caller)
            free(most)
            if threadid() > 0:
                anam_keep_off(cpu)
        free(plans)

    def of(self, Blocks blocks, Py_ssize_t k):
        """Give a copy of the bounds of query k, float32 ndarray of shape (n_rows,)."""
        bounds = np.empty(self.n_rows, np.float32)
        cdef float[::1] view = bounds
        cdef Py_ssize_t i
        cdef Span *span
        for i in range(self.n_spans):
            span = &blocks.span[i]
            memcpy(&view[span.offset], self.bounds + self.n_queries * span.offset + k * span.n_rows, span.n_rows * sizeof(float))
        return bounds

    def __dealloc__(self):
        free(self.bounds)
        free(self.greatest)
        free(self.best_score)
        free(self.best_row)
        free(self.heaps)
