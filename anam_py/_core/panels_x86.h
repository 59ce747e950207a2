/* Products of codes for x86-64: AVX2, AVX2 with its own VNNI, AVX-512 with VNNI (panels.h). */
#ifndef ANAM_PANELS_X86_H
#define ANAM_PANELS_X86_H

#include "panels.h"

#if defined(__x86_64__) || defined(_M_X64)

/* ---- AVX2, with and without its own VNNI ---- */

ANAM_INLINE int32_t anam_four_bytes(const int8_t *codes)
{
    int32_t word;
    memcpy(&word, codes, 4);
    return word;
}

#define ANAM_SUMS_AVX2(NAME, TARGET, ADD4) \
    TARGET ANAM_INLINE void NAME##_fixed( \
        const uint8_t *panels, size_t stride, size_t first, size_t end, const int bits, const anam_sketch *queries, \
        const int n_panels, const int n_queries, int32_t (*sums)[ANAM_PANEL_ROWS]) \
    { \
        const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(48); \
        for (int i = 0; i < n_panels; i++, panels += stride) \
            for (int half = 0; half < 2; half++) { \
                __m256i sum[ANAM_QUERIES_AT_ONCE]; \
                for (int k = 0; k < n_queries; k++) \
                    sum[k] = _mm256_setzero_si256(); \
                for (size_t group = first; group < end; group++) { \
                    const uint8_t *at = panels + group * (bits == 4 ? 64 : 192) + 32 * half; \
                    const __m256i a = _mm256_loadu_si256((const __m256i *)at); \
                    __m256i code[4] = {_mm256_and_si256(a, low), _mm256_and_si256(_mm256_srli_epi16(a, 4), low)}; \
                    if (bits == 6) { \
                        const __m256i b = _mm256_loadu_si256((const __m256i *)(at + 64)); \
                        const __m256i c = _mm256_loadu_si256((const __m256i *)(at + 128)); \
                        code[0] = _mm256_or_si256(code[0], _mm256_and_si256(_mm256_slli_epi16(c, 4), high)); \
                        code[1] = _mm256_or_si256(code[1], _mm256_and_si256(_mm256_slli_epi16(c, 2), high)); \
                        code[2] = _mm256_or_si256(_mm256_and_si256(b, low), _mm256_and_si256(c, high)); \
                        code[3] = _mm256_or_si256( \
                            _mm256_and_si256(_mm256_srli_epi16(b, 4), low), _mm256_and_si256(_mm256_srli_epi16(c, 2), high)); \
                    } \
                    for (int k = 0; k < n_queries; k++) { \
                        const int8_t *query = queries[k].codes + group * (bits == 4 ? 8 : 16); \
                        ADD4(sum[k], code[0], code[1], anam_four(query), anam_four(query + 4)); \
                        if (bits == 6) \
                            ADD4(sum[k], code[2], code[3], anam_four(query + 8), anam_four(query + 12)); \
                    } \
                } \
                for (int k = 0; k < n_queries; k++) \
                    _mm256_storeu_si256((__m256i *)sums[i * n_queries + k] + half, sum[k]); \
            } \
    } \
    ANAM_DISPATCH_SUMS(NAME, TARGET)

/* The counts of panels and queries as constants, so that loops over them unroll and sums stay in registers. */
#define ANAM_DISPATCH_SUMS(NAME, TARGET) \
    TARGET ANAM_INLINE void NAME##_of( \
        const uint8_t *panels, size_t stride, size_t first, size_t end, const int bits, \
        const anam_sketch *queries, size_t n_panels, size_t n_queries, int32_t (*sums)[ANAM_PANEL_ROWS]) \
    { \
        if (n_panels == 4 && n_queries == 1) \
            NAME##_fixed(panels, stride, first, end, bits, queries, 4, 1, sums); \
        else if (n_panels == 2 && n_queries == 4) \
            NAME##_fixed(panels, stride, first, end, bits, queries, 2, 4, sums); \
        else \
            for (size_t i = 0; i < n_panels; i++) \
                for (size_t k = 0; k < n_queries; k++) \
                    NAME##_fixed(panels + i * stride, stride, first, end, bits, queries + k, 1, 1, sums + i * n_queries + k); \
    } \
    TARGET static void NAME( \
        const uint8_t *panels, size_t stride, size_t first, size_t end, int bits, \
        const anam_sketch *queries, size_t n_panels, size_t n_queries, int32_t (*sums)[ANAM_PANEL_ROWS]) \
    { \
        if (bits == 4) \
            NAME##_of(panels, stride, first, end, 4, queries, n_panels, n_queries, sums); \
        else \
            NAME##_of(panels, stride, first, end, 6, queries, n_panels, n_queries, sums); \
    }

