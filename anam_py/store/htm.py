"""HTMCore: a durable store of embeddings, searched exactly."""

import shutil
import tempfile
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from anam_py import _core, _validation
from anam_py._executor import async_twin
from anam_py._profiling import profiled
from anam_py.exceptions import HTMError, ValidationError
from anam_py.store import benchmark, explain, filters, queries, recovery
from anam_py.store.reports import Explanation
from anam_py.store.upkeep import Upkeep


class HTMCore(Upkeep):
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
    device : {"cpu", "cuda", "cuda:N"}, optional
        Where `search_many` does its work: on a device of torch's, which gets a copy of the rows
        and keeps it, shared by the handles on the path, until they are closed. The hits are the
        same, to the last bit. Rows that do not fit the device's memory (for "cpu",
        ``memory_limit_mb``) are brought there for each search, in pieces. All else is done without.

    Raises
    ------
    ValidationError
        If an argument is not of its type or range.
    HTMError
        If the path cannot hold a store, the store cannot be opened, or the device is not there;
        says why and what to do.
    ImportError
        If a device is given and torch is not installed.

    Examples
    --------
    >>> with HTMCore("./data/htm", dimension=3) as htm:
    ...     htm.store_embedding("src/model.py", [0.1, 0.2, 0.3], {"language": "python"})
    ...     [(key, round(score, 3)) for key, score, _ in htm.search_similar([0.1, 0.2, 0.25])]
    [('src/model.py', 0.996)]
    """

    # Searching

    @profiled
    def search_similar(
        self,
        query_embedding: ArrayLike,
        limit: int = 10,
        min_similarity: float = 0.5,
        *,
        where: dict[str, Any] | None = None,
        mode: str = "exact",
        recall: float = 0.99,
    ) -> list[queries.Hit]:
        """Return the entries most similar to a vector: exactly the best, every time.

        Parameters
        ----------
        query_embedding : array_like of shape (D,)
            The vector to compare with.
        limit : int, default 10
            How many to return at most.
        min_similarity : float, default 0.5
            Least cosine of a hit; -1 for any.
        where : dict, optional
            Which entries to search, by their metadata: ``{"language": "python", "size_bytes":
            {"$gt": 1000}}``. Keys are dotted paths; operators are ``$eq $ne $gt $gte $lt $lte $in
            $nin $exists $contains $prefix``, and ``$and $or $not`` around filters.
        mode : {"exact", "approx"}, default "exact"
            "approx" reads less of a large store: what it finds has exact scores, but some of the best may
            be missing. The answer is a list whose `expected_recall` says how many are to be expected.
        recall : float, default 0.99
            The least share of the best to expect in an approximate answer, above 0; with 1 the answer
            is the exact one, a plain list.

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
        return queries.similar(engine, query[np.newaxis], limit, least, self._scope(where), None, _recall(mode, recall))[0]

    @profiled
    def search_many(
        self,
        query_embeddings: ArrayLike,
        limit: int = 10,
        min_similarity: float = 0.5,
        *,
        where: dict[str, Any] | None = None,
        mode: str = "exact",
        recall: float = 0.99,
    ) -> list[list[queries.Hit]]:
        """Return what `search_similar` returns for each row of a matrix, all of one moment.

        Parameters
        ----------
        query_embeddings : array_like of shape (n, D)
            The vectors to compare with.
        limit : int, default 10
            How many hits to return at most for each.
        min_similarity : float, default 0.5
            Least cosine of a hit.
        where : dict, optional
            Which entries to search, as for `search_similar`.
        mode, recall : str, float
            As for `search_similar`.

        Returns
        -------
        list of list of (str, float, dict)
            The hits of each row, in order.

        Raises
        ------
        ValidationError, HTMError
            As in `search_similar`.
        """
        engine = self._reading()
        matrix = _validation.as_matrix(query_embeddings, self.dimension, "query_embeddings")
        limit = _validation.check_limit(limit)
        least = _validation.check_similarity(min_similarity)
        return queries.similar(engine, matrix, limit, least, self._scope(where), self._copy, _recall(mode, recall))

    @profiled
    def explain_search(
        self,
        query_embedding: ArrayLike,
        limit: int = 10,
        min_similarity: float = 0.5,
        *,
        where: dict[str, Any] | None = None,
    ) -> Explanation:
        """Search as `search_similar` does, and return how: the steps, what each left, read and took.

        Parameters
        ----------
        query_embedding : array_like of shape (D,)
            The vector to compare with.
        limit : int, default 10
            How many hits to look for.
        min_similarity : float, default 0.5
            Least cosine of a hit.
        where : dict, optional
            Which entries to search, as for `search_similar`.

        Returns
        -------
        Explanation
            Prints as a table.

        Raises
        ------
        ValidationError, HTMError
            As in `search_similar`.
        """
        engine = self._reading()
        query = _validation.as_vector(query_embedding, self.dimension, "query_embedding")
        limit = _validation.check_limit(limit)
        least = _validation.check_similarity(min_similarity)
        return explain.similar(engine, query, limit, least, self._scope(where))

    @profiled
    def search_text(self, query: str, limit: int = 10, *, where: dict[str, Any] | None = None) -> list[queries.Hit]:
        """Return the entries whose key and text match the words of a query best.

        Identifiers are split at case, underscore and digit borders, and words are stemmed, so
        that "parse arguments" finds ``parseArgument``.

        Parameters
        ----------
        query : str
            Words, any of which may match.
        limit : int, default 10
            How many to return at most.
        where : dict, optional
            Which entries to search, as for `search_similar`.

        Returns
        -------
        list of (str, float, dict)
            Key, BM25 score (above 0, higher is better) and record, best first.
        """
        return queries.matching(self._reading(), _words(query), _validation.check_limit(limit), self._scope(where))

    @profiled
    def search_hybrid(
        self,
        text: str,
        embedding: ArrayLike,
        limit: int = 10,
        *,
        where: dict[str, Any] | None = None,
        weight: float = 0.7,
    ) -> list[queries.Hit]:
        """Return the entries that are best by words and by vector together.

        Parameters
        ----------
        text : str
            Words, as for `search_text`.
        embedding : array_like of shape (D,)
            The vector, as for `search_similar`.
        limit : int, default 10
            How many to return at most.
        where : dict, optional
            Which entries to search, as for `search_similar`.
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
        return queries.hybrid(engine, _words(text), vector, limit, share, self._scope(where))

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
    def query_by_resonance(
        self, min_resonance: float, max_results: int | None = None, *, where: dict[str, Any] | None = None
    ) -> list[queries.Hit]:
        """Return the entries that resonate most with the memory as a whole.

        Parameters
        ----------
        min_resonance : float
            Least resonance of a hit with the mean field, the normalised mean of all stored unit
            vectors.
        max_results : int, optional
            How many to return at most; all by default.
        where : dict, optional
            Which entries to search, as for `search_similar`.

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
        return queries.resonant(engine, least, limit, self._scope(where))

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
        count = _validation.check_count(num_operations, "num_operations", 1, 1_000_000)
        durability = self._reading().durability or "full"
        try:
            folder = tempfile.mkdtemp(prefix=recovery.BENCHMARK, dir=self.storage_path)
        except OSError as error:
            raise HTMError(f"no temporary store can be made in {str(self.storage_path)!r}: {error}") from error
        try:
            with HTMCore(folder, self.shard_count, dimension=self.dimension, durability=durability) as htm:
                htm._profiler = self._profiler
                return benchmark.operations_per_second(htm, count)
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    search_similar_async = async_twin(search_similar)
    search_many_async = async_twin(search_many)
    explain_search_async = async_twin(explain_search)
    search_text_async = async_twin(search_text)
    search_hybrid_async = async_twin(search_hybrid)
    query_by_resonance_async = async_twin(query_by_resonance)
    benchmark_operations_async = async_twin(benchmark_operations)

    def _scope(self, where: dict[str, Any] | None) -> queries.Scope:
        return queries.Scope(filters.condition(where), self._partial)


def _words(query: object) -> str:
    words = _validation.check_text(query, "query")
    if words is None:
        raise ValidationError("query must be a str, got None")
    return words


def _recall(mode: object, recall: object) -> float:
    """Return the recall that a search has to reach."""
    if mode not in ("exact", "approx"):
        raise ValidationError(f'mode must be "exact" or "approx", got {mode!r}')
    share = _validation.check_similarity(recall, "recall")
    if not 0.0 < share <= 1.0:
        raise ValidationError(f"recall must be above 0 and at most 1, got {recall!r}")
    return share if mode == "approx" else 1.0
