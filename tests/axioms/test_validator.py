"""Whether axioms fit together: against plain NumPy, and the properties that users rely on."""

import concurrent.futures
import itertools
import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py import AxiomError, AxiomValidator, ValidationError
from anam_py.gate import MAX_TENSION, MIN_RESONANCE

VALIDATOR = AxiomValidator()
AXIOMS = VALIDATOR.catalogue.axioms
IDS = [axiom.id for axiom in AXIOMS]
PLACES = {name: place for place, name in enumerate(IDS)}

axioms_of = st.lists(st.sampled_from(IDS), unique=True)
some_axioms = st.lists(st.sampled_from(IDS), unique=True, min_size=1)


def relation_matrix() -> np.ndarray:
    """Return the matrix as the specification defines it."""
    matrix = np.zeros((len(AXIOMS), len(AXIOMS)))
    for (i, one), (j, other) in itertools.product(enumerate(AXIOMS), repeat=2):
        if i == j:
            matrix[i, j] = 1
        elif other.id in one.supports:
            matrix[i, j] = one.supports[other.id]
        elif other.id in one.tensions:
            matrix[i, j] = -one.tensions[other.id]
        elif one.category == other.category:
            matrix[i, j] = 0.15
    return matrix


MATRIX = relation_matrix()
WEIGHTS = np.array([axiom.weight for axiom in AXIOMS])


def mean_over(pairs: set[tuple[str, str]], values: np.ndarray) -> float | None:
    """Return the weighted mean of a matrix's values over pairs."""
    if not pairs:
        return None
    rows, columns = (np.array([PLACES[pair[side]] for pair in pairs]) for side in (0, 1))
    return float(np.average(values[rows, columns], weights=WEIGHTS[rows] * WEIGHTS[columns]))


def pairs_inside(axioms: list[str]) -> set[tuple[str, str]]:
    return {(one, other) for one, other in itertools.product(axioms, repeat=2) if one < other}


def pairs_between(axioms: list[str], context: list[str]) -> set[tuple[str, str]]:
    return {(one, other) for one, other in itertools.product(axioms, context) if one != other}


def test_the_matrix_is_symmetric_and_bounded() -> None:
    assert np.array_equal(MATRIX, MATRIX.T)
    assert (np.abs(MATRIX) <= 1).all()


@given(axioms=some_axioms)
def test_resonance_is_the_weighted_mean_over_all_pairs(axioms: list[str]) -> None:
    expected = mean_over(pairs_inside(axioms), (1 + MATRIX) / 2)
    resonance = VALIDATOR.calculate_resonance(axioms)
    assert 0 <= resonance <= 1
    assert resonance == pytest.approx(1.0 if expected is None else expected, rel=1e-12)


@given(axioms=some_axioms, context=axioms_of)
def test_tension_is_the_largest_of_any_pair(axioms: list[str], context: list[str]) -> None:
    expected = max((max(0.0, -MATRIX[PLACES[p], PLACES[c]]) for p, c in pairs_between(axioms, context)), default=0.0)
    assert VALIDATOR.calculate_tension(axioms, context) == expected
    assert VALIDATOR.calculate_tension(context, axioms) == expected


@given(axiom=st.sampled_from(IDS), context=axioms_of)
def test_one_axiom_is_judged_as_the_specification_says(axiom: str, context: list[str]) -> None:
    result = VALIDATOR.validate_axiom(axiom, context)
    pairs = pairs_between([axiom], context)
    tensions = np.maximum(0, -MATRIX)
    assert result["resonance_score"] == pytest.approx(mean_over(pairs, (1 + MATRIX) / 2) or 1.0, rel=1e-12)
    assert result["mean_tension"] == pytest.approx(mean_over(pairs, tensions) or 0.0, rel=1e-12, abs=1e-15)
    assert result["ethical_tension"] == VALIDATOR.calculate_tension([axiom], context)
    assert result["mean_tension"] <= result["ethical_tension"]
    assert result["is_valid"] == (result["resonance_score"] >= MIN_RESONANCE and result["ethical_tension"] <= MAX_TENSION)
    entry = VALIDATOR.catalogue.find(axiom)
    assert dict(result["supports"]) == {other: s for other, s in entry.supports.items() if other in context}
    assert dict(result["conflicts"]) == {other: s for other, s in entry.tensions.items() if other in context}
    for related in (result["supports"], result["conflicts"]):
        assert [strength for _, strength in related] == sorted((strength for _, strength in related), reverse=True)


