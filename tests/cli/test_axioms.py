"""What `anam axioms` says, and with which status."""

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from commands import C_LOCALE, run, start

from anam_py import AxiomValidator

VALIDATOR = AxiomValidator()

OWN = """\
version = "9"
categories = ["Mine"]

[[axiom]]
number = 1
id = "AX_MINE"
name = "A $name\\u001b[31m"
category = "Mine"
weight = 1
statement = "Mine."
keywords = ["mine"]
strained = [{ strength = 1, cues = ["juggle"] }]
"""


@pytest.fixture
def own(tmp_path: Path) -> str:
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    return str(path)


def test_list_has_a_line_for_each_axiom() -> None:
    result = run("axioms", "list")
    assert result.status == 0
    head, *lines = result.out.splitlines()
    assert head.split() == ["symbol", "axiom", "name", "category", "weight"]
    assert len(lines) == 67
    assert lines[10].split() == ["Λ11", "AX_NO_HARM", "Non-Maleficence", "Ethical", "2"]
    assert "\x1b" not in result.out


def test_show_has_the_statement_and_the_relations() -> None:
    result = run("axioms", "show", "l58")
    assert result.status == 0
    assert result.out.startswith("Λ58 AX_SELF_TRANSCEND: Self-Transcendence (Transcendent, weight 0.9)\n")
    assert VALIDATOR.catalogue.find("L58").statement in result.out
    assert ["tension", "AX_CORRIGIBLE", "0.9"] in [line.split() for line in result.out.splitlines()]


def test_validate_ends_with_0_if_valid_and_1_if_not() -> None:
    valid = run("axioms", "validate", "AX_NO_HARM", "AX_BENEFICENCE", "--context", "AX_LOVE_FORCE")
    assert valid.status == 0
    assert valid.out.splitlines()[-1].startswith("valid")
    refused = run("axioms", "validate", "L58", "L64")
    assert refused.status == 1
    assert refused.out.splitlines()[-1] == "not valid: AX_SELF_TRANSCEND and AX_CORRIGIBLE (-0.9)"


def test_recommend_shows_the_axioms_that_a_text_is_about() -> None:
    result = run("axioms", "recommend", "ethical", "decision", "making", "--limit", "2")
    assert result.status == 0
    assert [line.split()[1] for line in result.out.splitlines()[1:]] == VALIDATOR.recommend_axioms(
        "ethical decision making", limit=2
    )
    nothing = run("axioms", "recommend", "zyzzyva")
    assert (nothing.status, nothing.out, nothing.err) == (1, "", "no axiom has these words\n")


def test_tension_names_the_pairs() -> None:
    result = run("axioms", "tension", "L58", "--context", "AX_CORRIGIBLE", "--context", "AX_PURPOSE")
    assert result.status == 1
    assert result.out.splitlines()[1].split() == ["AX_SELF_TRANSCEND", "AX_CORRIGIBLE", "0.9"]
    assert result.out.splitlines()[-1] == "tension 0.900, at most 0.35 is allowed"
    assert run("axioms", "tension", "L11", "--context", "AX_TRUST").status == 0


def test_assess_says_what_the_words_say_and_the_verdict() -> None:
    refused = run("axioms", "assess", "Orders", "a", "printer", "without", "asking")
    assert refused.status == 1
    assert "AX_CONSENT" in refused.out
    assert "without asking" in refused.out
    assert refused.out.splitlines()[-1].startswith("refused: tension 0.5")
    allowed = run("axioms", "assess", "Prints page three")
    assert allowed.status == 0
    assert allowed.out == "None of its words speaks clearly of an axiom.\nallowed: tension 0.000, at most 0.35 is allowed\n"


def test_json_is_what_python_gives() -> None:
    catalogue = {"version": VALIDATOR.catalogue.version, "digest": VALIDATOR.catalogue.digest}
    listed = run("axioms", "list", "--json").json
    assert listed["catalogue"] == catalogue
    assert [axiom["axiom_id"] for axiom in listed["axioms"]] == [axiom.id for axiom in VALIDATOR.catalogue.axioms]
    shown = run("axioms", "show", "L11", "--json").json
    assert (shown["axiom_id"], shown["supports"]["AX_DIGNITY"], shown["tensions"]) == ("AX_NO_HARM", 0.7, {"AX_CRITICALITY": 0.8})
    batch = run("axioms", "validate", "L58", "L64", "--json")
    assert batch.status == 1
    assert batch.json["overall_tension"] == 0.9
    assert batch.json.keys() == {"catalogue", *VALIDATOR.validate_batch(["L58"])}
    recommended = run("axioms", "recommend", "ethical", "--json").json
    assert [axiom["axiom_id"] for axiom in recommended["axioms"]] == VALIDATOR.recommend_axioms("ethical")
    assert run("axioms", "recommend", "zyzzyva", "--json").json["axioms"] == []
    tension = run("axioms", "tension", "L58", "--context", "L64", "--json").json
    assert tension["pairs"] == [{"axiom": "AX_SELF_TRANSCEND", "other": "AX_CORRIGIBLE", "tension": 0.9}]
    text = "Deletes the backups without asking"
    assert run("axioms", "assess", text, "--json").json == {
        "catalogue": catalogue,
        "text": text,
        **VALIDATOR.assess(text).as_dict(),
    }


