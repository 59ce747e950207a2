"""What is written down without the secrets in it: which are found, what is left alone, and that no text takes long."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anam_py import _masking
from anam_py._masking import masked

SECRETS = {
    "AWS": "AKIAIOSFODNN7EXAMPLE",
    "GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "GitHub, fine-grained": "github_pat_11ABCDEFG0abcdefghijkl_mnopqrstuvwxyz",
    "GitLab": "glpat-abcdefghij0123456789",
    "Slack": "xoxb-123456789012-abcdefABCDEF",
    "Google": "AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",
    "Stripe": "sk_live_4eC39HqLyjWDarjtT1zdp7dc",
    "OpenAI": "sk-proj-abcdefghijklmnopqrstuvwxyz0123456789",
    "Hugging Face": "hf_abcdefghijklmnopqrstuvwxyzABCDEF",
    "JWT": "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    "PEM": "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----",
}
NAMES = [
    "password",
    "DB_PASSWORD",
    "dbPassword",
    "passwd",
    "pwd",
    "client-secret",
    "API key",
    "apiKey",
    "X-Auth-Token",
    "access_token",
]
NAMES += [
    "private_key",
    "credentials",
    "authorization",
    "Cookie",
    "AWS_SECRET_ACCESS_KEY",
    "accessTokens",
    "passphrase",
    "PIN",
    "token_1",
]
HARMLESS = [
    "author",
    "secretary",
    "compass",
    "max_tokens",
    "token_count",
    "key",
    "keyboard",
    "spin",
    "passport",
    "monkey",
    "secret_name",
]
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@given(before=st.text(max_size=20), after=st.text(max_size=20))
def test_a_secret_of_a_known_form_is_masked_wherever_it_stands(secret: str, before: str, after: str) -> None:
    for value in (f"{before} {secret} {after}", [f"({secret})"], {"a": {"b": [f'"{secret}"']}}, {secret: 1}, f"x={secret}&y=1"):
        shown = json.dumps(masked(value), ensure_ascii=False)
        assert secret not in shown
        assert secret.split("\n")[1 if "\n" in secret else 0][-12:] not in shown
        assert "***" in shown


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", ["hunter2", 1234, ["a", {"b": "c"}], {"user": "bob", "value": "hunter2"}])
def test_what_stands_under_a_name_of_a_secret_is_masked_whatever_it_is(name: str, value: Any) -> None:
    assert masked({name: value, "other": 1}) == {name: "***", "other": 1}


@pytest.mark.parametrize("name", NAMES)
@given(value=st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="'\"\\,;&"), min_size=1, max_size=20))
def test_what_is_assigned_to_such_a_name_in_a_text_is_masked(name: str, value: str) -> None:
    value = f"zQ{value}Qz"
    texts = [f'{name}="{value} x"', f"{name}: '{value}' and more", f'{{"a": 1, "{name}": "{value}"}}', f"{{'{name}'=>'{value}'}}"]
    texts.append(json.dumps(json.dumps({name: value})))
    texts += [f"set {name}={value} now", f"{name} := {value}"]
    for text in texts:
        shown = masked(text)
        assert "***" in shown
        assert value not in shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://bob:s3cr3t@db.example/x", "postgres://bob:***@db.example/x"),
        ("redis://:s3cr3t@db, amqp://a:p@ss@b/c", "redis://:***@db, amqp://a:***@b/c"),
        ("https://example.org:8080/a@b", "https://example.org:8080/a@b"),
        ("curl -H 'Authorization: Basic dXNlcjpwYXNz' https://x", "curl -H 'Authorization: ***' https://x"),
        ("sent Bearer abcdef.ghij-kl to it", "sent Bearer *** to it"),
        ("mysql --password hunter2 --user bob", "mysql --password *** --user bob"),
        ("GET /x?access_token=abc&page=2", "GET /x?access_token=***&page=2"),
        ('password="a\\"b" rest', 'password="***" rest'),
        ("if password == 'a b':", "if password == '***':"),
        ("-----BEGIN PRIVATE KEY-----\nnever ended", "***"),
        ("Ask before you delete the table of keys.", "Ask before you delete the table of keys."),
        ("max_tokens=4096, token_count: 3, tokens: 5", "max_tokens=4096, token_count: 3, tokens: 5"),
    ],
)
def test_the_rest_of_a_text_stays_as_it_is(text: str, expected: str) -> None:
    assert masked(text) == expected


@pytest.mark.parametrize("name", HARMLESS)
def test_names_that_only_look_like_those_of_secrets_keep_their_values(name: str) -> None:
    assert masked({name: "plain"}) == {name: "plain"}
    assert masked(f"{name}: plain") == f"{name}: plain"


def test_none_and_booleans_under_a_name_of_a_secret_are_no_secrets() -> None:
    assert masked({"password": None, "token": True}) == {"password": None, "token": True}


def test_no_value_is_lost_where_two_names_are_masked_alike() -> None:
    value = {SECRETS["AWS"]: 1, SECRETS["GitHub"]: 2, "***": 3, "*** 2": 4}
    assert sorted(masked(value).values()) == [1, 2, 3, 4]


@given(JSON_VALUES)
def test_a_value_keeps_its_shape_and_what_is_masked_once_stays_as_it_is(value: Any) -> None:
    before = json.dumps(value)
    once = masked(value)
    assert masked(once) == once
    assert json.dumps(value) == before
    if not any(mark in before.lower() for form in _masking._FORMS for mark in form.marks):
        assert once == value


PARTS = sorted({mark for form in _masking._FORMS for mark in form.marks} | set(" =:\"'\\-_.@/\nA0"))


@given(st.lists(st.sampled_from([*PARTS, "password", "eyJ", "BEGIN PRIVATE KEY-----", "ghp_"]), min_size=1, max_size=4))
def test_no_pattern_goes_back_over_a_text_again_and_again(parts: list[str]) -> None:
    """One that did would take hours for these."""
    masked("".join(parts) * (20_000 // len("".join(parts))))


def test_every_form_is_looked_for_where_its_marks_are() -> None:
    assert [mark for form in _masking._FORMS for mark in form.marks if mark != mark.lower()] == []
