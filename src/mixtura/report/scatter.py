"""The scatter matrix in the report, and what its caption says."""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.plot.ellipses import FEW
from mixtura.plot.layout import telling
from mixtura.plot.matrix import MOST_COLUMNS
from mixtura.plot.panels import Matrix
from mixtura.report import svg
from mixtura.report.observations import Observations
from mixtura.report.reading import Reading, read_rows
from mixtura.sources import Rows

__all__ = ["scatter_matrix"]


def scatter_matrix(
    mixture: Any, rows: Rows, names: tuple[str, ...], reading: Reading | None = None
) -> dict[str, Any]:
    """The figure, its caption and its width.

    Parameters
    ----------
    mixture : Mixture
    rows : Rows or Observations
        The rows fitted.
    names : tuple of str
        Names of the d columns.
    reading : Reading, optional
        Of these rows, where it is at hand.

    Returns
    -------
    dict
        ``svg``, ``caption`` (str) and ``width`` (pixels below which it should scroll).
    """
    rows = Observations.of(rows)
    reading = read_rows(mixture, rows) if reading is None else reading
    shown = telling(mixture, MOST_COLUMNS)
    d = len(shown)
    weight = np.ones(rows.n) if rows.weight is None else np.asarray(rows.weight)
    matrix = Matrix(
        mixture, rows.x, weight, shown, names, 3000 if d < 5 else 2000, reading.component
    )
    fig = svg.figure(*matrix.size)
    matrix.draw(fig, svg.PALETTE)
    label = (
        f"{'Histogram' if d == 1 else 'Scatter plots'} of {', '.join(matrix.names)} "
        f"with the {mixture.k} component{'s' * (mixture.k != 1)}"
    )
    return {
        "svg": svg.inline(fig, "scatter", label),
        "caption": _caption(mixture, matrix, rows),
        "width": 340 if d < 3 else round(64 * fig.get_figwidth()),
    }


def _caption(mixture: Any, matrix: Matrix, rows: Observations) -> str:
    said = []
    if mixture.d > MOST_COLUMNS:
        why = "on which the components differ most" if mixture.k > 1 else "that come first"
        said.append(f"The {MOST_COLUMNS} of {mixture.d} columns {why}.")
    drawn, n = len(matrix.x), matrix.drawn.total
    which = f"All {n:,} rows" if drawn == n else f"A random {drawn:,} of {n:,} rows"
    if len(matrix.names) == 1:
        said.append(
            f"{which} as a histogram; the line is the fitted density, and under it the share of "
            "each component."
        )
    else:
        sizes = matrix.drawn.weight.max() > matrix.drawn.weight.min()
        said.append(
            f"{which}, coloured by their most likely component"
            f"{', larger dots for more weight' if sizes else ''}. The ellipses hold "
            f"{'50% and 90%' if mixture.k <= FEW else '50%'} of each component, whose number "
            "(from 0) stands at its mean; in the margins, histograms with the fitted density."
        )
    if matrix.outside == 1:
        said.append("One row far from the others lies outside the frame.")
    elif matrix.outside:
        said.append(f"{matrix.outside:,} rows far from the others lie outside the frame.")
    if rows.gaps and len(matrix.names) > 1:
        said.append("A row stands in the panels of those columns in which it has values.")
    if rows.noise is not None:
        drawn_as = "Histograms are" if len(matrix.names) == 1 else "Dots and histograms are"
        said.append(
            f"{drawn_as} of the values as measured, errors included; the components are those of "
            "the values without errors, and so narrower."
        )
    return " ".join(said)
