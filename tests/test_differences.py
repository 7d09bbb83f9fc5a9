"""Laws of factor analysers by compiled code, where rows meet few components.

Oracles are the guarded form in double precision, component by component, and moments by NumPy. A
liar answers for another component, forgets what a function is for, or calls a bound what is none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.special import logsumexp

from mixtura.arrays import parallel
from mixtura.covariance import Added, Clipped, LowRank, LowRankCovariance, differences, lowrank
from mixtura.covariance.differences import Differences
from mixtura.errors import NotPositiveDefiniteError
from mixtura.fit import among, run
from mixtura.fit.engines import Dense, Truncated
from mixtura.fit.initialise import model_from_start
from mixtura.sources import Rows
from mixtura.statistics import Projected
from tests.laws.statistics import close

pytest.importorskip("numba")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

K, D, N = 60, 70, 20_000


def case(rank=2, *, n=N, weighted=False, dtype=np.float32, apart=1.0, far=0.0, compute=np.float32):
    """A model in the course of a fit, by default in single precision; rows ``far`` from zero."""
    rng = np.random.default_rng(rank)
    labels = np.arange(n) % K
    loadings = 0.5 * rng.standard_normal((K, D, 3))
    x = apart * rng.standard_normal((K, D))[labels] + rng.standard_normal((n, D)) + far
    x += np.einsum("ndr,nr->nd", loadings[labels], rng.standard_normal((n, 3)))
    labels = np.where(rng.random(n) < 0.2, rng.integers(K, size=n), labels)
    rows = Rows(x.astype(dtype), rng.uniform(0.5, 2.0, n) if weighted else None)
    model = model_from_start(rows, labels, K, LowRank(rank), Added(1e-2))
    return replace(model, compute=np.dtype(compute)), rows


def made(rank=2, **how):
    """A form of exact differences, the guarded form in double precision, and rows about 0."""
    model, rows = case(rank, **how)
    dtype, form = model.quickest(rows)
    assert isinstance(form, Differences)
    assert dtype == form.dtype == how.get("compute", np.float32)
    means = model.means - model.anchor
    exact = model.covariance.form(means, model.peaks, np.float64, guarded=True)
    return form, exact, (rows.x[:400] - model.anchor).astype(dtype)


# ---- the laws ------------------------------------------------------------------------------------
def answers_in_blocks(form, exact, x, atol=2e-3, rtol=3e-6):
    """Log joints of blocks of any size with the components of their lists."""
    rng = np.random.default_rng(0)
    starts = np.concatenate([[0, 1, 4, 6, 11], np.arange(20, 300, 40), [399]])
    lists = np.stack([rng.permutation(K)[:7] for _ in starts[1:]]).astype(np.int32)
    rows = rng.permutation(len(x))[:399].astype(np.int32)
    anchor = rng.standard_normal(D).astype(x.dtype)
    joint = form.blocks(x + anchor, rows, anchor, starts, lists)
    each = np.repeat(np.arange(len(lists)), np.diff(starts))
    expected = np.take_along_axis(exact.log_joint(x[rows].astype(np.float64)), lists[each], axis=1)
    assert joint.dtype == form.dtype
    assert_allclose(joint, expected, rtol=rtol, atol=atol)


def answers_alike(form, exact, x, atol=2e-3, rtol=3e-6):
    """The same log densities and shares; where a component is ruled out, its entry is a bound."""
    joint = form.log_joint(x).astype(np.float64)
    expected = exact.log_joint(x.astype(np.float64))
    total, right = logsumexp(joint, axis=1), logsumexp(expected, axis=1)
    assert_allclose(total, right, rtol=rtol, atol=atol)
    share, theirs = np.exp(joint - total[:, None]), np.exp(expected - right[:, None])
    assert_allclose(share, theirs, atol=2 * atol)
    assert (joint >= expected - rtol * np.abs(expected) - atol).all()


def finds_the_best(form, exact, x):
    """A search in a sample of the columns finds the best component of almost all rows."""
    found, expected = form.leading(x), exact.log_joint(x.astype(np.float64))
    assert np.mean(found.argmax(axis=1) == expected.argmax(axis=1)) > 0.95
    some = np.isfinite(found)
    assert_allclose(found[some], expected[some], rtol=3e-6, atol=2e-3)


def gathers(form, basis, x, rtol=1e-5):
    """Moments of a component's rows about its mean, projected."""
    rng = np.random.default_rng(0)
    counts = np.zeros(K, dtype=np.int64)
    counts[[3, 4, 5, 6]] = 1, 2, 64, 133
    bounds = np.concatenate([[0], np.cumsum(counts)])
    rows = rng.integers(len(x), size=bounds[-1]).astype(np.int32)
    values = rng.uniform(0.1, 1.0, bounds[-1]).astype(form.dtype)
    sums = np.ones(K), np.ones((K, D)), np.ones((K, basis[0].size + D))
    for span in ((0, 5), (5, K)):
        form.moments(span, x, rows, bounds, values, np.zeros(D), basis, sums)
    mass, first, second = (total - 1 for total in sums)
    for j in range(K):
        cut = slice(bounds[j], bounds[j + 1])
        y, v = x[rows[cut]].astype(np.float64) - form.means[j], values[cut]
        moment = (v[:, None] * y).T @ y
        close(mass[j], v.sum(dtype=np.float64), rtol)
        close(first[j], v @ y, rtol)
        close(second[j, :-D], (moment @ basis[j % len(basis)]).T.ravel(), rtol)
        close(second[j, -D:], np.diag(moment), rtol)


