"""Texts as words that can be compared: split, without inflection, with the places where sentences and clauses end."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final, NamedTuple

__all__ = ["Word", "split", "stem"]

# A word, or a mark that ends a clause; not one inside a word or number, as in "robots.txt" and "1,000".
_PARTS: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)?|[.!?;,:()](?=\W|$)|[\u2013\u2014]|-(?= )")
_SENTENCE_ENDS: Final = frozenset(".!?;")
_NEGATED: Final = (("can't", "can not"), ("cannot", "can not"), ("won't", "will not"), ("n't", " not"))
_VOWEL: Final = re.compile("[aeiouy]")


class Word(NamedTuple):
    """A word of a text.

    Attributes
    ----------
    text : str
        As it is written, in lower case.
    stem : str
        Without inflection, see :func:`stem`.
    sentence, clause : int
        The sentence and the clause it stands in, counted from 0.
    """

    text: str
    stem: str
    sentence: int
    clause: int


def split(text: str, forms: Mapping[str, str]) -> list[Word]:
    """Return the words of a text.

    Parameters
    ----------
    text : str
        Any text.
    forms : mapping of str to str
        Irregular forms, each with what it is a form of.

    Returns
    -------
    list of Word
        In their order.
    """
    plain = unicodedata.normalize("NFKC", text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    for short, full in _NEGATED:
        plain = plain.replace(short, full)
    words = []
    sentence = clause = 0
    for part in _PARTS.findall(plain):
        if part[0].isalnum():
            word = part.partition("'")[0]
            words.append(Word(word, stem(forms.get(word, word)), sentence, clause))
        else:
            clause += 1
            sentence += part in _SENTENCE_ENDS
    return words


def stem(word: str) -> str:
    """Return an English word without its inflection; what comes out need not be a word.

    Parameters
    ----------
    word : str
        In lower case.

    Returns
    -------
    str
        The same for delete, deletes, deleted, deleting and deletion.
    """
    if len(word) < 4:
        return word
    if word.endswith(("ies", "ied")) and len(word) > 4:
        word = word[:-3] + "y"
    elif word.endswith(("sses", "xes", "zes", "ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for suffix in ("ing", "ed", "ion", "ly"):
        rest = word.removesuffix(suffix)
        if rest != word and len(rest) > 2 and _VOWEL.search(rest) and (suffix != "ion" or rest[-1] in "st"):
            word = rest
            break
    if len(word) > 3:
        word = word.removesuffix("e")
    if len(word) > 3 and word[-1] == word[-2]:
        word = word[:-1]
    return word
