"""The least likely rows, and in which columns they are unusual.

A column j is the more unusual, the smaller the two-sided tail 2 min(F_j(x), 1 − F_j(x)) of its
marginal F_j(x) = Σ wₖ Φ((x − μₖⱼ) / σₖⱼ); logarithms keep far tails apart. Noise adds its variance
to σ². Densities of rows with other gaps or noise are no measure of each other: such rows are
ordered by their ``tail``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp

from mixtura.report.observations import Observations
from mixtura.report.reading import Reading
from mixtura.report.tail import Tail

__all__ = ["MOST", "Unlikely", "log_tails", "unlikely"]

#: Rows listed, and columns told of each.
MOST, MOST_COLUMNS = 10, 4


@dataclass(frozen=True)
class Unlikely:
    """A row that the model finds unlikely.

    Attributes
    ----------
    row : int
        Its number among the rows of the table, from 1.
    log_density : float
    component : int
        The nearest: the one most likely to have made it.
    cells : tuple of (int, float, float)
        Column, value, and log of the two-sided tail probability; most unusual first.
    share : float, optional
        Share of the rows measured alike that are less likely.
    """

    row: int
    log_density: float
    component: int
    cells: tuple[tuple[int, float, float], ...]
    share: float | None = None


def unlikely(mixture: Any, rows: Any, reading: Reading, tail: Tail | None = None) -> list[Unlikely]:
    """The rows of lowest log-density, or tail; those of no weight do not count."""
    rows = Observations.of(rows)
    live = np.flatnonzero(reading.weight > 0)
    if tail is None:
        ranks: Any = np.argsort(reading.log_density[live], kind="stable")
    else:
        ranks = np.lexsort([tail.excess[live], tail.share[live]])
    order = live[ranks[:MOST]]
    x = np.asarray(rows.x[order], dtype=np.float64)
    noise = None if rows.noise is None else rows.noise[order]
    tails, numbers = log_tails(mixture, x, noise), rows.numbers
    found = []
    for i, row in enumerate(order):
        columns = [j for j in np.argsort(tails[i], kind="stable") if not np.isnan(x[i, j])]
        columns = columns[:MOST_COLUMNS]
        cells = tuple((int(j), float(x[i, j]), float(tails[i, j])) for j in columns)
        found.append(
            Unlikely(
                int(numbers[row]),
                float(reading.log_density[row]),
                int(reading.component[row]),
                cells,
                None if tail is None else float(tail.share[row]),
            )
        )
    return found


def log_tails(
    mixture: Any, x: NDArray[np.float64], noise: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Log of the two-sided marginal tail probability of every cell (n, d); NaN where missing."""
    variance = np.asarray(mixture.covariance.diagonal())
    logs = np.asarray(mixture.log_weights)[:, None]
    out = np.empty(x.shape)
    for i, row in enumerate(x):
        sd = np.sqrt(variance if noise is None else variance + noise[i])
        z = (row - mixture.means) / sd
        sides = logsumexp(logs + log_ndtr(z), axis=0), logsumexp(logs + log_ndtr(-z), axis=0)
        out[i] = np.minimum(np.minimum(*sides) + np.log(2), 0.0)
    return out
