"""Texts as sums of their words' vectors: what the built-in embedder computes, and what it is trained on.

A word of a text (``tokens.pyx`` says what is one) is a row of a table: its own if the vocabulary has it, else one that it
shares with other words of its hash. It counts by where it stands, with diminishing returns, and adds its row to one block of
the vector and the signs that its hash gives to another. The sums are of integers, so that neither the order of words nor the
number of threads matters, and all else is arithmetic that IEEE 754 defines to the bit.
"""

import numpy as np

from cpython.bytes cimport PyBytes_AS_STRING
from cython.parallel cimport parallel, prange, threadid
from libc.math cimport sqrt
from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from anam_py._core.tokens cimport Text, Word, composed, hash_of, hash_of_bytes, mixed, next_word, text_of


cdef extern from "Python.h" nogil:
    uint32_t PyUnicode_READ(int kind, const void *data, Py_ssize_t index)

cdef enum:
    N_PLACES = 6
    N_KEYWORDS = 9
    MAX_LOOK = 256              # characters around a word that are looked at: no text takes quadratic time
    WEIGHT_UNIT = 1 << 20       # what one is as an integer weight

# Where a word stands: elsewhere, on the first line, in the name of a definition, called, behind a dot, and both.
cdef enum Place:
    PLAIN, HEAD, DEFINED, CALLED, ATTRIBUTE, METHOD

cdef struct Feature:
    uint64_t word
    uint32_t[N_PLACES] count

# Which feature a word is in the text that a thread is at. A slot of an earlier text is free.
cdef struct Slot:
    uint64_t word
    uint32_t text
    uint32_t feature

cdef struct Scratch:
    Slot *slot
    uint64_t n_slots
    Feature *feature
    Py_ssize_t n_features, room
    int64_t *total


# ---- words to features ----

_KEYWORDS = ("class", "def", "enum", "fn", "func", "function", "interface", "struct", "trait")

cdef uint64_t[N_KEYWORDS] INTRODUCES
cdef bytes keyword
cdef int index
for index, keyword in enumerate(name.encode() for name in _KEYWORDS):
    INTRODUCES[index] = hash_of_bytes(<const uint8_t *> PyBytes_AS_STRING(keyword), len(keyword))


cdef inline uint32_t character_at(const Text *text, Py_ssize_t position) noexcept nogil:
    """Give a character; a line feed outside of the text."""
    if position < 0 or position >= text.length:
        return c"\n"
    return PyUnicode_READ(text.kind, text.data, position)


cdef inline bint continues(uint32_t character) noexcept nogil:
    return (
        c"a" <= character <= c"z" or c"A" <= character <= c"Z" or c"0" <= character <= c"9"
        or character == c"_" or character >= 128
    )


cdef bint introduces(uint64_t word) noexcept nogil:
    cdef int i
    for i in range(N_KEYWORDS):
        if word == INTRODUCES[i]:
            return True
    return False


cdef Place place_of(const Text *text, Py_ssize_t first, bint head, bint introduced) noexcept nogil:
    """Tell where the identifier stands that has its first word at `first`."""
    cdef Py_ssize_t before = first - 1, end = first
    cdef uint32_t following
    cdef bint dotted, called
    while first - before <= MAX_LOOK and character_at(text, before) == c"_":
        before -= 1
    while end - first < MAX_LOOK and continues(character_at(text, end)):
        end += 1
    following = character_at(text, end)
    if following == c" " and character_at(text, end + 1) == c"{":
        following = c"{"
    if introduced and (following == c"(" or following == c":" or following == c"<" or following == c"{"):
        return DEFINED
    if head:
        return HEAD
    dotted = character_at(text, before) == c"."
    called = following == c"("
    if dotted:
        return METHOD if called else ATTRIBUTE
    return CALLED if called else PLAIN


cdef int prepare(Scratch *scratch, Py_ssize_t length) noexcept nogil:
    """Make room for a text of so many characters; -1 if there is no memory."""
    cdef uint64_t n_slots = 1
    while n_slots <= <uint64_t> length:     # more than there are words
        n_slots *= 2
    if n_slots > scratch.n_slots:
        free(scratch.slot)
        scratch.slot = <Slot *> calloc(n_slots, sizeof(Slot))
        scratch.n_slots = n_slots if scratch.slot != NULL else 0
        if scratch.slot == NULL:
            return -1
    if scratch.room == 0:
        scratch.feature = <Feature *> calloc(256, sizeof(Feature))
        if scratch.feature == NULL:
            return -1
        scratch.room = 256
    return 0


