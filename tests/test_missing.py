"""Missing cells: exact EM on what was observed, for every structure, against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score
from sklearn.utils import get_tags

import mixtura as mx
from mixtura.channels import Grouped
from mixtura.covariance import Added, Clipped
from mixtura.covariance.observed import Compiled, Observed
from mixtura.errors import InputError
from mixtura.fit import run
from mixtura.fit.engines import Dense, dense
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import STARTS, model_from_start
from mixtura.sources import Rows
from mixtura.statistics import Diagonal, Full, MomentKind, Pooled, Projected, Trace
from tests.laws import measured as laws
from tests.laws.cases import NAMES, cases, clusters, mixture_of, rows_near, structure_of
from tests.laws.measured import FillsColumnMeans, ForgetsCovariance, Table

PATHS = (Compiled, Observed)
NAN = np.nan

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def gappy(x, rng, share=0.3):
    """The rows with cells missing at random, at least one left in each row and column."""
    gone = rng.random(x.shape) < share
    gone[np.arange(len(x)), rng.integers(x.shape[1], size=len(x))] = False
    gone[0] = False
    return np.where(gone, NAN, x)


def table_of(rng, k, d, n=None):
    x, labels = clusters(rng, n or k * (8 * d + 12), k, d)
    return gappy(x, rng), labels


# ---- one step ------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(case=cases(max_k=3, max_d=5))
def test_step(name, path, case):
    rng = case.rng
    mix = mixture_of(name, rng, case.k, case.d)
    table = Table(gappy(rows_near(mix, rng, 30), rng, 0.5))
    if not np.isnan(table.y).any():
        return
    components = path(mix.means, mix.covariance)
    laws.densities(components, mix, table)
    kind = structure_of(name, case.d).kind(mix.covariance, case.d)
    laws.moments(components, mix, table, kind, rng)


@pytest.mark.parametrize("path", PATHS)
def test_rows_of_which_nothing_is_known_have_density_one(path):
    mix = mixture_of("full", np.random.default_rng(0), 2, 3)
    table = Table(np.array([[NAN] * 3, [0.0, NAN, 1.0], [NAN] * 3]))
    laws.densities(path(mix.means, mix.covariance), mix, table)
    rng = np.random.default_rng(1)
    kind = structure_of("full", 3).kind(mix.covariance, 3)
    laws.moments(path(mix.means, mix.covariance), mix, table, kind, rng)


@pytest.mark.parametrize(
    ("law", "lie"),
    [
        ("moments", ForgetsCovariance),
        ("moments", FillsColumnMeans),
        ("densities", FillsColumnMeans),
    ],
)
def test_liar_is_rejected(law, lie):
    rng = np.random.default_rng(2)
    mix = mixture_of("full", rng, 3, 4)
    table = Table(gappy(rows_near(mix, rng, 40), rng))
    kind = structure_of("full", 4).kind(mix.covariance, 4)
    honest = Compiled(mix.means, mix.covariance)

    def hold(components):
        if law == "moments":
            laws.moments(components, mix, table, kind, np.random.default_rng(3))
        else:
            laws.densities(components, mix, table)

    hold(honest)
    with pytest.raises(AssertionError):
        hold(lie(honest))


def test_moments_of_covariances_by_the_general_way():
    # A kind of moment that does not say how it takes a covariance inherits a way.
    rng = np.random.default_rng(0)
    mass = rng.uniform(0.5, 2.0, 3)
    kinds = [Trace(), Diagonal(), Full()]
    kinds += [Projected(rng.standard_normal((m, 4, 2))) for m in (1, 3)]
    for name in NAMES:
        cov = mixture_of(name, rng, 3, 4).covariance
        for kind in kinds:
            general = MomentKind.of_covariance(kind, mass, cov)
            assert_allclose(kind.of_covariance(mass, cov), general, rtol=1e-9, atol=1e-11)
            pooled = Pooled(kind).of_covariance(mass, cov)
            assert_allclose(pooled, general.sum(axis=0)[None], rtol=1e-9, atol=1e-11)


# ---- EM ------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(case=cases(max_k=3, min_d=2, max_d=4))
def test_em_never_descends(name, weighted, case):
    rng = case.rng
    table = Table(table_of(rng, case.k, case.d)[0])
    weight = rng.uniform(0.2, 3.0, len(table.y)) if weighted else None
    rows = arrive(table.y, weight)
    labels = STARTS["deterministic"](rows, case.k, 0)
    model = model_from_start(rows, labels, case.k, structure_of(name, case.d), Added(0.0))
    laws.never_descends(model, table, weight)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("name", NAMES)
def test_em_never_descends_from_any_start_under_a_clipped_floor(name, start, load):
    x = gappy(load("iris").x, np.random.default_rng(0))
    rows = arrive(x, None)
    assert np.isfinite(rows.points).all()
    model = model_from_start(
        rows, STARTS[start](rows, 3, 0), 3, structure_of(name, 4), Clipped(np.nanstd(x, axis=0))
    )
    laws.never_descends(model, Table(x), steps=40)


@pytest.mark.parametrize("name", ["diag", "lowrank", "tied lowrank"])
def test_many_columns(name):
    # Beyond 64 columns nothing dense is factored: the law of the structure itself is used.
    rng = np.random.default_rng(1)
    x, _ = clusters(rng, 60, 2, 70)
    table = Table(gappy(x, rng, 0.2))
    rows = arrive(table.y, None)
    model = model_from_start(
        rows, STARTS["deterministic"](rows, 2), 2, structure_of(name, 70), Added(0.1)
    )
    assert type(model.components(rows)) is Observed
    trace = run(model, rows, Dense(), max_iter=12, tol=0.0).trace
    each = logsumexp(laws.log_joint(model.mixture(), table), axis=1)
    assert_allclose(trace[0], each.mean(), rtol=1e-8)
    # A fixed addition may cost a little; the way is up.
    assert np.diff(trace).min() > -1e-3
    assert trace[-1] > trace[0]


@pytest.mark.parametrize("name", NAMES)
def test_whole_rows_by_the_way_of_measured_rows(name):
    # Where nothing is missing the two paths take the same steps.
    rng = np.random.default_rng(4)
    x, labels = clusters(rng, 120, 3, 4)
    rule = structure_of(name, 4)
    model = model_from_start(Rows(x), labels, 3, rule, Added(0.0))
    plain = run(model, Rows(x), Dense(), max_iter=15, tol=0.0)
    assert arrive(x, None).channel is None
    channel = Grouped(np.zeros((1, 4)), np.zeros(120, dtype=np.int64), 4)
    other = run(model, Rows(x, channel=channel), Dense(batch_rows=17), max_iter=15, tol=0.0)
    assert_allclose(other.trace, plain.trace, rtol=1e-9, atol=1e-11)
    assert_allclose(other.model.means, plain.model.means, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("batch_rows", [1, 7, 5000])
def test_chunks_and_threads_change_nothing(batch_rows, threads, monkeypatch):
    monkeypatch.setattr(dense, "n_workers", lambda: threads)
    rng = np.random.default_rng(5)
    x, _ = table_of(rng, 3, 4, n=151)
    rows = arrive(x, rng.uniform(0.5, 2.0, 151))
    model = model_from_start(
        rows, STARTS["kmeans"](rows, 3, 0), 3, structure_of("full", 4), Added(0)
    )
    one = run(model, rows, Dense(), max_iter=8, tol=0.0)
    other = run(model, rows, Dense(batch_rows=batch_rows), max_iter=8, tol=0.0)
    assert_allclose(other.trace, one.trace, rtol=1e-10)
    assert_allclose(other.model.means, one.model.means, rtol=1e-8, atol=1e-9)


def test_nearly_singular_components_keep_their_digits():
    # Two columns that agree to 1e-5 of their spread, on top of an offset of 1e4.
    rng = np.random.default_rng(6)
    x = rng.standard_normal((600, 3))
    x[:, 2] = x[:, 0] + 1e-5 * x[:, 2]
    table = Table(gappy(x + 1e4, rng, 0.25))
    rows = arrive(table.y, None)
    model = model_from_start(rows, np.zeros(600, int), 1, structure_of("full", 3), Added(0.0))
    trace = run(model, rows, Dense(), max_iter=60, tol=0.0).trace
    assert np.diff(trace).min() > -1e-9 * abs(trace[0])


# ---- the estimator -------------------------------------------------------------------------------
def settled(name="full", k=3, **settings):
    return mx.GaussianMixture(k, covariance_type=name, init_params="deterministic", **settings)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "lowrank"])
def test_weights_are_repeated_rows(name, load):
    rng = np.random.default_rng(7)
    x = gappy(load("iris").x, rng)
    times = rng.integers(0, 4, len(x))
    one = settled(name, max_iter=25, tol=0.0).fit(x, sample_weight=times)
    other = settled(name, max_iter=25, tol=0.0).fit(np.repeat(x, times, axis=0))
    assert_allclose(one.trace_, other.trace_, rtol=1e-9)
    assert_allclose(one.means_, other.means_, rtol=1e-7)
    score = one.score(x, sample_weight=times)
    assert_allclose(score, one.score(np.repeat(x, times, axis=0)), rtol=1e-12)
    assert_allclose(one.bic(x, sample_weight=times), one.bic(np.repeat(x, times, axis=0)))


def test_answers_are_those_of_what_was_observed(load):
    rng = np.random.default_rng(8)
    x = gappy(load("iris").x, rng)
    x[3] = NAN  # a row to score, of which nothing is known
    gm = settled().fit(np.delete(x, 3, axis=0))
    joint = laws.log_joint(gm.mixture_, Table(x))
    total = logsumexp(joint, axis=1)
    assert_allclose(gm.score_samples(x), total, rtol=1e-9, atol=1e-10)
    assert gm.score_samples(x)[3] == pytest.approx(0.0, abs=1e-12)
    assert_allclose(gm.predict_proba(x), np.exp(joint - total[:, None]), atol=1e-10)
    assert_allclose(gm.predict_proba(x)[3], gm.weights_)
    assert_array_equal(gm.predict(x), joint.argmax(axis=1))
    assert_allclose(gm.score(x), total.mean())
    free = 3 * 10 + 12 + 2
    assert_allclose(gm.bic(x), -2 * total.sum() + free * np.log(150))
    assert_allclose(gm.aic(x), -2 * total.sum() + 2 * free)


def test_a_row_s_score_does_not_depend_on_the_others(load):
    x = gappy(load("iris").x, np.random.default_rng(9))
    gm = settled().fit(x)
    whole = gm.score_samples(x)
    some = np.random.default_rng(0).permutation(150)[:40]
    assert_allclose(gm.score_samples(x[some]), whole[some], rtol=1e-9)
    assert_allclose([gm.score_samples(x[[i]])[0] for i in some], whole[some], rtol=1e-9)
    there = x[~np.isnan(x).any(axis=1)]
    assert_array_equal(gm.score_samples(there), whole[~np.isnan(x).any(axis=1)])


def test_rows_keep_their_places(load):
    # Rows are sorted by pattern inside; labels that go in and come out are in the caller's order.
    x = gappy(load("iris").x, np.random.default_rng(10))
    start = np.repeat([0, 1, 2], 50)
    order = np.random.default_rng(1).permutation(150)
    gm = mx.GaussianMixture(3, resp_init=start, max_iter=30, tol=0.0)
    labels = gm.fit_predict(x)
    assert_array_equal(labels, gm.predict(x))
    assert (labels == start).mean() > 0.85
    other = mx.GaussianMixture(3, resp_init=start[order], max_iter=30, tol=0.0).fit(x[order])
    assert_allclose(other.trace_, gm.trace_, rtol=1e-10)
    soft = mx.GaussianMixture(3, resp_init=np.eye(3)[start], max_iter=30, tol=0.0).fit(x)
    assert_allclose(soft.trace_, gm.trace_, rtol=1e-10)


def test_no_gaps_is_the_ordinary_fit(load):
    x = load("iris").x
    gm = mx.GaussianMixture(3, random_state=0).fit(x)
    again = mx.GaussianMixture(3, random_state=0).fit(x, noise=np.zeros(4))
    assert again.trace_ == gm.trace_
    assert_array_equal(again.means_, gm.means_)


def test_a_warm_start_goes_on_where_the_fit_stopped(load):
    x = gappy(load("iris").x, np.random.default_rng(15))
    whole = settled(max_iter=20, tol=0.0).fit(x)
    parts = settled(max_iter=10, tol=0.0, warm_start=True).fit(x)
    first = list(parts.trace_)
    assert_allclose(first + parts.fit(x).trace_, whole.trace_, rtol=1e-10)


def test_float32_rows(load):
    x = gappy(load("iris").x, np.random.default_rng(11))
    double = settled(max_iter=10, tol=0.0).fit(x)
    single = settled(max_iter=10, tol=0.0).fit(x.astype(np.float32))
    assert single.means_.dtype == single.score_samples(x.astype(np.float32)).dtype == np.float32
    assert_allclose(single.trace_, double.trace_, rtol=1e-5)


def test_the_search_takes_gaps():
    rng = np.random.default_rng(12)
    labels = np.arange(450) % 3
    centres = np.array([[0.0, 0, 0], [6, 0, 3], [0, 6, -3]])
    x = gappy(centres[labels] + rng.standard_normal((450, 3)), rng, 0.2)
    gm = mx.GaussianMixture("auto", covariance_type="auto", reg_covar="auto", random_state=0).fit(x)
    assert (gm.n_components_, gm.covariance_type_) == (3, "spherical")

    assert adjusted_rand_score(labels, gm.predict(x)) > 0.85


def test_collapsed_components_are_sown_again(load):
    x = gappy(load("iris").x, np.random.default_rng(13))
    x = np.vstack([x, np.repeat(x[:1], 8, axis=0)])
    resp = np.zeros(len(x), dtype=int)
    resp[-8:] = 1
    gm = mx.GaussianMixture(2, reg_covar="auto", resp_init=resp, max_iter=200).fit(x)
    assert any("sown again" in note for note in gm.notes_)
    assert np.isfinite(gm.trace_).all()
    assert gm.weights_.min() > 0.1


def closeness(fit, truth):
    """Mean log density that a fit loses on whole new rows, in nats."""
    rows = truth.sample(20_000, rng=99)
    return float(np.mean(truth.log_density(rows) - fit.log_density(rows)))


def test_gaps_cost_little_and_column_means_much():
    # 30% of cells missing at random, dependent columns: what EM makes of them against whole rows,
    # against means in their place, and against whole rows alone.
    rng = np.random.default_rng(14)
    s = np.full((4, 4), 0.7) + 0.3 * np.eye(4)
    truth = mx.Mixture([0.4, 0.6], [np.zeros(4), 3 * np.ones(4)], np.stack([s, 0.5 * s]))
    x = truth.sample(1500, rng=1)
    y = gappy(x, rng, 0.3)
    filled = np.where(np.isnan(y), np.nanmean(y, axis=0), y)
    loss = {
        name: closeness(settled(k=2, max_iter=300).fit(rows).mixture_, truth)
        for name, rows in {
            "whole": x,
            "gaps": y,
            "means": filled,
            "whole rows alone": y[~np.isnan(y).any(axis=1)],
        }.items()
    }
    assert loss["gaps"] < 2 * loss["whole"]
    assert loss["gaps"] < 0.6 * loss["whole rows alone"]
    assert loss["means"] > 20 * loss["gaps"]


# ---- doors ---------------------------------------------------------------------------------------
def test_the_tag_says_that_gaps_are_welcome():
    assert get_tags(mx.GaussianMixture()).input_tags.allow_nan
    assert not get_tags(mx.MixtureRegressor()).input_tags.allow_nan


def holed(row=None, column=None):
    x = np.random.default_rng(0).standard_normal((40, 3))
    x[0, 1] = NAN
    if row is not None:
        x[row] = NAN
    if column is not None:
        x[:, column] = NAN
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            holed(row=[7, 5]),
            r"observed cell in every row, got none in 2 of .* rows, .* row 5; drop",
        ),
        (holed(column=2), r"one observed cell in every column, got none in column 2; leave"),
    ],
)
def test_rows_and_columns_without_any_cell_are_refused(x, message):
    with pytest.raises(InputError, match=message):
        mx.GaussianMixture(2).fit(x)
    with pytest.raises(InputError, match=message):
        mx.GaussianMixture("auto").fit(x)


def test_empty_rows_of_no_weight_are_taken():
    weight = np.ones(40)
    weight[7] = 0.0
    x = holed(row=7)
    one = settled(k=2).fit(x, sample_weight=weight)
    other = settled(k=2).fit(np.delete(x, 7, axis=0))
    assert_allclose(one.trace_, other.trace_, rtol=1e-10)


def test_infinite_cells_are_refused():
    x = holed()
    x[3, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        mx.GaussianMixture(2).fit(x)
