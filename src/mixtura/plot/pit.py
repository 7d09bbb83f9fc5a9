"""The probability integral transform: u = F(y) is uniform where F is the law of y.

For n values the empirical distribution function Fₙ of u then stays within c of u everywhere at
once with probability 95%, c the quantile of Kolmogorov's statistic supᵤ |Fₙ(u) − u| in its exact
law for n values (Simard & L'Ecuyer 2011). With weights, n is Kish's (Σw)² / Σw².
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.namespace import to_numpy
from mixtura.errors import InputError
from mixtura.plot.axes import axes_of, dress, short
from mixtura.plot.inputs import shares_of, weights_of
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["add_pit", "pit"]

#: Columns named in the figure, those farthest from uniform first.
MOST_NAMES = 5
#: Corners of a line that are drawn at most.
MOST_CORNERS = 1600


def pit(
    values: Any,
    *,
    names: Sequence[str] | None = None,
    weights: Any = None,
    level: float = 0.95,
    jointly: bool = False,
    ax: Axes | None = None,
    palette: Palette | None = None,
) -> Axes:
    """Draw how far each column's values are from uniform, with the band that chance allows.

    A line is the empirical distribution function minus that of the uniform law. A model that is
    right stays inside the band everywhere in 95 of 100 columns, each looked at alone, if the
    values are of rows that it was not fitted to; on the rows of the fit itself, lines are closer
    to zero. Above zero on the left and below on the right, the law is too narrow; the other way
    round, too wide; above zero throughout, the values are lower than the law says.

    Parameters
    ----------
    values : array (n,) or (n, m) in [0, 1]
        Such as ``mixture.marginal([j]).cdf(x[:, j])`` for columns j, or ``conditional.cdf(X, Y)``.
    names : sequence of str, optional
        Of the m columns.
    weights : array (n,), optional
        Of rows. The band is then approximate.
    level : float
        Probability with which a uniform column stays inside the band.
    jointly : bool
        Widen the band until all m columns of a right model stay inside with that probability, or
        a greater one (Bonferroni).
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

    References
    ----------
    Simard & L'Ecuyer (2011), Journal of Statistical Software 39(11).

    Examples
    --------
    >>> import numpy as np, mixtura as mx
    >>> u = np.random.default_rng(0).uniform(size=(200, 2))
    >>> ax = mx.plot.pit(u ** [1, 2], names=["right", "wrong"])
    >>> [text.get_text() for text in ax.texts]
    ['95% band', 'wrong', 'right']
    """
    u = _values(values)
    m = u.shape[1]
    told = _told(names, m)
    weight = weights_of(weights, len(u))
    (share,) = shares_of(level, "level")
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    add_pit(ax, u, told, weight, share, paint, jointly=jointly, named=m > 1 or names is not None)
    return ax


def add_pit(
    ax: Any,
    u: FloatArray,
    told: list[str],
    weight: FloatArray,
    share: float,
    paint: Palette,
    *,
    jointly: bool = False,
    named: bool = True,
) -> None:
    """Lines and band of values (n, m), NaN where a row has none.

    The band is that of the column with the fewest values; a line is marked by its own.
    """
    m, here = u.shape[1], ~np.isnan(u)
    level = 1 - (1 - share) / (m if jointly else 1)
    halves = [_half_width(weight[here[:, j]], level) for j in range(m)]
    half = max(halves)
    ax.fill_between([0, 1], -half, half, color=paint.grid, alpha=0.55, linewidth=0, zorder=0.5)
    ax.plot([0, 1], [0, 0], color=paint.muted, linewidth=0.8, zorder=0.6, label="uniform")
    lines = [_corners(u[here[:, j], j], weight[here[:, j]]) for j in range(m)]
    far = np.array([np.abs(y).max() for _, y in lines])
    for j in np.argsort(far, kind="stable"):
        marked = far[j] > halves[j] or m == 1
        ax.plot(
            *_thinned(*lines[j]), color=paint.accent if marked else paint.muted,
            linewidth=1.4 if marked else 1.0, label=told[j], zorder=2,
        )  # fmt: skip
    reach = max(1.5 * half, 1.3 * float(far.max()))
    ax.set_xlim(0, 1)
    ax.set_ylim(-reach, reach)
    _note(ax, half, share, paint)
    if named:
        _name(ax, lines, far, told, halves, paint)
    dress(ax, paint, x="probability under the model", y="share of rows below, minus expected")


def _values(values: Any) -> FloatArray:
    try:
        u = np.asarray(to_numpy(values), dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("expected numbers as values; pass an array (n,) or (n, m)") from None
    u = u[:, None] if u.ndim == 1 else u
    if u.ndim != 2 or 0 in u.shape:
        raise InputError(f"expected values of shape (n,) or (n, m), got {u.shape}")
    if not ((u >= 0) & (u <= 1)).all():  # NaN is neither
        raise InputError(
            "expected values between 0 and 1, got others or NaN; pass distribution functions at "
            "the rows, such as mixture.marginal([j]).cdf(x[:, j])"
        )
    return u


def _told(names: Any, m: int) -> list[str]:
    if names is None:
        return [f"x{j}" for j in range(m)]
    told = [names] if isinstance(names, str) else [str(name) for name in names]
    if len(told) != m:
        raise InputError(f"expected {m} names, one for each column of values, got {len(told)}")
    return told


def _half_width(weight: FloatArray, level: float) -> float:
    """The quantile of Kolmogorov's statistic."""
    from scipy.stats import kstwo

    if not weight.any():
        return 1.0
    relative = weight / weight.max()
    n = max(1, int(relative.sum() ** 2 / (relative**2).sum() + 1e-9))
    return float(kstwo.ppf(level, n))


