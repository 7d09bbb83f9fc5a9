r"""Coresets by sensitivity: few weighted rows on which every mixture scores about as on all.

Row x with weight w in cluster c of a rough k-means is drawn with probability

q(x) ∝ w ( α D²(x) / φ̄ + 2 α φ̄_c / φ̄ + 4 W / W_c ),

its own distance, the mean cost of its cluster, and its share of the cluster, φ̄ the mean cost of
all rows and α = 16 (log k + 2): a bound on how much of any mixture's cost one row can carry (Lucic,
Faulkner, Krause & Feldman 2018, algorithm 2). A row drawn m q times on average gets the weight
w / (m q), so that weighted sums over the coreset have the sums over all rows as their mean.
"""

from __future__ import annotations

import numpy as np

from mixtura.errors import InputError
from mixtura.fit.nearest import Cloud, nearest_of
from mixtura.fit.seeding import seeds
from mixtura.typing import FloatArray

__all__ = ["probabilities", "sensitivity"]


def sensitivity(
    x: FloatArray,
    weight: FloatArray | None,
    size: int,
    k: int,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """Draw a coreset.

    Parameters
    ----------
    x : array (n, d)
        Finite rows.
    weight : array (n,), optional
        Positive.
    size : int
        Rows drawn, with replacement.
    k : int
        Clusters of the rough k-means.
    rng : Generator

    Returns
    -------
    index : array (m,) of int
        Rows in order, each once, m ≤ size.
    weight : array (m,)
        Their weights.
    """
    cloud = Cloud(x, weight)
    q = probabilities(cloud, k, rng)
    cumulative = np.cumsum(q)
    places = np.searchsorted(cumulative, rng.random(size) * cumulative[-1], side="right")
    index, times = np.unique(np.minimum(places, cloud.n - 1), return_counts=True)
    return index, cloud.mass[index] * times / (size * q[index])


def probabilities(cloud: Cloud, k: int, rng: np.random.Generator) -> FloatArray:
    """q (n,), which sums to one."""
    centres = cloud.points(seeds(cloud, k, rng))
    labels = nearest_of(cloud.lifted(cloud.precision(centres)), centres)
    distance = cloud.squared(centres, labels)
    mass = np.bincount(labels, weights=cloud.mass, minlength=len(centres))
    cost = np.bincount(labels, weights=cloud.mass * distance, minlength=len(centres))
    total, overall = float(cloud.mass.sum()), float(cost.sum())
    bound = 4 * total / mass[labels]
    if overall > 0:
        alpha, mean = 16 * (np.log(k) + 2), overall / total
        bound += alpha / mean * (distance + 2 * (cost / np.maximum(mass, 1e-300))[labels])
    q = cloud.mass * bound
    if not (np.isfinite(q).all() and q.sum() > 0):
        raise InputError(
            "expected rows whose squared distances can be summed, got some too far apart; leave "
            "them out, or use subsample=('random', n)"
        )
    return np.asarray(q / q.sum())
