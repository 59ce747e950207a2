"""The score of a batch: what a kernel says of it on the whole, and the gate of its mean."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from anam_py._validation import as_array, describe
from anam_py.exceptions import ValidationError
from anam_py.gate import EthicalGate, ResonanceScore, validate_nam_compliance
from anam_py.kernels.checks import DTYPES, sum_dtype
from anam_py.kernels.resonance import ResonanceKernel

__all__ = ["score"]


def score(embeddings: object, kernel: object, t: float) -> ResonanceScore:
    """Score a batch of embeddings; `anam_py.kernels.calculate_resonance_score` describes it.

    Parameters
    ----------
    embeddings : torch.Tensor or array_like of shape (n, D) or (D,)
        The batch, or the one row of it.
    kernel : ResonanceKernel or None
        What to ask; by default a new one.
    t : float
        When.

    Returns
    -------
    ResonanceScore
        The score.

    Raises
    ------
    ValidationError
        If one of the arguments is something else.
    """
    rows = _as_rows(embeddings)
    if kernel is None:
        kernel = ResonanceKernel().to(rows.device, rows.dtype if rows.dtype in DTYPES else torch.float32)
    if not isinstance(kernel, ResonanceKernel):
        raise ValidationError(f"kernel must be a ResonanceKernel or None, got {describe(kernel)}")
    with torch.no_grad():
        rows = rows.to(kernel.alpha.device, kernel.alpha.dtype)
        resonances, terms = kernel(rows, t), kernel.harmonics(t)
        mean = rows.mean(0, dtype=sum_dtype(rows.dtype))
        if not mean.isfinite().all():
            raise ValidationError(f"embeddings must be finite, and so must be their sum in {rows.dtype}; it has NaN or infinity")
        value = float(resonances.mean(dtype=sum_dtype(rows.dtype)))
    tension = EthicalGate.tension(mean)
    compliant = validate_nam_compliance(value, tension)
    return ResonanceScore(value, tuple(terms.tolist()), tension, nam_compliant=compliant, is_valid=compliant)


def _as_rows(embeddings: Any) -> Tensor:
    """Return embeddings as a matrix, of the dtype they are in where a kernel knows it."""
    if not isinstance(embeddings, Tensor):
        array = as_array(embeddings, "embeddings")
        # torch does not know every dtype and byte order, and takes no array that must not be written to.
        dtype = np.float32 if array.dtype == np.float32 else np.float64
        with np.errstate(over="ignore"):
            embeddings = torch.from_numpy(np.array(array, dtype, order="C"))
    if embeddings.is_complex() or embeddings.dtype == torch.bool:
        raise ValidationError(f"embeddings must hold real numbers, got {embeddings.dtype}")
    if embeddings.ndim not in (1, 2) or 0 in embeddings.shape:
        raise ValidationError(f"embeddings must be of shape (n, D) or (D,) and not empty, got {tuple(embeddings.shape)}")
    return embeddings.detach().reshape(-1, embeddings.shape[-1])
