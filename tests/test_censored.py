"""Censored cells: truncated-normal moments, the EM on them, and direct maximisation."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import integrate, optimize, stats

import mixtura as mx
from mixtura.arrays.truncnorm import truncated_normal
from mixtura.channels import Censored, measured
from mixtura.covariance import Added
from mixtura.covariance.observed import Compiled
from mixtura.errors import InputError
from mixtura.fit import run
from mixtura.fit.engines import Dense
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import STARTS, model_from_start
from tests.laws import censored as laws
from tests.laws.cases import NAMES, clusters, mixture_of, structure_of
from tests.laws.censored import Table

NAN, INF = np.nan, np.inf

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- the standard normal on an interval ----------------------------------------------------------
def by_quadrature(low, high):
    """Log mass, mean and variance, in units of the height at the interval's highest point."""
    peak = min(max(low, 0.0), high)
    reach = np.sqrt(peak**2 + 80)
    a, b = max(low, -reach), min(high, reach)
    cuts = np.linspace(a, b, 40)

    def integral(f):
        pieces = itertools.pairwise(cuts)
        height = lambda z: np.exp(-0.5 * (z - peak) * (z + peak))  # noqa: E731
        return sum(integrate.quad(lambda z: f(z) * height(z), *piece)[0] for piece in pieces)

    mass = integral(lambda z: 1.0)
    mean = peak + integral(lambda z: z - peak) / mass
    variance = integral(lambda z: (z - mean) ** 2) / mass
    return np.log(mass) - 0.5 * peak**2 - 0.5 * np.log(2 * np.pi), mean, variance


INTERVALS = [
    *[(-INF, b) for b in (-300.0, -30.0, -4.01, -3.99, -1.0, 0.0, 2.0, 9.0)],
    *[(a, INF) for a in (-9.0, 0.0, 3.0, 50.0)],
    *[(-1.0, 1.0), (-1e-6, 1e-6), (3.0, 3.001), (30.0, 31.0), (-20.0, 30.0), (-9.0, -1.0)],
    *[(5.0, 1000.0), (-200.0, -100.0)],
]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_moments_on_an_interval(low, high):
    got = [float(v[0]) for v in truncated_normal(np.array([low]), np.array([high]))]
    expected = by_quadrature(low, high)
    assert_allclose(got[0], expected[0], rtol=1e-9, atol=1e-9)
    assert_allclose(got[1], expected[1], rtol=1e-9, atol=1e-9)
    assert_allclose(got[2], expected[2], rtol=1e-7)


def test_no_bound_is_the_standard_normal():
    log_mass, mean, variance = truncated_normal(np.array([-INF]), np.array([INF]))
    assert (log_mass[0], mean[0], variance[0]) == (0, 0, 1)


@given(st.floats(-40, 40), st.floats(1e-6, 40))
def test_an_interval_and_its_mirror_image(low, width):
    one = truncated_normal(np.array([low]), np.array([low + width]))
    other = truncated_normal(np.array([-low - width]), np.array([-low]))
    assert_allclose(one[0], other[0], rtol=1e-12)
    assert_allclose(one[1], -other[1], rtol=1e-10, atol=1e-13)
    assert_allclose(one[2], other[2], rtol=1e-10)
    assert low <= one[1][0] <= low + width
    assert 0 < one[2][0] <= 1


# ---- one step ------------------------------------------------------------------------------------
def table(rng, d, n=10, *, noise="none", several=False, gaps=True):
    """Rows with censored cells: one at most in a row, or any number."""
    y = 2 * rng.standard_normal((n, d))
    if gaps:
        y[rng.random((n, d)) < 0.2] = NAN
    lower, upper = np.full((n, d), -INF), np.full((n, d), INF)
    for i in range(n):
        chosen = rng.permutation(d)[: (rng.integers(0, min(d, 2) + 1) if several else i % 3 > 0)]
        for j in chosen:
            limit = rng.normal()
            if rng.random() < 0.5:
                lower[i, j], y[i, j] = limit, limit - rng.exponential()
            else:
                upper[i, j], y[i, j] = limit, limit
    s = {
        "none": np.zeros((n, d)),
        "columns": np.tile(rng.uniform(0.1, 1, d), (n, 1)),
        "cells": rng.uniform(0.1, 1, (n, d)),
    }[noise]
    return Table(y, s, lower, upper)


@pytest.mark.parametrize("noise", ["none", "columns", "cells"])
@pytest.mark.parametrize("seed", range(4))
def test_step(noise, seed):
    rng = np.random.default_rng(seed)
    d = 1 + seed
    mix = mixture_of("full", rng, 2, d)
    one = table(rng, d, noise=noise)
    laws.densities(Compiled(mix.means, mix.covariance), mix, one)
    kind = structure_of("full", d).kind(mix.covariance, d)
    laws.moments(Compiled(mix.means, mix.covariance), mix, one, kind, rng)


