r"""The parsimonious structures: Σₖ = λₖ Dₖ Aₖ Dₖᵀ, each part shared or free.

Volume λₖ, shape Aₖ (diagonal, |Aₖ| = 1) and orientation Dₖ are each E(qual), V(ariable) or I (the
identity), in this order (Banfield & Raftery 1993; Celeux & Govaert 1995): VEI, say, has free
volumes, one shape, and axes along the columns. With Sₖ the moments of component k, Nₖ its mass and
Sₖ = Lₖ Ωₖ Lₖᵀ in decreasing order, the M-steps are

====== =======================================================================
EVI    Aₖ = diag Sₖ / |diag Sₖ|^(1/d),  λ = Σ Nₖ |diag Sₖ|^(1/d) / N
EVV    the same with Sₖ for diag Sₖ
EEV    Dₖ = Lₖ,  λ A = Σ Nₖ Ωₖ / N
VEI    convex in log A (``shape``);  VEV: the same on Ωₖ, with Dₖ = Lₖ;  VEE: on whole matrices
VVE    D by rotations (``orientation``), then diag(Dᵀ Sₖ D);  EVE: and one volume
====== =======================================================================

The other six are compositions of structures that have files of their own: EII is
``Tied(Isotropic)``, VII isotropic, EEI ``Tied(Diagonal)``, VVI diagonal, EEE ``Tied(Full)`` and VVV
full.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixtura.covariance.base import Covariance, Structure
from mixtura.covariance.diagonal import Diagonal, DiagonalCovariance
from mixtura.covariance.floor import Floor
from mixtura.covariance.full import Full, FullCovariance
from mixtura.covariance.isotropic import Isotropic
from mixtura.covariance.orientation import check_scales, common_orientation
from mixtura.covariance.shape import common_axes, common_matrix, unit_determinant
from mixtura.covariance.tied import Tied
from mixtura.errors import InputError, NotPositiveDefiniteError
from mixtura.statistics import Diagonal as DiagonalMoments
from mixtura.statistics import Full as FullMoments
from mixtura.statistics import MomentKind, Statistics
from mixtura.typing import FloatArray

__all__ = ["FOURTEEN", "Parsimonious"]

#: Beyond this ratio of scales, eigenvectors of single components lose the small columns.
MOST_SCALE = 1e13
#: Smallest variance that is not taken for none.
TINY = 1e-300

Solve = Callable[[FloatArray, FloatArray, "FloatArray | None"], FloatArray]


def _evi(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    volume, shape = unit_determinant(spread)
    return np.asarray((mass @ volume / mass.sum()) * shape)


def _vei(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    volume, shape = common_axes(spread, mass)
    return volume[:, None] * shape


def _vee(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    volume, matrix = common_matrix(spread, mass)
    return np.asarray(volume[:, None, None] * matrix)


def _evv(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    scale = np.sqrt(np.maximum(mass @ np.diagonal(spread, axis1=1, axis2=2) / mass.sum(), TINY))
    sign, logdet = np.linalg.slogdet(spread / (scale[:, None] * scale))
    if not (sign > 0).all():
        raise NotPositiveDefiniteError("expected moments of full rank, got singular ones")
    volume = np.exp(logdet / len(scale))  # up to a common factor, which cancels
    return np.asarray(spread * ((mass @ volume / mass.sum()) / volume)[:, None, None])


def _eev(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    check_scales(spread, MOST_SCALE)
    values, axes = _eigen(spread)
    return _matrices(axes, np.broadcast_to(mass @ values / mass.sum(), values.shape))


def _vev(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    check_scales(spread, MOST_SCALE)
    values, axes = _eigen(spread)
    return _matrices(axes, _vei(values, mass, None))


def _vve(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    axes, along = common_orientation(spread, mass, 0.0, previous)
    return _matrices(axes[None], along)


def _eve(spread: FloatArray, mass: FloatArray, previous: FloatArray | None) -> FloatArray:
    axes, along = common_orientation(spread, mass, 1.0 / spread.shape[1], previous)
    return _matrices(axes[None], _evi(along, mass, None))


def _eigen(spread: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Eigenvalues (k, d), rising, and eigenvectors (k, d, d).

    Through the singular values of the Cholesky factor where there is one: their squares keep their
    sign and more digits where columns differ in scale.
    """
    try:
        axes, roots, _ = np.linalg.svd(np.linalg.cholesky(spread))
    except np.linalg.LinAlgError:
        values, axes = np.linalg.eigh(spread)
        return values, axes
    return roots[:, ::-1] ** 2, axes[:, :, ::-1]


