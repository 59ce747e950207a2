"""What opening a store checks, creates and tidies, before anything else may touch it."""

import json
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self

from anam_py.exceptions import HTMError
from anam_py.store import chain, derivations, files, text
from anam_py.store.advice import REPAIR
from anam_py.store.catalog import Catalog
from anam_py.store.rows import CODES_NAME, SEGMENT_NAME, Segment
from anam_py.store.segment import shard_folder
from anam_py.store.sqlite import roll_back
from anam_py.store.tables import Reader, Writer

MARKER = "anam.json"
CATALOG = "catalog.sqlite"
# What a repair has built, until it takes the catalog's place.
REPAIRED = "catalog.sqlite.repaired"
QUARANTINE = "quarantine"
BENCHMARK = f"benchmark{files.TEMPORARY}"
_MAGIC = "anam-htm"
_MARKER_FORMAT = 1
_WAL_HEADER_BYTES = 32

_SHARD = re.compile(r"shard-\d{4}")

# Neither SQLite's WAL nor flock can be relied on there.
_NETWORK = {"nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "ceph", "lustre"}
_NETWORK |= {"glusterfs", "beegfs", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs"}


class NewerFormatError(HTMError):
    """A store was made by a later version of this package."""


class Marker(NamedTuple):
    """What a store is, as ``anam.json`` says for ever."""

    uuid: str
    shards: int
    dimension: int

    @classmethod
    def recorded(cls, meta: dict[str, str]) -> Self:
        """Return what a catalog says its store is."""
        try:
            return cls(meta["uuid"], int(meta["shards"]), int(meta["dimension"]))
        except (KeyError, ValueError) as error:
            raise HTMError(f"the catalog does not say what its store is ({error!r}); {REPAIR}") from error

    def write(self, folder: Path) -> None:
        """Write the marker of a new store."""
        body = {"magic": _MAGIC, "format": _MARKER_FORMAT, **self._asdict()}
        files.write_file(folder / MARKER, [json.dumps(body, indent=2).encode() + b"\n"])

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return the marker of a store; None if the folder has none."""
        path = folder / MARKER
        try:
            if path.exists() and not path.is_file():
                raise ValueError("it is not a file")
            body = json.loads(path.read_bytes())
            if body["magic"] != _MAGIC:
                raise ValueError(f"magic is {body['magic']!r}")
            marker = cls(str(body["uuid"]), int(body["shards"]), int(body["dimension"]))
            version = int(body["format"])
        except FileNotFoundError:
            return None
        except OSError as error:
            raise files.translated(path, "read", error) from error
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise HTMError(f"{str(path)!r} is not a marker of anam_py ({error}); {REPAIR}") from error
        if version > _MARKER_FORMAT:
            raise NewerFormatError(
                f"the marker {str(path)!r} has format {version}, this anam_py reads up to {_MARKER_FORMAT}; upgrade anam_py"
            )
        return marker


def prepare_folder(path: Path) -> None:
    """Make sure that a store can be in this folder, creating it if it is missing."""
    try:
        is_file = path.exists() and not path.is_dir()
    except OSError as error:  # too long a name, say
        raise files.translated(path, "create", error) from error
    if is_file:
        raise HTMError(f"{str(path)!r} is a file; a store needs a folder, give another path")
    files.make_folder(path)
    refuse_network(path)


def refuse_network(path: Path) -> None:
    """Raise HTMError where the folder is on a network file system."""
    if os.environ.get("ANAM_ALLOW_NETWORK_FS") == "1":
        return
    kind = _file_system(path)
    if kind in _NETWORK:
        raise HTMError(
            f"{str(path)!r} is on a network file system ({kind}), where locks and syncs cannot be relied "
            "on; use a local disk, or set ANAM_ALLOW_NETWORK_FS=1 and accept that data may be lost"
        )


def log_is_empty(folder: Path) -> bool:
    """Return whether the catalog's WAL holds nothing, or is not there."""
    wal = folder / f"{CATALOG}-wal"
    try:
        return wal.stat().st_size <= _WAL_HEADER_BYTES
    except OSError:
        return True


def refuse_half_repaired(folder: Path) -> None:
    """Raise HTMError where a repair was interrupted after it had set the old catalog aside."""
    if (folder / REPAIRED).exists():
        raise HTMError(f"a repair of {str(folder)!r} was interrupted; run HTMCore.repair(path)")


def create_or_read(folder: Path, shards: int, dimension: int) -> Marker:
    """Return the marker of the store in `folder`, creating the store if there is none.

    Called under the store's lock. Never creates a catalog beside what may be a store's data.
    """
    refuse_half_repaired(folder)
    marker = Marker.read(folder)
    path = folder / CATALOG
    size = path.stat().st_size if path.exists() else None
    segments = bool(segment_files(folder))
    if not size and (marker is not None or segments):
        state = "missing" if size is None else "empty"
        raise HTMError(f"the catalog {str(path)!r} is {state}, but the store has data; {REPAIR}")
    if marker is not None:
        return marker
    if size and (found := _unfinished(path, has_segments=segments)) is not None:
        found.write(folder)
        return found
    marker = Marker(secrets.token_hex(16), shards, dimension)
    Catalog.create(path, initial_meta(marker))
    files.sync_folder(folder)
    marker.write(folder)
    return marker


def initial_meta(marker: Marker) -> dict[str, str]:
    """Return what a new catalog says of itself."""
    features = json.dumps({"required": [], "required_to_write": [], "tables": []})
    return {**{key: str(value) for key, value in marker._asdict().items()}, "features": features, "lexemes": text.LEXEMES}


def _unfinished(path: Path, *, has_segments: bool) -> Marker | None:
    """Return the marker that a creation cut short would have written; None to create anew."""
    roll_back(path)
    catalog = Catalog(path)
    try:
        with catalog.reading() as reader:
            if reader.is_blank():
                return None
            reader.check(writing=True)
            if has_segments or reader.last_id():
                raise HTMError(f"{str(path.parent / MARKER)!r} is missing, but the store has data; {REPAIR}")
            return Marker.recorded(reader.meta())
    finally:
        catalog.close()


def require_match(marker: Marker, meta: dict[str, str], folder: Path) -> None:
    """Raise HTMError unless marker and catalog belong together."""
    recorded = Marker.recorded(meta)
    if recorded.uuid != marker.uuid:
        raise HTMError(
            f"{str(folder)!r} holds the marker of store {marker.uuid} and the catalog of store "
            f"{recorded.uuid}; they were mixed up, {REPAIR}"
        )
    if recorded != marker:
        raise HTMError(
            f"the marker in {str(folder)!r} says {marker.shards} shards and {marker.dimension} dimensions, the catalog "
            f"{recorded.shards} and {recorded.dimension}; the marker is damaged, {REPAIR}"
        )


def tidy(folder: Path, writer: Writer) -> list[str]:
    """Remove what a crash left behind; returns the names of files set aside.

    Idempotent. A file that no row names is never deleted, only moved to ``quarantine/``.
    """
    if gone := unlink_dead(folder, writer.segments("dead")):
        with writer.transaction():
            writer.drop_segments(gone)
    known = {segment.name for segment in writer.segments()}
    codes = derivations.names(writer)
    set_aside = []
    for shard, name in _shard_files(folder):
        path = folder / shard / name
        if files.TEMPORARY in name or (CODES_NAME.fullmatch(name) and name not in codes):
            files.remove(path)
        elif SEGMENT_NAME.fullmatch(name) and name not in known:
            quarantine = folder / QUARANTINE
            files.make_folder(quarantine)
            target = quarantine / f"{time.strftime('%Y%m%dT%H%M%S')}-{shard}-{name}"
            path.replace(target)
            files.sync_folder(quarantine)
            set_aside.append(target.name)
    for name in (MARKER, chain.FILE):
        for path in folder.glob(f"{name}{files.TEMPORARY}*"):
            files.remove(path)
    for path in folder.glob(f"{BENCHMARK}*"):
        shutil.rmtree(path, ignore_errors=True)
    if writer.meta().get("lexemes") != text.LEXEMES:
        with writer.transaction():
            writer.rebuild_lexemes()
    return set_aside


def unlink_dead(folder: Path, dead: Sequence[Segment]) -> list[int]:
    """Unlink the files of dead segments, and what is derived from them; returns the ids of those whose rows may be dropped."""
    gone = [segment for segment in dead if all(files.remove(path) for path in _files_of(folder, segment))]
    for shard in {shard_folder(folder, segment.shard) for segment in gone}:
        try:
            files.sync_folder(shard)
        except FileNotFoundError:  # with its segments
            pass
        except OSError as error:
            raise files.translated(shard, "sync", error) from error
    return [segment.id for segment in gone]


def _files_of(folder: Path, segment: Segment) -> list[Path]:
    """Return a segment's file, and those of its codes, listed or not."""
    shard = shard_folder(folder, segment.shard)
    return [shard / segment.name, *shard.glob(f"{segment.name.removesuffix('.h5')}.codes-*")]


def orphans(folder: Path, reader: Reader) -> list[str]:
    """Return files of segments or codes that the catalog does not list."""
    known = {segment.name for state in ("live", "dead") for segment in reader.segments(state)}
    known |= derivations.names(reader)
    found = _shard_files(folder)
    return [f"{s}/{n}" for s, n in found if n not in known and (SEGMENT_NAME.fullmatch(n) or CODES_NAME.fullmatch(n))]


def segment_files(folder: Path) -> list[tuple[str, str]]:
    """Return (folder, name) of every segment file, listed in the catalog or not."""
    return [(shard, name) for shard, name in _shard_files(folder) if SEGMENT_NAME.fullmatch(name)]


def _shard_files(folder: Path) -> list[tuple[str, str]]:
    found = []
    for shard in sorted(path for path in folder.iterdir() if _SHARD.fullmatch(path.name)):
        if shard.is_dir() and not shard.is_symlink():
            found += [(shard.name, name) for name in sorted(path.name for path in shard.iterdir())]
    return found


def _file_system(path: Path) -> str:
    """Return the type of the file system that holds `path`; empty where it cannot be told."""
    if sys.platform == "win32":
        return "cifs" if str(path).startswith("\\\\") else ""
    try:
        mounts = Path("/proc/self/mounts").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ""
    best, kind = "", ""
    for line in mounts:
        _, point, name, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), point)
        if len(point) >= len(best) and path.is_relative_to(point):
            best, kind = point, name
    return kind
