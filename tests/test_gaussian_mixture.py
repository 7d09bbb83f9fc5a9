"""`mixtura.GaussianMixture` beside scikit-learn's: the same iterates, attributes and manners."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import mixtura as mx
from mixtura.covariance import STRUCTURES, Full, LowRank, Tied
from mixtura.fit.initialise import STARTS

THEIRS = sklearn.mixture.GaussianMixture
SHARED = ("full", "tied", "diag", "spherical")
SETS = [("faithful", 2), ("iris", 3), ("banknote", 3), ("diabetes", 3), ("thyroid", 3), ("wdbc", 2)]

#: Starts that are scikit-learn's, by structure. Where a start leaves rows to no component,
#: scikit-learn's tied covariance counts them nevertheless; ours does not.
EQUAL_STARTS = [
    (start, covariance_type)
    for start in ("kmeans", "k-means++", "random", "random_from_data")
    for covariance_type in SHARED
    if start in ("kmeans", "random") or covariance_type != "tied"
]

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning"  # most fits here are stopped early
)


def starting_point(x, k, covariance_type):
    """Weights, means and precisions: rows k apart, the variances of the data."""
    d = x.shape[1]
    precision = 1 / x.var(axis=0)
    precisions = {
        "full": np.stack([np.diag(precision)] * k),
        "tied": np.diag(precision),
        "diag": np.tile(precision, (k, 1)),
        "spherical": np.full(k, d / x.var(axis=0).sum()),
    }[covariance_type]
    return {
        "weights_init": np.arange(1, k + 1) / (k * (k + 1) / 2),
        "means_init": x[np.linspace(0, len(x) - 1, k).astype(int)],
        "precisions_init": precisions,
    }


def same_iterates(ours, theirs, x, rtol=1e-8, since=0):
    """Law: parameters, trace (from an iteration on) and scores agree, after as many iterations."""
    assert ours.n_iter_ == theirs.n_iter_
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        mine, expected = getattr(ours, name), getattr(theirs, name)
        assert mine.shape == expected.shape
        size = np.abs(expected).max()
        assert_allclose(mine, expected, rtol=rtol, atol=rtol * size, err_msg=name)
    first = min(since, ours.n_iter_ - 1)
    assert_allclose(ours.lower_bounds_[first:], theirs.lower_bounds_[first:], rtol=rtol)
    assert_allclose(ours.lower_bound_, theirs.lower_bound_, rtol=rtol)
    assert_allclose(ours.score_samples(x), theirs.score_samples(x), rtol=rtol, atol=rtol)
    assert_allclose(ours.predict_proba(x), theirs.predict_proba(x), rtol=0, atol=1e-7)
    assert_array_equal(ours.predict(x), theirs.predict(x))
    for name in ("score", "bic", "aic"):
        assert_allclose(getattr(ours, name)(x), getattr(theirs, name)(x), rtol=rtol)


# ---- the same as scikit-learn ------------------------------------------------------------------
@pytest.mark.parametrize("iterations", [1, 2, 25])
@pytest.mark.parametrize("covariance_type", SHARED)
@pytest.mark.parametrize(("name", "k"), SETS)
def test_iterates_are_scikit_learn_s(name, k, covariance_type, iterations, load):
    x = load(name).x[:, :10]
    settings = {
        "covariance_type": covariance_type,
        "max_iter": iterations,
        "tol": 0,
        **starting_point(x, k, covariance_type),
    }
    ours, theirs = mx.GaussianMixture(k, **settings).fit(x), THEIRS(k, **settings).fit(x)
    same_iterates(ours, theirs, x)


@pytest.mark.parametrize(
    "lie", [{"max_iter": 24}, {"reg_covar": 2e-6}, {"weights_init": np.array([0.5, 0.3, 0.2])}]
)
def test_other_iterates_are_rejected(lie, load):
    x = load("iris").x
    settings = {"max_iter": 25, "tol": 0, **starting_point(x, 3, "full")}
    theirs = THEIRS(3, **settings).fit(x)
    with pytest.raises(AssertionError):
        same_iterates(mx.GaussianMixture(3, **{**settings, **lie}).fit(x), theirs, x)


@pytest.mark.parametrize(("init_params", "covariance_type"), EQUAL_STARTS)
@pytest.mark.parametrize(("name", "k"), [("faithful", 2), ("banknote", 3), ("ex4_1", 4)])
def test_defaults_and_seeds_give_scikit_learn_s_fit(name, k, covariance_type, init_params, load):
    # Rows given once start as scikit-learn's do: both see the same random numbers.
    from_rows = init_params in ("k-means++", "random_from_data")
    x = np.unique(load(name).x, axis=0)
    settings = {"covariance_type": covariance_type, "init_params": init_params, "random_state": 3}
    ours, theirs = mx.GaussianMixture(k, **settings).fit(x), THEIRS(k, **settings).fit(x)
    assert ours.converged_ == theirs.converged_
    # From single rows scikit-learn's first variances are rounding errors on top of 1e-6.
    same_iterates(ours, theirs, x, rtol=1e-6, since=int(from_rows))


def test_parameters_methods_and_attributes_are_all_there(load):
    x = load("iris").x
    ours, theirs = mx.GaussianMixture(2).fit(x), THEIRS(2).fit(x)
    mine, expected = mx.GaussianMixture().get_params(), THEIRS().get_params()
    assert {name: mine[name] for name in expected} == expected
    signature = inspect.signature(mx.GaussianMixture.__init__).parameters
    positional = [p.name for p in signature.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == ["self", "n_components"]
    public = [name for name in dir(theirs) if not name.startswith("_")]
    assert [name for name in public if not hasattr(ours, name)] == []
    extra = {"mixture_", "trace_", "n_components_", "covariance_type_", "search_", "notes_"}
    assert all(hasattr(ours, name) for name in extra)
    assert not any(hasattr(mx.GaussianMixture(2), name) for name in extra)
    assert ours.trace_ == ours.lower_bounds_


def test_unfitted_says_so(load):
    x = load("iris").x
    gm = mx.GaussianMixture(2)
    for method in (gm.predict, gm.predict_proba, gm.score_samples, gm.score, gm.bic, gm.aic):
        with pytest.raises(NotFittedError):
            method(x)
    with pytest.raises(NotFittedError):
        gm.sample(1)


# ---- weights -----------------------------------------------------------------------------------
def weights_mean_repetition(fit, x, times, rtol=1e-9):
    """Law: a weight of m is the row given m times, and a weight of zero is the row left out."""
    weighted = fit(x, times.astype(float))
    repeated = fit(np.repeat(x, times, axis=0), None)
    assert weighted.n_iter_ == repeated.n_iter_
    assert_allclose(weighted.trace_, repeated.trace_, rtol=rtol)
    assert_allclose(weighted.weights_, repeated.weights_, rtol=rtol)
    assert_allclose(weighted.means_, repeated.means_, rtol=rtol)
    size = np.abs(repeated.covariances_).max()
    assert_allclose(weighted.covariances_, repeated.covariances_, rtol=rtol, atol=rtol * size)


@pytest.mark.parametrize(
    "init_params", ["deterministic", "kmeans", "k-means++", "random_from_data"]
)
@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_weights_mean_repetition(covariance_type, init_params, load):
    if covariance_type in ("EEV", "VEV") and init_params == "random_from_data":
        pytest.skip("a start from single rows leaves axes open: all choices are equally likely")
    x = load("iris").x
    times = np.random.default_rng(0).integers(0, 4, len(x))

    def fit(rows, weight):
        gm = mx.GaussianMixture(
            3, covariance_type=covariance_type, init_params=init_params, random_state=0, rank=2
        )
        return gm.fit(rows, sample_weight=weight)

    weights_mean_repetition(fit, x, times)
    weights_mean_repetition(fit, x, np.minimum(times, 1))


def test_weights_that_are_ignored_are_rejected(load):
    x = load("iris").x
    times = np.random.default_rng(0).integers(0, 4, len(x))

    def fit(rows, weight):
        return mx.GaussianMixture(3, init_params="deterministic").fit(rows)

    with pytest.raises(AssertionError):
        weights_mean_repetition(fit, x, times)


def test_scores_and_criteria_with_weights(load):
    x = load("iris").x
    times = np.random.default_rng(0).integers(0, 4, len(x))
    gm = mx.GaussianMixture(3, init_params="deterministic").fit(x, sample_weight=times)
    repeated = np.repeat(x, times, axis=0)
    for name in ("score", "bic", "aic"):
        method = getattr(gm, name)
        assert_allclose(method(x, sample_weight=times), method(repeated), rtol=1e-12)
        assert method(x) != method(repeated)
    labels = mx.GaussianMixture(3, init_params="deterministic").fit_predict(x, sample_weight=times)
    assert_array_equal(labels, gm.predict(x))


# ---- starts ------------------------------------------------------------------------------------
def test_resp_init_as_labels_and_as_responsibilities(load):
    x = load("iris").x
    labels = np.arange(150) // 50
    one = mx.GaussianMixture(3, resp_init=labels).fit(x)
    for same in (
        labels.tolist(),
        labels.astype(float),
        np.eye(3)[labels],
        np.eye(3)[labels].tolist(),
    ):
        assert_allclose(mx.GaussianMixture(3, resp_init=same).fit(x).trace_, one.trace_, rtol=1e-12)
    at_start = mx.GaussianMixture(3, resp_init=labels, max_iter=0).fit(x)
    expected = np.stack([x[labels == j].mean(axis=0) for j in range(3)])
    assert_allclose(at_start.means_, expected, rtol=1e-12)
    assert_allclose(at_start.weights_, 1 / 3, rtol=1e-12)


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("covariance_type", STRUCTURES)
def test_every_start_with_every_structure(covariance_type, start, load):
    x = load("iris").x
    fits = [
        mx.GaussianMixture(
            3, covariance_type=covariance_type, init_params=start, random_state=0, max_iter=30
        ).fit(x)
        for _ in range(2)
    ]
    assert_array_equal(fits[0].means_, fits[1].means_)  # a seed says it all
    assert np.isfinite(fits[0].score(x))
    assert fits[0].n_components_ == 3
    assert fits[0].covariance_type_ == covariance_type


def test_deterministic_start_draws_no_random_number(load):
    x = load("iris").x
    fits = [
        mx.GaussianMixture(3, init_params="deterministic", random_state=seed).fit(x)
        for seed in (0, 1, None, np.random.RandomState(5), np.random.default_rng(7))
    ]
    for other in fits[1:]:
        assert_array_equal(other.means_, fits[0].means_)


def test_given_parameters_replace_those_of_the_start(load):
    x = load("iris").x
    start = starting_point(x, 3, "full")
    for name in start:
        settings = {"init_params": "deterministic", "max_iter": 0, name: start[name]}
        gm = mx.GaussianMixture(3, **settings).fit(x)
        assert_allclose(getattr(gm, name.replace("init", "")), start[name], rtol=1e-9)


def test_the_best_of_several_starts_is_kept(load):
    x = load("ex4_1").x
    settings = {"init_params": "random_from_data", "max_iter": 40}
    state = np.random.RandomState(0)
    single = [mx.GaussianMixture(4, random_state=state, **settings).fit(x) for _ in range(6)]
    many = mx.GaussianMixture(4, n_init=6, random_state=np.random.RandomState(0), **settings).fit(x)
    bounds = [gm.lower_bound_ for gm in single]
    assert many.lower_bound_ == max(bounds) > min(bounds)


def test_warm_start_goes_on_where_the_last_fit_ended(load):
    x = load("iris").x
    through = mx.GaussianMixture(3, random_state=0, max_iter=12, tol=0).fit(x)
    gm = mx.GaussianMixture(3, random_state=0, max_iter=4, tol=0, warm_start=True)
    trace = []
    for _ in range(3):
        trace += gm.fit(x).trace_
    assert_allclose(trace, through.trace_, rtol=1e-12)
    assert_allclose(gm.means_, through.means_, rtol=1e-9)
    gm.set_params(tol=1e-3, max_iter=100).fit(x)
    assert gm.converged_
    assert gm.fit(x).n_iter_ == 1  # nothing is left to gain


def test_not_converging_is_one_warning_and_a_status(load):
    x = load("iris").x
    gm = mx.GaussianMixture(3, max_iter=2, n_init=3, tol=1e-12, random_state=0)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        gm.fit(x)
    assert [w.category for w in seen] == [ConvergenceWarning]
    assert seen[0].filename == __file__
    assert not gm.converged_
    assert gm.n_iter_ == len(gm.trace_) == 2


def test_verbose_tells_of_starts_and_iterations(load, capsys):
    x = load("iris").x
    mx.GaussianMixture(2, verbose=1, verbose_interval=1, random_state=0).fit(x)
    plain = capsys.readouterr().out
    assert "Initialization 0" in plain and "Iteration 1" in plain and "converged" in plain
    mx.GaussianMixture(2, verbose=2, verbose_interval=1, random_state=0).fit(x)
    assert "time lapse" in capsys.readouterr().out
    mx.GaussianMixture(2, random_state=0).fit(x)
    assert capsys.readouterr().out == ""


# ---- rows in every form ------------------------------------------------------------------------
def test_rows_in_every_form(load, tmp_path):
    x = load("iris").x
    expected = mx.GaussianMixture(3, init_params="deterministic").fit(x)
    mapped = np.memmap(tmp_path / "rows", dtype=np.float64, mode="w+", shape=x.shape)
    mapped[:] = x
    mapped.flush()
    mapped = np.memmap(tmp_path / "rows", dtype=np.float64, mode="r", shape=x.shape)
    forms = [
        np.asfortranarray(x),
        x.tolist(),
        mapped,
        np.repeat(x, 2, axis=0)[::2],
        x.astype(object),
        x[:, ::-1][:, ::-1],
    ]
    for form in forms:
        gm = mx.GaussianMixture(3, init_params="deterministic").fit(form)
        assert_allclose(gm.means_, expected.means_, rtol=1e-12)
        assert_allclose(gm.score_samples(form), expected.score_samples(x), rtol=1e-9)
    whole = np.round(10 * x).astype(np.int64)
    assert mx.GaussianMixture(2, random_state=0).fit(whole).means_.dtype == np.float64


def test_rows_are_left_as_they_were(load):
    x = load("iris").x
    kept = x.copy()
    x.flags.writeable = False
    weight = np.ones(150)
    mx.GaussianMixture(3, init_params="deterministic").fit(x, sample_weight=weight)
    assert_array_equal(x, kept)
    assert_array_equal(weight, 1)


def test_tables_give_their_names_to_the_mixture(load):
    table = load("iris")
    frame = pd.DataFrame(table.x, columns=table.columns)
    gm = mx.GaussianMixture(3, init_params="deterministic").fit(frame)
    assert list(gm.feature_names_in_) == list(table.columns)
    assert gm.mixture_.columns == table.columns
    assert gm.n_features_in_ == 4
    assert_allclose(gm.mixture_.log_density(frame), gm.score_samples(frame))
    assert gm.mixture_.condition("Sepal.Length", 5.0).columns == table.columns[1:]
    with pytest.raises(ValueError, match="feature names"):
        gm.predict(frame[frame.columns[::-1]])
    unnamed = gm.fit(table.x)
    assert unnamed.mixture_.columns is None
    assert not hasattr(unnamed, "feature_names_in_")


# ---- structures --------------------------------------------------------------------------------
def test_low_rank_has_a_rank_and_its_own_number_of_parameters(load):
    x = load("wdbc").x[:, :10] / load("wdbc").x[:, :10].std(axis=0)
    gm = mx.GaussianMixture(2, covariance_type="lowrank", rank=3, init_params="deterministic").fit(
        x
    )
    assert gm.mixture_.covariance.rank == 3
    n_parameters = 2 * (10 * 3 - 3 + 10) + 2 * 10 + 1
    assert_allclose(gm.bic(x), -2 * gm.score(x) * 569 + n_parameters * np.log(569))
    assert gm.covariances_.shape == gm.precisions_.shape == (2, 10, 10)
    assert_allclose(gm.covariances_, gm.mixture_.covariance.dense())
    assert_allclose(gm.precisions_ @ gm.covariances_, np.stack([np.eye(10)] * 2), atol=1e-6)
    default = mx.GaussianMixture(2, covariance_type="lowrank", init_params="deterministic").fit(x)
    assert default.mixture_.covariance.rank == 3  # the rounded square root of ten columns


@pytest.mark.parametrize(
    ("alias", "name"), [("diagonal", "diag"), ("isotropic", "spherical"), (Full(), "full")]
)
def test_aliases_and_structures_mean_the_same(alias, name, load):
    x = load("iris").x
    one = mx.GaussianMixture(3, covariance_type=alias, init_params="deterministic").fit(x)
    other = mx.GaussianMixture(3, covariance_type=name, init_params="deterministic").fit(x)
    assert_array_equal(one.means_, other.means_)
    assert one.covariance_type_ == name
    assert one.bic(x) == other.bic(x)


def test_any_structure_may_be_tied(load):
    x = load("iris").x
    gm = mx.GaussianMixture(3, covariance_type=Tied(LowRank(1)), init_params="deterministic").fit(x)
    covariance = gm.mixture_.covariance
    assert (covariance.name, covariance.shared.name) == ("tied", "lowrank")
    n_parameters = (4 + 4) + 3 * 4 + 2
    assert_allclose(gm.bic(x), -2 * gm.score(x) * 150 + n_parameters * np.log(150))
    assert gm.covariances_.shape == (4, 4)


# ---- draws -------------------------------------------------------------------------------------
def test_sample_gives_rows_and_labels(load):
    gm = mx.GaussianMixture(3, random_state=0, init_params="deterministic").fit(load("iris").x)
    x, labels = gm.sample(500)
    assert x.shape == (500, 4)
    assert labels.shape == (500,)
    assert np.mean(gm.predict(x) == labels) > 0.9
    assert_array_equal(gm.sample(5, random_state=1)[0], gm.sample(5, random_state=1)[0])
    assert not np.array_equal(gm.sample(5, random_state=1)[0], gm.sample(5, random_state=2)[0])
    assert gm.sample()[0].shape == (1, 4)
    gm.sample(3, random_state=np.random.default_rng(0))
    with pytest.raises(ValueError, match="Invalid value for 'n_samples': 0"):
        gm.sample(0)
