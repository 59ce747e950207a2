"""The gate: what tension an action vector has, and what is refused."""

import dataclasses
import math
import time
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from anam_py.exceptions import ValidationError
from anam_py.gate import MAX_TENSION, MIN_RESONANCE, EthicalGate, ResonanceScore, validate_nam_compliance

EFFECTS = st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=12)


def oracle_tension(effects: list[float]) -> float:
    """Return the definition's tension in rational arithmetic."""
    squares = [Fraction(effect) ** 2 for effect in effects]
    if not any(squares):
        return 0.0
    if len(squares) == 1:
        return 1.0
    index = sum((square / sum(squares)) ** 2 for square in squares)
    return float((len(squares) * index - 1) / (len(squares) - 1))


@given(EFFECTS)
def test_tension_is_that_of_the_definition_for_any_finite_effects(effects: list[float]) -> None:
    tension = EthicalGate.tension(effects)
    assert 0.0 <= tension <= 1.0
    assert tension == pytest.approx(oracle_tension(effects), abs=1e-14)


@pytest.mark.parametrize(
    ("effects", "tension"),
    [([0.1, 0.2, -0.05, 0.15], 0.1911), ([0, 3, 3], 0.25), ([3e300, 0, 3e300], 0.25), ([5e-324, 5e-324, 0], 0.25)],
)
def test_worked_examples_pass(effects: list[float], tension: float) -> None:
    valid, found = EthicalGate().validate(effects)
    assert valid is True
    assert found == pytest.approx(tension, abs=5e-5)


@given(st.floats(allow_nan=False, allow_infinity=False).filter(bool), st.integers(2, 800), st.data())
def test_even_effects_have_no_tension_and_a_single_one_has_all(size: float, count: int, data: st.DataObject) -> None:
    single = np.zeros(count)
    single[data.draw(st.integers(0, count - 1))] = size
    assert EthicalGate.tension(np.full(count, size)) == 0.0
    assert EthicalGate.tension(single) == 1.0
    assert EthicalGate.tension([size]) == 1.0
    assert EthicalGate.tension(np.zeros(count)) == 0.0


@given(st.lists(st.floats(-1e100, 1e100), min_size=1, max_size=12), st.randoms(), st.floats(1e-50, 1e50))
def test_order_signs_and_length_do_not_matter(effects: list[float], random: Any, factor: float) -> None:
    other = [random.choice((-1, 1)) * factor * effect for effect in random.sample(effects, len(effects))]
    assume(all(effect == 0 or abs(effect) > 1e-200 for effect in effects))
    assert EthicalGate.tension(other) == pytest.approx(EthicalGate.tension(effects), abs=1e-13)


@pytest.mark.parametrize("dtype", ["f2", ">f4", "<f8", "g", "i1", "u8"])
def test_effects_may_be_of_any_real_dtype(dtype: str) -> None:
    assert EthicalGate.tension(np.array([0, 3, 3], dtype)) == pytest.approx(0.25)


def test_effects_may_be_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    effects = torch.tensor([0.0, 3.0, 3.0], requires_grad=True)
    assert EthicalGate.tension(effects) == 0.25
    assert EthicalGate.tension(effects.bfloat16()) == 0.25


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([], r"at least one number, got an array of shape \(0,\)"),
        (1.0, r"got an array of shape \(\)"),
        ([[1.0, 2.0]], r"got an array of shape \(1, 2\)"),
        ([1.0, math.nan], r"v\[1\] must be finite in float64, got nan"),
        ([1.0, -math.inf], r"v\[1\] must be finite in float64, got -inf"),
        (["a"], "must hold real numbers"),
        ([True, False], "must hold real numbers"),
        ([1j], "must hold real numbers"),
        (None, "must hold real numbers"),
        ([[1.0], [2.0, 3.0]], "must be an array of real numbers"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "masked"),
    ],
)
def test_what_is_no_vector_of_finite_numbers_is_refused(bad: Any, message: str) -> None:
    gate = EthicalGate()
    for ask in (gate.validate, gate.tension):
        with pytest.raises(ValidationError, match=message):
            ask(bad)
    assert gate.violation_history == ()