cdef Feature *feature_of(Scratch *scratch, uint64_t word, uint32_t text, uint64_t mask) noexcept nogil:
    """Give the feature of a word, a new one if it is the first of its kind; NULL if there is no memory."""
    cdef uint64_t i = word & mask
    cdef Feature *grown
    while scratch.slot[i].text == text and scratch.slot[i].word != word:
        i = (i + 1) & mask
    if scratch.slot[i].text != text:
        if scratch.n_features == scratch.room:
            grown = <Feature *> realloc(scratch.feature, 2 * scratch.room * sizeof(Feature))
            if grown == NULL:
                return NULL
            scratch.feature = grown
            scratch.room *= 2
        scratch.slot[i] = Slot(word, text, <uint32_t> scratch.n_features)
        memset(&scratch.feature[scratch.n_features], 0, sizeof(Feature))
        scratch.feature[scratch.n_features].word = word
        scratch.n_features += 1
    return &scratch.feature[scratch.slot[i].feature]


cdef int read_features(const Text *text, uint32_t number, Scratch *scratch) noexcept nogil:
    """Count the words of a text by where they stand, in the order of their first; -1 if there is no memory."""
    cdef Word word
    cdef Feature *feature
    cdef Place place = PLAIN
    cdef Py_ssize_t end = 0, position
    cdef uint64_t value = 0, mask = 1
    cdef bint head = True, introduced = False
    cdef int n_words = 0
    scratch.n_features = 0
    if prepare(scratch, text.length) < 0:
        return -1
    while mask <= <uint64_t> text.length:
        mask *= 2
    mask -= 1
    while next_word(text, end, &word):
        if word.opens:
            if head and scratch.n_features:
                for position in range(end, word.first):
                    if character_at(text, position) == c"\n":
                        head = False
            introduced = n_words == 1 and introduces(value)
            place = place_of(text, word.first, head, introduced)
            n_words = 0
        n_words += 1
        end = word.end
        value = hash_of(&word)
        feature = feature_of(scratch, value, number, mask)
        if feature == NULL:
            return -1
        feature.count[<int> place] += 1
    return 0


# ---- features to rows ----

cdef class Vocabulary:
    """Which row each word has.

    Parameters
    ----------
    words : list of str
        Row by row.
    n_shared : int
        How many rows behind them other words share.
    """

    cdef uint64_t *word
    cdef int32_t *row
    cdef uint64_t mask
    cdef readonly Py_ssize_t n_words
    cdef readonly Py_ssize_t n_shared

    def __cinit__(self, list words not None, Py_ssize_t n_shared):
        cdef bytes encoded
        cdef uint64_t value, i
        cdef int32_t row
        self.mask = 1
        while self.mask < <uint64_t> (2 * len(words)):
            self.mask *= 2
        self.word = <uint64_t *> calloc(self.mask, sizeof(uint64_t))
        self.row = <int32_t *> calloc(self.mask, sizeof(int32_t))
        if self.word == NULL or self.row == NULL:
            raise MemoryError
        self.mask -= 1
        for row, string in enumerate(words):
            encoded = string.encode("utf-8")
            value = hash_of_bytes(<const uint8_t *> PyBytes_AS_STRING(encoded), len(encoded))
            i = value & self.mask
            while self.row[i]:
                i = (i + 1) & self.mask
            self.word[i] = value
            self.row[i] = row + 1
        self.n_words = len(words)
        self.n_shared = n_shared

    def __dealloc__(self):
        free(self.word)
        free(self.row)

    def hashes(self):
        """Give the hash of each word, as a uint64 ndarray of shape (n_words,)."""
        out = np.empty(self.n_words, np.uint64)
        cdef uint64_t[::1] hashes = out
        cdef uint64_t i
        for i in range(self.mask + 1):
            if self.row[i]:
                hashes[self.row[i] - 1] = self.word[i]
        return out

    cdef Py_ssize_t row_of(self, uint64_t word) noexcept nogil:
        cdef uint64_t i = word & self.mask
        while self.row[i] and self.word[i] != word:
            i = (i + 1) & self.mask
        if self.row[i]:
            return self.row[i] - 1
        return self.n_words + <Py_ssize_t> ((word >> 32) * <uint64_t> self.n_shared >> 32)


