"""Starts: responsibilities or labels of rows from which a first model is made.

Random starts weigh rows by their weights. Rows that repeat, or carry unequal weights, are first
merged and sorted, so that a weight of two and a row given twice start alike from one seed. Rows
that do not repeat, at equal weights, start exactly as scikit-learn's do.

Rows with gaps or noise start from whole rows that ``ground`` puts in their place.

The deterministic start is PCA-Part (Su & Dy 2007): the cluster with the largest squared error is
split at its mean along its main axis, k − 1 times; Lloyd's iterations then settle the clusters.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus
from sklearn.utils import check_random_state

from mixtura.arrays.parallel import each_batch, single_threaded_blas
from mixtura.fit.first import model_from_start
from mixtura.fit.moving import BRIEF, LONG
from mixtura.fit.partition import partition
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["STARTS", "Start", "deterministic", "model_from_start", "nearest"]

#: Labels (n,), −1 where a row belongs to none, or responsibilities (n, k).
Start: TypeAlias = Any

#: Distinct rows, and rows × components, from which starts are our own fast ones.
MANY, MUCH = 20_000, 1_000_000
#: Rows per centre on which fast starts better their seeds, and how; at least so many rows in all.
KMEANS, SEEDS, LEAST = (40, LONG), (10, BRIEF), 10_000


def merged(rows: Rows) -> tuple[FloatArray, FloatArray | None, FloatArray | None]:
    """Distinct rows, their summed weights, and for each row its place among them.

    Weights are None where all are equal; places are None where no row was merged or dropped.
    """
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    key = _keys(rows.x)  # where cells are missing, NaN is equal to NaN
    ordered = np.sort(key)
    if (weight == weight[0]).all() and not (ordered[1:] == ordered[:-1]).any():
        return rows.points, None, None
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    total = np.bincount(inverse, weights=weight)
    present = total > 0
    values = rows.points[first]
    if bool((total[present] == total[present][0]).all()):
        order = np.argsort(first, kind="stable")  # equal weights: in order of appearance
    elif len(first) < MANY:
        order = np.lexsort(values.T[::-1])
    else:
        order = np.arange(len(first))  # by their keys, which is an order of values too
    order = order[present[order]]
    place = np.full(len(first), -1)
    place[order] = np.arange(len(order))
    equal = bool((total[order] == total[order][0]).all())
    return values[order], None if equal else total[order], place[inverse]


def _keys(x: FloatArray) -> FloatArray:
    """A number (n,) for each row, equal where rows are."""
    kind = np.uint64 if x.dtype == np.float64 else np.uint32
    out = np.zeros(len(x), dtype=np.uint64)

    def batch(start: int, stop: int) -> None:
        key = out[start:stop]
        for column in np.ascontiguousarray(x[start:stop].T + 0.0).view(kind):  # −0 becomes 0
            key ^= column
            key *= np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)

    each_batch(batch, len(x), 4096)
    return out


def _scattered(labels: FloatArray, place: FloatArray | None) -> FloatArray:
    """Labels of distinct rows, given back to all rows; −1 for rows without weight."""
    if place is None:
        return labels
    return np.where(place >= 0, labels[np.maximum(place, 0)], -1)


def kmeans(rows: Rows, k: int, random_state: Any) -> Start:
    """Labels of k-means: scikit-learn's, or ``partition`` where there is much."""
    x, weight, place = merged(rows)
    if len(x) < k:  # fewer distinct rows than components: the rest start empty-handed
        return kmeans_seeds(rows, k, random_state)
    if _much(x, k):
        return _scattered(_partition(x, weight, k, random_state, *KMEANS), place)
    model = KMeans(n_clusters=k, n_init=1, random_state=random_state)
    with single_threaded_blas():  # as it asks for itself, but from one thread of the process alone
        model.fit(x, sample_weight=weight)
    return _scattered(model.labels_, place)


def kmeans_seeds(rows: Rows, k: int, random_state: Any) -> Start:
    """One row per component, drawn by scikit-learn's k-means++.

    Where there is much: every row with the nearest of our own, bettered on a draw.
    """
    x, weight, place = merged(rows)
    if _much(x, k):
        return _scattered(_partition(x, weight, k, random_state, *SEEDS), place)
    count = min(k, len(x))
    _, chosen = kmeans_plusplus(x, count, sample_weight=weight, random_state=random_state)
    return _seeds(chosen, k, len(x), place, random_state)


def _much(x: FloatArray, k: int) -> bool:
    """Whether scikit-learn's starts would take long; distinct rows count, however weighted."""
    return len(x) >= MANY and len(x) * k >= MUCH


