/* Codes: rows as a few bits a coordinate, sixteen rows to a panel, and the integer dot products that bound their cosines.
 *
 * A panel holds sixteen rows in groups of coordinates, so that four neighbouring coordinates of a row lie in four
 * neighbouring bytes, as the dot-product instructions want them, and one load serves sixteen rows:
 *
 *     4 bits   group of  8 coordinates,  64 bytes: byte 4 j + i has coordinate i of row j in its low half, i + 4 in its high half
 *     6 bits   group of 16 coordinates, 192 bytes: the low four bits as two groups of 4 bits, then 64 bytes, of which byte
 *              4 j + i has the two high bits of coordinates i, i + 4, i + 8 and i + 12 of row j, lowest first
 *
 * and after its groups, for each row, three floats: `scale`, the value of one step of its code; `residual`, a bound of
 * the norm of what the code leaves out of the coordinates coded; `rest`, a bound of the norm of what is not coded (with a
 * rotation), or the norm of the decoded coordinates after the first `early` groups (without one). docs/explanation/exactness.md
 * has the mathematics.
 *
 * Each instruction set gives two functions: `sums` (products of codes and queries, for some panels and queries) and `dot`
 * (two rows of signed bytes). All else is written once and compiled for each.
 */
#ifndef ANAM_PANELS_H
#define ANAM_PANELS_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "simd.h"
#include "targets.h"

/* sums[i * n_queries + k][j] = codes of row j of panel i · codes of query k, over the groups from `first` to `end`. */
typedef void anam_sums(
    const uint8_t *panels, size_t stride, size_t first, size_t end, int bits,
    const anam_sketch *queries, size_t n_panels, size_t n_queries, int32_t (*sums)[ANAM_PANEL_ROWS]);

/* Estimates and upper bounds of the cosines of sixteen rows. */
ANAM_INLINE void anam_bounds(
    const int32_t *sums, const float *scale, const anam_sketch *query, int tail, float *estimates, float *bounds)
{
    const float *residual = scale + ANAM_PANEL_ROWS, *rest = residual + ANAM_PANEL_ROWS;
    ANAM_TOGETHER
    for (int j = 0; j < ANAM_PANEL_ROWS; j++) {
        estimates[j] = (float)(sums[j] - query->offset) * (scale[j] * query->step);
        bounds[j] = estimates[j] + query->residual * residual[j] + (tail ? query->rest * rest[j] : 0.0f) + query->slack;
    }
}

/* Whether one of sixteen values reaches a threshold. */
typedef int anam_reached(const float *values, float threshold);

/* Whether some row of a panel may reach the threshold, by its early groups. */
ANAM_INLINE int anam_may_reach(
    const int32_t *sums, const float *scale, const anam_sketch *query, float threshold, anam_reached *reached)
{
    const float *residual = scale + ANAM_PANEL_ROWS, *rest = residual + ANAM_PANEL_ROWS;
    float bounds[ANAM_PANEL_ROWS];
    ANAM_TOGETHER
    for (int j = 0; j < ANAM_PANEL_ROWS; j++)
        bounds[j] = (float)(sums[j] - query->early_offset) * (scale[j] * query->step)
            + query->residual * residual[j] + query->early_rest * rest[j] + query->slack;
    return reached(bounds, threshold);
}

/* What is left to do with the sums of a panel and a query. */
ANAM_INLINE void anam_panel_done(
    const int32_t *sums, const float *scale, const uint8_t *alive, size_t n_rows, const anam_sketch *query, int tail,
    int64_t first_row, float *bounds, anam_heap *heap, float *most, anam_reached *reached)
{
    float estimates[ANAM_PANEL_ROWS], above[ANAM_PANEL_ROWS];
    anam_bounds(sums, scale, query, tail, estimates, above);
    if (alive == NULL && n_rows == ANAM_PANEL_ROWS)
        memcpy(bounds, above, sizeof above);
    else {
        for (size_t j = 0; j < ANAM_PANEL_ROWS; j++)
            if (j >= n_rows || (alive != NULL && !alive[j]))
                estimates[j] = above[j] = -INFINITY;
        for (size_t j = 0; j < n_rows; j++)
            bounds[j] = above[j];
    }
    ANAM_TOGETHER
    for (int j = 0; j < ANAM_PANEL_ROWS; j++)
        most[j] = above[j] > most[j] ? above[j] : most[j];
    if (heap->size && reached(estimates, heap->score[0]))
        for (int j = 0; j < ANAM_PANEL_ROWS; j++)
            anam_heap_offer(heap, estimates[j], first_row + j);
}

