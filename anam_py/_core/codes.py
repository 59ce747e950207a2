"""Plans and codes: how rows are written in a few bits a coordinate, so that a search reads a fraction of their bytes.

A plan says which coordinates the first level codes (those of a rotation onto the directions in which the rows
differ most, or the rows' own), in how many bits, and whether each row has a second, more detailed code. Codes bound
cosines and never decide them: whatever the plan, answers are the same.
"""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from anam_py._core.loading import coding as _coding
from anam_py._core.threads import threads_for

PANEL_ROWS = 16
_PANEL_FLOATS = 48
# Rows that are coded at a time: copies of them hardly count.
_PIECE = 4096
# Of the coordinates, in the early groups; at least so many are coded for a panel to be given up after them.
_EARLY_SHARE = 0.25
_EARLY_LEAST = 256
_DETAIL_ALIGNMENT = 64
# The products of longer codes might not fit 32 bits.
_MOST_DIMENSIONS = 65_536
# A rotation is only used where it is nearly one.
_LARGEST_DEFECT = 2.0**-10
_SINGLE = 2.0**-24
# More than the norm of the error in a unit row, rounded to single precision.
_UNIT_ERROR = 2 * _SINGLE
# Rows of other norms might overflow or lose bits in single precision.
SMALLEST_NORM, LARGEST_NORM = 2.0**-60, 2.0**60


