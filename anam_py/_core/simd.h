/* What the implementations for each instruction set have in common: the table's columns, and what they are given. */
#ifndef ANAM_SIMD_H
#define ANAM_SIMD_H

#include <stddef.h>
#include <stdint.h>

/* Partial sums that a single-precision product of rows is spread over, at least. */
#define ANAM_LANES 16
#define ANAM_PANEL_ROWS 16
#define ANAM_PANEL_FLOATS 48

#if defined(__GNUC__) || defined(__clang__)
    #define anam_prefetch(memory) __builtin_prefetch(memory)
#else
    #define anam_prefetch(memory) ((void)(memory))
#endif

/* A query as the first level sees it. `codes` are int8 in whole groups; what they stand for is `step` times as much. */
typedef struct {
    const int8_t *codes;
    int32_t offset;         /* the sum of the codes, times the code that stands for zero */
    float step;
    float residual;         /* what a row's residual is multiplied by, */
    float rest;             /* and its rest */
    float slack;            /* what else the cosine may exceed the estimate by */
    float early_rest;       /* the query's norm after the early groups */
    int32_t early_offset;
} anam_sketch;

/* The best estimates so far and their rows: a heap, the least at its root. */
typedef struct {
    float *score;
    int64_t *row;
    size_t size;
} anam_heap;

/* Put a row in the place of the root, if it is better, and restore the heap. */
static inline void anam_heap_offer(anam_heap *heap, float score, int64_t row)
{
    size_t parent = 0, child = 1;
    if (!(score > heap->score[0]))
        return;
    while (child < heap->size) {
        if (child + 1 < heap->size && heap->score[child + 1] < heap->score[child])
            child++;
        if (score <= heap->score[child])
            break;
        heap->score[parent] = heap->score[child];
        heap->row[parent] = heap->row[child];
        parent = child;
        child = 2 * parent + 1;
    }
    heap->score[parent] = score;
    heap->row[parent] = row;
}

/* Panels that lie together. */
typedef struct {
    const uint8_t *data;
    size_t stride;
    size_t groups;
    size_t early;           /* groups after which a panel may be given up; 0 if never */
    int bits;
} anam_panels;

typedef void anam_scan(
    const anam_panels *panels, size_t first_panel, size_t n_rows, const uint8_t *alive, const anam_sketch *queries,
    size_t n_queries, float threshold, int64_t first_row, float *bounds, size_t stride, anam_heap *heaps, float *most);

typedef struct {
    const char *name;
    int (*usable)(void);
    void (*dots)(const float *rows, size_t n_rows, size_t dimension, const float *query, float *out);
    double (*exact)(const float *a, const float *b, size_t dimension);
    void (*exact4)(const float *const *rows, const float *query, size_t dimension, double *out);
    anam_scan *scan;
    size_t (*reaching)(const float *values, size_t n, float threshold, int32_t *places);
    int32_t (*dot)(const int8_t *row, const int8_t *query, size_t width, int32_t total);     /* of the query */
    float (*quantise)(const float *values, size_t width, int bits, uint8_t *codes);
    void (*residual)(
        const float *values, const uint8_t *codes, size_t width, int zero, float scale, size_t from, double *norm,
        double *left_out, double *rest);
} anam_simd;

#endif
