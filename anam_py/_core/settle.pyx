"""The rest of a search, once every row has a bound: which rows are worth a closer look, and their exact scores.

The rows that look best are scored exactly, which gives a threshold that as many rows reach as are wanted. Rows whose bound
is below it are done; of the others, those with a second code are bounded by that, too; and what is left gets the score that the
contract defines. The proof is in docs/explanation/exactness.md.
"""

import numpy as np

from cpython.time cimport perf_counter
from cython.parallel cimport prange
from libc.math cimport INFINITY, isnan
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport calloc, free, malloc, realloc

from anam_py._core._fenv cimport enter_ieee, fenv_t, leave_ieee
from anam_py._core.coding cimport Sketches
from anam_py._core.scan cimport Block, Blocks, Bounds, Span
from anam_py._core.simd cimport SIMD, anam_heap, anam_sketch

# What one thread refines or scores before another could have been woken.
cdef Py_ssize_t FEW_CANDIDATES = 512


cdef struct Found:
    Py_ssize_t n
    Py_ssize_t capacity
    int32_t *block
    int64_t *row
    double *score
    Py_ssize_t bounded          # how many rows the first level left,
    Py_ssize_t refined          # and the second
    Py_ssize_t scored           # how many were scored exactly
    double refining             # seconds
    double scoring
    bint failed


cdef double kth_greatest(double *values, Py_ssize_t n, Py_ssize_t k) noexcept nogil:
    """Give the k-th greatest of some values, which change places; -inf where there are fewer."""
    cdef Py_ssize_t low = 0, high = n - 1, i, j
    cdef double pivot, value
    if k > n:
        return -INFINITY
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] > pivot:
                i = i + 1
            while values[j] < pivot:
                j = j - 1
            if i <= j:
                value = values[i]
                values[i] = values[j]
                values[j] = value
                i = i + 1
                j = j - 1
        if k - 1 <= j:
            high = j
        elif k - 1 >= i:
            low = i
        else:
            break
    return values[k - 1]


cdef inline double exact_score(const Block *block, Py_ssize_t row, Py_ssize_t dimension, const float *query, double query_norm) noexcept nogil:
    return SIMD.exact(block.vectors + row * dimension, query, dimension) / (query_norm * block.norms[row])


cdef Py_ssize_t span_of(Blocks blocks, int64_t offset) noexcept nogil:
    """Find the span of a row of the whole sequence."""
    cdef Py_ssize_t low = 0, high = blocks.n_spans - 1, middle
    while low < high:
        middle = (low + high + 1) // 2
        if blocks.span[middle].offset <= offset:
            low = middle
        else:
            high = middle - 1
    return low


cdef double first_threshold(
    Blocks blocks, Bounds bounds, Py_ssize_t k, const float *query, double query_norm, Py_ssize_t wanted,
) noexcept nogil:
    """Score the rows that look best exactly: the score of the wanted-th best of them is one that as many rows reach."""
    cdef Py_ssize_t i, t, n = 0, n_scores = 0
    cdef Py_ssize_t most = bounds.threads * bounds.n_best
    cdef double *scores = <double *> malloc(max(1, most) * sizeof(double))
    cdef double threshold, least = -INFINITY
    cdef double score
    cdef anam_heap *heap
    cdef const Span *span
    if scores == NULL:
        return -INFINITY
    # Each thread noted as many rows: of all these, only the best by their estimates are worth scoring.
    for t in range(bounds.threads):
        heap = &bounds.heaps[t * bounds.n_queries + k]
        for i in range(bounds.n_best):
            scores[n] = heap.score[i]
            n += 1
    least = kth_greatest(scores, n, min(n, bounds.n_best))
    for t in range(bounds.threads):
        heap = &bounds.heaps[t * bounds.n_queries + k]
        for i in range(bounds.n_best):
            if heap.row[i] >= 0 and heap.score[i] >= least:
                span = &blocks.span[span_of(blocks, heap.row[i])]
                score = exact_score(
                    &blocks.block[span.block], span.first + heap.row[i] - span.offset, blocks.dimension, query, query_norm
                )
                if not isnan(score):
                    scores[n_scores] = score
                    n_scores += 1
    threshold = kth_greatest(scores, n_scores, wanted)
    free(scores)
    return threshold


