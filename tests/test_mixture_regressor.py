"""Regression by conditioning a joint mixture, as a scikit-learn estimator."""

from __future__ import annotations

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from mixtura import Mixture, MixtureRegressor
from mixtura.errors import InputError
from mixtura.mixture.trajectory import window_matrix

WINDOW = (-0.5, 0.0, 0.5)


@parametrize_with_checks(
    [
        MixtureRegressor(n_components=1),
        MixtureRegressor(n_components=2, covariance_type="tied", predict_with="median"),
    ]
)
def test_scikit_learn_s_checks(estimator, check):
    check(estimator)


def bent(n=500, seed=0, outputs=1):
    """Rows of a curve whose noise depends on where it is: (n, 1) and (n,) or (n, outputs)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-3, 3, n)
    noise = (0.1 + 0.3 * (x > 0))[:, None] * rng.standard_normal((n, outputs))
    y = np.stack([np.abs(x), np.sin(x), -x][:outputs], axis=1) + noise
    return x[:, None], (y[:, 0] if outputs == 1 else y)


@pytest.fixture(scope="module")
def fitted():
    """A model of three outputs, with rows that it was not fitted to."""
    x, y = bent(600, 0, 3)
    return MixtureRegressor(6, random_state=0).fit(x, y), *bent(200, 1, 3)


# ---- laws ----------------------------------------------------------------------------------------
def predictions_are_conditionals(model, x, y):
    """Law: whatever is predicted of a row is what ``condition`` says of it."""
    law = model.predict_dist(x)
    given = list(range(x.shape[1]))
    for i in range(0, len(x), 20):
        one = model.mixture_.condition(given, x[i])
        assert_allclose(model.predict(x)[i], one.mean, rtol=1e-9, atol=1e-9)
        assert_allclose(law.mean[i], one.mean, rtol=1e-9, atol=1e-9)
        assert_allclose(law.cov[i], one.cov, rtol=1e-8, atol=1e-9)
        assert_allclose(law.log_density(y)[i], one.log_density(y[[i]])[0], rtol=1e-8, atol=1e-9)
        each = [one.marginal([j]) for j in range(one.d)]
        middle = [m.quantile(0.5) for m in each]
        assert_allclose(model.predict(x, how="median")[i], middle, rtol=1e-8, atol=1e-9)
        ends = np.array([m.quantile([0.1, 0.9]) for m in each]).T
        assert_allclose(model.predict_interval(x, 0.8)[i], ends, rtol=1e-8, atol=1e-9)
        best = one.log_density(model.predict(x, how="mode")[[i]])
        assert best >= one.log_density(one.means).max() - 1e-9


def intervals_cover(model, rng, level=0.8, n=20_000):
    """Law: of rows that the model itself drew, an interval of ``level`` holds that share."""
    rows = model.mixture_.sample(n, rng=rng)
    d = model.n_features_in_
    x, y = rows[:, :d], rows[:, d:]
    ends = model.predict_interval(x, level)
    below, above = y < ends[:, 0], y > ends[:, 1]
    error = 5 * np.sqrt(level * (1 - level) / n)
    for outside in (below, above):
        assert_allclose(outside.mean(axis=0), (1 - level) / 2, rtol=0, atol=error)
        # and no less where the law is narrow than where it is wide
        for half in (x[:, 0] < 0, x[:, 0] >= 0):
            share = outside[half].mean(axis=0)
            assert_allclose(share, (1 - level) / 2, rtol=0, atol=error * np.sqrt(n / half.sum()))


def draws_restore_variance(predict, model, rng):
    """Law: drawn outputs have the covariance of outputs, and the same with inputs."""
    n, d = 20_000, model.n_features_in_
    rows = model.mixture_.sample(n, rng=rng)
    rows[:, d:] = predict(rows[:, :d])
    z = rows - model.mixture_.mean
    products = z[:, :, None] * z[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - model.mixture_.cov) <= 5.5 * error).all()


def weights_repeat_rows(make, x, y):
    """Law: a weight of 2 is a row twice, a weight of 0 no row."""
    w = np.arange(len(x)) % 3
    one = make().fit(x, y, sample_weight=w)
    other = make().fit(np.repeat(x, w, axis=0), np.repeat(y, w, axis=0))
    assert_allclose(one.predict(x), other.predict(x), rtol=1e-7, atol=1e-7)
    assert_allclose(one.predict_interval(x), other.predict_interval(x), rtol=1e-6, atol=1e-6)


def trajectories_are_most_likely(predict, model, x):
    """Law: (Wᵀ D⁻¹ W) c = Wᵀ D⁻¹ m of each frame's likeliest component, in dense algebra."""
    n, p = len(x), model.n_outputs_ // 2
    got = predict(x)
    assert got.shape == (n, p)
    each = [model.mixture_.condition(list(range(x.shape[1])), row) for row in x]
    best = [int(m.weights.argmax()) for m in each]
    m = np.array([one.means[j] for one, j in zip(each, best, strict=True)])
    v = np.array([one.covariance.diagonal()[j] for one, j in zip(each, best, strict=True)])
    w = np.vstack([np.eye(n), window_matrix(n, WINDOW).toarray()])
    for j in range(p):
        d = 1 / np.concatenate([v[:, j], v[:, p + j]])
        target = w.T @ (d * np.concatenate([m[:, j], m[:, p + j]]))
        assert_allclose(got[:, j], np.linalg.solve((w.T * d) @ w, target), rtol=1e-8, atol=1e-8)


