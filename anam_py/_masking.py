"""What stands for secrets in values that are written down: passwords, tokens and keys are replaced by ``***``.

A secret is known by the name that it has, or by its form. Both are guesses: what has neither is not found, and now and then
something harmless is masked. Every pattern takes time linear in the length of a text, whatever the text is.
"""

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

__all__ = ["MASK", "SECRET_NAME", "TOKEN", "masked"]

MASK: Final = "***"

# A name with one of these words in it is that of a secret: api_key, dbPassword, X-Auth-Token, SECRET_1.
_WORDS = r"""
    (?i:pass(?:word|wd|phrase|code)s?|pwd|secrets?|credentials?|authorization|cookies?)
    | (?i:(?:access|api|auth|bearer|id|refresh|session)[ _.-]?tokens)
    | (?i:token)(?![sS])
    | (?i:(?:access|account|api|auth|encryption|master|private|secret|shared|signing|ssh)[ _.-]?keys?)
    | (?<![A-Za-z])(?i:auth|pass|pin)
"""
# What goes on like this says something about a secret and is none: max_tokens and token_count, password_length, secret_name.
_ABOUT = r"[ _.-]?(?i:budget|count|expir[a-z]*|length|limit|name|type|url|usage)"
_NAME = rf"(?:{_WORDS})(?![a-z])(?!{_ABOUT})"
SECRET_NAME: Final = re.compile(_NAME, re.VERBOSE)


class _Form(NamedTuple):
    """How a secret is known in a text."""

    marks: tuple[str, ...]
    pattern: re.Pattern[str]
    replacement: str | Callable[[re.Match[str]], str]


def _form(marks: str, pattern: str, replacement: str | Callable[[re.Match[str]], str] = MASK) -> _Form:
    return _Form(tuple(marks.split()), re.compile(pattern, re.VERBOSE | re.DOTALL), replacement)


def _assigned(found: re.Match[str]) -> str:
    quote = found["quote"] or ""
    return f"{found['name']}{quote}{MASK}{quote}"


# Tokens that are known by their form alone, with what each has in it, in small letters.
_TOKENS = (
    ("akia asia", r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"),
    ("gh github_pat_ glpat- gldt- glrt-", r"(?:gh[oprsu]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|gl(?:pat|dt|rt)-[\w-]{20,})"),
    ("xox xapp-", r"(?:xox[abceoprs]-|xapp-)[A-Za-z0-9-]{10,}"),
    ("aiza ya29. gocspx-", r"(?:AIza[\w-]{30,}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,})"),
    ("_live_ _test_ whsec_", r"(?:[prs]k_(?:live|test)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,})"),
    ("sk- hf_ npm_ pypi-", r"(?<![A-Za-z0-9])(?:sk-[\w-]{20,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{36}|pypi-[\w-]{50,})"),
)
TOKEN: Final = re.compile("|".join(pattern for _, pattern in _TOKENS))
_FORMS: Final = (
    _form("private", r"-----BEGIN\ [A-Z0-9 ]{0,40}PRIVATE\ KEY(?:\ BLOCK)?-----.*?(?:-----END\ [A-Z0-9 ]{0,40}-----|\Z)"),
    # name=value, name: value, "name": "value", --name value; of a header, all that stands on the line.
    _form("authorization cookie", r"(?P<name>(?i:authorization|cookie)\ {0,4}:\ {0,4}+)(?P<quote>)[^\r\n\"']++", _assigned),
    _form(
        "pass pwd secret credential authorization cookie token key auth pin",
        rf"""
        (?P<name>(?:{_NAME})[\w.-]{{0,32}}(?:(?:\\{{0,4}}["'])?[\ \t]{{0,4}}(?:[:=!]?=>?|:)[\ \t]{{0,4}}))
        (?: (?P<quote>\\{{0,4}}["'])(?:(?!(?P=quote))\\?.)*+(?P=quote)?+ | [^\s,;&"']++ )
        """,
        _assigned,
    ),
    _form("--", rf"(?P<name>--[\w-]{{0,16}}?{_NAME}\ {{1,4}})(?P<quote>)(?!-)[^\s\"']++", _assigned),
    _form("://", r"(?P<name>://[^\s:/?\#@\"'<>]*+:)(?P<quote>)[^\s/?\#\"'<>]*(?=@)", _assigned),
    _form("bearer", r"(?P<name>(?i:bearer)\ {1,4})(?P<quote>)[\w.~+/=-]{8,}", _assigned),
    *(_form(marks, pattern) for marks, pattern in _TOKENS),
    _form("hooks.slack.com/", r"(?P<name>hooks\.slack\.com/(?:services|workflows)/)(?P<quote>)[\w/]{10,}", _assigned),
    # JSON Web Tokens, and whatever else is a JSON object in base64.
    _form("eyj", r"eyJ[\w-]{17,}(?:\.[\w-]+){0,4}"),
)
# What a text has to have in it, in small letters, for a form to be looked for.
_MARKS: Final = tuple((mark, form) for form in _FORMS for mark in form.marks)
_CACHED_CHARACTERS: Final = 64


def masked(value: Any) -> Any:
    """Return a value with its secrets replaced by ``***``.

    Parameters
    ----------
    value : None, bool, int, float, str, list or dict
        As JSON has it. What stands under a key that names a secret is one, whatever it is, except for None and booleans.

    Returns
    -------
    None, bool, int, float, str, list or dict
        The same, with new lists and dicts.
    """
    if isinstance(value, str):
        return _masked_text(value)
    if isinstance(value, dict):
        return _masked_dict(value)
    if isinstance(value, list):
        return [masked(item) for item in value]
    return value


def _masked_dict(value: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        name, is_secret = _cached_name(key) if len(key) <= _CACHED_CHARACTERS else _name(key)
        shown, number = name, len(found)
        while shown in found:  # of two secrets
            number += 1
            shown = f"{name} {number}"
        found[shown] = MASK if is_secret and not (item is None or isinstance(item, bool)) else masked(item)
    return found


def _name(key: str) -> tuple[str, bool]:
    """Return a key as it may be shown, and whether it names a secret."""
    return _masked_text(key), SECRET_NAME.search(key) is not None


_cached_name = lru_cache(4096)(_name)


def _masked_text(text: str) -> str:
    small = text.lower()
    for form in dict.fromkeys([form for mark, form in _MARKS if mark in small]):
        text = form.pattern.sub(form.replacement, text)
    return text
