"""What anything that makes vectors of texts has to offer."""

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

__all__ = ["Embedder", "Kind"]

Kind: TypeAlias = Literal["document", "query"]


@runtime_checkable
class Embedder(Protocol):
    """Something that makes vectors of texts.

    The vectors of one embedder may be compared with each other and with no others; a store remembers its embedder's name.
    """

    @property
    def name(self) -> str:
        """What tells its vectors from those of any other embedder, and of any other version of this one."""
        ...

    @property
    def dimension(self) -> int:
        """Length of its vectors."""
        ...

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
            Unit rows; a zero row for a text without anything to embed.
        """
        ...
