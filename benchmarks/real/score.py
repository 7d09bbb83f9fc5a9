"""The judge: Σᵢ wᵢ log Σₖ πₖ N(yᵢ; μₖ, Σₖ + Sᵢ) over the cells that were seen.

Every library's final parameters are scored here, in float64 and in plain NumPy, and by nothing that
the libraries compute themselves.
"""

from __future__ import annotations

import numpy as np
from scipy.special import logsumexp

from benchmarks.real.cases import Floats, Table

__all__ = ["log_likelihood"]

CHUNK = 20_000


def log_likelihood(table: Table, weights: Floats, means: Floats, covariances: Floats) -> float:
    """Total log-likelihood of a table, in nats.

    Parameters
    ----------
    table : Table
    weights, means, covariances : arrays (k,), (k, d), (k, d, d)
    """
    total = 0.0
    for low in range(0, len(table.x), CHUNK):
        part = slice(low, low + CHUNK)
        noise = None if table.noise is None else table.noise[part]
        log_density = rows(table.x[part], noise, weights, means, covariances)
        mass = 1.0 if table.weights is None else table.weights[part]
        total += float(np.sum(mass * log_density))
    return total


def rows(
    x: Floats, noise: Floats | None, weights: Floats, means: Floats, covariances: Floats
) -> Floats:
    """Log-density of each row; rows with the same gaps are taken together."""
    out = np.empty(len(x))
    seen = ~np.isnan(x)
    patterns, which = np.unique(seen, axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        mine, at = np.flatnonzero(which.ravel() == number), np.flatnonzero(pattern)
        y = x[np.ix_(mine, at)]
        joint = np.empty((len(mine), len(weights)))
        for j, (weight, mean, covariance) in enumerate(
            zip(weights, means, covariances, strict=True)
        ):
            spread = covariance[np.ix_(at, at)]
            if noise is not None:
                spread = spread + noise[np.ix_(mine, at, at)]
            away = y - mean[at]
            sign, logdet = np.linalg.slogdet(spread)
            if not np.all(sign > 0):
                raise ValueError(f"expected positive definite covariances, got component {j}")
            solved = np.linalg.solve(spread, away.T if noise is None else away[..., None])
            solved = solved.T if noise is None else solved[..., 0]
            square = np.einsum("ij,ij->i", away, solved)
            joint[:, j] = np.log(weight) - 0.5 * (square + logdet + len(at) * np.log(2 * np.pi))
        out[mine] = logsumexp(joint, axis=1)
    return out
