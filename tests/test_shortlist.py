"""Scores by a shortlist of components: equal to the readable reference, row by row.

The fast path is forced onto small tables. Liars: a score in float32 alone, a bound that is too
small, a label that is the last of equal ones, a score by what else is in the batch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp

import mixtura as mx
from mixtura.arrays import compiled, regression_plain, scores_plain
from mixtura.mixture import density
from mixtura.mixture import shortlist as module

pytestmark = pytest.mark.skipif(
    not compiled.serves(compiled.LEAST_WORK), reason="Numba is turned off or absent"
)
KINDS = ["full", "diag", "spherical"]


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Compiled code from the first row on."""
    monkeypatch.setattr(compiled, "LEAST_WORK", 1)
    monkeypatch.setattr(module, "LEAST_WORK", 1)


def mixture(kind="full", d=16, k=64, apart=1.5, condition=5.0, offset=0.0, units=None, seed=0):
    """Components of some condition number about an offset; columns in any units."""
    rng = np.random.default_rng(seed)
    weights, means = rng.dirichlet(np.full(k, 5.0)), apart * rng.standard_normal((k, d))
    roots = condition ** (rng.uniform(-0.5, 0.5, (k, d)) / 2)
    units = np.ones(d) if units is None else units
    if kind == "spherical":
        return mx.Mixture(weights, offset + means, roots[:, 0] ** 2)
    if kind == "diag":
        return mx.Mixture(weights, offset + means * units, (roots * units) ** 2)
    axes = np.linalg.qr(rng.standard_normal((k, d, d)))[0] * roots[:, None, :]
    sigma = axes @ np.swapaxes(axes, 1, 2) * units * units[:, None]
    return mx.Mixture(weights, offset + means * units, 0.5 * (sigma + np.swapaxes(sigma, 1, 2)))


def whole(kind, **how):
    """The same with enough components and columns for a screen."""
    size = {"full": (16, 64), "diag": (32, 200), "spherical": (40, 200)}[kind]
    return mixture(kind, *size, **{"apart": 2.5, **how})


def rows(mix, n=700, seed=1):
    return np.asarray(mix.sample(n, rng=seed))


def agrees(mix, x, score, *, tolerance=1e-11):
    """Law: log densities, responsibilities and labels are the reference's."""
    joint = density._log_joint_generic(mix, np.asarray(x, dtype=np.float64))
    expected = logsumexp(joint, axis=1)
    got, resp, label = score(mix, x)
    assert_allclose(got, expected, rtol=tolerance, atol=tolerance)
    assert_allclose(resp.sum(axis=1), 1, rtol=1e-12)
    assert_allclose(resp, np.exp(joint - expected[:, None]), atol=10 * tolerance)
    there = np.take_along_axis(joint, label[:, None], axis=1)[:, 0]
    assert (there >= joint.max(axis=1) - 10 * tolerance * np.abs(expected)).all()


def ours(mix, x):
    return mix.log_density(x), mix.responsibilities(x), density.labels(mix, x)


def single(mix, x):
    """A liar: joints in float32 alone."""
    anchor, form = mix._kernel
    quick = replace(form, coefficients=form.coefficients.astype(np.float32))
    joint = quick.log_joint((x - anchor).astype(np.float32)).astype(np.float64)
    total = logsumexp(joint, axis=1)
    return total, np.exp(joint - total[:, None]), joint.argmax(axis=1)


# ---- against the reference -----------------------------------------------------------------------
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("offset", [0.0, 1e8])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_the_references(kind, offset, dtype):
    mix = whole(kind, offset=offset)
    assert mix._screen is not None
    agrees(mix, rows(mix).astype(dtype), ours)


@pytest.mark.parametrize("kind", KINDS)
def test_these_scores_go_by_the_shortlist(kind):
    mix = whole(kind)
    x, screen = rows(mix), mix._screen
    out = np.empty(len(x))
    run = compiled.kernel("shortlist.log_total")
    size = (mix.k, mix.d, screen.parts[2].shape[1], screen.tile, screen.most)
    work = compiled.kernel("shortlist.memory")(*size)
    assert run(x, screen.parts, work, out) == len(x)
    assert np.isfinite(out).all()


