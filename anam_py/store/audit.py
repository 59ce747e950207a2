"""The audit log: what was decided and done, in records of which none can be changed or taken out unnoticed."""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anam_py import _json, _validation
from anam_py._masking import masked
from anam_py.exceptions import ValidationError
from anam_py.store import chain
from anam_py.store.recorder import Fields
from anam_py.store.reports import Problem

if TYPE_CHECKING:
    from anam_py.store.htm import HTMCore

_MOST_RECORDS = 2**62


class AuditLog:
    """A store's audit log, ``audit.jsonl`` in its folder.

    A record has the fields that it was given and seq (1, 2, ...), time (seconds since 1970, when `append` was called), previous
    (the digest of the record before) and digest (its own, a SHA-256 in hexadecimal). docs/storage.md says what that can show.

    Parameters
    ----------
    htm : HTMCore
        The store. One that is read-only can be asked for records, also while another process writes it.
    """

    def __init__(self, htm: "HTMCore") -> None:
        self._htm = htm

    def append(self, record: Mapping[str, Any]) -> Future[str]:
        """Append a record; returns at once what waits for it. May be called in an event loop, and by many threads.

        Records that wait together share a sync. Their order is that of the calls. What looks like a password, a token or a key in
        them is replaced by ``***`` first.

        Parameters
        ----------
        record : mapping of str to Any
            Its fields, as for the metadata of `HTMCore.store_embedding`; not seq, time, previous or digest. Changing it later
            changes nothing.

        Returns
        -------
        concurrent.futures.Future of str
            Resolves to the record's digest once it has been synced to the storage device, whatever the store's durability; raises
            HTMError if it could not be. It cannot be cancelled. What is called when it is done runs in the thread that writes the
            store, and must not wait for the store; ``asyncio.wrap_future`` makes an awaitable of it.

        Raises
        ------
        ValidationError
            If JSON cannot hold the record, or it has one of those fields.
        HTMError
            If the store is read-only or closed.
        anam_py.exceptions.MemoryError
            If more than 64 MiB of records wait for the disk: nobody has waited for what this returned.
        """
        moment = time.time()
        recorder = self._htm._writing().recorder
        return recorder.append(Fields(moment, _checked(record)))

    def records(self, *, last: int | None = None) -> Iterator[dict[str, Any]]:
        """Yield records, in order; at the end, there may be some whose `append` is not done yet.

        Parameters
        ----------
        last : int, optional
            How many at most, the newest; all by default.

        Yields
        ------
        dict
            A record.

        Raises
        ------
        ValidationError
            If `last` is not a positive integer.
        HTMError
            At a record that is damaged, or where the end is missing.
        """
        count = None if last is None else _validation.check_count(last, "last", 1, _MOST_RECORDS)
        head = chain.Head.stored(self._meta()) or chain.Head()
        return chain.read(self._path, head, count)

    def verify(self) -> list[Problem]:
        """Check every record, that each goes on from the one before, and that none is missing at the end; writes nothing.

        Returns
        -------
        list of Problem
            (severity, where, what) of each problem; empty for a log that is whole.
        """
        return chain.verify(self._path, self._meta)

    def restart(self) -> Path | None:
        """Set a damaged log aside and begin a new one; a log that is whole is left as it is.

        The new log's first record, of kind "restart", names the old one, how many of its records are good from the first on, the
        digest of the last of these, and what was wrong.

        Returns
        -------
        pathlib.Path or None
            Where it is, in the store's quarantine; None if it was whole or missing.

        Raises
        ------
        HTMError
            If the store is read-only or closed, or cannot be written.
        """
        return self._htm._writing().recorder.restart()

    @property
    def _path(self) -> Path:
        return self._htm.storage_path / chain.FILE

    def _meta(self) -> dict[str, str]:
        return self._htm._reading().meta()


def _checked(record: Mapping[str, Any]) -> bytes:
    """Return a record's fields as a JSON object, without secrets."""
    if not isinstance(record, Mapping):
        raise ValidationError(f"record must be a mapping of str to what JSON can hold, got {_validation.describe(record)}")
    fields = masked(_json.plain(dict(record), "record"))
    if taken := [name for name in chain.OWN_FIELDS if name in fields]:
        raise ValidationError(f"record must not have the field {taken[0]!r}, which the log gives it; call it something else")
    return _json.encode_metadata(fields, "record").encode()
