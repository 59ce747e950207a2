"""Words and how often they occur."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator


def words(text: str) -> Iterator[str]:
    """Yield the words of a text in lower case."""
    for match in re.finditer(r"[^\W\d_]+", text):
        yield match.group().lower()


def most_common(items: Iterable[str], top: int) -> list[tuple[str, int]]:
    """Return the most common items with their counts."""
    return Counter(items).most_common(top)
