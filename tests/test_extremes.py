"""What lies far out, is very large or very small, or is no value of the expected kind at all."""

from __future__ import annotations

import pickle
from copy import deepcopy

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import log_ndtr

import mixtura as mx
from mixtura.covariance import Block, Kronecker, LowRank, Sparse, Tied
from mixtura.errors import InputError

NAN = np.nan
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
MIX = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [4.0, 1.0]], [1.0, 0.5])
X = rng.normal(size=(60, 4)) + np.outer(np.arange(60) >= 30, [4, 0, 4, 0])


# ---- far out -------------------------------------------------------------------------------------
@pytest.mark.parametrize("far", [1e3, 1e6, 1e9, 1e12])
def test_hessian_far_out_is_that_of_the_nearest_component(far):
    sigma = np.array([[1.0, 0.5], [0.5, 2.0]])
    mix = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [1.0, 3.0]], np.stack([sigma, sigma]))
    # with equal covariances −Σ⁻¹ is left, as one component takes all
    got = mix.hessian_log_density([[far, -far]])[0]
    assert_allclose(got, -np.linalg.inv(sigma), rtol=1e-9)


@pytest.mark.parametrize("level", [1e-300, 1e-100, 1e-20])
def test_quantiles_of_the_deep_tail(level):
    mix = mx.Mixture([0.5, 0.5], [[0.0], [1e6]], [1.0, 1.0])
    x = mix.quantile(level)
    assert_allclose(np.log(0.5) + log_ndtr(x), np.log(level), rtol=1e-12)
    assert_allclose(mix.quantile(1 - 1e-12), 1e6 + 6.9, atol=0.2)


def test_cdf_and_quantile_in_batches(monkeypatch):
    mix = mx.Mixture(rng.random(7), rng.normal(size=(7, 1)), np.ones(7))
    points, levels = rng.normal(size=(5, 9)), rng.random((4, 6))
    whole = mix.cdf(points), mix.quantile(levels)
    monkeypatch.setattr("mixtura.mixture.univariate.BATCH_NUMBERS", 10)
    assert_allclose(mix.cdf(points), whole[0], rtol=1e-14)
    assert_allclose(mix.quantile(levels), whole[1], rtol=1e-12)
    assert mix.cdf(0.0).shape == () and mix.cdf([]).shape == (0,)


def test_many_draws_of_one_row_have_the_law():
    law = MIX.conditional([0])
    few, many = law.sample([[2.2]] * 40_000, rng=1), law.sample([[2.2]], 40_000, rng=1)
    assert many.shape == (1, 40_000, 1)
    levels = [0.1, 0.5, 0.9]
    expected = law.quantile([[2.2]], levels)[0, :, 0]
    assert_allclose(np.quantile(few, levels), expected, atol=0.03)
    assert_allclose(np.quantile(many, levels), expected, atol=0.03)


# ---- large and small -----------------------------------------------------------------------------
@pytest.mark.parametrize("scale", [1e100, 1e40, 1e-40, 1e-100])
def test_gaps_in_any_units(scale):
    y = np.random.default_rng(1).normal(size=(200, 3))
    y[::7, 0], y[3::7, 2] = NAN, NAN
    gm = mx.GaussianMixture(2, init_params="deterministic", reg_covar=0, max_iter=20, tol=0)
    here, there = gm.fit(y).lower_bound_, gm.fit(y * scale).lower_bound_
    cells = np.mean(np.sum(~np.isnan(y), axis=1))
    assert_allclose(there + cells * np.log(scale), here, rtol=1e-7)


def test_vast_noise():
    y = rng.normal(size=(50, 3))
    got = mx.GaussianMixture(1).fit(y, noise=1e110).lower_bound_
    assert_allclose(got, -1.5 * np.log(2 * np.pi * 1e110), rtol=1e-6)


def test_evv_in_any_units():
    start = np.repeat([0, 1], 30)
    gm = mx.GaussianMixture(2, covariance_type="EVV", reg_covar=0, tol=1e-8, resp_init=start)
    scale = np.array([1e-9, 1.0, 1e9, 1e3])
    here, there = gm.fit(X).trace_, gm.fit(X * scale).trace_
    assert_allclose(np.array(there) + np.log(scale).sum(), here, rtol=1e-9)


