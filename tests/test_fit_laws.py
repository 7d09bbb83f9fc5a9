"""The fit of every structure: optimal M-steps, ascent, chunking, weights, order, recovery."""

from __future__ import annotations

import threading
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.arrays import parallel
from mixtura.covariance import (
    Added,
    Clipped,
    Diagonal,
    Full,
    FullCovariance,
    Isotropic,
    LowRank,
    Tied,
    lowrank,
)
from mixtura.covariance.parsimonious import SOLVERS
from mixtura.errors import IllDefinedCovarianceError
from mixtura.fit import run
from mixtura.fit.engines import ENGINES, Dense, dense
from mixtura.fit.initialise import STARTS, model_from_start
from mixtura.fit.model import GaussianModel
from mixtura.sources import Rows
from tests.laws import fit as laws
from tests.laws.cases import RULES, Case, cases, clusters, structure_of

PLAIN = Case(seed=6, k=3, d=3)
ITERATED = [name for name in RULES if "lowrank" in name]
#: Whose neighbours must share more than their arrays say; they have laws of their own.
BOUND = [name for name in RULES if name in (*SOLVERS, "positive", "tied positive")]
EXACT = [name for name in RULES if name not in ITERATED + BOUND]


@pytest.fixture(params=[False, True], ids=["dense moments", "projected moments"])
def projected(request, monkeypatch):
    """Low-rank fits by both of their ways, whatever the number of columns."""
    if request.param:
        monkeypatch.setattr(lowrank, "DENSE_COLUMNS", 0)
    return request.param


def rows_of(rng, k, d, weighted=False, n=None):
    x, _ = clusters(rng, n or k * (6 * d + 10), k, d)
    return Rows(x, rng.uniform(0.0, 3.0, len(x)) if weighted else None)


# ---- the M-step --------------------------------------------------------------------------------
@pytest.mark.parametrize("name", EXACT)
@given(case=cases(max_k=3, max_d=5))
@settings(max_examples=10)
def test_step_is_optimal(name, case):
    laws.step_is_optimal(structure_of(name, case.d), case.rng, case.k, case.d)


@pytest.mark.parametrize("name", ITERATED)
@pytest.mark.parametrize("case", [Case(s, k, d) for s, k, d in [(0, 1, 2), (1, 2, 5), (2, 3, 8)]])
def test_step_never_worsens(name, case, projected):
    laws.step_never_worsens(structure_of(name, case.d), case.rng, case.k, case.d)


def test_low_rank_steps_lead_to_the_maximum(projected):
    # Many steps with fixed responsibilities: no nearby loadings or noise do better.
    laws.step_is_optimal(LowRank(1), np.random.default_rng(1), 2, 5, 1500 if projected else 300)


# ---- ascent ------------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", RULES)
@given(case=cases(max_k=3, max_d=4))
@settings(max_examples=6)
def test_em_never_descends(name, weighted, case):
    rng = case.rng
    rows = rows_of(rng, case.k, case.d, weighted)
    laws.never_descends(laws.started(structure_of(name, case.d), rows, case.k, rng), rows)


@pytest.mark.parametrize("name", ITERATED)
def test_em_never_descends_by_either_way_of_low_rank(name, projected):
    rng = np.random.default_rng(3)
    rows = rows_of(rng, 2, 8)
    laws.never_descends(laws.started(structure_of(name, 8), rows, 2, rng), rows, steps=60)


@pytest.mark.parametrize("name", RULES)
def test_em_never_descends_under_a_clipped_floor(name):
    # A floor that binds: a quarter of each column's variance.
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3)
    floor = Clipped(rows.x.std(axis=0), share=0.25)
    laws.never_descends(laws.started(structure_of(name, 3), rows, 3, rng, floor), rows, steps=40)


@pytest.mark.parametrize("spread", [1e-2, 1e-3, 1e-4])
def test_em_never_descends_where_factors_explain_almost_all(spread, projected):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((400, 3))
    x[:, 2] = x[:, 0] + spread * x[:, 2]
    rows = Rows(np.concatenate([x, x + np.array([6.0, 0.0, 6.0])]))
    start = np.repeat([0, 1], 400)
    model = model_from_start(rows, start, 2, LowRank(1), Added(0.0))
    fit = run(model, rows, Dense(), max_iter=40, tol=0.0)
    assert np.diff(fit.trace).min() > -1e-8


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", RULES)
def test_em_never_descends_from_any_start(name, start, load):
    rows = Rows(load("iris").x)
    model = model_from_start(
        rows, STARTS[start](rows, 3, 0), 3, structure_of(name, 4), Clipped(rows.x.std(axis=0))
    )
    fit = run(model, rows, Dense(), max_iter=50, tol=0.0)
    assert np.diff(fit.trace).min() > -1e-9
    assert fit.notes == ()


