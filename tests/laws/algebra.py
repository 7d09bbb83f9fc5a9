"""Laws of the algebra of mixtures, held against dense algebra, Bayes' rule and quadrature."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from scipy.integrate import trapezoid
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from mixtura import Mixture
from tests.laws.cases import random_covariance_matrix, rows_near
from tests.laws.density import log_joint


def close(got: Any, expected: Any, rtol: float = 1e-8) -> None:
    """Equal to ``rtol`` of the largest number in sight, at least 1."""
    size = max(1.0, float(np.abs(expected).max(initial=0.0)))
    assert_allclose(got, expected, rtol=rtol, atol=rtol * size)


def same(a: Mixture, b: Mixture, rtol: float = 1e-8) -> None:
    """The same components in the same order."""
    assert (a.k, a.d) == (b.k, b.d)
    close(a.weights, b.weights, rtol)
    close(a.means, b.means, rtol)
    close(a.covariance.dense(), b.covariance.dense(), rtol)


def split(mix: Mixture, rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Given columns in random order, and the rest in order."""
    order = rng.permutation(mix.d)
    cut = int(rng.integers(1, mix.d))
    return [int(j) for j in order[:cut]], sorted(int(j) for j in order[cut:])


# ---- laws of one mixture in two columns or more -----------------------------------------------
def chain_rule(mix: Mixture, rng: np.random.Generator) -> None:
    """log p(x_given) + log p(x_rest | x_given) = log p(x)."""
    given, rest = split(mix, rng)
    for x in rows_near(mix, rng, 4):
        marginal = mix.marginal(given).log_density(x[None, given])
        conditional = mix.condition(given, x[given]).log_density(x[None, rest])
        close(marginal + conditional, mix.log_density(x[None]))


def blur_elsewhere_commutes(mix: Mixture, rng: np.random.Generator) -> None:
    """Noise that is zero on the given columns may be added before or after conditioning."""
    given, rest = split(mix, rng)
    x = rows_near(mix, rng, 1)[0]
    noise = rng.uniform(0.1, 2.0, mix.d)
    noise[given] = 0.0
    before = mix.blur(noise).condition(given, x[given])
    same(before, mix.condition(given, x[given]).blur(noise[rest]))


def blur_on_given_is_observation(mix: Mixture, rng: np.random.Generator) -> None:
    """Conditioning on noisy columns is observing them through a selector."""
    given, rest = split(mix, rng)
    y = rows_near(mix, rng, 1)[0, given]
    noise = np.zeros(mix.d)
    noise[given] = rng.uniform(0.1, 2.0, len(given))
    expected = mix.blur(noise).condition(given, y)
    seen = mix.observe(y, np.eye(mix.d)[given], noise[given])
    same(seen.marginal(rest), expected)
    matrix = mix.observe(y, np.eye(mix.d)[given], np.diag(noise[given]))
    same(matrix.marginal(rest), expected)


# ---- laws of any mixture ------------------------------------------------------------------------
def marginals(mix: Mixture, rng: np.random.Generator) -> None:
    """A marginal keeps the columns asked for, in the order asked for."""
    columns = [int(j) for j in rng.permutation(mix.d)[: rng.integers(1, mix.d + 1)]]
    part = mix.marginal(columns)
    close(part.weights, mix.weights)
    close(part.means, mix.means[:, columns])
    close(part.covariance.dense(), mix.covariance.dense()[:, columns][:, :, columns])


def blurs(mix: Mixture, rng: np.random.Generator) -> None:
    """Noise of variance s, (d,) or (d, d) adds to every covariance."""
    d = mix.d
    matrix, vector = random_covariance_matrix(rng, d), rng.uniform(0.0, 2.0, d)
    for noise, dense in ((0.3, 0.3 * np.eye(d)), (vector, np.diag(vector)), (matrix, matrix)):
        blurred = mix.blur(noise)
        close(blurred.covariance.dense(), mix.covariance.dense() + dense)
        close(blurred.means, mix.means)
        close(blurred.weights, mix.weights)


def affine_maps(mix: Mixture, rng: np.random.Generator) -> None:
    """A x + b: means A μ + b, covariances A Σ Aᵀ; densities change by log |det A|."""
    d = mix.d
    a = rng.standard_normal((d, d)) + 2 * np.eye(d)
    b = rng.standard_normal(d)
    image = mix.affine(a, b)
    close(image.means, mix.means @ a.T + b)
    close(image.covariance.dense(), a @ mix.covariance.dense() @ a.T)
    x = rows_near(mix, rng, 4)
    expected = mix.log_density(x) - np.linalg.slogdet(a)[1]
    close(image.log_density(x @ a.T + b), expected)
    row = rng.standard_normal((1, d))
    close(mix.affine(row).means, mix.means @ row.T)
    close(mix.affine(row).covariance.dense(), row @ mix.covariance.dense() @ row.T)


def _channels(rng: np.random.Generator, d: int) -> list[tuple[Any, Any, Any, Any]]:
    """Operator and noise as given, and both as dense matrices."""
    pick = [int(j) for j in rng.permutation(d)[: rng.integers(1, d + 1)]]
    selector, general = np.eye(d)[pick], rng.standard_normal((2, d))
    vector, matrix = rng.uniform(0.1, 1.0, d), random_covariance_matrix(rng, 2)
    return [
        (None, 0.4, np.eye(d), 0.4 * np.eye(d)),
        (None, vector, np.eye(d), np.diag(vector)),
        (selector, 0.4, selector, 0.4 * np.eye(len(pick))),
        (2 * selector, 0.4, 2 * selector, 0.4 * np.eye(len(pick))),
        (general, matrix, general, matrix),
        (general, 0.1, general, 0.1 * np.eye(2)),
    ]


