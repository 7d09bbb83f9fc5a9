"""Bad input to the library: which error, what it says, and that nothing is left half-done."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import NotFittedError
from sklearn.metrics import adjusted_rand_score

import mixtura as mx
from mixtura import FullCovariance, LowRankCovariance, Mixture, TiedCovariance
from mixtura.covariance import STRUCTURES
from mixtura.errors import (
    ConstructionError,
    IllDefinedCovarianceError,
    InputError,
    MixturaError,
    NotPositiveDefiniteError,
)
from mixtura.fit import search
from mixtura.sources import Rows
from mixtura.sources.rows import as_weights

NAN, INF = float("nan"), float("inf")
W, MU, S = [0.4, 0.6], np.zeros((2, 3)), np.stack([np.eye(3)] * 2)
ASYMMETRIC = np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]])
INDEFINITE = np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]])
MIX = Mixture(W, np.arange(6.0).reshape(2, 3), S, columns=["speed", "height", "depth"])
BARE = Mixture(W, MU, S)
LINE = Mixture([1.0], [[0.0]], [1.0])


def refused(call, kind, pattern):
    """Law: the error is ours, a ValueError, and tells what was expected and what came."""
    with pytest.raises(MixturaError) as caught:
        call()
    assert type(caught.value) is kind
    assert isinstance(caught.value, ValueError)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert re.search(r"[Ee]xpected ", message), message


def cases(table):
    """A table of (call, pattern) as parameters with readable ids."""
    return pytest.mark.parametrize(("call", "pattern"), table, ids=[row[1][:50] for row in table])


# ---- the constructor ---------------------------------------------------------------------------
CONSTRUCTION = [
    (lambda: Mixture([0.4, -0.6], MU, S), r"non-negative weights .* got \[ 0\.4 -0\.6\]"),
    (lambda: Mixture([0, 0], MU, S), r"weights that are not all zero, got \[0\. 0\.\]"),
    (lambda: Mixture([1], MU, S), r"weights of shape \(2,\).* got \(1,\)"),
    (lambda: Mixture([[0.4, 0.6]], MU, S), r"weights of shape \(2,\).* got \(1, 2\)"),
    (lambda: Mixture([0.4, NAN], MU, S), r"finite weights, got NaN or infinity"),
    (lambda: Mixture([0.4, INF], MU, S), r"finite weights, got NaN or infinity"),
    (lambda: Mixture(["a", "b"], MU, S), r"array of numbers for weights"),
    (lambda: Mixture(W, [0.0, 1.0], S), r"means of shape \(k, d\), got \(2,\)"),
    (lambda: Mixture(W, np.zeros((2, 0)), S), r"means of shape \(k, d\), got \(2, 0\)"),
    (lambda: Mixture(W, [[NAN] * 3] * 2, S), r"finite means, got NaN"),
    (lambda: Mixture(W, [["a"] * 3] * 2, S), r"array of numbers for means"),
    (lambda: Mixture(W, [[1, 2, 3], [4, 5]], S), r"array of numbers for means"),
    (lambda: Mixture(W, MU + 1j, S), r"real means, got complex"),
    (lambda: Mixture(W, MU, np.eye(3)), r"shape \(2, 3, 3\), \(2, 3\) or \(2,\), got \(3, 3\)"),
    (lambda: Mixture(W, MU, S[:, :2, :2]), r"got \(2, 2, 2\)"),
    (lambda: Mixture(W, MU, 1.0), r"got \(\)"),
    (lambda: Mixture(W, MU, np.full((2, 3), NAN)), r"finite covariance, got NaN"),
    (lambda: Mixture(W, MU, [np.eye(3), ASYMMETRIC]), r"symmetric .* got component 1 .* 0\.5"),
    (lambda: Mixture(W, MU, FullCovariance([np.eye(3), ASYMMETRIC])), r"got component 1 "),
    (lambda: Mixture(W, MU, TiedCovariance(FullCovariance([ASYMMETRIC]), 2)), r"got component 0"),
    (lambda: Mixture(W, MU, FullCovariance(S[:1])), r"2 components in 3 columns, got .* 1 in 3"),
    (lambda: Mixture(W, MU, TiedCovariance(FullCovariance(S[:1]), 3)), r"got one of 3 in 3"),
    (lambda: FullCovariance(np.ones((2, 3, 2))), r"matrices of shape \(k, d, d\), got \(2, 3, 2\)"),
    (lambda: FullCovariance(np.eye(3)), r"matrices of shape \(k, d, d\), got \(3, 3\)"),
    (lambda: mx.DiagonalCovariance([1.0, 2.0]), r"shape \(k, d\), got \(2,\)"),
    (lambda: mx.IsotropicCovariance([[1.0, 2.0]], 3), r"shape \(k,\), got \(1, 2\)"),
    (lambda: LowRankCovariance(np.ones((2, 3)), np.ones((2, 3))), r"loadings .* got \(2, 3\)"),
    (lambda: Mixture(W, MU, S, columns=["a", "b"]), r"3 distinct column names, got \['a', 'b'\]"),
    (lambda: Mixture(W, MU, S, columns=["a", "a", "b"]), r"3 distinct column names"),
]
POSITIVE_DEFINITE = [
    (lambda: Mixture(W, MU, [np.eye(3), INDEFINITE]), r"eigenvalue is -1 in component 1; add"),
    (lambda: Mixture(W, MU, 0 * S), r"eigenvalue is 0 in component 0"),
    (lambda: Mixture(W, MU, [[1, 1, 1], [1, 0, 1]]), r"got 0 in component 1, column 1; give"),
    (lambda: Mixture(W, MU, [1.0, -2.0]), r"got -2 in component 1"),
]


@cases(CONSTRUCTION)
def test_parameters_that_are_no_mixture(call, pattern):
    refused(call, ConstructionError, pattern)


@cases(POSITIVE_DEFINITE)
def test_covariances_that_are_not_positive_definite(call, pattern):
    refused(call, NotPositiveDefiniteError, pattern)


# ---- the algebra -------------------------------------------------------------------------------
ALGEBRA = [
    (lambda: MIX.marginal(["sped"]), r"among speed, height, depth .* got 'sped'.*'speed'\?"),
    (lambda: MIX.condition("width", 1.0), r"got 'width'"),
    (lambda: BARE.marginal(["speed"]), r"positions .* got the name 'speed'.*columns="),
    (lambda: MIX.marginal([3]), r"columns from 0 to 2 in marginal, got 3"),
    (lambda: MIX.marginal([-4]), r"columns from 0 to 2 in marginal, got -4"),
    (lambda: MIX.marginal([0, 0]), r"distinct columns in marginal, got \[0, 0\]"),
    (lambda: MIX.marginal([0.5]), r"positions or names in marginal, got 0\.5"),
    (lambda: MIX.marginal([]), r"at least one column"),
    (lambda: MIX.condition([0], [1.0, 2.0]), r"given values of shape \(1,\), got \(2,\)"),
    (lambda: MIX.condition([0], ["fast"]), r"numbers for the given values"),
    (lambda: MIX.condition([0], [NAN]), r"finite numbers for the given values, got NaN"),
    (lambda: MIX.condition([0, 1, 2], [1, 2, 3]), r"at most 2 given columns, got all 3"),
    (lambda: MIX.blur(-0.1), r"non-negative variances .* got -0\.1"),
    (lambda: MIX.blur([1.0, 2.0]), r"a number, \(3,\) or \(3, 3\) .* got shape \(2,\)"),
    (lambda: MIX.blur(ASYMMETRIC), r"symmetric covariance for noise, got one off by 0\.5"),
    (lambda: MIX.blur(INDEFINITE), r"semidefinite .* eigenvalue -1"),
    (lambda: MIX.blur(NAN), r"finite numbers for noise, got NaN"),
    (lambda: MIX.blur("much"), r"numbers for noise"),
    (lambda: MIX.blur(FullCovariance(np.eye(2)[None])), r"in 3 columns, got 1 in 2"),
    (lambda: MIX.affine(np.eye(2)), r"operator A of shape \(p, 3\), got \(2, 2\)"),
    (lambda: MIX.affine(np.ones((2, 3))), r"linearly independent rows"),
    (lambda: MIX.affine(np.ones((4, 3))), r"linearly independent rows"),
    (lambda: MIX.affine(np.zeros((1, 3))), r"linearly independent rows"),
    (lambda: MIX.affine(np.full((1, 3), INF)), r"finite operator A"),
    (lambda: MIX.affine([["a"] * 3]), r"numbers in the operator A"),
    (lambda: MIX.affine(np.eye(3), [1.0]), r"b of shape \(3,\), got \(1,\)"),
    (lambda: MIX.affine(np.eye(3), columns=["a"]), r"3 distinct column names, got \['a'\]"),
    (lambda: MIX.observe([1.0, 2, 3]), r"variance of the noise, got none"),
    (lambda: MIX.observe([1.0, 2, 3], noise=0.0), r"noise with positive variance"),
    (lambda: MIX.observe([1.0, 2], noise=1.0), r"y of shape \(3,\), got \(2,\)"),
    (lambda: MIX.observe([1.0], np.ones((1, 2)), 1.0), r"operator A of shape \(p, 3\)"),
    (lambda: MIX.log_evidence([1.0, 2, 3]), r"variance of the noise, got none"),
    (lambda: MIX.product(LINE), r"as many columns in product, got 3 and 1"),
    (
        lambda: MIX.product(MIX.marginal(["height", "speed", "depth"])),
        r"same columns in product, got \['speed'.*marginal\(\)",
    ),
    (lambda: mx.blend([]), r"at least one mixture to blend, got none"),
    (lambda: mx.blend([MIX, LINE]), r"as many columns in blend, got 3 and 1"),
    (lambda: mx.blend([MIX, MIX], [1.0]), r"weights of shape \(2,\), got \(1,\)"),
    (lambda: mx.blend([MIX, MIX], [1.0, -1.0]), r"non-negative weights"),
    (lambda: mx.blend([MIX, MIX], [0.0, 0.0]), r"not all zero"),
    (lambda: MIX.relabel([0, 0]), r"permutation of 0 … 1 as order, got \[0, 0\]"),
    (lambda: MIX.relabel([0]), r"permutation of 0 … 1"),
    (lambda: MIX.denoise(MU, [0.1, 0.2, 0.3]), r"one standard deviation .* got a vector"),
    (lambda: MIX.denoise(MU, -1.0), r"positive standard deviation, got -1"),
    (lambda: MIX.denoise(MU, 0.0), r"positive standard deviation, got 0"),
    (lambda: MIX.denoise(MU[0], 0.1), r"y of shape \(n, 3\).*y\[None, :\]"),
    (lambda: MIX.cdf(0.0), r"one-dimensional mixture, got 3 columns; take marginal"),
    (lambda: MIX.quantile(0.5), r"one-dimensional mixture, got 3 columns"),
    (lambda: LINE.quantile(1.5), r"probabilities between 0 and 1"),
    (lambda: LINE.quantile(NAN), r"probabilities between 0 and 1"),
    (lambda: MIX.sample(-1), r"non-negative number of rows, got -1"),
    (lambda: MIX.sample(2.5), r"whole number of rows, got 2\.5"),
    (lambda: MIX.log_density([1.0, 2.0, 3.0]), r"shape \(n, 3\).* got \(3,\); .*X\[None, :\]"),
    (
        lambda: MIX.log_density(np.ones((4, 2))),
        r"X of shape \(n, 3\) \(speed, height, depth\), got",
    ),
    (lambda: MIX.log_density([[1.0, NAN, 2.0]]), r"finite values in X, got NaN .* 1 row; drop"),
    (lambda: MIX.responsibilities([[1.0, INF, 2.0]]), r"finite values in X"),
    (lambda: MIX.grad_log_density([["a", "b", "c"]]), r"numbers in X"),
    (
        lambda: MIX.log_density(pd.DataFrame({"speed": [1.0], "depth": [2.0]})),
        r"columns speed, height, depth in X, but height",
    ),
    (lambda: Mixture.from_sklearn(object()), r"fitted Gaussian mixture, got object"),
    (lambda: Mixture.from_sklearn(mx.GaussianMixture(2)), r"fitted .* call fit\(\) first"),
]


@cases(ALGEBRA)
def test_arguments_of_the_algebra(call, pattern):
    refused(call, InputError, pattern)


def test_an_error_without_advice_is_rejected():
    def curt():
        raise InputError("bad input")

    def foreign():
        raise ValueError("expected 1, got 2")

    refused(lambda: MIX.marginal([3]), InputError, "got 3")
    with pytest.raises(AssertionError):
        refused(curt, InputError, "bad")
    with pytest.raises(ValueError, match="expected 1"):
        refused(foreign, InputError, "expected")


# ---- fits --------------------------------------------------------------------------------------
X = np.random.default_rng(0).standard_normal((40, 3))
SPOILT = np.where(np.eye(40, 3) > 0, INF, X)


def fit(rows=X, weight=None, k=2, **settings):
    """A fit that may fail, as a call without arguments."""
    return lambda: mx.GaussianMixture(k, **settings).fit(rows, sample_weight=weight)


OURS = [
    (fit(weight=-np.ones(40)), r"non-negative sample_weight, got 40 negative values"),
    (fit(weight=np.zeros(40)), r"at least one positive sample_weight, got all zero"),
    (fit(weight=np.ones(39)), r"sample_weight of shape \(40,\), got \(39,\)"),
    (fit(weight=np.ones((40, 1))), r"sample_weight of shape \(40,\), got \(40, 1\)"),
    (fit(weight=np.full(40, NAN)), r"finite sample_weight, got NaN"),
    (fit(weight=["heavy"] * 40), r"numbers as sample_weight"),
    (fit(weight=np.eye(40)[0]), r"Expected n_samples >= n_components but got n_components = 2"),
    (fit(k=41), r"Expected n_samples >= n_components but got n_components = 41, n_samples = 40"),
    (fit(k=[2, 41]), r"at least as many rows as components, got 40 rows for 41"),
    (fit(k=[]), r"at least 1 component, got \[\]"),
    (fit(k=[0, 2]), r"at least 1 component, got \[0, 2\]"),
    (fit(covariance_type="lowrank", rank=4), r"rank below .* from 1 to 2, got 4"),
    (fit(resp_init=np.zeros(39, int)), r"resp_init"),
    (fit(resp_init=np.arange(40)), r"labels from 0 to 1 in resp_init, got 0 to 39; renumber"),
    (fit(resp_init=-np.ones(40)), r"labels from 0 to 1 in resp_init, got -1"),
    (fit(resp_init=np.full(40, 0.5)), r"whole numbers as labels in resp_init"),
    (fit(resp_init=np.full((40, 2), 0.4)), r"rows sum to 1 in resp_init, got sums from 0\.8"),
    (fit(resp_init=np.tile([1.5, -0.5], (40, 1))), r"non-negative responsibilities"),
    (fit(k="auto", resp_init=np.zeros(40, int)), r"resp_init=None while .* searched for"),
    (fit(covariance_type="auto", means_init=MU), r"means_init=None while"),
    (fit(covariance_type="lowrank", precisions_init=S), r"precisions_init=None with .*lowrank"),
    (fit(np.c_[X, np.ones(40)], reg_covar="auto"), r"columns that vary, got constant .* column 3"),
    (
        fit(np.ones((40, 3)), reg_covar="auto"),
        r"columns that vary, got constant values in column 0",
    ),
]


@cases([row for row in OURS if "Expected n_samples" not in row[1] and '"resp_init"' not in row[1]])
def test_fits_that_are_refused(call, pattern):
    if pattern == "resp_init":  # scikit-learn's words
        with pytest.raises(InputError, match=pattern):
            call()
    else:
        refused(call, InputError, pattern)


SCIKIT_LEARN_S = [
    (fit(k=0), r"The 'n_components' parameter of GaussianMixture must be .* Got 0"),
    (fit(k=-1), r"'n_components' parameter .* Got -1"),
    (fit(k=2.5), r"'n_components' parameter .* Got 2\.5"),
    (fit(covariance_type="toeplitz"), r"'covariance_type' parameter .* Got 'toeplitz'"),
    (fit(init_params="best"), r"'init_params' parameter .* Got 'best'"),
    (fit(reg_covar=-1.0), r"'reg_covar' parameter .* Got -1"),
    (fit(reg_covar="much"), r"'reg_covar' parameter .* Got 'much'"),
    (fit(tol=-1), r"'tol' parameter .* Got -1"),
    (fit(max_iter=-1), r"'max_iter' parameter .* Got -1"),
    (fit(rank=0), r"'rank' parameter .* Got 0"),
    (fit(k=41), r"Expected n_samples >= n_components but got n_components = 41, n_samples = 40"),
    (fit(weight=np.eye(40)[0]), r"Expected n_samples >= n_components"),
    (fit(SPOILT), r"Input X contains infinity"),
    (fit(X[:0]), r"Found array with 0 sample"),
    (fit(X[:1]), r"minimum of 2 is required"),
    (fit(X[:, :0]), r"0 feature"),
    (fit(X[:, 0]), r"Expected 2D array, got 1D array"),
    (fit(X + 1j), r"Complex data not supported"),
    (fit([["a", "b"], ["c", "d"]]), r"could not convert string to float"),
    (fit(weights_init=[0.5, 0.6]), r"'weights' should be normalized"),
    (fit(weights_init=[1.5, -0.5]), r"'weights' should be in the range"),
    (fit(weights_init=[1.0]), r"'weights' should have the shape of \(2,\), but got \(1,\)"),
    (fit(means_init=np.zeros((2, 4))), r"'means' should have the shape of \(2, 3\)"),
    (fit(precisions_init=-S), r"'full precision' should be symmetric, positive-definite"),
    (fit(precisions_init=S[:1]), r"'full precision' should have the shape of \(2, 3, 3\)"),
    (fit(covariance_type="diag", precisions_init=-np.ones((2, 3))), r"should be positive"),
]


@cases(SCIKIT_LEARN_S)
def test_fits_that_are_refused_in_scikit_learn_s_words(call, pattern):
    with pytest.raises(ValueError, match=pattern):
        call()


def test_a_failed_fit_leaves_the_estimator_as_it_was():
    gm = mx.GaussianMixture(2, random_state=0)
    with pytest.raises(ValueError, match="infinity"):
        gm.fit(SPOILT)
    with pytest.raises(NotFittedError):
        gm.predict(X)
    gm.fit(X)
    kept, means = gm.mixture_, gm.means_.copy()
    with pytest.raises(InputError):
        gm.fit(X, sample_weight=np.zeros(40))
    assert gm.mixture_ is kept
    np.testing.assert_array_equal(gm.means_, means)


def test_rows_of_other_columns_are_refused():
    gm = mx.GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="X has 2 features, but GaussianMixture is expecting 3"):
        gm.predict(X[:, :2])
    with pytest.raises(ValueError, match="contains infinity"):
        gm.score_samples(SPOILT)


def test_an_interrupt_in_the_middle_of_a_search_is_passed_on():
    def interrupt(progress):
        if progress.n_iter == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(Rows(X), n_components=[2, 3], callback=interrupt)


# ---- collapse, at both meanings of reg_covar ---------------------------------------------------
COLLAPSING = {
    "a duplicate column": np.c_[X, X[:, 0]],
    "a sum of columns": np.c_[X, X @ [1.0, 2.0, -1.0]],
    "a constant column": np.c_[X, np.ones(40)],
    "all rows equal": np.ones((40, 3)),
    "two rows": X[:2],
}


# A sum of columns is collinear up to rounding, which alone decides about its Cholesky factor.
@pytest.mark.parametrize("what", [name for name in COLLAPSING if name != "a sum of columns"])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "lowrank"])
def test_no_floor_and_a_collapse_is_scikit_learn_s_error(covariance_type, what):
    x = COLLAPSING[what]
    gm = mx.GaussianMixture(1, covariance_type=covariance_type, reg_covar=0, rank=2)
    with pytest.raises(IllDefinedCovarianceError, match="ill-defined empirical covariance"):
        gm.fit(x)
    theirs = "Fitting the mixture model failed because some components have ill-defined empirical"
    with pytest.raises(ValueError, match=theirs):
        gm.fit(x)
    assert not hasattr(gm, "mixture_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("what", ["a duplicate column", "a sum of columns"])
@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_collinear_columns_fit_under_the_relative_floor(covariance_type, k, what):
    x = COLLAPSING[what]
    gm = mx.GaussianMixture(k, covariance_type=covariance_type, reg_covar="auto", random_state=0)
    gm.fit(x)
    assert np.isfinite(gm.score_samples(x)).all()
    scaled = gm.mixture_.covariance.rescaled(1 / x.std(axis=0)).dense()
    assert np.linalg.eigvalsh(scaled).min() > 0.5e-6


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("k", [5, 20, 40])
def test_more_components_than_the_rows_can_feed(covariance_type, k):
    gm = mx.GaussianMixture(k, covariance_type=covariance_type, reg_covar="auto", random_state=0)
    gm.fit(X)
    assert 1 <= gm.n_components_ <= k
    assert gm.n_components_ == k or any("dropped" in note for note in gm.notes_)
    assert np.isfinite(gm.score_samples(X)).all()


# ---- extreme, and valid ------------------------------------------------------------------------
def groups(seed=0, n=60, d=3, gap=12.0):
    """Two clear groups of unit spread."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    x = rng.standard_normal((n, d))
    return x + gap * labels[:, None], labels


