from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    MAX_WORD = 64           # bytes at which a word is cut
    MAX_CHARACTER = 4       # bytes of UTF-8

cdef struct Text:
    int kind
    const void *data
    Py_ssize_t length

cdef struct Word:
    uint8_t[MAX_WORD + MAX_CHARACTER] byte      # lower-cased UTF-8
    Py_ssize_t size
    Py_ssize_t first                            # positions in the text
    Py_ssize_t end
    bint opens                                  # an identifier

cdef Text text_of(str text)
cdef str composed(str text)
cdef uint64_t mixed(uint64_t x) noexcept nogil
cdef uint64_t hash_of(const Word *word) noexcept nogil
cdef uint64_t hash_of_bytes(const uint8_t *byte, Py_ssize_t size) noexcept nogil
cdef bint next_word(const Text *text, Py_ssize_t position, Word *word) noexcept nogil
