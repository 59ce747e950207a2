"""The syntax that is understood: for each language a tree-sitter grammar, and the query that says what to look for in it.

A further language is a further row. Its query may capture:

``@function``, ``@method``, ``@class``, ``@interface``, ``@enum``, ``@type``, ``@module``
    A definition: the kind of symbol it makes. In the same pattern ``@name`` is its name, or ``@declarator`` what has the
    name at its end, as in C; ``@owner`` is the type it belongs to, where it stands outside of it; ``@body`` is what follows
    its signature. A function inside a class, an interface or a scope is a method.
``@forward``
    In the pattern of a definition: it only announces one. It counts where the file has no definition of that name, and not
    inside a function.
``@scope``
    What gives its ``@name`` to the definitions inside and is none itself.
``@doc``
    The string that documents the innermost definition that holds it, or the file.
``@comment``
    A comment; one that ends on the line above a definition without a ``@doc`` documents it.
``@between``
    What may stand between a definition and the comment that documents it.
``@import``
    The name of a module that the file depends on.
``@aside``
    A statement that is not worth an entry of its own, outside of definitions: it imports something, or says what this is.
``@decision``
    A token that adds a path through the innermost function: the ones that lizard counts.
``@certain``
    A token or an expression that adds none.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tree_sitter

__all__ = ["ANGULAR", "GRAMMARS", "PREPROCESSED", "Grammar", "compiled"]

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
[(import_statement) (import_from_statement) (future_import_statement)] @aside
((assignment left: (identifier) @_all) @aside (#eq? @_all "__all__"))
((augmented_assignment left: (identifier) @_all) @aside (#eq? @_all "__all__"))
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
(import_statement) @aside
(export_statement source: (_)) @aside
((variable_declarator value: (call_expression function: (identifier) @_require)) @aside (#eq? @_require "require"))
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

RUST = """
(function_item name: (_) @name body: (_) @body) @function
(function_signature_item name: (_) @name) @function
(struct_item name: (_) @name body: (field_declaration_list) @body) @class
(struct_item name: (_) @name body: (ordered_field_declaration_list)) @class
(struct_item name: (_) @name !body) @class
(union_item name: (_) @name body: (_) @body) @class
(enum_item name: (_) @name body: (_) @body) @enum
(trait_item name: (_) @name body: (_) @body) @interface
(source_file (type_item name: (_) @name) @type)
(mod_item body: (declaration_list (type_item name: (_) @name) @type))
(mod_item name: (_) @name body: (_) @body) @module
(macro_definition name: (_) @name . ["(" "[" "{"] @body) @function
(impl_item type: (_) @name) @scope
(line_comment) @comment
(block_comment) @comment
(attribute_item) @between
(use_declaration argument: [(identifier) (scoped_identifier)] @import)
(use_declaration argument: [(scoped_use_list path: (_) @import) (use_as_clause path: (_) @import) (use_wildcard (_) @import)])
(extern_crate_declaration name: (_) @import)
(mod_item name: (_) @import !body)
[(use_declaration) (extern_crate_declaration) (mod_item !body) (attribute_item) (inner_attribute_item)] @aside
["if" "for" "while" "&&" "||" "where" "?"] @decision
(let_declaration "else" @decision)
((match_arm) . [(line_comment) (block_comment)]* . (match_arm "=>" @decision))
"""

_GO_TYPE = """
  name: (_) @name type: [
    (type_identifier) (qualified_type) (generic_type) (pointer_type) (function_type) (map_type) (slice_type) (array_type)
    (channel_type)]"""

GO = f"""
(function_declaration name: (_) @name body: (_) @body) @function
(function_declaration name: (_) @name !body) @function
(method_declaration
  receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @owner
    (generic_type type: (_) @owner)
    (pointer_type [(type_identifier) @owner (generic_type type: (_) @owner)])]))
  name: (_) @name body: (_) @body) @method
(source_file (var_declaration
  (var_spec name: (identifier) @name value: (expression_list . (func_literal body: (_) @body))) @function))
(source_file (var_declaration (var_spec_list
  (var_spec name: (identifier) @name value: (expression_list . (func_literal body: (_) @body))) @function)))
