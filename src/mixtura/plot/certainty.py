"""How certain the assignments are: the law of maxₖ P(component k | row), by component.

A row that belongs to one component for certain has 1; one between two components has 1/2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.errors import InputError
from mixtura.plot.axes import axes_of, dress
from mixtura.plot.inputs import mixture_of, rows_of, weights_of
from mixtura.plot.palette import Palette, palette_of
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["add_certainty", "certainty", "height_for"]

#: Ends of the bands, the most certain first, and how strongly each is drawn.
EDGES = (1.0, 0.99, 0.95, 0.8, 0.5, 0.0)
NAMES = ("over 99%", "95–99%", "80–95%", "50–80%", "under 50%")
STRENGTH = (1.0, 0.55, 0.36, 0.22, 0.1)
BATCH = 65_536


def certainty(
    mixture: Any,
    X: Any,
    *,
    ax: Axes | None = None,
    weights: Any = None,
    palette: Palette | None = None,
) -> Axes:
    """Draw how certain the rows of each component are to belong to it.

    Rows are counted at their most likely component. One bar for each component, and one for all
    rows, is divided by the probability of that component given the row: over 99%, 95 to 99%, 80
    to 95%, 50 to 80%, and under 50%, which only three components or more make possible.

    Parameters
    ----------
    mixture : Mixture or fitted estimator
        Of two components or more.
    X : array or data frame (n, d)
    ax : matplotlib Axes, optional
        By default those of a new figure.
    weights : array (n,), optional
        Of rows; the bars then divide weight.
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
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0], [4.0]], [1.0, 0.5])
    >>> ax = mx.plot.certainty(mix, mix.sample(500, rng=0))
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['0', '1', 'all']
    """
    mix = mixture_of(mixture)
    if mix.k < 2:
        raise InputError(
            "expected a mixture of at least two components, got one, to which every row belongs "
            "for certain"
        )
    x = rows_of(mix, X)
    weight = weights_of(weights, len(x))
    paint = palette_of(palette)
    ax = axes_of(ax, paint, (6.4, height_for(mix.k)))
    component, sure = np.empty(len(x), dtype=np.int64), np.empty(len(x))
    for start in range(0, len(x), BATCH):
        resp = np.asarray(mix.responsibilities(x[start : start + BATCH]))
        component[start : start + BATCH] = resp.argmax(axis=1)
        sure[start : start + BATCH] = resp.max(axis=1)
    add_certainty(ax, mix.k, component, sure, weight, paint)
    return ax


def add_certainty(
    ax: Any,
    k: int,
    component: FloatArray,
    sure: FloatArray,
    weight: FloatArray,
    paint: Palette,
) -> None:
    """Bars for rows (n,): their most likely components, and the probabilities of these."""
    mass = _mass(k, component, sure, weight)
    bars = np.concatenate([mass, mass.sum(axis=0, keepdims=True)])
    total = bars.sum(axis=1, keepdims=True)
    share = bars / np.where(total > 0, total, 1.0)
    colours = [*(paint.component(j) for j in range(k)), paint.muted]
    _bars(ax, share, colours, paint)
    _legend(ax, paint, 4 if k == 2 else 5)
    for j in np.flatnonzero(total[:, 0] == 0):
        ax.text(
            0.01, float(j), "no row is most likely here", color=paint.muted, va="center", fontsize=9
        )
    dress(ax, paint, x="share of the rows", y="component")
    _number(ax, k)
    ax.set_xlim(0, 1)
    ax.set_xticks([0, 0.25, 0.5, 0.75, 1], labels=["0", "25%", "50%", "75%", "100%"])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _number(ax: Any, k: int) -> None:
    """Numbers of the components at their bars, as many as fit."""
    ax.set_ylim(k + 0.6, -0.6)
    bar = 72 * ax.bbox.height / ax.figure.dpi / (k + 1.2)
    every = max(1, int(np.ceil(11 / bar)))
    shown = [j for j in range(0, k, every) if j <= k - every]
    ax.set_yticks([*shown, k], labels=[*map(str, shown), "all"])


def height_for(k: int) -> float:
    """A good height of the figure for k components, in inches."""
    return min(1.25 + 0.34 * (k + 1), 12.0)


def _mass(k: int, component: FloatArray, sure: FloatArray, weight: FloatArray) -> FloatArray:
    """Weight of the rows by component and band (k, 5)."""
    mass = np.zeros((k, len(NAMES)))
    band = np.searchsorted(-np.array(EDGES[1:-1]), -sure, side="right")
    np.add.at(mass, (component, band), weight)
    return mass


def _bars(ax: Any, share: FloatArray, colours: list[str], palette: Palette) -> None:
    start = np.concatenate([np.zeros((len(share), 1)), np.cumsum(share, axis=1)], axis=1)
    for i, colour in enumerate(colours):
        for j, strength in enumerate(STRENGTH):
            if share[i, j] == 0:
                continue
            ax.barh(
                i, share[i, j], left=start[i, j], height=0.72, color=colour, alpha=strength,
                linewidth=0,
            )  # fmt: skip
            if share[i, j] >= 0.09 and len(colours) <= 24:
                ax.text(
                    start[i, j] + share[i, j] / 2, i, f"{100 * share[i, j]:.0f}%", fontsize=8.5,
                    color=palette.surface if strength == 1 else palette.ink,
                    ha="center", va="center_baseline",
                )  # fmt: skip


def _legend(ax: Any, palette: Palette, number: int) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=palette.muted, alpha=strength, label=name, linewidth=0)
        for strength, name in zip(STRENGTH[:number], NAMES, strict=False)
    ]
    ax.legend(
        handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=number,
        frameon=False, fontsize=8.5, labelcolor=palette.ink, handlelength=1.0, handleheight=1.0,
        columnspacing=1.2, handletextpad=0.5, borderaxespad=0.2,
    )  # fmt: skip
