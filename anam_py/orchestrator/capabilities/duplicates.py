"""Passages that occur twice in some texts, found in time that is linear in their length.

As in rsync, blocks of a fixed grid are looked for at every position by their hashes: a passage twice as long as a block holds one
of them. What is found is compared, and extended to both sides.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Duplicate", "find_duplicates"]

_Values = npt.NDArray[np.uint64]

# A block with a smaller share of different tokens belongs to a table, or is brackets.
_LEAST_VARIETY = 0.35
# Of a block that occurs more often, only the first occurrences are compared.
_MAX_PLACES = 4
# Finds that came to nothing: texts made for it could have as many as they have tokens.
_MAX_VAIN = 100_000
# Odd, so that it has an inverse modulo 2**64: the golden ratio.
_BASE = 0x9E3779B97F4A7C15
_FIRST_COMPARED = 256


class Duplicate(NamedTuple):
    """A passage that occurs twice.

    Attributes
    ----------
    first, again : tuple of (int, int)
        The text and the position in it of its two occurrences, which do not overlap.
    length : int
    """

    first: tuple[int, int]
    again: tuple[int, int]
    length: int


def find_duplicates(texts: Sequence[_Values], least: int) -> Iterator[Duplicate]:
    """Find passages that have occurred before; of texts made to have very many that nearly have, some may be missed.

    Parameters
    ----------
    texts : sequence of ndarray of shape (n,), uint64
        Equal numbers for equal tokens. No passage goes on from one text into the next.
    least : int
        How many tokens a passage has at least, 2 or more.

    Yields
    ------
    Duplicate
        In the order of the second occurrences, which do not overlap each other.
    """
    block = (least + 1) // 2
    lengths = [len(text) for text in texts]
    if sum(lengths) < 2 * block:
        return
    values = np.concatenate(texts)
    ends = np.cumsum(lengths)
    done = vain = 0
    for again, places in _candidates(values, ends, block):
        if again < done:
            continue
        longest = max((_extended(values, ends, place, again, done) for place in places), key=lambda found: found[2], default=None)
        if longest is None or longest[2] < least:
            vain += 1
            if vain > _MAX_VAIN:
                return
            continue
        first, start, length = longest
        done = start + length
        yield Duplicate(_place(ends, first), _place(ends, start), length)


def _candidates(values: _Values, ends: npt.NDArray[np.int64], block: int) -> Iterator[tuple[int, list[int]]]:
    """Give positions of blocks that have the hash of a block of the grid before them, with the positions of those."""
    hashes = _hashes(values, block)
    grid = np.arange(0, len(hashes), block)
    grid = grid[np.searchsorted(ends, grid, side="right") == np.searchsorted(ends, grid + block - 1, side="right")]
    varied = [len(np.unique(values[start : start + block])) >= _LEAST_VARIETY * block for start in grid]
    grid = grid[np.array(varied, bool)]
    grid = grid[np.argsort(hashes[grid], kind="stable")]
    known = hashes[grid]
    left = np.searchsorted(known, hashes, side="left")
    right = np.searchsorted(known, hashes, side="right")
    for position in np.flatnonzero(left < right).tolist():
        places = grid[left[position] : min(right[position], left[position] + _MAX_PLACES)]
        before = places[places + block <= position].tolist()
        if before:
            yield position, before


def _hashes(values: _Values, block: int) -> _Values:
    """Return a hash of the block at each position: a polynomial of its values, modulo 2**64."""
    powers = np.cumprod(np.full(len(values), _BASE, np.uint64))
    inverse = np.cumprod(np.full(len(values), pow(_BASE, -1, 1 << 64), np.uint64))
    sums = np.concatenate(([np.uint64(0)], np.cumsum(values * powers)))
    hashes: _Values = (sums[block:] - sums[:-block]) * inverse[: len(values) - block + 1]
    return hashes


def _extended(values: _Values, ends: npt.NDArray[np.int64], first: int, again: int, done: int) -> tuple[int, int, int]:
    """Return how two occurrences begin and how long they are, when they are as long as they can be."""
    starts = [_start(ends, position) for position in (first, again)]
    most = min(first - starts[0], again - max(starts[1], done), again - first)
    before = _common(values[first - most : first][::-1], values[again - most : again][::-1])
    most = min(_end(ends, first) - first, _end(ends, again) - again, again - before - first)
    after = _common(values[first : first + most], values[again : again + most])
    return first - before, again - before, before + after


def _common(one: _Values, other: _Values) -> int:
    """Return how many values two arrays of a length have in common from their beginning."""
    start, size = 0, _FIRST_COMPARED
    while start < len(one):
        different = np.flatnonzero(one[start : start + size] != other[start : start + size])
        if different.size:
            return start + int(different[0])
        start, size = start + size, size * 2
    return len(one)


def _start(ends: npt.NDArray[np.int64], position: int) -> int:
    text = int(np.searchsorted(ends, position, side="right"))
    return int(ends[text - 1]) if text else 0


def _end(ends: npt.NDArray[np.int64], position: int) -> int:
    return int(ends[np.searchsorted(ends, position, side="right")])


def _place(ends: npt.NDArray[np.int64], position: int) -> tuple[int, int]:
    return int(np.searchsorted(ends, position, side="right")), position - _start(ends, position)
