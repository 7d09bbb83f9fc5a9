"""The report's figures: ``mixtura.plot`` drawn in the page's colours, as inline SVG.

All are drawn to be shown between 340 and 680 pixels wide.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mixtura import plot
from mixtura.plot.axes import dress, name_axis, short
from mixtura.plot.certainty import add_certainty, height_for
from mixtura.plot.histogram import add_histogram, usual_bins
from mixtura.plot.layout import frame
from mixtura.plot.pit import add_pit
from mixtura.report import svg
from mixtura.report.curve import bic_curve
from mixtura.report.observations import Observations
from mixtura.report.reading import Reading, read_rows
from mixtura.report.scatter import scatter_matrix
from mixtura.sources import Rows

__all__ = [
    "bic_curve",
    "certainty_figure",
    "densities",
    "pit_figure",
    "scatter_matrix",
    "trace_figure",
]


def trace_figure(trace: Sequence[float] | Mapping[str, Sequence[float]]) -> str | None:
    """The log-likelihood by iteration, on a scale that is logarithmic in the gap to the best.

    Parameters
    ----------
    trace : sequence of float, or mapping
        Mean log-likelihoods per row of all iterations, or ``log_likelihood`` of those whose
        numbers are in ``n_iter``.

    Returns
    -------
    str or None
        None where there are fewer than three iterations, or none gained anything.
    """
    steps: Any = None
    values: Any = trace
    if isinstance(trace, Mapping):
        steps, values = trace["n_iter"], trace["log_likelihood"]
    if len(values) < 3 or min(values) == max(values):
        return None
    fig = svg.figure(5.8, 3.0)
    ax = fig.add_axes((0.145, 0.165, 0.81, 0.79))
    plot.trace(values, iterations=steps, ax=ax, palette=svg.PALETTE)
    svg.sized(ax)
    n = int(steps[-1]) if steps is not None else len(values)
    label = (
        f"Log-likelihood per row over {n:,} iterations, from {values[0]:.6g} to {values[-1]:.6g} "
        "nats"
    )
    return svg.inline(fig, "trace", label)


def densities(
    mixture: Any, rows: Rows, names: Sequence[str], columns: Sequence[int]
) -> list[dict[str, str]]:
    """One small figure for each of the columns: histogram, fitted density, components.

    Where cells have noise, also the density of what is measured.

    Returns
    -------
    list of dict
        ``name`` of the column and ``svg``, in the order of ``columns``. Each is made to stand
        beside others, 280 to 460 pixels wide.
    """
    drawn, rows = [], Observations.of(rows)
    for j in columns:
        x = np.asarray(rows.x[:, j], dtype=np.float64)
        weight = np.ones(rows.n) if rows.weight is None else rows.weight
        noise = rows.noise_of(j)
        fig = svg.figure(4.2, 2.3)
        ax = fig.add_axes((0.03, 0.235, 0.94, 0.745))
        add_histogram(
            ax, mixture.marginal([j]), x, weight, frame(x[weight > 0]), svg.PALETTE,
            bins=usual_bins(int(np.count_nonzero(weight[~np.isnan(x)]))), filled=True, noise=noise,
        )  # fmt: skip
        dress(ax, svg.PALETTE)
        ax.set(ylabel="", yticks=[])
        ax.spines["left"].set_visible(False)
        ax.xaxis.set_major_locator(_few_ticks())
        name_axis(ax.xaxis, short(str(names[j])), svg.PALETTE)
        ax.tick_params(labelsize=10)
        label = f"Histogram of {names[j]} with the fitted density and the components' shares of it"
        label += "" if noise is None else "; dashed, the density with the errors of measurement"
        drawn.append({"name": str(names[j]), "svg": svg.inline(fig, f"density-{j}", label)})
    return drawn


def certainty_figure(mixture: Any, rows: Any, reading: Reading | None = None) -> str | None:
    """How certain the rows of each component are to belong to it, one divided bar for each.

    The legend is part of the figure. None where there is one component only.
    """
    if mixture.k == 1:
        return None
    reading = read_rows(mixture, rows) if reading is None else reading
    tall = height_for(mixture.k)
    fig = svg.figure(5.8, tall)
    ax = fig.add_axes((0.1, 0.56 / tall, 0.86, 1 - (0.56 + 0.36) / tall))
    add_certainty(ax, mixture.k, reading.component, reading.certainty, reading.weight, svg.PALETTE)
    svg.sized(ax)
    label = (
        "Share of each component's rows by the probability with which they belong to it: over 99%, "
        "95 to 99%, 80 to 95%, 50 to 80%, under 50%"
    )
    return svg.inline(fig, "certainty", label)


def pit_figure(values: Any, names: Sequence[str], weights: Any = None) -> str:
    """Empirical distribution functions of the transforms minus the uniform one, by column.

    The band is where the lines of all m columns of a right model stay with a probability of 95%.
    Lines that leave it are in the accent colour; the five farthest from zero are named.

    Parameters
    ----------
    values : array (n, m)
        NaN where a cell is missing.
    names : sequence of str (m,)
    weights : array (n,), optional
    """
    fig = svg.figure(5.8, 3.3)
    ax = fig.add_axes((0.145, 0.15, 0.81, 0.82))
    weight = np.ones(len(values)) if weights is None else np.asarray(weights, dtype=np.float64)
    add_pit(ax, np.asarray(values), list(names), weight, 0.95, svg.PALETTE, jointly=True)
    svg.sized(ax)
    label = (
        "Share of rows below each probability under the model, minus the share expected, for "
        f"{', '.join(map(str, names))}; with the band that chance allows"
    )
    return svg.inline(fig, "pit", label)


def _few_ticks() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(5, steps=[1, 2, 2.5, 5, 10])
