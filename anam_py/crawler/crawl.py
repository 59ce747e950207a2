"""One crawl: walk, recognise what has not changed, analyse what has, commit in batches, forget what is gone."""

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from anam_py.crawler.analysis import Analysis, analyse, content_hash, holds_secrets
from anam_py.crawler.batch import Batch
from anam_py.crawler.drafts import Draft, file_draft, symbol_drafts
from anam_py.crawler.known import EMPTY, INDEXED, KnownFiles, skipped_row
from anam_py.crawler.paths import SEPARATOR, fits
from anam_py.crawler.reading import Content, Unindexable, read
from anam_py.crawler.report import CHANGED, NEW, UNCHANGED, CrawlReport, Reason, Skip
from anam_py.crawler.selection import Selection
from anam_py.crawler.walk import FoundFile, Walk
from anam_py.embedding import Embedder
from anam_py.exceptions import HTMError
from anam_py.store import File, HTMCore, Ledger, diff_ops

__all__ = ["Crawl", "Request", "Step"]

# What may pass: the file is probably still there, and what is known of it probably still true.
_TRANSIENT = (Reason.UNREADABLE, Reason.CHANGING)
# How many files are found between two chances to stop.
_FOUND_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Request:
    """What a crawl is to do.

    Attributes
    ----------
    root : Path
        An existing folder.
    prefix : str
        What the keys of its files start with.
    selection : Selection
        Which of its files.
    store : bool
        Whether to embed and store them; otherwise they are only read and analysed.
    results : bool
        Whether the caller wants content, metadata and embedding of each file.
    symbols : bool
        Whether symbols become entries of themselves.
    max_file_bytes, max_line_bytes : int
        What is not taken in.
    """

    root: Path
    prefix: str
    selection: Selection
    store: bool
    results: bool
    symbols: bool
    max_file_bytes: int
    max_line_bytes: int


class Step(NamedTuple):
    """A moment at which a crawl may stop.

    Attributes
    ----------
    done, total : int
        Files.
    path : str
        The file that is done; empty for a step that is none.
    results : list of dict
        Files that are committed now.
    """

    done: int
    total: int
    path: str
    results: list[dict[str, Any]]


