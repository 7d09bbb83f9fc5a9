"""The scatter matrix: rows coloured by component, and each component's ellipses.

Which rows and columns it shows, and what its caption says; ``panels`` draws it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtura.report import svg
from mixtura.report.layout import telling
from mixtura.report.panels import FEW, View

__all__ = ["MOST_COLUMNS", "MOST_POINTS", "scatter_matrix"]

MOST_COLUMNS = 6
MOST_POINTS = 3000

Floats = NDArray[np.floating[Any]]


def scatter_matrix(mixture: Any, rows: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """The figure, its caption and its width.

    Parameters
    ----------
    mixture : Mixture
    rows : Rows
        The rows fitted.
    names : tuple of str
        Names of the d columns.

    Returns
    -------
    dict
        ``svg``, ``caption`` (str) and ``width`` (pixels below which it should scroll).
    """
    shown = telling(mixture, MOST_COLUMNS)
    part = mixture.marginal(shown)
    x, component, weight, drawn, n = _sample(mixture, rows, 3000 if len(shown) < 5 else 2000)
    view = View(part, x[:, shown], component, weight, [names[i] for i in shown])
    d = len(shown)
    fig = view.alone() if d == 1 else view.joint() if d == 2 else view.corner()
    label = (
        f"{'Histogram' if d == 1 else 'Scatter plots'} of {', '.join(view.names)} "
        f"with the {mixture.k} component{'s' * (mixture.k != 1)}"
    )
    return {
        "svg": svg.inline(fig, "scatter", label),
        "caption": _caption(mixture, view, drawn, n),
        "width": 340 if d < 3 else round(64 * fig.get_figwidth()),
    }


def _sample(
    mixture: Any, rows: Any, most: int
) -> tuple[Floats, NDArray[np.int64], Floats, int, int]:
    """Rows to draw (at most ``most``), their components and weights; drawn and total counts."""
    live = np.arange(rows.n) if rows.weight is None else np.flatnonzero(rows.weight > 0)
    n = len(live)
    if n > most:
        live = np.sort(np.random.default_rng(0).choice(live, most, replace=False))
    x = np.asarray(rows.x[live], dtype=np.float64)
    component = mixture.responsibilities(x).argmax(axis=1)
    weight = np.ones(len(live)) if rows.weight is None else np.asarray(rows.weight[live])
    return x, component, weight, len(live), n


def _caption(mixture: Any, view: View, drawn: int, n: int) -> str:
    said = []
    if mixture.d > MOST_COLUMNS:
        why = "on which the components differ most" if mixture.k > 1 else "that come first"
        said.append(f"The {MOST_COLUMNS} of {mixture.d} columns {why}.")
    rows = f"All {n:,} rows" if drawn == n else f"A random {drawn:,} of {n:,} rows"
    if len(view.names) == 1:
        said.append(
            f"{rows} as a histogram; the line is the fitted density, and under it the share of "
            "each component."
        )
    else:
        said.append(
            f"{rows}, coloured by their most likely component. The ellipses hold "
            f"{'50% and 90%' if mixture.k <= FEW else '50%'} of each component, whose number "
            "(from 0) stands at its mean; in the margins, histograms with the fitted density."
        )
    if view.outside == 1:
        said.append("One row far from the others lies outside the frame.")
    elif view.outside:
        said.append(f"{view.outside:,} rows far from the others lie outside the frame.")
    return " ".join(said)
