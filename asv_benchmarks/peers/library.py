"""What is compared: libraries that may be installed or not."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from typing import TYPE_CHECKING, ClassVar, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

L = TypeVar("L", bound="Library")


class Library:
    """Something that can be installed and compared; its documentation is what is printed below the table."""

    column: ClassVar[str]
    needs: ClassVar[dict[str, str]]  # module: distribution

    @classmethod
    def missing(cls) -> list[str]:
        """Return the modules that this contender needs and that are not installed."""
        return [module for module in cls.needs if importlib.util.find_spec(module) is None]

    @classmethod
    def versions(cls) -> list[str]:
        """Return names and versions of what this contender needs."""
        return [f"{name} {importlib.metadata.version(name)}" for name in cls.needs.values()]


def present(libraries: Sequence[type[L]]) -> list[type[L]]:
    """Return the contenders that are installed, and say which are not."""
    left_out = {library.column: library.missing() for library in libraries if library.missing()}
    for column, missing in left_out.items():
        print(f"{column} is left out, {' and '.join(missing)} not being installed: make peers")
    return [library for library in libraries if library.column not in left_out]
