"""The audit log's file: one record a line, each with the digest of the one before, and what is wrong with such a file.

A line is a JSON object without spaces, in UTF-8 and not escaped to ASCII. It begins with seq (1, 2, ...), time and previous
(the digest of the record before; 64 zeros in the first) and ends with digest: the SHA-256, in hexadecimal, of the line without
its line feed and without ``,"digest":"..."``. All is compared byte by byte, so that a line says the same or is damaged. The
chain has no key: it shows accidents and edits, not somebody who writes all of it anew, and its head in the catalog, too.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Self, TypeAlias

from anam_py._json import MAX_METADATA_BYTES
from anam_py.exceptions import HTMError
from anam_py.store import files
from anam_py.store.reports import Problem

FILE: Final = "audit.jsonl"
# What the catalog's meta has the head under.
HEAD: Final = "audit"
OWN_FIELDS: Final = ("seq", "time", "previous", "digest")
ADVICE: Final = "see what is wrong with `anam audit verify`; AuditLog.restart() sets the log aside and begins a new one"

_NOTHING = "0" * 64
_START = re.compile(rb'\{"seq":([1-9]\d{0,17}),"time":-?\d[\de.+-]*,"previous":"([0-9a-f]{64})"[,}]')
_END = re.compile(rb',"digest":"([0-9a-f]{64})"\}\n')
_END_BYTES = 78
_MOST_LINE_BYTES = MAX_METADATA_BYTES + 1024
_BLOCK_BYTES = 1 << 16
_MOST_PROBLEMS = 20
_ATTEMPTS = 5
_STORED = re.compile(r"(0|[1-9]\d{0,17}) (0|[1-9]\d{0,17}) ([0-9a-f]{64})", re.ASCII)


class Head(NamedTuple):
    """How far a log has been written.

    Attributes
    ----------
    records : int
        How many it has.
    size : int
        How many bytes they take.
    digest : str
        Digest of the last.
    """

    records: int = 0
    size: int = 0
    digest: str = _NOTHING

    @classmethod
    def stored(cls, meta: dict[str, str]) -> Self | None:
        """Return the head that a catalog has; None if it has none.

        Raises
        ------
        HTMError
            If it cannot be read.
        """
        value = meta.get(HEAD)
        if value is None:
            return None
        if not (found := _STORED.fullmatch(value)):
            raise HTMError(f"the catalog's head of the audit log cannot be read: it is {value[:200]!r}")
        return cls(int(found[1]), int(found[2]), found[3])

    def __str__(self) -> str:
        return f"{self.records} {self.size} {self.digest}"

    def next(self, time: float, fields: bytes) -> tuple[bytes, Self]:
        """Return the line of one record more, and the head that it makes; `fields` are a JSON object."""
        start = f'{{"seq":{self.records + 1},"time":{time!r},"previous":"{self.digest}"'.encode()
        content = b"%b%b%b" % (start, b"" if fields == b"{}" else b",", fields[1:])
        digest = hashlib.sha256(content).hexdigest()
        line = b'%b,"digest":"%b"}\n' % (content[:-1], digest.encode())
        return line, type(self)(self.records + 1, self.size + len(line), digest)


class _Line(NamedTuple):
    """What a line says of itself; `digest` is what it has, and `computed` what it should have."""

    seq: int
    previous: str
    digest: str
    computed: str
    content: bytes


# Of the record before: its seq, and the digests by which the next may name it, two if it is damaged. None if it cannot be read.
_Before: TypeAlias = tuple[int, set[str]] | None


def _parsed(line: bytes) -> _Line | None:
    start, end = _START.match(line), _END.fullmatch(line, max(0, len(line) - _END_BYTES))
    if start is None or end is None:
        return None
    content = line[:-_END_BYTES] + b"}"
    return _Line(int(start[1]), start[2].decode(), end[1].decode(), hashlib.sha256(content).hexdigest(), content)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a log to read it.

    Raises
    ------
    FileNotFoundError
        If there is none.
    HTMError
        If it is a link, a folder or a pipe, or cannot be read.
    """
    try:
        if not stat.S_ISREG(path.lstat().st_mode):
            raise HTMError(f"{str(path)!r} is not a file of its own; {ADVICE}")
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise files.translated(path, "read", error) from error


def size_of(path: Path) -> int | None:
    """Return how many bytes a log has; None where there is no file."""
    try:
        with opened(path) as file:
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return None


def follow(path: Path, head: Head) -> Head:
    """Return the head that whole records after a head lead to, as far as they continue its chain."""
    with opened(path) as file:
        file.seek(head.size)
        for line in _lines(file):
            found = _parsed(line)
            if found is None or (found.seq, found.previous, found.digest) != (head.records + 1, head.digest, found.computed):
                break
            head = Head(found.seq, head.size + len(line), found.digest)
    return head


def read(path: Path, head: Head, last: int | None) -> Iterator[dict[str, Any]]:
    """Yield the records of a log that is at least as long as its head says, or the last ones.

    Raises
    ------
    HTMError
        At a record that is damaged.
    """
    if not head.records and not path.exists():
        return
    position = 0
    try:
        with opened(path) as file:
            if last is not None:
                position = _start_of_last(file, last, min(follow(path, head).size, file.seek(0, os.SEEK_END)))
            file.seek(position)
            before = None if position else (0, {_NOTHING})
            for line in _lines(file):
                found = _parsed(line)
                if found is None or _flaw(found, before):
                    break
                end = position + len(line)
                if position < head.size <= end and (found.seq, end, found.digest) != head:
                    break
                yield _record(path, position, found)
                before, position = (found.seq, {found.digest}), end
    except FileNotFoundError:
        raise HTMError(f"the audit log {str(path)!r} is missing; {ADVICE}") from None
    if position < head.size:
        raise HTMError(f"the audit log {str(path)!r} is damaged or ends at byte {position} of {head.size}; {ADVICE}")