@pytest.mark.parametrize("name", ["diag", "spherical", "VEI"])
@pytest.mark.parametrize("noise", ["none", "cells"])
def test_step_with_several_cells(name, noise):
    rng = np.random.default_rng(5)
    mix = mixture_of(name, rng, 2, 3)
    one = table(rng, 3, n=6, noise=noise, several=True)
    laws.densities(Compiled(mix.means, mix.covariance), mix, one)
    kind = structure_of(name, 3).kind(mix.covariance, 3)
    laws.moments(Compiled(mix.means, mix.covariance), mix, one, kind, rng)


class Liar:
    def __init__(self, honest):
        self.honest = honest

    def log_density(self, y, channel):
        return self.honest.log_density(y, channel)

    def statistics(self, y, channel, resp, kind):
        return self.honest.statistics(y, channel, resp, kind)


class TakesLimitsForValues(Liar):
    def log_density(self, y, channel):
        return self.honest.log_density(channel.shown(y), _uncensored(y, channel))

    def statistics(self, y, channel, resp, kind):
        return self.honest.statistics(channel.shown(y), _uncensored(y, channel), resp, kind)


class TakesCellsForMissing(Liar):
    def log_density(self, y, channel):
        return self.honest.log_density(y, channel.seen)

    def statistics(self, y, channel, resp, kind):
        return self.honest.statistics(y, channel.seen, resp, kind)


def _uncensored(y, channel):
    from mixtura.channels import Rowwise

    return Rowwise(channel.variance, y.shape[1])


class PutsMeansInPlace(Liar):
    """E[y | interval] for y: what the interval leaves open is forgotten."""

    def statistics(self, y, channel, resp, kind):
        def certain(low, high):
            log_mass, mean, variance = truncated_normal(low, high)
            return log_mass, mean, 0 * variance

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mixtura.channels.censored.truncated_normal", certain)
            return self.honest.statistics(y, channel, resp, kind)


@pytest.mark.parametrize(
    ("law", "lie"),
    [
        ("densities", TakesLimitsForValues),
        ("densities", TakesCellsForMissing),
        ("moments", TakesLimitsForValues),
        ("moments", TakesCellsForMissing),
        ("moments", PutsMeansInPlace),
    ],
)
def test_liar_is_rejected(law, lie):
    rng = np.random.default_rng(2)
    mix = mixture_of("full", rng, 2, 2)
    one = table(rng, 2, gaps=False)
    liar = lie(Compiled(mix.means, mix.covariance))
    with pytest.raises(AssertionError):
        if law == "densities":
            laws.densities(liar, mix, one)
        else:
            kind = structure_of("full", 2).kind(mix.covariance, 2)
            laws.moments(liar, mix, one, kind, rng)


def test_rows_keep_their_places_and_do_not_look_at_each_other():
    rng = np.random.default_rng(3)
    mix = mixture_of("full", rng, 3, 3)
    one = table(rng, 3, n=200)
    gm = mx.GaussianMixture(3).fit(mix.sample(200, rng=0))
    gm.mixture_ = mix
    limits = (one.lower, one.upper)
    scores = gm.score_samples(one.y, censored=limits)
    for cut in (slice(0, 7), slice(50, 120), slice(3, 4)):
        part = gm.score_samples(one.y[cut], censored=(one.lower[cut], one.upper[cut]))
        assert_allclose(part, scores[cut], rtol=1e-9, atol=1e-10)
    resp = gm.predict_proba(one.y, censored=limits)
    assert_allclose(resp.sum(axis=1), 1)
    assert_array_equal(gm.predict(one.y, censored=limits), resp.argmax(axis=1))


def test_censored_rows_beyond_the_range_of_floats():
    mix = mx.Mixture([0.5, 0.5], [[0.0, 0.0], [4.0, 4.0]], [1.0, 1.0])
    gm = mx.GaussianMixture(2).fit(mix.sample(100, rng=0))
    gm.mixture_ = mix
    far = np.array([[1e200, 0.0], [0.0, -1e200], [2.5, 0.0]])
    limits = ([-INF, -1e190], [INF, INF])
    scores, resp = (f(far, censored=limits) for f in (gm.score_samples, gm.predict_proba))
    assert np.isfinite(scores).all() and (scores[:2] < -1e300).all()
    assert_allclose(resp.sum(axis=1), 1)
    assert_allclose(scores[2], mix.log_density(far[2:]))
    near = gm.score_samples(far[[0, 2]], censored=([-INF, 0.5], None))
    assert near[0] < -1e300
    assert np.isfinite(near[1])


