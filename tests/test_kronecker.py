"""Kronecker covariances: the flip-flop's fixed point, and rows that are matrices."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.covariance import FullCovariance, Kronecker, KroneckerCovariance
from mixtura.covariance.kronecker import _flip_flop
from mixtura.errors import ConstructionError, InputError


def root_of(rng, size):
    root = rng.standard_normal((size, size + 2))
    return root @ root.T / size


def loss(sigma, spread):
    """log|Σ| + tr(Σ⁻¹ S): twice the divergence from S, but for a constant."""
    return np.linalg.slogdet(sigma)[1] + np.trace(np.linalg.solve(sigma, spread))


def test_matrices_are_numpy_s_kronecker_products(rng):
    a, b = np.stack([root_of(rng, 2) for _ in range(3)]), np.stack([root_of(rng, 4)] * 3)
    cov = KroneckerCovariance(a, b)
    expected = np.stack([np.kron(x, y) for x, y in zip(a, b, strict=True)])
    assert_allclose(cov.dense(), expected, rtol=1e-12)
    assert (cov.k, cov.d, cov.shape) == (3, 8, (2, 4))
    rows = rng.standard_normal((5, 8))
    white = cov.row_whitener(np.float64)(rows, 1)
    assert_allclose(white, FullCovariance(expected).whiten(rows.T[None])[1].T, rtol=1e-9)


@pytest.mark.parametrize("shape", [(2, 3), (3, 2), (1, 4), (5, 1)])
def test_the_flip_flop_ends_at_the_nearest_product(shape, rng):
    p, q = shape
    spread = root_of(rng, p * q)
    best = _flip_flop(spread[None], p, q, None).dense()[0]
    value = loss(best, spread)
    for _ in range(30):
        for step in (1e-2, 1e-3):
            a, b = (np.eye(n) + step * rng.standard_normal((n, n)) for n in (p, q))
            turn = np.kron(a, b)
            assert loss(turn @ best @ turn.T, spread) >= value - 1e-9
    # The nearest in Frobenius norm (Van Loan & Pitsianis 1993) is a liar: it is not it.
    cells = spread.reshape(p, q, p, q).transpose(0, 2, 1, 3).reshape(p * p, q * q)
    u, s, v = np.linalg.svd(cells)
    other = s[0] * np.kron(u[:, 0].reshape(p, p), v[0].reshape(q, q))
    if min(p, q) > 1:
        assert loss(other, spread) > value + 1e-6


def test_rows_that_are_matrices_are_fitted_with_few_parameters(rng):
    a, b = root_of(rng, 4), root_of(rng, 5)
    mean = np.where(np.arange(400) < 200, 0.0, 3.0)[:, None]
    x = mean + rng.multivariate_normal(np.zeros(20), np.kron(a, b), 400)
    gm = mx.GaussianMixture(2, covariance_type=Kronecker((4, 5)), random_state=0).fit(x)
    full = mx.GaussianMixture(2, random_state=0).fit(x)
    assert gm.bic(x) < full.bic(x) - 1000
    fresh = mean + rng.multivariate_normal(np.zeros(20), np.kron(a, b), 400)
    assert gm.score(fresh) > full.score(fresh) + 0.1
    assert gm.mixture_.covariance.n_parameters() == 2 * (10 + 15 - 1)
    truth = np.kron(a, b)
    assert_allclose(gm.covariances_[0], truth, atol=0.35 * np.abs(truth).max())


def test_shapes_that_do_not_fit_are_refused(rng):
    x = rng.standard_normal((30, 6))
    assert Kronecker().sizes(6) == (2, 3)
    assert Kronecker().sizes(784) == (28, 28)
    with pytest.raises(InputError, match=r"p × q = 6 columns, got 2 × 2"):
        mx.GaussianMixture(covariance_type=Kronecker((2, 2))).fit(x)
    with pytest.raises(ConstructionError, match=r"\(k, p, p\) and \(k, q, q\)"):
        KroneckerCovariance(np.eye(2)[None], np.eye(3))


def test_what_stays_a_product_and_what_does_not(rng):
    a, b = np.stack([root_of(rng, 2)] * 2), np.stack([root_of(rng, 3)] * 2)
    mix = mx.Mixture([1, 2], rng.standard_normal((2, 6)), KroneckerCovariance(a, b))
    names = {
        "kronecker": (mix.relabel([1, 0]), mx.blend([mix, mix])),
        "full": (mix.blur(0.1), mix.marginal([0, 4]), mix.product(mix), mix.affine(3 * np.eye(6))),
    }
    for name, results in names.items():
        assert [result.covariance.name for result in results] == [name] * len(results)
    other = mx.Mixture([1], np.zeros((1, 6)), np.ones((1, 6)))
    assert mx.blend([mix, other]).covariance.name == "full"
    assert (
        mx.blend(
            [
                mx.Mixture(
                    [1],
                    np.zeros((1, 6)),
                    mx.LowRankCovariance(rng.standard_normal((1, 6, 2)), np.ones((1, 6))),
                ),
                mix,
            ]
        ).covariance.name
        == "full"
    )
