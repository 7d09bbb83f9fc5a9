"""Recovery of components that collapse or empty during a fit, instead of an error or a NaN.

A component is lost when it keeps less than one and a half of the lightest row, or when it holds
hardly more rows than columns and its covariance lies on the floor. First it is sown again at the
row that the mixture explains worst, with the covariance of the heaviest component and an even
share of the weight. Lost again, it takes half of the most dispersed component. Lost a third time,
it is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from mixtura.arrays.linalg import logsumexp
from mixtura.covariance import (
    Clipped,
    Covariance,
    IsotropicCovariance,
    LowRankCovariance,
    TiedCovariance,
)
from mixtura.fit.model import GaussianModel
from mixtura.sources import Rows
from mixtura.statistics import Statistics
from mixtura.typing import FloatArray

__all__ = ["Recovery", "on_floor", "split_widest"]

ATTEMPTS = 2


@dataclass
class Recovery:
    """Watches one fit; holds what it did as sentences for the report."""

    notes: list[str] = field(default_factory=list)
    attempts: int = 0

    def __call__(self, model: Any, stats: Any, rows: Rows, n_iter: int) -> Any:
        """The model with lost components sown again or dropped; the same model if none is lost."""
        if not (isinstance(model, GaussianModel) and model.floor.recovers):
            return model
        lost = lost_components(model, stats, rows)
        if not lost.any():
            return model
        where = ", ".join(str(j) for j in np.flatnonzero(lost))
        if self.attempts >= ATTEMPTS and not lost.all():
            self.notes.append(
                f"iteration {n_iter}: dropped component {where}, which kept collapsing"
            )
            return model.take(np.flatnonzero(~lost))
        if self.attempts >= ATTEMPTS:
            return model
        self.attempts += 1
        if self.attempts == 1 or lost.all():
            self.notes.append(
                f"iteration {n_iter}: component {where} collapsed and was sown again where the "
                "data were explained worst"
            )
            return sow(model, rows, np.flatnonzero(lost))
        self.notes.append(
            f"iteration {n_iter}: component {where} collapsed again and took half of the most "
            "dispersed one"
        )
        kept = model.take(np.flatnonzero(~lost))
        for _ in range(int(lost.sum())):
            kept = split_widest(kept)
        return kept


def lost_components(model: GaussianModel, stats: Statistics, rows: Rows) -> FloatArray:
    """Which components are lost (k,) bool."""
    if model.k == 1:
        return np.zeros(1, dtype=bool)
    light = rows.lightest
    lost = stats.mass < 1.5 * light
    floor, tied = model.floor, isinstance(model.covariance, TiedCovariance)
    if isinstance(floor, Clipped) and rows.n > 2 * model.d and not tied:
        for j in np.flatnonzero(~lost & (stats.mass <= 2 * (model.d + 1) * light)):
            lost[j] = on_floor(model.covariance.take([j]), floor)
    return lost


def on_floor(covariance: Covariance, floor: Clipped) -> bool:
    """Whether one component's covariance shrank to the floor in some direction.

    A factor model may explain a column entirely (a Heywood case: its noise is on the floor, not
    its variance); it is on the floor when a column's variance is, or the noise of more columns
    than it has factors.
    """
    if isinstance(covariance, LowRankCovariance):
        least = floor.share * floor.scale**2
        flat = covariance.noise[0] <= 1.01 * least
        thin = covariance.diagonal()[0] <= 10 * least
        return bool(thin.any()) or int(flat.sum()) > covariance.rank
    if isinstance(covariance, IsotropicCovariance):
        return bool(covariance.variance[0] <= 1.01 * floor.common(np.zeros(1))[0])
    scaled = np.array(covariance.rescaled(1 / floor.scale).dense()[0])
    scaled[np.diag_indices_from(scaled)] -= 1.01 * floor.share
    try:
        np.linalg.cholesky(scaled)  # every eigenvalue is above: far cheaper than to find them
    except np.linalg.LinAlgError:
        return True
    return False


def sow(model: GaussianModel, rows: Rows, lost: FloatArray) -> GaussianModel:
    """Put components at the rows explained worst, far from each other."""
    rows = rows.held
    kept = np.setdiff1d(np.arange(model.k), lost)
    heaviest = int(kept[np.argmax(model.weights[kept])]) if len(kept) else 0
    origin = np.arange(model.k)
    origin[lost] = heaviest
    model = replace(model, covariance=model.covariance.take(list(origin)))
    weights, means, points = model.weights.copy(), model.means.copy(), rows.points
    rest = model.take(list(kept)) if len(kept) else model
    density = _log_density(rest, rows)
    if rows.weight is not None:
        density = np.where(rows.weight > 0, density, np.inf)
    for j in lost:
        worst = int(np.argmin(density))
        means[j] = points[worst]
        weights[j] = 1.0 / model.k
        near = ((points - points[worst]) / _scale(model)) ** 2
        density = np.where(near.sum(axis=1) < model.d, np.inf, density)
    return replace(model, weights=weights / weights.sum(), means=means)


def _log_density(model: GaussianModel, rows: Rows) -> FloatArray:
    """Log density of each row as it was measured (n,)."""
    if rows.channel is None:
        return np.asarray(model.mixture().log_density(rows.x))
    return np.concatenate([logsumexp(model.at(b).log_joint) for b in rows.batches(4096)])


def _scale(model: GaussianModel) -> FloatArray:
    return np.asarray(np.sqrt(model.covariance.diagonal().max(axis=0)))


def split_widest(model: GaussianModel) -> GaussianModel:
    """One component more: the most dispersed one is split along its widest column."""
    scale = np.sqrt(model.covariance.diagonal())
    typical = np.sqrt(model.weights @ scale**2)
    relative = scale / typical
    j = int(np.argmax(model.weights * (relative**2).sum(axis=1)))
    axis = int(np.argmax(relative[j]))
    step = np.zeros(model.d)
    step[axis] = 0.7 * scale[j, axis]
    weights = np.append(model.weights, model.weights[j] / 2)
    weights[j] /= 2
    means = np.vstack([model.means, model.means[j] + step])
    means[j] = means[j] - step
    covariance = model.covariance.take([*range(model.k), j])
    return replace(model, weights=weights, means=means, covariance=covariance)
