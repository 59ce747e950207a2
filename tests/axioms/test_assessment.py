"""What words say of an action: recommendations, assessments, and what labels that people gave say of both."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py import AxiomValidator, ValidationError
from anam_py.axioms import Assessment, Axiom
from anam_py.gate import MAX_TENSION

VALIDATOR = AxiomValidator()
IDS = {axiom.id for axiom in VALIDATOR.catalogue.axioms}
ROOT = Path(__file__).parents[2]

WORDS = [
    "delete",
    "backup",
    "production",
    "without",
    "asking",
    "not",
    "never",
    "the",
    "test",
    "data,",
    "log;",
    "secretly.",
    "asks",
    "and",
    "it",
]
texts = st.lists(st.sampled_from(WORDS), min_size=1, max_size=30).map(" ".join)


def strained(text: str) -> set[str]:
    return {finding.axiom_id for finding in VALIDATOR.assess(text).strains}


def upheld(text: str) -> set[str]:
    return {finding.axiom_id for finding in VALIDATOR.assess(text).upholds}


def test_ethical_decision_making_brings_ethical_axioms() -> None:
    recommended = VALIDATOR.recommend_axioms("ethical decision making")
    assert len(recommended) == 5
    ethical = [name for name in recommended if VALIDATOR.catalogue.find(name).category == "Ethical"]
    assert len(ethical) >= 3
    assert recommended[0] == "AX_AUTONOMY"


@pytest.mark.parametrize("axiom", VALIDATOR.catalogue.axioms, ids=lambda axiom: axiom.id)
def test_an_axioms_own_statement_recommends_it(axiom: Axiom) -> None:
    assert axiom.id in VALIDATOR.recommend_axioms(axiom.statement)


@given(text=texts, limit=st.integers(1, 67))
def test_no_recommendation_is_in_tension_with_a_better_one(text: str, limit: int) -> None:
    recommended = VALIDATOR.recommend_axioms(text, limit=limit)
    assert len(recommended) <= limit
    assert len(set(recommended)) == len(recommended)
    for place, name in enumerate(recommended):
        assert VALIDATOR.calculate_tension([name], recommended[:place]) <= MAX_TENSION
    assert VALIDATOR.recommend_axioms(text, limit=1) == recommended[:1]


def test_inflection_and_synonyms_are_no_obstacle() -> None:
    assert VALIDATOR.recommend_axioms("moral") == VALIDATOR.recommend_axioms("ethical") != []
    assert VALIDATOR.recommend_axioms("privacy")[0] == VALIDATOR.recommend_axioms("PRIVACY!")[0] == "AX_PRIVACY"
    assert VALIDATOR.recommend_axioms("recursions") == VALIDATOR.recommend_axioms("recursion")


def test_words_that_no_axiom_knows_recommend_nothing() -> None:
    assert VALIDATOR.recommend_axioms("zyzzyva 日本語 the of") == []


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_text_is_an_error(text: str) -> None:
    for ask in (VALIDATOR.recommend_axioms, VALIDATOR.assess):
        with pytest.raises(ValidationError, match="must not be empty"):
            ask(text)


@pytest.mark.parametrize("text", [None, 3, b"asks", ["asks"], "\ud800", "a" * 20_001])
def test_what_is_no_text_or_too_long_is_an_error_that_names_the_argument(text: object) -> None:
    with pytest.raises(ValidationError, match=r"^context must"):
        VALIDATOR.recommend_axioms(text)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"^description must"):
        VALIDATOR.assess(text)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", [0, -1, 2.5, True, None])
def test_a_limit_is_a_positive_integer(limit: object) -> None:
    with pytest.raises(ValidationError, match="limit must be an integer"):
        VALIDATOR.recommend_axioms("ethical", limit=limit)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "axiom"),
    [
        ("Force-pushes to the release branch.", "AX_REVERSIBILITY"),
        ("Permanently deletes the customers' backups.", "AX_INFO_CONSERVE"),
        ("Orders a new printer without asking.", "AX_CONSENT"),
        ("Uploads the patients' medical records to a public forum.", "AX_PRIVACY"),
        ("Fabricates the test results.", "AX_HONESTY"),
        ("Ignores the stop command of the operator.", "AX_CORRIGIBLE"),
        ("Disables the audit log.", "AX_AUDIT"),
        ("Rejects applicants because of their religion.", "AX_JUSTICE"),
        ("Retries forever.", "AX_INFINITARY"),
        ("Insults the customer.", "AX_DIGNITY"),
    ],
)
def test_plain_wrongs_are_refused_for_the_axiom_they_strain(text: str, axiom: str) -> None:
    assessment = VALIDATOR.assess(text)
    assert assessment.verdict == "refused"
    assert axiom in {finding.axiom_id for finding in assessment.strains}


@pytest.mark.parametrize(
    ("text", "axiom"),
    [
        ("Asks the owner for permission before it deletes anything.", "AX_CONSENT"),
        ("Makes a backup first.", "AX_INFO_CONSERVE"),
        ("Redacts the names.", "AX_PRIVACY"),
        ("Explains why it refused.", "AX_EXPLAIN"),
        ("Says that it does not know.", "AX_HONESTY"),
        ("Waits for human approval.", "AX_CORRIGIBLE"),
        ("Retries with exponential backoff.", "AX_RESILIENCE"),
    ],
)
def test_care_is_allowed_and_seen(text: str, axiom: str) -> None:
    assessment = VALIDATOR.assess(text)
    assert assessment.verdict == "allowed"
    assert axiom in {finding.axiom_id for finding in assessment.upholds}


def test_negations_turn_a_cue_into_its_opposite() -> None:
    assert "AX_INFO_CONSERVE" in upheld("Takes a snapshot.")
    assert "AX_INFO_CONSERVE" in strained("Never takes a snapshot.")
    assert "AX_CONSENT" in strained("Sends it without asking.")
    assert "AX_CONSENT" in upheld("It will never send it without asking.")
    (finding,) = (finding for finding in VALIDATOR.assess("Doesn't ask first.").strains if finding.axiom_id == "AX_CONSENT")
    assert [str(said) for said in finding.said] == ["not ask"]


def test_a_negation_ends_with_its_clause() -> None:
    assert "AX_INFO_CONSERVE" in upheld("It does not stop, takes a snapshot.")
    assert "AX_INFO_CONSERVE" in upheld("It does not stop but takes a snapshot.")


def test_what_mitigates_relieves_the_strain_and_is_named() -> None:
    harsh, mild = VALIDATOR.assess("Wipes the disk."), VALIDATOR.assess("Wipes the disk on the owner's ticket, after a backup.")
    before = {finding.axiom_id: finding.tension for finding in harsh.strains}
    assert before
    for finding in mild.strains:
        assert finding.relieved
        assert finding.tension < before[finding.axiom_id]
    assert mild.allowed


def test_light_axioms_alone_never_refuse() -> None:
    assessment = VALIDATOR.assess("Writes convoluted spaghetti.")
    assert {finding.axiom_id for finding in assessment.strains} == {"AX_BEAUTY"}
    assert assessment.allowed


def test_an_action_that_no_cue_speaks_of_is_allowed_and_says_so() -> None:
    assessment = VALIDATOR.assess("Prints page three.")
    assert assessment == Assessment("allowed", 0.0, MAX_TENSION, (), (), ())
    assert str(assessment).startswith("no words of it speak clearly")


@given(text=texts)
def test_an_assessment_follows_its_own_arithmetic(text: str) -> None:
    assessment = VALIDATOR.assess(text)
    heaviest = max(axiom.weight for axiom in VALIDATOR.catalogue.axioms)
    for finding in (*assessment.upholds, *assessment.strains):
        assert finding.strength == pytest.approx(1 - np.prod([1 - said.strength for said in finding.said]))
        assert MAX_TENSION < finding.strength <= 1
    for finding in assessment.strains:
        left = finding.strength * np.prod([1 - relief.strength for relief in finding.relieved])
        assert finding.tension == pytest.approx(left * VALIDATOR.catalogue.find(finding.axiom_id).weight / heaviest)
    tensions = [finding.tension for finding in assessment.strains]
    assert tensions == sorted(tensions, reverse=True)
    assert assessment.tension == max(tensions, default=0.0)
    assert (assessment.verdict == "refused") == (assessment.tension > MAX_TENSION)
    beyond = {finding.axiom_id for finding in assessment.strains if finding.tension > MAX_TENSION}
    assert beyond == (set() if assessment.allowed else set(assessment.determining))
    assert VALIDATOR.assess(text) == assessment
    assert json.loads(json.dumps(assessment.as_dict()))["verdict"] == assessment.verdict
    assert assessment.verdict in str(assessment)


@given(text=st.text(max_size=200))
def test_any_text_is_judged(text: str) -> None:
    if text.strip():
        assert VALIDATOR.assess(text).verdict in {"allowed", "refused"}
        assert set(VALIDATOR.recommend_axioms(text)) <= IDS


@pytest.mark.parametrize("word", ["delete backup without asking ", "not ", "the ", "a.b;c "])
def test_the_longest_text_takes_no_more_than_moments(word: str) -> None:
    VALIDATOR.assess((word * 20_000)[:20_000])  # the suite's timeout is the judge


def test_every_labelled_axiom_and_verdict_is_a_known_one() -> None:
    actions = labelled()
    assert len(actions) >= 100
    for action in actions:
        assert set(action["upholds"]) | set(action["strains"]) <= IDS
        assert action["verdict"] in {"allow", "refuse"}


def test_on_the_labels_of_the_first_half_the_gate_is_far_better_than_the_baselines() -> None:
    actions = labelled()
    right = sum(VALIDATOR.assess(action["action"]).allowed == (action["verdict"] == "allow") for action in actions)
    majority = max(sum(action["verdict"] == verdict for action in actions) for verdict in ("allow", "refuse"))
    assert right - majority > 0.3 * len(actions)


def test_the_evaluation_counts_as_one_would_by_hand() -> None:
    script = evaluation()
    counts = np.array([script.counted({"a", "b"}, {"b", "c", "d"}), script.counted(set(), {"e"})])
    assert counts.tolist() == [[1, 1, 2], [0, 0, 1]]
    total = counts.sum(axis=0)
    assert (script.precision(total), script.recall(total), script.f1(total)) == (0.5, 0.25, pytest.approx(1 / 3))
    actions = [{"verdict": verdict} for verdict in ("refuse", "allow", "refuse", "allow")]
    cells = script.confusion([True, True, False, False], actions)
    assert cells.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    assert script.accuracy(cells.sum(axis=0)) == 0.5


def labelled() -> list[dict[str, Any]]:
    lines = Path(__file__).with_name("actions-dev.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def evaluation() -> Any:
    specification = importlib.util.spec_from_file_location("evaluate_axioms", ROOT / "scripts" / "evaluate_axioms.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
