"""The rules of docs/architecture.md, read from the source: who may import whom, and how long a module may be."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parent.parent / "anam_py"

# Each room with the rooms it may import, bottom first.
ROOMS: dict[str, set[str]] = {
    "exceptions": set(),
    "_cpu": set(),
    "_profiling": set(),
    "_core": set(),
    "config": {"exceptions", "_cpu"},
    "_json": {"exceptions"},
    "_masking": set(),
    "_validation": {"exceptions", "_json"},
    "_executor": {"config"},
    "_versions": {"", "_core", "config"},
    "store": {"exceptions", "config", "_core", "_profiling", "_json", "_masking", "_validation", "_executor"},
    "embedding": {"exceptions", "config", "_core", "_validation"},
    "gate": {"exceptions", "_validation"},
    "kernels": {"exceptions", "_core", "_validation", "gate"},
    "axioms": {"exceptions", "_validation", "gate"},
    "crawler": {"exceptions", "config", "_core", "_profiling", "_masking", "_validation", "_executor", "store", "embedding"},
    "pictures": {"exceptions", "config", "_core", "store"},
    "orchestrator": {"exceptions", "config", "_json", "_validation", "store", "embedding", "crawler", "axioms", "gate"},
}
ROOMS["cli"] = {*ROOMS, ""}  # the package itself, too: it uses what users use

# Third-party and standard modules that only one place imports.
ONLY_IN = {
    "sqlite3": ("store/sqlite.py", "_versions.py"),  # which only asks it for its version
    "h5py": ("store/hdf5.py", "store/loader.py"),
    "pyarrow": ("store/parquet.py",),
    "torch": ("kernels/", "store/device.py"),
    "sentence_transformers": ("embedding/sentences.py",),
    "transformers": ("embedding/sentences.py",),
    "matplotlib": ("cli/",),
    "click": ("cli/",),
    "rich": ("cli/",),
    "tree_sitter": ("crawler/",),
    "pickle": (),
}

# What of a room other rooms may reach, beside the room's own __init__.
DOORS = {"anam_py.store.ledger"}

MAX_LINES = 500


class Import(NamedTuple):
    """One imported name, where it stands, and whether it is only there for type checkers."""

    file: str
    line: int
    target: str
    typing_only: bool

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.target}"


def imports_of(path: Path) -> Iterator[Import]:
    file = path.relative_to(PACKAGE).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for statement in node.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = module_named(path, node)
            # `from anam_py.store import catalog` imports the module anam_py.store.catalog
            targets = [f"{base}.{alias.name}" if is_module(f"{base}.{alias.name}") else base for alias in node.names]
        else:
            continue
        for target in targets:
            yield Import(file, node.lineno, target, id(node) in typing_only)


def module_named(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = ("anam_py", *path.relative_to(PACKAGE).parent.parts)
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def is_module(name: str) -> bool:
    parts = name.split(".")
    if parts[0] != "anam_py":
        return False
    path = PACKAGE.joinpath(*parts[1:])
    return path.is_dir() or any(path.with_suffix(suffix).exists() for suffix in (".py", ".pyx", ".pyi"))


def room_of(module: str) -> str:
    """Return the room of a module of ours, "" for the package itself."""
    return module.partition(".")[2].partition(".")[0]


def room_of_file(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


IMPORTS = [found for path in sorted(PACKAGE.rglob("*.py")) for found in imports_of(path)]
OURS = [found for found in IMPORTS if found.target.split(".")[0] == "anam_py"]


def test_every_room_has_its_rule() -> None:
    rooms = {room_of_file(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py")}
    assert rooms - ROOMS.keys() - {"__init__", "__main__"} == set()


def test_imports_point_downwards_only() -> None:
    upward = []
    for found in OURS:
        here, there = room_of_file(found.file), room_of(found.target)
        if here in ("__init__", "__main__") or here == there or found.typing_only:
            continue
        if there not in ROOMS[here]:
            upward.append(str(found))
    assert upward == []


def test_the_rules_themselves_have_no_circle() -> None:
    order = ["", *ROOMS]
    assert [room for room in ROOMS if any(order.index(lower) >= order.index(room) for lower in ROOMS[room])] == []


@pytest.mark.parametrize("library", ONLY_IN)
def test_a_library_is_imported_in_its_one_place_only(library: str) -> None:
    elsewhere = [
        str(found)
        for found in IMPORTS
        if found.target.split(".")[0] == library and not found.file.startswith(ONLY_IN[library] or ("\0",))
    ]
    assert elsewhere == []


def test_compiled_modules_are_reached_through_the_core_only() -> None:
    compiled = {f"anam_py._core.{path.stem}" for path in PACKAGE.glob("_core/*.pyx")}
    loaders = [found for found in OURS if found.target in compiled and found.file != "_core/loading.py" and not found.typing_only]
    assert [str(found) for found in loaders if not found.file.endswith(".pyi")] == []


def test_a_room_is_entered_through_its_door_only() -> None:
    inside = [
        str(found)
        for found in OURS
        if found.target.count(".") > 1
        and room_of(found.target) != room_of_file(found.file)
        and found.target not in DOORS
        and not found.typing_only
    ]
    assert inside == []


def test_modules_of_a_room_do_not_import_each_other_in_a_circle() -> None:
    graph: dict[str, set[str]] = {}
    for found in OURS:
        if not found.typing_only and not found.file.endswith("__init__.py"):
            module = "anam_py." + found.file.removesuffix(".py").replace("/", ".")
            graph.setdefault(module, set()).add(found.target)
    done: set[str] = set()

    def visit(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " -> ".join([*path, module])
        if module not in done:
            for target in sorted(graph.get(module, ())):
                visit(target, (*path, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def sources() -> Iterator[Path]:
    for path in sorted(PACKAGE.rglob("*")):
        generated = path.suffix == ".c" and path.with_suffix(".pyx").exists()
        if path.suffix in {".py", ".pyi", ".pyx", ".pxd", ".pxi", ".h", ".c"} and not generated:
            yield path


def test_a_module_stays_under_500_lines() -> None:
    long = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    assert {name: lines for name, lines in long.items() if lines > MAX_LINES} == {}


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path) for path in PACKAGE.rglob("*.py") if not ast.get_docstring(ast.parse(path.read_text("utf-8")))]
    assert silent == []
