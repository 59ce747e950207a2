"""Searching on a device: the hits are those of a search without one, bit for bit, whatever the store holds and does."""

import asyncio
import gc
import os
import tempfile
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as with_settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from oracles import oracle_scores, oracle_search
from stores import V, W, merge_in_the_background, rows, segment_files

from anam_py import _core, configure_ffi
from anam_py.exceptions import HTMError
from anam_py.store import HTMCore
from anam_py.store.snapshot import Block

torch = pytest.importorskip("torch")
from anam_py.store import device as devices  # noqa: E402 - imports torch

EXAMPLES = int(os.environ.get("ANAM_TEST_EXAMPLES", "25"))
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]

OpenStore = Callable[..., HTMCore]
Vectors = dict[str, NDArray[np.float32]]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    """Return the name of each device that there is."""
    return str(request.param)


@pytest.fixture
def pair(open_store: OpenStore, device: str) -> Callable[..., tuple[HTMCore, HTMCore]]:
    """Return a function that opens the test's store without a device, and again with one."""

    def open_(dimension: int = 4, **arguments: Any) -> tuple[HTMCore, HTMCore]:
        plain = open_store(dimension=dimension, durability="normal", **arguments)
        return plain, open_store(durability="normal", device=device, **arguments)

    return open_


def answers(htm: HTMCore, queries: Any, limit: int = 10, least: float = -1.0, **arguments: Any) -> list[list[tuple[str, str]]]:
    """Return key and bits of the score of every hit, whose record must be that of its key."""
    found = htm.search_many(queries, limit, least, **arguments)
    for hits in found:
        assert [key for key, _, _ in hits] == [record["key"] for _, _, record in hits]
    return [[(key, score.hex()) for key, score, _ in hits] for hits in found]


def assert_alike(
    plain: HTMCore, on_device: HTMCore, queries: Any, limit: int = 10, least: float = -1.0, **arguments: Any
) -> None:
    assert answers(on_device, queries, limit, least, **arguments) == answers(plain, queries, limit, least, **arguments)


class Work(NamedTuple):
    """What was left to the CPU: queries of a whole store, and rows fetched for each other query."""

    scanned: list[int]
    fetched: list[int]


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> Work:
    """Return what the CPU does from now on."""
    seen = Work([], [])
    top_k, top_k_many = _core.top_k, _core.top_k_many

    def fetching(blocks: Sequence[_core.Rows], *arguments: Any, **named: Any) -> _core.Candidates:
        seen.fetched.append(sum(len(block.vectors) for block in blocks))
        return top_k(blocks, *arguments, **named)

    def scanning(blocks: Sequence[_core.Rows], queries: Any, *arguments: Any, **named: Any) -> list[_core.Candidates]:
        seen.scanned.append(len(queries))
        return top_k_many(blocks, queries, *arguments, **named)

    monkeypatch.setattr(_core, "top_k", fetching)
    monkeypatch.setattr(_core, "top_k_many", scanning)
    return seen


# ---- any store, any question ----

keys = st.sampled_from([*"abcdefgh", "\uffff", "\U0001f600"])
# Few values, so that there are duplicates and ties, exact and nearly so, and norms that single precision cannot hold.
values = st.sampled_from([0.0, -0.0, 1.0, -1.0, 2.0, 3.0, 1.0000001, 0.99999994, 1e-30, 1e30, -1e30, 1e-45])


def vectors_of(dimension: int) -> st.SearchStrategy[NDArray[np.float32]]:
    vector = st.lists(values, min_size=dimension, max_size=dimension).map(lambda items: np.array(items, np.float32))
    return vector.filter(lambda items: bool(items.any()))


def cases_of(dimension: int) -> st.SearchStrategy[tuple[list[Any], list[NDArray[np.float32]]]]:
    entries = st.dictionaries(keys, vectors_of(dimension), max_size=8)
    step = st.one_of(entries, entries, st.lists(keys, max_size=4), st.sampled_from(["flush", "merge", "compact"]))
    return st.tuples(st.lists(step, max_size=10), st.lists(vectors_of(dimension), min_size=1, max_size=4))


