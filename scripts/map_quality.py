"""How well the map of a store keeps neighbourhoods, beside its two principal components alone.

``python scripts/map_quality.py STORE`` prints, for each, the trustworthiness of Venna and Kaski (2001) and the share of the ten
nearest neighbours that are kept. Memory grows with the square of the number of files; 5,000 take about a gigabyte.
"""

import sys
import time

import numpy as np
from numpy.typing import NDArray

from anam_py import HTMCore
from anam_py.pictures import survey
from anam_py.pictures.layout import NEIGHBOURS, arrange, neighbours_of


def quality(ranks: NDArray[np.int64], places: NDArray[np.float64]) -> tuple[float, float]:
    """Return trustworthiness and the share of neighbours kept, by the ranks of all vectors as neighbours of each."""
    n_rows, count = len(places), NEIGHBOURS
    squares = np.stack([((places - place) ** 2).sum(axis=1) for place in places])
    np.fill_diagonal(squares, np.inf)
    nearest = np.argpartition(squares, count - 1, axis=1)[:, :count]
    found = np.take_along_axis(ranks, nearest, axis=1)
    intruders = np.maximum(found + 1 - count, 0).sum()
    return 1 - 2 * intruders / (n_rows * count * (2 * n_rows - 3 * count - 1)), float((found < count).mean())


def main() -> None:
    """Measure the store that is named."""
    with HTMCore(sys.argv[1], read_only=True) as htm:
        vectors = survey(htm).vectors
    start = time.process_time()
    neighbours = neighbours_of(vectors)
    found = time.process_time()
    places = arrange(vectors, neighbours)
    arranged = time.process_time()
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -np.inf)
    ranks = np.argsort(np.argsort(-cosines, axis=1, kind="stable"), axis=1)
    centred = units - units.mean(axis=0)
    components = centred @ np.linalg.eigh(centred.T @ centred)[1][:, :-3:-1]
    print(f"{len(vectors):,} files; CPU seconds: {found - start:.1f} for neighbours, {arranged - found:.1f} for places")
    for name, each in (("principal components", components.astype(np.float64)), ("map", places)):
        trust, kept = quality(ranks, each)
        print(f"{name:<22} trustworthiness {trust:.3f}, neighbours kept {kept:.3f}")


if __name__ == "__main__":
    main()
