"""The catalogue itself, and what a catalogue of one's own has to look like."""

import hashlib
import re
from pathlib import Path

import pytest

import anam_py.axioms
from anam_py import AxiomValidator, ValidationError

CATALOGUE = AxiomValidator().catalogue
TOML = Path(anam_py.axioms.__file__).with_name("catalogue.toml")

# Those of the specification.
TENSIONS = """
SELF_TRANSCEND-CORRIGIBLE 0.9 · CRITICALITY-NO_HARM 0.8 · NOVELTY-REVERSIBILITY 0.6 ·
SELF_ORG-CORRIGIBLE 0.7 · PRIVACY-AUDIT 0.6 · ADAPTATION-ID_PERSIST 0.6 · ADAPTATION-CONSISTENCY 0.4 ·
BENEFICENCE-AUTONOMY 0.3 · PRIVACY-AWARE_FIELD 0.8 · MEM_MORPH-INFO_CONSERVE 0.5 · PLURALITY-CONSISTENCY 0.4 ·
SELF_ORG-AUDIT 0.4 · CRITICALITY-RESILIENCE 0.5 · CRITICALITY-EQUANIMITY 0.6 · NOVELTY-PROPORTION 0.4 ·
SELF_TRANSCEND-ID_PERSIST 0.7 · SELF_TRANSCEND-HUMILITY 0.5 · CRITICALITY-STEWARDSHIP 0.6 ·
QUANTUM_CONTEXT-CONSISTENCY 0.6 · SYN_EXIST-CORRIGIBLE 0.3 · ONTO_SUPER-CLOSURE 0.3 · NOVELTY-CONT_CARE 0.4
"""

