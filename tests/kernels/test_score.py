"""calculate_resonance_score: what it takes, and what it says."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
from anam_py.exceptions import ValidationError  # noqa: E402
from anam_py.kernels import (  # noqa: E402 - imports torch
    EthicalGate,
    ResonanceKernel,
    ResonanceScore,
    calculate_resonance_score,
    validate_nam_compliance,
)

# Between what the squares of single and double precision can hold.
LENGTHS = st.floats(-100, 100).filter(lambda value: value == 0 or abs(value) > 1e-15)


@given(npst.arrays(np.float64, npst.array_shapes(min_dims=2, max_dims=2), elements=LENGTHS), st.floats(0, 50))
def test_a_score_is_the_mean_resonance_and_the_tension_of_the_mean(rows: NDArray[np.float64], t: float) -> None:
    kernel = ResonanceKernel().double()
    score = calculate_resonance_score(rows, kernel, t)
    assert score.value == pytest.approx(kernel(torch.from_numpy(rows), t).mean().item(), abs=1e-12)
    assert score.harmonics == tuple(kernel.harmonics(t).tolist())
    mean = rows.mean(axis=0)
    if mean.any() and abs(mean[mean != 0]).min() > 1e-6 * abs(rows).max():  # else the mean itself is rounding
        assert score.ethical_tension == pytest.approx(EthicalGate.tension(mean), abs=1e-6)
    assert score.nam_compliant is score.is_valid is validate_nam_compliance(score.value, score.ethical_tension)


def test_like_embeddings_score_high_and_one_sided_ones_are_not_compliant() -> None:
    even, one_sided = np.ones((4, 10)), np.eye(10)[:1].repeat(4, axis=0)
    assert calculate_resonance_score(even, t=0.0) == ResonanceScore(1.0, (0.125,) * 8, 0.0, nam_compliant=True, is_valid=True)
    assert calculate_resonance_score(one_sided, t=0.0) == ResonanceScore(
        1.0, (0.125,) * 8, 1.0, nam_compliant=False, is_valid=False
    )
    inverted = ResonanceKernel()
    torch.nn.init.constant_(inverted.phi, math.pi)
    against = calculate_resonance_score(even, inverted, t=0.0)
    assert (against.value, against.nam_compliant) == (pytest.approx(0.0, abs=1e-6), False)


def test_a_score_has_plain_numbers_and_tracks_no_gradients(rng: np.random.Generator) -> None:
    kernel = ResonanceKernel()
    score = calculate_resonance_score(torch.randn(32, 768, requires_grad=True), kernel, 1.0)
    assert [type(value) for value in (score.value, score.ethical_tension, *score.harmonics)] == [float] * 10
    assert f"{score.value:.3f}" == str(round(score.value, 3)).ljust(5, "0")
    assert all(parameter.grad is None for parameter in kernel.parameters())


@pytest.mark.parametrize("dtype", ["f2", "<f4", ">f4", "<f8", "g", "i1", "u8"])
def test_embeddings_may_be_of_any_real_dtype(dtype: str) -> None:
    numbers = [[1, 2, 3], [3, 5, 7]]
    expected = calculate_resonance_score(torch.tensor(numbers, dtype=torch.float64), ResonanceKernel().double())
    for kernel in (None, ResonanceKernel().double()):
        score = calculate_resonance_score(np.array(numbers, dtype), kernel)
        assert score.value == pytest.approx(expected.value, abs=1e-6)
        assert score.ethical_tension == pytest.approx(expected.ethical_tension, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_embeddings_may_be_tensors_of_any_real_dtype(dtype: Any) -> None:
    numbers = torch.tensor([[1, 2, 3], [3, 5, 7]])
    expected = calculate_resonance_score(numbers.double())
    assert calculate_resonance_score(numbers.to(dtype)).value == pytest.approx(expected.value, abs=2.0**-9)
    assert calculate_resonance_score(numbers.to(dtype), ResonanceKernel().bfloat16()).value == pytest.approx(
        expected.value, abs=2.0**-8
    )


def test_a_single_embedding_is_a_batch_of_one(rng: np.random.Generator) -> None:
    row = rng.standard_normal(10)
    assert calculate_resonance_score(row) == calculate_resonance_score(row[np.newaxis])
    assert calculate_resonance_score(list(row)[::-1]) == calculate_resonance_score(row[::-1])
    row.flags.writeable = False
    assert calculate_resonance_score(row) == calculate_resonance_score(torch.from_numpy(row.copy()))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], r"of shape \(n, D\) or \(D,\) and not empty, got \(0,\)"),
        (np.ones((0, 3)), r"got \(0, 3\)"),
        (np.ones((2, 3, 4)), r"got \(2, 3, 4\)"),
        (5.0, r"got \(\)"),
        ("embedding", "must hold real numbers"),
        (np.array([True]), "must hold real numbers"),
        (np.array([1j]), "must hold real numbers"),
        (torch.tensor([True]), "must hold real numbers, got torch.bool"),
        (torch.tensor([1j]), "must hold real numbers, got torch.complex64"),
        ([[1.0, math.nan]], "must be finite"),
        (torch.tensor([[1.0, math.inf]]), "must be finite"),
        (np.full((2, 3), 1e300), "must be finite"),
    ],
)
def test_what_are_no_embeddings_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=f"embeddings {message}" if message.startswith("must") else message):
        calculate_resonance_score(bad, ResonanceKernel())


@pytest.mark.parametrize("bad", ["kernel", torch.nn.Linear(3, 3), ResonanceKernel])
def test_what_is_no_kernel_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="kernel must be a ResonanceKernel or None"):
        calculate_resonance_score([1.0, 2.0], bad)


def test_a_time_that_is_no_finite_number_is_refused() -> None:
    with pytest.raises(ValidationError, match="t must be a finite number, got float nan"):
        calculate_resonance_score([1.0, 2.0], t=math.nan)
