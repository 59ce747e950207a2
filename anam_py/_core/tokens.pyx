"""Tokens of code: identifiers cut into lower-cased words, and texts hashed to vectors by their words.

An identifier is a run of letters, digits and underscores. It is cut into words at underscores, at every border
between letters and digits, between a small and a capital letter, and before the last capital of a run that a small
letter follows: ``HTTPServer2_name`` is ``http server 2 name``. Letters and digits are those of Unicode, composed (NFC)
and lower-cased one by one. A run that reaches 64 bytes of UTF-8 (no word, but encoded data) is cut there, and goes on
as another word, so that nothing is dropped.
"""

from unicodedata import normalize

from cython.parallel cimport parallel, prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy, memset


cdef extern from "Python.h":
    int PyUnicode_KIND(object text)
    void *PyUnicode_DATA(object text)

cdef extern from "Python.h" nogil:
    uint32_t PyUnicode_READ(int kind, const void *data, Py_ssize_t index)
    bint Py_UNICODE_ISALPHA(uint32_t character)
    bint Py_UNICODE_ISNUMERIC(uint32_t character)
    bint Py_UNICODE_ISUPPER(uint32_t character)
    bint Py_UNICODE_ISTITLE(uint32_t character)
    uint32_t Py_UNICODE_TOLOWER(uint32_t character)

cdef enum:
    MAX_COMPOUND = 256      # bytes above which an identifier is not kept whole
    N_POSITIONS = 4         # components that a word adds to
    WEIGHT_BITS = 20        # of the fraction of a weight
    N_WEIGHTS = 1024        # that are kept in a table


# ---- words ----

cdef enum Kind:
    SEPARATOR, UNDERSCORE, DIGIT, SMALL, CAPITAL


cdef Text text_of(str text):
    return Text(PyUnicode_KIND(text), PyUnicode_DATA(text), len(text))


cdef str composed(str text):
    return text if text.isascii() else normalize("NFC", text)


cdef inline Kind kind_of(uint32_t character) noexcept nogil:
    if c"a" <= character <= c"z":
        return SMALL
    if c"A" <= character <= c"Z":
        return CAPITAL
    if c"0" <= character <= c"9":
        return DIGIT
    if character == c"_":
        return UNDERSCORE
    if character < 128:
        return SEPARATOR
    if Py_UNICODE_ISALPHA(character):
        return CAPITAL if Py_UNICODE_ISUPPER(character) or Py_UNICODE_ISTITLE(character) else SMALL
    return DIGIT if Py_UNICODE_ISNUMERIC(character) else SEPARATOR


cdef inline Kind kind_at(const Text *text, Py_ssize_t position) noexcept nogil:
    if position >= text.length:
        return SEPARATOR
    return kind_of(PyUnicode_READ(text.kind, text.data, position))


cdef inline Py_ssize_t put_lower(const Text *text, Py_ssize_t position, uint8_t *out) noexcept nogil:
    """Write a character, lower-cased, as UTF-8, and return its number of bytes."""
    cdef uint32_t character = PyUnicode_READ(text.kind, text.data, position)
    if character < 128:
        out[0] = <uint8_t> (character + 32 if c"A" <= character <= c"Z" else character)
        return 1
    character = Py_UNICODE_TOLOWER(character)
    if character < 0x80:
        out[0] = <uint8_t> character
        return 1
    if character < 0x800:
        out[0] = <uint8_t> (0xC0 | character >> 6)
        out[1] = <uint8_t> (0x80 | character & 63)
        return 2
    if character < 0x10000:
        out[0] = <uint8_t> (0xE0 | character >> 12)
        out[1] = <uint8_t> (0x80 | character >> 6 & 63)
        out[2] = <uint8_t> (0x80 | character & 63)
        return 3
    out[0] = <uint8_t> (0xF0 | character >> 18)
    out[1] = <uint8_t> (0x80 | character >> 12 & 63)
    out[2] = <uint8_t> (0x80 | character >> 6 & 63)
    out[3] = <uint8_t> (0x80 | character & 63)
    return 4


