"""Laws of truncated EM: a bound that rises, exact where all components are candidates.

Oracles are the dense engine and log joints by SciPy, row by row. A liar forgets what the
law is for: which rows a block has, what was dropped, or that a fall must be taken back.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

import mixtura as mx
from mixtura.arrays import compiled, parallel
from mixtura.covariance import Added, FullCovariance, LowRank, structure
from mixtura.covariance.form import Chosen, Partly
from mixtura.covariance.pruned import Pruned
from mixtura.errors import InputError
from mixtura.fit import among, run
from mixtura.fit import neighbourhoods as hoods
from mixtura.fit.accelerate import squarem_step
from mixtura.fit.engines import Auto, Dense, Truncated, auto
from mixtura.fit.groups import grouped_by
from mixtura.fit.initialise import model_from_start
from mixtura.fit.precision import run_in
from mixtura.sources import Rows
from tests.laws.cases import clusters
from tests.laws.density import log_joint

NAMES = ["full", "diag", "spherical", "tied", "lowrank", "VEI", "EVV"]

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def case(name, *, n=400, k=12, d=3, seed=0, weighted=False, dtype=np.float64, apart=0.0):
    """A model of k components near the truth, and its rows; clusters overlap less if ``apart``."""
    rng = np.random.default_rng(seed)
    x, labels = clusters(rng, n, k, d)
    x = x + apart * rng.standard_normal((k, d))[labels]
    labels = np.where(rng.random(n) < 0.2, rng.integers(k, size=n), labels)
    weight = rng.uniform(0.5, 2.0, n) if weighted else None
    rows = Rows(x.astype(dtype), weight)
    rule = LowRank(1) if name == "lowrank" else structure(name, None, d)
    return model_from_start(rows, labels, k, rule, Added(1e-2)), rows


def many(name="diag", *, n=20_000, k=60, d=5, seed=0, **how):
    """The same, large enough for compiled code."""
    return case(name, n=n, k=k, d=d, seed=seed, **how)


def passes(engine, model, rows, count):
    """Statistics, log-likelihoods, models and memories of some passes."""
    memory, out = None, []
    for _ in range(count):
        stats, loglik, memory = engine.expect(model, rows, memory)
        out.append((stats, loglik, model, memory))
        model = model.maximise(stats)
    return out


# ---- the laws ------------------------------------------------------------------------------------
def is_dense(engine, model, rows, steps=6):
    """With every component a candidate, traces and means are those of dense EM."""
    one = run(model, rows, Dense(), max_iter=steps, tol=0.0)
    other = run(model, rows, engine, max_iter=steps, tol=0.0)
    assert_allclose(other.trace, one.trace, rtol=1e-12, atol=1e-12)
    assert_allclose(other.model.means, one.model.means, rtol=1e-9, atol=1e-10)
    assert_allclose(other.model.weights, one.model.weights, rtol=1e-9, atol=1e-12)


def oracle(model, rows, lists, owner):
    """Truncated responsibilities (n, k) and log-likelihood, by SciPy."""
    joint = log_joint(model.mixture(), rows.x.astype(np.float64))
    allowed = np.zeros(joint.shape, dtype=bool)
    allowed[np.arange(rows.n)[:, None], lists[owner]] = True
    joint = np.where(allowed, joint, -np.inf)
    norm = logsumexp(joint, axis=1)
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    return np.exp(joint - norm[:, None]) * weight[:, None], float(weight @ norm), joint


def expects(engine, model, rows, rtol=1e-9):
    """Every pass is the E-step over the candidates that its memory names."""
    for stats, loglik, at, memory in passes(engine, model, rows, 4):
        used = memory.before
        resp, total, joint = oracle(at, rows, used.lists, used.owner)
        assert_allclose(loglik, total, rtol=rtol, atol=rtol * rows.n)
        assert_allclose(stats.mass, resp.sum(axis=0), rtol=10 * rtol, atol=rtol * rows.n)
        own = rows.x.astype(np.float64)
        assert_allclose(
            stats.anchor * stats.mass[:, None] + stats.first,
            resp.T @ own,
            rtol=10 * rtol,
            atol=10 * rtol * rows.n,
        )
        if not memory.at_rest:
            assert_array_equal(memory.now.owner, joint.argmax(axis=1))


def bounds_from_below(engine, model, rows):
    """F is at most the log-likelihood, and what is said to be dropped is the difference."""
    for _, loglik, at, memory in passes(engine, model, rows, 4):
        exact = Dense().expect(at, rows)[1]
        assert loglik <= exact + 1e-9 * abs(exact)
        dropped, note = engine.finish(rows, memory)
        assert_allclose(loglik + dropped, exact, rtol=1e-9, atol=1e-7)
        assert "were evaluated per row" in note


def never_descends(engine, model, rows, steps=30):
    """F never falls, and the last entry of a trace is exact and no less."""
    fit = run(model, rows, engine, max_iter=steps, tol=0.0)
    trace = np.array(fit.trace)
    assert (np.diff(trace) >= -1e-10 * np.abs(trace[:-1])).all(), np.diff(trace).min()


# ---- held against the dense engine ---------------------------------------------------------------
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_with_all_components_it_is_dense(name, weighted):
    model, rows = case(name, weighted=weighted)
    is_dense(Truncated(12), model, rows)
    is_dense(Truncated(500), model, rows)


@pytest.mark.parametrize("name", ["diag", "spherical", "full"])
def test_with_all_components_it_is_dense_in_large_tables(name):
    model, rows = many(name, k=50)
    assert compiled.serves(rows.n * model.k)
    is_dense(Truncated(50), model, rows, steps=3)


@pytest.mark.parametrize("width", [1, 2, 5])
@pytest.mark.parametrize("name", NAMES)
def test_a_pass_is_the_step_over_its_candidates(name, width):
    model, rows = case(name, weighted=True)
    expects(Truncated(width), model, rows)


@pytest.mark.parametrize("name", ["diag", "spherical"])
def test_compiled_passes_are_the_plain_ones(name, monkeypatch):
    model, rows = many(name, weighted=True)
    engine = Truncated(8)
    quick = passes(engine, model, rows, 3)
    monkeypatch.setenv("MIXTURA_NUMBA", "0")
    for one, other in zip(quick, passes(engine, model, rows, 3), strict=True):
        assert_allclose(one[1], other[1], rtol=1e-12)
        assert_array_equal(one[3].now.owner, other[3].now.owner)
        assert_array_equal(one[3].now.lists, other[3].now.lists)
        assert_allclose(one[3].far, other[3].far, rtol=1e-5, atol=1e-5)
        theirs = other[0].about(one[0].anchor)
        assert_allclose(one[0].mass, theirs.mass, rtol=1e-9, atol=1e-9)
        assert_allclose(one[0].first, theirs.first, rtol=1e-8, atol=1e-7)
        assert_allclose(one[0].second, theirs.second, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_a_bound_and_says_what_was_dropped(name):
    model, rows = case(name, weighted=True)
    bounds_from_below(Truncated(3), model, rows)


@pytest.mark.parametrize("width", [1, 3, 6])
@pytest.mark.parametrize("name", NAMES)
def test_it_never_descends(name, width):
    model, rows = case(name, seed=width, n=2400)
    never_descends(Truncated(width), replace(model, floor=Added(0.0)), rows)


def test_it_never_descends_in_large_tables():
    model, rows = many(k=60)
    never_descends(Truncated(8), replace(model, floor=Added(0.0)), rows, steps=15)


def test_few_candidates_reach_what_all_reach():
    model, rows = many(k=100, d=8, apart=8.0)
    dense = run(model, rows, Dense(), max_iter=40, tol=1e-4)
    fit = run(model, rows, Truncated(16), max_iter=40, tol=1e-4)
    assert fit.objective > dense.objective - 1e-3
    assert float(fit.notes[-1].split("held ")[1].split(" ")[0]) < 1e-3


# ---- what must not matter ------------------------------------------------------------------------
@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 7, 399, 5000])
def test_batches_and_threads_change_nothing(size, threads, monkeypatch):
    monkeypatch.setattr(among, "n_workers", lambda: threads)
    monkeypatch.setattr(parallel, "n_workers", lambda: threads)
    for name in ("full", "tied", "lowrank"):
        model, rows = case(name, weighted=True)
        one = run(model, rows, Truncated(4), max_iter=8, tol=0.0)
        other = run(model, rows, Truncated(4, batch_rows=size), max_iter=8, tol=0.0)
        assert_allclose(other.trace, one.trace, rtol=1e-10)
        assert_allclose(other.model.means, one.model.means, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing_in_large_tables(threads, monkeypatch):
    model, rows = many()
    one = run(model, rows, Truncated(8), max_iter=6, tol=0.0)
    monkeypatch.setattr(among, "n_workers", lambda: threads)
    other = run(model, rows, Truncated(8), max_iter=6, tol=0.0)
    assert_allclose(other.trace, one.trace, rtol=1e-10)
    assert_allclose(other.model.means, one.model.means, rtol=1e-8, atol=1e-9)


def test_rows_held_in_parts_change_nothing(monkeypatch):
    model, rows = case("full")
    one = passes(Truncated(4), model, rows, 3)
    monkeypatch.setattr(among, "HELD_ROWS", 64)
    for before, after in zip(one, passes(Truncated(4), model, rows, 3), strict=True):
        assert_allclose(after[1], before[1], rtol=1e-12)
        assert_allclose(after[0].second, before[0].second, rtol=1e-9, atol=1e-10)


def test_weights_are_repeated_rows():
    model, rows = case("full")
    counts = np.random.default_rng(0).integers(1, 4, rows.n)
    weighted = Rows(rows.x, counts.astype(float))
    repeated = Rows(np.repeat(rows.x, counts, axis=0))
    one = passes(Truncated(12), model, weighted, 3)
    other = passes(Truncated(12), model, repeated, 3)
    for left, right in zip(one, other, strict=True):
        assert_allclose(left[1], right[1], rtol=1e-10)
        assert_allclose(left[0].mass, right[0].mass, rtol=1e-8, atol=1e-10)


def test_draws_depend_on_the_seed_alone():
    model, rows = case("diag", k=40, n=800)
    first, again, other = (
        passes(Truncated(8, seed=seed), model, rows, 2)[-1][3].now.lists for seed in (0, 0, 1)
    )
    assert_array_equal(first, again)
    assert (first != other).any()


# ---- candidates ----------------------------------------------------------------------------------
def lists_are_lists(held, k, width):
    """Each list has distinct components, its own first; each row has an owner."""
    assert held.lists.shape == (k, min(width, k))
    assert_array_equal(held.lists[:, 0], np.arange(k))
    assert ((held.lists >= 0) & (held.lists < k)).all()
    assert (np.diff(np.sort(held.lists, axis=1), axis=1) > 0).all()
    assert ((held.owner >= 0) & (held.owner < k)).all()


@pytest.mark.parametrize("width", [1, 2, 4, 11, 12, 20])
def test_lists_stay_lists(width):
    model, rows = case("diag")
    for *_, memory in passes(Truncated(width), model, rows, 5):
        lists_are_lists(memory.now, 12, width)
        lists_are_lists(memory.before, 12, width)


def test_blocks_hold_every_row_once():
    labels = np.random.default_rng(0).integers(5, size=100).astype(np.int32)
    order, bounds = grouped_by(labels, 7)
    assert_array_equal(np.sort(order), np.arange(100))
    for j in range(7):
        assert_array_equal(order[bounds[j] : bounds[j + 1]], np.flatnonzero(labels == j))


def test_second_components_of_searched_rows_are_introduced():
    lists = np.array([[0, 1, 2, 3], [1, 0, 2, 3], [2, 0, 1, 3], *([j, 0, 1, 2] for j in (3, 4, 5))])
    held = hoods.Neighbourhoods(np.zeros(6, dtype=np.int32), lists.astype(np.int32))
    rows, first = np.arange(5), np.array([0, 0, 0, 1, 2])
    found = hoods.introduced(held, rows, first, np.array([4, 5, 5, 2, -1]), 1)
    assert_array_equal(found.owner, [0, 0, 0, 1, 2, 0])
    assert_array_equal(found.lists[0], [0, 1, 2, 5])  # what two rows ask for
    assert_array_equal(found.lists[1:], lists[1:])
    lists_are_lists(found, 6, 4)


def test_distant_rows_are_found_by_the_search():
    # Two groups of components far apart; the owners of some rows are in the wrong one.
    rng = np.random.default_rng(0)
    x, labels = clusters(rng, 2000, 20, 4)
    x = x + np.where(labels < 10, 0.0, 1e3)[:, None]
    rows = Rows(x)
    model = model_from_start(rows, labels, 20, structure("diag", None, 4), Added(1e-2))
    engine = Truncated(4)
    _, _, memory = engine.expect(model, rows)
    owner = memory.now.owner.copy()
    owner[::50] = (owner[::50] + 10) % 20
    lost = hoods.Neighbourhoods(owner, memory.now.lists)
    found = among.expectation(model, rows, lost)
    memory = replace(memory, now=lost, far=found.far, loglik=-np.inf)
    for _ in range(2):
        _, loglik, memory = engine.expect(model, rows, memory)
    assert loglik > found.loglik + 1e4
    assert_array_equal(memory.now.owner // 10, labels // 10)


# ---- where it stands in a fit --------------------------------------------------------------------
def test_components_that_are_dropped_or_moved_are_noticed():
    model, rows = case("diag")
    engine = Truncated(4)
    stats, _, memory = engine.expect(model, rows)
    model = model.maximise(stats)
    assert memory.serves(model, rows)
    fewer = model.take(np.arange(9))
    assert not memory.serves(fewer, rows)
    means = model.means.copy()
    means[3] += 100.0
    moved = replace(model, means=means)
    assert not memory.serves(moved, rows)
    assert not memory.serves(model, Rows(rows.x[:100]))
    for other in (fewer, moved):
        expects(engine, other, rows)
        _, loglik, after = engine.expect(other, rows, memory)
        assert_allclose(loglik, engine.expect(other, rows)[1], rtol=1e-12)
        assert after.passes == 1


def test_components_that_collapse_are_recovered():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.standard_normal((300, 2)), np.repeat([[9.0, 9.0]], 3, axis=0)])
    fit = mx.GaussianMixture(
        12, covariance_type="diag", reg_covar="auto", engine=Truncated(3), random_state=0
    ).fit(x)
    assert np.isfinite(fit.score(x))
    assert_allclose(fit.lower_bound_, fit.lower_bounds_[-1])


def test_the_estimator_reports_an_exact_log_likelihood():
    _, rows = case("full", k=8, n=600)
    fit = mx.GaussianMixture(8, engine=Truncated(3), random_state=0, max_iter=200).fit(rows.x)
    assert fit.converged_
    assert fit.lower_bound_ >= fit.lower_bounds_[-2]
    assert_allclose(fit.lower_bound_, fit.score(rows.x), atol=5e-3)  # of the last step's model
    assert any("3 of 8 components were evaluated per row" in note for note in fit.notes_)


def test_a_search_compares_exact_log_likelihoods():
    _, rows = case("diag", k=3, n=300)
    found = mx.GaussianMixture([6], engine=Truncated(2), random_state=0).fit(rows.x)
    trial = found.search_.trials[0]
    assert_allclose(trial.log_likelihood, found.score(rows.x), rtol=1e-9)


@pytest.mark.parametrize("precision", ["mixed", "single"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_precisions(precision, dtype):
    model, rows = many(dtype=dtype)
    double = run_in("double", model, Rows(rows.x.astype(float)), Truncated(8), max_iter=12)
    fit = run_in(precision, model, rows, Truncated(8), max_iter=12)
    assert_allclose(fit.objective, double.objective, atol=2e-3)
    assert np.isfinite(fit.model.means).all()


@pytest.mark.parametrize("name", ["diag", "full"])
def test_float32_rows_stay_so(name):
    model, rows = case(name, dtype=np.float32)
    expects(Truncated(4), model, rows, rtol=1e-5)
    assert rows.x.dtype == np.float32


def test_acceleration_goes_on_top():
    model, rows = case("full", n=3000, apart=2.0)
    model = replace(model, floor=Added(0.0))
    fit = run(model, rows, Truncated(4), max_iter=60, tol=1e-7, step=squarem_step)
    trace = np.array(fit.trace)
    assert fit.converged
    assert (np.diff(trace) >= -1e-9 * np.abs(trace[:-1])).all()
    plain = run(model, rows, Dense(), max_iter=400, tol=1e-7)
    assert fit.objective > plain.objective - 0.1


@pytest.mark.parametrize("given", ["noise", "gaps", "censored", "selection"])
def test_measured_rows_are_refused(given):
    x = np.random.default_rng(0).standard_normal((60, 2))
    how = {
        "noise": {"noise": 0.1},
        "gaps": {},
        "censored": {"censored": (None, 2.0)},
        "selection": {"selection": (-9.0, 9.0)},
    }[given]
    if given == "gaps":
        x[3, 1] = np.nan
    with pytest.raises(InputError, match="use engine='dense'"):
        mx.GaussianMixture(2, engine="truncated").fit(x, **how)


@pytest.mark.parametrize("wrong", [0, -3, 2.5, "8", None, True])
def test_bad_numbers_are_refused(wrong):
    with pytest.raises(InputError, match="expected candidates of Truncated"):
        Truncated(wrong)


def test_bad_options_are_refused():
    with pytest.raises(InputError, match="seed"):
        Truncated(8, seed=-1)
    with pytest.raises(InputError, match="batch_rows"):
        Truncated(8, batch_rows=0)
    with pytest.raises(ValueError, match="engine"):
        mx.GaussianMixture(2, engine="cut").fit(np.zeros((5, 2)))


# ---- auto ----------------------------------------------------------------------------------------
def test_auto_is_dense_where_that_is_cheap():
    model, rows = case("full")
    one = run(model, rows, Dense(), max_iter=5, tol=0.0)
    other = run(model, rows, Auto(), max_iter=5, tol=0.0)
    assert one.trace == other.trace
    assert other.notes == ()
    assert_array_equal(one.model.means, other.model.means)


def test_auto_says_that_it_truncates(monkeypatch):
    model, rows = many(n=17_000, k=60)
    monkeypatch.setattr(auto, "WORTH", 1)
    assert isinstance(auto.chosen(model, rows), Truncated)
    fit = run(model, rows, Auto(), max_iter=3, tol=0.0)
    assert fit.notes[-1].startswith("engine 'auto' chose truncated EM: 32 of 60 components")
    exact = Dense().expect(fit.model, rows)[1]
    assert_allclose(Auto().loglik(fit.model, rows), exact, rtol=1e-10)
    measured = mx.GaussianMixture(2, random_state=0).fit(rows.x[:50], noise=0.1)
    assert measured.notes_ == ()


# ---- liars ---------------------------------------------------------------------------------------
class _ForgetsTheLastBlock(Truncated):
    def _pass(self, model, rows, held):
        found = super()._pass(model, rows, held)
        stats = replace(found.stats, mass=np.where(np.arange(model.k) == 3, 0, found.stats.mass))
        return found._replace(stats=stats, loglik=found.loglik * 1.001)


class _SaysThatNothingWasDropped(Truncated):
    def finish(self, rows, memory):
        return 0.0, "0 nats: all were evaluated per row"


class _ClaimsMoreThanThereIs(Truncated):
    def _pass(self, model, rows, held):
        found = super()._pass(model, rows, held)
        return found._replace(loglik=found.loglik + 10.0 * rows.n)


class _LosesItsWay(Truncated):
    """Takes candidates at random, and never looks back."""

    def expect(self, model, rows, memory=None):
        if memory is not None:
            memory = replace(memory, loglik=-np.inf)
        stats, loglik, memory = super().expect(model, rows, memory)
        rng = np.random.default_rng(memory.passes)
        lists = rng.permuted(np.tile(np.arange(model.k, dtype=np.int32), (model.k, 1)), axis=1)
        now = hoods.Neighbourhoods(memory.now.owner, lists[:, : self.candidates].copy())
        return stats, loglik, replace(memory, now=now, far=None)


def test_a_pass_that_forgets_a_block_is_rejected():
    model, rows = case("full")
    for law, width in ((is_dense, 12), (expects, 4)):
        with pytest.raises(AssertionError):
            law(_ForgetsTheLastBlock(width), model, rows)


@pytest.mark.parametrize("liar", [_SaysThatNothingWasDropped, _ClaimsMoreThanThereIs])
def test_bounds_that_are_none_are_rejected(liar):
    model, rows = case("full")
    with pytest.raises(AssertionError):
        bounds_from_below(liar(2), model, rows)


def test_candidates_without_care_are_rejected():
    model, rows = case("spherical", n=2400)
    with pytest.raises(AssertionError):
        never_descends(_LosesItsWay(6), replace(model, floor=Added(1e-9)), rows, steps=5)


def test_lists_that_repeat_are_rejected():
    held = hoods.Neighbourhoods(np.zeros(3, dtype=np.int32), np.array([[0, 1], [1, 1]]))
    with pytest.raises(AssertionError):
        lists_are_lists(held, 2, 2)


# ---- forms of some components --------------------------------------------------------------------
def is_a_part(form, x, components):
    """The form of some components gives their columns of the whole form's log joints."""
    whole = form.log_joint(x.copy())
    part = form.among(components).log_joint(x.copy())
    assert part.shape == (len(x), len(components))
    assert_allclose(part, whole[:, components], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("guarded", [None, False, True])
@pytest.mark.parametrize("name", [*NAMES, "kronecker", "block", "positive"])
def test_forms_of_some_components_are_parts_of_the_whole(name, guarded):
    model, rows = case(name if name != "kronecker" else "full", d=4)
    if name == "kronecker":
        labels = np.arange(rows.n) % 12
        model = model_from_start(rows, labels, 12, structure(name, None, 4), Added(1e-2))
    const = np.linspace(-1.0, 1.0, 12)
    form = model.covariance.form(model.means, const, np.float64, guarded=guarded)
    for components in ([3], [7, 0, 11, 4], np.arange(12)[::-1]):
        is_a_part(form, rows.x, np.asarray(components))


def test_forms_that_rule_components_out_and_narrow_ones_have_parts():
    model, rows = case("full", d=3)
    scales = np.where(np.arange(12) == 5, 1e-4, 1.0)[:, None, None]
    covariance = FullCovariance(np.asarray(model.covariance.dense()) * scales**2)
    form = covariance.form(model.means + 30.0, np.zeros(12), np.float64)
    is_a_part(
        replace(form, narrow=np.array([5])) if isinstance(form, Partly) else form,
        rows.x,
        np.array([2, 5, 9]),
    )
    is_a_part(Chosen(form, np.arange(6)), rows.x, np.array([1, 4]))
    whole = covariance.form(model.means, np.zeros(12), np.float64)
    pruned = Pruned.of(
        whole, covariance, model.means, np.zeros(12), np.float64, np.eye(3)[:, :1], (1,)
    )
    part = pruned.among(np.array([2, 5])).log_joint(rows.x.copy())
    assert_allclose(part, whole.log_joint(rows.x)[:, [2, 5]], rtol=1e-9, atol=1e-9)


def test_a_form_that_gives_others_is_rejected():
    class Liar(Chosen):
        def among(self, components):
            return super().among(components[::-1])

    model, rows = case("full")
    form = model.covariance.form(model.means, np.zeros(12), np.float64)
    with pytest.raises(AssertionError):
        is_a_part(Liar(form, np.arange(12)), rows.x, np.array([1, 4]))