def test_predictions_are_conditionals(fitted):
    predictions_are_conditionals(*fitted)


def lying(model, **lies):
    """A fitted model with lies for methods."""
    liar = type("Liar", (MixtureRegressor,), lies)()
    liar.__dict__.update(model.__dict__)
    return liar


@pytest.mark.parametrize(
    "lie",
    [
        {"predict": lambda s, X, how=None: MixtureRegressor.predict(s, X)},
        {"predict": lambda s, X, how=None: np.tile(s.mixture_.mean[1:], (len(X), 1))},
        {"predict_interval": lambda s, X, level: MixtureRegressor.predict_interval(s, X, 0.9)},
    ],
    ids=["always the mean", "the marginal's mean", "another level"],
)
def test_wrong_predictions_are_rejected(lie, fitted):
    model, x, y = fitted
    with pytest.raises(AssertionError):
        predictions_are_conditionals(lying(model, **lie), x, y)


def test_intervals_cover(fitted):
    intervals_cover(fitted[0], np.random.default_rng(0))


def test_intervals_of_one_width_are_rejected(fitted):
    def gaussian(self, X, level):
        mean = self.predict(X)
        sd = np.sqrt(np.diag(self.predict_dist(X).cov.mean(axis=0)))
        return np.stack([mean - 1.2816 * sd, mean + 1.2816 * sd], axis=1)

    with pytest.raises(AssertionError):
        intervals_cover(lying(fitted[0], predict_interval=gaussian), np.random.default_rng(0))


def test_draws_restore_the_variance_that_means_shrink(fitted):
    model = fitted[0]
    rng = np.random.default_rng(1)
    draws_restore_variance(lambda x: model.predict_draw(x, rng=2), model, rng)
    for lie in (
        model.predict,
        lambda x: np.column_stack([model.predict_draw(x, rng=j)[:, j] for j in range(3)]),
    ):
        with pytest.raises(AssertionError):
            draws_restore_variance(lie, model, np.random.default_rng(1))
    shrunk = np.var(model.predict(fitted[1]), axis=0)
    drawn = np.var(model.predict_draw(fitted[1], rng=0), axis=0)
    assert (shrunk < drawn).all()