cdef bint next_word(const Text *text, Py_ssize_t position, Word *word) noexcept nogil:
    """Read the first word at or after `position`: 0, or the end of the word before. False if there is none."""
    cdef Kind kind = kind_at(text, position), following
    word.opens = position == 0
    while kind <= UNDERSCORE:
        if position >= text.length:
            return False
        if kind == SEPARATOR:
            word.opens = True
        position += 1
        kind = kind_at(text, position)
    word.first = position
    word.size = 0
    while word.size < MAX_WORD:
        word.size += put_lower(text, position, &word.byte[word.size])
        position += 1
        following = kind_at(text, position)
        if kind == CAPITAL and following == SMALL:
            kind = SMALL
        elif following != kind or (kind == CAPITAL and kind_at(text, position + 1) == SMALL):
            break
    word.end = position
    return True


cdef Py_ssize_t write_identifier(const Text *text, Py_ssize_t first, Py_ssize_t end, uint8_t *out) noexcept nogil:
    """Write an identifier and a space, and return the number of bytes: 0 if it is too long to be one."""
    cdef Py_ssize_t position, size = 0
    for position in range(first, end):
        size += put_lower(text, position, out + size)
        if size > MAX_COMPOUND:
            return 0
    out[size] = c" "
    return size + 1


cdef Py_ssize_t write_words(const Text *text, bint whole, uint8_t *out) noexcept nogil:
    """Write each word and a space, with `whole` also identifiers after their words; return the number of bytes."""
    cdef Word word
    cdef Py_ssize_t size = 0, end = 0, first = 0, n_words = 0
    while next_word(text, end, &word):
        if word.opens:
            if whole and n_words > 1:
                size += write_identifier(text, first, end, out + size)
            first = word.first
            n_words = 0
        memcpy(out + size, word.byte, word.size)
        size += word.size
        out[size] = c" "
        size += 1
        n_words += 1
        end = word.end
    if whole and n_words > 1:
        size += write_identifier(text, first, end, out + size)
    return size


def words(str text not None, *, bint whole):
    """Cut a text into words, separated by spaces.

    Parameters
    ----------
    text : str
    whole : bool
        Whether an identifier of several words and at most 256 bytes also follows its words as a whole.

    Returns
    -------
    str
    """
    cdef str composed_text = composed(text)
    cdef Text source = text_of(composed_text)
    # Each character stands once in a word and once in an identifier, and each may be followed by a space.
    cdef uint8_t *out = <uint8_t *> malloc(2 * (MAX_CHARACTER + 1) * source.length + 1)
    cdef Py_ssize_t size
    if out == NULL:
        raise MemoryError
    try:
        with nogil:
            size = write_words(&source, whole, out)
        return out[:max(size - 1, 0)].decode("utf-8")
    finally:
        free(out)


# ---- hashing ----

# How often one thread has seen the words of its current text. A slot of an earlier text is free.
cdef struct Slot:
    uint64_t word
    uint32_t text
    uint32_t count


cdef uint64_t mixed(uint64_t x) noexcept nogil:
    """Spread every bit over all (the finaliser of SplitMix64)."""
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u
    x = (x ^ x >> 27) * 0x94D049BB133111EBu
    return x ^ x >> 31


cdef uint64_t hash_of_bytes(const uint8_t *byte, Py_ssize_t size) noexcept nogil:
    """Hash bytes (FNV-1a, 64 bits)."""
    cdef uint64_t value = 0xCBF29CE484222325u
    cdef Py_ssize_t i
    for i in range(size):
        value = (value ^ byte[i]) * 0x100000001B3u
    return mixed(value)


cdef uint64_t hash_of(const Word *word) noexcept nogil:
    """Hash the bytes of a word."""
    return hash_of_bytes(word.byte, word.size)


