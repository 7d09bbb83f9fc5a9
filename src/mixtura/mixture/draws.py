r"""Draws of tensors, and how gradients flow through them.

A row is x = μ_c + L_c z, with z standard normal: differentiable in means and covariances with z
held fixed (the reparameterised or pathwise gradient). The choice c of the component has no path.
The straight-through estimator (Bengio, Léonard & Courville 2013) puts y = e_c + w − sg(w), sg a
constant of the same value, for the one-hot e_c in x = Σₖ yₖ (μₖ + Lₖ z). The score function
(Williams 1992) needs log w_c beside x: ∇E f = E[∇f + f ∇log w_c].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import transpose
from mixtura.arrays.namespace import detached, is_numpy, namespace, to_numpy, zeros
from mixtura.arrays.random import choice, standard_normal
from mixtura.covariance import Covariance
from mixtura.errors import InputError
from mixtura.typing import Array

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["GRADIENTS", "check_gradient", "from_parts", "sample"]

GRADIENTS = ("pathwise", "straight-through", "score")


def check_gradient(gradient: str, mix: Mixture) -> None:
    """Refuse unknown gradients, and gradients of NumPy's arrays, which have none."""
    if gradient not in GRADIENTS:
        names = ", ".join(map(repr, GRADIENTS))
        raise InputError(f"expected the gradient among {names}, got {gradient!r}")
    if gradient != "pathwise" and is_numpy(mix.means):
        raise InputError(
            f"expected a mixture of tensors for the gradient {gradient!r}, got one of NumPy "
            'arrays; take it there with .to("torch")'
        )


def sample(mix: Mixture, n: int, source: Any, return_labels: bool, gradient: str) -> Any:
    """Rows (n, d) of tensors; see ``Mixture.sample``."""
    xp = namespace(mix.means)
    labels = choice(mix.weights[None], n, source)[0]
    if gradient == "straight-through":
        weights = xp.broadcast_to(mix.weights, (n, mix.k))
        x = _straight_through(mix.means, mix.covariance, weights, labels, source)
    else:
        x = mix.means[labels] + _noise(mix.covariance, labels, source, mix.means)
    parts = [x]
    if return_labels:
        parts.append(labels)
    if gradient == "score":
        parts.append(mix.log_weights[labels])
    return parts[0] if len(parts) == 1 else tuple(parts)


def from_parts(
    log_resp: Array, means: Array, covariance: Covariance, draws: int, source: Any, gradient: str
) -> tuple[Array, Array]:
    """Draws from a mixture of its own for each row, all with the same covariances.

    Parameters
    ----------
    log_resp : tensor (b, k)
    means : tensor (b, k, m)
    covariance : Covariance (k, m, m)
    draws : int
        Per row.
    source : generator
    gradient : str

    Returns
    -------
    y : tensor (b, draws, m)
    log_choice : tensor (b, draws)
    """
    xp = namespace(log_resp, means)
    b, _, m = means.shape
    resp = xp.exp(log_resp)
    labels = choice(resp, draws, source)  # (b, draws)
    flat = xp.reshape(labels, (-1,))
    rows = xp.repeat(xp.arange(b, device=labels.device), draws)
    if gradient == "straight-through":
        y = _straight_through(means[rows], covariance, resp[rows], flat, source)
    else:
        y = means[rows, flat] + _noise(covariance, flat, source, means)
    return xp.reshape(y, (b, draws, m)), xp.reshape(log_resp[rows, flat], (b, draws))


def _noise(covariance: Covariance, labels: Array, source: Any, like: Array) -> Array:
    """One draw of N(0, Σ_label) for each label: (n, d)."""
    counts = np.bincount(to_numpy(labels), minlength=covariance.k)
    parts = []
    for j in np.flatnonzero(counts):
        one = covariance.take([int(j)])
        z = standard_normal((1, one.n_normals, int(counts[j])), source, like)
        parts.append(transpose(one.drawn(z)[0]))
    if not parts:
        return zeros((0, covariance.d), like)
    xp = namespace(like)
    return xp.concat(parts)[xp.argsort(xp.argsort(labels))]


def _straight_through(
    means: Array, covariance: Covariance, weights: Array, labels: Array, source: Any
) -> Array:
    """Σₖ yₖ (μₖ + Lₖ z) for means (n, k, d) or (k, d), weights (n, k) and labels (n,)."""
    xp = namespace(means)
    n = int(labels.shape[0])
    z = standard_normal((1, covariance.n_normals, n), source, means)
    each = means + xp.permute_dims(covariance.drawn(z), (2, 0, 1))  # (n, k, d)
    chosen = labels[:, None] == xp.arange(covariance.k, device=labels.device)[None, :]
    y = xp.astype(chosen, means.dtype) + (weights - detached(weights))
    return xp.sum(y[:, :, None] * each, axis=1)
