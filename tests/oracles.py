"""Plain answers to check the package's against: slow, short, and by other means where there are any."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from anam_py._core import Rows


def oracle_dots(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the contract's dot product of the last axes: eight partial sums, added up as a fixed tree."""
    products = np.asarray(a, np.float64) * np.asarray(b, np.float64)
    lanes = np.zeros((*products.shape[:-1], 8))
    for i in range(products.shape[-1]):
        lanes[..., i % 8] += products[..., i]
    fours = lanes[..., :4] + lanes[..., 4:]
    twos = fours[..., :2] + fours[..., 2:]
    return twos[..., 0] + twos[..., 1]


def oracle_norms(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the contract's norm of each row."""
    return np.sqrt(oracle_dots(vectors, vectors))


def oracle_scores(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the contract's score of each row; NaN for one of norm zero."""
    with np.errstate(invalid="ignore"):
        return oracle_dots(vectors, query) / (oracle_norms(query) * oracle_norms(vectors))


def oracle_score_matrix(vectors: NDArray[np.float32], queries: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the contract's score of each query with each row; NaN for rows of norm zero."""
    lanes = np.zeros((8, len(queries), len(vectors)))
    for i in range(vectors.shape[1]):
        lanes[i % 8] += np.multiply.outer(queries[:, i].astype(float), vectors[:, i].astype(float))
    fours = lanes[:4] + lanes[4:]
    twos = fours[:2] + fours[2:]
    with np.errstate(invalid="ignore"):
        return (twos[0] + twos[1]) / np.multiply.outer(oracle_norms(queries), oracle_norms(vectors))


def oracle_top_k(
    blocks: Sequence[Rows], query: NDArray[np.float32], k: int, min_score: float = -np.inf
) -> list[tuple[int, int, float]]:
    """Return (block, row, score) of the k best and of all that tie with the last, best first."""
    hits = [
        (number, row, float(score))
        for number, (vectors, _, alive, _) in enumerate(blocks)
        for row, score in enumerate(oracle_scores(vectors, query))
        if (alive is None or alive[row]) and score >= min_score
    ]
    hits.sort(key=lambda hit: (-hit[2], hit[:2]))
    return [hit for hit in hits if len(hits) <= k or hit[2] >= hits[k - 1][2]]


def oracle_mean_field(blocks: Sequence[Rows]) -> NDArray[np.float64]:
    """Return the direction of the mean of all living rows as unit vectors."""
    rows = np.concatenate([vectors if alive is None else vectors[alive != 0] for vectors, _, alive, _ in blocks]).astype(float)
    mean = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).mean(axis=0)
    return mean / np.linalg.norm(mean)


def oracle_resonance(cosine: NDArray[np.float64] | float) -> NDArray[np.float64] | float:
    """Return the resonance of cosines, by NumPy's sine."""
    return np.clip(cosine * (1 + 0.1 * np.sin(np.pi * cosine)), 0, 1)


def oracle_search(
    vectors: Mapping[str, NDArray[np.float32]], query: NDArray[np.float32], limit: int, min_similarity: float = -np.inf
) -> list[tuple[str, float]]:
    """Return (key, score) of the best entries of a store with these vectors, by score and then by the key's UTF-8 bytes."""
    if not vectors:
        return []
    scores = oracle_scores(np.stack(list(vectors.values())), query)
    hits = [
        (key, float(score)) for key, score in zip(vectors, scores, strict=True) if score >= min_similarity or min_similarity <= -1
    ]
    return sorted(hits, key=lambda hit: (-hit[1], hit[0].encode()))[:limit]


def oracle_filter(metadata: dict[str, Any], where: dict[str, Any]) -> bool:
    """Return whether metadata fulfils a `where` filter, by evaluating it as its description reads."""
    for key, value in where.items():
        if key == "$and":
            fulfilled = all(oracle_filter(metadata, part) for part in value)
        elif key == "$or":
            fulfilled = any(oracle_filter(metadata, part) for part in value)
        elif key == "$not":
            fulfilled = not oracle_filter(metadata, value)
        else:
            operators = value if isinstance(value, dict) else {"$eq": value}
            there, found = _at(metadata, key.split("."))
            fulfilled = all(_fulfils(there, found, sign, operand) for sign, operand in operators.items())
        if not fulfilled:
            return False
    return True


def _at(value: Any, labels: list[str]) -> tuple[bool, Any]:
    for label in labels:
        if not isinstance(value, dict) or label not in value:
            return False, None
        value = value[label]
    return True, value


def _fulfils(there: bool, found: Any, sign: str, operand: Any) -> bool:  # noqa: PLR0911
    if sign == "$exists":
        return there == operand
    if sign in ("$ne", "$nin"):
        return not _fulfils(there, found, "$eq" if sign == "$ne" else "$in", operand)
    if not there:
        return False
    if sign == "$eq":
        return _same(found, operand)
    if sign == "$in":
        return any(_same(found, item) for item in operand)
    if sign == "$contains":
        inside = isinstance(found, list) and any(_same(item, operand) for item in found)
        return inside or (isinstance(found, str) and isinstance(operand, str) and operand in found)
    if sign == "$prefix":
        return isinstance(found, str) and found.startswith(operand)
    if _kind(found) != _kind(operand) or _kind(found) not in ("text", "number"):
        return False
    left, right = (found.encode(), operand.encode()) if isinstance(found, str) else (found, operand)
    return bool({"$gt": left > right, "$gte": left >= right, "$lt": left < right, "$lte": left <= right}[sign])


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else type(value).__name__


def _same(found: Any, operand: Any) -> bool:
    return _kind(found) == _kind(operand) and found == operand