def features(list texts not None, Vocabulary vocabulary not None):
    """Give what texts are made of, for training.

    Parameters
    ----------
    texts : list of str
    vocabulary : Vocabulary

    Returns
    -------
    ends : int64 ndarray of shape (n,)
        How many features there are up to the end of each text.
    rows : int32 ndarray of shape (n_features,)
        Of the words of each text, in the order in which they first occur; words that share a row each have one.
    counts : uint16 ndarray of shape (n_features, N_PLACES)
        How often the word stands in each place, 65,535 at most.
    """
    cdef Scratch scratch
    cdef Text text
    cdef str kept
    cdef uint32_t number = 0
    cdef Py_ssize_t i, j
    cdef int32_t[::1] row
    cdef uint16_t[:, ::1] count
    parts = [(np.empty(0, np.int32), np.empty((0, N_PLACES), np.uint16))]
    ends = np.empty(len(texts), np.int64)
    memset(&scratch, 0, sizeof(Scratch))
    try:
        for string in texts:
            kept = composed(string)
            text = text_of(kept)
            number += 1
            if read_features(&text, number, &scratch) < 0:
                raise MemoryError
            part = np.empty(scratch.n_features, np.int32), np.empty((scratch.n_features, N_PLACES), np.uint16)
            row, count = part
            for i in range(scratch.n_features):
                row[i] = <int32_t> vocabulary.row_of(scratch.feature[i].word)
                for j in range(N_PLACES):
                    count[i, j] = <uint16_t> min(scratch.feature[i].count[j], 65535)
            parts.append(part)
            ends[number - 1] = scratch.n_features
    finally:
        free(scratch.slot)
        free(scratch.feature)
    rows, counts = (np.concatenate(column) for column in zip(*parts))
    return np.cumsum(ends), rows, counts


# ---- rows to vectors ----

# The blocks of a vector, and of all that a model has for each of them.
cdef enum:
    LEARNED, FIXED, N_BLOCKS

# What a kind of text is weighed by.
cdef struct Scales:
    const double *weight[N_BLOCKS]      # of each row
    double place[N_BLOCKS][N_PLACES]
    double saturation[N_BLOCKS]
    double length[N_BLOCKS]             # of the block in a unit vector

cdef struct Model:
    const int8_t *table                 # of the learned block
    const uint64_t *seed                # of the fixed one: what words of one stem share
    Py_ssize_t n_words
    Py_ssize_t size[N_BLOCKS]
    Scales scales

cdef int8_t[256][8] SIGN
cdef int bits, bit
for bits in range(256):
    for bit in range(8):
        SIGN[bits][bit] = 1 if bits >> bit & 1 else -1


cdef int64_t weight_of(const Scales *scales, int block, const Feature *feature, Py_ssize_t row) noexcept nogil:
    """Give what a word counts: the more often it stands there the less each time adds, as in BM25."""
    cdef double count = 0
    cdef int place
    for place in range(N_PLACES):
        count += scales.place[block][place] * feature.count[place]
    return <int64_t> (WEIGHT_UNIT * (scales.weight[block][row] * (count / (count + scales.saturation[block]))) + 0.5)


