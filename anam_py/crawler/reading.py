"""Reading one file: its bytes as they were at one moment, and the text they stand for."""

import codecs
import os
import re
import stat
import time
from typing import NamedTuple

from anam_py.crawler.report import Reason

__all__ = ["Content", "Text", "Unindexable", "decode", "moment", "read"]

_HEAD = 8192
_FLAGS = os.O_RDONLY
for _name in ("O_NONBLOCK", "O_NOFOLLOW", "O_CLOEXEC", "O_BINARY", "O_NOCTTY"):
    _FLAGS |= getattr(os, _name, 0)

# What has no NUL in its head often enough, and is no text.
_MAGIC = (
    (b"%PDF-", "PDF"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard"),
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"wOFF", "font"),
    (b"wOF2", "font"),
    (b"\x7fELF", "ELF"),
    (b"\xca\xfe\xba\xbe", "class file"),
    (b"\x00asm", "WebAssembly"),
    (b"\x89HDF\r\n", "HDF5"),
    (b"SQLite format 3", "SQLite"),
    (b"PAR1", "Parquet"),
    (b"OggS", "Ogg"),
    (b"\x80\x04\x95", "pickle"),
)

# Longer marks first: UTF-32's little-endian one starts like UTF-16's.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)

_MARKS = tuple(mark for mark, _ in _BYTE_ORDER_MARKS)

# PEP 263's, in the first two lines; other languages and editors have taken it up.
_DECLARATION = re.compile(rb"\A(?:[^\n]*\n)?[ \t\f]*(?:#|//|/\*|;|--|%)[^\n]*?coding[:=][ \t]*([-\w.]+)")
# Codecs for text in a national encoding. Others (punycode, unicode_escape) can take long or give no text.
_TRUSTED_CODEC = re.compile(
    r"ascii|utf-8|iso8859-\d+|cp\d+|koi8-[rtu]|mac-\w+|euc_\w+|shift_?jis\w*|gb\w+|big5\w*|johab|hz|tis-620"
)


class Unindexable(Exception):
    """A file that cannot be taken in, with the reason."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class Content(NamedTuple):
    """The bytes of a file, and its status when they were read.

    Attributes
    ----------
    data : bytes
    status : os.stat_result
    read_ns : int
        When that was: what is made of the bytes may take long.
    """

    data: bytes
    status: os.stat_result
    read_ns: int


class Text(NamedTuple):
    """The text of a file, without a byte order mark, and what it was decoded from.

    Attributes
    ----------
    text : str
    encoding : str
    broken : bool
        Whether bytes did not fit the encoding and were replaced by U+FFFD.
    """

    text: str
    encoding: str
    broken: bool = False


def read(path: str, max_bytes: int) -> Content:
    """Read a file that may be anything, and may change at any moment.

    Parameters
    ----------
    path : str
    max_bytes : int
        Larger files are not read.

    Returns
    -------
    Content
        As the file was at one moment.

    Raises
    ------
    Unindexable
        If it is gone, unreadable, no regular file, too large, by its first bytes no text, or was changing at each of two
        attempts.
    """
    try:
        content = _read_once(path, max_bytes) or _read_once(path, max_bytes)
    except FileNotFoundError:
        raise Unindexable(Reason.VANISHED) from None
    except OSError as error:
        raise Unindexable(Reason.UNREADABLE, error.strerror or str(error)) from None
    if content is None:
        raise Unindexable(Reason.CHANGING, "while it was read, twice")
    return content


def moment(status: os.stat_result) -> tuple[int, int]:
    """Return what tells that a file has not been written between two looks: its size, and its latest time in ns.

    The time of the last change of status is among them, since tools that copy and unpack set the modification time back.
    """
    return status.st_size, max(status.st_mtime_ns, status.st_ctime_ns)


def _read_once(path: str, max_bytes: int) -> Content | None:
    now = time.time_ns()
    # The path may have become a pipe or a link since it was met.
    with open(os.open(path, _FLAGS), "rb") as file:  # noqa: PTH123 - a descriptor
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise Unindexable(Reason.SPECIAL)
        if before.st_size > max_bytes:
            raise Unindexable(Reason.OVERSIZED, f"{before.st_size:,} bytes, the limit is {max_bytes:,}")
        data = file.read(_HEAD)
        if data is None:  # as from /proc/kmsg, a regular file by its mode
            raise Unindexable(Reason.SPECIAL, "it has nothing to read at the moment")
        _refuse_binary(data)
        data += file.read(max_bytes + 1 - len(data)) or b""
        after = os.fstat(file.fileno())
    unchanged = (before.st_mtime_ns, *moment(before)) == (after.st_mtime_ns, *moment(after))
    return Content(data, after, now) if unchanged and len(data) == after.st_size else None


def decode(data: bytes, max_line_bytes: int) -> Text:
    """Return the text of a file.

    A byte order mark decides; then a declaration as in PEP 263, if the text is valid in what it names; then UTF-8, in
    which what is not valid is replaced.

    Parameters
    ----------
    data : bytes
    max_line_bytes : int
        A text with a longer line was written by a program for a program.

    Returns
    -------
    Text

    Raises
    ------
    Unindexable
        If it has too long a line.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = _decode(data[len(mark) :], encoding)
            break
    else:
        text = _decode(data, _declared(data))
    longest = max(map(len, data.split(b"\n")))
    if longest > max_line_bytes:
        raise Unindexable(Reason.LONG_LINE, f"{longest:,} bytes, the limit is {max_line_bytes:,}")
    return text


def _refuse_binary(head: bytes) -> None:
    """Raise Unindexable if a file begins as no text does."""
    if head.startswith(_MARKS):
        return
    kind = next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)
    if kind is None and b"\0" in head:
        kind = "a NUL byte near the start"
    if kind is not None:
        raise Unindexable(Reason.BINARY, kind)


def _declared(data: bytes) -> str:
    declaration = _DECLARATION.match(data[:_HEAD])
    if declaration is None:
        return "utf-8"
    try:
        name = codecs.lookup(declaration[1].decode("ascii", "replace")).name
    except (LookupError, ValueError):
        return "utf-8"
    return name if _TRUSTED_CODEC.fullmatch(name) else "utf-8"


def _decode(data: bytes, encoding: str) -> Text:
    try:
        return Text(data.decode(encoding), encoding)
    except UnicodeDecodeError:
        if not encoding.startswith("utf-"):
            return _decode(data, "utf-8")
        return Text(data.decode(encoding, "replace"), encoding, broken=True)