def _matrices(axes: FloatArray, values: FloatArray) -> FloatArray:
    """D diag(v) Dᵀ, symmetric to the last bit."""
    product = (axes * values[:, None, :]) @ np.swapaxes(axes, 1, 2)
    return np.asarray(0.5 * (product + np.swapaxes(product, 1, 2)))


#: Model -> its M-step, from moments (k, d) of the models along the columns, else (k, d, d).
SOLVERS: dict[str, Solve] = {
    "VEI": _vei, "EVI": _evi, "VEE": _vee, "EVE": _eve, "VVE": _vve, "EEV": _eev, "VEV": _vev,
    "EVV": _evv,
}  # fmt: skip


@dataclass(frozen=True)
class Parsimonious(Structure):
    """One of the eight structures that no composition of others gives.

    Parameters
    ----------
    model : str
        "VEI", "EVI", "VEE", "EVE", "VVE", "EEV", "VEV" or "EVV".

    References
    ----------
    Celeux, G. & Govaert, G. (1995). Gaussian parsimonious clustering models. *Pattern
    Recognition* 28, 781–793.
    Browne, R. P. & McNicholas, P. D. (2014). Orthogonal Stiefel manifold optimization for
    eigen-decomposed covariance parameter estimation in mixture models. *Statistics and
    Computing* 24, 203–210.
    """

    model: str

    def __post_init__(self) -> None:
        if self.model not in SOLVERS:
            raise InputError(
                f"expected one of {', '.join(SOLVERS)}, got {self.model!r}; the other six of the "
                "fourteen models are compositions (covariance_type takes all)"
            )

    @property
    def name(self) -> str:  # type: ignore[override]
        """mclust's name of the model."""
        return self.model

    @property
    def words(self) -> str:  # type: ignore[override]
        """What the letters allow."""
        volume, shape, orientation = tuple(self.model)
        axes = {"E": "common axes", "V": "free axes", "I": "axes along the columns"}
        size, form = ("free" if letter == "V" else "equal" for letter in (volume, shape))
        return f"{size} volumes, {form} shapes and {axes[orientation]}"

    @property
    def along_columns(self) -> bool:
        """Whether the axes are the columns, so that covariances are diagonal."""
        return self.model.endswith("I")

    def kind(self, previous: Covariance | None, d: int) -> MomentKind:
        return DiagonalMoments() if self.along_columns else FullMoments()

    def fit(self, stats: Statistics, previous: Covariance | None, floor: Floor) -> Covariance:
        spread = stats.spread()
        mass = stats.mass if len(spread) == len(stats.mass) else stats.mass.sum(keepdims=True)
        before = None
        if previous is not None and self.model in ("EVE", "VVE"):
            before = np.asarray(previous.dense())

        def solve(moments: FloatArray) -> Covariance:
            values = SOLVERS[self.model](moments, mass, before)
            return DiagonalCovariance(values) if self.along_columns else FullCovariance(values)

        fitted: Covariance = floor.structured(spread, mass, solve, previous)
        return fitted

    def n_parameters(self, k: int, d: int) -> int:
        volume, shape, orientation = tuple(self.model)
        angles = {"I": 0, "E": d * (d - 1) // 2, "V": k * d * (d - 1) // 2}
        return (
            (k if volume == "V" else 1) + (k if shape == "V" else 1) * (d - 1) + angles[orientation]
        )


#: mclust's name -> the structure.
FOURTEEN: dict[str, Structure] = {
    "EII": Tied(Isotropic()),
    "VII": Isotropic(),
    "EEI": Tied(Diagonal()),
    "VEI": Parsimonious("VEI"),
    "EVI": Parsimonious("EVI"),
    "VVI": Diagonal(),
    "EEE": Tied(Full()),
    "VEE": Parsimonious("VEE"),
    "EVE": Parsimonious("EVE"),
    "VVE": Parsimonious("VVE"),
    "EEV": Parsimonious("EEV"),
    "VEV": Parsimonious("VEV"),
    "EVV": Parsimonious("EVV"),
    "VVV": Full(),
}
