"""What is there after a power cut: everything synced, and of the rest only older data without newer, never the reverse."""

import os
import random
import shutil
from collections.abc import Callable, Iterator

import power
import pytest
from power import Laboratory, Outcome

CUTS = int(os.environ.get("ANAM_TEST_POWER_CUTS", "6"))
LENGTH = 100

Tried = Callable[[str, int], None]


@pytest.fixture(scope="module", name="laboratory")
def start_laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    with Laboratory(tmp_path_factory.mktemp("power")) as laboratory:
        if laboratory.reason:
            pytest.skip(laboratory.reason)
        yield laboratory


def cut(laboratory: Laboratory, durability: str, number: int, record_property: Tried) -> Outcome:
    chance = random.Random(f"{durability} {number}")
    how = chance.choice([power.NOTHING, power.NOTHING, power.NOTHING, power.JOURNAL_ONLY, power.JOURNAL_ONLY, power.FLUSH])
    mount, again = chance.choice(power.MOUNTS), chance.random() < 0.3
    threads = (1, 3)[number % 2]
    outcome = laboratory.cut(
        seed=number, length=LENGTH, threads=threads, durability=durability, how=how, mount=mount, again=again
    )
    record_property(f"power cuts, {durability} durability", 1)
    record_property(f"operations acknowledged before a power cut, {durability} durability", outcome.acknowledged)
    record_property(f"operations lost in a power cut, {durability} durability", outcome.lost)
    return outcome


@pytest.mark.soak
@pytest.mark.parametrize("number", range(-(-CUTS // 2)))
def test_row_03_a_power_cut_loses_nothing_that_was_acknowledged_with_full_durability(
    laboratory: Laboratory, number: int, record_property: Tried
) -> None:
    outcome = cut(laboratory, "full", number, record_property)
    assert outcome.problem is None, outcome.problem
    assert not outcome.lost


@pytest.mark.soak
@pytest.mark.parametrize("number", range(CUTS // 2))
def test_row_04_a_power_cut_loses_only_the_last_writes_with_normal_durability(
    laboratory: Laboratory, number: int, record_property: Tried
) -> None:
    outcome = cut(laboratory, "normal", number, record_property)
    assert outcome.problem is None, outcome.problem


@pytest.mark.soak
@pytest.mark.parametrize("number", range(max(3, CUTS // 2)))
def test_row_03_a_power_cut_while_a_store_is_created_leaves_a_folder_that_opens(
    laboratory: Laboratory, number: int, record_property: Tried
) -> None:
    chance = random.Random(number)
    how, mount = chance.choice([power.NOTHING, power.JOURNAL_ONLY]), chance.choice(power.MOUNTS)
    outcome = laboratory.cut_while_opening(seed=number, how=how, mount=mount)
    record_property("power cuts while a store was created", 1)
    assert outcome.problem is None, outcome.problem
    assert not outcome.lost


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
@pytest.mark.parametrize("unsynced", power.UNSYNCED)
def test_these_cuts_would_notice_a_store_that_does_not_sync(laboratory: Laboratory, unsynced: str) -> None:
    for seed in range(10):
        mount = power.MOUNTS[seed % 2]
        outcome = laboratory.cut(
            seed=seed, length=LENGTH, threads=1, durability="full", how=power.NOTHING, mount=mount, unsynced=unsynced
        )
        if outcome.lost or outcome.problem:
            return
    pytest.fail("nothing was lost")