def _corners(u: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The corners of Fₙ(u) − u: two at each value, before and after its step."""
    order = np.argsort(u, kind="stable")
    u = u[order]
    after = np.cumsum(weight[order]) / weight.sum()
    before = np.concatenate([[0.0], after[:-1]])
    x = np.concatenate([[0.0], np.repeat(u, 2), [1.0]])
    y = np.concatenate([[0.0], np.stack([before - u, after - u], axis=1).ravel(), [0.0]])
    return x, y


def _thinned(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The same line to the eye: of many corners in a row, the lowest and the highest."""
    if len(x) <= MOST_CORNERS:
        return x, y
    kept = [0, len(x) - 1]
    for span in np.array_split(np.arange(len(x)), MOST_CORNERS // 2):
        kept += [int(span[y[span].argmin()]), int(span[y[span].argmax()])]
    found = np.unique(kept)
    return x[found], y[found]


def _note(ax: Any, half: float, level: float, palette: Palette) -> None:
    ax.annotate(
        f"{100 * level:g}% band", (0.995, half), xytext=(0, 3), textcoords="offset points",
        ha="right", va="bottom", fontsize=8.5, color=palette.muted, gid="band-note",
    )  # fmt: skip


def _name(
    ax: Any,
    lines: list[Any],
    far: FloatArray,
    told: list[str],
    halves: list[float],
    palette: Palette,
) -> None:
    """Names at the farthest points of the lines that are farthest from uniform."""
    placed: list[tuple[float, float]] = []
    # A line of text, in units of the axis.
    low, high = ax.get_ylim()
    text = 12 / 72 / (ax.bbox.height / ax.figure.dpi) * (high - low)
    for j in np.argsort(-far, kind="stable")[:MOST_NAMES]:
        x, y = lines[j]
        at = int(np.abs(y).argmax())
        side = 1.0 if y[at] >= 0 else -1.0
        height = y[at] + 0.5 * side * text
        while any(abs(height - b) < 0.95 * text and abs(x[at] - a) < 0.3 for a, b in placed):
            height += 0.25 * side * text
        placed.append((float(x[at]), float(height)))
        ax.text(
            float(x[at]), float(height), short(told[j]), fontsize=9, va="center",
            ha="left" if x[at] < 0.15 else "right" if x[at] > 0.85 else "center",
            color=palette.accent if far[j] > halves[j] else palette.muted,
            bbox={"boxstyle": "square,pad=0.1", "facecolor": palette.surface, "alpha": 0.7,
                  "linewidth": 0},
        ).set_parse_math(False)  # fmt: skip
