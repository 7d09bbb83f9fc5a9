r"""Kullback–Leibler divergence and entropy: Monte Carlo between bounds that hold.

Neither has a closed form. With p = Σ wₐ fₐ, q = Σ v_b g_b and Hₐ the entropy of fₐ, the
cross-entropy of every component is bounded on both sides, by Jensen's inequality each time:

    E_fₐ log q ≥ log Σ_b v_b exp(−KL(fₐ‖g_b)) − Hₐ                                             (1)
    E_fₐ log q ≤ log Σ_b v_b ∫ fₐ g_b                                                          (2)
    E_fₐ log q ≤ 2 log Σ_b √v_b ∫ √(fₐ g_b) − Hₐ,    and ≤ −Hₐ                                 (3)

(1) and (2) are Durrieu, Thiran & Kelly (2012); (3) follows from log q = log fₐ + 2 log √(q/fₐ) and
√Σ ≤ Σ√. For the entropy, (1) and Σ wₐ (Hₐ − log Σ w_b ∫ √(fₐ f_b)) bound from above and below
(Kolchinsky & Tracey 2017), as does a Gaussian of the same covariance from above. A divergence is at
most Σ φ_ab (log φ_ab/ψ_ab + KL(fₐ‖g_b)) for any φ, ψ with Σ_b φ_ab = wₐ, Σₐ ψ_ab = v_b: the upper
bound of Hershey & Olsen (2007), improved by turns. (Their variational *approximation* is no bound,
and is not used.) For single Gaussians the answer is exact.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import length, logsumexp
from mixtura.arrays.namespace import is_numpy, namespace, to_numpy
from mixtura.errors import InputError
from mixtura.mixture.algebra import LOG_2PI
from mixtura.mixture.estimates import Estimate
from mixtura.mixture.pairs import (
    Sums,
    coincide,
    gaussian_kl,
    nothing,
    pair,
    same_space,
    sums,
    support,
)
from mixtura.typing import Array, Seed

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["entropy", "kl"]

#: Turns of the coupling bound.
TURNS = 50
#: Bounds are widened by this share of the terms that they are made of, for rounding.
ROUNDING = 1e-13


def kl(p: Mixture, q: Mixture, n_samples: int = 10_000, rng: Seed = None) -> Estimate:
    """KL(p‖q) = E_p log p/q in nats, by Monte Carlo between true bounds.

    Parameters
    ----------
    p, q : Mixture
        In the same columns.
    n_samples : int
        Rows drawn from p.
    rng : int or numpy.random.Generator, optional

    Returns
    -------
    Estimate
        ``estimate``, never outside the bounds; ``se``, its standard error; ``lower`` and
        ``upper``, which the true value obeys for certain. Exact for single Gaussians.

    Raises
    ------
    InputError
        For mixtures in different columns, or fewer than two samples.

    Examples
    --------
    >>> import mixtura as mx
    >>> p, q = mx.Mixture([1.0], [[0.0]], [1.0]), mx.Mixture([1.0], [[1.0]], [4.0])
    >>> round(mx.kl(p, q).estimate, 4)
    0.4431
    >>> two = mx.Mixture([0.5, 0.5], [[0.0], [3.0]], [1.0, 1.0])
    >>> answer = mx.kl(two, p, rng=0)
    >>> answer.lower < answer.estimate < answer.upper
    True
    """
    p, q = pair(p, q, "kl")
    n = _count(n_samples)
    if coincide(p, q):
        zero = nothing(p)
        return Estimate(zero, zero, zero, zero)
    p, q = support(p), support(q)
    if p.k == q.k == 1:
        exact = gaussian_kl(p, q)[0, 0]
        answer = _known(exact, _scale(p, q))
        return answer._replace(lower=0.0) if answer.lower < 0 else answer
    x = p.sample(n, rng)
    draws = p.log_density(x) - q.log_density(x)
    return _between(draws, *_kl_bounds(p, q), _scale(p, q))


def entropy(p: Mixture, n_samples: int = 10_000, rng: Seed = None) -> Estimate:
    """The differential entropy −E log p in nats, by Monte Carlo between true bounds.

    Parameters
    ----------
    p : Mixture
    n_samples : int
        Rows drawn from p.
    rng : int or numpy.random.Generator, optional

    Returns
    -------
    Estimate
        ``estimate``, never outside the bounds; ``se``, its standard error; ``lower`` and
        ``upper``, which the true value obeys for certain. Exact for single Gaussians.

    Examples
    --------
    >>> import mixtura as mx
    >>> round(mx.entropy(mx.Mixture([1.0], [[0.0]], [1.0])).estimate, 4)
    1.4189
    """
    same_space(p, p, "entropy")
    n = _count(n_samples)
    p = support(p)
    if p.k == 1:
        return _known(_entropies(p)[0], _scale(p, p))
    return _between(-p.log_density(p.sample(n, rng)), *_entropy_bounds(p), _scale(p, p))


# ---- bounds ----------------------------------------------------------------------------------
def _entropies(p: Mixture) -> Array:
    """Entropy of each component (k,)."""
    return 0.5 * (p.d * (LOG_2PI + 1.0) + p.covariance.logdet)


def _entropy_bounds(p: Mixture) -> tuple[Array, Array]:
    xp = namespace(p.means)
    own, log_w = _entropies(p), p.log_weights
    pairs = sums(p, p)
    halves = logsumexp(log_w[None, :] - pairs.bhattacharyya(p, p))
    overlaps = logsumexp(log_w[None, :] + pairs.log_overlap)
    lower = xp.maximum(p.weights @ (own - halves), -(p.weights @ overlaps))
    upper = p.weights @ (own - logsumexp(log_w[None, :] - gaussian_kl(p, p)))
    gaussian = 0.5 * (p.d * (LOG_2PI + 1.0) + xp.linalg.slogdet(p.cov)[1])
    return lower, xp.minimum(upper, gaussian)


def _kl_bounds(p: Mixture, q: Mixture) -> tuple[Array, Array]:
    xp = namespace(p.means, q.means)
    least, most = _entropy_bounds(p)
    divergences = gaussian_kl(p, q)
    own = _entropies(p)
    cross_low = p.weights @ (logsumexp(q.log_weights[None, :] - divergences) - own)  # (1)
    cross_high = p.weights @ _cross_upper(p, q, sums(p, q), own)
    lower = -most - cross_high
    upper = xp.minimum(-least - cross_low, _coupled(p, q, divergences))
    return xp.where(lower > 0, lower, xp.zeros_like(lower)), upper


def _cross_upper(p: Mixture, q: Mixture, pairs: Sums, own: Array) -> Array:
    """The least upper bound of E_fₐ log q (k,): (2) and (3)."""
    xp = namespace(own)
    jensen = logsumexp(q.log_weights[None, :] + pairs.log_overlap)
    halves = 2 * logsumexp(0.5 * q.log_weights[None, :] - pairs.bhattacharyya(p, q)) - own
    return xp.minimum(jensen, xp.minimum(halves, -own))


def _coupled(p: Mixture, q: Mixture, divergences: Array) -> Array:
    """Σ φ (log φ/ψ + KL) for couplings improved by turns; every turn's value is a bound."""
    xp = namespace(divergences)
    log_w, log_v = p.log_weights[:, None], q.log_weights[None, :]
    psi = log_w + log_v
    for _ in range(TURNS):
        phi = psi - divergences
        phi = log_w + phi - logsumexp(phi)[:, None]
        value = xp.sum(xp.exp(phi) * (phi - psi + divergences))
        psi = log_v + phi - logsumexp(phi, axis=0)[None, :]
    return value


