/* Compares the instruction sets of the core's table, those that this CPU runs, with portable C, and all with plain arithmetic.
 *
 * Prints a line for each: "NAME ok N comparisons", or "NAME not on this CPU". The first difference is printed and the last.
 */
#include "checks.h"
#include "panels_checks.h"

/* ---- products of signed bytes: exact ---- */

static void check_dot(void)
{
    static int8_t row[MOST_WIDTH], query[MOST_WIDTH];
    static const int extremes[][2] = {{-128, 127}, {-128, -127}, {127, 127}, {127, -127}, {0, 127}, {-1, -1}};
    for (size_t width = 64; width <= MOST_WIDTH; width += 64)
        for (size_t trial = 0; trial < 40; trial++) {
            int64_t wanted = 0;
            int32_t total = 0;
            for (size_t i = 0; i < width; i++) {
                row[i] = (int8_t)((int)below(256) - 128);
                query[i] = (int8_t)((int)below(255) - 127);
                if (trial < COUNT(extremes)) {
                    row[i] = (int8_t)extremes[trial][0];
                    query[i] = (int8_t)extremes[trial][1];
                }
                else if (trial % 2) {
                    row[i] = below(2) ? -128 : 127;
                    query[i] = below(2) ? -127 : 127;
                }
                wanted += row[i] * query[i];
                total += query[i];
            }
            const int32_t found = level->dot(row, query, width, total);
            CHECK(found == wanted, "width %zu, trial %zu: %" PRId32 ", not %" PRId64, width, trial, found, wanted);
        }
}

/* ---- products of single-precision rows: `exact` the same bits, `dots` within docs/explanation/exactness.md's bound ---- */

static const size_t DIMENSIONS[] = {
    1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 24, 31, 32, 33, 40, 63, 64, 65, 100, 255, 256, 300, 768, 1000, 1024};

/* What lies beside the numbers is to have no part in anything. */
static void leave_around(float *values, size_t n)
{
    for (size_t i = 0; i < n; i++)
        values[i] = INFINITY;
}

static float any_float(int kind)
{
    const float value = normal();
    switch (kind) {
    case 0: return value;
    case 1: return value * (float)exp2(80.0 * (uniform() - 0.5));
    case 2: return value * 1e-42f;
    case 3: return value * 1e37f;
    default: return below(3) ? 0.0f : value;
    }
}

static void check_exact(void)
{
    static float a[MOST_WIDTH + 3], b[MOST_WIDTH + 3];
    leave_around(a, COUNT(a));
    leave_around(b, COUNT(b));
    for (size_t i = 0; i < COUNT(DIMENSIONS); i++)
        for (int kind = 0; kind < 5; kind++)
            for (size_t shift = 0; shift < 4; shift++) {
                for (size_t j = 0; j < DIMENSIONS[i]; j++) {
                    a[shift + j] = any_float(kind);
                    b[3 - shift + j] = any_float(kind);
                }
                const float *const rows[4] = {a + shift, b + 3 - shift, a + shift, b + 3 - shift};
                double found[5];
                level->exact4(rows, b + 3 - shift, DIMENSIONS[i], found);
                found[4] = level->exact(a + shift, b + 3 - shift, DIMENSIONS[i]);
                for (int j = 0; j < 5; j++) {
                    const double wanted = portable->exact(j % 2 ? b + 3 - shift : a + shift, b + 3 - shift, DIMENSIONS[i]);
                    CHECK(
                        memcmp(found + j, &wanted, sizeof wanted) == 0, "dimension %zu, kind %d, place %d: %a, not %a",
                        DIMENSIONS[i], kind, j, found[j], wanted);
                }
            }
}

