"""Reading catalogues: from a TOML file to a checked `Catalogue`, or to the line that is wrong and the reason."""

import functools
import hashlib
import importlib.resources
import re
from typing import Final

from anam_py._validation import check_path
from anam_py.axioms.catalogue import Axiom, Catalogue, Mitigation, Sign
from anam_py.axioms.cues import Cue, CueReader, Language
from anam_py.axioms.source import Source, Table

__all__ = ["built_in", "load"]

_ID: Final = re.compile(r"AX_[A-Z][A-Z0-9_]*", re.ASCII)
_MAX_NUMBER: Final = 9999
_MAX_WEIGHT: Final = 1000
_RELATIONS: Final = ("supports", "tensions")


@functools.cache
def built_in() -> Catalogue:
    """Return the catalogue of the 67 axioms that comes with the package.

    Returns
    -------
    Catalogue
        The same one each time.
    """
    content = importlib.resources.files("anam_py.axioms").joinpath("catalogue.toml").read_bytes()
    return _checked(Source(content, "catalogue.toml"), content)


def load(path: object) -> Catalogue:
    """Return the catalogue that a file holds.

    Parameters
    ----------
    path : str or os.PathLike
        A TOML file like the package's own, whose head says what may stand in one.

    Returns
    -------
    Catalogue
        All of it checked.

    Raises
    ------
    ValidationError
        If the file cannot be read, has more than 1 MiB, or is wrong; the message has the line and the reason.
    """
    return _checked(*Source.read(check_path(path)))


def _checked(source: Source, content: bytes) -> Catalogue:
    top = Table(source)
    version = top.text("version")
    categories = top.texts("categories")
    language, negations = _language(top)
    reader = CueReader(language)
    tables = top.tables("axiom")
    if not tables:
        top.refuse((), "there is no axiom; each is a table [[axiom]]")
    axioms = _axioms(tables, categories, reader)
    ids = frozenset(axiom.id for axiom in axioms)
    mitigations = tuple(found for table in top.tables("mitigation") for found in _mitigations(table, reader, ids))
    top.finish()
    return Catalogue(version, hashlib.sha256(content).hexdigest(), categories, axioms, language, negations, mitigations)


def _language(top: Table) -> tuple[Language, tuple[Cue, ...]]:
    words, forms, synonyms, table = (top.table(name) for name in ("words", "forms", "synonyms", "language"))
    language = Language(
        {name: words.texts(name) for name in words.rest()},
        {name: forms.text(name) for name in forms.rest()},
        frozenset(table.texts("fillers", ())),
        frozenset(table.texts("breaks", ())),
        int(table.number("reach", 0, 20, whole=True, default=0)),
        table.number("negated", 0, 1, default=0),
        tuple((name, *synonyms.texts(name)) for name in synonyms.rest()),
    )
    for name, phrases in language.classes.items():
        for phrase in phrases:
            if not language.stems(phrase):
                words.refuse((name, phrase), f"{phrase!r} has no word in it")
    reader = CueReader(language)
    negations = tuple(_cue(table, "negations", text, reader) for text in table.texts("negations", ()))
    table.finish()
    return language, negations


def _axioms(tables: list[Table], categories: tuple[str, ...], reader: CueReader) -> tuple[Axiom, ...]:
    ids: dict[str, Table] = {}
    numbers: dict[int, str] = {}
    for table in tables:
        name = table.text("id")
        if not _ID.fullmatch(name):
            table.refuse(("id", name), f"id {name!r} must be AX_ and capital letters, digits or underscores")
        if name in ids:
            table.refuse(("id", name), f"id {name!r} is used twice")
        number = int(table.number("number", 1, _MAX_NUMBER, whole=True))
        if number in numbers:
            table.refuse(("number",), f"number {number} is that of {numbers[number]}, too")
        ids[name], numbers[number] = table, name
    relations = _relations(ids)
    return tuple(
        _axiom(ids[numbers[number]], number, relations[numbers[number]], categories, reader) for number in sorted(numbers)
    )


def _axiom(
    table: Table, number: int, relations: dict[str, dict[str, float]], categories: tuple[str, ...], reader: CueReader
) -> Axiom:
    category = table.text("category")
    if category not in categories:
        table.refuse(("category",), f"category {category!r} is none of {', '.join(categories)}")
    axiom = Axiom(
        number=number,
        id=table.text("id"),
        name=table.text("name"),
        category=category,
        weight=table.number("weight", 0, _MAX_WEIGHT, above=True),
        statement=table.text("statement"),
        keywords=table.texts("keywords"),
        upheld=_signs(table, "upheld", reader),
        strained=_signs(table, "strained", reader),
        **relations,
    )
    table.finish()
    return axiom


def _relations(ids: dict[str, Table]) -> dict[str, dict[str, dict[str, float]]]:
    """Return the relations of each axiom, both ways, strongest first; in the file each stands once, with either of its axioms."""
    found: dict[str, dict[str, dict[str, float]]] = {name: {kind: {} for kind in _RELATIONS} for name in ids}
    for name, table in ids.items():
        for kind in _RELATIONS:
            relations = table.table(kind)
            for other in relations.rest():
                if other not in ids:
                    table.refuse((kind, other), f"{name} {kind} {other!r}, which is no axiom of this catalogue")
                if other == name:
                    table.refuse((kind, other), f"{name} has a relation with itself")
                if any(other in found[name][each] for each in _RELATIONS):
                    table.refuse(
                        (kind, other), f"{name} and {other} have a relation already; each is written once, with either of them"
                    )
                found[name][kind][other] = found[other][kind][name] = relations.number(other, 0, 1, above=True)
    return {
        name: {kind: dict(sorted(found[name][kind].items(), key=lambda item: (-item[1], item[0]))) for kind in _RELATIONS}
        for name in found
    }


def _signs(axiom: Table, key: str, reader: CueReader) -> tuple[Sign, ...]:
    signs: dict[str, Sign] = {}
    for table in axiom.tables(key):
        for sign in _group(table, reader):
            if sign.cue.text in signs:
                axiom.refuse((key, sign.cue.text), f"{key} has the cue {sign.cue.text!r} twice")
            signs[sign.cue.text] = sign
        table.finish()
    return tuple(signs.values())


def _mitigations(table: Table, reader: CueReader, ids: frozenset[str]) -> list[Mitigation]:
    relieves = table.texts("relieves", ())
    for name in relieves:
        if name not in ids:
            table.refuse(("relieves", name), f"{name!r} is no axiom of this catalogue")
    mitigations = [Mitigation(sign, frozenset(relieves) or ids) for sign in _group(table, reader)]
    table.finish()
    return mitigations


def _group(table: Table, reader: CueReader) -> list[Sign]:
    strength = table.number("strength", 0, 1, above=True)
    return [Sign(_cue(table, "cues", text, reader), strength) for text in table.texts("cues")]


def _cue(table: Table, key: str, text: str, reader: CueReader) -> Cue:
    try:
        return reader.read(text)
    except ValueError as error:
        table.refuse((key, text), f"{text!r} is no cue: {error}")