# ---- engines -----------------------------------------------------------------------------------
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", RULES)
def test_engines_take_every_row_once(name, weighted, engine):
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3, weighted, n=101)
    model = laws.started(structure_of(name, 3), rows, 3, rng)
    laws.expects(ENGINES[engine](), model, rows)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", RULES)
def test_engines_take_every_row_once_in_many_columns(name, dtype):
    # Beyond 96 columns full matrices have kernels of their own.
    rng = PLAIN.rng
    x, labels = clusters(rng, 60, 2, 110)
    rows = Rows(x.astype(dtype))
    model = model_from_start(rows, labels, 2, structure_of(name, 110), Added(1.0))
    laws.expects(Dense(batch_rows=25), model, rows, 1e-7 if dtype is np.float64 else 1e-4)
    np.testing.assert_array_equal(rows.x, x.astype(dtype))


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("batch_rows", [1, 7, 100, 101, 5000])
@pytest.mark.parametrize("name", RULES)
def test_chunks_and_threads_change_nothing(name, batch_rows, threads, monkeypatch):
    monkeypatch.setattr(dense, "n_workers", lambda: threads)
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3, weighted=True, n=101)
    model = laws.started(structure_of(name, 3), rows, 3, rng, Added(1e-6))
    laws.expects(Dense(batch_rows=batch_rows), model, rows)
    laws.same_iterates(model, model, rows, Dense(), Dense(batch_rows=batch_rows))


@pytest.mark.parametrize("name", RULES)
def test_guarded_kernels_expect_the_same(name):
    # Clusters 1e5 apart with unit spread: moments are taken about each component's own mean.
    rng = PLAIN.rng
    x, labels = clusters(rng, 90, 3, 3)
    x = x + np.array([[0.0], [1e5], [-1e5]])[labels]
    rows = Rows(x, rng.uniform(0.5, 2.0, 90))
    model = model_from_start(rows, labels, 3, structure_of(name, 3), Added(1e-6))
    assert model.kernel(np.float64)[1].guarded
    stats, loglik, _ = Dense(batch_rows=13).expect(model, rows)
    resp, total = laws.brute_force(model.mixture(), rows)
    assert_allclose(loglik, total, rtol=1e-9)
    assert_allclose(stats.mass, resp.sum(axis=0), rtol=1e-9)
    assert_allclose(stats.means(), (resp.T @ x) / resp.sum(axis=0)[:, None], rtol=1e-12)


