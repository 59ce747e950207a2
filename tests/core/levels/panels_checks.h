/* Panels as panels.h describes them, and what every instruction set has to find in them. */
#ifndef PANELS_CHECKS_H
#define PANELS_CHECKS_H

#include "checks.h"

/* ---- codes, as panels.h describes them ---- */

static size_t group_width(int bits) { return bits == 4 ? 8 : 16; }

static size_t group_bytes(int bits) { return bits == 4 ? 64 : 192; }

/* The code of one coordinate, into the place that it has in its panel. */
static void place(uint8_t *panel, int bits, size_t row, size_t coordinate, unsigned code)
{
    uint8_t *group = panel + coordinate / group_width(bits) * group_bytes(bits) + 4 * row;
    const size_t at = coordinate % group_width(bits);
    group[at / 8 * 64 + at % 4] |= (uint8_t)((code & 15) << (at / 4 % 2 * 4));
    if (bits == 6)
        group[128 + at % 4] |= (uint8_t)((code >> 4) << (2 * (at / 4)));
}

typedef struct {
    anam_panels panels;
    uint8_t *memory;
    uint8_t *codes;             /* the same, a byte for each: (16 * n_panels, groups * group_width) */
    size_t width;
} coded;

static coded code_panels(int bits, size_t groups, size_t early, size_t n_panels)
{
    coded made = {.width = groups * group_width(bits)};
    const size_t stride = groups * group_bytes(bits) + ANAM_PANEL_FLOATS * sizeof(float) + 64 * below(2);
    const size_t shift = 4 * below(16);         /* whatever lies in memory before them */
    made.memory = reserve(shift + n_panels * stride);
    memset(made.memory, 0, shift + n_panels * stride);
    made.panels = (anam_panels){made.memory + shift, stride, groups, early, bits};
    made.codes = reserve(n_panels * ANAM_PANEL_ROWS * made.width);
    return made;
}

static uint8_t *panel_of(const coded *rows, size_t row)
{
    return rows->memory + (rows->panels.data - rows->memory) + row / ANAM_PANEL_ROWS * rows->panels.stride;
}

static float *factors_of(const coded *rows, size_t row)
{
    return (float *)(panel_of(rows, row) + rows->panels.groups * group_bytes(rows->panels.bits)) + row % ANAM_PANEL_ROWS;
}

static void place_row(const coded *rows, size_t row, float scale, float residual, float rest)
{
    float *factors = factors_of(rows, row);
    for (size_t i = 0; i < rows->width; i++)
        place(panel_of(rows, row), rows->panels.bits, row % ANAM_PANEL_ROWS, i, rows->codes[row * rows->width + i]);
    factors[0] = scale;
    factors[ANAM_PANEL_ROWS] = residual;
    factors[2 * ANAM_PANEL_ROWS] = rest;
}

static void release(coded *rows)
{
    free(rows->memory);
    free(rows->codes);
}

/* ---- the first level: the same bits as portable C, and sums that are right ---- */

typedef struct {
    float bounds[MOST_QUERIES * (MOST_ROWS + 3)], most[MOST_QUERIES * ANAM_PANEL_ROWS], score[MOST_QUERIES * 5];
    int64_t row[MOST_QUERIES * 5];
} scanned;

static void scan_with(
    const anam_simd *simd, const coded *rows, size_t first_panel, size_t n_rows, const uint8_t *alive, const anam_sketch *queries,
    size_t n_queries, float threshold, size_t stride, size_t heap_size, scanned *out)
{
    anam_heap heaps[MOST_QUERIES];
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < COUNT(out->bounds); i++)
        out->bounds[i] = 12345.0f;              /* where nothing is to be written */
    for (size_t i = 0; i < COUNT(out->score); i++)
        out->score[i] = -INFINITY;
    for (size_t i = 0; i < COUNT(out->most); i++)
        out->most[i] = -INFINITY;
    for (size_t k = 0; k < n_queries; k++)
        heaps[k] = (anam_heap){out->score + k * heap_size, out->row + k * heap_size, heap_size};
    simd->scan(
        &rows->panels, first_panel, n_rows, alive, queries, n_queries, threshold, 1000, out->bounds, stride, heaps, out->most);
}

static int64_t product_of(const uint8_t *codes, const int8_t *query, size_t width)
{
    int64_t sum = 0;
    for (size_t i = 0; i < width; i++)
        sum += codes[i] * query[i];
    return sum;
}

