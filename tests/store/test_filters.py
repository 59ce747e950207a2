"""What `where` lets through, against a plain evaluation of the same filter."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import oracle_filter

from anam_py import HTMCore, ValidationError
from anam_py.store.filters import condition

D = 4
TEXTS = st.sampled_from(["", "a", "b", "ab", "x\0y", "x", "é", "\\", '"', "%", "_", "src/a.py"]) | st.text("ab\0y", max_size=3)
NUMBERS = st.sampled_from([0, 1, -1, 1.0, 0.5, 2**53, 2**53 + 1, -(2**63), 1e300, 1e-300])
SCALARS = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.sampled_from(["n", "m"]), SCALARS, max_size=2)
METADATA = st.dictionaries(st.sampled_from(["n", "m", "name of", "é", "a-b", "[0]"]), VALUES, max_size=3)
PATHS = st.sampled_from(["n", "m", "n.m", "n.n", "m.n", "name of", "é", "a-b", "[0]", "gone", "n.m.n"])
ORDERED = TEXTS | NUMBERS
OPERATORS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne", "$contains"]), SCALARS),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), ORDERED),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=4)),
    st.tuples(st.just("$exists"), st.booleans()),
    st.tuples(st.just("$prefix"), TEXTS),
)
RANGES = st.fixed_dictionaries({"$gte": ORDERED, "$lt": ORDERED}, optional={"$ne": SCALARS, "$in": st.lists(SCALARS)})
LEAVES = st.dictionaries(PATHS, SCALARS | RANGES | st.lists(OPERATORS, min_size=1, max_size=2).map(dict), max_size=2)
FILTERS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda parts: {"$and": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"$or": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda part: {"$not": part}, inner),
    ),
    max_leaves=5,
)


@pytest.fixture
def htm(tmp_path):
    with HTMCore(tmp_path / "store", shard_count=2, dimension=D) as htm:
        yield htm
        assert htm.verify() == []


def filled(htm, metadata):
    rng = np.random.default_rng(len(metadata))
    vectors = rng.standard_normal((len(metadata), D), dtype=np.float32)
    keys = [f"k{i}" for i in range(len(metadata))]
    htm.delete_many(list(htm))
    if keys:
        htm.store_embeddings(keys, vectors, metadata, texts=["word"] * len(keys))
    return dict(zip(keys, metadata, strict=True))


@settings(max_examples=150, deadline=None)
@given(metadata=st.lists(METADATA, max_size=8), where=FILTERS, before=st.lists(PATHS), after=st.lists(PATHS))
def test_a_filter_means_what_its_plain_evaluation_says_whatever_is_indexed(tmp_path_factory, metadata, where, before, after):
    with HTMCore(tmp_path_factory.mktemp("s") / "store", shard_count=2, dimension=D, durability="normal") as htm:
        for path in before:
            htm.create_index(path)
        filled(htm, metadata[::-1])
        stored = filled(htm, metadata)
        for path in after:
            htm.create_index(path)
        wanted = {key for key, value in stored.items() if oracle_filter(value, where)}
        ones = np.ones(D)
        assert {key for key, _, _ in htm.search_similar(ones, 100, -1, where=where)} == wanted
        assert {key for key, _, _ in htm.search_text("word", 100, where=where)} == wanted
        assert {key for key, _, _ in htm.search_hybrid("word", ones, 100, where=where)} == wanted
        assert {key for key, _, _ in htm.query_by_resonance(0.0, where=where)} == wanted
        assert htm.count(where) == len(wanted)


def test_as_many_hits_as_asked_for_come_back_whenever_they_exist(htm):
    filled(htm, [{"rare": i % 50 == 0} for i in range(500)])
    htm.flush()
    query = np.ones(D)
    hits = htm.search_similar(query, limit=10, min_similarity=-1, where={"rare": True})
    everything = [key for key, _, record in htm.search_similar(query, 500, -1) if record["metadata"]["rare"]]
    assert [key for key, _, _ in hits] == everything


def plan(htm, where):
    """Return how SQLite looks for the entries that a filter lets through."""
    with htm._engine.catalog.reading() as reader:
        narrowed = reader.narrowed(condition(where))
        rows = reader.sql.execute(f"EXPLAIN QUERY PLAN SELECT id FROM entries WHERE {narrowed.sql}", narrowed.parameters)
        return [row[3] for row in rows]


@pytest.mark.parametrize(
    "where",
    [
        {"kind": "class"},
        {"kind": {"$in": ["class", "method"]}},
        {"kind": {"$prefix": "cl"}, "n": {"$ne": 3}},
        {"kind": {"$gt": "a"}},
        {"$and": [{"n": 1}, {"kind": {"$exists": True}}]},
        {"kind": None},
        {"kind": 7},
        {"kind": {"$lte": 7.5}},
        {"kind": {"$in": ["class", 7, None, True, "a\0b"]}},
    ],
)
def test_a_filter_on_a_declared_path_looks_at_candidates_only(open_store, where):
    htm = open_store()
    htm.store_embedding("a", [1, 2, 3, 4], {"kind": "class", "n": 1})
    assert any(step.startswith("SCAN entries") for step in plan(htm, where))
    htm.create_index("kind")
    htm.create_index("kind")
    assert not any(step.startswith("SCAN entries") for step in plan(htm, where))
    htm.close()
    htm = open_store()
    for kind in ("class", "method"):
        htm.store_embedding("b", [1, 2, 3, 4], {"kind": kind})
        assert htm.count({"kind": kind}) == (2 if kind == "class" else 1)
    assert not any(step.startswith("SCAN entries") for step in plan(open_store(read_only=True), where))
    htm.delete_many(["a", "b"])
    assert htm._writing()._writer.sql.execute("SELECT count(*) FROM indexed").fetchone() == (0,)


@pytest.mark.parametrize("path", ["", "a..b", 'a"b', "a\\b", "a\nb", None, 1, ["a"]])
def test_only_a_metadata_path_can_be_declared(htm, path):
    with pytest.raises(ValidationError, match="path"):
        htm.create_index(path)


def test_long_strings_and_great_numbers_are_found_by_an_index_too(htm):
    values = ["x" * 200, "x" * 200 + "y", "x" * 127 + "é", 10**30, -(10**400), 0.1, 0.1 + 2**-56, 2**62, 2**62 + 1]
    stored = filled(htm, [{"v": value} for value in values])
    htm.create_index("v")
    for value in values:
        for sign in ("$eq", "$gte", "$lt"):
            if isinstance(value, str) or abs(value) < 2**63:
                where = {"v": {sign: value}}
                assert {key for key, _, _ in htm.search_similar(np.ones(D), 99, -1, where=where)} == {
                    key for key, metadata in stored.items() if oracle_filter(metadata, where)
                }


def test_a_declared_path_helps_though_another_one_has_many_candidates(htm):
    filled(htm, [{"rare": i % 1000, "common": 1} for i in range(4000)])
    for path in ("rare", "common"):
        htm.create_index(path)
    (step,) = [step for step in plan(htm, {"common": 1, "rare": {"$gte": 7, "$lt": 8}}) if "indexed" in step]
    assert "value>? AND value<?" in step
    assert any(step.startswith("SCAN entries") for step in plan(htm, {"common": 1}))


def test_search_many_answers_as_one_search_for_each_row_does(htm):
    filled(htm, [{"i": i} for i in range(300)])
    queries = np.random.default_rng(1).standard_normal((5, D))
    where = {"i": {"$lt": 200}}
    together = htm.search_many(queries, 7, 0.1, where=where)
    for row, hits in zip(queries, together, strict=True):
        alone = htm.search_similar(row, 7, 0.1, where=where)
        assert [(key, score) for key, score, _ in hits] == [(key, score) for key, score, _ in alone]
    assert htm.search_many(np.empty((0, D))) == []


def test_delete_where_deletes_what_the_filter_lets_through_and_nothing_else(htm):
    filled(htm, [{"i": i} for i in range(100)])
    htm.flush()
    assert htm.delete_where({"i": {"$gte": 30}}) == 70
    assert sorted(htm) == sorted(f"k{i}" for i in range(30))
    assert htm.search_text("word", 1000, where={"i": {"$gte": 30}}) == []
    assert htm.delete_where({"i": {"$gte": 30}}) == 0


@pytest.mark.parametrize("where", [None, {}, {"$and": [{}]}, {"$and": [{}, {}]}])
def test_delete_where_refuses_a_filter_without_conditions(htm, where):
    filled(htm, [{"i": 1}])
    with pytest.raises(ValidationError):
        htm.delete_where(where)
    assert len(htm) == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ([], "where must be a dict"),
        ({1: 2}, "str keys"),
        ({"$nor": []}, "$nor"),
        ({"a": {"$regex": "x"}}, "$prefix"),
        ({"a": {}}, "at least one operator"),
        ({"a": [1]}, 'where["a"]'),
        ({"a": {"$gt": None}}, 'where["a"]["$gt"]'),
        ({"a": {"$gt": True}}, "str or a number"),
        ({"a": {"$gt": float("nan")}}, "finite"),
        ({"a": 2**63}, "64 bits"),
        ({"a": {"$in": "abc"}}, "list"),
        ({"a": {"$in": [[1]]}}, '["$in"][0]'),
        ({"a": {"$exists": 1}}, "True or False"),
        ({"a": {"$prefix": 1}}, "str"),
        ({"a": "\ud800"}, "surrogates"),
        ({"a": {"$in": ["\ud800"]}}, "surrogates"),
        ({"": 1}, "path"),
        ({"a..b": 1}, "path"),
        ({'a"b': 1}, "path"),
        ({"a\0": 1}, "path"),
        ({"a\\": 1}, "path"),
        ({"$and": []}, "at least one filter"),
        ({"$or": {"a": 1}}, "list"),
        ({"$not": [1]}, '["$not"]'),
        ({f"p{i}": 1 for i in range(501)}, "500"),
        ({"a": {"$in": list(range(501))}}, "500"),
    ],
)
def test_a_malformed_filter_is_refused_with_its_place_and_what_is_expected(htm, where, said):
    with pytest.raises(ValidationError) as caught:
        htm.count(where)
    assert said in str(caught.value)


def test_a_filter_nested_too_deep_is_refused(htm):
    where = {"a": 1}
    for _ in range(40):
        where = {"$not": where}
    with pytest.raises(ValidationError, match="levels deep"):
        htm.count(where)


@pytest.mark.parametrize("value", ["'; DROP TABLE entries; --", "' OR 1=1 --", "?", ":a", "x') OR ('1"])
def test_a_value_is_never_read_as_sql(htm, value):
    filled(htm, [{"a": value}, {"a": "other"}])
    assert htm.count({"a": value}) == 1
    assert htm.count({f"a {value}".replace('"', ""): 1}) == 0
    assert len(htm) == 2


def test_the_longest_filter_that_is_allowed_can_be_answered(htm):
    filled(htm, [{"p": 1}])
    assert htm.count({"$or": [{"p": {"$contains": str(i)}} for i in range(250)]}) == 0
    assert htm.count({"p": {"$in": [str(i) for i in range(50_000)]}}) == 0
    leaves = [
        {"p": 1},
        {"p": {"$gte": 1, "$lt": 5}},
        {"p": {"$contains": "x"}},
        {"p": {"$in": ["x", 2, "\0", None]}},
        {"p": {"$gt": "x"}},
    ]
    for leaf in leaves:
        wanted, nots = oracle_filter({"p": 1}, leaf), leaf
        first = last = leaf
        for _ in range(16):
            nots = {"$not": {"$not": nots}}
            first = {"$and": [{"$or": [first, {"p": 2}]}, {"p": 1}]}
            last = {"$and": [{"p": 1}, {"$or": [{"p": 2}, last]}]}
        for where in (nots, first, last):
            assert htm.count(where) == len(htm.search_text("word", where=where)) == wanted