@pytest.mark.parametrize("outputs", [1, 3])
def test_weights_repeat_rows(outputs):
    x, y = bent(90, 0, outputs)

    def make(**lies):
        options = {"tol": 0, "max_iter": 20, "init_params": "deterministic"}
        liar = type("Liar", (MixtureRegressor,), lies)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return (liar if lies else MixtureRegressor)(2, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        weights_repeat_rows(make, x, y)
        with pytest.raises(AssertionError):

            def deaf(self, X, y, sample_weight=None):
                return MixtureRegressor.fit(self, X, y)

            weights_repeat_rows(lambda: make(fit=deaf), x, y)


# ---- trajectories --------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def frames():
    """A model of two statics and their slopes, fitted to noisy sequences, and one more sequence."""
    rng = np.random.default_rng(0)

    def sequence(n):
        phase = np.cumsum(rng.uniform(0.05, 0.15, n))
        smooth = np.column_stack([np.sin(phase), np.cos(2 * phase)])
        x = np.column_stack([np.sin(phase), np.cos(phase)]) + 0.2 * rng.standard_normal((n, 2))
        slopes = window_matrix(n, WINDOW) @ smooth
        return x, np.hstack([smooth, slopes]), smooth

    parts = [sequence(150) for _ in range(4)]
    x, y = (np.concatenate([p[i] for p in parts]) for i in (0, 1))
    return MixtureRegressor(8, random_state=0).fit(x, y), *sequence(120)


def roughness(sequence):
    """Mean square of second differences."""
    return np.mean(np.diff(sequence, 2, axis=0) ** 2)


def test_trajectories_are_most_likely(frames):
    model, x, _, _ = frames
    trajectories_are_most_likely(model.predict_trajectory, model, x)
    for lie in (
        lambda rows: model.predict(rows)[:, :2],
        lambda rows: model.predict_trajectory(rows, (-1.0, 0.0, 1.0)),
    ):
        with pytest.raises(AssertionError):
            trajectories_are_most_likely(lie, model, x)


def test_trajectories_are_smoother_than_means_frame_by_frame(frames):
    model, x, _, smooth = frames
    statics, trajectory = model.predict(x)[:, :2], model.predict_trajectory(x)
    assert roughness(trajectory) < 0.5 * roughness(statics)
    assert np.mean((trajectory - smooth) ** 2) < np.mean((statics - smooth) ** 2)


def test_trajectories_need_statics_and_slopes(fitted):
    model, x, _ = fitted
    with pytest.raises(InputError, match=r"even number of outputs.* got 3"):
        model.predict_trajectory(x)


# ---- data ----------------------------------------------------------------------------------------
def test_one_component_is_linear_regression():
    x, y = load_diabetes(return_X_y=True)
    model = MixtureRegressor(1, reg_covar=0).fit(x, y)
    assert_allclose(model.predict(x), LinearRegression().fit(x, y).predict(x), rtol=1e-6)


def test_bent_data_are_not_linear():
    x, y = bent()
    scores = cross_val_score(MixtureRegressor(random_state=0), x, y, cv=3)
    assert scores.min() > 0.85 > 0.3 > cross_val_score(LinearRegression(), x, y, cv=3).max()


def test_held_out_rows_of_real_data_are_covered():
    x, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    train, test = order[:300], order[300:]
    model = MixtureRegressor(2, covariance_type="tied", random_state=0).fit(x[train], y[train])
    ends = model.predict_interval(x[test], 0.8)
    assert ends.shape == (142, 2)
    inside = np.mean((ends[:, 0] <= y[test]) & (y[test] <= ends[:, 1]))
    assert 0.68 < inside < 0.92


# ---- shapes and doors ----------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["mean", "median", "mode"])
def test_shapes(how):
    x, y = bent(200)
    for targets, tail in ((y, ()), (y[:, None], (1,)), (np.stack([y, -y + x[:, 0]], 1), (2,))):
        model = MixtureRegressor(2, random_state=0, predict_with=how).fit(x, targets)
        assert model.n_outputs_ == (tail or (1,))[0]
        assert model.predict(x).shape == (200, *tail)
        np.testing.assert_array_equal(model.predict(x), model.predict(x, how=how))
        assert model.predict_interval(x).shape == (200, 2, *tail)
        assert model.predict_draw(x, rng=0).shape == (200, *tail)
        law = model.predict_dist(x)
        m = model.n_outputs_
        assert law.mean.shape == (200, m)
        assert law.cov.shape == (200, m, m)
        assert law.log_density(targets).shape == (200,)
        assert law.cdf(targets).shape == (200, m)
        assert law.quantile([0.1, 0.5, 0.9]).shape == (200, 3, m)
        assert law.sample(rng=0).shape == (200, m)
        assert np.isfinite(model.score(x, targets))


def test_intervals_are_equal_tailed_and_nested():
    x, y = bent()
    model = MixtureRegressor(4, random_state=0).fit(x, y)
    wide, narrow = model.predict_interval(x, 0.95), model.predict_interval(x, 0.5)
    assert (wide[:, 0] < narrow[:, 0]).all()
    assert (narrow[:, 1] < wide[:, 1]).all()
    law = model.predict_dist(x)
    assert_allclose(law.cdf(wide[:, 0])[:, 0], 0.025, rtol=1e-8)
    assert_allclose(law.cdf(wide[:, 1])[:, 0], 0.975, rtol=1e-8)


def test_draws_follow_the_seed():
    x, y = bent()
    model = MixtureRegressor(3, random_state=0).fit(x, y)
    np.testing.assert_array_equal(
        model.predict_draw(x, rng=3), model.predict_draw(x, rng=np.random.default_rng(3))
    )
    assert not np.array_equal(model.predict_draw(x, rng=3), model.predict_draw(x, rng=4))


def test_attributes_and_structures():
    x, y = bent()
    model = MixtureRegressor(random_state=0, covariance_type="auto").fit(x, y)
    assert isinstance(model.mixture_, Mixture)
    assert model.mixture_.d == 2
    assert model.n_components_ == model.mixture_.k
    assert model.search_.best.covariance_type == model.covariance_type_
    assert model.converged_
    assert len(model.trace_) >= model.n_iter_
    for name in ("full", "tied", "diag", "spherical", "lowrank"):
        other = MixtureRegressor(3, covariance_type=name, rank=1, random_state=0).fit(x, y)
        assert np.isfinite(other.predict(x)).all()


def test_pipelines_clones_pickles_and_frames():
    x, y = bent()
    pipe = make_pipeline(StandardScaler(), MixtureRegressor(3, random_state=0)).fit(x, y)
    assert pipe.score(x, y) > 0.8
    model = pipe[-1]
    assert clone(model).get_params() == model.get_params()
    z = pipe[0].transform(x)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(z), model.predict(z))
    frame = pd.DataFrame(x, columns=["place"])
    named = MixtureRegressor(3, random_state=0).fit(frame, pd.Series(y, name="height"))
    assert list(named.feature_names_in_) == ["place"]
    np.testing.assert_array_equal(
        named.predict(frame), MixtureRegressor(3, random_state=0).fit(x, y).predict(x)
    )


def test_one_warning_where_it_does_not_converge():
    x, y = bent()
    with pytest.warns(ConvergenceWarning) as caught:
        MixtureRegressor(3, max_iter=1, random_state=0).fit(x, y)
    assert len(caught) == 1


def test_refusals():
    x, y = bent()
    with pytest.raises(NotFittedError):
        MixtureRegressor().predict(x)
    model = MixtureRegressor(2, random_state=0).fit(x, y)
    with pytest.raises(InputError, match=r"'mean', 'median', 'mode', got 'sample'"):
        model.predict(x, how="sample")
    for level in (0, 1, 95, -0.1, np.nan, "much"):
        with pytest.raises(InputError, match=r"level between 0 and 1, such as 0\.9"):
            model.predict_interval(x, level)
    with pytest.raises(ValueError, match="1 features"):
        model.predict(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="predict_with"):
        MixtureRegressor(predict_with="sample").fit(x, y)