@pytest.mark.parametrize("kind", KINDS)
def test_scores_in_float32_alone_are_rejected(kind):
    mix = whole(kind)
    with pytest.raises(AssertionError):
        agrees(mix, rows(mix), single)


@pytest.mark.parametrize("condition", [1e2, 1e4, 1e8, 1e12])
@pytest.mark.parametrize("kind", ["full", "diag"])
def test_narrow_components_keep_their_digits(kind, condition):
    mix = whole(kind, condition=condition)
    agrees(mix, rows(mix), ours, tolerance=1e-13 * max(condition, 1e3))


@pytest.mark.parametrize("kind", ["full", "diag"])
def test_columns_have_units_of_their_own(kind):
    d = 16 if kind == "full" else 32
    mix = whole(kind, units=10.0 ** np.linspace(-6, 6, d))
    assert mix._screen is not None
    agrees(mix, rows(mix), ours)


@pytest.mark.parametrize("kind", KINDS)
def test_far_rows_are_those_of_small_tables(kind, monkeypatch):
    mix = whole(kind)
    x = rows(mix)
    for i, far in enumerate((30.0, 1e3, 1e6, 1e100, 1e150, 1e300)):
        x[10 * i] *= far
    got = ours(mix, x)
    assert np.isfinite(got[0]).all()
    monkeypatch.setenv("MIXTURA_NUMBA", "0")
    for one, other in zip(got, ours(mix, x), strict=True):
        assert_allclose(one, other, rtol=1e-11, atol=1e-11)


def test_components_without_weight_count_for_nothing():
    mix = whole("full")
    weights = np.array(mix.weights)
    weights[::3] = 0
    mix = mx.Mixture(weights / weights.sum(), mix.means, mix.covariance)
    assert mix._screen is not None
    agrees(mix, rows(mix), ours)
    assert (mix.responsibilities(rows(mix))[:, ::3] == 0).all()


