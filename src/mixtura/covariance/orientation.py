r"""One set of axes for all components, Σₖ = D diag(vₖ) Dᵀ: which axes to choose.

Models VVE and EVE of Celeux & Govaert (1995) minimise over orthogonal D

    VVE:  Σₖ Nₖ log |diag(Dᵀ Sₖ D)|,        EVE:  log Σₖ Nₖ |diag(Dᵀ Sₖ D)|^(1/d).

Neither has a closed form, and both have several minima. From the axes of the previous step Jacobi
rotations descend (``arrays.rotations``), so that EM never loses; a first step tries the axes of
every component and of their pool, and keeps the best end. The majorise-minimise steps of Browne &
McNicholas (2014) reach the same minima by many more, shorter steps; the tests do so.
"""

from __future__ import annotations

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.rotations_plain import FEW, value
from mixtura.errors import InputError, NotPositiveDefiniteError
from mixtura.typing import FloatArray

__all__ = ["check_scales", "common_orientation", "shared_axes"]

#: Sweeps at most; beyond ``FEW`` columns a step is content with fewer, which descend as well.
SWEEPS, MANY_SWEEPS, TOLERANCE = 200, 4, 1e-12
#: Beyond this ratio of scales, rotations lose the small columns in the rounding of the large.
MOST_SCALE = 1e7
#: Correlations along common axes that are rounding.
ALIKE = 1e-6
#: A pair of axes is looked at so often: a dozen starts, fifty sweeps, two dozen angles.
PAIR = 15_000
#: A first step tries the axes of so many components, fewer beyond ten columns.
STARTS, COLUMNS = 12, 120


def check_scales(spread: FloatArray, most: float = MOST_SCALE) -> None:
    """Refuse moments (k, d, d) of columns whose scales differ by ``most`` for axes across them.

    Raises
    ------
    InputError
    """
    scale = np.sqrt(np.maximum(np.diagonal(spread, axis1=1, axis2=2).max(axis=0), 0.0))
    if scale.min() * most < scale.max():
        raise InputError(
            f"expected columns whose scales differ by less than {most:.0e} for axes across "
            f"columns, got standard deviations from {scale.min():.2g} to {scale.max():.2g}; divide "
            "each column by its own first"
        )


def common_orientation(
    spread: FloatArray, mass: FloatArray, power: float, previous: FloatArray | None
) -> tuple[FloatArray, FloatArray]:
    """Axes D (d, d), one per column, and the moments (k, d) along them.

    Parameters
    ----------
    spread : array (k, d, d)
        Moments per unit of mass.
    mass : array (k,)
    power : float
        0 for VVE, 1/d for EVE.
    previous : array (k, d, d), optional
        Covariances of the last step, whose axes are the start where they share them.
    """
    check_scales(spread)
    if not (np.linalg.eigvalsh(spread)[:, 0] > 0).all():
        raise NotPositiveDefiniteError("expected moments of full rank in every component")
    before = None if previous is None else shared_axes(previous)
    if before is not None:
        starts = [before]
    else:
        most = int(min(STARTS, COLUMNS // spread.shape[1]))  # a start costs the cube of columns
        heavy = np.argsort(-mass, kind="stable")[:most]
        pool = np.tensordot(mass / mass.sum(), spread, axes=1)
        starts = [np.linalg.eigh(matrix)[1] for matrix in (pool, *spread[heavy])]
    best, chosen = np.inf, starts[0]
    rotate = compiled.choose("rotations.rotate_axes", _work(*spread.shape[:2]))
    sweeps = SWEEPS if spread.shape[1] <= FEW else MANY_SWEEPS
    for start in starts:
        axes = np.array(start, dtype=np.float64, order="C")
        turned = np.ascontiguousarray(axes.T @ spread @ axes)
        rotate(turned, axes, np.asarray(mass, dtype=np.float64), power, sweeps, TOLERANCE)
        reached = value(turned, mass, power)
        if reached < best or not np.isfinite(best):
            best, chosen = reached, axes
    # The products of many rotations drift from orthogonal by rounding: put them back.
    u, _, v = np.linalg.svd(chosen)
    axes = u @ v
    return axes, np.einsum("di,kde,ei->ki", axes, spread, axes)


def _work(k: int, d: int) -> float:
    """What is spent on axes, in rows times components."""
    return PAIR * k * d * (d - 1) / 2


def shared_axes(matrices: FloatArray) -> FloatArray | None:
    """The eigenvectors (d, d) that matrices (k, d, d) have in common, or None.

    They are those of a sum with unequal factors, in which no two eigenvalues coincide but by
    chance.
    """
    k = len(matrices)
    size = np.trace(matrices, axis1=1, axis2=2)
    factors = (0.5 + np.modf(0.6180339887498949 * np.arange(1, k + 1))[0]) / size
    axes = np.linalg.eigh(np.tensordot(factors, matrices, axes=1))[1]
    turned = axes.T @ matrices @ axes
    variance = np.diagonal(turned, axis1=1, axis2=2)
    root = np.sqrt(variance)
    rest = np.abs(turned) / root[:, :, None] / root[:, None, :]
    rest[:, np.arange(rest.shape[1]), np.arange(rest.shape[1])] = 0.0
    return axes if rest.max(initial=0.0) < ALIKE else None
