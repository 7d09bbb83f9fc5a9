"""Full covariances of hundreds of columns, which a fit makes from moments to factors one by one."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from mixtura.arrays import linalg
from mixtura.arrays.linalg import congruent, rooted
from mixtura.covariance import Added, Clipped, Full
from mixtura.covariance.full import FullCovariance
from mixtura.covariance.substituted import Substituted
from mixtura.errors import NotPositiveDefiniteError
from mixtura.fit.recover import on_floor
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import Statistics

K, D = 3, linalg.LARGE + 5


@pytest.fixture(scope="module")
def factors():
    rng = np.random.default_rng(0)
    lower = np.tril(rng.normal(size=(K, D, D))) / np.sqrt(D)
    lower[:, np.arange(D), np.arange(D)] = rng.uniform(0.5, 2.0, (K, D))
    return lower


def moments(seed=1, n=900):
    """Statistics of rows about anchors of their own, and what they are made of."""
    rng = np.random.default_rng(seed)
    rows = [rng.normal(size=(n, D)) @ rng.normal(size=(D, D)) / np.sqrt(D) + 1 for _ in range(K)]
    anchor = rng.normal(size=(K, D))
    about = [x - a for x, a in zip(rows, anchor, strict=True)]
    upper = np.triu_indices(D)
    mass = np.full(K, float(n))
    first = np.stack([y.sum(axis=0) for y in about])
    second = np.stack([(y.T @ y)[upper] for y in about])
    stats = Statistics(mass, mass.copy(), first, second, anchor, FullMoments())
    return stats, np.stack([np.cov(x.T, bias=True) for x in rows])


@pytest.mark.parametrize("many", [True, False])
def test_products_of_factors(many, factors, monkeypatch):
    if not many:
        monkeypatch.setattr(linalg, "LARGE", D + 1)
    operator = np.random.default_rng(3).normal(size=(40, D))
    dense = np.stack([f @ f.T for f in factors])
    assert_allclose(rooted(factors), dense, rtol=1e-13, atol=1e-13)
    assert_allclose(
        rooted(factors, operator), operator @ dense @ operator.T, rtol=1e-11, atol=1e-11
    )
    assert_allclose(rooted(factors, operator), congruent(operator, dense), rtol=1e-11, atol=1e-11)
    assert_array_equal(rooted(factors, operator), rooted(factors, operator).swapaxes(1, 2))


def test_a_covariance_of_factors_is_that_of_its_matrices(factors):
    mine, other = FullCovariance.of_factors(factors), FullCovariance(rooted(factors))
    operator = np.random.default_rng(4).normal(size=(7, D))
    assert (mine.k, mine.d) == (other.k, other.d) == (K, D)
    assert_allclose(mine.logdet, other.logdet, rtol=1e-12)
    assert_allclose(mine.diagonal(), other.diagonal(), rtol=1e-13)
    image = mine.linear(operator).dense()
    assert_allclose(image, other.linear(operator).dense(), rtol=1e-11, atol=1e-11)
    assert_allclose(mine.take([2, 0]).logdet, other.logdet[[2, 0]], rtol=1e-12)
    assert "values" not in vars(mine)  # nothing so far has asked for the matrices
    assert_array_equal(mine.dense(), other.values)
    assert_array_equal(mine.parameters()["values"], other.values)
    assert not mine.values.flags.writeable and not mine.cholesky.flags.writeable
    with pytest.raises(AttributeError):
        mine.values = other.values


def test_factors_may_be_tensors(factors):
    torch = pytest.importorskip("torch")
    mine = FullCovariance.of_factors(torch.from_numpy(factors.copy()).requires_grad_())
    other = FullCovariance(rooted(factors))
    for name in ("diagonal", "dense"):
        found = getattr(mine, name)()
        assert found.requires_grad
        assert_allclose(found.detach().numpy(), getattr(other, name)(), rtol=1e-12, atol=1e-13)
    assert_allclose(mine.logdet.detach().numpy(), other.logdet, rtol=1e-12)


def test_a_covariance_says_what_it_is():
    assert repr(FullCovariance([[[2.0]]])) == "FullCovariance(values=array([[[2.]]]))"


def test_what_defines_a_covariance_is_not_forgotten(factors):
    by_factors, by_values = FullCovariance.of_factors(factors), FullCovariance(rooted(factors))
    for covariance in (by_factors, by_values):
        expected = covariance.logdet
        covariance.forget()
        assert "logdet" not in vars(covariance)
        assert_allclose(covariance.logdet, expected, rtol=1e-12)
        again = pickle.loads(pickle.dumps(covariance))
        assert_allclose(again.logdet, expected, rtol=1e-12)
        assert_allclose(again.dense(), rooted(factors), rtol=1e-12, atol=1e-13)
    assert_array_equal(by_factors.cholesky, factors)


def floors():
    scale = np.ones(D)
    return [Added(0.1), Clipped(scale, 1e-6), Clipped(scale, 0.05)]


@pytest.mark.parametrize("floor", floors(), ids=["added", "clipped", "clipped, binding"])
def test_a_fit_by_components_is_the_fit_of_all(floor):
    stats, expected = moments()
    found = Full().fit(stats, None, floor)
    assert_allclose(found.dense(), floor.matrices(expected.copy()), rtol=1e-9, atol=1e-10)
    assert "cholesky" in vars(found)
    liar = Full().fit(stats, None, Added(0.2)).dense()
    assert np.abs(liar - floor.matrices(expected.copy())).max() > 0.01


def test_singular_moments_of_a_wide_fit_are_refused():
    stats, _ = moments()
    stats.second[1] = 0.0
    with pytest.raises(NotPositiveDefiniteError, match="component 1"):
        Full().fit(stats, None, Added(0.0))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_substitution_stops_where_a_row_is_below_its_level(dtype, factors):
    rng = np.random.default_rng(6)
    means, const = rng.normal(size=(K, D)), rng.normal(size=K)
    form = Substituted.of(means, const, factors.astype(dtype))
    plain = FullCovariance(rooted(factors)).form(means, const, np.float64)
    x = (means[1] + rng.normal(size=(300, D)) @ factors[1].T).astype(dtype)
    exact = plain.one(x.astype(np.float64), 2)
    tight = 1e-9 if dtype == np.float64 else 1e-4
    assert_allclose(form.one(x, 2), exact, rtol=tight)
    for level in (
        np.full(len(x), -np.inf),
        np.median(exact) + rng.normal(size=len(x)),
        exact + 9e9,
    ):
        found = form.unless(x, 2, level.astype(dtype))
        above = exact > level
        assert_allclose(found[above], exact[above], rtol=tight)
        room = tight * np.abs(exact[~above])
        assert (found[~above] >= exact[~above] - room).all()
        assert (found[~above] <= level[~above] + room).all()
    assert (found > exact + 1).all()  # half of the columns were enough
    assert_allclose(form.among(np.array([2, 0])).one(x, 0), exact, rtol=tight)


def test_a_component_is_on_the_floor_where_its_least_eigenvalue_is():
    rng = np.random.default_rng(5)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    floor = Clipped(np.array([1.0, 2.0, 0.5, 1.0, 3.0, 1.0]), 1e-3)
    for least, there in ((1.0e-3, True), (1.005e-3, True), (1.02e-3, False), (1.0, False)):
        inner = (axes * np.array([least, 1, 2, 3, 4, 5])) @ axes.T
        covariance = FullCovariance((inner * floor.scale * floor.scale[:, None])[None])
        assert on_floor(covariance, floor) is there
