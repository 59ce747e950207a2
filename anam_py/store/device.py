"""Candidates for many queries at once, chosen on a device of torch's that keeps a copy of the rows.

The only importer of torch in the store, itself imported only where a device is asked for. The device computes cosines
in single precision, whose error `slack` bounds; the rows that may be among the best by that bound are candidates,
and `_core.top_k` decides among them. The proof is in docs/explanation/exactness.md.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py import _core, config
from anam_py.exceptions import HTMError

try:
    import torch
except ImportError as error:
    raise ImportError(f'device= needs torch, which cannot be imported ({error}): pip install "anam_py[torch]"') from error

if TYPE_CHECKING:
    from anam_py.store.engine import Engine
    from anam_py.store.snapshot import Block, Snapshot

log = logging.getLogger("anam_py.store")

# What the scores of a batch of queries may take at a time, and what is brought to the device at a time.
_SCORE_BYTES = 256 << 20
_STAGED_BYTES = 64 << 20
_BATCH = 1024
# A query with more candidates than this and a share of all rows is left to the CPU: to fetch them costs as much as a scan.
_FEW, _SHARE = 1024, 64
# A row whose norm is so far from the one that is stored is damaged, or was divided by a CPU that takes denormals for zero.
_LENGTH_ERROR = 2.0**-6
# Of all 24 bits, so that it is changed by whatever rounds what it multiplies; twice this is exact.
_MARK = float(np.float32(2 / 3))


def slack(dimension: int) -> float:
    """Return a bound of the difference between a device's cosine and the exact one (docs/explanation/exactness.md)."""
    roundings = _width(dimension) * 2.0**-23
    return 1.05 * (roundings / (1 - roundings) + 4 * 2.0**-24)


def _width(dimension: int) -> int:
    """Return the length of a row on the device: with two marks, and a multiple of what its loads are aligned to."""
    return (dimension + 2 + 7) // 8 * 8


def find(name: str) -> torch.device:
    """Return a device that is there, or raise HTMError.

    Parameters
    ----------
    name : str
        "cpu", "cuda" or "cuda:N".
    """
    device = torch.device(name)
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        raise HTMError(
            f"device={name!r} needs CUDA, and torch {torch.__version__} finds none; install a driver and a torch that is built "
            "for it (https://pytorch.org/get-started), or leave device out: searches are as exact without"
        )
    count = torch.cuda.device_count()
    # The current device is a matter of each thread: what it is here and now is meant, also in the threads to come.
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= count:
        raise HTMError(f"device={name!r} is not there: torch finds {count}, cuda:0 to cuda:{count - 1}; choose one of them")
    return torch.device("cuda", index)


def copy_of(engine: "Engine", device: torch.device) -> "DeviceCopy":
    """Return the copy of an engine's rows on a device, shared by its handles; it goes when the last of them lets go of it."""
    copy = engine.copies.get(str(device)) or DeviceCopy(device)
    engine.copies[str(device)] = copy
    return copy


# The candidates of a query, by block and row; None where there are too many to fetch them.
_Chosen = tuple[NDArray[np.int32], NDArray[np.int64]] | None


class _Rows(NamedTuple):
    """Unit rows on the device, and those whose scores do not count: the dead, and the odd, which are zero but for marks."""

    unit: torch.Tensor  # float32, (n, width)
    hidden: torch.Tensor | None  # bool, (n,); None if none is
    odd: NDArray[np.int64]


