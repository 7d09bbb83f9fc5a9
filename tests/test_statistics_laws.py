"""Sufficient statistics of every kind that a structure asks for: they add, whatever the anchor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given

from mixtura.covariance import Added
from mixtura.fit.model import gather
from mixtura.statistics import Full, Statistics, Trace
from tests.laws import statistics as laws
from tests.laws.cases import RULES, Case, cases, clusters, covariance_of, lying, structure_of

PLAIN = Case(seed=3, k=3, d=4)
#: Structures, with "start" where the fit has not yet a covariance.
KINDS = [(name, begun) for name in RULES for begun in (False, True)]


def kind_of(name, begun, rng, k, d):
    previous = covariance_of(name, rng, k, d) if begun else None
    return structure_of(name, d).kind(previous, d)


def rows_of(rng, k, d, n=23):
    x, _ = clusters(rng, n, k, d)
    return x, rng.dirichlet(np.ones(k), n) * rng.uniform(0.2, 2.0, (n, 1))


def stats_of(kind, x, resp, anchor, own=None):
    """Statistics about ``anchor`` (d,), or about a point for each component."""
    return gather(x - anchor, resp, kind, anchor, None if own is None else own - anchor)


@pytest.mark.parametrize(("name", "begun"), KINDS)
@given(case=cases())
def test_kinds_gather_moments(name, begun, case):
    rng = case.rng
    kind = kind_of(name, begun, rng, case.k, case.d)
    laws.gathering(kind, *rows_of(rng, case.k, case.d))
    laws.crossing(kind, *rng.standard_normal((2, case.k, case.d)))


@pytest.mark.parametrize(("name", "begun"), KINDS)
@given(case=cases())
def test_statistics_describe_rows(name, begun, case):
    rng = case.rng
    kind = kind_of(name, begun, rng, case.k, case.d)
    x, resp = rows_of(rng, case.k, case.d)
    anchor, own = rng.standard_normal(case.d), rng.standard_normal((case.k, case.d))
    laws.describing(stats_of(kind, x, resp, anchor), x, resp)
    laws.describing(stats_of(kind, x, resp, anchor, own), x, resp)


@pytest.mark.parametrize(("name", "begun"), KINDS)
@given(case=cases())
def test_statistics_add_whatever_the_anchors(name, begun, case):
    rng = case.rng
    kind = kind_of(name, begun, rng, case.k, case.d)
    x, resp = rows_of(rng, case.k, case.d)
    one, other = 3 * rng.standard_normal((2, case.d))
    own = rng.standard_normal((case.k, case.d))
    both = stats_of(kind, x, resp, one)
    left = stats_of(kind, x[:9], resp[:9], one)
    laws.adding(both, left, stats_of(kind, x[9:], resp[9:], one))
    laws.adding(both, left, stats_of(kind, x[9:], resp[9:], other))
    laws.adding(both, left, stats_of(kind, x[9:], resp[9:], one, own))
    laws.adding(
        both, stats_of(kind, x[:9], resp[:9], other, own), stats_of(kind, x[9:], resp[9:], one)
    )


@pytest.mark.parametrize(("name", "begun"), KINDS)
@given(case=cases())
def test_anchors_and_factors(name, begun, case):
    rng = case.rng
    kind = kind_of(name, begun, rng, case.k, case.d)
    x, resp = rows_of(rng, case.k, case.d)
    stats = stats_of(kind, x, resp, np.zeros(case.d))
    laws.moving(stats, 3 * rng.standard_normal((1, case.d)))
    laws.moving(stats, 3 * rng.standard_normal((case.k, case.d)))
    laws.scaling(stats, 2.5)
    laws.absorbing(stats, stats_of(kind, x, resp, rng.standard_normal(case.d)))


def test_far_data_keep_their_digits():
    # About an anchor nearby, a spread of 1 at an offset of 1e12 is all there; about 0 it is lost.
    rng = np.random.default_rng(0)
    x = 1e12 + rng.standard_normal((50, 2))
    stats = stats_of(Full(), x, np.ones((50, 1)), np.full(2, 1e12))
    laws.close(stats.spread()[0], np.cov((x - 1e12).T, bias=True), 1e-12)


# ---- liars -------------------------------------------------------------------------------------
def _add_without_anchors(self, other):
    return replace(
        self,
        mass=self.mass + other.mass,
        weight=self.weight + other.weight,
        first=self.first + other.first,
        second=self.second + other.second,
    )


def _about_without_last_term(self, anchor):
    delta = np.broadcast_to(anchor - self.anchor, self.first.shape)
    return replace(
        self,
        first=self.first - self.weight[:, None] * delta,
        second=self.second - 2 * self.kind.cross(delta, self.first),
        anchor=anchor,
    )


def _central_by_n_minus_one(self):
    honest = Statistics.central(self)
    return honest * self.mass.sum() / (self.mass.sum() - 1)


class _TraceOfTheFirstColumn(Trace):
    def phi(self, x):
        return x[:, :1] ** 2


class _FullWithoutTheHalf(Full):
    def cross(self, u, v):
        return 2 * Full.cross(self, u, v)


class _ProductInPlace(Trace):
    def gather(self, resp, x):
        return super().gather(resp[:-1], x[:-1])


@pytest.fixture
def plain():
    x, resp = rows_of(PLAIN.rng, PLAIN.k, PLAIN.d)
    return x, resp, Full()


def test_liars_about_addition_are_rejected(plain):
    x, resp, kind = plain
    both = stats_of(kind, x, resp, np.zeros(4))
    left = stats_of(kind, x[:9], resp[:9], np.zeros(4))
    right = stats_of(kind, x[9:], resp[9:], np.ones(4))
    laws.adding(both, left, right)
    lie = {"__add__": _add_without_anchors}
    with pytest.raises(AssertionError):
        laws.adding(both, lying(left, **lie), lying(right, **lie))


@pytest.mark.parametrize(
    ("law", "argument", "lies"),
    [
        (laws.moving, np.ones((1, 4)), {"about": _about_without_last_term}),
        (
            laws.scaling,
            2.0,
            {"__rmul__": lambda self, factor: replace(self, mass=factor * self.mass)},
        ),
        (laws.scaling, 2.0, {"central": lambda self: self.second / 23}),
    ],
)
def test_liars_about_anchors_and_factors_are_rejected(plain, law, argument, lies):
    x, resp, kind = plain
    stats = stats_of(kind, x, resp, np.zeros(4))
    law(stats, argument)
    with pytest.raises(AssertionError):
        law(lying(stats, **lies), argument)


def test_liar_who_absorbs_without_anchors_is_rejected(plain):
    x, resp, kind = plain
    left, right = stats_of(kind, x, resp, np.zeros(4)), stats_of(kind, x, resp, np.ones(4))

    def absorb(self, other):
        for name in ("mass", "weight", "first", "second"):
            getattr(self, name)[...] += getattr(other, name)
        return self

    with pytest.raises(AssertionError):
        laws.absorbing(lying(left, absorb=absorb), right)


def test_liar_who_divides_by_n_minus_one_is_rejected(plain):
    x, resp, kind = plain
    stats = stats_of(kind, x, resp, np.zeros(4))
    laws.describing(stats, x, resp)
    with pytest.raises(AssertionError):
        laws.describing(lying(stats, central=_central_by_n_minus_one), x, resp)


@pytest.mark.parametrize(
    "kind", [_TraceOfTheFirstColumn(), _FullWithoutTheHalf(), _ProductInPlace()]
)
def test_lying_kinds_are_rejected(plain, kind, monkeypatch):
    x, resp, _ = plain
    monkeypatch.setitem(laws.ORACLES, type(kind), laws.ORACLES[type(kind).__base__])
    with pytest.raises(AssertionError):
        laws.gathering(kind, x, resp)


def test_crossing_rejects_a_liar(monkeypatch):
    monkeypatch.setitem(laws.ORACLES, _FullWithoutTheHalf, laws.ORACLES[Full])
    u, v = PLAIN.rng.standard_normal((2, 3, 4))
    laws.crossing(Full(), u, v)
    with pytest.raises(AssertionError):
        laws.crossing(_FullWithoutTheHalf(), u, v)


def test_empty_components_have_finite_means():
    # A mass of zero is guarded as scikit-learn guards it, so that no NaN enters a fit.
    x = np.array([[1.0, 2.0], [3.0, 5.0]])
    resp = np.array([[1.0, 0.0], [1.0, 0.0]])
    stats = gather(x, resp, structure_of("full", 2).kind(None, 2), np.zeros(2))
    assert np.isfinite(stats.means()).all()
    fitted = structure_of("full", 2).fit(stats, None, Added(1e-6))
    assert np.isfinite(fitted.dense()).all()
