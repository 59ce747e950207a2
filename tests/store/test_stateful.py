"""Any history of a store: a state machine against a dictionary and a plain loop."""

import os
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from numpy.typing import NDArray
from oracles import oracle_filter, oracle_norms, oracle_search
from stores import code, merge_in_the_background, names

from anam_py import _core
from anam_py.store import HTMCore, coding, writer

EXAMPLES = int(os.environ.get("ANAM_TEST_EXAMPLES", "20"))
STEPS = int(os.environ.get("ANAM_TEST_STEPS", "25"))
DIMENSION = 3
WORDS = ["red", "green", "blue", "parseArgument", "parse_argument", "HTTPServer", "é", "数", "0x1f"]

keys = st.sampled_from([f"src/{name}.py" for name in "abcdefgh"]) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=5
)
numbers = st.integers(-3, 3) | st.floats(-(2.0**100), 2.0**100, width=32)
vectors = (
    st.lists(numbers, min_size=DIMENSION, max_size=DIMENSION)
    .map(lambda items: np.array(items, np.float32))
    .filter(lambda items: bool(items.any()))
)
values = st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["red", "green"]) | st.integers() | st.text(max_size=5)
metadata = st.dictionaries(st.sampled_from(["n", "m"]) | st.text(max_size=3), values, max_size=3)
filters = st.one_of(
    st.dictionaries(st.sampled_from(["n", "m"]), st.sampled_from([None, True, 1, "red"]), min_size=1, max_size=2),
    st.builds(
        lambda sign, value: {"n": {sign: value}}, st.sampled_from(["$gt", "$lte", "$ne"]), st.sampled_from([0, 5, "green"])
    ),
    st.builds(lambda there: {"$or": [{"m": {"$exists": there}}, {"n": {"$in": ["red", 3]}}]}, st.booleans()),
)
turn = np.array([[0.6, 0.8, 0.0], [-0.8, 0.6, 0.0]], np.float32)
plans = st.sampled_from(
    [
        None,
        _core.Plan(DIMENSION, DIMENSION, 4, None, detail=True),
        _core.Plan(DIMENSION, DIMENSION, 6, None, detail=False),
        _core.Plan(DIMENSION, 2, 4, turn, detail=True),
    ]
)
texts = st.none() | st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
diff_ops = st.none() | st.just([{"op": "insert", "pos": 0, "count": 0, "lines": ["x\n"]}])


@dataclass
class Version:
    """What was stored under a key at one time."""

    vector: NDArray[np.float32]
    metadata: dict[str, Any]
    diff_ops: list[dict[str, Any]] | None
    text: str | None
    number: int = 0


@dataclass
class Model:
    """What a store should hold: the versions of each key ever stored, and which keys are there now."""

    versions: dict[str, list[Version]] = field(default_factory=dict)
    there: dict[str, Version] = field(default_factory=dict)

    def put(self, key: str, version: Version) -> None:
        versions = self.versions.setdefault(key, [])
        version.number = versions[-1].number + 1 if versions else 1
        versions.append(version)
        self.there[key] = version

    def that(self, where: dict[str, Any]) -> set[str]:
        """Return the keys whose metadata fulfils a filter."""
        return {key for key, version in self.there.items() if oracle_filter(version.metadata, where)}


