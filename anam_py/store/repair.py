"""Repairing a store: what is sound is kept, what is not is set aside, and nothing is deleted.

A new catalog is built beside the old one, whatever is wrong with that. Until it takes the old one's
place everything is as it was; from then on a store says that it has to be repaired until that is done.
"""

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from anam_py.exceptions import HTMError
from anam_py.store import chain, derivations, evidence, files, identity, maintenance, recovery
from anam_py.store.catalog import Catalog
from anam_py.store.engine import ReadingEngine
from anam_py.store.fragments import copy_readable
from anam_py.store.lock import StoreLock
from anam_py.store.rebuild import Rebuild, Rebuilt
from anam_py.store.recorder import Journal
from anam_py.store.recovery import Marker
from anam_py.store.reports import Repair
from anam_py.store.salvage import SalvagedCatalog, salvaged
from anam_py.store.tables import Writer


def repair(folder: Path) -> Repair:
    """Repair a store that nobody has open for writing.

    Parameters
    ----------
    folder : pathlib.Path
        The store's, resolved.

    Returns
    -------
    Repair
        What was found and done.

    Raises
    ------
    HTMError
        If there is no store, another process writes it, it needs a newer anam_py, or something is left that could not be
        repaired.
    """
    try:
        _require_store(folder)
        lock = StoreLock(folder)
        try:
            return _Repairing(folder).run()
        finally:
            lock.release()
    except OSError as error:
        raise files.translated(Path(error.filename or folder), "repair", error) from error


