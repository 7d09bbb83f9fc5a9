r"""Distribution function and quantiles of one-dimensional mixtures.

F(x) = Σ wₖ Φ((x − μₖ)/σₖ). A quantile is the root of F(x) = q: the smallest and largest quantile
of a single component bracket it, and bisection safeguards Newton's steps and follows them where
they crawl, as they do far out. In the upper half the
survival function is solved instead, so that both tails keep their digits. A gradient flows to a
quantile by the implicit function theorem: dx = (dq − dF) / f(x), f the density.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtr, ndtri

from mixtura.arrays.namespace import (
    as_float,
    detached,
    holds,
    is_numpy,
    namespace,
    normal_cdf,
    to_numpy,
)
from mixtura.errors import InputError
from mixtura.typing import Array, FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["cdf", "probabilities", "quantile", "row_quantile"]

#: Points × components in a batch.
BATCH_NUMBERS = 2**20
#: Newton's steps before a root is only bisected, and steps in all: tails are steep, and columns of
#: values that no float64 lies between are the end.
NEWTON_STEPS, STEPS = 30, 200


def _parts(mix: Mixture) -> tuple[Array, Array, Array]:
    if mix.d != 1:
        raise InputError(
            f"expected a one-dimensional mixture, got {mix.d} columns; take marginal([j]) first"
        )
    sd = namespace(mix.means).sqrt(mix.covariance.diagonal()[:, 0])
    return mix.weights, mix.means[:, 0], sd


def probabilities(q: Any, like: Array) -> Array:
    """Probabilities as an array of the library of ``like``.

    Raises
    ------
    InputError
        Outside [0, 1].
    """
    try:
        p = as_float(q, like=like)
    except InputError:
        raise
    except (TypeError, ValueError):
        raise InputError(f"expected probabilities between 0 and 1, got {q!r}") from None
    if not holds((p >= 0) & (p <= 1)):
        raise InputError("expected probabilities between 0 and 1")
    return p


def cdf(mix: Mixture, x: Any) -> Array:
    """P(X ≤ x), the shape of x ((n, 1) gives (n,))."""
    w, means, sd = _parts(mix)
    points = as_float(x, like=means)
    if points.ndim == 2 and points.shape[1] == 1:
        points = points[:, 0]
    if not is_numpy(points):
        return normal_cdf((points[..., None] - means) / sd) @ w
    flat = points.ravel()
    size = max(1, BATCH_NUMBERS // len(w))
    batches = [flat[low : low + size] for low in range(0, max(len(flat), 1), size)]
    with np.errstate(over="ignore"):  # infinitely far is far enough
        values = np.concatenate([ndtr((b[:, None] - means) / sd) @ w for b in batches])
    return values.reshape(points.shape)[()]


def quantile(mix: Mixture, q: Any) -> Array:
    """The x with F(x) = q, the shape of q; −inf and inf at 0 and 1.

    Raises
    ------
    InputError
        For probabilities outside [0, 1].
    """
    w, means, sd = _parts(mix)
    xp = namespace(w)
    probability = probabilities(q, w)
    p = xp.reshape(probability, (-1,))
    size = max(1, BATCH_NUMBERS // int(means.shape[0]))
    parts = []
    for low in range(0, max(int(p.shape[0]), 1), size):
        part = p[low : low + size]
        shape = (part.shape[0], means.shape[0])
        each, weights = xp.broadcast_to(means, shape), xp.broadcast_to(w, shape)
        parts.append(row_quantile(part, weights, each, sd))
    return xp.reshape(xp.concat(parts), probability.shape)


def row_quantile(p: Array, w: Array, means: Array, sd: Array) -> Array:
    """Quantiles (n,) of n one-dimensional mixtures that share their standard deviations.

    Parameters
    ----------
    p : array (n,)
        One probability per mixture.
    w, means : array (n, k)
    sd : array (k,)
    """
    if not is_numpy(means):
        return _with_gradient(p, w, means, sd)
    inside = (p > 0) & (p < 1)
    out = np.where(p <= 0, -np.inf, np.inf)
    if inside.any():
        out[inside] = _solve(p[inside], w[inside], means[inside], sd)
    return out


def _with_gradient(p: Array, w: Array, means: Array, sd: Array) -> Array:
    """The same for tensors: the root as a constant, plus nothing that has the root's gradient."""
    xp = namespace(means)
    root = row_quantile(*(to_numpy(a).astype(np.float64) for a in (p, w, means, sd)))
    inside = as_float(np.isfinite(root).astype(np.float64), like=means) > 0
    x = as_float(np.where(np.isfinite(root), root, 0.0), like=means)
    z = (x[:, None] - means) / sd
    error = p - xp.sum(w * normal_cdf(z), axis=1)
    slope = detached(xp.sum(w * xp.exp(-0.5 * z * z) / (sd * float(np.sqrt(2 * np.pi))), axis=1))
    step = error / xp.where(slope > 0, slope, xp.ones_like(slope))
    moved = x + (step - detached(step))
    return xp.where(inside, moved, as_float(root, like=means))


def _solve(p: FloatArray, w: FloatArray, means: FloatArray, sd: FloatArray) -> FloatArray:
    each = means + sd * ndtri(p[:, None])
    used = w > 0
    low = np.where(used, each, np.inf).min(axis=1)
    high = np.where(used, each, -np.inf).max(axis=1)
    sign = np.where(p > 0.5, -1.0, 1.0)  # solve F = p, or 1 − F = 1 − p
    target = np.where(p > 0.5, 1 - p, p)
    x = 0.5 * (low + high)
    active = np.arange(len(p))
    for count in range(STEPS):
        w_a, x_a = w[active], x[active]
        z = (x_a[:, None] - means[active]) / sd
        value = (w_a * ndtr(sign[active, None] * z)).sum(axis=1)
        error = sign[active] * (value - target[active])  # increasing in x
        low[active] = np.where(error < 0, x_a, low[active])
        high[active] = np.where(error > 0, x_a, high[active])
        slope = (w_a * np.exp(-0.5 * z * z) / (sd * np.sqrt(2 * np.pi))).sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = x_a - error / slope
        within = (step > low[active]) & (step < high[active]) & (count < NEWTON_STEPS)
        new = np.where(within, step, 0.5 * (low[active] + high[active]))
        new = np.where(error == 0, x_a, new)
        x[active] = new
        active = active[np.abs(new - x_a) > 4 * np.finfo(np.float64).eps * np.abs(x_a)]
        if len(active) == 0:
            break
    return np.asarray(x)
