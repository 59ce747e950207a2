# The floating-point environment that kernels compute in, whatever the calling thread's is: libraries built with
# -ffast-math and torch.set_flush_denormal have threads take denormals for zero.

cdef extern from "<fenv.h>" nogil:
    ctypedef struct fenv_t:
        pass

    const fenv_t *FE_DFL_ENV
    int fegetenv(fenv_t *)
    int fesetenv(const fenv_t *)


cdef inline fenv_t enter_ieee() noexcept nogil:
    """Compute as IEEE 754 says from here on, and return what `leave_ieee` restores."""
    cdef fenv_t caller
    fegetenv(&caller)
    fesetenv(FE_DFL_ENV)
    return caller


cdef inline void leave_ieee(fenv_t caller) noexcept nogil:
    fesetenv(&caller)
