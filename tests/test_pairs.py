"""Large statistics taken component by component, against those taken batch by batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.covariance import structure
from mixtura.covariance.floor import Added
from mixtura.fit import model as models
from mixtura.fit import pairs
from mixtura.fit.engines import Dense
from mixtura.fit.initialise import model_from_start
from mixtura.fit.pairs import Owners, by_component, serves
from mixtura.sources import Rows


def table(n, d, k, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    return 2.0 * rng.normal(size=(k, d))[labels] + rng.normal(size=(n, d)), labels


@pytest.fixture
def large(monkeypatch):
    """Statistics count as large, and batches are small."""
    monkeypatch.setattr(models, "SHARED_BYTES", 0)
    monkeypatch.setattr(pairs, "MOST_ROWS", 256)
    monkeypatch.setattr(pairs, "HELD", 4096)
    monkeypatch.setattr(pairs, "PRODUCT_ROWS", 50)


def begun(name, n=1500, d=100, k=20, dtype=np.float64, weight=None):
    """Rows that overlap, and a model of which the last component owns hardly any."""
    x, labels = table(n, d, k)
    rows = Rows(x.astype(dtype), weight)
    rule = structure(name, None, d)
    kept = np.where(labels == k - 1, 0, labels)
    kept[:3] = k - 1
    model = model_from_start(rows, kept, k, rule, Added(0.5))
    means = model.means + 0.2 * np.random.default_rng(2).normal(size=(k, d))
    return replace(model, means=means), rows


def agree(model, rows, found, tight):
    stats, loglik = found[:2]
    plain, other, _ = Dense(batch_rows=300).expect(model, rows)
    assert_allclose(loglik, other, rtol=tight)
    for name in ("mass", "first", "second"):
        mine, theirs = getattr(stats.about(plain.anchor), name), getattr(plain, name)
        assert_allclose(mine, theirs, rtol=tight, atol=tight * np.abs(theirs).max())


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_moments_by_component_are_those_by_batch(dtype, weighted, large, monkeypatch):
    weight = np.random.default_rng(1).integers(0, 4, 1500) / 2 if weighted else None
    model, rows = begun("full", dtype=dtype, weight=weight)
    assert serves(model, rows)
    found = by_component(model, rows)
    monkeypatch.setattr(models, "SHARED_BYTES", 2**40)
    tight = 1e-10 if dtype == np.float64 else 1e-4
    agree(model, rows, found, tight)
    worse = replace(found[0], second=found[0].second * (1 + 30 * tight))
    with pytest.raises(AssertionError):
        agree(model, rows, (worse, found[1]), tight)


def test_neither_guesses_nor_threads_nor_cuts_change_results(large, monkeypatch):
    monkeypatch.setattr("mixtura.covariance.pruned.LEAST_COLUMNS", 8)
    monkeypatch.setattr("mixtura.arrays.compiled.LEAST_WORK", 1000)
    monkeypatch.setattr("mixtura.covariance.pruned.stages", lambda d, k: (d // 12, d // 4))
    monkeypatch.setattr(models, "stages", lambda d, k: (d // 12, d // 4))
    model, rows = begun("full")
    model.ready(rows)
    form = model.kernel(rows.x.dtype)[1]
    assert form.guided  # two stages: rows are held against a guess first
    first = by_component(model, rows)
    owners = first[2]
    exact = form.whole.log_joint(model.centred(rows.x))
    assert np.array_equal(owners.best, exact.argmax(axis=1))
    monkeypatch.setattr(pairs, "n_workers", lambda: 3)
    monkeypatch.setattr(pairs, "MOST_ROWS", 700)
    wrong = Owners(np.random.default_rng(0).integers(20, size=1500).astype(np.int32), 20)
    for memory in (owners, wrong, Owners(wrong.best[:10], 20), Owners(owners.best + 5, 99), "no"):
        stats, loglik, again = by_component(model, rows, memory)
        assert_allclose(loglik, first[1], rtol=1e-12)
        assert_allclose(stats.second, first[0].second, rtol=1e-9, atol=1e-9)
        assert np.array_equal(again.best, owners.best)


def test_rows_that_are_measured_or_chosen_go_the_other_way(large):
    model, rows = begun("full", n=300, d=6, k=3)
    assert not serves(model, rows)  # few columns: quadratic features
    wide, many = begun("full", n=300, k=3)
    assert serves(wide, many)
    gaps = many.x.copy()
    gaps[0, 0] = np.nan
    assert not serves(wide, replace(many, channel=object()))
    assert not serves(wide, replace(many, selection=object()))


@pytest.mark.parametrize("precision", ["double", "single"])
def test_a_fit_is_the_same_either_way(precision, large, monkeypatch):
    x, _ = table(900, 110, 4)
    how = {"reg_covar": 0.5, "random_state": 0, "precision": precision, "max_iter": 6, "tol": 0.0}
    one = mx.GaussianMixture(4, **how).fit(x)
    monkeypatch.setattr(models, "SHARED_BYTES", 2**40)
    other = mx.GaussianMixture(4, **how).fit(x)
    tight = 1e-9 if precision == "double" else 1e-4
    assert_allclose(one.lower_bound_, other.lower_bound_, rtol=tight)
    assert_allclose(one.covariances_, other.covariances_, rtol=tight, atol=tight)
