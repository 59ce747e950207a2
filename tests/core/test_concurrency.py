"""What threads may rely on that call the core at once: everybody gets the answer that he would get alone."""

import threading
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from anam_py import _core

ROUNDS = 5


def encoded(plan: _core.Plan, rows: _core.Rows, n_threads: int) -> dict[str, NDArray[Any]]:
    return _core.encode(plan, rows.vectors, rows.norms, threads=n_threads)


def searched(blocks: list[_core.Rows], queries: NDArray[np.float32], n_threads: int) -> list[_core.Candidates]:
    """Search for one query, then for all."""
    return [found for n in (1, 5) for found in _core.top_k_many(blocks, queries[:n], 10, threads=n_threads)]


@pytest.mark.parametrize("n_threads", [1, 3])
def test_threads_that_call_every_kernel_at_once_on_the_same_arrays_get_the_answers_of_one(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, n_threads: int
) -> None:
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)
    vectors = rng.standard_normal((20_000, 33), dtype=np.float32)
    alive = (rng.random(20_000) < 0.9).astype(np.uint8)
    query, norms, cosines = vectors[7].copy(), _core.norms(vectors), rng.uniform(-1, 1, 20_000)
    parts = np.split(vectors, [5_000, 5_001]), np.split(norms, [5_000, 5_001]), np.split(alive, [5_000, 5_001])
    blocks = [_core.Rows(*part) for part in zip(*parts, strict=True)]
    plan = _core.Plan(33, 33, 6, None, detail=True)
    coded = [rows._replace(codes=_core.Codes.of(plan, encoded(plan, rows, 1))) for rows in blocks]
    texts = ["def parseArgs(self): naïve_name" * (1 + number % 7) for number in range(300)]

    kernels = [
        lambda: b"".join(part.tobytes() for part in _core.top_k(blocks, query, 10, threads=n_threads)),
        lambda: b"".join(part.tobytes() for part in _core.top_k(blocks, query, 2000, threads=n_threads)),
        lambda: b"".join(part.tobytes() for some in searched(coded, vectors[:5], n_threads) for part in some),
        lambda: b"".join(array.tobytes() for array in encoded(plan, blocks[2], n_threads).values()),
        lambda: _core.mean_field(blocks, threads=n_threads).tobytes(),
        lambda: _core.hash_tokens(texts, 64, threads=n_threads).tobytes(),
        lambda: _core.lexemes("\n".join(texts)).encode(),
        lambda: _core.scores(vectors, query).tobytes(),
        lambda: _core.norms(vectors).tobytes(),
        lambda: _core.resonance(cosines).tobytes(),
    ]
    expected = [kernel() for kernel in kernels]
    wrong: list[int] = []
    together = threading.Barrier(4)

    def call_all(offset: int) -> None:
        for number in range(ROUNDS * len(kernels)):
            together.wait(timeout=60)
            # All four in one kernel in the first round, then two each in two kernels, in every round another pair.
            chosen = (number + number // len(kernels) * (offset % 2)) % len(kernels)
            if kernels[chosen]() != expected[chosen]:
                wrong.append(chosen)

    threads = [threading.Thread(target=call_all, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