class _Repairing:
    """One repair of a store whose lock is held."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._actions: list[str] = []
        self._place: Path | None = None
        self._segments: list[evidence.SegmentFile] = []

    def run(self) -> Repair:
        if (self._folder / recovery.REPAIRED).exists():
            self._swap()
            self._actions.append("finished the repair that was interrupted")
        log_is_empty = recovery.log_is_empty(self._folder)
        found = maintenance.verify_folder(self._folder, resting=True)
        others = [problem for problem in found if not maintenance.is_of_codes(problem.where) and problem.where != chain.FILE]
        if any(problem.severity == "error" for problem in others):
            rebuilt = self._rebuild(log_is_empty=log_is_empty)
        else:  # what a crash has left at most
            rebuilt = Rebuilt(Path(), 0, 0, [self._folder / problem.where for problem in others], [])
            if any(maintenance.is_of_codes(problem.where) for problem in found):
                self._forget_codes()
        set_aside = [self._set_aside(path) for path in rebuilt.set_aside]
        self._remove_codes()
        self._mend_audit_log()
        if left := maintenance.verify_folder(self._folder, resting=True):
            problems = "; ".join(f"{where}: {what}" for _, where, what in left[:10])
            raise HTMError(f"{str(self._folder)!r} could not be repaired, {len(left)} problems are left: {problems}")
        kept, texts = _counts(self._folder)
        return Repair(
            found=found,
            actions=[*self._actions, *rebuilt.actions, *(f"set aside {name}" for name in set_aside)],
            kept=kept,
            lost=rebuilt.lost,
            may_reappear=rebuilt.may_reappear,
            without_text=kept - texts,
            set_aside=set_aside,
            folder=self._place,
        )

    # ---- codes ----

    def _forget_codes(self) -> None:
        """Have the catalog list none, nor by which plan to make them."""
        with self._writing() as writer, writer.transaction():
            derivations.clear(writer)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[Writer]:
        """Give a connection that writes the catalog."""
        catalog = Catalog(self._folder / recovery.CATALOG)
        try:
            with catalog.translating():
                yield catalog.open_writer("full")
        finally:
            catalog.close()

    def _remove_codes(self) -> None:
        """Remove the files of codes that the catalog does not list: they are made anew."""
        with contextlib.closing(ReadingEngine(self._folder)) as engine, engine.catalog.reading() as reader:
            unlisted = [path for path in recovery.orphans(self._folder, reader) if maintenance.is_of_codes(path)]
        for path in unlisted:
            files.remove(self._folder / path)
        if unlisted:
            self._actions.append(f"removed {len(unlisted)} files of codes, which are made anew")

    # ---- the audit log ----

    def _mend_audit_log(self) -> None:
        with contextlib.closing(ReadingEngine(self._folder)) as engine:
            has_problems = any(maintenance.audit_problems(engine))
        if has_problems:
            with self._writing() as writer:
                self._actions.append(Journal(self._folder, writer).mend())

    # ---- a new catalog ----

    def _rebuild(self, *, log_is_empty: bool) -> Rebuilt:
        place = self._quarantine()
        rebuild: Rebuild | None = None
        try:
            for name in (recovery.MARKER, recovery.CATALOG, f"{recovery.CATALOG}-wal"):
                if (self._folder / name).is_file():
                    copy_readable(self._folder / name, place / name)
            with self._old_catalog(place) as old:
                written = _written(self._folder)
                recorded = None if old is None else _recorded(old)
                marker = self._identity(written, recorded, old)
                usable = old if recorded is None or recorded.uuid == marker.uuid else None
                rebuild = Rebuild(self._folder, place, marker, usable, self._segments, log_is_empty=log_is_empty)
                rebuilt = rebuild.run()
            rebuilt.catalog.replace(self._folder / recovery.REPAIRED)
        except BaseException:
            # All that was changed so far is new.
            for path in rebuild.written if rebuild is not None else []:
                files.remove(path)
            shutil.rmtree(place, ignore_errors=True)
            raise
        files.sync_folder(self._folder)
        if marker != written:  # before the swap, which a repair after a crash finishes: it need not look for the identity again
            path = self._folder / recovery.MARKER
            if path.exists() and not path.is_file():
                path.replace(place / path.name)
            marker.write(self._folder)
            self._actions.append(f"wrote {recovery.MARKER} anew: {marker.shards} shards of {marker.dimension} dimensions")
        self._swap()
        return rebuilt

    @contextlib.contextmanager
    def _old_catalog(self, place: Path) -> Iterator[SalvagedCatalog | None]:
        """Give what can be read of the copy of the catalog and its log; None if there is none."""
        path, log = place / recovery.CATALOG, place / f"{recovery.CATALOG}-wal"
        if not path.exists() and not log.exists():
            yield None
            return
        with salvaged(path, log) as old:
            yield old

    def _identity(self, written: Marker | None, recorded: Marker | None, old: SalvagedCatalog | None) -> Marker:
        if written is not None and written == recorded:
            return written
        self._segments = evidence.survey(self._folder, ask_all=True)
        return identity.decide(written, recorded, self._segments, old)

    def _swap(self) -> None:
        """Put the new catalog into the place of the old one, of which nothing may be left there: a log would be taken for its."""
        place = self._quarantine()
        for suffix in ("", "-wal", "-shm", "-journal"):
            path = self._folder / f"{recovery.CATALOG}{suffix}"
            if os.path.lexists(path):
                path.replace(place / path.name)
        files.sync_folder(place)
        files.sync_folder(self._folder)
        (self._folder / recovery.REPAIRED).replace(self._folder / recovery.CATALOG)
        files.sync_folder(self._folder)

    # ---- the quarantine ----

    def _quarantine(self) -> Path:
        """Return this repair's folder, which is made when it is first needed."""
        if self._place is None:
            quarantine = self._folder / recovery.QUARANTINE
            if quarantine.is_symlink():
                raise HTMError(f"{str(quarantine)!r} is a link; put a folder there, what is damaged is set aside in it")
            name = time.strftime("repair-%Y%m%dT%H%M%S", time.gmtime())
            taken = {path.name for path in quarantine.iterdir()} if quarantine.is_dir() else set()
            names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
            self._place = quarantine / next(name for name in names if name not in taken)
            files.make_folder(self._place)
        return self._place

    def _set_aside(self, path: Path) -> str:
        place = self._quarantine()
        target = place / f"{path.parent.name}-{path.name}"
        path.replace(target)
        files.sync_folder(place)
        files.sync_folder(path.parent)
        return target.name


def _require_store(folder: Path) -> None:
    """Raise HTMError unless there is, or was, a store of ours."""
    recovery.refuse_network(folder)
    catalog = folder / recovery.CATALOG
    if folder.is_dir():
        if (folder / recovery.MARKER).exists() or (folder / recovery.REPAIRED).exists() or recovery.segment_files(folder):
            return
        if catalog.is_file() and catalog.stat().st_size:
            with SalvagedCatalog(catalog) as found:
                if found.is_ours():
                    return
    raise HTMError(f"there is no store at {str(folder)!r} to repair; give the path of one")


def _written(folder: Path) -> Marker | None:
    try:
        return identity.plausible(Marker.read(folder))
    except recovery.NewerFormatError:
        raise
    except HTMError:
        return None


def _recorded(old: SalvagedCatalog) -> Marker | None:
    try:
        return identity.plausible(Marker.recorded(old.meta))
    except HTMError:
        return None


def _counts(folder: Path) -> tuple[int, int]:
    """Return how many entries a store has, and how many of them have a text."""
    with contextlib.closing(ReadingEngine(folder)) as engine, engine.catalog.reading() as reader:
        counts = reader.table_counts()
        return counts["entries"], counts["texts"]
