"""Security rules for languages that no linter at hand reads: dangerous patterns of syntax, each a row of data.

A further rule is a further row. Its query captures:

``@here``
    What to report.
``@made``, ``@mixed``, ``@markup``
    An expression that is only dangerous if it is not constant; if moreover something is put into a text in it; if it is not
    constant and what varies in it is not passed through a function that is called after cleaning.
Names that start with ``_``
    What its predicates ask about: single tokens, so that reading them takes no longer than reading the source.
"""

import re
from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING, NamedTuple

from anam_py.crawler.grammars import compiled
from anam_py.crawler.parse import TooLongError, syntax_tree

if TYPE_CHECKING:
    import tree_sitter

__all__ = ["RULES", "Checked", "Rule", "Violation", "find_violations", "has_rules"]


class Rule(NamedTuple):
    """A row of the table of rules.

    Attributes
    ----------
    id : str
    severity : str
        "high", "medium" or "low".
    message : str
        What is wrong, and what to do.
    query : str
        Patterns of tree-sitter, as the module describes them.
    """

    id: str
    severity: str
    message: str
    query: str


class Violation(NamedTuple):
    """A place that a rule is about.

    Attributes
    ----------
    rule, message, severity : str
    line, column : int
        Counted from 1, the column in characters.
    """

    rule: str
    message: str
    severity: str
    line: int
    column: int


class Checked(NamedTuple):
    """What the rules say of a text.

    Attributes
    ----------
    violations : tuple of Violation
        In the order of the source.
    is_complete : bool
        Whether all of it could be read: it has no syntax errors, and would not take too long.
    """

    violations: tuple[Violation, ...]
    is_complete: bool


_SENSITIVE = (
    r"(?i)^[\"']?\\w*(password|passwd|passphrase|api_?key|(secret|private|access)_?key|(access|auth)_?token|secret)[\"']?$"
)
_NOT_PROSE = r"^(?=[^A-Za-z]*[A-Za-z])(?=[^0-9]*[0-9])[^\\s<>{}$*]{8,}$"
_NAMED_UNIQUE = "(?i)(token|password|secret|nonce|salt|session_?id)$"
_RANDOM = (
    """(call_expression function: (member_expression object: (identifier) @_math property: (property_identifier) @_random))"""
)
_RANDOM_TEXT = f"(call_expression function: (member_expression object: {_RANDOM}))"
_RANDOM_PART = f"(call_expression function: (member_expression object: {_RANDOM_TEXT}))"

