"""Write docs/reference/python.md, the public names with their signatures and what they do, from the docstrings."""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path

import anam_py

PAGE = Path(__file__).parents[1] / "docs/reference/python.md"

INTRODUCTION = """\
# The Python API

Every public name, in one page: `help(name)` says more of each, with parameters, shapes, what is returned and what is raised.
Methods whose name ends in `_async` are their twins without it, run in the thread pool that `configure_ffi` sizes; awaiting
one never holds the event loop. The kernels, which need torch, have [a page of their own](../kernels.md). This page is made
from the docstrings by `scripts/reference.py`.
"""

# The modules that users import from, and what each is for.
MODULES = {
    "anam_py": "What most programs need. `import anam_py` takes milliseconds: a name is loaded when it is first used.",
    "anam_py.embedding": "What makes vectors of texts.",
    "anam_py.exceptions": "Everything that is raised on purpose.",
}
TWIN = "_async"


def page() -> str:
    """Return the whole page."""
    return INTRODUCTION + "".join(f"\n{line}\n" for name, purpose in MODULES.items() for line in _module(name, purpose))


def _module(name: str, purpose: str) -> Iterator[str]:
    module = importlib.import_module(name)
    yield f"## `{name}`\n\n{purpose}"
    for public in sorted(module.__all__, key=str.lower):
        value = getattr(module, public)
        if name != "anam_py" and public in anam_py.__all__:
            continue  # it stands there already
        if inspect.isclass(value):
            yield f"### `{public}{_signature(value)}`\n\n{_summary(value)}"
            if members := list(_members(value)):
                yield "\n".join(members)
        elif callable(value):
            yield f"### `{public}{_signature(value)}`\n\n{_summary(value)}"


def _members(owner: type) -> Iterator[str]:
    if issubclass(owner, BaseException):
        return
    for name in sorted(dir(owner)):
        if name.startswith("_") or name.endswith(TWIN):
            continue
        member = inspect.getattr_static(owner, name)
        if isinstance(member, property):
            yield f"- `.{name}`: {_summary(member)}"
        elif callable(getattr(owner, name)) and (member.__doc__ or inspect.isroutine(member)):
            twin = f"; `{name}{TWIN}`" if hasattr(owner, f"{name}{TWIN}") else ""
            yield f"- `.{name}{_signature(getattr(owner, name))}`{twin}: {_summary(getattr(owner, name))}"


def _signature(value: object) -> str:
    """Return the parameters with their defaults; annotations are long, and `help` has them."""
    try:
        parameters = inspect.signature(value).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return ""
    shown = [p.replace(annotation=inspect.Parameter.empty) for p in parameters if p.name not in ("self", "cls")]
    return str(inspect.Signature(shown))


def _summary(value: object) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(value) or "").partition("\n\n")[0].split())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
