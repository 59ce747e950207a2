"""What is measured in a process of its own: the way to its first answer, and how often a put syncs.

::

    python child.py first-answer CONTENDER FOLDER QUERY.npy
    LD_PRELOAD=syncs.so python child.py syncs CONTENDER FOLDER DIMENSION PUTS
"""

import ctypes
import json
import sys
from pathlib import Path

import numpy as np
from contenders import named

K = 10


def first_answer(name: str, folder: str, query: str) -> None:
    """Open a store, and print the keys that it finds as soon as it has found them."""
    vector = np.load(query)
    with named(name)(Path(folder), len(vector)) as store:
        print(json.dumps(store.query(vector, K)), flush=True)


def syncs(name: str, folder: str, dimension: str, puts: str) -> None:
    """Print how often a put into a new store has something synced, on average."""
    count = ctypes.CDLL(None).peers_syncs
    count.restype = ctypes.c_long
    vectors = np.random.default_rng(0).standard_normal((int(puts) + 1, int(dimension)), dtype=np.float32)
    metadata = {"language": "python", "size_bytes": 1}
    with named(name)(Path(folder), int(dimension)) as store:
        store.put("first", vectors[-1], metadata)
        before = count()
        for i in range(int(puts)):
            store.put(f"src/{i}.py", vectors[i], metadata)
        print((count() - before) / int(puts))


if __name__ == "__main__":
    {"first-answer": first_answer, "syncs": syncs}[sys.argv[1]](*sys.argv[2:])
