from libc.stdint cimport int8_t, int64_t, uint8_t

from anam_py._core.simd cimport anam_heap, anam_panels


cdef struct Block:
    const float *vectors
    const double *norms
    const uint8_t *alive        # NULL where all are
    Py_ssize_t coded            # how many rows have codes: the first
    anam_panels panels
    const int8_t *detail        # NULL where rows have no second code
    Py_ssize_t detail_stride
    const float *factors        # scale and residual of each row's second code
    Py_ssize_t plan             # number of the plan of the codes

cdef struct Span:
    Py_ssize_t block
    Py_ssize_t first            # row of the block
    Py_ssize_t n_rows
    Py_ssize_t offset           # of `first` among the rows of all blocks


cdef class Blocks:
    cdef readonly Py_ssize_t n_rows
    cdef readonly Py_ssize_t n_spans
    cdef readonly Py_ssize_t dimension
    cdef Py_ssize_t longest_span
    cdef Block *block
    cdef Span *span
    cdef object owners

    cdef int cut(self, Py_ssize_t block, Py_ssize_t first, Py_ssize_t end, Py_ssize_t height) except -1
    cdef int take_codes(self, Block *block, Py_ssize_t length, codes) except -1


cdef class Bounds:
    cdef readonly Py_ssize_t n_queries
    cdef Py_ssize_t n_rows, n_spans, n_best, threads
    cdef float *bounds          # for each span, of shape (n_queries, its rows)
    cdef float *greatest        # (n_queries, n_spans)
    cdef float *best_score      # (threads, n_queries, n_best)
    cdef int64_t *best_row
    cdef anam_heap *heaps       # (threads, n_queries)
