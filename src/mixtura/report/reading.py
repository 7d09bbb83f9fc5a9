"""What the model says of every row, in one pass: log p(x), the likeliest component, how surely.

With rₖ(x) = wₖ N(x; μₖ, Σₖ) / p(x), row i is assigned to a = argmax r(xᵢ). Under the model it
belongs to b with probability r_b(xᵢ), so that 1 − r_a(xᵢ) is the chance that the assignment is
wrong. Of a row with gaps or noise, p and r are those of what was observed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from mixtura.report.observations import NUMBERS, Observations

__all__ = ["Reading", "read_rows"]


@dataclass(frozen=True, eq=False)
class Reading:
    """The rows as the model sees them.

    Attributes
    ----------
    log_density : array (n,)
    component : array (n,) of int
        The most likely one.
    certainty : array (n,)
        Its responsibility.
    weight : array (n,)
        Row weights, normalised to sum to one.
    moved : array (k, k)
        Share of the rows that are assigned to a (down) and belong to b (across); sums to one.
    """

    log_density: NDArray[np.float64]
    component: NDArray[np.int64]
    certainty: NDArray[np.float64]
    weight: NDArray[np.float64]
    moved: NDArray[np.float64]

    @property
    def share(self) -> NDArray[np.float64]:
        """Share of the rows that belong to each component (k,): the mean responsibilities."""
        return np.asarray(self.moved.sum(axis=0))

    @property
    def mean_log_density(self) -> float:
        """Weighted mean of the log-densities, in nats per row."""
        return float(self.weight @ self.log_density)


def read_rows(mixture: Any, rows: Any) -> Reading:
    """Pass over the rows batch by batch.

    Parameters
    ----------
    mixture : Mixture
    rows : Rows
    """
    rows = Observations.of(rows)
    n, k = rows.n, mixture.k
    weight = np.ones(n) if rows.weight is None else np.asarray(rows.weight, dtype=np.float64)
    weight = weight / weight.max()
    weight = weight / weight.sum()
    density, certainty = np.empty(n), np.empty(n)
    component = np.empty(n, dtype=np.int64)
    moved = np.zeros((k, k))
    size = max(1, NUMBERS // k)
    for start in range(0, n, size):
        part = slice(start, start + size)
        joint = rows.log_joint(mixture, part)
        best = joint.argmax(axis=1)
        top = joint.max(axis=1, keepdims=True)
        resp = np.exp(joint - top)
        total = resp.sum(axis=1, keepdims=True)
        resp /= total
        density[part] = (top + np.log(total))[:, 0]
        component[part], certainty[part] = best, resp.max(axis=1)
        counts = csr_array((weight[part], (best, np.arange(len(best)))), shape=(k, len(best)))
        moved += counts @ resp
    return Reading(density, component, certainty, weight, moved)