@with_settings(max_examples=2 * EXAMPLES, deadline=None)
@given(
    case=st.sampled_from([1, 2, 3, 8, 17]).flatmap(cases_of),
    shards=st.sampled_from([1, 3]),
    limit=st.integers(1, 20) | st.just(10_000),
    least=st.sampled_from([-1.0, 0.0, 0.5, 1.0, 0.9999999]),
    score_bytes=st.sampled_from([1, 48, 100, 1 << 20]),
    staged_bytes=st.sampled_from([1, 64, 1 << 20]),
    batch=st.sampled_from([1, 3, 1024]),
    few=st.sampled_from([0, 2, 1024]),
    fits=st.booleans(),
)
@pytest.mark.parametrize("device", DEVICES)
def test_searches_find_the_same_in_any_history_of_a_store(
    device: str,
    case: tuple[list[Any], list[NDArray[np.float32]]],
    shards: int,
    limit: int,
    least: float,
    score_bytes: int,
    staged_bytes: int,
    batch: int,
    few: int,
    fits: bool,
) -> None:
    steps, queries = case
    model: Vectors = {}
    matrix = np.array(queries)
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        for name, value in {"_SCORE_BYTES": score_bytes, "_STAGED_BYTES": staged_bytes, "_BATCH": batch, "_FEW": few}.items():
            patch.setattr(devices, name, value)
        if not fits:
            patch.setattr(devices.DeviceCopy, "_fits", lambda *_: False)
        plain = HTMCore(folder, shards, dimension=matrix.shape[1], durability="normal")
        with plain, HTMCore(folder, durability="normal", device=device) as on_device:
            for number, step in enumerate([*steps, {}]):
                match step:
                    case dict():
                        metadata = [{"odd": bool(i % 2)} for i in range(len(step))]
                        vectors = np.array(list(step.values()), np.float32).reshape(-1, matrix.shape[1])
                        plain.store_embeddings(list(step), vectors, metadata)
                        model |= step
                    case list():
                        plain.delete_many(step)
                        model = {key: vector for key, vector in model.items() if key not in step}
                    case "merge":
                        merge_in_the_background(plain)
                    case _:
                        getattr(plain, step)()
                if number % 3 == 0:
                    assert_alike(plain, on_device, matrix, limit, least, where={"odd": True})
            found = answers(on_device, matrix, limit, least)
            assert found == answers(plain, matrix, limit, least)
            assert found == [
                [(key, score.hex()) for key, score in oracle_search(model, query, limit, least)] for query in queries
            ]


