"""The names under which files are stored: how a path becomes a key.

A file's key is the path that the caller gave, normalised, joined with the file's path below it, in POSIX form. A symbol's
key is its file's key, ``::`` and its qualified name.
"""

import os
import re

from anam_py._validation import MAX_KEY_BYTES

__all__ = ["SEPARATOR", "fits", "is_below", "key_prefix", "symbol_key", "unwritten", "written"]

SEPARATOR = "::"

_LOOKS_ESCAPED = re.compile(r"\\(?=x[0-9a-f]{2})")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")


def written(path: str) -> str:
    r"""Return a path as it is written in keys: POSIX form, and only characters that every part of the store can hold.

    Parameters
    ----------
    path : str
        As the operating system gives it; bytes that are not UTF-8 are lone surrogates in it.

    Returns
    -------
    str
        Such bytes stand as ``\xNN``. So that two names never become one key, a backslash that reads as the start of such
        an escape is written ``\x5c``; and the second colon of a pair, which would read as a symbol's, ``\x3a``.
    """
    if os.sep != "/":
        path = path.replace(os.sep, "/")
    if path.isascii() and "\\" not in path and SEPARATOR not in path:
        return path
    path = _LOOKS_ESCAPED.sub(r"\\x5c", path).replace(SEPARATOR, r":\x3a")
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def unwritten(key: str) -> str:
    """Return the path that `written` was given for a key, but for the slashes."""
    if key.isascii() and "\\x" not in key:
        return key
    return os.fsdecode(_ESCAPED.sub(lambda escape: bytes([int(escape[1], 16)]), key.encode("utf-8")))


def is_below(prefix: str, key: str) -> bool:
    """Tell whether a key is that of a file below the folder whose files' keys have a prefix."""
    if not prefix and os.path.isabs(key):  # noqa: PTH117 - one a row, and a Path takes 20 times as long
        return False
    return key.startswith(prefix) and not key.startswith("../", len(prefix))


def key_prefix(path: str | os.PathLike[str]) -> str:
    """Return what the keys of the files below a folder start with: ``"src/"`` for ``"./src"``, nothing for ``"."``."""
    normalised = written(os.path.normpath(os.fspath(path)))
    if normalised == ".":
        return ""
    return normalised if normalised.endswith("/") else f"{normalised}/"


def symbol_key(file_key: str, qualified_name: str, occurrence: int) -> str:
    """Return the key of a symbol: ``path::Class.method``, and ``path::Class.method#2`` for the second of that name."""
    repeated = f"#{occurrence}" if occurrence > 1 else ""
    return f"{file_key}{SEPARATOR}{qualified_name}{repeated}"


def fits(key: str) -> bool:
    """Tell whether a key is within the store's limit."""
    return len(key) * 4 <= MAX_KEY_BYTES or len(key.encode("utf-8")) <= MAX_KEY_BYTES
