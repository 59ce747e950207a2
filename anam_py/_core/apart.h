/* Where a worker that sleeps is woken.
 *
 * On a virtual machine Linux takes a CPU that idles for one that the host has taken away, and wakes a worker on the CPU of the
 * thread that wakes it, where it waits until that thread has done all the work. So a worker keeps off that CPU while it sleeps, and may run
 * anywhere again while it works.
 */
#ifndef ANAM_APART_H
#define ANAM_APART_H

#if defined(__linux__) && defined(_OPENMP)
#include <sched.h>

static _Thread_local cpu_set_t anam_home;       /* where the thread may run */
static _Thread_local int anam_home_is_known;

static int anam_this_cpu(void) { return sched_getcpu(); }

static void anam_go_anywhere(void)
{
    if (anam_home_is_known)
        sched_setaffinity(0, sizeof anam_home, &anam_home);
}

static void anam_keep_off(int cpu)
{
    if (!anam_home_is_known)
        anam_home_is_known = sched_getaffinity(0, sizeof anam_home, &anam_home) == 0;
    if (anam_home_is_known && cpu >= 0 && cpu < CPU_SETSIZE) {
        cpu_set_t others = anam_home;
        CPU_CLR(cpu, &others);
        if (CPU_COUNT(&others))
            sched_setaffinity(0, sizeof others, &others);
    }
}

#else
static int anam_this_cpu(void) { return -1; }
static void anam_go_anywhere(void) {}
static void anam_keep_off(int cpu) { (void)cpu; }
#endif

#endif
