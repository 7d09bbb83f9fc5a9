"""Stepwise EM: against its recursion written out, where it serves, and where it steps back."""

import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

import mixtura as mx
from mixtura.covariance import structure
from mixtura.errors import IllDefinedCovarianceError
from mixtura.fit import run, stepwise
from mixtura.fit.engines import Dense
from mixtura.fit.initialise import model_from_start
from mixtura.fit.model import GaussianModel
from mixtura.fit.search import make_floor
from mixtura.fit.stepwise import warmed
from mixtura.sources import Rows


def close_bumps(n=3000, seed=0):
    """Three bumps in one column that overlap, and which of them each row seems to be of."""
    rng = np.random.default_rng(seed)
    x = rng.normal(np.repeat([-2.0, 0.0, 2.5], n // 3), 1.0)
    return x[:, None], np.digitize(x, [-0.5, 1.0])


def start(x, labels, weight=None, name="full", k=3):
    rows = Rows(x, weight)
    floor = make_floor(0.0, rows)
    return model_from_start(rows, labels, k, structure(name, None, rows.d), floor), rows


def written_out(x, weight, model):
    """Cappé & Moulines's recursion for one column, in the plainest form."""
    w, m = model.weights.copy(), model.means[:, 0].copy()
    v = model.covariance.dense()[:, 0, 0].copy()
    s, t = None, 0
    for _ in range(2):
        for i in range(11):
            y, u = x[i::11], weight[i::11]
            r = w * norm.pdf(y[:, None], m, np.sqrt(v))
            r *= (u / r.sum(axis=1))[:, None]
            new = np.array([r.sum(0), r.T @ y, r.T @ y**2]) * weight.sum() / u.sum()
            step = (t + 2) ** -0.5
            s = new if s is None else (1 - step) * s + step * new
            w, m = s[0] / s[0].sum(), s[1] / s[0]
            v = s[2] / s[0] - m**2
            t += 1
    return w, m, v


def follows_the_recursion(weight):
    x, labels = close_bumps()
    model, rows = start(x, labels, weight)
    end = warmed(model, rows, Dense())
    w, m, v = written_out(x[:, 0], np.ones(len(x)) if weight is None else weight, model)
    np.testing.assert_allclose(end.weights, w, rtol=1e-9)
    np.testing.assert_allclose(end.means[:, 0], m, rtol=1e-9)
    np.testing.assert_allclose(end.covariance.dense()[:, 0, 0], v, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_it_is_the_published_recursion(weighted):
    x, _ = close_bumps()
    follows_the_recursion(np.random.default_rng(1).exponential(size=len(x)) if weighted else None)


@pytest.mark.parametrize(
    ("name", "value"),
    [("DECAY", 0.7), ("PARTS", (10,)), ("PASSES", 1)],
    ids=["step", "parts", "once"],
)
def test_another_recursion_is_rejected(name, value, monkeypatch):
    monkeypatch.setattr(stepwise, name, value)
    with pytest.raises(AssertionError):
        follows_the_recursion(None)


@pytest.mark.parametrize(
    "lie",
    [
        lambda self, i, of: self.batch(i * self.n // of, (i + 1) * self.n // of),
        lambda self, i, of: replace(self._cut(slice(i, None, of)), weight=None),
    ],
    ids=["one bump after the other", "weights forgotten"],
)
def test_parts_that_lie_are_rejected(lie, monkeypatch):
    monkeypatch.setattr(Rows, "part", lie)
    weight = np.random.default_rng(1).exponential(size=3000)
    with pytest.raises(AssertionError):
        follows_the_recursion(weight)


@pytest.mark.parametrize("name", ["full", "diag", "tied", "spherical", "VEV"])
def test_two_passes_lead_further_than_two_iterations(name):
    rng = np.random.default_rng(3)
    centres = 2.5 * rng.standard_normal((5, 2))
    x = rng.standard_normal((6000, 2)) + centres[rng.integers(0, 5, 6000)]
    labels = np.argmin(((x[:, None] - x[:5]) ** 2).sum(axis=2), axis=1)
    model, rows = start(x, labels, name=name, k=5)
    before = run(model, rows, Dense(), max_iter=3, tol=0).trace[-1]
    assert run(warmed(model, rows, Dense()), rows, Dense(), max_iter=1, tol=0).trace[-1] > before


def test_where_it_would_harm_nothing_is_done():
    x, labels = close_bumps(90)
    model, rows = start(x, labels)
    assert warmed(model, rows, Dense()) is model  # 30 rows per component
    model, rows = start(*close_bumps())
    holes = replace(rows, channel=object())
    assert warmed(model, holes, Dense()) is model
    alone, _ = start(rows.x, np.zeros(rows.n, dtype=int), k=1)
    assert warmed(alone, rows, Dense()) is alone
    weight = np.zeros(rows.n)
    weight[::11] = 1.0  # all of one part
    assert warmed(model, replace(rows, weight=weight), Dense()) is model


def test_a_start_that_led_nowhere_is_left(monkeypatch):
    model, rows = start(*close_bumps())
    honest = GaussianModel.maximise

    def astray(self, stats):
        return replace(honest(self, stats), means=np.array([[50.0], [60.0], [70.0]]))

    monkeypatch.setattr(GaussianModel, "maximise", astray)
    assert warmed(model, rows, Dense()) is model

    def collapsed(self, stats):
        raise IllDefinedCovarianceError

    monkeypatch.setattr(GaussianModel, "maximise", collapsed)
    assert warmed(model, rows, Dense()) is model


@pytest.mark.parametrize("how", ["estimator", "search"])
def test_accelerated_fits_start_so(how, monkeypatch):
    from mixtura.estimators import gaussian_mixture

    search = sys.modules["mixtura.fit.search"]
    asked = []

    def noted(model, rows, engine):
        asked.append(model)
        return warmed(model, rows, engine)

    monkeypatch.setattr(gaussian_mixture, "warmed", noted)
    monkeypatch.setattr(search, "warmed", noted)
    x, _ = close_bumps()
    k = 3 if how == "estimator" else [2, 3]
    for accelerate in (False, True):
        assert not asked
        fit = mx.GaussianMixture(k, accelerate=accelerate, random_state=0, tol=1e-6, max_iter=500)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fit.fit(x)
        assert (np.diff(fit.trace_) > -1e-12).all()
    assert asked
    before = len(asked)
    if how == "estimator":  # what is resumed has been started
        fit.set_params(warm_start=True).fit(x)
        assert len(asked) == before
