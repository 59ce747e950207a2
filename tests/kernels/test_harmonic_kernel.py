"""HarmonicKernel beside its definition in NumPy's double precision, its start values and its gradients."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

torch = pytest.importorskip("torch")
from anam_py.exceptions import ValidationError  # noqa: E402
from anam_py.kernels import HarmonicKernel  # noqa: E402 - imports torch

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DTYPES = [torch.float32, torch.float64, torch.bfloat16]
ERRORS = {torch.float32: 1e-6, torch.float64: 1e-14, torch.bfloat16: 2.0**-8}


def oracle(kernel: Any, positions: Any, t: float) -> NDArray[np.float64]:
    waves, omega, mixing = (tensor.detach().double().cpu().numpy() for tensor in (kernel.K, kernel.omega, kernel.A))
    return np.sin(positions.double().cpu().numpy() @ waves.T - omega * t) @ mixing.T


def random_positions(rng: np.random.Generator, *shape: int) -> Any:
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("batch", "dims", "modes"), [(1, 1, 1), (10, 768, 16), (5, 3, 20)])
def test_the_field_is_that_of_the_definition(
    dtype: Any, device: str, batch: int, dims: int, modes: int, rng: np.random.Generator
) -> None:
    kernel = HarmonicKernel(dims, modes, seed=1).to(device, dtype)
    positions = random_positions(rng, batch, dims).to(device, dtype)
    field = kernel(positions, 2.5)
    assert (field.dtype, field.shape, field.device) == (dtype, (batch, modes), positions.device)
    np.testing.assert_allclose(
        field.detach().double().cpu(), oracle(kernel, positions, 2.5), rtol=ERRORS[dtype], atol=ERRORS[dtype]
    )


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 39), st.floats(-100, 100), st.integers(0, 2**32 - 1))
def test_a_row_of_the_field_depends_on_its_own_position_alone(batch: int, place: int, t: float, seed: int) -> None:
    kernel, positions = HarmonicKernel(20, 4, seed=seed), random_positions(np.random.default_rng(seed), batch, 20)
    field = kernel(positions, t)
    place %= batch
    torch.testing.assert_close(kernel(positions[place : place + 1], t)[0], field[place], rtol=0, atol=1e-6)
    others = torch.full_like(positions, torch.nan)
    others[place] = positions[place]
    assert torch.equal(kernel(others, t)[place], field[place])


def test_autocast_does_not_make_products_less_precise(rng: np.random.Generator) -> None:
    kernel, positions = HarmonicKernel(seed=1), random_positions(rng, 10, 768)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(kernel(positions, 1.0), kernel(positions, 1.0).float())
        inside = kernel(positions, 1.0)
    assert torch.equal(inside, kernel(positions, 1.0))


def test_gradients_are_those_of_finite_differences(rng: np.random.Generator) -> None:
    kernel = HarmonicKernel(4, 3, seed=1).double()
    names = [name for name, _ in kernel.named_parameters()]
    assert names == ["K", "omega", "A"]
    positions, t = (
        random_positions(rng, 5, 4).double().requires_grad_(),
        torch.tensor(1.3, dtype=torch.float64, requires_grad=True),
    )

    def field(positions: Any, t: Any, *parameters: Any) -> Any:
        return torch.func.functional_call(kernel, dict(zip(names, parameters, strict=True)), (positions, t))

    assert torch.autograd.gradcheck(field, (positions, t, *kernel.parameters()))
    assert torch.autograd.gradgradcheck(field, (positions, t, *kernel.parameters()))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own
def test_the_kernel_compiles_without_a_break(rng: np.random.Generator) -> None:
    kernel = HarmonicKernel(10, seed=1)
    compiled = torch.compile(kernel, fullgraph=True, backend="aot_eager")
    for batch, t in ((5, 1.0), (7, 2.5)):
        positions = random_positions(rng, batch, 10)
        torch.testing.assert_close(compiled(positions, t), kernel(positions, t))


# Start values.


def test_start_values_are_distributed_as_documented() -> None:
    kernel = HarmonicKernel(500, 100, seed=3)
    assert kernel.K.shape == (100, 500)
    assert kernel.A.shape == (100, 100)
    assert kernel.K.std().item() == pytest.approx(0.01, rel=0.02)
    assert kernel.A.std().item() == pytest.approx(0.1, rel=0.05)
    assert abs(kernel.K.mean().item()) < 0.0003
    assert abs(kernel.A.mean().item()) < 0.005
    torch.testing.assert_close(kernel.omega.detach(), torch.linspace(0.1, 1.0, 100))
    assert str(HarmonicKernel()) == "HarmonicKernel(spatial_dims=768, n_modes=16)"


def test_a_seed_gives_the_same_start_values_and_leaves_other_random_numbers_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, same, other = (HarmonicKernel(seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(3), expected)
    assert torch.equal(one.K, same.K)
    assert torch.equal(one.A, same.A)
    assert not torch.equal(one.K, other.K)


def test_without_a_seed_start_values_follow_the_seed_of_torch() -> None:
    torch.manual_seed(5)
    one, other = HarmonicKernel(), HarmonicKernel()
    torch.manual_seed(5)
    assert torch.equal(HarmonicKernel().K, one.K)
    assert not torch.equal(one.K, other.K)


def test_parameters_are_made_on_the_device_in_force() -> None:
    with torch.device("meta"):
        assert {parameter.device.type for parameter in HarmonicKernel(seed=1).parameters()} == {"meta"}


# Bad arguments.


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones((2, 4), np.float32), "positions must be a torch.Tensor, got ndarray"),
        (torch.ones(4), r"got a tensor of shape \(4,\); positions.unsqueeze\(0\) makes a batch of one"),
        (torch.ones(3), r"positions must be of shape \(batch, 4\) with a row at least, got a tensor of shape \(3,\)$"),
        (torch.ones(2, 3), r"positions must be of shape \(batch, 4\) with a row at least, got a tensor of shape \(2, 3\)$"),
        (torch.ones(0, 4), r"got a tensor of shape \(0, 4\)"),
        (torch.ones(2, 4, dtype=torch.bfloat16), "kernel's torch.float32 on cpu, got torch.bfloat16 on cpu"),
        (torch.ones(2, 4, device="meta"), "got torch.float32 on meta"),
    ],
)
def test_what_is_no_batch_of_the_kernels_kind_is_refused(bad: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HarmonicKernel(4)(bad, 1.0)


@pytest.mark.parametrize("bad", [np.nan, "1", None, torch.ones(1)])
def test_a_time_that_is_no_finite_number_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="t must be"):
        HarmonicKernel(4)(torch.ones(2, 4), bad)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"spatial_dims": 0}, "spatial_dims"),
        ({"n_modes": 1.5}, "n_modes"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "1"}, "seed"),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(arguments: dict[str, Any], name: str) -> None:
    with pytest.raises(ValidationError, match=f"{name} must be an integer"):
        HarmonicKernel(**arguments)
