"""Laws of the parsimonious structures: what is shared is shared, and nothing nearby fits better."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.testing import assert_allclose
from scipy.linalg import expm

from mixtura import Mixture
from mixtura.covariance import Covariance, DiagonalCovariance, FullCovariance, Parsimonious
from tests.laws.cases import clusters
from tests.laws.fit import complete_loglik, maximise

#: Model -> models of one letter more freedom, whose fit can only be better.
WIDER = {
    "EII": ("VII", "EEI"),
    "VII": ("VEI",),
    "EEI": ("VEI", "EVI", "EEE"),
    "VEI": ("VVI", "VEE"),
    "EVI": ("VVI", "EVE"),
    "VVI": ("VVE",),
    "EEE": ("VEE", "EVE", "EEV"),
    "VEE": ("VVE", "VEV"),
    "EVE": ("VVE", "EVV"),
    "VVE": ("VVV",),
    "EEV": ("VEV", "EVV"),
    "VEV": ("VVV",),
    "EVV": ("VVV",),
}


def has_letters(cov: Covariance, model: str, rtol: float = 1e-8) -> None:
    """Volumes, shapes and axes are shared where the letter is E, and axes the columns' where I."""
    sigma = np.asarray(cov.dense())
    k, d = cov.k, cov.d
    values = np.linalg.eigvalsh(sigma)
    volume = np.exp(np.log(values).mean(axis=1))
    if model[0] == "E":
        assert_allclose(volume, volume[0], rtol=rtol)
    if model[2] == "I":
        assert_allclose(sigma * (1 - np.eye(d)), 0, atol=1e-12 * np.abs(sigma).max())
    if model[1] == "I":
        assert_allclose(values, volume[:, None] * np.ones(d), rtol=rtol)
    if model[1] == "E":
        # On common axes the shapes are equal axis by axis, else in order of size.
        along = np.diagonal(sigma, axis1=1, axis2=2) if model[2] == "I" else values
        shape = along / volume[:, None]
        assert_allclose(shape, np.broadcast_to(shape[0], (k, d)), rtol=rtol)
    if model[2] == "E":
        # Matrices with the same axes commute.
        unit = sigma / volume[:, None, None]
        for j in range(1, k):
            commutator = unit[0] @ unit[j] - unit[j] @ unit[0]
            assert_allclose(commutator, 0, atol=1e-7 * np.abs(unit).max() ** 2)


def neighbour(cov: Covariance, model: str, step: float, rng: np.random.Generator) -> Covariance:
    """A covariance a step away in volumes, shapes and axes, sharing what the model shares."""
    sigma = np.asarray(cov.dense())
    k, d = cov.k, cov.d

    def drawn(letter: str, *shape: int) -> Any:
        one = rng.standard_normal((1, *shape))
        return (
            np.broadcast_to(one, (k, *shape)) if letter == "E" else rng.standard_normal((k, *shape))
        )

    factor = np.exp(step * drawn(model[0]))
    turn = drawn(model[2], d, d) if model[2] in "EV" else np.zeros((k, d, d))
    rotation = np.stack([expm(step * (t - t.T)) for t in turn])
    stretch = np.zeros((k, d)) if model[1] == "I" else drawn(model[1], d)
    stretch = np.exp(step * (stretch - stretch.mean(axis=1, keepdims=True)))
    if model[2] == "I":
        axes = np.broadcast_to(np.eye(d), (k, d, d))
    elif model[2] == "E":
        mixed = np.tensordot(rng.uniform(0.5, 1.5, k) / np.trace(sigma, axis1=1, axis2=2), sigma, 1)
        axes = np.broadcast_to(np.linalg.eigh(mixed)[1], (k, d, d))
    else:
        axes = np.linalg.eigh(sigma)[1]
    values = np.einsum("kdi,kde,kei->ki", axes, sigma, axes) * stretch * factor[:, None]
    if model[2] == "I":
        return DiagonalCovariance(values)
    turned = rotation @ axes
    return FullCovariance((turned * values[:, None, :]) @ turned.swapaxes(1, 2))


def step_is_optimal(rule: Parsimonious, rng: np.random.Generator, k: int, d: int) -> None:
    """No covariances nearby with the same letters have a greater complete log-likelihood."""
    x, _ = clusters(rng, k * (4 * d + 6), k, d)
    resp = rng.dirichlet(np.ones(k), len(x))
    best = maximise(rule, x, resp)
    has_letters(best.covariance, rule.model)
    value = complete_loglik(best, x, resp)
    for _ in range(6):
        for step in (1e-2, 1e-3, -1e-3):
            moved = neighbour(best.covariance, rule.model, step, rng)
            has_letters(moved, rule.model)
            other = Mixture(best.weights, best.means, moved)
            assert complete_loglik(other, x, resp) <= value + 1e-10 * abs(value)


def common_axes_by_majorisation(spread: Any, mass: Any, power: float, steps: int) -> Any:
    """Axes D after so many majorise-minimise steps (Browne & McNicholas 2014) from the pool's.

    log |diag(Dᵀ S D)| is majorised by its tangent in diag, Σᵢ dᵢᵀ S dᵢ / aᵢ, and that in D by
    tr(Dᵀ F), F = Σₖ cₖ (Sₖ − ωₖ I) D Aₖ⁻¹ with ωₖ the largest eigenvalue of Sₖ; the least
    orthogonal D is −R Pᵀ for F = P B Rᵀ.
    """
    d = spread.shape[1]
    axes = np.linalg.eigh(np.tensordot(mass / mass.sum(), spread, axes=1))[1]
    top = np.linalg.eigvalsh(spread)[:, -1]
    for _ in range(steps):
        along = np.einsum("di,kde,ei->ki", axes, spread, axes)
        share = mass * np.exp(power * np.log(along).sum(axis=1))
        gradient = np.zeros((d, d))
        for s, a, c, w in zip(spread, along, share, top, strict=True):
            gradient += c * (s @ axes - w * axes) / a
        p, _, r = np.linalg.svd(gradient)
        axes = -(p @ r)
    return axes
