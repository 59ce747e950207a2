"""What the report and the map tell, compared with what is in the files."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from commands import write_files
from picturing import FILES, HOSTILE, make_project, store_of

from anam_py import CodeBaseCrawler, HTMCore
from anam_py.pictures import Survey, map_content, report_content, survey

Content = dict[str, Any]

COPIED = "settings/printer.py"


@pytest.fixture
def changing(tmp_path: Path) -> Iterator[tuple[Path, HTMCore]]:
    """Return a code base that may be changed, and its store."""
    project = make_project(tmp_path / "project")
    with HTMCore(store_of(project), durability="normal") as htm:
        yield project, htm


def index(htm: HTMCore, project: Path) -> None:
    CodeBaseCrawler(htm, symbols=True).index(project)


def test_every_indexed_file_is_surveyed_with_what_is_known_of_it(project: Path, surveyed: Survey, htm: HTMCore) -> None:
    assert surveyed.root == f"{project.as_posix()}/"
    assert [file.path for file in surveyed.files] == sorted(FILES)
    for file, vector in zip(surveyed.files, surveyed.vectors, strict=True):
        record = htm.get_embedding(file.key)
        assert record is not None
        np.testing.assert_array_equal(vector, record["embedding"]["values"])
        assert file.lines == len(FILES[file.path].splitlines())
        assert file.doc == record["metadata"]["doc"]
    assert [(row.path.removeprefix(surveyed.root), row.outcome) for row in surveyed.others] == [
        ("blank.txt", "empty"),
        ("picture.bin", "skipped"),
    ]


def test_centrality_is_the_resonance_with_the_mean_of_all_files(surveyed: Survey, htm: HTMCore) -> None:
    units = surveyed.vectors / np.linalg.norm(surveyed.vectors, axis=1, keepdims=True)
    field = units.mean(axis=0)
    for file, vector in zip(surveyed.files, surveyed.vectors, strict=True):
        assert file.resonance == pytest.approx(htm.calculate_resonance(vector, field), abs=1e-6)


def test_in_a_store_of_files_only_the_most_central_ones_are_those_that_the_store_finds(tmp_path: Path) -> None:
    write_files(tmp_path / "project", FILES)
    with HTMCore(tmp_path / "store", durability="normal") as htm:
        CodeBaseCrawler(htm).index(tmp_path / "project")
        found = {key: resonance for key, resonance, _ in htm.query_by_resonance(0.0)}
        assert {file.key: pytest.approx(file.resonance, abs=1e-6) for file in survey(htm).files} == found


def test_the_map_has_each_file_once_with_its_place_its_groups_and_its_nearest(surveyed: Survey, drawn: Content) -> None:
    assert [file["path"] for file in drawn["files"]] == sorted(FILES)
    units = surveyed.vectors / np.linalg.norm(surveyed.vectors, axis=1, keepdims=True)
    cosines = units @ units.T
    for number, file in enumerate(drawn["files"]):
        assert -1 <= file["x"] <= 1
        assert -1 <= file["y"] <= 1
        assert drawn["folders"][file["folder"]] in (file["path"].partition("/")[0], "elsewhere")
        assert len(file["nearest"]) == min(drawn["neighbours"], 6)
        for other, cosine in file["nearest"]:
            assert cosine == pytest.approx(cosines[number, other], abs=1e-3)
    languages = Counter(drawn["languages"][file["language"]] for file in drawn["files"])
    assert languages == {"python": 7, "javascript": 1, "css": 1, "markdown": 1}
    assert sorted(file["rank"] for file in drawn["files"]) == [*range(len(FILES))]


def test_sources_have_a_label_before_all_else_and_central_ones_first(surveyed: Survey, drawn: Content) -> None:
    types = {file.path: file.file_type for file in surveyed.files}
    order = sorted(drawn["files"], key=lambda file: file["rank"])
    is_source = [types[file["path"]] == "source" for file in order]
    assert is_source == sorted(is_source, reverse=True)
    for kind in (True, False):
        resonances = [file["resonance"] for file in order if (types[file["path"]] == "source") is kind]
        assert resonances == sorted(resonances, reverse=True)


def test_the_report_counts_files_lines_and_languages(told: Content) -> None:
    lines = {path: len(text.splitlines()) for path, text in FILES.items()}
    assert told["files"] == len(FILES)
    assert told["lines"] == sum(lines.values())
    assert told["languages"][0]["language"] == "python"
    assert sum(each["lines"] for each in told["languages"]) == told["lines"]
    assert sum(each["files"] for each in told["languages"]) == told["files"]
    assert sum(each["share"] for each in told["languages"]) == pytest.approx(1.0, abs=0.001)
    assert sum(band["files"] for band in told["sizes"]["bands"]) == told["files"]
    assert told["sizes"]["largest"][0]["path"] == "shapes/long.py"
    assert [each["lines"] for each in told["sizes"]["largest"]] == sorted(lines.values(), reverse=True)
    assert told["skipped"] == {
        "reasons": {"binary": 1},
        "files": [{"path": "picture.bin", "reason": "binary", "detail": "a NUL byte near the start"}],
        "empty": 1,
    }


def test_the_most_complex_functions_come_with_their_place(told: Content) -> None:
    complexity = told["complexity"]
    first, second, *others = complexity["functions"]
    assert [(each["path"], each["line"], each["name"]) for each in (first, second)] == [
        (COPIED, 4, "read_settings"),
        ("settings/window.py", 4, "read_settings"),
    ]
    assert first["complexity"] == second["complexity"] > max(each["complexity"] for each in others)
    assert not [each for each in complexity["functions"] if each["path"].startswith("tests/")]
    assert sum(band["functions"] for band in complexity["bands"]) == len(complexity["functions"])


def test_without_recorded_changes_hot_spots_go_by_size(told: Content) -> None:
    spots = told["hot_spots"]
    assert spots["by"] == "size"
    assert {each["path"] for each in spots["files"][:2]} == {COPIED, "settings/window.py"}
    for each in spots["files"]:
        assert each["score"] == each["complexity"] * each["code_lines"] > 0


def test_recorded_changes_make_hot_spots(changing: tuple[Path, HTMCore]) -> None:
    project, htm = changing
    for number in range(3):
        (project / "shapes/circle.py").write_text(FILES["shapes/circle.py"] + f"\nNUMBER = {number}\n", encoding="utf-8")
        index(htm, project)
    spots = report_content(htm, survey(htm), "project")["hot_spots"]
    assert spots["by"] == "changes"
    assert [(each["path"], each["changes"], each["score"]) for each in spots["files"]] == [("shapes/circle.py", 3, 3)]


def test_functions_that_were_copied_and_changed_are_near_duplicates(told: Content) -> None:
    duplicates = told["duplicates"]
    (group,) = duplicates["functions"]["groups"]
    assert [(each["path"], each["line"], each["name"], each["lines"]) for each in group["members"]] == [
        (COPIED, 4, "read_settings", 18),
        ("settings/window.py", 4, "read_settings", 18),
    ]
    assert not group["identical"]
    assert duplicates["threshold"] <= group["cosine"] < 1.0
    assert group["lines"] == 18


def test_identical_functions_are_told_as_such_but_short_ones_and_those_inside_others_are_not(
    changing: tuple[Path, HTMCore],
) -> None:
    project, htm = changing
    body = FILES[COPIED].partition("\n\n\n")[2]
    short = "\n\ndef is_odd(number):\n    return number % 2 == 1\n"
    inside = "".join(f"        print(text, {number})\n" for number in range(9))
    outer = f"def outer():\n    def inner(text):\n{inside}    return inner\n"
    for name in ("one", "two"):
        (project / f"copy_{name}.py").write_text(body + short, encoding="utf-8")
    (project / "nested.py").write_text(outer, encoding="utf-8")
    index(htm, project)
    groups = report_content(htm, survey(htm), "project")["duplicates"]["functions"]["groups"]
    names = {each["name"] for group in groups for each in group["members"]}
    assert names == {"read_settings"}
    (project / "settings/window.py").unlink()
    index(htm, project)
    (group,) = report_content(htm, survey(htm), "project")["duplicates"]["functions"]["groups"]
    assert group["identical"]
    assert [each["path"] for each in group["members"]] == ["copy_one.py", "copy_two.py", COPIED]


def test_of_too_many_functions_the_more_complex_ones_are_compared(
    surveyed: Survey, htm: HTMCore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anam_py.pictures.duplicates._MOST", 3)
    content = report_content(htm, surveyed, "project")
    assert content["duplicates"]["functions"]["least"] > 1
    assert len(content["duplicates"]["functions"]["groups"]) == 1
    assert len(content["complexity"]["functions"]) == 2
    assert sum(band["functions"] for band in content["complexity"]["bands"]) > 3


def test_central_files_are_sources_the_strongest_first(told: Content) -> None:
    central = told["central"]
    assert {each["path"] for each in central} == {path for path in FILES if path.endswith((".py", ".js", ".css"))} - {
        "tests/test_shapes.py"
    }
    resonances = [each["resonance"] for each in central]
    assert resonances == sorted(resonances, reverse=True)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_few_files_are_no_problem(tmp_path: Path, count: int) -> None:
    write_files(tmp_path / "project", dict([*FILES.items()][:count]))
    (tmp_path / "project").mkdir(exist_ok=True)
    with HTMCore(tmp_path / "store", durability="normal") as htm:
        index(htm, tmp_path / "project")
        surveyed = survey(htm)
        assert len(map_content(surveyed, "few")["files"]) == count
        assert report_content(htm, surveyed, "few")["files"] == count


def test_entries_that_a_user_stored_are_no_files(tmp_path: Path) -> None:
    with HTMCore(tmp_path / "store", durability="normal") as htm:
        htm.store_embedding("mine.py", np.ones(768), {"kind": "file"})
        assert survey(htm).files == []


def test_a_hostile_name_is_told_as_it_is(surveyed: Survey) -> None:
    assert f"odd/{HOSTILE}" in [file.path for file in surveyed.files]
