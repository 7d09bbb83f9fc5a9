r"""Densities of rows under a mixture, batch by batch.

log p(x) = log Σₖ exp(log wₖ + log N(x; μₖ, Σₖ)), with g = ∇ log p = Σ rₖ gₖ, gₖ = Σₖ⁻¹ (μₖ − x),
and ∇² log p = Σ rₖ (gₖ gₖᵀ − Σₖ⁻¹) − g gᵀ. The kernel is chosen by the mixture alone, so that a
row's score does not depend on the other rows of the call. ``reach`` tells rows
beyond its range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.linalg import log_softmax, logsumexp
from mixtura.arrays.namespace import is_numpy, namespace, zeros
from mixtura.arrays.parallel import each_batch
from mixtura.mixture import reach, shortlist
from mixtura.typing import Array, FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = [
    "grad_log_density",
    "hessian_log_density",
    "log_density",
    "log_joint",
    "responsibilities",
]

#: Bytes of working memory for one batch.
BATCH_BYTES = 8 * 2**20
#: The same for tensors: what stays in a processor's cache, and what keeps an accelerator busy.
TENSOR_BYTES, DEVICE_BYTES = 4 * 2**20, 256 * 2**20
#: Tiles of a batch that goes by a shortlist.
TILES = 8


def log_joint(mix: Mixture, x: Array) -> Array:
    """Log wₖ + log N(x; μₖ, Σₖ): (n, k)."""
    if not is_numpy(mix.means):
        return _in_batches(mix, x, lambda joint: joint)
    out = np.empty((x.shape[0], mix.k))

    def work(start: int, stop: int) -> None:
        out[start:stop] = _joint_batch(mix, x[start:stop])

    each_batch(work, x.shape[0], _batch_rows(mix))
    return out


def log_density(mix: Mixture, x: Array) -> Array:
    """Log p(x) (n,)."""
    if not is_numpy(mix.means):
        return _in_batches(mix, x, logsumexp)
    return _scores(mix, x, "log_total", np.empty(x.shape[0]))


def responsibilities(mix: Mixture, x: Array) -> Array:
    """P(component | x) (n, k); rows sum to one."""
    if not is_numpy(mix.means):
        joint = log_joint(mix, x)
        return namespace(joint).exp(log_softmax(joint))
    return _scores(mix, x, "shares", np.empty((x.shape[0], mix.k)))


def labels(mix: Mixture, x: FloatArray) -> FloatArray:
    """The most probable component of each row (n,), the first of equal ones."""
    return _scores(mix, x, "labels", np.empty(x.shape[0], dtype=np.int64))


def _scores(mix: Mixture, x: FloatArray, name: str, out: FloatArray) -> FloatArray:
    """Write what the kernel ``scores.name`` makes of log joints, or ``shortlist.name`` of rows."""
    n = x.shape[0]
    size = own = _batch_rows(mix)
    reduce = compiled.choose(f"scores.{name}", n * mix.k)

    def whole(rows: FloatArray, found: FloatArray) -> None:
        for low in range(0, len(rows), own):
            reduce(_joint_batch(mix, rows[low : low + own]), found[low : low + own])

    way: Callable[[FloatArray, FloatArray], None] = whole
    large = n * mix.k >= shortlist.LEAST_WORK and compiled.serves(n * mix.k)
    if large and mix._screen is not None:
        size = TILES * mix._screen.tile
        way = shortlist.Shortlisted(mix._screen, name, whole)
    each_batch(lambda low, high: way(x[low:high], out[low:high]), n, size)
    return out


def gates(mix: Mixture, x: FloatArray, n: int) -> FloatArray:
    """P(component | x) (b, k) of one batch of a table of n rows."""
    joint = _joint_batch(mix, x)
    compiled.choose("scores.shares", n * mix.k)(joint, joint)
    return joint


def grad_log_density(mix: Mixture, x: Array) -> Array:
    """∇ log p(x) (n, d)."""
    return _gradients(mix, x, hessian=False)


def hessian_log_density(mix: Mixture, x: Array) -> Array:
    """∇² log p(x) (n, d, d)."""
    return _gradients(mix, x, hessian=True)


def _joint_batch(mix: Mixture, x: FloatArray) -> FloatArray:
    anchor, form = mix._kernel
    with np.errstate(over="ignore", invalid="ignore"):
        joint = form.log_joint(np.subtract(x, anchor, order="C"))
    return reach.mended(mix, joint, lambda rows: reach.far_joint(mix, x[rows]))


def _batch_rows(mix: Mixture) -> int:
    _, form = mix._kernel
    return int(np.clip(BATCH_BYTES // (8 * form.row_floats(mix.d, mix.k)), 64, 8192))


def _in_batches(mix: Mixture, x: Array, reduce: Callable[[Array], Array]) -> Array:
    """A function of the log joint of tensors, in batches of bounded memory."""
    most = TENSOR_BYTES if str(x.device) == "cpu" else DEVICE_BYTES
    size = max(1, most // (8 * mix.k * mix.d))
    parts = [
        reduce(_log_joint_generic(mix, x[start : start + size]))
        for start in range(0, max(1, x.shape[0]), size)
    ]
    return parts[0] if len(parts) == 1 else namespace(x).concat(parts)


def _log_joint_generic(mix: Mixture, x: Array) -> Array:
    """The same on any array library, differentiable; also the readable reference."""
    xp = namespace(x, mix.means)
    v = xp.permute_dims(x[None, :, :] - mix.means[:, None, :], (0, 2, 1))  # (k, d, n)
    delta = mix.covariance.mahalanobis(v)  # (k, n)
    const = mix.log_weights - 0.5 * (mix.d * float(np.log(2 * np.pi)) + mix.covariance.logdet)
    return xp.permute_dims(const[:, None] - 0.5 * delta, (1, 0))


def _gradients(mix: Mixture, x: Array, *, hessian: bool) -> Array:
    xp = namespace(x, mix.means)
    n, d, k = x.shape[0], mix.d, mix.k
    if is_numpy(x):
        reach.check(mix, x)
    size = int(np.clip(BATCH_BYTES // (8 * d * k), 1, max(n, 1)))
    precision = mix.covariance.precision() if hessian else None
    parts = []
    for start in range(0, n, size):
        batch = x[start : start + size]
        resp = responsibilities(mix, batch)
        v = xp.permute_dims(mix.means[:, None, :] - batch[None, :, :], (0, 2, 1))
        each = xp.permute_dims(mix.covariance.solve(v), (2, 0, 1))  # gₖ (b, k, d)
        grad = xp.sum(resp[:, :, None] * each, axis=1)
        if precision is None:
            parts.append(grad)
            continue
        spread = each - grad[:, None, :]  # Σ r g gᵀ − ḡ ḡᵀ, without its cancellation
        outer = xp.matmul(xp.permute_dims(resp[:, :, None] * spread, (0, 2, 1)), spread)
        curvature = xp.reshape(resp @ xp.reshape(precision, (k, d * d)), (-1, d, d))
        parts.append(outer - curvature)
    if not parts:
        return zeros((0, d, d) if hessian else (0, d), mix.means)
    return xp.concat(parts, axis=0)
