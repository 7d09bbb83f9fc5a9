"""Laws of a mixture's density, derivatives and draws, held against SciPy and finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from scipy.special import logsumexp
from scipy.stats import multivariate_normal, norm

from mixtura import Mixture
from tests.laws.cases import rows_near


def log_joint(mix: Mixture, x: Any) -> Any:
    """Log weight plus log density of each component (n, k), by SciPy."""
    return np.stack(
        [
            np.log(w) + multivariate_normal(mean, cov).logpdf(x).reshape(len(x))
            for w, mean, cov in zip(mix.weights, mix.means, mix.covariance.dense(), strict=True)
        ],
        axis=1,
    )


def densities(mix: Mixture, rng: np.random.Generator) -> None:
    """Log-density and responsibilities are SciPy's."""
    x = rows_near(mix, rng, 9)
    joint = log_joint(mix, x)
    total = logsumexp(joint, axis=1)
    assert_allclose(mix.log_density(x), total, rtol=1e-9, atol=1e-9)
    resp = mix.responsibilities(x)
    assert resp.shape == (9, mix.k)
    assert_allclose(resp.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert_allclose(resp, np.exp(joint - total[:, None]), rtol=1e-7, atol=1e-9)


def moments(mix: Mixture, rng: np.random.Generator) -> None:
    """``mean`` and ``cov`` are E[x] and E[x xᵀ] − E[x] E[x]ᵀ."""
    dense = mix.covariance.dense()
    mean = np.einsum("k,kd->d", mix.weights, mix.means)
    second = np.einsum(
        "k,kij->ij", mix.weights, dense + mix.means[:, :, None] * mix.means[:, None, :]
    )
    assert_allclose(mix.mean, mean, rtol=1e-12, atol=1e-12)
    assert_allclose(mix.cov, second - np.outer(mean, mean), rtol=1e-9, atol=1e-9)


def _differences(function: Any, x: Any, step: Any) -> Any:
    """Central differences along each column, stacked last, by Richardson's extrapolation."""
    columns = []
    for j in range(x.shape[1]):
        move = np.zeros(x.shape[1])
        move[j] = step[j]
        wide = (function(x + 2 * move) - function(x - 2 * move)) / (4 * step[j])
        near = (function(x + move) - function(x - move)) / (2 * step[j])
        columns.append((4 * near - wide) / 3)
    return np.stack(columns, axis=-1)


def _step(mix: Mixture) -> Any:
    return 2e-3 * np.sqrt(np.linalg.eigvalsh(mix.covariance.dense()).min()) * np.ones(mix.d)


def gradients(mix: Mixture, rng: np.random.Generator) -> None:
    """∇ log p is the limit of differences of log p."""
    x = rows_near(mix, rng, 5)
    expected = _differences(mix.log_density, x, _step(mix))
    size = np.abs(expected).max()
    assert_allclose(mix.grad_log_density(x), expected, rtol=1e-7, atol=1e-7 * size)


def hessians(mix: Mixture, rng: np.random.Generator) -> None:
    """∇² log p is symmetric, and the limit of differences of ∇ log p."""
    x = rows_near(mix, rng, 5)
    got = mix.hessian_log_density(x)
    expected = _differences(mix.grad_log_density, x, _step(mix))
    size = np.abs(expected).max()
    assert_allclose(got, got.swapaxes(1, 2), rtol=0, atol=1e-12 * size)
    assert_allclose(got, expected, rtol=1e-6, atol=1e-6 * size)


def tweedie(mix: Mixture, rng: np.random.Generator) -> None:
    """E[x | y] = y + σ² ∇ log p_σ(y), and Cov[x | y] = σ² I + σ⁴ ∇² log p_σ(y)."""
    y = rows_near(mix, rng, 6)
    for sigma in (0.05, 0.7, 5.0):
        blurred = mix.blur(sigma**2)
        mean, cov = mix.denoise(y, sigma, return_cov=True)
        step = sigma**2 * blurred.grad_log_density(y)
        size = np.abs(y).max()
        assert_allclose(mean, y + step, rtol=1e-10, atol=1e-10 * size)
        np.testing.assert_array_equal(mix.denoise(y, sigma), mean)
        expected = sigma**2 * np.eye(mix.d) + sigma**4 * blurred.hessian_log_density(y)
        curvature = np.abs(sigma**4 * blurred.hessian_log_density(y)).max() + sigma**2
        assert_allclose(cov, expected, rtol=0, atol=1e-10 * curvature)
        assert (np.linalg.eigvalsh(cov) > 0).all()


def rows_alone(mix: Mixture, rng: np.random.Generator) -> None:
    """What is said of a row does not depend on the other rows of the call."""
    x = np.concatenate([rows_near(mix, rng, 40), 1e3 * rng.standard_normal((3, mix.d))])
    for verb in ("log_density", "responsibilities", "grad_log_density"):
        together = getattr(mix, verb)(x)
        singly = np.concatenate([getattr(mix, verb)(row[None]) for row in x])
        assert_allclose(together, singly, rtol=1e-9, atol=1e-12, err_msg=verb)


def single_rows(mix: Mixture, rng: np.random.Generator) -> None:
    """Rows given in float32 are scored as the numbers they are."""
    x = rows_near(mix, rng, 9).astype(np.float32)
    assert_allclose(mix.log_density(x), mix.log_density(x.astype(float)), rtol=1e-12)


def permutations(mix: Mixture, rng: np.random.Generator) -> None:
    """Components in another order are the same density."""
    order = rng.permutation(mix.k)
    other = mix.relabel(order)
    x = rows_near(mix, rng, 9)
    assert_allclose(other.log_density(x), mix.log_density(x), rtol=1e-12, atol=1e-12)
    resp = mix.responsibilities(x)[:, order]
    assert_allclose(other.responsibilities(x), resp, rtol=1e-10, atol=1e-12)
    assert_allclose(other.means, mix.means[order], rtol=0)
    assert_allclose(other.weights, mix.weights[order], rtol=1e-14)


def draws(mix: Mixture, rng: np.random.Generator) -> None:
    """Draws have the mixture's law: every component its share, mean and covariance."""
    n = 4000
    x, labels = mix.sample(n, rng=rng, return_labels=True)
    assert x.shape == (n, mix.d)
    share = np.bincount(labels, minlength=mix.k) / n
    assert_allclose(share, mix.weights, atol=5 * np.sqrt(0.25 / n))
    for j in range(mix.k):
        mine = x[labels == j]
        z = mix.covariance.take([j]).whiten((mine - mix.means[j]).T[None])[0]
        error = 5 / np.sqrt(len(mine))
        assert_allclose(z.mean(axis=1), 0, atol=error)
        assert_allclose(z @ z.T / len(mine), np.eye(mix.d), atol=2 * error)
    # Rows are shuffled: a label says nothing of the next one.
    same = np.mean(labels[1:] == labels[:-1])
    assert abs(same - np.sum(mix.weights**2)) < 5 * np.sqrt(0.25 / n)


def distribution(mix: Mixture, rng: np.random.Generator) -> None:
    """``cdf`` is SciPy's, and ``quantile`` inverts it, in both tails."""
    sd = np.sqrt(mix.covariance.diagonal()[:, 0])
    x = rng.normal(0, 6, 40)
    expected = norm.cdf(x[:, None], mix.means[:, 0], sd) @ mix.weights
    assert_allclose(mix.cdf(x), expected, rtol=1e-12)
    q = np.concatenate([10.0 ** -np.arange(1, 16), rng.random(20), [0.5]])
    assert_allclose(mix.cdf(mix.quantile(q)), q, rtol=1e-10)
    upper = norm.sf(mix.quantile(1 - q)[:, None], mix.means[:, 0], sd) @ mix.weights
    assert_allclose(upper, 1 - (1 - q), rtol=1e-10)
    likely = x[mix.log_density(x[:, None]) > np.log(1e-3)]
    assert_allclose(mix.quantile(mix.cdf(likely)), likely, rtol=0, atol=1e-9)
    assert list(mix.quantile([0.0, 1.0])) == [-np.inf, np.inf]


#: Laws of every mixture.
LAWS = (
    densities,
    moments,
    gradients,
    hessians,
    tweedie,
    rows_alone,
    single_rows,
    permutations,
)