cdef void add_row(int64_t *total, const int8_t *row, int64_t weight, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i
    cdef int32_t factor = <int32_t> weight
    for i in range(size):
        total[i] += factor * row[i]


cdef void add_signs(int64_t *total, uint64_t seed, int64_t weight, Py_ssize_t size) noexcept nogil:
    cdef Py_ssize_t i, j
    cdef uint64_t word = 0
    cdef int32_t factor = <int32_t> weight
    cdef const int8_t *sign
    for i in range(0, size, 8):
        if i % 64 == 0:
            seed += 0x9E3779B97F4A7C15u
            word = mixed(seed)
        sign = SIGN[word & 255]
        word >>= 8
        for j in range(8):
            total[i + j] += factor * sign[j]


cdef void write_unit(const int64_t *total, double length, float *out, Py_ssize_t size) noexcept nogil:
    cdef double norm = 0
    cdef Py_ssize_t i
    for i in range(size):
        norm += <double> total[i] * <double> total[i]
    norm = sqrt(norm)
    for i in range(size):
        out[i] = <float> (length * (<double> total[i] / norm)) if norm > 0 else 0


cdef int embed_text(
    const Text *text, uint32_t number, Vocabulary vocabulary, const Model *model, Scratch *scratch, float *out
) noexcept nogil:
    cdef Py_ssize_t i, row
    cdef Feature *feature
    cdef uint64_t seed
    if read_features(text, number, scratch) < 0:
        return -1
    memset(scratch.total, 0, (model.size[LEARNED] + model.size[FIXED]) * sizeof(int64_t))
    for i in range(scratch.n_features):
        feature = &scratch.feature[i]
        row = vocabulary.row_of(feature.word)
        seed = model.seed[row] if row < model.n_words else feature.word
        add_row(
            scratch.total, model.table + row * model.size[LEARNED], weight_of(&model.scales, LEARNED, feature, row),
            model.size[LEARNED],
        )
        add_signs(
            scratch.total + model.size[LEARNED], seed, weight_of(&model.scales, FIXED, feature, row), model.size[FIXED]
        )
    write_unit(scratch.total, model.scales.length[LEARNED], out, model.size[LEARNED])
    write_unit(
        scratch.total + model.size[LEARNED], model.scales.length[FIXED], out + model.size[LEARNED], model.size[FIXED]
    )
    return 0


def embed_texts(
    list texts not None, Vocabulary vocabulary not None, const int8_t[:, ::1] table, const uint64_t[::1] seeds,
    const double[:, ::1] weights, const double[:, ::1] places, const double[::1] saturations, const double[::1] lengths,
    float[:, ::1] out, int threads,
):
    """Write a unit vector for each text, zero for one without words.

    Parameters
    ----------
    texts : list of str, of less than 2**32
    vocabulary : Vocabulary
    table : int8 memoryview of shape (n_rows, n_learned)
    seeds : uint64 memoryview of shape (n_words,)
    weights : float64 memoryview of shape (2, n_rows), from 0 to 1
    places : float64 memoryview of shape (2, N_PLACES), positive
    saturations, lengths : float64 memoryview of shape (2,), positive
    out : float32 memoryview of shape (n, D), n > 0; D - n_learned is a multiple of 8
    threads : int
    """
    cdef list kept = [composed(string) for string in texts]
    cdef Py_ssize_t i, n = len(kept), dimension = out.shape[1]
    cdef int block, place, failed = 0
    cdef Model model
    cdef Scratch *scratches = <Scratch *> calloc(threads, sizeof(Scratch))
    cdef Text *sources = <Text *> calloc(n, sizeof(Text))
    model.table = &table[0, 0]
    model.seed = &seeds[0]
    model.n_words = vocabulary.n_words
    model.size[LEARNED] = table.shape[1]
    model.size[FIXED] = dimension - table.shape[1]
    for block in range(N_BLOCKS):
        model.scales.weight[block] = &weights[block, 0]
        model.scales.saturation[block] = saturations[block]
        model.scales.length[block] = lengths[block]
        for place in range(N_PLACES):
            model.scales.place[block][place] = places[block, place]
    try:
        if scratches == NULL or sources == NULL:
            raise MemoryError
        for i in range(threads):
            scratches[i].total = <int64_t *> calloc(dimension, sizeof(int64_t))
            if scratches[i].total == NULL:
                raise MemoryError
        for i in range(n):
            sources[i] = text_of(kept[i])
        with nogil, parallel(num_threads=threads):
            # Not static: texts differ in length by orders of magnitude.
            for i in prange(n, schedule="dynamic"):
                failed |= embed_text(
                    &sources[i], <uint32_t> (i + 1), vocabulary, &model, &scratches[threadid()], &out[i, 0]
                ) < 0
        if failed:
            raise MemoryError
    finally:
        for i in range(threads if scratches != NULL else 0):
            free(scratches[i].slot)
            free(scratches[i].feature)
            free(scratches[i].total)
        free(scratches)
        free(sources)
