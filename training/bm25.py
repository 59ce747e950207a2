"""BM25 over the terms of texts: what words alone find."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["BM25"]

_K1, _B = 1.2, 0.75


class BM25:
    """Ranks documents by the words that they share with a query (Robertson and Zaragoza, 2009).

    Parameters
    ----------
    documents : sequence of str
    terms : callable
        From a text to its terms.
    """

    def __init__(self, documents: Sequence[str], terms: Callable[[str], list[str]]) -> None:
        self._terms = terms
        self._n = len(documents)
        counts = [Counter(terms(document)) for document in documents]
        lengths = np.array([sum(count.values()) for count in counts], np.float64)
        norm = _K1 * (1 - _B + _B * lengths / max(1.0, lengths.mean()))
        postings: dict[str, tuple[list[int], list[int]]] = {}
        for place, count in enumerate(counts):
            for term, seen in count.items():
                places, often = postings.setdefault(term, ([], []))
                places.append(place)
                often.append(seen)
        self._postings: dict[str, tuple[npt.NDArray[np.intp], npt.NDArray[np.float64]]] = {}
        for term, (found, often) in postings.items():
            places, tf = np.array(found), np.array(often, np.float64)
            rarity = np.log1p((self._n - len(places) + 0.5) / (len(places) + 0.5))
            self._postings[term] = places, rarity * tf * (_K1 + 1) / (tf + norm[places])

    def scores(self, queries: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the score of each document for each query, of shape (len(queries), n_documents)."""
        scores = np.zeros((len(queries), self._n))
        for row, query in zip(scores, queries, strict=True):
            for term, times in Counter(self._terms(query)).items():
                if term in self._postings:
                    places, gains = self._postings[term]
                    row[places] += times * gains
        return scores
