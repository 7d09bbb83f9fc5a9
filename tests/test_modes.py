"""Modes of mixtures and regions of attraction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose

from mixtura import Mixture
from tests.laws import modes as laws
from tests.laws.cases import NAMES, Case, cases, mixture_of

find = Mixture.modes


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(case=cases(max_d=4))
def test_law(name, law, case):
    law(find, mixture_of(name, case.rng, case.k, case.d))


@settings(max_examples=20)
@given(case=cases(max_k=6, max_d=1))
def test_grid(case):
    laws.grid_agrees(find, mixture_of("full", case.rng, case.k, 1))


@pytest.mark.parametrize(("separation", "number"), [(0.5, 1), (1.99, 1), (2.01, 2), (6.0, 2)])
def test_two_equal_components(separation, number):
    # Bimodal if and only if further apart than two standard deviations.
    mix = Mixture([1, 1], [[0.0], [3 * separation]], [9.0, 9.0])
    found = mix.modes()
    assert len(found) == number
    assert_allclose(np.mean(found.points), 1.5 * separation)
    laws.are_maxima(find, mix)


def test_the_border_between_one_mode_and_two():
    found = Mixture([1, 1], [[0.0], [2.0]], [1.0, 1.0]).modes()
    assert len(found) == 1
    assert_allclose(found.points, 1.0, atol=1e-3)


def test_a_mean_on_a_saddle():
    # The broad component's mean is a minimum between the two narrow ones.
    mix = Mixture([1, 1, 0.5], [[-3.0, 0.0], [3.0, 0.0], [0.0, 0.0]], [1.0, 1.0, 25.0])
    found = mix.modes()
    assert len(found) == 2
    assert found.component[2] in (0, 1)
    laws.are_maxima(find, mix)


def test_more_modes_than_components():
    # Two crossed ellipses (Ray & Lindsay 2005, their section 3) have a third mode between them,
    # which the ascents from the means miss and starts find.
    mix = Mixture(
        [0.5, 0.5],
        [[0.0, 0.0], [1.0, 1.0]],
        [np.diag([1.0, 0.05]), np.diag([0.05, 1.0])],
    )
    assert len(mix.modes()) == 2
    found = mix.modes(starts=mix.sample(200, rng=0))
    assert len(found) == 3
    assert len(found.component) == 2
    x = np.array([[1.0, 0.0]])
    assert mix.modes().attract(x)[0] == -1
    assert found.attract(x)[0] >= 0


def test_far_from_the_origin_and_thin():
    mix = Mixture([1, 2], [[1e7, 0.0], [1e7 + 1, 0.0]], [[1e-4, 1.0], [1e-4, 1.0]])
    found = mix.modes()
    assert_allclose(found.points[:, 0] - 1e7, [1, 0], atol=1e-6)
    assert found.attract([[1e7 + 0.2, 3.0], [1e7 + 0.9, -3.0]]).tolist() == [1, 0]


def test_clusters_of_several_components(rng):
    centres = np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]])
    means = np.repeat(centres, 4, axis=0) + 0.3 * rng.standard_normal((12, 2))
    mix = Mixture(np.ones(12), means, np.ones(12), columns=["a", "b"])
    found = mix.modes()
    assert len(found) == 3
    assert (found.component.reshape(3, 4) == found.component[::4, None]).all()
    x, labels = mix.sample(300, rng=1, return_labels=True)
    assert np.mean(found.attract(x) == found.component[labels]) > 0.98
    assert found.attract(np.empty((0, 2))).shape == (0,)
    with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
        found.attract([[1.0]])


# ---- liars -------------------------------------------------------------------------------------
def _means(mix):
    """The means themselves."""
    order = np.argsort(-mix.log_density(mix.means))
    found = mix.modes()
    return replace(found, points=mix.means[order], log_density=mix.log_density(mix.means[order]))


def _nearest_mean(mix):
    """Components attracted in the order in which they are numbered."""
    found = mix.modes()
    return replace(found, component=np.arange(mix.k)[::-1])


def _plain(mix):
    """A point that does not move with the columns."""
    found = mix.modes()
    return replace(found, points=found.points * 0 + 1.0)


def _low(mix):
    return replace(mix.modes(), log_density=mix.modes().log_density - 1.0)


@pytest.mark.parametrize(
    ("law", "lie"),
    [
        (laws.are_maxima, _means),
        (laws.are_maxima, _low),
        (laws.none_is_lower, _low),
        (laws.component_map, _nearest_mean),
        (laws.follow_affine, _plain),
        (laws.grid_agrees, _means),
    ],
)
def test_liar_is_rejected(law, lie):
    case = Case(seed=1, k=3, d=1 if law is laws.grid_agrees else 2)
    mix = mixture_of("full", case.rng, case.k, case.d)
    law(find, mix)
    with pytest.raises(AssertionError):
        law(lie, mix)