class _GrowingRows:
    """Unit rows on the device, of a block that only ever gets longer."""

    def __init__(self, device: torch.device, dimension: int, capacity: int) -> None:
        self._device = device
        self._dimension = dimension
        self._count = 0
        self._unit = self._room_for(capacity)
        self._odd = np.empty(0, np.int64)
        # As they were when last asked for: how many rows, and which of them were alive.
        self._asked: tuple[int, NDArray[np.uint8] | None] = (0, None)
        self._hidden: torch.Tensor | None = None

    @property
    def nbytes(self) -> int:
        """What they take on the device."""
        return int(self._unit.nbytes)

    def first(self, vectors: NDArray[np.float32], norms: NDArray[np.float64], alive: NDArray[np.uint8] | None) -> _Rows:
        """Return these rows, bringing over those that are not here yet."""
        n = len(vectors)
        if n > len(self._unit):
            unit = self._room_for(max(n, 2 * len(self._unit)))
            unit[: self._count] = self._unit[: self._count]
            self._unit = unit
        step = _rows_at_once(self._dimension)
        for start in range(self._count, n, step):
            self._bring(vectors[start : start + step][: n - start], norms[start : start + step])
        odd = self._odd[: np.searchsorted(self._odd, n)]
        if self._asked[0] != n or self._asked[1] is not alive:
            hidden = np.zeros(n, np.bool_) if alive is None else alive == 0
            hidden[odd] = True
            self._hidden = torch.as_tensor(hidden, device=self._device) if hidden.any() else None
            self._asked = n, alive
        return _Rows(self._unit[:n], self._hidden, odd)

    def _room_for(self, capacity: int) -> torch.Tensor:
        unit = torch.zeros((capacity, _width(self._dimension)), dtype=torch.float32, device=self._device)
        unit[:, self._dimension] = _MARK
        unit[:, self._dimension + 1] = 1.0
        return unit

    def _bring(self, vectors: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
        """Append rows, divided by their norms in double precision and rounded once."""
        lengths = torch.as_tensor(np.array(norms, np.float64), device=self._device)
        rows = torch.as_tensor(np.array(vectors, np.float32), device=self._device).double()
        rows /= lengths[:, None]
        odd = ~((torch.linalg.vector_norm(rows, dim=1) - 1.0).abs() <= _LENGTH_ERROR)  # so that it is true for NaN
        self._unit[self._count : self._count + len(rows), : self._dimension] = rows.masked_fill_(odd[:, None], 0.0)
        places = self._count + odd.nonzero()[:, 0].cpu().numpy()
        self._odd, self._count = np.concatenate((self._odd, places)), self._count + len(rows)


def _rows_at_once(dimension: int) -> int:
    """Return how many rows are brought to the device at a time."""
    return max(1, _STAGED_BYTES // (4 * dimension))


class DeviceCopy:
    """A store's rows on a device, as far as they fit there, and the search that they are for.

    Segments are brought over once, and dropped at the next search after they have left the store; of pending rows only
    those that have been added are. Segments that do not fit are brought over anew in each search, a piece at a time. What the
    copy may take is the device's memory less what a search needs, on the CPU ``memory_limit_mb``.

    Parameters
    ----------
    device : torch.device
        As `find` gives it.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lock = threading.Lock()
        self._segments: dict[tuple[int, str], _GrowingRows] = {}
        # With the ids that they have.
        self._pending: tuple[NDArray[np.int64], _GrowingRows] | None = None

    @property
    def nbytes(self) -> int:
        """What the copy takes on the device."""
        with self._lock:
            return self._nbytes()

    def top_k(
        self, snapshot: "Snapshot", queries: NDArray[np.float32], k: int, min_score: float, *, threads: int
    ) -> list[_core.Candidates]:
        """Return what `_core.top_k_many` returns for a snapshot's rows.

        Parameters
        ----------
        snapshot : Snapshot
        queries : float32 ndarray of shape (n, D)
        k : int
        min_score : float
        threads : int
            At most how many to use for what is done on the CPU.
        """
        rows = snapshot.rows()
        few = _FEW + sum(len(block.ids) for block in snapshot.blocks) // _SHARE
        results: list[_core.Candidates] = []
        for start in range(0, len(queries), _BATCH):
            batch = queries[start : start + _BATCH]
            chosen = (self._chosen(snapshot, batch, k, min_score, few) if k <= few else None) or [None] * len(batch)
            left = [i for i, candidates in enumerate(chosen) if candidates is None]
            scanned = iter(_core.top_k_many(rows, batch[left], k, min_score, threads=threads) if left else ())
            for query, candidates in zip(batch, chosen, strict=True):
                results.append(next(scanned) if candidates is None else _best_of(rows, *candidates, query, k, min_score, threads))
        return results

    def _chosen(
        self, snapshot: "Snapshot", queries: NDArray[np.float32], k: int, min_score: float, few: int
    ) -> list[_Chosen] | None:
        """Return the candidates of some queries; None if the device's memory does not suffice."""
        try:
            with self._computing():
                search = _Search(snapshot.blocks, self._refreshed(snapshot), queries, k, min_score, few, self._device)
                return search.chosen(self._score_bytes())
        except torch.cuda.OutOfMemoryError as error:
            log.warning("%s has too little memory left for a search, which the CPU does instead: %s", self._device, error)
            return None
        except RuntimeError as error:
            raise HTMError(
                f"the search on {self._device} failed: {error}; open the store without device to search it on the CPU"
            ) from error

    @contextlib.contextmanager
    def _computing(self) -> Iterator[None]:
        """Compute on the one stream that all threads share, whatever the caller has set in this one."""
        cuda = self._device.type == "cuda"
        stream = torch.cuda.stream(torch.cuda.default_stream(self._device)) if cuda else contextlib.nullcontext()
        with torch.inference_mode(), stream:
            yield

    # What is on the device

    def _refreshed(self, snapshot: "Snapshot") -> list[_Rows | None]:
        """Let the copy follow a snapshot; returns the rows of its blocks, None for those that do not fit."""
        with self._lock:
            places = [(block.segment.id, block.segment.name) for block in snapshot.segments]
            self._segments = {place: self._segments[place] for place in places if place in self._segments}
            if self._pending is not None and not _begin_alike(self._pending[0], snapshot.pending.ids):
                self._pending = None
            segments = [self._segment(place, block) for place, block in zip(places, snapshot.segments, strict=True)]
            return [*segments, self._pending_rows(snapshot.pending)]

    def _segment(self, place: tuple[int, str], block: "Block") -> _Rows | None:
        held = self._segments.get(place)
        if held is None:
            if not self._fits(block):
                return None
            held = _GrowingRows(self._device, block.vectors.shape[1], len(block.ids))
        rows = held.first(block.vectors, block.norms, block.alive)
        self._segments[place] = held
        return rows

    def _pending_rows(self, block: "Block") -> _Rows | None:
        if self._pending is None:
            if not self._fits(block):
                return None
            self._pending = block.ids, _GrowingRows(self._device, block.vectors.shape[1], len(block.ids))
        ids, held = self._pending
        rows = held.first(block.vectors, block.norms, block.alive)
        self._pending = max(ids, block.ids, key=len), held
        return rows

    def _fits(self, block: "Block") -> bool:
        size = 4 * len(block.ids) * _width(block.vectors.shape[1])
        if self._device.type == "cuda":
            return size <= self._unused() - 4 * (_SCORE_BYTES + _STAGED_BYTES)
        return size <= (config.current().memory_limit_mb << 20) - self._nbytes()

    def _score_bytes(self) -> int:
        if self._device.type == "cuda":
            return max(_SCORE_BYTES // 16, min(_SCORE_BYTES, self._unused() // 8))
        return _SCORE_BYTES

    def _unused(self) -> int:
        """Return how much of a CUDA device's memory nobody uses."""
        free, _ = torch.cuda.mem_get_info(self._device)
        return int(free + torch.cuda.memory_reserved(self._device) - torch.cuda.memory_allocated(self._device))

    def _nbytes(self) -> int:
        pending = 0 if self._pending is None else self._pending[1].nbytes
        return pending + sum(rows.nbytes for rows in self._segments.values())


def _begin_alike(ids: NDArray[np.int64], others: NDArray[np.int64]) -> bool:
    """Return whether one begins with the other, and so their rows do: the vector of an id never changes."""
    common = min(len(ids), len(others))
    return common > 0 and bool(np.array_equal(ids[:common], others[:common]))


class _Piece(NamedTuple):
    """Some rows of a block."""

    block: int
    start: int
    stop: int


class _Search:
    """The search for the candidates of some queries, of which more than `few` are too many.

    `resident` are the blocks' rows on the device, None for those that have to be brought there.
    """

    def __init__(
        self,
        blocks: Sequence["Block"],
        resident: Sequence[_Rows | None],
        queries: NDArray[np.float32],
        k: int,
        min_score: float,
        few: int,
        device: torch.device,
    ) -> None:
        self._blocks = blocks
        self._resident = resident
        self._count, self._dimension = queries.shape
        self._k = k
        self._few = few
        self._device = device
        self._slack = slack(self._dimension)
        # No cosine is as low as -2, so that this passes over dead rows, whose scores are -inf.
        self._lowest = max(min_score - self._slack, -2.0)
        self._questions = self._unit_queries(queries)

    def chosen(self, score_bytes: int) -> list[_Chosen]:
        """Return the candidates; the scores take so many bytes at a time, and as many while the best of them are found."""
        for dtype in (torch.float32, torch.float64):
            chosen = self._chosen(max(1, score_bytes // (4 * len(self._questions))), dtype)
            if chosen is not None:
                return chosen
        raise RuntimeError("it rounds what it multiplies")

    def _unit_queries(self, queries: NDArray[np.float32]) -> torch.Tensor:
        """Return unit queries, and last the one that reads the marks of every row."""
        unit = np.zeros((self._count + 1, _width(self._dimension)), np.float32)
        unit[:-1, : self._dimension] = queries / _core.norms(queries)[:, None]
        unit[-1, self._dimension : self._dimension + 2] = 1.0, _MARK
        return torch.as_tensor(unit, device=self._device)

    def _chosen(self, most: int, dtype: torch.dtype) -> list[_Chosen] | None:
        """Return the candidates by products of some precision, of so many rows at a time; None if that was not the precision."""
        best = torch.empty((self._count, 0), dtype=torch.float32, device=self._device)
        counts = np.zeros(self._count, np.int64)
        found: list[tuple[NDArray[Any], ...]] = []
        odd: list[tuple[int, NDArray[np.int64]]] = []
        for panel in self._panels(most):
            scores = self._scores(panel, dtype, odd)
            # Whether operands are rounded (to TF32, bfloat16) is a setting of the process, the environment, the libraries,
            # and may be changed in another thread at this moment. What was done shows in the product itself.
            if not bool((scores[-1] == 2 * _MARK).all()):
                return None
            scores = scores[:-1]
            best = torch.cat((best, scores.topk(min(self._k, scores.shape[1])).values), 1)
            best = best.topk(min(self._k, best.shape[1])).values
            hits = scores >= self._threshold(best)[:, None]
            if int(hits.count_nonzero()) > self._count * self._few or counts.max() > self._few:
                total = counts + hits.sum(1).cpu().numpy()
                counts = np.where(total > self._few, total, counts)
                hits &= torch.as_tensor(counts <= self._few, device=self._device)[:, None]
            query, column = hits.nonzero(as_tuple=True)
            score, queries = scores[query, column].cpu().numpy(), query.cpu().numpy()
            found.append((queries, *_places(panel, column.cpu().numpy()), score))
            counts += np.bincount(queries, minlength=self._count)
        return self._by_query(found, odd, self._threshold(best).cpu().numpy(), counts > self._few)

    def _threshold(self, best: torch.Tensor) -> torch.Tensor:
        """Return for each query the least score of a candidate, by the best scores known."""
        if best.shape[1] < self._k:
            return torch.full((self._count,), self._lowest, dtype=torch.float32, device=self._device)
        return (best[:, self._k - 1].double() - 2 * self._slack).clamp(min=self._lowest).float()

    def _panels(self, most: int) -> Iterator[list[_Piece]]:
        """Cut the rows into panels of so many, the last one of fewer, each in pieces of one block."""
        panel: list[_Piece] = []
        left = most
        for index, (block, resident) in enumerate(zip(self._blocks, self._resident, strict=True)):
            step = most if resident is not None else _rows_at_once(self._dimension)
            start = 0
            while start < len(block.ids):
                piece = _Piece(index, start, min(start + min(step, left), len(block.ids)))
                panel.append(piece)
                start = piece.stop
                left -= piece.stop - piece.start
                if not left:
                    yield panel
                    panel, left = [], most
        if panel:
            yield panel

    def _scores(self, panel: list[_Piece], dtype: torch.dtype, odd: list[tuple[int, NDArray[np.int64]]]) -> torch.Tensor:
        """Return the scores of a panel's rows, -inf where they do not count; adds odd rows that are alive to `odd`."""
        columns = sum(piece.stop - piece.start for piece in panel)
        scores = torch.empty((len(self._questions), columns), dtype=torch.float32, device=self._device)
        stop = 0
        for piece in panel:
            start, stop = stop, stop + piece.stop - piece.start
            rows, part, alive = self._rows(piece), scores[:, start:stop], self._blocks[piece.block].alive
            if dtype is torch.float32:
                torch.mm(self._questions, rows.unit.T, out=part)
            else:
                part[:] = self._questions.to(dtype) @ rows.unit.T.to(dtype)
            if rows.hidden is not None:
                part[:-1].masked_fill_(rows.hidden, -torch.inf)
            if len(rows.odd):
                unseen = piece.start + rows.odd
                odd.append((piece.block, unseen if alive is None else unseen[alive[unseen] != 0]))
        return scores

    def _rows(self, piece: _Piece) -> _Rows:
        """Return the rows of a piece, brought to the device if they are not there."""
        index, start, stop = piece
        resident = self._resident[index]
        if resident is None:
            block = self._blocks[index]
            brought = _GrowingRows(self._device, self._dimension, stop - start)
            alive = None if block.alive is None else block.alive[start:stop]
            return brought.first(block.vectors[start:stop], block.norms[start:stop], alive)
        first, last = np.searchsorted(resident.odd, (start, stop))
        hidden = None if resident.hidden is None else resident.hidden[start:stop]
        return _Rows(resident.unit[start:stop], hidden, resident.odd[first:last] - start)

    def _by_query(
        self,
        found: list[tuple[NDArray[Any], ...]],
        odd: list[tuple[int, NDArray[np.int64]]],
        least: NDArray[np.float32],
        crowded: NDArray[np.bool_],
    ) -> list[_Chosen]:
        """Return each query's rows that pass the final threshold, with those that no score stands for."""
        if not found:
            return [_joined([])] * self._count
        query, block, row, score = map(np.concatenate, zip(*found, strict=True))
        passing = np.flatnonzero(score >= least[query])
        passing = passing[np.argsort(query[passing], kind="stable")]
        ends = np.searchsorted(query[passing], np.arange(1, self._count))
        unseen = _joined(odd)
        chosen: list[_Chosen] = []
        for q, part in enumerate(np.split(passing, ends)):
            if crowded[q] or len(part) + len(unseen[1]) > self._few:
                chosen.append(None)
                continue
            blocks, rows = np.concatenate((block[part], unseen[0])), np.concatenate((row[part], unseen[1]))
            order = np.lexsort((rows, blocks))
            chosen.append((blocks[order], rows[order]))
        return chosen


def _joined(rows: list[tuple[int, NDArray[np.int64]]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return (block, its rows) as one array of blocks and one of rows."""
    blocks = np.repeat(np.array([block for block, _ in rows], np.int32), [len(part) for _, part in rows])
    return blocks, np.concatenate([np.empty(0, np.int64), *(part for _, part in rows)])


def _places(panel: list[_Piece], columns: NDArray[np.int64]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the block and row of each column of a panel's scores."""
    pieces = np.array(panel, np.int64)
    ends = np.cumsum(pieces[:, 2] - pieces[:, 1])
    index = np.searchsorted(ends, columns, "right")
    return pieces[index, 0].astype(np.int32), columns - ends[index] + pieces[index, 2]


def _best_of(
    rows: Sequence[_core.Rows],
    block: NDArray[np.int32],
    row: NDArray[np.int64],
    query: NDArray[np.float32],
    k: int,
    min_score: float,
    threads: int,
) -> _core.Candidates:
    """Return the best of some rows, given by block and row in order."""
    parts = [(rows[b], row[block == b]) for b in np.unique(block)]
    vectors = np.concatenate([part.vectors[chosen] for part, chosen in parts] or [rows[0].vectors[:0]])
    norms = np.concatenate([part.norms[chosen] for part, chosen in parts] or [rows[0].norms[:0]])
    found = _core.top_k([_core.Rows(vectors, norms)], query, k, min_score, threads=threads)
    return _core.Candidates(block[found.row], row[found.row], found.score)
