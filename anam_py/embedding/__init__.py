"""From text to vectors: the protocol of an embedder, and the two that are built in.

::

    crawler ──► Embedder (protocol.py) ◄─┬─ StaticEmbedder (static.py, its model in static.npz) ──────► _core
                                         └─ HashingEmbedder (hashing.py) ──► terms.py ────────────────► _core
"""

from anam_py.embedding.hashing import HashingEmbedder
from anam_py.embedding.protocol import Embedder
from anam_py.embedding.static import StaticEmbedder
from anam_py.embedding.terms import terms_of

__all__ = ["Embedder", "HashingEmbedder", "StaticEmbedder", "default_embedder", "terms_of"]

_DEFAULT = StaticEmbedder()


def default_embedder() -> Embedder:
    """Return the embedder that is used where none is given: deterministic, offline and safe to share between threads."""
    return _DEFAULT
