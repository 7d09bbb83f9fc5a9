"""Reduction to fewer components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose

from mixtura import Mixture, kl
from mixtura.covariance import bures_mean, log_euclidean_mean
from mixtura.mixture.reduce import reduction
from tests.laws import reduce as laws
from tests.laws.cases import NAMES, cases, mixture_of

reduce = Mixture.reduce


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(case=cases(max_k=6, max_d=4))
def test_law(name, law, case):
    law(reduce, mixture_of(name, case.rng, case.k, case.d))


@settings(max_examples=15)
@given(case=cases(min_k=2, max_k=6, max_d=1))
def test_bound(case):
    laws.bounded(reduction, mixture_of("full", case.rng, case.k, 1))


@settings(max_examples=15)
@given(case=cases(min_k=2, max_k=6, max_d=4))
def test_best_pair(case):
    mix = mixture_of("full", case.rng, case.k, case.d)
    laws.best_pair(reduction, mix)
    laws.best_pair(lambda m, k: reduction(m, k, refine=False), mix)


def test_refinement_lowers_the_bound(rng):
    gains = []
    for _ in range(10):
        mix = mixture_of("full", rng, 20, 2)
        greedy, refined = reduction(mix, 4, refine=False), reduction(mix, 4)
        assert refined.bound <= greedy.bound + 1e-12
        gains.append(greedy.bound - refined.bound)
        assert kl(mix, refined.mixture, rng=0).lower <= refined.bound
        assert set(refined.groups) == {0, 1, 2, 3}
    assert max(gains) > 1e-3


def test_clusters_are_found(rng):
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    means = np.repeat(centres, 30, axis=0) + 0.5 * rng.standard_normal((90, 2))
    mix = Mixture(rng.random(90) + 0.1, means, np.full(90, 0.3), columns=["a", "b"])
    answer = reduction(mix, 3)
    assert (answer.groups.reshape(3, 30) == answer.groups[::30, None]).all()
    assert answer.mixture.columns == ("a", "b")
    assert answer.mixture.covariance.name == "full"


def test_averages_keep_the_shape_of_components():
    # Moments widen the group by the distance of its means; the other averages do not.
    mix = Mixture([1, 1, 1], [[0.0], [1.0], [9.0]], [1.0, 4.0, 1.0])
    variance = {
        merge: mix.reduce(2, merge=merge).covariance.dense()[0, 0, 0]
        for merge in ("moments", "bures", "log-euclidean")
    }
    assert_allclose(variance["moments"], 2.5 + 0.25)
    assert_allclose(variance["bures"], bures_mean([[[1.0]], [[4.0]]])[0, 0])
    assert_allclose(variance["bures"], 1.5**2)
    assert_allclose(variance["log-euclidean"], log_euclidean_mean([[[1.0]], [[4.0]]])[0, 0])
    assert_allclose(variance["log-euclidean"], 2.0)


def test_far_from_the_origin(rng):
    mix = mixture_of("full", rng, 6, 2)
    far = mix.affine(np.eye(2), [1e7, -1e7])
    assert_allclose(far.reduce(2).covariance.dense(), mix.reduce(2).covariance.dense(), rtol=1e-6)


def test_weight_zero(rng):
    mix = Mixture([0.5, 0.0, 0.5, 0.0], [[0.0], [1.0], [9.0], [9.5]], [1.0] * 4)
    assert_allclose(mix.reduce(2).means, [[0.0], [9.0]])
    assert_allclose(mix.reduce(1).cov, mix.cov)
    assert mix.reduce(3).k == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((4,), r"from 1 to 3 components.*got 4; reducing only merges: refit"),
        ((0,), "from 1 to 3 components.*got 0"),
        ((1.5,), "whole number of components, got 1.5"),
    ],
)
def test_bad_k(arguments, message):
    mix = Mixture([1, 1, 1], [[0.0], [1.0], [9.0]], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=message):
        mix.reduce(*arguments)
    with pytest.raises(ValueError, match=r"among moments, bures, log-euclidean, got 'mean'"):
        mix.reduce(2, merge="mean")


# ---- liars -------------------------------------------------------------------------------------
def _by_barycentre(mix, k):
    return mix.reduce(k, merge="bures")


def _first(mix, k):
    """The first k components, the others dropped."""
    return Mixture(mix.weights[:k], mix.means[:k], mix.covariance.take(list(range(k))))


def _neighbours(mix, k):
    """Components merged by their numbers."""
    groups = [part.tolist() for part in np.array_split(np.arange(mix.k), k)]
    parts = [Mixture(mix.weights[g], mix.means[g], mix.covariance.take(g)) for g in groups]
    mass = [mix.weights[g].sum() for g in groups]
    return Mixture(mass, [p.mean for p in parts], np.stack([p.cov for p in parts]))


@pytest.mark.parametrize(
    ("law", "lie"),
    [
        (laws.keeps_moments, _by_barycentre),
        (laws.keeps_moments, _first),
        (laws.identity_at_k, lambda mix, k: mix.blur(1e-6)),
        (laws.single, _by_barycentre),
        (laws.order_free, _neighbours),
        (laws.undoes_a_split, _neighbours),
    ],
)
def test_liar_is_rejected(law, lie, rng):
    mix = mixture_of("full", rng, 5, 2)
    law(reduce, mix)
    with pytest.raises(AssertionError):
        law(lie, mix)


def test_liars_about_the_bound_are_rejected(rng):
    mix = mixture_of("full", rng, 4, 1)

    def low(mix, k):
        answer = reduction(mix, k)
        return answer._replace(bound=0.01 * answer.bound)

    def arbitrary(mix, k):
        answer = reduction(mix, k)
        return answer._replace(mixture=_neighbours(mix, k))

    with pytest.raises(AssertionError):
        laws.bounded(low, mix)
    with pytest.raises(AssertionError):
        laws.best_pair(low, mix)
    with pytest.raises(AssertionError):
        laws.best_pair(arbitrary, mix)