# ---- EM ------------------------------------------------------------------------------------------
def below(x, column, share):
    """One column censored below its quantile."""
    limit = np.full(x.shape[1], -INF)
    limit[column] = np.quantile(x[:, column], share)
    return np.maximum(x, limit), limit


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("noisy", [False, True])
def test_em_never_descends(name, noisy):
    rng = np.random.default_rng(6)
    x, _ = clusters(rng, 150, 2, 3)
    y, limit = below(x, 1, 0.3)
    y[::7, 0] = NAN
    noise = rng.uniform(0.05, 0.4, y.shape) if noisy else None
    rows = arrive(y, rng.uniform(0.5, 2, len(y)), noise, censored=(limit, None))
    labels = STARTS["deterministic"](rows, 2, 0)
    model = model_from_start(rows, labels, 2, structure_of(name, 3), Added(0.0))
    trace = np.array(run(model, rows, Dense(), max_iter=15, tol=0.0).trace)
    assert np.diff(trace).min() >= -1e-9 * np.abs(trace).max()


def tobit(y, limit):
    """Maximum likelihood of one Gaussian in two columns, the second censored below."""
    hidden = y[:, 1] <= limit

    def loss(p):
        mean, a = p[:2], np.array([[np.exp(p[2]), 0], [p[3], np.exp(p[4])]])
        c = a @ a.T
        total = stats.multivariate_normal(mean, c).logpdf(y[~hidden]).sum()
        centre = mean[1] + c[0, 1] / c[0, 0] * (y[hidden, 0] - mean[0])
        scale = np.sqrt(c[1, 1] - c[0, 1] ** 2 / c[0, 0])
        total += stats.norm(mean[0], np.sqrt(c[0, 0])).logpdf(y[hidden, 0]).sum()
        return -(total + stats.norm.logcdf((limit - centre) / scale).sum()) / len(y)

    p = optimize.minimize(loss, np.zeros(5), method="BFGS", options={"gtol": 1e-8}).x
    a = np.array([[np.exp(p[2]), 0], [p[3], np.exp(p[4])]])
    return p[:2], a @ a.T, -loss(p)


def test_one_gaussian_is_the_maximum_of_the_tobit_likelihood():
    rng = np.random.default_rng(7)
    x = rng.multivariate_normal([1.0, -2.0], [[1.0, 0.8], [0.8, 1.5]], 800)
    y = np.where(np.array([False, True]) & (x < -2.3), -99.0, x)  # any value below says the same
    mean, covariance, height = tobit(y, -2.3)
    gm = mx.GaussianMixture(1, reg_covar=0, tol=1e-12, max_iter=1000)
    gm.fit(y, censored=([-INF, -2.3], None))
    assert_allclose(gm.lower_bound_, height, rtol=1e-9)
    assert_allclose(gm.means_[0], mean, atol=1e-5)
    assert_allclose(gm.covariances_[0], covariance, atol=1e-5)
    assert gm.score(y, censored=([-INF, -2.3], None)) == pytest.approx(gm.lower_bound_)


TRUTH = mx.Mixture(
    [0.4, 0.6],
    [[0.0, 0.0], [3.0, 2.0]],
    np.array([[[1.0, 0.6], [0.6, 0.8]], [[0.7, -0.3], [-0.3, 0.9]]]),
)


def loss(mix):
    """KL(truth ‖ mix) in nats, on draws."""
    x = TRUTH.sample(40_000, rng=77)
    return float(np.mean(TRUTH.log_density(x) - mix.log_density(x)))


def test_the_censored_part_is_recovered():
    x = TRUTH.sample(4000, rng=1)
    y, limit = below(x, 1, 0.3)
    settled = mx.GaussianMixture(2, init_params="deterministic", max_iter=1000, tol=1e-7)
    known = loss(sklearn.clone(settled).fit(y, censored=(limit, None)).mixture_)
    taken = loss(sklearn.clone(settled).fit(y).mixture_)
    missing = loss(sklearn.clone(settled).fit(np.where(y <= limit, NAN, y)).mixture_)
    assert known < 0.01
    assert taken > 10 * known
    assert missing > 10 * known


def test_limits_of_each_row():
    rng = np.random.default_rng(8)
    x = TRUTH.sample(4000, rng=2)
    lower, upper = np.full(x.shape, -INF), np.full(x.shape, INF)
    lower[::2, 0] = rng.normal(0.5, 1, 2000)
    upper[1::2, 1] = rng.normal(2.0, 1, 2000)
    y = np.clip(x, lower, upper)
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=1000, tol=1e-7)
    assert loss(gm.fit(y, censored=(lower, upper)).mixture_) < 0.01


def test_limits_that_no_cell_reaches_change_nothing():
    x = TRUTH.sample(300, rng=3)
    gm = mx.GaussianMixture(2, random_state=0)
    plain = sklearn.clone(gm).fit(x).trace_
    assert sklearn.clone(gm).fit(x, censored=(-100, 100)).trace_ == plain
    gaps = np.where(np.arange(600).reshape(300, 2) % 7 == 0, NAN, x)
    plain = sklearn.clone(gm).fit(gaps).trace_
    assert sklearn.clone(gm).fit(gaps, censored=(-100, [INF, 100])).trace_ == plain