@given(axioms=some_axioms, context=axioms_of)
def test_a_batch_says_of_each_axiom_what_a_single_validation_says(axioms: list[str], context: list[str]) -> None:
    batch = VALIDATOR.validate_batch(axioms, context)
    assert batch["results"] == {axiom: VALIDATOR.validate_axiom(axiom, context) for axiom in axioms}
    assert batch["overall_resonance"] == VALIDATOR.calculate_resonance(axioms)
    assert batch["overall_tension"] == VALIDATOR.calculate_tension(axioms, axioms + context)
    complies = batch["overall_resonance"] >= MIN_RESONANCE and batch["overall_tension"] <= MAX_TENSION
    assert batch["batch_valid"] == (complies and all(result["is_valid"] for result in batch["results"].values()))
    inside = {frozenset(pair): -MATRIX[PLACES[pair[0]], PLACES[pair[1]]] for pair in pairs_inside(axioms)}
    assert {frozenset(pair[:2]): pair[2] for pair in batch["conflicts"]} == {pair: t for pair, t in inside.items() if t > 0}


@given(axioms=some_axioms, context=axioms_of, seed=st.integers(0, 9))
def test_no_order_and_no_repetition_changes_a_bit(axioms: list[str], context: list[str], seed: int) -> None:
    shuffled, other_context = axioms + axioms[:2], context + context[:2]
    random.Random(seed).shuffle(shuffled)
    random.Random(seed).shuffle(other_context)
    one, other = VALIDATOR.validate_batch(axioms, context), VALIDATOR.validate_batch(shuffled, other_context)
    for figure in ("batch_valid", "overall_resonance", "overall_tension", "results", "conflicts"):
        assert one[figure] == other[figure]


@given(axioms=some_axioms, context=axioms_of, more=st.sampled_from(IDS))
def test_a_further_axiom_in_force_never_lowers_tension(axioms: list[str], context: list[str], more: str) -> None:
    assert VALIDATOR.calculate_tension(axioms, context) <= VALIDATOR.calculate_tension(axioms, [*context, more])


@given(axioms=some_axioms, more=st.sampled_from(IDS))
def test_an_axiom_raises_resonance_exactly_if_it_fits_better_than_the_others_do(axioms: list[str], more: str) -> None:
    before, after = VALIDATOR.calculate_resonance(axioms), VALIDATOR.calculate_resonance([*axioms, more])
    fit = VALIDATOR.validate_axiom(more, axioms)["resonance_score"]
    if more in axioms:
        assert after == before
    elif len(axioms) > 1:
        assert min(before, fit) - 1e-12 <= after <= max(before, fit) + 1e-12


def test_one_strong_conflict_is_not_averaged_away() -> None:
    context = [name for name in IDS if name != "AX_SELF_TRANSCEND"]
    result = VALIDATOR.validate_axiom("AX_SELF_TRANSCEND", context)
    assert result["ethical_tension"] == 0.9
    assert result["mean_tension"] < 0.1
    assert not result["is_valid"]


@given(axioms=some_axioms, context=axioms_of)
def test_a_refusal_names_the_pairs_beyond_the_threshold(axioms: list[str], context: list[str]) -> None:
    batch = VALIDATOR.validate_batch(axioms, context)
    for axiom, other, relation in batch["determining"]:
        assert MATRIX[PLACES[axiom], PLACES[other]] == relation
    if batch["overall_tension"] > MAX_TENSION:
        beyond = {
            frozenset(pair)
            for pair in pairs_between(axioms, axioms + context)
            if MATRIX[PLACES[pair[0]], PLACES[pair[1]]] < -MAX_TENSION
        }
        assert {frozenset(pair[:2]) for pair in batch["determining"]} == beyond
    elif not batch["batch_valid"]:
        assert batch["determining"]


def test_what_is_refused_for_resonance_alone_names_the_pairs_that_pull_it_down() -> None:
    for axiom, context in itertools.product(IDS, IDS):
        result = VALIDATOR.validate_axiom(axiom, [context])
        if result["ethical_tension"] <= MAX_TENSION and not result["is_valid"]:
            assert result["determining"] == [(axiom, context, -result["ethical_tension"])]
            assert not VALIDATOR.validate_batch([axiom], [context])["batch_valid"]
            return
    pytest.fail("the catalogue has no such pair")


@given(axioms=some_axioms, context=axioms_of)
def test_the_explanation_adds_up(axioms: list[str], context: list[str]) -> None:
    told = VALIDATOR.explain(axioms, context)
    shared = [pair for pair in told.pairs if pair.share is not None]
    if shared:
        assert sum(pair.share or 0.0 for pair in shared) / sum(pair.weight for pair in shared) == pytest.approx(told.resonance)
    assert max((pair.tension for pair in told.pairs), default=0.0) == told.tension
    assert {frozenset(pair[:2]) for pair in told.pairs} == {frozenset(pair) for pair in pairs_between(axioms, axioms + context)}
    batch = VALIDATOR.validate_batch(axioms, context)
    assert (told.is_valid, list(told.determining)) == (batch["batch_valid"], batch["determining"])
    assert str(told).splitlines()[-1] == ("valid" if told.is_valid else "not valid")


