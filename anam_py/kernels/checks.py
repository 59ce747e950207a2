"""Checks of what kernels are called with, and the precision that they sum in."""

from typing import Any

import torch

from anam_py._validation import check_similarity, describe
from anam_py.exceptions import ValidationError

__all__ = ["DTYPES", "as_time", "check_rows", "sum_dtype"]

DTYPES = (torch.float32, torch.float64, torch.bfloat16)


def check_rows(rows: object, name: str, parameter: torch.Tensor, width: int | None = None) -> torch.Tensor:
    """Return a batch of rows if a kernel can take it.

    Parameters
    ----------
    rows : torch.Tensor of shape (batch, width)
        Of the dtype and device of the kernel's parameters.
    name : str
        Name of the argument, for messages.
    parameter : torch.Tensor
        One of the parameters.
    width : int, optional
        Expected number of columns; any, but not none, by default.

    Returns
    -------
    torch.Tensor
        The rows, as they are.

    Raises
    ------
    ValidationError
        If it is no such tensor.
    """
    if not isinstance(rows, torch.Tensor):
        raise ValidationError(f"{name} must be a torch.Tensor, got {describe(rows)}; torch.as_tensor makes one of an array")
    expected = "D" if width is None else str(width)
    if rows.ndim != 2 or 0 in rows.shape or width not in (None, rows.shape[1]):
        hint = f"; {name}.unsqueeze(0) makes a batch of one" if rows.ndim == 1 and width in (None, len(rows)) else ""
        raise ValidationError(
            f"{name} must be of shape (batch, {expected}) with a row at least, got a tensor of shape {tuple(rows.shape)}{hint}"
        )
    if parameter.dtype not in DTYPES:
        raise ValidationError(f"a kernel must be of float32, float64 or bfloat16, not {parameter.dtype}; use kernel.float()")
    if rows.dtype != parameter.dtype or rows.device != parameter.device:
        raise ValidationError(
            f"{name} must be of the kernel's {parameter.dtype} on {parameter.device}, got {rows.dtype} on {rows.device}; "
            f"use kernel.to(...) or {name}.to(...)"
        )
    return rows


def as_time(t: Any) -> float | torch.Tensor:
    """Return a time as a float, or as the tensor that it is.

    Parameters
    ----------
    t : float or torch.Tensor of shape ()
        A finite number, or a tensor of a floating dtype.

    Returns
    -------
    float or torch.Tensor
        The time.

    Raises
    ------
    ValidationError
        If it is neither.
    """
    if not isinstance(t, torch.Tensor):
        # A compiler traces one call for the times of all.
        return float(t) if torch.compiler.is_compiling() else check_similarity(t, "t")
    if t.ndim or not t.is_floating_point():
        raise ValidationError(f"t must be a number or a floating tensor of shape (), got {t.dtype} of shape {tuple(t.shape)}")
    return t


def sum_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return what sums of such numbers are computed in: float64 for float64, float32 for all that is shorter.

    Parameters
    ----------
    dtype : torch.dtype
        One of `DTYPES`.

    Returns
    -------
    torch.dtype
        Of the sums.
    """
    return torch.float64 if dtype == torch.float64 else torch.float32
