"""What all embedders do that others' models are behind: check texts and vectors, and bring the vectors to unit length."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from anam_py._validation import as_array
from anam_py.embedding.arguments import check_texts
from anam_py.embedding.protocol import Kind
from anam_py.exceptions import ValidationError

__all__ = ["Adapted"]

_WORD = re.compile(r"[^\W_]")
_PROBE = "dimension"


class Adapted(ABC):
    """An embedder whose vectors somebody else makes: a function or a model."""

    @property
    @abstractmethod
    def name(self) -> str:
        """What tells its vectors from those of any other embedder."""

    @cached_property
    def dimension(self) -> int:
        """Length of its vectors; asked for by embedding one word when it is first needed."""
        return int(self._checked([_PROBE], "document").shape[1])

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> npt.NDArray[np.float32]:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
        kind : {"document", "query"}
            Whether they are to be found, or to be looked for.

        Returns
        -------
        ndarray of shape (len(texts), dimension), float32
            Unit rows; a zero row for a text without a letter or digit, which is not handed on.

        Raises
        ------
        ValidationError
            If `texts` is not a sequence of str, `kind` is not one of the two, or what comes back is not a finite vector of
            `dimension` numbers for each text.
        """
        checked = check_texts(texts, kind)
        worded = [place for place, text in enumerate(checked) if _WORD.search(text)]
        vectors = np.zeros((len(checked), self.dimension), np.float32)
        if worded:
            found = self._checked([checked[place] for place in worded], kind)
            if found.shape[1] != self.dimension:
                raise ValidationError(
                    f"embedder {self.name!r} must give vectors of {self.dimension} numbers, it gave some of {found.shape[1]}"
                )
            vectors[worded] = _to_unit_length(found)
        return vectors

    @abstractmethod
    def _vectors(self, texts: list[str], kind: Kind) -> npt.ArrayLike:
        """Return a vector for each text; there is one text at least."""

    def _checked(self, texts: list[str], kind: Kind) -> npt.NDArray[np.float64]:
        found = as_array(self._vectors(texts, kind), f"what embedder {self.name!r} gives")
        if found.ndim != 2 or len(found) != len(texts) or not found.shape[1]:
            raise ValidationError(
                f"embedder {self.name!r} must give an array of shape ({len(texts)}, dimension), a vector for each text, "
                f"it gave one of shape {found.shape}"
            )
        found = found.astype(np.float64)
        finite = np.isfinite(found).all(axis=1)
        if not finite.all():
            text = texts[int(np.argmin(finite))]
            raise ValidationError(f"embedder {self.name!r} gave a vector that is not finite, of the text {text[:60]!r}")
        return found


def _to_unit_length(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return vectors of length 1 with the same directions; zero rows stay as they are."""
    vectors = _divided(vectors, np.abs(vectors).max(axis=1))  # so that no square overflows
    return _divided(vectors, np.linalg.norm(vectors, axis=1))


def _divided(rows: npt.NDArray[np.float64], sizes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    by = sizes[:, np.newaxis]
    return np.divide(rows, by, out=np.zeros_like(rows), where=by > 0)
