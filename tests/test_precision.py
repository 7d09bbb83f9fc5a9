"""Fits in float32, and in float32 with an end in float64: near the answer of float64, or it."""

import warnings
import weakref

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

import mixtura as mx
from mixtura.arrays import compiled
from mixtura.errors import InputError
from mixtura.fit import precision as precisions
from mixtura.fit.engines import Dense
from mixtura.fit.precision import PRECISIONS, run_in
from mixtura.sources import Rows
from tests.test_large import model_of, table

STRUCTURES = ["full", "diag", "spherical", "tied", "VEV"]


@pytest.fixture(autouse=True)
def _mixed_from_the_first_row(monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)


def fitted(x, k, precision, labels, **settings):
    settings = {"tol": 1e-6, "max_iter": 300, "reg_covar": "auto"} | settings
    return mx.GaussianMixture(k, precision=precision, resp_init=labels, **settings).fit(x)


def agrees(x, k, precision, labels, most, **settings):
    """The log-likelihood at the end is that of float64 to ``most`` nats a row."""
    double = fitted(x, k, "double", labels, **settings)
    other = fitted(x, k, precision, labels, **settings)
    exact = np.asarray(x, dtype=np.float64)
    gap = abs(other.mixture_.log_density(exact).mean() - double.mixture_.log_density(exact).mean())
    assert gap <= most
    return double, other


