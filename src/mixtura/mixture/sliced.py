r"""The sliced Wasserstein distance: one-dimensional transport, averaged over directions.

    SW₂²(p, q) = E_θ W₂²(θᵀx, θᵀy),    W₂² = ∫₀¹ (F⁻¹(u) − G⁻¹(u))² du in one dimension

(Bonneel, Rabin, Peyré & Pfister 2015). Directions are drawn from the sphere, the only source of
randomness; along each, the projections are mixtures themselves, whose quantile functions are taken
as linear between nodes a fraction of a standard deviation apart, and integrated exactly.
"""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr

from mixtura.arrays.linalg import length
from mixtura.arrays.namespace import as_float, is_numpy, namespace
from mixtura.arrays.random import generator, standard_normal
from mixtura.errors import InputError
from mixtura.mixture.distance import square_root
from mixtura.mixture.estimates import MonteCarlo
from mixtura.mixture.pairs import coincide, nothing, pair, support
from mixtura.typing import Array, Seed

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["sliced_wasserstein"]

#: Nodes reach this many standard deviations from each mean; so many of them in all, about.
REACH, NODES = 7.0, 2048


def sliced_wasserstein(
    p: Mixture, q: Mixture, n_projections: int = 500, rng: Seed = None
) -> MonteCarlo:
    """The sliced 2-Wasserstein distance, by Monte Carlo over directions.

    Parameters
    ----------
    p, q : Mixture
        In the same columns.
    n_projections : int
        Directions drawn from the unit sphere; one is enough in one column, where what is left is
        the error of the quantiles' nodes, below a thousandth.
    rng : int or numpy.random.Generator, optional

    Returns
    -------
    MonteCarlo
        ``estimate``, in the units of the columns, and ``se``, its standard error.

    Raises
    ------
    InputError
        For mixtures in different columns, or fewer than two directions.

    Examples
    --------
    >>> import mixtura as mx
    >>> p, q = mx.Mixture([1.0], [[0.0]], [1.0]), mx.Mixture([1.0], [[3.0]], [1.0])
    >>> mx.sliced_wasserstein(p, q)
    MonteCarlo(estimate=3.000, se=0.0)
    """
    p, q = pair(p, q, "sliced_wasserstein")
    n = _count(n_projections)
    if coincide(p, q):
        return MonteCarlo(nothing(p), nothing(p))
    p, q = support(p), support(q)
    source = generator(rng, p.means)
    xp = namespace(p.means)
    theta = xp.ones_like(p.means[:1, :]) if p.d == 1 else standard_normal((n, p.d), source, p.means)
    theta = theta / xp.sqrt(xp.sum(theta * theta, axis=1))[:, None]
    squares = _squares(p, q, theta)
    mean = xp.mean(squares)
    estimate = square_root(mean)
    spread = length(squares - mean) / float(np.sqrt(n * (n - 1)))
    se = spread / (2 * estimate) if estimate > 0 else spread  # δ√v = δv / 2√v
    answer = MonteCarlo(estimate, se)
    return MonteCarlo(*(float(v) for v in answer)) if is_numpy(estimate) else answer


def _count(n_projections: Any) -> int:
    try:
        n = operator.index(n_projections)
    except TypeError:
        raise InputError(f"expected a whole number n_projections, got {n_projections!r}") from None
    if n < 2:
        raise InputError(f"expected n_projections of at least 2, got {n}: one has no error")
    return n


def _squares(p: Mixture, q: Mixture, theta: Array) -> Array:
    """W₂² of the projections on each direction (n,)."""
    xp = namespace(theta)
    size = max(1, 2**20 // (p.d * (p.k + q.k)))
    squares = []
    for start in range(0, theta.shape[0], size):
        block = theta[start : start + size]
        sides = [_projected(m, block) for m in (p, q)]
        for i in range(block.shape[0]):
            (w, m, s), (v, n, t) = ((a, b[:, i], c[:, i]) for a, b, c in sides)
            squares.append(_squared_line(*_nodes(w, m, s), *_nodes(v, n, t)))
    return xp.stack(squares)


def _projected(mix: Mixture, theta: Array) -> tuple[Array, Array, Array]:
    """Weights (k,), means (k, n) and standard deviations (k, n) along directions (n, d)."""
    xp = namespace(theta)
    lines = xp.permute_dims(theta, (1, 0))
    images = mix.covariance.matmul(xp.broadcast_to(lines, (mix.k, *lines.shape)))
    spread = xp.sqrt(xp.sum(lines * images, axis=1))
    return mix.weights, mix.means @ lines, xp.broadcast_to(spread, (mix.k, theta.shape[0]))


def _nodes(w: Array, means: Array, sd: Array) -> tuple[Array, Array]:
    """Points x in order, and F(x) of a one-dimensional mixture."""
    xp, k = namespace(w), int(w.shape[0])
    grid = np.linspace(-REACH, REACH, int(np.clip(NODES // k, 33, 257)))
    x = xp.sort(xp.reshape(means[:, None] + sd[:, None] * as_float(grid, like=means), (-1,)))
    if not is_numpy(x):
        each = 0.5 + 0.5 * xp.erf((x[:, None] - means) / (sd * 2**0.5))
        return x, xp.sort(each @ w)
    f = np.zeros(len(x))
    for weight, mean, scale in zip(w, means, sd, strict=True):
        f += weight * ndtr((x - mean) / scale)
    return x, np.sort(f)


def _squared_line(x: Array, f: Array, y: Array, g: Array) -> Array:
    """∫ (F⁻¹ − G⁻¹)² du for quantile functions that are linear between nodes."""
    xp = namespace(x)
    u = xp.sort(xp.concat([f, g]))
    gap = _interpolate(u, f, x) - _interpolate(u, g, y)
    left, right = gap[:-1], gap[1:]
    return (u[1:] - u[:-1]) @ (left * left + left * right + right * right) / 3


def _interpolate(u: Array, f: Array, x: Array) -> Array:
    """The function through the points (f, x) at u; constant beyond them."""
    if is_numpy(u):
        return np.interp(u, f, x)
    xp = namespace(u)
    right = xp.clip(xp.searchsorted(f, u), 1, f.shape[0] - 1)
    low, step = f[right - 1], f[right] - f[right - 1]
    flat = step <= 0
    share = (u - low) / xp.where(flat, xp.ones_like(step), step)
    share = xp.clip(xp.where(flat, xp.zeros_like(share), share), 0.0, 1.0)
    return x[right - 1] + share * (x[right] - x[right - 1])
