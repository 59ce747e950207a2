/* Tells ThreadSanitizer what OpenMP orders. GNU's runtime is not built with it, so that its starts, barriers and ends of
 * parallel regions look like races. What it does not order, as one iteration and another, stays unordered.
 *
 * setup.py includes this into the compiled core with ANAM_SANITIZE=thread, and has the linker call __wrap_x for x.
 */
#ifdef _OPENMP

struct anam_region {
    void (*body)(void *);
    void *data;
    char start, end, barrier[2];    /* only their addresses count */
};

/* In each thread's own block: the C library frees that of a library loaded later unseen by ThreadSanitizer. */
#define ANAM_THREAD_LOCAL static __thread __attribute__((tls_model("initial-exec")))
ANAM_THREAD_LOCAL struct anam_region *anam_region;
ANAM_THREAD_LOCAL int anam_barrier;

void __tsan_acquire(void *);
void __tsan_release(void *);
void __real_GOMP_parallel(void (*)(void *), void *, unsigned, unsigned);
void __real_GOMP_barrier(void);

static void anam_body(void *argument)
{
    struct anam_region *region = argument, *outer = anam_region;
    __tsan_acquire(&region->start);
    anam_region = region;
    anam_barrier = 0;
    region->body(region->data);
    anam_region = outer;
    __tsan_release(&region->end);
}

__attribute__((visibility("hidden")))
void __wrap_GOMP_parallel(void (*body)(void *), void *data, unsigned n_threads, unsigned flags)
{
    struct anam_region region = {.body = body, .data = data};
    __tsan_release(&region.start);
    __real_GOMP_parallel(anam_body, &region, n_threads, flags);
    __tsan_acquire(&region.end);
}

/* Two barriers in turn: nobody comes to the next but one before all have left this one. */
__attribute__((visibility("hidden")))
void __wrap_GOMP_barrier(void)
{
    char *barrier = &anam_region->barrier[anam_barrier];
    anam_barrier = !anam_barrier;
    __tsan_release(barrier);
    __real_GOMP_barrier();
    __tsan_acquire(barrier);
}

#endif
