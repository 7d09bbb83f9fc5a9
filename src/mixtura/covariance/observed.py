r"""Gaussian components held against rows that were measured through channels.

With T = A Σ Aᵀ + S, the law of a row y under component k and of its x given y are

    log N(y; A μ, T),    x̂ = μ + G (y − A μ),    C = Σ − G A Σ,    G = Σ Aᵀ T⁻¹,

and the E-step's moments about μ are Σ r (x̂ − μ) and Σ r ((x̂ − μ)(x̂ − μ)ᵀ + C): missing cells are
Ghahramani & Jordan (1994), noise is extreme deconvolution (Bovy, Hogg & Roweis 2011).
``Observed`` is the readable path, over each structure's own ``Law``; it is the one taken where
columns are many. ``Compiled`` gives the same by kernels over dense factors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mixtura.arrays.linalg import cholesky
from mixtura.channels import Grouped, Measured
from mixtura.covariance.base import Covariance
from mixtura.covariance.full import FullCovariance
from mixtura.errors import NotPositiveDefiniteError
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import FloatArray

__all__ = ["Compiled", "Observed", "observed"]

LOG_2PI = float(np.log(2 * np.pi))
#: Columns up to which dense factors and kernels are used, whatever the structure.
MAX_COLUMNS = 64


@dataclass(frozen=True, eq=False)
class Observed:
    """k components seen through channels; the readable path.

    Attributes
    ----------
    means : array (k, d)
    covariance : Covariance
    """

    means: FloatArray
    covariance: Covariance

    def log_density(self, y: FloatArray, channel: Measured) -> FloatArray:
        """Log N(y; A μ, A Σ Aᵀ + S) of rows (b, p) under each component: (b, k)."""
        out = np.zeros((len(y), len(self.means)))
        for run in channel.runs():
            if len(run.observed) == 0:
                continue  # nothing was seen: a density of 1
            law = self.covariance.observe(run.channel)
            v = self._residuals(y, channel, run)
            delta = np.asarray(law.delta(v)) + np.asarray(law.logdet)[:, None]
            out[run.start : run.stop] = -0.5 * (delta.T + law.n_observed * LOG_2PI)
        return out

    def statistics(
        self, y: FloatArray, channel: Measured, resp: FloatArray, kind: MomentKind
    ) -> Statistics:
        """Expected statistics of x under responsibilities (b, k), about the means."""
        k, d = self.means.shape
        first, second = np.zeros((k, d)), np.zeros((1 if kind.pooled else k, kind.size(d)))
        for run in channel.runs():
            r = resp[run.start : run.stop].astype(np.float64, copy=False)
            mass = r.sum(axis=0)
            if len(run.observed) == 0:
                second += kind.of_covariance(mass, self.covariance)
                continue
            law = self.covariance.observe(run.channel)
            shift = np.asarray(law.gain(self._residuals(y, channel, run)))  # x̂ − μ (k, d, b)
            for j in range(k):
                first[j] += shift[j] @ r[:, j]
                moment = kind.gather_one(r[:, j], np.ascontiguousarray(shift[j].T), j)
                second[0 if kind.pooled else j] += moment
            second += kind.of_covariance(mass, law.residual)
        mass = resp.sum(axis=0, dtype=np.float64)
        return Statistics(mass, mass.copy(), first, second, self.means, kind)

    def centres(self, y: FloatArray, channel: Measured) -> FloatArray:
        """E[x | y] of each row under the first component: (b, d)."""
        out = np.repeat(self.means[:1], len(y), axis=0)
        for run in channel.runs():
            if len(run.observed):
                law = self.covariance.observe(run.channel)
                shift = np.asarray(law.gain(self._residuals(y, channel, run)))
                out[run.start : run.stop] += shift[0].T
        return out

    def _residuals(self, y: FloatArray, channel: Measured, run: Any) -> FloatArray:
        """Observed y − A μ of a run: (k, o, rows)."""
        rows = y[run.start : run.stop, run.observed].astype(np.float64)
        return np.asarray(rows.T[None] - channel.images(self.means, run)[:, :, None])

    def row_floats(self, channel: Measured) -> int:
        """Floating point numbers of working memory per row."""
        return 4 * self.means.size


@dataclass(frozen=True, eq=False)
class Compiled(Observed):
    """The same by compiled kernels, which know dense factors alone."""

    @cached_property
    def factor(self) -> FloatArray:
        """Lower triangular F (k, d, d) with F Fᵀ = Σ."""
        return np.ascontiguousarray(cholesky(np.asarray(self.covariance.dense())))

    def log_density(self, y: FloatArray, channel: Measured) -> FloatArray:
        out, failed = channel.log_density(y, self.means, self.factor)
        _check(failed)
        return out

    def statistics(
        self, y: FloatArray, channel: Measured, resp: FloatArray, kind: MomentKind
    ) -> Statistics:
        weights = resp.astype(np.float64, copy=False)
        inner, outer, failed = channel.moments(y, weights, self.means, self.factor)
        _check(failed)
        first = np.matmul(self.factor, inner[:, :, None])[:, :, 0]
        outer = self.factor @ outer @ np.swapaxes(self.factor, 1, 2)
        moments = FullCovariance(0.5 * (outer + np.swapaxes(outer, 1, 2)))
        second = kind.of_covariance(np.ones(len(outer)), moments)
        mass = weights.sum(axis=0)
        return Statistics(mass, mass.copy(), first, second, self.means, kind)

    def centres(self, y: FloatArray, channel: Measured) -> FloatArray:
        out, failed = channel.centres(y, self.means[0], self.factor[0])
        _check(failed)
        return out

    def expectation(self, y: FloatArray, channel: Grouped, resp: FloatArray) -> FloatArray:
        """Σₖ rₖ E[x | y, k] in the missing cells of rows without noise: (b, d)."""
        out, failed = channel.expectation(y, resp, self.means, self.factor)
        _check(failed)
        return out

    def row_floats(self, channel: Measured) -> int:
        return channel.row_floats(len(self.means))


def observed(means: FloatArray, covariance: Covariance, channel: Measured) -> Observed:
    """Components held against measured rows, by the path that suits their size."""
    p = covariance.d if channel.operator is None else channel.operator.shape[-2]
    kind = Compiled if max(covariance.d, p) <= MAX_COLUMNS else Observed
    return kind(np.ascontiguousarray(means, dtype=np.float64), covariance)


def _check(failed: int) -> None:
    if failed >= 0:
        raise NotPositiveDefiniteError(
            "expected observations with a positive definite covariance A Σ Aᵀ + S, got a singular "
            f"one in component {failed}; give noise a positive variance, or drop rows of A that "
            "depend on others"
        )
