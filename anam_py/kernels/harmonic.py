"""HarmonicKernel: a field of plane waves, read at positions in space and mixed into modes."""

import torch
from torch import Tensor, nn

from anam_py._validation import check_count
from anam_py.kernels.checks import as_time, check_rows, sum_dtype

__all__ = ["HarmonicKernel"]

_MAX_SEED = 2**63 - 1


class HarmonicKernel(nn.Module):
    """Harmonic field at positions x and a time t: ``H(x, t) = sin(x·Kᵀ - ω·t)·Aᵀ``.

    Parameters
    ----------
    spatial_dims : int
        Number of coordinates of a position, at least 1.
    n_modes : int
        Number of waves and of modes, at least 1.
    seed : int, optional
        Gives the same start values every time, on every device; by default they follow ``torch.manual_seed``.

    Attributes
    ----------
    K : torch.nn.Parameter of shape (n_modes, spatial_dims)
        Wave vectors. Start normally distributed with standard deviation 0.01.
    omega : torch.nn.Parameter of shape (n_modes,)
        Frequencies. Start evenly spaced from 0.1 to 1.0.
    A : torch.nn.Parameter of shape (n_modes, n_modes)
        Amplitudes. Start normally distributed with standard deviation 0.1.

    Raises
    ------
    ValidationError
        If an argument is no integer, or out of range.

    Notes
    -----
    Works in float32, float64 and bfloat16 on any device, and is differentiable everywhere. Products are in the same precision,
    but in float32 for bfloat16; the result is rounded to the dtype of the positions. A row of the field depends on its own
    position alone.
    """

    def __init__(self, spatial_dims: int = 768, n_modes: int = 16, *, seed: int | None = None) -> None:
        super().__init__()
        dims, n = check_count(spatial_dims, "spatial_dims", 1), check_count(n_modes, "n_modes", 1)
        generator = None if seed is None else torch.Generator("cpu").manual_seed(check_count(seed, "seed", 0, _MAX_SEED))
        # Drawn on the CPU, as each kind of device has random numbers of its own.
        waves = torch.randn(n, dims, generator=generator, device="cpu").to(torch.get_default_device())
        mixing = torch.randn(n, n, generator=generator, device="cpu").to(torch.get_default_device())
        self.K = nn.Parameter(0.01 * waves)
        self.omega = nn.Parameter(torch.linspace(0.1, 1.0, n))
        self.A = nn.Parameter(0.1 * mixing)

    def forward(self, positions: Tensor, t: float | Tensor) -> Tensor:
        """Return the field at each position.

        Parameters
        ----------
        positions : torch.Tensor of shape (batch, spatial_dims)
            At least one, of the parameters' dtype and device. NaN and infinity are passed on to the row they are in.
        t : float or torch.Tensor of shape ()
            The time.

        Returns
        -------
        torch.Tensor of shape (batch, n_modes)
            Of the positions' dtype.

        Raises
        ------
        ValidationError
            If the positions are no such tensor, or `t` is no finite number and no such tensor.
        """
        rows = check_rows(positions, "positions", self.K, self.K.shape[1])
        time, dtype = as_time(t), sum_dtype(rows.dtype)
        with torch.autocast(rows.device.type, enabled=False):
            phases = rows.to(dtype) @ self.K.to(dtype).T - self.omega.to(dtype) * time
            return (torch.sin(phases) @ self.A.to(dtype).T).to(rows.dtype)

    def extra_repr(self) -> str:
        """Return what torch shows of this module.

        Returns
        -------
        str
            The numbers of dimensions and of modes.
        """
        return f"spatial_dims={self.K.shape[1]}, n_modes={len(self.K)}"
