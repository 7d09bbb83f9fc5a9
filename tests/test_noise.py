"""Measurement noise and operators: extreme deconvolution, against dense algebra and astroML."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import sklearn
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

import mixtura as mx
from mixtura.channels import Grouped, Rowwise, measured
from mixtura.covariance import Added
from mixtura.covariance.observed import Compiled, Observed
from mixtura.errors import InputError
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import STARTS, model_from_start
from tests.laws import measured as laws
from tests.laws.cases import (
    NAMES,
    cases,
    clusters,
    mixture_of,
    random_covariance_matrix,
    structure_of,
)
from tests.laws.measured import ForgetsCovariance, Liar, Table

PATHS = (Compiled, Observed)
NAN, INF = np.nan, np.inf

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def matrices(rng, n, p):
    return np.stack([random_covariance_matrix(rng, p) for _ in range(n)])


def tables(rng, d, n=24):
    """Every way in which rows may come with noise, with and without gaps."""
    y = 2 * rng.standard_normal((n, d))
    holed = np.where(rng.random((n, d)) < 0.3, NAN, y)
    each = rng.uniform(0.1, 2.0, (n, d))
    few = each[rng.integers(3, size=n)]
    p = d + 1
    a, wide = rng.standard_normal((n, p, d)), rng.standard_normal((n, p))
    wide_holed = np.where(rng.random((n, p)) < 0.3, NAN, wide)
    return {
        "number": Table(y, 0.4),
        "columns": Table(holed, rng.uniform(0.1, 2.0, d)),
        "some exact columns": Table(y, np.where(np.arange(d) % 2, 0.0, 0.5)),
        "cells": Table(y, each),
        "cells and gaps": Table(holed, each),
        "infinite cells": Table(y, np.where(rng.random((n, d)) < 0.3, INF, each)),
        "few qualities": Table(holed, few),
        "one covariance": Table(holed, random_covariance_matrix(rng, d)),
        "covariances": Table(y, matrices(rng, n, d)),
        "covariances and gaps": Table(holed, matrices(rng, n, d)),
        "operator": Table(wide_holed, 0.3, a[0]),
        "narrow operators": Table(wide[:, :1], None, a[:, :1]),
        "operators": Table(wide, 0.2 + rng.random((n, p)), a),
        "operators, covariances": Table(wide_holed, matrices(rng, n, p), a),
        "operator, covariances": Table(wide_holed, matrices(rng, n, p), a[0]),
    }


WAYS = tuple(tables(np.random.default_rng(0), 2, 3))


# ---- one step ------------------------------------------------------------------------------------
@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=6)
@given(case=cases(max_k=3, max_d=4))
def test_step(way, path, case):
    rng = case.rng
    mix = mixture_of("full", rng, case.k, case.d)
    table = tables(rng, case.d)[way]
    laws.densities(path(mix.means, mix.covariance), mix, table)
    kind = structure_of("full", case.d).kind(mix.covariance, case.d)
    laws.moments(path(mix.means, mix.covariance), mix, table, kind, rng)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("way", ["cells and gaps", "covariances and gaps", "operators"])
@pytest.mark.parametrize("name", NAMES)
def test_step_of_every_structure(name, way, path):
    rng = np.random.default_rng(1)
    mix = mixture_of(name, rng, 3, 4)
    table = tables(rng, 4)[way]
    laws.densities(path(mix.means, mix.covariance), mix, table)
    kind = structure_of(name, 4).kind(mix.covariance, 4)
    laws.moments(path(mix.means, mix.covariance), mix, table, kind, rng)


class AddsNoise(Liar):
    """Takes measurements for values: their spread holds the noise, which should be removed."""

    def statistics(self, y, channel, resp, kind):
        from mixtura.fit.model import gather

        return gather(y - self.honest.means[0], resp, kind, self.honest.means[0])


class IgnoresNoise(Liar):
    """The density of the values, taken at the measurements."""

    def log_density(self, y, channel):
        exact = Grouped(np.zeros((1, y.shape[1])), np.zeros(len(y), dtype=int), y.shape[1])
        return self.honest.log_density(y, exact)


@pytest.mark.parametrize(
    ("law", "lie"),
    [("moments", ForgetsCovariance), ("moments", AddsNoise), ("densities", IgnoresNoise)],
)
@pytest.mark.parametrize("way", ["number", "cells", "covariances"])
def test_liar_is_rejected(law, lie, way):
    rng = np.random.default_rng(2)
    mix = mixture_of("full", rng, 3, 3)
    table = tables(rng, 3)[way]
    liar = lie(Compiled(mix.means, mix.covariance))
    with pytest.raises(AssertionError):
        if law == "moments":
            kind = structure_of("full", 3).kind(mix.covariance, 3)
            laws.moments(liar, mix, table, kind, np.random.default_rng(3))
        else:
            laws.densities(liar, mix, table)


def test_rows_in_groups_and_rows_alone_take_the_same_kernels():
    rng = np.random.default_rng(3)
    few = tables(rng, 3, 60)["few qualities"]
    assert isinstance(measured(*few).channel, Grouped)
    assert isinstance(measured(*tables(rng, 3)["cells"]).channel, Rowwise)
    grouped = few.rows()
    alone = Rowwise(grouped.channel.variance[grouped.channel.group], 3)
    mix = mixture_of("full", rng, 2, 3)
    seen = Compiled(mix.means, mix.covariance)
    one = seen.log_density(grouped.x, grouped.channel)
    assert_allclose(seen.log_density(grouped.x, alone), one, rtol=1e-11)


# ---- answers against the algebra -----------------------------------------------------------------
def estimator(mix):
    """A fitted estimator that carries a mixture."""
    gm = mx.GaussianMixture(mix.k).fit(mix.sample(50 * mix.k, rng=0))
    gm.mixture_ = mix
    return gm


@pytest.mark.parametrize("way", WAYS)
def test_scores_are_the_evidence_of_observations(way):
    rng = np.random.default_rng(4)
    mix = mixture_of("full", rng, 3, 3)
    gm, table = estimator(mix), tables(rng, 3)[way]
    scores = gm.score_samples(*table)
    resp = gm.predict_proba(*table)
    for i in range(len(table.y)):
        y, a, s = table.row(i, 3)
        if len(y) == 0:
            assert scores[i] == pytest.approx(0.0, abs=1e-12)
            continue
        if not s.any():
            continue  # exact observations are no business of ``observe``
        assert_allclose(scores[i], mix.log_evidence(y, a, s), rtol=1e-9, atol=1e-9)
        assert_allclose(resp[i], mix.observe(y, a, s + 0.0).weights, atol=1e-9) if s.all() else None
    assert_array_equal(gm.predict(*table), resp.argmax(axis=1))
    assert_allclose(gm.score(table.y, noise=table.noise, operators=table.operators), scores.mean())
    half = slice(0, 11)
    noise, a = table.noise, table.operators
    noise = noise[half] if np.ndim(noise) and len(noise) == len(table.y) else noise
    a = a[half] if np.ndim(a) == 3 else a
    assert_allclose(gm.score_samples(table.y[half], noise, a), scores[half], rtol=1e-9, atol=1e-10)


def test_shared_noise_is_a_blurred_mixture():
    rng = np.random.default_rng(5)
    mix = mixture_of("full", rng, 3, 3)
    y, s = rng.standard_normal((20, 3)), random_covariance_matrix(rng, 3)
    for noise in (0.3, np.array([0.1, 0.0, 2.0]), s):
        expected = mix.blur(noise).log_density(y)
        assert_allclose(estimator(mix).score_samples(y, noise=noise), expected, rtol=1e-9)


# ---- EM ------------------------------------------------------------------------------------------
def noisy(rng, k, d, n=None):
    x, _ = clusters(rng, n or k * (10 * d + 20), k, d)
    s = rng.uniform(0.05, 1.0, x.shape)
    return x + np.sqrt(s) * rng.standard_normal(x.shape), s


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(case=cases(max_k=3, max_d=3))
def test_em_never_descends(name, weighted, case):
    rng = case.rng
    y, s = noisy(rng, case.k, case.d)
    y[::5, 0] = NAN if case.d > 1 else y[::5, 0]
    weight = rng.uniform(0.2, 3.0, len(y)) if weighted else None
    rows = arrive(y, weight, s)
    labels = STARTS["deterministic"](rows, case.k, 0)
    model = model_from_start(rows, labels, case.k, structure_of(name, case.d), Added(0.0))
    laws.never_descends(model, Table(y, s), weight, steps=15)


@pytest.mark.parametrize("way", WAYS)
def test_fits_from_every_kind_of_measurement(way):
    rng = np.random.default_rng(6)
    truth = mixture_of("full", rng, 2, 3)
    table = tables(rng, 3, 300)[way]
    x = truth.sample(300, rng=1)
    a = np.eye(3) if table.operators is None else np.asarray(table.operators)
    exact = np.einsum("...pd,nd->np", a, x) if a.ndim == 2 else np.einsum("npd,nd->np", a, x)
    y = np.where(np.isnan(table.y), NAN, exact)
    y = np.where(np.isnan(y).all(axis=1)[:, None], exact, y)
    shared = {"noise": table.noise, "operators": table.operators}
    y = y + 0.1 * rng.standard_normal(y.shape)
    gm = mx.GaussianMixture(2, init_params="deterministic", tol=0.0, max_iter=30, reg_covar=0.0)
    if way == "infinite cells":
        table.noise[np.isinf(table.noise).all(axis=1)] = 1.0
    gm.fit(y, **shared)
    assert gm.mixture_.d == 3
    assert np.diff(gm.trace_).min() > -1e-9 * np.abs(gm.trace_).max()
    assert gm.score(y, **shared) >= gm.trace_[-1] - 1e-9


def test_one_noise_given_in_many_ways():
    rng = np.random.default_rng(7)
    y, _ = noisy(rng, 2, 3)
    s = np.array([0.3, 0.1, 0.2])
    n = len(y)
    ways = [
        s,
        np.tile(s, (n, 1)),
        np.diag(s),
        np.tile(np.diag(s), (n, 1, 1)),
        np.tile(s, (n, 1)) * (1 + 1e-14 * rng.random((n, 1))),
    ]
    settled = mx.GaussianMixture(2, init_params="deterministic", max_iter=12, tol=0.0)
    traces = [sklearn.clone(settled).fit(y, noise=w).trace_ for w in ways]
    traces.append(sklearn.clone(settled).fit(y, noise=s, operators=np.eye(3)).trace_)
    for trace in traces[1:5]:
        assert_allclose(trace, traces[0], rtol=1e-9)
    # An operator starts elsewhere, as columns of y need not be those of x.
    assert_allclose(traces[5][-1], traces[0][-1], atol=0.05)


def test_missing_cells_are_the_limit_of_noise():
    rng = np.random.default_rng(8)
    y, s = noisy(rng, 2, 3)
    gone = rng.random(y.shape) < 0.25
    gone[np.arange(len(y)), rng.integers(3, size=len(y))] = False
    mix = mx.GaussianMixture(2, random_state=0).fit(y).mixture_
    start = {
        "weights_init": mix.weights,
        "means_init": mix.means,
        "precisions_init": mix.covariance.precision(),
    }
    settled = mx.GaussianMixture(2, max_iter=10, tol=0.0, **start)
    gaps = sklearn.clone(settled).fit(np.where(gone, NAN, y), noise=s)
    infinite = sklearn.clone(settled).fit(y, noise=np.where(gone, INF, s))
    vast = sklearn.clone(settled).fit(y, noise=np.where(gone, 1e10, s))
    assert infinite.trace_ == gaps.trace_
    assert_allclose(vast.means_, gaps.means_, rtol=1e-6, atol=1e-7)
    assert_allclose(vast.covariances_, gaps.covariances_, rtol=1e-5, atol=1e-6)


def test_no_noise_is_the_ordinary_fit(load):
    x = load("iris").x
    settled = mx.GaussianMixture(3, resp_init=np.repeat([0, 1, 2], 50))
    plain = sklearn.clone(settled).fit(x)
    for noise in (0.0, np.zeros((150, 4)), np.zeros((150, 4, 4))):
        assert sklearn.clone(settled).fit(x, noise=noise).trace_ == plain.trace_
    faint = sklearn.clone(settled).fit(x, noise=1e-12)
    assert_allclose(faint.trace_, plain.trace_, rtol=1e-8)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "lowrank"])
def test_weights_are_repeated_rows(name):
    rng = np.random.default_rng(9)
    y, s = noisy(rng, 3, 4)
    times = rng.integers(0, 4, len(y))
    settled = mx.GaussianMixture(
        3, covariance_type=name, init_params="deterministic", max_iter=15, tol=0.0
    )
    one = sklearn.clone(settled).fit(y, sample_weight=times, noise=s)
    y2, s2 = np.repeat(y, times, axis=0), np.repeat(s, times, axis=0)
    other = sklearn.clone(settled).fit(y2, noise=s2)
    assert_allclose(one.trace_, other.trace_, rtol=1e-9)
    assert_allclose(one.bic(y, times, noise=s), other.bic(y2, noise=s2), rtol=1e-9)


def test_the_search_takes_noise():
    rng = np.random.default_rng(10)
    centres = np.array([[0.0, 0.0], [5.0, 1.0], [1.0, 6.0]])
    x = centres[np.arange(1500) % 3] + 0.5 * rng.standard_normal((1500, 2))
    s = rng.uniform(0.1, 1.0, x.shape)
    y = x + np.sqrt(s) * rng.standard_normal(x.shape)
    gm = mx.GaussianMixture("auto", covariance_type="auto", reg_covar="auto", random_state=0)
    gm.fit(y, noise=s)
    assert (gm.n_components_, gm.covariance_type_) == (3, "spherical")
    assert_allclose(gm.covariances_, 0.25, rtol=0.3)


# ---- what deconvolution is for -------------------------------------------------------------------
def loss(mix, truth):
    """KL(truth ‖ mix) in nats, on draws."""
    x = truth.sample(40_000, rng=77)
    return float(np.mean(truth.log_density(x) - mix.log_density(x)))


TRUTH = mx.Mixture(
    [0.3, 0.7],
    [[-2.0, 0.0], [2.0, 1.0]],
    np.array([[[0.3, 0.25], [0.25, 0.4]], [[0.5, -0.4], [-0.4, 0.5]]]),
)


def fitted(y, noise=None):
    gm = mx.GaussianMixture(2, init_params="deterministic", max_iter=2000, tol=1e-6)
    return gm.fit(y, noise=noise).mixture_


def test_the_noise_is_taken_away():
    rng = np.random.default_rng(11)
    x = TRUTH.sample(4000, rng=5)
    s = rng.uniform(0.2, 1.5, x.shape)
    y = x + np.sqrt(s) * rng.standard_normal(x.shape)
    clear, blurred = loss(fitted(y, s), TRUTH), loss(fitted(y), TRUTH)
    assert clear < 0.01
    assert blurred > 20 * clear
    assert blurred > 0.2  # which is what noise added, or ignored, would cost


def test_some_clean_rows_among_noisy_ones():
    # A tenth of the rows is clean. Together with the noisy rest it comes nearer to the fit of all
    # rows clean than the clean tenth alone, or noisy rows alone: losses of 0.011 nats against
    # 0.018, 0.048, and 0.002 for all clean.
    losses = {"all clean": [], "mixed": [], "clean tenth": [], "noisy": []}
    for seed in range(6):
        rng = np.random.default_rng([12, seed])
        x = TRUTH.sample(3000, rng=rng)
        s = np.ones(x.shape)
        s[:300] = 0.0
        e = rng.standard_normal(x.shape)
        y = np.where(s > 0, x + e, x)
        losses["all clean"].append(loss(fitted(x), TRUTH))
        losses["mixed"].append(loss(fitted(y, s), TRUTH))
        losses["clean tenth"].append(loss(fitted(x[:300]), TRUTH))
        losses["noisy"].append(loss(fitted(x + e, 1.0), TRUTH))
    mean = {name: np.mean(values) for name, values in losses.items()}
    excess = {name: value - mean["all clean"] for name, value in mean.items()}
    assert excess["mixed"] < 0.7 * excess["clean tenth"]
    assert excess["mixed"] < 0.7 * excess["noisy"]


def test_projections_alone_tell_the_whole():
    # One number of each row, along a direction of its own.
    rng = np.random.default_rng(13)
    x = TRUTH.sample(6000, rng=6)
    angle = rng.uniform(0, np.pi, len(x))
    a = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:, None]
    y = np.einsum("npd,nd->np", a, x) + 0.1 * rng.standard_normal((len(x), 1))
    gm = mx.GaussianMixture(2, random_state=0, max_iter=2000, tol=1e-6)
    gm.fit(y, noise=0.01, operators=a)
    assert loss(gm.mixture_, TRUTH) < 0.03
    assert gm.n_features_in_ == 2
    assert gm.score_samples(x).shape == (6000,)


# ---- values of other software --------------------------------------------------------------------
REFERENCE = Path(__file__).parent / "data" / "reference" / "xd_astroml.json"


def agrees_with(start, y, s, one, end, steps):
    """One step to 1e-9, and so many steps to 1e-3."""
    settings = {
        "weights_init": start["weights"],
        "means_init": start["mu"],
        "precisions_init": np.linalg.inv(start["V"]),
        "reg_covar": 0.0,
        "tol": 0.0,
    }
    k = len(start["weights"])
    gm = mx.GaussianMixture(k, max_iter=1, **settings).fit(y, noise=s)
    assert_allclose(gm.trace_[0] * len(y), one["loglik_at_start"], rtol=1e-9)
    assert_allclose(gm.weights_, one["weights"], rtol=1e-9)
    assert_allclose(gm.means_, one["mu"], rtol=1e-9)
    assert_allclose(gm.covariances_, one["V"], rtol=1e-9, atol=1e-9 * np.abs(one["V"]).max())
    gm = mx.GaussianMixture(k, max_iter=steps, **settings).fit(y, noise=s)
    assert gm.n_iter_ == steps
    assert_allclose(gm.weights_, end["weights"], rtol=1e-3, atol=1e-4)
    assert_allclose(gm.means_, end["mu"], rtol=1e-3)
    assert_allclose(gm.covariances_, end["V"], rtol=1e-3, atol=1e-3 * np.abs(end["V"]).max())
    assert_allclose(gm.score(y, noise=s) * len(y), end["loglik"], rtol=1e-6)


@pytest.mark.parametrize("name", ["cells", "covariances"])
def test_astroml_takes_the_same_steps(name):
    case = json.loads(REFERENCE.read_text(encoding="utf8"))["runs"][name]
    y, s = np.array(case["y"]), np.array(case["noise"])
    agrees_with(case["start"], y, s, case["one"], case["end"], case["steps"])


@pytest.mark.skipif(
    "MIXTURA_XD_REFERENCE" not in os.environ,
    reason="MIXTURA_XD_REFERENCE does not name a folder with xd_reference.json and xdgmm_demo.npz",
)
def test_the_published_demonstration():
    folder = Path(os.environ["MIXTURA_XD_REFERENCE"])
    values = json.loads((folder / "xd_reference.json").read_text(encoding="utf8"))
    case = values["runs"]["xdgmm_demo_from_published"]
    with np.load(folder / "xdgmm_demo.npz") as demo:
        y, s = demo["X"], demo["sigma"] ** 2
    one = case["after_one_EM_step"]
    agrees_with(values["xdgmm_demo_published_model"], y, s, one, case, case["em_iterations"])


# ---- routing and doors ---------------------------------------------------------------------------
def test_noise_is_routed_through_a_pipeline():
    y, s = noisy(np.random.default_rng(14), 2, 3)
    settled = {"init_params": "deterministic", "max_iter": 5, "tol": 0.0}
    direct = mx.GaussianMixture(2, **settled).fit(y, noise=s)
    with sklearn.config_context(enable_metadata_routing=True):
        gm = mx.GaussianMixture(2, **settled).set_fit_request(noise=True)
        gm.set_score_request(noise=True)
        pipe = Pipeline([("same", FunctionTransformer()), ("gm", gm)]).fit(y, noise=s)
        assert pipe[-1].trace_ == direct.trace_
        assert pipe.score(y, noise=s) == direct.score(y, noise=s)
        with pytest.raises(ValueError, match=r"noise.*not explicitly set as requested"):
            Pipeline([("gm", mx.GaussianMixture(2))]).fit(y, noise=s)


Y = np.random.default_rng(15).standard_normal((40, 3))
SKEW = np.array([[1.0, 0.5, 0], [0.0, 1, 0], [0, 0, 1]])
INDEFINITE = np.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 1]])


def with_row(values, i, row):
    out = np.array(values, dtype=float)
    out[i] = row
    return out


BAD = [
    ({"noise": -0.1}, r"non-negative variances as noise, got -0\.1 for column 0; pass squared"),
    ({"noise": with_row(np.ones((40, 3)), 7, -2)}, r"got -2 in row 7, column 0"),
    ({"noise": NAN}, r"expected variances as noise, got NaN for column 0"),
    (
        {"noise": with_row(np.ones((40, 3)), 4, NAN)},
        r"got NaN in row 4, column 0; .* mark the cell",
    ),
    ({"noise": np.ones(4)}, r"of shape \(3,\) or \(40, 3\), or covariances .* got \(4,\)"),
    ({"noise": np.ones((39, 3))}, r"got \(39, 3\); standard deviations are squared first"),
    ({"noise": np.ones((39, 3, 3))}, r"got \(39, 3, 3\)"),
    ({"noise": SKEW}, r"symmetric covariances as noise, got entries that differ by 0\.5"),
    ({"noise": INDEFINITE}, r"positive semidefinite covariances .* eigenvalue -1; check"),
    (
        {"noise": with_row(np.tile(np.eye(3), (40, 1, 1)), 9, INDEFINITE)},
        r"eigenvalue -1 in row 9",
    ),
    ({"noise": with_row(np.tile(np.eye(3), (40, 1, 1)), 2, NAN)}, r"finite covariances .* row 2"),
    ({"noise": [["a"] * 3] * 40}, r"expected numbers for noise; pass a numeric array"),
    (
        {"noise": np.full((40, 3), INF)},
        r"one observed cell in every row, got none in 40 of 40 rows",
    ),
    ({"noise": [1.0, INF, 1.0]}, r"one observed cell in every column, got none in column 1"),
    ({"operators": np.ones((4, 2))}, r"operators of shape \(3, d\) or \(40, 3, d\), .* \(4, 2\)"),
    ({"operators": np.ones((39, 3, 2))}, r"operators for 40 rows, got 39; pass one \(p, d\)"),
    ({"operators": np.ones(3)}, r"operators of shape \(3, d\)"),
    ({"operators": with_row(np.eye(3), 1, NAN)}, r"finite operators, got NaN or infinity; mark"),
]


@pytest.mark.parametrize(("metadata", "message"), BAD)
def test_bad_noise_says_how_to_mend_it(metadata, message):
    with pytest.raises(InputError, match=message):
        mx.GaussianMixture(2).fit(Y, **metadata)


def test_noise_of_other_columns_is_refused_in_scores():
    gm = mx.GaussianMixture(2).fit(Y)
    with pytest.raises(InputError, match=r"operators with 3 columns, as the mixture has, got 2"):
        gm.score_samples(Y, operators=np.ones((3, 2)))
    with pytest.raises(InputError, match=r"got \(4,\)"):
        gm.score_samples(Y, noise=np.ones(4))


def test_operators_that_leave_nothing_to_chance_are_refused():
    gm = mx.GaussianMixture(2, init_params="deterministic")
    with pytest.raises(InputError, match=r"give noise a positive variance|ill-defined"):
        gm.fit(np.repeat(Y[:, :1], 2, axis=1), operators=np.ones((2, 2)))


def test_noise_of_missing_cells_does_not_matter():
    y = with_row(Y, 3, [NAN, 0.5, NAN])
    s = with_row(np.full((40, 3), 0.1), 3, [NAN, 0.1, -5.0])
    t = with_row(np.full((40, 3), 0.1), 3, [9.0, 0.1, 7.0])
    one = mx.GaussianMixture(2, random_state=0).fit(y, noise=s)
    assert one.trace_ == mx.GaussianMixture(2, random_state=0).fit(y, noise=t).trace_
