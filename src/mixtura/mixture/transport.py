r"""Optimal transport that stays within Gaussian mixtures (Delon & Desolneux 2020).

    MW₂²(p, q) = min over γ ∈ Γ(w, v) of Σ γ_ab W₂²(f_a, g_b),
    W₂²(f, g) = ‖m − m'‖² + b²(Σ, Σ'),

Wasserstein's distance with transport plans that are Gaussian mixtures themselves. It is a distance
between mixtures, at least W₂ and at most W₂ + √(2 Σ w tr Σ) + √(2 Σ v tr Σ'); its geodesics and
barycentres are mixtures: each pair (tuple) of coupled components contributes its Gaussian one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import log
from mixtura.arrays.namespace import as_float, detached, is_numpy, namespace, to_numpy
from mixtura.covariance.bures import interpolate
from mixtura.errors import InputError
from mixtura.mixture.algebra import _make
from mixtura.mixture.coupling import masses, optimal_coupling
from mixtura.mixture.distance import square_root
from mixtura.mixture.pairs import coincide, nothing, pair, squared_wasserstein

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["geodesic", "wasserstein"]


def wasserstein(p: Mixture, q: Mixture) -> Any:
    """The mixture-Wasserstein distance MW₂ of Delon & Desolneux (2020), computed exactly.

    Parameters
    ----------
    p, q : Mixture
        In the same columns.

    Returns
    -------
    float
        In the units of the columns; never below the 2-Wasserstein distance.

    Raises
    ------
    InputError
        For mixtures in different columns.

    Examples
    --------
    >>> import mixtura as mx
    >>> p = mx.Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0])
    >>> q = mx.Mixture([0.5, 0.5], [[10.0], [3.0]], [1.0, 1.0])
    >>> round(mx.wasserstein(p, q), 4)
    2.1213
    """
    p, q = pair(p, q, "wasserstein")
    if coincide(p, q):
        return nothing(p)
    cost = squared_wasserstein(p, q)
    constant = to_numpy(cost)
    numpy = is_numpy(cost)
    plan, potentials = optimal_coupling(
        constant, (to_numpy(p.weights), to_numpy(q.weights)), potentials=not numpy
    )
    xp = namespace(cost)
    total = xp.sum(as_float(plan, like=cost) * cost)
    if potentials is not None and not numpy:  # nothing to the value, the dual to the gradient
        for weights, slope in zip((p.weights, q.weights), potentials, strict=True):
            total = total + xp.sum(as_float(slope, like=cost) * (weights - detached(weights)))
    value = square_root(total)
    return float(value) if numpy else value


def geodesic(p: Mixture, q: Mixture, t: float) -> Mixture:
    """The mixture a share t of the way from p to q, at constant speed in MW₂.

    Parameters
    ----------
    p, q : Mixture
        In the same columns.
    t : float
        Between 0 (p itself) and 1 (q itself).

    Returns
    -------
    Mixture
        With at most k + k' − 1 components.

    Raises
    ------
    InputError
        For mixtures in different columns, or t outside [0, 1].

    Examples
    --------
    >>> import mixtura as mx
    >>> p, q = mx.Mixture([1.0], [[0.0]], [1.0]), mx.Mixture([1.0], [[4.0]], [9.0])
    >>> middle = mx.geodesic(p, q, 0.5)
    >>> middle.mean, middle.cov
    (array([2.]), array([[4.]]))
    """
    p, q = pair(p, q, "geodesic")
    try:
        share = float(t)
    except (TypeError, ValueError):
        raise InputError(f"expected a number t between 0 and 1, got {t!r}") from None
    if not 0 <= share <= 1:
        raise InputError(
            f"expected t between 0 and 1, got {share:g}: a geodesic runs from one mixture to the "
            "other and ends there"
        )
    if share in (0, 1):
        return q if share else p
    cost = to_numpy(squared_wasserstein(p, q))
    plan, _ = optimal_coupling(cost, (to_numpy(p.weights), to_numpy(q.weights)))
    left, right = (index.tolist() for index in np.nonzero(plan))
    means = (1 - share) * p.means[left] + share * q.means[right]
    covariance = interpolate(p.covariance.take(left), q.covariance.take(right), share)
    mass = masses(plan, (p.weights, q.weights))
    return _make(log(mass), means, covariance, p.columns or q.columns)