EXTREMES = {
    "values of 1e12 with unit spread": lambda x: x + 1e12,
    "values of -1e12 with unit spread": lambda x: x - 1e12,
    "scales that differ by 1e12": lambda x: x * [1.0, 1e-6, 1e6],
    "huge values": lambda x: x * 1e100,
    "tiny values": lambda x: x * 1e-100,
    "object columns": lambda x: x.astype(object),
    "ten rows": lambda x: x[:10],
    "heavy ties": lambda x: np.round(x),
    "whole numbers": lambda x: np.round(10 * x).astype(np.int32),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("init_params", ["kmeans", "deterministic"])
@pytest.mark.parametrize("covariance_type", STRUCTURES)
@pytest.mark.parametrize("what", EXTREMES)
def test_extreme_but_valid_rows(what, covariance_type, init_params):
    x, labels = groups()
    rows = EXTREMES[what](x)
    labels = labels[: len(rows)]
    gm = mx.GaussianMixture(
        2,
        covariance_type=covariance_type,
        reg_covar="auto",
        rank=1,
        init_params=init_params,
        random_state=0,
    )
    if what.startswith("scales") and covariance_type in ("EVE", "VVE"):
        # Axes in the columns' own units cannot be common to scales so far apart.
        with pytest.raises(ValueError, match="scales differ by less than"):
            gm.fit(rows)
        return
    gm.fit(rows)
    assert gm.n_components_ == 2
    assert np.isfinite(gm.score_samples(rows)).all()
    assert (gm.mixture_.covariance.diagonal() > 0).all()
    if what != "scales that differ by 1e12" or covariance_type != "spherical":
        assert adjusted_rand_score(labels, gm.predict(rows)) == 1.0


@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_an_offset_changes_nothing_but_the_means(covariance_type):
    x, _ = groups()
    x = np.round(x * 4096) / 4096  # exact numbers, also at an offset of 2^40
    settings = {
        "covariance_type": covariance_type,
        "reg_covar": "auto",
        "init_params": "deterministic",
        "rank": 1,
    }
    near = mx.GaussianMixture(2, **settings).fit(x)
    far = mx.GaussianMixture(2, **settings).fit(x + 2.0**40)
    place = np.spacing(2.0**40)  # 2.4e-4: means cannot be told closer
    assert_allclose(far.trace_, near.trace_, rtol=0, atol=place)
    assert_allclose(far.means_ - 2.0**40, near.means_, rtol=0, atol=2 * place)
    size = np.abs(near.covariances_).max()
    assert_allclose(far.covariances_, near.covariances_, rtol=0, atol=place * size)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_five_hundred_columns(covariance_type):
    x, labels = groups(n=80, d=500, gap=5.0)
    if covariance_type == "positive":
        with pytest.raises(ValueError, match="expected at most 150 columns"):
            mx.GaussianMixture(2, covariance_type=covariance_type).fit(x)
        return
    gm = mx.GaussianMixture(
        2, covariance_type=covariance_type, reg_covar="auto", rank=2, random_state=0, max_iter=2
    ).fit(x)
    assert np.isfinite(gm.score_samples(x)).all()
    assert adjusted_rand_score(labels, gm.predict(x)) == 1.0


def test_tables_with_object_columns_of_numbers():
    x, _ = groups()
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).astype(object)
    gm = mx.GaussianMixture(2, init_params="deterministic").fit(frame)
    assert gm.mixture_.columns == ("a", "b", "c")
    with pytest.raises(ValueError, match="could not convert string"):
        gm.fit(frame.assign(a=["one"] * 60))


def test_weights_of_one_number_weigh_all_rows():
    assert as_weights(None, 3) is None
    np.testing.assert_array_equal(as_weights(2, 3), [2.0, 2.0, 2.0])
