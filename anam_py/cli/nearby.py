"""What to say of a name that is not in the index: which names are near."""

import difflib
from typing import TYPE_CHECKING

from anam_py.cli.location import Location
from anam_py.cli.rows import visible
from anam_py.exceptions import AnamError

if TYPE_CHECKING:
    import anam_py

__all__ = ["not_indexed"]

_MOST = 3
_LEAST_LIKENESS = 0.5


def not_indexed(htm: "anam_py.HTMCore", location: Location, key: str) -> AnamError:
    """Return the error that says that a key is not in the store, and what to do.

    Parameters
    ----------
    htm : HTMCore
        The store.
    location : Location
        Where it is.
    key : str
        That of a file or a symbol.

    Returns
    -------
    AnamError
        For a symbol of a file that is in the index, with the names in it that are most like it.
    """
    path, separator, name = key.partition("::")
    shown = visible(location.path_of(key))
    if not separator or path not in htm:
        return AnamError(f"{shown} is not in {location.shown}; bring that up to date with: {location.index_command}")
    names = [each.partition("::")[2] for each in htm.keys(f"{path}::")]
    short = {each.rpartition(".")[2]: each for each in reversed(names)}
    near = difflib.get_close_matches(name, names, _MOST, _LEAST_LIKENESS)
    near += [short[each] for each in difflib.get_close_matches(name, short, _MOST, _LEAST_LIKENESS)]
    listed = ", ".join(visible(f"{location.path_of(path)}::{each}") for each in [*dict.fromkeys(near)][:_MOST])
    if listed:
        return AnamError(f"{shown} is not in {location.shown}; near to it: {listed}")
    return AnamError(f"{shown} is not in {location.shown}, which has {len(names):,} other names of that file")
