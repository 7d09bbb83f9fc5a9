"""Extrapolated EM never descends, ends where EM ends, and saves passes where EM is slow."""

from __future__ import annotations

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.arrays import compiled
from mixtura.covariance import Added
from mixtura.fit import accelerate, run
from mixtura.fit.accelerate import squarem_step
from mixtura.fit.engines import Dense
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import STARTS, model_from_start
from mixtura.fit.steps import batch_step
from tests.laws.cases import NAMES, clusters, structure_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def overlapping(n=3000):
    """Components so close that EM creeps."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.0, 0.0], [1.5, 0.5], [0.5, 1.8]])
    return centres[rng.integers(3, size=n)] + rng.standard_normal((n, 2)) * [1.0, 0.6]


def start(name, x, k, **how):
    rows = arrive(x, **{"weight": None, **how})
    labels = STARTS["deterministic"](rows, k, 0)
    return model_from_start(rows, labels, k, structure_of(name, x.shape[1]), Added(0.0)), rows


class Counting(Dense):
    """A dense engine that counts its passes over the rows."""

    passes = [0]  # noqa: RUF012

    def expect(self, *arguments):
        self.passes[0] += 1
        return super().expect(*arguments)


def passes_until(step, model, rows, height):
    """Passes over the rows until the objective reaches a height."""
    Counting.passes[0] = 0
    run(model, rows, Counting(), max_iter=5000, tol=0, step=step,
        callback=lambda s: s.objective >= height)  # fmt: skip
    return Counting.passes[0]


@pytest.mark.parametrize("name", NAMES)
def test_it_never_descends(name):
    rng = np.random.default_rng(1)
    x, _ = clusters(rng, 200, 3, 3)
    model, rows = start(name, x, 3, weight=rng.uniform(0.5, 2, len(x)))
    trace = np.array(run(model, rows, Dense(), max_iter=80, tol=0, step=squarem_step).trace)
    assert np.diff(trace).min() >= -1e-8 * np.abs(trace).max()


@pytest.mark.parametrize("how", ["gaps", "noise", "censored", "window"])
def test_it_never_descends_on_measured_rows(how):
    x = overlapping(600)
    settings = {}
    if how == "gaps":
        x[::3, 0] = np.nan
    elif how == "noise":
        settings = {"noise": np.random.default_rng(2).uniform(0.1, 1, x.shape)}
    elif how == "censored":
        settings = {"censored": ([-0.5, -np.inf], None)}
    else:
        x = x[x[:, 0] > -0.5]
        settings = {"selection": ([-0.5, -np.inf], None)}
    model, rows = start("full", x, 2, **settings)
    fit = run(model, rows, Dense(), max_iter=150, tol=0, step=squarem_step)
    assert np.diff(fit.trace).min() >= -1e-9 * np.abs(fit.trace).max()
    plain = run(model, rows, Dense(), max_iter=150, tol=0)
    assert fit.trace[-1] >= plain.trace[-1] - 1e-6


def test_a_third_of_the_passes_where_em_creeps():
    model, rows = start("full", overlapping(), 3)
    height = run(model, rows, Dense(), max_iter=4000, tol=0).trace[-1] - 1e-5
    plain, fast = (passes_until(step, model, rows, height) for step in (batch_step, squarem_step))
    assert plain > 300
    assert fast < plain / 3


def test_without_its_safeguard_it_descends(monkeypatch):
    model, rows = start("full", overlapping(), 3)
    honest = run(model, rows, Dense(), max_iter=300, tol=0, step=squarem_step)
    assert np.diff(honest.trace).min() >= -1e-9
    kept = accelerate._ahead

    def reckless(model, rows, held):
        ahead = kept(model, rows, held)
        held.longest = 1e6
        return ahead

    class Never(float):
        """A height that any objective reaches."""

        def __le__(self, other):
            return True

    def unguarded(model, rows, engine, memory):
        if memory is not None and memory.spare is not None:
            memory.spare = (memory.spare[0], Never())
        return squarem_step(model, rows, engine, memory)

    monkeypatch.setattr(accelerate, "_ahead", reckless)
    liar = run(model, rows, Dense(), max_iter=300, tol=0, step=unguarded)
    assert np.diff(liar.trace).min() < -1e-4


def test_a_model_that_was_mended_on_the_way_is_not_undone():
    # Recovery may put another model in the place of an extrapolated one; it may be lower at first.
    model, rows = start("full", overlapping(), 3)
    memory = None
    while memory is None or memory.spare is None:
        model, _, _, memory = squarem_step(model, rows, Dense(), memory)
    mended, _ = start("full", overlapping(), 3)
    Counting.passes[0] = 0
    after, _, objective, memory = squarem_step(mended, rows, Counting(), memory)
    expected, _, height, _ = batch_step(mended, rows, Dense(), None)
    assert Counting.passes[0] == 1
    assert objective == height
    assert_allclose(after.means, expected.means)


def test_where_em_is_fast_it_ends_at_the_same_place():
    x, _ = clusters(np.random.default_rng(3), 400, 3, 2)
    settled = mx.GaussianMixture(3, init_params="deterministic", tol=1e-9, max_iter=2000)
    plain = sklearn.clone(settled).fit(x)
    fast = sklearn.clone(settled).set_params(accelerate=True).fit(x)
    assert_allclose(fast.lower_bound_, plain.lower_bound_, atol=1e-6)
    assert_allclose(fast.means_, plain.means_, atol=1e-2)


def test_units_do_not_matter():
    x = overlapping(800)
    gm = mx.GaussianMixture(
        3, init_params="deterministic", tol=0, max_iter=60, reg_covar=0, accelerate=True
    )
    here, there = gm.fit(x).trace_, gm.fit(x * [1e4, 1e-3] + 5).trace_
    assert_allclose(np.array(there) + np.log(1e4 * 1e-3), here, rtol=1e-6)


def test_recovery_and_search_go_on():
    x, _ = clusters(np.random.default_rng(4), 300, 3, 2)
    x = np.concatenate([x, np.repeat(x[:1], 20, axis=0)])
    gm = mx.GaussianMixture(
        [2, 3, 4], covariance_type=["full", "tied"], reg_covar="auto", accelerate=True,
        random_state=0,
    )  # fmt: skip
    plain = sklearn.clone(gm).set_params(accelerate=False).fit(x)
    assert gm.fit(x).search_.best.bic <= plain.search_.best.bic + 0.1


def hands_out_what_it_judged(**settings):
    """However a fit ends, the model is no worse than the objective that is told of it."""
    x = overlapping(400)
    labels = np.random.default_rng(1).integers(3, size=400)
    for most in range(1, 40):
        fit = mx.GaussianMixture(
            3, resp_init=labels, accelerate=True, max_iter=most, tol=0, **settings
        )
        fit.fit(x)
        assert fit.score(x) >= fit.lower_bound_ - 1e-9
        assert np.diff(fit.trace_).min(initial=0) >= -1e-9


def test_no_extrapolation_is_handed_out_before_a_pass_has_judged_it(monkeypatch):
    hands_out_what_it_judged()
    monkeypatch.setattr(accelerate._Memory, "settled", lambda self, model: model)
    with pytest.raises(AssertionError):
        hands_out_what_it_judged()


def test_nor_is_it_in_mixed_precision(monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)
    hands_out_what_it_judged(precision="mixed")
    monkeypatch.setattr(accelerate._Memory, "settled", lambda self, model: model)
    with pytest.raises(AssertionError):
        hands_out_what_it_judged(precision="mixed")


def test_a_start_alone_is_left_as_it_is():
    x = overlapping()
    plain, fast = (
        mx.GaussianMixture(3, max_iter=0, random_state=0, accelerate=accelerate).fit(x)
        for accelerate in (False, True)
    )
    assert_allclose(fast.means_, plain.means_, rtol=0)
