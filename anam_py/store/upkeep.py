"""The store as a whole: moving, merging, checking and measuring what it holds."""

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from anam_py import _validation
from anam_py._executor import async_twin, run
from anam_py._profiling import profiled
from anam_py.store import figures, files, filters, lock, registry
from anam_py.store.entries import Entries
from anam_py.store.handle import resolved
from anam_py.store.reports import Problem, Repair
from anam_py.store.writer import WritingEngine

_MOST_VERSIONS = 2**62


class Upkeep(Entries):
    """What can be done to a store as a whole; see `HTMCore`."""

    @profiled
    def flush(self) -> None:
        """Move what waits in the catalog to segments. What was stored is durable before that, too."""
        self._writing().flush()

    @profiled
    def compact(self) -> None:
        """Merge segments to as few as their size allows, and give the space of dead rows back.

        Returns once segments have their codes, too, by which a search reads fewer bytes.
        """
        self._writing().compact()

    @profiled
    def make_codes(self) -> None:
        """Give segments the codes by which a search reads fewer bytes, now instead of in the background.

        For a program that stores much and ends: codes that are not made when it closes the store are made when a store is next
        opened for writing, and a process that only reads searches without them until then, as exactly and more slowly.

        Raises
        ------
        HTMError
            If the store is read-only or closed.
        """
        self._writing().make_codes()

    @profiled
    def prune_history(self, keep: int, key: str | None = None) -> int:
        """Shorten histories.

        Parameters
        ----------
        keep : int
            How many versions of a key to keep, the newest, the current one among them; at least 1.
        key : str, optional
            Whose history; every key's by default.

        Returns
        -------
        int
            How many versions were dropped.

        Raises
        ------
        ValidationError
            If an argument is not of its type or range.
        HTMError
            If it could not be written; nothing was dropped.
        """
        count = _validation.check_count(keep, "keep", 1, _MOST_VERSIONS)
        return self._writing().prune_history(count, None if key is None else _validation.check_key(key))

    @profiled
    def create_index(self, path: str) -> None:
        """Declare a metadata path that is filtered often: filters on it then look at the entries that fit, not at all.

        Answers stay the same. Each put takes some time and space more. A second call does nothing.

        Parameters
        ----------
        path : str
            Dotted path into the metadata, as filters name it.

        Raises
        ------
        ValidationError
            If it is not such a path.
        HTMError
            If it could not be written.
        """
        self._writing().create_index(filters.check_path(path, "path"))

    @profiled
    def garbage_collect(self, aggressive: bool = False) -> None:
        """Flush and drop caches. Nothing stored is lost.

        Parameters
        ----------
        aggressive : bool
            Also compact the store, and return memory to the operating system.
        """
        engine = self._reading()
        if isinstance(engine, WritingEngine) and not self._read_only:
            engine.flush()
            if aggressive:
                engine.compact()
        engine.drop_caches()
        if aggressive:
            _trim_heap()

    def stats(self) -> dict[str, Any]:
        """Return figures of the store.

        Returns
        -------
        dict
            What JSON can hold: path, uuid, dimension, shards, durability, embedder; rows (alive), dead_rows, pending_rows (in
            no segment yet), segments, missing_segments (names); segment_bytes, coded_rows (which a search finds by fewer
            bytes), codes_bytes, codes (what they are, in words, or None), catalog_bytes (with its log), pending_bytes (in
            memory), reclaimable_bytes (of dead rows and free pages), fragmentation (their share of all, 0 to 1); texts,
            superseded_versions, crawled_files, indexes (declared paths), quarantined (names), background_error (why the
            last flush, merge or coding failed, or None).
        """
        return figures.stats(self._reading())

    def verify(self: "Upkeep | str | os.PathLike[str]", *, deep: bool = True) -> list[Problem]:
        """Compare the store's catalog and files both ways; writes nothing.

        ``HTMCore.verify(path)`` does so for a store that nobody needs to open, and that may not open at all: then it says
        why, and what can be seen all the same.

        Parameters
        ----------
        deep : bool, default True
            Also read every row and compare its checksums.

        Returns
        -------
        list of Problem
            (severity, where, what) of each problem; empty for a healthy store.
        """
        if isinstance(self, Upkeep):
            return self._verify(deep=deep)
        from anam_py.store import maintenance

        folder = resolved(_validation.check_path(self))
        try:
            return maintenance.verify_folder(folder, deep=deep, resting=not lock.is_held(folder))
        except OSError as error:  # too long a name, say
            raise files.translated(folder, "read", error) from error

    def repair(self: "Upkeep | str | os.PathLike[str]") -> Repair:
        """Make a damaged store whole again, with all that is sound in it; a healthy one is left as it is.

        ``HTMCore.repair(path)`` does so for a store that does not open. Nothing is deleted: what is damaged is set aside in
        the store's ``quarantine`` folder, where ``lost.jsonl`` says what is known of each entry that is lost. While it works,
        nobody else may have the store open for writing, here or elsewhere; who reads it in another process has to open it anew.

        Returns
        -------
        Repair
            What was found and done: problems, actions, how many entries are kept, lost, or may reappear, and where things
            were set aside.

        Raises
        ------
        HTMError
            If somebody else has the store open, if it cannot be written, if it was made by a newer anam_py, or if something
            is left that could not be repaired.
        """
        if isinstance(self, Upkeep):
            return self._repair()
        from anam_py.store import repair

        folder = resolved(_validation.check_path(self))
        return registry.alone(folder, lambda: repair.repair(folder))

    @profiled
    def backup(
        self,
        path: str | os.PathLike[str],
        *,
        link: bool = False,
        progress_callback: Callable[[int, int, str], object] | None = None,
    ) -> Path:
        """Copy one committed moment of the store to a new folder, while others go on reading and writing.

        The backup is a store: verified, opened by its path, and restored by copying the folder
        back. It holds neither what is in quarantine nor what can be made anew. It appears wholly or
        not at all; only a process that is killed leaves a folder ``<path>.partial-...`` behind, which
        may be deleted.

        Parameters
        ----------
        path : str or os.PathLike
            A folder that is not there yet, or is empty, in one that is there; not in the store.
        link : bool, default False
            Link the segment files instead of copying them, where the file system can: at once and
            for next to no space. Segments never change, so both stores may go on being used; but they
            share the bytes, so damage to a file hits both.
        progress_callback : callable, optional
            Takes bytes done, bytes in all, and what is being worked on. What it raises ends the
            backup.

        Returns
        -------
        pathlib.Path
            The backup's folder, absolute.

        Raises
        ------
        ValidationError
            If the path is none.
        HTMError
            If no backup can be made there, or the store is damaged; nothing is left behind.
        """
        from anam_py.store import backup

        engine = self._reading()
        target = _validation.check_path(path)
        return backup.backup(engine, target, link=bool(link), progress=progress_callback)

    @profiled
    def export(
        self,
        path: str | os.PathLike[str],
        *,
        where: dict[str, Any] | None = None,
        overwrite: bool = False,
        progress_callback: Callable[[int, int, str], object] | None = None,
    ) -> int:
        """Write what the store holds at one moment to a Parquet file, for other tools or another store.

        The columns are key, vector, metadata and diff_ops (as JSON), text, version, timestamp and crc
        (of the vector); older versions are not in it.

        Parameters
        ----------
        path : str or os.PathLike
            The file; it appears complete, or not at all.
        where : dict, optional
            Which entries to write, as for `HTMCore.search_similar`.
        overwrite : bool, default False
            Whether to replace a file that is there.
        progress_callback : callable, optional
            Takes rows done, rows in all, and what is being done. What it raises ends the export.

        Returns
        -------
        int
            The number of rows.

        Raises
        ------
        ImportError
            If pyarrow is not there; says how to install it.
        ValidationError
            If the filter is malformed.
        HTMError
            If the file is there already or cannot be written, or the store is damaged.
        """
        from anam_py.store import exchange

        engine = self._reading()
        target, chosen = _validation.check_path(path), filters.condition(where)
        return exchange.export(engine, target, chosen, overwrite=bool(overwrite), progress=progress_callback)

    @profiled
    def import_(
        self,
        path: str | os.PathLike[str],
        *,
        progress_callback: Callable[[int, int, str], object] | None = None,
    ) -> int:
        """Store the rows of a Parquet file, in place of what is there under the same keys.

        All of the file is checked before anything is stored: one of `export` against the checksum that
        it carries, and every row as in `store_embedding`. Then the rows are stored in batches, each
        wholly or not at all. Those of `export` keep their timestamps, and their versions unless the key
        has had as many here.

        Parameters
        ----------
        path : str or os.PathLike
            A file that `export` has written, or one of another tool, with a column "key" of strings and a
            column "vector" of lists of numbers. It may have columns "metadata" (JSON, or structs), "text"
            and "diff_ops" (JSON); others are left out.
        progress_callback : callable, optional
            Takes rows done, rows in all, and what is being done. What it raises ends the import.

        Returns
        -------
        int
            The number of rows.

        Raises
        ------
        ImportError
            If pyarrow is not there; says how to install it.
        ValidationError
            If the file is damaged, or a row cannot be stored, which it names; nothing was stored.
        HTMError
            If the file cannot be read, or the store not be written; batches before that were stored.
        """
        from anam_py.store import exchange

        engine = self._writing()
        return exchange.import_(engine, _validation.check_path(path), progress=progress_callback)

    prune_history_async = async_twin(prune_history)
    create_index_async = async_twin(create_index)
    flush_async = async_twin(flush)
    compact_async = async_twin(compact)
    make_codes_async = async_twin(make_codes)
    garbage_collect_async = async_twin(garbage_collect)
    stats_async = async_twin(stats)
    backup_async = async_twin(backup)
    export_async = async_twin(export)
    import_async = async_twin(import_)

    async def verify_async(self: "Upkeep | str | os.PathLike[str]", *, deep: bool = True) -> list[Problem]:
        """Do what :meth:`verify` does, in the thread pool.

        Parameters
        ----------
        deep : bool, default True
            As in `verify`.

        Returns
        -------
        list of Problem
            As from `verify`.
        """
        return await run(Upkeep.verify, self, deep=deep)

    async def repair_async(self: "Upkeep | str | os.PathLike[str]") -> Repair:
        """Do what :meth:`repair` does, in the thread pool.

        Returns
        -------
        Repair
            As from `repair`.
        """
        return await run(Upkeep.repair, self)

    @profiled
    def _verify(self, *, deep: bool) -> list[Problem]:
        from anam_py.store import maintenance

        return maintenance.verify(self._reading(), deep=deep)

    @profiled
    def _repair(self) -> Repair:
        from anam_py.store import maintenance, repair

        engine = self._writing()
        if not maintenance.verify(engine):
            return Repair(kept=len(self))
        return self._while_closed(lambda: repair.repair(engine.folder))


def _trim_heap() -> None:
    """Give the C library's free memory back to the operating system, where it knows how to."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)