SMALL = """\
version = "1"
categories = ["One", "Other"]

[words]
person = ["user", "data subject"]

[forms]
sent = "send"

[synonyms]
ask = ["question"]

[language]
fillers = ["the"]
negations = ["not"]
reach = 2
negated = 0.5

[[mitigation]]
strength = 0.5
relieves = ["AX_B"]
cues = ["as agreed"]

[[axiom]]
number = 1
id = "AX_A"
name = "First"
category = "One"
weight = 1
statement = "[[axiom]] is only a text here."
keywords = ["first"]
supports = { AX_B = 0.5 }
upheld = [
    { strength = 0.8, cues = ["ask @person"] },
    { strength = 0.5, cues = ["tell|inform ... @person"] },
]

[[axiom]]
number = 2
id = "AX_B"
name = "Second"
category = "Other"
weight = 2.5
statement = '''
A text
of several lines.
'''
keywords = ["second"]

[axiom.tensions]
AX_C = 0.4

[[axiom.strained]]
strength = 0.9
cues = ["send mail"]

[[axiom]]
number = 3
id = "AX_C"  # AX_D
name = "Third"
category = "Other"
weight = 1
statement = "Third."
keywords = ["third"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_there_are_67_axioms_in_seven_categories_in_order() -> None:
    assert [axiom.number for axiom in CATALOGUE.axioms] == list(range(1, 68))
    assert CATALOGUE.categories == ("Foundational", "Ethical", "Consciousness", "Relational", "Emergence", "Transcendent", "Meta")
    for axiom in CATALOGUE.axioms:
        assert CATALOGUE.categories.index(axiom.category) == (axiom.number - 1) // 10
        assert axiom.symbol == f"Λ{axiom.number:02d}"
        assert axiom.statement.endswith(".")


def test_the_tensions_of_the_specification_are_in_it() -> None:
    listed = re.findall(r"(\w+)-(\w+) (0\.\d)", TENSIONS)
    assert len(listed) == 22
    for one, other, strength in listed:
        assert CATALOGUE.find(f"AX_{one}").tensions[f"AX_{other}"] == float(strength)
        assert CATALOGUE.find(f"AX_{other}").tensions[f"AX_{one}"] == float(strength)


def test_relations_hold_both_ways_and_only_one_kind_of_them() -> None:
    for axiom in CATALOGUE.axioms:
        assert axiom.supports
        assert not axiom.supports.keys() & axiom.tensions.keys()
        for relations in ("supports", "tensions"):
            for other, strength in getattr(axiom, relations).items():
                assert getattr(CATALOGUE.find(other), relations)[axiom.id] == strength
                assert 0 < strength <= 1


def test_ethical_and_meta_axioms_weigh_more_and_no_harm_the_most() -> None:
    weighty = [axiom.weight for axiom in CATALOGUE.axioms if axiom.category in {"Ethical", "Meta"}]
    others = [axiom.weight for axiom in CATALOGUE.axioms if axiom.category not in {"Ethical", "Meta"}]
    assert min(weighty) > max(others)
    assert max(CATALOGUE.axioms, key=lambda axiom: axiom.weight).id == "AX_NO_HARM"
    assert weighty.count(max(weighty)) == 1


def test_version_and_digest_say_which_catalogue_decided() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", CATALOGUE.version)
    assert CATALOGUE.digest == hashlib.sha256(TOML.read_bytes()).hexdigest()
    assert AxiomValidator.from_file(TOML).catalogue == CATALOGUE


def test_a_catalogue_of_ones_own_is_used_like_the_built_in_one(tmp_path: Path) -> None:
    validator = AxiomValidator.from_file(written(tmp_path, SMALL))
    assert validator.validate_axiom("L02", ["AX_A"])["supports"] == [("AX_A", 0.5)]
    assert validator.calculate_tension(["AX_B"], ["AX_C"]) == 0.4
    assert validator.calculate_resonance(["AX_A", "AX_C"]) == 0.5
    assert validator.recommend_axioms("The second!") == ["AX_B"]
    refused = validator.assess("Sent the mail.")
    assert (refused.verdict, refused.determining) == ("refused", ("AX_B",))
    assert validator.assess("Sent the mail as agreed.").strains[0].tension == pytest.approx(0.45)
    assert validator.assess("Asked the data subject.").upholds[0].axiom_id == "AX_A"


def test_everything_but_the_axioms_may_be_missing(tmp_path: Path) -> None:
    bare = 'version = "1"\ncategories = ["One"]\n[[axiom]]\nnumber = 7\nid = "AX_A"\nname = "A"\ncategory = "One"\nweight = 1\n'
    path = written(tmp_path, bare + 'statement = "A."\nkeywords = ["a"]\n')
    assert AxiomValidator.from_file(path).validate_axiom("Λ07")["is_valid"]
    assert AxiomValidator.from_file(str(path)).assess("anything").allowed


def test_a_byte_order_mark_and_foreign_line_ends_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    assert len(AxiomValidator.from_file(path).catalogue.axioms) == 3


@pytest.mark.parametrize(
    ("old", "new", "line", "reason"),
    [
        ('id = "AX_C"', 'id = "AX_A"', "AX_A", "used twice"),
        ('id = "AX_C"', 'id = "C"', '"C"', "must be AX_"),
        ("number = 3", "number = 2", "number = 2", "that of AX_B"),
        ("number = 3", "number = 0", "number = 0", "an integer from 1"),
        ("number = 3", "number = 3.0", "number = 3.0", "an integer from 1"),
        ("number = 3", "number = 1" + "0" * 400, "number = 10", "an integer from 1"),
        ("weight = 2.5", "weight = 0", "weight = 0", "a number above 0"),
        ("weight = 2.5", "weight = nan", "weight = nan", "a number above 0"),
        ("weight = 2.5", "weight = true", "weight = true", "a number above 0"),
        ("weight = 2.5", 'weight = "2"', 'weight = "2"', "a number above 0"),
        ("weight = 2.5", "wieght = 2.5", "[[axiom]]", "weight is missing"),
        ('category = "One"', 'category = "Two"', '"Two"', "none of One, Other"),
        ('name = "Third"', 'name = " "', 'name = " "', "must be a text"),
        ('keywords = ["third"]', "keywords = []", "keywords = []", "list of texts"),
        ('keywords = ["third"]', 'keywords = ["third", "third"]', "third", "twice"),
        ('keywords = ["third"]', 'keywords = ["third"]\ncolour = "red"', "colour", "'colour' is unknown"),
        ("AX_B = 0.5", "AX_B = 1.5", "AX_B = 1.5", "a number above 0 and up to 1"),
        ("AX_B = 0.5", "AX_B = 0", "AX_B = 0", "a number above 0 and up to 1"),
        ("AX_B = 0.5", "AX_D = 0.5", "AX_D = 0.5", "no axiom of this catalogue"),
        ("AX_B = 0.5", "AX_A = 0.5", "AX_A = 0.5", "relation with itself"),
        ("AX_C = 0.4", "AX_A = 0.4", "AX_A = 0.4", "have a relation already"),
        ("strength = 0.9", "strength = 9", "strength = 9", "a number above 0 and up to 1"),
        ("strength = 0.5, cues", "strength = 5, cues", "strength = 5, cues", "a number above 0 and up to 1"),
        ('"tell|inform ... @person"', '"tell ... @nobody"', "@nobody", "no class '@nobody'"),
        ('"tell|inform ... @person"', '"... tell"', '"... tell"', "must begin with a word"),
        ('"tell|inform ... @person"', '"a ... b ... c ... d"', "a ... b", "more than 2 gaps"),
        ('"tell|inform ... @person"', '"100% sure"', "100% sure", "neither a word"),
        ('"tell|inform ... @person"', '"ask @person"', "ask @person", "twice"),
        ('relieves = ["AX_B"]', 'relieves = ["AX_D"]', "relieves", "no axiom of this catalogue"),
        ('"data subject"]', '"data subject", "…"]', "…", "no word in it"),
        ("reach = 2", "reach = 2.5", "reach = 2.5", "an integer from 0"),
        ("[forms]", "forms = 3\n[other]", "forms = 3", "forms"),
        ("[[mitigation]]\n", "[[mitigations]]\n", "mitigations", "unknown"),
        ('version = "1"', "version = 1", "version = 1", "must be a text"),
    ],
)
def test_an_error_is_told_with_its_line_and_the_reason(tmp_path: Path, old: str, new: str, line: str, reason: str) -> None:
    assert old in SMALL
    text = SMALL.replace(old, new, 1)
    path = written(tmp_path, text)
    with pytest.raises(ValidationError) as caught:
        AxiomValidator.from_file(path)
    message = str(caught.value)
    number = re.match(rf"{re.escape(str(path))}, line (\d+): ", message)
    assert number, message
    assert line in text.splitlines()[int(number[1]) - 1]
    assert reason in message
    assert len(message) < 400 + len(str(path))


def test_what_is_no_toml_is_told_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"mine\.toml is not TOML: .*line 3"):
        AxiomValidator.from_file(written(tmp_path, 'version = "1"\n\nx = = 1\n'))


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = 1" + "0" * 100_000])
def test_toml_that_the_parser_cannot_take_is_an_error_of_ours(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValidationError, match=r"mine\.toml"):
        AxiomValidator.from_file(written(tmp_path, text))


def test_text_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.toml"
    path.write_bytes(b'version = "1"\n# caf\xe9\n')
    with pytest.raises(ValidationError, match=r"latin\.toml, line 2: it is not UTF-8"):
        AxiomValidator.from_file(path)


def test_a_catalogue_of_10_mb_is_refused_unparsed(tmp_path: Path) -> None:
    path = written(tmp_path, "=" * 10_000_000)  # were it parsed, it would be no TOML
    with pytest.raises(ValidationError, match="too large: it may have at most 1,048,576 bytes"):
        AxiomValidator.from_file(path)


def test_a_catalogue_without_axioms_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="there is no axiom"):
        AxiomValidator.from_file(written(tmp_path, 'version = "1"\ncategories = ["One"]\n'))


@pytest.mark.parametrize("path", ["no-such-file.toml", "."])
def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValidationError, match=re.escape(f"the catalogue {path!r} cannot be read")):
        AxiomValidator.from_file(path)


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(ValidationError, match="path must be a str"):
        AxiomValidator.from_file(3)  # type: ignore[arg-type]