RULES = (
    Rule(
        "js-eval",
        "high",
        "eval runs a text that is put together at run time as code; parse it (JSON.parse) or call what is meant",
        """
        (call_expression function: (identifier) @_name arguments: (arguments . (_) @made) (#eq? @_name "eval")) @here
        (call_expression function: (member_expression object: (identifier) @_global property: (property_identifier) @_name)
          arguments: (arguments . (_) @made) (#any-of? @_global "window" "globalThis" "self" "global") (#eq? @_name "eval")) @here
        """,
    ),
    Rule(
        "js-new-function",
        "high",
        "Function makes code of a text that is put together at run time; write the function itself",
        """
        (new_expression constructor: (identifier) @_name arguments: (arguments (_) @made .) (#eq? @_name "Function")) @here
        (call_expression function: (identifier) @_name arguments: (arguments (_) @made .) (#eq? @_name "Function")) @here
        """,
    ),
    Rule(
        "js-timer-code",
        "medium",
        "a timer that is given a text runs it as code; give it a function",
        """
        (call_expression function: (identifier) @_name arguments: (arguments . [(string) (template_string)])
          (#any-of? @_name "setTimeout" "setInterval")) @here
        (call_expression function: (identifier) @_name arguments: (arguments . (binary_expression) @mixed)
          (#any-of? @_name "setTimeout" "setInterval")) @here
        """,
    ),
    Rule(
        "js-markup",
        "medium",
        "markup that is put together at run time may carry a script; set textContent, or clean it first",
        """
        (assignment_expression left: (member_expression property: (property_identifier) @_name) right: (_) @markup
          (#any-of? @_name "innerHTML" "outerHTML")) @here
        (augmented_assignment_expression left: (member_expression property: (property_identifier) @_name) right: (_) @markup
          (#any-of? @_name "innerHTML" "outerHTML")) @here
        (call_expression function: (member_expression property: (property_identifier) @_name)
          arguments: (arguments . (_) . (_) @markup) (#eq? @_name "insertAdjacentHTML")) @here
        (call_expression function: (member_expression object: (identifier) @_object property: (property_identifier) @_name)
          arguments: (arguments (_) @markup) (#eq? @_object "document") (#any-of? @_name "write" "writeln")) @here
        (pair key: (property_identifier) @_name value: (_) @markup (#eq? @_name "__html")) @here
        """,
    ),
    Rule(
        "js-shell-command",
        "high",
        "a shell runs a command that is put together at run time; use execFile with a list of arguments",
        """
        (call_expression function: (identifier) @_name arguments: (arguments . (_) @mixed)
          (#any-of? @_name "exec" "execSync" "execAsync" "execPromise")) @here
        (call_expression function: (member_expression property: (property_identifier) @_name) arguments: (arguments . (_) @mixed)
          (#eq? @_name "execSync")) @here
        (call_expression function: (member_expression object: (identifier) @_module property: (property_identifier) @_name)
          arguments: (arguments . (_) @mixed) (#any-of? @_module "child_process" "childProcess" "cp") (#eq? @_name "exec")) @here
        (call_expression function: (member_expression
            object: (call_expression function: (identifier) @_require
              arguments: (arguments . (string (string_fragment) @_module)))
            property: (property_identifier) @_name) arguments: (arguments . (_) @mixed)
          (#eq? @_require "require") (#match? @_module "^(node:)?child_process$") (#eq? @_name "exec")) @here
        """,
    ),
    Rule(
        "js-shell-option",
        "medium",
        "shell: true lets a shell read a command that is not constant; leave it out",
        """
        (call_expression function: [(identifier) @_name (member_expression property: (property_identifier) @_name)]
          arguments: (arguments . (_) @made (object (pair key: (property_identifier) @_option value: (true)))
          .) (#match? @_name "^(spawn|execFile)(Sync)?$") (#eq? @_option "shell")) @here
        (call_expression function: [(identifier) @_name (member_expression property: (property_identifier) @_name)]
          arguments: (arguments . (_) . (array) @made . (object (pair key: (property_identifier) @_option value: (true)))
          .) (#match? @_name "^(spawn|execFile)(Sync)?$") (#eq? @_option "shell")) @here
        """,
    ),
    Rule(
        "js-tls-unverified",
        "high",
        "certificates are not verified, so anyone on the way can read and change what is sent; add the authority to ca instead",
        """
        (pair key: [(property_identifier) (string)] @_name value: (false)
          (#match? @_name "^[\\"']?(rejectUnauthorized|strictSSL)[\\"']?$")) @here
        (assignment_expression left: (member_expression property: (property_identifier) @_name) right: (false)
          (#any-of? @_name "rejectUnauthorized" "strictSSL")) @here
        (assignment_expression left: [
            (member_expression property: (property_identifier) @_name)
            (subscript_expression index: (string (string_fragment) @_name))] right: [(string) (number)] @_value
          (#eq? @_name "NODE_TLS_REJECT_UNAUTHORIZED") (#match? @_value "^[\\"']?0[\\"']?$")) @here
        """,
    ),
    Rule(
        "js-hardcoded-credential",
        "medium",
        "what looks like a credential is part of the source, for all to read who have it; read it from the environment",
        f"""
        (variable_declarator name: (identifier) @_name value: (string (string_fragment) @_value)
          (#match? @_name "{_SENSITIVE}") (#match? @_value "{_NOT_PROSE}")) @here
        (assignment_expression left: [(identifier) @_name (member_expression property: (property_identifier) @_name)]
          right: (string (string_fragment) @_value)
          (#match? @_name "{_SENSITIVE}") (#match? @_value "{_NOT_PROSE}")) @here
        (pair key: [(property_identifier) (string)] @_name value: (string (string_fragment) @_value)
          (#match? @_name "{_SENSITIVE}") (#match? @_value "{_NOT_PROSE}")) @here
        """,
    ),
    Rule(
        "js-known-key",
        "high",
        "this has the form of a key to an account or a private key; withdraw it, and read the new one from the environment",
        """
        ((string_fragment) @here (#match? @here "^(AKIA|ASIA)[0-9A-Z]{16}$|^gh[pousr]_[A-Za-z0-9]{36}$|^sk_live_[0-9a-zA-Z]{24}"))
        ((string_fragment) @here (#match? @here "^xox[abprs]-[0-9A-Za-z-]{20}|^glpat-[0-9A-Za-z_-]{20}$|^AIza[0-9A-Za-z_-]{35}$"))
        ((string_fragment) @here (#match? @here "^\\\\s*-----BEGIN ([A-Z]+ )?PRIVATE KEY-----"))
        """,
    ),
    Rule(
        "js-weak-hash",
        "medium",
        "MD4, MD5 and SHA-1 do not withstand forgery; use sha256, or a password hash (scrypt) for passwords",
        """
        (call_expression function: [(identifier) @_name (member_expression property: (property_identifier) @_name)]
          arguments: (arguments . (string (string_fragment) @_algorithm))
          (#any-of? @_name "createHash" "createHmac") (#match? @_algorithm "(?i)^(md4|md5|sha-?1)$")) @here
        """,
    ),
    Rule(
        "js-weak-cipher",
        "high",
        "this cipher or mode no longer keeps a secret; use createCipheriv with aes-256-gcm",
        """
        (call_expression function: [(identifier) @_name (member_expression property: (property_identifier) @_name)]
          arguments: (arguments . (string (string_fragment) @_algorithm)) (#match? @_name "^create(Cipher|Decipher)(iv)?$")
          (#match? @_algorithm "(?i)^(des|rc2|rc4|bf|blowfish)|-ecb$")) @here
        """,
    ),
    Rule(
        "js-guessable-secret",
        "medium",
        "Math.random can be predicted; use crypto.randomBytes or crypto.randomUUID for what must not be guessed",
        f"""
        (variable_declarator name: (identifier) @_name value: [{_RANDOM} {_RANDOM_TEXT} {_RANDOM_PART}]
          (#match? @_name "{_NAMED_UNIQUE}") (#eq? @_math "Math") (#eq? @_random "random")) @here
        (pair key: (property_identifier) @_name value: [{_RANDOM} {_RANDOM_TEXT} {_RANDOM_PART}]
          (#match? @_name "{_NAMED_UNIQUE}") (#eq? @_math "Math") (#eq? @_random "random")) @here
        """,
    ),
    Rule(
        "js-sql-text",
        "medium",
        "a query is put together from a text and values, which may change what it asks; pass the values as parameters",
        """
        (call_expression function: (member_expression property: (property_identifier) @_name)
          arguments: (arguments . (template_string . (string_fragment) @_start) @mixed)
          (#any-of? @_name "query" "execute" "raw" "run" "all" "exec" "prepare")
          (#match? @_start "(?i)^\\\\s*(select|insert\\\\s+into|update|delete\\\\s+from)\\\\s")) @here
        (call_expression function: (member_expression property: (property_identifier) @_name)
          arguments: (arguments . (binary_expression left: [
            (string . (string_fragment) @_start) (binary_expression left: (string . (string_fragment) @_start))]) @mixed)
          (#any-of? @_name "query" "execute" "raw" "run" "all" "exec" "prepare")
          (#match? @_start "(?i)^\\\\s*(select|insert\\\\s+into|update|delete\\\\s+from)\\\\s")) @here
        """,
    ),
)

