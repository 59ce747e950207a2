"""Which store a damaged folder holds: its uuid, shards and dimension, by the marker, the catalog and the segments."""

import secrets
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import HTMError
from anam_py.store.evidence import SegmentFile
from anam_py.store.fragments import Fragments, Shape
from anam_py.store.loader import Structure
from anam_py.store.recovery import Marker
from anam_py.store.salvage import SalvagedCatalog

MOST_SHARDS = 4_096
MOST_DIMENSIONS = 65_536
# So many keys tell how many shards a store has.
_KEYS = 20_000


def plausible(marker: Marker | None) -> Marker | None:
    """Return a marker, or None if no store has one like it."""
    if marker is None or len(marker.uuid) != 32 or set(marker.uuid) - set("0123456789abcdef"):
        return None
    return marker if 1 <= marker.shards <= MOST_SHARDS and 1 <= marker.dimension <= MOST_DIMENSIONS else None


def decide(
    written: Marker | None, recorded: Marker | None, files: Sequence[SegmentFile], catalog: SalvagedCatalog | None
) -> Marker:
    """Return what the store is: what most of its segments say, where marker and catalog do not agree.

    Parameters
    ----------
    written, recorded : Marker, optional
        What the marker and the catalog say, as far as that is plausible.
    files : sequence of SegmentFile
        Its segments; the strict loader must have been asked about each.
    catalog : SalvagedCatalog, optional
        What can be read of its catalog.

    Raises
    ------
    HTMError
        If nothing tells.
    """
    said = [marker for marker in (recorded, written) if marker is not None]
    if len(said) == 2 and recorded == written:
        return said[0]
    structures = {file.path: file.structure for file in files if isinstance(file.structure, Structure)}
    uuid = _uuid(said, Counter(structure.uuid for structure in structures.values()))
    said = [marker for marker in said if marker.uuid == uuid]
    ours = [file for file in files if file.path in structures and structures[file.path].uuid == uuid]
    dimensions = Counter(structure.dimension for structure in structures.values() if structure.uuid == uuid)
    if not dimensions and catalog is not None:
        dimensions = Counter(len(vector) // 4 for _, vector in islice(catalog.rows("pending"), _KEYS))
    if not dimensions and not said:
        raise HTMError("neither the marker nor the catalog nor a segment says what store this is; restore a backup of the folder")
    dimension = dimensions.most_common(1)[0][0] if dimensions else said[0].dimension
    return Marker(uuid, _shards(said, _hashes(ours, catalog)), dimension)


def _uuid(said: Sequence[Marker], votes: Counter[str]) -> str:
    named = [marker.uuid for marker in said]
    if voted := [uuid for uuid, _ in votes.most_common() if uuid in named or not named]:
        return voted[0]
    if votes:
        return votes.most_common(1)[0][0]
    return named[0] if named else secrets.token_hex(16)


def _hashes(files: Sequence[SegmentFile], catalog: SalvagedCatalog | None) -> NDArray[np.int64]:
    """Return the hash of each of some keys, and the shard that it is in."""
    pairs = list(islice(_keys_of(files), _KEYS))
    if not pairs and catalog is not None:
        pairs = [(row[1], row[2]) for row in islice(catalog.rows("entries"), _KEYS)]
    return np.array([(zlib.crc32(key.encode()), shard) for key, shard in pairs], np.int64).reshape(-1, 2)


def _keys_of(files: Iterable[SegmentFile]) -> Iterator[tuple[str, int]]:
    for file in files:
        found = file.structure
        if isinstance(found, Structure):
            with Fragments(file.path, Shape(found.rows, found.dimension, found.layout)) as fragments:
                for piece in fragments.pieces():
                    yield from ((key, file.shard) for key, fits in zip(piece.keys, piece.sound.tolist(), strict=True) if fits)


def _shards(said: Sequence[Marker], hashes: NDArray[np.int64]) -> int:
    """Return how many shards there are: the first that is said, else the smallest number, that fits the most keys."""
    most = int(hashes[:, 1].max(initial=0))
    options = [marker.shards for marker in said] + list(range(most + 1, MOST_SHARDS + 1))
    fits = [int(np.count_nonzero(hashes[:, 0] % shards == hashes[:, 1])) for shards in options]
    return options[int(np.argmax(fits))]
