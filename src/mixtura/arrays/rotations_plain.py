"""The kernel of ``rotations`` by NumPy: for work that does not repay compilation.

The rotations are those of ``rotations``, one pair of axes after the other; all components, and all
angles that are looked at, are taken at once.
"""

from __future__ import annotations

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["FEW", "GRID", "SEARCHING", "TINY", "rotate_axes", "value"]

#: Angles looked at before the best one is refined.
GRID = 12
#: Up to so many columns every sweep looks at whole circles; beyond them the first ones, and later
#: ones go where the derivative points.
FEW, SEARCHING = 40, 1
TINY = 1e-300
#: Angles of a finer look, each of which narrows the interval to two of its steps.
FINER, LOOKS = 33, 2


def _cos_sin(angles: FloatArray) -> tuple[FloatArray, FloatArray]:
    return np.cos(angles)[:, None], np.sin(angles)[:, None]


CIRCLE = _cos_sin(np.pi * np.arange(GRID) / GRID)


def rotate_axes(
    moments: FloatArray,
    axes: FloatArray,
    mass: FloatArray,
    power: float,
    max_sweeps: int,
    tol: float,
) -> int:
    """See ``rotations.rotate_axes``."""
    d = len(axes)
    log_mass = np.log(np.maximum(mass, TINY))
    for sweep in range(max_sweeps):
        largest = 0.0
        for i in range(d - 1):
            for j in range(i + 1, d):
                u, v, b = moments[:, i, i], moments[:, j, j], moments[:, i, j].copy()
                pair = _Pair(0.5 * (u + v), 0.5 * (u - v), b, mass, power)
                if power > 0.0:
                    variances = np.diagonal(moments, axis1=1, axis2=2)
                    logs = np.log(np.maximum(variances, TINY))
                    rest = power * (logs.sum(axis=1) - logs[:, i] - logs[:, j]) + log_mass
                    pair.factor = np.exp(rest - rest.max())
                values = pair.at(*CIRCLE)
                here = float(values[0])
                size = max(abs(here), float(pair.factor.sum()))
                angle, near = pair.newton(0.0)
                if d <= FEW or sweep < SEARCHING:
                    best = int(np.argmin(values))
                    if best or not near:
                        angle, _ = pair.newton(pair.lowest(np.pi / GRID * best))
                if abs(angle) <= tol:
                    continue
                if float(pair.at(*_cos_sin(np.array([angle])))[0]) > here + 1e-13 * size:
                    continue
                largest = max(largest, 0.5 * abs(angle))
                _turn(moments, axes, i, j, 0.5 * angle)
        if largest <= tol:
            return sweep + 1
    return max_sweeps


class _Pair:
    """The objective of one pair of axes as a function of the angle between old and new."""

    def __init__(
        self, m: FloatArray, h: FloatArray, b: FloatArray, factor: FloatArray, power: float
    ) -> None:
        self.m, self.h, self.b, self.factor, self.power = m, h, b, factor, power

    def at(self, cos: FloatArray, sin: FloatArray) -> FloatArray:
        """The objective at angles, as columns of their cosines and sines."""
        g = cos * self.h + sin * self.b
        inside = (self.m - g) * (self.m + g)
        room = inside > 0
        whole = bool(room.all())
        logs = np.log(inside if whole else np.where(room, inside, 1.0))
        if self.power == 0.0:
            values = np.asarray(logs @ self.factor)
            return values if whole else np.where(room.all(axis=1), values, np.inf)
        terms = np.exp(self.power * logs)
        if not whole:  # as the compiled loop, which ends at the first component without room
            terms = np.where(np.logical_and.accumulate(room, axis=1), terms, 0.0)
        return np.asarray(terms @ self.factor)

    def lowest(self, angle: float) -> float:
        """The angle of the lowest value within a step of the grid about an angle."""
        width = np.pi / GRID
        for _ in range(LOOKS):
            near = np.linspace(angle - width, angle + width, FINER)
            angle = float(near[np.argmin(self.at(*_cos_sin(near)))])
            width *= 2.0 / (FINER - 1)
        return angle

    def newton(self, at: float) -> tuple[float, bool]:
        """Three Newton steps towards where the derivative vanishes; whether it was near."""
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            return self._newton(at)

    def _newton(self, at: float) -> tuple[float, bool]:
        for _ in range(3):
            c, s = np.cos(at), np.sin(at)
            g, turned = self.h * c + self.b * s, self.b * c - self.h * s
            inside = (self.m - g) * (self.m + g)
            if not (inside > 0).all():
                return at, False
            first = -2.0 * g * turned / inside
            second = -2.0 * (turned * turned - g * g) / inside - first * first
            weight = self.factor
            if self.power > 0.0:
                weight = self.factor * np.exp(self.power * np.log(inside))
                second = second + self.power * first * first
            slope, curvature = float(weight @ first), float(weight @ second)
            if not curvature > 0.0:
                return at, False
            step = slope / curvature
            if not abs(step) < 1e-3:
                return at, False
            at -= step
        return at, True


def _turn(moments: FloatArray, axes: FloatArray, i: int, j: int, angle: float) -> None:
    c, s = np.cos(angle), np.sin(angle)
    turn, pair = np.array([[c, -s], [s, c]]), [i, j]
    axes[:, pair] = axes[:, pair] @ turn
    moments[:, :, pair] = moments[:, :, pair] @ turn
    moments[:, pair, :] = turn.T @ moments[:, pair, :]


def value(moments: FloatArray, mass: FloatArray, power: float) -> float:
    """The objective, per unit of mass, of moments in the coordinates of some axes."""
    diagonal = np.maximum(np.diagonal(moments, axis1=1, axis2=2), TINY)
    logs = np.log(diagonal).sum(axis=1)
    share = mass / mass.sum()
    if power == 0.0:
        return float(share @ logs)
    top = logs.max()
    return float(np.log(share @ np.exp(power * (logs - top))) / power + top)