cdef int64_t weight_of(uint32_t count) noexcept nogil:
    """Give 1 + log(count) in units of 2**-20, by integers alone so that no library's logarithm matters; 0 for 0."""
    cdef uint64_t mantissa, logarithm = 0
    cdef int _
    if count == 0:
        return 0
    mantissa = <uint64_t> count << 31
    while mantissa >> 32:
        mantissa >>= 1
        logarithm += 1
    for _ in range(WEIGHT_BITS):
        mantissa = mantissa * mantissa >> 31
        logarithm = 2 * logarithm + (mantissa >> 32)
        mantissa >>= mantissa >> 32
    return (1 << WEIGHT_BITS) + <int64_t> (logarithm * 0xB17217F7u >> 32)      # log 2 in units of 2**-32


cdef int64_t[N_WEIGHTS] WEIGHT
cdef int seen
for seen in range(N_WEIGHTS):
    WEIGHT[seen] = weight_of(seen)


cdef inline int64_t growth(uint32_t count) noexcept nogil:
    """Give what the weight of a word gains when it is seen for the `count`-th time."""
    if count < N_WEIGHTS:
        return WEIGHT[count] - WEIGHT[count - 1]
    return weight_of(count) - weight_of(count - 1)


cdef void hash_text(
    const Text *text, uint32_t number, Slot *slots, int64_t *total, float *out, Py_ssize_t dimension
) noexcept nogil:
    cdef Word word
    cdef Slot *slot
    cdef uint64_t value, mask = 1
    cdef int64_t gain
    cdef Py_ssize_t i, _, end = 0
    cdef double norm = 0
    # More slots than characters are more than there are words.
    while mask <= <uint64_t> text.length:
        mask = 2 * mask
    mask -= 1
    memset(total, 0, dimension * sizeof(int64_t))
    while next_word(text, end, &word):
        end = word.end
        value = hash_of(&word)
        i = value & mask
        while slots[i].text == number and slots[i].word != value:
            i = (i + 1) & mask
        slot = &slots[i]
        if slot.text != number:
            slot.text = number
            slot.word = value
            slot.count = 0
        slot.count += 1
        gain = growth(slot.count)
        for _ in range(N_POSITIONS):
            value = mixed(value + 0x9E3779B97F4A7C15u)
            total[(value >> 32) * <uint64_t> dimension >> 32] += gain if value & 1 else -gain
    for i in range(dimension):
        norm += <double> total[i] * <double> total[i]
    norm = sqrt(norm)
    for i in range(dimension):
        out[i] = <float> (total[i] / norm) if norm > 0 else 0


def hash_texts(list texts, float[:, ::1] out, int threads):
    """Write a unit vector for each text: a signed sum of its words, each weighted by 1 + log of its count.

    Parameters
    ----------
    texts : list of str, of less than 2**32
    out : float32 memoryview of shape (n, D), n > 0
    threads : int
    """
    cdef list kept = [composed(string) for string in texts]
    cdef Py_ssize_t i, n = len(kept), dimension = out.shape[1], n_slots = 1
    cdef Text *sources = <Text *> malloc(n * sizeof(Text))
    cdef int64_t *totals = <int64_t *> malloc(threads * dimension * sizeof(int64_t))
    cdef Slot *slots = NULL
    try:
        if sources == NULL or totals == NULL:
            raise MemoryError
        for i in range(n):
            sources[i] = text_of(kept[i])
            while n_slots <= sources[i].length:
                n_slots *= 2
        slots = <Slot *> calloc(threads * n_slots, sizeof(Slot))
        if slots == NULL:
            raise MemoryError
        with nogil, parallel(num_threads=threads):
            # Not static: texts differ in length by orders of magnitude.
            for i in prange(n, schedule="dynamic"):
                hash_text(
                    &sources[i], <uint32_t> (i + 1), slots + threadid() * n_slots, totals + threadid() * dimension,
                    &out[i, 0], dimension,
                )
    finally:
        free(sources)
        free(totals)
        free(slots)
