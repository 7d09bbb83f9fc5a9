r"""Ascent to the stationary points of a log density (Carreira-Perpiñán 2000).

With responsibilities r and precisions P at x, g = Σ rₖ Pₖ (μₖ − x) and M = Σ rₖ Pₖ, the step

    x ← x + M⁻¹ g = (Σ rₖ Pₖ)⁻¹ Σ rₖ Pₖ μₖ

is an EM step and never descends. Where the Hessian H = Σ rₖ gₖ gₖᵀ − g gᵀ − M is negative definite
and Newton's step −H⁻¹ g short, it is taken instead, unless it descends. The eigenvalues of
−M^(−½) H M^(−½) are at most 1 and have no units: they tell maxima from saddles, which are left
along the steepest ascending direction. Lengths are measured in the metric M, in the components'
spreads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixtura.arrays.linalg import symmetrise
from mixtura.mixture import density
from mixtura.mixture.algebra import _make
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["Field", "Local"]

#: Bytes of working memory for one batch of ascents.
BATCH_BYTES = 32 * 2**20
#: Ascent ends at steps this short, or after so many.
SHORT, STEPS = 1e-9, 2000
#: The longest Newton step, and the least curvature for one.
NEWTON, CURVED = 0.5, 1e-9
#: An eigenvalue of −H below −SADDLE makes a saddle; how far it is left, and how often.
SADDLE, NUDGE, NUDGES = 1e-6, 0.1, 8


class Local(NamedTuple):
    """The density about points x (n, d)."""

    value: FloatArray
    grad: FloatArray
    metric: FloatArray
    hessian: FloatArray


class Field:
    """The log density of a mixture about its own mean, in NumPy."""

    def __init__(self, mix: Mixture) -> None:
        self.centre = np.asarray(mix.mean)
        self.mix = _make(mix.log_weights, mix.means - self.centre, mix.covariance, None)
        precision = np.broadcast_to(mix.covariance.precision(), (mix.k, mix.d, mix.d))
        self.precision = np.asarray(precision).reshape(mix.k, -1)

    def at(self, x: FloatArray) -> Local:
        """Value, gradient, M and Hessian."""
        n, d, k = len(x), self.mix.d, self.mix.k
        joint = density.log_joint(self.mix, x)
        top = joint.max(axis=1)
        resp = np.exp(joint - top[:, None])
        total = resp.sum(axis=1)
        resp /= total[:, None]
        v = np.transpose(self.mix.means[:, None, :] - x[None, :, :], (0, 2, 1))
        each = np.transpose(np.broadcast_to(self.mix.covariance.solve(v), (k, d, n)), (2, 0, 1))
        grad = np.einsum("nk,nkd->nd", resp, each)
        metric = (resp @ self.precision).reshape(-1, d, d)
        spread = each - grad[:, None, :]
        outer = np.matmul(np.swapaxes(resp[:, :, None] * spread, 1, 2), spread)
        return Local(top + np.log(total), grad, symmetrise(metric), symmetrise(outer - metric))

    def ascend(self, x: FloatArray) -> FloatArray:
        """The stationary points (n, d) that ascent from x reaches."""
        size = max(1, BATCH_BYTES // (8 * self.mix.d * (2 * self.mix.k + 6 * self.mix.d)))
        spans = [self._ascend(x[low : low + size]) for low in range(0, len(x), size)]
        return np.concatenate(spans) if spans else x

    def _ascend(self, start: FloatArray) -> FloatArray:
        x, active = start.copy(), np.arange(len(start))
        here = self.at(start)
        for _ in range(STEPS):
            now = x[active]
            step, newton, length = _steps(here)
            there = self.at(now + step)
            descends = newton & (there.value < here.value - 1e-12 * (1 + np.abs(here.value)))
            if descends.any():
                plain = Local(*(part[descends] for part in here))
                step[descends] = _em_step(plain)
                again = self.at(now[descends] + step[descends])
                for part, other in zip(there, again, strict=True):
                    part[descends] = other
            x[active] = now + step
            going = length > SHORT
            active = active[going]
            if not len(active):
                break
            here = Local(*(part[going] for part in there))
        return x

    def climb(self, x: FloatArray) -> FloatArray:
        """``ascend``, leaving saddles on the side that ends higher."""
        ends = self.ascend(x)
        for _ in range(NUDGES):
            here = self.at(ends)
            values, vectors, roots = _curvature(here)
            stuck = np.flatnonzero(values[:, 0] < -SADDLE)
            if not len(stuck):
                break
            # Back from the metric's coordinates: M = L Lᵀ, a unit vector u is x = L⁻ᵀ u.
            away = NUDGE * np.linalg.solve(
                np.swapaxes(roots[stuck], 1, 2), vectors[stuck, :, :1]
            ).squeeze(-1)
            sides = [self.ascend(ends[stuck] + sign * away) for sign in (1, -1)]
            first, second = (self.at(side).value for side in sides)
            ends[stuck] = np.where((first >= second)[:, None], *sides)
        return ends


def _curvature(here: Local) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Eigenvalues, ascending, and eigenvectors of −L⁻¹ H L⁻ᵀ, and L, M = L Lᵀ."""
    root = np.linalg.cholesky(here.metric)
    half = np.linalg.solve(root, -here.hessian)
    values, vectors = np.linalg.eigh(symmetrise(np.linalg.solve(root, np.swapaxes(half, 1, 2))))
    return values, vectors, root


def _em_step(here: Local) -> FloatArray:
    return np.linalg.solve(here.metric, here.grad[:, :, None])[:, :, 0]


def _steps(here: Local) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Steps (n, d), which of them are Newton's, and their lengths in the metric."""
    values, vectors, root = _curvature(here)
    slope = np.linalg.solve(root, here.grad[:, :, None])  # L⁻¹ g
    curved = values[:, 0] > CURVED
    along = np.swapaxes(vectors, 1, 2) @ slope
    newton = along[:, :, 0] / np.where(curved[:, None], values, 1.0)
    use = curved & (np.linalg.norm(newton, axis=1) <= NEWTON)
    z = np.where(use[:, None], (vectors @ newton[:, :, None])[:, :, 0], slope[:, :, 0])
    step = np.linalg.solve(np.swapaxes(root, 1, 2), z[:, :, None])[:, :, 0]
    return step, use, np.linalg.norm(z, axis=1)