_BY_ID = {rule.id: rule for rule in RULES}
_GRAMMARS = ("javascript", "typescript", "tsx")

# An expression with more parts counts as one that varies.
_MAX_PARTS = 200
_CONSTANT = {
    "arrow_function", "class", "comment", "escape_sequence", "false", "function_expression", "null", "number", "object",
    "regex", "string", "string_fragment", "true", "undefined",
}  # fmt: skip
_COMPOSED = {
    "array", "as_expression", "binary_expression", "non_null_expression", "parenthesized_expression", "satisfies_expression",
    "template_string", "template_substitution",
}  # fmt: skip
_CLEANER = re.compile(rb"sanitiz|sanitis|escape|purify|encode", re.IGNORECASE)


def has_rules(grammar: str) -> bool:
    """Tell whether there are rules for a grammar of `crawler.grammars`."""
    return grammar in _GRAMMARS


def find_violations(text: str, grammar: str) -> Checked:
    """Apply the rules to a source text.

    Parameters
    ----------
    text : str
    grammar : str
        One that `has_rules`.

    Returns
    -------
    Checked
    """
    import tree_sitter  # noqa: PLC0415 - a search does not need it

    source = text.encode("utf-8")
    try:
        root = syntax_tree(source, grammar)
    except TooLongError:
        return Checked((), is_complete=False)
    matches = tree_sitter.QueryCursor(_query(grammar)).matches(root)
    places: dict[tuple[int, str], Violation] = {}
    holds = cache(lambda name, node: _CONDITIONS[name](node))  # there may be many matches of one expression
    for _, captures in matches:
        if all(holds(name, captures[name][0]) for name in _CONDITIONS if name in captures):
            rule = next(_BY_ID[name] for name in captures if name in _BY_ID)
            node = captures[rule.id][0]
            places.setdefault((node.start_byte, rule.id), _violation(source, node, rule))
    return Checked(tuple(places[place] for place in sorted(places)), is_complete=not root.has_error)


