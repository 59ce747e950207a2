"""An embedder out of any function that makes vectors of texts."""

from collections.abc import Callable

import numpy.typing as npt

from anam_py._validation import check_count, describe
from anam_py.embedding.adapting import Adapted
from anam_py.embedding.protocol import Embedder, Kind
from anam_py.exceptions import ValidationError

__all__ = ["from_callable", "from_named_function"]


class CallableEmbedder(Adapted):
    """A function as an embedder; as safe to share between threads as the function is.

    Parameters
    ----------
    function : Callable
    name : str
    dimension : int, optional
    """

    def __init__(self, function: Callable[[list[str]], npt.ArrayLike], name: str, dimension: int | None = None) -> None:
        self._function = function
        self._name = name
        if dimension is not None:
            self.dimension = dimension

    @property
    def name(self) -> str:
        """What was given, or where the function is defined."""
        return self._name

    def _vectors(self, texts: list[str], kind: Kind) -> npt.ArrayLike:  # noqa: ARG002 - a function embeds both alike
        return self._function(texts)


def from_callable(function: Callable[[list[str]], npt.ArrayLike], *, name: str, dimension: int | None = None) -> Embedder:
    """Return a function of texts as an embedder.

    The function is called from whatever thread embeds, by several at once where several search: it has to bear that.

    Parameters
    ----------
    function : Callable
        Takes a list of str, none of them without a letter or digit, and returns an array of shape (len(texts), d) of real
        numbers: NumPy, torch, lists. Its rows are brought to unit length.
    name : str
        What tells its vectors from those of any other function and of any other version of this one: a store records it, and
        refuses to mix vectors under two names. ``"bge-small-en-1.5"`` is a good one, ``"mine"`` is not.
    dimension : int, optional
        Length of its vectors. Where it is not given, a word is embedded to find out, when it is first needed.

    Returns
    -------
    Embedder
        Documents and queries are embedded alike; what tells them apart has to be an object that has name, dimension and
        ``embed(texts, kind)`` of its own.

    Raises
    ------
    ValidationError
        If an argument is not of its type.

    Examples
    --------
    >>> lengths = from_callable(lambda texts: [[len(text), 1.0] for text in texts], name="length-1")
    >>> lengths.embed(["def main(): ..."])
    array([[0.997785  , 0.06651901]], dtype=float32)
    """
    _check(function, name)
    return CallableEmbedder(function, name, None if dimension is None else check_count(dimension, "dimension", 1))


def from_named_function(function: Callable[[list[str]], npt.ArrayLike]) -> Embedder:
    """Return a function as an embedder that is called after the place where the function is defined.

    Parameters
    ----------
    function : Callable
        A function of a module's, as for `from_callable`.

    Returns
    -------
    Embedder

    Raises
    ------
    ValidationError
        If the place does not tell the function from any other: that of a lambda, of a function inside another one, of a
        method, an object, or of what a script or a notebook defines.
    """
    module, path = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
    if not module or not path or module == "__main__" or not all(map(str.isidentifier, path.split("."))) or _is_method(function):
        raise ValidationError(
            f"embedder has no name that tells it from any other, which a store has to record, got {describe(function)}: "
            'write embedder=anam_py.embedding.from_callable(function, name="...") with a name and version of your own'
        )
    return from_callable(function, name=f"{module}.{path}")


def _check(function: object, name: object) -> None:
    if not callable(function) or isinstance(function, type):
        raise ValidationError(f"function must be callable as (texts), got {describe(function)}")
    if not isinstance(name, str) or not name:
        raise ValidationError(f"name must be a str that is not empty, got {describe(name)}")


def _is_method(function: object) -> bool:
    """Tell whether what a function gives depends on the object it belongs to."""
    owner = getattr(function, "__self__", None)
    return owner is not None and not hasattr(owner, "__spec__")  # a compiled function belongs to its module