def near_ties(rng: np.random.Generator, count: int, dimension: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a direction, and rows whose cosines with it differ by less than single precision tells apart, at all scales."""
    centre = rng.standard_normal(dimension).astype(np.float32)
    near = np.nextafter(centre, rng.choice(np.array([-9, 9], np.float32), (count, dimension)))
    near = np.where(rng.random((count, dimension)) < 0.5, near, centre)
    return centre, near * np.float32(2) ** rng.integers(-40, 40, (count, 1)).astype(np.float32)


@pytest.mark.parametrize("dimension", [3, 64, 768])
def test_rows_that_single_precision_cannot_tell_apart_are_told_apart(
    pair: Any, rng: np.random.Generator, work: Work, dimension: int
) -> None:
    plain, on_device = pair(dimension)
    centre, near = near_ties(rng, 900, dimension)
    plain.store_embeddings([f"k{i}" for i in range(900)], near)
    expected = oracle_search({f"k{i}": row for i, row in enumerate(near)}, centre, 50)
    for limit in (1, 7, 50):
        found = answers(on_device, [centre, -centre], limit)
        assert found[0] == [(key, score.hex()) for key, score in expected[:limit]]
        assert found == answers(plain, [centre, -centre], limit)
    for key, score in expected:
        assert key in [hit for hit, _ in answers(on_device, [centre], 1000, score)[0]]
        assert_alike(plain, on_device, [centre], 1000, np.nextafter(score, 2.0))
    assert max(work.fetched) <= 900


@pytest.mark.parametrize("dimension", [1, 5, 64, 768])
def test_the_scores_of_a_device_are_as_near_as_is_claimed(rng: np.random.Generator, device: str, dimension: int) -> None:
    heavy = rng.standard_normal((400, dimension)) * np.exp(rng.uniform(-30, 30, (400, dimension)))
    same = np.ones((400, dimension)) * np.exp(rng.uniform(-30, 30, (400, 1)))
    _, near = near_ties(rng, 400, dimension)
    vectors = np.concatenate([heavy, same, near]).astype(np.float32)
    queries = np.concatenate([vectors[::100], rng.standard_normal((4, dimension))]).astype(np.float32)
    block = Block(np.arange(len(vectors)), vectors, _core.norms(vectors), None, len(vectors))
    search = devices._Search([block], [None], queries, 1, -1.0, 1, devices.find(device))
    unseen: list[Any] = []
    scores = search._scores([devices._Piece(0, 0, len(vectors))], torch.float32, unseen).cpu().numpy()[:-1]
    assert unseen == []
    exact = np.stack([oracle_scores(vectors, query) for query in queries])
    assert np.abs(scores - exact).max() <= devices.slack(dimension)


def test_a_clear_case_is_decided_among_few_rows(pair: Any, rng: np.random.Generator, work: Work) -> None:
    plain, on_device = pair(64)
    plain.store_embeddings([f"k{i}" for i in range(5000)], rows(rng, 5000, 64))
    answers(on_device, rows(rng, 20, 64))
    assert work.scanned == []
    assert len(work.fetched) == 20
    assert max(work.fetched) < 50


def test_duplicates_beyond_number_are_left_to_the_cpu(pair: Any, rng: np.random.Generator, work: Work) -> None:
    plain, on_device = pair()
    plain.store_embeddings([f"k{i}" for i in range(3000)], np.repeat(rows(rng, 2), 1500, axis=0))
    queries = rows(rng, 3)
    found = answers(on_device, queries, 5)
    assert work == ([3], [])
    assert found == answers(plain, queries, 5)


def test_limits_beyond_a_block_and_beyond_the_store(pair: Any, rng: np.random.Generator) -> None:
    plain, on_device = pair(8)
    for part in range(4):
        plain.store_embeddings([f"{part}-{i}" for i in range(100)], rows(rng, 100, 8))
        plain.flush()
    for limit in (99, 101, 399, 400, 401, 1500, 10**12):
        assert_alike(plain, on_device, rows(rng, 2, 8), limit)


def test_an_empty_store_and_an_empty_question(pair: Any) -> None:
    plain, on_device = pair()
    assert on_device.search_many([V, W]) == [[], []]
    assert on_device.search_many([]) == []
    plain.store_embedding("a", V, {})
    assert on_device.search_many(np.empty((0, 4))) == []
    plain.delete("a")
    assert on_device.search_many([V]) == [[]]


def test_norms_and_queries_beyond_single_precision(pair: Any, rng: np.random.Generator) -> None:
    plain, on_device = pair(16)
    scale = 2.0 ** np.array([-140, -125, -70, -61, -60, -1, 0, 60, 61, 100, 120], np.float64)
    matrix = (rows(rng, 330, 16) * np.repeat(scale, 30)[:, np.newaxis]).astype(np.float32)
    plain.store_embeddings([f"k{i}" for i in range(330)], matrix)
    plain.delete_many([f"k{i}" for i in range(0, 330, 7)])
    for limit in (1, 10, 300):
        assert_alike(plain, on_device, matrix[::11], limit)
        assert_alike(plain, on_device, matrix[::11], limit, 0.3)


def test_filters_and_thresholds(pair: Any, rng: np.random.Generator) -> None:
    plain, on_device = pair(8)
    plain.store_embeddings([f"k{i}" for i in range(500)], rows(rng, 500, 8), [{"number": i % 50} for i in range(500)])
    plain.delete_many([f"k{i}" for i in range(40)])
    queries = rows(rng, 5, 8)
    for where in ({"number": 3}, {"number": {"$lt": 25}}, {"number": 99}):
        for least in (-1.0, 0.2, 0.9999, 1.0):
            assert_alike(plain, on_device, queries, 10, least, where=where)
    assert answers(on_device, queries, where={"number": 99}) == [[]] * 5


async def test_the_async_twin_searches_on_the_device_too(pair: Any, rng: np.random.Generator, work: Work) -> None:
    plain, on_device = pair()
    plain.store_embeddings([f"k{i}" for i in range(300)], rows(rng, 300))
    found = await asyncio.gather(*(on_device.search_many_async([V, W], 3, -1.0) for _ in range(4)))
    assert work.scanned == []
    assert max(work.fetched) < 300
    assert [[[(key, score.hex()) for key, score, _ in hits] for hits in answer] for answer in found] == [
        answers(plain, [V, W], 3)
    ] * 4


# ---- precision ----


@pytest.mark.parametrize("bits", [8, 11, 16, 22, 23])
def test_a_device_that_rounds_what_it_multiplies_is_found_out(
    pair: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, bits: int
) -> None:
    """As TF32 (11 bits), bfloat16 (8) and sums of two of these (16, 22) do: nothing here has them to be switched on."""
    plain, on_device = pair(64)
    query = np.eye(1, 64, dtype=np.float32)
    matrix = rows(rng, 2000, 64)
    matrix /= np.linalg.norm(matrix[:, 1:], axis=1, keepdims=True)
    matrix[:, 0] = 0.5 + 2e-6 * rng.permutation(2000)
    turn, _ = np.linalg.qr(rng.standard_normal((64, 64)))
    plain.store_embeddings([f"k{i}" for i in range(2000)], matrix @ turn)
    multiply, precisions, search = torch.mm, [], devices._Search._chosen

    def rounded(matrix: Any) -> Any:
        mantissa, exponent = torch.frexp(matrix)
        return torch.ldexp(torch.round(mantissa * 2**bits) / 2**bits, exponent)

    def noting(self: Any, most: int, dtype: Any) -> Any:
        precisions.append(dtype)
        return search(self, most, dtype)

    monkeypatch.setattr(devices._Search, "_chosen", noting)
    monkeypatch.setattr(torch, "mm", lambda a, b, out: multiply(rounded(a), rounded(b), out=out))
    assert_alike(plain, on_device, query @ turn, 20)
    assert precisions == [torch.float32, torch.float64]


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_settings_of_the_caller_change_no_answer_and_stay(
    pair: Any, rng: np.random.Generator, device: str, precision: str
) -> None:
    plain, on_device = pair(64)
    centre, near = near_ties(rng, 500, 64)
    plain.store_embeddings([f"k{i}" for i in range(500)], near)
    expected = answers(plain, [centre, *near[:3]], 20)
    before = torch.get_float32_matmul_precision(), torch.get_default_dtype()
    torch.set_float32_matmul_precision(precision)
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast(device, dtype=torch.bfloat16), torch.device("meta"):
            assert answers(on_device, [centre, *near[:3]], 20) == expected
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_default_dtype(before[1])


# ---- what is kept on the device ----


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the list of how many rows each transfer to the device has, which grows."""
    counts: list[int] = []
    bring = devices._GrowingRows._bring

    def counting(self: Any, vectors: NDArray[np.float32], norms: NDArray[np.float64]) -> None:
        counts.append(len(vectors))
        bring(self, vectors, norms)

    monkeypatch.setattr(devices._GrowingRows, "_bring", counting)
    return counts


def test_rows_are_brought_to_the_device_once(pair: Any, rng: np.random.Generator, brought: list[int]) -> None:
    plain, on_device = pair(4, shard_count=1)
    added = iter(rows(rng, 200))

    def store(count: int) -> None:
        for _ in range(count):
            vector = next(added)
            plain.store_embedding(f"k{vector[0]}", vector, {})

    def expect(*counts: int) -> None:
        brought.clear()
        assert_alike(plain, on_device, [V, W])
        assert brought == list(counts)

    store(10)
    expect(10)
    expect()
    store(3)
    expect(3)
    store(100)  # more than there was room for
    expect(100)
    plain.delete(next(plain.keys()))
    expect()
    plain.flush()
    expect(112)
    expect()
    store(2)
    expect(2)
    plain.compact()
    expect(114)


def test_an_older_moment_is_searched_after_a_newer_one(open_store: OpenStore, device: str, rng: np.random.Generator) -> None:
    """As a thread does that took its snapshot before another one stored more, and searches after that one."""
    htm = open_store(device=device, shard_count=1)
    copy, queries, moments = htm._copy, rows(rng, 3), []
    for number in range(6):
        htm.store_embedding(f"k{number}", rows(rng, 1)[0], {})
        if number == 2:
            htm.flush()
        moments.append(htm._reading().snapshot())
    for moment in [*reversed(moments), *moments]:
        expected = [_core.top_k(moment.rows(), query, 2, threads=1) for query in queries]
        np.testing.assert_equal(list(copy.top_k(moment, queries, 2, -np.inf, threads=1)), expected)


def test_what_is_kept_is_counted_shared_and_let_go(open_store: OpenStore, device: str, rng: np.random.Generator) -> None:
    first, second = open_store(device=device, dimension=64), open_store(device=device)
    plain = open_store()

    def kept(htm: HTMCore) -> int:
        return htm.get_memory_stats()["device_bytes"]

    assert kept(first) == 0
    first.store_embeddings([f"k{i}" for i in range(2000)], rows(rng, 2000, 64))
    first.search_many(rows(rng, 1, 64))
    full = kept(first)
    assert full >= 2000 * 64 * 4
    assert kept(second) == full
    assert kept(plain) == 0
    first.delete_many([f"k{i}" for i in range(1500)])
    first.compact()
    second.search_many(rows(rng, 1, 64))
    assert kept(first) == kept(second) < full / 2
    copy = weakref.ref(first._copy)
    first.close()
    assert copy() is not None
    second.close()
    gc.collect()
    assert copy() is None


def test_rows_that_do_not_fit_are_streamed(open_store: OpenStore, rng: np.random.Generator, brought: list[int]) -> None:
    configure_ffi({"memory_limit_mb": 16})
    plain = open_store(dimension=256, durability="normal")
    on_device = open_store(durability="normal", device="cpu")
    for part in range(5):
        plain.store_embeddings([f"{part}-{i}" for i in range(4000)], rows(rng, 4000, 256))
    queries = rows(rng, 5, 256)
    for _ in range(2):
        brought.clear()
        assert_alike(plain, on_device, queries)
        assert sum(brought) > 0
        assert 0 < on_device.get_memory_stats()["device_bytes"] <= 16 << 20


def test_a_repaired_store_is_searched_on_the_device_again(pair: Any, rng: np.random.Generator, brought: list[int]) -> None:
    plain, on_device = pair()
    plain.store_embeddings([f"k{i}" for i in range(50)], rows(rng, 50))
    expected = answers(plain, [V, W])
    plain.close()
    assert answers(on_device, [V, W]) == expected
    on_device._while_closed(lambda: None)
    brought.clear()
    assert answers(on_device, [V, W]) == expected
    assert sum(brought) == 50


def test_a_reader_follows_what_another_handle_commits(open_store: OpenStore, store_path: Path, device: str) -> None:
    writer = open_store()
    reader = open_store(device=device, read_only=True)
    for number, vector in enumerate([V, W, V + W]):
        writer.store_embedding(f"k{number}", vector, {})
        assert answers(reader, [V, W]) == answers(writer, [V, W])
        if number == 1:
            writer.flush()


def test_two_threads_search_while_a_third_reorders_the_store(pair: Any, rng: np.random.Generator) -> None:
    plain, on_device = pair(32)
    plain.store_embeddings([f"k{i}" for i in range(1000)], rows(rng, 1000, 32))
    queries = rows(rng, 8, 32)
    expected = answers(plain, queries)

    def search() -> None:
        for _ in range(15):
            assert answers(on_device, queries) == expected

    with ThreadPoolExecutor(2) as pool:
        searching = [pool.submit(search) for _ in range(2)]
        for number in range(8):  # far from every query, and gone again
            plain.store_embeddings([f"x{number}-{i}" for i in range(5)], np.tile(-queries.sum(axis=0), (5, 1)))
            plain.flush()
            plain.delete_many([f"x{number}-{i}" for i in range(5)])
            plain.compact()
        for done in searching:
            done.result()


# ---- what goes wrong ----


@pytest.mark.skipif(torch.cuda.is_available(), reason="CUDA is there")
@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_cuda_where_there_is_none_is_an_error_that_says_what_to_do(store_path: Path, device: str) -> None:
    with pytest.raises(HTMError, match=f"device='{device}' needs CUDA, and torch .* finds none; install .* or leave device out"):
        HTMCore(store_path, device=device)
    assert not store_path.exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_cuda_device_that_is_not_there_is_an_error_that_says_which_are(store_path: Path) -> None:
    with pytest.raises(HTMError, match=r"device='cuda:99' is not there: torch finds \d+, cuda:0 to cuda:\d+"):
        HTMCore(store_path, device="cuda:99")


def test_a_device_without_memory_leaves_the_search_to_the_cpu(
    pair: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    plain, on_device = pair()
    plain.store_embeddings([f"k{i}" for i in range(50)], rows(rng, 50))

    def out_of_memory(*_: Any, **__: Any) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "mm", out_of_memory)
    assert_alike(plain, on_device, [V, W])
    assert "too little memory" in caplog.text


def test_a_device_that_fails_is_an_error_that_names_it(
    pair: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    plain, on_device = pair()
    plain.store_embeddings([f"k{i}" for i in range(50)], rows(rng, 50))

    def failing(*_: Any, **__: Any) -> None:
        raise RuntimeError("unspecified launch failure")

    monkeypatch.setattr(torch, "mm", failing)
    with pytest.raises(HTMError, match=f"the search on {device}.* failed: unspecified launch failure; open the store without"):
        on_device.search_many([V])
    assert plain.search_many([V])


def damage_norm(path: Path, norm: float) -> None:
    """Make a store of 20 rows that lie in about one direction, and write over the norm of k5."""
    with HTMCore(path, 1, dimension=4) as htm:
        htm.store_embeddings([f"k{i}" for i in range(20)], V + 0.1 * rows(np.random.default_rng(0), 20))
        htm.flush()
        (block,) = htm._reading().snapshot().segments
    (file,) = segment_files(path)
    file.chmod(0o600)
    with file.open("r+b") as segment:
        segment.seek(block.segment.layout["norms"] + 8 * 5)
        segment.write(np.float64(norm).tobytes())


def test_a_damaged_norm_is_no_less_noticed(store_path: Path, device: str) -> None:
    damage_norm(store_path, 1e-3)
    for name in (None, device):
        with (
            HTMCore(store_path, read_only=True, device=name) as htm,
            pytest.raises(HTMError, match="the norm of 'k5' is damaged"),
        ):
            htm.search_many([V], 3, -1.0)
    with HTMCore(store_path) as plain, HTMCore(store_path, device=device) as htm:
        plain.delete("k5")
        assert_alike(plain, htm, [V, -V], 3)


def test_a_norm_that_is_no_number_takes_no_other_row_out(store_path: Path, device: str) -> None:
    damage_norm(store_path, np.nan)
    with HTMCore(store_path) as plain, HTMCore(store_path, device=device) as htm:
        for limit in (1, 19):
            assert_alike(plain, htm, [V, -V], limit)
            assert [len(hits) for hits in answers(htm, [V, -V], limit)] == [limit, limit]


def test_what_is_left_of_a_damaged_store_is_searched(store_path: Path, device: str, rng: np.random.Generator) -> None:
    with HTMCore(store_path, 2, dimension=4) as htm:
        htm.store_embeddings([f"k{i}" for i in range(40)], rows(rng, 40))
    segment_files(store_path)[0].unlink()
    with HTMCore(store_path, read_only=True, device=device) as htm, pytest.raises(HTMError, match="cannot be read"):
        htm.search_many([V])
    plain = HTMCore(store_path, read_only=True, allow_partial=True)
    with plain, HTMCore(store_path, read_only=True, allow_partial=True, device=device) as htm:
        assert_alike(plain, htm, [V, W], 100)
        assert answers(htm, [V, W], 100)[0]


def test_a_closed_handle_says_so(store_path: Path, device: str) -> None:
    htm = HTMCore(store_path, dimension=4, device=device)
    htm.close()
    with pytest.raises(HTMError, match="closed"):
        htm.search_many([V])
