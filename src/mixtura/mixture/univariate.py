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

__all__ = ["cdf", "ndtr", "quantile", "row_quantile"]


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
    each = np.broadcast_to(means, (p.size, len(means)))
    return row_quantile(p, np.broadcast_to(w, each.shape), each, sd).reshape(probability.shape)


def row_quantile(p: FloatArray, w: FloatArray, means: FloatArray, sd: FloatArray) -> FloatArray:
    """Quantiles (n,) of n one-dimensional mixtures that share their standard deviations.

    Parameters
    ----------
    p : array (n,)
        One probability per mixture.
    w, means : array (n, k)
    sd : array (k,)
    """
    inside = (p > 0) & (p < 1)
    out = np.where(p <= 0, -np.inf, np.inf)
    if inside.any():
        out[inside] = _solve(p[inside], w[inside], means[inside], sd)
    return out


def _solve(p: FloatArray, w: FloatArray, means: FloatArray, sd: FloatArray) -> FloatArray:
    each = means + sd * ndtri(p[:, None])
    used = w > 0
    low = np.where(used, each, np.inf).min(axis=1)
    high = np.where(used, each, -np.inf).max(axis=1)
    sign = np.where(p > 0.5, -1.0, 1.0)  # solve F = p, or 1 − F = 1 − p
    target = np.where(p > 0.5, 1 - p, p)
    x = 0.5 * (low + high)
    active = np.arange(len(p))
    for _ in range(200):
        w_a, x_a = w[active], x[active]
        z = (x_a[:, None] - means[active]) / sd
        value = (w_a * ndtr(sign[active, None] * z)).sum(axis=1)
        error = sign[active] * (value - target[active])  # increasing in x
        low[active] = np.where(error < 0, x_a, low[active])
        high[active] = np.where(error > 0, x_a, high[active])
        slope = (w_a * np.exp(-0.5 * z * z) / (sd * np.sqrt(2 * np.pi))).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = x_a - error / slope
        within = (step > low[active]) & (step < high[active])
        new = np.where(within, step, 0.5 * (low[active] + high[active]))
        new = np.where(error == 0, x_a, new)
        x[active] = new
        active = active[np.abs(new - x_a) > 4 * np.finfo(np.float64).eps * np.abs(x_a)]
        if len(active) == 0:
            break
    return np.asarray(x)
