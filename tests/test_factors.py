"""Low-rank structures in many columns: fast kernels, and moments of those rows alone that count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import logsumexp

from mixtura.covariance import Added, LowRank, LowRankCovariance, screened
from mixtura.covariance.factored import BLOCK, Factored
from mixtura.covariance.form import Guarded
from mixtura.covariance.screened import Screened
from mixtura.fit import model as fit_model
from mixtura.fit.engines import Dense
from mixtura.fit.initialise import model_from_start
from mixtura.sources import Rows
from mixtura.statistics import Projected
from mixtura.statistics.responsibilities import active, negligible
from tests.laws import covariance as covariance_laws
from tests.laws import fit as fit_laws
from tests.laws import statistics as laws

K, D, RANK = 12, 70, 2
#: Distances between the centres at which few, some and all pairs of rows and components count.
APART, BETWEEN, TOGETHER = 3.0, 0.9, 0.1


def model_of(apart, dtype=np.float64, weighted=False, n=400):
    """A model in the course of a fit, and its rows."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % K
    loadings = 0.5 * rng.standard_normal((K, D, RANK))
    x = apart * rng.standard_normal((K, D))[labels] + rng.standard_normal((n, D))
    x += np.einsum("ndr,nr->nd", loadings[labels], rng.standard_normal((n, RANK)))
    rows = Rows(x.astype(dtype), rng.uniform(0.5, 2.0, n) if weighted else None)
    return model_from_start(rows, labels, K, LowRank(RANK), Added(0.3)), rows


def expects_moments(engine, model, rows, rtol=1e-9):
    """Statistics are those of all rows under responsibilities computed densely."""
    stats, loglik, _ = engine.expect(model, rows)
    assert isinstance(stats.kind, Projected)
    resp, total = fit_laws.brute_force(model.mixture(), rows)
    np.testing.assert_allclose(loglik, total, rtol=rtol)
    mass = resp.sum(axis=0)
    laws.close(stats.mass, mass, rtol)
    means = (resp.T @ rows.x) / mass[:, None]
    laws.close(stats.means(), means, rtol)
    centred = rows.x[:, None, :].astype(np.float64) - means[None]
    central = np.einsum("nk,nki,nkj->kij", resp, centred, centred, optimize=True)
    laws.close(stats.spread(), laws.oracle(stats.kind, central / mass[:, None, None]), 10 * rtol)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("apart", [APART, BETWEEN, TOGETHER])
def test_moments_are_those_of_all_rows(apart, weighted):
    model, rows = model_of(apart, weighted=weighted)
    for engine in (Dense(), Dense(batch_rows=37)):
        expects_moments(engine, model, rows)


@pytest.mark.parametrize("apart", [APART, BETWEEN, TOGETHER])
def test_single_precision_is_held_against_double(apart):
    model, rows = model_of(apart, np.float32)
    expects_moments(Dense(), model, rows, 1e-4)


def test_guarded_moments_keep_their_digits():
    # Centres 1e6 apart with unit spread.
    model, rows = model_of(1e6)
    assert model.kernel(np.float64)[1].guarded
    stats, _, _ = Dense().expect(model, rows)
    labels = np.arange(rows.n) % K
    for j in range(K):
        own = rows.x[labels == j] - rows.x[labels == j].mean(axis=0)
        moment = own.T @ own / len(own)
        product, variances = (part[j] for part in stats.spread())
        laws.close(product, moment @ model.kind.basis[j], 1e-8)
        laws.close(variances, np.diag(moment), 1e-8)


def test_rows_that_do_not_count_are_not_touched(monkeypatch):
    touched = []
    honest = Projected.gather_one

    def counting(self, r, x, j):
        touched.append(len(r))
        return honest(self, r, x, j)

    monkeypatch.setattr(Projected, "gather_one", counting)
    model, rows = model_of(APART)
    touched.clear()
    Dense().expect(model, rows)
    assert rows.n <= sum(touched) <= 1.5 * rows.n


@pytest.mark.parametrize("rows", [1, BLOCK, 2 * BLOCK + 3])
def test_blocks_of_rows_change_nothing(rows):
    model, _ = model_of(APART)
    means = model.means - model.anchor
    form = model.covariance.form(means, np.zeros(K), np.float64, guarded=False)
    x = np.random.default_rng(1).standard_normal((rows, D))
    one_by_one = np.concatenate([form.log_joint(x[i : i + 1]) for i in range(rows)])
    np.testing.assert_allclose(form.log_joint(x), one_by_one, rtol=1e-12)


def test_components_meet_the_rows_that_count():
    resp = np.random.default_rng(0).random((20, 5)) * (np.arange(5) != 3)
    found = dict(active(resp, 0.4))
    assert sorted(found) == [0, 1, 2, 4]
    for j, rows in found.items():
        np.testing.assert_array_equal(rows, np.flatnonzero(resp[:, j] > 0.4))
    assert list(active(resp, 1.0)) == []
    assert negligible(np.empty((0, 3))) == 0


# ---- liars -------------------------------------------------------------------------------------
def _of_the_next_component(resp, least):
    for j, rows in active(resp, least):
        yield (j + 1) % resp.shape[1], rows


