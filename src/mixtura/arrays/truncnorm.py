r"""Mass, mean and variance of the standard normal on an interval: accurate in the far tails too.

With P = Φ(β) − Φ(α), the mean is (φ(α) − φ(β)) / P and the variance 1 + (α φ(α) − β φ(β)) / P −
mean² (Johnson, Kotz & Balakrishnan 1994, §13.10.1). Digits cancel in these where the interval lies
far out or is narrow, so each case has a way of its own:

- one bound, near: the inverse Mills ratio λ = φ(β) / Φ(β), mean −λ and variance 1 − λ (λ + β);
- one bound at −t, far: Laplace's continued fraction, q = 1/(t + r), r = 2/(t + 3/(t + …)), mean
  −(t + q) and variance q (r − q), which has no cancellation left;
- two bounds: Gauss–Legendre quadrature where the density is above e⁻⁴⁰ of its greatest height.
"""

from __future__ import annotations

import numpy as np
from scipy.special import log_ndtr

from mixtura.typing import FloatArray

__all__ = ["truncated_normal"]

LOG_ROOT_2PI = 0.5 * float(np.log(2 * np.pi))
#: From where on the continued fraction is taken, and its terms.
FAR, TERMS = 4.0, 60
#: How far the density may fall before the rest is left out: e⁻⁴⁰.
FALL = 40.0
NODES, MASSES = np.polynomial.legendre.leggauss(64)


def truncated_normal(
    lower: FloatArray, upper: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Log mass, mean and variance of a standard normal number known to lie in an interval.

    Parameters
    ----------
    lower, upper : arrays of one shape
        lower < upper; infinite where there is no bound.

    Returns
    -------
    log_mass, mean, variance : arrays of that shape
        The log of the probability of the interval, and the moments within it.
    """
    lower, upper = np.broadcast_arrays(lower, upper)
    turned = lower > -upper  # the interval is laid on the left, by symmetry
    a, b = np.where(turned, -upper, lower), np.where(turned, -lower, upper)
    log_mass, mean, variance = _one_sided(b)
    both = np.isfinite(a)
    if both.any():
        log_mass[both], mean[both], variance[both] = _two_sided(a[both], b[both])
    return log_mass, np.where(turned, -mean, mean), variance


def _one_sided(b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of the standard normal below b."""
    log_mass = log_ndtr(b)
    t = np.maximum(-b, FAR)
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = np.exp(-0.5 * b * b - LOG_ROOT_2PI - log_mass)
        near = 1.0 - ratio * (ratio + np.where(np.isinf(b), 0.0, b))
    r = np.zeros_like(t)
    for i in range(TERMS, 1, -1):
        r = i / (t + r)
    q = 1.0 / (t + r)
    far = -b > FAR
    mean = np.where(far, -(t + q), -ratio)
    return np.asarray(log_mass), mean, np.where(far, q * (r - q), near)


def _two_sided(a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Of the standard normal in (a, b), a + b ≤ 0, a finite."""
    peak = np.minimum(b, 0.0)
    reach = np.sqrt(peak * peak + 2 * FALL)
    top = np.minimum(b, reach)
    # reach − |peak| without cancellation, where the peak lies far out
    width = np.minimum(top - a, np.where(b < 0, 2 * FALL / (reach - peak), top + reach))
    below = 0.5 * width[:, None] * (1.0 - NODES)  # distances from the upper end
    off = (top - peak)[:, None] - below
    height = MASSES * np.exp(-0.5 * off * (off + 2 * peak[:, None]))
    total = height.sum(axis=1)
    height /= total[:, None]
    depth = (height * below).sum(axis=1)
    variance = (height * (below - depth[:, None]) ** 2).sum(axis=1)
    log_mass = np.log(0.5 * width) + np.log(total) - 0.5 * peak * peak - LOG_ROOT_2PI
    return log_mass, top - depth, variance
