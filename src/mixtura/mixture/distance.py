r"""Distances in closed form: L² and maximum mean discrepancy.

Both are norms of the signed mixture p − q = Σᵢ cᵢ fᵢ, as ∫ fᵢ fⱼ = N(mᵢ; mⱼ, Σᵢ + Σⱼ):

    ‖p − q‖² = cᵀ T c,    Tᵢⱼ = N(mᵢ; mⱼ, Σᵢ + Σⱼ)                                          (L²)
    MMD² = cᵀ K c,        Kᵢⱼ = (2π h²)^(d/2) N(mᵢ; mⱼ, Σᵢ + Σⱼ + h² I)                     (MMD)

for the Gaussian kernel exp(−‖x − y‖² / 2h²) (Muandet, Fukumizu, Dinuzzo & Schölkopf 2012).
Components that the two share cancel before the norm is taken; what remains is a difference of like
numbers, so that distances below about 1e-8 of the norms of p and q drown in rounding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.namespace import detached, is_numpy, namespace
from mixtura.errors import InputError
from mixtura.mixture.algebra import LOG_2PI
from mixtura.mixture.pairs import coincide, nothing, pair, signed, sums
from mixtura.typing import Array

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["l2", "mmd", "square_root"]


def l2(p: Mixture, q: Mixture) -> Any:
    """The L² distance √∫(p − q)², in closed form.

    Parameters
    ----------
    p, q : Mixture
        In the same columns.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For mixtures in different columns.

    Examples
    --------
    >>> import mixtura as mx
    >>> p, q = mx.Mixture([1.0], [[0.0]], [1.0]), mx.Mixture([1.0], [[1.0]], [1.0])
    >>> round(mx.l2(p, q), 4)
    0.3533
    >>> mx.l2(p, p)
    0.0
    """
    p, q = pair(p, q, "l2")
    if coincide(p, q):
        return nothing(p)
    parts, mass = signed(p, q)
    return _norm(sums(parts, parts).log_overlap, mass)


def mmd(p: Mixture, q: Mixture, bandwidth: float) -> Any:
    """Maximum mean discrepancy with the kernel exp(−‖x − y‖² / 2h²), in closed form.

    Parameters
    ----------
    p, q : Mixture
        In the same columns.
    bandwidth : float
        h, in the units of the columns: what differs at scales well below h is not seen.

    Returns
    -------
    float
        Between 0 and √2.

    Raises
    ------
    InputError
        For mixtures in different columns, or a bandwidth that is not positive.

    Examples
    --------
    >>> import mixtura as mx
    >>> p, q = mx.Mixture([1.0], [[0.0]], [1.0]), mx.Mixture([1.0], [[1.0]], [1.0])
    >>> round(mx.mmd(p, q, bandwidth=1.0), 4)
    0.4211
    """
    p, q = pair(p, q, "mmd")
    h = _bandwidth(bandwidth)
    if coincide(p, q):
        return nothing(p)
    parts, mass = signed(p, q)
    kernel = sums(parts, parts, h * h).log_overlap + 0.5 * p.d * (LOG_2PI + 2 * float(np.log(h)))
    return _norm(kernel, mass)


def _bandwidth(value: Any) -> float:
    try:
        h = float(value)
    except (TypeError, ValueError):
        raise InputError(
            f"expected one number as bandwidth, got {type(value).__name__}; take several "
            "bandwidths one at a time"
        ) from None
    if not 0 < h < np.inf:
        raise InputError(
            f"expected a positive bandwidth, got {h:g}; a usual choice is the typical distance "
            "between rows, about numpy.sqrt(2 * numpy.trace(p.cov))"
        )
    return h


def _norm(log_kernel: Array, mass: Array) -> Any:
    """√(cᵀ exp(log K) c), the largest kernel value taken out first."""
    xp = namespace(log_kernel, mass)
    top = xp.max(detached(log_kernel))
    form = mass @ (xp.exp(log_kernel - top) @ mass)
    value = xp.exp(0.5 * top) * square_root(form)
    return float(value) if is_numpy(value) else value


def square_root(value: Array) -> Array:
    """√value, zero with a zero gradient where the value is not positive."""
    xp = namespace(value)
    positive = value > 0
    root = xp.sqrt(xp.where(positive, value, xp.ones_like(value)))
    return xp.where(positive, root, xp.zeros_like(root))