class StoreMachine(RuleBasedStateMachine):
    """Everything that can be done to a store, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(tempfile.mkdtemp()) / "store"
        self.model = Model()
        self.patch = pytest.MonkeyPatch()

    @initialize(shards=st.sampled_from([1, 3]), flush_rows=st.sampled_from([4, 65_536]), plan=plans)
    def create(self, shards: int, flush_rows: int, plan: _core.Plan | None) -> None:
        self.patch.setattr(writer, "_FLUSH_ROWS", flush_rows)
        self.patch.setattr(coding, "LEAST_ROWS", 1)
        self.patch.setattr(coding, "PLAN_ROWS", 1)
        self.patch.setattr(_core, "choose_plan", lambda *_, **__: plan)
        self.htm = HTMCore(self.path, shards, dimension=DIMENSION, durability="normal")

    def teardown(self) -> None:
        self.htm.close()
        self.patch.undo()
        shutil.rmtree(self.path.parent)

    @rule(key=keys, vector=vectors, metadata=metadata, diff_ops=diff_ops, text=texts)
    def put(self, key: str, vector: Any, metadata: Any, diff_ops: Any, text: str | None) -> None:
        self.htm.store_embedding(key, vector, metadata, diff_ops, text=text)
        self.model.put(key, Version(vector, metadata, diff_ops, text))

    @rule(entries=st.dictionaries(keys, st.tuples(vectors, metadata, diff_ops, texts), max_size=5))
    def put_many(self, entries: dict[str, Any]) -> None:
        columns = list(zip(*entries.values(), strict=True)) or [[]] * 4
        self.htm.store_embeddings(list(entries), list(columns[0]), *map(list, columns[1:]))
        for key, entry in entries.items():
            self.model.put(key, Version(*entry))

    @rule(seed=st.integers(0, 9), count=st.sampled_from([1001, 1300]))
    @precondition(lambda self: len(self.model.there) < 1000)
    def put_in_bulk(self, seed: int, count: int) -> None:
        matrix = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
        bulk = [f"bulk/{(seed * 100 + i) % 1500}" for i in range(count - 1)] + ["src/a.py"]
        self.htm.store_embeddings(bulk, matrix, texts=["bulk red"] + [None] * (count - 1))
        for i, (key, vector) in enumerate(zip(bulk, matrix, strict=True)):
            self.model.put(key, Version(vector, {}, None, None if i else "bulk red"))

    @rule(key=keys)
    def delete(self, key: str) -> None:
        assert self.htm.delete(key) is (self.model.there.pop(key, None) is not None)

    @rule(chosen=st.lists(keys, max_size=5))
    def delete_many(self, chosen: list[str]) -> None:
        assert self.htm.delete_many(chosen) == len(set(chosen) & set(self.model.there))
        for key in chosen:
            self.model.there.pop(key, None)

    @rule(where=filters)
    def delete_where(self, where: dict[str, Any]) -> None:
        chosen = self.model.that(where)
        assert self.htm.delete_where(where) == len(chosen)
        for key in chosen:
            del self.model.there[key]

    @rule(chosen=st.lists(keys, max_size=5))
    def purge(self, chosen: list[str]) -> None:
        assert self.htm.delete_many(chosen, purge=True) == len(set(chosen) & set(self.model.there))
        for key in chosen:
            self.model.there.pop(key, None)
            self.model.versions.pop(key, None)

    @rule(keep=st.integers(1, 3), key=st.none() | keys)
    def prune_history(self, keep: int, key: str | None) -> None:
        dropped = 0
        for name, versions in self.model.versions.items():
            if key in (None, name):
                dropped += len(versions[:-keep])
                del versions[:-keep]
        assert self.htm.prune_history(keep, key) == dropped

    @rule(path=st.sampled_from(["n", "m", "n.m"]))
    def create_index(self, path: str) -> None:
        self.htm.create_index(path)

    @rule()
    def go_on_with_a_backup(self) -> None:
        target = Path(tempfile.mkdtemp(dir=self.path.parent))
        self.htm.backup(target)
        self.htm.close()
        self.path = target
        self.htm = HTMCore(target, durability="normal")

    @precondition(lambda self: len(self.model.there) > 1000)
    @rule(share=st.sampled_from([0.3, 0.9, 1.0]))
    def delete_in_bulk(self, share: float) -> None:
        bulk = [key for key in self.model.there if key.startswith("bulk/")]
        self.delete_many(bulk[: int(share * len(bulk))])

    @rule()
    def flush(self) -> None:
        self.htm.flush()

    @rule()
    def merge(self) -> None:
        merge_in_the_background(self.htm)

    @rule()
    def code(self) -> None:
        code(self.htm)
        assert self.htm.stats()["background_error"] is None

    @rule(plan=plans)
    def choose_another_plan(self, plan: _core.Plan | None) -> None:
        self.patch.setattr(_core, "choose_plan", lambda *_, **__: plan)
        self.patch.setattr(coding, "GROWTH", 2)

    @rule()
    def compact(self) -> None:
        self.htm.compact()
        stats = self.htm.stats()
        assert (stats["dead_rows"], stats["pending_rows"]) == (0, 0)
        assert stats["segments"] <= self.htm.shard_count

    @rule()
    def clear_cache(self) -> None:
        self.htm.clear_cache()

    @rule(durability=st.sampled_from(["full", "normal"]))
    def reopen(self, durability: str) -> None:
        self.htm.close()
        self.htm = HTMCore(self.path, durability=durability)

    @rule(query=vectors, limit=st.integers(1, 20), least=st.sampled_from([-1.0, 0.0, 0.7]), where=st.none() | filters)
    def search(self, query: Any, limit: int, least: float, where: dict[str, Any] | None) -> None:
        chosen = self.model.that(where or {})
        assert self.htm.count(where) == len(chosen)
        vectors = {key: self.model.there[key].vector for key in chosen}
        expected = oracle_search(vectors, query, limit, least)
        for hits in (
            self.htm.search_similar(query, limit, least, where=where),
            self.htm.search_many([query, -query], limit, least, where=where)[0],
        ):
            assert [(key, score) for key, score, _ in hits] == expected
            for key, _, record in hits:
                self.check(key, record)

    @rule(word=st.sampled_from(WORDS))
    def search_text(self, word: str) -> None:
        found = set(names(self.htm.search_text(word, 10_000)))
        with_text = {key for key, version in self.model.there.items() if version.text is not None}
        assert found <= with_text
        assert found >= {key for key in with_text if word in (self.model.there[key].text or "").split()}

    @rule(key=keys)
    def get(self, key: str) -> None:
        record = self.htm.get_embedding(key)
        assert (record is not None) == (key in self.htm) == (key in self.model.there)
        if record is not None:
            self.check(key, record)
        assert self.htm.get_text(key) == (self.model.there[key].text if key in self.model.there else None)

    @rule(chosen=st.lists(keys, max_size=5))
    def get_many(self, chosen: list[str]) -> None:
        for key, record in zip(chosen, self.htm.get_embeddings(chosen), strict=True):
            assert (record is not None) == (key in self.model.there)
            if record is not None:
                self.check(key, record)

    @rule(key=keys)
    def history(self, key: str) -> None:
        versions = self.model.versions.get(key, [])
        found = self.htm.history(key)
        assert [version["version"] for version in found] == [version.number for version in versions]
        assert [version["metadata"] for version in found] == [version.metadata for version in versions]
        assert [version["diff_ops"] for version in found] == [version.diff_ops or [] for version in versions]

    @rule(prefix=st.sampled_from(["", "src/", "bulk/1", "a"]) | keys)
    def keys(self, prefix: str) -> None:
        expected = sorted((key for key in self.model.there if key.startswith(prefix)), key=str.encode)
        assert list(self.htm.keys(prefix)) == expected

    @invariant()
    def is_healthy(self) -> None:
        assert len(self.htm) == len(self.model.there)
        assert self.htm.verify() == []

    def check(self, key: str, record: dict[str, Any]) -> None:
        version = self.model.there[key]
        assert record["key"] == key
        assert record["embedding"]["values"].tobytes() == version.vector.tobytes()
        assert record["embedding"]["norm"] == oracle_norms(version.vector[np.newaxis])[0]
        assert record["metadata"] == version.metadata
        assert record["diff_ops"] == (version.diff_ops or [])
        assert record["version"] == version.number


TestStore = pytest.mark.soak(StoreMachine.TestCase)
TestStore.settings = settings(
    max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