class Crawl:
    """A crawl in progress.

    Parameters
    ----------
    htm : HTMCore
    embedder : Embedder
    request : Request
    report : CrawlReport
        Filled as the crawl proceeds.
    """

    def __init__(self, htm: HTMCore, embedder: Embedder, request: Request, report: CrawlReport) -> None:
        self._htm = htm
        self._embedder = embedder
        self._request = request
        self._report = report
        self._ledger = Ledger(htm)
        self._known = KnownFiles(self._ledger, request.prefix, symbols=request.symbols)
        self._batch = Batch(self._ledger, embedder)

    def steps(self) -> Generator[Step, None, None]:
        """Do it, file by file; whoever stops taking steps loses no more than the files that are not committed yet."""
        started = time.perf_counter()
        walk = Walk(self._request.root, self._request.prefix, self._request.selection, self._htm.storage_path)
        self._report.skipped, self._report.notes = walk.skipped, walk.notes
        found: list[FoundFile] = []
        for file in walk:
            found.append(file)
            if len(found) % _FOUND_AT_ONCE == 0:
                yield Step(0, 0, "", [])
        found.sort(key=lambda file: file.key.encode("utf-8"))
        passed_over = tuple(walk.skipped)
        for skip in passed_over:
            self._pass_over(skip)
            if self._batch.full:
                yield Step(0, len(found), "", self._commit())
        for done, file in enumerate(found, 1):
            self._take(file)
            yield Step(done, len(found), file.key, self._commit() if self._batch.full else [])
            self._report.seconds = time.perf_counter() - started
        for row in self._missing(found, passed_over):
            self._forget(row)
            if self._batch.full:
                yield Step(len(found), len(found), "", self._commit())
        yield Step(len(found), len(found), "", self._commit())
        self._report.seconds = time.perf_counter() - started
        self._report.complete = True

    # ---- one file ----

    def _take(self, file: FoundFile) -> None:
        row = self._known.get(file.key)
        if row is not None and self._known.is_untouched(row, file.size, file.changed_ns) and self._recall(file, row):
            return
        try:
            content = read(file.path, self._request.max_file_bytes)
            self._report.bytes_read += len(content.data)
            if row is not None and self._known.is_same(row, content_hash(content.data)) and self._recall(file, row, content):
                return
            analysis = analyse(content, file.key, file.key[len(self._request.prefix) :], self._request.max_line_bytes)
        except Unindexable as error:
            skip = Skip(file.key, error.reason, error.detail)
            self._report.skipped.append(skip)
            self._pass_over(skip, file)
        else:
            self._index(row, file.key, content, analysis)

    def _recall(self, file: FoundFile, row: File, content: Content | None = None) -> bool:
        """Take a file as it is remembered; False if that does not give what is wanted."""
        if binary := self._known.binary(row):
            self._report.skipped.append(binary)
            return True
        wanted = self._request.store and row.size <= self._request.max_file_bytes and row.outcome in (INDEXED, EMPTY)
        if not wanted or (row.outcome == EMPTY and self._request.results):
            return False
        result = None
        if self._request.results:
            record, text = self._htm.get_embedding(file.key), self._htm.get_text(file.key)
            if record is None or text is None:
                return False
            result = _result(file.key, text, record["metadata"], UNCHANGED)
            result["embedding"] = record["embedding"]["values"]
        elif row.outcome == INDEXED and file.key not in self._htm:
            return False
        self._report.count(UNCHANGED)
        self._report.empty += row.outcome == EMPTY
        self._batch.add(None if content is None else self._known.refreshed(row, content.status), result)
        return True

    def _index(self, row: File | None, key: str, content: Content, analysis: Analysis) -> None:
        status = self._compared(row, analysis)
        self._report.count(status)
        if analysis.masked:
            self._report.masked[key] = analysis.masked
        own = file_draft(key, analysis, self._embedder.name)
        result = _result(key, analysis.text, own.metadata, status) if self._request.results else None
        if not self._request.store or status == UNCHANGED:
            self._report.empty += self._request.store
            self._batch.add(None, result)
            return
        fresh = self._known.row(key, content.status, analysis.metadata["content_hash"], INDEXED)
        drafts = [own, *(symbol_drafts(key, analysis, self._embedder.name) if self._request.symbols else ())]
        if row is None or row.outcome != INDEXED:
            self._batch.add(fresh, result, drafts=drafts)
        else:
            old_text = self._htm.get_text(key)
            old = self._stored_symbols(key)
            kept = {draft.key for draft in drafts}
            forget = [name for name in old if name not in kept]
            if old_text is not None and holds_secrets(key, old_text):  # from before they were masked
                self._batch.add(fresh, result, drafts=drafts, purge=[key, *old])
            else:
                differences = None if old_text is None else diff_ops(old_text, analysis.text)
                drafts = [own, *(draft for draft in drafts[1:] if not self._is_stored(draft, old))]
                self._batch.add(fresh, result, drafts=drafts, diff_ops=differences, forget=forget)
        self._report.symbols += len(drafts) - 1
        if self._request.symbols and analysis.chunks and not analysis.grammar:
            self._report.windows[analysis.metadata["language"]] += 1

    def _compared(self, row: File | None, analysis: Analysis) -> str:
        if row is None or row.outcome not in (INDEXED, EMPTY):
            return NEW
        same = self._known.digest(row) == analysis.metadata["content_hash"]
        return UNCHANGED if same and (row.outcome == EMPTY or not self._request.store) else CHANGED

    def _pass_over(self, skip: Skip, file: FoundFile | None = None) -> None:
        """Remember why a file is not in the index, and take out what was there of it."""
        if not self._request.store or skip.reason in _TRANSIENT:
            return
        row = self._known.get(skip.path)
        if skip.reason is Reason.VANISHED:
            if row is not None:
                self._forget(row)
            return
        fresh = skipped_row(skip) if file is None else skipped_row(skip, file.size, file.changed_ns)
        if fresh != row:
            keys = self._stored_keys(row)
            is_secret = skip.reason is Reason.SECRET
            self._batch.add(fresh, forget=() if is_secret else keys, purge=keys if is_secret else ())

    # ---- what is stored of a file ----

    def _missing(self, found: list[FoundFile], passed_over: tuple[Skip, ...]) -> Iterator[File]:
        """Give what is remembered of files that are no longer there."""
        if not self._request.store:
            return iter(())
        met = {file.key for file in found} | {skip.path for skip in passed_over}
        out_of_sight = [skip.path for skip in passed_over if skip.reason is Reason.UNREADABLE]
        return self._known.missing(met, out_of_sight, self._request.selection)

    def _forget(self, row: File) -> None:
        self._report.forgotten += row.outcome in (INDEXED, EMPTY)
        self._batch.drop(row.path, self._stored_keys(row))

    def _stored_keys(self, row: File | None) -> list[str]:
        if row is None or row.outcome != INDEXED:
            return []
        return [row.path, *self._symbol_keys(row.path)]

    def _symbol_keys(self, key: str) -> list[str]:
        start = key + SEPARATOR
        return list(self._htm.keys(start)) if fits(start) else []

    def _is_stored(self, draft: Draft, old: dict[str, dict[str, Any]]) -> bool:
        """Tell whether a symbol is stored as it is now; its text may be damaged, or have been lost in a repair."""
        try:
            return old.get(draft.key) == draft.metadata and self._htm.get_text(draft.key) is not None
        except HTMError:
            return False

    def _stored_symbols(self, key: str) -> dict[str, dict[str, Any]]:
        """Return the metadata of what is stored of a file's symbols, by key."""
        keys = self._symbol_keys(key)
        return {name: record["metadata"] for name, record in zip(keys, self._htm.get_embeddings(keys), strict=True) if record}

    def _commit(self) -> list[dict[str, Any]]:
        results, empty = self._batch.commit()
        self._report.empty += empty
        self._batch = Batch(self._ledger, self._embedder)
        return results


def _result(key: str, content: str, metadata: dict[str, Any], status: str) -> dict[str, Any]:
    return {"path": key, "content": content, "metadata": metadata, "embedding": None, "status": status}
