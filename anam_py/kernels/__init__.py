"""Resonance of embeddings with torch, and the gate beside it, which needs none.

Torch is imported when something is asked for that needs it: a kernel by its name, or a score. docs/kernels.md explains the
measures.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from anam_py.gate import EthicalGate, ResonanceScore, validate_nam_compliance

if TYPE_CHECKING:
    from anam_py.kernels.harmonic import HarmonicKernel
    from anam_py.kernels.resonance import ResonanceKernel

__all__ = [
    "EthicalGate",
    "HarmonicKernel",
    "ResonanceKernel",
    "ResonanceScore",
    "calculate_resonance_score",
    "validate_nam_compliance",
]

_HOMES = {"HarmonicKernel": "harmonic", "ResonanceKernel": "resonance"}


def calculate_resonance_score(
    embeddings: npt.ArrayLike, kernel: "ResonanceKernel | None" = None, t: float = 1.0
) -> ResonanceScore:
    """Score a batch of embeddings: how much they agree, and how one-sided their mean is.

    Gradients are not tracked.

    Parameters
    ----------
    embeddings : torch.Tensor or array_like of shape (n, D) or (D,)
        Real numbers of any dtype and device. They are brought to the kernel's.
    kernel : ResonanceKernel, optional
        By default a new one, of the embeddings' dtype if that is float32, float64 or bfloat16, of float32 otherwise.
    t : float
        Time at which the kernel is asked.

    Returns
    -------
    ResonanceScore
        `value` is the mean of the kernel's resonances, `ethical_tension` that of the mean embedding; both flags hold when
        `value` is at least 0.45 and `ethical_tension` at most 0.35.

    Raises
    ------
    ImportError
        If torch is not installed.
    ValidationError
        If the embeddings are no such numbers, there are none, or one is NaN or infinite; or `kernel` or `t` is something else.
    """
    score: ResonanceScore = _module("score").score(embeddings, kernel, t)
    return score


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(f"{__name__}.{name}")
    except ImportError as error:
        raise ImportError(f'kernels need torch, which cannot be imported ({error}): pip install "anam_py[torch]"') from error