def _record(path: Path, position: int, line: _Line) -> dict[str, Any]:
    try:
        return {**json.loads(line.content), "digest": line.digest}
    except (ValueError, RecursionError, TypeError) as error:  # somebody made it, and its digest
        raise HTMError(f"the audit log {str(path)!r} has no record at byte {position}: {error}; {ADVICE}") from error


def _start_of_last(file: BinaryIO, count: int, position: int) -> int:
    """Return where the last whole lines before a position begin."""
    while position:
        start = max(0, position - _BLOCK_BYTES)
        file.seek(start)
        block = file.read(position - start)
        at = len(block)
        while (at := block.rfind(b"\n", 0, at)) >= 0:
            if not count:
                return start + at + 1
            count -= 1
        position = start
    return 0


def whole_bytes(file: BinaryIO) -> int:
    """Return how many bytes the whole lines of a file take, as far as it reaches now."""
    return _start_of_last(file, 0, os.fstat(file.fileno()).st_size)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(_MOST_LINE_BYTES):
        yield line


def last_is(path: Path, head: Head) -> bool:
    """Return whether a log, at least as long as its head says, has the head's record right before there."""
    if not head.records:
        return not head.size
    with opened(path) as file:
        start = file.seek(_start_of_last(file, 1, head.size))
        found = _parsed(file.read(min(head.size - start, _MOST_LINE_BYTES)))
    return found is not None and (found.seq, found.digest, found.computed) == (head.records, head.digest, head.digest)


def verify(path: Path, meta: Callable[[], dict[str, str]], *, deep: bool = True) -> list[Problem]:
    """Compare a log with its head, and each of its records with the next; writes nothing.

    Parameters
    ----------
    path : pathlib.Path
        The file.
    meta : callable
        Returns the catalog's meta, of this moment.
    deep : bool
        Read every record, not just the last.

    Returns
    -------
    list of Problem
        Empty for a log that is whole. What a crash may have left after the last record is no problem.
    """
    for _ in range(_ATTEMPTS):
        before = meta().get(HEAD)  # first: the file is never behind it
        problems = list(_limited(_problems(path, before, deep=deep)))
        if not problems or meta().get(HEAD) == before:  # else another process may have begun a new log meanwhile
            break
    return problems


def _problem(what: str, severity: str = "error") -> Problem:
    return Problem(severity, FILE, what)


def _limited(problems: Iterator[Problem]) -> Iterator[Problem]:
    yield from islice(problems, _MOST_PROBLEMS)
    if next(problems, None) is not None:
        yield _problem(f"there are more than these {_MOST_PROBLEMS} problems")


def _problems(path: Path, stored: str | None, *, deep: bool) -> Iterator[Problem]:
    try:
        head = Head.stored({} if stored is None else {HEAD: stored}) or Head()
        size = size_of(path)
        if size is None:
            if head.records:
                yield _problem(f"it is missing, with {head.records} records")
            return
        if stored is None:
            yield _problem("the catalog has no head of it, by which it would be known whether its end is missing")
        if size < head.size:
            yield _problem(f"its end is missing: it has {size} bytes, and {head.size} had been written")
        if deep:
            yield from _chain_problems(path, head)
        elif size >= head.size and not last_is(path, head):
            yield _problem(f"its record {head.records} is not the one that was written last")
    except HTMError as error:
        yield _problem(str(error))
    except FileNotFoundError:  # since it was asked for its size
        yield _problem("it is missing")


def _chain_problems(path: Path, head: Head) -> Iterator[Problem]:
    """Yield what is wrong with each record, and after the last."""
    position = number = 0
    before: _Before = (0, {_NOTHING})
    ends_right = not head.size
    with opened(path) as file:
        for line in _lines(file):
            number += 1
            found = _parsed(line)
            what = "it is not a record" if found is None else _flaw(found, before)
            if what is not None and position >= head.size:
                if line.endswith(b"\n"):  # which no write that was cut short leaves, but a power cut may
                    yield _problem(f"after its last record, at byte {position}, is something else", "warning")
                break
            if what is not None:
                yield _problem(f"line {number}, at byte {position}: {what}")
            before = found and (found.seq, {found.digest, found.computed})
            position += len(line)
            if position == head.size:
                ends_right = before is not None and before[0] == head.records and head.digest in before[1]
    if position >= head.size and not ends_right:
        yield _problem(f"its record {head.records} is not the one that was written last")


def _flaw(line: _Line, before: _Before) -> str | None:
    """Return what is wrong with a record, as far as can be said after the one before."""
    if line.digest != line.computed:
        return f"record {line.seq} is damaged: its digest is not that of its content"
    if before is not None and line.seq != before[0] + 1:
        return f"record {line.seq} comes after record {before[0]}"
    if before is not None and line.previous not in before[1]:
        return f"record {line.seq} does not continue the record before it"
    return None