def passes_alike(one, other, n):
    """Two passes over the same rows say the same, up to rounding in single precision."""
    assert_allclose(one.loglik, other.loglik, rtol=1e-6)
    assert np.mean(one.best != other.best) < 2e-3
    assert_allclose(one.shares.sum(), other.shares.sum(), rtol=1e-6)
    close(one.stats.mass, other.stats.mass, 1e-4)
    theirs = other.stats.about(one.stats.anchor)
    close(one.stats.first, theirs.first, 1e-3)
    close(one.stats.second, theirs.second, 1e-4)
    assert_allclose(one.far, other.far, rtol=1e-3, atol=1e-2)


# ---- held to them --------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [1, 2, 3, 6])
def test_forms_answer_as_exact_differences(rank):
    form, exact, x = made(rank)
    answers_in_blocks(form, exact, x)
    answers_alike(form, exact, x)
    finds_the_best(form, exact, x)


def test_double_precision_is_exact():
    form, exact, x = made(compute=np.float64, dtype=np.float64)
    tight = {"atol": 1e-9, "rtol": 1e-12}
    answers_in_blocks(form, exact, x, **tight)
    answers_alike(form, exact, x, **tight)
    finds_the_best(form, exact, x)
    gathers(form, np.random.default_rng(1).standard_normal((K, D, 2)), x, rtol=1e-12)
    single, _, _ = made()
    with pytest.raises(AssertionError):
        answers_alike(single, exact, x.astype(np.float32), **tight)


def test_what_cannot_be_ruled_out_is_evaluated(monkeypatch):
    form, exact, x = made(apart=0.05)
    monkeypatch.setattr(differences, "CROWDED", 0.01)
    answers_alike(form, exact, x)


@pytest.mark.parametrize("rank", [1, 2, 5])
def test_moments_are_those_of_all_rows(rank):
    form, _, x = made(rank)
    gathers(form, np.random.default_rng(1).standard_normal((K, D, rank)), x)
    gathers(form, np.random.default_rng(2).standard_normal((1, D, rank)), x)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_passes_are_the_plain_ones(dtype, weighted, monkeypatch):
    model, rows = case(weighted=weighted, dtype=dtype)
    engine = Truncated(8)
    stats, _, memory = engine.expect(model, rows)
    model = model.maximise(stats)
    quick = among.expectation(model, rows, memory.now)
    assert isinstance(model.quickest(rows)[1], Differences)
    monkeypatch.setenv("MIXTURA_NUMBA", "0")
    plain = replace(model, compute=np.dtype(np.float64))
    assert not isinstance(plain.quickest(rows)[1], Differences)
    passes_alike(quick, among.expectation(plain, rows, memory.now), rows.n)


