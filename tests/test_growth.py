"""Laws of what keeps truncated EM cheap as components grow: groups, lists, turns, and its account.

Oracles are searches over all pairs, loops over lists, and a count of every log joint and distance
that is evaluated. A liar takes what is near for what is far, or forgets to count.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp

from mixtura.arrays import compiled, lists, lists_plain
from mixtura.covariance import Added, structure
from mixtura.fit import among, coarse, everywhere, groups, moving, partition, run
from mixtura.fit.engines import Truncated, truncated
from mixtura.fit.everywhere import exact_loglik
from mixtura.fit.groups import Groups
from mixtura.fit.initialise import model_from_start
from mixtura.fit.model import GaussianModel
from mixtura.fit.nearest import lifted
from mixtura.fit.neighbourhoods import Neighbourhoods, improved
from mixtura.sources import Rows
from tests.laws.density import log_joint


def many(n=20_000, k=400, d=4, *, name="diag", seed=0, spread=3.0):
    """A model of many components and its rows."""
    rng = np.random.default_rng(seed)
    centres = spread * rng.standard_normal((k, d))
    labels = rng.integers(k, size=n)
    rows = Rows(centres[labels] + rng.standard_normal((n, d)))
    return model_from_start(rows, labels, k, structure(name, None, d), Added(1e-2)), rows


# ---- groups --------------------------------------------------------------------------------------
def parts(found, k, least):
    """Groups share the centres out, and know their own and enough others."""
    assert_array_equal(np.sort(np.concatenate(found.own)), np.arange(k))
    for own, near in zip(found.own, found.near, strict=True):
        assert np.isin(own, near).all()
        assert (np.diff(near) > 0).all()
        assert len(near) >= min(k, least)


def finds(kind, points, x, share):
    """So many rows find their nearest centre, and the others one that is hardly further."""
    rows = lifted(x, np.float64)
    label, met = kind.of(points).nearest(len(x), lambda places: rows[places])
    square = ((x[:, None] - points) ** 2).sum(axis=2)
    got, best = square[np.arange(len(x)), label], square.min(axis=1)
    assert np.mean(got <= best + 1e-9) >= share
    assert np.sqrt(got).mean() <= 1.01 * np.sqrt(best).mean()
    return met


@pytest.mark.parametrize(("k", "least"), [(1, 1), (256, 300), (257, 1), (700, 600), (2000, 128)])
def test_groups_are_groups(k, least):
    parts(Groups.of(np.random.default_rng(k).standard_normal((k, 3)), least), k, least)


def test_groups_of_equal_or_senseless_centres_are_groups():
    parts(Groups.of(np.ones((500, 2))), 500, 100)
    with np.errstate(all="ignore"):
        parts(Groups.of(np.full((500, 2), np.nan)), 500, 100)


@pytest.mark.parametrize(("k", "share"), [(3, 1.0), (256, 1.0), (1000, 0.97)])
def test_rows_find_what_is_near(k, share):
    rng = np.random.default_rng(0)
    points = 3 * rng.standard_normal((k, 4))
    x = points[rng.integers(k, size=3000)] + rng.standard_normal((3000, 4))
    met = finds(Groups, points, x, share)
    assert met == 3000 * k if k <= 256 else met < 3000 * 14 * np.sqrt(k)


class _LooksElsewhere(Groups):
    def nearest(self, n, rows):
        swapped = replace(self, near=self.near[::-1])
        return Groups.nearest(swapped, n, rows)


def test_groups_that_look_elsewhere_are_rejected():
    rng = np.random.default_rng(0)
    points = rng.standard_normal((1000, 4))
    with pytest.raises(AssertionError):
        finds(_LooksElsewhere, points, points[:100] + 0.01, 0.97)


def test_a_start_by_groups_leads_where_that_over_all_leads(monkeypatch):
    model, rows = many(k=800, spread=6.0)
    rough = run(model, rows, Truncated(16), max_iter=10, tol=0.0)
    monkeypatch.setattr(groups, "FEW", 10**6)
    whole = run(model, rows, Truncated(16), max_iter=10, tol=0.0)
    assert_allclose(rough.objective, whole.objective, atol=1e-3)


def test_lists_of_a_start_hold_what_is_likeliest():
    model, rows = many()
    held, _ = coarse.neighbourhoods(model, rows, 8)
    joint = model.kernel(np.float64)[1].log_joint(model.means - model.anchor)
    joint[np.arange(400), np.arange(400)] = np.inf
    best = np.argsort(-joint, axis=1)[:, :8]
    assert_array_equal(held.lists[:, 0], np.arange(400))
    assert np.mean([len(np.intersect1d(*two)) for two in zip(best, held.lists, strict=True)]) > 7.8


# ---- lists ---------------------------------------------------------------------------------------
def refreshed(module, case):
    """What a module makes of lists, shares, numbers to keep, and draws."""
    given, shares, kept, drawn = case
    ranked, out = np.empty((2, *given.shape), dtype=np.int32)
    module.ranked(given, shares.copy(), 2, len(given), ranked)
    module.refilled(ranked, kept, drawn, 2, len(given), out)
    return ranked[2:], out[2:]


def are_refreshed(module, case):
    """Lists stand by their shares; then they keep, take what is new, and fill up."""
    given, shares, kept, drawn = case
    for j, (ranked, out) in enumerate(zip(*refreshed(module, case), strict=True), start=2):
        order = sorted(range(1, given.shape[1]), key=lambda i, j=j: (-shares[j, i], i))
        assert ranked.tolist() == [given[j, 0], *given[j, order]]
        want = ranked[: kept[j]].tolist()
        for one in drawn[j].tolist():
            if one not in want and one not in ranked:
                want.append(one)
        want += ranked[kept[j] :].tolist()
        assert out.tolist() == want[: given.shape[1]]


def lists_case(k=40, width=8, seed=0):
    rng = np.random.default_rng(seed)
    given = rng.permuted(np.tile(np.arange(k), (k, 1)), axis=1)[:, :width]
    shares = np.round(rng.exponential(size=given.shape), 1)  # with ties
    kept, drawn = rng.integers(1, width + 1, k), rng.integers(k, size=(k, 5))
    return given.astype(np.int32), shares, kept, drawn.astype(np.int32)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("width", [1, 2, 8, 30])
@pytest.mark.parametrize("module", [lists, lists_plain])
def test_lists_are_refreshed(module, width, seed):
    are_refreshed(module, lists_case(width=width, seed=seed))


class _ForgetsTies:
    refilled = staticmethod(lists_plain.refilled)

    @staticmethod
    def ranked(given, shares, low, high, out):
        lists_plain.ranked(given[:, ::-1], shares[:, ::-1], low, high, out)
        out[low:high, 0] = given[low:high, 0]


def test_lists_out_of_order_are_rejected():
    with pytest.raises(AssertionError):
        are_refreshed(_ForgetsTies, lists_case())


def test_compiled_lists_are_the_plain_ones(monkeypatch):
    given, shares, *_ = lists_case(k=3000, width=16)
    held = Neighbourhoods(np.zeros(1000, dtype=np.int32), given)
    quick = improved(held, shares, held.owner, 4, 7)
    monkeypatch.setenv("MIXTURA_NUMBA", "0")
    assert_array_equal(quick.lists, improved(held, shares, held.owner, 4, 7).lists)


# ---- turns ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["diag", "full"])
def test_the_order_of_visits_changes_nothing(name):
    model, rows = many(k=60, name=name)
    held, _ = coarse.neighbourhoods(model, rows, 8)
    turn = np.random.default_rng(1).permutation(60)
    one = among.expectation(model, rows, replace(held, turn=None))
    other = among.expectation(model, rows, replace(held, turn=turn))
    assert_allclose(other.loglik, one.loglik, rtol=1e-12)
    assert_allclose(other.shares, one.shares, rtol=1e-9, atol=1e-9)
    assert_array_equal(other.best, one.best)
    theirs = other.stats.about(one.stats.anchor)
    assert_allclose(theirs.second, one.stats.second, rtol=1e-8, atol=1e-7)


def test_blocks_stand_in_turn():
    owner = np.random.default_rng(0).integers(5, size=100).astype(np.int32)
    turn = np.array([3, 1, 4, 0, 2])
    table = np.zeros((5, 2), dtype=np.int32)
    order, bounds = Neighbourhoods(owner, table, turn).blocks
    for b, j in enumerate(turn):
        assert_array_equal(order[bounds[b] : bounds[b + 1]], np.flatnonzero(owner == j))


# ---- the account ---------------------------------------------------------------------------------
class _Counting:
    """A form that tells how many log joints were asked of it."""

    def __init__(self, form, width, count):
        self._form, self._width, self._count = form, width, count

    def __getattr__(self, name):
        return getattr(self._form, name)

    def log_joint(self, x):
        self._count["pairs"] += len(x) * self._width
        return self._form.log_joint(x)

    def leading(self, x):
        return self.log_joint(x)

    def among(self, components):
        return _Counting(self._form.among(components), len(components), self._count)


def counting(monkeypatch):
    """A count of all log joints and distances from here on."""
    count, kernel, nearest = Counter(), GaussianModel.kernel, groups.nearest_of
    load = compiled.kernel

    def counted(model, dtype):
        compute, form = kernel(model, dtype)
        return compute, _Counting(form, model.k, count)

    def near(rows, centres):
        count["pairs"] += len(rows) * len(centres)
        return nearest(rows, centres)

    def loop(*given):
        count["pairs"] += (given[10] - given[9]) * given[4].shape[1]
        return load("blocks.diagonal")(*given)

    monkeypatch.setattr(GaussianModel, "kernel", counted)
    monkeypatch.setattr(groups, "nearest_of", near)
    monkeypatch.setattr(compiled, "kernel", lambda name: loop if "blocks" in name else load(name))
    return count


def accounts(engine, model, rows, count, between, steps=12):
    """Memory knows how many pairs were evaluated, besides those ``between`` groups."""
    memory = None
    for _ in range(steps):
        stats, _, memory = engine.expect(model, rows, memory)
        assert memory.pairs == count["pairs"] + between
        model = model.maximise(stats)
    return memory


@pytest.mark.parametrize(("name", "n"), [("full", 1200), ("diag", 1200), ("diag", 20_000)])
@pytest.mark.parametrize("few", [16, 256])
def test_every_pair_is_counted(name, n, few, monkeypatch):
    monkeypatch.setattr(groups, "FEW", few)
    model, rows = many(n, 100, name=name)
    between = len(Groups.of(model.means).own) ** 2 if few < 100 else 0
    count = counting(monkeypatch)
    memory = accounts(Truncated(4), model, rows, count, between)
    assert memory.pairs > 12 * 4 * rows.n


def test_pairs_of_a_fit_that_starts_again_are_counted_on(monkeypatch):
    model, rows = many(1200, 20)
    engine = Truncated(4)
    _, _, memory = engine.expect(model, rows)
    moved = replace(model, means=model.means + 100.0 * (np.arange(20) == 3)[:, None])
    *_, after = engine.expect(moved, rows, memory)
    *_, alone = engine.expect(moved, rows)
    assert after.pairs == memory.pairs + alone.pairs


class _DoesNotCountSearches(Truncated):
    def _searched(self, *given):
        return (*super()._searched(*given)[:2], 0)


def test_an_account_without_searches_is_rejected(monkeypatch):
    model, rows = many(1200, 100, name="full")
    count = counting(monkeypatch)
    with pytest.raises(AssertionError):
        accounts(_DoesNotCountSearches(4), model, rows, count, 0)


# ---- k-means of many centres ---------------------------------------------------------------------
def splits_as_well(x, k, monkeypatch, found=Groups):
    """k-means by groups errs hardly more than over all centres, and leaves no centre idle."""
    errors = []
    for many in (10**9, 300):
        for module in (moving, partition):
            monkeypatch.setattr(module, "MANY", many)
            monkeypatch.setattr(module, "Groups", found)
        label = partition.partition(x, None, k, np.random.default_rng(0), draw=40 * k)
        mass = np.bincount(label, minlength=k)
        assert (mass > 0).all()
        means = np.stack([np.bincount(label, column, k) for column in x.T], axis=1) / mass[:, None]
        errors.append(((x - means[label]) ** 2).sum(axis=1).mean())
    assert errors[1] < 1.02 * errors[0]


def test_kmeans_of_many_centres_is_as_good(monkeypatch):
    _, rows = many(k=400, spread=2.0)
    splits_as_well(rows.x, 400, monkeypatch)


class _SeesTooFew(Groups):
    def meet(self, n, rows, visit):
        return Groups.meet(replace(self, near=[near[:2] for near in self.near]), n, rows, visit)


def test_kmeans_that_sees_too_few_centres_is_rejected(monkeypatch):
    _, rows = many(k=400, spread=2.0)
    with pytest.raises(AssertionError):
        splits_as_well(rows.x, 400, monkeypatch, _SeesTooFew)


# ---- the exact end -------------------------------------------------------------------------------
def is_exact(find, case, rtol):
    """The log-likelihood over all components, whoever owns the rows."""
    model, rows, held = case
    joint = log_joint(model.mixture(), rows.x.astype(np.float64))
    weight = np.ones(rows.n) if rows.weight is None else rows.weight
    assert_allclose(find(model, rows, held), weight @ logsumexp(joint, axis=1), rtol=rtol)


def ended(name="diag", owners="near", dtype=np.float64, spread=3.0):
    """A model, weighted rows, a few of them far out, and blocks of rows."""
    model, rows = many(4000, 300, name=name, spread=spread)
    rng = np.random.default_rng(1)
    x = rows.x.copy()
    x[::500] *= 30.0
    rows = Rows(x.astype(dtype), rng.uniform(0.5, 2.0, len(x)))
    held, _ = coarse.neighbourhoods(model, rows, 6)
    if owners == "random":
        held = replace(held, owner=rng.integers(300, size=len(x)).astype(np.int32))
    return model, rows, held


@pytest.mark.parametrize("owners", ["near", "random"])
@pytest.mark.parametrize("spread", [0.1, 3.0])
@pytest.mark.parametrize("name", ["diag", "spherical", "full"])
def test_the_end_is_exact(name, spread, owners):
    is_exact(exact_loglik, ended(name, owners, spread=spread), 1e-11)


@pytest.mark.parametrize("owners", ["near", "random"])
def test_the_end_is_exact_in_single_precision(owners):
    is_exact(exact_loglik, ended(owners=owners, dtype=np.float32), 1e-5)


def test_the_end_meets_few_components(monkeypatch):
    model, rows, held = ended(spread=8.0)
    load, met = compiled.kernel, []

    def counted(name):
        def loop(*given):
            loglik = load(name)(*given)
            met.append(int(given[-1][0]))
            return loglik

        return loop

    monkeypatch.setattr(compiled, "kernel", counted)
    is_exact(exact_loglik, (model, rows, held), 1e-11)
    assert rows.n * 6 < sum(met) < rows.n * 300 / 3


def _leaves_out_too_many(model, rows, held):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(everywhere, "NEGLIGIBLE", {np.dtype(np.float64): 10.0 * model.k})
        return exact_loglik(model, rows, held)


def test_an_end_that_leaves_out_too_many_is_rejected():
    with pytest.raises(AssertionError):
        is_exact(_leaves_out_too_many, ended(spread=1.0), 1e-11)


def test_what_is_compiled_ahead_is_what_is_called(monkeypatch):
    from numba import typeof
    from numba.core.sigutils import normalize_signature

    load, called = compiled.kernel, {}

    def seen(name):
        def loop(*given):
            called[name] = tuple(map(typeof, given))
            return load(name)(*given)

        return loop if name in among.LOOPS else load(name)

    model, rows = many()
    monkeypatch.setattr(truncated, "warm", lambda *given: None)
    monkeypatch.setattr(compiled, "kernel", seen)
    _, _, memory = Truncated(8).expect(model, rows)
    Truncated(8).finish(rows, memory)
    for name in among.LOOPS:
        module, function = name.split(".")
        ahead = import_module(f"mixtura.arrays.{module}").SIGNATURES[function]
        ahead = ahead["f8 in f8"] if isinstance(ahead, dict) else ahead[0]
        assert called[name] == normalize_signature(ahead)[0]


# ---- rows that do not count ----------------------------------------------------------------------
def steps(engine, model, rows, count=6):
    """The trace and the last model of some steps."""
    memory, trace = None, []
    for _ in range(count):
        stats, loglik, memory = engine.expect(model, rows, memory)
        trace.append(loglik)
        model = model.maximise(stats)
    return np.array(trace), model


class _SearchesForAll(Truncated):
    """Spends its search on rows of weight 0."""

    def _searched(self, model, rows, held, far):
        return super()._searched(model, replace(rows, weight=None), held, far)


def test_rows_of_weight_zero_take_no_part_in_the_search():
    model, rows = many(3000, 150, 5)
    far = Rows(
        np.concatenate([rows.x, 40.0 + rows.x[:1500]]),
        np.concatenate([np.ones(3000), np.zeros(1500)]),
    )

    def agree(engine):
        one, first = steps(engine, model, rows)
        other, second = steps(engine, model, far)
        assert_allclose(other, one, rtol=1e-9)
        assert_allclose(second.means, first.means, rtol=1e-6, atol=1e-6)

    agree(Truncated(6))
    with pytest.raises(AssertionError):
        agree(_SearchesForAll(6))