@cache
def _query(grammar: str) -> "tree_sitter.Query":
    """Return one query for all rules, in which each rule's ``@here`` has the name of the rule."""
    import tree_sitter  # noqa: PLC0415 - as above

    language, _ = compiled(grammar)
    return tree_sitter.Query(language, "\n".join(rule.query.replace("@here", f"@{rule.id}") for rule in RULES))


def _violation(source: bytes, node: "tree_sitter.Node", rule: Rule) -> Violation:
    row, column = node.start_point
    before = source[node.start_byte - column : node.start_byte].decode("utf-8", "replace")
    return Violation(rule.id, rule.message, rule.severity, row + 1, len(before) + 1)


def _varies(node: "tree_sitter.Node", *, cleaned: bool = False) -> bool:
    """Tell whether an expression is not constant; where that is asked, what is cleaned counts as constant."""
    pending = [node]
    for _ in range(_MAX_PARTS):
        if not pending:
            return False
        part = pending.pop()
        if part.type in _COMPOSED:
            pending += filter(None, map(part.named_child, range(min(part.named_child_count, _MAX_PARTS))))
        elif part.type not in _CONSTANT and not (cleaned and _is_cleaned(part)):
            return True
    return True


def _is_cleaned(node: "tree_sitter.Node") -> bool:
    function = node.child_by_field_name("function")
    name = function and (function.child_by_field_name("property") or function)
    return bool(name and name.type in ("identifier", "property_identifier") and _CLEANER.search(name.text or b""))


def _is_mixed(node: "tree_sitter.Node") -> bool:
    return node.type in ("binary_expression", "template_string") and _varies(node)


_CONDITIONS: dict[str, Callable[["tree_sitter.Node"], bool]] = {
    "made": _varies,
    "mixed": _is_mixed,
    "markup": partial(_varies, cleaned=True),
}
