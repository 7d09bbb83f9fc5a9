"""Laws of distances, divergences and transport, held against quadrature, SciPy and draws.

A law of distances takes the distance as a function of two mixtures, so that a liar can be passed.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from scipy.linalg import sqrtm
from scipy.special import logsumexp

from mixtura import Mixture, blend, geodesic
from tests.laws.algebra import close, grid, integrate


def split(mix: Mixture) -> Mixture:
    """The same density, its first component in two parts and the order reversed."""
    order = [*range(mix.k), 0][::-1]
    weights = np.append(mix.weights, 0.25 * mix.weights[0])
    weights[0] *= 0.75
    return Mixture(weights[::-1], mix.means[order], mix.covariance.take(order))


# ---- laws of a distance --------------------------------------------------------------------------
def symmetric(distance: Any, p: Mixture, q: Mixture, r: Mixture) -> None:
    """d(p, q) = d(q, p) ≥ 0."""
    for a, b in ((p, q), (q, r), (p, r)):
        assert distance(a, b) > 0
        assert_allclose(distance(a, b), distance(b, a), rtol=1e-9)


def zero_at_self(distance: Any, p: Mixture, q: Mixture, r: Mixture) -> None:
    """d(p, p) is zero exactly, however p is written down."""
    for mix in (p, q, r):
        copy = Mixture(mix.weights, mix.means, mix.covariance)
        for same in (mix, copy, mix.relabel(list(range(mix.k))[::-1]), split(mix)):
            assert distance(mix, same) == 0
            assert distance(same, mix) == 0


def representation_free(distance: Any, p: Mixture, q: Mixture, r: Mixture) -> None:
    """Neither the order of components nor one written in two parts matters."""
    assert_allclose(distance(split(p), split(q)), distance(p, q), rtol=1e-7)


def triangle(distance: Any, p: Mixture, q: Mixture, r: Mixture) -> None:
    """d(p, r) ≤ d(p, q) + d(q, r), for q on the straightest ways from p to r too."""
    for middle in (q, blend([p, r]), geodesic(p, r, 0.5)):
        assert distance(p, r) <= (distance(p, middle) + distance(middle, r)) * (1 + 1e-9)


def shift_free(distance: Any, p: Mixture, q: Mixture, r: Mixture) -> None:
    """Moving both mixtures together changes nothing."""
    b = np.full(p.d, 3.0)
    moved = distance(p.affine(np.eye(p.d), b), q.affine(np.eye(p.d), b))
    assert_allclose(moved, distance(p, q), rtol=1e-7)


#: Laws of every distance.
METRIC_LAWS = (symmetric, zero_at_self, representation_free, triangle, shift_free)


def scaling(distance: Any, scaled: Any, p: Mixture, q: Mixture) -> None:
    """Under x ↦ c x the distance becomes ``scaled(d(p, q), c)``."""
    for c in (0.3, 4.0):
        far = distance(p.affine(c * np.eye(p.d)), q.affine(c * np.eye(p.d)), c)
        assert_allclose(far, scaled(distance(p, q, 1.0), c), rtol=1e-9)


# ---- closed forms by quadrature ------------------------------------------------------------------
def l2_by_quadrature(distance: Any, p: Mixture, q: Mixture) -> None:
    """‖p − q‖² is the integral of the squared difference."""
    axes, x = grid([p, q], 4001 if p.d == 1 else 401)
    gap = np.exp(p.log_density(x)) - np.exp(q.log_density(x))
    assert_allclose(distance(p, q) ** 2, integrate(gap * gap, axes), rtol=1e-7)


def mmd_by_quadrature(distance: Any, p: Mixture, q: Mixture, h: float) -> None:
    """MMD² = ∫∫ (p − q)(x) (p − q)(y) exp(−(x − y)²/2h²), in one column."""
    axes, x = grid([p, q], 2001)
    gap = np.exp(p.log_density(x)) - np.exp(q.log_density(x))
    kernel = np.exp(-0.5 * ((x - x.T) / h) ** 2)
    step = axes[0][1] - axes[0][0]
    assert_allclose(distance(p, q, h) ** 2, gap @ kernel @ gap * step**2, rtol=1e-6)


def line_transport(distance: Any, p: Mixture, q: Mixture) -> None:
    """In one column W₂² = ∫ (F⁻¹ − G⁻¹)², by quantiles at the midpoints of a fine grid."""
    u = (np.arange(50_000) + 0.5) / 50_000
    gap = p.quantile(u) - q.quantile(u)
    assert_allclose(distance(p, q), np.sqrt(np.mean(gap * gap)), rtol=2e-3)


# ---- divergence and entropy ----------------------------------------------------------------------
def kl_by_quadrature(divergence: Any, p: Mixture, q: Mixture) -> None:
    """The bounds hold the integral, and the estimate is within its error of it."""
    axes, x = grid([p, q], 8001 if p.d == 1 else 401)
    log_p, log_q = p.log_density(x), q.log_density(x)
    _honest(divergence(p, q), integrate(np.exp(log_p) * (log_p - log_q), axes))


def entropy_by_quadrature(entropy: Any, p: Mixture) -> None:
    """The bounds hold the integral, and the estimate is within its error of it."""
    axes, x = grid([p], 8001 if p.d == 1 else 401)
    log_p = p.log_density(x)
    _honest(entropy(p), -integrate(np.exp(log_p) * log_p, axes))


def kl_by_draws(divergence: Any, p: Mixture, q: Mixture) -> None:
    """The bounds hold the mean of many draws within five of its errors."""
    x = p.sample(200_000, rng=5)
    draws = p.log_density(x) - q.log_density(x)
    _honest(divergence(p, q), draws.mean(), 5 * draws.std() / np.sqrt(len(x)))


def _honest(answer: Any, truth: float, error: float = 1e-9) -> None:
    assert answer.lower - error <= truth <= answer.upper + error
    assert answer.lower <= answer.estimate <= answer.upper
    assert abs(answer.estimate - truth) <= 5 * answer.se + error


def kl_of_gaussians(divergence: Any, p: Mixture, q: Mixture) -> None:
    """½ (tr B⁻¹A + δᵀB⁻¹δ − d + log|B|/|A|) for single Gaussians."""
    a, b = p.covariance.dense()[0], q.covariance.dense()[0]
    gap = q.means[0] - p.means[0]
    solved = np.linalg.solve(b, np.column_stack([a, gap]))
    expected = 0.5 * (
        np.trace(solved[:, :-1])
        + gap @ solved[:, -1]
        - p.d
        + np.linalg.slogdet(b)[1]
        - np.linalg.slogdet(a)[1]
    )
    answer = divergence(p, q)
    assert_allclose(answer.estimate, expected, rtol=1e-10)
    assert answer.se == 0
    assert answer.lower <= expected * (1 + 1e-12) and expected * (1 - 1e-12) <= answer.upper
    assert answer.upper - answer.lower <= 1e-9 * (1 + expected)


def variational_approximation(p: Mixture, q: Mixture) -> float:
    """Hershey & Olsen's (2007) variational approximation: near the divergence, but no bound."""
    from mixtura.mixture.pairs import gaussian_kl

    own = logsumexp(np.log(p.weights) - gaussian_kl(p, p), axis=1)
    other = logsumexp(np.log(q.weights) - gaussian_kl(p, q), axis=1)
    return float(p.weights @ (own - other))