@pytest.mark.parametrize("accelerate", [False, True])
@pytest.mark.parametrize("name", STRUCTURES)
def test_mixed_ends_where_double_does(name, accelerate):
    x, labels = table(2000, 5, 8, apart=2.0)
    double, mixed = agrees(x, 8, "mixed", labels, 1e-6, covariance_type=name, accelerate=accelerate)
    assert mixed.converged_ == double.converged_
    assert mixed.means_.dtype == np.float64
    if not accelerate:
        assert mixed.n_iter_ == len(mixed.trace_)
        assert abs(mixed.n_iter_ - double.n_iter_) <= 1
        assert_allclose(mixed.lower_bound_, double.lower_bound_, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", STRUCTURES)
def test_single_ends_near_it(name):
    x, labels = table(2000, 5, 8, apart=2.0)
    agrees(x, 8, "single", labels, 1e-4, covariance_type=name)
    agrees(x.astype(np.float32), 8, "single", labels, 1e-4, covariance_type=name)


def test_mixed_fits_of_float32_rows_end_in_float64():
    x, labels = table(2000, 4, 6, apart=2.0)
    x = x.astype(np.float32)
    settings = {"resp_init": labels, "tol": 1e-6, "max_iter": 300}
    mixed = mx.GaussianMixture(6, precision="mixed", **settings).fit(x)
    exact = mx.GaussianMixture(6, **settings).fit(x.astype(np.float64))
    assert_allclose(mixed.lower_bound_, exact.lower_bound_, atol=1e-6)


def test_digits_dropped_before_centring_are_rejected(monkeypatch):
    x, labels = table(2000, 4, 6, apart=2.0)
    x = x + 1e6
    plain = precisions.run

    def careless(model, rows, engine, **how):
        near = Rows(rows.x.astype(np.float32).astype(np.float64))
        return plain(model, near, engine, **how)

    agrees(x, 6, "mixed", labels, 1e-6)
    monkeypatch.setattr(precisions, "run", careless)
    coarse = fitted(x, 6, "mixed", labels)
    monkeypatch.setattr(precisions, "run", plain)
    double = fitted(x, 6, "double", labels)
    gap = abs(coarse.mixture_.log_density(x).mean() - double.mixture_.log_density(x).mean())
    assert gap > 1e-6


# ---- the guard -----------------------------------------------------------------------------------
@pytest.mark.parametrize("offset", [0.0, 1e4, 1e8])
@pytest.mark.parametrize("condition", [1e2, 1e6, 1e12])
@pytest.mark.parametrize("name", ["full", "diag", "tied"])
@pytest.mark.parametrize("precision", ["single", "mixed"])
def test_float32_is_never_silently_wrong(precision, name, condition, offset):
    rng = np.random.default_rng(0)
    d, k = 4, 3
    labels = np.arange(1500) % k
    scales = np.geomspace(1.0, condition**-0.5, d)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0] if name != "diag" else np.eye(d)
    x = (3 * rng.normal(size=(k, d))[labels] + rng.normal(size=(1500, d))) * scales @ turn.T
    x = x + offset * np.array([1.0, -1.0, 1.0, 1.0]) * (1.0 if condition < 1e12 else 1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        double, other = agrees(
            x,
            k,
            precision,
            labels,
            1e-4 if precision == "single" else 1e-6,
            covariance_type=name,
            reg_covar=0.0,
            max_iter=20,
            tol=1e-9,
        )
    assert_allclose(other.weights_, double.weights_, atol=1e-4)


@pytest.mark.parametrize("precision", ["single", "mixed"])
@pytest.mark.parametrize("scale", [1e-20, 1e-10, 1e10, 1e19])
@pytest.mark.parametrize("name", ["full", "spherical"])
def test_scales_beyond_float32_change_nothing(name, scale, precision):
    x, labels = table(1500, 2, 4)
    agrees(x * scale, 4, precision, labels, 1e-4, covariance_type=name, reg_covar=0.0)
    if scale == 1e-20:
        rows = (x * scale).astype(np.float32)
        agrees(rows, 4, precision, labels, 1e-4, covariance_type=name, reg_covar=0.0)


@pytest.mark.parametrize("precision", ["single", "mixed"])
def test_a_row_far_out_is_computed_in_float64(precision):
    x, labels = table(1500, 2, 4)
    x[3] = [1e30, -1e30]
    weight = np.where(np.arange(1500) == 3, 1e-300, 1.0)
    settings = {"resp_init": labels, "max_iter": 5, "tol": 0.0, "precision": precision}
    with pytest.warns(ConvergenceWarning):
        fit = mx.GaussianMixture(4, **settings).fit(x, sample_weight=weight)
    with pytest.warns(ConvergenceWarning):
        double = mx.GaussianMixture(4, **(settings | {"precision": "double"}))
        double.fit(x, sample_weight=weight)
    assert_allclose(fit.lower_bound_, double.lower_bound_)


@pytest.mark.parametrize("precision", ["single", "mixed"])
@pytest.mark.parametrize("name", ["full", "diag", "VVI"])
def test_an_anchor_far_from_narrow_components_costs_no_digits(name, precision):
    # One row drags the mean, about which rows stand, far away from all others.
    x, labels = table(1500, 3, 4)
    x[0, 0] = 1e9
    labels[0] = 3
    labels[labels == 3] = np.where(np.flatnonzero(labels == 3) == 0, 3, 2)
    settings = {"covariance_type": name, "reg_covar": 1e-3, "max_iter": 20}
    double, other = agrees(x, 4, precision, labels, 1e-4, **settings)
    assert_allclose(other.weights_, double.weights_, atol=1e-4)


def test_rows_of_known_errors_are_computed_in_float64():
    x, labels = table(800, 3, 3)
    x[::7, 1] = np.nan
    double = fitted(x, 3, "double", labels)
    single = fitted(x, 3, "single", labels)
    np.testing.assert_array_equal(single.means_, double.means_)


# ---- doors ---------------------------------------------------------------------------------------
def test_small_tables_are_not_mixed(monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", 10**6)
    x, labels = table(600, 3, 3)
    double, mixed = fitted(x, 3, "double", labels), fitted(x, 3, "mixed", labels)
    np.testing.assert_array_equal(mixed.means_, double.means_)
    assert mixed.trace_ == double.trace_


def test_a_callback_that_stops_ends_both_parts():
    x, labels = table(900, 3, 3)
    model, rows = model_of("full", x, labels)
    seen = []

    def stop(step):
        seen.append(step.n_iter)
        return len(seen) >= 3

    fit = run_in("mixed", model, rows, Dense(), max_iter=50, tol=0.0, callback=stop)
    assert fit.n_iter == 3 and not fit.converged
    assert fit.model.compute is None


def test_the_budget_of_iterations_holds():
    x, labels = table(900, 3, 3)
    model, rows = model_of("full", x, labels)
    for precision in PRECISIONS:
        for most in (1, 2, 7):
            fit = run_in(precision, model, rows, Dense(), max_iter=most, tol=0.0)
            assert fit.n_iter == len(fit.trace) == most


def test_searches_take_a_precision():
    x, _ = table(900, 3, 3)
    double = mx.GaussianMixture([2, 3, 4], random_state=0).fit(x)
    mixed = mx.GaussianMixture([2, 3, 4], random_state=0, precision="mixed").fit(x)
    assert mixed.n_components_ == double.n_components_
    assert_allclose(mixed.lower_bound_, double.lower_bound_, atol=1e-5)


@pytest.mark.parametrize("setting", [{"precision": "half"}, {"engine": "steam"}])
def test_unknown_settings_are_told(setting):
    x, _ = table(60, 2, 2)
    with pytest.raises(ValueError, match="must be a str among"):
        mx.GaussianMixture(2, **setting).fit(x)


@pytest.mark.parametrize("precision", list(PRECISIONS))
def test_a_start_does_not_outlive_the_first_iterations(precision):
    class Watched(Dense):
        began, held = None, []

        def expect(self, model, rows, memory=None):
            if Watched.began is None:
                Watched.began = weakref.ref(model.covariance)
            Watched.held.append(Watched.began() is not None)
            return super().expect(model, rows, memory)

    x = np.random.default_rng(0).normal(size=(300, 3))
    start = {"weights_init": [0.5, 0.5], "means_init": x[:2], "precisions_init": [np.eye(3)] * 2}
    how = start | {"engine": Watched(), "tol": 0.0, "max_iter": 5, "precision": precision}
    mx.GaussianMixture(2, **how).fit(x)
    assert Watched.held[0]
    assert not any(Watched.held[2:])


def test_unknown_precisions_are_told_below_the_doors():
    x, labels = table(60, 2, 2)
    model, rows = model_of("full", x, labels)
    with pytest.raises(InputError, match="expected precision as one of"):
        run_in("half", model, rows, Dense())