def test_threads_leave_the_limits_of_blas_as_they_were():
    before = [lib.num_threads for lib in parallel._controller().lib_controllers]
    rows = rows_of(PLAIN.rng, 3, 3, n=5000)
    model = laws.started(Full(), rows, 3, PLAIN.rng)
    Dense(batch_rows=100).expect(model, rows)
    with pytest.raises(ZeroDivisionError):
        parallel.map_spans(lambda start, stop: 1 // 0, 10, 2)
    assert [lib.num_threads for lib in parallel._controller().lib_controllers] == before


def test_fits_in_many_threads_leave_the_limits_of_blas_as_they_were():
    before = [lib.num_threads for lib in parallel._controller().lib_controllers]
    x = PLAIN.rng.standard_normal((6000, 3))

    def fit():
        with pytest.warns(match="did not converge"):
            mx.GaussianMixture(4, max_iter=8, tol=0).fit(x)

    for _ in range(3):
        threads = [threading.Thread(target=fit) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert [lib.num_threads for lib in parallel._controller().lib_controllers] == before


def test_a_limit_that_one_thread_sets_and_another_restores():
    before = [lib.num_threads for lib in parallel._controller().lib_controllers]
    inside, done = threading.Event(), threading.Event()

    def first():
        with parallel.single_threaded_blas():
            inside.set()
            done.wait(10)

    thread = threading.Thread(target=first)
    thread.start()
    inside.wait(10)
    with parallel.single_threaded_blas():
        done.set()
        thread.join()
        now = [lib for lib in parallel._controller().lib_controllers if lib.user_api == "blas"]
        assert all(lib.num_threads == 1 for lib in now)
    assert [lib.num_threads for lib in parallel._controller().lib_controllers] == before


def test_spans_cover_rows_in_order():
    spans = parallel.map_spans(lambda start, stop: (start, stop), 10, 3)
    assert spans == [(0, 3), (3, 6), (6, 10)]
    assert parallel.map_spans(lambda start, stop: stop - start, 1, 8) == [1]


@pytest.mark.parametrize(
    "settings",
    [{"n_components": 3}, {"n_components": [2, 3]}, {"n_components": 3, "subsample": 100}],
    ids=["fixed", "searched", "subsampled"],
)
def test_an_engine_is_one_entry_in_the_registry(settings, monkeypatch, load):
    passes = []

    class Counting(Dense):
        def expect(self, model, rows, memory=None):
            passes.append(rows.n)
            return super().expect(model, rows, memory)

    monkeypatch.setitem(ENGINES, "counting", Counting)
    constraints = mx.GaussianMixture._parameter_constraints | {"engine": [str]}
    monkeypatch.setattr(mx.GaussianMixture, "_parameter_constraints", constraints)
    plain = []
    whole = Dense.expect

    def expect(self, model, rows, memory=None):
        plain.append(type(self))
        return whole(self, model, rows, memory)

    monkeypatch.setattr(Dense, "expect", expect)
    fit = mx.GaussianMixture(engine="counting", random_state=0, **settings).fit(load("iris").x)
    assert len(passes) >= fit.n_iter_
    assert set(plain) == {Counting}


# ---- weights, rows and components --------------------------------------------------------------
@pytest.mark.parametrize("name", RULES)
def test_weights_are_repeated_rows(name):
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3, n=60)
    times = rng.integers(0, 4, 60)
    weighted, repeated = Rows(rows.x, times.astype(float)), Rows(np.repeat(rows.x, times, axis=0))
    model = laws.started(structure_of(name, 3), rows, 3, rng, Added(1e-6))
    one = run(model, weighted, Dense(), max_iter=15, tol=0.0)
    other = run(model, repeated, Dense(), max_iter=15, tol=0.0)
    assert_allclose(one.trace, other.trace, rtol=1e-9)
    assert_allclose(one.model.means, other.model.means, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e5])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", RULES)
def test_unit_of_weights_is_no_matter(name, dtype, offset):
    rng = PLAIN.rng
    x, labels = clusters(rng, 90, 3, 3)
    x = (x + offset * np.array([[0.0], [1.0], [-1.0]])[labels]).astype(dtype)
    weight = rng.uniform(0.5, 2.0, 90)
    model = model_from_start(Rows(x, weight), labels, 3, structure_of(name, 3), Added(1e-6))
    stats, loglik, _ = Dense().expect(model, Rows(x, weight))
    small = 2.0**-20
    scaled, less, _ = Dense().expect(model, Rows(x, small * weight))
    rtol = 1e-10 if dtype is np.float64 else 1e-5
    assert_allclose(less, small * loglik, rtol=rtol)
    assert_allclose(scaled.mass, small * stats.mass, rtol=rtol)
    assert_allclose(scaled.first, small * stats.first, rtol=rtol, atol=rtol * small * 90)


@pytest.mark.parametrize("name", RULES)
@given(case=cases(min_k=2, max_k=4, max_d=3))
@settings(max_examples=5)
def test_order_of_components_is_no_matter(name, case):
    rng = case.rng
    rows = rows_of(rng, case.k, case.d)
    model = laws.started(structure_of(name, case.d), rows, case.k, rng, Added(1e-3))
    laws.order_is_no_matter(model, rows, rng.permutation(case.k))


@pytest.mark.parametrize("name", RULES)
def test_order_of_rows_is_no_matter(name):
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3)
    model = laws.started(structure_of(name, 3), rows, 3, rng, Added(1e-6))
    fits = [
        run(model, Rows(x), Dense(), max_iter=15, tol=0.0)
        for x in (rows.x, np.ascontiguousarray(rows.x[::-1]))
    ]
    assert_allclose(fits[0].trace, fits[1].trace, rtol=1e-9)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "lowrank"])
