"""Secrets in a code base: what is taken for one, what is not, and that nothing of one is left in the store or is shown."""

import base64
import contextlib
import json
import random
import string
import sysconfig
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import run
from hypothesis import example, given
from hypothesis import strategies as st
from trees import make_tree

from anam_py import CodeBaseCrawler, CrawlerError, HTMCore
from anam_py.crawler import secrets
from anam_py.crawler.languages import language_of
from anam_py.crawler.parse import parse

RANDOM = random.Random(7)
LETTERS_AND_DIGITS = string.ascii_letters + string.digits


def drawn(length: int, characters: str = LETTERS_AND_DIGITS) -> str:
    """Return characters drawn by chance, with letters and digits in turn at the beginning, as most have it somewhere."""
    return "a1B2"[: length // 2] + "".join(RANDOM.choices(characters, k=length - length // 2 if length < 8 else length - 4))


def part(content: dict[str, Any]) -> str:
    """Return a part of a web token."""
    return base64.urlsafe_b64encode(json.dumps(content).encode()).decode().rstrip("=")


def key_body(lines: int = 6) -> str:
    return "\n".join(drawn(64, LETTERS_AND_DIGITS + "+/") for _ in range(lines)) + "\n" + drawn(22) + "=="


# None stands here as it is, so that whoever looks for secrets in repositories finds none in this one.
TOKENS: dict[str, Callable[[], str]] = {
    "AWS": lambda: "AKI" + "A" + drawn(16, string.ascii_uppercase + "234567").upper(),
    "AWS, without a digit": lambda: "AKI" + "A" + "".join(RANDOM.choices(string.ascii_uppercase, k=16)),
    "AWS, temporary": lambda: "ASI" + "A" + drawn(16, string.ascii_uppercase + "234567").upper(),
    "GitHub": lambda: "gh" + "p_" + drawn(36),
    "GitHub, fine-grained": lambda: "github" + "_pat_" + drawn(22) + "_" + drawn(59),
    "GitLab": lambda: "gl" + "pat-" + drawn(20),
    "Slack": lambda: "xox" + "b-" + drawn(12, string.digits) + "-" + drawn(24),
    "Google": lambda: "AI" + "za" + drawn(35, LETTERS_AND_DIGITS + "_-"),
    "Stripe": lambda: "sk_" + "live_" + drawn(24),
    "OpenAI": lambda: "sk" + "-proj-" + drawn(48),
    "npm": lambda: "np" + "m_" + drawn(36),
    "PyPI": lambda: "py" + "pi-" + drawn(80),
    "Hugging Face": lambda: "h" + "f_" + drawn(34),
    "JWT": lambda: part({"alg": "HS256"}) + "." + part({"sub": "1234567890"}) + "." + drawn(43),
}
PLACES = {
    "a.py": 'connect("{}")\n# or {}\n',
    "a.js": "fetch(`https://x/{}/y`)\n",
    "a.md": "Call it with `{}`, or {}.\n",
    "a.yaml": "- {}\n",
    "a.sh": "curl -H 'X: {}' https://x\n",
    "a.json": '{{"x": ["{}"]}}\n',
}


def masked(text: str, path: str = "a.py") -> str:
    return secrets.masked(text, language_of(path, text))[0]


@pytest.mark.parametrize("path", PLACES)
def test_a_token_of_a_known_form_is_masked_wherever_it_stands(path: str) -> None:
    for make in 20 * list(TOKENS.values()):
        token = make()
        text = PLACES[path].replace("{}", token).replace("{{", "{").replace("}}", "}")
        found, count = secrets.masked(text, language_of(path))
        assert count == text.count(token)
        assert found == text.replace(token, "*" * len(token))


QUOTED = {
    "a.py": [
        '{name} = "{value}"', "{name}='{value}'", 'f({name}="{value}")', '{{"{name}": "{value}"}}', 'x["{name}"] = "{value}"',
        '{name}: str = "{value}"', 'if {name} == "{value}": pass', '{name} = b"{value}"', "set_{name}('{value}')",
        "x.{name} = '{value}'", '# note: {name} = "{value}"', '"""As in: {name} = \'{value}\'"""',
    ],
    "a.ts": ['const {name}: string = "{value}";', "export const x = {{ {name}: '{value}' }};", "{name} = `{value}`"],
    "a.rs": ['pub const {name}: &\'static str = "{value}";', 'let {name} = "{value}";'],
    "a.go": ['{name} := "{value}"', 'var {name} string = "{value}"'],
    "a.java": ['private static final String {name} = "{value}";'],
    "a.c": ['#define {name} "{value}"', 'static const char {name}[] = "{value}";'],
    "a.rb": ["{name} => '{value}'"],
    "a.json": ['"{name}": "{value}",', '"text": "{{\\"{name}\\": \\"{value}\\"}}"'],
}  # fmt: skip
BARE = {
    "a.yaml": ["{name}: {value}", "- name: {name}\n  {name}: {value} # it"],
    "a.ini": ["{name} = {value}", "{name}={value}"],
    "a.toml": ["{name} = '{value}'"],
    "a.properties": ["x.{name}={value}"],
    "a.sh": ["export {name}={value}", "x --{name} {value}", "x --{name}={value}", "curl 'https://x/?{name}={value}&page=2'"],
    ".env.example": ["{name}={value}"],
    "Dockerfile": ["ENV {name}={value}"],
    "a.md": ["    {name}={value}", "Set `{name}={value}` first"],
    "a.py": ['get("https://x.example/y?{name}={value}&page=2")'],
}


@pytest.mark.parametrize("path", dict.fromkeys([*QUOTED, *BARE]))
@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWORD", "clientSecret", "api_key", "apiKey", "AUTH_TOKEN", "AWS_SECRET_ACCESS_KEY"]
)
def test_a_value_drawn_by_chance_under_the_name_of_a_secret_is_masked(path: str, name: str) -> None:
    for form in (*QUOTED.get(path, ()), *BARE.get(path, ())):
        for value in (drawn(12), drawn(32, "0123456789abcdef"), drawn(40, LETTERS_AND_DIGITS + "+/"), "Tr0ub4dor!3"):
            text = form.format(name=name, value=value)
            assert masked(text, path) == text.replace(value, "*" * len(value))


