"""From a caller's arguments to a batch that can be committed: everything is checked here, nothing below."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from anam_py import _core, _validation
from anam_py.exceptions import ValidationError
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
    metadata: Sequence[Any] | None = None,
    diff_ops: Sequence[Any] | None = None,
    texts: Sequence[Any] | None = None,
) -> Batch:
    """Return the batch that stores one entry for each row of a matrix."""
    names = _validation.check_keys(keys)
    vectors = _validation.as_matrix(matrix, dimension, "matrix", rows=len(names))
    if len(set(names)) < len(names):
        twice = next(key for key in names if names.count(key) > 1)
        raise ValidationError(f"keys must be distinct within one call, {twice!r} is there more than once")
    columns = {"metadata": metadata, "diff_ops": diff_ops, "texts": texts}
    for name, column in columns.items():
        if column is not None and (isinstance(column, (str, dict)) or len(column) != len(names)):
            got = type(column).__name__ if isinstance(column, (str, dict)) else f"{len(column)}"
            raise ValidationError(f"{name} must be a list with one item for each of the {len(names)} keys, got {got}")
    puts = [
        Put(
            key=key,
            crc=vector_crc(vectors[i]),
            metadata="{}" if metadata is None else _validation.encode_metadata(metadata[i], f"metadata[{i}]"),
            diff_ops=None if diff_ops is None else _validation.check_diff_ops(diff_ops[i], f"diff_ops[{i}]"),
            text=None if texts is None else _validation.check_text(texts[i], f"texts[{i}]"),
        )
        for i, key in enumerate(names)
    ]
    return Batch(puts, vectors, _core.norms(vectors))