def test_threads_and_batches_change_nothing(monkeypatch):
    model, rows = case()
    one = run(model, rows, Truncated(8), max_iter=4, tol=0.0)
    monkeypatch.setattr(among, "n_workers", lambda: 3)
    monkeypatch.setattr(parallel, "n_workers", lambda: 3)
    other = run(model, rows, Truncated(8, batch_rows=777), max_iter=4, tol=0.0)
    assert_allclose(other.trace, one.trace, rtol=1e-7)
    assert_allclose(other.model.means, one.model.means, rtol=1e-6, atol=1e-6)


def test_with_all_components_it_is_dense():
    model, rows = case()
    fit = run(model, rows, Truncated(K), max_iter=6, tol=0.0)
    wide = replace(model, compute=np.dtype(np.float64))
    dense = run(wide, rows, Dense(), max_iter=6, tol=0.0)
    assert_allclose(fit.trace, dense.trace, rtol=2e-6)
    assert_allclose(fit.model.means, dense.model.means, atol=1e-3)


def test_it_never_descends_and_ends_exactly():
    model, rows = case()
    fit = run(model, rows, Truncated(8), max_iter=12, tol=0.0)
    assert (np.diff(fit.trace) > -1e-5).all()
    exact = Dense().expect(replace(fit.model, compute=np.dtype(np.float64)), rows)[1]
    assert_allclose(Truncated(8).loglik(fit.model, rows), exact, rtol=1e-6)


def test_rows_far_from_zero_keep_their_digits():
    form, exact, x = made(far=1e3)
    answers_in_blocks(form, exact, x, atol=5e-3)


def narrowed(model, factor):
    noise = factor * model.covariance.noise
    return replace(model, covariance=LowRankCovariance(model.covariance.loadings, noise))


def test_narrow_components_take_double_precision():
    model, rows = case()
    narrow = narrowed(model, 1e-6)
    dtype, form = narrow.quickest(rows)
    assert isinstance(form, Differences)
    assert dtype == form.dtype == np.float64
    means = narrow.means - narrow.anchor
    exact = narrow.covariance.form(means, narrow.peaks, np.float64, guarded=True)
    x = rows.x[:400] - narrow.anchor
    answers_in_blocks(form, exact, x, rtol=1e-9)
    answers_alike(form, exact, x, rtol=1e-9)
    engine = Truncated(8)
    _, _, memory = engine.expect(narrow, rows)
    plain = among._General(narrow, rows, memory.now, None)
    plain.dtype, plain.form = np.dtype(np.float64), exact
    passes_alike(among.expectation(narrow, rows, memory.now), plain.passed(), rows.n)


def test_few_rows_and_the_narrowest_components_are_left_to_others():
    model, rows = case()
    assert not isinstance(case(n=600)[0].quickest(Rows(rows.x[:600]))[1], Differences)
    assert not isinstance(narrowed(model, 1e-14).quickest(rows)[1], Differences)


# ---- the M-step ----------------------------------------------------------------------------------
def steps_alike(mine, other):
    """Two M-steps from the same statistics give the same covariances, and what follows of them."""
    close(mine.covariance.loadings, other.covariance.loadings, 1e-10)
    close(mine.covariance.noise, other.covariance.noise, 1e-10)
    for one, two in zip(mine.covariance._solved, other.covariance._solved, strict=True):
        close(one, two, 1e-9)
    close(mine.peaks, other.peaks, 1e-10)


