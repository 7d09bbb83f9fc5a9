r"""The barycentre of mixtures along transport, a mixture again (Delon & Desolneux 2020, section 5).

    min over q of Σⱼ λⱼ MW₂²(q, pⱼ) = min over γ ∈ Γ(w⁽¹⁾, …, w⁽ʲ⁾) of Σ γ c

Labels are coupled over all mixtures at once; c is the cost of the Gaussian barycentre of a tuple of
components, which is what the tuple contributes to the answer, with the weight γ.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays.linalg import log, symmetrise, transpose
from mixtura.arrays.namespace import as_float, namespace, to_numpy
from mixtura.covariance import Covariance, DiagonalCovariance, FullCovariance
from mixtura.covariance.averages import mean_factor
from mixtura.covariance.bures import factors, is_diagonal
from mixtura.errors import InputError
from mixtura.mixture import convert
from mixtura.mixture.algebra import _make
from mixtura.mixture.coupling import masses, optimal_coupling
from mixtura.mixture.pairs import same_space, support
from mixtura.mixture.transport import geodesic
from mixtura.typing import Array, FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["barycenter"]

#: Tuples of components that may be coupled.
MAX_TUPLES = 50_000
#: Numbers in one block of tuples.
BLOCK = 2**21


def barycenter(mixtures: Sequence[Mixture], weights: Any = None) -> Mixture:
    """The mixture with the least Σ λⱼ MW₂²(·, pⱼ): an average of mixtures along transport.

    ``blend`` averages densities, and so shows every mixture's clusters; a barycentre moves the
    clusters onto each other.

    Parameters
    ----------
    mixtures : sequence of Mixture
        In the same columns.
    weights : array (j,), optional
        Non-negative, not all zero; equal by default.

    Returns
    -------
    Mixture
        With at most Σ kⱼ − j + 1 components.

    Raises
    ------
    InputError
        For something other than a list, mixtures in different columns, weights that do not fit,
        or more tuples of components than can be coupled exactly.

    Examples
    --------
    >>> import mixtura as mx
    >>> sides = [mx.Mixture([1.0], [[m]], [v]) for m, v in ((0.0, 1.0), (6.0, 16.0))]
    >>> middle = mx.barycenter(sides, [2, 1])
    >>> middle.mean, middle.cov
    (array([2.]), array([[4.]]))
    """
    if not isinstance(mixtures, Iterable):
        raise InputError(f"expected a list of mixtures, got {type(mixtures).__name__}; pass [a, b]")
    parts = list(mixtures)
    if not parts:
        raise InputError("expected at least one mixture for a barycenter, got none")
    for part in parts:
        same_space(parts[0], part, "barycenter")
    first = convert.meet(parts[0], *parts[1:])
    parts = [convert.alike(part, first) for part in parts]
    share = _share(weights, len(parts))
    parts = [m for m, s in zip(parts, share, strict=True) if s > 0]
    share = share[share > 0]
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2:
        return geodesic(parts[0], parts[1], float(share[1]))
    return _coupled([support(m) for m in parts], share)


def _share(weights: Any, size: int) -> FloatArray:
    try:
        share = np.asarray(np.ones(size) if weights is None else weights, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("expected numbers as weights of a barycenter") from None
    fits = share.shape == (size,) and np.isfinite(share).all()
    if not fits or (share < 0).any() or not share.sum() > 0:
        raise InputError(
            f"expected {size} non-negative weights, one per mixture and not all zero, got "
            f"{share.tolist()}"
        )
    return np.asarray(share / share.sum())


def _coupled(parts: list[Mixture], share: FloatArray) -> Mixture:
    """Multi-marginal transport: Gaussian barycentres of tuples, weighted by the best plan."""
    sizes = [m.k for m in parts]
    count = int(np.prod(sizes, dtype=np.float64))
    if count > MAX_TUPLES:
        raise InputError(
            f"expected at most {MAX_TUPLES} tuples of components in a barycenter, got {sizes}, "
            f"which make {count}; reduce() the mixtures to fewer components first"
        )
    tuples = np.stack(np.unravel_index(np.arange(count), sizes), axis=1)
    narrow = all(is_diagonal(m.covariance) for m in parts)
    block = max(1, BLOCK // (len(parts) * parts[0].d ** (1 if narrow else 2)))
    cost = [
        to_numpy(_average(parts, share, tuples[low : low + block])[2])
        for low in range(0, count, block)
    ]
    marginals = [to_numpy(m.weights) for m in parts]
    plan = optimal_coupling(np.concatenate(cost).reshape(sizes), marginals).plan
    chosen = np.flatnonzero(plan)
    means, covariance, _ = _average(parts, share, tuples[chosen])
    columns = next((m.columns for m in parts if m.columns is not None), None)
    mass = masses(plan, [m.weights for m in parts])
    return _make(log(mass), means, covariance, columns)


def _average(
    parts: list[Mixture], share: FloatArray, tuples: FloatArray
) -> tuple[Array, Covariance, Array]:
    """Gaussian barycentres of tuples (t, j) of components, and their costs (t,)."""
    xp = namespace(*(m.means for m in parts))
    picks = [column.tolist() for column in tuples.T]
    each = xp.stack([m.means[i] for m, i in zip(parts, picks, strict=True)])
    w = as_float(share, like=each)[:, None, None]
    means = xp.sum(w * each, axis=0)
    cost = xp.sum(w * (each - means) ** 2, axis=(0, 2))
    if all(is_diagonal(m.covariance) for m in parts):
        spreads = [xp.sqrt(m.covariance.diagonal())[i] for m, i in zip(parts, picks, strict=True)]
        spread = xp.stack(spreads)
        middle = xp.sum(w * spread, axis=0)
        extra = xp.sum(w * (spread - middle) ** 2, axis=(0, 2))
        return means, DiagonalCovariance(middle**2), cost + extra
    stacked = xp.stack([factors(m.covariance)[i] for m, i in zip(parts, picks, strict=True)])
    factor, extra = mean_factor(stacked, as_float(share, like=each))
    return means, FullCovariance(symmetrise(factor @ transpose(factor))), cost + extra
