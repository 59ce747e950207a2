from libc.stdint cimport int8_t

from anam_py._core.simd cimport anam_sketch


cdef class Sketches:
    cdef anam_sketch *sketches
    cdef int8_t *codes
