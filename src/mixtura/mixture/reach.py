r"""Rows so far away that the square of their distance passes the range of floats.

With s = maxⱼ |xⱼ|, the distance of a row from component k is s ℓₖ, ℓₖ² = uᵀ Σₖ⁻¹ u for
u = (x − μₖ)/s, and neither s nor ℓₖ overflows where (s ℓₖ)² does. There log wₖ + log N(x; μₖ, Σₖ)
is below every float: the nearest component is told as the lowest finite number, the others as −∞,
so that log p(x) is that number too and responsibilities are 1 for the nearest (shared by equals).
What is linear in x, as regressions are, says nothing there that floats could hold: ``check``
refuses such rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from mixtura.errors import InputError
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["LOWEST", "check", "far_joint", "holes", "mended", "settled"]

#: What a log density below every float is told as.
LOWEST = -float(np.finfo(np.float64).max)
#: Standard deviations up to which a row is conditioned on, and what is squared in doing so.
MOST_SD, MOST = 1e150, 1e153
#: Numbers held at a time.
NUMBERS = 1_000_000


def mended(mix: Mixture, joint: FloatArray, far: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Log joints (b, k), with those that overflowed put right.

    Parameters
    ----------
    mix : Mixture
    joint : array (b, k)
        By a kernel; changed in place.
    far : callable (rows (m,) of int) -> array (m, k)
        The log joints of some rows, by ``settled``.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(joint.sum()):
            return joint
    fine = np.isfinite(joint)
    if fine.all():
        return joint
    rows = np.flatnonzero(~fine[:, np.asarray(mix.weights) > 0].all(axis=1))
    if len(rows):
        joint[rows] = far(rows)
    return joint


def far_joint(mix: Mixture, x: FloatArray) -> FloatArray:
    """Log wₖ + log N(x; μₖ, Σₖ) (n, k) of rows at any finite distance."""
    means = np.asarray(mix.means)
    const = mix.log_weights - 0.5 * (mix.d * np.log(2 * np.pi) + mix.covariance.logdet)
    out = np.empty((len(x), mix.k))
    size = max(1, NUMBERS // means.size)
    for start in range(0, len(x), size):
        rows = x[start : start + size].astype(np.float64, copy=False)
        scale = np.maximum(np.abs(rows).max(axis=1), np.finfo(np.float64).tiny)
        with np.errstate(over="ignore", invalid="ignore"):
            unit = (rows / scale[:, None])[None] - means[:, None, :] / scale[:, None]
            square = mix.covariance.mahalanobis(np.swapaxes(unit, 1, 2))
        out[start : start + size] = settled(np.asarray(const), np.asarray(square).T, scale)
    return out


def settled(const: FloatArray, square: FloatArray, scale: FloatArray) -> FloatArray:
    """``const`` − ½ (s ℓ)², or what stands for it where that is below every float.

    Parameters
    ----------
    const : array (k,)
        Log joints at no distance; −∞ for components without weight.
    square : array (n, k)
        ℓ², the squared distances in units of ``scale``.
    scale : array (n,)
        s.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        length = np.sqrt(square)
        length = np.where(np.isnan(length), np.inf, length)
        joint: FloatArray = const - (scale[:, None] * (np.sqrt(0.5) * length)) ** 2
    joint = np.where(np.isnan(joint), -np.inf, joint)
    lost = ~np.isfinite(joint).any(axis=1)
    live = np.isfinite(const)
    length = np.where(live, length[lost], np.inf)
    nearest = live & (length == length.min(axis=1, keepdims=True))
    joint[lost] = np.where(nearest, LOWEST, -np.inf)
    return joint


def holes(x: FloatArray) -> FloatArray:
    """Rows (n, d) with something missing; the others are NaN throughout."""
    return np.where(np.isnan(x).any(axis=1, keepdims=True), x, np.nan)


def check(mix: Mixture, x: FloatArray, given: Sequence[int] | None = None) -> None:
    """Refuse rows whose regression on the given columns would pass the range of floats.

    Parameters
    ----------
    mix : Mixture
    x : array (n, g), or (g,) for one row
        Finite, or NaN where a cell is missing.
    given : sequence of int, optional
        Places of the columns of x in the mixture; all of them by default.

    Raises
    ------
    InputError
        That names the first such cell.
    """
    single, x = x.ndim == 1, np.atleast_2d(x)
    if x.size == 0:
        return
    places = list(range(mix.d) if given is None else given)
    with np.errstate(over="ignore", invalid="ignore"):
        centre = np.asarray(mix.weights @ mix.means)
        spread = mix.weights @ np.asarray(mix.covariance.diagonal())
        sd = np.sqrt(spread + mix.weights @ (mix.means - centre) ** 2)
        reach = min(MOST_SD, MOST / float(sd.max())) * sd[places]
        low, high = np.fmin.reduce(x, axis=0), np.fmax.reduce(x, axis=0)
        if not ((high - centre[places] > reach) | (centre[places] - low > reach)).any():
            return
        beyond = np.abs(x - centre[places]) > reach
    rows = np.flatnonzero(beyond.any(axis=1))
    column = int(np.flatnonzero(beyond[rows[0]])[0])
    name = mix.columns[places[column]] if mix.columns else f"x{places[column]}"
    where = "" if single else f" in row {rows[0] + 1:,}"
    if len(rows) > 1:
        where += f" (and others in {len(rows) - 1:,} more)"
    raise InputError(
        "expected values that can be squared in units of the model, got "
        f"{name} = {x[rows[0], column]:g}{where}; check them"
    )
