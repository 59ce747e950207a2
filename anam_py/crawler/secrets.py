"""What looks like a secret in a code base: files that are one as a whole, and values in others, which are masked.

A value is first known by its looks: letters and digits take turns in it, as in what was drawn by chance. Of those few it is
then asked whether they have the form of a token, or stand under the name of a secret. What is masked keeps its length, so
that lines and columns stay what they are. All of this is a guess: a password that is a word is not found.
"""

import re
from collections.abc import Iterator

import numpy as np

from anam_py._masking import SECRET_NAME, TOKEN
from anam_py.crawler.languages import Language

__all__ = ["kind_by_name", "kind_by_text", "masked"]

_KEY, _PASSWORDS, _ENVIRONMENT, _KEYSTORE = "a private key", "passwords", "an environment file", "a key store"
_NAMES = {
    **dict.fromkeys(("id_rsa", "id_dsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"), _KEY),
    **dict.fromkeys((".netrc", "_netrc", ".pgpass", "pgpass.conf", ".htpasswd", ".git-credentials", ".pypirc"), _PASSWORDS),
    "credentials": _PASSWORDS,
    "kubeconfig": "access to a cluster",
}
_EXTENSIONS = {
    "ppk": _KEY,
    **dict.fromkeys(("p12", "pfx", "jks", "keystore", "kdb", "kdbx"), _KEYSTORE),
}
_HARMLESS_ENVIRONMENT = (".example", ".sample", ".template")
_KEY_FILES = (".pem", ".key")
_PUTTY = "PuTTY-User-Key-File-"
_ACCOUNT = re.compile(r'"private_key"\s*:\s*"-----BEGIN ')
_CLUSTER = re.compile(r"^kind: Config\b", re.MULTILINE)
_CLUSTER_SECRET = re.compile(r"^[ -]*(?:client-key-data|token|password): *\S", re.MULTILINE)

