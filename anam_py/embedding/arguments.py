"""The check of what a built-in embedder is asked to embed."""

from typing import get_args

from anam_py.embedding.protocol import Kind
from anam_py.exceptions import ValidationError

__all__ = ["check_texts"]


def check_texts(texts: object, kind: object) -> list[str]:
    """Return the texts as a list.

    Raises
    ------
    ValidationError
        If `texts` is not a sequence of str, or `kind` is none that there is.
    """
    if isinstance(texts, str) or not hasattr(texts, "__iter__") or not all(isinstance(text, str) for text in texts):
        raise ValidationError(f"texts must be a sequence of str, got {type(texts).__name__}: write [text] for a single one")
    if kind not in get_args(Kind):
        raise ValidationError(f"kind must be 'document' or 'query', got {kind!r}")
    return list(texts)
