"""Embedding a store anew from its own texts, when it was indexed with another embedder."""

from collections.abc import Callable
from itertools import islice

from anam_py.crawler.batch import embed
from anam_py.crawler.drafts import document
from anam_py.crawler.known import EMPTY
from anam_py.embedding import Embedder, choice_of
from anam_py.exceptions import CrawlerError
from anam_py.store import Entry, HTMCore, Ledger

__all__ = ["UNFINISHED", "check_embedder", "keep_choice", "reembed"]

_AT_ONCE = 500
# Recorded while entries of two embedders are in the store, so that no crawl or search takes it for either's.
UNFINISHED = " (unfinished)"


def check_embedder(htm: HTMCore, embedder: Embedder) -> None:
    """Refuse to mix the vectors of two embedders.

    Raises
    ------
    CrawlerError
        If the store was indexed with another one; says what to do.
    """
    _check_dimension(htm, embedder)
    ledger = Ledger(htm)
    recorded = ledger.embedder
    if recorded not in (None, embedder.name):
        choice = ledger.choice
        that = "that embedder" if choice is None else f"embedder={choice!r}"
        raise CrawlerError(
            f"the store {str(htm.storage_path)!r} was indexed with embedder {recorded!r}, this crawler has {embedder.name!r}; "
            f"their vectors cannot be compared: call reembed() to embed what is stored anew, or use a crawler with {that}"
        )


def keep_choice(htm: HTMCore, embedder: Embedder) -> None:
    """Record what the store's embedder can be made of again, where nothing else may have to be written that would say so."""
    ledger, choice = Ledger(htm), choice_of(embedder)
    if choice not in (None, ledger.choice) and ledger.embedder == embedder.name:
        ledger.commit(embedder=embedder.name, choice=choice)


def reembed(htm: HTMCore, embedder: Embedder, progress_callback: Callable[[int, int, str], object] | None = None) -> int:
    """Embed every entry of the crawler's that has another embedder's vector; an interrupted call is carried on by the next.

    Parameters
    ----------
    htm : HTMCore
    embedder : Embedder
    progress_callback : Callable, optional
        Called with how many entries are done, how many there are, and the last one's key.

    Returns
    -------
    int
        How many were embedded.

    Raises
    ------
    CrawlerError
        If the store holds vectors of another length.
    """
    _check_dimension(htm, embedder)
    ledger = Ledger(htm)
    if ledger.embedder in (None, embedder.name):
        return 0
    # What had nothing to embed may have now: the next crawl will see.
    empty = [path for path, row in ledger.files().items() if row.outcome == EMPTY]
    choice = choice_of(embedder)
    ledger.commit(gone=empty, embedder=embedder.name + UNFINISHED, choice=choice)
    count, done, total = 0, 0, len(htm)
    keys = htm.keys()
    while group := list(islice(keys, _AT_ONCE)):
        count += _reembed_group(htm, embedder, group)
        done += len(group)
        if progress_callback is not None:
            progress_callback(done, total, group[-1])
    ledger.commit(embedder=embedder.name, choice=choice)
    return count


def _reembed_group(htm: HTMCore, embedder: Embedder, keys: list[str]) -> int:
    records = [record for record in htm.get_embeddings(keys) if record is not None]
    stale = [record for record in records if record["metadata"].get("embedder") not in (None, embedder.name)]
    texts = [htm.get_text(record["key"]) or "" for record in stale]
    documents = [document(record["key"], record["metadata"], text) for record, text in zip(stale, texts, strict=True)]
    entries, wordless = [], []
    for record, text, vector in zip(stale, texts, embed(embedder, documents), strict=True):
        if vector.any():
            entries.append(Entry(record["key"], vector, record["metadata"] | {"embedder": embedder.name}, None, text))
        else:
            wordless.append(record["key"])
    if stale:
        Ledger(htm).commit(entries=entries, forget=wordless, gone=wordless)
    return len(entries)


def _check_dimension(htm: HTMCore, embedder: Embedder) -> None:
    if embedder.dimension != htm.dimension:
        raise CrawlerError(
            f"embedder {embedder.name!r} makes vectors of {embedder.dimension} numbers, the store {str(htm.storage_path)!r} "
            f"holds vectors of {htm.dimension}: open another store with dimension={embedder.dimension}"
        )
