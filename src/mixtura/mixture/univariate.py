r"""Distribution function and quantiles of one-dimensional mixtures.

F(x) = Σ wₖ Φ((x − μₖ)/σₖ). A quantile is the root of F(x) = q: the smallest and largest quantile
of a single component bracket it, and bisection safeguards Newton's steps. In the upper half the
survival function is solved instead, so that both tails keep their digits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from mixtura.errors import InputError
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["cdf", "quantile"]


def _parts(mix: Mixture) -> tuple[FloatArray, FloatArray, FloatArray]:
    if mix.d != 1:
        raise InputError(
            f"expected a one-dimensional mixture, got {mix.d} columns; take marginal([j]) first"
        )
    means = np.asarray(mix.means)[:, 0]
    return np.asarray(mix.weights), means, np.sqrt(np.asarray(mix.covariance.diagonal())[:, 0])


def cdf(mix: Mixture, x: Any) -> FloatArray:
    """P(X ≤ x), the shape of x ((n, 1) gives (n,))."""
    w, means, sd = _parts(mix)
    points = np.asarray(x, dtype=np.float64)
    if points.ndim == 2 and points.shape[1] == 1:
        points = points[:, 0]
    return np.asarray(ndtr((points[..., None] - means) / sd) @ w)


def quantile(mix: Mixture, q: Any) -> FloatArray:
    """The x with F(x) = q, the shape of q; −inf and inf at 0 and 1.

    Raises
    ------
    InputError
        For probabilities outside [0, 1].
    """
    w, means, sd = _parts(mix)
    probability = np.asarray(q, dtype=np.float64)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise InputError("expected probabilities between 0 and 1")
    p = probability.ravel()
    used = w > 0
    w, means, sd = w[used], means[used], sd[used]
    each = means + sd * ndtri(p[:, None])
    low, high = each.min(axis=1), each.max(axis=1)
    inside = (p > 0) & (p < 1)
    out = np.where(p <= 0, -np.inf, np.inf)
    out[inside] = _solve(p[inside], low[inside], high[inside], w, means, sd)
    return out.reshape(probability.shape)


def _solve(
    p: FloatArray,
    low: FloatArray,
    high: FloatArray,
    w: FloatArray,
    means: FloatArray,
    sd: FloatArray,
) -> FloatArray:
    sign = np.where(p > 0.5, -1.0, 1.0)  # solve F = p, or 1 − F = 1 − p
    target = np.where(p > 0.5, 1 - p, p)
    x = 0.5 * (low + high)
    for _ in range(200):
        z = (x[:, None] - means) / sd
        value = ndtr(sign[:, None] * z) @ w
        error = sign * (value - target)  # increasing in x
        low, high = np.where(error < 0, x, low), np.where(error > 0, x, high)
        slope = (np.exp(-0.5 * z * z) / (sd * np.sqrt(2 * np.pi))) @ w
        with np.errstate(divide="ignore", invalid="ignore"):
            step = x - error / slope
        middle = 0.5 * (low + high)
        new = np.where((step > low) & (step < high), step, middle)
        new = np.where(error == 0, x, new)
        done = np.abs(new - x) <= 4 * np.finfo(np.float64).eps * np.abs(x)
        x = new
        if done.all():
            break
    return x
