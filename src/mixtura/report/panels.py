"""The panels of the scatter matrix: dots, ellipses, histograms and densities.

In two columns, a Gaussian holds a share p of its mass within (x − μ)ᵀΣ⁻¹(x − μ) = −2 ln(1 − p).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura.report import svg

__all__ = ["FEW", "SHARES", "View"]

#: Shares of a component that its ellipses hold; beyond so many components only the inner one.
SHARES = (0.5, 0.9)
FEW = 6

Floats = NDArray[np.floating[Any]]


class View:
    """What the panels of one figure share: points, limits and the mixture on the shown columns."""

    def __init__(
        self, mixture: Any, x: Floats, component: Any, weight: Floats, names: list[str]
    ) -> None:
        self.mixture, self.x, self.component, self.weight = mixture, x, component, weight
        self.names = [name if len(name) <= 28 else name[:27] + "…" for name in names]
        self.limits = [self._limits(j) for j in range(len(names))]
        inside = np.ones(len(x), dtype=bool)
        for j, (low, high) in enumerate(self.limits):
            inside &= (x[:, j] >= low) & (x[:, j] <= high)
        self.outside = int((~inside).sum())

    def _limits(self, j: int) -> tuple[float, float]:
        """The data's range, unless a few far rows would squeeze the rest."""
        x = self.x[:, j]
        low, high = float(x.min()), float(x.max())
        inner_low, inner_high = np.quantile(x, [0.005, 0.995])
        reach = 0.6 * (inner_high - inner_low)
        if reach > 0:
            low, high = max(low, inner_low - reach), min(high, inner_high + reach)
        pad = 0.06 * (high - low) or 1.0
        return float(low - pad), float(high + pad)

    # -------------------------------------------------------------- figures

    def alone(self) -> Any:
        fig = svg.figure(5.8, 2.9)
        ax = fig.add_axes((0.03, 0.19, 0.94, 0.79))
        self._margin(ax, 0, filled=True)
        self._ticks(ax, 7)
        self._name(fig, ax, x=0)
        return fig

    def joint(self) -> Any:
        fig = svg.figure(5.8, 5.3)
        left, bottom, wide, tall = 0.125, 0.115, 0.7, 0.7
        ax = fig.add_axes((left, bottom, wide, tall))
        self._panel(ax, 0, 1, dot=2.8, badge=11.5)
        self._ticks(ax, 6)
        top = fig.add_axes((left, bottom + tall + 0.012, wide, 0.165))
        self._margin(top, 0)
        side = fig.add_axes((left + wide + 0.0105, bottom, 0.147, tall))
        self._margin(side, 1, turned=True)
        for margin in (top, side):
            margin.set_xticks([])
            margin.set_yticks([])
        self._name(fig, ax, x=0, y=1)
        return fig

    def corner(self) -> Any:
        d = len(self.names)
        size = {3: 2.6, 4: 2.1, 5: 1.85}.get(d, 1.65)
        left, bottom, gap = 0.75, 0.7, 0.12
        edge = d * size + (d - 1) * gap
        width, height = left + edge + 0.1, bottom + edge + 0.1
        fig = svg.figure(width, height)
        for i in range(d):
            for j in range(i + 1):
                x0 = left + j * (size + gap)
                y0 = bottom + (d - 1 - i) * (size + gap)
                ax = fig.add_axes((x0 / width, y0 / height, size / width, size / height))
                if i == j:
                    self._margin(ax, j)
                else:
                    self._panel(ax, j, i, dot=2.4, badge=9 if d < 5 else 7.5)
                self._ticks(ax, 4, x=i == d - 1, y=j == 0 and i > 0)
                across, up = j if i == d - 1 else None, i if j == 0 and i > 0 else None
                self._name(fig, ax, x=across, y=up)
                if up is not None:
                    ax.yaxis.set_label_coords(-0.55 / size, 0.5)
        return fig

    # -------------------------------------------------------------- panels

    def _panel(self, ax: Any, a: int, b: int, *, dot: float, badge: float) -> None:
        """Rows and ellipses on columns a (across) and b (up)."""
        from matplotlib.patches import Ellipse, PathPatch
        from matplotlib.path import Path

        ax.set_xlim(self.limits[a])
        ax.set_ylim(self.limits[b])
        opacity = float(np.clip(12 / np.sqrt(len(self.x)), 0.25, 0.75))
        (a_low, a_high), (b_low, b_high) = self.limits[a], self.limits[b]
        at = self.x[:, [a, b]]
        inside = (at[:, 0] > a_low) & (at[:, 0] < a_high) & (at[:, 1] > b_low) & (at[:, 1] < b_high)
        for k in range(self.mixture.k):
            mine = at[(self.component == k) & inside]
            if len(mine):
                # A dot is a line of no length with a round end: a few bytes each.
                codes = np.tile([Path.MOVETO, Path.LINETO], len(mine))
                dots = Path(np.repeat(mine, 2, axis=0), codes)
                dots.should_simplify = False
                ax.add_patch(
                    PathPatch(
                        dots, fill=False, edgecolor=svg.colour(k), linewidth=dot,
                        capstyle="round", alpha=opacity,
                    )
                )  # fmt: skip
        part = self.mixture.marginal([a, b])
        for k, (mean, cov) in enumerate(zip(part.means, part.covariance.dense(), strict=True)):
            # Shape in units of the panel, so that no scale is lost to rounding.
            unit = np.array([a_high - a_low, b_high - b_low])
            value, vector = np.linalg.eigh(cov / np.outer(unit, unit))
            axes = np.sqrt(np.maximum(value, 0.0))
            turn = np.degrees(np.arctan2(vector[1, 1], vector[0, 1]))
            centre = (mean - [a_low, b_low]) / unit
            for share in SHARES if self.mixture.k <= FEW else SHARES[:1]:
                reach = 2 * np.sqrt(-2 * np.log1p(-share))
                ax.add_patch(
                    Ellipse(
                        centre, reach * axes[1], reach * axes[0], angle=turn,
                        transform=ax.transAxes, facecolor="none", edgecolor=svg.colour(k),
                        linewidth=1.1 if share == SHARES[0] else 1.6,
                    )
                )  # fmt: skip
            if ((centre > 0.0) & (centre < 1.0)).all():
                ax.plot(
                    *centre, "o", transform=ax.transAxes, markersize=badge, zorder=5,
                    markerfacecolor=svg.colour(k), markeredgecolor=svg.SURFACE,
                )  # fmt: skip
                ax.text(
                    *centre, str(k), transform=ax.transAxes, fontsize=0.62 * badge, zorder=6,
                    color=svg.SURFACE, ha="center", va="center_baseline", fontweight="bold",
                )  # fmt: skip

    def _margin(self, ax: Any, j: int, *, turned: bool = False, filled: bool = False) -> None:
        """Histogram of column j with the fitted density, and each component's share of it."""
        low, high = self.limits[j]
        inside = (self.x[:, j] >= low) & (self.x[:, j] <= high)
        bins = int(np.clip(3.5 * np.cbrt(len(self.x)), 8, 48))
        height, edges = np.histogram(
            self.x[inside, j], bins=bins, range=(low, high), weights=self.weight[inside]
        )
        height = height / (self.weight.sum() * np.diff(edges))
        grid = np.linspace(low, high, 320)
        part = self.mixture.marginal([j])
        sd = np.sqrt(part.covariance.diagonal()[:, 0])
        at = (grid[:, None] - part.means[:, 0]) / sd
        each = part.weights * np.exp(-0.5 * at**2) / (np.sqrt(2 * np.pi) * sd)
        top = max(height.max(), min(each.sum(axis=1).max(), 2.5 * height.max())) * 1.08
        ax.stairs(
            height, edges, orientation="horizontal" if turned else "vertical",
            fill=True, color=svg.GRID, alpha=0.9,
        )  # fmt: skip
        if self.mixture.k > 1:
            total = each.sum(axis=1)
            curve = (total, grid) if turned else (grid, total)
            ax.plot(*curve, color=svg.INK, linewidth=1.0, alpha=0.8)
        for k in range(self.mixture.k):
            curve = (each[:, k], grid) if turned else (grid, each[:, k])
            if filled:
                ax.fill_between(*curve, color=svg.colour(k), alpha=0.16, linewidth=0)
            ax.plot(*curve, color=svg.colour(k), linewidth=1.5)
        if turned:
            ax.set_ylim(low, high)
            ax.set_xlim(0, top)
        else:
            ax.set_xlim(low, high)
            ax.set_ylim(0, top)
        if filled or not turned:
            ax.set_yticks([])
        for side in ("top", "right", "bottom" if turned else "left"):
            ax.spines[side].set_visible(False)
        for spine in ax.spines.values():
            spine.set_color(svg.GRID)

    def _ticks(self, ax: Any, most: int, *, x: bool = True, y: bool = True) -> None:
        from matplotlib.ticker import MaxNLocator

        for axis, wanted in ((ax.xaxis, x), (ax.yaxis, y)):
            if not wanted:
                axis.set_ticks([])
            elif len(axis.get_ticklocs()):
                axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
        ax.tick_params(colors=svg.MUTED, labelsize=9.5, length=3, width=0.8, color=svg.GRID)
        for spine in ax.spines.values():
            spine.set_color(svg.GRID)

    def _name(self, fig: Any, ax: Any, *, x: int | None = None, y: int | None = None) -> None:
        """Name the axes, with the offset or the power of ten that their numbers leave out."""
        for axis, j in ((ax.xaxis, x), (ax.yaxis, y)):
            if j is None:
                continue
            fig.draw_without_rendering()
            offset = axis.get_major_formatter().get_offset()
            axis.get_offset_text().set_visible(False)
            signed = offset.startswith(("+", "-", "\u2212"))
            power = f"  ({offset if signed else '×' + offset})" if offset else ""
            axis.set_label_text(self.names[j] + power)
            axis.label.set(color=svg.INK, fontsize=11)
            axis.label.set_parse_math(False)
