"""k-means for many rows: seeds from all of them, passes over a draw, one last pass over all.

Centres are means, and a mean of forty rows is known to a sixth of the spread: more rows than
that per centre refine it less than they cost. EM does the rest. Seeds are drawn from all rows, so
that a small cluster far from the others has its centre, which only idle centres lose. From
``groups.MANY`` centres on, a row looks for its centre among those of the groups next to it.
"""

from __future__ import annotations

import numpy as np

from mixtura.fit.groups import MANY, Groups
from mixtura.fit.moving import LONG, moving
from mixtura.fit.nearest import Cloud, nearest_of
from mixtura.fit.seeding import seeds
from mixtura.typing import FloatArray

__all__ = ["partition"]


def partition(
    x: FloatArray,
    weight: FloatArray | None,
    k: int,
    rng: np.random.Generator,
    *,
    draw: int,
    shares: tuple[float, ...] = LONG,
) -> FloatArray:
    """Labels (n,) of rows, fewer than k of them only where fewer than k rows differ.

    Parameters
    ----------
    x : array (n, d)
        Finite rows.
    weight : array (n,), optional
        Positive.
    k : int
    rng : Generator
    draw : int
        Rows on which centres are bettered; 0 for the seeds as they are.
    shares : tuple of float
        See ``moving``.
    """
    cloud = Cloud(x, weight)
    centres = cloud.points(seeds(cloud, k, rng))
    dtype = cloud.precision(centres)
    if draw > 0:
        centres = moving(_drawn(cloud, draw, rng), centres, rng, shares=shares, dtype=dtype)
    labels = _labels(cloud.lifted(dtype), centres)
    empty = np.flatnonzero(np.bincount(labels, minlength=len(centres)) == 0)
    if len(empty):
        distance = cloud.squared(centres, labels)
        labels[np.argpartition(-distance, len(empty) - 1)[: len(empty)]] = empty
    return labels


def _labels(rows: FloatArray, centres: FloatArray) -> FloatArray:
    """The nearest centre (n,) of lifted rows; where centres are many, a near one."""
    if len(centres) < MANY:
        return nearest_of(rows, centres)
    return Groups.of(centres).nearest(len(rows), lambda places: rows[places])[0].astype(np.int64)


def _drawn(cloud: Cloud, size: int, rng: np.random.Generator) -> Cloud:
    """Some rows, drawn in proportion to their weights."""
    if size >= cloud.n:
        return cloud
    if cloud.weight is None:
        index = np.sort(rng.choice(cloud.n, size, replace=False))
        return cloud.take(index, None)
    total = np.cumsum(cloud.mass)
    places = np.searchsorted(total, rng.random(size) * total[-1], side="right")
    index, times = np.unique(np.minimum(places, cloud.n - 1), return_counts=True)
    return cloud.take(index, times.astype(np.float64))
