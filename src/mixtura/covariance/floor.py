"""How a fit keeps covariances away from singular: the two meanings of ``reg_covar``.

``Added(c)`` adds c to every variance, as scikit-learn does: absolute, in squared units of the data.
``Clipped(scale, share)`` clips the eigenvalues of D⁻¹ Σ D⁻¹, D = diag(scale), from below at
``share``: relative to the data's own spread, so that it means the same in any units. Clipping is
the exact maximiser of −log|Σ| − tr(Σ⁻¹ S) under Σ ⪰ share · D², so EM still never descends; a
fixed addition is not, and can make it descend a little.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.errors import NotPositiveDefiniteError
from mixtura.typing import FloatArray

__all__ = ["Added", "Clipped", "Floor"]


class Floor:
    """Keeps variances (k, d), (k,) and matrices (k, d, d) away from singular."""

    #: Whether a fit under this floor recovers collapsed components instead of raising.
    recovers = False

    def variances(self, values: FloatArray) -> FloatArray:
        """Floored variances (k, d) of single columns."""
        raise NotImplementedError

    def common(self, values: FloatArray) -> FloatArray:
        """Floored variances (k,) shared by all columns."""
        raise NotImplementedError

    def matrices(self, values: FloatArray) -> FloatArray:
        """Floored covariance matrices (k, d, d)."""
        raise NotImplementedError

    def structured(
        self,
        spread: FloatArray,
        mass: FloatArray,
        solve: Callable[[FloatArray], Any],
        previous: Any,
    ) -> Any:
        """The fit of a structure whose parts are tied to each other, away from singular.

        Parameters
        ----------
        spread : array (k, d) or (k, d, d)
            Moments per unit of mass.
        mass : array (k,)
        solve : callable
            From such moments to the structure's Covariance.
        previous : Covariance, optional
            Of the last step.
        """
        raise NotImplementedError

    def _raised(self, values: FloatArray) -> FloatArray:
        return self.variances(values) if values.ndim == 2 else self.matrices(values.copy())


@dataclass(frozen=True)
class Added(Floor):
    """Add ``amount`` (squared units of the data) to every variance."""

    amount: float = 0.0

    def variances(self, values: FloatArray) -> FloatArray:
        return values + self.amount

    def common(self, values: FloatArray) -> FloatArray:
        return values + self.amount

    def matrices(self, values: FloatArray) -> FloatArray:
        d = values.shape[-1]
        values[:, np.arange(d), np.arange(d)] += self.amount
        return values

    def structured(
        self,
        spread: FloatArray,
        mass: FloatArray,
        solve: Callable[[FloatArray], Any],
        previous: Any,
    ) -> Any:
        return solve(self._raised(spread))


@dataclass(frozen=True, eq=False)
class Clipped(Floor):
    """Clip eigenvalues below ``share`` of the data's variance.

    Attributes
    ----------
    scale : array (d,)
        Standard deviation of each column of the data.
    share : float
        Smallest eigenvalue allowed, relative to ``scale`` squared.
    """

    scale: FloatArray
    share: float = 1e-6
    recovers = True

    def variances(self, values: FloatArray) -> FloatArray:
        return np.maximum(values, self.share * self.scale**2)

    def common(self, values: FloatArray) -> FloatArray:
        return np.maximum(values, self.share * float(np.mean(self.scale**2)))

    def matrices(self, values: FloatArray) -> FloatArray:
        d = values.shape[-1]
        for j, matrix in enumerate(values):
            scaled = matrix / self.scale / self.scale[:, None]
            shifted = scaled.copy()
            shifted[np.arange(d), np.arange(d)] -= self.share
            try:
                np.linalg.cholesky(shifted)  # every eigenvalue is above the floor
            except np.linalg.LinAlgError:
                eigenvalues, vectors = np.linalg.eigh(scaled)
                clipped = np.maximum(eigenvalues, self.share)
                matrix = (vectors * clipped) @ vectors.T
                values[j] = 0.5 * (matrix + matrix.T) * self.scale * self.scale[:, None]
        return values

    def structured(
        self,
        spread: FloatArray,
        mass: FloatArray,
        solve: Callable[[FloatArray], Any],
        previous: Any,
    ) -> Any:
        try:
            fitted = solve(spread)
            values = fitted.diagonal() if spread.ndim == 2 else fitted.dense()
            if np.array_equal(self._raised(values), values):
                return fitted  # the floor binds nowhere, and the fit is exact
        except NotPositiveDefiniteError:
            pass
        # Where it binds, raised moments keep it from singular, though they do not give the best
        # fit above the floor: what was there before stays if it is better, so that EM never
        # descends.
        fitted = solve(self._raised(spread))
        if previous is None or _loss(fitted, spread, mass) <= _loss(previous, spread, mass):
            return fitted
        return previous


def _loss(covariance: Any, spread: FloatArray, mass: FloatArray) -> float:
    """Σ Nₖ (log|Σₖ| + tr(Σₖ⁻¹ Sₖ)) for moments (k, d), of diagonal covariances, or (k, d, d)."""
    if spread.ndim == 2:
        inside = np.sum(spread / covariance.diagonal(), axis=1)
    else:
        inside = np.trace(covariance.solve(spread), axis1=1, axis2=2)
    return float(mass @ (covariance.logdet + inside))
