"""The catalog's tables, and what makes a SQLite file a catalog of ours."""

import json
from collections.abc import Iterable

from anam_py.exceptions import HTMError
from anam_py.store.advice import REPAIR

APPLICATION_ID = 0x616E616D  # "anam"
FORMAT = 1

# docs/storage.md says what each table holds. `rotations`, `derived`, `indexes`, `indexed` and
# `dead.purge` are part of the format from the start, so that what comes to use them needs no migration.
TABLES = {
    "meta": """
        CREATE TABLE meta (
            key TEXT PRIMARY KEY,
            value TEXT NOT NULL
        ) WITHOUT ROWID""",
    "entries": """
        CREATE TABLE entries (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            key TEXT NOT NULL UNIQUE,
            shard INTEGER NOT NULL,
            version INTEGER NOT NULL,
            crc INTEGER NOT NULL,
            metadata TEXT NOT NULL,
            mcrc INTEGER NOT NULL,
            diff_ops TEXT,
            dcrc INTEGER NOT NULL,
            timestamp REAL NOT NULL
        )""",
    "history": """
        CREATE TABLE history (
            key TEXT NOT NULL,
            version INTEGER NOT NULL,
            id INTEGER NOT NULL,
            metadata TEXT NOT NULL,
            mcrc INTEGER NOT NULL,
            diff_ops TEXT,
            dcrc INTEGER NOT NULL,
            timestamp REAL NOT NULL,
            PRIMARY KEY (key, version)
        ) WITHOUT ROWID""",
    "texts": """
        CREATE TABLE texts (
            id INTEGER PRIMARY KEY,
            zlib BLOB NOT NULL
        )""",
    "lexemes": """
        CREATE VIRTUAL TABLE lexemes USING fts5(
            key, body, content='',
            tokenize="porter unicode61 remove_diacritics 0 tokenchars '_'"
        )""",
    "files": """
        CREATE TABLE files (
            root TEXT NOT NULL,
            path TEXT NOT NULL,
            size INTEGER NOT NULL,
            mtime INTEGER NOT NULL,
            hash TEXT NOT NULL,
            outcome TEXT NOT NULL,
            reason TEXT NOT NULL,
            PRIMARY KEY (root, path)
        ) WITHOUT ROWID""",
    "pending": """
        CREATE TABLE pending (
            id INTEGER PRIMARY KEY,
            vector BLOB NOT NULL
        )""",
    "segments": """
        CREATE TABLE segments (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            shard INTEGER NOT NULL,
            name TEXT NOT NULL UNIQUE,
            rows INTEGER NOT NULL,
            first_id INTEGER NOT NULL,
            last_id INTEGER NOT NULL,
            layout TEXT NOT NULL,
            bytes INTEGER NOT NULL,
            crc INTEGER NOT NULL,
            state TEXT NOT NULL
        )""",
    "dead": """
        CREATE TABLE dead (
            id INTEGER PRIMARY KEY,
            purge INTEGER NOT NULL
        )""",
    "rotations": """
        CREATE TABLE rotations (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            blob BLOB NOT NULL,
            crc INTEGER NOT NULL
        )""",
    "derived": """
        CREATE TABLE derived (
            segment INTEGER NOT NULL,
            kind TEXT NOT NULL,
            rotation INTEGER NOT NULL,
            name TEXT NOT NULL UNIQUE,
            crc INTEGER NOT NULL,
            PRIMARY KEY (segment, kind, rotation)
        )""",
    "indexes": """
        CREATE TABLE indexes (
            path TEXT PRIMARY KEY
        ) WITHOUT ROWID""",
    "indexed": """
        CREATE TABLE indexed (
            path TEXT NOT NULL,
            type TEXT NOT NULL,
            value,
            id INTEGER NOT NULL,
            PRIMARY KEY (path, type, value, id)
        ) WITHOUT ROWID""",
}


def features(meta: dict[str, str]) -> list[list[str]]:
    """Return names of what a store requires, what it requires to be written, and tables of optional features."""
    try:
        body = json.loads(meta["features"])
        found = [body[name] for name in ("required", "required_to_write", "tables")]
        if not all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in found):
            raise TypeError(f"not lists of names: {found}")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise HTMError(f"the catalog does not say what features it has ({error!r}); {REPAIR}") from error
    return found


def layout(body: str) -> dict[str, int]:
    """Return the byte offsets of a segment's datasets; none where they cannot be told."""
    try:
        found = json.loads(body)
        return {name: offset for name, offset in found.items() if type(offset) is int}
    except (ValueError, AttributeError, TypeError, RecursionError):
        return {}


def strange_objects(master: Iterable[tuple[str, str, str, str]], optional: Iterable[str]) -> list[str]:
    """Return what a schema has too much, too little or otherwise than it should.

    `master` holds (type, name, table, sql) of each object, `optional` names tables of optional
    features, which a later version may have added. Triggers and views never belong: they would run what their author wanted.
    """
    known = {f"lexemes_{part}" for part in ("data", "idx", "docsize", "config")} | {*optional}
    strange = []
    found = {}
    for kind, name, table, sql in master:
        if name.startswith("sqlite_") and kind in ("table", "index"):
            continue
        if kind == "table" and name not in known:
            found[name] = sql
        elif kind in ("trigger", "view") or (kind == "index" and table not in known):
            strange.append(name)
    wanted = {name: sql.strip() for name, sql in TABLES.items()}
    strange += [name for name in wanted | found if wanted.get(name) != found.get(name)]
    return sorted(strange)