static void check_dots(void)
{
    static float rows[7 * MOST_WIDTH + 3], query[MOST_WIDTH + 3], found[7];
    leave_around(rows, COUNT(rows));
    leave_around(query, COUNT(query));
    for (size_t i = 0; i < COUNT(DIMENSIONS); i++)
        for (size_t n_rows = 1; n_rows <= 7; n_rows++) {
            const size_t dimension = DIMENSIONS[i], shift = below(4);
            const double unit = 0x1p-24, roundings = (double)(dimension / ANAM_LANES + 8);
            const double relative = 1.0001 * roundings * unit / (1.0 - roundings * unit);
            for (size_t j = 0; j < n_rows * dimension; j++)
                rows[shift + j] = any_float((int)n_rows % 2);
            for (size_t j = 0; j < dimension; j++)
                query[3 - shift + j] = normal();
            level->dots(rows + shift, n_rows, dimension, query + 3 - shift, found);
            for (size_t row = 0; row < n_rows; row++) {
                double sum = 0.0, size = 0.0;
                for (size_t j = 0; j < dimension; j++) {
                    const double term = (double)rows[shift + row * dimension + j] * query[3 - shift + j];
                    sum += term;
                    size += fabs(term);
                }
                CHECK(
                    fabs(found[row] - sum) <= relative * size + (double)dimension * 0x1p-126,
                    "row %zu of dimension %zu: %a, not %a", row, dimension, found[row], sum);
            }
        }
}

/* ---- codes of rows: sums in another order may choose another code, as good; what it leaves out is known in any case ---- */

static double left_out_by(const anam_simd *simd, const float *values, size_t width, int bits, uint8_t *codes, float *scale)
{
    double norm, left_out, rest;
    *scale = simd->quantise(values, width, bits, codes);
    simd->residual(values, codes, width, 1 << (bits - 1), *scale, width, &norm, &left_out, &rest);
    return left_out;
}

static void check_codes_case(const float *values, size_t width, int bits, int kind)
{
    static uint8_t codes[MOST_WIDTH], others[MOST_WIDTH];
    float scale, other_scale;
    const int zero = 1 << (bits - 1);
    const size_t from = below(width + 1);
    double norm, left_out, rest;
    long double true_norm = 0.0L, true_left_out = 0.0L, true_rest = 0.0L, product = 0.0L, square = 0.0L;
    const double found = left_out_by(level, values, width, bits, codes, &scale);
    const double as_good_as = left_out_by(portable, values, width, bits, others, &other_scale);
    level->residual(values, codes, width, zero, scale, from, &norm, &left_out, &rest);
    for (size_t i = 0; i < width; i++) {
        const long double decoded = (long double)scale * ((int)codes[i] - zero), missed = values[i] - decoded;
        CHECK(codes[i] >> bits == 0, "%d bits, width %zu, kind %d: code %d", bits, width, kind, codes[i]);
        product += (long double)values[i] * ((int)codes[i] - zero);
        square += (long double)((int)codes[i] - zero) * ((int)codes[i] - zero);
        true_norm += (long double)values[i] * values[i];
        true_left_out += missed * missed;
        true_rest += i >= from ? decoded * decoded : 0.0L;
    }
    const long double relative = (long double)(width + 8) * 0x1p-52L;
    CHECK(fabsl(norm - true_norm) <= relative * true_norm, "width %zu, kind %d: %a, not %La", width, kind, norm, true_norm);
    CHECK(
        fabsl(left_out - true_left_out) <= relative * true_left_out, "%d bits, width %zu, kind %d: leaves out %a, not %La", bits,
        width, kind, left_out, true_left_out);
    CHECK(
        fabsl(rest - true_rest) <= relative * true_rest, "%d bits, width %zu, kind %d: rest %a, not %La", bits, width, kind, rest,
        true_rest);
    CHECK(
        norm < 0x1p-60 || fabsl(scale * square - product) <= (long double)(width + 8) * 0x1p-22L * product,
        "%d bits, width %zu, kind %d: scale %a, not %La", bits, width, kind, scale, product / square);
    /* Two ways of adding up to `width` products, their square, and a quotient; twice, as each may favour its choice. */
    const double rounding = 2.0 * (3.0 * (double)width + 10.0) * 0x1p-24;
    CHECK(
        norm < 0x1p-60 || fabs(found - as_good_as) <= rounding * norm,
        "%d bits, width %zu, kind %d: leaves out %a, the other %a", bits, width, kind, found, as_good_as);
    CHECK(found <= norm * (1.0 + rounding), "%d bits, width %zu, kind %d: leaves out %a of %a", bits, width, kind, found, norm);
}