_MASK = "*"
_LEAST_LENGTH = 8
_LEAST_TOKEN = 20
_LEAST_KEY_LINE = 40
_LEAST_CHANGES = 2
# How far to look for the name that a value stands under.
_BEFORE = 80
_OTHER, _LOWER, _UPPER, _DIGIT = 1, 2, 4, 8
_CLASSES = bytearray(256)  # of what is not in a value without quotes: 0
for _class, _characters in (
    (_OTHER, b"_-./:+@#$%*!~^|"),
    (_LOWER, b"abcdefghijklmnopqrstuvwxyz"),
    (_UPPER, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    (_DIGIT, b"0123456789"),
):
    for _character in _characters:
        _CLASSES[_character] = _class

_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----((?:(?!-----)[\w+/=\s\\\"'`,:;.()#*-])*+)")
_KEY_LINE = re.compile(r"[A-Za-z0-9+/]{32}")
_IN_LITERAL = re.compile(r"(?<!\\)[^\s\"'`\\]")  # not what a backslash makes a line break
_ACCESS_KEY = re.compile(r"(?<![A-Z0-9])AKIA[A-Z0-9]{16}(?![A-Z0-9])")
_WEB_TOKEN = re.compile(r"(?<![\w-])eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
_IN_ADDRESS = re.compile(r"://[^:/@]*:([^/]{8,})@")
_IN_QUERY = re.compile(r"[?&][\w.-]+=$")
_CHANGE = re.compile(r"[A-Za-z](?=\d)|\d(?=[A-Za-z])")
_QUOTES = ('"', "'", "`")
_SCHEME = re.compile(r"\b(?i:bearer|basic) +$")
_QUOTED = re.compile(r"[^\s\"'`{]{8,512}")
_BARE = re.compile(r"[^\s\"'`,;&<>{}()\[\]$]{8,512}(?![(\[{$])")
# A name, what closes it (as in x["name"] or char name[]), perhaps a type, and a sign; or #define NAME, or --name.
_NAMED = re.compile(
    r"""
    (?<![\w.$-]) (?P<name>[\w.$-]++) (?:\\?["'`] | [\])?] | \[\w*\])*+ [ \t]*+
        (?: (?: :[\w.<>\[\]&*|', -]{1,40} | (?:string|\[\]byte)[ \t]* ) (?==) )?
        (?P<sign>[!=]==? | := | => | [=:(]) [ \t]* [bBrRuU]{0,2}$
    | (?:\#[ \t]*define[ \t]+ | (?<!\S)--) (?P<option>[\w.-]++) [ \t]+$
    """,
    re.VERBOSE,
)


def kind_by_name(path: str) -> str:
    """Return what kind of secret a file is by its name; nothing if it is none.

    Parameters
    ----------
    path : str
        In POSIX form.

    Returns
    -------
    str
    """
    name = path[path.rfind("/") + 1 :].lower()
    if name == ".env" or (name.startswith(".env.") and not name.endswith(_HARMLESS_ENVIRONMENT)):
        return _ENVIRONMENT
    _, dot, extension = name.rpartition(".")
    return _NAMES.get(name) or (_EXTENSIONS.get(extension, "") if dot else "")


def kind_by_text(path: str, text: str) -> str:
    """Return what kind of secret a file is by what is in it; nothing if it is none.

    Parameters
    ----------
    path : str
        In POSIX form.
    text : str
        Of a file without a grammar.

    Returns
    -------
    str
    """
    if text.startswith(_PUTTY):
        return _KEY
    if "PRIVATE KEY" in text and _PRIVATE_KEY.search(text):
        if text.lstrip().startswith("-----BEGIN ") or path.lower().endswith(_KEY_FILES):
            return _KEY
        if _ACCOUNT.search(text):
            return "a service account's key"
    if "kind: Config" in text and _CLUSTER.search(text) and _CLUSTER_SECRET.search(text):
        return "access to a cluster"
    return ""


def masked(text: str, language: Language) -> tuple[str, int]:
    """Return a text with asterisks for the values in it that look like secrets.

    Parameters
    ----------
    text : str
    language : Language
        In code a value stands in quotes; what is without them is another name.

    Returns
    -------
    str
        As long as the text, with line breaks, blanks and quotes where they were.
    int
        How many values were masked.
    """
    parts: list[str] = []
    at = count = 0
    for start, end in sorted(_secrets(text, in_quotes=language.is_code)):
        if start >= at and text[start:end].strip(_MASK):
            parts += [text[at:start], _IN_LITERAL.sub(_MASK, text[start:end])]
            at, count = end, count + 1
    return "".join([*parts, text[at:]]) if count else text, count


def _secrets(text: str, *, in_quotes: bool) -> Iterator[tuple[int, int]]:
    longest = 0
    for start, end in _likely_by_chance(text):
        longest = max(longest, end - start)
        if secret := _secret(text, start, end, in_quotes=in_quotes):
            yield secret
    if longest >= _LEAST_KEY_LINE and "PRIVATE KEY" in text:
        for key in _PRIVATE_KEY.finditer(text):
            if _KEY_LINE.search(key[1]):
                yield key.span(1)
    if "AKIA" in text:  # one of 30 has no digit
        for key in _ACCESS_KEY.finditer(text):
            yield key.span()


def _likely_by_chance(text: str) -> list[tuple[int, int]]:
    """Return where there are at least so many characters without a gap that change between letters and digits so many times.

    This is all that is done to most texts. Of the standard library's files it leaves 4 places each.
    """
    padded = f"\n{text}\n".encode("latin-1", "replace")  # one byte a character
    classes = np.frombuffer(padded.translate(_CLASSES), np.uint8)
    changes = np.flatnonzero((classes[:-1] | classes[1:]) > _OTHER | _DIGIT)
    gaps = np.flatnonzero(classes == 0)
    of_gap = gaps.searchsorted(changes)
    several = of_gap[1:][of_gap[1:] == of_gap[:-1]]
    places = zip(gaps[several - 1].tolist(), (gaps[several] - 1).tolist(), strict=True)
    return [(start, end) for start, end in dict.fromkeys(places) if end - start >= _LEAST_LENGTH]


def _secret(text: str, start: int, end: int, *, in_quotes: bool) -> tuple[int, int] | None:
    """Return the part of a likely place that is a secret by its form or by what stands before it; None if there is none."""
    if end - start >= _LEAST_TOKEN and (token := TOKEN.search(text, start, end) or _WEB_TOKEN.search(text, start, end)):
        return token.span()
    if (address := _IN_ADDRESS.search(text, start, end)) and len(_CHANGE.findall(address[1])) >= _LEAST_CHANGES:
        return address.span(1)
    before = text[max(start - _BEFORE, 0) : start].rpartition("\n")[2]
    if _SCHEME.search(before):
        return start, end
    if before.endswith(_QUOTES):
        value = _QUOTED.match(text, start)
        if value and text.startswith(before[-1], value.end()) and _names_secret(before[:-1].rstrip("\\"), ("=", ":", "(")):
            return start, start + len(value[0].rstrip("\\"))
    elif not in_quotes or _IN_QUERY.search(before):
        value = _BARE.match(text, start)
        if value and _names_secret(before, ("=", ":")):
            return value.span()
    return None


def _names_secret(before: str, signs: tuple[str, ...]) -> bool:
    """Tell whether what stands before a value is the name of a secret, followed by a sign that has one of these in it."""
    found = _NAMED.search(before)
    while found is not None and (found["option"] or found["sign"].startswith(("!", *signs))):
        name = found["name"] or found["option"]
        if SECRET_NAME.search(name) is not None and "public" not in name.lower():
            return True
        found = _NAMED.search(before, found.start() + 1)  # of "note: password = " the first is no name with its type
    return False
