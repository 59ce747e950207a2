/* What the comparisons of instruction sets have in common: the table, random numbers, and what to say of a difference. */
#ifndef CHECKS_H
#define CHECKS_H

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "simd.h"
#include "targets.h"

/* The code for AVX-VNNI where only AVX-512 VNNI is: the same instruction in its other encoding. */
#if defined(ANAM_TEST_EVEX)
    #undef ANAM_AVXVNNI
    #define ANAM_AVXVNNI ANAM_VNNI
    #define anam_avxvnni_usable anam_vnni_usable
    #define _mm256_dpbusd_avx_epi32 _mm256_dpbusd_epi32
#endif

#include "table.h"

#define MOST_ROWS 100
#define MOST_QUERIES 9
#define MOST_WIDTH 1024
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const anam_simd *level, *portable = anam_simd_table + ANAM_SIMD_LEVELS - 1;
static uint64_t n_comparisons;

#define CHECK(HOLDS, ...) \
    do { \
        n_comparisons++; \
        if (!(HOLDS)) { \
            printf("%s: %s: ", level->name, __func__); \
            printf(__VA_ARGS__); \
            printf("\n"); \
            exit(1); \
        } \
    } while (0)

/* ---- random numbers, the same ones everywhere ---- */

static uint64_t state;

static uint64_t random64(void)
{
    uint64_t x = state += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static size_t below(size_t n) { return (size_t)(random64() % n); }

static double uniform(void) { return (double)(random64() >> 11) * 0x1p-53; }

/* About normal: what matters is that most are small. */
static float normal(void)
{
    double sum = -6.0;
    for (int i = 0; i < 12; i++)
        sum += uniform();
    return (float)sum;
}

static void *reserve(size_t size)
{
    void *memory = malloc(size);
    if (memory == NULL)
        exit(2);
    return memory;
}

#endif
