r"""Axes shared by several symmetric matrices: Jacobi rotations that lower a sum over them.

For moments Sₖ in the coordinates of the present axes, turning axes i and j by an angle φ/2 changes
only two diagonal entries of each matrix, m ± (h cos φ + b sin φ) with m = (Sᵢᵢ + Sⱼⱼ)/2,
h = (Sᵢᵢ − Sⱼⱼ)/2 and b = Sᵢⱼ. With ℓₖ(φ) = log(m² − (h cos φ + b sin φ)²) the two objectives are

    free shapes and volumes:  Σₖ Nₖ ℓₖ(φ)              (Flury 1984: common principal components),
    one volume for all:       Σₖ cₖ exp(ℓₖ(φ)/d),  cₖ = exp(Σ over the other axes of log Sᵢᵢ / d).

Each rotation goes to the lowest point of its circle: a grid and a golden section find it, Newton's
method on the derivative brings it to the last digits, where values are too flat to compare. The sum
never rises but by rounding; sweeps over all pairs end when one turns nothing any more.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.rotations_plain import FEW, GRID, SEARCHING, TINY

__all__ = ["SIGNATURES", "rotate_axes"]


@jit
def _value(m, h, b, factor, power, c, s):  # type: ignore[no-untyped-def]
    """The objective of a pair at angle φ, c = cos φ, s = sin φ."""
    total = 0.0
    for k in range(m.shape[0]):
        g = h[k] * c + b[k] * s
        inside = (m[k] - g) * (m[k] + g)
        if inside <= 0.0:
            return np.inf if power == 0.0 else total
        if power == 0.0:
            total += factor[k] * np.log(inside)
        else:
            total += factor[k] * np.exp(power * np.log(inside))
    return total


@jit
def _lowest(m, h, b, factor, power, low, high):  # type: ignore[no-untyped-def]
    """The angle of the lowest value between two, by golden section."""
    ratio = 0.6180339887498949
    x1, x2 = high - ratio * (high - low), low + ratio * (high - low)
    f1 = _value(m, h, b, factor, power, np.cos(x1), np.sin(x1))
    f2 = _value(m, h, b, factor, power, np.cos(x2), np.sin(x2))
    while high - low > 1e-5:
        if f1 <= f2:
            high, x2, f2 = x2, x1, f1
            x1 = high - ratio * (high - low)
            f1 = _value(m, h, b, factor, power, np.cos(x1), np.sin(x1))
        else:
            low, x1, f1 = x1, x2, f2
            x2 = low + ratio * (high - low)
            f2 = _value(m, h, b, factor, power, np.cos(x2), np.sin(x2))
    return x1 if f1 <= f2 else x2


@jit
def _newton(m, h, b, factor, power, at):  # type: ignore[no-untyped-def]
    """Three Newton steps from the angle ``at`` towards where the derivative vanishes."""
    for _ in range(3):
        c, s = np.cos(at), np.sin(at)
        slope, curvature = 0.0, 0.0
        for k in range(m.shape[0]):
            g, turned = h[k] * c + b[k] * s, b[k] * c - h[k] * s
            inside = (m[k] - g) * (m[k] + g)
            if inside <= 0.0:
                return at
            first = -2.0 * g * turned / inside
            second = -2.0 * (turned * turned - g * g) / inside - first * first
            weight = factor[k]
            if power > 0.0:
                weight = factor[k] * np.exp(power * np.log(inside))
                second += power * first * first
            slope += weight * first
            curvature += weight * second
        if not curvature > 0.0:
            return at
        step = slope / curvature
        if not abs(step) < 1e-3:
            return at
        at -= step
    return at


@jit
def rotate_axes(moments, axes, mass, power, max_sweeps, tol):  # type: ignore[no-untyped-def]
    """Turn the axes until no pair can be turned to lower the objective; works in place.

    Parameters
    ----------
    moments : array (k, d, d)
        In the coordinates of ``axes``; changed along.
    axes : array (d, d)
        One axis per column; changed.
    mass : array (k,)
    power : float
        0 for free volumes, 1/d for one volume.
    max_sweeps : int
    tol : float
        A sweep that turns no pair by more, in radians, is the last.

    Returns
    -------
    int
        Sweeps made.
    """
    k, d = moments.shape[0], moments.shape[1]
    m, h, b = np.empty(k), np.empty(k), np.empty(k)
    factor = np.empty(k)
    log_mass, logs = np.empty(k), np.zeros(k)
    for q in range(k):
        log_mass[q] = np.log(max(mass[q], TINY))
    for sweep in range(max_sweeps):
        largest = 0.0
        if power > 0.0:  # kept up to date by each rotation, and made anew against rounding
            for q in range(k):
                logs[q] = 0.0
                for a in range(d):
                    logs[q] += np.log(max(moments[q, a, a], TINY))
        for i in range(d - 1):
            for j in range(i + 1, d):
                top = -np.inf
                for q in range(k):
                    u, v = moments[q, i, i], moments[q, j, j]
                    m[q], h[q], b[q] = 0.5 * (u + v), 0.5 * (u - v), moments[q, i, j]
                    factor[q] = mass[q]
                    if power > 0.0:
                        rest = logs[q] - np.log(max(u, TINY)) - np.log(max(v, TINY))
                        factor[q] = power * rest + log_mass[q]
                        top = max(top, factor[q])
                if power > 0.0:
                    for q in range(k):
                        factor[q] = np.exp(factor[q] - top)
                here = _value(m, h, b, factor, power, 1.0, 0.0)
                size = max(abs(here), factor.sum())
                at = _newton(m, h, b, factor, power, 0.0)
                if d <= FEW or sweep < SEARCHING:
                    best, found = here, 0.0
                    for step in range(1, GRID):
                        phi = np.pi * step / GRID
                        value = _value(m, h, b, factor, power, np.cos(phi), np.sin(phi))
                        if value < best:
                            best, found = value, phi
                    width = np.pi / GRID
                    at = _lowest(m, h, b, factor, power, found - width, found + width)
                    at = _newton(m, h, b, factor, power, at)
                if abs(at) <= tol:
                    continue
                if _value(m, h, b, factor, power, np.cos(at), np.sin(at)) > here + 1e-13 * size:
                    continue
                largest = max(largest, 0.5 * abs(at))
                c, s = np.cos(0.5 * at), np.sin(0.5 * at)
                for a in range(d):
                    u, v = axes[a, i], axes[a, j]
                    axes[a, i], axes[a, j] = c * u + s * v, c * v - s * u
                for q in range(k):
                    for a in range(d):
                        u, v = moments[q, a, i], moments[q, a, j]
                        moments[q, a, i], moments[q, a, j] = c * u + s * v, c * v - s * u
                    for a in range(d):
                        u, v = moments[q, i, a], moments[q, j, a]
                        moments[q, i, a], moments[q, j, a] = c * u + s * v, c * v - s * u
                    u, v = moments[q, i, i], moments[q, j, j]
                    logs[q] += np.log(max(u, TINY)) + np.log(max(v, TINY))
                    logs[q] -= np.log(max(m[q] + h[q], TINY)) + np.log(max(m[q] - h[q], TINY))
        if largest <= tol:
            return sweep + 1
    return max_sweeps


#: What ``compiled.warm`` compiles.
SIGNATURES = {"rotate_axes": ["i8(f8[:, :, ::1], f8[:, ::1], f8[::1], f8, i8, f8)"]}
