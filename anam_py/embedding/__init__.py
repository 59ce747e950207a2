"""From text to vectors: the protocol of an embedder, the two that are built in, and what makes one of anything else.

::

    as_embedder (resolving.py) ─┬─ StaticEmbedder (static.py, its model in static.npz) ──────► _core
                                ├─ HashingEmbedder (hashing.py) ──► terms.py ────────────────► _core
                                ├─ from_callable (callables.py) ─────────────┬► adapting.py
                                ├─ a model of sentence-transformers (sentences.py) ─┘
                                └─ any object that is an Embedder (protocol.py)
"""

from anam_py.embedding.callables import from_callable
from anam_py.embedding.hashing import HashingEmbedder
from anam_py.embedding.protocol import Embedder
from anam_py.embedding.resolving import EmbedderLike, as_embedder, choice_of, default_embedder, is_built_in
from anam_py.embedding.static import StaticEmbedder
from anam_py.embedding.terms import terms_of

__all__ = [
    "Embedder",
    "EmbedderLike",
    "HashingEmbedder",
    "StaticEmbedder",
    "as_embedder",
    "choice_of",
    "default_embedder",
    "from_callable",
    "is_built_in",
    "terms_of",
]
