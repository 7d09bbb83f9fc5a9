"""Rows in two columns, coloured by argmaxₖ P(component k | row), with what was fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.plot.axes import axes_of, dress
from mixtura.plot.ellipses import add_ellipses, add_numbers, usual_shares
from mixtura.plot.inputs import (
    columns_of,
    mixture_of,
    names_of,
    rows_of,
    shares_of,
    weights_of,
    whole,
)
from mixtura.plot.layout import Drawn, draw_rows
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import Columns, FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["MOST_POINTS", "add_dots", "scatter"]

#: Rows drawn at most.
MOST_POINTS = 3000


def scatter(
    mixture: Any,
    X: Any,
    columns: Columns = (0, 1),
    *,
    ax: Axes | None = None,
    weights: Any = None,
    shares: float | Sequence[float] | None = None,
    most: int = MOST_POINTS,
    size: float = 3.5,
    palette: Palette | None = None,
) -> Axes:
    """Draw rows coloured by their most likely component, with ellipses and numbered means.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
    X : array or data frame (n, d)
        In all columns of the mixture, which decide on the most likely component.
    columns : two positions or names
        The first goes across, the second up.
    ax : matplotlib Axes, optional
        By default those of a new figure.
    weights : array (n,), optional
        The area of a dot follows its row's weight in steps of two, from a quarter to four times
        the usual; rows of no weight are not drawn.
    shares : float or floats in (0, 1), optional
        How much of its component each ellipse holds: 50% and 90%, or only 50% beyond six
        components.
    most : int
        Of more rows than this, so many drawn at random are shown, the same in every call.
    size : float
        Diameter of a dot, in points.
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
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [4.0, 1.0]], [1.0, 0.5], columns=["a", "b"])
    >>> ax = mx.plot.scatter(mix, mix.sample(200, rng=0), ("b", "a"))
    >>> ax.get_xlabel(), [text.get_text() for text in ax.texts]
    ('b', ['0', '1'])
    """
    mix = mixture_of(mixture)
    pair = columns_of(mix, columns, 2, "scatter")
    x = rows_of(mix, X)
    weight = weights_of(weights, len(x))
    count = whole(most, "most")
    held = usual_shares(mix.k) if shares is None else shares_of(shares, "shares")
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    drawn = draw_rows(mix, x, weight, count)
    part = mix.marginal(pair)
    add_dots(ax, drawn, drawn.x[:, pair], paint, size)
    add_ellipses(ax, part, held, paint)
    add_numbers(ax, part, paint, 12)
    names = names_of(mix)
    dress(ax, paint, x=names[pair[0]], y=names[pair[1]])
    return ax


def add_dots(ax: Any, drawn: Drawn, at: FloatArray, palette: Palette, size: float) -> None:
    """A dot for every row, at ``at`` (m, 2); rows that are NaN there are left out."""
    opacity = float(np.clip(12 / np.sqrt(len(at)), 0.25, 0.75))
    usual = np.median(drawn.weight)
    step = np.clip(np.round(np.log2(drawn.weight / usual)), -2, 2)
    shown = np.isfinite(at).all(axis=1)
    for k in np.unique(drawn.component):
        for power in np.unique(step):
            mine = at[(drawn.component == k) & (step == power) & shown]
            if len(mine):
                ax.plot(
                    *mine.T, "o", markersize=size * 2 ** (power / 2), markeredgewidth=0,
                    color=palette.component(int(k)), alpha=opacity, zorder=1,
                )  # fmt: skip
