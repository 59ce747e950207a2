/* Streams floats from memory with several threads, each a part of its own, and says how long that took. */
#include <pthread.h>
#include <stddef.h>
#include <time.h>

enum { MOST = 64, LANES = 64 };

struct part {
    const float *start;
    size_t count;
    float sum;
};

static void *add(void *argument)
{
    struct part *part = argument;
    float sums[LANES] = {0};
    for (size_t i = 0; i + LANES <= part->count; i += LANES)
        for (int lane = 0; lane < LANES; lane++)
            sums[lane] += part->start[i + lane];
    for (int lane = 0; lane < LANES; lane++)
        part->sum += sums[lane];
    return NULL;
}

/* Seconds, or a negative number where a thread could not be started; the sum is written out, lest it be left out. */
double peers_stream(const float *start, size_t count, int threads, float *sum)
{
    struct timespec from, to;
    struct part parts[MOST];
    pthread_t others[MOST];
    if (threads < 1 || threads > MOST)
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = threads - 1; i >= 0; i--) {
        parts[i] = (struct part){start + count / threads * i, count / threads, 0};
        if (i == 0)
            add(&parts[i]);
        else if (pthread_create(&others[i], NULL, add, &parts[i]) != 0)
            return -1;
    }
    for (int i = 1; i < threads; i++)
        pthread_join(others[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    *sum = 0;
    for (int i = 0; i < threads; i++)
        *sum += parts[i].sum;
    return (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
}