def _without_the_first_row(resp, least):
    for j, rows in active(resp, least):
        yield j, rows[1:]


@pytest.mark.parametrize(
    ("name", "lie"),
    [
        ("active", _of_the_next_component),
        ("active", _without_the_first_row),
        ("negligible", lambda resp: 1e-3 * resp.max()),
    ],
)
def test_liars_about_rows_that_count_are_rejected(name, lie, monkeypatch):
    model, rows = model_of(BETWEEN if name == "negligible" else APART)
    monkeypatch.setattr(fit_model, "CROWDED", 1.0)
    expects_moments(Dense(), model, rows)
    monkeypatch.setattr(fit_model, name, lie)
    with pytest.raises(AssertionError):
        expects_moments(Dense(), model, rows)


@pytest.mark.parametrize("part", ["const", "squares", "vectors"])
def test_lying_forms_are_rejected(part, monkeypatch):
    model, _ = model_of(APART)
    covariance_laws.forms_agree(model.covariance, np.random.default_rng(2))
    honest = LowRankCovariance.form

    def form(self, *args, **options):
        made = honest(self, *args, **options)
        return replace(made, **{part: 1.01 * getattr(made, part)}) if not made.guarded else made

    monkeypatch.setattr(LowRankCovariance, "form", form)
    with pytest.raises(AssertionError):
        covariance_laws.forms_agree(model.covariance, np.random.default_rng(2))


# ---- screened forms ----------------------------------------------------------------------------
#: What hides the first component from a screen.
LOST = 1e300 * np.eye(K)[0]


def narrow(dtype=np.float64, depth=1e-9, n=60):
    """A form of components that are narrow in some columns, the guarded form, and rows."""
    model, _ = model_of(APART)
    rng = np.random.default_rng(3)
    noise = np.where(rng.random((K, D)) < 0.3, depth, 1.0) * model.covariance.noise
    covariance = LowRankCovariance(model.covariance.loadings, noise)
    means, const = model.means - model.anchor, rng.standard_normal(K)
    made = covariance.form(means, const, dtype)
    exact = covariance.form(means, const, dtype, guarded=True)
    # Some rows lie between two components, and some far from all.
    own = rng.integers(K, size=n)
    x = means[own] + covariance.drawn(rng.standard_normal((K, D + RANK, n)))[own, :, np.arange(n)]
    x[:5] = 0.5 * (means[:5] + means[1:6])
    x[5:10] *= 1e7
    return made, exact, x.astype(dtype)


def answers_alike(made, exact, x):
    """The same log density and responsibilities as of exact differences; the rows are kept."""
    kept = x.copy()
    joint, expected = (form.log_joint(x).astype(np.float64) for form in (made, exact))
    np.testing.assert_array_equal(x, kept)
    total, right = logsumexp(joint, axis=1), logsumexp(expected, axis=1)
    np.testing.assert_allclose(total, right, rtol=1e-12)
    resp, share = np.exp(joint - total[:, None]), np.exp(expected - right[:, None])
    np.testing.assert_allclose(resp, share, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("depth", [1e-7, 1e-9])
def test_screened_forms_answer_as_guarded_ones(dtype, depth):
    made, exact, x = narrow(dtype, depth)
    assert isinstance(made, Screened)
    assert made.log_joint(x).dtype == dtype
    answers_alike(made, exact, x)


def test_what_screening_cannot_tell_is_guarded():
    assert isinstance(narrow(depth=1e-16)[0], Guarded)
    assert isinstance(narrow(depth=1.0)[0], Factored)


def test_screening_spares_the_far_components(monkeypatch):
    made, _, x = narrow()
    seen = []

    def whiten(rows, j):
        seen.append(len(rows))
        return made.exact.whiten(rows, j)

    replace(made, exact=replace(made.exact, whiten=whiten)).log_joint(x[10:])
    assert sum(seen) <= 2 * len(x[10:])


def doubt_is_a_bound(made, exact, x):
    """No rounding error of the rough form is beyond what it is doubted for."""
    rows = x.astype(np.float64)
    error = np.abs(made.rough.log_joint(rows) - exact.log_joint(rows)).max(axis=1)
    assert (error <= made.least + rows**2 @ made.doubt).all()


def test_doubt_bounds_rounding():
    for depth in (1e-7, 1e-9):
        doubt_is_a_bound(*narrow(depth=depth))


@pytest.mark.parametrize(
    "lie",
    [
        lambda made: replace(made, rough=replace(made.rough, const=made.rough.const - LOST)),
        lambda made: replace(made, exact=replace(made.exact, const=made.exact.const + 1e-3)),
    ],
)
def test_liars_about_screening_are_rejected(lie):
    made, exact, x = narrow()
    answers_alike(made, exact, x)
    with pytest.raises(AssertionError):
        answers_alike(lie(made), exact, x)


def test_screening_that_reaches_nowhere_is_rejected(monkeypatch):
    monkeypatch.setattr(screened, "REACH", -1.0)
    with pytest.raises(AssertionError):
        answers_alike(*narrow())


def test_doubt_that_is_too_small_is_rejected():
    made, exact, x = narrow()
    with pytest.raises(AssertionError):
        doubt_is_a_bound(replace(made, doubt=1e-8 * made.doubt, least=0.0), exact, x)
