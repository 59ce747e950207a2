"""Checks of public arguments, made once, before any lock or file.

Each function returns the argument in the one form that the code below works with, or raises a ValidationError that names
the argument, what is expected and what it got. Metadata and diff ops are checked in :mod:`anam_py._json`.
"""

import math
import numbers
import operator
import os
import re
import reprlib
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from anam_py._json import check_diff_ops, encode_metadata
from anam_py.exceptions import ValidationError

__all__ = [
    "MAX_KEY_BYTES",
    "MAX_TEXT_BYTES",
    "as_array",
    "as_matrix",
    "as_vector",
    "check_count",
    "check_device",
    "check_diff_ops",
    "check_key",
    "check_keys",
    "check_limit",
    "check_path",
    "check_similarity",
    "check_text",
    "encode_metadata",
]

Vector: TypeAlias = npt.NDArray[np.float32]
Matrix: TypeAlias = npt.NDArray[np.float32]

MAX_KEY_BYTES: Final = 1024
MAX_TEXT_BYTES: Final = 256 * 1024 * 1024

_REAL_KINDS: Final = "fiu"
_ROWS_AT_ONCE: Final = 4096
_DEVICE: Final = re.compile(r"cpu|cuda(:(0|[1-9]\d{0,2}))?", re.ASCII)


def as_array(value: object, name: str) -> npt.NDArray[Any]:
    """Return any array-like as a NumPy array of real numbers, not yet converted.

    Parameters
    ----------
    value : array_like
        Real numbers of any dtype and device, as for :func:`as_vector`, in any shape.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray
        Of an integer or floating dtype; may share memory with the argument, and hold NaN and infinity.

    Raises
    ------
    ValidationError
        If it holds anything else, or masked values.
    """
    if type(value) is np.ndarray:
        array = value
    else:
        try:
            array = _foreign_array(value)
        except (TypeError, ValueError, RuntimeError, BufferError, OverflowError) as error:
            raise ValidationError(f"{name} must be an array of real numbers, got {describe(value)}: {error}") from error
        if np.ma.is_masked(value):
            raise ValidationError(f"{name} must not have masked values; fill them first")
    if array.dtype.kind not in _REAL_KINDS:
        raise ValidationError(f"{name} must hold real numbers, got {_shape(array)}")
    return array


def as_vector(value: object, dimension: int, name: str = "embedding") -> Vector:
    """Return a vector as float32 in memory of its own.

    Parameters
    ----------
    value : array_like of shape (dimension,)
        Real numbers of any dtype, stride, byte order or device: NumPy, torch, lists, anything with ``__array__`` or DLPack.
    dimension : int
        Expected length.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    ndarray of shape (dimension,), float32
        A contiguous copy.

    Raises
    ------
    ValidationError
        If the shape or dtype is wrong, a value is NaN, infinite or beyond float32, or all values are zero.
    """
    array = as_array(value, name)
    if array.shape != (dimension,):
        raise ValidationError(f"{name} must be a vector of {dimension} numbers, got {_shape(array)}")
    vector = _to_float32(array, copy=True)
    # A finite, positive sum of squares proves at once that all values are finite and that one of them is not zero.
    if not 0.0 < np.vdot(vector, vector) < math.inf:
        _refuse_bad_row(array, vector, name)
    return vector


def as_matrix(value: object, dimension: int, name: str = "matrix", rows: int | None = None) -> Matrix:
    """Return a matrix of row vectors as float32, copied only if it has to be.

    Parameters
    ----------
    value : array_like of shape (n, dimension)
        As for :func:`as_vector`.
    dimension : int
        Expected number of columns.
    name : str
        Name of the argument, for messages.
    rows : int, optional
        Expected number of rows; any number by default.

    Returns
    -------
    ndarray of shape (n, dimension), float32, C-contiguous
        May share memory with the argument.

    Raises
    ------
    ValidationError
        If the shape or dtype is wrong, a value is NaN, infinite or beyond float32, or all values of a row are zero.
    """
    array = as_array(value, name)
    if array.shape == (0,):
        array = array.reshape(0, dimension)
    if array.ndim != 2 or array.shape[1] != dimension or rows not in (None, array.shape[0]):
        expected = f"{'n' if rows is None else rows} x {dimension}"
        raise ValidationError(f"{name} must be a matrix of {expected} numbers, got {_shape(array)}")
    matrix = _to_float32(array, copy=False)
    for start in range(0, len(matrix), _ROWS_AT_ONCE):
        block = matrix[start : start + _ROWS_AT_ONCE]
        with np.errstate(over="ignore", invalid="ignore"):
            squares = np.einsum("ij,ij->i", block, block)
        for row in np.flatnonzero(~((squares > 0.0) & (squares < math.inf))):
            index = start + int(row)
            _refuse_bad_row(array[index], matrix[index], f"{name}[{index}]")
    return matrix


