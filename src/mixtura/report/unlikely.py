"""The least likely rows, and in which columns they are unusual.

A column j is the more unusual, the smaller the two-sided tail 2 min(F_j(x), 1 − F_j(x)) of its
marginal F_j(x) = Σ wₖ Φ((x − μₖⱼ) / σₖⱼ); logarithms keep far tails apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, logsumexp

from mixtura.report.reading import Reading

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
    """

    row: int
    log_density: float
    component: int
    cells: tuple[tuple[int, float, float], ...]


def unlikely(mixture: Any, rows: Any, reading: Reading) -> list[Unlikely]:
    """The rows of lowest log-density; those of no weight do not count."""
    live = np.flatnonzero(reading.weight > 0)
    order = live[np.argsort(reading.log_density[live], kind="stable")[:MOST]]
    x = np.asarray(rows.x[order], dtype=np.float64)
    tails = log_tails(mixture, x)
    found = []
    for i, row in enumerate(order):
        columns = np.argsort(tails[i], kind="stable")[:MOST_COLUMNS]
        cells = tuple((int(j), float(x[i, j]), float(tails[i, j])) for j in columns)
        found.append(
            Unlikely(
                int(row) + 1, float(reading.log_density[row]), int(reading.component[row]), cells
            )
        )
    return found


def log_tails(mixture: Any, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Log of the two-sided marginal tail probability of every cell (n, d)."""
    sd = np.sqrt(np.asarray(mixture.covariance.diagonal()))
    logs = np.asarray(mixture.log_weights)[:, None]
    out = np.empty(x.shape)
    for i, row in enumerate(x):
        with np.errstate(over="ignore"):
            z = (row - mixture.means) / sd
        sides = logsumexp(logs + log_ndtr(z), axis=0), logsumexp(logs + log_ndtr(-z), axis=0)
        out[i] = np.minimum(np.minimum(*sides) + np.log(2), 0.0)
    return out
