"""What diff ops promise: applied to the old text, they give the new one."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stores import V

from anam_py._json import check_diff_ops
from anam_py.store import HTMCore, diff, diff_ops

texts = st.lists(st.sampled_from(["a", "b", "c", "", "\r", "\u2028", "x" * 50]), max_size=12).map("\n".join)


def applied(old: str, operations: list[dict]) -> str:
    lines = old.split("\n")
    lines = [f"{line}\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
    for operation in reversed(operations):
        lines[operation["pos"] : operation["pos"] + operation["count"]] = operation["lines"]
    return "".join(lines)


@given(texts, texts)
def test_the_operations_turn_the_old_text_into_the_new(old: str, new: str) -> None:
    operations = diff_ops(old, new)
    assert applied(old, operations) == new
    assert (operations == []) == (old == new)
    check_diff_ops(operations)
    for operation in operations:
        assert set(operation) == {"op", "pos", "count", "lines"}
        assert operation["op"] == ("insert" if not operation["count"] else "replace" if operation["lines"] else "delete")
    ends = [operation["pos"] + operation["count"] for operation in operations]
    assert all(end <= operation["pos"] for end, operation in zip(ends, operations[1:], strict=False))


def test_texts_that_differ_everywhere_take_one_operation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diff, "_MOST_LINES", 10)
    old, new = "\n".join(f"a{i}" for i in range(50)), "\n".join(f"b{i}" for i in range(40))
    (operation,) = diff_ops(f"same\n{old}\nend", f"same\n{new}\nend")
    assert (operation["op"], operation["pos"], operation["count"], len(operation["lines"])) == ("replace", 1, 50, 40)


def test_the_operations_are_kept_in_the_history(store: HTMCore) -> None:
    versions = ["a\nb\n", "a\nc\nd", "", "x\n"]
    store.store_embedding("key", V, {}, text=versions[0])
    for old, new in itertools.pairwise(versions):
        store.store_embedding("key", V, {}, diff_ops(old, new), text=new)
    text = versions[0]
    for version, expected in zip(store.history("key")[1:], versions[1:], strict=True):
        text = applied(text, version["diff_ops"])
        assert text == expected