@pytest.mark.parametrize("rank", [1, 2, 5])
@pytest.mark.parametrize("floor", [Added(1e-2), Clipped(np.ones(D), 0.05)])
def test_m_steps_are_the_plain_ones(rank, floor, monkeypatch):
    model, rows = case(rank, compute=np.float64)
    model = replace(model, floor=floor)
    for _ in range(2):  # the first is from a sketch
        model = model.maximise(Truncated(8).expect(model, rows)[0])
    stats, _, _ = Truncated(8).expect(model, rows)
    monkeypatch.setattr(lowrank, "_many", lambda *numbers: False)
    plain = model.maximise(stats)
    _ = plain.covariance._solved
    monkeypatch.setattr(lowrank, "_many", lambda *numbers: True)
    quick = model.maximise(stats)
    steps_alike(quick, plain)
    with pytest.raises(AssertionError):
        steps_alike(model, plain)


@pytest.mark.parametrize("many", [True, False])
def test_an_m_step_that_fails_says_which_component(many, monkeypatch):
    monkeypatch.setattr(lowrank, "_many", lambda *numbers: many)
    covariance = case()[0].covariance
    loadings = np.array(covariance.loadings)
    loadings[47] = np.nan
    with pytest.raises(NotPositiveDefiniteError, match="component 47"):
        _ = LowRankCovariance(loadings, covariance.noise)._solved


# ---- liars ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("part", ["means", "theta", "factors", "const"])
def test_lying_tables_are_rejected(part):
    form, exact, x = made()
    liar = replace(form, **{part: np.float32(1.01) * getattr(form, part)})
    for law in (answers_in_blocks, answers_alike):
        law(form, exact, x)
        with pytest.raises(AssertionError):
            law(liar, exact, x)


def test_bounds_that_are_none_are_rejected(monkeypatch):
    form, exact, x = made(apart=0.3)
    answers_alike(form, exact, x)
    honest = Differences._bounds

    def lower(self, x):
        bounds, guesses = honest(self, x)
        return bounds - 1e3, guesses

    monkeypatch.setattr(Differences, "_bounds", lower)
    with pytest.raises(AssertionError):
        answers_alike(form, exact, x)


def test_ruling_out_too_much_is_rejected(monkeypatch):
    form, exact, x = made(apart=0.3)
    answers_alike(form, exact, x)
    monkeypatch.setattr(differences, "CUT", {np.dtype(np.float32): -1e3})
    with pytest.raises(AssertionError):
        answers_alike(form, exact, x)


def test_a_search_without_guesses_is_rejected(monkeypatch):
    form, exact, x = made()
    honest = Differences._bounds
    monkeypatch.setattr(Differences, "_bounds", lambda self, x: (honest(self, x)[0], -x[:, :K]))
    with pytest.raises(AssertionError):
        finds_the_best(form, exact, x)


class _ForgetsTheLastRow(Differences):
    def moments(self, span, x, rows, bounds, *given):
        super().moments(span, x, rows, np.minimum(bounds, len(rows) - 1), *given)


class _OfTheNextComponent(Differences):
    def moments(self, span, x, rows, bounds, *given):
        super().moments(span, x, rows, np.append(0, bounds[:-1]), *given)


@pytest.mark.parametrize("liar", [_ForgetsTheLastRow, _OfTheNextComponent])
def test_lying_moments_are_rejected(liar):
    form, _, x = made()
    basis = np.random.default_rng(1).standard_normal((K, D, 2))
    tables = {name: getattr(form, name) for name in form.__dataclass_fields__}
    with pytest.raises(AssertionError):
        gathers(liar(**tables), basis, x)


def test_projected_moments_of_some_components():
    model, rows = case(n=600)
    stats, _, _ = Dense().expect(model, rows)
    assert isinstance(stats.kind, Projected)
    some = stats.take(slice(3, 9))
    for one, other in zip(some.spread(), stats.spread(), strict=True):
        assert_allclose(one, other[3:9], rtol=1e-12)
    assert_allclose(some.means(), stats.means()[3:9], rtol=1e-14)
