"""The thresholds that an action has to keep, and a gate that measures how one-sided an action's effects are.

Needs NumPy alone. docs/kernels.md says what tension measures, and what it does not.
"""

import math
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from anam_py._validation import as_array, describe
from anam_py.exceptions import ValidationError

__all__ = ["MAX_TENSION", "MIN_RESONANCE", "EthicalGate", "ResonanceScore", "Violation", "validate_nam_compliance"]

MIN_RESONANCE: Final = 0.45
MAX_TENSION: Final = 0.35

_MAX_VIOLATIONS: Final = 1000


class Violation(NamedTuple):
    """An action vector that a gate has refused.

    Attributes
    ----------
    time : float
        When, in seconds since the epoch.
    tension : float
        Its tension, in [0, 1].
    norm : float
        Its Euclidean norm; infinity where that is beyond float64.
    """

    time: float
    tension: float
    norm: float


@dataclass(frozen=True, slots=True)
class ResonanceScore:
    """What `anam_py.kernels.calculate_resonance_score` says of a batch of embeddings.

    Attributes
    ----------
    value : float
        Mean resonance of the batch.
    harmonics : tuple of float
        The terms whose sum is the kernel's amplitude at that time.
    ethical_tension : float
        Tension of the batch's mean embedding, in [0, 1].
    nam_compliant : bool
        Whether both thresholds are kept, see :func:`validate_nam_compliance`.
    is_valid : bool
        The same.
    """

    value: float
    harmonics: tuple[float, ...]
    ethical_tension: float
    nam_compliant: bool
    is_valid: bool


class EthicalGate:
    """Refuses action vectors whose effects are too one-sided; may be shared by threads.

    An action vector's components are the sizes of its effects, whatever their signs. Its tension says how unevenly they are
    spread: 0 if all are of equal size, 1 if there is a single one. That is no measure of harm: an action that hurts all alike
    has none.

    Parameters
    ----------
    tension_threshold : float
        The greatest tension that passes, in [0, 1].

    Raises
    ------
    ValidationError
        If the threshold is no number in [0, 1].

    Examples
    --------
    >>> valid, tension = EthicalGate().validate([0.1, 0.2, -0.05, 0.15])
    >>> valid, round(tension, 4)
    (True, 0.1911)
    """

    def __init__(self, tension_threshold: float = MAX_TENSION) -> None:
        threshold = _as_number(tension_threshold, "tension_threshold")
        if not 0.0 <= threshold <= 1.0:
            raise ValidationError(f"tension_threshold must be from 0 to 1, got {threshold}")
        self._threshold = threshold
        self._lock = threading.Lock()
        self._violations: deque[Violation] = deque(maxlen=_MAX_VIOLATIONS)

    @property
    def tension_threshold(self) -> float:
        """The greatest tension that passes."""
        return self._threshold

    @property
    def violation_history(self) -> tuple[Violation, ...]:
        """The last refusals, 1,000 at most, oldest first, as they are now."""
        with self._lock:
            return tuple(self._violations)

    def validate(self, v: npt.ArrayLike) -> tuple[bool, float]:
        """Measure an action vector, and note it in `violation_history` if it is refused.

        Parameters
        ----------
        v : array_like of shape (D,)
            Sizes of the action's effects: real numbers of any dtype and device.

        Returns
        -------
        valid : bool
            Whether the tension is at most the threshold.
        tension : float
            As :meth:`tension` gives it.

        Raises
        ------
        ValidationError
            If it is no vector of at least one number, or a number is NaN or infinite.
        """
        shares, largest = _relative(_as_effects(v))
        tension = _tension(shares)
        valid = tension <= self._threshold
        if not valid:
            violation = Violation(time.time(), tension, largest * math.sqrt(float(shares.sum())))
            with self._lock:
                self._violations.append(violation)
        return valid, tension

    @staticmethod
    def tension(v: npt.ArrayLike) -> float:
        """Return how unevenly an action's effects are spread, without judging or noting it.

        With shares ``p_i = v_i² / Σv²`` and ``H = Σp_i²``, the Herfindahl-Hirschman index, it is ``(D·H - 1) / (D - 1)``. Signs
        do not matter, nor the vector's length. Computed in float64, without overflow or underflow.

        Parameters
        ----------
        v : array_like of shape (D,)
            As for :meth:`validate`.

        Returns
        -------
        float
            In [0, 1]; 0.0 for a zero vector, 1.0 for a single component that is not zero.

        Raises
        ------
        ValidationError
            As :meth:`validate`.
        """
        return _tension(_relative(_as_effects(v))[0])


def validate_nam_compliance(resonance: float, tension: float) -> bool:
    """Return whether resonance is at least 0.45 and tension at most 0.35.

    Parameters
    ----------
    resonance, tension : float
        Real numbers: Python's, NumPy's, or arrays and tensors of shape ().

    Returns
    -------
    bool
        False, too, if one of them is NaN or infinite: what could not be computed does not comply.

    Raises
    ------
    ValidationError
        If one of them is no real number.
    """
    resonance = _as_number(resonance, "resonance")
    tension = _as_number(tension, "tension")
    return math.isfinite(resonance) and math.isfinite(tension) and resonance >= MIN_RESONANCE and tension <= MAX_TENSION


def _as_number(value: object, name: str) -> float:
    if type(value) is float:
        return value
    array = as_array(value, name)
    if array.shape != ():
        raise ValidationError(f"{name} must be a single number, got {describe(value)}")
    return float(array)


def _as_effects(value: object) -> npt.NDArray[np.float64]:
    array = as_array(value, "action vector v")
    if array.ndim != 1 or not array.size:
        raise ValidationError(f"action vector v must be a vector of at least one number, got an array of shape {array.shape}")
    with np.errstate(over="ignore"):  # of what is longer than float64
        vector = array.astype(np.float64, copy=False)
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        raise ValidationError(f"action vector v[{bad[0]}] must be finite in float64, got {array[bad[0]]}")
    return vector


def _relative(vector: npt.NDArray[np.float64]) -> tuple[npt.NDArray[Any], float]:
    """Return the squares of the components over the largest, whose sum neither over- nor underflows, and the largest."""
    sizes = np.abs(vector)
    largest = float(sizes.max())
    return np.square(sizes / largest) if largest else sizes, largest


def _tension(squares: npt.NDArray[np.float64]) -> float:
    """Return the tension of relative squares, exact at both ends: sums are whole where all are equal, or all but one are zero."""
    total = float(squares.sum())
    if not total or len(squares) == 1:
        return 1.0 if total else 0.0
    dimension = len(squares)
    tension = (dimension * float(np.square(squares).sum()) - total**2) / ((dimension - 1) * total**2)
    return min(max(tension, 0.0), 1.0)
