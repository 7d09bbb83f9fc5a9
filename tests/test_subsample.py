"""Subsamples: sums over them are unbiased, thinned rows lie closely, fits end on all rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.errors import InputError
from mixtura.fit.engines import Dense
from mixtura.fit.ground import arrive
from mixtura.fit.search import search
from mixtura.fit.subsample import SUBSAMPLES, as_subsample, subsampled
from mixtura.fit.thinning import thinned
from mixtura.sources import Rows
from tests.laws import starts as laws
from tests.test_seeding import clusters


def rows_with_a_tail(n=400):
    """Two large clusters and a few far rows; functions whose sums are asked for."""
    rng = np.random.default_rng(0)
    x = np.concatenate([clusters(rng, n - 6, 2, 2), 40 + 5 * rng.standard_normal((6, 2))])
    f = np.concatenate([np.ones((n, 1)), x, x**2, (x[:, :1] > 20)], axis=1)
    return x, f, rng.uniform(0.2, 3.0, n)


# ---- unbiased ------------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["random", "sensitivity"])
def test_weighted_sums_are_unbiased(name, weighted):
    x, f, weight = rows_with_a_tail()
    w = weight if weighted else None
    mass = weight if weighted else np.ones(len(x))
    laws.is_unbiased(lambda rng: SUBSAMPLES[name](x, w, 60, 4, rng), f, mass)


def forgets_what_it_favoured(x, weight, size, k, rng):
    index, w = SUBSAMPLES["sensitivity"](x, weight, size, k, rng)
    return index, np.full(len(w), weight.sum() / len(w))


def counts_repeats_once(x, weight, size, k, rng):
    index = np.unique(rng.choice(len(x), size, p=weight / weight.sum()))
    return index, np.full(len(index), weight.sum() / size)


def forgets_weights(x, weight, size, k, rng):
    return SUBSAMPLES["sensitivity"](x, None, size, k, rng)


@pytest.mark.parametrize("liar", [forgets_what_it_favoured, counts_repeats_once, forgets_weights])
def test_biased_draws_are_rejected(liar):
    x, f, weight = rows_with_a_tail()
    with pytest.raises(AssertionError):
        laws.is_unbiased(lambda rng: liar(x, weight, 60, 4, rng), f, weight)


def test_sensitivity_keeps_the_tail():
    x, f, _ = rows_with_a_tail(4000)
    rng = np.random.default_rng(0)
    spread = {}
    for name in ("random", "sensitivity"):
        totals = []
        for _ in range(60):
            index, w = SUBSAMPLES[name](x, None, 200, 3, rng)
            totals.append(w @ f[index])
        spread[name] = np.std(totals, axis=0)
    assert spread["sensitivity"][-1] < 0.3 * spread["random"][-1]


# ---- thinning ------------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
def test_thinned_rows_lie_closely(weighted):
    x = clusters(np.random.default_rng(0), 1024, 4, 2, spread=3.0)
    weight = np.ones(len(x)) if weighted else None
    laws.halves_closely(lambda rng: thinned(x, weight, 128, 1, rng), x)


def test_random_halves_are_rejected():
    x = clusters(np.random.default_rng(0), 1024, 4, 2, spread=3.0)

    def liar(rng):
        return rng.choice(len(x), 128, replace=False), np.ones(128)

    with pytest.raises(AssertionError):
        laws.halves_closely(liar, x)


def test_thinning_heeds_weights():
    x, f, weight = rows_with_a_tail(3000)
    weight = np.where(x[:, 0] > 20, 20.0, weight)
    totals = []
    for s in range(20):
        index, w = thinned(x, weight, 400, 1, np.random.default_rng(s))
        assert_allclose(w.sum(), weight.sum())
        totals.append(w @ f[index])
    assert_allclose(np.mean(totals, axis=0), weight @ f, rtol=0.05, atol=0.05 * weight.sum())


# ---- the door ------------------------------------------------------------------------------------
def test_subsamples_are_said_by_number_name_or_both():
    assert as_subsample(None) is None
    assert as_subsample(500) == ("sensitivity", 500)
    assert as_subsample("thinning") == ("thinning", 20_000)
    assert as_subsample(("random", 500)) == ("random", 500)
    for wrong in ("half", 1, 0.5, True, ("random",) * 2, (), ("random", 5, 5)):
        with pytest.raises(InputError, match="expected subsample as"):
            as_subsample(wrong)
    with pytest.raises(InputError, match="got 5 rows for 8 components"):
        subsampled(Rows(np.arange(40.0)[:, None]), 5, 8, 0)


@pytest.mark.parametrize("name", sorted(SUBSAMPLES))
def test_rows_keep_what_belongs_to_them(name):
    rng = np.random.default_rng(0)
    x = clusters(rng, 3000, 3, 4)
    gappy = np.where(rng.random(x.shape) < 0.2, np.nan, x)
    gappy[np.isnan(gappy).all(axis=1), 0] = 0.0
    weight = rng.integers(0, 3, 3000).astype(float)
    whole = arrive(gappy, weight)
    some = subsampled(whole, (name, 300), 3, 0)
    assert some.n <= 300 and (some.weight > 0).all()
    assert_allclose(some.weight.sum(), weight.sum(), rtol=0.15)
    assert (np.isnan(some.x) == some.channel.missing).all()
    assert_allclose(some.x, np.where(np.isnan(some.x), np.nan, some.points), atol=1e-12)
    assert_allclose(gappy[some.order], some.x)
    assert (weight[some.order] > 0).all()
    assert subsampled(whole, (name, 3000), 3, 0) is whole


# ---- fits ----------------------------------------------------------------------------------------
class _Counting:
    """How many rows each E-step saw."""

    def __init__(self, monkeypatch):
        self.rows = []
        honest = Dense.expect

        def expect(engine, model, rows, memory=None):
            self.rows.append(rows.n)
            return honest(engine, model, rows, memory)

        monkeypatch.setattr(Dense, "expect", expect)


def test_a_fit_begins_on_the_subsample_and_ends_on_all_rows(monkeypatch):
    x = clusters(np.random.default_rng(1), 6000, 4, 3)
    seen = _Counting(monkeypatch)
    ours = mx.GaussianMixture(4, subsample=800, n_init=5, random_state=0).fit(x)
    turn = seen.rows.index(6000)
    assert all(n <= 800 for n in seen.rows[:turn]) and set(seen.rows[turn:]) == {6000}
    assert len(seen.rows) - turn == ours.n_iter_ <= 6
    whole = mx.GaussianMixture(4, n_init=5, random_state=0).fit(x)
    assert ours.score(x) >= whole.score(x) - 1e-2
    again = mx.GaussianMixture(4, subsample=800, n_init=5, random_state=0).fit(x)
    assert (again.means_ == ours.means_).all()


def test_given_starts_need_no_subsample(monkeypatch):
    x = clusters(np.random.default_rng(1), 2000, 2, 2)
    labels = (x[:, 0] > np.median(x[:, 0])).astype(int)
    seen = _Counting(monkeypatch)
    mx.GaussianMixture(2, subsample=100, resp_init=labels).fit(x)
    assert set(seen.rows) == {2000}


@pytest.mark.parametrize("name", sorted(SUBSAMPLES))
def test_a_search_tries_on_the_subsample_and_scores_on_all_rows(name, monkeypatch):
    rng = np.random.default_rng(2)
    centres = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 8.0]])
    x = centres[rng.integers(3, size=6000)] + rng.standard_normal((6000, 2))
    seen = _Counting(monkeypatch)
    found = search(Rows(x), covariance_type=["spherical", "full"], subsample=(name, 1000))
    assert (found.best.n_components, found.best.covariance_type) == (3, "spherical")
    assert found.best in found.trials
    small = sum(n <= 1000 for n in seen.rows)
    assert small > 3 * (len(seen.rows) - small)
    loglik = found.mixture.log_density(x).sum()
    assert_allclose(found.best.log_likelihood, loglik / 6000, rtol=1e-9)
    assert_allclose(found.best.bic, -2 * loglik + 11 * np.log(6000), rtol=1e-9)
    gm = mx.GaussianMixture("auto", covariance_type="spherical", subsample=(name, 1000))
    gm.set_params(random_state=0, reg_covar="auto").fit(x)
    assert gm.n_components_ == 3
    assert_allclose(gm.bic(x), found.best.bic, rtol=1e-5)
