"""ResonanceKernel: damped oscillations in time, heard by each row of a batch as far as it agrees with the batch."""

import torch
from torch import Tensor, nn

from anam_py._validation import check_count
from anam_py.kernels.checks import as_time, check_rows, sum_dtype
from anam_py.kernels.coherence import coherence

__all__ = ["ResonanceKernel"]


class ResonanceKernel(nn.Module):
    """Resonance of each row of a batch at a time t: ``Ψ_b(t) = (1 + a(t)·c_b) / 2``.

    ``a(t) = Σ alpha_i·cos(omega_i·t + phi_i)·exp(-lambda_i·t)`` is the amplitude of n learnable harmonics; ``c_b``, the coherence
    of row b, is its cosine with the mean of all rows' unit vectors: 1 for a batch of one, 0 for a row of zeros, and for all rows
    where the mean vanishes. Ψ lies in [0, 1] while ``Σ|alpha_i| ≤ 1`` and neither a lambda nor t is negative.

    Parameters
    ----------
    n_harmonics : int
        At least 1.

    Attributes
    ----------
    alpha, omega, phi, lambda_ : torch.nn.Parameter of shape (n_harmonics,)
        Amplitudes, frequencies, phases and dampings. They start at 1 / n, evenly spaced from 0.1 to 2.0, 0, and 0.1.

    Raises
    ------
    ValidationError
        If `n_harmonics` is no integer of at least 1.

    Notes
    -----
    Works in float32, float64 and bfloat16 on any device. Sums over rows and harmonics are in the same precision, but in float32
    for bfloat16; the result is rounded to the dtype of the rows. Differentiable once with respect to the rows, any number of
    times otherwise.
    """

    def __init__(self, n_harmonics: int = 8) -> None:
        super().__init__()
        n = check_count(n_harmonics, "n_harmonics", 1)
        self.alpha = nn.Parameter(torch.full((n,), 1 / n))
        self.omega = nn.Parameter(torch.linspace(0.1, 2.0, n))
        self.phi = nn.Parameter(torch.zeros(n))
        self.lambda_ = nn.Parameter(torch.full((n,), 0.1))

    def harmonics(self, t: float | Tensor) -> Tensor:
        """Return the terms of the amplitude a(t).

        Parameters
        ----------
        t : float or torch.Tensor of shape ()
            The time.

        Returns
        -------
        torch.Tensor of shape (n_harmonics,)
            Of the parameters' dtype.

        Raises
        ------
        ValidationError
            If `t` is no finite number and no such tensor.
        """
        return self._terms(t).to(self.alpha.dtype)

    def forward(self, embeddings: Tensor, t: float | Tensor) -> Tensor:
        """Return the resonance of each row.

        Parameters
        ----------
        embeddings : torch.Tensor of shape (batch, D)
            At least one row, of the parameters' dtype and device. NaN and infinity are passed on to the result.
        t : float or torch.Tensor of shape ()
            The time.

        Returns
        -------
        torch.Tensor of shape (batch,)
            Of the embeddings' dtype.

        Raises
        ------
        ValidationError
            If the embeddings are no such tensor, or `t` is no finite number and no such tensor.
        """
        rows = check_rows(embeddings, "embeddings", self.alpha)
        return ((1 + self._terms(t).sum() * coherence(rows)) / 2).to(rows.dtype)

    def extra_repr(self) -> str:
        """Return what torch shows of this module.

        Returns
        -------
        str
            The number of harmonics.
        """
        return f"n_harmonics={len(self.alpha)}"

    def _terms(self, t: float | Tensor) -> Tensor:
        time, dtype = as_time(t), sum_dtype(self.alpha.dtype)
        alpha, omega, phi, lambda_ = (parameter.to(dtype) for parameter in (self.alpha, self.omega, self.phi, self.lambda_))
        return alpha * torch.cos(omega * time + phi) * torch.exp(-lambda_ * time)
