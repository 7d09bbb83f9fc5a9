"""Laws of modes and their regions of attraction, held against grids and finite ascents."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from mixtura import Mixture
from tests.laws.cases import rows_near


def are_maxima(find: Any, mix: Mixture) -> None:
    """The gradient vanishes at every mode, and the Hessian is negative definite."""
    found = find(mix)
    spread = np.sqrt(mix.covariance.diagonal().min())
    grad = mix.grad_log_density(found.points) * spread
    assert_allclose(grad, 0, atol=1e-8)
    assert (np.linalg.eigvalsh(mix.hessian_log_density(found.points)) < 0).all()
    assert_allclose(found.log_density, mix.log_density(found.points), rtol=1e-10, atol=1e-10)
    assert (np.diff(found.log_density) <= 0).all()


def none_is_lower(find: Any, mix: Mixture) -> None:
    """The highest mode is at least as high as every mean and every draw near the top."""
    found = find(mix)
    x = np.concatenate([mix.means, mix.sample(500, rng=1)])
    near = found.attract(x) >= 0
    reached = found.log_density[found.attract(x)[near]]
    assert (mix.log_density(x[near]) <= reached + 1e-9).all()
    assert near[: mix.k].all()


def component_map(find: Any, mix: Mixture) -> None:
    """Components map to the modes that attract their means."""
    found = find(mix)
    assert_array_equal(found.component, found.attract(mix.means))


def grid_agrees(find: Any, mix: Mixture) -> None:
    """In one column modes and borders of attraction are the extrema of a fine grid."""
    low = (mix.means - 5 * np.sqrt(mix.covariance.diagonal())).min()
    high = (mix.means + 5 * np.sqrt(mix.covariance.diagonal())).max()
    x = np.linspace(low, high, 20_001)
    value = mix.log_density(x[:, None])
    inner = value[1:-1]
    tops = x[1:-1][(inner > value[:-2]) & (inner >= value[2:])]
    dips = x[1:-1][(inner < value[:-2]) & (inner <= value[2:])]
    found = find(mix)
    assert len(found) == len(tops)
    place = np.argsort(found.points[:, 0])
    assert_allclose(found.points[place, 0], tops, atol=1.01 * (x[1] - x[0]))
    rows = x[::50]
    rows = rows[np.abs(rows[:, None] - dips).min(axis=1, initial=np.inf) > 0.01]
    assert_array_equal(found.attract(rows[:, None]), place[np.searchsorted(dips, rows)])


def follow_affine(find: Any, mix: Mixture) -> None:
    """Modes move with the columns, and regions of attraction with them."""
    rng = np.random.default_rng(4)
    a = 10 * (rng.standard_normal((mix.d, mix.d)) + 2 * np.eye(mix.d))
    b = 1e5 * rng.standard_normal(mix.d)
    found, image = find(mix), find(mix.affine(a, b))
    assert_allclose(image.points, found.points @ a.T + b, rtol=1e-8, atol=1e-5)
    x = rows_near(mix, rng, 50)
    assert_array_equal(image.attract(x @ a.T + b), found.attract(x))


#: Laws of every mixture.
LAWS = (are_maxima, none_is_lower, component_map, follow_affine)