ANAM_INLINE int anam_any(const uint8_t *alive, size_t n_rows)
{
    unsigned any = 0;
    for (size_t j = 0; j < n_rows; j++)
        any |= alive[j];
    return any != 0;
}

/* How many panels that have living rows begin here, up to some number. */
ANAM_INLINE size_t anam_living(const uint8_t *alive, size_t n_rows, size_t most)
{
    size_t n = 0;
    for (; n < most && n * ANAM_PANEL_ROWS < n_rows; n++) {
        const size_t rest = n_rows - n * ANAM_PANEL_ROWS;
        if (alive != NULL && !anam_any(alive + n * ANAM_PANEL_ROWS, rest < ANAM_PANEL_ROWS ? rest : ANAM_PANEL_ROWS))
            break;
    }
    return n;
}

/* What is taken at once: one query with some panels, so that it is loaded once for them, or some queries with two. */
#define ANAM_PANELS_AT_ONCE 4
#define ANAM_QUERIES_AT_ONCE 4

/* The first level over some neighbouring panels of n_rows rows, for some queries: row r of query k gets its upper bound in
 * bounds[k * stride + r], -inf if it is dead or cannot reach the threshold; each of the sixteen numbers from most[16 * k] on
 * rises to the greatest bound of some of the rows. */
ANAM_INLINE void anam_scan_body(
    const anam_panels *panels, size_t first_panel, size_t n_rows, const uint8_t *alive, const anam_sketch *queries,
    size_t n_queries, float threshold, int64_t first_row, float *bounds, size_t stride, anam_heap *heaps, float *most,
    anam_sums *sum_up, anam_reached *reached)
{
    const size_t group_bytes = panels->bits == 4 ? 64 : 192;
    const int tail = !panels->early;
    const size_t early = panels->early && threshold > 0.0f ? panels->early : 0;
    const size_t at_once = early ? 1 : n_queries == 1 ? ANAM_PANELS_AT_ONCE : 2;
    int32_t sums[2 * ANAM_QUERIES_AT_ONCE][ANAM_PANEL_ROWS], later[1][ANAM_PANEL_ROWS];
    for (size_t row = 0; row < n_rows;) {
        const uint8_t *panel = panels->data + (first_panel + row / ANAM_PANEL_ROWS) * panels->stride;
        const uint8_t *living = alive != NULL ? alive + row : NULL;
        const float *scale = (const float *)(panel + panels->groups * group_bytes);
        const size_t together = anam_living(living, n_rows - row, at_once);
        const size_t here = n_rows - row < ANAM_PANEL_ROWS ? n_rows - row : ANAM_PANEL_ROWS;
        const size_t step = early || together == 0 ? 1 : ANAM_QUERIES_AT_ONCE;
        for (size_t k = 0; k < n_queries; k += step) {
            const size_t n = n_queries - k < step ? n_queries - k : step;
            if (together)
                sum_up(panel, panels->stride, 0, early ? early : panels->groups, panels->bits, queries + k, together, n, sums);
            if (together == 0 || (early && !anam_may_reach(sums[0], scale, queries + k, threshold, reached))) {
                for (size_t j = 0; j < here; j++)
                    bounds[k * stride + row + j] = -INFINITY;
                continue;
            }
            if (early) {
                sum_up(panel, panels->stride, early, panels->groups, panels->bits, queries + k, 1, 1, later);
                for (int j = 0; j < ANAM_PANEL_ROWS; j++)
                    sums[0][j] += later[0][j];
            }
            for (size_t p = 0; p < together; p++)
                for (size_t m = 0; m < n; m++) {
                    const size_t at = row + p * ANAM_PANEL_ROWS;
                    anam_panel_done(
                        sums[p * n + m], (const float *)((const uint8_t *)scale + p * panels->stride),
                        alive != NULL ? alive + at : NULL, n_rows - at < ANAM_PANEL_ROWS ? n_rows - at : ANAM_PANEL_ROWS,
                        queries + k + m, tail, first_row + (int64_t)at, bounds + (k + m) * stride + at, heaps + k + m,
                        most + ANAM_PANEL_ROWS * (k + m), reached);
                }
        }
        row += ANAM_PANEL_ROWS * (together ? together : 1);
    }
}

