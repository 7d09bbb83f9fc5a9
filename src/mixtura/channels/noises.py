"""Checks of measurement noise and operators: shapes, signs, symmetry, and what is missing.

Noise is given as variances, never as standard deviations: a number or (p,) for all rows, (n, p) for
each cell, a covariance (p, p) for all rows or (n, p, p) for each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from mixtura.errors import InputError
from mixtura.typing import FloatArray

__all__ = ["as_noise", "as_operators"]

#: How far below zero, and how asymmetric, a covariance may be by rounding.
NEGATIVE, ASYMMETRY = 1e-10, 1e-8


def _numbers(value: Any, what: str) -> FloatArray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"expected numbers for {what}; pass a numeric array") from None


def as_operators(operators: Any, n: int, p: int) -> FloatArray | None:
    """Operators A (p, d), or (n, p, d) for each row.

    Raises
    ------
    InputError
    """
    if operators is None:
        return None
    a = _numbers(operators, "operators")
    if a.ndim not in (2, 3) or a.shape[-2] != p or a.shape[-1] == 0:
        raise InputError(
            f"expected operators of shape ({p}, d) or ({n}, {p}, d), one row of A for each of the "
            f"{p} columns of X, got {a.shape}"
        )
    if a.ndim == 3 and len(a) != n:
        raise InputError(
            f"expected operators for {n} rows, got {len(a)}; pass one (p, d) matrix per row of X, "
            "or one for all"
        )
    if not np.isfinite(a).all():
        raise InputError(
            "expected finite operators, got NaN or infinity; mark what was not measured by NaN in X"
        )
    return a


def as_noise(noise: Any, missing: FloatArray) -> tuple[FloatArray | None, FloatArray | None]:
    """Noise as variances of cells and as covariances beside them.

    Parameters
    ----------
    noise : number or array
    missing : array (n, p) of bool
        Cells that are NaN, whose noise does not matter.

    Returns
    -------
    variance : array (p,) or (n, p), or None
        Infinite variances stand for missing cells.
    covariance : array (p, p) or (n, p, p), or None
        Zero in the rows and columns of missing cells.

    Raises
    ------
    InputError
    """
    if noise is None:
        return None, None
    n, p = missing.shape
    s = _numbers(noise, "noise")
    if s.shape == (n, p) or s.shape in ((), (p,)):
        return _variances(np.full(p, float(s)) if s.ndim == 0 else s, missing), None
    if s.shape not in ((p, p), (n, p, p)):
        raise InputError(
            f"expected noise as a variance, variances of shape ({p},) or ({n}, {p}), or "
            f"covariances of shape ({p}, {p}) or ({n}, {p}, {p}), got {s.shape}; "
            "standard deviations are squared first"
        )
    if s.ndim == 3:
        s = np.where(missing[:, :, None] | missing[:, None, :], 0.0, s)
    return None, _covariances(s)


def _variances(s: FloatArray, missing: FloatArray) -> FloatArray:
    if s.ndim == 2:
        s = np.where(missing, np.inf, s)
    bad = np.isnan(s)
    if bad.any():
        raise InputError(
            f"expected variances as noise, got NaN {_where(bad)}; give the variance, infinity "
            "where nothing is known of a cell, or mark the cell itself as NaN"
        )
    if (s < 0).any():
        raise InputError(
            f"expected non-negative variances as noise, got {s.min():.3g} {_where(s < 0)}; "
            "pass squared standard deviations"
        )
    return s


def _covariances(s: FloatArray) -> FloatArray:
    """Covariances (…, p, p), symmetric and positive semidefinite."""
    bad = ~np.isfinite(s)
    if bad.any():
        raise InputError(
            f"expected finite covariances as noise, got NaN or infinity {_where(bad)}; mark a cell "
            "of which nothing is known as NaN in X"
        )
    turned = np.swapaxes(s, -1, -2)
    size = np.abs(s).max(axis=(-1, -2), keepdims=True)
    gap = np.abs(s - turned)
    if (gap > ASYMMETRY * size).any():
        raise InputError(
            f"expected symmetric covariances as noise, got entries that differ by {gap.max():.3g} "
            f"{_where(gap > ASYMMETRY * size)}; pass (S + S.T) / 2, or variances of shape (n, p)"
        )
    try:  # factors cost less than eigenvalues, and almost always exist
        np.linalg.cholesky(s + (NEGATIVE * size + 1e-300) * np.eye(s.shape[-1]))
    except np.linalg.LinAlgError:
        least = np.linalg.eigvalsh(s)[..., 0]
        worst = least < -NEGATIVE * size[..., 0, 0]
        if worst.any():
            raise InputError(
                "expected positive semidefinite covariances as noise, got one with eigenvalue "
                f"{least.min():.3g}{_which(worst)}; check its correlations"
            ) from None
    return np.asarray(0.5 * (s + turned))


def _which(bad: FloatArray) -> str:
    return "" if bad.ndim == 0 else f" in row {int(np.argmax(bad))}"


def _where(bad: FloatArray) -> str:
    place = np.argwhere(bad)[0]
    if bad.ndim == 1:
        return f"for column {place[0]}"
    shared = bad.ndim == 2 and bad.shape[0] == bad.shape[1]
    row = "" if shared else f"row {place[0]}, "
    return f"in {row}column {place[-1]}"
