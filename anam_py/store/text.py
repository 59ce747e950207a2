"""Texts beside entries: how they are kept, and how words become full-text queries."""

import unicodedata
import zlib

from anam_py import _core

# Version of the tokens in the full-text index. The index is contentless, so a row can only be
# taken out with the tokens that were put in: when this changes, the writer rebuilds it. Which
# letters there are, and their small forms, is a matter of the interpreter's Unicode tables.
LEXEMES = f"1, Unicode {unicodedata.unidata_version}"

# SQLite takes about 1,000 phrases in one expression; words beyond that add nothing to a ranking.
_MOST_WORDS = 256


class DamagedTextError(Exception):
    """A stored form of a text is not what was stored."""


def compress(entry_id: int, text: str) -> bytes:
    """Return the stored form of an entry's text."""
    packed = zlib.compressobj(1, zdict=_mark(entry_id))
    return packed.compress(text.encode("utf-8")) + packed.flush()


def decompress(entry_id: int, blob: bytes) -> str:
    """Return the text of a stored form; DamagedTextError if it is none, or another entry's."""
    packed = zlib.decompressobj(zdict=_mark(entry_id))
    try:
        text = (packed.decompress(blob) + packed.flush()).decode("utf-8")
    except (zlib.error, ValueError, TypeError) as error:
        raise DamagedTextError(str(error)) from error
    if not packed.eof or packed.unused_data:
        raise DamagedTextError("it ends elsewhere than it should")
    return text


def _mark(entry_id: int) -> bytes:
    """Return what zlib finds out by its checksum: whose text it is."""
    return entry_id.to_bytes(8, "little")


def indexed(key: str, text: str) -> tuple[str, str]:
    """Return the (key, body) columns that the full-text index holds for an entry."""
    return _core.lexemes(key), _core.lexemes(text)


def match_expression(query: str) -> str | None:
    """Return the FTS5 expression for any of the query's words; None if it has no words."""
    words = dict.fromkeys(_core.lexemes(query).split())
    return " OR ".join(f'"{word}"' for word in list(words)[:_MOST_WORDS]) or None
