"""Laws of measured rows, held against dense conditional moments, row by row and component by
component: nothing is shared between rows, and no structure is made use of."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mixtura import Mixture
from mixtura.channels import measured
from mixtura.fit import run
from mixtura.fit.engines import Dense
from mixtura.fit.ground import arrive
from mixtura.fit.model import GaussianModel, gather
from mixtura.sources import Rows


class Table(NamedTuple):
    """Rows y (n, p), what is known of their noise, and how they came from x."""

    y: Any
    noise: Any = None
    operators: Any = None

    def row(self, i: int, d: int) -> tuple[Any, Any, Any]:
        """Observed y, A and S of one row, dense."""
        n, p = self.y.shape
        a = np.eye(d) if self.operators is None else np.asarray(self.operators)
        a = a[i] if a.ndim == 3 else a
        s = np.zeros(p) if self.noise is None else np.asarray(self.noise, dtype=float)
        s = np.full(p, s) if s.ndim == 0 else s
        s = s[i] if s.ndim == 3 or s.shape == (n, p) else s
        s = np.diag(s) if s.ndim == 1 else s
        seen = ~np.isnan(self.y[i]) & np.isfinite(np.diag(s))
        return self.y[i, seen], a[seen], s[np.ix_(seen, seen)]

    def rows(self) -> Rows:
        """The same as a fit takes it, in the order in which its channel wants it."""
        arrival = measured(self.y, self.noise, self.operators)
        assert arrival is not None
        return Rows(
            arrival.sorted(self.y),
            channel=arrival.channel,
            order=np.arange(len(self.y)) if arrival.order is None else arrival.order,
        )


def log_joint(mix: Mixture, table: Table) -> Any:
    """Log wₖ + log N(y; A μₖ, A Σₖ Aᵀ + S) by SciPy: (n, k)."""
    dense = mix.covariance.dense()
    out = np.repeat(np.log(mix.weights)[None], len(table.y), axis=0)
    for i in range(len(table.y)):
        y, a, s = table.row(i, mix.d)
        for j in range(mix.k) if len(y) else ():
            law = multivariate_normal(a @ mix.means[j], a @ dense[j] @ a.T + s)
            out[i, j] += law.logpdf(y)
    return out


def posterior(mix: Mixture, table: Table) -> tuple[Any, Any]:
    """E[x | y] (n, k, d) and Cov[x | y] (n, k, d, d)."""
    dense, n = mix.covariance.dense(), len(table.y)
    means, covariances = np.empty((n, mix.k, mix.d)), np.empty((n, mix.k, mix.d, mix.d))
    for i in range(n):
        y, a, s = table.row(i, mix.d)
        for j in range(mix.k):
            gain = np.linalg.solve(a @ dense[j] @ a.T + s, a @ dense[j]).T
            means[i, j] = mix.means[j] + gain @ (y - a @ mix.means[j])
            rest = np.eye(mix.d) - gain @ a
            covariances[i, j] = rest @ dense[j] @ rest.T + gain @ s @ gain.T
    return means, covariances


# ---- laws ----------------------------------------------------------------------------------------
def densities(components: Any, mix: Mixture, table: Table, rtol: float = 1e-9) -> None:
    """``components.log_density`` is the law of what was observed of each row."""
    rows = table.rows()
    got = components.log_density(rows.x, rows.channel) + np.log(mix.weights)
    expected = log_joint(mix, table)[rows.order]
    assert_allclose(got, expected, rtol=rtol, atol=rtol * 10)


def moments(components: Any, mix: Mixture, table: Table, kind: Any, rng: Any) -> None:
    """``components.statistics`` are Σ r of E[x] and E[x xᵀ], for responsibilities at random.

    A posterior with mean x̂ and covariance C has the moments of the 2 d points x̂ ± √d · (columns
    of a root of C); the statistics of those points are taken as those of whole rows are.
    """
    rows, (n, d, k) = table.rows(), (len(table.y), mix.d, mix.k)
    resp = rng.dirichlet(np.ones(k), n) * rng.uniform(0.5, 2.0, n)[:, None]
    got = components.statistics(rows.x, rows.channel, resp[rows.order], kind)
    means, covariances = posterior(mix, table)
    values, vectors = np.linalg.eigh(covariances)
    roots = np.swapaxes(vectors * np.sqrt(d * np.maximum(values, 0))[..., None, :], -1, -2)
    points = np.concatenate([means[:, :, None] + roots, means[:, :, None] - roots], axis=2)
    anchor = mix.mean
    flat = points.transpose(1, 0, 2, 3).reshape(k, -1, d) - anchor
    share = np.repeat(resp, 2 * d, axis=0) / (2 * d)
    parts = None
    for j in range(k):  # each component's points are its own
        alone = np.zeros_like(share)
        alone[:, j] = share[:, j]
        part = gather(flat[j], alone, kind, anchor)
        parts = part if parts is None else parts + part
    got = got.about(parts.anchor)
    for name in ("mass", "weight", "first", "second"):
        expected = getattr(parts, name)
        size = np.abs(expected).max()
        assert_allclose(getattr(got, name), expected, rtol=1e-8, atol=1e-9 * size, err_msg=name)


def never_descends(model: GaussianModel, table: Table, weight: Any = None, steps: int = 20) -> None:
    """The trace rises, and begins with the log-likelihood of what was observed."""
    rows = arrive(table.y, weight, table.noise, table.operators)
    fit = run(model, rows, Dense(), max_iter=steps, tol=0.0)
    trace = np.array(fit.trace)
    assert (np.diff(trace) >= -1e-9 * np.abs(trace[:-1])).all(), np.diff(trace).min()
    each = logsumexp(log_joint(model.mixture(), table), axis=1)
    assert_allclose(trace[0], np.average(each, weights=weight), rtol=1e-8)


# ---- liars ---------------------------------------------------------------------------------------
class Liar:
    """Components seen through channels, broken on purpose."""

    def __init__(self, honest: Any) -> None:
        self.honest = honest

    def log_density(self, y: Any, channel: Any) -> Any:
        return self.honest.log_density(y, channel)

    def statistics(self, y: Any, channel: Any, resp: Any, kind: Any) -> Any:
        return self.honest.statistics(y, channel, resp, kind)


class ForgetsCovariance(Liar):
    """Takes E[x | y] for x: Cov[x | y] is left out."""

    def statistics(self, y: Any, channel: Any, resp: Any, kind: Any) -> Any:
        means, covariance = self.honest.means, self.honest.covariance
        parts = None
        for j in range(len(means)):
            one = type(self.honest)(means[[j]], covariance.take([j]))
            alone = np.zeros_like(resp)
            alone[:, j] = resp[:, j]
            part = gather(one.centres(y, channel) - means[0], alone, kind, means[0])
            parts = part if parts is None else parts + part
        return parts


class FillsColumnMeans(Liar):
    """Puts the column's mean where a cell is missing, and takes it for a measurement."""

    def _whole(self, y: Any) -> Any:
        return np.where(np.isnan(y), np.nanmean(y, axis=0), y)

    def log_density(self, y: Any, channel: Any) -> Any:
        means, covariance = self.honest.means, self.honest.covariance
        flat = Mixture(np.ones(len(means)), means, covariance)
        return log_joint(flat, Table(self._whole(y))) - np.log(flat.weights)

    def statistics(self, y: Any, channel: Any, resp: Any, kind: Any) -> Any:
        anchor = self.honest.means[0]
        return gather(self._whole(y) - anchor, resp, kind, anchor)
