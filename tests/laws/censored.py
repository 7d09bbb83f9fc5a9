"""Laws of rows with censored cells, held against quadrature over what the cells may have been."""

from __future__ import annotations

from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.testing import assert_allclose
from scipy.stats import multivariate_normal

from mixtura import Mixture
from mixtura.channels import measured
from mixtura.fit.model import gather

NODES, MASSES = np.polynomial.legendre.leggauss(160)


class Table(NamedTuple):
    """Rows y (n, d), variances of their noise (n, d), and limits (n, d)."""

    y: Any
    noise: Any
    lower: Any
    upper: Any

    @property
    def arrival(self) -> Any:
        arrival = measured(self.y, self.noise, censored=(self.lower, self.upper))
        assert arrival is not None
        return arrival

    def cells(self, i: int) -> list[tuple[int, float, float]]:
        """Censored cells of a row, with their intervals."""
        below, above = self.y[i] <= self.lower[i], self.y[i] >= self.upper[i]
        low = np.where(above, self.upper[i], -np.inf)
        high = np.where(below, self.lower[i], np.inf)
        return [(j, low[j], high[j]) for j in np.flatnonzero(below | above)]


def posterior(mean: Any, sigma: Any, table: Table, i: int) -> tuple[float, Any, Any]:
    """Density of row i under one Gaussian, E[x | row] (d,) and E[x xᵀ | row] (d, d)."""
    d = len(mean)
    cells = table.cells(i)
    total = sigma + np.diag(table.noise[i])
    axes = []
    for j, low, high in cells:
        width = 11 * np.sqrt(total[j, j])
        start = max(low, min(mean[j] - width, high - width))
        stop = min(high, max(mean[j] + width, low + width))
        half = 0.5 * (stop - start)
        axes.append(
            [(start + half * (1 + z), half * m) for z, m in zip(NODES, MASSES, strict=True)]
        )
    points, weights = [], []
    for combination in product(*axes):
        row = table.y[i].copy()
        for (j, _, _), (value, _) in zip(cells, combination, strict=True):
            row[j] = value
        points.append(row)
        weights.append(np.prod([m for _, m in combination]))
    points, weights = np.array(points), np.array(weights)
    seen = ~np.isnan(table.y[i])
    if not seen.any():
        return 1.0, mean, sigma + np.outer(mean, mean)
    t = total[np.ix_(seen, seen)]
    weights = weights * np.atleast_1d(multivariate_normal(mean[seen], t).pdf(points[:, seen]))
    gain = np.linalg.solve(t, sigma[seen]).T
    centres = mean + (points[:, seen] - mean[seen]) @ gain.T
    share = weights / weights.sum()
    first = share @ centres
    second = (share[:, None] * centres).T @ centres + sigma - gain @ sigma[seen]
    assert first.shape == (d,)
    return float(weights.sum()), first, second


def densities(components: Any, mix: Mixture, table: Table) -> None:
    """``log_density`` is the log of the density of what was seen times the rest's probability."""
    arrival, dense = table.arrival, mix.covariance.dense()
    got = arrival.returned(components.log_density(arrival.sorted(table.y), arrival.channel))
    for i in range(len(table.y)):
        for j in range(mix.k):
            expected = np.log(posterior(mix.means[j], dense[j], table, i)[0])
            assert_allclose(got[i, j], expected, rtol=1e-7, atol=1e-7)


def moments(components: Any, mix: Mixture, table: Table, kind: Any, rng: Any) -> None:
    """``statistics`` are Σ r of E[x] and E[x xᵀ] given what is known of the rows."""
    arrival, dense = table.arrival, mix.covariance.dense()
    n, d, k = len(table.y), mix.d, mix.k
    resp = rng.dirichlet(np.ones(k), n)
    got = components.statistics(
        arrival.sorted(table.y), arrival.channel, arrival.sorted(resp), kind
    )
    parts = None
    for j in range(k):
        for i in range(n):
            _, first, second = posterior(mix.means[j], dense[j], table, i)
            values, vectors = np.linalg.eigh(second - np.outer(first, first))
            root = vectors * np.sqrt(d * np.maximum(values, 0))
            points = np.concatenate([first + root.T, first - root.T])
            alone = np.zeros((2 * d, k))
            alone[:, j] = resp[i, j] / (2 * d)
            part = gather(points - mix.mean, alone, kind, mix.mean)
            parts = part if parts is None else parts + part
    got = got.about(parts.anchor)
    for name in ("mass", "first", "second"):
        expected = getattr(parts, name)
        size = np.abs(expected).max()
        assert_allclose(getattr(got, name), expected, rtol=1e-6, atol=1e-7 * size, err_msg=name)