cdef int add(Found *found, int32_t block, int64_t row) noexcept nogil:
    cdef Py_ssize_t capacity
    cdef void *grown
    if found.n == found.capacity:
        capacity = max(64, 2 * found.capacity)
        grown = realloc(found.block, capacity * sizeof(int32_t))
        if grown != NULL:
            found.block = <int32_t *> grown
            grown = realloc(found.row, capacity * sizeof(int64_t))
        if grown == NULL:
            found.failed = True
            return -1
        found.row = <int64_t *> grown
        found.capacity = capacity
    found.block[found.n] = block
    found.row[found.n] = row
    found.n += 1
    return 0


cdef void select(Blocks blocks, Bounds bounds, Py_ssize_t k, double threshold, Found *found) noexcept nogil:
    """List the rows whose bound reaches the threshold."""
    cdef Py_ssize_t i, j
    cdef const Span *span
    cdef const float *bound
    for i in range(blocks.n_spans):
        if bounds.greatest[k * blocks.n_spans + i] >= threshold:
            span = &blocks.span[i]
            bound = bounds.bounds + k * blocks.n_rows + span.offset
            for j in range(span.n_rows):
                if bound[j] >= threshold and add(found, <int32_t> span.block, span.first + j) < 0:
                    return


cdef void select_alive(Blocks blocks, Found *found) noexcept nogil:
    """List all rows that are alive."""
    cdef Py_ssize_t i, j
    cdef const Span *span
    cdef const uint8_t *alive
    for i in range(blocks.n_spans):
        span = &blocks.span[i]
        alive = blocks.block[span.block].alive
        for j in range(span.first, span.first + span.n_rows):
            if (alive == NULL or alive[j]) and add(found, <int32_t> span.block, j) < 0:
                return


cdef float refined(const Block *block, Py_ssize_t row, Py_ssize_t width, const anam_sketch *query) noexcept nogil:
    """Bound a row's score by its second code; +inf where it has none."""
    cdef const float *factors
    cdef float estimate
    if block.detail == NULL:
        return INFINITY
    factors = block.factors + 2 * row
    estimate = <float> SIMD.dot(block.detail + row * block.detail_stride, query.codes, block.detail_stride) * (factors[0] * query.step)
    return estimate + query.residual * factors[1] + query.slack


