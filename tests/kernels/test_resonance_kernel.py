"""ResonanceKernel beside its definition in NumPy's double precision, its properties and its gradients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
from anam_py.exceptions import ValidationError  # noqa: E402
from anam_py.kernels import ResonanceKernel  # noqa: E402
from anam_py.kernels.coherence import _forward, coherence  # noqa: E402 - all import torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
# How far a resonance may be from the definition: sums and the rounding of the result.
ERRORS = {torch.float32: 1e-6, torch.float64: 1e-13, torch.bfloat16: 2.0**-9}
MANY = 6000  # rows, which make several pieces


def oracle_coherence(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    units = np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0)
    mean = units.mean(axis=0)
    length = np.linalg.norm(mean)
    return units @ (mean / length) if length > 1e-12 else np.zeros(len(rows))


def oracle(kernel: Any, rows: Any, t: float) -> NDArray[np.float64]:
    alpha, omega, phi, lambda_ = (parameter.detach().double().cpu().numpy() for parameter in kernel.parameters())
    amplitude = float(np.sum(alpha * np.cos(omega * t + phi) * np.exp(-lambda_ * t)))
    return (1 + amplitude * oracle_coherence(rows.double().cpu().numpy())) / 2


def random_kernel(rng: np.random.Generator, n: int = 5) -> Any:
    kernel = ResonanceKernel(n)
    with torch.no_grad():
        kernel.alpha.copy_(torch.from_numpy(rng.uniform(-1, 1, n) / n))
        kernel.omega.copy_(torch.from_numpy(rng.uniform(0, 3, n)))
        kernel.phi.copy_(torch.from_numpy(rng.uniform(0, 6, n)))
        kernel.lambda_.copy_(torch.from_numpy(rng.uniform(0, 0.5, n)))
    return kernel


def random_rows(rng: np.random.Generator, *shape: int) -> Any:
    return torch.from_numpy(rng.standard_normal(shape) + rng.standard_normal(shape[-1])).float()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (33, 768), (MANY, 200)])
def test_resonance_is_that_of_the_definition(dtype: Any, device: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    kernel = random_kernel(rng).to(device, dtype)
    rows = random_rows(rng, *shape).to(device, dtype)
    found = kernel(rows, 1.5)
    assert (found.dtype, found.shape, found.device) == (dtype, shape[:1], rows.device)
    np.testing.assert_allclose(found.detach().double().cpu(), oracle(kernel, rows, 1.5), rtol=0, atol=ERRORS[dtype])


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 100), st.integers(0, 2**32 - 1))
def test_resonance_is_in_0_to_1_follows_its_row_and_does_not_change_when_the_batch_is_repeated(
    batch: int, dimension: int, t: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    kernel, rows = random_kernel(rng), random_rows(rng, batch, dimension)
    with torch.no_grad():
        found = kernel(rows, t)
        order = torch.from_numpy(rng.permutation(batch))
        assert 0 <= found.min() <= found.max() <= 1
        torch.testing.assert_close(kernel(rows[order], t), found[order], rtol=0, atol=2e-6)
        torch.testing.assert_close(kernel(rows.repeat(3, 1), t), found.repeat(3), rtol=0, atol=2e-6)
        scales = torch.from_numpy(rng.uniform(0.1, 10, (batch, 1))).float()
        torch.testing.assert_close(kernel(rows * scales, t), found, rtol=0, atol=2e-6)


def test_bfloat16_rows_are_summed_in_float32(rng: np.random.Generator) -> None:
    rows = random_rows(rng, MANY, 200).bfloat16()
    torch.testing.assert_close(coherence(rows), coherence(rows.float()), rtol=0, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(coherence(rows.float()), coherence(rows), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_batch_of_one_has_coherence_1(dtype: Any, rng: np.random.Generator) -> None:
    torch.testing.assert_close(coherence(random_rows(rng, 1, 768).to(dtype)).double(), torch.ones(1).double(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_that_cancel_out_have_coherence_0_and_gradients_of_zero(dtype: Any, rng: np.random.Generator) -> None:
    row = random_rows(rng, 1, 100).to(dtype)
    for rows in (torch.cat([row, -4 * row]), torch.zeros(3, 5, dtype=dtype), torch.zeros(1, 5, dtype=dtype)):
        rows.requires_grad_()
        found = ResonanceKernel().to(dtype)(rows, 1.0)
        assert found.tolist() == [0.5] * len(rows)
        (gradient,) = torch.autograd.grad(found.sum(), rows)
        assert not gradient.any()


def test_a_row_of_zeros_has_coherence_0_and_leaves_the_others_alone(rng: np.random.Generator) -> None:
    rows = random_rows(rng, 4, 10)
    with_zeros = torch.cat([rows, torch.zeros(1, 10)]).requires_grad_()
    found = coherence(with_zeros)
    assert found[4] == 0
    torch.testing.assert_close(found[:4], coherence(rows))
    (gradient,) = torch.autograd.grad(found.square().sum(), with_zeros)
    assert gradient.isfinite().all()
    assert not gradient[4].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_row_too_short_for_its_norm_counts_as_one_of_zeros(dtype: Any) -> None:
    rows = torch.tensor([[1.0, 2.0], [5e-324, 1e-310]], dtype=torch.float64).to(dtype)
    assert coherence(rows).tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_nan_reaches_every_resonance(rng: np.random.Generator) -> None:
    rows = random_rows(rng, 4, 10)
    rows[2, 3] = torch.nan
    assert ResonanceKernel()(rows, 1.0).isnan().all()


def test_strides_do_not_matter(rng: np.random.Generator) -> None:
    rows = random_rows(rng, 40, 30)
    for view in (rows.T, rows[::2], rows[:, 5:], rows.T.contiguous().T):
        torch.testing.assert_close(coherence(view), coherence(view.clone(memory_format=torch.contiguous_format)))


# Gradients.


def test_gradients_are_those_of_finite_differences(rng: np.random.Generator) -> None:
    kernel = random_kernel(rng, 3).double()
    names = [name for name, _ in kernel.named_parameters()]
    rows, t = random_rows(rng, 5, 7).double().requires_grad_(), torch.tensor(1.3, dtype=torch.float64, requires_grad=True)

    def resonance(rows: Any, t: Any, *parameters: Any) -> Any:
        return torch.func.functional_call(kernel, dict(zip(names, parameters, strict=True)), (rows, t))

    assert torch.autograd.gradcheck(resonance, (rows, t, *kernel.parameters()))
    assert torch.autograd.gradgradcheck(lambda *parameters: resonance(rows.detach(), *parameters), (t, *kernel.parameters()))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_those_of_double_precision(dtype: Any, rng: np.random.Generator) -> None:
    rows, weights = random_rows(rng, MANY, 200).to(dtype).requires_grad_(), random_rows(rng, 1, MANY)[0]
    exact = rows.detach().double().requires_grad_()
    (found,) = torch.autograd.grad(coherence(rows) @ weights, rows)
    (expected,) = torch.autograd.grad(coherence(exact) @ weights.double(), exact)
    assert found.dtype == dtype
    error = 1e-5 if dtype == torch.float32 else 2.0**-8
    torch.testing.assert_close(found.double(), expected, rtol=error, atol=1e-5 * float(expected.abs().max()))


def test_second_derivatives_with_respect_to_rows_are_refused(rng: np.random.Generator) -> None:
    rows = random_rows(rng, 5, 7).requires_grad_()
    (gradient,) = torch.autograd.grad(coherence(rows).square().sum(), rows, create_graph=True)
    with pytest.raises(RuntimeError, match="no autograd formula"):
        torch.autograd.grad(gradient.sum(), rows)


def test_the_kernel_can_be_trained(rng: np.random.Generator) -> None:
    kernel, rows = ResonanceKernel(), random_rows(rng, 16, 10)
    optimiser = torch.optim.Adam(kernel.parameters(), 0.05)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = (kernel(rows, 2.0).mean() - 0.9).square()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10


# Compiling.


def test_the_operator_keeps_the_rules_of_torch(rng: np.random.Generator) -> None:
    rules = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(_forward, (random_rows(rng, 5, 7).requires_grad_(),), test_utils=rules)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_the_kernel_compiles_without_a_break(rng: np.random.Generator) -> None:
    kernel = random_kernel(rng)
    compiled = torch.compile(kernel, fullgraph=True, backend="aot_eager")
    for batch, t in ((5, 1.0), (7, 2.5), (1, 0)):
        rows = random_rows(rng, batch, 10).requires_grad_()
        found, expected = compiled(rows, t), kernel(rows, t)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(*(torch.autograd.grad(result.square().sum(), rows)[0] for result in (found, expected)))


# Parameters.


def test_parameters_start_as_documented() -> None:
    kernel = ResonanceKernel(4)
    assert kernel.alpha.tolist() == [0.25] * 4
    torch.testing.assert_close(kernel.omega.detach(), torch.linspace(0.1, 2.0, 4))
    assert kernel.phi.tolist() == [0.0] * 4
    torch.testing.assert_close(kernel.lambda_.detach(), torch.full((4,), 0.1))
    assert len(ResonanceKernel().alpha) == 8
    assert str(kernel) == "ResonanceKernel(n_harmonics=4)"


@pytest.mark.parametrize("dtype", DTYPES)
def test_harmonics_are_the_terms_of_the_amplitude(dtype: Any, rng: np.random.Generator) -> None:
    kernel = random_kernel(rng).to(dtype)
    terms = kernel.harmonics(1.5)
    assert (terms.dtype, terms.shape) == (dtype, (5,))
    # A batch of one hears the amplitude itself.
    resonance = kernel(torch.ones(1, 3, dtype=dtype), 1.5)
    torch.testing.assert_close(resonance[0], (1 + terms.sum()) / 2, rtol=0, atol=ERRORS[dtype])


def test_saved_parameters_can_be_loaded(rng: np.random.Generator) -> None:
    kernel, other = random_kernel(rng), ResonanceKernel(5)
    other.load_state_dict(kernel.state_dict())
    assert torch.equal(kernel.harmonics(1.0), other.harmonics(1.0))


# Bad arguments.


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((2, 3), np.float32), r"must be a torch.Tensor, got ndarray .*torch.as_tensor"),
        (torch.ones(3), r"got a tensor of shape \(3,\); embeddings.unsqueeze\(0\) makes a batch of one"),
        (torch.ones(0, 3), r"must be of shape \(batch, D\) with a row at least, got a tensor of shape \(0, 3\)"),
        (torch.ones(3, 0), r"got a tensor of shape \(3, 0\)"),
        (torch.ones(1, 2, 3), r"got a tensor of shape \(1, 2, 3\)"),
        (torch.ones(2, 3, dtype=torch.float64), r"kernel's torch.float32 on cpu, got torch.float64 on cpu; use kernel.to"),
        (torch.ones(2, 3, dtype=torch.int64), r"got torch.int64 on cpu"),
        (torch.ones(2, 3, device="meta"), r"got torch.float32 on meta"),
        ([[1.0]], "must be a torch.Tensor, got list"),
    ],
)
def test_what_is_no_batch_of_the_kernels_kind_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ResonanceKernel()(bad, 1.0)


@pytest.mark.parametrize("bad", [np.nan, np.inf, "1", None, True, [1.0], torch.ones(1), torch.tensor(1)])
def test_a_time_that_is_no_finite_number_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="t must be"):
        ResonanceKernel()(torch.ones(2, 3), bad)
    with pytest.raises(ValidationError, match="t must be"):
        ResonanceKernel().harmonics(bad)


@pytest.mark.parametrize("bad", [0, -1, 2.5, "8", None, True])
def test_a_number_of_harmonics_that_is_none_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="n_harmonics"):
        ResonanceKernel(bad)


def test_a_kernel_of_half_precision_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"float32, float64 or bfloat16, not torch.float16; use kernel.float\(\)"):
        ResonanceKernel().half()(torch.ones(2, 3).half(), 1.0)
