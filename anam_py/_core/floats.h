/* Dot products of single-precision rows.
 *
 * dots   The pass over rows without codes: single precision, n_rows contiguous rows with one query. Each implementation
 *        spreads a row over at least ANAM_LANES partial sums; the error bound of docs/explanation/exactness.md rests on that.
 * exact  The contract's sum: double precision, in eight partial sums (element i goes to sum i mod 8) added up as one
 *        fixed tree. The product of two single-precision numbers is exact in double precision, so fused or not, wide
 *        or narrow, every implementation gives the same bits.
 */
#ifndef ANAM_FLOATS_H
#define ANAM_FLOATS_H

#include <stddef.h>

#include "simd.h"
#include "targets.h"

/* Inlined into every implementation, and compiled there for its registers. */
ANAM_INLINE double anam_exact_body(const float *a, const float *b, size_t dimension)
{
    double sum[8] = {0};
    size_t i = 0;
    for (; i + 8 <= dimension; i += 8) {
        ANAM_TOGETHER
        for (int lane = 0; lane < 8; lane++)
            sum[lane] += (double)a[i + lane] * (double)b[i + lane];
    }
    for (int lane = 0; i < dimension; i++, lane++)
        sum[lane] += (double)a[i] * (double)b[i];
    return ((sum[0] + sum[4]) + (sum[2] + sum[6])) + ((sum[1] + sum[5]) + (sum[3] + sum[7]));
}

/* Four rows at once: the sums of one wait for each other. */
ANAM_INLINE void anam_exact4_body(const float *const *rows, const float *query, size_t dimension, double *out)
{
    double sum[4][8] = {{0}};
    size_t i = 0;
    for (; i + 8 <= dimension; i += 8) {
        for (int row = 0; row < 4; row++) {
            ANAM_TOGETHER
            for (int lane = 0; lane < 8; lane++)
                sum[row][lane] += (double)rows[row][i + lane] * (double)query[i + lane];
        }
    }
    for (int row = 0; row < 4; row++) {
        for (size_t lane = 0; i + lane < dimension; lane++)
            sum[row][lane] += (double)rows[row][i + lane] * (double)query[i + lane];
        out[row] = ((sum[row][0] + sum[row][4]) + (sum[row][2] + sum[row][6]))
            + ((sum[row][1] + sum[row][5]) + (sum[row][3] + sum[row][7]));
    }
}

/* ---- portable C ---- */

static void anam_portable_dots(const float *rows, size_t n_rows, size_t dimension, const float *query, float *out)
{
    for (size_t row = 0; row < n_rows; row++, rows += dimension) {
        float sum[ANAM_LANES] = {0};
        size_t i = 0;
        for (; i + ANAM_LANES <= dimension; i += ANAM_LANES) {
            ANAM_TOGETHER
            for (int lane = 0; lane < ANAM_LANES; lane++)
                sum[lane] += rows[i + lane] * query[i + lane];
        }
        for (int lane = 0; i < dimension; i++, lane++)
            sum[lane] += rows[i] * query[i];
        for (int half = ANAM_LANES / 2; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++)
                sum[lane] += sum[lane + half];
        out[row] = sum[0];
    }
}

static double anam_portable_exact(const float *a, const float *b, size_t dimension)
{
    return anam_exact_body(a, b, dimension);
}

static void anam_portable_exact4(const float *const *rows, const float *query, size_t dimension, double *out)
{
    anam_exact4_body(rows, query, dimension, out);
}

#if defined(__x86_64__) || defined(_M_X64)

/* ---- AVX2 with FMA ---- */

ANAM_AVX2 static void anam_avx2_dots(const float *rows, size_t n_rows, size_t dimension, const float *query, float *out)
{
    static const int ones_then_zeros[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    const size_t tail = dimension % 8;
    const __m256i mask = _mm256_loadu_si256((const __m256i *)(ones_then_zeros + 8 - tail));

    /* Memory is the limit: more partial sums, more rows at a time, or prefetching do not make this faster. */
    for (size_t row = 0; row < n_rows; row++, rows += dimension) {
        __m256 sum0 = _mm256_setzero_ps(), sum1 = sum0;
        size_t i = 0;
        for (; i + 16 <= dimension; i += 16) {
            sum0 = _mm256_fmadd_ps(_mm256_loadu_ps(rows + i), _mm256_loadu_ps(query + i), sum0);
            sum1 = _mm256_fmadd_ps(_mm256_loadu_ps(rows + i + 8), _mm256_loadu_ps(query + i + 8), sum1);
        }
        if (i + 8 <= dimension) {
            sum0 = _mm256_fmadd_ps(_mm256_loadu_ps(rows + i), _mm256_loadu_ps(query + i), sum0);
            i += 8;
        }
        if (tail)
            sum1 = _mm256_fmadd_ps(_mm256_maskload_ps(rows + i, mask), _mm256_maskload_ps(query + i, mask), sum1);
        const __m256 sum = _mm256_add_ps(sum0, sum1);
        __m128 quad = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
        quad = _mm_add_ps(quad, _mm_movehl_ps(quad, quad));
        quad = _mm_add_ss(quad, _mm_movehdup_ps(quad));
        out[row] = _mm_cvtss_f32(quad);
    }
}

ANAM_AVX2 static double anam_avx2_exact(const float *a, const float *b, size_t dimension)
{
    return anam_exact_body(a, b, dimension);
}

ANAM_AVX2 static void anam_avx2_exact4(const float *const *rows, const float *query, size_t dimension, double *out)
{
    anam_exact4_body(rows, query, dimension, out);
}

/* ---- AVX-512 ---- */

#if defined(ANAM_VNNI)
ANAM_VNNI static double anam_vnni_exact(const float *a, const float *b, size_t dimension)
{
    return anam_exact_body(a, b, dimension);
}

ANAM_VNNI static void anam_vnni_exact4(const float *const *rows, const float *query, size_t dimension, double *out)
{
    anam_exact4_body(rows, query, dimension, out);
}
#endif
#endif

#endif
