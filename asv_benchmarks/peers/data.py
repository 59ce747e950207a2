"""What is stored: keys, vectors and metadata that look like those of a code base."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from benchmarks.common import DIMENSION, SEED, clustered
from contenders import Rows

__all__ = ["DIMENSION", "block", "key", "metadata", "rows_and_queries"]

# Rows that are made at once: what making them takes beside them is then of no account.
PIECE = 2_000


def key(i: int) -> str:
    """Return the key of a row."""
    return f"src/package_{i % 1_000}/module_{i}.py"


def metadata(i: int) -> dict[str, Any]:
    """Return metadata that takes about 200 bytes of JSON, of which no two are alike."""
    return {
        "language": "python",
        "file_type": "source",
        "size_bytes": i,
        "line_count": i % 977,
        "dependencies": ["numpy", "torch"],
        "content_hash": hashlib.sha256(str(i).encode()).hexdigest(),
    }


def rows_and_queries(count: int, queries: int) -> tuple[Rows, np.ndarray]:
    """Return rows, and vectors of the same distribution that are none of theirs."""
    vectors = clustered(np.random.default_rng(SEED), count + queries)
    return Rows([key(i) for i in range(count)], vectors[:count], [metadata(i) for i in range(count)]), vectors[count:]


def block(start: int, count: int) -> Rows:
    """Return rows of a larger whole that is never there at once."""
    numbers = range(start, start + count)
    vectors = np.empty((count, DIMENSION), np.float32)
    for first in range(0, count, PIECE):
        piece = vectors[first : first + PIECE]
        piece[:] = clustered(np.random.default_rng((SEED, start + first)), len(piece))
    return Rows([key(i) for i in numbers], vectors, [metadata(i) for i in numbers])
