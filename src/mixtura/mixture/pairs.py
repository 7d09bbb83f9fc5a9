r"""Closed forms between every component of one mixture and every component of another: (k, k').

    ∫ f g = N(m; m', Σ + Σ'),    KL(f‖g) = ½ (tr Σ'⁻¹Σ + ‖m − m'‖²_Σ' − d + log|Σ'| − log|Σ|),
    −log ∫ √(f g) = ¼ ‖m − m'‖²_(Σ + Σ') + ½ log|(Σ + Σ')/2| − ¼ (log|Σ| + log|Σ'|),
    W₂²(f, g) = ‖m − m'‖² + b²(Σ, Σ').

Pairs are taken in blocks of bounded memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mixtura.arrays.namespace import is_numpy, namespace, to_numpy
from mixtura.covariance import plus, stack
from mixtura.covariance.bures import factors, is_diagonal, squared_bures
from mixtura.errors import InputError
from mixtura.mixture import convert
from mixtura.mixture.algebra import LOG_2PI, _make
from mixtura.typing import Array, FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = [
    "Sums",
    "as_numpy",
    "coincide",
    "gaussian_kl",
    "nothing",
    "pair",
    "same_space",
    "signed",
    "squared_wasserstein",
    "sums",
    "support",
]

#: Bytes of working memory for one block of pairs.
BLOCK_BYTES = 32 * 2**20


def same_space(a: Any, b: Any, what: str) -> None:
    """Refuse two mixtures that do not live in the same columns."""
    from mixtura.mixture.mixture import Mixture

    for value in (a, b):
        if not isinstance(value, Mixture):
            raise InputError(
                f"expected mixtures in {what}, got {type(value).__name__}; a fitted estimator "
                "carries one as mixture_"
            )
    if a.d != b.d:
        raise InputError(
            f"expected mixtures with as many columns in {what}, got {a.d} and {b.d}; take the "
            "columns that they share with marginal()"
        )
    if a.columns is not None and b.columns is not None and a.columns != b.columns:
        mend = "reorder" if set(a.columns) == set(b.columns) else "take the columns they share of"
        raise InputError(
            f"expected the same columns in {what}, got {', '.join(a.columns)} and "
            f"{', '.join(b.columns)}; {mend} one with marginal()"
        )


def pair(a: Any, b: Any, what: str) -> tuple[Mixture, Mixture]:
    """Two mixtures in the same columns and in one array library."""
    same_space(a, b, what)
    left = convert.meet(a, b)
    return left, convert.alike(b, left)


def nothing(mix: Mixture) -> Any:
    """A distance of zero, in the mixture's library, with a gradient of zero."""
    return 0.0 if is_numpy(mix.means) else 0.0 * namespace(mix.means).sum(mix.means)


def support(mix: Mixture) -> Mixture:
    """The mixture without components of weight zero."""
    if not is_numpy(mix.weights) or (mix.weights > 0).all():
        return mix
    kept = np.flatnonzero(mix.weights)
    return _make(mix.log_weights[kept], mix.means[kept], mix.covariance.take(kept), mix.columns)


def signed(a: Mixture, b: Mixture) -> tuple[Mixture, Array]:
    """The difference p − q as components and signed masses (m,).

    Components that occur more than once, within a mixture or in both, are taken together in a
    canonical order: what the mixtures share cancels exactly, and neither the order of components
    nor a component given in several parts can matter. (Not on other array libraries, where it
    would cut gradients.)
    """
    xp = namespace(a.means, b.means)
    mass = xp.concat([a.weights, -b.weights])
    means = xp.concat([a.means, b.means])
    covariance = stack([a.covariance, b.covariance])
    if is_numpy(means):
        shape = covariance.diagonal() if is_diagonal(covariance) else covariance.dense()
        keys = np.concatenate([means, shape.reshape(len(means), -1)], axis=1)
        _, first, label = np.unique(keys, axis=0, return_index=True, return_inverse=True)
        mass = _exact_sums(mass, label.ravel(), len(first))
        means, covariance = means[first], covariance.take(first)
    ones = xp.zeros_like(mass)
    return _make(ones, means, covariance, a.columns or b.columns), mass


def _exact_sums(mass: FloatArray, label: FloatArray, size: int) -> FloatArray:
    """Σ mass by label, rounding left over from parts that cancel set to zero."""
    total = np.bincount(label, weights=mass, minlength=size)
    scale = np.bincount(label, weights=np.abs(mass), minlength=size)
    return np.where(np.abs(total) <= 8 * np.finfo(np.float64).eps * scale, 0.0, total)


def coincide(a: Mixture, b: Mixture) -> bool:
    """Whether two mixtures are the same up to the order and splitting of components."""
    if a is b:
        return True
    try:
        return not signed(a.to("numpy"), b.to("numpy"))[1].any()
    except RuntimeError:  # numbers that cannot be looked at, as under torch.func.vmap
        return False