/* The code of a row: width numbers to codes of some bits (0 stands for -2^(bits - 1)) and the scale that leaves least out. */
ANAM_INLINE float anam_quantise_body(const float *values, size_t width, int bits, uint8_t *codes)
{
    static const float clips[] = {1.0f, 0.85f, 0.72f, 0.6f};
    const float magic = 12582912.0f;        /* 1.5 * 2^23: adding it rounds to the nearest integer */
    const float least = -(float)(1 << (bits - 1)), most = -least - 1.0f;
    float greatest = 0.0f, best = -1.0f, chosen = 0.0f, best_scale = 0.0f;
    for (size_t i = 0; i < width; i++)
        greatest = fabsf(values[i]) > greatest ? fabsf(values[i]) : greatest;
    if (!(greatest > 0.0f)) {
        memset(codes, 1 << (bits - 1), width);
        return 0.0f;
    }
    for (size_t clip = 0; clip < (bits < 8 ? sizeof clips / sizeof *clips : 1); clip++) {
        const float inverse = (most + 0.5f) / (greatest * clips[clip]);
        float product = 0.0f, square = 0.0f;
        ANAM_TOGETHER_ADDING(product, square)
        for (size_t i = 0; i < width; i++) {
            float code = (values[i] * inverse + magic) - magic;
            code = code < least ? least : code;
            code = code > most ? most : code;
            product += code * values[i];
            square += code * code;
        }
        if (square > 0.0f && product * product / square > best) {
            best = product * product / square;
            chosen = inverse;
            best_scale = product / square;
        }
    }
    ANAM_TOGETHER
    for (size_t i = 0; i < width; i++) {
        float code = (values[i] * chosen + magic) - magic;
        code = code < least ? least : code;
        code = code > most ? most : code;
        codes[i] = (uint8_t)(int)(code - least);
    }
    return best_scale;
}

/* The squares of the norms of values, of what their code leaves out, and of the code from coordinate `from` on, in double. */
ANAM_INLINE void anam_residual_body(
    const float *values, const uint8_t *codes, size_t width, int zero, float scale, size_t from, double *norm, double *left_out, double *rest)
{
    double a = 0.0, b = 0.0, c = 0.0;
    ANAM_TOGETHER_ADDING(a, b)
    for (size_t i = 0; i < width; i++) {
        const double value = values[i], missed = value - (double)scale * ((int)codes[i] - zero);
        a += value * value;
        b += missed * missed;
    }
    ANAM_TOGETHER_ADDING(c)
    for (size_t i = from; i < width; i++) {
        const double decoded = (double)scale * ((int)codes[i] - zero);
        c += decoded * decoded;
    }
    *norm = a;
    *left_out = b;
    *rest = c;
}

/* The values that reach a threshold: their places go to `places`, their number is returned. */
ANAM_INLINE size_t anam_reaching_body(const float *values, size_t n, float threshold, int32_t *places, anam_reached *reached)
{
    size_t found = 0, i = 0;
    for (; i + ANAM_PANEL_ROWS <= n; i += ANAM_PANEL_ROWS)
        if (reached(values + i, threshold))
            for (int j = 0; j < ANAM_PANEL_ROWS; j++)
                if (values[i + j] >= threshold)
                    places[found++] = (int32_t)(i + j);
    for (; i < n; i++)
        if (values[i] >= threshold)
            places[found++] = (int32_t)i;
    return found;
}

