"""One crawl: walk, recognise what has not changed, analyse what has, commit in batches, forget what is gone."""

import contextlib
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from anam_py.crawler.analysis import holds_secrets
from anam_py.crawler.batch import Batch
from anam_py.crawler.chunks import WINDOW
from anam_py.crawler.drafts import Draft
from anam_py.crawler.known import EMPTY, INDEXED, KnownFiles, digest_of, skipped_row
from anam_py.crawler.languages import WITH_GRAMMAR
from anam_py.crawler.lookahead import Look, Lookahead
from anam_py.crawler.paths import SEPARATOR, fits
from anam_py.crawler.reading import Content, Unindexable
from anam_py.crawler.renames import Renames
from anam_py.crawler.report import CHANGED, NEW, UNCHANGED, CrawlReport, Reason, Skip
from anam_py.crawler.roots import Visit
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
    prune : bool
        Whether to drop what is in the index but not looked for.
    max_file_bytes, max_line_bytes : int
        What is not taken in.
    """

    root: Path
    prefix: str
    selection: Selection
    store: bool
    results: bool
    symbols: bool
    prune: bool
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
        self._known = KnownFiles(self._ledger, request.prefix, symbols=request.symbols, exactly=request.prune)
        selection, symbols = request.selection, request.symbols
        self._visit = Visit(self._ledger, htm.storage_path, request.root, request.prefix, selection, symbols=symbols)
        self._renames = Renames()
        self._lookahead = Lookahead(
            self._known,
            request.prefix,
            embedder.name,
            symbols=request.symbols,
            max_file_bytes=request.max_file_bytes,
            max_line_bytes=request.max_line_bytes,
        )
        self._batch = Batch(self._ledger, embedder)

    def steps(self) -> Generator[Step, None, None]:
        """Do it, file by file; whoever stops taking steps loses no more than the files that are not committed yet."""
        with self._ledger.storing_much() if self._request.store else contextlib.nullcontext():
            yield from self._steps()

    def _steps(self) -> Generator[Step, None, None]:
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
        gone = self._missing(found, passed_over)
        for skip in passed_over:
            self._pass_over(skip)
            if self._batch.full:
                yield Step(0, len(found), "", self._commit())
        with contextlib.closing(self._lookahead.over(found)) as looks:
            for done, look in enumerate(looks, 1):
                self._take(look)
                yield Step(done, len(found), look.file.key, self._commit() if self._batch.full else [])
                self._report.seconds = time.perf_counter() - started
        for row in gone:
            self._forget(row)
            if self._batch.full:
                yield Step(len(found), len(found), "", self._commit())
        yield Step(len(found), len(found), "", self._commit(is_last=True))
        self._report.seconds = time.perf_counter() - started
        self._report.complete = True

    # ---- one file ----

    def _take(self, look: Look) -> None:
        file, row = look.file, look.row
        self._report.bytes_read += len(look.content.data) if look.content else 0
        if look.is_known and row is not None:
            if self._recall(file, row, look.content):
                return
            look = self._lookahead.anew(file)
        if isinstance(look.outcome, Unindexable):
            skip = Skip(file.key, look.outcome.reason, look.outcome.detail)
            self._report.skipped.append(skip)
            self._pass_over(skip, file)
        elif look.content is not None and look.outcome is not None:
            self._index(row, look.content, look.outcome)

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
        self._batch.add(None if content is None else self._known.refreshed(row, content), result)
        return True

    def _index(self, row: File | None, content: Content, drafts: list[Draft]) -> None:
        own = drafts[0]
        status = self._compared(row, own)
        self._report.count(status)
        if masked := own.metadata["masked_values"]:
            self._report.masked[own.key] = masked
        if status == NEW and (former := self._renames.former_name(own.key, own.metadata["content_hash"])):
            own.metadata["renamed_from"] = self._report.renamed[own.key] = former
        result = _result(own.key, own.text, own.metadata, status) if self._request.results else None
        if not self._request.store or status == UNCHANGED:
            self._report.empty += self._request.store
            self._batch.add(None, result)
            return
        language = own.metadata["language"]
        if language not in WITH_GRAMMAR and any(draft.metadata["kind"] == WINDOW for draft in drafts):
            self._report.windows[language] += 1
        fresh = self._known.row(own.key, content, own.metadata["content_hash"], INDEXED)
        if row is None or row.outcome != INDEXED:
            self._batch.add(fresh, result, drafts=drafts)
        else:
            old_text = self._htm.get_text(own.key)
            old = self._stored_symbols(own.key)
            kept = {draft.key for draft in drafts}
            forget = [name for name in old if name not in kept]
            if old_text is not None and holds_secrets(own.key, old_text):  # from before they were masked
                self._batch.add(fresh, result, drafts=drafts, purge=[own.key, *old])
            else:
                differences = None if old_text is None else diff_ops(old_text, own.text)
                drafts = [own, *(draft for draft in drafts[1:] if not self._is_stored(draft, old))]
                self._batch.add(fresh, result, drafts=drafts, diff_ops=differences, forget=forget)
        self._report.symbols += len(drafts) - 1

    def _compared(self, row: File | None, own: Draft) -> str:
        if row is None or row.outcome not in (INDEXED, EMPTY):
            return NEW
        same = digest_of(row) == own.metadata["content_hash"]
        return UNCHANGED if same and (row.outcome == EMPTY or not self._request.store) else CHANGED

    def _pass_over(self, skip: Skip, file: FoundFile | None = None) -> None:
        """Remember why a file is not in the index, and take out what was there of it."""
        row = self._known.get(skip.path)
        if not self._request.store or (skip.reason in _TRANSIENT and row is not None):
            return
        if skip.reason is Reason.VANISHED:
            if row is not None:
                self._forget(row)
            return
        fresh = skipped_row(skip) if file is None or skip.reason in _TRANSIENT else skipped_row(skip, file.size, file.changed_ns)
        if fresh != row:
            keys = self._stored_keys(row)
            is_secret = skip.reason is Reason.SECRET
            self._batch.add(fresh, forget=() if is_secret else keys, purge=keys if is_secret else ())

    # ---- what is stored of a file ----

    def _missing(self, found: list[FoundFile], passed_over: tuple[Skip, ...]) -> list[File]:
        """Return what is remembered of files that are no longer to be in the index."""
        if not self._request.store:
            return []
        met = {file.key for file in found} | {skip.path for skip in passed_over}
        out_of_sight = [skip.path for skip in passed_over if skip.reason is Reason.UNREADABLE]
        gone, left_out = self._known.absent(met, out_of_sight, self._request.selection)
        self._renames = Renames(gone)
        if self._request.prune:
            return gone + left_out
        self._report.notes += self._visit.leave(left_out, symbols=self._known.have_unwanted_symbols())
        return gone

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

    def _commit(self, *, is_last: bool = False) -> list[dict[str, Any]]:
        roots = self._visit.record(notes=self._report.notes, is_over=is_last) if self._request.store else {}
        results, empty = self._batch.commit(roots, is_last=is_last)
        self._report.empty += empty
        self._batch = Batch(self._ledger, self._embedder)
        return results


def _result(key: str, content: str, metadata: dict[str, Any], status: str) -> dict[str, Any]:
    return {"path": key, "content": content, "metadata": metadata, "embedding": None, "status": status}
