"""The density of two columns, as the regions {p ≥ c} that hold given shares of it.

The region of share s is {x : p(x) ≥ c}, c the 1 − s quantile of p under p itself: of all regions
that hold s it is the smallest (Hyndman 1996). The quantile is that of 50,000 draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.mixture import Mixture
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.inputs import columns_of, mixture_of, names_of, shares_of
from mixtura.plot.layout import grid
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import Columns, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["density"]

#: Draws behind the levels: a region's share is right to about 0.002.
DRAWS = 50_000
#: Arrows of the score across and up.
ARROWS = 16
#: Outlines that are labelled one by one.
MOST_LABELS = 9


def density(
    mixture: Any,
    columns: Columns = (0, 1),
    *,
    ax: Axes | None = None,
    levels: float | Sequence[float] = (0.5, 0.8, 0.95),
    filled: bool = True,
    score: bool = False,
    palette: Palette | None = None,
) -> Axes:
    """Draw the regions of highest density of two columns.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
    columns : two positions or names
        The first goes across, the second up.
    ax : matplotlib Axes, optional
        By default those of a new figure.
    levels : float or floats in (0, 1)
        Shares that the regions hold. They come from draws with a fixed seed, and are right to
        about 0.002.
    filled : bool
        Fill the regions; their outlines are always drawn.
    score : bool
        Add arrows along ∇ log p, the direction of steepest ascent where each column is measured
        in its own standard deviations. Their lengths are compressed: they show where the density
        is flat, not by how much it rises.
    palette : Palette, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
    MissingExtraError
        Where matplotlib is not installed.

    References
    ----------
    Hyndman (1996), The American Statistician 50(2).

    Examples
    --------
    >>> import mixtura as mx
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [4.0, 1.0]], [1.0, 0.5], columns=["a", "b"])
    >>> ax = mx.plot.density(mix, score=True)
    >>> sorted(text.get_text() for text in ax.texts)[-1]
    '95%'
    """
    mix = mixture_of(mixture)
    pair = columns_of(mix, columns, 2, "density")
    held = shares_of(levels, "levels")
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    part = mix.marginal(pair)
    low, high = _regions(ax, part, held, filled, paint)
    if score:
        _arrows(ax, part, low, high, paint)
    names = names_of(mix)
    dress(ax, paint, x=names[pair[0]], y=names[pair[1]])
    return ax


def _regions(
    ax: Any, part: Mixture, shares: tuple[float, ...], filled: bool, palette: Palette
) -> tuple[FloatArray, FloatArray]:
    """Fill and outline the regions; the corners of the rectangle that holds them."""
    from matplotlib.colors import to_rgba

    draws = part.sample(DRAWS, rng=0)
    heights = np.asarray(part.log_density(draws))
    bounds = np.quantile(heights, [1 - share for share in reversed(shares)])
    inside = draws[heights >= bounds[0]]
    low, high = inside.min(axis=0), inside.max(axis=0)
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    means, sds = np.asarray(part.means), np.sqrt(part.covariance.diagonal())
    across, up = (grid(low[j], high[j], means[:, j], sds[:, j], 200) for j in (0, 1))
    points = np.stack(np.meshgrid(across, up), axis=-1)
    surface = np.asarray(part.log_density(points.reshape(-1, 2))).reshape(points.shape[:2])
    if filled:
        top = max(float(surface.max()), float(bounds[-1])) + 1.0
        ax.contourf(
            across, up, surface, levels=[*bounds, top], zorder=0.8,
            colors=[to_rgba(palette.accent, a) for a in np.linspace(0.1, 0.4, len(bounds))],
        )  # fmt: skip
    lines = ax.contour(
        across, up, surface, levels=bounds, colors=palette.accent, linestyles="solid",
        linewidths=1.1, zorder=1.2,
    )  # fmt: skip
    said = {bound: f"{100 * s:.3g}%" for bound, s in zip(bounds, reversed(shares), strict=True)}
    ax.clabel(
        lines, fmt=said, fontsize=8, colors=[palette.ink], inline_spacing=3,
        manual=_places(lines) or False,
    )  # fmt: skip
    return low, high


def _places(lines: Any) -> list[FloatArray]:
    """Where the outlines are many: one place for a label on the longest outline of each level."""
    pieces = [path.to_polygons(closed_only=False) for path in lines.get_paths()]
    if sum(map(len, pieces)) <= MOST_LABELS:
        return []
    longest = [max(level, key=len) for level in pieces if level]
    return [
        np.asarray(piece[len(piece) * (i + 1) // (len(longest) + 1)])
        for i, piece in enumerate(longest)
    ]


def _arrows(ax: Any, part: Mixture, low: FloatArray, high: FloatArray, palette: Palette) -> None:
    """Arrows from a coarse grid of points, none longer than the grid's step."""
    step = (high - low) / ARROWS
    across, up = (low[j] + step[j] * (np.arange(ARROWS) + 0.5) for j in (0, 1))
    points = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    sd = np.sqrt(np.diag(np.asarray(part.cov)))
    ascent = np.asarray(part.grad_log_density(points)) * sd  # per standard deviation
    size = np.linalg.norm(ascent, axis=1, keepdims=True)
    length = 0.85 * (step / sd).min() * size / (size + np.median(size))
    moved = sd * ascent / np.where(size > 0, size, 1.0) * length
    ax.quiver(
        *points.T, *moved.T, angles="xy", scale_units="xy", scale=1.0, color=palette.ink,
        alpha=0.65, width=0.0024, headwidth=4.5, headlength=5.5, headaxislength=5.0, zorder=3,
    )  # fmt: skip
