"""Distances, divergences, transport, barycentres and matching of mixtures."""

from __future__ import annotations

import os
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from scipy.linalg import expm, logm

import mixtura as mx
from mixtura import Mixture
from mixtura.covariance import bures_mean, log_euclidean_mean
from mixtura.mixture.divergence import Estimate
from mixtura.mixture.pairs import squared_wasserstein
from tests.laws import distance as laws
from tests.laws.cases import NAMES, Case, cases, mixture_of, random_covariance_matrix

SLICED = {"n_projections": 20, "rng": 3}


def mmd(p, q):
    return mx.mmd(p, q, 0.8)


def sliced(p, q):
    return mx.sliced_wasserstein(p, q, **SLICED).estimate


DISTANCES = {"l2": mx.l2, "mmd": mmd, "wasserstein": mx.wasserstein, "sliced": sliced}


def three(name, case):
    rng = case.rng
    return [mixture_of(name, rng, 1 + (case.k + i) % 4, case.d) for i in range(3)]


# ---- distances -----------------------------------------------------------------------------------
@pytest.mark.parametrize("law", laws.METRIC_LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("distance", DISTANCES.values(), ids=DISTANCES)
@pytest.mark.parametrize("name", NAMES)
def test_metric_law(name, distance, law):
    law(distance, *three(name, Case(seed=3, k=2, d=2)))


@pytest.mark.parametrize("law", laws.METRIC_LAWS, ids=lambda law: law.__name__)
@settings(max_examples=5)
@given(case=cases(max_d=5))
def test_metric_law_at_random(law, case):
    law(mx.l2, *three("full", case))
    law(mx.wasserstein, *three("full", case))


@pytest.mark.parametrize(
    ("distance", "scaled"),
    [
        (lambda p, q, c: mx.l2(p, q), lambda d, c: d / c),  # c^(−d/2) in two columns
        (lambda p, q, c: mx.mmd(p, q, c), lambda d, c: d),
        (lambda p, q, c: mx.wasserstein(p, q), lambda d, c: d * c),
        (lambda p, q, c: sliced(p, q), lambda d, c: d * c),
    ],
    ids=list(DISTANCES),
)
def test_scaling(distance, scaled, rng):
    laws.scaling(distance, scaled, mixture_of("full", rng, 3, 2), mixture_of("full", rng, 2, 2))


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_quadrature(name, d, rng):
    p, q = mixture_of(name, rng, 2, d), mixture_of(name, rng, 3, d)
    laws.l2_by_quadrature(mx.l2, p, q)
    laws.kl_by_quadrature(partial(mx.kl, rng=1), p, q)
    laws.entropy_by_quadrature(partial(mx.entropy, rng=1), p)
    if d == 1:
        laws.mmd_by_quadrature(mx.mmd, p, q, 0.7)
        laws.line_transport(sliced, p, q)


def test_structures_mix(rng):
    for name in NAMES:
        p, q = mixture_of(name, rng, 2, 3), mixture_of("full", rng, 3, 3)
        dense = Mixture(p.weights, p.means, p.covariance.dense())
        for distance in DISTANCES.values():
            assert_allclose(distance(p, q), distance(dense, q), rtol=1e-8)
        assert_allclose(mx.kl(p, q, rng=0)[2:], mx.kl(dense, q, rng=0)[2:], rtol=1e-6)
        assert mx.wasserstein(p, dense) < 1e-6


def test_wasserstein_is_an_upper_bound(rng):
    for _ in range(5):
        p, q = mixture_of("full", rng, 3, 1), mixture_of("full", rng, 4, 1)
        assert mx.wasserstein(p, q) >= sliced(p, q) * (1 - 1e-3)


def test_sliced_of_shifted_gaussians():
    # (θᵀ δ)² averages to ‖δ‖² / d over the sphere.
    p = Mixture([1.0], [[0.0, 0.0, 0.0]], [1.0])
    q = Mixture([1.0], [[3.0, 0.0, 0.0]], [1.0])
    answer = mx.sliced_wasserstein(p, q, 2000, rng=0)
    assert abs(answer.estimate - np.sqrt(3)) < 5 * answer.se
    again = [mx.sliced_wasserstein(p, q, 50, rng=i) for i in range(60)]
    spread = np.std([a.estimate for a in again])
    assert_allclose(np.mean([a.se for a in again]), spread, rtol=0.35)


def test_far_apart_and_extreme(rng):
    p = Mixture([0.5, 0.5], [[0.0], [1.0]], [1e-4, 1e-4])
    q = Mixture([0.5, 0.5], [[1e6], [2e6]], [1e-4, 1e-4])
    assert np.isfinite([*mx.kl(p, q, rng=0), mx.l2(p, q)]).all()
    assert_allclose(mx.wasserstein(p, q), np.sqrt((1e12 + (2e6 - 1) ** 2) / 2), rtol=1e-9)
    many = mixture_of("diag", rng, 3, 400)
    assert np.isfinite(mx.l2(many, many.blur(0.1)))
    assert 0 < mx.mmd(many, many.blur(0.1), 20.0) < np.sqrt(2)
    shifted = p.affine([[1.0]], [1e8])
    assert_allclose(mx.wasserstein(p, shifted), 1e8, rtol=1e-12)


def test_weight_zero_is_absent(rng):
    p = mixture_of("full", rng, 3, 2)
    q = Mixture([*p.weights, 0.0], np.vstack([p.means, [[9.0, 9.0]]]), np.eye(2)[None].repeat(4, 0))
    bare = Mixture(p.weights, p.means, np.eye(2)[None].repeat(3, 0))
    for distance in DISTANCES.values():
        assert distance(q, bare) == 0
        assert_allclose(distance(q, p), distance(bare, p), rtol=1e-9)
    assert_allclose(mx.kl(q, p, rng=0).upper, mx.kl(bare, p, rng=0).upper, rtol=1e-9)
    assert_allclose(mx.entropy(q, rng=0).lower, mx.entropy(bare, rng=0).lower, rtol=1e-9)


# ---- divergence ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(case=cases(max_k=1))
def test_kl_of_gaussians(name, case):
    rng = case.rng
    laws.kl_of_gaussians(mx.kl, mixture_of(name, rng, 1, case.d), mixture_of(name, rng, 1, case.d))


@settings(max_examples=15)
@given(case=cases(max_k=4, max_d=1))
def test_bounds_hold_in_one_column(case):
    rng = case.rng
    p, q = mixture_of("full", rng, case.k, 1), mixture_of("full", rng, 1 + case.k % 3, 1)
    for close in (q, Mixture(p.weights[::-1], p.means, p.covariance), p.blur(0.05)):
        laws.kl_by_quadrature(partial(mx.kl, n_samples=2000, rng=1), p, close)
    laws.entropy_by_quadrature(partial(mx.entropy, n_samples=2000, rng=1), p)


def test_bounds_hold_in_two_columns(rng):
    p, q = mixture_of("full", rng, 4, 2), mixture_of("full", rng, 3, 2)
    laws.kl_by_draws(partial(mx.kl, rng=1), p, q)
    laws.kl_by_draws(partial(mx.kl, rng=1), q, p.blur(0.1))


def test_bounds_are_tight_where_components_are_far_apart():
    means = [[0.0], [100.0], [200.0]]
    p, q = Mixture([1, 2, 3], means, [1.0] * 3), Mixture([3, 2, 1], means, [1.0] * 3)
    answer, w, v = mx.kl(p, q, rng=0), p.weights, q.weights
    assert_allclose([answer.lower, answer.upper], np.sum(w * np.log(w / v)), atol=1e-9)
    single = 0.5 * np.log(2 * np.pi * np.e)
    assert_allclose(mx.entropy(p, rng=0)[2:], single - np.sum(w * np.log(w)), atol=1e-9)


def test_kl_with_itself(rng):
    p = mixture_of("full", rng, 3, 2)
    assert mx.kl(p, laws.split(p), rng=0) == (0, 0, 0, 0)
    near = mx.kl(p, p.blur(1e-12), rng=0)
    assert near.lower == 0 and near.upper < 1e-9


def test_methods_are_the_functions(rng):
    p, q = mixture_of("full", rng, 3, 2), mixture_of("full", rng, 2, 2)
    assert p.l2(q) == mx.l2(p, q) and p.mmd(q, 0.5) == mx.mmd(p, q, 0.5)
    assert p.wasserstein(q) == mx.wasserstein(p, q)
    assert p.kl(q, rng=0) == mx.kl(p, q, rng=0) and p.entropy(rng=0) == mx.entropy(p, rng=0)
    assert p.sliced_wasserstein(q, rng=0) == mx.sliced_wasserstein(p, q, rng=0)


# ---- transport -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(case=cases(max_d=4))
def test_geodesics(name, case):
    p, q, _ = three(name, case)
    laws.endpoints(mx.geodesic, p, q)
    laws.constant_speed(mx.geodesic, mx.wasserstein, p, q)
    assert mx.geodesic(p, q, 0.4).k < p.k + q.k


def test_geodesics_keep_their_structure(rng):
    for name in ("spherical", "diag", "full", "tied"):
        p, q = mixture_of(name, rng, 2, 3), mixture_of(name, rng, 3, 3)
        assert mx.geodesic(p, q, 0.5).covariance.name == p.covariance.name


@pytest.mark.parametrize("name", ["spherical", "diag", "full", "lowrank"])
def test_barycenters(name, rng):
    parts = [mixture_of(name, rng, k, 2) for k in (2, 3, 2)]
    weights = [0.5, 0.2, 0.3]
    laws.centre(mx.barycenter, mx.wasserstein, parts, weights)
    p, q, _ = parts
    laws.same_density(mx.barycenter([p, q], [0.3, 0.7]), mx.geodesic(p, q, 0.7))
    laws.same_density(mx.barycenter([p, q, q], [1, 1, 1]), mx.geodesic(p, q, 2 / 3))
    assert mx.barycenter([p, q], [1, 0]) is p
    dense = [Mixture(m.weights, m.means, m.covariance.dense()) for m in parts]
    laws.same_density(mx.barycenter(parts, weights), mx.barycenter(dense, weights))


def test_barycenter_of_gaussians_in_one_column():
    parts = [Mixture([1.0], [[m]], [s**2]) for m, s in ((0.0, 1.0), (3.0, 2.0), (9.0, 6.0))]
    middle = mx.barycenter(parts)
    assert_allclose([middle.means[0, 0], middle.cov[0, 0]], [4.0, 9.0])


def test_pot_agrees(rng):
    os.environ.setdefault("POT_BACKEND_DISABLE_PYTORCH", "1")
    reason = "POT is the oracle of transport; pip install POT"
    ot = pytest.importorskip("ot", reason=reason)
    gmm = pytest.importorskip("ot.gmm", reason=reason)
    for k in (3, 4):
        p, q = mixture_of("full", rng, 3, 3), mixture_of("full", rng, k, 3)
        sides = (p.means, q.means, p.covariance.dense(), q.covariance.dense())
        squared = gmm.dist_bures_squared(*sides)
        assert_allclose(squared_wasserstein(p, q), squared, rtol=1e-8)
        loss = gmm.gmm_ot_loss(*sides, p.weights, q.weights)
        assert_allclose(mx.wasserstein(p, q) ** 2, loss, rtol=1e-7)
    matrices = np.stack([random_covariance_matrix(rng, 3) for _ in range(4)])
    weights = np.array([0.1, 0.2, 0.3, 0.4])
    _, expected = ot.gaussian.bures_wasserstein_barycenter(
        np.zeros((4, 3)), matrices, weights, num_iter=10_000, eps=1e-12
    )
    assert_allclose(bures_mean(matrices, weights), expected, rtol=1e-7)


# ---- covariances ---------------------------------------------------------------------------------
@pytest.mark.parametrize("d", [1, 2, 5])
def test_bures(d, rng):
    a, b = random_covariance_matrix(rng, d), random_covariance_matrix(rng, d)
    laws.bures_by_roots(mx.bures, a, b)
    laws.bures_of_neighbours(mx.bures, a)
    laws.bures_of_singular(mx.bures, rng)
    assert mx.bures(np.stack([a, b]), b).shape == (2,)
    p, q = Mixture([1.0], [np.zeros(d)], a[None]), Mixture([1.0], [np.ones(d)], b[None])
    assert_allclose(mx.bures(p, q), np.hypot(mx.bures(a, b), np.sqrt(d)))


@pytest.mark.parametrize("d", [1, 2, 5])
def test_averages_of_covariances(d, rng):
    matrices = [random_covariance_matrix(rng, d) for _ in range(4)]
    weights = [0.1, 0.2, 0.3, 0.4]
    laws.bures_means(bures_mean, matrices, weights)
    logs = sum(w * logm(m) for w, m in zip(weights, matrices, strict=True))
    assert_allclose(log_euclidean_mean(matrices, weights), expm(logs), rtol=1e-8)
    assert_allclose(bures_mean(matrices[:1]), matrices[0], rtol=1e-12)
    line = np.zeros((d, d))
    line[0, 0] = 4.0
    assert_allclose(bures_mean([line, np.zeros((d, d))]), line / 4, atol=1e-12)


# ---- liars ---------------------------------------------------------------------------------------
def _by_position(p, q):
    """Components compared as they are numbered."""
    k = min(p.k, q.k)
    gap = np.diag(squared_wasserstein(p, q)[:k, :k])
    return float(np.sqrt(p.weights[:k] @ gap))


LIARS = {
    laws.symmetric: lambda p, q: mx.kl(p, q, rng=0).upper,
    laws.zero_at_self: lambda p, q: mx.l2(p, q) + 1e-12,
    laws.representation_free: _by_position,
    laws.triangle: lambda p, q: mx.wasserstein(p, q) ** 2,
    laws.shift_free: lambda p, q: abs(np.linalg.norm(p.mean) - np.linalg.norm(q.mean)),
}


@pytest.mark.parametrize("law", laws.METRIC_LAWS, ids=lambda law: law.__name__)
def test_liar_about_distance_is_rejected(law, rng):
    parts = [mixture_of("full", rng, k, 2) for k in (2, 3, 2)]
    with pytest.raises(AssertionError):
        law(LIARS[law], *parts)


def test_squared_l2_is_rejected(rng):
    p, q, r = (mixture_of("full", rng, 2, 2) for _ in range(3))
    with pytest.raises(AssertionError):
        laws.triangle(lambda a, b: mx.l2(a, b) ** 2, p, q, r)


def test_liars_about_closed_forms_are_rejected(rng):
    p, q = mixture_of("full", rng, 2, 1), mixture_of("full", rng, 3, 1)
    with pytest.raises(AssertionError):
        laws.l2_by_quadrature(lambda p, q: mx.l2(p.blur(1e-3), q), p, q)
    with pytest.raises(AssertionError):
        laws.mmd_by_quadrature(lambda p, q, h: mx.mmd(p, q, h * 2**0.5), p, q, 0.7)
    with pytest.raises(AssertionError):
        laws.line_transport(mx.wasserstein, p, q)
    with pytest.raises(AssertionError):
        laws.scaling(lambda p, q, c: mx.wasserstein(p, q), lambda d, c: d, p, q)


def test_the_variational_approximation_is_no_bound():
    # Above the divergence for one pair, below it for another.
    one, two = Mixture([1.0], [[0.0]], [1.0]), Mixture([0.5, 0.5], [[-0.7], [0.7]], [0.5, 0.5])
    for p, q in ((one, two), (two, one)):
        laws.kl_by_quadrature(partial(mx.kl, rng=0), p, q)

    def as_lower(p, q):
        value = laws.variational_approximation(p, q)
        return Estimate(value, 1.0, value, np.inf)

    def as_upper(p, q):
        value = laws.variational_approximation(p, q)
        return Estimate(value, 1.0, -np.inf, value)

    with pytest.raises(AssertionError):
        laws.kl_by_quadrature(as_lower, one, two)
    with pytest.raises(AssertionError):
        laws.kl_by_quadrature(as_upper, two, one)


def test_liars_about_divergence_are_rejected(rng):
    p, q = mixture_of("full", rng, 1, 2), mixture_of("full", rng, 1, 2)
    with pytest.raises(AssertionError):
        laws.kl_of_gaussians(lambda p, q: mx.kl(q, p), p, q)
    p, q = mixture_of("full", rng, 3, 2), mixture_of("full", rng, 2, 2)
    with pytest.raises(AssertionError):
        laws.kl_by_draws(lambda p, q: mx.kl(q, p, rng=0), p, q)
    gaussian = Mixture([1.0], p.mean[None], p.cov[None])
    with pytest.raises(AssertionError):
        laws.entropy_by_quadrature(lambda p: mx.entropy(gaussian), p)


def _bures_by_traces(a, b):
    w, v = np.linalg.eigh(a)
    root = (v * np.sqrt(np.maximum(w, 0))) @ v.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return np.sqrt(max(np.trace(a) + np.trace(b) - 2 * cross, 0))


def test_liars_about_covariances_are_rejected(rng):
    a, b = random_covariance_matrix(rng, 3), random_covariance_matrix(rng, 3)
    with pytest.raises(AssertionError):
        laws.bures_by_roots(lambda a, b: np.linalg.norm(a - b), a, b)
    with pytest.raises(AssertionError):
        laws.bures_of_neighbours(_bures_by_traces, a)
    with pytest.raises(AssertionError):
        laws.bures_of_singular(lambda a, b: _bures_by_traces(a + 1e-6 * np.eye(5), b), rng)
    for lie in (log_euclidean_mean, lambda m, w: np.einsum("j,jab->ab", w, m)):
        with pytest.raises(AssertionError):
            laws.bures_means(lie, [a, b], [0.5, 0.5])


def test_liars_about_paths_are_rejected(rng):
    p, q = mixture_of("full", rng, 2, 2), mixture_of("full", rng, 3, 2)

    def blended(p, q, t):
        return mx.blend([p, q], [1 - t, t])

    with pytest.raises(AssertionError):
        laws.constant_speed(blended, mx.wasserstein, p, q)
    with pytest.raises(AssertionError):
        laws.endpoints(lambda p, q, t: mx.geodesic(q, p, t), p, q)
    with pytest.raises(AssertionError):
        laws.centre(mx.blend, mx.wasserstein, [p, q], [0.5, 0.5])


# ---- matching ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(case=cases(min_k=2))
def test_match_finds_a_permutation(name, case):
    rng = case.rng
    mix = mixture_of(name, rng, case.k, case.d)
    order = rng.permutation(case.k)
    other = mix.relabel(order).affine(np.eye(case.d), 1e-3 * rng.standard_normal(case.d))
    found = mx.match(mix, other)
    assert [int(order[j]) for j in found] == list(range(case.k))
    assert_allclose(other.relabel(found).means, mix.means, atol=0.01)
    assert found.distance.max() < 0.01
    assert found.unmatched_a == found.unmatched_b == ()
    back = mx.match(other, mix)
    assert [found[i] for i in back] == list(range(case.k))
    # Other units of the columns do not change who belongs to whom.
    units = rng.uniform(0.01, 100.0, case.d)
    scaled = mx.match(mix.affine(np.diag(units)), other.affine(np.diag(units)))
    assert scaled.order == found.order


def test_match_of_different_sizes():
    a = Mixture([0.5, 0.5], [[0.0], [10.0]], [1.0, 1.0])
    b = Mixture([0.2, 0.4, 0.4], [[5.0], [10.2], [0.1]], [1.0, 1.0, 1.0])
    found = mx.match(a, b)
    assert found.order == (2, 1, 0) and found.unmatched_b == (0,) and found.unmatched_a == ()
    assert found.pairs.tolist() == [[0, 2], [1, 1]]
    back = mx.match(b, a)
    assert back.order == (1, 0) and back.unmatched_a == (0,)
    assert sorted(a.relabel(back).weights) == [0.5, 0.5]
    twins = Mixture([0.3, 0.7], [[0.0], [0.0]], [1.0, 1.0])
    assert mx.match(twins, twins.relabel([1, 0])).order == (1, 0)


# ---- bad input -----------------------------------------------------------------------------------
PLAIN = Mixture([1.0], [[0.0, 0.0]], [1.0])


@pytest.mark.parametrize(
    "verb",
    [mx.l2, mmd, mx.kl, mx.wasserstein, sliced, mx.match, mx.bures, partial(mx.geodesic, t=0.5)],
)
def test_mixtures_that_do_not_fit(verb):
    with pytest.raises(ValueError, match=r"as many columns.*got 2 and 3.*marginal"):
        verb(PLAIN, Mixture([1.0], [[0.0, 0.0, 0.0]], [1.0]))
    one = Mixture([1.0], [[0.0, 0.0]], [1.0], columns=["a", "b"])
    other = Mixture([1.0], [[0.0, 0.0]], [1.0], columns=["b", "a"])
    with pytest.raises(ValueError, match=r"same columns.*a, b and b, a; reorder.*marginal"):
        verb(one, other)
    verb(one, PLAIN)
    with pytest.raises(ValueError, match=r"expected mixtures.*got ndarray.*mixture_"):
        verb(PLAIN, np.eye(2))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mx.mmd(PLAIN, PLAIN, 0.0), "positive bandwidth, got 0"),
        (lambda: mx.mmd(PLAIN, PLAIN, -1.0), "positive bandwidth, got -1"),
        (lambda: mx.mmd(PLAIN, PLAIN, [1.0, 2.0]), "one number as bandwidth, got list"),
        (lambda: mx.kl(PLAIN, PLAIN, 1), "n_samples of at least 2, got 1"),
        (lambda: mx.entropy(PLAIN, 2.5), "whole number n_samples, got 2.5"),
        (lambda: mx.sliced_wasserstein(PLAIN, PLAIN, 1), "at least 2, got 1"),
        (lambda: mx.geodesic(PLAIN, PLAIN, 1.5), r"between 0 and 1, got 1.5: a geodesic"),
        (lambda: mx.barycenter([]), "at least one mixture"),
        (lambda: mx.barycenter(PLAIN, PLAIN), r"a list of mixtures, got Mixture; pass \[a, b\]"),
        (lambda: mx.barycenter([PLAIN, PLAIN], [1.0]), "expected 2 non-negative weights"),
        (lambda: mx.barycenter([PLAIN, PLAIN], [1.0, -1.0]), "expected 2 non-negative weights"),
        (lambda: mx.bures(np.eye(2), np.eye(3)), "one size"),
        (lambda: mx.bures(np.eye(2), -np.eye(2)), "positive semidefinite.*eigenvalue -1"),
        (lambda: mx.bures(np.ones(2), np.eye(2)), r"shape \(..., d, d\).*numpy.diag"),
        (lambda: mx.bures(np.eye(2), [[1, 1], [0, 1]]), "symmetric"),
        (lambda: log_euclidean_mean([np.zeros((2, 2))]), "bures_mean takes singular"),
        (lambda: bures_mean([np.eye(2)], [0.0]), "expected 1 non-negative weights"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_too_many_tuples(rng):
    parts = [mixture_of("diag", rng, 40, 1) for _ in range(3)]
    with pytest.raises(ValueError, match=r"at most 50000 tuples.*reduce\(\)"):
        mx.barycenter(parts)


# ---- tensors -------------------------------------------------------------------------------------
MEASURES = {
    "l2": mx.l2,
    "mmd": mmd,
    "wasserstein": mx.wasserstein,
    "sliced": lambda p, q: mx.sliced_wasserstein(p, q, 5, rng=0).estimate,
    "kl": lambda p, q: sum(mx.kl(p, q, 20, rng=0)[2:]),
    "entropy": lambda p, q: sum(mx.entropy(p, 20, rng=0)[2:]),
    "bures": lambda p, q: mx.bures(p, q).sum(),
    "geodesic": lambda p, q: mx.geodesic(p, q, 0.3).cov.sum(),
    "barycenter": lambda p, q: mx.barycenter([p, q, q.blur(1.0)]).cov.sum(),
    "reduce": lambda p, q: p.reduce(2).covariance.dense().sum(),
    "reduce-bures": lambda p, q: p.reduce(2, merge="bures").covariance.dense().sum(),
    "reduce-log": lambda p, q: p.reduce(2, merge="log-euclidean").covariance.dense().sum(),
}


@pytest.mark.parametrize("measure", MEASURES.values(), ids=MEASURES)
def test_tensors(measure, rng):
    torch = pytest.importorskip("torch", reason="tensors need PyTorch; pip install mixtura[torch]")
    p, q = mixture_of("full", rng, 3, 2), mixture_of("diag", rng, 2, 2)
    roots = np.linalg.cholesky(p.covariance.dense())
    start = [torch.tensor(np.array(a), requires_grad=True) for a in (p.weights, p.means, roots)]

    def value(weights, means, root):
        return measure(Mixture(weights, means, root @ root.mT), q)

    assert torch.autograd.gradcheck(value, start, atol=1e-6, rtol=1e-3)
    if measure is not MEASURES["sliced"]:  # its directions come from another generator
        assert_allclose(value(*start).detach(), measure(p, q), rtol=1e-8)
    same = Mixture(*(a.detach() for a in (start[0], start[1])), p.to("torch").covariance)
    if measure in (mx.l2, mmd, mx.wasserstein):
        assert measure(same, p) == 0
