"""The security rules for JavaScript and TypeScript: what each finds, what it leaves alone, and source made to do harm."""

import pytest

from anam_py.crawler import find_violations, has_rules
from anam_py.crawler.rules import RULES

GRAMMARS = ("javascript", "typescript", "tsx")
AWS_KEY = "AKIA" + "IOSFODNN7EXAMPLE"

BAD = {
    "js-eval": ["eval(code)", 'window.eval("a" + b)', "eval(`f(${x})`)", "eval((code))"],
    "js-new-function": ['new Function("a", body)', "Function(body)"],
    "js-timer-code": ['setTimeout("f()", 1)', 'setInterval("f(" + x + ")", 1)'],
    "js-markup": [
        "e.innerHTML = name",
        "e.outerHTML += `<b>${x}</b>`",
        'document.write("<p>" + q)',
        'e.insertAdjacentHTML("beforeend", html)',
        "const props = {__html: body}",
    ],
    "js-shell-command": [
        "exec(`ls ${folder}`)",
        'cp.exec("ls " + folder)',
        'require("child_process").exec("rm " + file, done)',
        "child_process.execSync(`a ${b}`)",
    ],
    "js-shell-option": ["spawn(command, {shell: true})", 'spawnSync("ls", [folder], {shell: true})'],
    "js-tls-unverified": [
        "const o = {rejectUnauthorized: false}",
        "agent.strictSSL = false",
        'process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"',
        'process.env["NODE_TLS_REJECT_UNAUTHORIZED"] = 0',
    ],
    "js-hardcoded-credential": [
        'const password = "hunter2hunter2"',
        'client.apiKey = "abc123def456"',
        'const o = {"secret": "s3cr3ts3cr3t"}',
        "const o = {db_password: 'pa55w0rd1'}",
    ],
    "js-known-key": [f'const k = "{AWS_KEY}"', 'f("-----BEGIN RSA PRIVATE KEY-----")'],
    "js-weak-hash": ['crypto.createHash("md5")', "createHmac('SHA1', k)"],
    "js-weak-cipher": ['createCipheriv("des-ede3", k, iv)', "crypto.createDecipheriv('aes-128-ecb', k, iv)"],
    "js-guessable-secret": ["const token = Math.random().toString(36).slice(2)", "const o = {sessionId: Math.random()}"],
    "js-sql-text": ["db.query(`SELECT * FROM t WHERE id = ${id}`)", 'db.query("select * from t where a=\'" + b + "\'")'],
}
GOOD = [
    'eval("1 + 1")',
    "retrieval(code)",
    'new Function("return this")',
    "setTimeout(() => f(), 1); setTimeout(f, 1)",
    'e.innerHTML = ""',
    'e.innerHTML = "<b>" + "x" + "</b>"',
    "e.textContent = name",
    "e.innerHTML = DOMPurify.sanitize(name)",
    "e.innerHTML = `<b>${escapeHtml(name)}</b>`",
    "/a/.exec(`${x}`); pattern.exec(a + b)",
    'exec("ls"); execFile("ls", [folder]); spawn("ls", [folder])',
    'spawn("ls", {shell: true})',
    "const o = {rejectUnauthorized: true}",
    'const password = "password"',
    'const labels = {password: "Your password, 8 letters or more"}',
    "const secret = process.env.SECRET_2",
    'createHash("sha256")',
    "const delay = Math.random() * 5",
    "const token = crypto.randomUUID()",
    'db.query("SELECT * FROM t WHERE id = $1", [id])',
    "sql`SELECT ${x}`",
    "log.query(`hello ${x}`)",
]


def rules_in(source: str, grammar: str) -> set[str]:
    found = find_violations(source, grammar)
    assert found.is_complete
    return {violation.rule for violation in found.violations}


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize(("rule", "source"), [(rule, source) for rule, sources in BAD.items() for source in sources])
def test_each_rule_finds_what_it_is_about_and_nothing_else_does(rule: str, source: str, grammar: str) -> None:
    assert rules_in(source, grammar) == {rule}


@pytest.mark.parametrize("grammar", GRAMMARS)
@pytest.mark.parametrize("source", GOOD)
def test_what_is_harmless_is_left_alone(source: str, grammar: str) -> None:
    assert rules_in(source, grammar) == set()


def test_every_rule_has_an_example() -> None:
    assert {rule.id for rule in RULES} == BAD.keys()
    assert {rule.severity for rule in RULES} <= {"high", "medium", "low"}


def test_a_place_is_told_by_line_and_character_and_once_per_rule() -> None:
    found = find_violations("f();\n/* äö */ document.write(a, b, c);\n", "javascript")
    assert [(each.rule, each.line, each.column) for each in found.violations] == [("js-markup", 2, 10)]


def test_violations_come_in_the_order_of_the_source() -> None:
    source = "".join(f"{example};\n" for examples in reversed(BAD.values()) for example in examples)
    lines = [violation.line for violation in find_violations(source, "javascript").violations]
    assert lines == sorted(lines)
    assert len(lines) == len(set(lines)) == source.count("\n")


def test_source_with_errors_is_read_as_far_as_possible_and_said_to_be_incomplete() -> None:
    found = find_violations("eval(code);\nfunction {{{\n", "javascript")
    assert not found.is_complete
    assert found.violations[0].rule == "js-eval"
    assert not find_violations("1;\n" * 400_000, "javascript").is_complete


@pytest.mark.parametrize(
    ("source", "violations"),
    [
        ("e.innerHTML = b +\n" * 3_000 + "1", 3_000),
        ("e.innerHTML = escape(\n" * 1_000 + "1" + ")\n" * 1_000, 0),
        ("eval(" + "a,\n" * 10_000 + "a)", 1),
        ("new Function(" + "a,\n" * 10_000 + "a)", 1),
        ('spawn("x", [a' + ",\n1" * 20_000 + "], {" + "shell: true,\n" * 20_000 + "})", 1),
        ("db.query(`select " + "${a}\n" * 5_000 + "`)", 1),
    ],
    ids=["sums", "calls", "arguments", "parameters", "options", "templates"],
)
def test_source_made_to_do_harm_is_read_like_any_other(source: str, violations: int) -> None:
    assert len(find_violations(source, "javascript").violations) == violations


def test_there_are_rules_for_scripts_only() -> None:
    assert [grammar for grammar in (*GRAMMARS, "python", "") if has_rules(grammar)] == list(GRAMMARS)


def test_source_that_is_too_deep_for_queries_is_not_read() -> None:
    deep = 25_000
    assert find_violations("(\n" * deep + "eval(x)" + ")\n" * deep, "javascript") == ((), False)
    assert find_violations("(\n" * 1000 + "eval(x)" + ")\n" * 1000, "javascript").is_complete
