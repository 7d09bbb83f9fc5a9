r"""Fewer components: greedy merging, refined by an EM whose data are components.

Merging components i and j of mass W with moments matched costs, in an upper bound of the divergence
from the original mixture (Runnalls 2007),

    B(i, j) = ½ [(Wᵢ + Wⱼ) log|Σᵢⱼ| − Wᵢ log|Σᵢ| − Wⱼ log|Σⱼ|].

The cheapest pair is merged until k are left. Summed, these costs are KL(p‖q) ≤ Σ wᵢ KL(fᵢ‖g_π(i)),
π(i) being the group of component i; so the bound falls further when every component moves to the
group that is nearest in KL and the groups' moments are matched again (Goldberger & Roweis 2005, the
limit of Vasconcelos & Lippman's EM of 1998). Neither step changes the mixture's mean or covariance.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixtura.arrays.linalg import symmetrise, transpose
from mixtura.arrays.namespace import namespace, to_numpy
from mixtura.covariance import FullCovariance, bures_mean, log_euclidean_mean
from mixtura.errors import InputError
from mixtura.mixture.algebra import _make
from mixtura.mixture.pairs import as_numpy, gaussian_kl, same_space
from mixtura.typing import Array, FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["MERGES", "Reduction", "reduction"]

#: How covariances of a group become one.
MERGES = {"moments": None, "bures": bures_mean, "log-euclidean": log_euclidean_mean}
#: Rounds of refinement, and what stands for a mass of zero in ratios.
ROUNDS, TINY = 100, 1e-300


class Reduction(NamedTuple):
    """A reduced mixture, and how it came about.

    Attributes
    ----------
    mixture : Mixture
    groups : array (k,) of int
        The reduced component that each original component went into.
    bound : float
        An upper bound of KL(original‖reduced), in nats, when moments are matched.
    """

    mixture: Mixture
    groups: FloatArray
    bound: float


def reduction(mix: Mixture, k: int, *, refine: bool = True, merge: str = "moments") -> Reduction:
    """Reduce to k components; see ``Mixture.reduce``.

    Examples
    --------
    >>> import mixtura as mx
    >>> from mixtura.mixture.reduce import reduction
    >>> mix = mx.Mixture([1, 1, 1], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0])
    >>> answer = reduction(mix, 2)
    >>> answer.groups
    array([0, 0, 1])
    >>> answer.mixture.means
    array([[0.5],
           [9. ]])
    """
    same_space(mix, mix, "reduce")
    size = _size(k, mix.k)
    if merge not in MERGES:
        raise InputError(f"expected merge among {', '.join(MERGES)}, got {merge!r}")
    if size == mix.k:
        return Reduction(mix, np.arange(mix.k), 0.0)
    groups = _greedy(mix, size)
    if refine:
        groups = _refined(mix, groups)
    bound = _bound(mix, _merged(mix, groups), groups)
    return Reduction(_merged(mix, groups, merge), groups, bound)


def _size(k: Any, most: int) -> int:
    try:
        size = operator.index(k)
    except TypeError:
        raise InputError(f"expected a whole number of components, got {k!r}") from None
    if not 1 <= size <= most:
        raise InputError(
            f"expected from 1 to {most} components to reduce to, the number that the mixture has, "
            f"got {size}; reducing only merges: refit for more"
        )
    return size


# ---- greedy --------------------------------------------------------------------------------------
def _greedy(mix: Mixture, k: int) -> FloatArray:
    """Groups (mix.k,) after merging the cheapest pair again and again."""
    mass, means, cov = (part.copy() for part in as_numpy(mix))
    means -= to_numpy(mix.mean)
    mass = np.maximum(mass, TINY)
    logdet = np.linalg.slogdet(cov)[1]
    cost = np.full((mix.k, mix.k), np.inf)
    for i in range(mix.k - 1):
        cost[i, i + 1 :] = _costs(mass, means, cov, logdet, i, np.arange(i + 1, mix.k))
    parent, alive = np.arange(mix.k), np.ones(mix.k, dtype=bool)
    for _ in range(mix.k - k):
        i, j = (int(v) for v in np.unravel_index(cost.argmin(), cost.shape))
        _, means[i], cov[i] = _pair(mass, means, cov, i, np.array([j]))
        mass[i] += mass[j]
        logdet[i] = np.linalg.slogdet(cov[i])[1]
        parent[parent == j] = i
        alive[j] = False
        cost[j, :] = cost[:, j] = np.inf
        others = np.flatnonzero(alive & (np.arange(mix.k) != i))
        new = _costs(mass, means, cov, logdet, i, others)
        cost[np.minimum(i, others), np.maximum(i, others)] = new
    return np.unique(parent, return_inverse=True)[1].ravel()


def _pair(
    mass: FloatArray, means: FloatArray, cov: FloatArray, i: int, others: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mass, mean and covariance of component i merged with each of others."""
    total = mass[i] + mass[others]
    a, b = mass[i] / total, mass[others] / total
    gap = means[others] - means[i]
    merged = a[:, None, None] * cov[i] + b[:, None, None] * cov[others]
    merged = merged + (a * b)[:, None, None] * gap[:, :, None] * gap[:, None, :]
    return total, means[i] + b[:, None] * gap, merged