/* What is written once, compiled for an instruction set. */
#define ANAM_COMPILED(LEVEL, TARGET) \
    TARGET static void anam_##LEVEL##_scan( \
        const anam_panels *panels, size_t first_panel, size_t n_rows, const uint8_t *alive, const anam_sketch *queries, \
        size_t n_queries, float threshold, int64_t first_row, float *bounds, size_t stride, anam_heap *heaps, float *most) \
    { \
        anam_scan_body( \
            panels, first_panel, n_rows, alive, queries, n_queries, threshold, first_row, bounds, stride, heaps, most, \
            anam_##LEVEL##_sums, anam_##LEVEL##_reached); \
    } \
    TARGET static size_t anam_##LEVEL##_reaching(const float *values, size_t n, float threshold, int32_t *places) \
    { \
        return anam_reaching_body(values, n, threshold, places, anam_##LEVEL##_reached); \
    } \
    TARGET static float anam_##LEVEL##_quantise(const float *values, size_t width, int bits, uint8_t *codes) \
    { \
        return anam_quantise_body(values, width, bits, codes); \
    } \
    TARGET static void anam_##LEVEL##_residual( \
        const float *values, const uint8_t *codes, size_t width, int zero, float scale, size_t from, double *norm, \
        double *left_out, double *rest) \
    { \
        anam_residual_body(values, codes, width, zero, scale, from, norm, left_out, rest); \
    }

/* ---- portable C ---- */

static int anam_portable_reached(const float *values, float threshold)
{
    int reached = 0;
    for (int j = 0; j < ANAM_PANEL_ROWS; j++)
        reached |= values[j] >= threshold;
    return reached;
}

ANAM_INLINE void anam_unpack_group(const uint8_t *group, int bits, int j, uint8_t *codes)
{
    for (int i = 0; i < 4; i++) {
        const uint8_t byte = group[4 * j + i];
        codes[i] = byte & 15;
        codes[4 + i] = byte >> 4;
        if (bits == 6) {
            const uint8_t next = group[64 + 4 * j + i], high = group[128 + 4 * j + i];
            codes[8 + i] = next & 15;
            codes[12 + i] = next >> 4;
            for (int part = 0; part < 4; part++)
                codes[4 * part + i] |= (uint8_t)(((high >> (2 * part)) & 3) << 4);
        }
    }
}

static void anam_portable_sums(
    const uint8_t *panels, size_t stride, size_t first, size_t end, int bits,
    const anam_sketch *queries, size_t n_panels, size_t n_queries, int32_t (*sums)[ANAM_PANEL_ROWS])
{
    const size_t group_bytes = bits == 4 ? 64 : 192, group_width = bits == 4 ? 8 : 16;
    uint8_t codes[16];
    memset(sums, 0, n_panels * n_queries * sizeof *sums);
    for (size_t i = 0; i < n_panels; i++, panels += stride)
        for (size_t group = first; group < end; group++)
            for (int j = 0; j < ANAM_PANEL_ROWS; j++) {
                anam_unpack_group(panels + group * group_bytes, bits, j, codes);
                for (size_t k = 0; k < n_queries; k++) {
                    const int8_t *query = queries[k].codes + group * group_width;
                    int32_t sum = 0;
                    for (size_t m = 0; m < group_width; m++)
                        sum += codes[m] * query[m];
                    sums[i * n_queries + k][j] += sum;
                }
            }
}

static int32_t anam_portable_dot(const int8_t *row, const int8_t *query, size_t width, int32_t total)
{
    (void)total;
    int32_t sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += row[i] * query[i];
    return sum;
}

ANAM_COMPILED(portable, ANAM_PORTABLE)

#endif