def test_weights_are_repeated_rows():
    rng = np.random.default_rng(9)
    y, limit = below(TRUTH.sample(300, rng=4), 0, 0.25)
    times = rng.integers(0, 4, 300)
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=15, tol=0.0)
    one = sklearn.clone(gm).fit(y, sample_weight=times, censored=(limit, None))
    other = sklearn.clone(gm).fit(np.repeat(y, times, axis=0), censored=(limit, None))
    assert_allclose(one.trace_, other.trace_, rtol=1e-9)
    bic = one.bic(y, times, censored=(limit, None))
    assert_allclose(bic, other.bic(np.repeat(y, times, axis=0), censored=(limit, None)))


def test_the_search_sets_aside_structures_that_several_cells_rule_out():
    rng = np.random.default_rng(10)
    x = rng.normal(size=(900, 2)) + np.array([[0, 0], [6, 5], [0, 9]])[np.arange(900) % 3]
    limit = np.array([-0.5, -0.5])
    y = np.maximum(x, limit)
    gm = mx.GaussianMixture([2, 3], covariance_type=["diag", "full"], random_state=0)
    gm.fit(y, censored=(limit, None))
    assert gm.covariance_type_ == "diag"
    assert gm.n_components_ == 3
    reasons = [t.error for t in gm.search_.trials if t.covariance_type == "full"]
    assert all("at most one censored cell" in r for r in reasons)


@pytest.mark.parametrize("limits", [(0.1, None), (None, 0.7)])
def test_single_precision_cells_at_their_limit_are_censored(limits):
    z = np.random.default_rng(11).normal(size=(4000, 1))
    z = np.clip(z, -INF if limits[0] is None else limits[0], limits[1])
    wide = mx.GaussianMixture(1).fit(z, censored=limits)
    narrow = mx.GaussianMixture(1).fit(z.astype(np.float32), censored=limits)
    assert_allclose(narrow.means_, wide.means_, atol=1e-4)
    assert abs(wide.means_[0, 0]) < 0.1


def test_heavy_censoring_at_default_settings():
    z = np.random.default_rng(12).normal(size=(20_000, 1))
    gm = mx.GaussianMixture(1, max_iter=1000).fit(np.maximum(z, 1.0), censored=(1.0, None))
    assert_allclose([gm.means_[0, 0], gm.covariances_[0, 0, 0]], [0, 1], atol=0.06)


# ---- bad input -----------------------------------------------------------------------------------
X = np.array([[0.0, 1.0], [2.0, 0.5], [1.0, 3.0], [4.0, 2.0], [0.5, 0.2]])


@pytest.mark.parametrize(
    ("censored", "words"),
    [
        (0.5, "expected censored=\\(lower, upper\\)"),
        ((1.0, 2.0, 3.0), "expected censored=\\(lower, upper\\)"),
        ((2.0, 1.0), "lower limits below upper"),
        (([0.0, NAN], None), "NaN for column 1"),
        ((NAN, None), "got NaN; use infinity"),
        (([0.0, 1.0, 2.0], None), "got \\(3,\\)"),
        (("low", None), "expected numbers"),
        ((pd.Series([0.0, 1.0]), None), "a Series with labels"),
        (([True, False], None), "got True or False"),
        (([-INF, 10.0], None), "in column 1, where every cell is"),
        ((0.7, None), "at most one censored cell"),
    ],
)
def test_bad_limits(censored, words):
    with pytest.raises(InputError, match=words):
        mx.GaussianMixture(1).fit(X, censored=censored)


def test_what_does_not_go_together():
    with pytest.raises(InputError, match="correlated noise"):
        mx.GaussianMixture(1).fit(X, noise=np.eye(2), censored=([-INF, 0.3], None))
    with pytest.raises(InputError, match="with operators"):
        mx.GaussianMixture(1).fit(X, operators=np.eye(2), censored=([-INF, 0.3], None))
    wide = np.random.default_rng(0).normal(size=(200, 70))
    limit = np.full(70, -INF)
    limit[0] = -1.0
    with pytest.raises(InputError, match="at most 64 columns"):
        mx.GaussianMixture(1, covariance_type="diag").fit(wide, censored=(limit, None))


def test_the_channel_says_what_is_hidden():
    arrival = measured(X, censored=([-INF, 0.3], None))
    channel = arrival.channel
    assert isinstance(channel, Censored)
    assert channel.censored.sum() == 1
    assert not channel.missing.any()
    assert arrival.returned(channel.shown(arrival.sorted(X)))[4, 1] == 0.3
