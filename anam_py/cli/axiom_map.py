"""The picture of how the axioms relate: a circle, category by category, with a curve for each relation."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from anam_py.cli.rows import visible
from anam_py.exceptions import AnamError

if TYPE_CHECKING:
    from anam_py.axioms import Catalogue

try:
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch, PathPatch, Wedge
    from matplotlib.path import Path as Curve
except ImportError as error:
    raise ImportError('drawing needs matplotlib: pip install "anam_py[plot]"') from error

__all__ = ["draw"]

# Okabe and Ito's colours, which people with any kind of colour vision can tell apart.
_COLOURS: Final = ("#56B4E9", "#E69F00", "#CC79A7", "#009E73", "#F0E442", "#0072B2", "#222222")
_SUPPORT: Final = "#7C8894"
_TENSION: Final = "#D55E00"
_INK: Final = "#222222"

_GAP: Final = 1.5  # between two categories, in axioms
_RIM: Final = 0.035  # the width of the ring of categories
_FIXED: Final[Any] = {"svg.hashsalt": "anam_py", "svg.fonttype": "path", "font.family": "DejaVu Sans", "text.parse_math": False}


def draw(catalogue: "Catalogue", target: Path) -> None:
    """Draw the relations of a catalogue; the same catalogue gives the same bytes.

    Parameters
    ----------
    catalogue : Catalogue
        The axioms.
    target : pathlib.Path
        The file, whose name has to end in ".svg".

    Raises
    ------
    AnamError
        If it ends in anything else.
    """
    if target.suffix.lower() != ".svg":
        raise AnamError(f"the picture is an SVG file; give {str(target)!r} a name that ends in .svg")
    angles = _angles(catalogue)
    with mpl.rc_context(_FIXED):
        figure = Figure(figsize=(11, 11.4))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-1.66, 1.66), ylim=(-1.78, 1.66), aspect="equal")
        axes.axis("off")
        _draw_relations(axes, catalogue, angles)
        _draw_axioms(axes, catalogue, angles)
        _draw_legends(axes, catalogue.categories)
        figure.savefig(target, format="svg", metadata={"Date": None, "Creator": None})


def _angles(catalogue: "Catalogue") -> dict[str, float]:
    """Return the angle of each axiom, from the top clockwise, by category and number."""
    ordered = [[axiom for axiom in catalogue.axioms if axiom.category == name] for name in catalogue.categories]
    ordered = [group for group in ordered if group]
    step = 2 * math.pi / (len(catalogue.axioms) + _GAP * len(ordered))
    angles, place = {}, _GAP / 2
    for group in ordered:
        for axiom in group:
            angles[axiom.id] = math.pi / 2 - (place + 0.5) * step
            place += 1
        place += _GAP
    return angles


def _point(angle: float, radius: float) -> tuple[float, float]:
    return radius * math.cos(angle), radius * math.sin(angle)


def _draw_relations(axes: Any, catalogue: "Catalogue", angles: dict[str, float]) -> None:
    """Draw a curve for each relation, the stronger the wider; tensions lie over supports."""
    for axiom in catalogue.axioms:
        for relations, colour, opacity, order in ((axiom.supports, _SUPPORT, 0.5, 1), (axiom.tensions, _TENSION, 0.9, 2)):
            for other, strength in relations.items():
                if axiom.id < other:
                    start, end = angles[axiom.id], angles[other]
                    # The nearer the two, the less the curve dips towards the middle.
                    dip = 0.82 - 0.82 * abs(math.sin((start - end) / 2)) ** 0.8
                    middle = _point(math.atan2(math.sin(start) + math.sin(end), math.cos(start) + math.cos(end)), dip)
                    curve = Curve([_point(start, 0.985), middle, _point(end, 0.985)], [Curve.MOVETO, Curve.CURVE3, Curve.CURVE3])
                    style = {"edgecolor": colour, "alpha": opacity, "linewidth": 0.3 + 2.2 * strength, "zorder": order}
                    axes.add_patch(PathPatch(curve, facecolor="none", capstyle="round", **style))


def _draw_axioms(axes: Any, catalogue: "Catalogue", angles: dict[str, float]) -> None:
    """Draw the ring of categories, and the axioms' symbols and names around it."""
    half = math.pi / (len(catalogue.axioms) + _GAP * len(catalogue.categories))
    for place, category in enumerate(catalogue.categories):
        members = [axiom for axiom in catalogue.axioms if axiom.category == category]
        if not members:
            continue
        colour = _COLOURS[place % len(_COLOURS)]
        first, last = angles[members[0].id] + half, angles[members[-1].id] - half
        axes.add_patch(Wedge((0, 0), 1.0 + _RIM, math.degrees(last), math.degrees(first), width=_RIM, color=colour, zorder=3))
        for axiom in members:
            angle = angles[axiom.id]
            left = math.cos(angle) < 0
            name = visible(axiom.name)
            x, y = _point(angle, 1.0 + _RIM + 0.02)
            axes.text(
                x,
                y,
                f"{name} {axiom.number:02d}" if left else f"{axiom.number:02d} {name}",
                rotation=math.degrees(angle) + (180 if left else 0),
                rotation_mode="anchor",
                ha="right" if left else "left",
                va="center",
                fontsize=8.5,
                color=_INK,
            )


def _draw_legends(axes: Any, categories: Sequence[str]) -> None:
    relations = [
        Line2D([], [], color=_SUPPORT, linewidth=2, label="support"),
        Line2D([], [], color=_TENSION, linewidth=2, label="tension"),
    ]
    kinds = [Patch(color=_COLOURS[place % len(_COLOURS)], label=category) for place, category in enumerate(categories)]
    style = {"frameon": False, "fontsize": 11, "title_fontsize": 11, "alignment": "left", "borderaxespad": 1.5}
    axes.add_artist(axes.legend(handles=kinds, loc="lower left", title="category", **style))
    axes.legend(handles=relations, loc="lower right", title="the stronger, the wider", **style)