/* Four neighbouring codes of a query, for every row. */
#define anam_four(codes) _mm256_set1_epi32(anam_four_bytes(codes))

/* Codes are at most 63 and a query's at most 127 in size: two pairs of products fit sixteen bits, so nothing saturates. */
#define ANAM_ADD4_AVX2(sum, a, b, x, y) \
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16( \
        _mm256_add_epi16(_mm256_maddubs_epi16(a, x), _mm256_maddubs_epi16(b, y)), _mm256_set1_epi16(1)))

ANAM_SUMS_AVX2(anam_avx2_sums, ANAM_AVX2, ANAM_ADD4_AVX2)

#if defined(ANAM_AVXVNNI)
#define ANAM_ADD4_AVXVNNI(sum, a, b, x, y) \
    sum = _mm256_dpbusd_avx_epi32(_mm256_dpbusd_avx_epi32(sum, a, x), b, y)

ANAM_SUMS_AVX2(anam_avxvnni_sums, ANAM_AVXVNNI, ANAM_ADD4_AVXVNNI)
#endif

ANAM_AVX2 static int anam_avx2_reached(const float *values, float threshold)
{
    const __m256 least = _mm256_set1_ps(threshold);
    const __m256 first = _mm256_cmp_ps(_mm256_loadu_ps(values), least, _CMP_GE_OQ);
    return _mm256_movemask_ps(_mm256_or_ps(first, _mm256_cmp_ps(_mm256_loadu_ps(values + 8), least, _CMP_GE_OQ)));
}

ANAM_AVX2 static int32_t anam_avx2_dot(const int8_t *row, const int8_t *query, size_t width, int32_t total)
{
    (void)total;
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum0 = _mm256_setzero_si256(), sum1 = sum0;
    for (size_t i = 0; i < width; i += 64) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(row + i)), b = _mm256_loadu_si256((const __m256i *)(row + i + 32));
        const __m256i x = _mm256_loadu_si256((const __m256i *)(query + i)), y = _mm256_loadu_si256((const __m256i *)(query + i + 32));
        /* maddubs wants one operand without a sign. A row has -128, a query has not: 2 * 128 * 127 fits sixteen bits. */
        sum0 = _mm256_add_epi32(sum0, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(a), _mm256_sign_epi8(x, a)), ones));
        sum1 = _mm256_add_epi32(sum1, _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(b), _mm256_sign_epi8(y, b)), ones));
    }
    const __m256i sum = _mm256_add_epi32(sum0, sum1);
    __m128i quad = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    quad = _mm_add_epi32(quad, _mm_shuffle_epi32(quad, 0x4e));
    quad = _mm_add_epi32(quad, _mm_shuffle_epi32(quad, 0xb1));
    return _mm_cvtsi128_si32(quad);
}

ANAM_COMPILED(avx2, ANAM_AVX2)

#if defined(ANAM_AVXVNNI)
#define anam_avxvnni_dot anam_avx2_dot
#define anam_avxvnni_reached anam_avx2_reached
ANAM_COMPILED(avxvnni, ANAM_AVXVNNI)
#endif

/* ---- AVX-512 with VNNI ---- */

#if defined(ANAM_VNNI)

