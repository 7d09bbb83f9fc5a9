"""The first model: one M-step from labels or responsibilities.

Moments are taken about each component's own mean, so that tight clusters far from the origin keep
their digits. From labels they are sums over groups: one product with the sparse matrix of the
labels where few numbers are kept per row, and one symmetric product per group where many are.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.covariance import Floor, Structure
from mixtura.covariance.observed import observed
from mixtura.errors import IllDefinedCovarianceError, NotPositiveDefiniteError
from mixtura.fit.model import GaussianModel, gather
from mixtura.fit.nearest import group_sums
from mixtura.sources import Rows
from mixtura.statistics import MomentKind, Statistics
from mixtura.statistics.kinds import Pooled
from mixtura.typing import FloatArray

__all__ = ["model_from_start"]

BATCH = 8192
#: Numbers kept per row up to which groups are summed by one sparse product.
FEW = 64


def model_from_start(
    rows: Rows, start: Any, k: int, structure: Structure, floor: Floor
) -> GaussianModel:
    """The first model, from labels (n,), −1 where a row has none, or responsibilities (n, k).

    Raises
    ------
    IllDefinedCovarianceError
        When a component has no spread and the floor does not give it one.
    """
    anchor = rows.mean().astype(rows.x.dtype).astype(np.float64)
    if rows.ground is None:
        means, mass = _start_means(rows, start, k, anchor)
    covariance = None
    for _ in range(structure.start_passes):
        kind = structure.kind(covariance, rows.d)
        if rows.ground is None:
            stats = _start_statistics(rows, start, means, kind, anchor)
        else:
            stats = _measured_statistics(rows, start, k, kind)
            means, mass = stats.means(), stats.mass
        try:
            covariance = structure.fit(stats, covariance, floor)
            covariance.logdet  # noqa: B018
        except NotPositiveDefiniteError:
            raise IllDefinedCovarianceError from None
    if covariance is None:
        raise AssertionError("a structure starts with at least one pass")
    mass = mass + 10 * np.finfo(np.float64).eps
    return GaussianModel(mass / mass.sum(), means, covariance, structure, floor, anchor)


def _measured_statistics(rows: Rows, start: Any, k: int, kind: Any) -> Statistics:
    """The same for measured rows, expected under the ground that starts stand on."""
    means, covariance = rows.ground.components(k)
    components = observed(means, covariance, rows.channel)
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    parts: Any = None
    for low in range(0, rows.n, 8192):
        batch = rows.batch(low, min(low + 8192, rows.n))
        cut = start[low : low + 8192]
        resp = (cut[:, None] == np.arange(k)).astype(np.float64) if cut.ndim == 1 else cut
        resp = resp * weight[low : low + 8192, None]
        part = components.statistics(batch.x, batch.channel, resp, kind)
        parts = part if parts is None else parts.absorb(part)
    return parts  # type: ignore[no-any-return]


def _start_means(
    rows: Rows, start: Any, k: int, anchor: FloatArray
) -> tuple[FloatArray, FloatArray]:
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    total, mass = np.zeros((k, rows.d)), np.zeros(k)
    for low in range(0, rows.n, max(BATCH, 4 * k)):
        cut = slice(low, low + max(BATCH, 4 * k))
        if start.ndim == 1:
            inside = _labelled(start, cut)
            r, labels = weight[inside], start[inside]
            mass += np.bincount(labels, weights=r, minlength=k)
            total += group_sums(rows.x[inside] - anchor, labels, r, k)
        else:
            r = start[cut] * weight[cut, None]
            mass += r.sum(axis=0)
            total += r.T @ (rows.x[cut] - anchor)
    return anchor + total / (mass + 10 * np.finfo(np.float64).eps)[:, None], mass


def _labelled(labels: FloatArray, cut: slice) -> Any:
    """Which rows of a batch have a label: the batch itself where all do."""
    has = labels[cut] >= 0
    return cut if has.all() else cut.start + np.flatnonzero(has)


def _start_statistics(
    rows: Rows, start: Any, means: FloatArray, kind: MomentKind, anchor: FloatArray
) -> Statistics:
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    if start.ndim == 1:
        by_groups = _sums if _summable(kind, rows.d) else _each
        return by_groups(rows.x, start, weight, means, kind)
    parts: Any = None
    for low in range(0, rows.n, BATCH):
        cut = slice(low, low + BATCH)
        x = rows.x[cut].astype(np.float64) - anchor
        part = gather(x, start[cut] * weight[cut, None], kind, anchor, means - anchor)
        parts = part if parts is None else parts.absorb(part)
    return parts  # type: ignore[no-any-return]


def _summable(kind: MomentKind, d: int) -> bool:
    """Whether the moments of a row are few numbers, the same for all components."""
    inner = kind.inner if isinstance(kind, Pooled) else kind
    return not inner.by_component and kind.size(d) <= FEW


def _sums(
    x: FloatArray, labels: FloatArray, weight: FloatArray, means: FloatArray, kind: MomentKind
) -> Statistics:
    """Statistics by groups, all groups of a batch of rows at once."""
    k, d = means.shape
    mass, first = np.zeros(k), np.zeros((k, d))
    groups = 1 if kind.pooled else k
    second = np.zeros((groups, kind.size(d)))
    size = max(BATCH, 4 * k)
    for low in range(0, len(x), size):
        inside = _labelled(labels, slice(low, low + size))
        own, r = labels[inside], weight[inside]
        diff = x[inside] - np.take(means, own, axis=0)
        mass += np.bincount(own, weights=r, minlength=k)
        first += group_sums(diff, own, r, k)
        second += group_sums(kind.phi(diff), own if groups == k else np.zeros_like(own), r, groups)
    return Statistics(mass, mass.copy(), first, second, means, kind)


def _each(
    x: FloatArray, labels: FloatArray, weight: FloatArray, means: FloatArray, kind: MomentKind
) -> Statistics:
    """Statistics by groups, group by group."""
    k, d = means.shape
    mass, first = np.zeros(k), np.zeros((k, d))
    second = np.zeros((1 if kind.pooled else k, kind.size(d)))
    order = np.argsort(labels, kind="stable")
    bounds = np.searchsorted(labels[order], np.arange(k + 1))
    for j in range(k):
        for low in range(bounds[j], bounds[j + 1], BATCH):
            inside = order[low : min(low + BATCH, bounds[j + 1])]
            r, diff = weight[inside], np.take(x, inside, axis=0) - means[j]
            mass[j] += r.sum()
            first[j] += r @ diff
            second[0 if kind.pooled else j] += kind.gather_one(r, diff, j)
    return Statistics(mass, mass.copy(), first, second, means, kind)