def test_units_change_nothing_but_the_units(name):
    rng = PLAIN.rng
    x = rows_of(rng, 3, 3).x
    factors, shift = np.array([1e-3, 4.0, 250.0]), np.array([1e3, -7.0, 0.0])
    fits = []
    for table in (x, x * factors + shift):
        rows = Rows(table)
        start = STARTS["deterministic"](rows, 3, None)
        floor = Clipped(table.std(axis=0))
        model = model_from_start(rows, start, 3, structure_of(name, 3), floor)
        fits.append(run(model, rows, Dense(), max_iter=15, tol=0.0))
    assert_allclose(np.array(fits[1].trace) + np.log(factors).sum(), fits[0].trace, rtol=1e-7)
    assert_allclose(fits[1].model.means, fits[0].model.means * factors + shift, rtol=1e-6)


# ---- the driver --------------------------------------------------------------------------------
def test_driver_stops_when_the_gain_is_below_tol():
    rows = rows_of(PLAIN.rng, 3, 3)
    model = laws.started(Full(), rows, 3, PLAIN.rng, Added(1e-6))
    fit = run(model, rows, Dense(), max_iter=500, tol=1e-4)
    gains = np.diff(fit.trace)
    assert fit.converged
    assert gains[-1] < 1e-4 <= gains[:-1].min()
    short = run(model, rows, Dense(), max_iter=3, tol=1e-12)
    assert (short.converged, short.n_iter, len(short.trace)) == (False, 3, 3)
    assert short.trace == fit.trace[:3]
    none = run(model, rows, Dense(), max_iter=0)
    assert (none.model, none.trace, none.objective) == (model, (), -np.inf)


def test_driver_tells_each_step_and_stops_when_told():
    rows = rows_of(PLAIN.rng, 3, 3)
    model = laws.started(Full(), rows, 3, PLAIN.rng, Added(1e-6))
    told = []

    def stop_at_four(step):
        told.append((step.n_iter, step.objective))
        return step.n_iter == 4

    fit = run(model, rows, Dense(), max_iter=50, tol=0.0, callback=stop_at_four)
    assert told == list(enumerate(fit.trace, start=1))
    assert fit.n_iter == 4 and not fit.converged


# ---- collapse ----------------------------------------------------------------------------------
LOOSE = [Full(), Diagonal(), Isotropic(), LowRank(1)]


def lonely_rows(rng):
    """Two clusters, and a start that gives a component to a single row of the first."""
    x = np.concatenate([rng.standard_normal((60, 2)), rng.standard_normal((60, 2)) + 8])
    labels = np.repeat([0, 1], 60)
    labels[0] = 2
    return Rows(x), labels


@pytest.mark.parametrize("rule", LOOSE, ids=repr)
def test_a_collapsed_component_is_sown_again_and_told(rule):
    rows, labels = lonely_rows(PLAIN.rng)
    model = model_from_start(rows, labels, 3, rule, Clipped(rows.x.std(axis=0)))
    fit = run(model, rows, Dense(), max_iter=300, tol=1e-7)
    assert any("collapsed" in note and "component 2" in note for note in fit.notes)
    mix = fit.model.mixture()
    assert np.isfinite(mix.log_density(rows.x)).all()
    assert mix.weights.min() > 1.5 / rows.n
    if not isinstance(rule, LowRank):  # whose factors may explain a column of few rows entirely
        assert fit.model.covariance.diagonal().min() > 1e-3


@pytest.mark.parametrize("rule", LOOSE, ids=repr)
def test_without_recovery_a_collapse_is_an_error(rule):
    rows, labels = lonely_rows(PLAIN.rng)
    with pytest.raises(IllDefinedCovarianceError, match="ill-defined empirical covariance"):
        run(model_from_start(rows, labels, 3, rule, Added(0.0)), rows, Dense())


def test_a_component_that_keeps_collapsing_is_dropped():
    # Two distinct rows cannot feed four components.
    x = np.repeat([[0.0, 0.0], [1.0, 2.0]], 30, axis=0)
    rows = Rows(x)
    floor = Clipped(x.std(axis=0))
    model = model_from_start(rows, np.arange(60) % 4, 4, Full(), floor)
    fit = run(model, rows, Dense(), max_iter=200, tol=1e-8)
    assert np.isfinite(fit.trace).all()
    assert np.isfinite(fit.model.mixture().log_density(x)).all()


