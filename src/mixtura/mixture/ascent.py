r"""Ascent to the stationary points of a log density (Carreira-Perpiñán 2000).

With responsibilities r and precisions P at x, g = Σ rₖ Pₖ (μₖ − x) and M = Σ rₖ Pₖ, the step

    x ← x + M⁻¹ g = (Σ rₖ Pₖ)⁻¹ Σ rₖ Pₖ μₖ

is an EM step and never descends. Where the Hessian H = Σ rₖ gₖ gₖᵀ − g gᵀ − M is negative definite
and Newton's step −H⁻¹ g short, it is taken instead, unless it descends. The eigenvalues of
−M^(−½) H M^(−½) are at most 1 and have no units: they tell maxima from saddles, which are left
along the steepest ascending direction. Lengths are measured in the metric M, in the components'
spreads.

An EM step from a broad component may leap over a hump. Along a step s the log joint of component k
is the parabola joint + t gₖᵀ s − ½ t² sᵀ Pₖ s; while one component outweighs all others the density
is log-concave and nothing can be leapt over, so a step ends where the next one comes in sight, and
is a fraction of a spread where several are. So rows climb the hump that they stand on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mixtura.arrays.linalg import symmetrise
from mixtura.mixture import density
from mixtura.mixture.algebra import _make
from mixtura.mixture.pairs import support
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
#: A component is in sight less than SIGHT nats below the heaviest; steps in spreads of those.
SIGHT, STRIDE = 10.0, 0.5
#: An eigenvalue of −H below −SADDLE makes a saddle; how far it is left, and how often.
SADDLE, NUDGE, NUDGES = 1e-6, 0.1, 8


class Local(NamedTuple):
    """The density about points x (n, d); of components the log joint (n, k) and gₖ (n, k, d)."""

    value: FloatArray
    grad: FloatArray
    metric: FloatArray
    hessian: FloatArray
    joint: FloatArray
    each: FloatArray


class Field:
    """The log density of a mixture about its own mean, in NumPy."""

    def __init__(self, mix: Mixture) -> None:
        self.centre = np.asarray(mix.mean)
        mix = support(mix)
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
        hessian = symmetrise(outer - metric)
        return Local(top + np.log(total), grad, symmetrise(metric), hessian, joint, each)

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
            step *= self._leash(here, step)[:, None]
            there = self.at(now + step)
            descends = newton & (there.value < here.value - 1e-12 * (1 + np.abs(here.value)))
            if descends.any():
                plain = Local(*(part[descends] for part in here))
                step[descends] = _em_step(plain)
                there = self.at(now + step)
            x[active] = now + step
            going = length > SHORT
            active = active[going]
            if not len(active):
                break
            here = Local(*(part[going] for part in there))
        return x

    def _leash(self, here: Local, step: FloatArray) -> FloatArray:
        """The share (n,) of each step after which components have to be weighed again."""
        slope = np.einsum("nkd,nd->nk", here.each, step)
        outer = (step[:, :, None] * step[:, None, :]).reshape(len(step), -1)
        curve = np.maximum(outer @ self.precision.T, 1e-300)
        rows, top = np.arange(len(step)), here.joint.argmax(axis=1)
        # Nats below the heaviest component at t: drop + t tilt − ½ t² bend; in sight at −SIGHT.
        drop, tilt, bend = (a - a[rows, top, None] for a in (here.joint, slope, -curve))
        enters = _first_root(0.5 * bend, tilt, drop + SIGHT)
        stride = STRIDE / np.sqrt(np.maximum(curve, curve[rows, top, None]))
        near = drop > -SIGHT - 1  # a step that ended where one came in sight counts as there
        limit = np.where(near, stride, np.maximum(enters, stride))
        limit[rows, top] = np.inf
        return np.asarray(np.minimum(limit.min(axis=1), 1.0))

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


def _first_root(a: FloatArray, b: FloatArray, c: FloatArray) -> FloatArray:
    """The least t > 0 with a t² + b t + c = 0, inf where there is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        q = -0.5 * (b + np.copysign(np.sqrt(b * b - 4 * a * c), b))
        roots = np.stack([q / a, c / q])
    return np.asarray(np.where(roots > 0, roots, np.inf).min(axis=0))  # NaN is not above zero


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
