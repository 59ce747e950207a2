"""Kernels over many rows and over few, and the gate.

Those that need torch are left out where it is not installed. peers/kernels.py compares with the bandwidth of memory.
"""

from __future__ import annotations

from typing import Any

from anam_py import kernels

from .common import SIZES, VectorBenchmark


def needs_torch() -> Any:
    """Return torch, or have asv leave the benchmark out."""
    try:
        import torch
    except ImportError as error:
        raise NotImplementedError(error) from error
    return torch


class Resonance(VectorBenchmark):
    """The resonance of each row of a batch."""

    params = (SIZES, (1, 2))
    param_names = ("rows", "threads")

    def setup(self, rows: int, threads: int) -> None:
        torch = needs_torch()
        torch.set_num_threads(threads)
        self.rows = torch.from_numpy(self.load(rows))
        self.trained = self.rows.clone().requires_grad_()
        self.kernel = kernels.ResonanceKernel()

    def time_resonance(self, rows: int, threads: int) -> None:
        self.kernel(self.rows, 1.0)

    def time_resonance_and_gradient_of_the_rows(self, rows: int, threads: int) -> None:
        self.trained.grad = None
        self.kernel(self.trained, 1.0).sum().backward()

    def peakmem_resonance(self, rows: int, threads: int) -> None:
        self.kernel(self.rows, 1.0)


class Few(VectorBenchmark):
    """Batches as in the API reference, where calls cost more than sums."""

    def setup(self) -> None:
        torch = needs_torch()
        self.rows = torch.from_numpy(self.queries(32))
        self.resonance, self.harmonic = kernels.ResonanceKernel(), kernels.HarmonicKernel(seed=0)

    def time_resonance(self) -> None:
        self.resonance(self.rows, 1.0)

    def time_harmonic(self) -> None:
        self.harmonic(self.rows, 1.0)

    def time_score(self) -> None:
        kernels.calculate_resonance_score(self.rows, self.resonance, 1.0)


class Gate:
    """Decisions without torch."""

    def setup(self) -> None:
        self.gate = kernels.EthicalGate()
        self.few = [0.1, 0.2, -0.05, 0.15]
        self.many = VectorBenchmark.query()

    def time_validate_4_effects(self) -> None:
        self.gate.validate(self.few)

    def time_validate_768_effects(self) -> None:
        self.gate.validate(self.many)

    def time_compliance(self) -> None:
        kernels.validate_nam_compliance(0.5, 0.3)
