"""Recall and speed as a picture: a panel for each data set, in which up is fast and right is right."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from child import K
from indexes import NumPy
from search_data import DIMENSION
from stores import Anam

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from rounds import Result

# Okabe and Ito's colours, which those can tell apart who see red and green alike: one a library, and a marker a method.
BLACK, ORANGE, GREEN, BLUE, RED, PURPLE, GREY = "black", "#E69F00", "#009E73", "#0072B2", "#D55E00", "#CC79A7", "#777777"
STYLES = {
    "anam_py": (RED, "*"),
    "anam_py, approx": (RED, "v"),
    "NumPy": (BLACK, "s"),
    "FAISS flat": (BLUE, "s"),
    "FAISS flat, BLAS": (BLUE, "s"),
    "usearch exact": (GREEN, "s"),
    "sqlite-vec": (GREY, "s"),
    "LanceDB": (PURPLE, "s"),
    "FAISS SQ8": (BLUE, "D"),
    "FAISS RaBitQ": (BLUE, "X"),
    "FAISS IVF": (BLUE, "^"),
    "FAISS HNSW": (BLUE, "o"),
    "usearch HNSW": (GREEN, "o"),
    "hnswlib": (ORANGE, "o"),
    "Chroma": (PURPLE, "o"),
}
COLUMNS = 2
SIZE = (5.6, 3.9)  # inches of a panel
APART = 0.062  # of a panel's height, from one name to the next
# Recall is drawn by how much is missed, a tenth as much at the same distance each time, so that there is room near 1.
RECALLS = (0, 0.5, 0.8, 0.9, 0.95, 0.99, 1)
NOTHING_MISSED = 0.002
EXACT = 3.1  # where the exact ones are
NAMES = 3.3  # and what they are called
END = 4.5


def plot(results: Sequence[Result], found: dict[str, Any], file: Path) -> None:
    """Draw single queries with the most threads, at the number of rows at which most was measured."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    sizes = Counter(result.rows for result in results)
    rows = max(sizes, key=lambda size: (sizes[size], size))
    threads = max(found["threads"])
    sets = [made for made in found["sets"] if made["rows"] == rows]
    width = min(COLUMNS, len(sets))
    height = -(-len(sets) // width)
    own = {"font.size": 9, "svg.hashsalt": "anam_py", "axes.spines.top": False, "axes.spines.right": False}
    with plt.rc_context(own):
        figure, axes = plt.subplots(
            height, width, figsize=(width * SIZE[0], height * SIZE[1] + 1.1), sharex=True, sharey=True, squeeze=False
        )
        figure.set_layout_engine("constrained")
        panels = axes.flat[: len(sets)]
        for empty in axes.flat[len(sets) :]:
            empty.remove()
        for panel, made in zip(panels, sets, strict=True):
            draw(panel, [result for result in results if (result.data, result.rows) == (made["data"], rows)], threads)
            panel.set_title(f"{made['data']}, {made['found']:,} rows", loc="left", fontweight="bold")
        handles: dict[str, Artist] = {}
        for panel in panels:
            name_the_exact(panel)  # now that the limits no longer change
            handles |= {text: artist for artist, text in zip(*panel.get_legend_handles_labels(), strict=True)}
        for panel in axes[:, 0]:
            panel.set_ylabel("queries a second")
        for panel in axes[-1]:
            panel.set_xlabel(f"recall: share of the {K} nearest that was found")
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(
            f"One query at a time, {threads} threads, {DIMENSION} dimensions, {K} nearest by cosine\n"
            "filled: exact;  hollow: approximate, small: told to look at less or more",
            fontsize=10,
        )
        figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None, dpi=150)
        plt.close(figure)


def place(recall: float) -> float:
    """Return where on the axis a recall is."""
    return -math.log10(1 - recall + NOTHING_MISSED)


def draw(panel: Axes, results: list[Result], threads: int) -> None:
    """Draw the searches of one data set."""
    panel.set_xlim(place(0) - 0.1, END)
    panel.set_xticks([*map(place, RECALLS), EXACT], [*map(str, RECALLS), "exact"])
    panel.set_yscale("log")
    panel.grid(visible=True, which="major", color="#e4e4e4", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.tick_params(labelbottom=True, labelleft=True)
    for column in dict.fromkeys(result.column for result in results if not result.exact):
        own = sorted((result for result in results if result.column == column), key=lambda result: result.effort or 0)
        curve = [(place(result.recall), 1e3 / result.milliseconds(threads)) for result in own]
        usual = next(result for result in own if result.usual)
        color, marker = STYLES[column]
        hollow = {"marker": marker, "color": color, "markerfacecolor": "white"}
        panel.plot(*zip(*curve, strict=True), **hollow, markersize=3.5, markeredgewidth=0.8, linewidth=0.8, alpha=0.7)
        point = place(usual.recall), 1e3 / usual.milliseconds(threads)
        panel.plot(*point, **hollow, markersize=8, markeredgewidth=1.7, linestyle="none", label=column, zorder=4)
    speeds = {result.column: 1e3 / result.milliseconds(threads) for result in results if result.exact}
    for column, speed in speeds.items():
        color, marker = STYLES[column]
        panel.plot(EXACT, speed, marker, color=color, markersize=15 if column == Anam.column else 6, zorder=5, gid=column)
    for column in (NumPy.column, Anam.column):
        if column in speeds:
            panel.axhline(speeds[column], color=STYLES[column][0], linewidth=0.8, linestyle=":", zorder=1)


def name_the_exact(panel: Axes) -> None:
    """Write the names of the exact ones beside them, each where there is room."""
    points = sorted((line.get_ydata()[0], line.get_gid(), line.get_color()) for line in panel.lines if line.get_gid() in STYLES)
    heights = [panel.transAxes.inverted().transform(panel.transData.transform((EXACT, speed)))[1] for speed, _, _ in points]
    for (speed, name, color), height in zip(points, spread(heights, APART), strict=True):
        panel.annotate(
            f"{name}  {speed:,.0f}",
            xy=(EXACT, speed),
            xytext=(NAMES, height),
            textcoords=("data", "axes fraction"),
            va="center",
            color=color,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            fontweight="bold" if name == Anam.column else "normal",
            arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 4},
        )


def spread(places: list[float], apart: float) -> list[float]:
    """Return ascending places moved as little as it takes to have them apart; those that push each other move as one."""
    groups: list[tuple[float, int]] = []  # where the lowest would be, and how many there are
    for wanted in places:
        groups.append((wanted, 1))
        while len(groups) > 1 and groups[-2][0] + groups[-2][1] * apart > groups[-1][0]:
            (upper, above), (lower, below) = groups.pop(), groups.pop()
            groups.append(((lower * below + (upper - below * apart) * above) / (below + above), below + above))
    return [lowest + i * apart for lowest, count in groups for i in range(count)]
