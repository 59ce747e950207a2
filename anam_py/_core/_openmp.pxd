# Every omp_* function that the core calls, with its sequential meaning when built without OpenMP.

cdef extern from *:
    """
    #ifdef _OPENMP
        #include <omp.h>
        #define ANAM_OPENMP 1
    #else
        #define ANAM_OPENMP 0
        static inline int omp_get_max_threads(void) { return 1; }
        static inline int omp_in_parallel(void) { return 0; }
    #endif
    """
    const bint ANAM_OPENMP
    int omp_get_max_threads() noexcept nogil
    int omp_in_parallel() noexcept nogil
