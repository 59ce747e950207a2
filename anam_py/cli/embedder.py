"""Which embedder a command uses: the one that is asked for, or the one that the store was indexed with."""

from typing import TYPE_CHECKING

import click

from anam_py.cli.location import Location
from anam_py.exceptions import AnamError, ValidationError

if TYPE_CHECKING:
    import anam_py
    from anam_py.embedding import Embedder

__all__ = ["embedder_option", "to_index_with", "to_search_with"]


def _made(_: click.Context, __: click.Parameter, name: str | None) -> "Embedder | None":
    if name is None:
        return None
    from anam_py.embedding import as_embedder  # noqa: PLC0415 - help need not wait for it

    try:
        return as_embedder(name)
    except ValidationError as error:
        raise click.BadParameter(f"{name!r} is none of static, hash and sentence-transformers:MODEL") from error


embedder_option = click.option(
    "--embedder",
    metavar="NAME",
    callback=_made,
    help="What makes vectors of texts: static, the built-in model; hash, which knows words alone; or "
    "sentence-transformers:MODEL, a name or a folder. By default what the store was indexed with; static for a new one.",
)


def to_index_with(htm: "anam_py.HTMCore", location: Location, asked: "Embedder | None") -> "Embedder":
    """Return the embedder that a store is to be indexed with.

    Parameters
    ----------
    htm : HTMCore
        The store.
    location : Location
        Where it is.
    asked : Embedder or None
        What ``--embedder`` says. Without, what was chosen before; or the default, where nothing was, also for a store that
        a built-in embedder of another version has made.

    Returns
    -------
    Embedder
        One whose vectors are as long as the store's.

    Raises
    ------
    AnamError
        If its vectors are not, or the store's embedder cannot be made here.
    """
    from anam_py.crawler import UNFINISHED  # noqa: PLC0415 - as above
    from anam_py.embedding import default_embedder, is_built_in  # noqa: PLC0415
    from anam_py.store import Ledger  # noqa: PLC0415

    recorded = Ledger(htm).embedder
    embedder = asked or _chosen(htm, location)
    if embedder is None:
        if recorded is not None and not is_built_in(recorded.removesuffix(UNFINISHED)):
            raise AnamError(f"{_made_elsewhere(location, recorded)} there, or embed it anew: {_command(location, 'static')}")
        embedder = default_embedder()
    if embedder.dimension != htm.dimension:
        raise AnamError(
            f"embedder {embedder.name} makes vectors of {embedder.dimension} numbers, those in {location.shown} have "
            f"{htm.dimension}; remove {location.shown} to index anew, or name another store with --store"
        )
    return embedder


def to_search_with(htm: "anam_py.HTMCore", location: Location) -> "Embedder":
    """Return the embedder that a store is to be searched with: the one it was indexed with.

    Parameters
    ----------
    htm : HTMCore
        The store.
    location : Location
        Where it is.

    Returns
    -------
    Embedder
        The default for a store that nothing was indexed into.

    Raises
    ------
    AnamError
        If it cannot be made here, or is no longer what it was.
    """
    from anam_py.crawler import UNFINISHED  # noqa: PLC0415 - help need not wait for it
    from anam_py.embedding import HashingEmbedder, default_embedder, is_built_in  # noqa: PLC0415
    from anam_py.store import Ledger  # noqa: PLC0415

    recorded = Ledger(htm).embedder
    if recorded is None:
        return default_embedder()
    if recorded.endswith(UNFINISHED):
        raise AnamError(f"{location.shown} is only in part embedded anew; go on with: {location.index_command}")
    candidates = (_chosen(htm, location), default_embedder(), HashingEmbedder())
    for embedder in filter(None, candidates):
        if embedder.name == recorded:
            return embedder
    if candidates[0] is None and not is_built_in(recorded):
        raise AnamError(f"{_made_elsewhere(location, recorded)} there, or search by words alone: --mode lexical")
    raise AnamError(
        f"{location.shown} was indexed with {recorded}, another version of its embedder; "
        f"embed it anew with: {location.index_command}"
    )


def _chosen(htm: "anam_py.HTMCore", location: Location) -> "Embedder | None":
    """Return the embedder that was chosen for a store by name, ready to embed; None if none was."""
    from anam_py.embedding import as_embedder  # noqa: PLC0415 - as above
    from anam_py.store import Ledger  # noqa: PLC0415

    choice = Ledger(htm).choice
    if choice is None:
        return None
    # A store may come from somewhere else: only who asks for a model by name gets it from the network.
    embedder = as_embedder(choice, offline=True)
    try:
        embedder.name  # noqa: B018 - it is known once the model is loaded
    except AnamError as error:
        raise AnamError(f"{error}; name it anew: {_command(location, 'sentence-transformers:MODEL')}") from error
    return embedder


def _made_elsewhere(location: Location, recorded: str) -> str:
    return f"{location.shown} was indexed by a program of yours, with embedder {recorded!r}, which only that can make: go on"


def _command(location: Location, name: str) -> str:
    return f"{location.index_command} --embedder {name}"
