"""From a caller's arguments to a batch that can be committed: everything is checked here, nothing below."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from anam_py import _core, _validation, config
from anam_py.exceptions import ValidationError
from anam_py.store import jobs
from anam_py.store.batch import Batch, Put
from anam_py.store.records import vector_crc


def one(
    dimension: int,
    key: object,
    embedding: object,
    metadata: object,
    diff_ops: object = None,
    text: object = None,
) -> Batch:
    """Return the batch that stores one entry."""
    vector = _validation.as_vector(embedding, dimension, "embedding")
    put = Put(
        key=_validation.check_key(key),
        crc=vector_crc(vector),
        metadata=_validation.encode_metadata(metadata),
        diff_ops=_validation.check_diff_ops(diff_ops),
        text=_validation.check_text(text),
    )
    matrix = vector[np.newaxis]
    return Batch([put], matrix, _core.norms(matrix))


def many(
    dimension: int,
    keys: object,
    matrix: object,
    metadata: Iterable[Any] | None = None,
    diff_ops: Iterable[Any] | None = None,
    texts: Iterable[Any] | None = None,
) -> Batch:
    """Return the batch that stores one entry for each row of a matrix."""
    names = _validation.check_keys(keys)
    vectors = _validation.as_matrix(matrix, dimension, "matrix", rows=len(names))
    if len(names) <= jobs.BULK_ROWS:  # a caller whose call was cancelled may go on with the array
        vectors = vectors.copy()
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise ValidationError(f"keys must be distinct within one call, {twice!r} is there more than once")
    metadata = _column(metadata, len(names), "metadata")
    diff_ops = _column(diff_ops, len(names), "diff_ops")
    texts = _column(texts, len(names), "texts")
    crcs = _core.row_crcs(vectors, threads=config.current().thread_pool_size).tolist()
    puts = [
        Put(
            key=key,
            crc=crcs[i],
            metadata="{}" if metadata is None else _validation.encode_metadata(metadata[i], f"metadata[{i}]"),
            diff_ops=None if diff_ops is None else _validation.check_diff_ops(diff_ops[i], f"diff_ops[{i}]"),
            text=None if texts is None else _validation.check_text(texts[i], f"texts[{i}]"),
        )
        for i, key in enumerate(names)
    ]
    return Batch(puts, vectors, _core.norms(vectors))


def _column(items: object, count: int, name: str) -> Sequence[Any] | None:
    if items is None:
        return None
    if isinstance(items, (str, bytes, Mapping)) or not isinstance(items, Iterable):
        raise ValidationError(f"{name} must be a list with one item for each key, got {_validation.describe(items)}")
    column = list(items)
    if len(column) != count:
        raise ValidationError(f"{name} must have one item for each of the {count} keys, got {len(column)}")
    return column
