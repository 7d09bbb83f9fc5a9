"""`GaussianMixture` as a citizen of scikit-learn: its checks, routing, cloning, jobs, callbacks."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sklearn
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import (
    check_dataframe_column_names_consistency,
    check_param_validation,
    parametrize_with_checks,
)

import mixtura as mx

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATORS = [
    mx.GaussianMixture(),
    mx.GaussianMixture(3),
    mx.GaussianMixture(3, init_params="deterministic", reg_covar="auto"),
    mx.GaussianMixture(3, covariance_type="tied", init_params="k-means++"),
    mx.GaussianMixture(3, covariance_type="diag", init_params="random_from_data"),
    mx.GaussianMixture(3, covariance_type="spherical", init_params="random"),
    mx.GaussianMixture(3, covariance_type="lowrank"),
    mx.GaussianMixture("auto", covariance_type="auto", reg_covar="auto"),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "check", [check_param_validation, check_dataframe_column_names_consistency]
)
@pytest.mark.parametrize("k", [1, 3])
def test_checks_that_the_suite_leaves_out(check, k):
    check("GaussianMixture", mx.GaussianMixture(k))


# ---- cloning, pickling, jobs -------------------------------------------------------------------
def test_clone_keeps_every_parameter_as_it_is():
    means, resp = np.zeros((2, 2)), [0, 1]
    gm = mx.GaussianMixture(
        2, covariance_type="lowrank", rank=1, reg_covar="auto", means_init=means, resp_init=resp
    )
    twin = clone(gm, safe=True)
    assert twin.get_params().keys() == gm.get_params().keys()
    assert (twin.rank, twin.covariance_type, twin.reg_covar, twin.resp_init) == (
        1,
        "lowrank",
        "auto",
        [0, 1],
    )
    assert gm.means_init is means
    assert not hasattr(clone(gm.set_params(means_init=None).fit([[0.0, 1], [1, 0]])), "mixture_")


@pytest.mark.parametrize("covariance_type", ["full", "tied", "lowrank"])
def test_pickles_compute_and_continue_the_same(covariance_type, load):
    x = load("iris").x
    gm = mx.GaussianMixture(
        3, covariance_type=covariance_type, init_params="deterministic", warm_start=True, max_iter=3
    ).fit(x)
    again = pickle.loads(pickle.dumps(gm))
    assert_array_equal(again.predict_proba(x), gm.predict_proba(x))
    assert again.bic(x) == gm.bic(x)
    assert again.fit(x).trace_ == gm.fit(x).trace_


def test_fits_in_other_processes_are_the_same(load):
    x = load("iris").x
    x.flags.writeable = False
    estimators = [mx.GaussianMixture(k, random_state=0) for k in (1, 2, 3, 4)]
    here = [clone(estimator).fit(x) for estimator in estimators]
    there = Parallel(n_jobs=2, backend="loky")(
        delayed(estimator.fit)(x) for estimator in estimators
    )
    threads = Parallel(n_jobs=2, backend="threading")(
        delayed(clone(estimator).fit)(x) for estimator in estimators
    )
    for one, other, third in zip(here, there, threads, strict=True):
        assert_allclose(other.means_, one.means_, rtol=1e-9)
        assert_allclose(third.means_, one.means_, rtol=1e-9)


def test_cross_validation_and_grid_search(load):
    x = load("iris").x
    grid = GridSearchCV(
        make_pipeline(StandardScaler(), mx.GaussianMixture(random_state=0)),
        {
            "gaussianmixture__n_components": [1, 3],
            "gaussianmixture__covariance_type": ["full", "lowrank"],
        },
        cv=KFold(3, shuffle=True, random_state=0),
    ).fit(x)
    assert grid.best_params_["gaussianmixture__n_components"] == 3
    scores = cross_val_score(mx.GaussianMixture(2, random_state=0), x, cv=3)
    assert np.isfinite(scores).all()


# ---- metadata routing --------------------------------------------------------------------------
@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_weights_are_routed_through_a_pipeline(routing, load):
    x = load("iris").x
    weight = np.random.default_rng(0).uniform(0.0, 2.0, 150)
    gm = mx.GaussianMixture(3, init_params="deterministic").set_fit_request(sample_weight=True)
    pipe = Pipeline([("scale", StandardScaler().set_fit_request(sample_weight=False)), ("gm", gm)])
    pipe.fit(x, sample_weight=weight)
    scaled = StandardScaler().fit_transform(x)
    direct = mx.GaussianMixture(3, init_params="deterministic").fit(scaled, sample_weight=weight)
    assert_allclose(pipe[-1].means_, direct.means_, rtol=1e-9)


def test_weights_are_routed_to_fit_and_score_in_a_search(routing, load):
    x = load("iris").x
    weight = np.random.default_rng(0).uniform(0.1, 2.0, 150)
    gm = mx.GaussianMixture(init_params="deterministic")
    gm.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    folds = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(gm, {"n_components": [1, 2]}, cv=folds).fit(x, sample_weight=weight)
    expected = [
        mx.GaussianMixture(2, init_params="deterministic")
        .fit(x[train], sample_weight=weight[train])
        .score(x[test], sample_weight=weight[test])
        for train, test in folds.split(x)
    ]
    assert_allclose(search.cv_results_["mean_test_score"][1], np.mean(expected), rtol=1e-9)


def test_weights_nobody_asked_for_are_refused(routing, load):
    search = GridSearchCV(mx.GaussianMixture(), {"n_components": [1]}, cv=2)
    with pytest.raises(ValueError, match=r"sample_weight.*not explicitly set as requested"):
        search.fit(load("iris").x, sample_weight=np.ones(150))


# ---- callbacks ---------------------------------------------------------------------------------
callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.8 has no callbacks")


class Recorder:
    """Keeps what it is told, as (event, task, depth); stops or fails when asked to."""

    def __init__(self, stop_after=None, fail_after=None):
        self.told = []
        self.stop_after, self.fail_after = stop_after, fail_after

    def _tell(self, event, context):
        self.told.append((event, context.task_name, 0 if context.parent is None else 1))

    def setup(self, estimator, context):
        self._tell("setup", context)

    def teardown(self, estimator, context):
        self._tell("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, X=None):
        self._tell("begin", context)

    def on_fit_task_end(self, estimator, context, *, X=None):
        self._tell("end", context)
        ended = sum(event == "end" for event, _, _ in self.told)
        if ended == self.fail_after:
            raise RuntimeError("a callback failed")
        return ended == self.stop_after


def balanced(told, n_iter):
    """Law: set up once, torn down once, and every task that began ended, one per iteration."""
    assert [event for event, _, _ in told[:2]] == ["setup", "begin"]
    assert [event for event, _, _ in told[-2:]] == ["end", "teardown"]
    inner = told[2:-2]
    assert [event for event, _, _ in inner] == ["begin", "end"] * n_iter
    assert all(depth == 1 for _, _, depth in inner)
    assert sum(event == "setup" for event, _, _ in told) == 1
    assert sum(event == "teardown" for event, _, _ in told) == 1


def test_callbacks_follow_the_protocol(load):
    recorder = Recorder()
    assert isinstance(recorder, callback.FitCallback)
    gm = mx.GaussianMixture(3, random_state=0).set_callbacks(recorder).fit(load("iris").x)
    balanced(recorder.told, gm.n_iter_)
    assert gm.n_iter_ > 2
    for lie in (recorder.told[:-1], recorder.told[1:], recorder.told[:3] + recorder.told[4:]):
        with pytest.raises(AssertionError):
            balanced(lie, gm.n_iter_)


def test_callbacks_may_stop_a_fit(load):
    recorder = Recorder(stop_after=4)
    gm = mx.GaussianMixture(3, random_state=0, tol=0).set_callbacks(recorder).fit(load("iris").x)
    assert gm.n_iter_ == 4
    assert not gm.converged_
    balanced(recorder.told, 4)


def test_callbacks_are_torn_down_when_a_fit_fails(load):
    x = load("iris").x
    recorder = Recorder(fail_after=3)
    gm = mx.GaussianMixture(3, random_state=0).set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="a callback failed"):
        gm.fit(x)
    assert recorder.told[-1][0] == "teardown"
    assert not [name for name in vars(gm) if "callback" in name and name != "_skl_callbacks"]
    recorder = Recorder()
    gm.set_callbacks(recorder).fit(x)
    balanced(recorder.told, gm.n_iter_)


def test_callbacks_hear_of_a_search(load):
    recorder = Recorder()
    gm = mx.GaussianMixture([1, 2], random_state=0, reg_covar="auto")
    gm.set_callbacks(recorder).fit(load("faithful").x)
    told = [event for event, _, _ in recorder.told]
    assert told.count("begin") == told.count("end") > gm.n_iter_
    assert (told[0], told[-1]) == ("setup", "teardown")


def test_callbacks_are_forgotten_by_clones_as_scikit_learn_s_are(load):
    from sklearn.cluster import KMeans

    theirs = KMeans(2)
    if not hasattr(theirs, "set_callbacks"):
        theirs = sklearn.linear_model.LogisticRegression()
    recorder = Recorder()
    ours = clone(mx.GaussianMixture(2).set_callbacks(recorder))
    theirs = clone(theirs.set_callbacks(Recorder()))
    assert hasattr(ours, "_skl_callbacks") == hasattr(theirs, "_skl_callbacks")
