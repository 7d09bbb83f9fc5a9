"""Structures of the precisions: few links (graphical lasso), or none that is negative (MTP₂)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.covariance import graphical_lasso

import mixtura as mx
from mixtura.covariance import Sparse, TotallyPositive
from mixtura.covariance.positive import nearest
from mixtura.errors import InputError, NotPositiveDefiniteError


def chain(d, link=-0.4):
    """The covariance of a chain: each column is linked with the next alone."""
    return np.linalg.inv(np.eye(d) + link * (np.eye(d, k=1) + np.eye(d, k=-1)))


def loss(sigma, spread):
    return np.linalg.slogdet(sigma)[1] + np.trace(np.linalg.solve(sigma, spread))


# ---- graphical lasso ---------------------------------------------------------------------------
def test_one_component_is_scikit_learn_s_graphical_lasso(rng):
    x = rng.multivariate_normal(np.zeros(5), chain(5), 400)
    weight = 30.0
    gm = mx.GaussianMixture(covariance_type=Sparse(weight), reg_covar=0).fit(x)
    expected, _ = graphical_lasso(np.cov(x.T, ddof=0), 2 * weight / 400, tol=1e-9, enet_tol=1e-9)
    assert_allclose(gm.covariances_[0], expected, atol=1e-5)
    links = np.abs(gm.precisions_[0]) > 1e-6
    assert links.sum() < 25
    assert np.abs(np.linalg.inv(np.cov(x.T, ddof=0))).min() > 1e-6  # unpenalised: all linked
    free = 5 + (links.sum() - 5) // 2 + 5
    assert_allclose(gm.bic(x), -2 * gm.score(x) * 400 + free * np.log(400), rtol=1e-12)


def test_the_penalised_likelihood_never_descends(rng):
    x = np.concatenate(
        [rng.multivariate_normal(np.zeros(4), chain(4), 150),
         rng.multivariate_normal(np.full(4, 1.5), chain(4, 0.3), 150)]
    )  # fmt: skip
    gm = mx.GaussianMixture(
        2, covariance_type=Sparse(8.0), reg_covar=0, tol=0, max_iter=60, random_state=0
    ).fit(x)
    trace = np.array(gm.trace_)
    assert np.diff(trace).min() > -1e-6
    mix = gm.mixture_
    precision = np.asarray(mix.covariance.precision())
    pulled = 8.0 * (np.abs(precision).sum() - np.trace(precision, axis1=1, axis2=2).sum())
    # The trace is of the penalised likelihood, not of the likelihood alone.
    assert_allclose(trace[-1], gm.score(x) - pulled / 300, atol=1e-4)
    assert abs(trace[-1] - gm.score(x)) > 1e-3


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_a_penalty_that_is_none_is_refused(weight):
    with pytest.raises(InputError, match="expected a penalty of 0 or more"):
        Sparse(weight)


# ---- total positivity --------------------------------------------------------------------------
@pytest.mark.parametrize("d", [1, 2, 3, 6, 12])
def test_the_optimality_conditions_hold(d):
    for seed in range(4):
        rng = np.random.default_rng([seed, d])
        root = rng.standard_normal((d, d + 3))
        spread = root @ root.T
        sigma = nearest(spread)
        omega = np.linalg.inv(sigma)
        off = ~np.eye(d, dtype=bool)
        size = np.sqrt(np.outer(np.diag(omega), np.diag(omega)))
        scale = np.sqrt(np.outer(np.diag(spread), np.diag(spread)))
        assert ((omega / size)[off] <= 1e-9).all()  # primal feasible: an M-matrix
        assert (((sigma - spread) / scale)[off] >= -1e-9).all()  # dual feasible
        assert_allclose(np.diag(sigma), np.diag(spread), rtol=1e-12)
        assert_allclose((omega * (sigma - spread))[off], 0, atol=1e-7)  # complementary


def test_moments_that_are_positive_already_stay_and_others_beat_clipping(rng):
    sigma = chain(5)  # its inverse is an M-matrix
    assert_allclose(nearest(sigma), sigma, rtol=1e-6)
    root = rng.standard_normal((4, 6))
    spread = root @ root.T
    omega = np.linalg.inv(spread)
    clipped = np.where(np.eye(4, dtype=bool), omega, np.minimum(omega, 0))
    while np.linalg.eigvalsh(clipped).min() <= 0:
        clipped = 0.9 * clipped + 0.1 * np.diag(np.diag(clipped))
    assert loss(nearest(spread), spread) < loss(np.linalg.inv(clipped), spread) - 1e-6  # the liar


def test_a_fit_has_no_negative_partial_correlation(load):
    x = load("iris").x
    gm = mx.GaussianMixture(3, covariance_type=TotallyPositive(), random_state=0, reg_covar=0).fit(
        x
    )
    off = ~np.eye(4, dtype=bool)
    assert (gm.precisions_[:, off] <= 1e-8 * np.abs(gm.precisions_).max()).all()
    full = mx.GaussianMixture(3, random_state=0, reg_covar=0).fit(x)
    assert (full.precisions_[:, off] > 1e-3).any()
    assert np.diff(gm.trace_).min() > -1e-9
    with pytest.raises(NotPositiveDefiniteError):
        nearest(np.zeros((2, 2)))
