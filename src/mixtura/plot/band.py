"""A regression on one column: a line through p(y | x), and the intervals that hold shares of it.

The interval of share s lies between the quantiles (1 − s)/2 and (1 + s)/2 of y given x.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.namespace import is_numpy, to_numpy
from mixtura.errors import InputError
from mixtura.mixture.conditional import Conditional
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.inputs import shares_of
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["band"]


def band(
    conditional_or_regressor: Any,
    x: Any,
    *,
    output: int | str = 0,
    levels: float | Sequence[float] = (0.5, 0.9),
    centre: str = "mean",
    ax: Axes | None = None,
    palette: Palette | None = None,
) -> Axes:
    """Draw a regression on one column: a line, and bands that hold shares of what may come.

    Parameters
    ----------
    conditional_or_regressor : Conditional or fitted MixtureRegressor
        With a single given column.
    x : array (n,) or (n, 1)
        Where to draw it, in any order: two points or more.
    output : position or name
        Which of the remaining columns.
    levels : float or floats in (0, 1)
        Shares that the equal-tailed bands hold, point by point.
    centre : {"mean", "median"}
        The line. The mean is what ``predict`` gives by default; where the law has several modes
        it may lie in none of the bands, and the median never does.
    ax : matplotlib Axes, optional
        By default those of a new figure.
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
    >>> import numpy as np, mixtura as mx
    >>> mix = mx.Mixture([1.0], [[0.0, 0.0]], [[[1.0, 0.8], [0.8, 1.0]]], columns=["x", "y"])
    >>> ax = mx.plot.band(mix.conditional(["x"]), np.linspace(-2, 2, 5))
    >>> ax.lines[0].get_ydata().round(2).tolist()
    [-1.6, -0.8, 0.0, 0.8, 1.6]
    """
    law, given, names = _law(conditional_or_regressor)
    points = _points(x)
    j = _output(output, names)
    held = shares_of(levels, "levels")
    if centre not in ("mean", "median"):
        raise InputError(f"expected centre as 'mean' or 'median', got {centre!r}")
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    tails = [(1 - share) / 2 for share in held]
    rows = points[:, None]
    cuts = np.asarray(law.quantile(rows, [*tails, *(1 - tail for tail in tails), 0.5]))[:, :, j]
    for i in reversed(range(len(held))):
        ax.fill_between(
            points, cuts[:, i], cuts[:, len(held) + i], color=paint.accent, linewidth=0,
            alpha=0.2, label=f"{100 * held[i]:.3g}%", zorder=1,
        )  # fmt: skip
    middle = cuts[:, -1] if centre == "median" else np.asarray(law.mean(rows))[:, j]
    ax.plot(points, middle, color=paint.accent, linewidth=2.0, label=centre, zorder=2.5)
    dress(ax, paint, x=given, y=names[j])
    return ax


def _law(value: Any) -> tuple[Conditional, str, tuple[str, ...]]:
    """The law in NumPy's arrays, the name of its given column and those of its outputs."""
    law = getattr(value, "conditional_", value)
    if not isinstance(law, Conditional):
        raise InputError(
            "expected a Conditional or a fitted MixtureRegressor, got "
            f"{type(value).__name__}; "
            + ("call fit() first" if hasattr(value, "fit") else "mixture.conditional() gives one")
        )
    if len(law.given) != 1:
        raise InputError(
            f"expected a law given one column, got {len(law.given)}; fix the others first: "
            "mixture.condition(others, values).conditional([column])"
        )
    if not is_numpy(law.mixture.means):
        law = Conditional(law.mixture.to("numpy"), law.given, law.rest)
    named = getattr(value, "feature_names_in_", None)
    columns = law.mixture.columns
    if columns is not None:
        return law, columns[law.given[0]], tuple(columns[j] for j in law.rest)
    outputs = ("y",) if len(law.rest) == 1 else tuple(f"y{j}" for j in range(len(law.rest)))
    return law, "x" if named is None else str(named[0]), outputs


def _points(x: Any) -> FloatArray:
    try:
        points = np.asarray(to_numpy(x), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("expected numbers as x; pass a grid such as numpy.linspace") from None
    if points.ndim == 2 and points.shape[1] == 1:
        points = points[:, 0]
    if points.ndim != 1 or len(points) < 2:
        raise InputError(
            f"expected x of shape (n,) or (n, 1) with at least two points, got {points.shape}"
        )
    if not np.isfinite(points).all():
        raise InputError("expected finite numbers as x, got NaN or infinity; drop them")
    return np.sort(points)


def _output(output: Any, names: tuple[str, ...]) -> int:
    if isinstance(output, str) and output in names:
        return names.index(output)
    try:
        j = operator.index(output)
    except TypeError:
        j = len(names)
    if not -len(names) <= j < len(names):
        raise InputError(
            f"expected output among {', '.join(names)}, or a position from 0 to "
            f"{len(names) - 1}, got {output!r}"
        )
    return j % len(names)