static void check_codes(void)
{
    static float values[MOST_WIDTH];
    leave_around(values, COUNT(values));
    static const int bits[] = {4, 6, 8};
    for (size_t i = 0; i < COUNT(DIMENSIONS); i++)
        for (int kind = 0; kind < 8; kind++)
            for (size_t b = 0; b < COUNT(bits); b++) {
                const size_t width = DIMENSIONS[i], one = below(width);
                for (size_t j = 0; j < width; j++)
                    values[j] = kind < 5 ? any_float(kind) * (kind == 3 ? 1e-37f : 1.0f)
                        : kind == 5 ? (j == one ? -0.75f : 0.0f) : kind == 6 ? 0.0f : j == one ? 1.0f : 1e-3f * normal();
                check_codes_case(values, width, bits[b], kind);
            }
}

/* ---- all together: bounds above the cosine, and not far above it; coding.pyx has the same arithmetic ---- */

static float above(double value)
{
    const float rounded = (float)value;
    return rounded < value ? nextafterf(rounded, INFINITY) : rounded;
}

static anam_sketch sketch(const double *values, size_t width, int zero, size_t early, int8_t *codes)
{
    double greatest = 0.0, norm = 0.0, missed = 0.0, later = 0.0;
    anam_sketch made = {.codes = codes};
    for (size_t i = 0; i < width; i++) {
        greatest = fabs(values[i]) > greatest ? fabs(values[i]) : greatest;
        norm += values[i] * values[i];
        later += i >= early ? values[i] * values[i] : 0.0;
    }
    made.step = (float)(greatest / 127.0);
    for (size_t i = 0; i < width; i++) {
        codes[i] = (int8_t)rint(values[i] / made.step);
        const double difference = values[i] - (double)made.step * codes[i];
        missed += difference * difference;
        made.offset += zero * codes[i];
        made.early_offset += i < early ? zero * codes[i] : 0;
    }
    made.residual = above(sqrt(norm) + 0x1p-22);
    made.slack = above(sqrt(missed) * (1.0 + 0x1p-23) * (1.0 + (double)(width + 8) * 0x1p-22) + 0x1p-18);
    made.early_rest = above(sqrt(later) + 0x1p-22);
    return made;
}

/* A row's code, and bounds of the norms of what it leaves out and of its decoded coordinates from `from` on. */
static float code_of(const float *values, size_t width, int bits, size_t from, uint8_t *codes, float *residual, float *rest)
{
    double norm, left_out, later;
    const float scale = level->quantise(values, width, bits, codes);
    level->residual(values, codes, width, 1 << (bits - 1), scale, from, &norm, &left_out, &later);
    *residual = above(sqrt(left_out) + 0x1p-23 + 0x1p-22);
    *rest = above(sqrt(later) + 0x1p-22);
    return scale;
}

