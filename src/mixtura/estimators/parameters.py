"""Checks of starting parameters, and their way between scikit-learn's arrays and ours.

The wording of the messages is scikit-learn's (BSD-3), so that code which matches it keeps working.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils import check_array

from mixtura.covariance import (
    Covariance,
    Diagonal,
    DiagonalCovariance,
    Full,
    FullCovariance,
    Isotropic,
    IsotropicCovariance,
    Parsimonious,
    Structure,
    Tied,
    TiedCovariance,
)
from mixtura.errors import InputError, NotPositiveDefiniteError
from mixtura.typing import FloatArray

__all__ = ["check_means", "check_resp", "check_weights", "covariance_from_precisions"]


def _check_shape(array: FloatArray, shape: tuple[int, ...], name: str) -> None:
    if array.shape != shape:
        raise InputError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}"
        )


def check_weights(weights: Any, k: int) -> FloatArray:
    """Starting weights (k,) that sum to one."""
    w = check_array(weights, dtype=[np.float64, np.float32], ensure_2d=False)
    _check_shape(w, (k,), "weights")
    if (w < 0).any() or (w > 1).any():
        raise InputError(
            "The parameter 'weights' should be in the range [0, 1], but got "
            f"max value {np.min(w):.5f}, min value {np.max(w):.5f}"
        )
    tolerance = 1e-6 if w.dtype == np.float32 else 1e-8
    if not np.allclose(abs(1 - np.sum(w)), 0, atol=tolerance):
        raise InputError(
            f"The parameter 'weights' should be normalized, but got sum(weights) = {np.sum(w):.5f}"
        )
    return np.asarray(w, dtype=np.float64)


def check_means(means: Any, k: int, d: int) -> FloatArray:
    """Starting means (k, d)."""
    m = check_array(means, dtype=[np.float64, np.float32], ensure_2d=False)
    _check_shape(m, (k, d), "means")
    return np.asarray(m, dtype=np.float64)


def check_resp(
    resp: Any, n: int, k: int, weight: FloatArray | None = None, order: FloatArray | None = None
) -> FloatArray:
    """Starting labels (n,) in 0 … k − 1 or responsibilities (n, k), in the order of the rows.

    Parameters
    ----------
    weight : array (n,), optional
        Of the rows, which give every component some.
    order : array (n,), optional
        Positions in ``resp`` of the rows.
    """
    checked = _checked_resp(resp, n, k)
    checked = checked if order is None else checked[order]
    w = np.ones(n) if weight is None else weight
    mass = w @ checked if checked.ndim == 2 else np.bincount(checked, weights=w, minlength=k)
    empty = np.flatnonzero(~(mass > 0))
    if len(empty):
        raise InputError(
            "expected rows of positive weight in every component of resp_init, got none in "
            f"component {', '.join(str(j) for j in empty[:10])}; give them some, or lower "
            "n_components"
        )
    return checked


def _checked_resp(resp: Any, n: int, k: int) -> FloatArray:
    array = check_array(resp, ensure_2d=False, dtype=None)
    if array.ndim == 1:
        _check_shape(array, (n,), "resp_init")
        labels = np.asarray(array)
        if labels.dtype.kind not in "iub" and not (
            labels.dtype.kind == "f" and (labels == np.floor(labels)).all()
        ):
            raise InputError(f"expected whole numbers as labels in resp_init, got {labels.dtype}")
        labels = labels.astype(np.int64)
        if labels.min() < 0 or labels.max() >= k:
            raise InputError(
                f"expected labels from 0 to {k - 1} in resp_init, got {labels.min()} to "
                f"{labels.max()}; renumber them or change n_components"
            )
        return labels
    array = np.asarray(array, dtype=np.float64)
    _check_shape(array, (n, k), "resp_init")
    total = array.sum(axis=1)
    if (array < 0).any() or not np.allclose(total, 1.0, atol=1e-6):
        raise InputError(
            "expected non-negative responsibilities whose rows sum to 1 in resp_init, got sums "
            f"from {total.min():.3g} to {total.max():.3g}"
        )
    return np.asarray(array / total[:, None])


def covariance_from_precisions(
    precisions: Any, structure: Structure, k: int, d: int
) -> tuple[Covariance, Any]:
    """Starting covariances from precision matrices in scikit-learn's shapes.

    Returns
    -------
    covariance : Covariance
    precisions : array
        As checked.
    """
    name, shape = _precision_shape(structure, k, d)
    p = check_array(
        precisions, dtype=[np.float64, np.float32], ensure_2d=False, allow_nd=name == "full"
    )
    _check_shape(p, shape, f"{name} precision")
    p = np.asarray(p, dtype=np.float64)
    if name in ("diag", "spherical"):
        if (p <= 0).any():
            raise InputError(f"'{name} precision' should be positive")
        if name == "diag":
            return DiagonalCovariance(1 / p), p
        return IsotropicCovariance(1 / p, d), p
    matrices = p if name == "full" else p[None]
    values = np.empty_like(matrices)
    for j, matrix in enumerate(matrices):
        try:
            if not np.allclose(matrix, matrix.T):
                raise NotPositiveDefiniteError
            values[j] = FullCovariance(matrix[None]).precision()[0]
        except NotPositiveDefiniteError:
            raise InputError(f"'{name} precision' should be symmetric, positive-definite") from None
    values.flags.writeable = False
    full = FullCovariance(values)
    return (full if name == "full" else TiedCovariance(full, k)), p


def _precision_shape(structure: Structure, k: int, d: int) -> tuple[str, tuple[int, ...]]:
    if isinstance(structure, Full):
        return "full", (k, d, d)
    if isinstance(structure, Parsimonious) and not structure.along_columns:
        return "full", (k, d, d)
    if isinstance(structure, Tied) and isinstance(structure.inner, Full):
        return "tied", (d, d)
    if isinstance(structure, Diagonal | Parsimonious):
        return "diag", (k, d)
    if isinstance(structure, Isotropic):
        return "spherical", (k,)
    raise InputError(
        f"expected precisions_init=None with the structure {structure.name!r}, which has no "
        "precision parameters; use resp_init to say where to start"
    )
