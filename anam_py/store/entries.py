"""Entries: storing, reading and deleting by key."""

from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import ArrayLike

from anam_py import _validation
from anam_py._executor import async_twin
from anam_py._profiling import profiled
from anam_py.exceptions import ValidationError
from anam_py.store import filters, intake, queries
from anam_py.store.batch import Batch
from anam_py.store.handle import Handle
from anam_py.store.records import Record

_KEYS_AT_ONCE = 1_000


class Entries(Handle):
    """What a store holds, by key; see `HTMCore`."""

    # Writing

    @profiled
    def store_embedding(
        self,
        key: str,
        embedding: ArrayLike,
        metadata: dict[str, Any],
        diff_ops: list[dict[str, Any]] | None = None,
        *,
        text: str | None = None,
    ) -> None:
        """Store a vector under a key, in place of what was there.

        Parameters
        ----------
        key : str
            Not empty, at most 1,024 bytes of UTF-8, without NUL.
        embedding : array_like of shape (D,)
            Any real dtype, strides, byte order or device; converted to float32 once.
        metadata : dict
            What JSON can hold and give back equal. NumPy scalars and arrays, paths and
            datetimes are converted.
        diff_ops : list of dict, optional
            How this version differs from the one before, as `anam_py.diff_ops` gives it; kept in
            the key's history.
        text : str, optional
            Kept compressed, and indexed for `search_text`.

        Raises
        ------
        ValidationError
            If an argument cannot be stored; names it, what it was and what is expected.
        HTMError
            If it could not be written; nothing of it was.
        anam_py.exceptions.MemoryError
            If it does not fit the configured memory limit.
        """
        engine = self._writing()
        engine.write(intake.one(self.dimension, key, embedding, metadata, diff_ops, text))

    @profiled
    def store_embeddings(
        self,
        keys: Sequence[str],
        matrix: ArrayLike,
        metadata: Sequence[dict[str, Any]] | None = None,
        diff_ops: Sequence[list[dict[str, Any]] | None] | None = None,
        texts: Sequence[str | None] | None = None,
    ) -> None:
        """Store many vectors in one transaction: all of them or none.

        Parameters
        ----------
        keys : sequence of str
            Distinct keys.
        matrix : array_like of shape (len(keys), D)
            One vector a key.
        metadata, diff_ops, texts : sequence, optional
            One item a key, as in `store_embedding`.

        Raises
        ------
        ValidationError, HTMError, anam_py.exceptions.MemoryError
            As in `store_embedding`.
        """
        engine = self._writing()
        batch = intake.many(self.dimension, keys, matrix, metadata, diff_ops, texts)
        if batch.puts:
            engine.write(batch)

    @profiled
    def delete(self, key: str, *, purge: bool = False) -> bool:
        """Delete a key; returns whether it was there.

        Parameters
        ----------
        key : str
            The key.
        purge : bool, default False
            Leave nothing of it: its history and text go at once, its vectors with the next merge of their segments,
            which begins now. Without, its history is kept. What was backed up or quarantined is not touched.

        Returns
        -------
        bool
            Whether it was there.

        Raises
        ------
        HTMError
            If it could not be written.
        """
        return self.delete_many([key], purge=purge) == 1

    @profiled
    def delete_many(self, keys: Sequence[str], *, purge: bool = False) -> int:
        """Delete keys in one transaction.

        Parameters
        ----------
        keys : sequence of str
            The keys; those that are not there are passed over, but for their history, which a purge takes, too.
        purge : bool, default False
            Leave nothing of them, as `delete` does.

        Returns
        -------
        int
            How many were there.

        Raises
        ------
        HTMError
            If it could not be written; nothing was deleted.
        """
        return self._delete(Batch(deletes=list(dict.fromkeys(_validation.check_keys(keys))), purge=bool(purge)))

    @profiled
    def delete_where(self, where: dict[str, Any], *, purge: bool = False) -> int:
        """Delete every entry whose metadata fulfils a filter, in one transaction.

        Parameters
        ----------
        where : dict
            The filter, as for `HTMCore.search_similar`; not an empty one, which would delete everything.
        purge : bool, default False
            Leave nothing of them, as `delete` does.

        Returns
        -------
        int
            How many entries were deleted.

        Raises
        ------
        ValidationError
            If the filter is malformed or empty.
        HTMError
            If it could not be written; nothing was deleted.
        """
        chosen = filters.condition(where)
        if chosen is None:
            raise ValidationError("where must hold at least one condition, an empty filter would delete everything")
        return self._delete(Batch(delete_where=chosen, purge=bool(purge)))

    # Reading

    @profiled
    def get_embedding(self, key: str) -> Record | None:
        """Return what is stored under a key.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        dict or None
            ``{"key", "embedding": {"values": float32 (D,), "norm", "timestamp"}, "metadata",
            "diff_ops", "version"}``, a copy; None if there is nothing.

        Raises
        ------
        HTMError
            If what is stored is damaged.
        """
        (stored,) = queries.fetch(self._reading(), [_validation.check_key(key)])
        return None if stored is None else stored.record()

    @profiled
    def get_embeddings(self, keys: Sequence[str]) -> list[Record | None]:
        """Return what is stored under each key, as `get_embedding` does, all of one moment.

        Parameters
        ----------
        keys : sequence of str
            The keys.

        Returns
        -------
        list of dict or None
            In the order of `keys`.
        """
        found = queries.fetch(self._reading(), _validation.check_keys(keys))
        return [None if stored is None else stored.record() for stored in found]

    @profiled
    def get_text(self, key: str) -> str | None:
        """Return the text stored with a key, or None.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        str or None
            The text.
        """
        with self._reading().catalog.reading() as reader:
            return reader.text(_validation.check_key(key))

    @profiled
    def history(self, key: str) -> list[dict[str, Any]]:
        """Return every version of a key, oldest first.

        Parameters
        ----------
        key : str
            The key; it may have been deleted since.

        Returns
        -------
        list of dict
            ``{"version", "timestamp", "diff_ops", "metadata"}``.
        """
        return queries.history(self._reading(), _validation.check_key(key))

    @profiled
    def count(self, where: dict[str, Any] | None = None) -> int:
        """Return how many entries there are, all or those whose metadata fulfils a filter.

        Parameters
        ----------
        where : dict, optional
            The filter, as for `HTMCore.search_similar`.

        Returns
        -------
        int
            Their number.

        Raises
        ------
        ValidationError
            If the filter is malformed.
        """
        chosen = filters.condition(where)
        if chosen is None:
            return len(self)
        with self._reading().catalog.reading() as reader:
            return reader.count(chosen)

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Iterate over the keys with a prefix, in the order of their UTF-8 bytes.

        Keys that come or go meanwhile may or may not be met; every other one is met once.

        Parameters
        ----------
        prefix : str
            How the keys begin.

        Returns
        -------
        iterator of str
            The keys.
        """
        self._reading()
        return self._keys(_validation.check_key(prefix, "prefix") if prefix != "" else "")

    def __iter__(self) -> Iterator[str]:
        return self.keys()

    def __len__(self) -> int:
        return self._reading().snapshot().live

    def __bool__(self) -> bool:
        return True  # an empty store is a store; without this, its length would decide

    def __contains__(self, key: object) -> bool:
        engine = self._reading()
        try:
            name = _validation.check_key(key)
        except ValidationError:
            return False
        with engine.catalog.reading() as reader:
            return reader.entry(name) is not None

    store_embedding_async = async_twin(store_embedding)
    store_embeddings_async = async_twin(store_embeddings)
    get_embedding_async = async_twin(get_embedding)
    get_embeddings_async = async_twin(get_embeddings)
    get_text_async = async_twin(get_text)
    history_async = async_twin(history)
    delete_async = async_twin(delete)
    delete_many_async = async_twin(delete_many)
    delete_where_async = async_twin(delete_where)
    count_async = async_twin(count)

    def _delete(self, batch: Batch) -> int:
        engine = self._writing()
        deleted = engine.write(batch)
        if batch.purge:
            engine.scrub()
        return deleted

    def _keys(self, prefix: str) -> Iterator[str]:
        after = None
        while True:
            with self._reading().catalog.reading() as reader:
                page = reader.keys(prefix, after, _KEYS_AT_ONCE)
            yield from page
            if len(page) < _KEYS_AT_ONCE:
                return
            after = page[-1]
