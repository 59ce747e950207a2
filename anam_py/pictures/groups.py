"""Few groups out of many: those of a code base's folders or languages that are worth a colour of their own."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["COLOURS", "Groups", "by_folder", "by_name"]

# As many as the pages have colours; one more is grey.
COLOURS = 8


class Groups(NamedTuple):
    """A division of a list of things.

    Attributes
    ----------
    names : list of str
        Of the groups, the largest first; what is left over of all comes last.
    members : list of int
        The group of each thing.
    """

    names: list[str]
    members: list[int]


def by_name(names: Sequence[str], rest: str) -> Groups:
    """Put equal names into a group.

    Parameters
    ----------
    names : sequence of str
    rest : str
        What to call the group of the names for which there is no colour; it comes last, also where it is among the names.

    Returns
    -------
    Groups
        9 at most.
    """
    counts = Counter(names)
    ordered = sorted(counts.keys() - {rest}, key=lambda name: (-counts[name], name))
    few = ordered[:COLOURS]
    place = {name: index for index, name in enumerate(few)}
    members = [place.get(name, len(few)) for name in names]
    return Groups([*few, rest] if len(few) in members else few, members)


def by_folder(paths: Sequence[str]) -> Groups:
    """Put files into a group by the top folder that they are in; where one has more than half of all, by the folders in that.

    Parameters
    ----------
    paths : sequence of str
        In POSIX form.

    Returns
    -------
    Groups
        9 at most. The files of small folders and those beside the folders are "elsewhere", or "elsewhere in" the folder that
        was too large for one group.
    """
    folders = [path.split("/")[:-1] for path in paths]
    depths = [1] * len(folders)
    divided = [""]
    while True:
        inside = Counter("/".join(parts[:depth]) for parts, depth in zip(folders, depths, strict=True) if len(parts) >= depth)
        largest, count = inside.most_common(1)[0] if inside else ("", 0)
        below = [index for index, parts in enumerate(folders) if "/".join(parts[: depths[index]]) == largest]
        if 2 * count <= len(paths) or all(len(folders[index]) <= depths[index] for index in below):
            break
        divided.append(largest)
        for index in below:
            depths[index] += 1
    kept = {name for name, _ in inside.most_common(COLOURS - len(divided) + 1)}
    names = []
    for parts, depth in zip(folders, depths, strict=True):
        name = "/".join(parts[:depth])
        above = "/".join(parts[: depth - 1])
        names.append(name if len(parts) >= depth and name in kept else f"elsewhere in {above}" if above else "elsewhere")
    return by_name(names, "elsewhere")
