"""From text to vectors: the protocol of an embedder, and the one that is built in.

::

    crawler ──► Embedder (protocol.py) ◄── HashingEmbedder (hashing.py) ──► terms.py ──► _core
"""

from anam_py.embedding.hashing import HashingEmbedder
from anam_py.embedding.protocol import Embedder
from anam_py.embedding.terms import terms_of

__all__ = ["Embedder", "HashingEmbedder", "default_embedder", "terms_of"]

_DEFAULT = HashingEmbedder()


def default_embedder() -> Embedder:
    """Return the embedder that is used where none is given: deterministic, offline and safe to share between threads."""
    return _DEFAULT
