"""The instruction set in use, chosen when this is imported: the best that this CPU runs, or the one ANAM_SIMD names."""

import os


cdef extern from "table.h" nogil:
    const anam_simd anam_simd_table[]
    const int ANAM_SIMD_LEVELS


def simd_levels():
    """List the instruction sets that this CPU and build have, best first."""
    return tuple([simd.name.decode() for simd in anam_simd_table[:ANAM_SIMD_LEVELS] if simd.usable()])


def simd_level():
    """Name the instruction set in use."""
    return SIMD.name.decode()


cdef const anam_simd *choose_simd(str wanted) except NULL:
    """Find the implementation that is named, or the best where none is."""
    cdef int i
    usable = simd_levels()
    if wanted and wanted not in usable:
        raise ImportError(f"ANAM_SIMD is {wanted!r}; this CPU and build have: {', '.join(usable)}")
    for i in range(ANAM_SIMD_LEVELS):
        if anam_simd_table[i].name.decode() == (wanted or usable[0]):
            return &anam_simd_table[i]


SIMD = choose_simd(os.environ.get("ANAM_SIMD", ""))