# ---- covariances ---------------------------------------------------------------------------------
def bures_by_roots(distance: Any, a: Any, b: Any) -> None:
    """tr A + tr B − 2 tr (A^½ B A^½)^½."""
    root = sqrtm(a)
    cross = np.trace(np.real(sqrtm(root @ b @ root)))
    assert_allclose(distance(a, b) ** 2, np.trace(a) + np.trace(b) - 2 * cross, rtol=1e-8)
    assert_allclose(distance(b, a), distance(a, b), rtol=1e-9)
    assert distance(a, a) == 0


def bures_of_neighbours(distance: Any, a: Any) -> None:
    """b(A, (1 + e)² A) = e √tr A, down to tiny e."""
    for e in (1e-3, 1e-6, 1e-9):
        expected = e * np.sqrt(np.trace(a))
        assert_allclose(distance(a, (1 + e) ** 2 * a), expected, rtol=1e-4)


def bures_of_singular(distance: Any, rng: np.random.Generator) -> None:
    """Matrices that commute are as far apart as their roots, zero eigenvalues included."""
    basis = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    one, other = np.array([4.0, 1.0, 1e-6, 0.0, 0.0]), np.array([1.0, 0.0, 1e-8, 1e-4, 0.0])
    a, b = ((basis * v) @ basis.T for v in (one, other))
    expected = np.linalg.norm(np.sqrt(one) - np.sqrt(other))
    assert_allclose(distance(a, b), expected, rtol=1e-6)


def bures_means(average: Any, matrices: Any, weights: Any) -> None:
    """The mean is the fixed point Σ λⱼ (S^½ Σⱼ S^½)^½ = S."""
    mean = average(matrices, weights)
    root = sqrtm(mean)
    total = sum(w * sqrtm(root @ m @ root) for w, m in zip(weights, matrices, strict=True))
    close(np.real(total), mean, 1e-9)


# ---- paths of mixtures ---------------------------------------------------------------------------
def same_density(a: Mixture, b: Mixture, rtol: float = 1e-8) -> None:
    """Equal densities, whatever the components."""
    x = np.concatenate([a.sample(20, rng=1), b.sample(20, rng=2)])
    close(a.log_density(x), b.log_density(x), rtol)


def endpoints(path: Any, p: Mixture, q: Mixture) -> None:
    """A path from p to q begins at p and ends at q, there and just inside."""
    same_density(path(p, q, 0.0), p)
    same_density(path(p, q, 1.0), q)
    same_density(path(p, q, 1e-12), p, 1e-6)
    same_density(path(p, q, 1 - 1e-12), q, 1e-6)


def constant_speed(path: Any, distance: Any, p: Mixture, q: Mixture) -> None:
    """d(path(s), path(t)) = |s − t| d(p, q)."""
    whole = distance(p, q)
    for s, t in ((0.0, 0.3), (0.3, 0.8), (0.8, 1.0)):
        assert_allclose(distance(path(p, q, s), path(p, q, t)), (t - s) * whole, rtol=1e-6)


def centre(average: Any, distance: Any, parts: list[Mixture], weights: Any) -> None:
    """No neighbour of the barycentre has a lower Σ λ d²."""
    middle = average(parts, weights)

    def cost(mix: Mixture) -> float:
        return sum(w * distance(mix, p) ** 2 for w, p in zip(weights, parts, strict=True))

    best = cost(middle)
    for part in parts:
        assert cost(geodesic(middle, part, 0.02)) > best
    for factor in (0.9, 1.1):
        assert cost(Mixture(middle.weights, middle.means, middle.covariance.scaled(factor))) > best
    nudge = 0.05 * np.random.default_rng(0).standard_normal(middle.means.shape)
    assert cost(Mixture(middle.weights, middle.means + nudge, middle.covariance)) > best
