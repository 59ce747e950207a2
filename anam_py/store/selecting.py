"""Questions to the catalog about the entries that a filter lets through."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from anam_py.exceptions import HTMError
from anam_py.store import indexing
from anam_py.store.advice import REPAIR
from anam_py.store.filters import Condition, json_path
from anam_py.store.indexing import Candidates
from anam_py.store.sqlite import Connection

_MOST_ROWS = 2**63 - 1
# For so many ids it is marked whether a filter lets them through, so that none of their metadata need be read.
_MOST_MARKS = 1 << 24
# Candidates are looked at one by one where they are at most so many, or a third of the entries in question.
_FEW = 1_000
# Of two sets of candidates, one so many times as large as the other is not worth intersecting.
_TIMES = 8


class LetThrough(NamedTuple):
    """The ids that a filter lets through among those up to the last one: all of them that are still there."""

    ids: NDArray[np.int64]
    last: int

    def marks(self) -> bytes:
        """Return a byte for each id up to the last one, 1 for those that are let through."""
        marks = np.zeros(self.last, np.uint8)
        marks[self.ids - 1] = 1
        return marks.tobytes()


class Selector:
    """Queries by metadata over one connection; every method sees the state of its own moment."""

    def __init__(self, connection: Connection) -> None:
        self.sql = connection

    def count(self, where: Condition | None = None) -> int:
        """Return the number of entries, all or those that fulfil a condition."""
        if where is None:
            return int(self.sql.execute("SELECT count(*) FROM entries").fetchone()[0])
        return len(self.ids(where))

    def ids(self, where: Condition, after: int = 0) -> NDArray[np.int64]:
        """Return the ids beyond `after` of the entries whose metadata fulfils a condition, ascending."""
        paths = self.indexes() if where.candidates else []
        parts = indexing.of_paths(where.candidates, paths)
        covered = where.covered and all(part.path in paths for part in where.candidates)
        entries = self.newest_id() - after
        few = self._worthwhile(parts, max(entries if covered else entries // 3, 0 if after else _FEW))
        source, parameters = "entries", tuple[Any, ...]()
        if covered and len(few) == len(parts):  # the entries themselves need not be read
            source, parameters = few[0].select()
            source, where = f"({source})", Condition("1", ()).among(few[1:])
        else:
            where = where.among(few)
        sql = f"SELECT group_concat(id) FROM {source} WHERE id > ? AND {where.sql}"
        (listed,) = self.sql.execute(sql, (*parameters, after, *where.parameters)).fetchone()
        # One string is there in a tenth of the time that a list of rows takes.
        return np.unique(np.fromstring(listed or "", np.int64, sep=","))

    def values(self, path: str) -> set[str]:
        """Return the strings that entries have at a metadata path."""
        place = json_path(path)
        rows = self.sql.execute(
            "SELECT DISTINCT json_extract(metadata, ?) FROM entries WHERE json_type(metadata, ?) = 'text'", (place, place)
        )
        return {row[0] for row in rows}

    def newest_id(self) -> int:
        """Return the highest id of an entry."""
        return int(self.sql.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0])

    def matches(
        self,
        expression: str,
        limit: int,
        weights: tuple[float, float],
        where: Condition | None = None,
        known: LetThrough | None = None,
    ) -> list[tuple[int, float]]:
        """Return the `limit` best (id, BM25 score) for an FTS5 expression, best first, and with what is known of a filter."""
        chosen, parameters = "", tuple[Any, ...]()
        if where:
            where = self.narrowed(where)
            chosen = f"EXISTS (SELECT 1 FROM entries WHERE id = lexemes.rowid AND {where.sql})"
            parameters = where.parameters
            if known and known.last <= _MOST_MARKS:
                chosen = f"CASE WHEN rowid <= ? THEN substr(?, rowid, 1) = x'01' ELSE {chosen} END"
                parameters = (known.last, known.marks(), *parameters)
            chosen = f" AND {chosen}"
        rows = self.sql.execute(
            f"SELECT rowid, -bm25(lexemes, ?, ?) AS score FROM lexemes WHERE lexemes MATCH ?{chosen} ORDER BY score DESC LIMIT ?",
            (*weights, expression, *parameters, min(limit, _MOST_ROWS)),
        )
        return rows.fetchall()

    def indexes(self) -> list[str]:
        """Return the metadata paths that were declared to be filtered often."""
        paths = [row[0] for row in self.sql.execute("SELECT path FROM indexes")]
        if not all(isinstance(path, str) for path in paths):
            raise HTMError(f"the catalog's declared paths are damaged; {REPAIR}")
        return paths

    def index_problems(self) -> Iterator[str]:
        """Say what the index of declared paths has too much or too little."""
        paths, count = self.indexes(), 0
        if paths:
            for row in indexing.rows_of(paths, self.sql.execute("SELECT id, metadata FROM entries")):
                count += 1
                if not self.sql.execute("SELECT 1 FROM indexed WHERE (path, type, value, id) = (?, ?, ?, ?)", row).fetchone():
                    yield f"what id {row[3]} has at {row[0]!r} is not indexed"
        (held,) = self.sql.execute("SELECT count(*) FROM indexed").fetchone()
        if held != count:
            yield f"{held} values are indexed instead of {count}"

    def narrowed(self, where: Condition) -> Condition:
        """Return a condition on entries as one that the index of declared paths narrows down, where that pays."""
        parts = indexing.of_paths(where.candidates, self.indexes()) if where.candidates else []
        return where.among(self._worthwhile(parts, max(_FEW, self.newest_id() // 3)))

    def _worthwhile(self, parts: list[Candidates], most: int) -> list[Candidates]:
        """Return those with few enough candidates to look at, the fewest first."""
        counted = []
        for part in parts:
            sql, parameters = part.select()
            (count,) = self.sql.execute(f"SELECT count(*) FROM ({sql} LIMIT ?)", (*parameters, most + 1)).fetchone()
            counted.append((count, part))
            most = min(most, max(_FEW, _TIMES * count))
        counted.sort(key=lambda item: item[0])
        return [part for count, part in counted if count <= most]