static void check_scan_case(int bits, size_t groups, size_t n_rows, int plain)
{
    static scanned found, wanted;
    const size_t n_queries = 1 + below(MOST_QUERIES), first_panel = below(3), stride = n_rows + below(4), heap_size = below(6);
    const size_t n_panels = first_panel + (n_rows + ANAM_PANEL_ROWS - 1) / ANAM_PANEL_ROWS;
    const size_t early = below(2) ? 1 + below(groups) : 0;
    const float thresholds[] = {-INFINITY, -0.5f, 0.0f, 0.01f, 0.5f, 100.0f};
    const float threshold = thresholds[below(COUNT(thresholds))] * (plain ? 1000.0f : 1.0f);
    const unsigned extreme = (unsigned)below(4), sparse = (unsigned)below(3);
    coded rows = code_panels(bits, groups, early, n_panels);
    const size_t width = rows.width - below(group_width(bits));         /* the others have no part in it */
    int8_t *query_codes = reserve(n_queries * rows.width);
    anam_sketch queries[MOST_QUERIES];
    uint8_t alive[MOST_ROWS];
    for (size_t k = 0; k < n_queries; k++) {
        int8_t *codes = query_codes + k * rows.width;
        memset(codes, 0, rows.width);
        queries[k] = (anam_sketch){.codes = codes, .step = plain ? 1.0f : (float)(uniform() / 127)};
        for (size_t i = 0; i < width; i++) {
            codes[i] = (int8_t)(extreme ? (int)below(255) - 127 : below(2) ? 127 : -127);
            queries[k].offset += (1 << (bits - 1)) * codes[i];
            if (i < early * group_width(bits))
                queries[k].early_offset += (1 << (bits - 1)) * codes[i];
        }
        if (!plain) {
            queries[k].residual = (float)uniform();
            queries[k].rest = (float)uniform();
            queries[k].slack = (float)uniform() * 0.01f;
            queries[k].early_rest = (float)uniform() * 0.1f;
        }
    }
    for (size_t row = 0; row < n_panels * ANAM_PANEL_ROWS; row++) {
        for (size_t i = 0; i < rows.width; i++)
            rows.codes[row * rows.width + i] = (uint8_t)(extreme ? below((size_t)1 << bits) : ((1u << bits) - 1) * below(2));
        const float residual = row >= first_panel * ANAM_PANEL_ROWS + n_rows ? -INFINITY
            : plain ? 0.0f : below(50) ? (float)uniform() * 0.1f : INFINITY;
        place_row(&rows, row, plain ? 1.0f : (float)(uniform() * 0.01), residual, plain ? 0.0f : (float)uniform());
        if (row < n_rows)
            alive[row] = (uint8_t)(sparse ? below(8) == 0 : below(8) != 0);
    }
    const uint8_t *which = below(2) ? alive : NULL;
    scan_with(level, &rows, first_panel, n_rows, which, queries, n_queries, threshold, stride, heap_size, &found);
    scan_with(portable, &rows, first_panel, n_rows, which, queries, n_queries, threshold, stride, heap_size, &wanted);

#define CHECK_CASE(HOLDS, FORMAT, ...) \
    CHECK( \
        HOLDS, "%d bits, %zu groups, early %zu, threshold %g, %zu rows, %zu queries: " FORMAT, bits, groups, early, threshold, \
        n_rows, n_queries, __VA_ARGS__)
    for (size_t i = 0; i < COUNT(found.bounds); i++)
        CHECK_CASE(
            memcmp(found.bounds + i, wanted.bounds + i, sizeof(float)) == 0, "bound %zu is %a, not %a", i, found.bounds[i],
            wanted.bounds[i]);
    for (size_t k = 0; k < n_queries; k++) {
        float most = -INFINITY, most_bound = -INFINITY;
        for (size_t i = 0; i < ANAM_PANEL_ROWS; i++)
            most = fmaxf(most, found.most[k * ANAM_PANEL_ROWS + i]);
        for (size_t row = 0; row < n_rows; row++)
            most_bound = fmaxf(most_bound, found.bounds[k * stride + row]);
        CHECK_CASE(most == most_bound, "the greatest bound of query %zu is %a, not %a", k, most_bound, most);
    }
    for (size_t i = 0; i < n_queries * heap_size; i++)
        CHECK_CASE(
            found.score[i] == wanted.score[i] && found.row[i] == wanted.row[i], "heap place %zu is row %" PRId64 ", not %" PRId64,
            i, found.row[i], wanted.row[i]);
    for (size_t k = 0; plain && k < n_queries; k++)
        for (size_t row = 0; row < n_rows; row++) {
            const uint8_t *codes = rows.codes + (first_panel * ANAM_PANEL_ROWS + row) * rows.width;
            const float bound = found.bounds[k * stride + row];
            const int dead = which != NULL && !which[row], may_give_up = early && threshold > 0.0f;
            const int64_t sum = product_of(codes, queries[k].codes, rows.width) - queries[k].offset;
            CHECK_CASE(
                dead ? bound == -INFINITY : bound == (float)sum || (may_give_up && bound == -INFINITY),
                "row %zu of query %zu has sum %g, not %" PRId64, row, k, bound, sum);
        }
    free(query_codes);
    release(&rows);
}

static void check_scan(void)
{
    static const size_t groups[] = {1, 2, 3, 4, 7, 16, 31, 64};
    static const size_t more_rows[] = {48, 63, 64, 65, 79, 80, 81, 96, 100};
    for (int bits = 4; bits <= 6; bits += 2)
        for (size_t i = 0; i < COUNT(groups); i++)
            for (size_t rows = 1; rows <= 40 + COUNT(more_rows); rows++)
                for (int plain = 0; plain < 2; plain++)
                    check_scan_case(bits, groups[i], rows <= 40 ? rows : more_rows[rows - 41], plain);
}

static void check_reaching(void)
{
    float values[MOST_ROWS];
    int32_t places[MOST_ROWS + 1], wanted[MOST_ROWS];
    for (size_t n = 0; n <= MOST_ROWS; n++)
        for (int trial = 0; trial < 8; trial++) {
            const float threshold = trial == 0 ? -INFINITY : trial == 1 ? INFINITY : normal();
            size_t n_wanted = 0;
            places[n] = -1;
            for (size_t i = 0; i < n; i++) {
                values[i] = below(4) ? normal() : below(2) ? threshold : below(2) ? INFINITY : -INFINITY;
                if (values[i] >= threshold)
                    wanted[n_wanted++] = (int32_t)i;
            }
            const size_t found = level->reaching(values, n, threshold, places);
            CHECK(
                found == n_wanted && memcmp(places, wanted, found * sizeof *places) == 0 && places[n] == -1,
                "%zu of %zu values reach %g, not %zu", n_wanted, n, threshold, found);
        }
}

#endif
