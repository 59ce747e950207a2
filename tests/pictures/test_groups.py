"""Which folders and languages have a colour of their own."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py.pictures.groups import COLOURS, by_folder, by_name

paths = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=5).map("/".join), max_size=60)


@given(st.lists(st.sampled_from("abcdefghijklmnop")))
def test_the_most_frequent_names_have_a_group_each_and_the_others_one_together(names: list[str]) -> None:
    groups = by_name(names, "rest")
    assert len(groups.names) <= COLOURS + 1
    for name, member in zip(names, groups.members, strict=True):
        assert groups.names[member] in (name, "rest")
    counts = Counter(names)
    assert [counts[name] for name in groups.names if name != "rest"] == sorted(counts.values(), reverse=True)[:COLOURS]
    assert groups.names.count("rest") == (len(counts) > COLOURS)


@given(paths)
def test_every_file_is_in_the_group_of_a_folder_above_it_or_elsewhere(paths: list[str]) -> None:
    groups = by_folder(paths)
    assert len(groups.names) <= COLOURS + 1
    assert len(set(groups.names)) == len(groups.names)
    assert {*groups.members} == {*range(len(groups.names))}
    for path, member in zip(paths, groups.members, strict=True):
        name = groups.names[member]
        folder = name.removeprefix("elsewhere").removeprefix(" in ")
        assert not folder or path.startswith(f"{folder}/")


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        ([], []),
        (["a"], ["elsewhere"]),
        (["a/b/c"], ["a/b"]),
        (["docs/a", "src/b", "tests/c", "x"], ["docs", "src", "tests", "elsewhere"]),
        (["src/p/a/x", "src/p/a/y", "src/p/b/z", "src/p/c", "setup"], ["src/p/a", "elsewhere in src/p", "src/p/b", "elsewhere"]),
    ],
)
def test_a_folder_that_has_most_files_is_divided(paths: list[str], names: list[str]) -> None:
    assert by_folder(paths).names == names


def test_small_folders_of_a_divided_one_stay_together() -> None:
    groups = by_folder([f"a/b{number}/f" for number in range(20)])
    counts = Counter(groups.names[member] for member in groups.members)
    assert counts.pop("elsewhere in a") == 20 - len(counts)
    assert set(counts.values()) == {1}
