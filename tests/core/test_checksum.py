"""Checksums of rows: zlib's, whatever the rows are."""

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py import _core


@given(count=st.integers(0, 9), dimension=st.integers(1, 40), seed=st.integers(0, 99), threads=st.integers(1, 4))
def test_each_row_has_the_checksum_that_zlib_gives_it(count: int, dimension: int, seed: int, threads: int) -> None:
    vectors = np.random.default_rng(seed).standard_normal((count, dimension), dtype=np.float32)
    crcs = _core.row_crcs(vectors, threads=threads)
    assert crcs.dtype == np.uint32
    assert crcs.tolist() == [zlib.crc32(vector.tobytes()) for vector in vectors]


def test_rows_of_a_read_only_map_have_checksums_too(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    monkeypatch.setattr(_core.threads, "_BYTES_PER_THREAD", 1)
    vectors = np.frombuffer(rng.standard_normal((1000, 768), dtype=np.float32).tobytes(), np.float32).reshape(1000, 768)
    assert not vectors.flags.writeable
    assert _core.row_crcs(vectors, threads=2).tolist() == [zlib.crc32(vector.tobytes()) for vector in vectors]
