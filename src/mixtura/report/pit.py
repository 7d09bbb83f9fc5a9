r"""Probability integral transform: F(x) is uniform on [0, 1] where x was drawn from F.

Each column goes through the distribution function of its marginal. The row as a whole goes through
the law of its own log-density, u = P_{y~p}(log p(y) < log p(x)), estimated by the rank of log p(x)
among draws of the model, ten times as many as rows, so that their noise is small beside that of
the rows. A value v that many rows share, as where numbers are rounded, would make a step that no
density has: there u is drawn evenly between F(a) and F(b), where (a, b) reaches half way from v to
the values next to it. How far values are from uniform is Kolmogorov's distance, sup |F̂(u) − u|.

A missing cell has no transform. A noisy one goes through the law of what is measured, whose
components have the variances σ² + s, and a row with gaps or noise through its ``tail``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mixtura.report.observations import Observations
from mixtura.report.tail import MOST, draws, tail

__all__ = ["chance", "departure", "draws", "effective", "intervals", "rows_for", "transform"]

#: Draws made at a time, in numbers.
NUMBERS = 4_000_000

#: Share of rows with one value above which a column has ties, and rows with it at least.
HEAVY, SEVERAL = 0.02, 3

Floats = NDArray[np.float64]


def rows_for(mixture: Any, sets: int = 1) -> int:
    """The rows to transform where there are so many independent sets of draws."""
    return int(min(MOST // 10, sets * draws(mixture) // 10))


def intervals(x: NDArray[Any], columns: list[int]) -> Floats:
    """Between which ends each value is spread (m, 2, n); both are the value where it is not.

    Spread are values that occur more than once, in columns where one value is that of more than
    2% of the rows. Outermost values reach as far out as in. Missing cells stay NaN.
    """
    cells = np.stack([np.stack([np.asarray(x[:, j], np.float64)] * 2) for j in columns])
    for low, high in cells:
        here = ~np.isnan(low)
        values, place, count = np.unique(low[here], return_inverse=True, return_counts=True)
        if len(values) < 2 or count.max() < max(SEVERAL, HEAVY * len(place)):
            continue
        half = np.diff(values) / 2
        shared = count > 1
        low[here] = (values - shared * np.concatenate([half[:1], half]))[place]
        high[here] = (values + shared * np.concatenate([half, half[-1:]]))[place]
    return cells


def transform(
    mixture: Any,
    x: NDArray[Any] | Observations,
    columns: list[int],
    *,
    seed: int = 0,
    cells: Floats | None = None,
) -> Floats:
    """Values in [0, 1]: one per column asked for, and one for the whole row.

    Parameters
    ----------
    mixture : Mixture
    x : array (n, d) or Observations
    columns : list of int
        Columns whose marginals are looked at.
    seed : int
        Of the model's draws, and of values spread between ends.
    cells : array (m, 2, n), optional
        Those ends, found by ``intervals`` in the whole table; by default in these rows.

    Returns
    -------
    array (n, m + 1), or (n, 1) where the row is one column
        NaN at missing cells.
    """
    rows = x if isinstance(x, Observations) else Observations(x)
    cells = intervals(rows.x, columns) if cells is None else cells
    spread, each = np.random.default_rng([seed, 1]), []
    for j, (low, high) in zip(columns, cells, strict=True):
        law, noise = mixture.marginal([j]), rows.noise_of(j)
        below, above = _cdf(law, low, noise), _cdf(law, high, noise)
        each.append(below + spread.uniform(size=len(low)) * (above - below))
    if mixture.d > 1 and rows.measured:
        each.append(tail(mixture, rows, seed=seed).share)
    elif mixture.d > 1:
        n_draws, rng = draws(mixture), np.random.default_rng(seed)
        drawn = np.empty(n_draws)
        size = max(1, NUMBERS // mixture.d)
        for start in range(0, n_draws, size):
            part = drawn[start : start + size]
            part[:] = mixture.log_density(mixture.sample(len(part), rng=rng))
        rank = np.searchsorted(np.sort(drawn), np.asarray(mixture.log_density(rows.x)))
        each.append((rank + 0.5) / (n_draws + 1))
    return np.asarray(np.clip(np.stack(each, axis=1), 0.0, 1.0))


def _cdf(law: Any, values: Floats, noise: Floats | None) -> Floats:
    """F of one column (n,), with each row's noise; NaN where the value is missing."""
    out = np.full(len(values), np.nan)
    here = ~np.isnan(values)
    if noise is None:
        if here.any():
            out[here] = law.cdf(values[here])
        return out
    means, variance = np.asarray(law.means)[:, 0], np.asarray(law.covariance.diagonal())[:, 0]
    size = max(1, NUMBERS // law.k)
    for start in range(0, len(values), size):
        part = slice(start, start + size)
        spread = np.sqrt(variance + noise[part, None])
        out[part] = ndtr((values[part, None] - means) / spread) @ np.asarray(law.weights)
    return out


def departure(values: Floats, weight: NDArray[Any] | None = None) -> Floats:
    """Kolmogorov's distance from uniform of each column of values (m,), NaN left out."""
    n, m = values.shape
    weights = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    out = np.zeros(m)
    for j in range(m):
        here = np.flatnonzero(~np.isnan(values[:, j]))
        if not weights[here].any():
            continue
        order = here[np.argsort(values[here, j], kind="stable")]
        share = weights[order] / weights[order].sum()
        u, below = values[order, j], np.cumsum(share)
        out[j] = max(float((below - u).max()), float((u - below + share).max()))
    return out


def effective(values: Floats, weight: NDArray[Any] | None = None) -> Floats:
    """Kish's (Σw)² / Σw² over the rows in which each column has a value (m,)."""
    weights = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=np.float64)
    each = np.where(np.isnan(values), 0.0, (weights / weights.max())[:, None])
    squares = (each**2).sum(axis=0)
    return np.asarray(each.sum(axis=0) ** 2 / np.where(squares > 0, squares, 1.0))


def chance(n: float, m: int, level: float = 0.05) -> float:
    """The distance that a right model exceeds in any of m columns with probability ≤ ``level``.

    The quantile of Kolmogorov's statistic for n values, with Bonferroni's share of the level.
    """
    from scipy.stats import kstwo

    return float(kstwo.ppf(1 - level / m, max(1, int(n + 1e-9))))
