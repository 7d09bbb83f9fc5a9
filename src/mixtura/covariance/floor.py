"""How a fit keeps covariances away from singular: the two meanings of ``reg_covar``.

``Added(c)`` adds c to every variance, as scikit-learn does: absolute, in squared units of the data.
``Clipped(scale, share)`` clips the eigenvalues of D⁻¹ Σ D⁻¹, D = diag(scale), from below at
``share``: relative to the data's own spread, so that it means the same in any units. Clipping is
the exact maximiser of −log|Σ| − tr(Σ⁻¹ S) under Σ ⪰ share · D², so EM still never descends; a
fixed addition is not, and can make it descend a little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
