"""What there is to say of an index that is not complete, or not as the disk is now."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anam_py.cli.location import FOLDER, Location
from anam_py.cli.rows import visible
from anam_py.cli.when import shown

if TYPE_CHECKING:
    from anam_py.crawler import IndexStatus
    from anam_py.store import Root

__all__ = ["as_json", "extent", "for_shells", "remark"]


def remark(status: "IndexStatus", location: Location) -> str | None:
    """Return in one line what keeps an index from being complete and up to date, and what to do; None if nothing does."""
    if status.up_to_date:
        return None
    parts = [part for part in (_incompleteness(status, location), _differences(status)) if part]
    if status.outdated:
        was = "was" if status.outdated == 1 else "were"
        parts.append(f"{_counted(status.outdated, 'file')} {was} analysed by another version of anam")
    ways = [_command(root, location) for root in status.roots.values()] or [location.index_command]
    return f"{'; '.join(parts)}; bring it up to date with: {' && '.join(ways)}"


def extent(status: "IndexStatus") -> str:
    """Return in one line how much was searched, for who has found nothing."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in status.reasons.items())
    left_out = f"{len(status.skipped):,} skipped ({reasons})" if reasons else "none was skipped"
    completeness = {True: "is", False: "is not", None: "may not be"}[status.complete]
    return f"searched {_counted(status.indexed, 'file')}: the index {completeness} complete, {left_out}"


def _incompleteness(status: "IndexStatus", location: Location) -> str:
    if status.half_embedded:
        return "the index is embedded anew in part only"
    if status.complete is None:
        return "the index does not say whether it is complete, since an earlier version of anam made it"
    begun = [root for root in status.roots.values() if not root.complete]
    if begun:
        names = ", ".join(visible(location.path_of(root.path)) for root in begun)
        since = shown(min(root.started for root in begun))
        return f"the index is not complete: what was begun in {names} at {since} has not come to its end, or was interrupted"
    return "" if status.complete else "nothing has been indexed yet"


def _differences(status: "IndexStatus") -> str:
    """Return how many files differ from what was indexed, in words."""
    counts = [
        (len(status.changed), "has changed", "have changed"),
        (len(status.touched), "may have changed", "may have changed"),
        (len(status.deleted), "is gone", "are gone"),
        (len(status.new), "is new", "are new"),
    ]
    parts = [f"{count:,} {one if count == 1 else many}" for count, one, many in counts if count]
    if not parts:
        return ""
    first, _, rest = parts[0].partition(" ")
    file = "file" if first == "1" else "files"
    said = [f"{first} {file} {rest}", *parts[1:]]
    return f"{' and '.join([', '.join(said[:-1]), said[-1]] if said[1:] else said)} since the index was made"


def _command(root: "Root", location: Location) -> str:
    words = ["anam", "index", location.path_of(root.path)]
    if location.store != Path(root.path) / FOLDER:
        words += ["--store", location.shown]
    for option, patterns in (("--include", root.include), ("--exclude", root.exclude)):
        words += [word for pattern in patterns for word in (option, pattern)]
    words += [] if root.symbols else ["--no-symbols"]
    words += [] if Path(root.path).is_dir() else ["--prune"]
    return visible(shlex.join(words))


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def for_shells(note: str) -> str:
    """Return a note of a crawl with what it advises in Python as one would do it in a shell."""
    return note.replace("index(prune=True)", "the same command with --prune")


def as_json(status: "IndexStatus") -> dict[str, Any]:
    """Return whether an index is complete, and how many files differ, for programs."""
    return {
        "complete": status.complete,
        "up_to_date": status.up_to_date,
        **{name: len(getattr(status, name)) for name in ("changed", "touched", "deleted", "new")},
        "outdated": status.outdated,
    }
