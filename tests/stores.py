"""What the store's tests share: small vectors, and ways to look at all that a store holds."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anam_py.store import HTMCore

V = np.array([1.0, 2.0, 3.0, 4.0], np.float32)
W = np.array([4.0, -3.0, 2.0, -1.0], np.float32)


def names(hits: list[tuple[str, float, dict[str, Any]]]) -> list[str]:
    """Return the keys of hits."""
    return [key for key, _, _ in hits]


def rows(rng: np.random.Generator, count: int, dimension: int = 4) -> NDArray[np.float32]:
    """Return random vectors."""
    return rng.standard_normal((count, dimension), dtype=np.float32)


def contents(htm: HTMCore) -> dict[str, Any]:
    """Return all that can be asked about every key."""
    found: dict[str, Any] = {}
    for key in htm:
        record = htm.get_embedding(key)
        assert record is not None
        embedding = record.pop("embedding")
        found[key] = (record, embedding["values"].tobytes(), embedding["norm"], htm.get_text(key), htm.history(key))
    return found


def segment_files(path: Path) -> list[Path]:
    """Return the segment files of a store."""
    return [file for file in sorted(path.glob("shard-*/seg-*.h5")) if ".codes-" not in file.name]


def codes_files(path: Path) -> list[Path]:
    """Return the files of a store that hold its segments' codes."""
    return sorted(path.glob("shard-*/seg-*.codes-*.h5"))


def code(htm: HTMCore) -> None:
    """Have all segments coded that are to be."""
    htm._writing().coder.finish()


def merge_in_the_background(htm: HTMCore) -> None:
    """Do what the merging thread would, until it is done."""
    while htm._writing()._merger._merge_one():
        pass
