"""How many components, and which structure: the search by BIC and its table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura import Mixture
from mixtura.covariance import Full, LowRank, Tied
from mixtura.errors import InputError
from mixtura.fit import Progress, SearchResult, Trial, search
from mixtura.fit.search import MOST, bic, default_structures
from mixtura.sources import Rows


def drawn(name, seed=0, n=400):
    """Rows of three clear groups whose covariances have the structure named."""
    rng = np.random.default_rng(seed)
    means = np.array([[0.0, 0.0, 0.0], [9.0, 0.0, 3.0], [0.0, 9.0, -3.0]])
    matrix = np.array([[1.0, 0.7, 0.0], [0.7, 1.0, -0.3], [0.0, -0.3, 0.8]])
    covariance = {
        "spherical": [0.5, 1.0, 2.0],
        "diag": [[0.3, 1.0, 2.0], [2.0, 0.4, 1.0], [1.0, 2.0, 0.3]],
        "tied": np.stack([matrix] * 3),
        "full": np.stack([matrix, 2 * np.eye(3) - matrix, 0.3 * matrix]),
    }[name]
    return Rows(Mixture([0.3, 0.3, 0.4], means, covariance).sample(n, rng=rng))


def adds_up(result: SearchResult, rows: Rows) -> None:
    """Law: the chosen trial has the least BIC, and BIC is what its mixture says it is."""
    usable = [trial for trial in result.trials if trial.error is None]
    assert result.best in result.trials
    assert result.best.bic == min(trial.bic for trial in usable)
    assert result.best.error is None
    mix, best = result.mixture, result.best
    assert mix.k == best.n_components
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    loglik = float(weight @ mix.log_density(rows.x))
    n_parameters = mix.covariance.n_parameters() + mix.k * mix.d + mix.k - 1
    assert best.n_parameters == n_parameters
    assert_allclose(best.log_likelihood, loglik / weight.sum(), rtol=1e-9)
    assert_allclose(best.bic, -2 * loglik + n_parameters * np.log(weight.sum()), rtol=1e-9)
    assert best.n_iter == len(result.trace)


# ---- what is chosen ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["spherical", "diag", "tied", "full"])
def test_the_structure_that_drew_the_rows_is_found(name):
    rows = drawn(name)
    result = search(rows)
    assert (result.best.n_components, result.best.covariance_type) == (3, name)
    assert result.best.converged
    assert result.notes == ()
    adds_up(result, rows)


def test_a_search_that_chooses_ill_is_rejected():
    rows = drawn("full", n=150)
    result = search(rows, n_components=[1, 2, 3], covariance_type="full")
    adds_up(result, rows)
    worst = max(result.trials, key=lambda trial: trial.bic)
    for lie in (
        replace(result, best=worst),
        replace(result, mixture=result.mixture.blur(0.1)),
        replace(result, best=replace(result.best, bic=result.best.bic - 1)),
    ):
        with pytest.raises(AssertionError):
            adds_up(lie, rows)


def test_old_faithful_has_three_groups_of_one_shape(load):
    # mclust's choice for these rows, with a BIC of −2314.3 in its sign.
    rows = Rows(load("faithful").x)
    result = search(rows)
    assert (result.best.n_components, result.best.covariance_type) == (3, "tied")
    assert_allclose(result.best.bic, 2314.3, atol=0.1)
    adds_up(result, rows)


def test_one_cloud_is_one_component():
    rows = Rows(np.random.default_rng(0).standard_normal((300, 3)))
    result = search(rows)
    assert result.best.n_components == 1
    assert result.best.covariance_type == "spherical"


def test_one_column():
    rng = np.random.default_rng(0)
    rows = Rows(np.concatenate([rng.normal(0, 1, 200), rng.normal(12, 3, 200)])[:, None])
    result = search(rows)
    assert (result.best.n_components, result.best.covariance_type) == (2, "full")
    assert {trial.covariance_type for trial in result.trials} == {"tied", "full"}


def test_bic_weighs_parameters_against_likelihood():
    assert bic(-100.0, 7, 50.0) == 200 + 7 * np.log(50)


def test_structures_that_auto_tries():
    assert default_structures(1) == ["tied", "full"]
    assert default_structures(3) == ["spherical", "diag", "tied", "full"]
    assert default_structures(10) == ["spherical", "diag", "tied", "full", "lowrank"]


# ---- the table ---------------------------------------------------------------------------------
def test_a_grid_is_tried_entirely():
    result = search(
        drawn("full", n=150), n_components=range(1, 4), covariance_type=["diag", "full"]
    )
    tried = [(trial.n_components, trial.covariance_type) for trial in result.trials]
    assert tried == [(k, name) for k in (1, 2, 3) for name in ("diag", "full")]
    for trial in result.trials:
        assert trial.error is None
        assert trial.n_iter >= 1
        assert trial.seconds > 0
        assert trial.converged


def test_patience_gives_structures_up():
    rows = drawn("full")
    tried = {}
    for patience in (1, 3):
        result = search(rows, patience=patience)
        assert result.best.n_components == 3
        tried[patience] = max(t.n_components for t in result.trials)
        for name in ("spherical", "diag", "tied", "full"):
            scores = [t.bic for t in result.trials if t.covariance_type == name]
            since = len(scores) - 1 - int(np.argmin(scores))
            assert since <= patience
    assert tried[1] < tried[3] < MOST


def test_each_structure_starts_also_from_its_own_last_fit():
    # More components never fit worse than fewer: one of the starts splits the last best fit.
    result = search(drawn("full"), n_components=range(1, 7), covariance_type="full")
    likelihood = [trial.log_likelihood for trial in result.trials]
    assert (np.diff(likelihood) > 0).all()


def test_a_trial_that_fails_is_told_and_passed_over():
    rows = Rows(drawn("full").x[:12])
    result = search(rows, n_components=[1, 2, 6], covariance_type=["spherical", "full"])
    failed = [trial for trial in result.trials if trial.error is not None]
    assert failed
    assert all(trial.error for trial in failed)
    assert any("parameters" in trial.error for trial in failed)
    assert result.best.error is None


def test_nothing_that_fits_is_an_error_with_reasons():
    x = drawn("full").x
    rows = Rows(np.column_stack([x, x[:, 0]]))
    with pytest.raises(
        InputError, match=r"no mixture could be fitted \(full with 1: .*full with 2"
    ):
        search(rows, n_components=[1, 2], covariance_type="full", reg_covar=0.0)


@pytest.mark.parametrize(
    ("settings", "pattern"),
    [
        ({"n_components": "many"}, r"number or 'auto', got 'many'"),
        ({"n_components": [0, 1]}, r"at least 1 component, got \[0, 1\]"),
        ({"n_components": 700}, r"got 400 rows for 700 components"),
        ({"covariance_type": "fuller"}, r"covariance structure among .*, got 'fuller'"),
        ({"reg_covar": "some"}, r"reg_covar as a number or 'auto', got 'some'"),
        ({"covariance_type": "lowrank", "rank": 9}, r"rank below .* got 9"),
    ],
)
def test_questions_that_make_no_sense(settings, pattern):
    with pytest.raises(InputError, match=pattern):
        search(drawn("full"), **settings)


# ---- rows and seeds ----------------------------------------------------------------------------
def test_weights_are_repeated_rows():
    x = drawn("tied", n=200).x
    times = np.random.default_rng(0).integers(1, 4, 200)
    settings = {"n_components": [2, 3], "covariance_type": ["tied", "full"]}
    weighted = search(Rows(x, times.astype(float)), **settings)
    repeated = search(Rows(np.repeat(x, times, axis=0)), **settings)
    assert_allclose([t.bic for t in weighted.trials], [t.bic for t in repeated.trials], rtol=1e-7)
    adds_up(weighted, Rows(x, times.astype(float)))


def test_rows_of_zero_weight_are_not_there():
    x = drawn("tied", n=200).x
    weight = np.ones(230)
    weight[200:] = 0
    wild = np.concatenate([x, 50 + np.random.default_rng(0).standard_normal((30, 3))])
    settings = {"n_components": [2, 3, 4], "covariance_type": "full"}
    with_wild, without = search(Rows(wild, weight), **settings), search(Rows(x), **settings)
    assert_allclose([t.bic for t in with_wild.trials], [t.bic for t in without.trials], rtol=1e-7)


def test_a_seed_says_it_all():
    rows = drawn("full", n=300)
    one, other = (search(rows, n_components=[2, 3], seed=4, n_init=2) for _ in range(2))
    assert one.trace == other.trace
    np.testing.assert_array_equal(one.mixture.means, other.mixture.means)


def test_many_rows_are_partitioned_on_a_draw(monkeypatch):
    rows = drawn("full", n=900)
    monkeypatch.setitem(search.__globals__, "PARTITION_ROWS", 200)
    result = search(rows)
    assert (result.best.n_components, result.best.covariance_type) == (3, "full")
    adds_up(result, rows)


def test_float32_rows_are_searched_too():
    rows = drawn("tied")
    result = search(Rows(rows.x.astype(np.float32)))
    assert (result.best.n_components, result.best.covariance_type) == (3, "tied")


# ---- progress ----------------------------------------------------------------------------------
def test_progress_is_told_as_it_is_made():
    rows, told = drawn("full", n=200), []

    def keep(progress):
        told.append((progress, progress.mixture()))

    result = search(
        rows,
        n_components=[1, 2, 3],
        covariance_type=["diag", "full"],
        columns=list("abc"),
        callback=keep,
    )
    assert all(isinstance(progress, Progress) for progress, _ in told)
    finished = [progress.finished for progress, _ in told if progress.finished is not None]
    assert finished == list(result.trials)
    assert all(isinstance(trial, Trial) for trial in finished)
    for progress, mix in told:
        assert mix.k == progress.n_components
        assert mix.columns == ("a", "b", "c")
        assert progress.n_trials == 6
        assert 0 <= progress.trial < 6
        assert np.isfinite(progress.log_likelihood)
        assert (progress.remaining is None) == (progress.trial == 0 and progress.finished is None)
    elapsed = [progress.elapsed for progress, _ in told]
    assert elapsed == sorted(elapsed)
    assert [progress.trial for progress, _ in told] == sorted(p.trial for p, _ in told)
    assert told[-1][0].remaining == 0


def test_plans_shrink_when_structures_are_given_up():
    told = []
    search(drawn("full"), callback=told.append)
    planned = [progress.n_trials for progress in told]
    assert planned[-1] < planned[0]
    assert planned[-1] >= told[-1].trial + 1


# ---- the estimator -----------------------------------------------------------------------------
def test_the_estimator_says_what_was_chosen(load):
    x = load("faithful").x
    gm = mx.GaussianMixture("auto", covariance_type="auto", reg_covar="auto", max_iter=500).fit(x)
    assert (gm.n_components_, gm.covariance_type_) == (3, "tied")
    assert gm.search_.best.n_components == 3
    assert_allclose(gm.bic(x), gm.search_.best.bic, rtol=1e-9)
    assert gm.n_components == "auto"  # parameters stay as they were given
    assert gm.covariances_.shape == (2, 2)
    assert len(gm.trace_) == gm.n_iter_
    assert mx.GaussianMixture(2).fit(x).search_ is None


@pytest.mark.parametrize(
    ("n_components", "covariance_type", "tried"),
    [
        ([2, 4], "full", [(2, "full"), (4, "full")]),
        (range(1, 3), "diag", [(1, "diag"), (2, "diag")]),
        (2, ["tied", "spherical"], [(2, "tied"), (2, "spherical")]),
        (np.array([2]), ("full",), [(2, "full")]),
        ([2], [Full(), Tied(LowRank(1))], [(2, "full"), (2, "tied")]),
    ],
)
def test_the_estimator_chooses_among_what_it_is_given(n_components, covariance_type, tried, load):
    x = load("iris").x
    gm = mx.GaussianMixture(n_components, covariance_type=covariance_type, random_state=0).fit(x)
    assert [(t.n_components, t.covariance_type) for t in gm.search_.trials] == tried
    assert_allclose(gm.bic(x), gm.search_.best.bic, rtol=1e-6)


def test_a_callback_ends_the_search_with_the_best_so_far():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((200, 2)) + np.repeat([[0.0], [5.0]], 100, axis=0)
    told = []

    def callback(progress):
        told.append(progress)
        return sum(p.finished is not None for p in told) >= 3

    stopped = search(Rows(x), callback=callback)
    whole = search(Rows(x))
    assert len(stopped.trials) == 3 < len(whole.trials)
    assert stopped.best.bic == min(t.bic for t in stopped.trials)
