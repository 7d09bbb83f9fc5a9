"""The scatter matrix: every pair of columns, and every column's own histogram and density."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mixtura.plot.axes import figure_of
from mixtura.plot.inputs import columns_of, mixture_of, names_of, rows_of, weights_of, whole
from mixtura.plot.layout import telling
from mixtura.plot.palette import Palette, palette_of
from mixtura.plot.panels import Matrix
from mixtura.plot.scatter import MOST_POINTS
from mixtura.typing import Columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["MOST_COLUMNS", "scatter_matrix"]

#: Columns shown unless others are asked for.
MOST_COLUMNS = 6


def scatter_matrix(
    mixture: Any,
    X: Any,
    columns: Columns | None = None,
    *,
    fig: Figure | None = None,
    weights: Any = None,
    most: int = MOST_POINTS,
    palette: Palette | None = None,
) -> Figure:
    """Draw rows and components in every pair of columns, and each column's histogram.

    One column gives a histogram, two a panel with histograms in its margins, more a triangle of
    panels with histograms on its diagonal. A few rows that lie far from all others (by more than
    0.6 times the range of the inner 99%) are outside the frame, so that the rest can be seen.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
    X : array or data frame (n, d)
    columns : positions or names, optional
        By default all; of more than six those on which the components differ most.
    fig : matplotlib Figure or SubFigure, optional
        By default a new one.
    weights : array (n,), optional
        As in ``scatter`` and ``histogram``.
    most : int
        Of more rows than this, so many drawn at random are shown, the same in every call.
    palette : Palette, optional

    Returns
    -------
    matplotlib Figure

    Raises
    ------
    InputError
    MissingExtraError
        Where matplotlib is not installed.

    Examples
    --------
    >>> import mixtura as mx
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0, 0.0, 2.0], [4.0, 1.0, 1.0]], [1.0, 0.5])
    >>> fig = mx.plot.scatter_matrix(mix, mix.sample(200, rng=0))
    >>> len(fig.axes)
    6
    """
    mix = mixture_of(mixture)
    shown = (
        telling(mix, MOST_COLUMNS)
        if columns is None
        else columns_of(mix, columns, None, "scatter_matrix")
    )
    x = rows_of(mix, X)
    weight = weights_of(weights, len(x))
    paint = palette_of(palette)
    matrix = Matrix(mix, x, weight, shown, names_of(mix), whole(most, "most"))
    fig = figure_of(fig, paint, matrix.size)
    matrix.draw(fig, paint)
    return fig
