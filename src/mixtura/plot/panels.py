"""The panels of a scatter matrix, and how they are set out for one, two and more columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from mixtura.mixture import Mixture
from mixtura.plot.axes import dress, name_axis, short
from mixtura.plot.ellipses import add_ellipses, add_numbers, usual_shares
from mixtura.plot.histogram import add_histogram
from mixtura.plot.layout import draw_rows, frame
from mixtura.plot.palette import Palette
from mixtura.plot.scatter import add_dots
from mixtura.typing import FloatArray

__all__ = ["Matrix"]

#: Around and between the panels of a triangle, in inches.
LEFT, BOTTOM, RIGHT, GAP = 0.75, 0.7, 0.1, 0.12


class Matrix:
    """What the panels of one figure share: rows, limits, and the mixture on the shown columns.

    Attributes
    ----------
    names : list of str
        Of the columns shown.
    drawn : Drawn
    outside : int
        Rows drawn that lie outside the limits.
    size : (float, float)
        A good size of the figure, in inches.
    """

    def __init__(
        self,
        mixture: Mixture,
        x: FloatArray,
        weight: FloatArray,
        shown: Sequence[int],
        names: Sequence[str],
        most: int,
        component: FloatArray | None = None,
    ) -> None:
        self.names = [short(names[j]) for j in shown]
        self.part = mixture.marginal(list(shown))
        self.drawn = draw_rows(mixture, x, weight, most, component)
        self.x = self.drawn.x[:, list(shown)]
        self.limits = [frame(self.x[:, j]) for j in range(len(shown))]
        low, high = np.transpose(self.limits)
        self.inside = ~((self.x < low) | (self.x > high))  # a missing value is not outside
        self.outside = int((~self.inside.all(axis=1)).sum())
        d = len(shown)
        self._panel_size = {3: 2.6, 4: 2.1, 5: 1.85}.get(d, 1.65)
        edge = d * self._panel_size + (d - 1) * GAP
        self.size = {1: (5.8, 2.9), 2: (5.8, 5.3)}.get(
            d, (LEFT + edge + RIGHT, BOTTOM + edge + RIGHT)
        )

    def draw(self, fig: Any, palette: Palette) -> None:
        """Draw the figure that suits the number of columns."""
        {1: self._alone, 2: self._joint}.get(len(self.names), self._corner)(fig, palette)

    # ---- figures -------------------------------------------------------------------------------
    def _alone(self, fig: Any, palette: Palette) -> None:
        ax = fig.add_axes((0.03, 0.19, 0.94, 0.79), facecolor="none")
        self._margin(ax, 0, palette, filled=True)
        _ticks(ax, 7)
        name_axis(ax.xaxis, self.names[0], palette)

    def _joint(self, fig: Any, palette: Palette) -> None:
        left, bottom, wide, tall = 0.125, 0.115, 0.7, 0.7
        ax = fig.add_axes((left, bottom, wide, tall), facecolor="none")
        self._panel(ax, 0, 1, palette, dot=2.8, badge=11.5)
        top = fig.add_axes((left, bottom + tall + 0.012, wide, 0.165), facecolor="none")
        self._margin(top, 0, palette)
        side = fig.add_axes((left + wide + 0.0105, bottom, 0.147, tall), facecolor="none")
        self._margin(side, 1, palette, turned=True)
        for margin in (top, side):
            margin.set_xticks([])
            margin.set_yticks([])
        _ticks(ax, 6)
        name_axis(ax.xaxis, self.names[0], palette)
        name_axis(ax.yaxis, self.names[1], palette)

    def _corner(self, fig: Any, palette: Palette) -> None:
        d = len(self.names)
        width, height = fig.bbox.width / fig.dpi, fig.bbox.height / fig.dpi
        wide = (width - LEFT - RIGHT - (d - 1) * GAP) / d
        tall = (height - BOTTOM - RIGHT - (d - 1) * GAP) / d
        for i in range(d):
            for j in range(i + 1):
                x0 = LEFT + j * (wide + GAP)
                y0 = BOTTOM + (d - 1 - i) * (tall + GAP)
                place = (x0 / width, y0 / height, wide / width, tall / height)
                ax = fig.add_axes(place, facecolor="none")
                if i == j:
                    self._margin(ax, j, palette)
                else:
                    self._panel(ax, j, i, palette, dot=2.4, badge=9 if d < 5 else 7.5)
                last, first = i == d - 1, j == 0 and i > 0
                _ticks(ax, 4, x=last, y=first)
                if last:
                    name_axis(ax.xaxis, self.names[j], palette)
                if first:
                    name_axis(ax.yaxis, self.names[i], palette)
                    ax.yaxis.set_label_coords(-0.55 / wide, 0.5)

    # ---- panels --------------------------------------------------------------------------------
    def _panel(
        self, ax: Any, a: int, b: int, palette: Palette, *, dot: float, badge: float
    ) -> None:
        """Rows and ellipses on columns a (across) and b (up)."""
        ax.set_xlim(self.limits[a])
        ax.set_ylim(self.limits[b])
        seen = self.inside[:, [a, b]].all(axis=1)
        add_dots(ax, self.drawn, np.where(seen[:, None], self.x[:, [a, b]], np.nan), palette, dot)
        part = self.part.marginal([a, b])
        add_ellipses(ax, part, usual_shares(part.k), palette)
        add_numbers(ax, part, palette, badge)
        dress(ax, palette, boxed=True)

    def _margin(
        self, ax: Any, j: int, palette: Palette, *, turned: bool = False, filled: bool = False
    ) -> None:
        """Histogram and density of column j, without an axis for the density."""
        add_histogram(
            ax, self.part.marginal([j]), self.x[:, j], self.drawn.weight, self.limits[j], palette,
            turned=turned, filled=filled,
        )  # fmt: skip
        dress(ax, palette)
        ax.spines["bottom" if turned else "left"].set_visible(False)
        if not turned:
            ax.set_yticks([])


def _ticks(ax: Any, most: int, *, x: bool = True, y: bool = True) -> None:
    from matplotlib.ticker import MaxNLocator

    for axis, wanted in ((ax.xaxis, x), (ax.yaxis, y)):
        if not wanted:
            axis.set_ticks([])
        elif len(axis.get_ticklocs()):
            axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    ax.tick_params(labelsize=9.5, length=3, width=0.8)
