"""HTMCore: a durable store of embeddings, searched exactly."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

from numpy.typing import ArrayLike

from anam_py import _core, _validation
from anam_py._executor import async_twin
from anam_py._profiling import profiled
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import benchmark, intake, queries
from anam_py.store.batch import Batch
from anam_py.store.handle import Handle
from anam_py.store.records import Record

_KEYS_AT_ONCE = 1_000


class HTMCore(Handle):
    """A durable store of embeddings with metadata and text, searched exactly.

    Any number of threads may use one handle, and any number of handles one path. Other
    processes may open the store with ``read_only=True`` meanwhile, and see each commit at
    their next call.

    Parameters
    ----------
    storage_path : str or os.PathLike
        The store's folder, created if it is missing.
    shard_count : int, default 4
        Number of shards of a new store, 1 to 4,096. An existing one keeps its own.
    dimension : int, optional
        Length of the vectors of a new store, 768 unless given. Where it is given, an existing
        store must have the same.
    durability : {"full", "normal"}, default "full"
        "full": when a call returns, the write has been synced to the storage device; it
        survives a crash of the program or the operating system and a power failure, provided
        the device honours sync requests. "normal": survives a crash of the program; after a
        crash of the system the last writes may be missing, older ones never.
    read_only : bool, default False
        Open an existing store that another process may be writing.
    allow_partial : bool, default False
        Search what can be read of a damaged store, instead of raising; ``stats()`` says what
        was left out.

    Raises
    ------
    ValidationError
        If an argument is not of its type or range.
    HTMError
        If the path cannot hold a store, or the store cannot be opened; says why and what to do.

    Examples
    --------
    >>> with HTMCore("./data/htm", dimension=3) as htm:
    ...     htm.store_embedding("src/model.py", [0.1, 0.2, 0.3], {"language": "python"})
    ...     [(key, round(score, 3)) for key, score, _ in htm.search_similar([0.1, 0.2, 0.25])]
    [('src/model.py', 0.996)]
    """

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
    def delete(self, key: str) -> bool:
        """Delete a key, keeping its history; returns whether it was there.

        Parameters
        ----------
        key : str
            The key.

        Returns
        -------
        bool
            Whether it was there.

        Raises
        ------
        HTMError
            If it could not be written.
        """
        return self.delete_many([key]) == 1

    @profiled
    def delete_many(self, keys: Sequence[str]) -> int:
        """Delete keys in one transaction, keeping their histories.

        Parameters
        ----------
        keys : sequence of str
            The keys; those that are not there are passed over.

        Returns
        -------
        int
            How many were there.

        Raises
        ------
        HTMError
            If it could not be written; nothing was deleted.
        """
        engine = self._writing()
        return engine.write(Batch(deletes=list(dict.fromkeys(_validation.check_keys(keys)))))

    @profiled
    def flush(self) -> None:
        """Move what waits in the catalog to segments. What was stored is durable before that, too."""
        self._writing().flush()

    @profiled
    def compact(self) -> None:
        """Merge segments to as few as their size allows, and give the space of dead rows back."""
        self._writing().compact()

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

    def __contains__(self, key: object) -> bool:
        engine = self._reading()
        try:
            name = _validation.check_key(key)
        except ValidationError:
            return False
        with engine.catalog.reading() as reader:
            return reader.entry(name) is not None

    # Searching

    @profiled
    def search_similar(self, query_embedding: ArrayLike, limit: int = 10, min_similarity: float = 0.5) -> list[queries.Hit]:
        """Return the entries most similar to a vector: exactly the best, every time.

        Parameters
        ----------
        query_embedding : array_like of shape (D,)
            The vector to compare with.
        limit : int, default 10
            How many to return at most.
        min_similarity : float, default 0.5
            Least cosine of a hit; -1 for any.

        Returns
        -------
        list of (str, float, dict)
            Key, cosine and record, ordered by (-cosine, key's UTF-8 bytes). The cosine is the
            float64 dot product over the float64 norms, the same on every CPU.

        Raises
        ------
        ValidationError
            If an argument is not of its type or range.
        HTMError
            If the store is damaged.
        """
        engine = self._reading()
        query = _validation.as_vector(query_embedding, self.dimension, "query_embedding")
        limit = _validation.check_limit(limit)
        least = _validation.check_similarity(min_similarity)
        return queries.similar(engine, query, limit, least, partial=self._partial)

    @profiled
    def search_text(self, query: str, limit: int = 10) -> list[queries.Hit]:
        """Return the entries whose key and text match the words of a query best.

        Identifiers are split at case, underscore and digit borders, and words are stemmed, so
        that "parse arguments" finds ``parseArgument``.

        Parameters
        ----------
        query : str
            Words, any of which may match.
        limit : int, default 10
            How many to return at most.

        Returns
        -------
        list of (str, float, dict)
            Key, BM25 score (above 0, higher is better) and record, best first.
        """
        return queries.matching(self._reading(), _words(query), _validation.check_limit(limit))

    @profiled
    def search_hybrid(self, text: str, embedding: ArrayLike, limit: int = 10, *, weight: float = 0.7) -> list[queries.Hit]:
        """Return the entries that are best by words and by vector together.

        Parameters
        ----------
        text : str
            Words, as for `search_text`.
        embedding : array_like of shape (D,)
            The vector, as for `search_similar`.
        limit : int, default 10
            How many to return at most.
        weight : float, default 0.7
            Share of the vector's score in the sum, 0 to 1.

        Returns
        -------
        list of (str, float, dict)
            Key, score (0 to 1) and record, best first.
        """
        engine = self._reading()
        vector = _validation.as_vector(embedding, self.dimension)
        share = _validation.check_similarity(weight, "weight")
        if not 0.0 <= share <= 1.0:
            raise ValidationError(f"weight must be from 0 to 1, got {weight!r}")
        limit = _validation.check_limit(limit)
        return queries.hybrid(engine, _words(text), vector, limit, share, partial=self._partial)

    @profiled
    def calculate_resonance(self, embedding1: ArrayLike, embedding2: ArrayLike) -> float:
        """Return the resonance of two vectors.

        Parameters
        ----------
        embedding1, embedding2 : array_like of shape (D,)
            The vectors.

        Returns
        -------
        float
            ``clip(c (1 + 0.1 sin(pi c)), 0, 1)`` of their cosine c.

        Raises
        ------
        ValidationError
            If either is not a vector of the store's dimension.
        """
        self._reading()
        first = _validation.as_vector(embedding1, self.dimension, "embedding1")
        second = _validation.as_vector(embedding2, self.dimension, "embedding2")
        return float(_core.resonance(_core.pair_cosine(first, second)))

    @profiled
    def query_by_resonance(self, min_resonance: float, max_results: int | None = None) -> list[queries.Hit]:
        """Return the entries that resonate most with the memory as a whole.

        Parameters
        ----------
        min_resonance : float
            Least resonance of a hit with the mean field, the normalised mean of all stored unit
            vectors.
        max_results : int, optional
            How many to return at most; all by default.

        Returns
        -------
        list of (str, float, dict)
            Key, resonance and record, strongest first.

        Raises
        ------
        ValidationError
            If an argument is not of its type or range.
        HTMError
            If the store is damaged.
        """
        engine = self._reading()
        least = _validation.check_similarity(min_resonance, "min_resonance")
        limit = None if max_results is None else _validation.check_limit(max_results, "max_results")
        return queries.resonant(engine, least, limit, partial=self._partial)

    # Measuring

    def benchmark_operations(self, num_operations: int = 1000) -> dict[str, float]:
        """Measure operations a second, in a temporary store on the same disk; this one stays as it is.

        Parameters
        ----------
        num_operations : int, default 1000
            How many operations of each kind.

        Returns
        -------
        dict of str to float
            store_ops_per_sec, retrieve_ops_per_sec, search_ops_per_sec and num_operations.

        Raises
        ------
        HTMError
            If no temporary store can be made beside this one's files.
        """
        count = _validation.check_count(num_operations, "num_operations", 1, 10_000_000)
        durability = self._reading().durability or "full"
        try:
            folder = tempfile.mkdtemp(prefix="benchmark-", dir=self.storage_path)
        except OSError as error:
            raise HTMError(f"no temporary store can be made in {str(self.storage_path)!r}: {error}") from error
        try:
            with HTMCore(folder, self.shard_count, dimension=self.dimension, durability=durability) as htm:
                htm._profiler = self._profiler
                return benchmark.operations_per_second(htm, count)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    # Async twins: the same methods in the pool that configure_ffi sizes

    store_embedding_async = async_twin(store_embedding)
    store_embeddings_async = async_twin(store_embeddings)
    get_embedding_async = async_twin(get_embedding)
    get_embeddings_async = async_twin(get_embeddings)
    get_text_async = async_twin(get_text)
    history_async = async_twin(history)
    delete_async = async_twin(delete)
    delete_many_async = async_twin(delete_many)
    search_similar_async = async_twin(search_similar)
    search_text_async = async_twin(search_text)
    search_hybrid_async = async_twin(search_hybrid)
    query_by_resonance_async = async_twin(query_by_resonance)
    flush_async = async_twin(flush)
    compact_async = async_twin(compact)
    benchmark_operations_async = async_twin(benchmark_operations)

    def _keys(self, prefix: str) -> Iterator[str]:
        after = None
        while True:
            with self._reading().catalog.reading() as reader:
                page = reader.keys(prefix, after, _KEYS_AT_ONCE)
            yield from page
            if len(page) < _KEYS_AT_ONCE:
                return
            after = page[-1]


def _words(query: object) -> str:
    words = _validation.check_text(query, "query")
    if words is None:
        raise ValidationError("query must be a str, got None")
    return words
