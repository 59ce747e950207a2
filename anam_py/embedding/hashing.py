"""The embedder that knows words alone: a signed sum of hashed terms, with nothing to learn, to load or to go out of date."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from anam_py import _core
from anam_py.embedding.arguments import check_texts
from anam_py.embedding.protocol import Kind
from anam_py.embedding.terms import terms_of

__all__ = ["HashingEmbedder"]


class HashingEmbedder:
    """Embeds a text as the signed, weighted sum of the hashes of its terms.

    Texts are close when they share terms; what a term means is not known. The vectors are the same on every machine.
    """

    name = "hash-1"
    dimension = 768

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> npt.NDArray[np.float32]:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
        kind : {"document", "query"}
            Makes no difference to this embedder.

        Returns
        -------
        ndarray of shape (len(texts), 768), float32
            Unit rows; a zero row for a text without terms.

        Raises
        ------
        ValidationError
            If `texts` is not a sequence of str, or `kind` is not one of the two.
        """
        checked = check_texts(texts, kind)
        return _core.hash_tokens([" ".join(terms_of(text)) for text in checked], self.dimension)
