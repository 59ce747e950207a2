/* Products of codes for 64-bit Arm (panels.h). */
#ifndef ANAM_PANELS_NEON_H
#define ANAM_PANELS_NEON_H

#include "panels.h"

#if defined(ANAM_DOTPROD)

/* ---- NEON with dot products ---- */

/* Both operands have signs, and codes are at most 63. */
ANAM_DOTPROD static void anam_dotprod_sums(
    const uint8_t *panels, size_t stride, size_t first, size_t end, int bits,
    const anam_sketch *queries, size_t n_panels, size_t n_queries, int32_t (*sums)[ANAM_PANEL_ROWS])
{
    const uint8x16_t low = vdupq_n_u8(15), high = vdupq_n_u8(48);
    for (size_t i = 0; i < n_panels; i++, panels += stride)
        for (int quarter = 0; quarter < 4; quarter++) {
            int32x4_t sum[ANAM_QUERIES_AT_ONCE];
            for (size_t k = 0; k < n_queries; k++)
                sum[k] = vld1q_s32(sums[i * n_queries + k] + 4 * quarter);
            for (size_t group = first; group < end; group++) {
                const uint8_t *at = panels + group * (bits == 4 ? 64 : 192) + 16 * quarter;
                const uint8x16_t a = vld1q_u8(at);
                uint8x16_t code[4] = {vandq_u8(a, low), vshrq_n_u8(a, 4)};
                if (bits == 6) {
                    const uint8x16_t b = vld1q_u8(at + 64), c = vld1q_u8(at + 128);
                    code[0] = vorrq_u8(code[0], vandq_u8(vshlq_n_u8(c, 4), high));
                    code[1] = vorrq_u8(code[1], vandq_u8(vshlq_n_u8(c, 2), high));
                    code[2] = vorrq_u8(vandq_u8(b, low), vandq_u8(c, high));
                    code[3] = vorrq_u8(vshrq_n_u8(b, 4), vandq_u8(vshrq_n_u8(c, 2), high));
                }
                for (size_t k = 0; k < n_queries; k++) {
                    const int8_t *query = queries[k].codes + group * (bits == 4 ? 8 : 16);
                    for (int m = 0; m < (bits == 4 ? 2 : 4); m++) {
                        int32_t four;
                        memcpy(&four, query + 4 * m, 4);
                        sum[k] = vdotq_s32(sum[k], vreinterpretq_s8_u8(code[m]), vreinterpretq_s8_s32(vdupq_n_s32(four)));
                    }
                }
            }
            for (size_t k = 0; k < n_queries; k++)
                vst1q_s32(sums[i * n_queries + k] + 4 * quarter, sum[k]);
        }
}

ANAM_DOTPROD static int32_t anam_dotprod_dot(const int8_t *row, const int8_t *query, size_t width)
{
    int32x4_t sum0 = vdupq_n_s32(0), sum1 = sum0;
    for (size_t i = 0; i < width; i += 32) {
        sum0 = vdotq_s32(sum0, vld1q_s8(row + i), vld1q_s8(query + i));
        sum1 = vdotq_s32(sum1, vld1q_s8(row + i + 16), vld1q_s8(query + i + 16));
    }
    return vaddvq_s32(vaddq_s32(sum0, sum1));
}

ANAM_COMPILED(dotprod, ANAM_DOTPROD)
#endif

#endif