(type_declaration . "type" . (type_spec name: (_) @name type: (struct_type (_) @body))) @class
(type_declaration . "type" . (type_spec name: (_) @name type: (interface_type "{{" @body))) @interface
(type_declaration . "type" . (type_spec {_GO_TYPE})) @type
(type_declaration . "type" . (type_alias name: (_) @name)) @type
(type_declaration "(" (type_spec name: (_) @name type: (struct_type (_) @body)) @class)
(type_declaration "(" (type_spec name: (_) @name type: (interface_type "{{" @body)) @interface)
(type_declaration "(" (type_spec {_GO_TYPE}) @type)
(type_declaration "(" (type_alias name: (_) @name) @type)
(method_elem name: (_) @name) @method
(comment) @comment
(import_spec path: (_) @import)
[(package_clause) (import_declaration)] @aside
["if" "for" "case" "&&" "||"] @decision
"""

JAVA = """
(class_declaration name: (_) @name body: (_) @body) @class
(record_declaration name: (_) @name body: (_) @body) @class
(enum_declaration name: (_) @name body: (_) @body) @enum
(interface_declaration name: (_) @name body: (_) @body) @interface
(annotation_type_declaration name: (_) @name body: (_) @body) @interface
(module_declaration name: (_) @name body: (_) @body) @module
(method_declaration name: (_) @name body: (_) @body) @method
(method_declaration name: (_) @name !body) @method
(constructor_declaration name: (_) @name body: (_) @body) @method
(compact_constructor_declaration name: (_) @name body: (_) @body) @method
(line_comment) @comment
(block_comment) @comment
(import_declaration [(identifier) (scoped_identifier)] @import)
[(package_declaration) (import_declaration)] @aside
["if" "for" "while" "catch" "case" "&&" "||" "?"] @decision
(wildcard "?" @certain)
"""

C = """
(function_definition declarator: (_) @declarator body: (compound_statement) @body) @function
(declaration declarator: [
  (function_declarator)
  (pointer_declarator declarator: (function_declarator))
  (pointer_declarator declarator: (pointer_declarator declarator: (function_declarator)))] @declarator) @function @forward
(ERROR (function_declarator) @declarator @function @forward)
(preproc_function_def name: (_) @name) @function
(struct_specifier name: (_) @name body: (_) @body) @class
(union_specifier name: (_) @name body: (_) @body) @class
(enum_specifier name: (_) @name body: (_) @body) @enum
(type_definition type: [(struct_specifier !name body: (_) @body) (union_specifier !name body: (_) @body)]
  declarator: (type_identifier) @name) @class
(type_definition type: (enum_specifier !name body: (_) @body) declarator: (type_identifier) @name) @enum
(type_definition declarator: (_) @declarator) @type @forward
(comment) @comment
(preproc_include path: (_) @import)
(preproc_include) @aside
(preproc_if condition: (_) @certain)
(preproc_elif condition: (_) @certain)
["if" "for" "while" "case" "&&" "||" "?" "#if" "#ifdef" "#elif"] @decision
"""

CPP = f"""{C}
(function_definition declarator: (_) @declarator [(default_method_clause) (delete_method_clause)]) @function
(declaration declarator: [
  (operator_cast)
  (reference_declarator (function_declarator))] @declarator) @function @forward
(field_declaration declarator: [
  (function_declarator)
  (pointer_declarator declarator: (function_declarator))
  (pointer_declarator declarator: (pointer_declarator declarator: (function_declarator)))
  (reference_declarator (function_declarator))] @declarator) @function @forward
(class_specifier name: (_) @name body: (_) @body) @class
(namespace_definition name: (_) @name body: (_) @body) @module
(alias_declaration name: (_) @name) @type
(concept_definition name: (_) @name) @interface
(template_declaration parameters: (_) @between)
(using_declaration) @aside
"catch" @decision
[(reference_declarator "&&" @certain) (abstract_reference_declarator "&&" @certain) (ref_qualifier "&&" @certain)]
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
    "rust": Grammar("tree_sitter_rust", "language", RUST),
    "go": Grammar("tree_sitter_go", "language", GO),
    "java": Grammar("tree_sitter_java", "language", JAVA),
    "c": Grammar("tree_sitter_c", "language", C),
    "cpp": Grammar("tree_sitter_cpp", "language", CPP),
}
PREPROCESSED = {"c", "cpp"}
ANGULAR = {"cpp", "java"}


@cache
def compiled(name: str) -> "tuple[tree_sitter.Language, tree_sitter.Query]":
    """Return a grammar and its query, loaded when they are first needed."""
    import tree_sitter  # noqa: PLC0415 - a search does not need it

    row = GRAMMARS[name]
    grammar = tree_sitter.Language(getattr(import_module(row.package), row.function)())
    return grammar, tree_sitter.Query(grammar, row.query)