# ---- rows alone and together ---------------------------------------------------------------------
def alone(mix, x, score):
    """Law: a row's score is that which it has alone."""
    together = score(mix, x)
    for i in range(0, len(x), 37):
        assert_allclose(score(mix, x[i : i + 1])[0], together[i], rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_alone_has_the_same_score(kind):
    mix = whole(kind)
    x = rows(mix, 1500)
    x[5] *= 1e4
    alone(mix, x, lambda mix, x: mix.log_density(x))


def test_a_score_by_the_other_rows_is_rejected():
    mix = whole("full")

    def by_batch(mix, x):
        return mix.log_density(x) if len(x) < 100 else single(mix, x)[0]

    with pytest.raises(AssertionError):
        alone(mix, rows(mix), by_batch)


def test_no_rows_have_no_scores():
    mix = whole("full")
    got = ours(mix, np.empty((0, 16)))
    assert [each.shape for each in got] == [(0,), (0, 64), (0,)]


def test_small_mixtures_have_no_screen():
    for mix in (mixture(d=2, k=3), mixture(d=16, k=1), mixture(d=2, k=64)):
        assert mix._screen is None
        agrees(mix, rows(mix), ours)


# ---- the first of equal ones ---------------------------------------------------------------------
def first_of_equals(mix, x, score):
    """Law: where components are twice there, the label is the first one's."""
    twice = mx.Mixture(
        np.tile(mix.weights, 2) / 2, np.tile(mix.means, (2, 1)), np.tile(dense(mix), (2, 1, 1))
    )
    assert (score(twice, x) == score(mix, x)).all()


def dense(mix):
    return np.asarray(mix.covariance.dense())


def test_labels_are_the_first_of_equal_ones():
    mix = whole("full")
    first_of_equals(mix, rows(mix), density.labels)


def test_the_last_of_equal_ones_is_rejected():
    mix = whole("full")

    def last(mix, x):
        return mix.k - 1 - density.log_joint(mix, x)[:, ::-1].argmax(axis=1)

    with pytest.raises(AssertionError):
        first_of_equals(mix, rows(mix), last)


# ---- the bound -----------------------------------------------------------------------------------
def bounded(mix, x, factor=1.0):
    """Law: a product in float32 is wrong by at most ε."""
    anchor, form = mix._kernel
    _, scale, table, _, doubt, *_ = mix._screen.parts
    near = x - anchor
    rough = form.features(near.astype(np.float32)) @ table.T
    length = np.linalg.norm(near * scale, axis=1)
    error = factor * np.stack([length**2, length, np.ones(len(x))], axis=1) @ doubt
    assert (np.abs(rough - form.log_joint(near)).max(axis=1) <= error).all()


@pytest.mark.parametrize("kind", KINDS)
def test_float32_errs_within_its_bound(kind):
    mix = whole(kind)
    x = rows(mix)
    bounded(mix, x)
    bounded(mix, 10 * x)


def test_a_bound_that_is_too_small_is_rejected():
    mix = whole("full")
    with pytest.raises(AssertionError):
        bounded(mix, rows(mix), factor=1e-4)


# ---- where most components matter ----------------------------------------------------------------
def test_components_that_overlap_go_by_the_form(monkeypatch):
    mix = whole("full", apart=0.1)
    x = rows(mix, 6 * 512 * density.TILES)
    calls: list[int] = []
    plain: Any = compiled.kernel

    def counted(name):
        run = plain(name)

        def call(x, *rest):
            calls.append(len(x))
            return run(x, *rest)

        return call if name == "shortlist.log_total" else run

    assert mix._screen is not None
    monkeypatch.setattr(module.compiled, "kernel", counted)
    assert_allclose(
        mix.log_density(x)[:500], logsumexp(density._log_joint_generic(mix, x[:500]), axis=1)
    )
    assert len(calls) <= 4, "a screen that failed is tried again and again"


# ---- what ends a score, and its twin -------------------------------------------------------------
@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 3), (40, 100)])
def test_ends_of_scores_by_numpy_are_those_compiled(n, k):
    joint = 30 * np.random.default_rng(n).standard_normal((n, k))
    joint[:, -1] = -np.inf if k > 1 else 0.0
    for name, out in (("log_total", np.empty(n)), ("shares", np.empty((n, k)))):
        other = out.copy()
        compiled.kernel(f"scores.{name}")(joint, out)
        getattr(scores_plain, name)(joint.copy(), other)
        assert_allclose(out, other, rtol=1e-13, atol=1e-300)
    labels = np.empty((2, n), dtype=np.int64)
    compiled.kernel("scores.labels")(joint, labels[0])
    scores_plain.labels(joint, labels[1])
    assert (labels[0] == labels[1]).all()


@pytest.mark.parametrize(("k", "g", "m"), [(1, 1, 1), (5, 3, 7), (30, 9, 2), (8, 20, 20)])
def test_regressions_by_numpy_are_those_compiled(k, g, m):
    rng = np.random.default_rng(k)
    gates, x = rng.dirichlet(np.full(k, 0.1), 600), rng.standard_normal((600, g))
    start, slopes = rng.standard_normal((k, m)), rng.standard_normal((k, g, m))
    out = np.empty((2, 600, m))
    compiled.kernel("regression.mixed")(gates, x, start, slopes, 1e-17, out[0])
    regression_plain.mixed(gates, x, start, slopes, 0.0, out[1])
    assert_allclose(out[0], out[1], rtol=1e-11, atol=1e-11)
    reference = np.einsum("bk,bkm->bm", gates, start + np.einsum("bg,kgm->bkm", x, slopes))
    assert_allclose(out[1], reference, rtol=1e-11, atol=1e-11)
    with pytest.raises(AssertionError):  # a liar leaves out what matters
        compiled.kernel("regression.mixed")(gates, x, start, slopes, 2.0, out[0])
        assert_allclose(out[0], reference, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("offset", [0.0, 1e8])
def test_conditional_means_are_those_of_all_components(offset):
    mix = mixture(d=8, k=20, offset=offset)
    law = mix.conditional([0, 3, 4])
    x = rows(mix)[:, [0, 3, 4]]
    log_gates, each = law.parts(x)
    expected = np.einsum("bk,bkm->bm", np.exp(log_gates), each)
    assert_allclose(law.mean(x), expected, rtol=1e-11, atol=1e-10)