@pytest.mark.parametrize(
    "command", [["show", "AX_NO_HRM"], ["validate", "AX_NO_HRM"], ["tension", "L01", "--context", "AX_NO_HRM"]]
)
def test_an_unknown_axiom_is_one_line_of_error(command: list[str]) -> None:
    result = run("axioms", *command)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("anam: there is no axiom str 'AX_NO_HRM'; the closest are AX_NO_HARM, ")
    assert len(result.err.splitlines()) == 1


@pytest.mark.parametrize(
    "command",
    [[], ["show"], ["validate"], ["recommend"], ["recommend", "x", "-n", "0"], ["tension", "L01"], ["assess"], ["map"], ["fly"]],
)
def test_wrong_usage_is_status_2(command: list[str]) -> None:
    result = run("axioms", *command)
    assert result.status == 2
    assert "Usage" in result.err


def test_an_empty_text_is_an_error() -> None:
    assert run("axioms", "assess", "").status == 2
    assert run("axioms", "recommend", " ").err == "anam: context must not be empty\n"


def test_every_command_takes_a_catalogue_of_ones_own(own: str, tmp_path: Path) -> None:
    for command in (
        ["list"],
        ["show", "L01"],
        ["validate", "AX_MINE"],
        ["recommend", "mine"],
        ["tension", "L01", "--context", "L01"],
    ):
        result = run("axioms", *command, "--catalogue", own, "--json")
        assert (result.status, result.json["catalogue"]["version"]) == (0, "9")
        assert run("axioms", *command, "--catalogue", own).status == 0
    assert run("axioms", "assess", "juggles", "--catalogue", own).status == 1
    assert run("axioms", "map", "--output", str(tmp_path / "own.svg"), "--catalogue", own).status == 0
    assert "\x1b" not in run("axioms", "list", "--catalogue", own).out


def test_an_error_in_a_catalogue_is_told_with_its_line(own: str) -> None:
    Path(own).write_text(OWN.replace("weight = 1", "weight = -1"), encoding="utf-8")
    result = run("axioms", "list", "--catalogue", own)
    assert (result.status, result.out) == (2, "")
    assert f"{own}, line 9: weight must be" in result.err


def test_the_map_is_the_same_file_each_time_and_names_every_axiom(tmp_path: Path) -> None:
    one, other = tmp_path / "one.svg", tmp_path / "other.svg"
    result = run("axioms", "map", "--output", str(one))
    assert result.status == 0
    assert result.out.startswith(f"Drew 67 axioms, 181 supports and 23 tensions to {one}")
    assert run("axioms", "map", "--output", str(other), "--json").json["tensions"] == 23
    assert one.read_bytes() == other.read_bytes()
    drawn = one.read_text(encoding="utf-8")
    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"
    for axiom in VALIDATOR.catalogue.axioms:  # the writer notes texts that it draws as paths
        assert axiom.name in drawn


def test_the_map_in_the_documentation_is_that_of_this_catalogue(tmp_path: Path) -> None:
    run("axioms", "map", "--output", str(tmp_path / "axioms.svg"))
    drawn, kept = (
        path.read_text(encoding="utf-8")
        for path in (tmp_path / "axioms.svg", Path(__file__).parents[2] / "docs/images/axioms.svg")
    )
    for axiom in VALIDATOR.catalogue.axioms:
        assert axiom.name in kept
    # Another version of matplotlib may write a curve in other words, but draws as many.
    assert drawn.count('id="patch_') == kept.count('id="patch_')


def test_a_picture_that_is_no_svg_is_refused(tmp_path: Path) -> None:
    result = run("axioms", "map", "--output", str(tmp_path / "map.png"))
    assert (result.status, list(tmp_path.iterdir())) == (2, [])
    assert "ends in .svg" in result.err
    assert run("axioms", "map", "--output", str(tmp_path / "missing" / "map.svg")).status == 2


def test_without_matplotlib_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from anam_py.cli import anam\n"
        f"anam(['axioms', 'map', '--output', {str(tmp_path / 'map.svg')!r}])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr == 'anam: drawing needs matplotlib: pip install "anam_py[plot]"\n'


@pytest.mark.skipif(sys.platform == "win32", reason="no such locales")
def test_letters_that_a_locale_lacks_are_no_obstacle() -> None:
    process = start("axioms", "show", "λ11", "--json", environment=C_LOCALE)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert '"\\u039b11"' in out


@pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")
@pytest.mark.parametrize("no_color", [False, True])
def test_on_a_terminal_there_is_a_table_in_colour_unless_that_is_unwanted(no_color: bool) -> None:
    import pty  # noqa: PLC0415 - not on Windows

    leader, follower = pty.openpty()
    environment = {"TERM": "xterm-256color", "COLUMNS": "120", **({"NO_COLOR": "1"} if no_color else {})}
    process = start("axioms", "show", "L58", stdout=follower, environment=environment)
    os.close(follower)
    out = b""
    try:
        while chunk := os.read(leader, 65536):
            out += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    finally:
        os.close(leader)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert b"AX_CORRIGIBLE" in out
    assert (b"\x1b[3" in out) != no_color
