"""How far each row of a batch points where the batch points on the whole, in two passes over the rows.

Both directions are operators of torch's, opaque to torch.compile. Rows of float32 on a CPU go through the compiled core, which
reads them at the speed of memory; all others through torch, by pieces. No second matrix of the rows' size is held but the
gradient, which docs/kernels.md derives.
"""

from collections.abc import Iterator
from typing import Any, Final

import torch
from torch import Tensor

from anam_py import _core
from anam_py.kernels.checks import sum_dtype

__all__ = ["coherence"]

# A piece stays in a CPU's cache between two steps; a device is asked for few and large ones, as each costs a start.
_CPU_BYTES: Final = 1 << 22
_DEVICE_BYTES: Final = 1 << 28
# A mean of unit vectors that is this many roundings long, or shorter, has no direction.
_VANISHING: Final = 16


def coherence(rows: Tensor) -> Tensor:
    """Return the cosine of each row with the mean of all rows' unit vectors.

    Rows of norm zero have cosine 0, and so have all where the mean vanishes: where it is no longer than 16 roundings. Sums are in
    float32 for bfloat16 rows. Norms are taken without scaling: a row has to be from 1e-18 to 1e18 long, in float64 from 1e-150 to
    1e150. Differentiable once; the gradient is zero where a cosine is 0 for one of these reasons.

    Parameters
    ----------
    rows : torch.Tensor of shape (batch, D)
        Of float32, float64 or bfloat16.

    Returns
    -------
    torch.Tensor of shape (batch,)
        In [-1, 1], of float64 or float32.
    """
    cosines: Tensor = _forward(rows)[0]
    return cosines


@torch.library.custom_op("anam_py::coherence", mutates_args=())
def _forward(rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the cosines, the rows' inverse norms, the direction of the sum of unit vectors, and its length."""
    with torch.autocast(rows.device.type, enabled=False):
        inverse, total = _unit_sum(rows)
        length = torch.linalg.vector_norm(total)
        vanishes = length <= _VANISHING * torch.finfo(total.dtype).eps * len(rows)
        direction = torch.where(vanishes, 0, total / length)
        return _dots(rows, direction).mul_(inverse).clamp_(-1, 1), inverse, direction, length


@_forward.register_fake
def _(rows: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    cosines = rows.new_empty(rows.shape[0], dtype=sum_dtype(rows.dtype))
    return cosines, torch.empty_like(cosines), cosines.new_empty(rows.shape[1]), cosines.new_empty(())


@torch.library.custom_op("anam_py::coherence_backward", mutates_args=())
def _backward(gradient: Tensor, rows: Tensor, cosines: Tensor, inverse: Tensor, direction: Tensor, length: Tensor) -> Tensor:
    """Return the gradient with respect to the rows."""
    with torch.autocast(rows.device.type, enabled=False):
        weights = gradient * inverse
        pulls = _weighted_sum(rows, weights)
        pull = torch.where(direction.any(), (pulls - direction * (direction @ pulls)) / length, 0)
        along = inverse * (weights * cosines + inverse.square() * _dots(rows, pull))
        result = torch.empty_like(rows)
        for piece, part, *factors in _pieces(rows, result, -along, weights, inverse):
            own, towards, across = (factor.unsqueeze(1) for factor in factors)
            part.copy_((piece * own).addcmul_(towards, direction).addcmul_(across, pull))
        return result


@_backward.register_fake
def _(gradient: Tensor, rows: Tensor, *_: Tensor) -> Tensor:  # noqa: ARG001 - the operator's own names
    return torch.empty_like(rows)


def _remember(ctx: Any, inputs: tuple[Tensor], output: tuple[Tensor, Tensor, Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(*output[1:])
    ctx.save_for_backward(*inputs, *output)


def _differentiate(ctx: Any, gradient: Tensor, *_: Tensor) -> Tensor:
    result: Tensor = _backward(gradient, *ctx.saved_tensors)
    return result


_forward.register_autograd(_differentiate, setup_context=_remember)


def _unit_sum(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inverse norm of each row, 0 for one of zeros, and the sum of the rows as unit vectors."""
    if _is_for_core(rows):
        inverse, total = _core.unit_sum(rows.detach().numpy(), threads=torch.get_num_threads())
        return torch.from_numpy(inverse), torch.from_numpy(total)
    inverses, sums = [], []
    for (piece,) in _pieces(rows):
        norms = torch.linalg.vector_norm(piece, dim=1)
        inverses.append(torch.where(norms < torch.finfo(norms.dtype).tiny, 0, norms.reciprocal()))
        sums.append(inverses[-1] @ piece)
    return torch.cat(inverses), torch.stack(sums).sum(0)


def _weighted_sum(rows: Tensor, weights: Tensor) -> Tensor:
    if _is_for_core(rows):
        return torch.from_numpy(_core.weighted_sum(rows.detach().numpy(), weights.numpy(), threads=torch.get_num_threads()))
    return torch.stack([weight @ piece for piece, weight in _pieces(rows, weights)]).sum(0)


def _dots(rows: Tensor, vector: Tensor) -> Tensor:
    if _is_for_core(rows):
        return torch.from_numpy(_core.dots(rows.detach().numpy(), vector.numpy(), threads=torch.get_num_threads()))
    return torch.cat([piece @ vector for (piece,) in _pieces(rows)])


def _is_for_core(rows: Tensor) -> bool:
    return bool(rows.device.type == "cpu" and rows.dtype == torch.float32 and rows.is_contiguous())


def _pieces(rows: Tensor, *others: Tensor) -> Iterator[list[Tensor]]:
    """Yield the rows by pieces, in the precision of sums, with the parts of other tensors that go with them."""
    size = _CPU_BYTES if rows.device.type == "cpu" else _DEVICE_BYTES
    count = max(1, size // (4 * rows.shape[1]))
    for piece, *parts in zip(*(tensor.split(count) for tensor in (rows, *others)), strict=True):
        yield [piece.to(sum_dtype(rows.dtype)), *parts]