@pytest.mark.parametrize("name", ["EEV", "VEV", "EVE", "VVE"])
def test_axes_across_columns_of_unlike_scales_are_refused(name):
    gm = mx.GaussianMixture(2, covariance_type=name, reg_covar=0, random_state=0)
    with pytest.raises(InputError, match="divide each column by its own first"):
        gm.fit(X * [1e-9, 1.0, 1e9, 1e3])


def test_weights_of_any_size():
    assert_allclose(mx.Mixture([1e308, 1e308], [[0], [1]], [1.0, 1.0]).weights, 0.5)
    assert_allclose(mx.Mixture([1e-310, 3e-310], [[0], [1]], [1.0, 1.0]).weights, [0.25, 0.75])


def test_what_would_not_fit_into_memory_is_refused():
    many = mx.Mixture(np.ones(300), rng.normal(size=(300, 30)), np.tile(np.eye(30), (300, 1, 1)))
    with pytest.raises(InputError, match=r"reduce\(\) the mixtures first"):
        many.product(many)
    wide = mx.Mixture(rng.random(2000), rng.normal(size=(2000, 1)), np.ones(2000))
    with pytest.raises(InputError, match="at most 2,000,000 pairs"):
        mx.wasserstein(wide, wide.blur(0.1))


# ---- what is frozen stays so ---------------------------------------------------------------------
@pytest.mark.parametrize("copied", [deepcopy, lambda v: pickle.loads(pickle.dumps(v))])
def test_copies_are_read_only_too(copied):
    mix = copied(mx.Mixture([0.3, 0.7], MIX.means, np.tile(np.eye(2), (2, 1, 1))))
    for array in (mix.covariance.values, mix.means, mix.weights, mix.log_weights):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 9.0
    with pytest.raises(ValueError, match="read-only"):
        mix.condition([0], [1.0]).log_weights[0] = 0.0


def test_warm_start_after_a_change_of_shape_starts_anew():
    gm = mx.GaussianMixture(2, warm_start=True, random_state=0).fit(X)
    assert gm.set_params(n_components=3).fit(X).mixture_.k == 3
    assert gm.fit(X[:, :2]).mixture_.d == 2


# ---- values of another kind ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Block([0, 1, 2]), "a list of lists"),
        (lambda: Block(2), "a list of lists"),
        (lambda: Kronecker((3,)), "two whole numbers"),
        (lambda: Kronecker("a"), "two whole numbers"),
        (lambda: Sparse("a"), "a penalty of 0 or more"),
        (lambda: Tied("full"), "a Structure to tie"),
        (lambda: mx.GaussianMixture(2, covariance_type=LowRank(4)).fit(X), "a rank below"),
        (
            lambda: mx.GaussianMixture(2, resp_init=np.repeat([0, 1], 30)).fit(
                X, sample_weight=np.repeat([1.0, 0.0], 30)
            ),
            "positive weight in every component of resp_init, got none in component 1",
        ),
        (
            lambda: mx.GaussianMixture(3, resp_init=np.repeat([0, 2], 30)).fit(X),
            "got none in component 1",
        ),
        (lambda: MIX.product(None), "expected a Mixture in product"),
        (lambda: mx.blend([MIX, None]), "expected a Mixture in blend"),
        (lambda: mx.GaussianMixture(["a"]).fit(X), "whole numbers of components"),
        (lambda: mx.GaussianMixture([1.5]).fit(X), "whole numbers of components"),
        (lambda: MIX.conditional([0]).quantile([[0.0]], []), "one or a list of them"),
        (lambda: MIX.marginal([0]).quantile("a"), "probabilities between 0 and 1"),
        (lambda: mx.save(MIX, None), "expected a path"),
        (lambda: mx.load(1), "expected a path"),
        (lambda: mx.load("a\0b"), "expected a path"),
    ],
)
def test_clear_errors(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_positions_in_arrays_without_axes():
    assert MIX.condition(np.array(1), [0.0]).d == 1
    assert MIX.marginal(np.int64(0)).d == 1


def test_regression_takes_ranks_of_each_components_own():
    gm = mx.MixtureRegressor(1, covariance_type="lowrank", rank="auto", random_state=0)
    assert gm.fit(X[:, :3], X[:, 3]).predict(X[:, :3]).shape == (60,)


def test_a_scatter_matrix_draws_components_that_lie_far_outside(tmp_path):
    far = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [1e6, 1.0]], [1.0, 1.0])
    fig = mx.plot.scatter_matrix(far, rng.normal(size=(200, 2)))
    fig.savefig(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat().st_size > 1000
