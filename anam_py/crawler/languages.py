"""What a file is: its language, by name, extension or what it begins with, and the part it plays in a code base.

A header ``.h`` is C unless something in it is plainly C++: `_CPP_ONLY`, outside of comments and of what C compilers skip.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["LANGUAGES", "PLAIN_TEXT", "WITH_GRAMMAR", "FileType", "Language", "file_type_of", "language_of"]


class FileType(StrEnum):
    """The part that a file plays in a code base."""

    SOURCE = "source"
    TEST = "test"
    CONFIG = "config"
    DOCS = "docs"
    DATA = "data"
    GENERATED = "generated"


@dataclass(frozen=True, slots=True)
class Language:
    """A row of the table of languages.

    Attributes
    ----------
    name : str
    extensions : tuple of str
        Without the dot, in small letters.
    names : tuple of str
        Whole file names, in small letters.
    interpreters : tuple of str
        What a first line that starts with ``#!`` may name; a version may follow.
    comment : str
        What a comment to the end of the line starts with; for languages without a grammar.
    grammar : str
        Its row in `crawler.grammars`; empty if there is none.
    file_type : FileType
        What a file in this language is unless its path says otherwise.
    """

    name: str
    extensions: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    interpreters: tuple[str, ...] = ()
    comment: str = ""
    grammar: str = ""
    file_type: FileType = FileType.SOURCE

    @property
    def is_code(self) -> bool:
        """Whether what stands without quotes in it are names, as in a programming language, and not values."""
        return self.file_type is FileType.SOURCE and self.name not in ("shell", "html", "css")


PLAIN_TEXT = Language(
    "text", ("txt", "text", "log"), ("readme", "license", "copying", "authors", "news"), file_type=FileType.DOCS
)

LANGUAGES = (
    Language("python", ("py", "pyi", "pyw"), ("sconstruct", "sconscript"), ("python", "pypy"), grammar="python"),
    Language("javascript", ("js", "jsx", "mjs", "cjs"), interpreters=("node", "nodejs"), grammar="javascript"),
    Language("typescript", ("ts", "mts", "cts"), interpreters=("deno", "ts-node"), grammar="typescript"),
    Language("typescript", ("tsx",), grammar="tsx"),
    Language("rust", ("rs",), grammar="rust"),
    Language("go", ("go",), grammar="go"),
    Language("java", ("java",), grammar="java"),
    Language("c", ("c", "h"), grammar="c"),
    Language("cpp", ("cc", "cpp", "cxx", "c++", "hpp", "hh", "hxx", "h++", "ipp", "tpp"), grammar="cpp"),
    Language("csharp", ("cs",), comment="//"),
    Language("cython", ("pyx", "pxd", "pxi"), comment="#"),
    Language("kotlin", ("kt", "kts"), comment="//"),
    Language("lua", ("lua",), interpreters=("lua",), comment="--"),
    Language("perl", ("pl", "pm"), interpreters=("perl",), comment="#"),
    Language("php", ("php",), interpreters=("php",), comment="//"),
    Language("r", ("r",), interpreters=("rscript",), comment="#"),
    Language("ruby", ("rb",), ("rakefile", "gemfile"), ("ruby",), comment="#"),
    Language("scala", ("scala",), comment="//"),
    Language("shell", ("sh", "bash", "zsh"), interpreters=("sh", "bash", "zsh", "dash", "ksh"), comment="#"),
    Language("sql", ("sql",), comment="--"),
    Language("swift", ("swift",), comment="//"),
    Language("css", ("css", "scss", "sass", "less")),
    Language("html", ("html", "htm", "xhtml", "vue", "svelte")),
    Language("cmake", ("cmake",), ("cmakelists.txt",), comment="#", file_type=FileType.CONFIG),
    Language("dockerfile", ("dockerfile",), ("dockerfile", "containerfile"), comment="#", file_type=FileType.CONFIG),
    Language("ini", ("ini", "cfg", "conf", "properties", "editorconfig"), comment="#", file_type=FileType.CONFIG),
    Language("make", ("mk", "mak"), ("makefile", "gnumakefile"), ("make",), comment="#", file_type=FileType.CONFIG),
    Language("toml", ("toml",), comment="#", file_type=FileType.CONFIG),
    Language("yaml", ("yaml", "yml"), comment="#", file_type=FileType.CONFIG),
    Language("json", ("json", "jsonc", "ipynb", "webmanifest"), file_type=FileType.DATA),
    Language("csv", ("csv", "tsv"), file_type=FileType.DATA),
    Language("diff", ("diff", "patch"), file_type=FileType.DATA),
    Language("gettext", ("po", "pot"), comment="#", file_type=FileType.DATA),
    Language("jsonl", ("jsonl", "ndjson"), file_type=FileType.DATA),
    Language("log", ("log",), file_type=FileType.DATA),
    Language("xml", ("xml", "svg", "xsd", "plist"), file_type=FileType.DATA),
    Language("markdown", ("md", "markdown", "mdx"), file_type=FileType.DOCS),
    Language("restructuredtext", ("rst",), file_type=FileType.DOCS),
    Language("tex", ("tex", "bib"), comment="%", file_type=FileType.DOCS),
    PLAIN_TEXT,
)

WITH_GRAMMAR = {language.name for language in LANGUAGES if language.grammar}
_BY_EXTENSION = {extension: language for language in LANGUAGES for extension in language.extensions}
_BY_NAME = {name: language for language in LANGUAGES for name in language.names}
_BY_INTERPRETER = {name: language for language in LANGUAGES for name in language.interpreters}

_CPP = _BY_EXTENSION["cpp"]
_NOT_FOR_C = re.compile(
    r"/\*(?s:.*?)(?:\*/|\Z)|//[^\n]*"
    r"|^[ \t]*#[ \t]*if(?:def[ \t]+|[ \t]+defined[ \t]*\(?[ \t]*)__cplusplus\b(?s:.*?)(?:#[ \t]*(?:else|endif)\b|\Z)",
    re.MULTILINE,
)
_CPP_ONLY = re.compile(
    r"\bstd::|^[ \t]*(?:#[ \t]*include[ \t]*<[a-z_]+>|template[ \t]*<|namespace(?:[ \t]+[\w:]+)?\s*\{|using[ \t]+\w"
    r"|(?:enum[ \t]+)?class[ \t]+\w[\w \t]*(?:[:{;]|$)|(?:public|protected|private)[ \t]*:)",
    re.MULTILINE,
)

_INTERPRETER = re.compile(r"#!\s*(?:\S*/)?(?:env\s+(?:-\S+\s+|\w+=\S*\s+)*)?(?:\S*/)?([A-Za-z][A-Za-z-]*)")

_LOCK_FILES = {
    "cargo.lock", "composer.lock", "gemfile.lock", "go.sum", "npm-shrinkwrap.json", "package-lock.json", "pdm.lock",
    "pipfile.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "yarn.lock",
}  # fmt: skip
_GENERATED_PATH = re.compile(
    r"(?:_pb2(?:_grpc)?\.pyi?|\.pb\.(?:go|cc|h)|\.g\.dart|[.-]min\.(?:js|css)|\.bundle\.js|\.(?:js|css)\.map)$"
)
_GENERATED_TEXT = re.compile(
    r"@generated\b|do not (?:edit|modify)(?: this file)? ?(?:by hand|manually|directly|!|\.|;|-|\*|$)"
    r"|(?:code|file) (?:is |was )?(?:auto-?(?:matically )?)?generated (?:by|from|using|with)\b|auto-?generated file",
    re.IGNORECASE | re.MULTILINE,
)
_GENERATED_WITHIN = 1000

_TEST_PATH = re.compile(
    r"(?:^|/)(?:tests?|testing|__tests__|specs?|test_?data|fixtures)/"
    r"|(?:^|/)(?:test_[^/]*|conftest|tests?)\.\w+$|[^/](?:_(?:unit)?tests?|_spec|[.-](?:test|spec))\.\w+$|[a-z0-9]Test(?:s|Case)?\.\w+$"
    r"|(?:^|/)Test[A-Z]\w*\.(?:java|kt|scala)$"
)
_DOCS_PATH = re.compile(r"(?:^|/)(?:readme|licen[cs]e|copying|authors|changelog|changes|contributing|news|todo)(?:[.-][^/]*)?$")
_CONFIG_NAME = re.compile(
    r"(?:package|tsconfig[\w.-]*|jsconfig|composer|[\w.-]*\.config|pyrightconfig|settings|launch)\.jsonc?$|\.\w+rc$"
)


def language_of(path: str, text: str = "") -> Language:
    """Return the language of a file.

    Parameters
    ----------
    path : str
        Its path, in POSIX form.
    text : str
        What is in it: a script without an extension says in its first line what it is, and a header may be C or C++.

    Returns
    -------
    Language
        Plain text where nothing is known.
    """
    name = path[path.rfind("/") + 1 :].lower()
    stem, dot, extension = name.rpartition(".")
    found = _BY_NAME.get(name) or (_BY_EXTENSION.get(extension) if dot else None)
    if dot and extension == "h" and _CPP_ONLY.search(_NOT_FOR_C.sub("", text)):
        return _CPP
    if found is None and text.startswith("#!"):
        interpreter = _INTERPRETER.match(text.partition("\n")[0])
        found = _BY_INTERPRETER.get(interpreter[1].lower()) if interpreter else None
    return found or _BY_NAME.get(stem) or PLAIN_TEXT


def file_type_of(path: str, language: Language, text: str) -> FileType:
    """Return the part that a file plays: what made it comes first, then what its path says, then its language.

    Parameters
    ----------
    path : str
        Its path, in POSIX form, relative to the root of the crawl, so that what the root is called does not matter.
    language : Language
    text : str

    Returns
    -------
    FileType
    """
    lower = path.lower()
    name = lower[lower.rfind("/") + 1 :]
    if name in _LOCK_FILES or _GENERATED_PATH.search(lower) or _GENERATED_TEXT.search(text[:_GENERATED_WITHIN]):
        return FileType.GENERATED
    if _CONFIG_NAME.search(name):
        return FileType.CONFIG
    if language.file_type is FileType.SOURCE and _TEST_PATH.search(path):
        return FileType.TEST
    if _DOCS_PATH.search(lower):
        return FileType.DOCS
    return language.file_type
