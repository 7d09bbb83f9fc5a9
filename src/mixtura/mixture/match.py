r"""Components of two mixtures paired, as the two fits of one table number them differently.

The pairs minimise Σ ω_ab W₂²(f_a, g_b) over one-to-one pairings (Kuhn's Hungarian method), in units
of the pooled covariance, so that neither scale nor rotation of the columns matters. ω is the weight
of the component on the side that has fewer of them, all of which find a partner, and the mean of
both weights between sides of one size: heavy components are paired first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import linear_sum_assignment

from mixtura.arrays.linalg import cholesky
from mixtura.mixture.pairs import same_space, squared_wasserstein
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["Match", "match"]


@dataclass(frozen=True, eq=False)
class Match(Sequence[int]):
    """The components of b in the order of a: ``b.relabel(match)`` lines b up with a.

    Attributes
    ----------
    order : tuple of int
        A permutation of the components of b: partners of a's components in a's order, then those
        without a partner. The match itself is a sequence of these numbers.
    pairs : array (m, 2) of int
        Component of a, component of b.
    distance : array (m,)
        W₂ of each pair, in units of the pooled covariance: below 1 the two overlap well.
    unmatched_a, unmatched_b : tuple of int
        Components without a partner, where k differs.
    """

    order: tuple[int, ...]
    pairs: FloatArray
    distance: FloatArray
    unmatched_a: tuple[int, ...]
    unmatched_b: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[int, ...]: ...
    def __getitem__(self, index: int | slice) -> int | tuple[int, ...]:
        return self.order[index]


def match(a: Mixture, b: Mixture) -> Match:
    """Pair the components of two mixtures.

    Parameters
    ----------
    a, b : Mixture
        In the same columns; k may differ.

    Returns
    -------
    Match
        ``b.relabel(match(a, b))`` has its components in the order of a.

    Raises
    ------
    InputError
        For mixtures in different columns.

    Examples
    --------
    >>> import mixtura as mx
    >>> a = mx.Mixture([0.3, 0.7], [[0.0], [5.0]], [1.0, 1.0])
    >>> b = mx.Mixture([0.6, 0.3, 0.1], [[5.1], [0.2], [20.0]], [1.0, 1.0, 1.0])
    >>> found = mx.match(a, b)
    >>> found.order, found.unmatched_b
    ((1, 0, 2), (2,))
    >>> b.relabel(found).means
    array([[ 0.2],
           [ 5.1],
           [20. ]])
    """
    same_space(a, b, "match")
    a, b = a.to("numpy"), b.to("numpy")
    square = _distances(a, b)
    w, v = a.weights[:, None], b.weights[None, :]
    omega: Any = w if a.k < b.k else v if b.k < a.k else 0.5 * (w + v)
    cost = omega * square
    # Among equals, the weights decide.
    ties = 1e-9 * max(float(cost.max()), 1e-300) * (w - v) ** 2
    left, right = linear_sum_assignment(cost + ties)
    rest_a = tuple(sorted(set(range(a.k)) - set(left.tolist())))
    rest_b = tuple(sorted(set(range(b.k)) - set(right.tolist())))
    return Match(
        order=(*right.tolist(), *rest_b),
        pairs=np.stack([left, right], axis=1),
        distance=np.sqrt(square[left, right]),
        unmatched_a=rest_a,
        unmatched_b=rest_b,
    )


def _distances(a: Mixture, b: Mixture) -> FloatArray:
    """W₂² between components (k, k') in coordinates in which the pooled covariance is one."""
    pooled = 0.5 * (a.cov + b.cov)
    gap = a.mean - b.mean
    factor = cholesky(pooled + 0.25 * np.outer(gap, gap), "pooled covariance")
    white = solve_triangular(factor, np.eye(a.d), lower=True)
    return np.asarray(squared_wasserstein(a.affine(white), b.affine(white)))