def bayes(mix: Mixture, rng: np.random.Generator) -> None:
    """log p(x | y) + log p(y) = log p(x) + log p(y | x), whatever x."""
    for a, s, dense_a, dense_s in _channels(rng, mix.d):
        x = rows_near(mix, rng, 4)
        y = dense_a @ x[0] + 0.5 * rng.standard_normal(len(dense_a))
        posterior, evidence = mix.observe(y, a, s), mix.log_evidence(y, a, s)
        likelihood = multivariate_normal(np.zeros(len(y)), dense_s).logpdf(y - x @ dense_a.T)
        close(posterior.log_density(x) + evidence, mix.log_density(x) + likelihood)


def evidence(mix: Mixture, rng: np.random.Generator) -> None:
    """``log_evidence`` is the density of y ~ Σ w N(A μ, A Σ Aᵀ + S)."""
    for a, s, dense_a, dense_s in _channels(rng, mix.d):
        y = 2 * rng.standard_normal(len(dense_a))
        seen = Mixture(
            mix.weights,
            mix.means @ dense_a.T,
            dense_a @ mix.covariance.dense() @ dense_a.T + dense_s,
        )
        expected = logsumexp(log_joint(seen, y[None]), axis=1)[0]
        close(mix.log_evidence(y, a, s), expected)


def products(mix: Mixture, other: Mixture, rng: np.random.Generator) -> None:
    """log (p q)(x) = log p(x) + log q(x) − log ∫ p q, and the integral is that of dense algebra."""
    joined = mix.product(other)
    assert joined.k == mix.k * other.k
    x = np.concatenate([rows_near(mix, rng, 4), rows_near(other, rng, 3)])
    overlap = [
        np.log(w * v) + multivariate_normal(m, s + t).logpdf(n)
        for w, m, s in zip(mix.weights, mix.means, mix.covariance.dense(), strict=True)
        for v, n, t in zip(other.weights, other.means, other.covariance.dense(), strict=True)
    ]
    expected = mix.log_density(x) + other.log_density(x) - logsumexp(overlap)
    close(joined.log_density(x), expected)


def blends(blend: Any, mix: Mixture, other: Mixture, rng: np.random.Generator) -> None:
    """``blend`` is Σ v p(x), the weights v normalised."""
    both = blend([mix, other], [1.0, 3.0])
    x = np.concatenate([rows_near(mix, rng, 4), rows_near(other, rng, 3)])
    parts = np.stack([np.log(0.25) + mix.log_density(x), np.log(0.75) + other.log_density(x)])
    close(both.log_density(x), logsumexp(parts, axis=0))
    equal = np.stack([mix.log_density(x), other.log_density(x)])
    close(blend([mix, other]).log_density(x), logsumexp(equal, axis=0) - np.log(2))


# ---- quadrature, in one and two columns ----------------------------------------------------------
def grid(mixtures: list[Mixture], points: int) -> tuple[list[Any], Any]:
    """Axes that hold all the mass of the mixtures, and their grid as rows."""
    means = np.concatenate([m.means for m in mixtures])
    reach = np.concatenate([9 * np.sqrt(m.covariance.diagonal()) for m in mixtures])
    low, high = (means - reach).min(axis=0), (means + reach).max(axis=0)
    axes = [np.linspace(a, b, points) for a, b in zip(low, high, strict=True)]
    return axes, np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def integrate(values: Any, axes: list[Any]) -> Any:
    """The integral of values at the points of a grid."""
    values = values.reshape([len(a) for a in axes])
    for axis in reversed(axes):
        values = trapezoid(values, axis, axis=-1)
    return values


def integrals(mix: Mixture, other: Mixture, rng: np.random.Generator) -> None:
    """Products and posteriors integrate to one and have the means that quadrature gives."""
    axes, x = grid([mix, other], 1501 if mix.d == 1 else 301)
    p, q = np.exp(mix.log_density(x)), np.exp(other.log_density(x))
    close(integrate(p, axes), 1.0, 1e-7)
    joined = mix.product(other)
    close(np.exp(joined.log_density(x)), p * q / integrate(p * q, axes), 1e-6)
    y, a = np.array([0.6]), np.ones((1, mix.d))
    weighted = p * np.exp(-((y - x @ a.T)[:, 0] ** 2) / 0.8) / np.sqrt(0.8 * np.pi)
    total = integrate(weighted, axes)
    close(mix.log_evidence(y, a, 0.4), np.log(total), 1e-6)
    posterior = mix.observe(y, a, 0.4)
    for j in range(mix.d):
        close(posterior.mean[j], integrate(weighted * x[:, j], axes) / total, 1e-6)
    if mix.d == 2:
        line = np.exp(mix.log_density(np.stack([np.full_like(axes[1], 0.3), axes[1]], axis=1)))
        conditional = mix.condition([0], [0.3])
        expected = line / trapezoid(line, axes[1])
        close(np.exp(conditional.log_density(axes[1][:, None])), expected, 1e-6)


#: Laws of mixtures in two columns or more.
SPLIT_LAWS = (chain_rule, blur_elsewhere_commutes, blur_on_given_is_observation)
#: Laws of every mixture.
LAWS = (marginals, blurs, affine_maps, bayes, evidence)
#: Laws of two mixtures.
PAIR_LAWS = (products, integrals)
