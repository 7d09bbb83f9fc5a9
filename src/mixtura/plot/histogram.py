"""One column: a histogram of rows under p(x) = Σ wₖ N(x; μₖ, σₖ²), and each component's share.

Where the rows were measured with errors of known variances sᵢ, bars show x + e, whose density is
(1/n) Σᵢ Σₖ wₖ N(x; μₖ, σₖ² + sᵢ).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.errors import InputError
from mixtura.mixture import Mixture
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.inputs import columns_of, mixture_of, names_of, rows_of, weights_of, whole
from mixtura.plot.layout import grid
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import Columns, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["add_histogram", "histogram", "usual_bins"]

#: Share of the axis above which a component's line is drawn.
SHOWS = 1e-4
#: Variances of errors that stand for those of all rows: quantiles, where there are more.
MOST_ERRORS = 512


def histogram(
    mixture: Any,
    X: Any,
    column: Columns = 0,
    *,
    ax: Axes | None = None,
    weights: Any = None,
    bins: int | None = None,
    limits: tuple[float, float] | None = None,
    turned: bool = False,
    palette: Palette | None = None,
) -> Axes:
    """Draw the histogram of one column, the fitted density, and each component's share of it.

    The bars are a density: together they have the area 1, as has the fitted density. The area
    under a component's line is the component's weight.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
    X : array or data frame (n, d)
    column : position or name
    ax : matplotlib Axes, optional
        By default those of a new figure.
    weights : array (n,), optional
        Of rows; the bars then count weight.
    bins : int, optional
        Bars; by default 3.5 n^(1/3), between 8 and 48.
    limits : (float, float), optional
        Ends of the axis; by default a little beyond the least and the greatest row. Rows outside
        are missing from the bars, whose area is then the share of the rows inside.
    turned : bool
        Draw the column's values upwards.
    palette : Palette, optional

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
    MissingExtraError
        Where matplotlib is not installed.

    Examples
    --------
    >>> import mixtura as mx
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0], [4.0]], [1.0, 0.5], columns=["a"])
    >>> ax = mx.plot.histogram(mix, mix.sample(500, rng=0), "a")
    >>> [line.get_label() for line in ax.lines]
    ['density', 'component 0', 'component 1']
    """
    mix = mixture_of(mixture)
    (j,) = columns_of(mix, column, 1, "histogram")
    x = rows_of(mix, X)[:, j].astype(np.float64)
    weight = weights_of(weights, len(x))
    count = _bins(bins, int(np.count_nonzero(weight)))
    paint = palette_of(palette)
    low, high = _limits(limits, x[weight > 0])
    ax = axes_of(ax, paint)
    part = mix.marginal([j])
    add_histogram(ax, part, x, weight, (low, high), paint, bins=count, turned=turned, filled=True)
    name = names_of(mix)[j]
    across, up = ("density", name) if turned else (name, "density")
    dress(ax, paint, x=across, y=up)
    return ax


def add_histogram(
    ax: Any,
    part: Mixture,
    x: FloatArray,
    weight: FloatArray,
    limits: tuple[float, float],
    palette: Palette,
    *,
    bins: int | None = None,
    turned: bool = False,
    filled: bool = False,
    noise: FloatArray | None = None,
) -> None:
    """Bars and lines for the values x (n,) of a mixture's only column; NaN is left out.

    With ``noise``, the variances of the values' errors (n,), a dashed line shows the density of
    what is measured beside that of the values without errors.
    """
    here = ~np.isnan(x)
    if not here.all():
        x, weight = x[here], weight[here]
        noise = None if noise is None else noise[here]
    low, high = limits
    bins = _bins(None, len(x)) if bins is None else bins
    height, edges = np.histogram(x, bins=bins, range=limits, weights=weight)
    height = height / ((weight.sum() or 1.0) * np.diff(edges))
    means, sd = np.asarray(part.means)[:, 0], np.sqrt(part.covariance.diagonal()[:, 0])
    points = grid(low, high, means, sd, 240)
    each = np.exp(-0.5 * ((points[:, None] - means) / sd) ** 2)
    each *= part.weights / (np.sqrt(2 * np.pi) * sd)
    total = each.sum(axis=1)
    noisy = None if noise is None else _measured(part, points, noise, weight)
    # A component much narrower than a bar would press the bars flat.
    top = max(height.max(), min(total.max(), 2.5 * height.max() or np.inf)) * 1.08

    def line(values: FloatArray, shows: Any = slice(None), **options: Any) -> None:
        across, up = points[shows], values[shows]
        ax.plot(*((up, across) if turned else (across, up)), **options)

    ax.stairs(
        height, edges, orientation="horizontal" if turned else "vertical",
        fill=True, color=palette.grid, alpha=0.9, label="rows", zorder=1,
    )  # fmt: skip
    if part.k > 1:
        line(total, color=palette.ink, linewidth=1.0, alpha=0.8, label="density")
    for k in range(part.k):
        label = f"component {k}" if part.k > 1 else "density"
        paint = palette.component(k)
        if filled:
            fill = ax.fill_betweenx if turned else ax.fill_between
            seen = each[:, k] > top / 500
            fill(points[seen], each[seen, k], color=paint, alpha=0.16, linewidth=0, zorder=1.5)
        shows = each[:, k] > SHOWS * top if part.k > 1 else np.ones(len(points), dtype=bool)
        line(each[:, k], shows, color=paint, linewidth=1.5, label=label)
    if noisy is not None:
        line(
            noisy, color=palette.ink, linewidth=1.3, linestyle=(0, (4, 2)), zorder=2.5,
            label="density as measured",
        )  # fmt: skip
    across, up = ((0, top), limits) if turned else (limits, (0, top))
    ax.set_xlim(across)
    ax.set_ylim(up)


def _measured(
    part: Mixture, points: FloatArray, noise: FloatArray, weight: FloatArray
) -> FloatArray:
    """The density of measured values at some points, averaged over the rows' errors."""
    order = np.argsort(noise, kind="stable")
    s, w = noise[order], weight[order] / (weight.sum() or 1.0)
    if len(s) > MOST_ERRORS:
        ends = np.searchsorted(np.cumsum(w), (np.arange(MOST_ERRORS) + 0.5) / MOST_ERRORS)
        s, w = s[np.minimum(ends, len(s) - 1)], np.full(MOST_ERRORS, 1 / MOST_ERRORS)
    means = np.asarray(part.means)[:, 0]
    inner = np.asarray(part.covariance.diagonal())[:, 0]
    out = np.zeros(len(points))
    for mean, variance, share in zip(means, inner, np.asarray(part.weights), strict=True):
        sd = np.sqrt(variance + s)
        each = np.exp(-0.5 * ((points[:, None] - mean) / sd) ** 2) / (np.sqrt(2 * np.pi) * sd)
        out += share * (each @ w)
    return out


def usual_bins(n: int) -> int:
    """Bars for n rows."""
    return int(np.clip(3.5 * np.cbrt(n), 8, 48))


def _bins(bins: Any, n: int) -> int:
    return usual_bins(n) if bins is None else whole(bins, "bins")


def _limits(limits: Any, x: FloatArray) -> tuple[float, float]:
    if limits is None:
        low, high = float(x.min()), float(x.max())
        pad = 0.06 * (high - low) or 1.0
        return low - pad, high + pad
    try:
        low, high = (float(end) for end in limits)
    except (TypeError, ValueError):
        low = high = np.nan
    if not low < high or not np.isfinite(high - low):
        raise InputError(f"expected limits as (low, high), low < high, got {limits!r}")
    return low, high
