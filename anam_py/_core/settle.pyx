"""The rest of a search, once every row has a bound: which rows are worth a closer look, and their exact scores.

The rows that look best are scored exactly, which gives a threshold that as many rows reach as are wanted. Rows whose bound
is below it are done; of the others, those with a second code are bounded by that, too; and what is left gets the score that the
contract defines. The proof is in docs/explanation/exactness.md.
"""

import numpy as np

from cpython.time cimport perf_counter
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY, isnan, nextafterf
from libc.stdint cimport int32_t, int64_t
from libc.stdlib cimport calloc, free, malloc, qsort, realloc
from libc.string cimport memcpy

from anam_py._core._fenv cimport enter_ieee, fenv_t, leave_ieee
from anam_py._core.coding cimport Sketches
from anam_py._core.scan cimport Block, Blocks, Bounds, Span
from anam_py._core.simd cimport SIMD, anam_heap, anam_prefetch, anam_sketch

# What one thread refines, or scores, before another could have been woken.
cdef Py_ssize_t FEW_CANDIDATES = 8192
cdef Py_ssize_t FEW_SCORES = 2048
# Rows that a thread scores at a time, a multiple of four.
cdef Py_ssize_t STEP = 64
# How many rows ahead of the one that is read memory is asked for.
cdef Py_ssize_t AHEAD = 8


cdef struct Hit:
    double score
    int64_t row
    int32_t block

cdef struct Found:
    Py_ssize_t n
    Py_ssize_t capacity
    int32_t *block
    int64_t *row
    double *score
    Py_ssize_t bounded          # how many rows the first level left,
    Py_ssize_t scored           # and how many were scored
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


cdef inline float below(double value) noexcept nogil:
    """Round down to single precision."""
    cdef float rounded = <float> value
    return nextafterf(rounded, -INFINITY) if rounded > value else rounded


cdef inline double exact_score(
    const Block *block, Py_ssize_t row, Py_ssize_t dimension, const float *query, double query_norm,
) noexcept nogil:
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
    cdef fenv_t caller
    if most == 0 or scores == NULL:
        free(scores)
        return -INFINITY
    caller = enter_ieee()
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
    leave_ieee(caller)
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


cdef inline float refined(const Block *block, Py_ssize_t row, const anam_sketch *query) noexcept nogil:
    """Bound a row's score by its second code."""
    cdef const float *factors = block.factors + 2 * row
    # These codes have signs, and `zero` is 1 in their sketch: its offset is the sum of the query's codes.
    cdef int32_t product = SIMD.dot(
        block.detail + row * block.detail_stride, query.codes, block.detail_stride, query.offset
    )
    return <float> product * (factors[0] * query.step) + query.residual * factors[1] + query.slack