def test_passwords_in_addresses_and_headers_are_masked() -> None:
    value = drawn(16)
    for text in (f'"postgres://bob:{value}@db.example/x"', f'"Authorization: Bearer {value}"', f"# curl -H 'X: Basic {value}'"):
        assert masked(text) == text.replace(value, "*" * len(value))


@pytest.mark.parametrize("kind", ["", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED "])
def test_private_keys_in_other_files_are_masked_and_everything_stays_in_its_place(kind: str) -> None:
    begin, end = f"-----BEGIN {kind}PRIVATE " + "KEY-----", f"-----END {kind}PRIVATE " + "KEY-----"
    body = key_body()
    literal = "".join(f'    "{line}\\n"\n' for line in body.split("\n"))
    source = (
        f'KEY = """{begin}\n{body}\n{end}"""\n\nOTHER = (\n    "{begin}\\n"\n{literal}    "{end}"\n)\n\ndef after():\n    pass\n'
    )
    found, count = secrets.masked(source, language_of("a.py"))
    assert count == 2
    assert len(found) == len(source)
    assert [line.strip() for line in found.split("\n") if "def " in line or "-----" in line] == [
        line.strip() for line in source.split("\n") if "def " in line or "-----" in line
    ]
    assert not any(line in found for line in body.split("\n"))
    assert [(each.name, each.start_line) for each in parse(found, "python").symbols] == [
        (each.name, each.start_line) for each in parse(source, "python").symbols
    ]


HARMLESS = [
    'BEGIN = "-----BEGIN PRIVATE ' + 'KEY-----"\nEND = "-----END PRIVATE KEY-----"\nx = 1\n',
    'digest = "d41d8cd98f00b204e9800998ecf8427e"',
    'assert sha256(x) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"',
    'id = "123e4567-e89b-12d3-a456-426614174000"',
    'data = b"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"',
    'password = input("password: ")',
    "password = get_password_v2b4(x1y2z3)",
    "token = tokens_by_id_2a3b[0]",
    'password = "correct horse battery staple"',
    'password = "<your-password-1a2b>"',
    'password = f"{user1a2b}{name}"',
    'public_key_token = "1fc8b3b9a1e18e3b"',
    'max_tokens = "a1b2c3d4e5"',
    'token_type = "a1b2c3d4e5"',
    'api_key_url = "https://x1y2z3.example"',
    'from hashlib import sha256 as password, b64decode2x1\nx = {"sha3_512": 1, "utf_16_be_sig1x": 2}',
    "self.assertEqual(token.value, b2a_hex1x2y)",
    'url = "https://bugs.example/issue35633#msg333662"',
]


@pytest.mark.parametrize("text", HARMLESS)
def test_hashes_identifiers_data_and_what_has_another_name_are_left_alone(text: str) -> None:
    assert secrets.masked(text, language_of("a.py")) == (text, 0)


def test_placeholders_in_configuration_are_left_alone() -> None:
    for text in (
        "password: ${DB_PASSWORD_2a3b}",
        "password: changeme",
        "token: {{ vault.token1a2b }}",
        "password: $(pass x1y2z3w4)",
    ):
        assert secrets.masked(text, language_of("a.yaml")) == (text, 0)


def test_nothing_in_the_standard_library_is_taken_for_a_secret() -> None:
    library = Path(sysconfig.get_path("stdlib"))
    for path in (*library.glob("*.py"), *library.glob("email/*.py"), *library.glob("http/*.py")):
        text = path.read_text(encoding="utf-8")
        assert secrets.masked(text, language_of(path.name)) == (text, 0), path


PARTS = [
    "password",
    "=",
    '"',
    "'",
    ": ",
    "a1B2c3D4e5",
    "é",
    "\U0001f511",
    "İ",
    "\n",
    "\r\n",
    "\\",
    " ",
    "token",
    "eyJ",
    "://a:",
    "@",
    "*",
    "`",
]


@given(st.lists(st.sampled_from(PARTS), max_size=40).map("".join) | st.text(), st.sampled_from(["a.py", "a.yaml"]))
@example('İİ password = "a1B2c3D4"', "a.py")
def test_a_text_keeps_its_length_and_its_lines_and_is_masked_once(text: str, path: str) -> None:
    found, count = secrets.masked(text, language_of(path))
    assert len(found) == len(text)
    assert {before for before, after in zip(text, found, strict=True) if before != after} <= set(text) - set(" \t\n\r\"'`\\")
    assert all(after in (before, "*") for before, after in zip(text, found, strict=True))
    assert (found != text) == (count > 0)
    assert secrets.masked(found, language_of(path)) == (found, 0)


@pytest.mark.parametrize(
    "unit",
    [
        "eyJ", "a1", "a1b2c3d4 ", "password=a1b2c3d4 ", "password:", "-----BEGIN PRIVATE " + "KEY-----", "://a:", "@://x1y2z3:",
        "AKI" + "A", "a1b2c3d4[x]", "sk-", "gh" + "p_", "x --", "#define ", "Bearer ", "\\\"", "eyJaaaaaaaa.eyJaaaaaaaa.",
    ],
)  # fmt: skip
def test_no_text_is_gone_over_again_and_again(unit: str) -> None:
    """One that were would take hours for these."""
    text = unit * (200_000 // len(unit))
    for path in ("a.py", "a.yaml"):
        secrets.masked(text, language_of(path))
    secrets.kind_by_text("a.pem", text)


# ---- files ----

PEM = "-----BEGIN PRIVATE " + "KEY-----\n"


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        (".env", "A=1\n", "an environment file"),
        (".env.production", "A=1\n", "an environment file"),
        ("id_rsa", "anything", "a private key"),
        ("id_ed25519", "anything", "a private key"),
        ("server.pem", f"Bag Attributes\n{PEM}{{body}}\n", "a private key"),
        ("server.key", f"{PEM}{{body}}\n", "a private key"),
        ("whatever", f"\n{PEM}{{body}}\n", "a private key"),
        ("whatever.txt", "-----BEGIN OPENSSH PRIVATE " + "KEY-----\n{body}\n", "a private key"),
        ("whatever.asc", "-----BEGIN PGP PRIVATE " + "KEY BLOCK-----\n\n{body}\n", "a private key"),
        ("whatever", "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", "a private key"),
        ("login.ppk", "x", "a private key"),
        (".netrc", "machine x login y password z\n", "passwords"),
        (".pgpass", "a:b:c:d:e\n", "passwords"),
        (".htpasswd", "a:b\n", "passwords"),
        ("credentials", "[default]\n", "passwords"),
        ("store.p12", b"\0\1", "a key store"),
        ("store.jks", b"\0\1", "a key store"),
        ("store.kdbx", b"\0\1", "a key store"),
        (
            "key.json",
            '{{"type": "service_account", "private_key": "' + PEM.replace("\n", "\\n") + '{body}"}}',
            "a service account's key",
        ),
        ("cluster.yaml", "apiVersion: v1\nkind: Config\nusers:\n- name: a\n  user:\n    token: x\n", "access to a cluster"),
    ],
)
def test_files_that_are_secrets_are_passed_over_and_reported(
    name: str, text: str | bytes, kind: str, tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    if isinstance(text, str) and "{body}" in text:
        text = text.replace("{{", "{").replace("}}", "}").replace("{body}", key_body())
    make_tree(tree, {f"config/{name}": text, "a.py": "x = 1\n"})
    report = crawler.index(".")
    assert [str(skip) for skip in report.skipped] == [f"config/{name}: secret ({kind})"]
    assert list(htm) == ["a.py"]
    assert crawler.index(".").reasons == {"secret": 1}
    with pytest.raises(CrawlerError, match=rf"cannot be taken in: secret: {kind}"):
        crawler.analyze_file(f"config/{name}")


def test_examples_and_public_keys_are_taken_in(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    certificate = f"-----BEGIN CERTIFICATE-----\n{key_body()}\n-----END CERTIFICATE-----\n"
    cluster = "apiVersion: v1\nkind: ConfigMap\ndata:\n  token: x\n"
    files = {".env.example": "A=1\n", ".env.sample": "A=1\n", ".env.template": "A=1\n", "id_rsa.pub": "ssh-rsa AAAA\n"}
    files |= {
        "ca.pem": certificate,
        "map.yaml": cluster,
        "jks": "x\n",
        "credentials.md": "# How\n",
        "notes.md": f"`{PEM}`\n",
    }
    make_tree(tree, files)
    assert crawler.index(".").skipped == []
    assert set(htm) == files.keys()


# ---- what is left of them ----


def traces(folder: Path, secret: str) -> list[str]:
    """Return the files of a store in which something of a secret is: as it is, as a word that is searched for, or compressed."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            texts = [data, *decompressed(data)]
            if any(secret.encode() in text or secret.lower().encode() in text for text in texts):
                found.append(path.name)
    return found


def decompressed(data: bytes) -> list[bytes]:
    texts = []
    place = data.find(b"\x78")
    while place >= 0:
        with contextlib.suppress(zlib.error):
            texts.append(zlib.decompressobj().decompress(data[place : place + 4096]))
        place = data.find(b"\x78", place + 1)
    return texts


def planted(value: str) -> dict[str, str | bytes]:
    function = f'def connect(user, password="{value}"):\n    """Connect with api_key={value!r}."""\n    return user\n'
    table = (
        "SETTINGS = {\n"
        + "".join(f'    "setting_number_{number}": "something",\n' for number in range(9))
        + f'    "token": "{value}",\n}}\n'
    )
    return {
        "a.py": f"{table}\n{function}",
        "a.md": "# Use\n\n" + "words\n" * 50 + f"\n    export API_KEY={value}\n\n" + "words\n" * 50,
        "a.yaml": f"password: {value}\n",
        ".env": f"PASSWORD={value}\n",
        "id_rsa": f"{PEM}{value}\n",
    }


def test_a_planted_secret_is_nowhere_in_the_store_nor_in_what_is_shown(tree: Path, store_path: Path) -> None:
    value = drawn(24, string.ascii_lowercase + string.digits).lower()
    make_tree(tree, planted(value))
    with HTMCore(store_path) as htm:
        crawler = CodeBaseCrawler(htm, symbols=True)
        results = crawler.crawl_directory(".")
        assert value not in str(results)
        assert "a.py::<SETTINGS>" in htm
        assert len([key for key in htm if key.startswith("a.md::")]) >= 2
        for words in (value, "connect", "export api key", "setting number", "password"):
            for mode in ("hybrid", "lexical", "semantic"):
                assert value not in str(crawler.search(words, 50, mode))  # type: ignore[arg-type]
        assert value not in str(crawler.analyze_file("a.py"))
        make_tree(tree, {"a.py": f"import os\n{planted(value)['a.py']!s}x = 1\n", "b.py": f'secret = "{value}"\n'})
        crawler.index(".")
        for key in htm:
            assert value not in str((htm.get_text(key), htm.get_embedding(key), htm.history(key)))
        assert traces(store_path, value) == []
    assert traces(store_path, value) == []


def unmasked(text: str, language: Any) -> tuple[str, int]:
    return text, 0


def test_without_masking_there_are_traces_which_the_next_crawl_purges(
    tree: Path, store_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was taken in before values were masked is purged, with all that was remembered of it."""
    value = drawn(24, string.ascii_lowercase + string.digits).lower()
    files = {name: text for name, text in planted(value).items() if name.startswith("a.")}
    with HTMCore(store_path) as htm:
        crawler = CodeBaseCrawler(htm, symbols=True)
        with monkeypatch.context() as patch:
            patch.setattr(secrets, "masked", unmasked)
            make_tree(tree, files)
            crawler.index(".")
            make_tree(tree, {"a.py": f"import os\n{files['a.py']!s}"})
            crawler.index(".")
        assert traces(store_path, value)
        monkeypatch.setattr("anam_py.crawler.known.RECIPE", "later:")
        report = crawler.index(".")
        assert report.masked == {"a.md": 1, "a.py": 3, "a.yaml": 1}
        assert "a.py::connect" in htm
        assert all(htm.get_embedding(key)["version"] == 1 for key in htm)  # type: ignore[index]
        assert value not in str([htm.history(key) for key in htm])
        assert crawler.index(".").unchanged == 3
        htm.compact()
        assert traces(store_path, value) == []
        assert htm.verify() == []


def test_a_file_that_becomes_a_secret_is_purged_with_its_history(tree: Path, store_path: Path) -> None:
    word = "zygomorphic"
    with HTMCore(store_path) as htm:
        crawler = CodeBaseCrawler(htm, symbols=True)
        make_tree(tree, {"key": f"def {word}():\n    pass\n", "b.py": "x = 1\n", "c.py": f"def {word}(): pass\n"})
        crawler.index(".")
        make_tree(tree, {"key": f"{word} = 2\n"})
        crawler.index(".")
        make_tree(tree, {"key": PEM + key_body(), "c.py": "y = 1\n"})
        report = crawler.index(".")
        assert report.reasons == {"secret": 1}
        assert "key" not in htm
        assert htm.history("key") == []
        assert htm.history("c.py") != []
        assert crawler.index(".").reasons == {"secret": 1}
        htm.prune_history(1)
        htm.delete("c.py", purge=True)
        htm.delete("c.py::" + word, purge=True)
        htm.compact()
        assert traces(store_path, word) == []
        make_tree(tree, {"key": "harmless = 1\n"})
        assert crawler.index(".").new == 2
        assert htm.get_text("key") == "harmless = 1\n"


def test_a_secret_that_is_changed_leaves_no_more_than_that_the_file_has_changed(
    tree: Path, htm: HTMCore, crawler: CodeBaseCrawler
) -> None:
    first, second = drawn(20), drawn(20)
    make_tree(tree, {"a.py": f'password = "{first}"\n'})
    crawler.index(".")
    make_tree(tree, {"a.py": f'password = "{second}"\n'})
    assert crawler.index(".").changed == 1
    assert htm.get_text("a.py") == f'password = "{"*" * 20}"\n'
    assert [version["diff_ops"] for version in htm.history("a.py")] == [[], []]


def test_what_was_masked_is_noted_and_reported(tree: Path, htm: HTMCore, crawler: CodeBaseCrawler) -> None:
    one = f'password = "{drawn(20)}"\n'
    make_tree(tree, {"a.py": one * 3, "b.py": one, "c.py": "x = 1\n"})
    report = crawler.index(".")
    assert report.masked == {"a.py": 3, "b.py": 1}
    assert report.remarks == [
        "3 values that look like secrets were masked in a.py",
        "1 value that looks like a secret was masked in b.py",
    ]
    assert htm.get_embedding("a.py")["metadata"]["notes"] == ["3 values that look like secrets were masked"]  # type: ignore[index]
    assert htm.get_embedding("c.py")["metadata"]["notes"] == []  # type: ignore[index]
    assert crawler.index(".").remarks == []
    make_tree(tree, {f"{number:02}.py": one for number in range(14)})
    remarks = crawler.index(".").remarks
    assert len(remarks) == 11
    assert remarks[-1] == "4 values that look like secrets were masked in 4 other files"


def test_the_command_says_what_it_left_out_and_masked_and_shows_nothing_of_it(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ANAM_STORE", raising=False)
    value = drawn(24)
    make_tree(tree, planted(value))
    result = run("index", "--verbose")
    assert "(2 secret)" in result.out
    assert "skipped .env: secret (an environment file)" in result.err
    assert "Note: 3 values that look like secrets were masked in a.py" in result.err
    shown = [
        run(*words.split()) for words in ("search connect password", "search api key --json", "similar a.py::connect --json")
    ]
    assert all(each.status == 0 for each in shown)
    assert value not in str([(each.out, each.err) for each in (result, *shown)])
