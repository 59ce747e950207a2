/* Products of codes for 64-bit Arm (panels.h). */
#ifndef ANAM_PANELS_NEON_H
#define ANAM_PANELS_NEON_H

#include "panels.h"

#if defined(ANAM_DOTPROD)

/* ---- NEON with dot products: both operands have signs, and codes are at most 63 ---- */

ANAM_DOTPROD ANAM_INLINE void anam_dotprod_sums_fixed(
    const uint8_t *panel, size_t first, size_t end, const int bits, const anam_sketch *queries, const int n_queries,
    int32_t (*sums)[ANAM_PANEL_ROWS])
{
    const uint8x16_t low = vdupq_n_u8(15), high = vdupq_n_u8(48);
    /* Half of a panel at a time: for all of it, the sums and codes would not fit the registers. */
    for (int half = 0; half < 2; half++) {
        int32x4_t sum[ANAM_QUERIES_AT_ONCE][2];
        for (int k = 0; k < n_queries; k++)
            for (int i = 0; i < 2; i++)
                sum[k][i] = vdupq_n_s32(0);
        for (size_t group = first; group < end; group++)
            for (int i = 0; i < 2; i++) {
                const uint8_t *at = panel + group * (bits == 4 ? 64 : 192) + 32 * half + 16 * i;
                const uint8x16_t a = vld1q_u8(at);
                uint8x16_t code[4] = {vandq_u8(a, low), vshrq_n_u8(a, 4)};
                if (bits == 6) {
                    const uint8x16_t b = vld1q_u8(at + 64), c = vld1q_u8(at + 128);
                    code[0] = vorrq_u8(code[0], vandq_u8(vshlq_n_u8(c, 4), high));
                    code[1] = vorrq_u8(code[1], vandq_u8(vshlq_n_u8(c, 2), high));
                    code[2] = vorrq_u8(vandq_u8(b, low), vandq_u8(c, high));
                    code[3] = vorrq_u8(vshrq_n_u8(b, 4), vandq_u8(vshrq_n_u8(c, 2), high));
                }
                for (int k = 0; k < n_queries; k++) {
                    int32x4_t total = sum[k][i];
                    if (bits == 4) {
                        const int8x8_t query = vld1_s8(queries[k].codes + group * 8);
                        total = vdotq_lane_s32(total, vreinterpretq_s8_u8(code[0]), query, 0);
                        total = vdotq_lane_s32(total, vreinterpretq_s8_u8(code[1]), query, 1);
                    }
                    else {
                        const int8x16_t query = vld1q_s8(queries[k].codes + group * 16);
                        total = vdotq_laneq_s32(total, vreinterpretq_s8_u8(code[0]), query, 0);
                        total = vdotq_laneq_s32(total, vreinterpretq_s8_u8(code[1]), query, 1);
                        total = vdotq_laneq_s32(total, vreinterpretq_s8_u8(code[2]), query, 2);
                        total = vdotq_laneq_s32(total, vreinterpretq_s8_u8(code[3]), query, 3);
                    }
                    sum[k][i] = total;
                }
            }
        for (int k = 0; k < n_queries; k++)
            for (int i = 0; i < 2; i++)
                vst1q_s32(sums[k] + 8 * half + 4 * i, sum[k][i]);
    }
}

/* The counts of queries as constants, so that loops over them unroll and sums stay in registers. */
ANAM_DOTPROD static void anam_dotprod_sums(
    const uint8_t *panels, size_t stride, size_t first, size_t end, int bits,
    const anam_sketch *queries, size_t n_panels, size_t n_queries, int32_t (*sums)[ANAM_PANEL_ROWS])
{
    for (size_t i = 0; i < n_panels; i++, panels += stride, sums += n_queries) {
        if (n_queries == 4 && bits == 4)
            anam_dotprod_sums_fixed(panels, first, end, 4, queries, 4, sums);
        else if (n_queries == 4)
            anam_dotprod_sums_fixed(panels, first, end, 6, queries, 4, sums);
        else
            for (size_t k = 0; k < n_queries; k++) {
                if (bits == 4)
                    anam_dotprod_sums_fixed(panels, first, end, 4, queries + k, 1, sums + k);
                else
                    anam_dotprod_sums_fixed(panels, first, end, 6, queries + k, 1, sums + k);
            }
    }
}

ANAM_DOTPROD static int anam_dotprod_reached(const float *values, float threshold)
{
    const float32x4_t least = vdupq_n_f32(threshold);
    uint32x4_t reached = vcgeq_f32(vld1q_f32(values), least);
    for (int i = 1; i < 4; i++)
        reached = vorrq_u32(reached, vcgeq_f32(vld1q_f32(values + 4 * i), least));
    return vmaxvq_u32(reached) != 0;
}

ANAM_DOTPROD static int32_t anam_dotprod_dot(const int8_t *row, const int8_t *query, size_t width, int32_t total)
{
    (void)total;
    int32x4_t sum[2] = {vdupq_n_s32(0), vdupq_n_s32(0)};
    for (size_t i = 0; i < width; i += 32)
        for (int half = 0; half < 2; half++) {
            const int8x16_t a = vld1q_s8(row + i + 16 * half), x = vld1q_s8(query + i + 16 * half);
            sum[half] = vdotq_s32(sum[half], a, x);
        }
    return vaddvq_s32(vaddq_s32(sum[0], sum[1]));
}

ANAM_COMPILED(dotprod, ANAM_PORTABLE)
#endif

#endif