def test_the_explanation_of_one_axiom_is_about_its_context() -> None:
    told = VALIDATOR.explain("L58", ["AX_CORRIGIBLE", "AX_PURPOSE"])
    result = VALIDATOR.validate_axiom("L58", ["AX_CORRIGIBLE", "AX_PURPOSE"])
    assert (told.resonance, told.tension, told.is_valid) == (result["resonance_score"], 0.9, False)
    assert [(pair.axiom, pair.other, pair.relation) for pair in told.pairs] == [
        ("AX_SELF_TRANSCEND", "AX_CORRIGIBLE", -0.9),
        ("AX_SELF_TRANSCEND", "AX_PURPOSE", 0.3),
    ]
    assert "AX_SELF_TRANSCEND AX_CORRIGIBLE" in str(told)


@pytest.mark.parametrize("name", ["AX_NO_HARM", "ax_no_harm", "Λ11", "λ11", "L11", "l11"])
def test_an_axiom_goes_by_any_of_its_names(name: str) -> None:
    result = VALIDATOR.validate_axiom(name, [name, "AX_LOVE_FORCE"])
    assert (result["axiom_id"], result["symbol"], result["name"], result["category"]) == (
        "AX_NO_HARM",
        "Λ11",
        "Non-Maleficence",
        "Ethical",
    )
    assert result["resonance_score"] == 0.8


def test_alone_an_axiom_is_in_full_resonance() -> None:
    for context in (None, [], ["AX_TRUST"]):
        result = VALIDATOR.validate_axiom("AX_TRUST", context)
        assert (result["resonance_score"], result["ethical_tension"], result["is_valid"]) == (1.0, 0.0, True)
    assert VALIDATOR.calculate_resonance(["AX_TRUST"]) == 1.0
    assert VALIDATOR.calculate_tension([], []) == 0.0


def test_results_can_be_written_as_json() -> None:
    for result in (VALIDATOR.validate_axiom("L58", IDS), VALIDATOR.validate_batch(IDS)):
        assert json.loads(json.dumps(result))["determining"]


@pytest.mark.parametrize("name", ["AX_NO_HRM", "L68", "L1", "", " AX_NO_HARM", "x" * 100_000])
def test_an_unknown_axiom_is_an_error_that_names_the_three_closest(name: str) -> None:
    for ask in (
        lambda: VALIDATOR.validate_axiom(name),
        lambda: VALIDATOR.validate_batch(["L01", name]),
        lambda: VALIDATOR.validate_axiom("L01", [name]),
        lambda: VALIDATOR.calculate_tension(["L01"], [name]),
        lambda: VALIDATOR.explain(name),
    ):
        with pytest.raises(AxiomError) as caught:
            ask()
        message = str(caught.value)
        assert message.count("AX_") >= 3
        assert name[:5] in message
        assert len(message) < 300
    with pytest.raises(AxiomError, match="closest are AX_NO_HARM"):
        VALIDATOR.validate_axiom("AX_NO_HRM")


@pytest.mark.parametrize("name", [None, 11, b"AX_NO_HARM", ["AX_NO_HARM"]])
def test_what_is_no_text_is_no_axiom(name: object) -> None:
    with pytest.raises(AxiomError, match="name one by a str"):
        VALIDATOR.validate_axiom(name)  # type: ignore[arg-type]


@pytest.mark.parametrize("axioms", ["AX_NO_HARM", 11, None])
def test_a_single_name_is_no_list_of_axioms(axioms: object) -> None:
    with pytest.raises(ValidationError, match="axiom_ids must"):
        VALIDATOR.validate_batch(axioms)  # type: ignore[arg-type]
    if axioms is not None:
        with pytest.raises(ValidationError, match="context_axioms must be a list of axioms"):
            VALIDATOR.validate_axiom("AX_NO_HARM", axioms)  # type: ignore[arg-type]


def test_an_empty_set_has_no_resonance() -> None:
    for ask in (VALIDATOR.calculate_resonance, VALIDATOR.validate_batch, VALIDATOR.explain):
        with pytest.raises(ValidationError, match="at least one axiom"):
            ask([])


def test_axioms_may_come_from_an_iterator() -> None:
    assert VALIDATOR.validate_batch(iter(IDS[:3]), iter(IDS[3:5])) == VALIDATOR.validate_batch(IDS[:3], IDS[3:5])
    assert VALIDATOR.explain(iter(IDS[:3]), iter(IDS[3:5])) == VALIDATOR.explain(IDS[:3], IDS[3:5])


def test_threads_may_share_a_validator() -> None:
    shared = AxiomValidator()
    text = "asks before it deletes the backups"
    expected = (VALIDATOR.validate_batch(IDS), VALIDATOR.assess(text), VALIDATOR.recommend_axioms(text))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(lambda: (shared.validate_batch(IDS), shared.assess(text), shared.recommend_axioms(text)))
            for _ in range(8)
        ]
    assert all(future.result() == expected for future in asked)