cdef void refine(
    Blocks blocks, const anam_sketch *query, double threshold, Found *found, int threads,
) noexcept nogil:
    """Keep the candidates whose second bound reaches the threshold, too."""
    cdef Py_ssize_t i, first, n = found.n, kept = 0, step = 64
    cdef float *bounds = <float *> malloc(max(1, n) * sizeof(float))
    if bounds == NULL:
        found.failed = True
        return
    for first in prange((n + step - 1) // step, num_threads=threads if n > FEW_CANDIDATES else 1, schedule="dynamic"):
        refine_some(blocks, query, found, bounds, first * step, min(n, (first + 1) * step))
    for i in range(n):
        if bounds[i] >= threshold:
            found.block[kept] = found.block[i]
            found.row[kept] = found.row[i]
            kept = kept + 1
    found.n = kept
    free(bounds)


cdef void refine_some(
    Blocks blocks, const anam_sketch *query, const Found *found, float *bounds, Py_ssize_t first, Py_ssize_t end,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef fenv_t caller = enter_ieee()
    for i in range(first, end):
        bounds[i] = refined(&blocks.block[found.block[i]], found.row[i], blocks.dimension, query)
    leave_ieee(caller)


cdef void score_some(
    Blocks blocks, const float *query, double query_norm, const Found *found, Py_ssize_t first, Py_ssize_t end,
) noexcept nogil:
    cdef Py_ssize_t i
    cdef fenv_t caller = enter_ieee()
    for i in range(first, end):
        found.score[i] = exact_score(&blocks.block[found.block[i]], found.row[i], blocks.dimension, query, query_norm)
    leave_ieee(caller)


cdef void settle_one(
    Blocks blocks, Bounds bounds, Py_ssize_t k, const float *query, double query_norm, const anam_sketch *detailed,
    Py_ssize_t wanted, double least, Found *found, int threads,
) noexcept nogil:
    """Find one query's rows; `bounds` is None where all rows are to be scored."""
    cdef Py_ssize_t first, step = 64
    cdef double threshold = least, started
    if bounds is None:
        select_alive(blocks, found)
        found.bounded = found.refined = found.n
    else:
        threshold = max(threshold, first_threshold(blocks, bounds, k, query, query_norm, wanted))
        # No cosine is as low as -2, so that this passes over dead rows, whose bound is -inf.
        threshold = max(threshold, -2.0)
        started = perf_counter()
        select(blocks, bounds, k, threshold, found)
        found.bounded = found.n
        if detailed != NULL and not found.failed:
            refine(blocks, detailed, threshold, found, threads)
        found.refined = found.n
        found.refining = perf_counter() - started
    if found.failed:
        return
    started = perf_counter()
    found.score = <double *> malloc(max(1, found.n) * sizeof(double))
    if found.score == NULL:
        found.failed = True
        return
    for first in prange((found.n + step - 1) // step, num_threads=threads if found.n > FEW_CANDIDATES // 4 else 1, schedule="dynamic"):
        score_some(blocks, query, query_norm, found, first * step, min(found.n, (first + 1) * step))
    found.scored = found.n
    found.scoring = perf_counter() - started


def settle(
    Blocks blocks, Bounds bounds, const float[:, ::1] queries, const double[::1] norms, Sketches detailed, Py_ssize_t wanted,
    double least, int threads,
):
    """Score exactly, for each query, every row that may be among those wanted.

    Parameters
    ----------
    blocks : Blocks
    bounds : Bounds or None
        None to score all rows.
    queries : float32 memoryview of shape (n, D)
        Not the unit vectors.
    norms : float64 memoryview of shape (n,)
        Of the queries.
    detailed : Sketches or None
        The queries for the second codes; None where no block has any.
    wanted : int
        How many of the best rows to find.
    least : float
        Least score of a row to find.
    threads : int

    Returns
    -------
    list of (block, row, score, counts, seconds)
        For each query: int32, int64 and float64 ndarrays of shape (m,); how many rows each level left; how long the
        second level and scoring took.
    """
    cdef Py_ssize_t k, i, n = queries.shape[0]
    cdef int inner = threads if n == 1 else 1
    cdef Found *found = <Found *> calloc(max(1, n), sizeof(Found))
    cdef const anam_sketch *sketches = NULL if detailed is None else detailed.sketches
    cdef int32_t[::1] block_view
    cdef int64_t[::1] row_view
    cdef double[::1] score_view
    if found == NULL:
        raise MemoryError
    try:
        with nogil:
            if n == 1:
                settle_one(blocks, bounds, 0, &queries[0, 0], norms[0], sketches, wanted, least, found, inner)
            else:
                for k in prange(n, num_threads=threads, schedule="dynamic"):
                    settle_one(
                        blocks, bounds, k, &queries[k, 0], norms[k], sketches + k if sketches != NULL else NULL, wanted, least,
                        found + k, 1,
                    )
        results = []
        for k in range(n):
            if found[k].failed:
                raise MemoryError
            block = np.empty(found[k].n, np.int32)
            row = np.empty(found[k].n, np.int64)
            score = np.empty(found[k].n)
            if found[k].n:
                block_view, row_view, score_view = block, row, score
                for i in range(found[k].n):
                    block_view[i] = found[k].block[i]
                    row_view[i] = found[k].row[i]
                    score_view[i] = found[k].score[i]
            counts = (found[k].bounded, found[k].refined, found[k].scored)
            results.append((block, row, score, counts, (found[k].refining, found[k].scoring)))
        return results
    finally:
        for k in range(n):
            free(found[k].block)
            free(found[k].row)
            free(found[k].score)
        free(found)
