r"""The judge: log Σₖ wₖ N(x; μₖ, Σₖ) in plain float64, no library's own account.

Rows are taken in chunks, so that it can score all of them; the factor-analytic covariances of a
low-rank fit come to it dense, like all others.
"""

from __future__ import annotations

import numpy as np

from benchmarks.workloads import Floats

__all__ = ["judge"]

CHUNK = 10_000


def judge(rows: Floats, weights: Floats, means: Floats, covariances: Floats) -> float:
    """Mean log density of rows (n, d); covariances (k, d, d), or variances (k, d)."""
    from scipy.linalg import solve_triangular
    from scipy.special import logsumexp

    with np.errstate(divide="ignore"):
        log_weights = np.log(np.asarray(weights, dtype=np.float64))
    means = np.asarray(means, dtype=np.float64)
    diagonal = np.ndim(covariances) == 2
    joint = np.empty((len(rows), len(means)))
    for j, covariance in enumerate(covariances):
        spread = np.asarray(covariance, dtype=np.float64)
        factor = np.sqrt(spread) if diagonal else np.linalg.cholesky(spread)
        logdet = 2 * np.log(factor if diagonal else np.diagonal(factor)).sum()
        for low in range(0, len(rows), CHUNK):
            part = slice(low, low + CHUNK)
            difference = np.asarray(rows[part], dtype=np.float64) - means[j]
            if diagonal:
                z = difference.T / factor[:, None]
            else:
                z = solve_triangular(factor, difference.T, lower=True, check_finite=False)
            joint[part, j] = log_weights[j] - 0.5 * (np.einsum("ij,ij->j", z, z) + logdet)
    total = sum(logsumexp(joint[i : i + CHUNK], axis=1).sum() for i in range(0, len(rows), CHUNK))
    return float(total / len(rows) - 0.5 * means.shape[1] * np.log(2 * np.pi))
