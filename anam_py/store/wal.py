"""The catalog's write-ahead log, read without SQLite, which stops at the first damaged frame and says nothing of what follows.

A log is a header and frames. A frame is a page of the database; the last one of a commit says how many pages there
are then. Each frame's checksum goes on from the one before, and all that belong to the log have the header's salts.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from anam_py.store.fragments import open_regular, read_at

_HEADER = struct.Struct(">8I")
_FRAME = struct.Struct(">6I")
_MAGIC = 0x377F0682  # the lowest bit says that checksums are over big-endian numbers
_PAGE_SIZES = [512 << power for power in range(8)]
_PAGE_SIZE = 4096  # of every catalog


class Frame(NamedTuple):
    """A page in a log, the number of pages if a commit ends with it, else 0, and whether its checksum fits.

    The page is 0 where the frame does not belong to the log, by its salts.
    """

    page: int
    pages: int
    data: bytes
    sound: bool


def frames(path: Path) -> Iterator[Frame]:
    """Yield the frames of a log in their order, damaged ones, too."""
    if not path.exists():
        return
    with open_regular(path, follow=True) as file:
        size = path.stat().st_size
        start = read_at(file, 0, _HEADER.size)
        magic, _, page_size, _, *salts, first, second = _HEADER.unpack(start)
        order = ">" if magic & 1 else "<"
        whole = _checksum(start[:24], (0, 0), order) == (first, second) and magic & ~1 == _MAGIC and page_size in _PAGE_SIZES
        if not whole:
            page_size = _PAGE_SIZE
            salts = list(_FRAME.unpack(read_at(file, _HEADER.size, _FRAME.size))[2:4])
        before = first, second
        for at in range(_HEADER.size, size - _FRAME.size - page_size + 1, _FRAME.size + page_size):
            head, data = read_at(file, at, _FRAME.size), read_at(file, at + _FRAME.size, page_size)
            page, pages, *found, first, second = _FRAME.unpack(head)
            belongs = found == salts
            sound = whole and belongs and _checksum(head[:8] + data, before, order) == (first, second)
            yield Frame(page if belongs else 0, pages, data, sound)
            before, whole = (first, second), True


def loses_commits(path: Path) -> bool:
    """Return whether there are commits in a log that SQLite does not get to, because something before them is damaged."""
    damaged = False
    for frame in frames(path):
        if damaged and frame.pages and frame.sound:
            return True
        damaged |= not frame.sound
    return False


def apply(log: Path, database: Path) -> None:
    """Write the commits of a log to a copy of its database, as far as there is anything of them."""
    count, pages, size = 0, 0, _PAGE_SIZE
    for number, frame in enumerate(frames(log), 1):
        if frame.pages and frame.sound:  # what comes after the last of them was never committed
            count, pages, size = number, frame.pages, len(frame.data)
    if not count:
        return
    with _opened(database) as file:
        for _, frame in zip(range(count), frames(log), strict=False):
            if 0 < frame.page <= pages:
                file.seek((frame.page - 1) * size)
                file.write(frame.data)
        file.truncate(pages * size)


def _opened(path: Path) -> BinaryIO:
    return path.open("r+b" if path.exists() else "w+b")


def _checksum(data: bytes, start: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = start
    numbers = iter(struct.unpack(f"{order}{len(data) // 4}I", data))
    for x, y in zip(numbers, numbers, strict=True):
        first = (first + x + second) & 0xFFFFFFFF
        second = (second + y + first) & 0xFFFFFFFF
    return first, second