cdef inline void expect(const void *memory, Py_ssize_t n_bytes) noexcept nogil:
    """Ask for memory that is soon to be read."""
    cdef Py_ssize_t i
    for i in range((n_bytes + 63) // 64):
        anam_prefetch(<const char *> memory + 64 * i)


cdef void select(
    const Block *block, const Span *span, const float *bounds, const anam_sketch *detailed, double threshold, int32_t *places,
    Found *found,
) noexcept nogil:
    """Add the rows of a span whose bounds reach the threshold, the second where there is one as well as the first."""
    cdef Py_ssize_t i, n = SIMD.reaching(bounds, span.n_rows, below(threshold), places)
    found.bounded += n
    for i in range(n):
        if block.detail != NULL and span.first < block.coded:
            if i + AHEAD < n:
                expect(block.detail + (span.first + places[i + AHEAD]) * block.detail_stride, block.detail_stride)
                anam_prefetch(block.factors + 2 * (span.first + places[i + AHEAD]))
            if refined(block, span.first + places[i], detailed) < threshold:
                continue
        if add(found, <int32_t> span.block, span.first + places[i]) < 0:
            return


cdef void select_alive(const Block *block, const Span *span, Found *found) noexcept nogil:
    """Add the rows of a span that are alive."""
    cdef Py_ssize_t j
    for j in range(span.first, span.first + span.n_rows):
        if block.alive == NULL or block.alive[j]:
            found.bounded += 1
            if add(found, <int32_t> span.block, j) < 0:
                return


cdef Py_ssize_t candidates(Blocks blocks, Bounds bounds, double threshold, int32_t *places) noexcept nogil:
    """Count the rows that one query's threshold leaves."""
    cdef Py_ssize_t i, n = 0
    for i in range(blocks.n_spans):
        if bounds.greatest[i] >= threshold:
            n += SIMD.reaching(bounds.bounds + blocks.span[i].offset, blocks.span[i].n_rows, below(threshold), places)
    return n


cdef void look_through(
    Blocks blocks, Bounds bounds, const anam_sketch *detailed, const double *thresholds, Py_ssize_t n, Py_ssize_t i,
    int32_t *places, Found *found,
) noexcept nogil:
    """Look through one span for all queries: its codes are read from memory once."""
    cdef Py_ssize_t k
    cdef const Span *span = &blocks.span[i]
    cdef const Block *block = &blocks.block[span.block]
    cdef fenv_t caller = enter_ieee()
    for k in range(n):
        if bounds is None:
            select_alive(block, span, found + k)
        elif bounds.greatest[k * blocks.n_spans + i] >= thresholds[k]:
            select(
                block, span, bounds.bounds + n * span.offset + k * span.n_rows, detailed + k if detailed != NULL else NULL,
                thresholds[k], places, found + k,
            )
    leave_ieee(caller)


cdef void score(
    Blocks blocks, const float *query, double query_norm, Found *found, Py_ssize_t first, Py_ssize_t end,
) noexcept nogil:
    """Score some of the rows found exactly, four at a time."""
    cdef Py_ssize_t i, j
    cdef const Block *block
    cdef const float *rows[4]
    cdef double dots[4]
    cdef fenv_t caller = enter_ieee()
    i = first
    while i < end:
        for j in range(4):
            block = &blocks.block[found.block[min(i + j, end - 1)]]
            rows[j] = block.vectors + found.row[min(i + j, end - 1)] * blocks.dimension
        SIMD.exact4(rows, query, blocks.dimension, dots)
        for j in range(min(4, end - i)):
            found.score[i + j] = dots[j] / (query_norm * blocks.block[found.block[i + j]].norms[found.row[i + j]])
        i += 4
    leave_ieee(caller)


cdef void gather(const Found *parts, Py_ssize_t n_parts, Py_ssize_t n, Found *whole) noexcept nogil:
    """Join what the threads found for one query."""
    cdef Py_ssize_t t, i
    for t in range(n_parts):
        whole.bounded += parts[t * n].bounded
        whole.failed = whole.failed or parts[t * n].failed
        for i in range(parts[t * n].n):
            if add(whole, parts[t * n].block[i], parts[t * n].row[i]) < 0:
                return
    whole.score = <double *> malloc(max(1, whole.n) * sizeof(double))
    whole.failed = whole.failed or whole.score == NULL


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
    queries : float32 memoryview of shape (n, D), n > 0
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
    found : list of (block, row, score, (bounded, scored))
        For each query: int32, int64 and float64 ndarrays of shape (m,), the best and all that tie with the last of them, by falling
        score, then by block and row; how many rows the first level left; and how many were scored.
    refining, scoring : float
        Seconds that all queries together took to be left with these rows, and to score them.
    """
    cdef Py_ssize_t i, k, n = queries.shape[0]
    cdef Found *parts = <Found *> calloc(threads * n, sizeof(Found))
    cdef Found *found = <Found *> calloc(n, sizeof(Found))
    cdef double *thresholds = <double *> malloc(n * sizeof(double))
    cdef int32_t *places = <int32_t *> malloc(max(1, threads * blocks.longest_span) * sizeof(int32_t))
    cdef const anam_sketch *sketches = NULL if detailed is None else detailed.sketches
    cdef Py_ssize_t n_candidates = 0, n_steps = 0
    cdef double started, looked, scored
    try:
        if parts == NULL or found == NULL or thresholds == NULL or places == NULL:
            raise MemoryError
        started = perf_counter()
        with nogil:
            for k in prange(n, num_threads=threads if n > 1 else 1, schedule="dynamic"):
                # No cosine is as low as -2, so that this passes over dead rows, whose bound is -inf.
                thresholds[k] = max(least, -2.0)
                if bounds is not None:
                    thresholds[k] = max(thresholds[k], first_threshold(blocks, bounds, k, &queries[k, 0], norms[k], wanted))
            if n > 1:
                n_candidates = FEW_CANDIDATES + 1
            elif sketches != NULL:
                n_candidates = candidates(blocks, bounds, thresholds[0], places)
            for i in prange(blocks.n_spans, num_threads=threads if n_candidates > FEW_CANDIDATES else 1, schedule="dynamic"):
                look_through(
                    blocks, bounds, sketches, thresholds, n, i, places + threadid() * blocks.longest_span, parts + threadid() * n,
                )
            for k in range(n):
                gather(parts + k, threads, n, found + k)
                n_steps += (found[k].n + STEP - 1) // STEP
        looked = perf_counter()
        for k in range(n):
            if found[k].failed:
                raise MemoryError
        with nogil:
            if n == 1:
                for i in prange(n_steps, num_threads=threads if found[0].n > FEW_SCORES else 1, schedule="dynamic"):
                    score(blocks, &queries[0, 0], norms[0], found, i * STEP, min(found[0].n, (i + 1) * STEP))
                rank(found, wanted, least)
            else:
                for k in prange(n, num_threads=threads, schedule="dynamic"):
                    score(blocks, &queries[k, 0], norms[k], found + k, 0, found[k].n)
                    rank(found + k, wanted, least)
        scored = perf_counter()
        for k in range(n):
            if found[k].failed:
                raise MemoryError
        return [taken(found + k) for k in range(n)], looked - started, scored - looked
    finally:
        for k in range(threads * n):
            if parts != NULL:
                free(parts[k].block)
                free(parts[k].row)
        for k in range(n):
            if found != NULL:
                free(found[k].block)
                free(found[k].row)
                free(found[k].score)
        free(parts)
        free(found)
        free(thresholds)
        free(places)


cdef int order(const void *a, const void *b) noexcept nogil:
    """Compare two hits: by falling score, then by block and row."""
    cdef const Hit *x = <const Hit *> a
    cdef const Hit *y = <const Hit *> b
    if x.score != y.score:
        return -1 if x.score > y.score else 1
    if x.block != y.block:
        return -1 if x.block < y.block else 1
    return -1 if x.row < y.row else <int> (x.row > y.row)


cdef void rank(Found *found, Py_ssize_t wanted, double least) noexcept nogil:
    """Leave the best of the rows scored, and all that tie with the last of them, in their order."""
    cdef Py_ssize_t i, n = 0
    cdef Hit *hits = <Hit *> malloc(max(1, found.n) * sizeof(Hit))
    cdef double *scores = <double *> malloc(max(1, found.n) * sizeof(double))
    found.scored = found.n
    if hits == NULL or scores == NULL:
        found.failed = True
    else:
        for i in range(found.n):
            if not isnan(found.score[i]):
                scores[n] = found.score[i]
                n += 1
        least = max(least, kth_greatest(scores, n, wanted))
        n = 0
        for i in range(found.n):
            if found.score[i] >= least:
                hits[n] = Hit(found.score[i], found.row[i], found.block[i])
                n += 1
        qsort(hits, n, sizeof(Hit), &order)
        for i in range(n):
            found.score[i] = hits[i].score
            found.row[i] = hits[i].row
            found.block[i] = hits[i].block
        found.n = n
    free(hits)
    free(scores)


cdef tuple taken(const Found *found):
    """Give what was found as arrays of their own."""
    block = np.empty(found.n, np.int32)
    row = np.empty(found.n, np.int64)
    score = np.empty(found.n)
    cdef int32_t[::1] block_view = block
    cdef int64_t[::1] row_view = row
    cdef double[::1] score_view = score
    if found.n:
        memcpy(&block_view[0], found.block, found.n * sizeof(int32_t))
        memcpy(&row_view[0], found.row, found.n * sizeof(int64_t))
        memcpy(&score_view[0], found.score, found.n * sizeof(double))
    return block, row, score, (found.bounded, found.scored)
