"""From the sources in a wheel to what can be paired: its functions, classes and files, each apart from its documentation.

The sources are read by Python's own parser and never run. Tests are left out, since they repeat what they test, and so are
copies of other projects, whose licences packages.tsv does not list.
"""

import ast
import inspect
import json
import re
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["MAX_BYTES", "MAX_LINES", "Item", "extract", "is_left_out", "read", "written"]

_LEFT_OUT = re.compile(
    r"(^|/)(tests?|testing|_?vendor(ed)?|third_?party|_?externals?|c?extern|subprojects|node_modules|site-packages|conftest\.py)(/|$)"
    r"|(^|/)test_[^/]*$|_pb2|_test\.py$|\.(data|dist-info)/"
)
MAX_BYTES = 400_000
MAX_LINES = 400
_LEAST_LINES = 3
_LEAST_RENAMED = 2


@dataclass(frozen=True, slots=True)
class Item:
    """Something that has a text and may have documentation.

    Attributes
    ----------
    kind : str
        "function", "class" or "file".
    path : str
        Of its file in the wheel.
    name : str
        Unqualified; of a file its stem.
    code : str
        Without what documents it. Of a class without the bodies of its methods.
    doc : str
        Its docstring, without indentation.
    comments : list of str
        Of a function those that fill lines, as prose.
    renamed : str
        Of a function the code with its own name and that of each local variable replaced; empty where there are few.
    """

    kind: str
    path: str
    name: str
    code: str
    doc: str
    comments: tuple[str, ...] = ()
    renamed: str = ""


def extract(wheel: Path, target: Path) -> None:
    """Write what a wheel's Python files hold, one item a line as JSON, unless it is there already."""
    written(target, lambda: (item for path, source in _sources(wheel) for item in _items(path, source)))


def written(target: Path, items: Callable[[], Iterable[Item]]) -> None:
    """Write items, one a line, unless that has been done."""
    if target.exists():
        return
    lines = [json.dumps(asdict(item)) for item in items()]
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text("\n".join(lines), encoding="utf-8")
    partial.replace(target)


def read(target: Path) -> list[Item]:
    """Return what `extract` wrote."""
    rows = map(json.loads, target.read_text(encoding="utf-8").splitlines())
    return [Item(**{**row, "comments": tuple(row["comments"])}) for row in rows]


def is_left_out(path: str) -> bool:
    """Tell whether a path is that of a test, or of a copy of another project."""
    return bool(_LEFT_OUT.search(path))


def _sources(wheel: Path) -> Iterator[tuple[str, str]]:
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.infolist(), key=lambda member: member.filename):
            if not member.filename.endswith(".py") or member.file_size > MAX_BYTES or is_left_out(member.filename):
                continue
            yield member.filename, archive.read(member).decode("utf-8", "replace")


def _items(path: str, source: str) -> Iterator[Item]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    lines = source.splitlines()
    if len(lines) != source.count("\n") + (not source.endswith("\n")):  # a form feed is a line to one and not to the other
        lines = source.split("\n")
    documented = {id(node): spot for node in ast.walk(tree) if (spot := _docstring(node)) is not None}
    hidden = {line for first, last, _ in documented.values() for line in range(first, last + 1)}
    doc = documented.get(id(tree), (0, 0, ""))[2]
    stem = path.rsplit("/", 1)[-1].removesuffix(".py")
    body = "\n".join(line for number, line in enumerate(lines, 1) if number not in hidden)
    if len(body.split()) > 20:
        yield Item("file", path, stem, body, doc)
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kept = [line for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line not in hidden]
            if _LEAST_LINES <= len(kept) <= MAX_LINES:
                yield _function(path, node, [lines[line - 1] for line in kept], documented.get(id(node), (0, 0, ""))[2])
        elif isinstance(node, ast.ClassDef):
            kept = [line for line in _outline(node) if line not in hidden]
            if _LEAST_LINES <= len(kept) <= MAX_LINES:
                code = inspect.cleandoc("\n".join(lines[line - 1] for line in kept))
                yield Item("class", path, node.name, code, documented.get(id(node), (0, 0, ""))[2])


def _docstring(node: ast.AST) -> tuple[int, int, str] | None:
    """Return the first and last line of a node's docstring, and the docstring."""
    if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    doc = ast.get_docstring(node)
    if doc is None:
        return None
    spot = node.body[0]
    return spot.lineno, spot.end_lineno or spot.lineno, doc


def _outline(node: ast.ClassDef) -> list[int]:
    """Return the lines of a class without those of its methods' bodies."""
    bodies = {
        line
        for child in node.body
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        for line in range(child.body[0].lineno, (child.end_lineno or child.lineno) + 1)
        if line != child.lineno
    }
    return [line for line in range(node.lineno, (node.end_lineno or node.lineno) + 1) if line not in bodies]


def _function(path: str, node: ast.FunctionDef | ast.AsyncFunctionDef, lines: list[str], doc: str) -> Item:
    code = inspect.cleandoc("\n".join(lines))
    comments = tuple(comment for line in lines if (comment := line.strip()).startswith("# ") and len(comment.split()) > 4)
    return Item("function", path, node.name, code, doc, comments, _renamed(node, code))


def _renamed(node: ast.FunctionDef | ast.AsyncFunctionDef, code: str) -> str:
    """Return the code with other names for what the function defines: itself, its arguments and its variables."""
    names = dict.fromkeys([node.name])
    for inner in ast.walk(node):
        if isinstance(inner, ast.arg):
            names.setdefault(inner.arg)
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            names.setdefault(inner.id)
    names.pop("self", None)
    names.pop("cls", None)
    if len(names) <= _LEAST_RENAMED:
        return ""
    other = {name: f"v{number}" for number, name in enumerate(names)}
    return re.sub(r"(?<![\w.])[^\W\d]\w*", lambda name: other.get(name[0], name[0]), code)