def check_key(key: object, name: str = "key") -> str:
    """Return a key as a plain str.

    Parameters
    ----------
    key : str
        Not empty, without NUL and lone surrogates, at most 1,024 bytes in UTF-8. It is stored as it is: the composed and
        the decomposed form of an accented letter are different keys.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    str
        The key.

    Raises
    ------
    ValidationError
        If it is none.
    """
    if not isinstance(key, str):
        raise ValidationError(f"{name} must be a str, got {describe(key)}")
    if not key:
        raise ValidationError(f"{name} must not be empty")
    if "\0" in key:
        raise ValidationError(f"{name} must not contain NUL, got {describe(key)}")
    if len(key) * 4 > MAX_KEY_BYTES or not key.isascii():
        size = len(_utf8(key, name))
        if size > MAX_KEY_BYTES:
            raise ValidationError(f"{name} must be at most {MAX_KEY_BYTES:,} bytes in UTF-8, got {size:,}: {describe(key)}")
    return str.__str__(key)


def check_keys(keys: object, name: str = "keys") -> list[str]:
    """Return keys as a list of plain str.

    Parameters
    ----------
    keys : iterable of str
        Each as for :func:`check_key`.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    list of str
        The keys, in order.

    Raises
    ------
    ValidationError
        If it is a single str or no iterable, or one of them is no key.
    """
    if isinstance(keys, str) or not isinstance(keys, Iterable):
        raise ValidationError(f"{name} must be a list of str, got {describe(keys)}")
    return [check_key(key, f"{name}[{index}]") for index, key in enumerate(keys)]


@overload
def check_text(text: object, name: str = "text", *, optional: Literal[False]) -> str: ...


@overload
def check_text(text: object, name: str = "text", *, optional: bool = True) -> str | None: ...


def check_text(text: object, name: str = "text", *, optional: bool = True) -> str | None:
    """Return a text as a plain str, or None.

    Parameters
    ----------
    text : str or None
        Without lone surrogates, at most 256 MiB in UTF-8.
    name : str
        Name of the argument, for messages.
    optional : bool
        Whether None will do.

    Returns
    -------
    str or None
        The text.

    Raises
    ------
    ValidationError
        If it is neither.
    """
    if text is None and optional:
        return None
    if not isinstance(text, str):
        raise ValidationError(f"{name} must be a str{' or None' if optional else ''}, got {describe(text)}")
    size = len(text) if text.isascii() else len(_utf8(text, name))
    if size > MAX_TEXT_BYTES:
        raise ValidationError(f"{name} must be at most {MAX_TEXT_BYTES:,} bytes in UTF-8, got {size:,}")
    return str.__str__(text)


def check_limit(limit: object, name: str = "limit") -> int:
    """Return a number of results.

    Parameters
    ----------
    limit : int
        At least 1.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    int
        The number.

    Raises
    ------
    ValidationError
        If it is no integer, or less than 1.
    """
    return check_count(limit, name, 1)


def check_count(value: object, name: str, minimum: int, maximum: int | None = None) -> int:
    """Return an integer.

    Parameters
    ----------
    value : int
        A Python or NumPy integer, not a bool.
    name : str
        Name of the argument, for messages.
    minimum : int
        Least value allowed.
    maximum : int, optional
        Greatest value allowed; no bound by default.

    Returns
    -------
    int
        The value.

    Raises
    ------
    ValidationError
        If it is no integer, or out of range.
    """
    expected = f"an integer of at least {minimum:,}" if maximum is None else f"an integer from {minimum:,} to {maximum:,}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise ValidationError(f"{name} must be {expected}, got {describe(value)}")
    if number < minimum or (maximum is not None and number > maximum):
        raise ValidationError(f"{name} must be {expected}, got {reprlib.repr(number)}")
    return number


