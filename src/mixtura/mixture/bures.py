r"""Bures–Wasserstein distances between Gaussians, given as matrices or as components.

W₂²(N(m, A), N(m', B)) = ‖m − m'‖² + tr A + tr B − 2 tr (A^½ B A^½)^½    (Dowson & Landau 1982)
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.arrays.linalg import symmetrise
from mixtura.arrays.namespace import as_float, finite, is_numpy, join, namespace
from mixtura.covariance.bures import roots, squared_bures
from mixtura.errors import InputError
from mixtura.mixture.distance import square_root
from mixtura.mixture.pairs import pair, squared_wasserstein
from mixtura.typing import Array

__all__ = ["bures"]


def bures(a: Any, b: Any) -> Any:
    """Bures–Wasserstein distances between Gaussians.

    b(A, B)² = tr A + tr B − 2 tr (A^½ B A^½)^½, computed as a sum of squares: matrices that are
    singular, or nearly equal, keep their digits.

    Parameters
    ----------
    a, b : array (..., d, d), or Mixture
        Covariance matrices, positive semidefinite, whose leading axes broadcast; or two mixtures,
        for the distance of every component of one to every component of the other, means included.

    Returns
    -------
    float or array (...), or array (k, k') for mixtures

    Raises
    ------
    InputError
        For matrices or mixtures of different sizes, or matrices that are not covariances.

    Examples
    --------
    >>> import numpy as np
    >>> import mixtura as mx
    >>> mx.bures(np.diag([1.0, 4.0]), np.diag([1.0, 0.0]))
    2.0
    >>> mx.bures(mx.Mixture([1.0], [[0.0]], [1.0]), mx.Mixture([1.0], [[3.0]], [25.0]))
    array([[5.]])
    """
    if hasattr(a, "covariance") or hasattr(b, "covariance"):
        return square_root(squared_wasserstein(*pair(a, b, "bures")))
    left, right = join(_matrices(a), _matrices(b))
    if left.shape[-1] != right.shape[-1]:
        raise InputError(
            f"expected covariances of one size, got {tuple(left.shape)} and {tuple(right.shape)}; "
            "take the columns that they share"
        )
    value = square_root(squared_bures(_factors_of(left), _factors_of(right)))
    return float(value) if is_numpy(value) and value.ndim == 0 else value


def _matrices(values: Any) -> Array:
    try:
        matrices = as_float(values)
    except (TypeError, ValueError):
        raise InputError("expected numbers in the covariances given to bures") from None
    if matrices.ndim < 2 or matrices.shape[-1] != matrices.shape[-2]:
        raise InputError(
            f"expected covariances of shape (..., d, d), got {tuple(matrices.shape)}; pass "
            "numpy.diag(variances) for variances"
        )
    if not finite(matrices):
        raise InputError("expected finite covariances, got NaN or infinity; drop or mend those")
    if is_numpy(matrices):
        gap = float(np.abs(matrices - matrices.swapaxes(-1, -2)).max(initial=0.0))
        if gap > 1e-8 * float(np.abs(matrices).max(initial=0.0)):
            raise InputError(
                f"expected symmetric covariances, got one that differs by {gap:.3g} from its "
                "transpose; pass (S + S.T) / 2"
            )
    return symmetrise(matrices)


def _factors_of(matrices: Array) -> Array:
    if is_numpy(matrices):
        return roots(matrices)
    return namespace(matrices).linalg.cholesky(matrices)
