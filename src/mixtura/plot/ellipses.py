"""Ellipses: the regions that hold a given share of each component.

In two columns, a Gaussian holds a share p of its mass within (x − μ)ᵀΣ⁻¹(x − μ) = −2 ln(1 − p).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.mixture import Mixture
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.inputs import columns_of, mixture_of, names_of, shares_of
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import Columns

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["FEW", "SHARES", "add_ellipses", "add_numbers", "ellipses", "usual_shares"]

#: Shares that ellipses hold; beyond ``FEW`` components only the inner one is drawn.
SHARES = (0.5, 0.9)
FEW = 6


def ellipses(
    mixture: Any,
    columns: Columns = (0, 1),
    *,
    shares: float | Sequence[float] = SHARES,
    ax: Axes | None = None,
    palette: Palette | None = None,
) -> Axes:
    """Draw the ellipses of each component in two columns.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
    columns : two positions or names
        The first goes across, the second up.
    shares : float or floats in (0, 1)
        How much of its component each ellipse holds.
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
    >>> import mixtura as mx
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [4.0, 1.0]], [1.0, 0.5], columns=["a", "b"])
    >>> ax = mx.plot.ellipses(mix, shares=0.95)
    >>> len(ax.patches), ax.get_xlabel()
    (2, 'a')
    """
    mix = mixture_of(mixture)
    pair = columns_of(mix, columns, 2, "ellipses")
    held = shares_of(shares, "shares")
    paint = palette_of(palette)
    ax = axes_of(ax, paint)
    add_ellipses(ax, mix.marginal(pair), held, paint)
    names = names_of(mix)
    dress(ax, paint, x=names[pair[0]], y=names[pair[1]])
    return ax


def usual_shares(k: int) -> tuple[float, ...]:
    """The shares drawn for k components: fewer ellipses where there are many."""
    return SHARES if k <= FEW else SHARES[:1]


def add_ellipses(ax: Any, part: Mixture, shares: Sequence[float], palette: Palette) -> None:
    """Ellipses of a mixture of two columns, within the limits of ``ax`` where they are free."""
    from matplotlib.patches import Ellipse
    from matplotlib.transforms import Affine2D

    means, covariances = np.asarray(part.means), np.asarray(part.covariance.dense())
    far = np.sqrt(-2 * np.log1p(-max(shares)) * np.diagonal(covariances, axis1=1, axis2=2))
    ax.update_datalim(np.concatenate([means - far, means + far]))
    ax.autoscale_view()
    # Shapes are found in units of the view, so that no column's scale is lost to rounding, and
    # tied to the data, so that they stay right when the limits change.
    low, high = np.transpose([ax.get_xlim(), ax.get_ylim()])
    unit = high - low
    place = Affine2D().scale(*unit).translate(*low) + ax.transData
    for k, (mean, cov) in enumerate(zip(means, covariances, strict=True)):
        value, vector = np.linalg.eigh(cov / unit[:, None] / unit)
        axes = np.sqrt(np.maximum(value, 0.0))
        turn = float(np.degrees(np.arctan2(vector[1, 1], vector[0, 1])))
        for share in shares:
            reach = 2 * np.sqrt(-2 * np.log1p(-share))
            last = share == shares[-1] and len(shares) > 1
            ax.add_patch(
                Ellipse(
                    (mean - low) / unit, reach * axes[1], reach * axes[0], angle=turn,
                    transform=place, facecolor="none", edgecolor=palette.component(k),
                    linewidth=1.6 if last else 1.1, zorder=2,
                )
            )  # fmt: skip


def add_numbers(ax: Any, part: Mixture, palette: Palette, size: float) -> None:
    """Each component's number on a disc at its mean, ``size`` points wide."""
    for k, mean in enumerate(np.asarray(part.means)):
        ax.plot(
            *mean, "o", markersize=size, markerfacecolor=palette.component(k),
            markeredgecolor=palette.surface, markeredgewidth=1.0, zorder=5,
        )  # fmt: skip
        ax.annotate(  # not drawn where the mean lies outside of the axes
            str(k), mean, fontsize=0.62 * size, color=palette.surface, fontweight="bold",
            ha="center", va="center_baseline", annotation_clip=True, zorder=6,
        )  # fmt: skip
