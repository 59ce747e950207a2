"""How fast a store's operations are on this machine and disk."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from anam_py.store.htm import HTMCore

# Beyond these they are taken again.
_VECTORS = 1_000


def operations_per_second(htm: "HTMCore", count: int) -> dict[str, float]:
    """Store, retrieve and search `count` times each in an empty store.

    Parameters
    ----------
    htm : HTMCore
        A new store, which is filled.
    count : int
        How many operations of each kind.

    Returns
    -------
    dict of str to float
        ``store_ops_per_sec``, ``retrieve_ops_per_sec``, ``search_ops_per_sec``, and the count
        as ``num_operations``.
    """
    vectors = np.random.default_rng(0).standard_normal((min(count, _VECTORS), htm.dimension), dtype=np.float32)
    keys = [f"file_{i}.py" for i in range(count)]
    return {
        "num_operations": float(count),
        "store_ops_per_sec": _rate(lambda i: htm.store_embedding(keys[i], vectors[i % _VECTORS], {"line_count": i}), count),
        "retrieve_ops_per_sec": _rate(lambda i: htm.get_embedding(keys[i]), count),
        "search_ops_per_sec": _rate(lambda i: htm.search_similar(vectors[i % _VECTORS]), count),
    }


def _rate(operation: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    for i in range(count):
        operation(i)
    return count / (time.perf_counter() - start)
