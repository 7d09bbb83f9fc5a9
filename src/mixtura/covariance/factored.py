r"""The form of low-rank structures: squares of the columns, less squares of a few projections.

With Σₖ⁻¹ = diag(Θₖ) − Uₖ Uₖᵀ (Woodbury's identity; U has r columns),

    −½ δ = −½ Σᵢ Θₖᵢ xᵢ² + xᵀ Σₖ⁻¹ μₖ − ½ μₖᵀ Σₖ⁻¹ μₖ + ½ ‖Uₖᵀ x‖²,

which is one product of the rows with the k (r + 1) vectors Σ⁻¹μ and U of all components, and one of
their squares with Θ. Rows go through in blocks that a processor's cache holds, so that the memory
needed beside the answer does not grow with the batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.covariance.form import Form
from mixtura.typing import FloatArray

__all__ = ["Factored"]

#: Rows that go through together.
BLOCK = 256


@dataclass(frozen=True, eq=False)
class Factored(Form):
    """Two matrix products, and a sum of r squares per component.

    Attributes
    ----------
    const : array (k,)
        Log joint at the anchor.
    squares : array (d, k)
        Coefficients of x²: −½ Θ.
    vectors : array (d, (1 + r) k)
        Σ⁻¹μ of every component, then the first column of U / √2 of every component, and so on.
    """

    const: FloatArray
    squares: FloatArray
    vectors: FloatArray

    @classmethod
    def of(
        cls,
        theta: FloatArray,
        factor: FloatArray,
        means: FloatArray,
        const: FloatArray,
        dtype: Any,
    ) -> Factored:
        """From Θ (k, d), U (k, d, r), the means (k, d) and the log joints at them (k,)."""
        k, d, r = factor.shape
        along = np.einsum("kdr,kd->kr", factor, means)
        linear = theta * means - np.einsum("kdr,kr->kd", factor, along)  # Σ⁻¹μ
        at_anchor = const - 0.5 * np.einsum("kd,kd->k", linear, means)
        # Component by component in memory; the products take the transposed tables as they are.
        vectors = np.empty((1 + r, k, d), dtype=dtype)
        vectors[0] = linear
        for i in range(r):
            np.multiply(factor[:, :, i], np.sqrt(0.5), out=vectors[1 + i], casting="same_kind")
        squares = np.multiply(theta, -0.5).astype(dtype, copy=False)
        return cls(at_anchor.astype(dtype), squares.T, vectors.reshape(-1, d).T)

    def log_joint(self, x: FloatArray) -> FloatArray:
        b, d = x.shape
        k = len(self.const)
        joint = np.empty((b, k), dtype=x.dtype)
        squared = np.empty((min(b, BLOCK), d), dtype=x.dtype)
        for low in range(0, b, BLOCK):
            rows, out = x[low : low + BLOCK], joint[low : low + BLOCK]
            np.matmul(np.multiply(rows, rows, out=squared[: len(rows)]), self.squares, out=out)
            along = (rows @ self.vectors).reshape(len(rows), -1, k)
            out += along[:, 0]
            out += np.einsum("brk,brk->bk", along[:, 1:], along[:, 1:])
        joint += self.const
        return joint

    def among(self, components: FloatArray) -> Factored:
        d, k = self.squares.shape
        picked = self.vectors.T.reshape(-1, k, d)[:, components].reshape(-1, d)
        return Factored(self.const[components], self.squares.T[components].T, picked.T)

    def row_floats(self, d: int, k: int) -> int:
        return 2 * d + 3 * k