# ---- answers ---------------------------------------------------------------------------------
def _count(n_samples: Any) -> int:
    try:
        n = operator.index(n_samples)
    except TypeError:
        raise InputError(f"expected a whole number n_samples, got {n_samples!r}") from None
    if n < 2:
        raise InputError(f"expected n_samples of at least 2, got {n}: one draw has no error")
    return n


def _scale(p: Mixture, q: Mixture) -> float:
    """A size of the terms that cancel in the bounds."""
    logdets = [float(np.abs(to_numpy(m.covariance.logdet)).max()) for m in (p, q)]
    return ROUNDING * (1.0 + p.d + sum(logdets))


def _between(draws: Array, lower: Array, upper: Array, slack: float) -> Estimate:
    """The mean of draws with its standard error, held between bounds widened for rounding."""
    xp = namespace(draws)
    n = int(draws.shape[0])
    mean = xp.mean(draws)
    se = length(draws - mean) / float(np.sqrt(n * (n - 1)))
    with np.errstate(invalid="ignore"):  # a bound beyond floats is none
        low = lower - slack - ROUNDING * xp.abs(lower)
        low = xp.where(lower == 0, lower, low)
        low = xp.where(xp.isnan(low), xp.full_like(low, -xp.inf), low)
        high = upper + slack + ROUNDING * xp.abs(upper)
        high = xp.where(xp.isnan(high), xp.full_like(high, xp.inf), high)
    parts = (xp.minimum(xp.maximum(mean, low), high), se, low, high)
    return Estimate(*(float(v) if is_numpy(v) else v for v in parts))


def _known(value: Array, slack: float) -> Estimate:
    """An exact value, its bounds widened for rounding."""
    xp = namespace(value)
    gap = slack + ROUNDING * xp.abs(value)
    parts = (value, xp.zeros_like(value), value - gap, value + gap)
    return Estimate(*(float(v) if is_numpy(v) else v for v in parts))
