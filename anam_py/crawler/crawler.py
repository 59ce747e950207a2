"""CodeBaseCrawler: the public face of the crawler."""

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from anam_py._executor import async_twin, run
from anam_py._validation import check_count, check_path
from anam_py.crawler.analysis import MAX_FILE_BYTES, MAX_LINE_BYTES, analyse_file
from anam_py.crawler.crawl import Crawl, Request
from anam_py.crawler.freshness import Limits, check
from anam_py.crawler.paths import key_prefix
from anam_py.crawler.ranking import Mode
from anam_py.crawler.reembedding import check_embedder, keep_choice, reembed
from anam_py.crawler.report import CrawlReport
from anam_py.crawler.roots import forget, placed
from anam_py.crawler.scope import Scope, Where
from anam_py.crawler.search import Hit
from anam_py.crawler.search import search as search_store
from anam_py.crawler.selection import Selection
from anam_py.crawler.status import IndexStatus
from anam_py.crawler.stepping import AsyncProgressCallback, ProgressCallback, check_callback, results_async, results_of
from anam_py.embedding import Embedder, EmbedderLike, as_embedder
from anam_py.exceptions import CrawlerError, ValidationError
from anam_py.store import HTMCore, Ledger

__all__ = ["CodeBaseCrawler"]


class CodeBaseCrawler:
    """Takes the files of a code base into a store, and finds them again.

    Which files: those that git does not ignore, nor an ``.anamignore`` file in the same syntax; text, of at most a given size;
    no private keys, ``.env`` files and the like. `last_report` lists what was passed over, with the reason. Values in other
    files that look like secrets are masked before anything is made of them.

    Parameters
    ----------
    htm_core : HTMCore
        The store.
    embedder : Embedder, str, Callable or sentence_transformers.SentenceTransformer, optional
        What makes vectors of texts, as for `anam_py.embedding.as_embedder`: ``"static"``, ``"hash"``,
        ``"sentence-transformers:MODEL"``, a model, a function of a list of texts, or an object; by default
        `anam_py.embedding.default_embedder`. A store takes one embedder's vectors only.
    symbols : bool, default False
        Whether every function, method and class also becomes an entry of itself, under ``path::qualified.name``. So do blocks of
        code outside of them, under ``path::<what they assign or begin with>``, and windows of lines of files in a language
        for which there is no grammar.
    max_file_bytes : int, default 1 MiB
        Larger files are passed over, unread.
    max_line_bytes : int, default 20,000
        Files with a longer line, written by a program for a program, are passed over.

    Raises
    ------
    ValidationError
        If an argument is not of its type or range.

    Examples
    --------
    >>> with HTMCore("./data/htm") as htm:
    ...     crawler = CodeBaseCrawler(htm, symbols=True)
    ...     for file in crawler.iter_crawl("./src", include_patterns=["*.py"]):
    ...         print(file["path"], file["status"], file["metadata"]["line_count"])
    ...     hits = crawler.search("where are the arguments parsed")
    """

    def __init__(
        self,
        htm_core: HTMCore,
        *,
        embedder: EmbedderLike | None = None,
        symbols: bool = False,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_line_bytes: int = MAX_LINE_BYTES,
    ) -> None:
        if not isinstance(htm_core, HTMCore):
            raise ValidationError(f"htm_core must be an HTMCore, got {type(htm_core).__name__}")
        self._htm = htm_core
        self._embedder = as_embedder(embedder)
        self._symbols = bool(symbols)
        self._limits = Limits(
            check_count(max_file_bytes, "max_file_bytes", 1, 2**31), check_count(max_line_bytes, "max_line_bytes", 1, 2**31)
        )
        self._last_report = CrawlReport("")

    @property
    def embedder(self) -> Embedder:
        """What makes vectors of texts."""
        return self._embedder

    @property
    def last_report(self) -> CrawlReport:
        """What the last crawl met and did; of one that is under way or was stopped, what it did so far."""
        return self._last_report

    def crawl_directory(
        self,
        path: str | os.PathLike[str],
        include_patterns: Sequence[str] | None = None,
        exclude_patterns: Sequence[str] | None = None,
        extract_embeddings: bool = True,  # noqa: FBT001, FBT002 - the reference's signature
    ) -> list[dict[str, Any]]:
        """Take the files below a folder into the store; only what has changed is embedded again.

        Parameters
        ----------
        path : str or os.PathLike
            The folder. Keys are this path, normalised, joined with the file's below it.
        include_patterns : sequence of str, optional
            Globs, on the path below the folder or on the name; a file is taken if any matches. All are, by default.
        exclude_patterns : sequence of str, optional
            Globs, likewise; a file is left out if any matches it or a folder that it is in.
        extract_embeddings : bool, default True
            Whether to embed and store what is found; otherwise it is only read and analysed.

        Returns
        -------
        list of dict
            One a file, by path: path, content, metadata, embedding (float32 array; None for a file without a word, or
            if none was wanted) and status ("new", "changed" or "unchanged").

        Raises
        ------
        CrawlerError
            If there is no such folder, or the store was indexed with another embedder.
        ValidationError
            If an argument is not of its type.
        HTMError
            If the store cannot be read or written.
        """
        return list(self.iter_crawl(path, include_patterns, exclude_patterns, extract_embeddings))

    def iter_crawl(
        self,
        path: str | os.PathLike[str],
        include_patterns: Sequence[str] | None = None,
        exclude_patterns: Sequence[str] | None = None,
        extract_embeddings: bool = True,  # noqa: FBT001, FBT002 - as crawl_directory
        *,
        progress_callback: ProgressCallback | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Do what `crawl_directory` does, and give each file once it is stored.

        What was given stays stored when the caller stops; the next crawl carries on from there. Of the contents no more than one
        batch is in memory; of each file below the folder, its path, size and time are.

        Parameters
        ----------
        path, include_patterns, exclude_patterns, extract_embeddings
            As for `crawl_directory`.
        progress_callback : Callable, optional
            Called with the number of files done, the number there are, and the path of the last one. What it raises stops
            the crawl.

        Yields
        ------
        dict
            As `crawl_directory` returns them.

        Raises
        ------
        CrawlerError, ValidationError, HTMError
            As `crawl_directory` does, at the call or as it goes on.
        """
        check_callback(progress_callback)
        crawl = self._start(path, include_patterns, exclude_patterns, store=extract_embeddings, results=True)
        return results_of(crawl.steps(), progress_callback)

    def index(
        self,
        path: str | os.PathLike[str],
        include_patterns: Sequence[str] | None = None,
        exclude_patterns: Sequence[str] | None = None,
        *,
        prune: bool = False,
        progress_callback: ProgressCallback | None = None,
    ) -> CrawlReport:
        """Bring the store up to date with a folder, for those who do not need to see every file.

        Parameters
        ----------
        path, include_patterns, exclude_patterns
            As for `iter_crawl`.
        prune : bool, default False
            Whether to drop what an earlier call took in and this one would not: files that the patterns leave out, and symbols
            if this crawler has none.
        progress_callback : Callable, optional
            As for `iter_crawl`.

        Returns
        -------
        CrawlReport
            What was met and done.

        Raises
        ------
        CrawlerError, ValidationError, HTMError
            As `crawl_directory` does.
        """
        check_callback(progress_callback)
        crawl = self._start(path, include_patterns, exclude_patterns, store=True, results=False, prune=bool(prune))
        for _ in results_of(crawl.steps(), progress_callback):
            pass
        return self._last_report

    async def crawl_directory_async(
        self,
        path: str | os.PathLike[str],
        include_patterns: Sequence[str] | None = None,
        exclude_patterns: Sequence[str] | None = None,
        extract_embeddings: bool = True,  # noqa: FBT001, FBT002 - the reference's signature
        progress_callback: AsyncProgressCallback | None = None,
    ) -> list[dict[str, Any]]:
        """Do what `crawl_directory` does, in the thread pool, file by file.

        Cancelling it stops it within one file; what is stored by then stays, and the next crawl carries on from there.

        Parameters
        ----------
        path, include_patterns, exclude_patterns, extract_embeddings
            As for `crawl_directory`.
        progress_callback : Callable, optional
            Called in the event loop with the number of files done, the number there are, and the path of the last one; if
            it returns an awaitable, that is awaited. What it raises stops the crawl.

        Returns
        -------
        list of dict
            As `crawl_directory` returns it.

        Raises
        ------
        CrawlerError, ValidationError, HTMError
            As `crawl_directory` does.
        """
        check_callback(progress_callback)
        crawl = await run(self._start, path, include_patterns, exclude_patterns, store=extract_embeddings, results=True)
        return await results_async(crawl.steps(), progress_callback)

    def analyze_file(self, file_path: str | os.PathLike[str]) -> dict[str, Any]:
        """Find out what there is to know of one file; nothing is stored.

        Parameters
        ----------
        file_path : str or os.PathLike
            The file.

        Returns
        -------
        dict
            path, content and metadata; what is in metadata also stands beside it.

        Raises
        ------
        CrawlerError
            If it is no file, or not one that a crawl would take in.
        ValidationError
            If the path is none.
        """
        key, analysis = analyse_file(check_path(file_path, "file_path"), self._limits.file_bytes, self._limits.line_bytes)
        return {**analysis.metadata, "path": key, "content": analysis.text, "metadata": analysis.metadata}

    def search(
        self,
        text: str,
        limit: int = 10,
        mode: Mode = "hybrid",
        where: Where | None = None,
        *,
        languages: Sequence[str] | None = None,
        kinds: Sequence[str] | None = None,
        paths: Sequence[str] | None = None,
        exclude_paths: Sequence[str] | None = None,
        changed_since: dt.datetime | float | None = None,
        duplicates: bool = False,
    ) -> list[Hit]:
        """Find the places in the code that words describe best.

        Parameters
        ----------
        text : str
            Words, as one would say it or as it is called in the code.
        limit : int, default 10
            How many hits to return at most.
        mode : {"hybrid", "lexical", "semantic"}, default "hybrid"
            Whether the words, the vectors or both decide; names, paths and documentation count in each.
        where : dict, optional
            What the metadata of a hit must be, as for `HTMCore.search_text`: ``{"complexity": {"$gt": 10}}``.
        languages : sequence of str, optional
            In which languages, such as ``["c", "cpp"]``.
        kinds : sequence of str, optional
            Hits of which kinds: "file", "function", "method", "class", "interface", "enum", "type", "module", "block", "window".
        paths : sequence of str, optional
            Globs, on the key of a hit's file or on its name, as `crawl_directory` takes them: of files that one matches.
        exclude_paths : sequence of str, optional
            Globs, likewise; a file is left out if any matches it or a folder that it is in.
        changed_since : datetime or float, optional
            Only in files that were written then or later, by their times on the disk; a number is one of seconds since 1970.
        duplicates : bool, default False
            Whether those with the same text are hits of themselves; otherwise the best is, and names the others.

        Returns
        -------
        list of Hit
            Best first; none if no entry shares a word with the text or is near it by its vector. In the semantic mode the
            nearest entries with a cosine above 0 are hits. Of one file a couple of hits at most come before those of other
            files; tests and generated files come later than what they test or are made from, unless the words ask for tests.

        Raises
        ------
        ValidationError
            If an argument is not of its type or range; if a language or kind is not known, or the store has none of those.
        CrawlerError
            If the store was indexed with another embedder, unless only words are to decide.
        HTMError
            If the store cannot be read.
        """
        scope = Scope(self._htm, languages, kinds, paths, exclude_paths, changed_since)
        same = bool(duplicates)
        return search_store(self._htm, self._embedder, text, limit, mode, where, scope, self._limits, duplicates=same)

    search_async = async_twin(search)

    def status(self, *, thorough: bool = True) -> IndexStatus:
        """Tell what the store has indexed, whether that is complete, and how the disk differs from it now.

        Parameters
        ----------
        thorough : bool, default True
            Whether to look for new files in every folder, and to read the files that may have changed. Otherwise no file is read,
            and new ones are looked for only if a folder that holds known ones is newer than the index.

        Returns
        -------
        IndexStatus

        Raises
        ------
        HTMError
            If the store cannot be read.
        """
        return check(self._htm, self._limits, thorough=bool(thorough))

    status_async = async_twin(status)

    def refresh(self, *, progress_callback: ProgressCallback | None = None) -> list[CrawlReport]:
        """Bring every folder in the index up to date, with the patterns and symbols that its last crawl had.

        Of a folder that is no longer there, what was indexed stays.

        Parameters
        ----------
        progress_callback : Callable, optional
            As for `iter_crawl`.

        Returns
        -------
        list of CrawlReport
            What was met and done in each.

        Raises
        ------
        CrawlerError, ValidationError, HTMError
            As `crawl_directory` does.
        """
        check_callback(progress_callback)
        reports = []
        for prefix, root in placed(Ledger(self._htm).roots(), self._htm.storage_path).items():
            folder, selection = Path(root.path), Selection(root.include, root.exclude)
            if folder.is_dir():
                crawl = self._crawl(folder, prefix, selection, store=True, results=False, symbols=root.symbols)
                for _ in results_of(crawl.steps(), progress_callback):
                    pass
                reports.append(self._last_report)
        return reports

    refresh_async = async_twin(refresh)

    def forget(self, path: str | os.PathLike[str]) -> int:
        """Drop what was indexed of a folder, as when it is no longer there.

        Parameters
        ----------
        path : str or os.PathLike
            The folder, given as it was when it was crawled.

        Returns
        -------
        int
            How many files were dropped from the index.

        Raises
        ------
        CrawlerError
            If it was not crawled into the store under that path.
        ValidationError
            If the path is none.
        HTMError
            If the store cannot be written.
        """
        return forget(self._htm, check_path(path))

    def reembed(self, *, progress_callback: ProgressCallback | None = None) -> int:
        """Embed anew what the store holds with another embedder's vectors, from the texts in the store.

        Vectors that users stored themselves are left alone. A call that was interrupted is carried on by the next.

        Parameters
        ----------
        progress_callback : Callable, optional
            Called with the number of entries done, the number there are, and the key of the last one.

        Returns
        -------
        int
            How many entries were embedded; 0 if they have this crawler's embedder already.

        Raises
        ------
        ValidationError
            If `progress_callback` cannot be called.
        CrawlerError
            If the store holds vectors of another length, or the embedder's are not what it promises.
        HTMError
            If the store cannot be read or written.
        """
        check_callback(progress_callback)
        return reembed(self._htm, self._embedder, progress_callback)

    reembed_async = async_twin(reembed)

    def _start(
        self,
        path: str | os.PathLike[str],
        include_patterns: Sequence[str] | None,
        exclude_patterns: Sequence[str] | None,
        *,
        store: bool,
        results: bool,
        prune: bool = False,
    ) -> Crawl:
        """Check what was asked for, and return the crawl that does it."""
        root = check_path(path)
        selection = Selection(include_patterns, exclude_patterns)
        _check_root(root)
        return self._crawl(
            root, key_prefix(root), selection, store=bool(store), results=results, symbols=self._symbols, prune=prune
        )

    def _crawl(
        self,
        root: Path,
        prefix: str,
        selection: Selection,
        *,
        store: bool,
        results: bool,
        symbols: bool,
        prune: bool = False,
    ) -> Crawl:
        """Return a crawl of a folder that is there."""
        if store:
            check_embedder(self._htm, self._embedder)
            keep_choice(self._htm, self._embedder)
        request = Request(
            root=root,
            prefix=prefix,
            selection=selection,
            store=store,
            results=results,
            symbols=symbols,
            prune=prune,
            max_file_bytes=self._limits.file_bytes,
            max_line_bytes=self._limits.line_bytes,
        )
        report = CrawlReport(str(root))
        crawl = Crawl(self._htm, self._embedder, request, report)
        self._last_report = report
        return crawl


def _check_root(root: Path) -> None:
    try:
        with os.scandir(root):
            return
    except FileNotFoundError:
        problem = f"there is no directory {str(root)!r}"
    except NotADirectoryError:
        problem = f"{str(root)!r} is not a directory: call analyze_file() for a single file"
    except OSError as error:
        problem = f"the directory {str(root)!r} cannot be read: {error.strerror}"
    raise CrawlerError(problem)
