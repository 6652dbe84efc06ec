"""Maps: land, or its outline, with errors, arrows and densities on it.

Each draws on a matplotlib `Axes` that `Lab.figure` hands over. Knows points of a map as x and y. Knows nothing of
latitudes or of how they are projected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trued.lab.figure import QUIET, RULE, SERIES


@dataclass(frozen=True)
class Globe:
    """What a map is drawn on.

    Attributes:
        outline: the map's edge, [points, 2].
        extent: of the land: left, right, lower and upper edge.
        land: 1 where land is, the upper row first, [rows, columns]; None draws no land.
    """

    outline: Any
    extent: tuple[float, float, float, float]
    land: Any = None

    def draw(self, axes: Any, *, lines: bool = False) -> None:
        """Draw the map's edge, and land as a quiet picture behind everything, or with `lines` its outline above all."""
        from matplotlib.colors import ListedColormap

        left, right, low, high = self.extent
        if self.land is not None:
            land = np.asarray(self.land, bool)
            if lines:
                x, y = np.linspace(left, right, land.shape[1]), np.linspace(high, low, land.shape[0])
                axes.contour(x, y, land, [0.5], colors=[QUIET], linewidths=0.4, zorder=3)
            else:
                picture = np.ma.masked_where(~land, np.ones(land.shape))
                axes.imshow(picture, extent=self.extent, cmap=ListedColormap([RULE]), interpolation="nearest")
        axes.plot(*np.asarray(self.outline).T, color=RULE, lw=0.6)
        axes.set_aspect("equal")
        axes.axis("off")


def errors(axes: Any, globe: Globe, at: Any, to: Any, km: Any, arrows: Sequence[int]) -> None:
    """Draw points coloured by how far off they were placed, with arrows from some of them to where that was.

    Args:
        at, to: where they are and where they were placed, [points, 2].
        km: the distances, coloured from 100 km on, by their logarithm.
        arrows: which points have one.
    """
    globe.draw(axes)
    at, to = np.asarray(at), np.asarray(to)
    far = np.log10(np.maximum(km, 100))
    dots = axes.scatter(*at.T, c=far, s=5, cmap="viridis_r", vmin=2, vmax=4.3, linewidths=0)
    style = {"arrowstyle": "->", "color": QUIET, "lw": 0.5, "shrinkA": 1, "shrinkB": 0}
    for i in arrows:
        axes.annotate("", to[i], at[i], arrowprops=style)
    bar = axes.figure.colorbar(dots, ax=axes, orientation="horizontal", fraction=0.04, pad=0.02, aspect=60)
    bar.set_ticks([2, 3, 4], labels=["100", "1,000", "10,000"])
    bar.set_label("error, km")


def density(axes: Any, globe: Globe, at: Any, values: Any, *, mark: Any, title: str) -> None:
    """Draw a density on a grid, darker where it is higher, on a scale of roots; a cross stands at `mark`.

    Args:
        at: the grid's points, [rows, columns, 2].
        values: the density, [rows, columns].
        mark: [2].
    """
    globe.draw(axes, lines=True)
    at, values = np.asarray(at), np.asarray(values)
    axes.pcolormesh(*np.moveaxis(at, -1, 0), np.sqrt(values), cmap="Blues", shading="nearest", rasterized=True)
    axes.plot(*np.asarray(mark), "x", color=SERIES[1], markersize=6)
    axes.set_title(title)