def _partition(
    x: FloatArray,
    weight: FloatArray | None,
    k: int,
    random_state: Any,
    each: int,
    shares: tuple[float, ...],
) -> FloatArray:
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    draw = max(each * k, LEAST)
    return partition(x, weight, k, np.random.default_rng(seed), draw=draw, shares=shares)


def random_rows(rows: Rows, k: int, random_state: Any) -> Start:
    """One row per component, drawn at random in proportion to the weights."""
    x, weight, place = merged(rows)
    rng = check_random_state(random_state)
    share = None if weight is None else weight / weight.sum()
    chosen = rng.choice(len(x), size=min(k, len(x)), replace=False, p=share)
    return _seeds(chosen, k, len(x), place, rng)


def _seeds(
    chosen: FloatArray, k: int, n: int, place: FloatArray | None, random_state: Any
) -> FloatArray:
    labels = np.full(n, -1)
    labels[chosen] = np.arange(len(chosen))
    labels = _scattered(labels, place)
    if len(chosen) < k:  # repeated rows serve the components that are left
        spare = np.flatnonzero(labels < 0)
        spare = spare if len(spare) >= k - len(chosen) else np.arange(len(labels))
        extra = np.concatenate([spare, np.flatnonzero(labels >= 0)])[: k - len(chosen)]
        labels[extra] = np.arange(len(chosen), len(chosen) + len(extra))
    return labels


def random_responsibilities(rows: Rows, k: int, random_state: Any) -> Start:
    """Uniform random responsibilities, the same for rows that repeat."""
    x, _, place = merged(rows)
    rng = check_random_state(random_state)
    resp = rng.uniform(size=(len(x), k)).astype(rows.x.dtype)
    resp = resp / resp.sum(axis=1, keepdims=True)
    return resp if place is None else resp[place]


def deterministic(rows: Rows, k: int, random_state: Any = None) -> Start:
    """PCA-Part and Lloyd's iterations on standardised columns: no random number is drawn."""
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    mean, scale = rows.mean(), np.sqrt(rows.variance())
    x = (rows.points - mean) / np.where(scale > 0, scale, 1.0)
    labels = np.where(weight > 0, 0, -1)
    errors = {0: _squared_error(x, weight, labels == 0)}
    for new in range(1, k):
        widest = max(errors, key=lambda j: (errors[j], -j))
        inside = np.flatnonzero(labels == widest)
        right = _right_side(x[inside], weight[inside])
        if not right.any() or right.all():
            break  # fewer distinct rows than components
        labels[inside[right]] = new
        for j in (widest, new):
            errors[j] = _squared_error(x, weight, labels == j)
    return _lloyd(x, weight, labels, max_iter=30)


def _squared_error(x: FloatArray, weight: FloatArray, inside: FloatArray) -> float:
    w = weight[inside]
    centred = x[inside] - np.average(x[inside], axis=0, weights=w)
    return float(w @ (centred**2).sum(axis=1))


def _right_side(x: FloatArray, weight: FloatArray) -> FloatArray:
    """Which rows lie beyond the mean along the main axis."""
    centred = x - np.average(x, axis=0, weights=weight)
    scatter = (weight[:, None] * centred).T @ centred
    axis = np.linalg.eigh(scatter)[1][:, -1]
    axis = axis * np.sign(axis[np.argmax(np.abs(axis))])
    along = centred @ axis
    return np.asarray(along > 1e-9 * np.abs(along).max(initial=0.0))


def _lloyd(x: FloatArray, weight: FloatArray, labels: FloatArray, max_iter: int) -> FloatArray:
    used = weight > 0
    k = int(labels.max()) + 1
    for _ in range(max_iter):
        centres = np.stack(
            [np.average(x[labels == j], axis=0, weights=weight[labels == j]) for j in range(k)]
        )
        new = np.where(used, nearest(x, centres), -1)
        if (new == labels).all() or len(np.unique(new[used])) < k:
            break
        labels = new
    return labels


def nearest(x: FloatArray, centres: FloatArray) -> FloatArray:
    """The nearest centre of each row, batch by batch."""
    out = np.empty(len(x), dtype=np.int64)
    half = 0.5 * (centres**2).sum(axis=1)
    for start in range(0, len(x), 8192):
        batch = x[start : start + 8192]
        out[start : start + 8192] = np.argmax(batch @ centres.T - half, axis=1)
    return out


STARTS: dict[str, Callable[[Rows, int, Any], Start]] = {
    "kmeans": kmeans,
    "k-means++": kmeans_seeds,
    "random": random_responsibilities,
    "random_from_data": random_rows,
    "deterministic": deterministic,
}