def _costs(
    mass: FloatArray,
    means: FloatArray,
    cov: FloatArray,
    logdet: FloatArray,
    i: int,
    others: FloatArray,
) -> FloatArray:
    """B(i, j) for each j of others."""
    _, _, merged = _pair(mass, means, cov, i, others)
    joined = np.linalg.slogdet(merged)[1]
    return np.asarray(
        0.5 * (mass[i] * (joined - logdet[i]) + mass[others] * (joined - logdet[others]))
    )


# ---- refinement ----------------------------------------------------------------------------------
def _refined(mix: Mixture, groups: FloatArray) -> FloatArray:
    """Groups after moving components to the nearest group until the bound stands still."""
    size, weights = int(groups.max()) + 1, to_numpy(mix.weights)
    best, bound = groups, np.inf
    for _ in range(ROUNDS):
        q = _merged(mix, groups)
        divergences = to_numpy(gaussian_kl(mix, q))
        now = _cost(weights, divergences, groups)
        if not now < bound:
            break
        bound, best = now, groups
        groups = _filled(weights, divergences, divergences.argmin(axis=1), size)
    return best


def _filled(
    weights: FloatArray, divergences: FloatArray, groups: FloatArray, size: int
) -> FloatArray:
    """Groups of which none is empty: the worst placed components open the empty ones."""
    groups = groups.copy()
    for empty in np.setdiff1d(np.arange(size), groups):
        crowded = np.bincount(groups, minlength=size)[groups] > 1
        cost = weights * divergences[np.arange(len(groups)), groups]
        groups[int(np.where(crowded, cost, -1.0).argmax())] = empty
    return groups


def _cost(weights: FloatArray, divergences: FloatArray, groups: FloatArray) -> float:
    return float(weights @ divergences[np.arange(len(groups)), groups])


def _bound(mix: Mixture, q: Mixture, groups: FloatArray) -> float:
    """Σ wᵢ KL(fᵢ‖g_π(i))."""
    return _cost(to_numpy(mix.weights), to_numpy(gaussian_kl(mix, q)), groups)


# ---- merging -------------------------------------------------------------------------------------
def _merged(mix: Mixture, groups: FloatArray, merge: str = "moments") -> Mixture:
    """One component per group, with the group's mass and mean; see ``MERGES`` for covariances."""
    xp = namespace(mix.means)
    cov = mix.covariance.dense()
    masses, means, parts = [], [], []
    for j in range(int(groups.max()) + 1):
        members = np.flatnonzero(groups == j).tolist()
        mass = mix.weights[members]
        total = xp.sum(mass)
        share = mass / total if total > 0 else xp.ones_like(mass) / len(members)
        # About the first member's mean, so that a group far from the origin keeps its digits.
        gap = mix.means[members] - mix.means[members[0]]
        shift = share @ gap
        masses.append(total)
        means.append(mix.means[members[0]] + shift)
        parts.append(_averaged(cov[members], share, gap - shift, merge))
    log_mass = xp.log(xp.where(xp.stack(masses) > 0, xp.stack(masses), TINY))
    return _make(log_mass, xp.stack(means), FullCovariance(xp.stack(parts)), mix.columns)


def _averaged(cov: Array, share: Array, gap: Array, merge: str) -> Array:
    average = MERGES[merge]
    if len(cov) == 1:
        return cov[0]
    if average is not None:
        return average(cov, share)
    within = namespace(cov).sum(share[:, None, None] * cov, axis=0)
    return symmetrise(within + transpose(gap) @ (share[:, None] * gap))
