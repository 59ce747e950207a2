/* One table of instruction sets, best first, of which the best that this CPU runs is chosen at run time.
 *
 * floats.h has the arithmetic of rows, panels.h and its like that of codes. To add an instruction set, say in targets.h how to tell that a
 * CPU has it, write `sums` and `dot` (and `dots`, if that is faster with floats), and add a row here.
 */
#ifndef ANAM_TABLE_H
#define ANAM_TABLE_H

#include "simd.h"
#include "targets.h"
#include "floats.h"
#include "panels.h"
#include "panels_x86.h"
#include "panels_neon.h"

static const anam_simd anam_simd_table[] = {
#define ANAM_ROW(NAME, LEVEL, DOTS, EXACT) \
    {NAME, anam_##LEVEL##_usable, DOTS, EXACT, EXACT##4, anam_##LEVEL##_scan, anam_##LEVEL##_reaching, anam_##LEVEL##_dot, anam_##LEVEL##_quantise, \
     anam_##LEVEL##_residual}
#if defined(ANAM_VNNI)
    ANAM_ROW("avx512vnni", vnni, anam_avx2_dots, anam_vnni_exact),
#endif
#if defined(ANAM_AVXVNNI)
    ANAM_ROW("avxvnni", avxvnni, anam_avx2_dots, anam_avx2_exact),
#endif
#if defined(ANAM_AVX2)
    ANAM_ROW("avx2", avx2, anam_avx2_dots, anam_avx2_exact),
#endif
#if defined(ANAM_DOTPROD)
    ANAM_ROW("neon", dotprod, anam_portable_dots, anam_portable_exact),
#endif
    ANAM_ROW("portable", portable, anam_portable_dots, anam_portable_exact),
};

enum { ANAM_SIMD_LEVELS = sizeof(anam_simd_table) / sizeof(anam_simd_table[0]) };

#endif
