"""The syntax that is understood: for each language a tree-sitter grammar, and the query that says what to look for in it.

A further language is a further row. Its query may capture:

``@function``, ``@method``, ``@class``, ``@interface``, ``@enum``, ``@type``, ``@module``
    A definition: the kind of symbol it makes. In the same pattern ``@name`` is its name, and ``@body`` what follows its
    signature. A function inside a class is a method.
``@doc``
    The string that documents the innermost definition that holds it, or the file.
``@comment``
    A comment; one that ends on the line above a definition without a ``@doc`` documents it.
``@import``
    The name of a module that the file depends on.
``@decision``
    A token that adds a path through the innermost function: the ones that lizard counts.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tree_sitter

__all__ = ["GRAMMARS", "Grammar", "compiled"]

PYTHON = """
(function_definition name: (identifier) @name body: (block) @body) @function
(class_definition name: (identifier) @name body: (block) @body) @class
(module . (comment)* . (expression_statement . (string) @doc .))
(function_definition body: (block . (comment)* . (expression_statement . (string) @doc .)))
(class_definition body: (block . (comment)* . (expression_statement . (string) @doc .)))
(comment) @comment
(import_statement name: (dotted_name) @import)
(import_statement name: (aliased_import name: (dotted_name) @import))
(import_from_statement module_name: (_) @import)
["if" "elif" "for" "while" "except" "finally" "and" "or" "case"] @decision
"""

_SCRIPT = """
(function_declaration name: (_) @name body: (_) @body) @function
(generator_function_declaration name: (_) @name body: (_) @body) @function
(method_definition name: (_) @name body: (_) @body) @method
(class_declaration name: (_) @name body: (_) @body) @class
(class name: (_) @name body: (_) @body) @class
(variable_declarator name: (identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body) (generator_function body: (_) @body)]) @function
(variable_declarator name: (identifier) @name value: (class body: (_) @body)) @class
(assignment_expression left: [(identifier) (member_expression)] @name
  right: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function
(pair key: (property_identifier) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @function
(comment) @comment
(import_statement source: (string (string_fragment) @import))
(export_statement source: (string (string_fragment) @import))
(call_expression function: (import) arguments: (arguments . (string (string_fragment) @import)))
(call_expression function: (identifier) @_require arguments: (arguments . (string (string_fragment) @import) .)
  (#eq? @_require "require"))
["if" "for" "while" "catch" "case" "&&" "||" "??"] @decision
(ternary_expression "?" @decision)
"""

JAVASCRIPT = f"""{_SCRIPT}
(field_definition property: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @method
"""

TYPESCRIPT = f"""{_SCRIPT}
(public_field_definition name: (_) @name
  value: [(arrow_function body: (_) @body) (function_expression body: (_) @body)]) @method
(abstract_class_declaration name: (_) @name body: (_) @body) @class
(interface_declaration name: (_) @name body: (_) @body) @interface
(enum_declaration name: (_) @name body: (_) @body) @enum
(type_alias_declaration name: (_) @name value: (_) @body) @type
(internal_module name: (_) @name body: (_) @body) @module
(module name: (_) @name body: (_) @body) @module
(function_signature name: (_) @name) @function
(abstract_method_signature name: (_) @name) @method
"""


@dataclass(frozen=True, slots=True)
class Grammar:
    """Where the grammar of a language is, and its query.

    Attributes
    ----------
    package : str
        The package that carries it.
    function : str
        What in the package returns it.
    query : str
    """

    package: str
    function: str
    query: str


GRAMMARS = {
    "python": Grammar("tree_sitter_python", "language", PYTHON),
    "javascript": Grammar("tree_sitter_javascript", "language", JAVASCRIPT),
    "typescript": Grammar("tree_sitter_typescript", "language_typescript", TYPESCRIPT),
    "tsx": Grammar("tree_sitter_typescript", "language_tsx", TYPESCRIPT),
}


@cache
def compiled(name: str) -> "tuple[tree_sitter.Language, tree_sitter.Query]":
    """Return a grammar and its query, loaded when they are first needed."""
    import tree_sitter  # noqa: PLC0415 - a search does not need it

    row = GRAMMARS[name]
    grammar = tree_sitter.Language(getattr(import_module(row.package), row.function)())
    return grammar, tree_sitter.Query(grammar, row.query)
