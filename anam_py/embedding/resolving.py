"""From what a user gives, a name or an object, to an embedder, and back to the name."""

import re
import sys
from collections.abc import Callable
from typing import TypeAlias

import numpy.typing as npt

from anam_py._validation import check_count, describe
from anam_py.embedding.adapting import Adapted
from anam_py.embedding.callables import from_named_function
from anam_py.embedding.hashing import HashingEmbedder
from anam_py.embedding.protocol import Embedder
from anam_py.embedding.sentences import SentenceTransformerEmbedder
from anam_py.embedding.static import StaticEmbedder
from anam_py.exceptions import ValidationError

__all__ = ["EmbedderLike", "as_embedder", "choice_of", "default_embedder", "is_built_in"]

# A model of sentence-transformers is callable, too.
EmbedderLike: TypeAlias = Embedder | str | Callable[[list[str]], npt.ArrayLike]

_BUILT_IN: dict[str, type[HashingEmbedder | StaticEmbedder]] = {"static": StaticEmbedder, "hash": HashingEmbedder}
_BUILT_IN_NAME = re.compile(r"hash-\d+|static-\d+-[0-9a-f]{8}")
_MODEL = "sentence-transformers:"
_DEFAULT = StaticEmbedder()


def default_embedder() -> Embedder:
    """Return the embedder that is used where none is given: deterministic, offline and safe to share between threads."""
    return _DEFAULT


def as_embedder(given: EmbedderLike | None, *, offline: bool = False) -> Embedder:
    """Return what is given as an embedder.

    Parameters
    ----------
    given : Embedder, str, Callable, sentence_transformers.SentenceTransformer or None
        None for the default. ``"static"`` and ``"hash"`` are the built-in ones; ``"sentence-transformers:MODEL"`` is a model by
        its name on the Hugging Face Hub or by its folder, loaded when it is first needed. A function of a module's is known
        by its place there; any other callable needs a name of its own: `from_callable`. An object with name, dimension
        and ``embed(texts, kind)`` is one already.
    offline : bool, default False
        Whether a model that is not on this machine is an error when it is needed, rather than downloaded.

    Returns
    -------
    Embedder
        Of a function, as safe to share between threads as that is; otherwise safe, but for what an object of the user's does.

    Raises
    ------
    ValidationError
        If it is none of these, or a callable that cannot be told from others.
    """
    if given is None:
        return _DEFAULT
    if isinstance(given, (Adapted, HashingEmbedder, StaticEmbedder)):
        return given
    if isinstance(given, str):
        return _named(given, offline=offline)
    if _is_sentence_transformer(given):
        return SentenceTransformerEmbedder(given)
    if isinstance(given, type):  # a class has all that its objects have, and can be called
        raise _wrong(given)
    if isinstance(given, Embedder):
        return _checked(given)
    if callable(given):
        return from_named_function(given)
    raise _wrong(given)


def choice_of(embedder: Embedder) -> str | None:
    """Return the str that makes an embedder anew, which a store keeps beside its name.

    Parameters
    ----------
    embedder : Embedder

    Returns
    -------
    str or None
        What `as_embedder` takes; None if there is no such str, and for the default, which nobody has chosen.
    """
    if embedder is _DEFAULT:
        return None
    if isinstance(embedder, SentenceTransformerEmbedder):
        return None if embedder.model is None else _MODEL + embedder.model
    return next((name for name, kind in _BUILT_IN.items() if type(embedder) is kind), None)


def is_built_in(name: str) -> bool:
    """Tell whether a built-in embedder has this name, or had it in another version.

    Parameters
    ----------
    name : str
        An embedder's.

    Returns
    -------
    bool
    """
    return _BUILT_IN_NAME.fullmatch(name) is not None


def _named(text: str, *, offline: bool) -> Embedder:
    if text in _BUILT_IN:
        return _BUILT_IN[text]()
    model = text.removeprefix(_MODEL)
    if not model or model == text:
        raise _wrong(text)
    return SentenceTransformerEmbedder(model, offline=offline)


def _is_sentence_transformer(given: object) -> bool:
    library = sys.modules.get("sentence_transformers")
    return isinstance(given, getattr(library, "SentenceTransformer", ()))


def _checked(embedder: Embedder) -> Embedder:
    name: object = embedder.name
    if not isinstance(name, str) or not name:
        raise ValidationError(f"embedder.name must be a str that is not empty, got {describe(name)}")
    check_count(embedder.dimension, "embedder.dimension", 1)
    return embedder


def _wrong(given: object) -> ValidationError:
    return ValidationError(
        "embedder must be 'static', 'hash', 'sentence-transformers:MODEL', a SentenceTransformer, a function of a list of texts, "
        f"or an object with name, dimension and embed(texts, kind), got {describe(given)}"
    )