static void check_bounds_case(size_t dimension, int bits)
{
    enum { N = 50 };
    static float rows[N][MOST_WIDTH], units[MOST_WIDTH];
    static double query[MOST_WIDTH];
    static uint8_t detail[MOST_WIDTH];
    static int8_t query_codes[2][MOST_WIDTH], detail_codes[MOST_WIDTH];
    static scanned all, some;
    const size_t groups = (dimension + group_width(bits) - 1) / group_width(bits), early = dimension >= 256 ? groups / 4 : 0;
    const size_t early_width = early ? early * group_width(bits) : dimension, detail_width = (dimension + 63) / 64 * 64;
    const float threshold = 0.5f;
    double norm = 0.0;
    float residuals[N], rest;
    coded codes = code_panels(bits, groups, early, (N + ANAM_PANEL_ROWS - 1) / ANAM_PANEL_ROWS);
    for (size_t i = 0; i < dimension; i++) {
        query[i] = normal() * exp2(-(double)(bits == 4 ? i : dimension - i) / 64.0);  /* most of it early, or late */
        norm += query[i] * query[i];
    }
    for (size_t i = 0; i < dimension; i++)
        query[i] /= sqrt(norm);
    memset(query_codes, 0, sizeof query_codes);
    const anam_sketch first = sketch(query, dimension, 1 << (bits - 1), early_width, query_codes[0]);
    const anam_sketch second = sketch(query, dimension, 0, dimension, query_codes[1]);
    memset(codes.codes, 1 << (bits - 1), (N + ANAM_PANEL_ROWS - 1) / ANAM_PANEL_ROWS * ANAM_PANEL_ROWS * codes.width);
    for (size_t row = 0; row < (N + ANAM_PANEL_ROWS - 1) / ANAM_PANEL_ROWS * ANAM_PANEL_ROWS; row++) {
        if (row >= N) {
            place_row(&codes, row, 0.0f, -INFINITY, 0.0f);
            continue;
        }
        const double noise = row % 5 == 4 ? 10.0 : row % 5 == 3 ? 0.0 : exp2(-(double)(row % 5) * 5.0);
        const double sign = row % 7 ? 1.0 : -1.0;
        double row_norm = 0.0;
        for (size_t i = 0; i < dimension; i++) {
            rows[row][i] = (float)(sign * (query[i] + noise * normal() / sqrt((double)dimension)));
            row_norm += (double)rows[row][i] * rows[row][i];
        }
        for (size_t i = 0; i < dimension; i++)
            units[i] = (float)(rows[row][i] / sqrt(row_norm));
        const float scale = code_of(units, dimension, bits, early_width, codes.codes + row * codes.width, residuals + row, &rest);
        place_row(&codes, row, scale, residuals[row], rest);
    }
    scan_with(level, &codes, 0, N, NULL, &first, 1, -INFINITY, N, 0, &all);
    scan_with(level, &codes, 0, N, NULL, &first, 1, threshold, N, 0, &some);
    for (size_t row = 0; row < N; row++) {
        long double product = 0.0L, square = 0.0L;
        for (size_t i = 0; i < dimension; i++) {
            product += (long double)query[i] * rows[row][i];
            square += (long double)rows[row][i] * rows[row][i];
        }
        const double cosine = (double)(product / sqrtl(square)), bound = all.bounds[row];
        CHECK(bound >= cosine, "%d bits, dimension %zu, row %zu: bound %a, cosine %a", bits, dimension, row, bound, cosine);
        CHECK(
            bound <= cosine + 2.0 * ((double)first.residual * residuals[row] + first.slack),
            "%d bits, dimension %zu, row %zu: bound %a is too far above the cosine %a", bits, dimension, row, bound, cosine);
        CHECK(
            some.bounds[row] == bound || (some.bounds[row] == -INFINITY && cosine < threshold),
            "%d bits, dimension %zu, row %zu: given up at %a, cosine %a", bits, dimension, row, some.bounds[row], cosine);

        float residual;
        for (size_t i = 0; i < dimension; i++)
            units[i] = (float)(rows[row][i] / (double)sqrtl(square));
        const float scale = code_of(units, dimension, 8, dimension, detail, &residual, &rest);
        memset(detail_codes, 0, sizeof detail_codes);
        for (size_t i = 0; i < dimension; i++)
            detail_codes[i] = (int8_t)(detail[i] - 128);
        int32_t total = 0;
        for (size_t i = 0; i < detail_width; i++)
            total += second.codes[i];
        const double refined = (float)level->dot(detail_codes, second.codes, detail_width, total) * (scale * second.step)
            + second.residual * residual + second.slack;
        CHECK(refined >= cosine, "8 bits, dimension %zu, row %zu: bound %a, cosine %a", dimension, row, refined, cosine);
        CHECK(
            refined <= cosine + 2.0 * ((double)second.residual * residual + second.slack),
            "8 bits, dimension %zu, row %zu: bound %a is too far above the cosine %a", dimension, row, refined, cosine);
    }
    release(&codes);
}

static void check_bounds(void)
{
    for (size_t i = 0; i < COUNT(DIMENSIONS); i++)
        for (int bits = 4; bits <= 6; bits += 2)
            check_bounds_case(DIMENSIONS[i], bits);
}

int main(void)
{
    for (level = anam_simd_table; level < anam_simd_table + ANAM_SIMD_LEVELS; level++) {
        if (!level->usable()) {
            printf("%s not on this CPU\n", level->name);
            continue;
        }
        state = n_comparisons = 0;
        check_scan();
        check_reaching();
        check_dot();
        check_exact();
        check_dots();
        check_codes();
        check_bounds();
        printf("%s ok %" PRIu64 " comparisons\n", level->name, n_comparisons);
    }
    return 0;
}
