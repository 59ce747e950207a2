from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t


cdef extern from "simd.h" nogil:
    const int ANAM_LANES
    const int ANAM_PANEL_ROWS

    void anam_prefetch(const void *memory)

    ctypedef struct anam_sketch:
        const int8_t *codes
        int32_t offset
        float step
        float residual
        float rest
        float slack
        float early_rest
        int32_t early_offset

    ctypedef struct anam_heap:
        float *score
        int64_t *row
        size_t size

    void anam_heap_offer(anam_heap *heap, float score, int64_t row)

    ctypedef struct anam_panels:
        const uint8_t *data
        size_t stride
        size_t groups
        size_t early
        int bits

    ctypedef struct anam_simd:
        const char *name
        int (*usable)() noexcept nogil
        void (*dots)(const float *, size_t, size_t, const float *, float *) noexcept nogil
        double (*exact)(const float *, const float *, size_t) noexcept nogil
        void (*exact4)(const float *const *, const float *, size_t, double *) noexcept nogil
        void (*scan)(
            const anam_panels *, size_t, size_t, const uint8_t *, const anam_sketch *, size_t, float, int64_t, float *,
            size_t, anam_heap *, float *,
        ) noexcept nogil
        size_t (*reaching)(const float *, size_t, float, int32_t *) noexcept nogil
        int32_t (*dot)(const int8_t *, const int8_t *, size_t, int32_t) noexcept nogil
        float (*quantise)(const float *, size_t, int, uint8_t *) noexcept nogil
        void (*residual)(
            const float *, const uint8_t *, size_t, int, float, size_t, double *, double *, double *,
        ) noexcept nogil

cdef const anam_simd *SIMD
