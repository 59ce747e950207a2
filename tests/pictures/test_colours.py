"""Whether the colours of the groups can be told apart, also by those who see fewer of them."""

import re
from importlib.resources import files
from itertools import combinations

import numpy as np
import pytest
from numpy.typing import NDArray

from anam_py.pictures.groups import COLOURS

# How people without one kind of cones see linear RGB, after G. M. Machado, M. M. Oliveira and L. A. F. Fernandes, "A
# Physiologically-based Model for Simulation of Color Vision Deficiency", 2009, table 1.
SIGHTS = {
    "all cones": np.eye(3),
    "no long cones": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no middle cones": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no short cones": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])

Colours = dict[str, NDArray[np.float64]]


def theme(*, dark: bool) -> Colours:
    """Return the colours of a theme in linear RGB."""
    light, _, night = files("anam_py.pictures").joinpath("base.css").read_text("utf-8").partition("prefers-color-scheme: dark")
    found = re.findall(r"--([a-z0-9]+): #([0-9a-f]{6})", night if dark else light)
    values = {name: np.array([*bytes.fromhex(digits)]) / 255 for name, digits in found}
    return {name: np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4) for name, value in values.items()}


def lab(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = TO_XYZ @ np.clip(colour, 0, 1) / TO_XYZ.sum(axis=1)
    x, y, z = (np.cbrt(v) if v > 216 / 24389 else (841 / 108) * v + 4 / 29 for v in (x, y, z))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    darker, lighter = sorted(float(TO_XYZ[1] @ colour) for colour in (one, other))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("sight", SIGHTS)
def test_any_two_colours_of_groups_differ_plainly_whatever_the_eyes(sight: str, *, dark: bool) -> None:
    groups = {name: colour for name, colour in theme(dark=dark).items() if re.fullmatch(r"c\d", name)}
    assert len(groups) == COLOURS + 1
    seen = {name: lab(np.array(SIGHTS[sight]) @ colour) for name, colour in groups.items()}
    for one, other in combinations(seen, 2):
        # 2.3 is the least difference that people notice.
        assert np.linalg.norm(seen[one] - seen[other]) > 15, (one, other)


@pytest.mark.parametrize("dark", [False, True])
def test_words_and_dots_stand_out_from_the_page(*, dark: bool) -> None:
    colours = theme(dark=dark)
    for ground in ("paper", "raised"):
        assert contrast(colours["ink"], colours[ground]) > 7
        assert contrast(colours["faint"], colours[ground]) > 4.5
        assert contrast(colours["accent"], colours[ground]) > 4.5
    for number in range(COLOURS + 1):
        assert contrast(colours[f"c{number}"], colours["paper"]) > 2