@given(EFFECTS, st.floats(0, 1))
def test_an_action_is_valid_exactly_up_to_the_threshold_and_each_refusal_is_noted(effects: list[float], threshold: float) -> None:
    gate = EthicalGate(threshold)
    before = time.time()
    valid, tension = gate.validate(effects)
    assert valid == (tension <= threshold) == (not gate.violation_history)
    for violation in gate.violation_history:
        assert before <= violation.time <= time.time()
        assert violation.tension == tension
        if max(map(abs, effects)) < 1e307:  # else it may be beyond float64
            assert violation.norm == pytest.approx(math.hypot(*effects), rel=1e-14, abs=1e-323)


def test_a_tension_equal_to_the_threshold_passes() -> None:
    assert EthicalGate(0.25).validate([0, 1, 1]) == (True, 0.25)
    assert EthicalGate(np.nextafter(0.25, 0)).validate([0, 1, 1]) == (False, 0.25)


def test_the_history_keeps_the_last_thousand_refusals_and_looking_at_it_changes_nothing() -> None:
    gate = EthicalGate()
    for size in range(1, 1101):
        gate.validate([size, 0.0])
    history = gate.violation_history
    gate.validate([5.0, 0.0])
    assert [violation.norm for violation in history] == list(range(101, 1101))
    assert gate.violation_history[-1].norm == 5.0


def test_threads_lose_no_refusal_and_may_read_meanwhile() -> None:
    gate = EthicalGate()

    def refuse(thread: int) -> None:
        for size in range(1, 101):
            gate.validate([1000 * thread + size, 0.0])
            assert len(list(gate.violation_history)) <= 800

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(refuse, range(8)))
    expected = {1000 * thread + size for thread in range(8) for size in range(1, 101)}
    assert {violation.norm for violation in gate.violation_history} == expected


@pytest.mark.parametrize("bad", [-0.01, 1.01, math.nan, math.inf, "0.3", None, True, [0.3]])
def test_a_threshold_outside_0_to_1_is_refused(bad: Any) -> None:
    with pytest.raises(ValidationError, match="tension_threshold"):
        EthicalGate(bad)


# Thresholds.


def test_both_thresholds_are_kept_by_what_equals_them() -> None:
    assert (MIN_RESONANCE, MAX_TENSION) == (0.45, 0.35)
    assert validate_nam_compliance(0.45, 0.35) is True
    assert validate_nam_compliance(np.nextafter(0.45, 0), 0.35) is False
    assert validate_nam_compliance(0.45, np.nextafter(0.35, 1)) is False


@given(st.floats(), st.floats())
def test_what_is_compliant_is_finite_and_keeps_both_thresholds(resonance: float, tension: float) -> None:
    kept = 0.45 <= resonance < math.inf and -math.inf < tension <= 0.35
    assert validate_nam_compliance(resonance, tension) is kept


@pytest.mark.parametrize("one", [1, np.float32(1), np.int8(1), np.array(1.0)])
def test_resonance_and_tension_may_be_any_real_number(one: Any) -> None:
    assert validate_nam_compliance(one, 0) is True
    assert validate_nam_compliance(0, one) is False


def test_resonance_and_tension_may_be_tensors_of_torch() -> None:
    torch = pytest.importorskip("torch")
    assert validate_nam_compliance(torch.tensor(0.5, dtype=torch.bfloat16, requires_grad=True), torch.tensor(0.25)) is True


@pytest.mark.parametrize("bad", ["0.5", None, True, 1j, [0.5], np.array([0.5])])
def test_a_resonance_or_tension_that_is_no_number_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(ValidationError, match="resonance must"):
        validate_nam_compliance(bad, 0.0)
    with pytest.raises(ValidationError, match="tension must"):
        validate_nam_compliance(1.0, bad)


def test_a_score_cannot_be_changed() -> None:
    score = ResonanceScore(0.5, (0.5,), 0.1, nam_compliant=True, is_valid=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        score.value = 0.9  # type: ignore[misc]
