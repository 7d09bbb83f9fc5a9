"""Truncation and selection: what is hidden, the EM with phantom mass, and direct maximisation."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose
from scipy import integrate, optimize, stats
from scipy.special import expit

import mixtura as mx
from mixtura.channels import Inclusion, as_selection
from mixtura.channels.selection import Window
from mixtura.covariance import Added
from mixtura.errors import InputError
from mixtura.fit import run
from mixtura.fit.engines import Dense
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import STARTS, model_from_start
from tests.laws.cases import NAMES, mixture_of, random_covariance_matrix, structure_of

NAN, INF = np.nan, np.inf

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- what a rule hides ---------------------------------------------------------------------------
def hidden_by_quadrature(mean, sigma, kept, column):
    """1 − S and the moments of (1 − s) N about the mean, where s depends on one column."""
    scale = np.sqrt(sigma[column, column])
    gain = sigma[:, column] / sigma[column, column]
    rest = sigma - np.outer(gain, gain) * sigma[column, column]
    cuts = mean[column] + scale * np.linspace(-12, 12, 241)

    def integral(f):
        def value(x):
            return f(x - mean[column]) * (1 - kept(x)) * stats.norm.pdf(x, mean[column], scale)

        return sum(integrate.quad(value, a, b)[0] for a, b in itertools.pairwise(cuts))

    mass, first, second = (integral(lambda t, p=p: t**p) for p in range(3))
    return mass, gain * first, rest * mass + np.outer(gain, gain) * second


def window(lower, upper, n=1):
    lower, upper = np.atleast_2d(lower), np.atleast_2d(upper)
    return Window(lower, upper, np.zeros(n, dtype=int), np.zeros(n))


@pytest.mark.parametrize("bounds", [(-INF, 0.4), (-1.0, INF), (-0.5, 0.6), (3.0, 3.5), (-30, 30)])
def test_window_on_one_column(bounds):
    rng = np.random.default_rng(0)
    means, sigma = rng.normal(size=(2, 3)), [random_covariance_matrix(rng, 3) for _ in range(2)]
    lower, upper = np.full(3, -INF), np.full(3, INF)
    lower[1], upper[1] = bounds
    got = window(lower, upper).unseen(means, np.linalg.cholesky(sigma))
    for j in range(2):
        # the edges are cut points of the quadrature's pieces, or nearly
        law = stats.norm(means[j, 1], np.sqrt(sigma[j][1, 1]))
        inside = law.cdf(bounds[1]) - law.cdf(bounds[0])
        assert_allclose(np.exp(got.log_seen[0, j]), inside, rtol=1e-8)
        mass, first, second = hidden_by_quadrature(
            means[j], sigma[j], lambda x: float(bounds[0] <= x <= bounds[1]), 1
        )
        assert_allclose(got.mass[0, j], mass, atol=2e-6)
        assert_allclose(got.first[0, j], first, atol=2e-5)
        assert_allclose(got.second[0, j], second, atol=2e-4)


def test_window_on_independent_columns():
    rng = np.random.default_rng(1)
    mean, variance = np.array([0.3, -0.2, 1.0]), np.array([1.0, 0.5, 2.0])
    lower, upper = np.array([-1.0, -INF, 0.0]), np.array([0.5, 0.7, INF])
    got = window(lower, upper).unseen(mean[None], np.diag(np.sqrt(variance))[None])
    x = mean + np.sqrt(variance) * rng.standard_normal((500_000, 3))
    out = ((x < lower) | (x > upper)).any(axis=1)
    centred = np.where(out[:, None], x - mean, 0.0)
    assert_allclose(got.mass[0, 0], out.mean(), atol=4e-3)  # a few standard errors
    assert_allclose(got.first[0, 0], centred.mean(axis=0), atol=8e-3)
    assert_allclose(got.second[0, 0], centred.T @ centred / len(x), atol=1.6e-2)


def test_inclusion_that_has_a_closed_form():
    # ∫ Φ(a·x + b) N(x; μ, Σ) dx = Φ((a·μ + b) / √(1 + aᵀ Σ a))
    rng = np.random.default_rng(2)
    means, sigma = rng.normal(size=(2, 3)), [random_covariance_matrix(rng, 3) for _ in range(2)]
    a, b = np.array([0.5, -1.0, 0.2]), 0.3
    rule = as_selection(lambda x: stats.norm.cdf(x @ a + b), np.zeros((4, 3)))
    assert isinstance(rule, Inclusion)
    got = rule.unseen(means, np.linalg.cholesky(sigma))
    for j in range(2):
        expected = stats.norm.cdf((means[j] @ a + b) / np.sqrt(1 + a @ sigma[j] @ a))
        assert_allclose(np.exp(got.log_seen[0, j]), expected, atol=1e-3)
    assert_allclose(rule.log_kept, stats.norm.logcdf(0.3))


def test_inclusion_agrees_with_a_window():
    rng = np.random.default_rng(3)
    mix = mixture_of("full", rng, 3, 2)
    factor = np.linalg.cholesky(mix.covariance.dense())
    exact = window([-INF, -0.3], [INF, 0.8]).unseen(mix.means, factor)
    rule = as_selection(
        lambda x: ((x[:, 1] >= -0.3) & (x[:, 1] <= 0.8)).astype(float), np.zeros((1, 2))
    )
    near = rule.unseen(mix.means, factor)
    size = np.abs(mix.covariance.dense()).max()
    assert_allclose(near.mass, exact.mass, atol=5e-3)
    assert_allclose(near.first, exact.first, atol=1e-2 * np.sqrt(size))
    assert_allclose(near.second, exact.second, atol=2e-2 * size)


# ---- EM ------------------------------------------------------------------------------------------
TRUTH = mx.Mixture(
    [0.4, 0.6],
    [[0.0, 0.0], [3.0, 2.0]],
    np.array([[[1.0, 0.6], [0.6, 0.8]], [[0.7, -0.3], [-0.3, 0.9]]]),
)
ABOVE = ([-INF, -0.5], None)


def kept(n, seed=1):
    x = TRUTH.sample(n, rng=seed)
    return x[x[:, 1] >= -0.5]


def loss(mix):
    """KL(truth ‖ mix) in nats, on draws."""
    x = TRUTH.sample(40_000, rng=77)
    return float(np.mean(TRUTH.log_density(x) - mix.log_density(x)))


def model_of(name, x, selection, k=2):
    rng = np.random.default_rng(4)
    rows = arrive(x, rng.uniform(0.5, 2, len(x)), selection=selection)
    labels = STARTS["deterministic"](rows, k, 0)
    rule = structure_of(name, x.shape[1])
    return model_from_start(rows, labels, k, rule, Added(0.0)), rows


@pytest.mark.parametrize("name", NAMES)
def test_em_never_descends(name):
    model, rows = model_of(name, kept(600), ABOVE)
    trace = np.array(run(model, rows, Dense(), max_iter=20, tol=0.0).trace)
    assert np.diff(trace).min() >= -1e-9 * np.abs(trace).max()
    mix, x = model.mixture(), rows.x
    inside = [
        stats.norm.sf(-0.5, m[1], np.sqrt(c[1, 1]))
        for m, c in zip(mix.means, mix.covariance.dense(), strict=True)
    ]
    each = mix.log_density(x) - np.log(mix.weights @ inside)
    assert_allclose(trace[0], np.average(each, weights=rows.weight), rtol=1e-10)


def test_em_that_forgets_the_phantoms_is_found_out(monkeypatch):
    x = kept(4000)
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=3000, tol=1e-9, reg_covar=0)
    honest = sklearn.clone(gm).fit(x, selection=ABOVE)
    assert np.diff(honest.trace_).min() > -1e-12
    monkeypatch.setattr(
        "mixtura.fit.selection.SelectedView.statistics", lambda self, r: self._view.statistics(r)
    )
    with pytest.raises(AssertionError):
        liar = sklearn.clone(gm).fit(x, selection=ABOVE)
        assert np.diff(liar.trace_).min() > -1e-12
        assert liar.trace_[-1] > honest.trace_[-1] - 1e-6


def test_one_gaussian_is_the_maximum_of_the_truncated_likelihood():
    rng = np.random.default_rng(5)
    x = rng.normal(1.0, 2.0, 3000)
    x = x[(x > 0) & (x < 4)]
    gm = mx.GaussianMixture(1, reg_covar=0, tol=1e-13, max_iter=20_000)
    gm.fit(x[:, None], selection=(0, 4))

    def negative(p):
        law = stats.norm(p[0], np.exp(p[1]))
        return -(law.logpdf(x).mean() - np.log(law.cdf(4) - law.cdf(0)))

    best = optimize.minimize(negative, [1.0, 0.0], method="BFGS", options={"gtol": 1e-9})
    assert_allclose(gm.lower_bound_, -best.fun, rtol=1e-8)
    assert_allclose(gm.means_[0, 0], best.x[0], rtol=2e-2)
    assert_allclose(gm.covariances_[0, 0, 0], np.exp(2 * best.x[1]), rtol=2e-2)
    assert gm.score(x[:, None], selection=(0, 4)) == pytest.approx(gm.lower_bound_)


def test_the_truncated_part_is_recovered():
    x = kept(8000)
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=3000, tol=1e-8)
    known = loss(sklearn.clone(gm).fit(x, selection=ABOVE).mixture_)
    ignored = loss(sklearn.clone(gm).fit(x).mixture_)
    assert known < 0.02
    assert ignored > 10 * known


def test_windows_of_each_row():
    rng = np.random.default_rng(6)
    x = TRUTH.sample(12_000, rng=2)
    lower = np.full(x.shape, -INF)
    lower[:, 1] = rng.choice([-1.0, 0.0, 1.0], len(x))
    inside = (x >= lower).all(axis=1)
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=3000, tol=1e-8)
    assert loss(gm.fit(x[inside], selection=(lower[inside], None)).mixture_) < 0.02


def test_a_probability_of_inclusion():
    rng = np.random.default_rng(7)
    x = TRUTH.sample(12_000, rng=3)

    def probability(x):
        return 0.05 + 0.9 * expit(2 * (x[:, 0] - 1.5))

    x = x[rng.random(len(x)) < probability(x)]
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=2000, tol=1e-8)
    known = loss(sklearn.clone(gm).fit(x, selection=probability).mixture_)
    ignored = loss(sklearn.clone(gm).fit(x).mixture_)
    assert known < 0.01
    assert ignored > 10 * known


def test_gaps_beside_a_window():
    rng = np.random.default_rng(8)
    x = kept(6000)
    x[rng.random(len(x)) < 0.3, 0] = NAN
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=3000, tol=1e-8)
    gm.fit(x, selection=ABOVE)
    assert np.diff(gm.trace_).min() > -1e-12
    assert loss(gm.mixture_) < 0.02


def test_a_window_that_hides_nothing_changes_nothing():
    x = TRUTH.sample(500, rng=3)
    gm = mx.GaussianMixture(2, random_state=0, max_iter=3, tol=0)
    plain = sklearn.clone(gm).fit(x)
    wide = sklearn.clone(gm).fit(x, selection=([-INF, -60], None))
    assert_allclose(wide.trace_, plain.trace_, rtol=1e-10)
    assert sklearn.clone(gm).fit(x, selection=(None, None)).trace_ == plain.trace_
    assert_allclose(wide.bic(x, selection=([-INF, -60], None)), plain.bic(x), rtol=1e-9)


def test_the_search_takes_a_window():
    x = kept(1500)
    gm = mx.GaussianMixture([1, 2, 3], covariance_type=["full"], random_state=0)
    assert gm.fit(x, selection=ABOVE).n_components_ == 2


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(9)
    x = kept(300)
    times = rng.integers(0, 4, len(x))
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=15, tol=0.0)
    one = sklearn.clone(gm).fit(x, sample_weight=times, selection=ABOVE)
    other = sklearn.clone(gm).fit(np.repeat(x, times, axis=0), selection=ABOVE)
    assert_allclose(one.trace_, other.trace_, rtol=1e-9)


def test_default_settings_do_not_stop_far_from_the_end():
    # Of N(0, 1) nothing below 1 is kept; plain EM stops at a mean of 1.05 and calls it converged.
    z = np.random.default_rng(10).normal(size=(120_000, 1))
    z = z[z > 1][:15_000].reshape(-1, 1)
    gm = mx.GaussianMixture(1, max_iter=1000).fit(z, selection=(1, None))
    assert gm.converged_
    truth = np.mean(stats.norm.logpdf(z) - stats.norm.logsf(1))
    assert (truth - gm.lower_bound_) * len(z) < 1  # nats in total
    found = mx.GaussianMixture([1, 2], reg_covar="auto", max_iter=1000, random_state=0)
    assert found.fit(z, selection=(1, None)).n_components_ == 1


def test_a_function_may_write_to_what_it_is_given():
    x = kept(200)
    before = x.copy()

    def writes(v):
        v -= v.mean(axis=0)
        return np.full(len(v), 0.5)

    gm = mx.GaussianMixture(2, random_state=0)
    gm.fit(x, selection=writes).score_samples(x, selection=writes)
    assert (x == before).all()


def test_single_precision_rows_on_the_edge_of_the_window():
    x = np.maximum(kept(300), 0.1).astype(np.float32)  # float32(0.1) > 0.1
    mx.GaussianMixture(1, covariance_type="diag").fit(x, selection=(0.1, None))
    x = np.minimum(x, 0.7)  # float32(0.7) < 0.7
    mx.GaussianMixture(1, covariance_type="diag").fit(x, selection=(0.1, 0.7))


def test_batches_look_at_their_own_windows_alone():
    rule = as_selection((np.linspace(-9, -8, 1000)[:, None], None), np.zeros((1000, 1)))
    part = rule[10:20].restricted()
    assert len(part.lower) == 10
    assert_allclose(part.lower[part.index], rule.lower[rule.index[10:20]])


# ---- bad input -----------------------------------------------------------------------------------
X = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 3.0], [4.0, 2.0], [0.5, 0.2]])


@pytest.mark.parametrize(
    ("selection", "words"),
    [
        (3.0, "expected selection=\\(lower, upper\\)"),
        (([-INF, 0.3], None), "got 1 that lie outside of the window, the first of them row 4"),
        ((None, [3.0, INF]), "the first of them row 3"),
        ((-1, 9), "a window on one column where columns are correlated"),
        (lambda x: 0.5, "of shape \\(5,\\), got \\(\\)"),
        (lambda x: np.full(len(x), 1.5), "between 0 and 1, got 1.5 to 1.5"),
        (lambda x: np.full(len(x), NAN), "got NaN"),
        (lambda x: (x[:, 0] < 3).astype(float), "whose probability of inclusion is 0"),
    ],
)
def test_bad_selection(selection, words):
    with pytest.raises(InputError, match=words):
        mx.GaussianMixture(1).fit(X, selection=selection)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda gm: gm.score_samples(X, noise=1.0, selection=(-1, 9)), "selection without noise"),
        (
            lambda gm: gm.score_samples(X, selection=lambda x: np.full(len(x), 1e-300)),
            "too small",
        ),
        (lambda gm: gm.fit(X, selection=lambda x: ["a"] * len(x)), "no array of numbers"),
        (lambda gm: gm.fit(X, selection=lambda x: np.full(len(x), 1j)), "no array of numbers"),
    ],
)
def test_clear_refusals(call, words):
    gm = mx.GaussianMixture(1).fit(X)
    with pytest.raises(InputError, match=words):
        call(gm)


def test_probabilities_may_be_rounded():
    gm = mx.GaussianMixture(1).fit(X)
    almost = mx.GaussianMixture(1).fit(X, selection=lambda x: np.full(len(x), 1 + 1e-15))
    assert_allclose(almost.means_, gm.means_)


def test_what_does_not_go_together():
    gaps = X.copy()
    gaps[1, 1] = NAN
    gm = mx.GaussianMixture(1)
    with pytest.raises(InputError, match="missing cells in column 1"):
        gm.fit(gaps, selection=([-INF, 0.0], None))
    with pytest.raises(InputError, match="whole rows"):
        gm.fit(gaps, selection=lambda x: np.ones(len(x)))
    with pytest.raises(InputError, match="selection without noise"):
        gm.fit(X, noise=0.1, selection=([-INF, 0.0], None))
    with pytest.raises(InputError, match="selection without operators"):
        gm.fit(X, operators=np.eye(2), selection=([-INF, 0.0], None))
    with pytest.raises(InputError, match="censored cells in column 1"):
        gm.fit(X, censored=([-INF, 0.3], None), selection=([-INF, 0.0], None))