ANAM_VNNI ANAM_INLINE void anam_vnni_sums_fixed(
    const uint8_t *panels, size_t stride, size_t first, size_t end, const int bits, const anam_sketch *queries,
    const int n_panels, const int n_queries, int32_t (*sums)[ANAM_PANEL_ROWS])
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(48);
    __m512i sum[ANAM_PANELS_AT_ONCE][ANAM_QUERIES_AT_ONCE];
    for (int i = 0; i < n_panels; i++)
        for (int k = 0; k < n_queries; k++)
            sum[i][k] = _mm512_setzero_si512();
    for (size_t group = first; group < end; group++) {
        __m512i code[ANAM_PANELS_AT_ONCE][4];
        for (int i = 0; i < n_panels; i++) {
            const uint8_t *at = panels + i * stride + group * (bits == 4 ? 64 : 192);
            if (n_panels == 4)
                for (int line = 0; line < (bits == 4 ? 1 : 3); line++)
                    anam_prefetch(at + 4 * stride + 64 * line);
            const __m512i a = _mm512_loadu_si512(at);
            code[i][0] = _mm512_and_si512(a, low);
            code[i][1] = _mm512_and_si512(_mm512_srli_epi16(a, 4), low);
            if (bits == 6) {
                const __m512i b = _mm512_loadu_si512(at + 64), c = _mm512_loadu_si512(at + 128);
                /* 0xEA: (first & second) | third */
                code[i][0] = _mm512_ternarylogic_epi32(_mm512_slli_epi16(c, 4), high, code[i][0], 0xEA);
                code[i][1] = _mm512_ternarylogic_epi32(_mm512_slli_epi16(c, 2), high, code[i][1], 0xEA);
                code[i][2] = _mm512_ternarylogic_epi32(c, high, _mm512_and_si512(b, low), 0xEA);
                code[i][3] = _mm512_ternarylogic_epi32(
                    _mm512_srli_epi16(c, 2), high, _mm512_and_si512(_mm512_srli_epi16(b, 4), low), 0xEA);
            }
        }
        for (int k = 0; k < n_queries; k++)
            for (int m = 0; m < (bits == 4 ? 2 : 4); m++) {
                const __m512i four = _mm512_set1_epi32(anam_four_bytes(queries[k].codes + group * (bits == 4 ? 8 : 16) + 4 * m));
                for (int i = 0; i < n_panels; i++)
                    sum[i][k] = _mm512_dpbusd_epi32(sum[i][k], code[i][m], four);
            }
    }
    for (int i = 0; i < n_panels; i++)
        for (int k = 0; k < n_queries; k++)
            _mm512_storeu_si512(sums[i * n_queries + k], sum[i][k]);
}

ANAM_DISPATCH_SUMS(anam_vnni_sums, ANAM_VNNI)

ANAM_VNNI static int anam_vnni_reached(const float *values, float threshold)
{
    return _mm512_cmp_ps_mask(_mm512_loadu_ps(values), _mm512_set1_ps(threshold), _CMP_GE_OQ) != 0;
}

ANAM_VNNI static int32_t anam_vnni_dot(const int8_t *row, const int8_t *query, size_t width, int32_t total)
{
    /* The instruction wants one operand without a sign: the row plus 128, of which 128 times the query is taken off again. */
    const __m512i sign = _mm512_set1_epi8(-128);
    __m512i sum[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
    size_t i = 0;
    for (; i + 256 <= width; i += 256)
        for (int part = 0; part < 4; part++)
            sum[part] = _mm512_dpbusd_epi32(
                sum[part], _mm512_xor_si512(_mm512_loadu_si512(row + i + 64 * part), sign),
                _mm512_loadu_si512(query + i + 64 * part));
    for (; i < width; i += 64)
        sum[0] = _mm512_dpbusd_epi32(
            sum[0], _mm512_xor_si512(_mm512_loadu_si512(row + i), sign), _mm512_loadu_si512(query + i));
    const __m512i all = _mm512_add_epi32(_mm512_add_epi32(sum[0], sum[1]), _mm512_add_epi32(sum[2], sum[3]));
    return _mm512_reduce_add_epi32(all) - 128 * total;
}

ANAM_COMPILED(vnni, ANAM_VNNI)
#endif
#endif

#endif