def _blocks(a: Mixture, b: Mixture, floats: int) -> list[tuple[int, int]]:
    """Spans of components of ``a`` such that a block of pairs of ``floats`` numbers fits."""
    size = max(1, BLOCK_BYTES // (8 * b.k * max(floats, 1)))
    return [(low, min(low + size, a.k)) for low in range(0, a.k, size)]


def _floats(a: Mixture, b: Mixture) -> int:
    narrow = is_diagonal(a.covariance) and is_diagonal(b.covariance)
    return 4 * (a.d if narrow else a.d * (a.d + 1))


class Sums(NamedTuple):
    """The law of the difference of x ~ f and y ~ g for each pair: N(m − m', Σ + Σ')."""

    logdet: Array
    delta: Array
    d: int

    @property
    def log_overlap(self) -> Array:
        """log ∫ f g (k, k')."""
        return -0.5 * (self.d * LOG_2PI + self.logdet + self.delta)

    def bhattacharyya(self, a: Mixture, b: Mixture) -> Array:
        """−log ∫ √(f g) (k, k')."""
        own = a.covariance.logdet[:, None] + b.covariance.logdet[None, :]
        value = 0.25 * self.delta + 0.5 * (self.logdet - self.d * float(np.log(2))) - 0.25 * own
        xp = namespace(value)
        return xp.where(value > 0, value, xp.zeros_like(value))


def sums(a: Mixture, b: Mixture, extra: float = 0.0) -> Sums:
    """log|Σ + Σ' + extra I| and ‖m − m'‖² in that metric, for each pair."""
    xp = namespace(a.means, b.means)
    logdets, deltas = [], []
    for start, stop in _blocks(a, b, _floats(a, b)):
        left = [i for i in range(start, stop) for _ in range(b.k)]
        right = list(range(b.k)) * (stop - start)
        total = plus(a.covariance.take(left), b.covariance.take(right))
        if extra:
            total = total.scaled(1.0, extra)
        gap = (a.means[left] - b.means[right])[:, :, None]
        deltas.append(xp.reshape(total.mahalanobis(gap)[:, 0], (-1, b.k)))
        logdets.append(xp.reshape(total.logdet, (-1, b.k)))
    return Sums(xp.concat(logdets), xp.concat(deltas), a.d)


def gaussian_kl(a: Mixture, b: Mixture) -> Array:
    """KL(f‖g) (k, k'), never negative."""
    xp = namespace(a.means, b.means)
    narrow = is_diagonal(a.covariance) and is_diagonal(b.covariance)
    root = None if narrow else factors(a.covariance)
    own, other = a.covariance.diagonal(), b.covariance.diagonal()
    parts = []
    for start, stop in _blocks(a, b, _floats(a, b)):
        gap = xp.permute_dims(a.means[None, start:stop] - b.means[:, None, :], (0, 2, 1))
        distance = xp.permute_dims(b.covariance.mahalanobis(gap), (1, 0))
        if root is None:
            trace = xp.sum(own[start:stop, None, :] / other[None, :, :], axis=-1)
        else:
            columns = xp.permute_dims(root[start:stop], (1, 0, 2))  # (d, block, d)
            flat = xp.reshape(columns, (1, a.d, -1))
            each = b.covariance.mahalanobis(xp.broadcast_to(flat, (b.k, *flat.shape[1:])))
            trace = xp.permute_dims(xp.sum(xp.reshape(each, (b.k, -1, a.d)), axis=-1), (1, 0))
        logdet = b.covariance.logdet[None, :] - a.covariance.logdet[start:stop, None]
        parts.append(0.5 * (trace + distance - a.d + logdet))
    value = xp.concat(parts)
    return xp.where(value > 0, value, xp.zeros_like(value))


def squared_wasserstein(a: Mixture, b: Mixture) -> Array:
    """W₂²(f, g) (k, k'), zero for equal components."""
    xp = namespace(a.means, b.means)
    narrow = is_diagonal(a.covariance) and is_diagonal(b.covariance)
    take: Callable[[Any], Array] = (lambda c: xp.sqrt(c.diagonal())) if narrow else factors
    left, right = take(a.covariance), take(b.covariance)
    parts = []
    for start, stop in _blocks(a, b, _floats(a, b)):
        gap = a.means[start:stop, None, :] - b.means[None, :, :]
        f, g = left[start:stop, None, ...], right[None, ...]
        shape = xp.sum((f - g) ** 2, axis=-1) if narrow else squared_bures(f, g)
        parts.append(xp.sum(gap * gap, axis=-1) + shape)
    return xp.concat(parts)


def as_numpy(mix: Mixture) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights (k,), means (k, d) and dense covariances (k, d, d) as NumPy arrays."""
    return to_numpy(mix.weights), to_numpy(mix.means), to_numpy(mix.covariance.dense())
