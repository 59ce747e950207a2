"""CRC-32 of each row of a matrix: zlib's, but of many rows at once, and without the interpreter's lock."""

from cython.parallel cimport prange
from libc.stdint cimport uint8_t, uint32_t

# Sixteen bytes a step: table k holds the checksum of a byte with k zero bytes behind it. (Kounavis and Berry, "Novel table
# lookup-based algorithms for high-performance CRC generation", 2008.)
cdef uint32_t[16][256] TABLES
cdef uint32_t POLYNOMIAL = 0xEDB88320


cdef void fill_tables() noexcept:
    cdef uint32_t crc
    cdef int byte, k, _
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (POLYNOMIAL if crc & 1 else <uint32_t> 0)
        TABLES[0][byte] = crc
    for k in range(1, 16):
        for byte in range(256):
            crc = TABLES[k - 1][byte]
            TABLES[k][byte] = (crc >> 8) ^ TABLES[0][crc & 0xFF]


fill_tables()


cdef uint32_t crc_of(const uint8_t *data, Py_ssize_t size) noexcept nogil:
    cdef uint32_t crc = ~<uint32_t> 0
    while size >= 16:
        crc = (
            TABLES[15][data[0] ^ (crc & 0xFF)] ^ TABLES[14][data[1] ^ ((crc >> 8) & 0xFF)]
            ^ TABLES[13][data[2] ^ ((crc >> 16) & 0xFF)] ^ TABLES[12][data[3] ^ (crc >> 24)]
            ^ TABLES[11][data[4]] ^ TABLES[10][data[5]] ^ TABLES[9][data[6]] ^ TABLES[8][data[7]]
            ^ TABLES[7][data[8]] ^ TABLES[6][data[9]] ^ TABLES[5][data[10]] ^ TABLES[4][data[11]]
            ^ TABLES[3][data[12]] ^ TABLES[2][data[13]] ^ TABLES[1][data[14]] ^ TABLES[0][data[15]]
        )
        data += 16
        size -= 16
    while size > 0:
        crc = (crc >> 8) ^ TABLES[0][(crc ^ data[0]) & 0xFF]
        data += 1
        size -= 1
    return ~crc


def row_crcs(const uint8_t[:, ::1] rows, uint32_t[::1] out, int threads):
    """Write the checksum of each row.

    Parameters
    ----------
    rows : uint8 memoryview of shape (n, bytes), n > 0 and bytes > 0
    out : uint32 memoryview of shape (n,)
    threads : int
    """
    cdef Py_ssize_t row, size = rows.shape[1]
    for row in prange(rows.shape[0], nogil=True, num_threads=threads, schedule="static"):
        out[row] = crc_of(&rows[row, 0], size)