# ---- liars -------------------------------------------------------------------------------------
class _DividesByNMinusOne(Full):
    def fit(self, stats, previous, floor):
        n = stats.mass[:, None, None]
        return FullCovariance(super().fit(stats, previous, floor).values * n / (n - 1))


class _ForgetsCorrelations(Full):
    def fit(self, stats, previous, floor):
        honest = super().fit(stats, previous, floor).values
        return FullCovariance(0.99 * honest + 0.01 * honest * np.eye(stats.d))


class _PoolsUnweighted(Diagonal):
    def fit(self, stats, previous, floor):
        honest = super().fit(stats, previous, floor)
        return type(honest)(np.broadcast_to(honest.variance.mean(axis=0), honest.variance.shape))


class _ShrinksFactors(LowRank):
    def fit(self, stats, previous, floor):
        honest = super().fit(stats, previous, floor)
        return type(honest)(0.7 * honest.loadings, honest.noise)


class _StepsTooFar(GaussianModel):
    def maximise(self, stats):
        honest = super().maximise(stats)
        return replace(honest, means=self.means + 3 * (honest.means - self.means))


class _DropsTheLastRow(Dense):
    def expect(self, model, rows, memory=None):
        return super().expect(model, rows.batch(0, rows.n - 1), memory)


class _ForgetsWeights(Dense):
    def expect(self, model, rows, memory=None):
        return super().expect(model, replace(rows, weight=None), memory)


@pytest.mark.parametrize(
    "liar", [_DividesByNMinusOne(), _ForgetsCorrelations(), _PoolsUnweighted()], ids=repr
)
def test_steps_that_are_not_optimal_are_rejected(liar):
    laws.step_is_optimal(type(liar).__base__(), np.random.default_rng(0), 2, 3)
    with pytest.raises(AssertionError):
        laws.step_is_optimal(liar, np.random.default_rng(0), 2, 3)


def test_steps_that_worsen_are_rejected():
    laws.step_never_worsens(LowRank(2), np.random.default_rng(0), 2, 5)
    with pytest.raises(AssertionError):
        laws.step_never_worsens(_ShrinksFactors(2), np.random.default_rng(0), 2, 5)


def test_steps_that_are_too_long_are_rejected():
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3)
    honest = laws.started(Full(), rows, 3, rng, Added(1e-3))
    names = [field.name for field in fields(honest)]
    with pytest.raises(AssertionError):
        laws.never_descends(_StepsTooFar(*(getattr(honest, name) for name in names)), rows)


@pytest.mark.parametrize("rule", [Full(), Diagonal(), LowRank(1)], ids=repr)
def test_a_fixed_addition_to_variances_is_rejected(rule):
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3)
    settled = run(laws.started(rule, rows, 3, rng), rows, Dense(), max_iter=20, tol=0.0).model
    laws.never_descends(settled, rows)
    with pytest.raises(AssertionError):
        laws.never_descends(replace(settled, floor=Added(1.0)), rows)


@pytest.mark.parametrize("liar", [_DropsTheLastRow(), _ForgetsWeights()], ids=repr)
def test_engines_that_miss_something_are_rejected(liar):
    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3, weighted=True, n=101)
    model = laws.started(Full(), rows, 3, rng)
    with pytest.raises(AssertionError):
        laws.expects(liar, model, rows)
    with pytest.raises(AssertionError):
        laws.same_iterates(model, model, rows, Dense(), liar)


def test_a_relabelling_that_forgets_weights_is_rejected():
    def forgetful(model, order):
        return replace(laws.permuted(model, order), weights=model.weights)

    rng = PLAIN.rng
    rows = rows_of(rng, 3, 3)
    model = replace(
        laws.started(Full(), rows, 3, rng, Added(1e-3)), weights=np.array([0.7, 0.2, 0.1])
    )
    with pytest.raises(AssertionError):
        laws.order_is_no_matter(model, rows, np.array([2, 0, 1]), forgetful)


def test_structures_that_are_tied_twice_or_by_class_are_the_same():
    assert Tied(Isotropic) == Tied(Isotropic())