@dataclass(frozen=True, eq=False)
class Plan:
    """How rows are coded.

    Attributes
    ----------
    dimension : int
        Length of the rows.
    width : int
        Coordinates of the first level, at most `dimension`.
    bits : {4, 6}
        Bits for each of them.
    rotation : float32 ndarray of shape (width, dimension), or None
        Orthonormal rows, whose products with a row are coded; None to code all coordinates of the row itself.
    detail : bool
        Whether there is a second level, of eight bits for every coordinate of a row.
    considered : tuple of (str, float)
        The plans that it was chosen from, in words, each with the bytes a row that a search of a sample read with it.
    shares : tuple of (float, float)
        Ascending: a recall, and how much of what codes leave out bounds must allow for so that this share of the nearest
        rows of a sample stays within theirs.
    """

    dimension: int
    width: int
    bits: int
    rotation: NDArray[np.float32] | None = field(repr=False)
    detail: bool
    considered: tuple[tuple[str, float], ...] = field(default=(), repr=False)
    shares: tuple[tuple[float, float], ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        shape = None if self.rotation is None else self.rotation.shape
        fits = self.width == self.dimension if shape is None else shape == (self.width, self.dimension)
        if not (1 <= self.width <= self.dimension <= _MOST_DIMENSIONS and self.bits in _GROUPS and fits):
            raise ValueError(f"no plan has {self.width} of {self.dimension} coordinates, {self.bits} bits and a rotation {shape}")
        if not self.defect < _LARGEST_DEFECT:
            raise ValueError(f"not a rotation: its rows are {self.defect} from orthonormal")
        if not all(0 < recall < 1 and 0 <= share <= 1 for recall, share in self.shares):
            raise ValueError(f"not shares of the nearest rows: {self.shares}")

    @property
    def padded(self) -> int:
        """The coordinates of whole groups."""
        width, _ = _GROUPS[self.bits]
        return -(-self.width // width) * width

    @property
    def groups(self) -> int:
        """The groups of a panel."""
        return self.padded // _GROUPS[self.bits][0]

    @property
    def early(self) -> int:
        """The groups after which a panel may be given up; 0 if none."""
        return int(self.groups * _EARLY_SHARE) if self.rotation is None and self.width >= _EARLY_LEAST else 0

    @property
    def early_width(self) -> int:
        """The coordinates of the early groups; all if there are none."""
        return self.early * _GROUPS[self.bits][0] if self.early else self.width

    @property
    def stride(self) -> int:
        """The bytes of a panel."""
        return self.groups * _GROUPS[self.bits][1] + 4 * _PANEL_FLOATS

    @property
    def row_bytes(self) -> float:
        """The bytes of the first level, a row."""
        return self.stride / PANEL_ROWS

    @functools.cached_property
    def defect(self) -> float:
        """A bound of how far the rotation's rows are from orthonormal, in the spectral norm."""
        if self.rotation is None:
            return 0.0
        rotation = self.rotation.astype(np.float64)
        computing = self.width * self.dimension * 2.0**-52 + 2.0**-40
        with np.errstate(invalid="ignore"):  # where it has infinities
            return float(np.linalg.norm(rotation @ rotation.T - np.eye(self.width))) + computing

    @property
    def error(self) -> float:
        """A bound of the norm of the error in the coordinates of a unit row, computed in single precision in any order."""
        if self.rotation is None:
            return _UNIT_ERROR
        summing = self.dimension * _SINGLE / (1 - self.dimension * _SINGLE)
        return float(1.01 * np.sqrt(self.width) * (1 + self.defect) * summing + 4 * _SINGLE)

    def share(self, recall: float) -> tuple[float, float]:
        """Return the recall to expect, at least the one that is asked for, and what bounds must allow for to reach it."""
        return next(((known, share) for known, share in self.shares if known >= recall), (1.0, 1.0))

    def pack(self) -> bytes:
        """Return the plan as bytes."""
        head = {name: getattr(self, name) for name in ("dimension", "width", "bits", "detail", "considered", "shares")}
        head["rotated"] = self.rotation is not None
        body = b"" if self.rotation is None else self.rotation.astype("<f4").tobytes()
        return json.dumps(head).encode() + b"\n" + body

    @classmethod
    def unpack(cls, packed: bytes) -> Self:
        """Return the plan that `pack` gave, or raise ValueError."""
        head, _, body = packed.partition(b"\n")
        try:
            found = json.loads(head)
            dimension, width, bits = (int(found[name]) for name in ("dimension", "width", "bits"))
            rotation = np.frombuffer(body, "<f4").reshape(width, dimension) if found["rotated"] else None
            considered = tuple((str(words), float(bytes_)) for words, bytes_ in found["considered"])
            shares = tuple((float(recall), float(share)) for recall, share in found["shares"])
            plan = cls(dimension, width, bits, rotation, bool(found["detail"]), considered, shares)
        except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"not a plan: {error!r}") from error
        if plan.pack() != packed:
            raise ValueError("not a plan: it is written otherwise, or goes on after its end")
        return plan

    @property
    def first_level(self) -> str:
        """The first level in words."""
        what = "" if self.rotation is None else f" of {self.dimension} rotated"
        return f"{self.bits} bits of {self.width}{what} coordinates"

    def __str__(self) -> str:
        return self.first_level + (", then 8 bits of all" if self.detail else "")


# By bits: coordinates and bytes of a group.
_GROUPS = {4: (8, 64), 6: (16, 192)}


class Codes(NamedTuple):
    """The codes of a block of rows.

    Attributes
    ----------
    plan : Plan
    panels : uint8 ndarray of shape (ceil(n / 16), plan.stride)
    detail : int8 ndarray of shape (n, D rounded up to whole registers), or None
    factors : float32 ndarray of shape (n, 2), or None
        Scale and residual of each row's second code.
    """

    plan: Plan
    panels: NDArray[np.uint8]
    detail: NDArray[np.int8] | None
    factors: NDArray[np.float32] | None

    @classmethod
    def of(cls, plan: Plan, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Return the codes that `encode` gave as arrays, or raise ValueError if they do not fit the plan."""
        panels, detail, factors = (arrays.get(name) for name in ("panels", "detail", "factors"))
        rows = None if detail is None else len(detail)
        if panels is None or plan.detail in (rows is None, factors is None):
            raise ValueError(f"these are not codes of {plan}")
        wanted = code_layout(plan, PANEL_ROWS * len(panels) if rows is None else rows)
        for name, (shape, dtype) in wanted.items():
            if arrays[name].shape != shape or arrays[name].dtype != np.dtype(dtype) or not arrays[name].flags.c_contiguous:
                raise ValueError(f"{name} of shape {arrays[name].shape} and type {arrays[name].dtype} are not codes of {plan}")
        return cls(plan, panels, detail, factors)

    @property
    def nbytes(self) -> int:
        """The bytes of all arrays."""
        return sum(part.nbytes for part in (self.panels, self.detail, self.factors) if part is not None)


def code_layout(plan: Plan, rows: int) -> dict[str, tuple[tuple[int, ...], str]]:
    """Return shape and type of each array of the codes of some rows."""
    layout: dict[str, tuple[tuple[int, ...], str]] = {"panels": ((-(-rows // PANEL_ROWS), plan.stride), "|u1")}
    if plan.detail:
        stride = -(-plan.dimension // _DETAIL_ALIGNMENT) * _DETAIL_ALIGNMENT
        layout |= {"detail": ((rows, stride), "|i1"), "factors": ((rows, 2), "<f4")}
    return layout


def encode(plan: Plan, vectors: NDArray[np.float32], norms: NDArray[np.float64], *, threads: int) -> dict[str, NDArray[Any]]:
    """Return the codes of rows, as arrays of the shapes that `code_layout` gives.

    Parameters
    ----------
    plan : Plan
    vectors : float32 ndarray of shape (n, D)
    norms : float64 ndarray of shape (n,)
        As `norms` gives them. Rows of extreme norms get codes that bound nothing.
    threads : int
        At most how many to use.

    Returns
    -------
    dict of str to ndarray
    """
    arrays = {name: np.zeros(shape, dtype) for name, (shape, dtype) in code_layout(plan, len(vectors)).items()}
    for start in range(0, len(vectors), _PIECE):
        piece = slice(start, min(len(vectors), start + _PIECE))
        units, sound = unit_rows(vectors[piece], norms[piece])
        values = units if plan.rotation is None else np.ascontiguousarray(units @ plan.rotation.T)
        workers = threads_for(2 * units.nbytes, threads)
        panels = arrays["panels"][start // PANEL_ROWS : -(-piece.stop // PANEL_ROWS)]
        _coding.pack(
            values, sound, plan.bits, plan.early_width, plan.rotation is not None, plan.error, plan.defect, panels, workers
        )
        if plan.detail:
            _coding.detail(units, sound, _UNIT_ERROR, arrays["detail"][piece], arrays["factors"][piece], workers)
    return arrays


def unit_rows(vectors: NDArray[np.float32], norms: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return rows scaled to norm 1, and which of them single precision can scale (the others are zero)."""
    sound = (norms >= SMALLEST_NORM) & (norms <= LARGEST_NORM)
    inverse = np.divide(1.0, norms, where=sound, out=np.zeros(len(norms)))
    units = np.multiply(vectors, inverse[:, np.newaxis], dtype=np.float64, order="C").astype(np.float32)
    return units, sound.astype(np.uint8)


class PreparedQueries:
    """Unit queries, and as each plan's levels see them.

    Parameters
    ----------
    queries : float32 ndarray of shape (n, D)
    norms : float64 ndarray of shape (n,)
    """

    def __init__(self, queries: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
        self._queries = queries
        self._norms = norms

    def sketches(self, plan: Plan, share: float = 1.0) -> "_coding.Sketches":
        """Return the queries for a plan's first level, or raise ValueError if it is one of rows of another dimension.

        With a `share` of less than 1, bounds allow for only so much of what codes leave out, and some rows exceed theirs.
        """
        if self._queries.shape[1] != plan.dimension:
            raise ValueError(f"{plan.dimension} coordinates were coded, not {self._queries.shape[1]}")
        rotated, zero = plan.rotation is not None, 1 << (plan.bits - 1)
        return _coding.Sketches(
            self._values(plan.rotation, plan.width), plan.padded, zero, plan.early_width, rotated, plan.error, plan.defect, share
        )

    def detailed(self, dimension: int) -> "_coding.Sketches":
        """Return the queries for the second level."""
        stride = -(-dimension // _DETAIL_ALIGNMENT) * _DETAIL_ALIGNMENT
        values = self._values(None, dimension)
        return _coding.Sketches(values, stride, 1, dimension, False, _UNIT_ERROR, 0.0, 1.0)  # noqa: FBT003 - by place, in compiled code

    def _values(self, rotation: NDArray[np.float32] | None, width: int) -> NDArray[np.float64]:
        values = np.empty((len(self._queries), width))
        _coding.project(rotation, self._queries, self._norms, values)
        return values
