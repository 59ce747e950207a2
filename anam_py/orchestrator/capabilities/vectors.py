"""Vectors of files and texts, and what the store has near them: embedding_generation and similarity_search."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from anam_py._validation import check_count, check_text, describe
from anam_py.crawler import document
from anam_py.embedding import default_embedder
from anam_py.exceptions import OrchestratorError, ValidationError
from anam_py.orchestrator.capabilities.files import Files, read_files, until_cancelled
from anam_py.store.ledger import Ledger

if TYPE_CHECKING:
    from anam_py.orchestrator.context import Context
    from anam_py.store import HTMCore

__all__ = ["embedding_generation", "similarity_search"]

_MAX_TEXTS = 10_000
_MAX_LIMIT = 1000
_AT_ONCE = 64


def embedding_generation(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Embed files and texts, as a crawl does it.

    Parameters
    ----------
    task : mapping
        "files": paths, relative to the working folder; "texts": a list of str. One of them at least.
    context : Context

    Returns
    -------
    dict
        embedder (its name), dimension, and vectors: of each its source (a path, or ``texts[0]``) and vector, a list of float;
        None for what has no word to embed.

    Raises
    ------
    IncompleteError
        If files could not be read.
    ValidationError
        If a field of the task is not of its type.
    """
    texts = _texts(task)
    files = read_files(task, context) if "files" in task or not texts else Files([], [])
    documents = [(each.path, document(each.path, each.analysis.metadata, each.analysis.text)) for each in files.sources]
    documents += [(f"texts[{index}]", text) for index, text in enumerate(texts)]
    embedder = default_embedder()
    vectors = []
    for start in until_cancelled(context, range(0, len(documents), _AT_ONCE)):
        names, contents = zip(*documents[start : start + _AT_ONCE], strict=True)
        rows = embedder.embed(contents)
        vectors += [
            {"source": name, "vector": row.tolist() if row.any() else None} for name, row in zip(names, rows, strict=True)
        ]
    return files.complete({"embedder": embedder.name, "dimension": embedder.dimension, "vectors": vectors})


def similarity_search(task: Mapping[str, Any], context: "Context") -> dict[str, Any]:
    """Find what the store has nearest to files and texts.

    Parameters
    ----------
    task : mapping
        As for `embedding_generation`; "limit" is how many entries to find for each, 5 by default.
    context : Context
        Uses the result of embedding_generation if there is one.

    Returns
    -------
    dict
        entries: how many there are in the store; note: why nothing can be found, or None; and neighbours: of each its source and
        nearest, a list of key and score, the nearest first. A file's own entries are none of its neighbours.

    Raises
    ------
    IncompleteError
        If files could not be read.
    ValidationError
        If a field of the task is not of its type.
    OrchestratorError
        If there is no store, as in a process of its own.
    HTMError
        If the store cannot be read.
    """
    limit = check_count(task.get("limit", 5), 'task["limit"]', 1, _MAX_LIMIT)
    if context.htm is None:
        raise OrchestratorError(
            f"{context.capability} has no store in a process of its own; register {context.agent_id!r} without process=True"
        )
    made = context.results.get("embedding_generation")
    if not (isinstance(made, Mapping) and made.keys() >= {"embedder", "dimension", "vectors"}):  # a handler of the user's, say
        made = embedding_generation(task, context)
    note = _obstacle(context.htm, made)
    vectors = [] if note else made["vectors"]
    neighbours = [
        {"source": each["source"], "nearest": _nearest(context.htm, each, limit)} for each in until_cancelled(context, vectors)
    ]
    return {"entries": len(context.htm), "note": note, "neighbours": neighbours}


def _texts(task: Mapping[str, Any]) -> Sequence[str]:
    texts = task.get("texts", ())
    if not isinstance(texts, (list, tuple)):
        raise ValidationError(f'task["texts"] must be a list of str, got {describe(texts)}')
    if len(texts) > _MAX_TEXTS:
        raise ValidationError(f'task["texts"] must be at most {_MAX_TEXTS:,} texts, got {len(texts):,}; give several tasks')
    return [check_text(text, f'task["texts"][{index}]', optional=False) for index, text in enumerate(texts)]


def _obstacle(htm: "HTMCore", made: Mapping[str, Any]) -> str | None:
    """Return what keeps vectors from having anything to do with those in a store."""
    if not len(htm):
        return "the store is empty; take the code base into it with CodeBaseCrawler or anam index"
    indexed = Ledger(htm).embedder
    if htm.dimension != made["dimension"] or indexed not in (None, made["embedder"]):
        stored = f"{indexed or 'vectors of its own'} ({htm.dimension} dimensions)"
        return (
            f"the store was indexed with {stored}, not with {made['embedder']}; index it again, or ask a store of that embedder"
        )
    return None


def _nearest(htm: "HTMCore", each: Mapping[str, Any], limit: int) -> list[dict[str, Any]]:
    if each["vector"] is None:
        return []
    own = {each["source"], *htm.keys(prefix=f"{each['source']}::")}
    found = htm.search_similar(each["vector"], limit + len(own), 0.0)
    return [{"key": key, "score": score} for key, score, _ in found if key not in own][:limit]
