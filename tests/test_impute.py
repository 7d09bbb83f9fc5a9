"""Missing cells filled: every pattern of NaN, against conditioning row by row."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

import mixtura as mx
from mixtura.arrays import compiled
from mixtura.errors import InputError
from mixtura.mixture.conditional import Conditional
from mixtura.mixture.impute import _patterns
from tests.laws.cases import NAMES, cases, lying, mixture_of, rows_near

HOW = ("mean", "median", "mode", "sample")


def holes(mix, rng):
    """Two rows of each pattern of missing cells, in random order, and the whole rows."""
    patterns = np.array([*itertools.product([False, True], repeat=mix.d)] * 2)
    patterns = rng.permutation(patterns)
    whole = rows_near(mix, rng, len(patterns))
    return np.where(patterns, np.nan, whole), whole


# ---- laws ----------------------------------------------------------------------------------------
def only_holes_are_filled(mix, rng):
    """What is there stays as it is, to the last bit; the table itself is not written to."""
    x, _ = holes(mix, rng)
    before = x.copy()
    for how in HOW:
        filled = mix.impute(x, how, rng=rng)
        np.testing.assert_array_equal(x, before)
        assert filled.shape == x.shape
        assert np.isfinite(filled).all()
        np.testing.assert_array_equal(filled[~np.isnan(x)], x[~np.isnan(x)])


def rows_are_conditioned(mix, rng):
    """Means and medians are those of ``condition``, modes beat them, row by row."""
    x, _ = holes(mix, rng)
    means, medians, modes = (mix.impute(x, how) for how in HOW[:3])
    for i, row in enumerate(x):
        gone = np.flatnonzero(np.isnan(row))
        seen = np.flatnonzero(~np.isnan(row))
        if len(gone) == 0:
            continue
        law = mix.condition(seen, row[seen]) if len(seen) else mix
        assert_allclose(means[i, gone], law.mean, rtol=1e-8, atol=1e-8)
        middle = [law.marginal([j]).quantile(0.5) for j in range(law.d)]
        assert_allclose(medians[i, gone], middle, rtol=1e-8, atol=1e-8)
        points = np.vstack([modes[i, gone], law.mean, law.means])
        heights = law.log_density(points)
        assert heights[0] >= heights[1:].max() - 1e-9
        scale = np.sqrt(law.covariance.diagonal()).max()
        assert np.abs(law.grad_log_density(points[:1])).max() * scale < 1e-5


LAWS = (only_holes_are_filled, rows_are_conditioned)


@pytest.mark.parametrize("law", LAWS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(case=cases(max_d=4))
def test_law(name, law, case):
    rng = case.rng
    law(mixture_of(name, rng, case.k, case.d), rng)


def _column_means(self, X, how="mean", rng=None):
    return np.where(np.isnan(X), self.mean, X)


def _refit_rows(self, X, how="mean", rng=None):
    return mx.Mixture.impute(self, X, how, rng=rng) + 1e-12


LIARS = [
    (only_holes_are_filled, _refit_rows),
    (rows_are_conditioned, _column_means),
    (rows_are_conditioned, lambda s, X, how="mean", rng=None: mx.Mixture.impute(s, X, "mean")),
    (rows_are_conditioned, lambda s, X, how="mean", rng=None: mx.Mixture.impute(s, X, "sample")),
]


@pytest.mark.parametrize(("law", "lie"), LIARS)
def test_liar_is_rejected(law, lie):
    honest = mixture_of("full", np.random.default_rng(5), 3, 3)
    law(honest, np.random.default_rng(1))
    with pytest.raises(AssertionError):
        law(lying(honest, impute=lie), np.random.default_rng(1))


# ---- draws ---------------------------------------------------------------------------------------
def correlated():
    """Two components whose columns 1 and 2 are strongly correlated, within and between."""
    s = np.array([[1.0, 0.5, 0.5], [0.5, 1.0, 0.9], [0.5, 0.9, 1.0]])
    return mx.Mixture([0.4, 0.6], [[0.0, -3, -3], [0.5, 3, 3]], np.stack([s, 0.5 * s]))


def draws_keep_correlation(mix, impute):
    """Law: rows of which cells were drawn have the covariance of whole rows, to sampling error."""
    n = 20_000
    x = mix.sample(n, rng=3)
    x[:, 1:] = np.nan
    x[: n // 4] = np.nan  # some rows say nothing at all
    filled = impute(x)
    z = filled - mix.mean
    products = z[:, :, None] * z[:, None, :]
    error = products.std(axis=0) / np.sqrt(n)
    assert (np.abs(products.mean(axis=0) - mix.cov) <= 5 * error).all()
    assert (np.abs(z.mean(axis=0)) <= 5 * z.std(axis=0) / np.sqrt(n)).all()


def test_joint_draws_keep_correlation():
    mix = correlated()
    draws_keep_correlation(mix, lambda x: mix.impute(x, "sample", rng=0))


def _each_cell_by_itself(x):
    mix, out = correlated(), x.copy()
    for j in (1, 2):
        alone = mix.marginal([0, j]).impute(x[:, [0, j]], "sample", rng=j)
        out[:, j], out[:, 0] = alone[:, 1], alone[:, 0]
    return out


@pytest.mark.parametrize(
    "lie", [_each_cell_by_itself, lambda x: correlated().impute(x)], ids=["independent", "means"]
)
def test_independent_draws_and_means_are_rejected(lie):
    with pytest.raises(AssertionError):
        draws_keep_correlation(correlated(), lie)


def test_several_draws():
    mix = correlated()
    x = mix.sample(5, rng=0)
    x[[0, 1], 2], x[2], x[3, 0] = np.nan, np.nan, np.nan
    many = mix.impute(x, "sample", n_draws=400, rng=1)
    assert many.shape == (400, 5, 3)
    gone = np.isnan(x)
    assert (many[:, ~gone] == x[~gone]).all()
    assert (many[:, gone].std(axis=0) > 0.1).all()
    error = many.std(axis=0) / np.sqrt(400)
    assert (np.abs(many.mean(axis=0) - mix.impute(x))[gone] < 5 * error[gone]).all()
    assert mix.impute(x, "sample", n_draws=1, rng=1).shape == (1, 5, 3)
    assert mix.impute(x, "sample", rng=1).shape == (5, 3)


def test_seeds_and_generators_draw_alike():
    mix = correlated()
    x = np.full((4, 3), np.nan)
    x[:2, 0] = 1.0
    expected = mix.impute(x, "sample", rng=7)
    np.testing.assert_array_equal(mix.impute(x, "sample", rng=np.random.default_rng(7)), expected)
    assert not np.array_equal(mix.impute(x, "sample", rng=8), expected)


# ---- patterns and tables -------------------------------------------------------------------------
def test_one_conditional_per_pattern(monkeypatch):
    mix = mixture_of("full", np.random.default_rng(0), 3, 4)
    x = mix.sample(2000, rng=0)
    x[::2, 1] = np.nan
    x[1::4, [0, 3]] = np.nan
    asked = []
    law = Conditional.quantile
    monkeypatch.setattr(
        Conditional, "quantile", lambda s, X, q: asked.append(len(X)) or law(s, X, q)
    )
    mix.impute(x, how="median")
    assert sorted(asked) == [500, 1000]


def fills_with_conditional_means(impute, mix, x):
    """Law: a pattern's cells are the conditional means of its own ``Conditional``."""
    filled, gaps = impute(mix, x), np.isnan(x)
    assert_array_equal(filled[~gaps], x[~gaps])
    for pattern in np.unique(gaps, axis=0):
        rows = (gaps == pattern).all(axis=1)
        if pattern.all():
            assert_allclose(filled[rows], np.broadcast_to(mix.mean, (rows.sum(), mix.d)))
        elif pattern.any():
            law = mix.conditional(list(np.flatnonzero(~pattern)))
            expected = law.mean(x[np.ix_(rows, ~pattern)])
            assert_allclose(filled[np.ix_(rows, pattern)], expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("work", [0, np.inf], ids=["compiled", "numpy"])
@pytest.mark.parametrize("many", [20, 1000])
@pytest.mark.parametrize("name", NAMES)
def test_means_by_the_kernels_are_conditional_means(name, many, work, monkeypatch):
    monkeypatch.setattr("mixtura.mixture.impute.MANY", many)
    monkeypatch.setattr(compiled, "LEAST_WORK", work)
    rng = np.random.default_rng(3)
    mix = mixture_of(name, rng, 3, 4)
    x = np.asarray(mix.sample(200, rng=0))
    x[rng.random(x.shape) < 0.4] = np.nan
    x[:2] = np.nan
    fills_with_conditional_means(lambda m, v: m.impute(v), mix, x)


@pytest.mark.parametrize("d", [1, 7, 8, 9, 64, 65])
def test_patterns_come_in_order(d):
    missing = np.random.default_rng(d).random((300, d)) < 0.2
    missing[100:200] = missing[:100]
    for got, expected in zip(
        _patterns(missing), np.unique(missing, axis=0, return_inverse=True), strict=True
    ):
        assert_array_equal(got, np.asarray(expected).reshape(got.shape))


def test_means_by_the_weights_are_rejected():
    rng = np.random.default_rng(3)
    mix = mixture_of("full", rng, 3, 4)
    x = np.asarray(mix.sample(50, rng=0))
    x[::2, 1] = np.nan
    with pytest.raises(AssertionError):
        fills_with_conditional_means(lambda m, v: np.where(np.isnan(v), m.mean, v), mix, x)


def test_values_far_from_every_component():
    mix = correlated()
    filled = mix.impute([[1e6, np.nan, np.nan], [np.nan, 1e150, np.nan]])
    assert np.isfinite(filled).all()
    # Far to the right both components regress on column 0 with slope 1/2; the wider one rules.
    assert_allclose(filled[0, 1:], -3 + 0.5e6, rtol=1e-9)


def test_frames_are_matched_by_name():
    mix = mx.Mixture([1.0], [[0.0, 5.0]], [[[1, 0.8], [0.8, 1]]], columns=["a", "b"])
    frame = pd.DataFrame({"b": [6.0, np.nan], "other": [9.0, 9.0], "a": [np.nan, 1.0]})
    expected = [[0.8, 6.0], [1.0, 5.8]]
    assert_allclose(mix.impute(frame), expected)
    assert_allclose(mix.impute(frame[["a", "b"]].to_numpy()), expected)
    nullable = frame.convert_dtypes()
    assert nullable["a"].isna().any()
    assert_allclose(mix.impute(nullable), expected)
    with pytest.raises(InputError, match=r"columns a, b, but a are missing"):
        mix.impute(frame[["b"]])


@pytest.mark.parametrize("how", HOW)
def test_tables_without_rows_or_without_holes(how):
    mix = correlated()
    assert mix.impute(np.zeros((0, 3)), how).shape == (0, 3)
    x = mix.sample(4, rng=0)
    np.testing.assert_array_equal(mix.impute(x, how), x)
    assert mix.impute(x.tolist(), how).dtype == np.float64


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        ([[np.inf, 0, 0], [0, np.nan, 0]], {}, r"got infinity in 1 rows; mark unknown cells as"),
        ([[np.nan, -np.inf, 0]], {}, "finite values or NaN in X"),
        ([[0.0, 1.0]], {}, r"X of shape \(n, 3\), got \(1, 2\)"),
        ([0.0, 1.0, 2.0], {}, r"X of shape \(n, 3\), got \(3,\)"),
        ([["a", "b", "c"]], {}, "expected numbers in X"),
        ([[0, 0, 0]], {"how": "zero"}, r"'mean', 'median', 'mode', 'sample', got 'zero'"),
        ([[0, 0, 0]], {"n_draws": 3}, r"n_draws ≥ 1 and only with how='sample', got n_draws=3"),
        ([[0, 0, 0]], {"how": "sample", "n_draws": 0}, "got n_draws=0"),
        ([[0, 0, 0]], {"how": "sample", "n_draws": 2.5}, r"whole n_draws .* got n_draws=2\.5"),
    ],
)
def test_bad_tables_say_how_to_mend_them(x, options, message):
    with pytest.raises(InputError, match=message):
        correlated().impute(x, **options)
