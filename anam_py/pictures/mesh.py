"""The repulsion of many points in a plane, all from all, in time that hardly depends on how many there are.

Every point pushes every other by the gradient of ``1 / (1 + d**2)``. Sums of such a kernel are a convolution: the points are
spread over a mesh with quadratic B-splines, the mesh is convolved by FFT, and each point reads the result where it is. This is
how physicists compute forces between particles (R. W. Hockney and J. W. Eastwood, Computer Simulation Using Particles, 1988),
and what Linderman et al. (Nature Methods 16, 2019) made of it for t-SNE.
"""

import functools
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["repulsion"]

# Distance between two nodes of the mesh; the kernel is as good as flat within it.
_SPACING: Final = 0.5
# Most nodes along a side: points that are further apart get a coarser mesh, and softer forces between close ones.
_MOST: Final = 512
# Nodes around the outermost points that their splines reach.
_MARGIN: Final = 4


def repulsion(places: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Return what all points do to each.

    Parameters
    ----------
    places : float64 ndarray of shape (n, 2)

    Returns
    -------
    forces : float64 ndarray of shape (n, 2)
        ``sum over j of (y_i - y_j) / (1 + |y_i - y_j|**2)**2``, within a tenth where there is a point per unit of area or more.
    total : float
        ``sum over i and j of 1 / (1 + |y_i - y_j|**2)``, without those of a point and itself; above 0.
    """
    corner, span = places.min(axis=0), float(np.ptp(places, axis=0).max())
    nodes = _round(min(span / _SPACING + _MARGIN, _MOST))
    spacing = max(_SPACING, span / (nodes - _MARGIN))
    place = (places - corner) / spacing + _MARGIN / 2
    nearest = np.rint(place).astype(np.int64)
    (wx, wy), (dx, dy) = _splines((place - nearest).T)
    steps = np.arange(-1, 2)
    index = (nearest[:, 0] + steps[:, None, None]) * nodes + nearest[:, 1] + steps[None, :, None]
    weight = wx[:, None] * wy
    mesh = np.bincount(index.ravel(), weight.ravel(), nodes * nodes).reshape(nodes, nodes)
    around = (2 * nodes, 2 * nodes)  # twice as wide, so that what leaves at one side does not come in at the other
    field = np.fft.irfft2(np.fft.rfft2(mesh, around) * _kernel(nodes, spacing), around)[:nodes, :nodes].ravel()[index]
    slope = np.stack([(field * dx[:, None] * wy).sum(axis=(0, 1)), (field * wx[:, None] * dy).sum(axis=(0, 1))], axis=1)
    total = float((field * weight).sum()) - len(places)
    return slope / (-2.0 * spacing), max(total, 1e-9)


def _round(nodes: float) -> int:
    """Return the next of few numbers: so that a kernel serves for many rounds, and FFTs have lengths that they are fast for."""
    step = 16 if nodes <= 128 else 64
    return step * int(np.ceil(nodes / step))


def _splines(offset: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the weights of the nodes before, at and after a place, and their slopes, by its offset from the middle one."""
    before, after = 0.5 - offset, 0.5 + offset
    weights = np.stack([0.5 * before**2, 0.75 - offset**2, 0.5 * after**2], axis=1)
    return weights, np.stack([-before, -2.0 * offset, after], axis=1)


@functools.lru_cache(maxsize=1)
def _kernel(nodes: int, spacing: float) -> NDArray[np.complex128]:
    """Return the transform of the kernel on the mesh, sharpened by as much as spreading and reading blur it."""
    steps = np.arange(2 * nodes)
    squares = (np.minimum(steps, 2 * nodes - steps) * spacing) ** 2
    spline = 0.75 + 0.25 * np.cos(np.pi * steps / nodes)
    blur = spline[:, None] * spline[: nodes + 1]
    transform: NDArray[np.complex128] = np.fft.rfft2(1.0 / (1.0 + squares[:, None] + squares)) / blur**2
    return transform