def check_device(device: object, name: str = "device") -> str | None:
    """Return the name of a device, or None.

    Parameters
    ----------
    device : str or None
        "cpu", "cuda" or "cuda:N". Whether there is such a device is not asked.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    str or None
        The name.

    Raises
    ------
    ValidationError
        If it is neither.
    """
    if device is None or (isinstance(device, str) and _DEVICE.fullmatch(device)):
        return device
    raise ValidationError(f"{name} must be 'cpu', 'cuda', 'cuda:N' (such as 'cuda:0') or None, got {describe(device)}")


def check_similarity(value: object, name: str = "min_similarity") -> float:
    """Return a threshold as a float.

    Parameters
    ----------
    value : float
        Any finite real number.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    float
        The value.

    Raises
    ------
    ValidationError
        If it is no real number, NaN or infinite.
    """
    if type(value) is float or (not isinstance(value, bool) and isinstance(value, numbers.Real)):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValidationError(f"{name} must be a finite number, got {describe(value)}")


def check_path(path: object, name: str = "path") -> Path:
    """Return a path.

    Parameters
    ----------
    path : str or os.PathLike
        Not empty, without NUL.
    name : str
        Name of the argument, for messages.

    Returns
    -------
    pathlib.Path
        The path, as given.

    Raises
    ------
    ValidationError
        If it is none.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ValidationError(f"{name} must be a str or os.PathLike, got {describe(path)}")
    text = os.fsdecode(path)
    if not text:
        raise ValidationError(f"{name} must not be empty; write '.' for the current folder")
    if "\0" in text:
        raise ValidationError(f"{name} must not contain NUL, got {describe(text)}")
    return Path(text)


def describe(value: object) -> str:
    """Return type and shortened value, for messages.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str
        One line.
    """
    return "None" if value is None else f"{type(value).__name__} {reprlib.repr(value)}"


def _utf8(text: str, name: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValidationError(
            f"{name} must not contain lone surrogates, got {text[error.start]!r} at position {error.start:,}"
        ) from None


def _foreign_array(value: Any) -> npt.NDArray[Any]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        tensor = value.detach().cpu()
        if tensor.is_floating_point() and tensor.element_size() < 4:  # NumPy lacks most such types; float32 holds them exactly
            tensor = tensor.float()
        return np.asarray(tensor.numpy(force=True))
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        return _from_dlpack(value)
    return np.asarray(value)


def _from_dlpack(value: Any) -> npt.NDArray[Any]:
    try:
        return np.from_dlpack(value)
    except (BufferError, RuntimeError, TypeError, ValueError):
        return np.from_dlpack(value, device="cpu", copy=True)


def _to_float32(array: npt.NDArray[Any], *, copy: bool) -> npt.NDArray[np.float32]:
    if array.dtype == np.float32:
        return np.array(array, np.float32, order="C", copy=True) if copy else np.require(array, np.float32, ["C", "A"])
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return array.astype(np.float32, order="C")


def _refuse_bad_row(source: npt.NDArray[Any], vector: Vector, name: str) -> None:
    """Raise for a row that is not finite, not zero; return when its sum of squares merely over- or underflowed."""
    bad = np.flatnonzero(~np.isfinite(vector))
    if bad.size:
        value = source[bad[0]]
        reason = "is beyond float32" if np.isfinite(value) else "is not finite"
        raise ValidationError(f"{name}[{bad[0]}] {reason}: {value}")
    if not vector.any():
        rounded = " in float32" if source.any() else ""
        raise ValidationError(f"{name} must not be the zero vector{rounded}: it has no direction")


def _shape(array: npt.NDArray[Any]) -> str:
    return f"an array of shape {array.shape} and dtype {array.dtype}"
