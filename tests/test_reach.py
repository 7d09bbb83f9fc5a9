"""Rows at absurd distances: densities and responsibilities stay numbers, regressions are refused.

The oracle computes in extended precision, whose exponents reach a hundred times further.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import mixtura as mx
from mixtura.arrays.linalg import log_softmax, logsumexp
from mixtura.errors import InputError
from mixtura.mixture import measured, reach
from mixtura.mixture.predict import predict
from tests.laws.cases import NAMES, mixture_of

WIDE = np.finfo(np.longdouble).maxexp > 4096
SIZES = (1e100, 1e153, 1e155, 1e200, 1e308)
MIX = mx.Mixture(
    [0.4, 0.6], [[0.0, 0.0], [1.0, 2.0]], [np.eye(2), [[2.0, 0.9], [0.9, 1.0]]], columns=["a", "b"]
)


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def oracle(mix, x):
    """Log density, responsibilities, and whether the nearest component is clear of the others."""
    rows, means = x.astype(np.longdouble), mix.means.astype(np.longdouble)
    precision = mix.covariance.precision().astype(np.longdouble)
    v = rows[:, None, :] - means
    delta = np.einsum("nki,kij,nkj->nk", v, precision, v)
    const = mix.log_weights - 0.5 * (mix.d * np.log(2 * np.pi) + mix.covariance.logdet)
    joint = const - delta / 2
    top = joint.max(axis=1, keepdims=True)
    total = np.exp(joint - top).sum(axis=1, keepdims=True)
    resp = np.exp(joint - top) / total
    ordered = np.sort(delta, axis=1)
    clear = (ordered[:, 1] - ordered[:, 0]) > 1e-8 * ordered[:, 0]
    return (top + np.log(total))[:, 0], resp.astype(float), clear


def holds(mix, density, resp, x):
    """Law: log density and responsibilities are those of unbounded exponents, cut at the lowest."""
    exact, share, clear = oracle(mix, x)
    assert_allclose(density, np.maximum(exact, reach.LOWEST).astype(float), rtol=1e-9)
    assert_allclose(resp.sum(axis=1), 1, atol=1e-12)
    assert_allclose(resp[clear], share[clear], atol=1e-9)


def far_rows(rng, d):
    x = np.concatenate([size * rng.uniform(-1, 1, (6, d)) for size in SIZES])
    x[::5, 0] = 0.3  # not every column need be far
    return x


def naive(mix, x):
    """Liar: squares whatever comes."""
    with np.errstate(all="ignore"):
        v = np.swapaxes(x[None] - mix.means[:, None], 1, 2)
        const = mix.log_weights - 0.5 * (mix.d * np.log(2 * np.pi) + mix.covariance.logdet)
        joint = (const[:, None] - 0.5 * mix.covariance.mahalanobis(v)).T
        return logsumexp(joint), np.exp(log_softmax(joint))


def alike(mix, x):
    """Liar: every component is as good as another out there."""
    return mix.log_density(x), np.full((len(x), mix.k), 1 / mix.k)


@pytest.mark.skipif(not WIDE, reason="needs long doubles with wider exponents")
@pytest.mark.parametrize("name", NAMES)
def test_far_rows_have_the_densities_of_unbounded_exponents(name, rng):
    for d, k in itertools.product((2, 5), (2, 3)):
        mix = mixture_of(name, rng, k, d)
        x = far_rows(rng, d)
        holds(mix, mix.log_density(x), mix.responsibilities(x), x)
        both = measured.log_density(mix, x), measured.responsibilities(mix, x)
        holds(mix, *both, x)


@pytest.mark.skipif(not WIDE, reason="needs long doubles with wider exponents")
@pytest.mark.parametrize("liar", [naive, alike])
def test_the_law_of_far_rows_rejects(liar, rng):
    x = far_rows(rng, 2)
    with pytest.raises(AssertionError):
        holds(MIX, *liar(MIX, x), x)


def test_ordinary_rows_do_not_notice_their_neighbours(rng):
    for name in NAMES:
        mix = mixture_of(name, rng, 3, 4)
        near, far = mix.sample(50, rng=0), far_rows(rng, 4)
        every = np.concatenate([near, far])
        assert_array_equal(mix.log_density(every)[:50], mix.log_density(near))
        assert_array_equal(mix.responsibilities(every)[:50], mix.responsibilities(near))


@pytest.mark.skipif(not WIDE, reason="needs long doubles with wider exponents")
@pytest.mark.parametrize("d", [3, 70])
def test_far_rows_with_gaps_are_the_marginal_s(d, rng):
    mix = mixture_of("full", rng, 2, d)
    x = far_rows(rng, d)
    x[:, 1] = np.nan
    seen = [j for j in range(d) if j != 1]
    part = mix.marginal(seen)
    holds(part, measured.log_density(mix, x), measured.responsibilities(mix, x), x[:, seen])


@pytest.mark.skipif(not WIDE, reason="needs long doubles with wider exponents")
def test_far_rows_with_noise_are_the_blurred_mixture_s(rng):
    x = far_rows(rng, 2)
    told = [f(MIX, x, noise=0.5) for f in (measured.log_density, measured.responsibilities)]
    holds(MIX.blur(0.5), *told, x)


def test_components_without_weight_and_equal_ones():
    mix = mx.Mixture([0.5, 0.5, 0.0], np.zeros((3, 1)), [1.0, 1.0, 100.0])
    resp = mix.responsibilities([[1e200], [-1e308], [0.0]])
    assert_array_equal(resp, [[0.5, 0.5, 0.0]] * 3)
    assert_array_equal(mix.log_density([[1e200], [-1e308]]), reach.LOWEST)


def test_single_precision_rows():
    x = np.array([[3e38, 0.0], [0.5, 0.5]], dtype=np.float32)
    assert np.isfinite(MIX.log_density(x)).all()
    assert np.isfinite(MIX.responsibilities(x)).all()


# ---- what is linear in the row -----------------------------------------------------------------
FAR = np.array([[0.5], [1e155]])
ANSWERS = {
    "mean": lambda law: law.mean(FAR),
    "cov": lambda law: law.cov(FAR),
    "quantile": lambda law: law.quantile(FAR, 0.5),
    "mode": lambda law: law.mode(FAR),
    "sample": lambda law: law.sample(FAR, rng=0),
    "log_density": lambda law: law.log_density(FAR, [[0.0], [0.0]]),
    "cdf": lambda law: law.cdf(FAR, [[0.0], [0.0]]),
    "bind": lambda law: law.bind(FAR),
    "predict": lambda law: predict(MIX, FAR, [0], [1]),
    "impute": lambda law: MIX.impute([[0.5, np.nan], [1e155, np.nan]]),
    "gradient": lambda law: MIX.grad_log_density([[0, 0], [1e155, 0]]),
    "hessian": lambda law: MIX.hessian_log_density([[0, 0], [1e155, 0]]),
    "denoise": lambda law: MIX.denoise(np.array([[0, 0], [1e155, 0]]), 1.0),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_beyond_floats_are_refused_by_row_and_column(answer):
    with pytest.raises(InputError, match=r"expected .*got a = 1e\+155 in row 2; check"):
        ANSWERS[answer](MIX.conditional([0]))


def test_one_condition_beyond_floats_is_refused():
    with pytest.raises(InputError, match=r"got b = -1e\+200; check"):
        MIX.condition([1], [-1e200])


def test_whole_rows_need_no_filling_in():
    x = np.array([[1e155, 1.0], [0.5, np.nan]])
    assert_array_equal(MIX.impute(x)[0], x[0])


@pytest.mark.parametrize("units", [1e-150, 1e-50, 1.0, 1e50, 1e150])
def test_far_answers_are_finite_as_far_as_they_are_given(units):
    mix = mx.Mixture(MIX.weights, units * MIX.means, units**2 * MIX.covariance.dense())
    law, x = mix.conditional([0]), units * np.array([[-90.0], [0.3], [90.0]])
    if units == 1.0:
        x = np.concatenate([x, [[1e90], [-1e149]]])
    for answer in (law.mean(x), law.cov(x), law.quantile(x, [0.1, 0.9]), law.mode(x)):
        assert np.isfinite(answer).all()
    assert np.isfinite(predict(mix, x, [0], [1])[:4]).all()
